"""The result of indexing."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from spindle.contracts.refiner import RefinementError, RefinementResult
from spindle.models import Experiments
from spindle.table import ReflectionTable

#: Largest relative change of the cell's volume in a refinement that is believed.
MAX_VOLUME_CHANGE = 0.5


@dataclass(frozen=True, slots=True)
class Sample:
    """All spots of some sweeps, and which of them were indexed.

    Attributes
    ----------
    every : ReflectionTable
    rows : (m,) int64
    """

    every: ReflectionTable
    rows: np.ndarray


@dataclass(slots=True)
class Indexed:
    """The result for sweeps that were indexed together.

    Attributes
    ----------
    experiments : Experiments
        Lattice by lattice, each with all sweeps.
    reflections : ReflectionTable
    given : Experiments
        The sweeps as they were before refinement, without crystals.
    last : RefinementResult or None
        The last refinement.
    max_cell : float, angstrom
    n_further : float
        Spots that a further lattice explains, which was not asked for.
    warnings : list of str
        What is wrong with the geometry, for the user.
    taken : Sample or None
        All spots, where those in `reflections` are a part of them.
    harmonic : int
        Of the beam, whose spots lie between the points of the lattices; 0 for none.
    cause : str
        Why few spots are indexed, where a trial has shown that; empty otherwise.
    """

    experiments: Experiments
    reflections: ReflectionTable
    given: Experiments
    last: RefinementResult | None
    max_cell: float
    warnings: list[str] = field(default_factory=list)
    n_further: float = 0.0
    taken: Sample | None = None
    harmonic: int = 0
    cause: str = ""

    @property
    def n_sweeps(self) -> int:
        """Number of sweeps."""
        return len(self.given)

    @property
    def n_lattices(self) -> int:
        """Number of crystals."""
        return len(self.experiments) // self.n_sweeps

    @property
    def n_indexed(self) -> int:
        """Number of spots with an index."""
        return int(np.count_nonzero(self.reflections["id"] >= 0))


def check_volume(before: float, after: float) -> None:
    """Refuse a refinement that changed the volume of a cell too much.

    Raises
    ------
    RefinementError
    """
    change = after / before - 1
    if abs(change) > MAX_VOLUME_CHANGE:
        raise RefinementError(
            f"refinement changed the volume of the cell by {100 * change:.1f} %, which is not believable. Refine "
            "fewer parameters: "
            "give space_group=, or detector.fix=all beam.fix=all; or the lattice is wrong (unit_cell=, max_cell=). "
            "indexing.refinement_protocol.disable_unit_cell_volume_sanity_check=True switches this check off"
        )
