"""Which of the lattice's symmetries lies between crystals that were indexed separately.

Each experiment's intensities are compared with all the others' under every rotation of the common reduced lattice; the
one under which they agree best is taken. Experiments whose bases agree stay together unless the intensities speak
clearly against it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spindle_lib_merging import correlation, pack_indices

from .laue import without_extremes

#: Fewer common reflections than this decide nothing.
MIN_COMMON = 12
#: Experiments of one basis are turned against each other only by this much evidence.
MIN_COMMON_TO_SPLIT, MAX_CC_TO_SPLIT, MIN_CC_TO_SPLIT = 50, 0.3, 0.7


@dataclass(slots=True)
class Observed:
    """Mean normalised intensities of one experiment, one row for each index and its Friedel mate."""

    hkl: np.ndarray
    intensity: np.ndarray
    weight: np.ndarray


@dataclass(slots=True)
class Alignment:
    """The rotation of each experiment and how sure it is.

    Attributes
    ----------
    rotations : list of (3, 3) int64
        New index h R (row vectors).
    decided : (n,) bool
        False where too few reflections are shared to tell.
    cc, cc_next : (n,) float64
        Correlation with the other experiments under the rotation taken and under the best other one, NaN where
        unknown.
    n_common : (n,) int64
    """

    rotations: list[np.ndarray]
    decided: np.ndarray
    cc: np.ndarray
    cc_next: np.ndarray
    n_common: np.ndarray


def orbit_keys(hkl: np.ndarray, group: Sequence[np.ndarray]) -> np.ndarray:
    """A number for each index that its equivalents under a rotation group and the inversion share, (n,) int64."""
    h = hkl.astype(np.int64)
    result = None
    for rotation in group:
        turned = h @ rotation
        for sign in (1, -1):
            key = pack_indices(sign * turned)
            result = key if result is None else np.minimum(result, key)
    assert result is not None  # a group has an identity
    return result


def merge_keys(keys: np.ndarray, value: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unique keys with weighted means and summed weights."""
    unique, number = np.unique(keys, return_inverse=True)
    total = np.bincount(number, weight, len(unique))
    return unique, np.bincount(number, weight * value, len(unique)) / total, total


def observed(hkl: np.ndarray, value: np.ndarray, sigma: np.ndarray) -> Observed:
    """Merge the observations of one experiment."""
    keys = orbit_keys(hkl, [np.eye(3, dtype=np.int64)])
    _, first, number = np.unique(keys, return_index=True, return_inverse=True)
    weight = 1.0 / np.maximum(sigma, 1e-6) ** 2
    total = np.bincount(number, weight, len(first))
    mean = np.bincount(number, weight * value, len(first)) / np.maximum(total, 1e-300)
    return Observed(hkl[first].astype(np.int64), mean, total)


def cosets(group: Sequence[np.ndarray], subgroup: Sequence[np.ndarray]) -> list[np.ndarray]:
    """One rotation of each set R S: those that give another indexing when the symmetry is `subgroup`; identity
    first.
    """
    seen: set[bytes] = set()
    found = []
    identity = np.eye(3, dtype=np.int64)
    for rotation in sorted(group, key=lambda r: not np.array_equal(r, identity)):
        if rotation.astype(np.int64).tobytes() in seen:
            continue
        found.append(np.asarray(rotation, dtype=np.int64))
        seen.update((rotation @ s).astype(np.int64).tobytes() for s in subgroup)
    return found


