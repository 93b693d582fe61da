"""What positions of spots cannot tell where the Ewald sphere is nearly flat, as it is for electrons.

At a distance F a reflection of spacing d lies at x = F tan 2theta = F u (1 + 3 u^2 / 8 + ...) from the beam, u = wavelength / d. Only
the second term tells F from the cell: 0.2 of the radius for X-rays of 1 angstrom at 1.5 angstrom, 4e-4 for electrons of 200 kV at 0.8
angstrom, which distortions of the lenses exceed. Tilts of the detector are as weak.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from spindle.geometry import ELECTRONS_BELOW_A
from spindle.models import Experiment, Experiments
from spindle.params import Auto

__all__ = ["RELATIVE_SIGMA", "SIGMA_DEG", "flat_sphere_text", "held_parameters", "is_flat", "tied_to_cell"]

#: Parameters of a detector that positions hardly tell.
TILTS, DISTANCE = ("Tau2", "Tau3"), ("Dist",)
#: How well a cell that a user knows is taken to be known: edges as a fraction, and angles.
RELATIVE_SIGMA, SIGMA_DEG = 1e-3, 0.1


def is_flat(experiment: Experiment) -> bool:
    """Whether the beam is of electrons."""
    return experiment.beam.probe == "electron" or experiment.beam.wavelength < ELECTRONS_BELOW_A


def held_parameters(
    experiments: Experiments, users: Iterable[int], parameterisation: Any, cell_is_constant: bool = True
) -> tuple[str, ...]:
    """Parameters of a detector that ``detector.fix=Auto`` keeps as they are.

    Parameters
    ----------
    experiments : Experiments
    users : iterable of int
        Experiments that have the detector.
    parameterisation : Params
        The scope ``refinement.parameterisation``.
    cell_is_constant : bool
        False where cells vary with the scan, so that nothing ties them.

    Returns
    -------
    tuple of str
        Names without that of the detector: none for X-rays; for electrons the tilts, and the distance unless a cell is known.
    """
    own = list(users)
    if not any(is_flat(experiments[i]) for i in own):
        return ()
    known = cell_is_constant and any(_cell_is_known(i, parameterisation) for i in own)
    return TILTS if known else DISTANCE + TILTS


def _cell_is_known(number: int, parameterisation: Any) -> bool:
    """Whether the cell of an experiment is fixed or tied to a target."""
    crystal = parameterisation.crystal
    if crystal.fix in ("all", "cell"):
        return True
    return any(
        tie.values is not None
        and tie.sigmas is not None
        and any(sigma > 0 for sigma in tie.sigmas[:3])
        and (tie.id is None or number in tie.id)
        for tie in crystal.unit_cell.restraints.tie_to_target
    )


def flat_sphere_text(experiments: Experiments, parameterisation: Any, remedy: str) -> str:
    """What the user should know of the parameters that are kept; "" where none is kept by itself.

    Parameters
    ----------
    experiments : Experiments
    parameterisation : Params
        The scope ``refinement.parameterisation``.
    remedy : str
        How this program is told a cell, as in "give it with ...".
    """
    if parameterisation.detector.fix is not Auto:
        return ""
    held: set[str] = set()
    for detector in experiments.unique("detector"):
        held |= set(held_parameters(experiments, experiments.indices_with("detector", detector), parameterisation))
    if not held:
        return ""
    if "Dist" not in held:
        return (
            "Electrons: the cell is known, so that the distance is refined; the tilts of the detector stay as they are "
            "(detector.fix=Auto)"
        )
    return (
        "Electrons: positions of spots tell the ratio of distance and cell only. The distance and the tilts of the detector stay as "
        f"they are (detector.fix=Auto), and the cell is as right as the distance. Where the cell is known better, {remedy}: "
        "then the distance is refined"
    )


def tied_to_cell(refinement: Any, sweeps: Experiments, cell: Sequence[float] | np.ndarray | None) -> Any:
    """The scope ``refinement``, with cells tied to one that the user knows where that makes the distance a result.

    Parameters
    ----------
    refinement : Params
        The scope ``refinement``.
    sweeps : Experiments
    cell : (6,) float or None
        Angstrom and degrees, in the setting of the crystals.

    Returns
    -------
    Params
        The same object where there are no electrons, or the user has said what is fixed or tied.
    """
    scope = refinement.parameterisation
    is_chosen = scope.detector.fix is not Auto or scope.crystal.fix is not None
    is_chosen |= bool(scope.crystal.unit_cell.restraints.tie_to_target)
    if cell is None or is_chosen or not any(is_flat(sweep) for sweep in sweeps):
        return refinement
    values = [float(v) for v in cell]
    sigmas = [RELATIVE_SIGMA * v for v in values[:3]] + [SIGMA_DEG] * 3
    tie = {"values": values, "sigmas": sigmas}
    return refinement.changed({"parameterisation.crystal.unit_cell.restraints.tie_to_target": [tie]})
