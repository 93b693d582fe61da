"""The protocol of indexing: lattices one after the other, refined together at rising resolution."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from spindle.contracts.indexing import IndexingError
from spindle.contracts.refiner import RefinementError, RefinementResult
from spindle.models import Crystal, Experiment, Experiments, derived_identifier
from spindle.params import Auto
from spindle.prediction import predict_for_indexed
from spindle.symmetry import ChangeOfBasis, constrain_crystal, primitive_operator
from spindle.table import Flag, ReflectionTable
from spindle_lib_refinement.flat_sphere import flat_sphere_text, tied_to_cell
from spindle_lib_refinement.short_refinement import Refinement
from spindle_lib_spots.max_cell import estimate_max_cell

from .index_assignment import assign
from .known_symmetry import KnownSymmetry
from .orientation import misorientation_deg
from .preparation import place_in_reciprocal_space, prepare
from .report_text import indexed_table, lattice_counts, models_text
from .search import LatticeSearch

_WORK_FLAGS = (
    Flag.INDEXED | Flag.PREDICTED | Flag.USED_IN_REFINEMENT | Flag.CENTROID_OUTLIER | Flag.EXCLUDED_FOR_REFINEMENT
)  # fmt: skip
#: Largest relative change of the cell's volume in a refinement that is believed.
MAX_VOLUME_CHANGE = 0.5


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
    warnings : list of str
        What is wrong with the geometry, for the user.
    """

    experiments: Experiments
    reflections: ReflectionTable
    given: Experiments
    last: RefinementResult | None
    max_cell: float
    warnings: list[str] = field(default_factory=list)

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


