"""How much each data set, or group of images, adds to CC1/2.

CC1/2 is calculated without random halves from the variance of the mean intensities and their mean error (sigma-tau).
Assmann, Brehm & Diederichs (2016), J. Appl. Cryst. 49, 1021-1028.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spindle.models import Experiments
from spindle_lib_image_ranges import ImageRange

__all__ = ["Units", "delta_cc_half", "from_the_ends", "image_groups", "shells_of_equal_steps", "whole_sets"]


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
    intensity: np.ndarray,
    group: np.ndarray,
    shell: np.ndarray,
    unit: np.ndarray,
    n_units: int,
    n_shells: int = 10,
) -> tuple[float, np.ndarray]:
    """CC1/2 of all data, and how much of it each unit adds.

    Parameters
    ----------
    intensity : (n,) float64
        Scaled intensities.
    group, shell, unit : (n,) int64
        Unique reflection, resolution shell of that reflection, and unit of each observation.
    n_units, n_shells : int

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
    whole = _shell_sums(sums, shell_of, np.arange(n_groups), n_shells)
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
        changed = (
            whole
            - _shell_sums(before, shells, slice(None), n_shells)
            + _shell_sums(after, shells, slice(None), n_shells)
        )
        delta[k] = total - _mean_cc(changed)
    return total, delta


def _shell_sums(sums: Sequence[np.ndarray], shell: np.ndarray, rows: Any, n_shells: int) -> np.ndarray:
    """(4, shells) float64: reflections measured more than once, sums of their means, squared means, error variances."""
    n, first, second = (s[rows] for s in sums)
    use = n > 1.5
    n, first, second, where = n[use], first[use], second[use], shell[use]
    mean = first / n
    error = np.maximum(second - n * mean**2, 0.0) / (n - 1) / n
    return np.stack(
        [np.bincount(where, w, n_shells) for w in (np.ones(len(n)), mean, mean**2, error)]
    )  # fmt: skip


def _mean_cc(sums: np.ndarray) -> float:
    """CC1/2 of each shell, averaged."""
    n, mean, square, error = sums
    use = n > 1.5
    if not use.any():
        return float("nan")
    n, mean, square, error = n[use], mean[use], square[use], error[use]
    signal = (square - mean**2 / n) / (n - 1)
    noise = error / n
    cc = (signal - noise) / np.maximum(signal + noise, 1e-300)
    return float((n * cc).sum() / n.sum())


def image_groups(experiments: Experiments, rows_of: Sequence[slice | np.ndarray], z: np.ndarray, size: int) -> Units:
    """Groups of `size` images of every data set; what is left over at its end belongs to the last.

    Parameters
    ----------
    experiments : Experiments
    rows_of : sequence of slice or array of int
        Observations of each.
    z : (n,) float64
        Array index at which each observation was made.
    size : int
    """
    image = np.floor(z).astype(np.int64)
    unit = np.zeros(len(z), dtype=np.int64)
    ranges: list[ImageRange] = []
    for k, experiment in enumerate(experiments):
        rows = rows_of[k]
        if experiment.scan is None or experiment.scan.is_still:
            unit[rows] = len(ranges)
            ranges.append(ImageRange(k, 1, 1))
            continue
        first, last = experiment.scan.image_range
        n = max(1, (last - first + 1) // size)
        unit[rows] = len(ranges) + np.clip((image[rows] - (first - 1)) // size, 0, n - 1)
        ranges += [
            ImageRange(k, first + i * size, last if i == n - 1 else first + (i + 1) * size - 1) for i in range(n)
        ]
    return Units(unit, ranges)


def whole_sets(experiments: Experiments, number: np.ndarray) -> Units:
    """Every data set as one unit; `number` (n,) says which each observation belongs to."""
    ranges = [ImageRange(k, *(e.scan.image_range if e.scan is not None else (1, 1))) for k, e in enumerate(experiments)]
    return Units(np.asarray(number, dtype=np.int64), ranges)


def shells_of_equal_steps(
    d: np.ndarray, n_shells: int, d_min: float | None = None, d_max: float | None = None
) -> np.ndarray:
    """Shell of each resolution, (n,) int64, in equal steps of 1/d^2 from d_max to d_min, by default those of the data.

    Outside them it is -1 or `n_shells`.
    """
    x = 1.0 / np.asarray(d, dtype=np.float64) ** 2
    low = x.min() if d_max is None else d_max**-2
    high = x.max() if d_min is None else d_min**-2
    if high < low:
        return np.full(len(x), -1)
    place = np.floor(np.clip(n_shells * (x - low) / max(high - low, 1e-300) + 1e-9, -1, n_shells)).astype(np.int64)
    return np.where(np.isclose(x, high, rtol=1e-9, atol=0), n_shells - 1, place)


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
