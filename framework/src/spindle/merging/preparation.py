"""Intensities ready for scaling, symmetry analysis, merging and export: filters, corrections, partials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from spindle.errors import ModelError, ParameterError
from spindle.models import Experiments
from spindle.table import BAD_FOR_SCALING, Flag, ReflectionTable

CHOICES = ("auto", "profile", "sum", "profile+sum", "scale")
#: Columns of an intensity and its variance.
INTENSITY_COLUMNS = {
    "profile": ("intensity.prf.value", "intensity.prf.variance"),
    "sum": ("intensity.sum.value", "intensity.sum.variance"),
    "scale": ("intensity.scale.value", "intensity.scale.variance"),
}
#: Columns that add up when parts of a reflection are combined.
ADDITIVE = (
    "intensity.prf.value", "intensity.prf.variance", "intensity.sum.value", "intensity.sum.variance",
    "intensity.scale.value", "intensity.scale.variance", "background.sum.value", "background.sum.variance", "partiality",
)  # fmt: skip
#: Columns of which the combined reflection has the mean, weighted by partiality.
AVERAGED = ("xyzobs.px.value", "xyzobs.mm.value", "xyzcal.px", "xyzcal.mm", "lp", "qe", "inverse_scale_factor")


@dataclass(frozen=True, slots=True)
class PreparedIntensities:
    """Reflections that passed the filters, with corrected intensities.

    Attributes
    ----------
    table : ReflectionTable
        The rows that were kept, partial reflections combined.
    rows : (n,) int64
        Row of the given table of each; of a combined reflection the row of its largest part.
    kinds : dict of str to (intensity, variance)
        (n,) float64 arrays for "profile", "sum" and "scale", as far as they were asked for: multiplied by lp / qe; sums divided
        by the partiality; scaled ones divided by the inverse scale factor.
    choice : str
        What "auto" stood for: "scale", "profile+sum", "profile" or "sum".
    removed : dict of str to int
        Reflections that each rule removed.
    """

    table: ReflectionTable
    rows: np.ndarray
    kinds: dict[str, tuple[np.ndarray, np.ndarray]]
    choice: str
    removed: dict[str, int] = field(default_factory=dict)

    @property
    def intensity(self) -> np.ndarray:
        """(n,) float64: the preferred kind (scale, else profile, else sum)."""
        return self._best()[0]

    @property
    def variance(self) -> np.ndarray:
        """(n,) float64: variance of `intensity`."""
        return self._best()[1]

    def _best(self) -> tuple[np.ndarray, np.ndarray]:
        return next(self.kinds[k] for k in ("scale", "profile", "sum") if k in self.kinds)

    def __len__(self) -> int:
        return len(self.rows)


def is_scaled(table: ReflectionTable) -> bool:
    """Whether a table holds scaled intensities."""
    return (
        "intensity.scale.value" in table
        and "inverse_scale_factor" in table
        and bool(np.any(table["inverse_scale_factor"] > 0))
        and bool(np.any(table["intensity.scale.variance"] > 0))
    )


def correction_factor(table: ReflectionTable) -> np.ndarray:
    """lp / qe per reflection, (n,) float64; a missing column counts as 1."""
    factor = np.array(table["lp"], dtype=np.float64) if "lp" in table else np.ones(len(table))
    if "qe" in table:
        qe = np.asarray(table["qe"], dtype=np.float64)
        factor = factor / np.where(qe > 0, qe, np.inf)
    return factor


def combine_partials(table: ReflectionTable) -> tuple[ReflectionTable, np.ndarray]:
    """Join the parts of reflections that were integrated in parts (same experiment and ``partial_id``).

    Returns
    -------
    ReflectionTable
        One row per reflection: intensities, variances and partialities added, positions averaged.
    (m,) int64
        Row of the given table of the largest part of each.
    """
    everything = np.arange(len(table), dtype=np.int64)
    if "partial_id" not in table or len(table) == 0:
        return table, everything
    ids = table["id"].astype(np.int64) if "id" in table else np.zeros(len(table), np.int64)
    key = np.stack([ids, table["partial_id"].astype(np.int64)], axis=1)
    _, inverse, counts = np.unique(key, axis=0, return_inverse=True, return_counts=True)
    inverse = inverse.ravel()
    if counts.max() == 1:
        return table, everything
    part = np.asarray(table["partiality"], dtype=np.float64) if "partiality" in table else np.ones(len(table))
    order = np.lexsort((everything, -part, inverse))
    first = order[np.concatenate([[0], np.cumsum(counts)[:-1]])]
    back = np.argsort(first, kind="stable")  # keep the order of the table
    rows = first[back]
    combined = table.select(rows)
    n = len(counts)
    total = np.bincount(inverse, part, n)
    for name in ADDITIVE:
        if name in table:
            combined[name] = np.bincount(inverse, table[name], n)[back]
    share = part / np.where(total > 0, total, 1.0)[inverse]
    for name in AVERAGED:
        if name in table:
            values = np.asarray(table[name], dtype=np.float64)
            if values.ndim == 1:
                mean = np.bincount(inverse, share * values, n)
            else:
                mean = np.stack([np.bincount(inverse, share * values[:, k], n) for k in range(values.shape[1])], axis=1)
            combined[name] = mean[back]
    return combined, rows.astype(np.int64)


def prepare_intensities(
    experiments: Experiments,
    table: ReflectionTable,
    choice: str = "auto",
    *,
    combine: bool = True,
    partiality_threshold: float | None = 0.4,
    min_isigi: float | None = -5.0,
    d_min: float | None = None,
    d_max: float | None = None,
    exclude_images: Sequence[tuple[int, int, int]] = (),
) -> PreparedIntensities:
    """Select and correct intensities.

    Parameters
    ----------
    experiments : Experiments
        For resolutions, where the table has no column ``d``.
    table : ReflectionTable
        Integrated or scaled reflections.
    choice : "auto", "profile", "sum", "profile+sum" or "scale"
        "auto" is scaled intensities when there are any, else those of profile fitting and summation (rows must have both), else
        whichever of them there is.
    combine
        Join the parts of partial reflections.
    partiality_threshold, min_isigi
        Least partiality; least I / sigma (of every kind chosen). None switches a filter off.
    d_min, d_max
        Resolution limits in angstrom.
    exclude_images : sequence of (experiment, first, last)
        Ranges of image numbers to leave out, both ends included.

    Returns
    -------
    PreparedIntensities

    Raises
    ------
    ParameterError, ModelError
        If the intensity asked for is not in the table, or nothing is left.
    """
    choice = _resolve(table, choice)
    kinds = ("profile", "sum") if choice == "profile+sum" else (choice,)
    flags = table["flags"].astype(np.uint64)
    keep = table["id"] >= 0 if "id" in table else np.ones(len(table), bool)
    removed = {"without experiment": int((~keep).sum())}

    def drop(name: str, bad: np.ndarray) -> None:
        nonlocal keep
        removed[name] = int((keep & bad).sum())
        keep = keep & ~bad

    if "scale" in kinds:
        drop("excluded from scaling", (flags & np.uint64(int(BAD_FOR_SCALING))) != 0)
        drop("without scale factor", ~(table["inverse_scale_factor"] > 0))
    if "profile" in kinds:
        drop("without profile intensity", (flags & np.uint64(int(Flag.INTEGRATED_PRF))) == 0)
    if "sum" in kinds:
        drop("without summed intensity", (flags & np.uint64(int(Flag.INTEGRATED_SUM))) == 0)
    drop("not indexed", np.all(table["miller_index"] == 0, axis=1))
    for kind in kinds:
        drop("without positive variance", ~(table[INTENSITY_COLUMNS[kind][1]] > 0))
    if "qe" in table and "scale" not in kinds:
        drop("without quantum efficiency", ~(table["qe"] > 0))
    if exclude_images:
        drop("on excluded images", excluded_by_image(table, exclude_images))
    rows = np.flatnonzero(keep)
    selected = table.select(rows)
    if combine:
        selected, parts = combine_partials(selected)
        rows = rows[parts]
    keep = np.ones(len(selected), bool)
    if partiality_threshold is not None and "partiality" in selected:
        drop(f"partiality below {partiality_threshold:g}", selected["partiality"] < partiality_threshold)
    d = resolutions(experiments, selected)
    if d_min is not None:
        drop(f"beyond {d_min:g} A", d < d_min)
    if d_max is not None:
        drop(f"below {d_max:g} A", d > d_max)
    factor = correction_factor(selected)
    results = {}
    for kind in kinds:
        value, variance = (np.array(selected[name], dtype=np.float64) for name in INTENSITY_COLUMNS[kind])
        scale = 1.0 / selected["inverse_scale_factor"] if kind == "scale" else factor
        if kind == "sum" and "partiality" in selected:
            scale = scale / np.where(selected["partiality"] > 0, selected["partiality"], 1.0)
        value, variance = value * scale, variance * scale**2
        results[kind] = (value, variance)
        if min_isigi is not None:
            drop(f"I/sigma below {min_isigi:g}", value < min_isigi * np.sqrt(variance))
    if not keep.all():
        selected, rows = selected.select(keep), rows[keep]
        results = {kind: (value[keep], variance[keep]) for kind, (value, variance) in results.items()}
    if len(rows) == 0:
        reasons = ", ".join(f"{name}: {n}" for name, n in removed.items() if n)
        raise ModelError(f"no reflection with a usable intensity ({choice}) is left of {len(table)}: {reasons}")
    return PreparedIntensities(selected, rows, results, choice, {k: v for k, v in removed.items() if v})


def excluded_by_image(table: ReflectionTable, ranges: Sequence[tuple[int, int, int]]) -> np.ndarray:
    """(n,) bool: reflections centred on images (experiment, first, last; image numbers, inclusive) to leave out."""
    z = np.asarray(table["xyzobs.px.value"][:, 2])
    bad = np.zeros(len(table), dtype=bool)
    for number, first, last in ranges:
        bad |= (table["id"] == number) & (z >= first - 1) & (z < last)
    return bad


def resolutions(experiments: Experiments, table: ReflectionTable) -> np.ndarray:
    """(n,) float64, angstrom: the column ``d`` where it is filled, else from each experiment's cell."""
    if "d" in table and len(table) and np.all(table["d"] > 0):
        return np.asarray(table["d"], dtype=np.float64)
    from spindle.merging.statistics import resolution_of

    d = np.zeros(len(table))
    for number in np.unique(table["id"]):
        if number < 0:
            continue
        crystal = experiments[int(number)].crystal
        if crystal is None:
            raise ModelError(f"experiment {number} has no crystal, so its reflections have no resolution; index it first")
        rows = np.flatnonzero(table["id"] == number)
        d[rows] = resolution_of(table["miller_index"][rows], crystal.cell)
    return d


