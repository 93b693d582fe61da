"""The observations of all data sets as arrays, with what the filters made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from spindle.contracts.scaling import ScalingObservations
from spindle.errors import ModelError, ParameterError
from spindle.geometry import rotate_about
from spindle.models import Experiment, Experiments
from spindle.table import Flag, ReflectionTable
from spindle_lib_image_ranges import ImageRange, on_excluded_images
from spindle_lib_merging import Groups, group_equivalents, is_measured, resolution_of

from .params import ScaleParams

#: Observations whose directions are turned together.
ROWS = 2**17


@dataclass(slots=True)
class Observations:
    """Observations that get a scale factor, those of one data set next to each other.

    Attributes
    ----------
    rows : (n,) int32, or int64 for larger tables
        Row of the reflection table.
    number : (n,) int32
        Data set.
    bounds : (n_sets + 1,) int64
        Data set k has the observations ``bounds[k]`` to ``bounds[k + 1]``.
    profile, profile_variance, summed, summed_variance : (n,) float64
        Corrected intensities; NaN where there is none.
    raw_sum : (n,) float64
        Summed counts.
    factor : (n,) float64
        lp / qe.
    d, partiality : (n,) float64
    near_axis : (n,) bool
        |zeta| is below ``reflection_selection.min_zeta``.
    intensity, variance : (n,) float64
        The intensity in use, not divided by the scale factor; variance of integration.
    groups : Groups
    outlier : (n,) bool
    g : (n,) float64
        Inverse scale factors.
    expected_counts : (n,) float64, or (0,) where no data set has any
        Mean counts that variances of integration are made of; 0 or less where they are not.
    made_of : (n,) float64, or (0,)
        Counts that the variance in use holds; negative where that is unknown.
    """

    rows: np.ndarray
    number: np.ndarray
    bounds: np.ndarray
    profile: np.ndarray
    profile_variance: np.ndarray
    summed: np.ndarray
    summed_variance: np.ndarray
    raw_sum: np.ndarray
    factor: np.ndarray
    d: np.ndarray
    near_axis: np.ndarray
    partiality: np.ndarray
    intensity: np.ndarray
    variance: np.ndarray
    groups: Groups
    outlier: np.ndarray
    g: np.ndarray
    expected_counts: np.ndarray = field(default_factory=lambda: np.zeros(0))
    made_of: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def __len__(self) -> int:
        return len(self.rows)

    def settle(self) -> None:
        """Forget the kinds of intensity between which has been chosen."""
        nothing = np.zeros(0)
        self.profile = self.profile_variance = self.summed = self.summed_variance = self.raw_sum = nothing
        self.expected_counts = nothing

    @property
    def n_sets(self) -> int:
        """Number of data sets."""
        return len(self.bounds) - 1


@dataclass(slots=True)
class Filtered:
    """What the filters say about every row of the table."""

    user_excluded: np.ndarray
    excluded: np.ndarray
    counts: dict[str, int]


def correction_factor(table: ReflectionTable) -> np.ndarray:
    """lp / qe per reflection, (n,) float64; a missing column counts as 1."""
    factor = np.array(table.peek("lp"), dtype=np.float64) if "lp" in table else np.ones(len(table))
    if "qe" in table:
        factor = factor / np.where(table.peek("qe") > 0, table.peek("qe"), np.inf)
    return factor


def factor_of_sums(table: ReflectionTable) -> np.ndarray:
    """`correction_factor` of summed intensities, (n,) float64, which are of the recorded part of a reflection."""
    factor = correction_factor(table)
    if "partiality" in table:
        partiality = table.peek("partiality")
        factor = factor / np.where(partiality > 0, partiality, 1.0)
    return factor


def apply_filters(
    table: ReflectionTable, params: ScaleParams, d: np.ndarray, exclusions: Sequence[ImageRange]
) -> Filtered:
    """Find the reflections that are not scaled, and why."""
    flags = table.peek("flags").astype(np.uint64)
    choice = params.reflection_selection.intensity_choice
    counts: dict[str, int] = {}
    has_profile, has_sum = usable_kinds(table, flags)
    integrated = {"profile": has_profile, "sum": has_sum, "combine": has_profile | has_sum}[choice]
    excluded = ~integrated
    counts["not integrated, or without positive variance"] = int(excluded.sum())
    cut = params.cut_data
    if cut.partiality_cutoff is not None and "partiality" in table:
        low = table.peek("partiality") < cut.partiality_cutoff
        counts[f"partiality < {cut.partiality_cutoff:g}"] = int((low & ~excluded).sum())
        excluded |= low
    if cut.min_isigi is not None:
        weak = np.zeros(len(table), bool)
        for has, names in ((has_profile, ("prf",)), (has_sum, ("sum",))):
            if not has.any():
                continue
            value, variance = table.peek(f"intensity.{names[0]}.value"), table.peek(f"intensity.{names[0]}.variance")
            weak |= has & (value < cut.min_isigi * np.sqrt(np.maximum(variance, 0)))
        counts[f"I/sigma < {cut.min_isigi:g}"] = int((weak & ~excluded).sum())
        excluded |= weak
    user = np.zeros(len(table), bool)
    if cut.d_min and cut.d_max and cut.d_min >= cut.d_max:
        raise ParameterError(
            f"d_min={cut.d_min:g} and d_max={cut.d_max:g}: d_min, the high resolution limit, is the smaller of the two"
        )
    if cut.d_min is not None:
        user |= d < cut.d_min
    if cut.d_max is not None:
        user |= d > cut.d_max
    if exclusions:
        user |= on_excluded_images(table, exclusions, "xyzobs.px.value")
    counts["excluded by the user (resolution, images)"] = int((user & ~excluded).sum())
    return Filtered(user, excluded, counts)


def usable_kinds(table: ReflectionTable, flags: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n,) bool each: a profile-fitted, a summed intensity of positive variance."""
    found = []
    indexed = np.any(table.peek("miller_index") != 0, axis=1) & (table.peek("id") >= 0)
    for flag, name in ((Flag.INTEGRATED_PRF, "prf"), (Flag.INTEGRATED_SUM, "sum")):
        has = indexed & ((flags & np.uint64(int(flag))) != 0)
        if f"intensity.{name}.value" in table:
            has &= is_measured(table.peek(f"intensity.{name}.value"), table.peek(f"intensity.{name}.variance"))
        else:
            has &= False
        found.append(has)
    if "qe" in table:
        found = [has & (table.peek("qe") > 0) for has in found]
    factor, of_sums = correction_factor(table), factor_of_sums(table)
    return found[0] & is_measured(factor, factor), found[1] & is_measured(of_sums, of_sums)


