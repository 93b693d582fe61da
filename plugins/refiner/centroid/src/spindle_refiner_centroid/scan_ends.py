"""Spots whose rocking curves are cut by the ends of what was searched for spots."""

from __future__ import annotations

import numpy as np

from spindle.models import Experiments, Scan
from spindle.table import ReflectionTable

from .selection import observed_rays, spindle_products
from .target import Observations

#: So many spots on an image on average make one without any an image that was not searched: by chance one in 10,000 is.
PLENTY_ON_AN_IMAGE = 10
#: Narrower curves of spots near the spindle are not told from their length.
LEAST_ZETA = 0.1
#: The longest are of several spots.
LONGEST_PART = 0.01
#: Whole spots of an experiment, as a number and as a part, that tell its angles; with fewer the edges of the cut ones help.
FEWEST_WHOLE, LEAST_WHOLE = 40, 0.4
#: By which part of themselves half widths differ between strong and weak spots; 0.3 does as well with simulated spots, and worse with real ones.
SPREAD = 0.6


class ScanEnds:
    """Where searched images begin and end, and how far from there rocking curves are whole.

    Parameters
    ----------
    experiments : Experiments
        Scans.
    table : ReflectionTable
        Without ``bbox`` nothing is known about rocking curves, and no spot is told of as cut.
    observations : Observations
        All that have an experiment.

    Notes
    -----
    Spots are whole as many whole images away from an end as cover half the width of their curve: the positions of spots that touch one
    image only are right on average over it, not over a part. Where a spot is cut is told by its calculated position, since observed ones move away from the end.
    Cut ones tell angles only where too few are whole, and then by the images on which their curves begin or end, not by their means.
    """

    def __init__(self, experiments: Experiments, table: ReflectionTable, observations: Observations) -> None:
        self._short: set[int] = set()
        self._scans = [e.known_scan for e in experiments]
        self._widths = np.array([scan.oscillation[1] for scan in self._scans])
        self._ends: list[np.ndarray] = [np.zeros(0) for _ in experiments]
        n_rows = len(table) if "bbox" in table else 0
        self._reach, self._half = np.zeros(n_rows), np.zeros(n_rows)
        self._box = table.peek("bbox") if "bbox" in table else np.zeros((0, 6), dtype=np.int32)
        if "bbox" not in table:
            return
        low, high = table["bbox"][observations.rows, 4:].T
        zeta = _zeta(experiments, observations)
        for scan in experiments.unique("scan"):
            users = experiments.indices_with("scan", scan)
            own = np.flatnonzero(np.isin(observations.experiment, users) & (high > low))
            ends = searched_ends(scan, low[own], high[own])
            for i in users:
                self._ends[i] = ends
            half = half_width(high[own] - low[own], zeta[own], ends)
            rows = observations.rows[own]
            self._half[rows] = half / np.maximum(zeta[own], LEAST_ZETA)
            self._reach[rows] = np.ceil(half / np.maximum(zeta[own], 1e-6))

    def cut(self, observations: Observations, residuals: np.ndarray) -> np.ndarray:
        """Which spots are cut, as models that leave certain residuals predict them.

        Parameters
        ----------
        observations : Observations
        residuals : (n, 3) float64
            Calculated minus observed; radians in the last column.

        Returns
        -------
        (n,) bool
        """
        out = np.zeros(len(observations), dtype=bool)
        self._short.clear()
        if not len(self._reach):
            return out
        z = observations.z + residuals[:, 2] / self._widths[observations.experiment]
        reach = self._reach[observations.rows]
        for i, ends in enumerate(self._ends):
            own = slice(None) if len(self._ends) == 1 else np.flatnonzero(observations.experiment == i)
            cut = near(z[own], ends, reach[own])
            out[own] = cut
            if np.count_nonzero(~cut) < max(FEWEST_WHOLE, LEAST_WHOLE * len(cut)):
                self._short.add(i)
        return out

    def weigh_angles(self, observations: Observations, cut: np.ndarray) -> None:
        """Give the angles of spots that are cut no weight; where too few were whole when `cut` was called last, exchange them for what the images
        tell on which their curves begin or end.

        Parameters
        ----------
        observations : Observations
            Angles and their weights are changed in place.
        cut : (m,) int
            Which of them are cut.
        """
        for i in np.unique(observations.experiment[cut]).tolist():
            own = cut[observations.experiment[cut] == i]
            if i not in self._short:
                observations.weights[own, 2] = 0.0
                continue
            low, high = self._box[observations.rows[own], 4:].T.astype(np.float64)
            z, (start, stop) = observations.z[own], stretch_of(low, self._ends[i])
            # What begins and ends within the images is seen as a whole.
            is_part = (z >= low) & (z <= high) & ((low <= start) | (high >= stop))
            own, low, high = own[is_part], low[is_part], high[is_part]
            rows = observations.rows[own]
            z, variance = place_from_edges(low, high, self._half[rows], self._reach[rows], self._ends[i])
            told = np.isfinite(variance)
            observations.observed[own[told], 2] = self._scans[i].angle_from_array_index(z[told])
            weights = 1.0 / (variance * self._widths[i] ** 2)
            observations.weights[own, 2] = np.minimum(weights, observations.weights[own, 2])


