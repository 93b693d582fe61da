"""Predictions, and what follows from the geometry of each: resolution, zeta, corrections, boxes, partiality."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from spindle.errors import ParameterError
from spindle.models import Experiments
from spindle.prediction import lorentz_polarisation, quantum_efficiency
from spindle.table import Flag, ReflectionTable
from spindle_lib_ice import in_broad_ring

__all__ = ["Map", "PredictSome", "Predictions", "recorded_on_images", "with_geometry"]

#: Experiments that are predicted together: tables of few are joined while they are in the caches of the processor.
BATCH = 4

#: Of no more experiments than these predictions are kept, and not made again.
KEPT = 16

#: Rows that are treated at once: what they need meanwhile is several times their share of the table.
ROWS = 2**16
NEEDED = ("id", "miller_index", "panel", "s1", "xyzcal.px", "flags")
OF_STILLS = ("delpsical.rad",)


Map = Callable[[Callable[[slice], dict[str, np.ndarray]], Iterable[slice]], Iterator[dict[str, np.ndarray]]]


@dataclass(frozen=True)
class PredictSome:
    """Predicts the reflections of a range of experiments; their ``id`` is that in the whole list.

    ``most`` is the largest padding (radians) that is of use for each experiment; None: as the parameters say.
    """

    experiments: Experiments
    profile: Any
    params: Any
    most: np.ndarray | None = None

    def __call__(self, numbers: range) -> ReflectionTable:
        p = self.params
        if p.d_min and p.d_max and p.d_min >= p.d_max:
            raise ParameterError(
                f"prediction.d_min={p.d_min:g} and prediction.d_max={p.d_max:g}: d_min, the high resolution limit, is the smaller of the two"
            )
        padding = float(np.deg2rad(p.padding if p.padding is not None else 1.0))
        if self.most is not None:
            padding = min(padding, float(self.most[numbers.start : numbers.stop].max()))
        table: ReflectionTable = self.profile.predict_reflections(
            experiments=Experiments(self.experiments[i] for i in numbers), d_min=p.d_min, d_max=p.d_max, padding=padding,
            force_static=p.force_static,
        ).view()  # fmt: skip
        table.identifiers = {}
        if numbers.start:
            table["id"] = table["id"] + np.int32(numbers.start)
        return table


class Predictions:
    """The predictions of all experiments, batch by batch.

    Those of few experiments are kept. Of more each batch is made again whenever it is needed: most predictions are of the padding of
    the scans, and all at once would take several times the memory of those on images.

    Parameters
    ----------
    experiments : Experiments
    profile : Handle
    params
        The group ``prediction``.
    run
        Applies a function to items, as `map` does or in several threads.

    Attributes
    ----------
    numbers : (n,) int64
        Predictions of each experiment; complete after the first walk.
    """

    def __init__(self, experiments: Experiments, profile: Any, params: Any, run: Callable[..., Any]) -> None:
        n = len(experiments)
        self.task, self.run = PredictSome(experiments, profile, params), run
        self.batches = [range(i, min(i + BATCH, n)) for i in range(0, n, BATCH)]
        self.numbers = np.zeros(n, np.int64)
        self._kept: list[ReflectionTable] = []

    def __iter__(self) -> Iterator[tuple[range, ReflectionTable]]:
        """Numbers of the experiments of each batch, and its table."""
        if self._kept:
            yield from zip(self.batches, self._kept, strict=True)
            return
        found = []
        for batch, table in zip(self.batches, self.run(self.task, self.batches), strict=True):
            self.numbers[batch.start : batch.stop] = np.bincount(table["id"] - batch.start, minlength=len(batch))
            if self.keeps:
                found.append(table)
            yield batch, table
        self._kept = found

    def near(self, most: np.ndarray) -> Iterator[tuple[range, ReflectionTable]]:
        """The same without those of the padding beyond some angle, for a look at them; nothing is counted.

        Parameters
        ----------
        most : (n,) float64, radians
            How far outside its scan reflections of each experiment are of use.
        """
        return zip(self.batches, self.run(replace(self.task, most=most), self.batches), strict=True)

    @property
    def keeps(self) -> bool:
        """Whether tables are kept."""
        return len(self.numbers) <= KEPT

    def forget(self) -> None:
        """Keep nothing any more."""
        self._kept = []


def recorded_on_images(predicted: ReflectionTable, experiments: Experiments, profile: Any, run: Map) -> np.ndarray:
    """(n,) float64: what all images of its scan hold of each spot, no less than any box on them; 1 without a scan."""
    if not len(predicted):
        return np.zeros(0)
    seen = ReflectionTable({name: predicted[name] for name in (*NEEDED, *OF_STILLS) if name in predicted})
    ranges = np.array([(0, 1) if e.scan is None else e.scan.array_range for e in experiments], np.int32)
    found = run(_OfImages(seen, experiments, profile, ranges), _blocks(len(predicted)))
    return np.concatenate([of_block["partiality"] for of_block in found])


@dataclass(frozen=True)
class _OfImages:
    """What the images hold of some rows, in boxes from the first image to the last."""

    table: ReflectionTable
    experiments: Experiments
    profile: Any
    ranges: np.ndarray

    def __call__(self, block: slice) -> dict[str, np.ndarray]:
        table = self.table.select(block)
        bbox = np.zeros((len(table), 6), np.int32)
        bbox[:, 4:] = self.ranges[table["id"]]
        return {"partiality": self.profile.partiality(experiments=self.experiments, reflections=table, bbox=bbox)}


def _blocks(n: int) -> list[slice]:
    return [slice(start, min(start + ROWS, n)) for start in range(0, n, ROWS)]


def with_geometry(
    predicted: ReflectionTable, experiments: Experiments, profile: Any, params: Any, run: Map
) -> ReflectionTable:
    """Predictions with d, zeta, lp, bbox and partiality, with qe where a sensor lets photons through, and with flags.

    Parameters
    ----------
    predicted : ReflectionTable
    experiments : Experiments
        With profile models.
    profile : Handle
        The profile plugin; each row's box is a matter of that row alone.
    params : IntegrateParams.integration
    run
        Applies a function to items, as `map` does or in several threads.
    """
    n, table = len(predicted), predicted.view()
    found: dict[str, np.ndarray] = {
        "d": np.empty(n), "zeta": np.empty(n), "lp": np.empty(n), "bbox": np.empty((n, 6), np.int32),
        "partiality": np.empty(n), "flags": np.empty(n, np.uint64),
    }  # fmt: skip
    if any(e.detector[0].mu > 0 for e in experiments):
        found["qe"] = np.empty(n)
    seen = ReflectionTable({name: predicted[name] for name in (*NEEDED, *OF_STILLS) if name in predicted})
    blocks = _blocks(n)
    for block, of_block in zip(blocks, run(_OfBlock(seen, experiments, profile, params), blocks), strict=True):
        for name, values in of_block.items():
            if name in found:
                found[name][block] = values
    for name, values in found.items():
        table[name] = values
    return table


@dataclass(frozen=True)
class _OfBlock:
    """The columns of some rows."""

    table: ReflectionTable
    experiments: Experiments
    profile: Any
    params: Any

    def __call__(self, block: slice) -> dict[str, np.ndarray]:
        table, experiments, params, profile = self.table.select(block), self.experiments, self.params, self.profile
        n = len(table)
        d, zeta, lp, qe = np.zeros(n), np.zeros(n), np.zeros(n), np.ones(n)
        for i, rows in table.rows_by_experiment().items():
            e = experiments[i]
            if e.crystal is None:  # refused by now
                continue
            s1 = table["s1"][rows]
            d[rows] = 1.0 / np.linalg.norm(table["miller_index"][rows] @ e.crystal.A.T, axis=1)
            lp[rows] = lorentz_polarisation(e.beam, None if e.is_still else e.goniometer, s1)
            e1 = np.cross(s1, e.beam.s0)
            length = np.linalg.norm(e1, axis=1)
            if e.is_still or e.goniometer is None:
                zeta[rows] = 1.0
                lp[rows] /= profile.still_lorentz(experiments=experiments, reflections=table.select(rows))
            else:
                zeta[rows] = (e1 / length[:, None]) @ e.goniometer.axis_lab
            if e.detector[0].mu > 0:
                qe[rows] = quantum_efficiency(e.detector, table["panel"][rows], s1)
        table["d"], table["zeta"], table["lp"] = d, zeta, lp
        flags = table["flags"].copy()
        flags[np.abs(zeta) < (params.filter.min_zeta or 0.0)] |= np.uint64(int(Flag.DONT_INTEGRATE))
        if params.filter.ice_rings:
            flags[in_broad_ring(d)] |= np.uint64(int(Flag.IN_POWDER_RING))
        table["flags"] = flags
        border = params.profile.sigma_b_multiplier or 2.0
        bbox = np.asarray(profile.bounding_boxes(experiments=experiments, reflections=table, border=border), np.int32)
        table["bbox"] = bbox
        partiality = profile.partiality(experiments=experiments, reflections=table, bbox=bbox)
        return {"d": d, "zeta": zeta, "lp": lp, "qe": qe, "flags": flags, "bbox": bbox, "partiality": partiality}