def resolution_column(experiments: Experiments, table: ReflectionTable, params: ScaleParams) -> np.ndarray:
    """(n,) float64: resolution of every row."""
    cell = params.reflection_selection.best_unit_cell
    if cell is not None:
        return resolution_of(table.peek("miller_index"), np.asarray(cell, dtype=float))
    if "d" in table and len(table) and np.all(table.peek("d") > 0):
        return np.asarray(table.peek("d"), dtype=np.float64)
    d = np.zeros(len(table))
    for number, rows in table.rows_by_experiment().items():
        d[rows] = resolution_of(table.peek("miller_index", rows), experiments[number].known_crystal.cell)
    return d


def collect(
    experiments: Experiments, table: ReflectionTable, filtered: Filtered, params: ScaleParams, d: np.ndarray
) -> Observations:
    """The observations that passed the filters."""
    flags = table.peek("flags").astype(np.uint64)
    rows = np.flatnonzero(~(filtered.excluded | filtered.user_excluded))
    rows = rows[np.argsort(table.peek("id")[rows], kind="stable")]
    if len(rows) == 0:
        reasons = ", ".join(f"{n} {reason}" for reason, n in filtered.counts.items() if n)
        raise ModelError(
            f"scale: none of the {len(table)} reflections can be scaled ({reasons}); see cut_data and exclude_images"
        )
    number = table.peek("id")[rows].astype(np.int32, copy=False)
    bounds = np.searchsorted(number, np.arange(len(experiments) + 1))
    empty = [k for k in range(len(experiments)) if bounds[k] == bounds[k + 1]]
    if empty:
        raise ModelError(
            f"scale: data set {empty[0]} has no usable reflection; leave it out with "
            f"dataset_selection.exclude_datasets={empty[0]}"
        )
    has_profile, has_sum = usable_kinds(table, flags)
    factor = correction_factor(table)
    partiality = np.asarray(table.peek("partiality"), float) if "partiality" in table else np.ones(len(table))
    columns = {}
    for name, has, scale in (
        ("prf", has_profile, factor),
        ("sum", has_sum, factor_of_sums(table)),
    ):
        if f"intensity.{name}.value" in table:
            value = np.where(has, table.peek(f"intensity.{name}.value") * scale, np.nan)[rows]
            variance = np.where(has, table.peek(f"intensity.{name}.variance") * scale**2, np.nan)[rows]
        else:
            value, variance = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
        columns[name] = (value, variance)
    raw_sum = (
        np.asarray(table.peek("intensity.sum.value"), float)[rows]
        if "intensity.sum.value" in table
        else np.zeros(len(rows))
    )
    groups = group_equivalents(
        table.peek("miller_index")[rows], experiments[0].known_crystal.space_group, params.anomalous is True
    )
    near_axis = np.zeros(len(rows), bool)
    if "zeta" in table:
        near_axis = np.abs(table.peek("zeta")[rows]) < params.reflection_selection.min_zeta
    nothing = np.zeros(len(rows))
    known = "expected_counts" in table and bool((table.peek("expected_counts")[rows] > 0).any())
    counts = np.asarray(table.peek("expected_counts"), np.float64)[rows] if known else np.zeros(0)
    return Observations(
        rows.astype(np.int32 if len(table) < 2**31 else np.int64), number, bounds.astype(np.int64), *columns["prf"], *columns["sum"], raw_sum, factor[rows], d[rows], near_axis,
        partiality[rows], nothing, nothing, groups, np.zeros(len(rows), bool), np.ones(len(rows)), counts,
    )  # fmt: skip


