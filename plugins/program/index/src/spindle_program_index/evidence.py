"""How much the spots speak for a lattice, against spots that lie anywhere.

A lattice says where spots are to a fraction of a pixel and of an image; a spot that lies anywhere is as likely in every part of a cell
of reciprocal space. The logarithm of the ratio of both, summed over all spots, a part of which belongs to no lattice, is what
the lattice gains. It grows with the number of spots that fit, with how well they fit, and with the smallness of the cell: a supercell
gains less for each spot, a subcell has fewer, a lattice of chance gains next to nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .kernels import lattice_normal_equations, membership
from .spot_frames import SpotFrames

#: Widths are kept above these: pixels, pixels, images.
LEAST_WIDTH = np.array([0.05, 0.05, 0.02])
#: A lattice has nine numbers, each known to a hundredth or a thousandth of what it could be: a gain below this is chance.
CHANCE = 60.0
#: A shift of all spots is believed up to some of these, pixels.
OFFSET = 2.0
#: Rounds of expectation and maximisation for a new lattice, while the resolution rises, and of the shares of several ones.
N_ROUNDS, N_SHARING = 10, 12
#: Spots that tell widths and gains of lattices.
MOST_SHARED = 30_000


@dataclass(frozen=True)
class Evidence:
    """A lattice and what speaks for it.

    Attributes
    ----------
    A : (3, 3) float64, 1/angstrom
    offset : (2,) float64, pixels
        Of the spots from their places, along fast and slow: what a beam centre that is a little wrong does.
    width : (3,) float64
        Standard deviations of its spots about their places, pixels, pixels and images.
    weight : float
        Part of the spots that belong to it.
    gain : float
        Logarithm of the likelihood over that without the lattice.
    n_spots : float
        Spots that belong to it: sum of their probabilities.
    """

    A: np.ndarray
    offset: np.ndarray
    width: np.ndarray
    weight: float
    gain: float
    n_spots: float

    @property
    def per_spot(self) -> float:
        """Gain per spot of the lattice."""
        return self.gain / max(self.n_spots, 1.0)


def improve(frames: SpotFrames, A: np.ndarray, d_min: float, n_rounds: int = N_ROUNDS) -> Evidence:
    """Fit one lattice to spots of which any part may belong to it, by expectation and maximisation at rising resolution.

    Parameters
    ----------
    frames : SpotFrames
    A : (3, 3) float64, 1/angstrom
        About right at resolution `d_min`.
    d_min : float, angstrom
        Where to begin.
    """
    n = len(frames)
    d_star = np.linalg.norm(frames.rlp, axis=1)
    finest = float(d_star.max(initial=0.0)) * (1 + 1e-9)
    start = min(1 / d_min if d_min > 0 else finest, finest)
    hkl, shift, ratio, sharp = np.zeros((n, 3), np.int32), np.zeros((n, 3)), np.zeros(n), np.zeros(n)
    matrix, vector, offset = np.zeros((11, 11)), np.zeros(11), np.zeros(2)
    width, weight, gain, members = _first_width(frames, A), 0.3, 0.0, 0.0
    for step in range(n_rounds):
        limit = start + (finest - start) * min(step / max(n_rounds - 3, 1), 1.0)
        gain = membership(
            frames.rlp, frames.to_pixels, frames.cell, A, np.linalg.inv(A), offset, width, weight, limit, hkl, shift, ratio, sharp,
        )  # fmt: skip
        posterior = weight * ratio / (1 - weight + weight * ratio)
        members = float(posterior.sum())
        if members < 4 or step == n_rounds - 1:
            break
        taken = np.count_nonzero(d_star <= limit)
        weight = float(np.clip(members / taken, 1e-4, 0.9999))
        width = np.maximum(np.sqrt((posterior * sharp) @ shift**2 / members), LEAST_WIDTH)
        lattice_normal_equations(frames.to_pixels, hkl, shift, posterior * sharp, width, matrix, vector)
        matrix[[9, 10], [9, 10]] += 1 / OFFSET**2
        vector[9:] -= offset / OFFSET**2
        scale = np.sqrt(np.maximum(np.diag(matrix), 1e-30))
        # A direction that no spot tells of stays as it is.
        change = np.linalg.solve(matrix / scale / scale[:, None] + 1e-9 * np.eye(11), vector / scale) / scale
        fitted = A + change[:9].reshape(3, 3)
        if not abs(np.linalg.det(fitted) / np.linalg.det(A) - 1) < 0.2:
            break
        A, offset = fitted, offset + change[9:]
    return Evidence(A, offset, width, weight, gain, members)


def _first_width(frames: SpotFrames, A: np.ndarray) -> np.ndarray:
    """What a tenth of an index is in pixels and images, at most some of each."""
    step = 0.1 * float(np.cbrt(abs(np.linalg.det(A))))
    typical = np.median(np.linalg.norm(frames.to_pixels, axis=2), axis=0) * step if len(frames) else np.ones(3)
    return np.clip(typical, LEAST_WIDTH, (4.0, 4.0, 4.0))


@dataclass(frozen=True)
class Shares:
    """Spots shared out among lattices.

    Attributes
    ----------
    lattices : list of Evidence
        Their gains are what each adds to all others together.
    posterior : (n, m) float64
        Probability that a spot belongs to each lattice.
    """

    lattices: list[Evidence]
    posterior: np.ndarray


def share(frames: SpotFrames, lattices: Sequence[np.ndarray]) -> Shares:
    """Shares of several lattices, with their own widths, and what each adds to the others.

    Parameters
    ----------
    frames : SpotFrames
    lattices : sequence of (3, 3) float64
        Matrices A, as they are.
    """
    n, m = len(frames), len(lattices)
    if n > MOST_SHARED:
        return _share_by_sample(frames, lattices)
    ratio, sharp, shift = np.zeros((m, n)), np.zeros((m, n)), np.zeros((m, n, 3))
    width = np.array([_first_width(frames, A) for A in lattices]).reshape(m, 3)
    weight = np.full(m, 0.8 / max(m, 1))
    hkl = np.zeros((n, 3), np.int32)
    inverse = [np.linalg.inv(A) for A in lattices]
    posterior, offset = np.zeros((m, n)), np.zeros((m, 2))
    for step in range(N_SHARING):
        for i, A in enumerate(lattices):
            membership(
                frames.rlp, frames.to_pixels, frames.cell, A, inverse[i], offset[i], width[i], 0.5, np.inf, hkl, shift[i], ratio[i], sharp[i],
            )  # fmt: skip
        posterior = weight[:, None] * ratio
        posterior /= (1 - weight.sum()) + posterior.sum(axis=0)
        members = posterior.sum(axis=1)
        if step == N_SHARING - 1:
            break
        weight = np.clip(members / max(n, 1), 1e-6, None)
        weight *= min(1.0, 0.9999 / weight.sum())
        for i in range(m):
            if members[i] > 3:
                # Crystals lie in different places of the beam: each has its own centre on the detector.
                counted = (posterior[i] * sharp[i])[:, None] / width[i, :2] ** 2
                mean = np.sum(counted * shift[i, :, :2], axis=0) - offset[i] / OFFSET**2
                offset[i] += mean / (counted.sum(axis=0) + 1 / OFFSET**2)
                width[i] = np.maximum(np.sqrt((posterior[i] * sharp[i]) @ shift[i] ** 2 / members[i]), LEAST_WIDTH)
    everything = _likelihood(ratio, weight)
    found = []
    for i, A in enumerate(lattices):
        others = np.arange(m) != i
        gain = everything - _best_likelihood(ratio[others], weight[others])
        found.append(Evidence(A, offset[i], width[i], float(weight[i]), gain, float(members[i])))
    return Shares(found, posterior.T)


def _share_by_sample(frames: SpotFrames, lattices: Sequence[np.ndarray]) -> Shares:
    """`share` of very many spots: the widths and gains are those of a part of them."""
    n, m = len(frames), len(lattices)
    rows = np.sort(np.random.default_rng(42).permutation(n)[:MOST_SHARED])
    found = share(frames.select(rows), lattices).lattices
    scale = n / len(rows)
    part, hkl, shift, sharp = np.zeros((n, m)), np.zeros((n, 3), np.int32), np.zeros((n, 3)), np.zeros(n)
    for i, e in enumerate(found):
        ratio = np.zeros(n)
        membership(
            frames.rlp, frames.to_pixels, frames.cell, e.A, np.linalg.inv(e.A), e.offset, e.width, 0.5, np.inf, hkl, shift, ratio, sharp,
        )  # fmt: skip
        part[:, i] = e.weight * ratio
    part /= (1 - sum(e.weight for e in found)) + part.sum(axis=1, keepdims=True)
    return Shares([replace(e, gain=scale * e.gain, n_spots=scale * e.n_spots) for e in found], part)


def _likelihood(ratio: np.ndarray, weight: np.ndarray) -> float:
    return float(np.log((1 - weight.sum()) + weight @ ratio).sum())


def _best_likelihood(ratio: np.ndarray, weight: np.ndarray) -> float:
    """With the weights fitted again, after a lattice was taken away."""
    n = ratio.shape[1]
    for _ in range(10 if len(weight) else 0):
        part = weight[:, None] * ratio
        part /= (1 - weight.sum()) + part.sum(axis=0)
        weight = np.clip(part.sum(axis=1) / max(n, 1), 1e-6, None)
        weight *= min(1.0, 0.9999 / weight.sum())
    return _likelihood(ratio, weight)
