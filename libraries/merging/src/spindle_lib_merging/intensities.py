"""From integrated or scaled reflections to corrected intensities: the filters that every export, merge and symmetry
test needs.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from spindle.errors import ModelError, ParameterError, UserError
from spindle.table import BAD_FOR_SCALING, Flag, ReflectionTable
from spindle_lib_ice import in_broad_ring

KINDS = ("auto", "profile", "sum", "profile+sum", "scale")

# Counts, variances and factors outside these come from damage; their squares and sums are still numbers.
SMALLEST, LARGEST = 1e-30, 1e30


@dataclass(slots=True)
class Intensities:
    """Corrected intensities, one row per observation.

    Attributes
    ----------
    table : ReflectionTable
        The rows that passed, parts of one reflection combined into its first row.
    kind : "profile", "sum", "profile+sum" or "scale"
    values, variances : dict of "prf", "sum" or "scale" to (n,) float64
        Multiplied by lp / qe; sums divided by the partiality; scaled ones divided by the inverse scale factor.
    dropped : dict of reason to number of rows
    """

    table: ReflectionTable
    kind: str
    values: dict[str, np.ndarray]
    variances: dict[str, np.ndarray]
    dropped: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.table)

    @property
    def best(self) -> str:
        """The one to use when one is needed: "scale", else "prf", else "sum"."""
        return next(k for k in ("scale", "prf", "sum") if k in self.values)


def is_scaled(table: ReflectionTable) -> bool:
    """Whether the table has gone through scaling."""
    return (
        "intensity.scale.value" in table
        and "inverse_scale_factor" in table
        and bool(np.any(table["inverse_scale_factor"] > 0))
    )


def check_scaled(table: ReflectionTable, program: str) -> None:
    """Raise ModelError when there is nothing in the table, or it has not gone through scaling."""
    if not len(table):
        raise ModelError(f"{program}: there are no reflections in the file; look at the log of the step that wrote it")
    if not is_scaled(table):
        raise ModelError(f"{program}: the reflections are not scaled; run spindle scale first")


def prepare_intensities(
    table: ReflectionTable,
    intensity: str = "auto",
    *,
    combine_partials: bool = True,
    partiality_threshold: float | None = 0.4,
    min_isigi: float | None = -5.0,
    d_min: float | None = None,
    d_max: float | None = None,
    filter_ice_rings: bool = False,
) -> Intensities:
    """Filter and correct the intensities of a table.

    Parameters
    ----------
    table : ReflectionTable
        Integrated or scaled.
    intensity : str
        One of `KINDS`; "auto" is scale for scaled data, else profile+sum, or sum where nothing was profile-fitted.
    combine_partials : bool
        Add the rows that share a `partial_id` in an experiment.
    partiality_threshold : float or None
        Rows (after combination) recorded to a smaller fraction are dropped.
    min_isigi : float or None
        Rows with a smaller I / sigma in any kind are dropped.
    d_min, d_max : float or None, angstrom
    filter_ice_rings : bool

    Returns
    -------
    Intensities

    Raises
    ------
    UserError
        If the table lacks the intensity asked for, or nothing is left: which filter dropped how many.
    """
    if d_min and d_max and d_min >= d_max:
        raise ParameterError(
            f"d_min={d_min:g} and d_max={d_max:g}: d_min, the high resolution limit, is the smaller of the two"
        )
    kind = _choose(table, intensity)
    names = {"scale": ["scale"], "profile+sum": ["prf", "sum"], "profile": ["prf"], "sum": ["sum"]}[kind]
    dropped: dict[str, int] = {}

    def keep(table: ReflectionTable, mask: np.ndarray, reason: str) -> ReflectionTable:
        lost = int(len(mask) - np.count_nonzero(mask))
        if lost:
            dropped[reason] = dropped.get(reason, 0) + lost
            return table.select(mask)
        return table

    table = table.without("shoebox")
    table = _usable(table, kind, names, min_isigi, dropped)
    if combine_partials and "partial_id" in table:
        table = combine_parts(table, [f"intensity.{n}" for n in names])
    if partiality_threshold is not None and "partiality" in table:
        table = keep(table, table["partiality"] >= partiality_threshold, f"partiality below {partiality_threshold}")
    if d_min is not None:
        table = keep(table, table["d"] >= d_min, f"beyond {d_min} A")
    if d_max is not None:
        table = keep(table, table["d"] <= d_max, f"below {d_max} A resolution")
    if filter_ice_rings:
        table = keep(table, ~in_broad_ring(table["d"]), "on ice rings")
    if not len(table):
        reasons = ", ".join(f"{n} {reason}" for reason, n in dropped.items())
        raise UserError(
            f"no reflection with usable {kind} intensities is left ({reasons or 'the table is empty'}); the log of the step that wrote "
            "the reflections tells why, and its parameters what to measure or keep"
        )
    factors = {name: _factor(table, name) for name in names}
    good = np.logical_and.reduce([(f > SMALLEST) & (f < LARGEST) for f in factors.values()])
    table = keep(table, good, "corrections not positive")
    if not len(table):
        raise UserError(
            f"no reflection is left that has corrections: {dropped['corrections not positive']} are not positive"
        )
    values = {n: table[f"intensity.{n}.value"] * factors[n][good] for n in names}
    variances = {n: table[f"intensity.{n}.variance"] * factors[n][good] ** 2 for n in names}
    return Intensities(table, kind, values, variances, dropped)


def _usable(
    table: ReflectionTable, kind: str, names: list[str], min_isigi: float | None, dropped: dict[str, int]
) -> ReflectionTable:
    """Rows that pass the filters of single rows, selected once: each copy of a large table is dear."""
    alive = np.ones(len(table), dtype=bool)

    def keep(mask: np.ndarray, reason: str) -> None:
        nonlocal alive
        left = alive & mask
        lost = int(np.count_nonzero(alive) - np.count_nonzero(left))
        if lost:
            dropped[reason] = dropped.get(reason, 0) + lost
            alive = left

    keep(table["id"] >= 0, "without experiment")
    if kind == "scale":
        good = ~table.has_flags(BAD_FOR_SCALING, all=False) & table.has_flags(Flag.SCALED)
        keep(good & (table["inverse_scale_factor"] > 0), "not scaled, outliers or excluded")
    if "prf" in names:
        keep(table.has_flags(Flag.INTEGRATED_PRF), "not profile-fitted")
    if "sum" in names:
        keep(table.has_flags(Flag.INTEGRATED_SUM), "not summed")
    for name in names:
        keep(
            is_measured(table[f"intensity.{name}.value"], table[f"intensity.{name}.variance"]), "variance not positive"
        )
    if min_isigi is not None:
        for name in names:
            with np.errstate(invalid="ignore", divide="ignore"):
                ratio = table[f"intensity.{name}.value"] / np.sqrt(table[f"intensity.{name}.variance"])
                keep(ratio >= min_isigi, f"I/sigma below {min_isigi}")
    if "qe" in table:
        keep(table["qe"] > 0, "efficiency not positive")
    return table if alive.all() else table.select(alive)


def is_measured(value: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """(n,) bool: an intensity with a positive variance, both of a size that sums of their squares can hold."""
    return np.asarray((np.abs(value) < LARGEST) & (variance > SMALLEST) & (variance < LARGEST))


def _factor(table: ReflectionTable, name: str) -> np.ndarray:
    """(n,) float64: what makes the intensity `name` comparable; 0 where a correction is not positive."""
    if name == "scale":
        inverse = table["inverse_scale_factor"]
        return np.where(inverse > SMALLEST, 1.0 / np.maximum(inverse, SMALLEST), 0.0)
    factor = np.asarray(table["lp"], np.float64).copy() if "lp" in table else np.ones(len(table))
    divisors = [c for c in ("qe", "partiality") if c in table and (c == "qe" or name == "sum")]
    for column in divisors:
        values = table[column]
        factor = np.where(values > SMALLEST, factor / np.maximum(values, SMALLEST), 0.0)
    return factor


def _choose(table: ReflectionTable, intensity: str) -> str:
    if intensity not in KINDS:
        raise UserError(f"intensity={intensity}: choose one of {', '.join(KINDS)}")
    if intensity == "auto":
        if is_scaled(table):
            return "scale"
        if "intensity.prf.value" in table and np.any(table.has_flags(Flag.INTEGRATED_PRF)):
            return "profile+sum"
        intensity = "sum"
    needed = {"scale": "intensity.scale.value", "sum": "intensity.sum.value"}.get(intensity, "intensity.prf.value")
    if needed not in table:
        step = "spindle scale" if intensity == "scale" else "spindle integrate"
        raise UserError(f"intensity={intensity}: the reflections have no column {needed}; run {step} first")
    return intensity


def combine_parts(table: ReflectionTable, stems: list[str]) -> ReflectionTable:
    """Join the rows that share a `partial_id` within an experiment.

    Values and variances of summed `stems` ("intensity.sum"), background sums and partialities are added. A profile that was fitted to
    a part tells the whole intensity, so that those of "intensity.prf" are means weighted by the partiality, and so are their
    variances, since what parts have in common, the profile, is most of their error; positions are such means, too. Everything else is
    that of the first part.
    """
    key = table.peek("partial_id").astype(np.int64)
    key += table.peek("id").astype(np.int64) << 40
    if len(key) < 2 or bool(np.all(key[1:] > key[:-1])):  # as integration writes them
        return table
    unique, first, inverse, counts = np.unique(key, return_index=True, return_inverse=True, return_counts=True)
    if len(unique) == len(table):
        return table
    weight = table["partiality"] if "partiality" in table else np.ones(len(table))
    result = table.select(first)
    added = [f"{s}.{v}" for s in [*stems, "background.sum"] for v in ("value", "variance")] + ["partiality"]
    for name in added:
        if name in table:
            result[name] = np.bincount(inverse, table[name], len(unique))
    total = np.bincount(inverse, weight, len(unique))
    several = (counts > 1) & (total > 0)
    for name in added:
        if name in table and name.startswith("intensity.prf."):
            mean = np.bincount(inverse, weight * table[name], len(unique))
            result[name] = np.where(several, mean / np.where(total > 0, total, 1.0), result[name])
    for name in ("xyzobs.px.value", "xyzobs.mm.value"):
        if name in table:
            mean = np.stack([np.bincount(inverse, weight * table[name][:, i], len(unique)) for i in range(3)], axis=1)
            result[name] = np.where(several[:, None], mean / np.where(total > 0, total, 1.0)[:, None], result[name])
    return result
