"""The search for the shift of the detector: a wide grid, then a simplex, then least squares with the lattice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spindle.contracts.beam_position import ScoreMap

from .crystals import LatticeSpots

#: Points of the wide grid above this fraction of its highest score are candidates.
CANDIDATE = 0.9
#: Candidates that are looked into, and first edge of the simplex, mm.
MAX_CANDIDATES, SIMPLEX_EDGE = 24, 0.2
#: Least squares takes phases up to this many turns from a whole one.
CUTOFF = 0.25
#: The grid is never coarser than this part of the distance between spots.
PART_OF_PERIOD = 0.25
#: Most points along one axis of the grid.
MAX_POINTS = 201
#: For the uncertainty: stretches of the rotation, zones of scattering angle, and the fewest spots of a sweep in a part.
N_STRETCHES, N_ZONES, LEAST_IN_PART = 5, 3, 4


@dataclass(slots=True)
class Place:
    """One shift and how well the spots fit a lattice there.

    Attributes
    ----------
    xy : (2,) float64, mm
        Along the two axes of the search.
    quality : float
        Mean cosine of the phases of all spots and vectors, the vectors fitted: 1 is perfect.
    lattices : list of LatticeSpots
        With the fitted vectors.
    """

    xy: np.ndarray
    quality: float
    lattices: list[LatticeSpots]


def search_axes(s0: np.ndarray) -> np.ndarray:
    """Two unit vectors (2, 3) in the plane normal to the beam, the first along the laboratory's x where possible."""
    s0 = s0 / np.linalg.norm(s0)
    helper = np.array([1.0, 0.0, 0.0]) if abs(s0[0]) < 0.9 else np.array([0.0, 1.0, 0.0])
    first = np.cross(np.cross(s0, helper), s0)
    first /= np.linalg.norm(first)
    return np.array([first, np.cross(first, s0)])


def grid_offsets(lattices: Sequence[LatticeSpots], scope: float, step: float) -> np.ndarray:
    """Places (k,) mm along one axis of the wide grid, 0 among them.

    The step that is asked for is made finer where spots are closer together than four steps.
    """
    periods = [
        float(np.median(np.linalg.norm(s.lab, axis=1))) / np.linalg.norm(s.back[0], axis=0).max()
        / np.linalg.norm(s.vectors, axis=1).max()
        for s in lattices
    ]  # fmt: skip
    step = max(min(step, PART_OF_PERIOD * min(periods)), 2.0 * scope / (MAX_POINTS - 1))
    n = int(np.floor(scope / step + 1e-9))
    return step * np.arange(-n, n + 1)


def phase_score(lattices: Sequence[LatticeSpots], shifts: np.ndarray) -> np.ndarray:
    """Mean over vectors of cos(arg sum over spots of exp(2 pi i r . v)), (k,) for shifts (k, 3) mm.

    Notes
    -----
    Sauter, Grosse-Kunstleve & Adams (2004), J. Appl. Cryst. 37, 399-409, without their histogram.
    """
    total, n = np.zeros(len(shifts)), 0
    for lattice in lattices:
        sums = lattice.sums(shifts)
        total += np.sum(sums.real / np.maximum(np.abs(sums), 1e-12), axis=0)
        n += len(lattice.vectors)
    return total / n


def mean_cosine(lattices: Sequence[LatticeSpots], shifts: np.ndarray) -> np.ndarray:
    """Mean over spots and vectors of cos(2 pi r . v), (k,) for shifts (k, 3) mm."""
    total, n = np.zeros(len(shifts)), 0
    for lattice in lattices:
        weight = len(lattice) * len(lattice.vectors)
        total += lattice.sums(shifts).real.mean(axis=0) * weight
        n += weight
    return total / n