class Indexer:
    """Indexes sweeps with common crystals.

    Parameters
    ----------
    sweeps : Experiments
        Without crystals.
    spots : ReflectionTable
        Column imageset_id numbers the sweeps.
    params : Params
        The whole tree of the program.
    context : RunContext
    crystals : list of Crystal
        Known from the input; they are not searched for then.
    """

    def __init__(
        self,
        sweeps: Experiments,
        spots: ReflectionTable,
        params: Any,
        context: Any,
        crystals: list[Crystal] | None = None,
    ) -> None:
        self.sweeps, self.params, self.context = sweeps, params, context
        self.given_sweeps = sweeps
        self.given = list(crystals or [])
        self.known = KnownSymmetry.from_params(params.indexing.known_symmetry)
        self.stills = sweeps[0].is_still
        settings = tied_to_cell(params.refinement, sweeps, None if self.known is None else self.known.cell)
        self.refinement = Refinement(settings, context, self.stills)
        self.table = prepare(spots, sweeps, params.indexing)
        self.crystals: list[Crystal] = []
        self.last: RefinementResult | None = None
        self.identifiers: list[str] = []

    def run(self) -> Indexed:
        """Do it.

        Raises
        ------
        IndexingError
            If no lattice is found.
        """
        self.max_cell = self._max_cell()
        text = flat_sphere_text(
            self.sweeps, self.refinement.settings.parameterisation, "give it, indexing.known_symmetry.unit_cell="
        )
        if text:
            self.context.log.info("%s", text)
        search = LatticeSearch(self.params, self.refinement, self.context, self.known, self.max_cell)
        if self.given:
            self.context.log.info("Using %d known crystal(s) of the input instead of searching", len(self.given))
            self._add([self._in_known_setting(c) for c in self.given])
            self._macro_cycles(self._finest())
            return self._finish()
        max_lattices = self.params.indexing.multiple_lattice_search.max_lattices
        while len(self.crystals) < max_lattices:
            if self.crystals and not self._enough_left():
                break
            found = search.find(self.sweeps, self.table, self.crystals)
            if found is None:
                if self.crystals:
                    break
                raise IndexingError(self._nothing_found(search.last_error))
            crystal, d_min = found
            self._add([crystal])
            if not self._macro_cycles(d_min):
                break
        return self._finish()

    # -- pieces ----------------------------------------------------------------------------------------------

    def _max_cell(self) -> float:
        params = self.params.indexing
        if params.max_cell not in (Auto, None):
            value, how = float(params.max_cell), "Using"
        elif self.known is not None and self.known.cell is not None:
            value, how = params.max_cell_estimation.multiplier * self.known.longest_primitive_edge(), "Using"
        elif self.given:
            value, how = float(max(c.cell[:3].max() for c in self.given)), "Using"
        else:
            value, how = estimate_max_cell(self.table, params.max_cell_estimation), "Found"
        self.context.log.info("%s max_cell: %.1f Angstrom", how, value)
        return float(value)

    def _nothing_found(self, last_error: str) -> str:
        text = "index: no suitable lattice could be found."
        if last_error:
            text += f" The last candidate could not be refined: {last_error}."
        if self.known is not None:
            text += (
                " None of the candidates agrees with indexing.known_symmetry: leave unit_cell and space_group "
                "out to see which "
                "cell the spots have, or loosen max_delta, relative_length_tolerance and absolute_angle_tolerance."
            )
        return text + (
            " Look at the spots (ice, several crystals), check beam centre, distance, wavelength and rotation "
            "axis, or give max_cell="
        )

    def _finest(self) -> float:
        return float(1 / np.linalg.norm(self.table["rlp"], axis=1).max())

    def _d_star(self) -> np.ndarray:
        return np.asarray(np.linalg.norm(self.table["rlp"], axis=1))

    def _enough_left(self) -> bool:
        """Whether a further lattice is worth looking for."""
        cutoff = self.params.indexing.multiple_lattice_search.recycle_unindexed_reflections_cutoff or 0.0
        indexed = self.table["id"] >= 0
        d_star = self._d_star()
        within = d_star <= d_star[indexed].max(initial=0.0)
        return bool(np.count_nonzero(within & ~indexed) >= max(cutoff * np.count_nonzero(within), 5))

    def _add(self, crystals: list[Crystal]) -> None:
        for crystal in crystals:
            self.crystals.append(crystal)
            number = len(self.crystals)
            self.identifiers += [
                s.identifier if number == 1 else derived_identifier(s.identifier, i, "lattice", number)
                for i, s in enumerate(self.sweeps)
            ]

    def _drop_last(self) -> None:
        self.crystals.pop()
        del self.identifiers[-len(self.sweeps) :]

    def _in_known_setting(self, crystal: Crystal) -> Crystal:
        """A crystal of the input with the symmetry that the user asks for."""
        if self.known is None:
            return crystal
        primitive = primitive_operator(crystal.space_group).matrix @ crystal.real_space
        from spindle.symmetry import niggli_reduce

        A = self.known.constrained(niggli_reduce(primitive)[0])
        if A is None:
            raise IndexingError(
                f"index: the crystal of the input ({np.round(crystal.cell, 2).tolist()}) does not agree with "
                "indexing.known_symmetry"
            )
        return self.known.crystal(A)

    def experiments(self) -> Experiments:
        """All lattices with all sweeps."""
        items: list[Experiment] = []
        for crystal in self.crystals:
            for sweep in self.sweeps:
                items.append(replace(sweep, crystal=crystal, identifier=self.identifiers[len(items)]))
        return Experiments(items)

    def _index_all(self, d_min: float) -> None:
        """Give all spots up to a resolution their indices anew."""
        table = self.table.view()
        rows = np.flatnonzero(self._d_star() <= 1 / d_min if d_min > 0 else np.ones(len(table), dtype=bool))
        found = assign(
            table["rlp"][rows], table["xyzobs.mm.value"][rows, 2], table["imageset_id"][rows],
            [c.A for c in self.crystals], self.params.indexing.index_assignment,
        )  # fmt: skip
        number, hkl = np.full(len(table), -1, dtype=np.int32), np.zeros((len(table), 3), dtype=np.int32)
        indexed = found.lattice >= 0
        number[rows[indexed]] = found.lattice[indexed] * len(self.sweeps) + table["imageset_id"][rows[indexed]]
        hkl[rows[indexed]] = found.hkl[indexed]
        table["id"], table["miller_index"] = number, hkl
        flags = table["flags"] & ~np.uint64(int(_WORK_FLAGS))
        table["flags"] = flags | np.where(number >= 0, np.uint64(int(Flag.INDEXED)), np.uint64(0))
        self.table = table

    def _macro_cycles(self, d_min: float) -> bool:
        """Index and refine at rising resolution; False when the newest lattice had to be given up."""
        protocol = self.params.indexing.refinement_protocol
        cycles = protocol.n_macro_cycles if protocol.mode == "refine_shells" else 1
        finest = self._finest()
        step = protocol.d_min_step
        if step in (Auto, None):
            step = (d_min - finest) / (cycles - 1) if cycles > 1 else 0.0
            self.context.log.info("Using d_min_step %.2f", step)
        final = protocol.d_min_final
        for cycle in range(cycles):
            if cycle:
                d_min = max(d_min - step, 0.0, final or 0.0)
            if protocol.mode != "refine_shells":
                d_min = final or 0.0
            self.context.check_cancelled()
            last = cycle == cycles - 1 and final is None
            self._index_all(0.0 if last else d_min)
            if len(self.crystals) > 1 and self._coincides():
                self.context.log.info(
                    "The newest lattice is too close to an earlier one: it is dropped, the search ends"
                )
                return self._without_newest(d_min)
            self._report_indexed("Indexed crystal models:")
            if protocol.mode != "refine_shells":
                self.table = predict_for_indexed(self.experiments(), self.table)
                return True
            self.context.log.info("Starting refinement (macro-cycle %d)", cycle + 1)
            try:
                self._refine()
            except RefinementError as error:
                if len(self.crystals) == 1:
                    raise
                self.context.log.warning("The newest lattice cannot be refined and is dropped: %s", error)
                return self._without_newest(d_min)
            if cycle >= 2 and final is not None and d_min <= final:
                self.context.log.info("Target d_min_final reached: finished with refinement")
                break
        self._report_indexed("Refined crystal models:")
        return True

    def _without_newest(self, d_min: float) -> bool:
        self._drop_last()
        self._index_all(0.0)
        if self.params.indexing.refinement_protocol.mode == "refine_shells":
            self._refine()
        return False

    def _coincides(self) -> bool:
        limit = self.params.indexing.multiple_lattice_search.minimum_angular_separation or 0.0
        newest = self._primitive(self.crystals[-1])
        return any(misorientation_deg(self._primitive(c), newest) < limit for c in self.crystals[:-1])

    @staticmethod
    def _primitive(crystal: Crystal) -> np.ndarray:
        operator: ChangeOfBasis = primitive_operator(crystal.space_group)
        return np.asarray(operator.matrix @ crystal.real_space)

    def _refine(self) -> None:
        """One refinement of everything; models, predictions and flags are updated."""
        experiments = self.experiments()
        before = [c.volume for c in self.crystals]
        try:
            result = self.refinement.refine(experiments, self.table)
        except RefinementError as error:
            if self.refinement.settings.parameterisation.auto_reduction.action != "fail":
                raise
            self.context.log.info("%s\nRefining again with auto_reduction.action=fix", error)
            self.refinement.settings = self.refinement.settings.changed(parameterisation__auto_reduction__action="fix")
            result = self.refinement.refine(experiments, self.table)
        for table in result.tables:
            self.context.table(table)
        if result.reason:
            self.context.log.info("%s", result.reason)
        n = len(self.sweeps)
        crystals = [result.experiments[i * n].known_crystal for i in range(len(self.crystals))]
        if not self.params.indexing.refinement_protocol.disable_unit_cell_volume_sanity_check:
            for old, crystal in zip(before, crystals, strict=True):
                _check_volume(old, crystal.volume)
        self.crystals = crystals
        self.last = result
        self.sweeps = Experiments(
            [
                replace(sweep, beam=e.beam, detector=e.detector, goniometer=e.goniometer)
                for sweep, e in zip(self.sweeps, list(result.experiments)[:n], strict=True)
            ]
        )
        s1 = result.reflections["s1"]
        table = place_in_reciprocal_space(result.reflections, self.sweeps, self.params.indexing)
        indexed = (table["id"] >= 0) & np.any(s1 != 0, axis=1)
        table["s1"] = np.where(indexed[:, None], s1, table["s1"])
        self.table = table

    def _report_indexed(self, title: str) -> None:
        counts = lattice_counts(self.table, len(self.crystals), len(self.sweeps))
        self.context.log.info("%s", models_text(title, self.crystals, counts))
        self.context.table(indexed_table(self.table, len(self.sweeps)))

    def _finish(self) -> Indexed:
        experiments = self.experiments()
        table = self.table
        if self.known is not None and self.params.indexing.refinement_protocol.mode != "refine_shells":
            experiments = Experiments(
                [replace(e, crystal=constrain_crystal(e.crystal, self.known.group)) for e in experiments]
            )
        table.identifiers = {i: e.identifier for i, e in enumerate(experiments)}
        return Indexed(experiments, table, self.given_sweeps, self.last, self.max_cell)


def _check_volume(before: float, after: float) -> None:
    change = after / before - 1
    if abs(change) > MAX_VOLUME_CHANGE:
        raise RefinementError(
            f"refinement changed the volume of the cell by {100 * change:.1f} %, which is not believable. Refine "
            "fewer parameters: "
            "give space_group=, or detector.fix=all beam.fix=all; or the lattice is wrong (unit_cell=, max_cell=). "
            "indexing.refinement_protocol.disable_unit_cell_volume_sanity_check=True switches this check off"
        )
