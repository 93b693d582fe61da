"""Layers of the lattice."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from spindle.errors import ParameterError

__all__ = ["Plane", "planes_of"]

_NAMES = (
    (re.compile(r"^(-?\d+)kl$"), 0, (1, 2)),
    (re.compile(r"^h(-?\d+)l$"), 1, (0, 2)),
    (re.compile(r"^hk(-?\d+)$"), 2, (0, 1)),
)
_STARS = ("a*", "b*", "c*")


@dataclass(frozen=True)
class Plane:
    """One layer.

    Attributes
    ----------
    name : str
        As ``hk0``.
    axis, level : int
        Which index is held fast, and its value.
    free : (int, int)
        The other two: the first is to the right in the picture.
    """

    name: str
    axis: int
    level: int
    free: tuple[int, int]

    @property
    def axes(self) -> tuple[str, str]:
        """What is to the right, and what upwards (or nearest to it)."""
        return _STARS[self.free[0]], _STARS[self.free[1]]

    def directions(self, A: np.ndarray) -> np.ndarray:
        """(2, 3) float64, 1/angstrom: from indices to places in the picture.

        Parameters
        ----------
        A : (3, 3) float64, 1/angstrom
            Columns are a*, b*, c*.
        """
        first, second = A[:, self.free[0]], A[:, self.free[1]]
        right = first / np.linalg.norm(first)
        up = second - (second @ right) * right
        up /= np.linalg.norm(up)
        return np.asarray(np.stack([right, up]) @ A)


def planes_of(names: tuple[str, ...] | None) -> list[Plane]:
    """Layers by their names.

    Raises
    ------
    ParameterError
        For a name that is none.
    """
    found = []
    for name in dict.fromkeys(names or ()):
        word = name.strip().lower()
        for pattern, axis, free in _NAMES:
            if match := pattern.match(word):
                found.append(Plane(word, axis, int(match[1]), free))
                break
        else:
            raise ParameterError(
                f"slices.planes={name}: no layer of a lattice; write two letters of h, k, l and a number in place of the "
                "third: hk0, 0kl, h-1l"
            )
    return found