def place_from_edges(
    low: np.ndarray, high: np.ndarray, half: np.ndarray, reach: np.ndarray, ends: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Where curves of a half width (n,) lie that touch the images from `low` to `high` (n,), nearer than `reach` (n,) to one of the ends.

    Returns
    -------
    z, variance : (n,) float64
        Infinite variance where there is no such place. That of even chances between the places allowed, and of the half width.
    """
    start, stop = stretch_of(low, ends)
    first = np.maximum(np.where(low > start, low + half, -np.inf), high - 1 - half)
    last = np.minimum(np.where(high < stop, high - half, np.inf), low + 1 + half)
    # Only of those near an end is there anything to tell.
    late = high >= stop
    first = np.where(late & (low > start), np.maximum(first, stop - reach), first)
    last = np.where(~late & (low <= start), np.minimum(last, start + reach), last)
    length = last - first
    variance = np.where(length > 0, np.maximum(length, 0.1) ** 2 / 12 + (SPREAD * half) ** 2, np.inf)
    return 0.5 * (first + last), variance


def stretch_of(low: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the searched stretches begin and end, (n,) each, in which spots begin at `low` (n,)."""
    stretch = np.clip((np.searchsorted(ends, low, side="right") - 1) // 2, 0, len(ends) // 2 - 1)
    return ends[2 * stretch], ends[2 * stretch + 1]


def searched_ends(scan: Scan, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Array indices where images begin or end that were searched, in order.

    Parameters
    ----------
    scan : Scan
    low, high : (n,) int
        Where the spots of the scan begin and end.
    """
    z0, z1 = scan.array_range
    steps = np.zeros(z1 - z0 + 1, dtype=np.int64)
    np.add.at(steps, np.clip(low, z0, z1) - z0, 1)
    np.add.at(steps, np.clip(high, z0, z1) - z0, -1)
    spots = np.cumsum(steps[:-1])
    is_searched = (spots > 0) | (spots.mean() < PLENTY_ON_AN_IMAGE)
    return z0 + np.flatnonzero(np.diff(np.concatenate([[False], is_searched, [False]])))


def half_width(lengths: np.ndarray, zeta: np.ndarray, ends: np.ndarray) -> float:
    """Half the width of rocking curves where zeta is 1, in images.

    Parameters
    ----------
    lengths : (n,) int
        Images that spots touch.
    zeta : (n,) float64
        Not negative.
    ends : (2 m,) int
        Of the searched stretches.

    Notes
    -----
    Curves of width w touch w + 1 images of an endless scan on average. Of n images, which fewer have whole, spots touch l = n (w + 1) / (n + w).
    """
    told = zeta > LEAST_ZETA
    if not told.any() or not len(ends):
        return 0.0
    lengths, excess = lengths[told], (lengths[told] - 1) * zeta[told]
    ordinary = excess <= np.quantile(excess, 1 - LONGEST_PART)
    n = np.diff(ends)[::2].mean()
    return float(0.5 * excess[ordinary].mean() * n / max(n - lengths[ordinary].mean(), 1e-6))


def near(z: np.ndarray, ends: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """(n,) bool: array indices z (n,) that are outside of the stretches between ends (m,), or nearer to an end than `reach` (n,)."""
    if not len(ends):
        return np.zeros(len(z), dtype=bool)
    after = np.searchsorted(ends, z, side="right")
    left = z - ends[np.maximum(after - 1, 0)]
    right = ends[np.minimum(after, len(ends) - 1)] - z
    return np.asarray((reach > 0) & ((after % 2 == 0) | (np.minimum(left, right) < reach)))


def _zeta(experiments: Experiments, observations: Observations) -> np.ndarray:
    """(n,): cosines between the rotation axis and e1 = s1 x s0 / |s1 x s0| without their signs."""
    owner = observations.experiment
    s1 = observed_rays(experiments, owner, observations.panel, observations.observed[:, :2])
    s0 = np.array([e.beam.s0 for e in experiments])[owner]
    along = np.einsum("ij,ij->i", s1, s0)
    across = np.einsum("ij,ij->i", s0, s0) ** 2 - along**2
    return np.abs(spindle_products(experiments, owner, s1)) / np.sqrt(np.maximum(across, 1e-300))