def align(
    experiments: Sequence[Observed],
    frames: np.ndarray,
    lattice: Sequence[np.ndarray],
    group: Sequence[np.ndarray],
    start: Sequence[np.ndarray] | None = None,
) -> Alignment:
    """Choose the rotation of each experiment.

    Parameters
    ----------
    experiments : list of Observed
        In the common reduced basis.
    frames : (n,) int
        Experiments with the same number were indexed together.
    lattice, group : list of (3, 3) int64
        Rotations to choose from, and those that are taken for symmetries of the intensities.
    start : list of (3, 3) int64, optional
        Rotations of an earlier alignment.
    """
    n = len(experiments)
    identity = np.eye(3, dtype=np.int64)
    options = cosets(lattice, group)
    result = Alignment(
        list(start) if start is not None else [identity] * n,
        np.zeros(n, dtype=np.bool_), np.full(n, np.nan), np.full(n, np.nan), np.zeros(n, dtype=np.int64),
    )  # fmt: skip
    if n < 2:
        result.decided[:] = True
        return result
    order = sorted(range(n), key=lambda i: -len(experiments[i].hkl))
    units = _units(frames, order)
    pool = _Pool(group)
    for i in units[0]:
        pool.add(i, experiments[i], result.rotations[i])
    waiting = units[1:]
    while waiting:  # those that share most with what is there already come first
        scored = [(_score(pool, experiments, unit, result.rotations, options), unit) for unit in waiting]
        best, unit = max(scored, key=lambda s: s[0].n)
        if best.n >= MIN_COMMON:
            ready = [(s, u) for s, u in scored if s.n >= max(MIN_COMMON, 0.5 * best.n)]
        else:
            ready = [(best, unit)]
        for score, members in ready:
            for i in members:
                if score.n >= MIN_COMMON:
                    result.rotations[i] = score.rotation
                pool.add(i, experiments[i], result.rotations[i])
        taken = {id(u) for _, u in ready}
        waiting = [u for u in waiting if id(u) not in taken]
    for _ in range(3):
        if not _improve(pool, experiments, units, options, result):
            break
    return result


@dataclass(slots=True)
class _Score:
    """Best rotation of a unit: the matrix, its CC, the best other CC, and the number of common reflections."""

    rotation: np.ndarray
    cc: float
    cc_next: float
    n: int
    cc_now: float


