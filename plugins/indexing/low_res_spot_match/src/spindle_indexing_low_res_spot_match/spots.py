"""Which spots are matched, and the indices that each could have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gemmi
import numpy as np

from spindle.models import Experiment
from spindle.table import ReflectionTable


@dataclass(frozen=True)
class Spots:
    """Spots of low resolution.

    Attributes
    ----------
    rlp : (n, 3) float64, 1/angstrom
    inner, outer : (n,) float64, 1/angstrom
        Between which lengths their lattice points lie.
    """

    rlp: np.ndarray
    inner: np.ndarray
    outer: np.ndarray

    @property
    def band(self) -> np.ndarray:
        """(n,) float64, 1/angstrom: half of the width between `inner` and `outer`."""
        return (self.outer - self.inner) / 2


@dataclass(frozen=True)
class Indexed:
    """Spots, each with one of the indices that it could have.

    Attributes
    ----------
    spot : (k,) int64
        Row of `Spots`.
    hkl : (k, 3) int64
    point : (k, 3) float64, 1/angstrom
        The lattice point in the frame of the crystal.
    rlp : (k, 3) float64, 1/angstrom
        The spot.
    band : (k,) float64, 1/angstrom
    """

    spot: np.ndarray
    hkl: np.ndarray
    point: np.ndarray
    rlp: np.ndarray
    band: np.ndarray


def candidate_spots(still: Experiment, table: ReflectionTable, params: Any) -> Spots:
    """The spots of lowest resolution, with the distances from the beam that their standard deviations allow.

    Parameters
    ----------
    still : Experiment
    table : ReflectionTable
        Columns panel, rlp, xyzobs.mm.value, xyzobs.mm.variance.
    params : Params
        The scope ``candidate_spots``.
    """
    rlp = np.asarray(table["rlp"], dtype=np.float64)
    length = np.linalg.norm(rlp, axis=1)
    order = np.argsort(length, kind="stable")
    order = order[length[order] > 0]
    if params.limit_resolution_by == "n_spots":
        order = order[: params.n_spots]
    else:
        order = order[length[order] <= 1 / params.d_min]
    mm = table["xyzobs.mm.value"][order]
    lab = still.detector.lab_coordinate(table["panel"][order].astype(np.int64), mm[:, :2])
    unit = still.beam.s0 / np.linalg.norm(still.beam.s0)
    outwards = lab - (lab @ unit)[:, None] * unit
    outwards /= np.maximum(np.linalg.norm(outwards, axis=1), 1e-12)[:, None]
    sigma = np.sqrt(np.mean(table["xyzobs.mm.variance"][order][:, :2], axis=1))
    step = params.d_star_tolerance * sigma[:, None] * outwards
    inner, outer = (_d_star(still, x) for x in (lab - step, lab + step))
    return Spots(rlp[order], np.minimum(inner, outer), np.maximum(inner, outer))


def _d_star(still: Experiment, lab: np.ndarray) -> np.ndarray:
    ray = lab / (np.linalg.norm(lab, axis=1)[:, None] * still.beam.wavelength)
    return np.asarray(np.linalg.norm(ray - still.beam.s0, axis=1))


def indices_within(spots: Spots, reciprocal: np.ndarray, group: gemmi.SpaceGroup, unique: bool) -> Indexed:
    """All indices in the bands of the spots.

    Parameters
    ----------
    spots : Spots
    reciprocal : (3, 3) float64, 1/angstrom
        Columns a*, b*, c* in the frame of the crystal.
    group : gemmi.SpaceGroup
        Indices that its centring forbids are left out; other absent ones are not, since electrons scatter twice.
    unique : bool
        Only one of indices, and its opposite, that are equal by symmetry.
    """
    longest = float(spots.outer.max())
    direct = np.linalg.inv(reciprocal)
    most = np.floor(np.linalg.norm(direct, axis=1) * longest + 1e-9).astype(int)
    grid = np.stack(np.meshgrid(*[np.arange(-m, m + 1) for m in most], indexing="ij"), axis=-1).reshape(-1, 3)
    operations = group.operations()
    length = np.linalg.norm(grid @ reciprocal.T, axis=1)
    grid = grid[(length > 0) & (length <= longest)]
    centring = np.array([[t / gemmi.Op.DEN for t in op] for op in operations.cen_ops], dtype=np.float64)
    phase = grid @ centring.T
    grid = grid[np.all(np.abs(phase - np.rint(phase)) < 1e-6, axis=1)]
    if unique:
        asu = gemmi.ReciprocalAsu(group)
        grid = grid[[asu.is_in(h) for h in grid.tolist()]]
        # Opposite indices are equal in intensity, but no rotation of the crystal makes one of the other: which of both it is decides how it lies.
        grid = np.unique(np.concatenate([grid, -grid]), axis=0)
    point = grid @ reciprocal.T
    length = np.linalg.norm(point, axis=1)
    spot, row = np.nonzero((length >= spots.inner[:, None]) & (length <= spots.outer[:, None]))
    return Indexed(spot, grid[row], point[row], spots.rlp[spot], spots.band[spot])
