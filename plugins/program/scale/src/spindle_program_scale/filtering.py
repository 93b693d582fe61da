"""Removal of data sets, or of groups of images, that lower CC1/2.

CC1/2 is calculated without random halves from the variance of the mean intensities and their mean error (sigma-tau).
Assmann, Brehm & Diederichs (2016), J. Appl. Cryst. 49, 1021-1028.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spindle.errors import UserError
from spindle.models import Experiments
from spindle.report import Table
from spindle.table import Flag, ReflectionTable
from spindle_lib_image_ranges import ImageRange
from spindle_lib_merging import merging_statistics, resolution_shells, shell_numbers

from .course import Scaled, scale_once
from .params import ScaleParams
from .rounds import Scaler

RESOLUTION_BINS = 10


@dataclass(slots=True)
class Units:
    """What may be removed.

    Attributes
    ----------
    unit : (n,) int64
        Unit of each observation.
    ranges : list of ImageRange
        Image numbers of each unit.
    """

    unit: np.ndarray
    ranges: list[ImageRange]


def delta_cc_half(
    intensity: np.ndarray, group: np.ndarray, shell: np.ndarray, unit: np.ndarray, n_units: int
) -> tuple[float, np.ndarray]:
    """CC1/2 of all data, and how much of it each unit adds.

    Parameters
    ----------
    intensity : (n,) float64
        Scaled intensities.
    group, shell, unit : (n,) int64
        Unique reflection, resolution shell of that reflection, and unit of each observation.
    n_units : int

    Returns
    -------
    float
        Mean over the shells, weighted by reflections.
    (n_units,) float64
        CC1/2 of all data minus CC1/2 without the unit: negative where the unit does harm.
    """
    n_groups = int(group.max()) + 1
    shell_of = np.zeros(n_groups, dtype=np.int64)
    shell_of[group] = shell
    sums = [np.bincount(group, intensity**k, n_groups) for k in range(3)]
    whole = _shell_sums(sums, shell_of, np.arange(n_groups))
    total = _mean_cc(whole)
    order = np.argsort(unit, kind="stable")
    bounds = np.searchsorted(unit[order], np.arange(n_units + 1))
    delta = np.zeros(n_units)
    for k in range(n_units):
        rows = order[bounds[k] : bounds[k + 1]]
        touched, place = np.unique(group[rows], return_inverse=True)
        if len(touched) == 0:
            continue
        before = [s[touched] for s in sums]
        after = [s - np.bincount(place, intensity[rows] ** p, len(touched)) for p, s in enumerate(before)]
        shells = shell_of[touched]
        changed = whole - _shell_sums(before, shells, slice(None)) + _shell_sums(after, shells, slice(None))
        delta[k] = total - _mean_cc(changed)
    return total, delta


def _shell_sums(sums: Sequence[np.ndarray], shell: np.ndarray, rows: Any) -> np.ndarray:
    """(4, shells) float64: reflections measured more than once, sums of their means, squared means, error variances."""
    n, first, second = (s[rows] for s in sums)
    use = n > 1.5
    n, first, second, where = n[use], first[use], second[use], shell[use]
    mean = first / n
    error = np.maximum(second - n * mean**2, 0.0) / (n - 1) / n
    return np.stack(
        [np.bincount(where, w, RESOLUTION_BINS) for w in (np.ones(len(n)), mean, mean**2, error)]
    )  # fmt: skip


def _mean_cc(sums: np.ndarray) -> float:
    """CC1/2 of each shell, averaged."""
    n, mean, square, error = sums
    use = n > 2.5
    if not use.any():
        return float("nan")
    n, mean, square, error = n[use], mean[use], square[use], error[use]
    signal = (square - mean**2 / n) / (n - 1)
    noise = error / n
    cc = (signal - noise) / np.maximum(signal + noise, 1e-300)
    return float((n * cc).sum() / n.sum())


def image_groups(scaler: Scaler, experiments: Experiments, table: ReflectionTable, size: int) -> Units:
    """Groups of `size` images of every data set."""
    obs = scaler.obs
    z = np.floor(table.peek("xyzobs.px.value")[obs.rows, 2]).astype(np.int64)
    unit = np.zeros(len(obs), dtype=np.int64)
    ranges: list[ImageRange] = []
    for k, experiment in enumerate(experiments):
        rows = slice(obs.bounds[k], obs.bounds[k + 1])
        if experiment.scan is None or experiment.scan.is_still:
            unit[rows] = len(ranges)
            ranges.append(ImageRange(k, 1, 1))
            continue
        first, last = experiment.scan.image_range
        n = max(1, (last - first + 1) // size)
        unit[rows] = len(ranges) + np.clip((z[rows] - (first - 1)) // size, 0, n - 1)
        ranges += [
            ImageRange(k, first + i * size, last if i == n - 1 else first + (i + 1) * size - 1) for i in range(n)
        ]
    return Units(unit, ranges)


def whole_sets(scaler: Scaler, experiments: Experiments) -> Units:
    """Every data set as one unit."""
    ranges = [ImageRange(k, *(e.scan.image_range if e.scan is not None else (1, 1))) for k, e in enumerate(experiments)]
    return Units(scaler.obs.number.copy(), ranges)


def from_the_ends(bad: np.ndarray, ranges: list[ImageRange], gone: set[ImageRange]) -> np.ndarray:
    """(n,) bool: the bad image groups that are at an end of what is left of their sweep."""
    keep = np.zeros(len(bad), dtype=bool)
    for k in {r[0] for r in ranges}:
        units = [i for i, r in enumerate(ranges) if r[0] == k]
        for sequence in (units, units[::-1]):
            for i in sequence:
                if ranges[i] in gone:
                    continue
                if not bad[i]:
                    break
                keep[i] = True
    return keep


def scale_and_filter(
    experiments: Experiments,
    table: ReflectionTable,
    params: ScaleParams,
    context: Any,
    exclusions: Sequence[ImageRange],
) -> tuple[Scaled, dict[str, Any]]:
    """Scale, remove what lowers CC1/2, scale again, until nothing more is to be removed.

    Returns
    -------
    Scaled
    dict
        What happened in each cycle.
    """
    options = params.filtering.deltacchalf
    images = options.mode == "image_group"
    if not images and len(experiments) < 2:
        raise UserError("filtering.method=deltacchalf: one data set cannot be judged as a whole; use mode=image_group")
    excluded = list(exclusions)
    gone: set[ImageRange] = set()
    cycles: list[dict[str, Any]] = []
    names = [e.identifier for e in experiments]
    scaled = scale_once(experiments, table, params, context, excluded)
    n_start = int(scaled.table.has_flags(Flag.SCALED).sum())
    removed_so_far, reason = 0, "max_cycles"
    for cycle in range(1, options.max_cycles + 1):
        scaler = scaled.scaler
        units = (
            image_groups(scaler, scaled.experiments, scaled.table, options.group_size)
            if images
            else whole_sets(scaler, scaled.experiments)
        )
        mean_cc, delta = _judge(scaled, units)
        present = np.array([r not in gone for r in units.ranges])
        spread = delta[present].std()
        bad = present & (delta < delta[present].mean() - options.stdcutoff * spread)
        if images:
            bad = from_the_ends(bad, units.ranges, gone)
        rows = [
            [*r, 100 * float(x), "removed" if b else ""] for r, x, b in zip(units.ranges, delta, bad) if r not in gone
        ]
        context.table(
            Table(
                f"Cycle {cycle}: CC1/2 {100 * mean_cc:.3f} % and what each part adds",
                ["Data set", "First image", "Last image", "Delta CC1/2 (%)", ""], rows, f"delta_cc_half_{cycle}",
            )
        )  # fmt: skip
        n_removed = int((bad[units.unit] & ~scaler.obs.outlier).sum())
        percent = 100.0 * (removed_so_far + n_removed) / max(n_start, 1)
        record: dict[str, Any] = {
            "cycle": cycle, "n_removed": n_removed, "cumul_percent_removed": percent, "mean_cc_half": 100 * mean_cc,
            "delta_cc_half_values": (100 * delta[present]).tolist(),
        }  # fmt: skip
        if not bad.any():
            reason = "no_more_removed"
            cycles.append(record)
            break
        if percent > options.max_percent_removed:
            reason = "max_percent_removed"
            cycles.append({**record, "n_removed": 0, "cumul_percent_removed": 100.0 * removed_so_far / max(n_start, 1)})
            break
        if images:
            chosen = [units.ranges[i] for i in np.flatnonzero(bad)]
            gone.update(chosen)
            excluded += chosen
            record["removed_ranges"] = [list(r) for r in chosen]
        else:
            kept = np.flatnonzero(~bad)
            record["removed_datasets"] = [names[i] for i in np.flatnonzero(bad)]
            experiments, table, excluded = _without(experiments, table, excluded, kept)
            names = [names[i] for i in kept]
        removed_so_far += n_removed
        scaled = scale_once(experiments, table, params, context, excluded)
        record["merging_stats"], completeness = _statistics(scaled)
        cycles.append(record)
        if options.min_completeness is not None and 100 * completeness < options.min_completeness:
            reason = "below_completeness_limit"
            break
    context.log.info("filtering ended: %s", reason.replace("_", " "))
    return scaled, {"termination_reason": reason, "cycles": cycles}


def _judge(scaled: Scaled, units: Units) -> tuple[float, np.ndarray]:
    obs = scaled.scaler.obs
    good = ~obs.outlier
    first = obs.groups.order[obs.groups.offsets[:-1]]
    d = obs.d[first]
    shell = np.clip(shell_numbers(d, resolution_shells(d, RESOLUTION_BINS)), 0, RESOLUTION_BINS - 1)
    group = obs.groups.index[good]
    return delta_cc_half((obs.intensity / obs.g)[good], group, shell[group], units.unit[good], len(units.ranges))


def _without(
    experiments: Experiments, table: ReflectionTable, excluded: list[ImageRange], kept: np.ndarray
) -> tuple[Experiments, ReflectionTable, list[ImageRange]]:
    """Only the data sets `kept`, renumbered."""
    new = np.full(len(experiments), -1, dtype=np.int32)
    new[kept] = np.arange(len(kept))
    ids = new[table["id"]]
    smaller = table.select(ids >= 0)
    smaller["id"] = ids[ids >= 0]
    experiments = Experiments(experiments[int(k)] for k in kept)
    smaller.identifiers = dict(experiments.identifiers)
    return experiments, smaller, [ImageRange(int(new[k]), a, b) for k, a, b in excluded if new[k] >= 0]


def _statistics(scaled: Scaled) -> tuple[dict[str, Any], float]:
    table = scaled.table
    good = table.has_flags(Flag.SCALED)
    g = table["inverse_scale_factor"][good]
    crystal = scaled.experiments[0].crystal
    assert crystal is not None
    overall = merging_statistics(
        table.peek("miller_index")[good], table["intensity.scale.value"][good] / g,
        table["intensity.scale.variance"][good] / g**2, crystal.cell, crystal.space_group, 10,
    ).overall  # fmt: skip
    return overall.as_dict(), overall.completeness