@dataclass(frozen=True)
class _Score:
    """Scores of the shifts of a row of the grid; attributes as the parameters of `wide_search`."""

    lattices: Sequence[LatticeSpots]
    axes: np.ndarray
    adapt: bool

    def __call__(self, row: np.ndarray) -> np.ndarray:
        """(2, k) `phase_score` and `mean_cosine` of the row's shifts, (k, 2) along the axes."""
        lattices, shifts = self.lattices, row @ self.axes
        if not self.adapt:
            return np.array([phase_score(lattices, shifts), mean_cosine(lattices, shifts)])
        both = []
        for shift in shifts:
            own = [lattice.adapted(shift) for lattice in lattices]
            both.append([phase_score(own, shift[None])[0], mean_cosine(own, shift[None])[0]])
        return np.array(both).T


def wide_search(
    lattices: Sequence[LatticeSpots], axes: np.ndarray, scope: float, step: float, executor: Any, adapt: bool = False
) -> tuple[ScoreMap, np.ndarray]:
    """Score a grid of shifts.

    Parameters
    ----------
    lattices : sequence of LatticeSpots
    axes : (2, 3) float64
    scope, step : float, mm
        Half the width of the grid, and the distance of its points.
    executor : Executor
    adapt : bool
        Adapt the vectors to each shift; for parts of the rotation in which the crystal hardly turns.

    Returns
    -------
    ScoreMap
        Of `phase_score`.
    (m, 2) float64, mm
        Local maxima that are candidates, nearest to zero first.
    """
    offsets = grid_offsets(lattices, scope, step)
    grid = np.stack(np.meshgrid(offsets, offsets, indexing="ij"), axis=-1)

    maps = np.array(list(executor.map(_Score(lattices, axes, adapt), grid)))
    candidates: dict[tuple[int, int], float] = {}
    for values in (maps[:, 0], maps[:, 1]):
        top = values.max()
        highest = _local_maxima(values) & (values >= top - (1 - CANDIDATE) * abs(top))
        for i, j in np.argwhere(highest):
            place = (int(i), int(j))
            candidates[place] = max(candidates.get(place, -np.inf), float(values[place] - top))
    chosen = sorted(candidates, key=lambda p: -candidates[p])[:MAX_CANDIDATES]
    xy = np.array([grid[p] for p in chosen])
    return ScoreMap(offsets, maps[:, 0], axes), xy[np.argsort(np.linalg.norm(xy, axis=1), kind="stable")]


def _local_maxima(values: np.ndarray) -> np.ndarray:
    """Whether each value (k, k) is the largest of its 3 x 3 neighbourhood."""
    padded = np.pad(values, 1, constant_values=-np.inf)
    k = len(values)
    around = [padded[i : i + k, j : j + k] for i in range(3) for j in range(3)]
    return np.asarray(values >= np.max(around, axis=0))


def polish(lattices: Sequence[LatticeSpots], axes: np.ndarray, start: np.ndarray) -> Place:
    """Best place near a point of the grid: a simplex on the phases, then least squares for shift and vectors.

    Parameters
    ----------
    lattices : sequence of LatticeSpots
    axes : (2, 3) float64
    start : (2,) float64, mm
    """
    from scipy.optimize import minimize

    def cost(xy: np.ndarray) -> float:
        return -float(mean_cosine(lattices, (xy @ axes)[None])[0])

    corners = start + SIMPLEX_EDGE * np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    best = minimize(
        cost, start, method="Nelder-Mead", options={"initial_simplex": corners, "xatol": 1e-3, "fatol": 1e-7}
    )
    return fit(lattices, axes, np.asarray(best.x))


def fit(lattices: Sequence[LatticeSpots], axes: np.ndarray, xy: np.ndarray, rounds: int = 8) -> Place:
    """Least squares for the shift, common to all, and the vectors of each lattice.

    Parameters
    ----------
    lattices : sequence of LatticeSpots
    axes : (2, 3) float64
    xy : (2,) float64, mm
        Where to start.
    rounds : int
        Most steps.

    Returns
    -------
    Place
        The start when no step makes it better.
    """
    best = Place(xy, float(mean_cosine(lattices, (xy @ axes)[None])[0]), list(lattices))
    for _ in range(rounds):
        step = _step(best.lattices, axes, best.xy)
        if step is None:
            break
        move, moved = step
        place = best.xy + move
        quality = float(mean_cosine(moved, (place @ axes)[None])[0])
        if not quality > best.quality:
            break
        gain = quality - best.quality
        best = Place(place, quality, moved)
        if gain < 1e-9:
            break
    return best


