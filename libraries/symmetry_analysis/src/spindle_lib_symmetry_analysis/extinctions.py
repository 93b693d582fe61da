"""Screw axes and glide planes together: which space groups of a Laue group forbid reflections that indeed are not there."""

from __future__ import annotations

from dataclasses import dataclass

import gemmi
import numpy as np

from spindle.errors import ParameterError
from spindle.symmetry import is_centring_absent, is_systematically_absent, patterson_group

__all__ = ["Extinction", "best_extinction", "candidates", "extinctions"]

#: Intensities above this many sigma are there.
PRESENT = 5.0
#: Part of the forbidden reflections that may be there all the same (several reflections at once, half the wavelength), and their mean
#: intensity relative to that of the others.
MOST_PRESENT, MOST_INTENSITY = 0.15, 0.05
#: However many are there, if they are as weak as this relative to the others; and mean I / sigma of what is noise.
LEAST_INTENSITY, NOISE = 0.02, 1.5
#: <|E^2 - 1|> of centrosymmetric crystals is 0.968, of others 0.736.
CENTRIC, ACENTRIC = 0.968, 0.736


@dataclass(frozen=True, slots=True)
class Extinction:
    """Space groups that forbid the same measured reflections.

    Attributes
    ----------
    groups : tuple of gemmi.SpaceGroup
    n : int
        Forbidden reflections that were measured, those of the centring left out.
    ratio : float
        Their mean I / sigma; NaN where there are none.
    present : float
        Part of them that is there.
    intensity : float
        Their mean intensity relative to that of the others.
    """

    groups: tuple[gemmi.SpaceGroup, ...]
    n: int
    ratio: float
    present: float
    intensity: float

    @property
    def is_consistent(self) -> bool:
        """Whether what they forbid is not there."""
        few = self.present <= MOST_PRESENT and (self.intensity <= MOST_INTENSITY or self.ratio <= NOISE)
        return self.n == 0 or few or self.intensity <= LEAST_INTENSITY

    @property
    def names(self) -> str:
        """The groups, in words."""
        return ", ".join(g.xhm() for g in self.groups)


def candidates(laue: gemmi.SpaceGroup) -> list[gemmi.SpaceGroup]:
    """Space groups, in all settings, whose Patterson symmetry is a group."""
    wanted = patterson_group(laue).xhm()
    found = []
    for group in gemmi.spacegroup_table():
        if group.centring_type() != laue.centring_type() or group.laue_str() != laue.laue_str():
            continue
        try:
            if patterson_group(group).xhm() == wanted:
                found.append(group)
        except ParameterError:
            continue  # a setting whose Patterson group has no name
    return found


def extinctions(laue: gemmi.SpaceGroup, hkl: np.ndarray, intensity: np.ndarray, sigma: np.ndarray) -> list[Extinction]:
    """Every pattern of forbidden reflections that the groups of a Laue group make, the most forbidding first.

    Parameters
    ----------
    laue
        Any group of the Laue group, in the setting of the indices.
    hkl : (n, 3) int
        Merged in the Laue group.
    intensity, sigma : (n,) float64
    """
    of_centring = is_centring_absent(hkl, laue)
    patterns: dict[bytes, tuple[np.ndarray, list[gemmi.SpaceGroup]]] = {}
    for group in candidates(laue):
        absent = is_systematically_absent(hkl, group) & ~of_centring
        patterns.setdefault(absent.tobytes(), (absent, []))[1].append(group)
    found = []
    for absent, groups in patterns.values():
        n = int(np.count_nonzero(absent))
        if not n:
            found.append(Extinction(tuple(groups), 0, np.nan, 0.0, 0.0))
            continue
        ratio = intensity[absent] / sigma[absent]
        others = intensity[~absent & ~of_centring]
        mean = float(others.mean()) if len(others) else np.nan
        found.append(
            Extinction(
                tuple(groups), n, float(ratio.mean()), float((ratio > PRESENT).mean()),
                float(intensity[absent].mean()) / mean if mean > 0 else np.nan,
            )
        )  # fmt: skip
    return sorted(found, key=lambda e: -e.n)


def best_extinction(found: list[Extinction]) -> Extinction:
    """The pattern that forbids most of what is not there, and nothing else."""
    return next(e for e in found if e.is_consistent)


def chosen_group(extinction: Extinction, deviation: float) -> tuple[gemmi.SpaceGroup, bool]:
    """One of the groups of an extinction, by the mean of |E^2 - 1| of its general reflections.

    Returns
    -------
    gemmi.SpaceGroup
        The standard setting and the smallest number where several remain; without a centre of inversion rather one of chiral molecules.
    is_centric : bool
    """
    centric = bool(deviation > 0.5 * (CENTRIC + ACENTRIC))
    fitting = [g for g in extinction.groups if g.is_centrosymmetric() == centric] or list(extinction.groups)
    best = min(fitting, key=lambda g: (not centric and not g.is_sohncke(), not g.is_reference_setting(), g.number))
    return best, centric