def scaling_observations(
    experiment: Experiment, table: ReflectionTable, rows: np.ndarray, d: np.ndarray
) -> ScalingObservations:
    """What a scaling model of one data set gets; `d` is that of the rows."""
    n = len(rows)
    beam, goniometer, scan = experiment.beam, experiment.goniometer, experiment.scan
    source, diffracted = np.empty((n, 3)), np.empty((n, 3))
    source[:] = -beam.s0 / np.linalg.norm(beam.s0)
    image, image_observed = np.zeros(n), np.zeros(n)
    rotated = goniometer is not None and scan is not None and not scan.is_still
    if rotated:
        place = "xyzobs.px.value" if "xyzobs.px.value" in table else "xyzcal.px"
        image, image_observed = (np.asarray(table[name][rows, 2], np.float64) for name in ("xyzcal.px", place))
    for start in range(0, n, ROWS):
        here = slice(start, min(start + ROWS, n))
        s1 = np.asarray(table["s1"][rows[here]], dtype=np.float64)
        diffracted[here] = s1 / np.linalg.norm(s1, axis=1, keepdims=True)
        if goniometer is not None and scan is not None and rotated:
            phi = np.ascontiguousarray(scan.angle_from_array_index(image[here]))
            axis = np.array(goniometer.rotation_axis)
            for v in (source, diffracted):
                turned = np.ascontiguousarray(v[here] @ goniometer.setting_rotation)
                v[here] = rotate_about(turned, axis, -phi) @ goniometer.fixed_rotation
    position = np.asarray(table["xyzcal.px"][rows, :2], dtype=np.float64)
    return ScalingObservations(
        d, image, image_observed, source, diffracted, position, table["panel"][rows].astype(np.int64)
    )
