"""The exporter for BEST."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from spindle.contracts import Algorithm, hookimpl
from spindle.contracts.exporter import Export
from spindle.errors import UserError
from spindle.models import Experiment, Experiments
from spindle.params import Float, Int, Str
from spindle.params import Params as ParamsBase
from spindle.table import ReflectionTable
from spindle_lib_exchange import experiment_name, observations, per_experiment, the_space_group, write_rows

from .par_file import parameter_text


class BestExporter(Algorithm):
    """Intensities, background and parameters of a few images for the strategy program BEST."""

    class Params(ParamsBase):
        prefix = Str(
            "best", help="Name of the files .hkl, .dat and .par without ending; several experiments get a number."
        )
        n_bins = Int(100, min=1, max=10_000, help="Shells of resolution of the background.")
        min_partiality = Float(
            0.1, min=0, max=1, help="Leave out reflections of which a smaller fraction was recorded."
        )

    @hookimpl
    def export(
        self, experiments: Experiments, reflections: ReflectionTable, intensity: str, path: str | None
    ) -> Export:
        """Three files per experiment; see `spindle.contracts.exporter.ExporterSpec.export`."""
        p = self.params
        the_space_group(experiments, "best")
        for i, experiment in enumerate(experiments):
            if experiment.is_still:
                raise UserError(f"export format=best: experiment {i} is a still; BEST plans rotation data")
        observed = observations(reflections, intensity, partiality_threshold=p.min_partiality)
        if "background.mean" not in observed.table:
            raise UserError(
                "export format=best: the reflections have no column background.mean, from which the background of the images is taken; "
                "give those of spindle integrate"
            )
        prefix = path or p.prefix
        result = Export(messages=observed.messages(f"{prefix}.hkl"))
        for i, (experiment, part) in enumerate(zip(experiments, per_experiment(observed, experiments), strict=True)):
            if not len(part):
                result.messages.append(f"experiment {i} has no reflections: no file is written for it")
                continue
            name = experiment_name(prefix, i, len(experiments))
            result.files[f"{name}.hkl"] = _hkl(part.hkl, part.value, part.sigma)
            result.files[f"{name}.dat"] = _background(experiment, part.table, p.n_bins)
            result.files[f"{name}.par"] = _text(parameter_text(experiment, i))
            result.messages.append(
                f"{name}.dat: background around {len(part)} reflections, counts per pixel by resolution"
            )
        return result


def _hkl(hkl: np.ndarray, value: np.ndarray, sigma: np.ndarray) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with Path(path).open("w", encoding="ascii") as file:
            write_rows(file, "%4d %4d %4d %10.2f %10.2f", [*hkl.T, value, sigma])

    return write


def _background(experiment: Experiment, table: ReflectionTable, n_bins: int) -> Callable[[Path], None]:
    """What writes resolution, mean background and its scatter, for shells of equal width in 1/d."""
    s0 = experiment.beam.s0
    inverse = np.linalg.norm(table["s1"] - s0, axis=1) if "s1" in table else 1.0 / np.asarray(table["d"])
    background = np.asarray(table["background.mean"], dtype=np.float64)
    low, high = float(inverse.min()), float(inverse.max())
    which = np.minimum(((inverse - low) / max(high - low, 1e-12) * n_bins).astype(np.int64), n_bins - 1)
    count = np.bincount(which, minlength=n_bins)
    filled = count > 0
    mean = np.bincount(which, background, n_bins)[filled] / count[filled]
    scatter = np.bincount(which, background**2, n_bins)[filled] / count[filled] - mean**2
    centre = (low + (np.flatnonzero(filled) + 0.5) * (high - low) / n_bins) ** -1.0

    def write(path: Path) -> None:
        with Path(path).open("w", encoding="ascii") as file:
            write_rows(file, "%10.4f %10.2f %10.2f", [centre, mean, np.sqrt(np.maximum(scatter, 0.0))])

    return write


def _text(text: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        Path(path).write_text(text, encoding="ascii")

    return write
