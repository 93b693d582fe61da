"""The search for the azimuth at which differences between spots have few directions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spindle.execution import Executor

from .kernels import count_directions, place_points

__all__ = ["AxisSearch", "SweepSpots", "Trace", "separation_deg"]

#: Bins of the angle about the axis and of the cosine to it.
BINS = (720, 180)
#: Differences longer than this part of the distance of the outermost spot are left out: many directions with few of each.
LONGEST = 0.6
#: Spots of lowest resolution that are looked at everywhere, and near the best places.
N_COARSE, N_FINE = 600, 2000
#: Steps in degrees: everywhere, near the best places, and at the best; peaks are one or two degrees wide.
COARSE, MIDDLE, FINE = 2.0, 0.5, 0.1
#: How far around a start or a place is looked, degrees.
LOCAL, AROUND, AT_PEAK = 5.0, 2.0, 0.6
#: Places that are looked at closely, and how far apart they are at least, degrees.
N_PLACES, APART = 3, 6.0
#: Azimuths in one task.
BLOCK = 6


@dataclass(frozen=True, slots=True)
class SweepSpots:
    """Spots of one sweep, those of lowest resolution first.

    Attributes
    ----------
    across : (n, 2) float64, 1/angstrom
        Diffracted beams along the two directions across the beam.
    phi : (n,) float64, rad
    radius : float, 1/angstrom
        Of the Ewald sphere.
    """

    across: np.ndarray
    phi: np.ndarray
    radius: float

    def __len__(self) -> int:
        return len(self.phi)

    def first(self, n: int) -> SweepSpots:
        """The n spots of lowest resolution."""
        return SweepSpots(self.across[:n], self.phi[:n], self.radius)

    def directions(self, azimuth_deg: float) -> np.ndarray:
        """`BINS` int64: number of differences in each direction if the axis had an azimuth."""
        points = np.empty((len(self), 3))
        place_points(self.across, self.phi, np.radians(azimuth_deg), self.radius, points)
        longest = LONGEST * float(np.sqrt((points**2).sum(axis=1).max(initial=0.0)))
        counts = np.zeros(BINS, np.int64)
        count_directions(points, longest, counts)
        return counts


@dataclass(frozen=True)
class _Scores:
    """The task of scoring azimuths (degrees)."""

    sweeps: Sequence[SweepSpots]

    def __call__(self, azimuths: np.ndarray) -> np.ndarray:
        """(n,) float64: variance of the counts, which is largest where they are in few bins; the mean over the sweeps."""
        scores = np.zeros(len(azimuths))
        for i, azimuth in enumerate(azimuths):
            scores[i] = np.mean([sweep.directions(float(azimuth)).var() for sweep in self.sweeps])
        return scores


@dataclass(frozen=True, slots=True)
class Trace:
    """What was found.

    Attributes
    ----------
    start, best, opposite : float
        Azimuths in degrees: that of the models, the best one, and the better one of the other sense near its opposite.
    start_score, best_score, opposite_score, elsewhere_score : float
        Their scores, and the best one elsewhere, in units of that of azimuths that mean nothing.
    elsewhere : float
        Azimuth of that.
    half_width : float
        Distance from the best azimuth at which its peak is half as high, degrees.
    azimuths, scores : (n,) float64
        All that was tried, in order; scores in the same units.
    """

    start: float
    best: float
    opposite: float
    elsewhere: float
    start_score: float
    best_score: float
    opposite_score: float
    elsewhere_score: float
    half_width: float
    azimuths: np.ndarray
    scores: np.ndarray

    @property
    def contrast(self) -> float:
        """How much higher the best peak is than any other."""
        return (self.best_score - 1) / max(self.opposite_score - 1, self.elsewhere_score - 1, 1e-9)


class AxisSearch:
    """Scores azimuths of the axis that some sweeps turn about.

    Parameters
    ----------
    sweeps : sequence of SweepSpots
    executor : Executor
    """

    def __init__(self, sweeps: Sequence[SweepSpots], executor: Executor) -> None:
        self.sweeps = [sweep.first(N_FINE) for sweep in sweeps]
        self.executor = executor

    def scores(self, azimuths: np.ndarray, n_spots: int = N_FINE) -> np.ndarray:
        """(n,) float64: score of each azimuth (degrees)."""
        task = _Scores([sweep.first(n_spots) for sweep in self.sweeps])
        blocks = [azimuths[i : i + BLOCK] for i in range(0, len(azimuths), BLOCK)]
        return np.concatenate(list(self.executor.map(task, blocks)))

    def find(self, start: float, everywhere: bool) -> Trace:
        """The best azimuth.

        Parameters
        ----------
        start : float
            Degrees.
        everywhere : bool
            Else only near the start.
        """
        coarse = np.arange(-180.0, 180.0, COARSE)
        floor_few = self.scores(coarse, N_COARSE) if everywhere else np.zeros(0)
        tried: dict[float, float] = {}

        def look(centre: float, reach: float, step: float) -> tuple[float, float]:
            """The best azimuth near a place, and its score."""
            places = centre + step * np.arange(-round(reach / step), round(reach / step) + 1)
            places = np.array([p for p in places if _key(p) not in tried])
            if len(places) > 0:
                tried.update(zip(map(_key, places), self.scores(places), strict=True))
            near = [a for a in tried if separation_deg(a, centre) <= reach + 1e-6]
            best = max(near, key=lambda a: tried[a])
            return best, tried[best]

        def closely(centre: float, reach: float) -> tuple[float, float]:
            place, _ = look(centre, reach, MIDDLE)
            return look(place, AT_PEAK, FINE)

        starts = [start]
        if everywhere:
            starts = []
            for i in np.argsort(-floor_few):
                if all(separation_deg(coarse[i], s) > APART for s in starts):
                    starts.append(float(coarse[i]))
                if len(starts) == N_PLACES:
                    break
        found = sorted((closely(s, AROUND if everywhere else LOCAL) for s in starts), key=lambda f: -f[1])
        best, best_score = found[0]
        start_score = float(self.scores(np.array([start]))[0])
        opposite, opposite_score = closely(best + 180.0, AROUND)
        others = [f for f in found[1:] if min(separation_deg(f[0], p) for p in (best, opposite)) > APART]
        nothing = self.scores(best + np.arange(30.0, 360.0, 20.0))
        floor = float(np.median(nothing))
        tried.update({_key(start): start_score})
        elsewhere = float((best + np.arange(30.0, 360.0, 20.0))[int(nothing.argmax())])
        elsewhere, elsewhere_score = max([*others, (_key(elsewhere), float(nothing.max()))], key=lambda f: f[1])
        order = sorted(tried)
        every = np.array(order)
        peak = _vertex(best, tried)
        half = 0.5 * (best_score + floor)
        lower = [separation_deg(a, peak) for a in order if tried[a] < half and separation_deg(a, peak) < 30]
        if everywhere:  # the shape of the whole curve, at the scale of the many spots
            scale = floor / max(float(np.median(floor_few)), 1e-12)
            far = np.array([min(separation_deg(c, a) for a in order) > COARSE for c in coarse])
            every = np.concatenate([every, coarse[far]])
            values = np.concatenate([np.array([tried[a] for a in order]), scale * floor_few[far]])
        else:
            values = np.array([tried[a] for a in order])
        ranks = np.argsort(every)
        unit = max(floor, 1e-12)
        return Trace(
            start=start, best=peak, opposite=opposite, elsewhere=elsewhere, start_score=start_score / unit,
            best_score=best_score / unit, opposite_score=opposite_score / unit, elsewhere_score=elsewhere_score / unit,
            half_width=min(lower, default=float("nan")), azimuths=every[ranks], scores=values[ranks] / unit,
        )  # fmt: skip


def _key(azimuth: float) -> float:
    """An azimuth in [-180, 180), rounded so that equal ones are equal."""
    return round((float(azimuth) + 180.0) % 360.0 - 180.0, 4)


def separation_deg(a: float, b: float) -> float:
    """Smallest angle between two azimuths, degrees."""
    return float(abs((a - b + 180.0) % 360.0 - 180.0))


def _vertex(best: float, tried: dict[float, float]) -> float:
    """The top of a parabola through the scores near the best azimuth."""
    near = [(((a - best + 180.0) % 360.0) - 180.0, s) for a, s in tried.items() if separation_deg(a, best) < 2.5 * FINE]
    offsets, scores = np.array(near).T
    if len(near) < 4:
        return best
    curvature, slope, _ = np.polyfit(offsets, scores, 2)
    shift = -0.5 * slope / curvature if curvature < 0 else 0.0
    return _key(best + float(np.clip(shift, -FINE, FINE)))