def _step(
    lattices: Sequence[LatticeSpots], axes: np.ndarray, xy: np.ndarray
) -> tuple[np.ndarray, list[LatticeSpots]] | None:
    """One step of Gauss and Newton: the change of the shift (2,) and lattices with changed vectors; None if singular."""
    head, side = np.zeros((2, 2)), np.zeros(2)
    parts = []
    for lattice in lattices:
        normal, right, _, count = lattice.equations(xy @ axes, axes, CUTOFF)
        if count < len(right):
            return None
        # The vectors' own equations are solved first, and what is left of the shift's is summed over lattices.
        try:
            solved = np.linalg.solve(normal[2:, 2:], np.column_stack([normal[2:, :2], right[2:]]))
        except np.linalg.LinAlgError:
            return None
        head += normal[:2, :2] - normal[:2, 2:] @ solved[:, :2]
        side += right[:2] - normal[:2, 2:] @ solved[:, 2]
        parts.append(solved)
    if not np.all(np.isfinite(head)) or np.linalg.cond(head) > 1e10:
        return None
    move = np.linalg.solve(head, side)
    moved = [
        lattice.with_vectors(lattice.vectors + (solved[:, 2] - solved[:, :2] @ move).reshape(-1, 3))
        for lattice, solved in zip(lattices, parts, strict=True)
    ]
    return move, moved


def uncertainty(place: Place, axes: np.ndarray) -> float:
    """Standard uncertainty (mm) of the shift in its worst direction, by leaving out one part of the spots after another.

    The spots are divided in three ways, and the one that tells most against the place counts: into stretches of the
    rotation, for what varies with the scan, and into fourths of the detector and zones of scattering angle, for a
    detector that is tilted or otherwise not what the models say, which moves the place without any scatter in time.

    Returns
    -------
    float
        NaN when a sweep or still has too few spots for this.
    """
    if min(len(lattice) for lattice in place.lattices) < LEAST_IN_PART * max(N_STRETCHES, N_ZONES, 4):
        return float("nan")
    variances = []
    for parts in zip(*(_divisions(lattice, place.xy @ axes, axes) for lattice in place.lattices), strict=True):
        n_parts = int(parts[0].max()) + 1
        found = []
        for part in range(n_parts):
            left = [lattice.rows(own != part) for lattice, own in zip(place.lattices, parts, strict=True)]
            found.append(fit(left, axes, place.xy).xy)
        covariance = np.cov(np.transpose(found), bias=True) * (n_parts - 1)
        variances.append(float(np.linalg.eigvalsh(covariance)[-1]))
    return float(np.sqrt(max(0.0, *variances)))


def _divisions(lattice: LatticeSpots, shift: np.ndarray, axes: np.ndarray) -> list[np.ndarray]:
    """The part (n,) that each spot is in, for each of the three ways to divide them into parts of equal numbers."""
    place = lattice.lab + shift
    x, y = (place @ axes.T).T
    angle = np.arccos(np.clip(place @ lattice.s0 / np.linalg.norm(place, axis=1), -1.0, 1.0))
    fourths = 2 * _ranked(x, 2)
    for half in (0, 2):
        chosen = fourths == half
        fourths[chosen] += _ranked(y[chosen], 2)
    # Spots are in the order of their images.
    return [_ranked(np.arange(len(lattice)), N_STRETCHES), fourths, _ranked(angle, N_ZONES)]


def _ranked(values: np.ndarray, n_parts: int) -> np.ndarray:
    """Which of `n_parts` parts of equal numbers, in ascending order, each value (n,) is in."""
    rank = np.empty(len(values), dtype=np.int64)
    rank[np.argsort(values, kind="stable")] = np.arange(len(values))
    return rank * n_parts // len(values)
