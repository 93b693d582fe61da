"""The MOSFLM exporter."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from spindle.contracts import Algorithm, hookimpl
from spindle.contracts.exporter import Export
from spindle.errors import UserError
from spindle.models import Experiment, Experiments
from spindle.params import FolderParam
from spindle.params import Params as ParamsBase
from spindle.table import ReflectionTable
from spindle_lib_exchange import the_space_group
from spindle_lib_merging import in_reference_setting


class MosflmExporter(Algorithm):
    """Orientation matrix and commands with which MOSFLM goes on; no reflections."""

    needs = frozenset({"experiments"})

    class Params(ParamsBase):
        directory = FolderParam(
            "mosflm", output=True, help="Folder for the files; several experiments get this name with a number added."
        )

    @hookimpl
    def export(
        self, experiments: Experiments, reflections: ReflectionTable | None, intensity: str, path: str | None
    ) -> Export:
        """Two files per experiment; see `spindle.contracts.exporter.ExporterSpec.export`."""
        the_space_group(experiments, "mosflm")
        base = path or str(self.params.directory)
        result = Export()
        if any(e.crystal is not None and e.crystal.A_at_scan_points is not None for e in experiments):
            result.messages.append("the crystal varies with the scan: its mean orientation and cell are written")
        changed, _, notes = in_reference_setting(experiments, None)
        for i, experiment in enumerate(changed):
            folder = base if len(experiments) == 1 else f"{base}_{i + 1}"
            texts = {"index.mat": matrix_text(experiment), "mosflm.in": commands(i, experiment, folder)}
            for name, text in texts.items():
                result.files[str(Path(folder) / name)] = _text(text)
            result.messages.append(
                f"{folder}: models only, no intensities; go on with: (cd {folder} && ipmosflm < mosflm.in)"
            )
        result.messages += notes
        return result


def matrix_text(experiment: Experiment) -> str:
    """Content of a .mat file: A times wavelength, missetting angles, U, cell, missetting angles.

    Notes
    -----
    MOSFLM's frame has x along the beam, z as nearly along the rotation axis as possible. U is A without B of Busing & Levy (1967), Acta
    Cryst. 22, 457: a* along x, b* in the xy plane.
    """
    crystal, goniometer = experiment.known_crystal, experiment.goniometer
    axis = goniometer.axis_lab if goniometer is not None else np.array([1.0, 0, 0])
    A = crystal.A
    if goniometer is not None:
        A = goniometer.setting_rotation @ goniometer.fixed_rotation @ A
    x = experiment.beam.s0 / np.linalg.norm(experiment.beam.s0)
    y = np.cross(axis, x)
    if np.linalg.norm(y) < 1e-6:
        raise UserError("export format=mosflm: the rotation axis is along the beam; MOSFLM does not process such data")
    y /= np.linalg.norm(y)
    A = np.stack([x, y, np.cross(x, y)]) @ A
    B = np.linalg.cholesky(A.T @ A).T
    U = A @ np.linalg.inv(B)
    zero = "".join(f"{0.0:12.3f}" for _ in range(3))
    lines = ["".join(f"{v:12.8f}" for v in row) for row in A * experiment.beam.wavelength]
    lines += [zero, *("".join(f"{v:12.8f}" for v in row) for row in U)]
    lines += ["".join(f"{v:12.4f}" for v in crystal.cell), zero]
    return "\n".join(lines) + "\n"


def commands(number: int, experiment: Experiment, folder: str) -> str:
    """Content of mosflm.in."""
    imageset, detector = experiment.imageset, experiment.detector
    if imageset is None or not imageset.template or imageset.numbered is None:
        raise UserError(
            f"export format=mosflm: experiment {number} has no file name template with numbers; MOSFLM reads images that are numbered by "
            "file name"
        )
    template, parts = imageset.template, imageset.numbered
    marks = f"{template[: len(template) - len(parts.suffix) - parts.width]}{'#' * parts.width}{parts.suffix}"
    hit = detector.beam_centre(experiment.beam.s0)
    panel = detector[0]
    centre = hit[1] if hit is not None else detector.beam_centre_px(experiment.beam.s0, 0) * panel.pixel_size
    lines = [
        f"DIRECTORY {os.path.relpath(os.path.dirname(marks) or '.', folder)}",
        f"TEMPLATE {os.path.basename(marks)}",
        f"SYMMETRY {experiment.known_crystal.space_group.number}",
        f"BEAM {centre[1]:.3f} {centre[0]:.3f}",
        f"DISTANCE {panel.distance:.4f}",
        f"WAVELENGTH {experiment.beam.wavelength:.6f}",
        "MATRIX index.mat",
    ]
    return "\n".join(lines) + "\n"


def _text(text: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        Path(path).write_text(text, encoding="utf-8")

    return write
