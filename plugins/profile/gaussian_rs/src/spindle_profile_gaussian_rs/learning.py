"""Tasks of learning: spots that one call looks at, and the sums over them. They may be done in another process."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from .learning_kernels import accumulate_profile

SPOT_COUNTS = 2000.0  # brighter spots weigh as much as this: a profile is the mean of many spots, not the shape of one


@dataclass
class Learned:
    """Spots kept for learning: their geometry and pixels."""

    frames: np.ndarray
    kz: np.ndarray
    xyz: np.ndarray
    s1: np.ndarray
    experiment: np.ndarray
    bbox: np.ndarray
    offsets: np.ndarray
    data: np.ndarray
    mask: np.ndarray
    background: np.ndarray

    def select(self, rows: np.ndarray) -> Learned:
        """Some of the spots, with their pixels."""
        starts, lengths = self.offsets[rows], self.offsets[rows + 1] - self.offsets[rows]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        pixels = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
        chosen = {f.name: getattr(self, f.name)[rows] for f in fields(self) if f.name not in _OF_PIXELS}
        of_pixels = {name: getattr(self, name)[pixels] for name in ("data", "mask", "background")}
        return Learned(**chosen, offsets=offsets, **of_pixels)


_OF_PIXELS = ("offsets", "data", "mask", "background")


@dataclass
class Piece:
    """Some spots of many with their weights; only they travel when it is sent to another process.

    Attributes
    ----------
    spots : Learned
    members : (m,) int64
    weights : (m,) float64
    profile : (size, size, size) float64
        Where to start from.
    """

    spots: Learned
    members: np.ndarray
    weights: np.ndarray
    profile: np.ndarray

    def __reduce__(self) -> tuple[Any, ...]:
        own = self.spots.select(self.members)
        return Piece, (own, np.arange(len(self.members)), self.weights, self.profile)

    def __repr__(self) -> str:
        return f"{len(self.members)} spots of a reference profile"


@dataclass(frozen=True)
class Sums:
    """Of one step of expectation, see `accumulate_profile`; ``total`` are the counts of all spots."""

    top: np.ndarray
    bottom: np.ndarray
    reach: np.ndarray
    total: float

    def __add__(self, other: Sums) -> Sums:
        return Sums(
            self.top + other.top, self.bottom + other.bottom, self.reach + other.reach, self.total + other.total
        )


@dataclass(frozen=True)
class Accumulate:
    """One step of expectation: sums of a piece over the grid of the profile.

    Attributes
    ----------
    step : float
        Of the grid.
    n_sub : int
        Sample points per edge of a pixel.
    """

    step: float
    n_sub: int

    def __call__(self, piece: Piece, profile: np.ndarray | None = None) -> Sums:
        """What the next profile is made of."""
        spots = piece.spots
        profile = piece.profile if profile is None else profile
        top, bottom, reach = (np.zeros_like(profile) for _ in range(3))
        total = accumulate_profile(
            spots.frames, spots.kz, np.ascontiguousarray(spots.xyz[:, 2]), spots.bbox, spots.offsets, spots.data, spots.mask,
            spots.background, piece.members, piece.weights, SPOT_COUNTS, profile, self.step, self.n_sub, top, bottom, reach,
        )  # fmt: skip
        return Sums(top, bottom, reach, total)


@dataclass(frozen=True)
class Improve:
    """Several steps of expectation maximisation, drawn towards the profile that they start from.

    Attributes
    ----------
    accumulate : Accumulate
    steps : int
    prior_counts : float
        Counts that the first profile weighs.
    """

    accumulate: Accumulate
    steps: int
    prior_counts: float

    def __call__(self, piece: Piece) -> np.ndarray:
        """The profile of the piece."""
        prior = profile = piece.profile
        for _ in range(self.steps):
            sums = self.accumulate(piece, profile)
            if sums.total <= 0.0:
                return prior
            profile = next_profile(profile, sums, prior, self.prior_counts)
        return profile


def next_profile(profile: np.ndarray, sums: Sums, prior: np.ndarray, prior_counts: float) -> np.ndarray:
    """The profile after one step of expectation maximisation, drawn towards ``prior`` as by so many counts.

    Points of the grid that the foreground covers by less than half are taken as empty: what lies there is not measured, and mass
    without evidence would raise all intensities. What is covered and shared with other spots is as ``prior`` says.
    """
    covered = sums.reach > 0.5 * sums.total
    least = 0.02 * sums.total if prior_counts == 0.0 else 0.0
    new = np.where(
        covered, (profile * sums.top + (prior_counts + least) * prior) / (sums.bottom + prior_counts + least), 0.0
    )
    sum_of_new = new.sum()
    return np.ascontiguousarray(new / sum_of_new) if sum_of_new > 0 else profile
