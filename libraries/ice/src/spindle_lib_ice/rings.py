"""Powder rings as ranges of 1/d^2."""

from __future__ import annotations

import numpy as np

#: Hexagonal ice (ice Ih) at 1 atm: cell (angstrom, degrees) and space group.
UNIT_CELL = (4.498, 4.498, 7.338, 90.0, 90.0, 120.0)
SPACE_GROUP = "P 63/m m c"

#: Full width of a ring in 1/d^2 (1/angstrom^2) where pixels are masked.
WIDTH = 0.002
#: The same where spots are judged, whose centroids scatter about the ring: twice as wide.
SPOT_WIDTH = 2 * WIDTH

#: (14, 2) float64, 1/angstrom^2: the strong rings, each as wide as it is seen in integrated data. The limits are those of DIALS;
#: weak rings (1/d^2 = 0.297, 0.363, 0.495, 0.530) are not among them.
BROAD_RINGS = np.array([
    (0.0640, 0.0690), (0.0710, 0.0780), (0.0825, 0.0880), (0.138, 0.144), (0.190, 0.205), (0.228, 0.240), (0.262, 0.266),
    (0.267, 0.278), (0.280, 0.288), (0.337, 0.341), (0.429, 0.435), (0.459, 0.466), (0.478, 0.486), (0.531, 0.537),
])  # fmt: skip
BROAD_RINGS.setflags(write=False)


def ring_intervals(
    d_min: float,
    width: float = WIDTH,
    unit_cell: tuple[float, ...] = UNIT_CELL,
    space_group: str = SPACE_GROUP,
) -> np.ndarray:
    """Ranges of 1/d^2 that the powder rings of a crystal cover, of ice if no other is named.

    Parameters
    ----------
    d_min : float, angstrom
        Highest resolution of a ring's middle.
    width : float, 1/angstrom^2
        Full width of a ring.
    unit_cell : six float
        Angstrom, degrees.
    space_group : str
        Any symbol that gemmi knows; its systematic absences make no rings.

    Returns
    -------
    (n, 2) float64, 1/angstrom^2
        Ascending, without overlaps.
    """
    if (unit_cell, space_group) == (UNIT_CELL, SPACE_GROUP):
        found = _squares_of_ice(d_min)
    else:
        import gemmi

        cell = gemmi.UnitCell(*unit_cell)
        indices = gemmi.make_miller_array(cell, gemmi.find_spacegroup_by_name(space_group), d_min, 0, unique=True)
        found = cell.calculate_1_d2_array(indices)
    ordered = np.sort(np.round(found, 9))
    squares = ordered[np.diff(ordered, prepend=-1.0) > 0]
    merged: list[list[float]] = []
    for low, high in np.stack([squares - width / 2, squares + width / 2], axis=1):
        if merged and low <= merged[-1][1]:
            merged[-1][1] = high
        else:
            merged.append([low, high])
    return np.array(merged).reshape(-1, 2)


def _squares_of_ice(d_min: float) -> np.ndarray:
    """1/d^2 of the reflections of hexagonal ice, some more than once; most programs need no other rings, nor gemmi for them.

    Of P 63/m m c, (0 0 l) and (h h l) with odd l are absent.
    """
    a, c = UNIT_CELL[0], UNIT_CELL[2]
    n, m = int(a / d_min) + 1, int(c / d_min) + 1
    h, k, l = np.ogrid[: n + 1, : n + 1, : m + 1]
    squares = 4.0 / 3.0 * (h * h + h * k + k * k) / a**2 + (l / c) ** 2
    seen = (squares <= 1.0 / d_min**2) & (h + k + l > 0) & ((h != k) | (l % 2 == 0))
    return squares[seen]


def in_intervals(values: np.ndarray, intervals: np.ndarray) -> np.ndarray:
    """Whether each value lies in one of the ascending, disjoint intervals (n, 2); bool of the shape of `values`."""
    return np.asarray(np.searchsorted(intervals.ravel(), values) % 2 == 1)


def in_broad_ring(d: np.ndarray) -> np.ndarray:
    """Whether reflections of resolution `d` (angstrom) may hold ice, (n,) bool; see `BROAD_RINGS`."""
    return in_intervals(1.0 / np.asarray(d, np.float64) ** 2, BROAD_RINGS)