class _Pool:
    """Intensities of all aligned experiments by orbit."""

    def __init__(self, group: Sequence[np.ndarray]) -> None:
        self.group = group
        self.parts: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}
        self._sums: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray] | None = None

    def add(self, number: int, data: Observed, rotation: np.ndarray) -> None:
        keys = orbit_keys(data.hkl @ rotation, self.group)
        self.parts[number] = merge_keys(keys, data.intensity, data.weight)
        self._sums = None

    def without(self, numbers: Sequence[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Keys, means and weights of all but some experiments."""
        keys, total, summed, count = self._together()
        parts = [self.parts[i] for i in numbers if i in self.parts]
        if parts:  # taken away from the sums, since merging all others anew for each takes the square of their number
            total, summed, count = total.copy(), summed.copy(), count.copy()
            for own_keys, value, weight in parts:
                place = np.searchsorted(keys, own_keys)
                total[place] -= weight
                summed[place] -= weight * value
                count[place] -= 1
        left = (count > 0) & (total > 0)
        return keys[left], summed[left] / total[left], total[left]

    def _together(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Keys of all parts, sums of their weights and weighted means, and how many parts have each."""
        if self._sums is None:
            empty = np.zeros(0)
            parts = list(self.parts.values()) or [(np.zeros(0, np.int64), empty, empty)]
            every, value, weight = (np.concatenate(column) for column in zip(*parts, strict=True))
            keys, number = np.unique(every, return_inverse=True)
            self._sums = keys, np.bincount(number, weight), np.bincount(number, weight * value), np.bincount(number)
        return self._sums


def _units(frames: np.ndarray, order: list[int]) -> list[list[int]]:
    """Experiments of one frame together, the unit with most reflections first."""
    units: dict[int, list[int]] = {}
    for i in order:
        units.setdefault(int(frames[i]), []).append(i)
    return list(units.values())


def _common(pool: tuple[np.ndarray, ...], keys: np.ndarray, value: np.ndarray) -> tuple[float, int]:
    """Correlation of the means of the keys that both have."""
    _, mine, theirs = np.intersect1d(keys, pool[0], assume_unique=True, return_indices=True)
    x, y = without_extremes(value[mine], pool[1][theirs])
    return (correlation(x, y) if len(x) > 3 else float("nan")), len(x)


def _score(
    pool: _Pool, experiments: Sequence[Observed], unit: list[int], present: list[np.ndarray], options: list[np.ndarray]
) -> _Score:
    """Compare a unit with the rest of the pool under every rotation; all members turn together."""
    rest = pool.without(unit)
    hkl = np.concatenate([experiments[i].hkl for i in unit])
    value = np.concatenate([experiments[i].intensity for i in unit])
    weight = np.concatenate([experiments[i].weight for i in unit])
    found = []
    for rotation in options:
        keys, mean, _ = merge_keys(orbit_keys(hkl @ rotation, pool.group), value, weight)
        cc, n = _common(rest, keys, mean)
        # the lower end of the uncertainty: a high correlation of few pairs means little
        low = np.tanh(np.arctanh(np.clip(cc, -0.999, 0.999)) - 1.0 / np.sqrt(n - 3)) if n >= MIN_COMMON else -2.0
        found.append((low if np.isfinite(low) else -2.0, cc, n, rotation))
    rank = sorted(range(len(found)), key=lambda k: -found[k][0])
    best = found[rank[0]]
    now = next((f for f in found if _same(f[3], present[unit[0]], pool.group)), found[0])
    if now[0] >= best[0] - 1e-9:
        best = (*now[:3], present[unit[0]])
    others = [f[1] for f in found if not _same(f[3], best[3], pool.group) and np.isfinite(f[1])]
    return _Score(best[3], best[1], max(others, default=float("nan")), int(max(f[2] for f in found)), now[1])


def _same(first: np.ndarray, second: np.ndarray, group: Sequence[np.ndarray]) -> bool:
    """Whether two rotations give the same indexing under the group."""
    return any(np.array_equal(first @ r, second) for r in group)


def _improve(
    pool: _Pool, experiments: Sequence[Observed], units: list[list[int]], options: list[np.ndarray], result: Alignment
) -> bool:
    """Compare each unit, and each member of one, with all the others again; True if any was turned."""
    changed = False
    for unit in units if len(units) > 1 else []:
        score = _score(pool, experiments, unit, result.rotations, options)
        if not _same(score.rotation, result.rotations[unit[0]], pool.group) and score.n >= MIN_COMMON:
            changed = True
            for i in unit:
                result.rotations[i] = score.rotation
                pool.add(i, experiments[i], score.rotation)
        for i in unit:
            result.cc[i], result.cc_next[i], result.n_common[i] = score.cc, score.cc_next, score.n
            result.decided[i] = score.n >= MIN_COMMON and score.cc > 3.0 / np.sqrt(score.n)
    for unit in list(units):
        for i in list(unit) if len(unit) > 1 else []:
            score = _score(pool, experiments, [i], result.rotations, options)
            clear = score.n >= MIN_COMMON_TO_SPLIT and score.cc_now < MAX_CC_TO_SPLIT and score.cc > MIN_CC_TO_SPLIT
            if clear and not _same(score.rotation, result.rotations[i], pool.group):
                changed = True
                unit.remove(i)
                units.append([i])
                result.rotations[i] = score.rotation
                pool.add(i, experiments[i], score.rotation)
            if len(units) == 1 or clear:
                result.cc[i], result.n_common[i] = (score.cc if clear else score.cc_now), score.n
                result.cc_next[i], result.decided[i] = score.cc_next, True
    return changed


@dataclass(frozen=True, slots=True)
class IndexingChoice:
    """How well data agree with a reference when their indices are turned.

    Attributes
    ----------
    rotation : (3, 3) int64
        New index h R (row vectors).
    cc : float
        Correlation of the means of equivalent reflections; NaN where there are too few.
    n : int
        Number of reflections that both have.
    """

    rotation: np.ndarray
    cc: float
    n: int


def choices_against(
    reference: Observed, data: Observed, lattice: Sequence[np.ndarray], group: Sequence[np.ndarray]
) -> list[IndexingChoice]:
    """Compare data with a reference under every rotation of the lattice that gives another indexing.

    Parameters
    ----------
    reference, data : Observed
        In one basis.
    lattice, group : list of (3, 3) int64
        Rotations of the lattice, and those among them that are symmetries of the intensities.

    Returns
    -------
    list of IndexingChoice
        The identity first.
    """
    known = merge_keys(orbit_keys(reference.hkl, group), reference.intensity, reference.weight)
    found = []
    for rotation in cosets(lattice, group):
        keys, mean, _ = merge_keys(orbit_keys(data.hkl @ rotation, group), data.intensity, data.weight)
        found.append(IndexingChoice(rotation, *_common(known, keys, mean)))
    return found
