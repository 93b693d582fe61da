"""Cells and space groups that a file of several experiments states once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from spindle.errors import UserError
from spindle.models import Crystal, Experiment, Experiments

if TYPE_CHECKING:
    import gemmi

__all__ = ["bravais_lattice", "cell_for_export", "cell_of", "laboratory_matrices", "the_space_group"]

RECALCULATED = "recalculated_unit_cell"


def cell_of(crystal: Crystal) -> tuple[np.ndarray, np.ndarray | None]:
    """Cell that is best known and its standard deviations, (6,) each: that of `two_theta_refine` where there is one."""
    found = crystal.extra.get(RECALCULATED)
    if found is None:
        return crystal.cell, crystal.cell_sd
    return np.asarray(found, dtype=np.float64), crystal.cell_sd


def cell_for_export(experiments: Experiments, given: Any = None) -> tuple[np.ndarray, np.ndarray | None]:
    """The one cell of a file and its standard deviations.

    Parameters
    ----------
    experiments : Experiments
        Each has a crystal.
    given : cell, optional
        What the user wants.

    Returns
    -------
    cell : (6,) float64, angstrom and degrees
        The one given, else the median over the crystals of the cell that is best known of each.
    sd : (6,) float64 or None
        Medians of the standard deviations; None where a crystal has none.
    """
    if given is not None:
        return np.asarray(getattr(given, "parameters", given), dtype=np.float64), None
    found = [cell_of(e.known_crystal) for e in experiments]
    deviations = [sd for _, sd in found if sd is not None]
    sd = np.median(deviations, axis=0) if len(deviations) == len(found) else None
    return np.median([cell for cell, _ in found], axis=0), sd


def the_space_group(experiments: Experiments, name: str) -> gemmi.SpaceGroup:
    """The space group of all experiments.

    Parameters
    ----------
    experiments : Experiments
    name : str
        Of the format, for messages.

    Raises
    ------
    UserError
        Without experiments, without a crystal, or if the space groups differ.
    """
    crystals = [e.crystal for e in experiments]
    if not crystals or any(c is None for c in crystals):
        raise UserError(
            f"export format={name}: an experiment has no crystal; run spindle index and spindle integrate first"
        )
    groups = {c.space_group.xhm(): c.space_group for c in crystals if c is not None}
    if len(groups) > 1:
        names = ", ".join(sorted(groups))
        raise UserError(
            f"export format={name}: the experiments have different space groups ({names}); run spindle symmetry first"
        )
    return next(iter(groups.values()))


def bravais_lattice(group: gemmi.SpaceGroup) -> str:
    """Letter of the crystal family and of the centring, such as mC or hR."""
    families = {
        "triclinic": "a", "monoclinic": "m", "orthorhombic": "o", "tetragonal": "t", "trigonal": "h", "hexagonal": "h",
        "cubic": "c",
    }  # fmt: skip
    centring = group.hm[0]
    return families[group.crystal_system_str()] + ("S" if centring in "AB" else centring)


def laboratory_matrices(experiment: Experiment, z: np.ndarray, interpolate: bool = True) -> np.ndarray:
    """A in the laboratory frame at rotation angle zero, for each place in the scan.

    Parameters
    ----------
    experiment : Experiment
        With a crystal.
    z : (n,) float, array index
        Where the model varies with the scan: linear between the edges of images.
    interpolate : bool
        False takes the nearest edge.

    Returns
    -------
    (n, 3, 3) float64, 1/angstrom
        S F A; the scan's rotation about S e comes after it.
    """
    crystal, scan, goniometer = experiment.known_crystal, experiment.scan, experiment.goniometer
    points = crystal.A_at_scan_points
    if points is None or scan is None or len(points) != scan.n_images + 1:
        matrices = np.broadcast_to(crystal.A, (len(z), 3, 3))
    else:
        place = np.clip(np.asarray(z, float) - scan.array_range[0], 0, len(points) - 1)
        if interpolate:
            low = np.minimum(place.astype(np.int64), len(points) - 2)
            part = (place - low)[:, None, None]
            matrices = (1 - part) * points[low] + part * points[low + 1]
        else:
            matrices = points[np.rint(place).astype(np.int64)]
    if goniometer is None:
        return np.asarray(matrices)
    return np.asarray(goniometer.setting_rotation @ goniometer.fixed_rotation @ matrices)
