"""The SADABS exporter."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from spindle.contracts import Algorithm, hookimpl
from spindle.contracts.exporter import Export
from spindle.errors import UserError
from spindle.geometry import rotate_about
from spindle.models import Experiment, Experiments
from spindle.params import Bool, Int, PathParam
from spindle.params import Params as ParamsBase
from spindle.table import ReflectionTable
from spindle_lib_exchange import (
    Observations,
    experiment_name,
    laboratory_matrices,
    observations,
    per_experiment,
    the_space_group,
    write_rows,
)
from spindle_lib_merging import is_scaled

LARGEST = 99999.0  # what fits into eight columns with two decimals
FRAME = 512.0  # pixels of the detector that positions are given for
FORM = "%4d%4d%4d%8.2f%8.2f%4d" + 6 * "%8.5f" + "%7.2f%7.2f%8.2f%7.2f%5d"


class SadabsExporter(Algorithm):
    """Raw files of SAINT with direction cosines, one for each sweep, from which SADABS finds absorption and scales."""

    class Params(ParamsBase):
        hklout = PathParam(
            "integrated.sad", output=True, help="Output file; several experiments get this name with a number added."
        )
        run = Int(1, min=0, max=999, help="Number of the run; those of further experiments follow.")
        predict = Bool(False, help="Write calculated positions instead of observed ones.")

    @hookimpl
    def export(
        self, experiments: Experiments, reflections: ReflectionTable, intensity: str, path: str | None
    ) -> Export:
        """One file per experiment; see `spindle.contracts.exporter.ExporterSpec.export`."""
        p = self.params
        the_space_group(experiments, "sadabs")
        for i, experiment in enumerate(experiments):
            if experiment.is_still:
                raise UserError(f"export format=sadabs: experiment {i} is a still; the format is for rotation data")
        result = Export()
        if intensity == "auto" and not is_scaled(reflections):
            intensity = "sum"  # what SADABS expects of SAINT
        observed = observations(reflections, intensity)
        parts = per_experiment(observed, experiments)
        whole = float(max((np.abs(o.value).max() for o in parts if len(o)), default=1.0))
        factor = min(1.0, LARGEST / whole)
        target = path or str(p.hklout)
        result.messages += observed.messages(target)
        if observed.kind == "scale":
            result.messages.append(
                "these intensities are scaled; SADABS finds scales itself: intensity=sum gives it the measured ones"
            )
        if factor < 1:
            result.messages.append(f"intensities and sigmas are multiplied by {factor:.6g} to fit into their columns")
        for i, (experiment, part) in enumerate(zip(experiments, parts, strict=True)):
            if not len(part):
                result.messages.append(f"experiment {i} has no reflections: no file is written for it")
                continue
            name = experiment_name(target, i, len(experiments))
            result.files[name] = _writer(_columns(experiment, part, factor, p.run + i, p.predict))
            result.messages.append(f"{name}: run {p.run + i}, {len(part)} observations")
            if p.run + i == 0 or Path(name).stem.endswith("_0"):
                result.messages.append(
                    f"{name}: SADABS does not accept run 0 nor names that end in _0; give sadabs.run=1"
                )
        return result


def _columns(experiment: Experiment, part: Observations, factor: float, run: int, predict: bool) -> list[np.ndarray]:
    """Columns of one sweep, sorted by index.

    Notes
    -----
    The direction cosines are those of the reversed incident and of the diffracted beam with a*, b*, c* of the crystal
    in its orientation when it diffracts.
    """
    table, panel, scan = part.table, experiment.detector[0], experiment.known_scan
    kind = "cal" if predict or "xyzobs.mm.value" not in table else "obs"
    position, pixels = (table[f"xyz{kind}.{unit}{'.value' if kind == 'obs' else ''}"] for unit in ("mm", "px"))
    axis = experiment.known_goniometer.axis_lab
    phi = np.ascontiguousarray(table["xyzcal.mm"][:, 2])
    A = experiment.known_crystal.A
    if predict:
        goniometer = experiment.known_goniometer
        matrices = np.broadcast_to(goniometer.setting_rotation @ goniometer.fixed_rotation @ A, (len(part), 3, 3))
    else:
        matrices = laboratory_matrices(experiment, table["xyzcal.px"][:, 2], interpolate=False)
    turned = [rotate_about(np.ascontiguousarray(matrices[:, :, i]), axis, phi) for i in range(3)]
    hkl = part.hkl.astype(np.float64)
    q = sum(hkl[:, i, None] * turned[i] for i in range(3))
    s0 = experiment.beam.s0
    diffracted = _unit(s0 + np.asarray(q))
    incident = -s0 / np.linalg.norm(s0)
    cosines = []
    for star in turned:
        direction = _unit(star)
        cosines += [direction @ incident, np.einsum("ij,ij->i", direction, diffracted)]
    size = np.array(panel.image_size) * panel.pixel_size
    x, y = (FRAME * position[:, i] / size[i] for i in range(2))
    frame = pixels[:, 2] - scan.array_range[0]
    swing = float(np.degrees(np.arccos(np.clip(abs(panel.normal @ incident), -1, 1))))
    sine = np.rint(1e4 * 0.5 * np.linalg.norm(np.asarray(q), axis=1)).astype(np.int64)
    n = len(part)
    columns = [
        *part.hkl.T, factor * part.value, factor * part.sigma, np.full(n, run), *cosines, x, y, frame,
        np.full(n, swing), sine,
    ]  # fmt: skip
    order = np.lexsort([frame, part.hkl[:, 2], part.hkl[:, 1], part.hkl[:, 0]])
    return [column[order] for column in columns]


def _unit(v: np.ndarray) -> np.ndarray:
    return np.asarray(v / np.maximum(np.linalg.norm(v, axis=1, keepdims=True), 1e-300))


def _writer(columns: list[np.ndarray]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with Path(path).open("w", encoding="ascii") as file:
            write_rows(file, FORM, columns)

    return write
