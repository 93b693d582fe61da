"""Predictions, and what follows from the geometry of each: resolution, zeta, corrections, boxes, partiality."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from spindle.models import Experiments
from spindle.prediction import lorentz_polarisation, quantum_efficiency
from spindle.table import Flag, ReflectionTable
from spindle_lib_ice import in_broad_ring

__all__ = ["BATCH", "Map", "PredictSome", "with_geometry"]

#: Experiments that are predicted together.
BATCH = 64

#: Rows that are treated at once: what they need meanwhile is several times their share of the table.
ROWS = 2**16
NEEDED = ("id", "miller_index", "panel", "s1", "xyzcal.px", "flags")
OF_STILLS = ("delpsical.rad",)


Map = Callable[[Callable[[slice], dict[str, np.ndarray]], Iterable[slice]], Iterator[dict[str, np.ndarray]]]


@dataclass(frozen=True)
class PredictSome:
    """Predicts the reflections of a range of experiments; their ``id`` is that in the whole list."""

    experiments: Experiments
    profile: Any
    params: Any

    def __call__(self, numbers: range) -> ReflectionTable:
        p = self.params
        padding = float(np.deg2rad(p.padding if p.padding is not None else 1.0))
        table: ReflectionTable = self.profile.predict_reflections(
            experiments=Experiments(self.experiments[i] for i in numbers), d_min=p.d_min, d_max=p.d_max, padding=padding,
            force_static=p.force_static,
        ).view()  # fmt: skip
        table.identifiers = {}
        if numbers.start:
            table["id"] = table["id"] + np.int32(numbers.start)
        return table


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
    blocks = [slice(start, min(start + ROWS, n)) for start in range(0, n, ROWS)]
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
            if e.is_still or e.goniometer is None:  # what moves through the sphere turns about e1
                zeta[rows] = 1.0
                lp[rows] *= length * e.beam.wavelength**2
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