def _resolve(table: ReflectionTable, choice: str) -> str:
    if choice not in CHOICES:
        raise ParameterError(f"intensity {choice!r} is none of {', '.join(CHOICES)}")
    for name in ("flags", "miller_index"):
        if name not in table:
            raise ModelError(f"the reflections have no column {name}: give integrated or scaled reflections")
    if choice == "auto":
        if is_scaled(table):
            return "scale"
        flags = table["flags"].astype(np.uint64)
        profile = "intensity.prf.value" in table and bool(np.any(flags & np.uint64(int(Flag.INTEGRATED_PRF))))
        summed = "intensity.sum.value" in table and bool(np.any(flags & np.uint64(int(Flag.INTEGRATED_SUM))))
        if not (profile or summed):
            raise ModelError("the reflections have no integrated intensities: run spindle integrate first")
        return "profile+sum" if profile and summed else "profile" if profile else "sum"
    if choice == "scale" and not is_scaled(table):
        raise ModelError("scaled intensities were asked for, but the reflections are not scaled: run spindle scale first")
    for kind in choice.split("+"):
        missing = [c for c in INTENSITY_COLUMNS[kind] if c not in table]
        if missing:
            raise ModelError(f"{kind} intensities were asked for, but the reflections have no column {missing[0]}")
    return choice
