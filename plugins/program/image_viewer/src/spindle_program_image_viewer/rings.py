"""Lines of equal resolution on the panels."""

from __future__ import annotations

from collections.abc import Sequence

import gemmi
import numpy as np

import spindle_lib_ice as ice
from spindle.errors import ParameterError
from spindle.models import Beam, Detector

__all__ = ["ice_spacings", "powder_spacings", "ring_lines", "round_spacings"]

_DIRECTIONS = 720


def round_spacings(detector: Detector, beam: Beam, n: int = 6) -> list[float]:
    """Resolutions, angstrom, whose rings are about equally far apart from the beam to the corner of the detector."""
    s_max = 1.0 / detector.max_resolution(beam.s0)
    found = []
    for k in range(1, n + 1):
        d = n / (k * s_max)
        digits = max(0, 1 - int(np.floor(np.log10(d))))
        found.append(float(np.round(d, digits)))
    return found


def powder_spacings(
    unit_cell: Sequence[float], space_group: str, d_min: float, only: Sequence[Sequence[int]] = ()
) -> list[float]:
    """Spacings (angstrom) of the powder lines of a crystal, widest first; of the indices `only` where there are any."""
    if len(unit_cell) != 6 or min(unit_cell) <= 0:
        raise ParameterError(f"unit_cell={unit_cell}: six positive numbers expected")
    cell = gemmi.UnitCell(*unit_cell)
    symmetry = gemmi.find_spacegroup_by_name(space_group)
    if symmetry is None:
        raise ParameterError(f"space_group={space_group}: is not known")
    if cell.volume / max(d_min, 1e-3) ** 3 > 2e6:
        raise ParameterError(f"unit_cell={unit_cell}: has too many rings to {d_min:.2f} A; give a larger d_min")
    if only:
        hkl = np.array(only, np.int32).reshape(-1, 3)
    else:
        hkl = gemmi.make_miller_array(cell, symmetry, d_min, 0, unique=True)
    squares = np.unique(np.round(cell.calculate_1_d2_array(hkl), 9))
    return [float(d) for d in 1.0 / np.sqrt(squares[squares > 0])]


def ice_spacings(d_min: float) -> list[float]:
    """Spacings of the powder lines of hexagonal ice."""
    return powder_spacings(ice.UNIT_CELL, ice.SPACE_GROUP, d_min)


def ring_lines(detector: Detector, beam: Beam, d: float) -> list[tuple[int, np.ndarray]]:
    """The ring of one resolution: of each panel that it crosses the pieces of line on it.

    Returns
    -------
    list of (int, (n, 2) float64)
        Panel, and pixel positions from one to the next.
    """
    half = beam.wavelength / (2.0 * d)
    if half > 1.0:
        return []
    theta = 2.0 * np.arcsin(half)
    along = np.asarray(beam.s0) / np.linalg.norm(beam.s0)
    across = np.cross(along, [1.0, 0.0, 0.0] if abs(along[0]) < 0.9 else [0.0, 1.0, 0.0])
    across /= np.linalg.norm(across)
    phi = np.linspace(0.0, 2.0 * np.pi, _DIRECTIONS + 1)
    rays = np.cos(theta) * along + np.sin(theta) * (
        np.cos(phi)[:, None] * across + np.sin(phi)[:, None] * np.cross(along, across)
    )
    found = []
    for number, panel in enumerate(detector):
        v = rays @ detector.D[number].T
        seen = v[:, 2] > 1e-9
        mm = v[:, :2] / np.where(seen, v[:, 2], 1.0)[:, None]
        seen &= np.all((mm > -1.0) & (mm < panel.size_mm + 1.0), axis=1)
        if not seen.any():
            continue
        xy = detector.mm_to_pixel(number, np.where(seen[:, None], mm, 0.0))
        seen &= np.all((xy >= -0.5) & (xy <= np.array(panel.image_size) + 0.5), axis=1)
        edges = np.flatnonzero(np.diff(np.concatenate([[0], seen.astype(np.int8), [0]])))
        found += [(number, xy[a:b]) for a, b in edges.reshape(-1, 2) if b - a > 1]
    return found
