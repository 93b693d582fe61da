"""How detector and beam stand to the axis of rotation, kept where drifting crystals hide it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .problem import Problem

__all__ = ["USUAL_TURN", "Standing", "seen_turn", "standing_of"]

#: Degrees that crystals usually turn by, beside what the goniometer does, during a scan.
USUAL_TURN = 0.05
#: Turns of detector, beam and axis about the beam and about what is across beam and axis, in mrad.
TURNS = re.compile(r"^(Detector\d+(Group\d+)?Tau1|Beam\d+Mu2|Goniometer\d+Gamma[12])$")


@dataclass(frozen=True, slots=True)
class Standing:
    """Turns tied to what they were with constant crystals.

    A crystal that turns steadily while it is rotated looks like one that is rotated about another axis: where orientations vary with the scan,
    spots of narrow scans leave the turn of detector and beam about the axis open by degrees, and with it Lorentz factors near the axis by tenths.
    Crystals turn by hundredths of a degree (`USUAL_TURN`) or, where that is more, by as much as they are seen to turn with this restraint. What a
    steady turn by so much would feign is its standard deviation.

    Attributes
    ----------
    places : (k,) int64
        Where they are among all values.
    start : (k,) float64, mrad
    sigma : (k,) float64, mrad
    unit : float
        Weighted square of a residual that is as large as its error, since weights of spots are relative.
    """

    places: np.ndarray
    start: np.ndarray
    sigma: np.ndarray
    unit: float

    @property
    def n_residuals(self) -> int:
        """Number of residuals."""
        return len(self.places)

    def add(self, everything: np.ndarray, problem: Problem, N: np.ndarray, g: np.ndarray, gradients: bool) -> float:
        """Add the restraint's part to the normal equations; return half its weighted sum of squares."""
        number = problem.number[self.places]
        free = number >= 0
        number, weight = number[free], self.unit / self.sigma[free] ** 2
        off = (everything[self.places] - self.start)[free]
        if gradients:
            g[number] += weight * off
            N[number, number] += weight
        return 0.5 * float(weight @ off**2)


def seen_turn(problem: Problem, x: np.ndarray) -> float:
    """Degrees that the crystals turn by at most about any axis during their scans, `USUAL_TURN` at least."""
    turn, everything = USUAL_TURN, problem.expand(x)
    for block in problem.blocks:
        if block.kind == "orientation" and block.smoother is not None:
            for k in block.experiments:
                first, last = problem.experiments[k].known_scan.array_range
                turns = np.ptp(block.at(everything, np.arange(first, last + 1.0)), axis=0)
                turn = max(turn, float(np.degrees(1e-3 * turns.max())))
    return turn


def standing_of(problem: Problem, turn: float, unit: float) -> list[Standing]:
    """The restraint of a problem with orientations that vary with the scan; none for others.

    Parameters
    ----------
    problem : Problem
    turn : float, degrees
        That crystals may turn by.
    unit : float
        See `Standing`.
    """
    if not any(b.kind == "orientation" and b.smoother is not None for b in problem.blocks):
        return []
    named = [i for i, name in enumerate(problem.all_names) if TURNS.match(name) and problem.number[i] >= 0]
    if not named:
        return []
    places = np.array(named, dtype=np.int64)
    places = places[np.unique(problem.number[places], return_index=True)[1]]  # panels that turn together once
    scans = [e.known_scan for e in problem.experiments]
    width = max(abs(s.oscillation_deg[1]) * s.n_images for s in scans)
    sigma = np.full(len(places), 1e3 * turn / max(width, 1e-6))
    return [Standing(places, problem.start[places], sigma, max(unit, 1e-12))]
