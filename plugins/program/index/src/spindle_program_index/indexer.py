"""The protocol of indexing: lattices one after the other, refined together at rising resolution."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from spindle.contracts.indexing import IndexingError
from spindle.contracts.refiner import RefinementError, RefinementResult
from spindle.models import Crystal, Experiment, Experiments, derived_identifier
from spindle.params import Auto
from spindle.report import DETAIL
from spindle.symmetry import constrain_crystal, niggli_reduce, primitive_operator
from spindle.table import Flag, ReflectionTable
from spindle_lib_refinement.flat_sphere import flat_sphere_text, tied_to_cell
from spindle_lib_refinement.short_refinement import Refinement

from .beam_shift import shifted
from .centring import is_tried_centred
from .evidence import MOST_SHARED, improve, share
from .index_assignment import assign
from .indexed import Indexed, check_volume
from .judgement import FEWEST_SPOTS, describe, fault
from .known_symmetry import KnownSymmetry
from .multiples import right_cell
from .orientation import misorientation_deg, primitive_basis
from .preparation import longest_edge, place_in_reciprocal_space, prepare
from .proposals import reduced_basis
from .refusals import Refusal, nothing_found
from .report_text import cycle_text, indexed_table, lattice_counts, matrices_text, models_text
from .search import Found, LatticeSearch
from .several import free_spots, least_convincing, matrix_of, predicted_spots, unlikely_spots, with_left_out
from .spot_frames import SpotFrames, spot_frames

_WORK_FLAGS = (
    Flag.INDEXED | Flag.PREDICTED | Flag.USED_IN_REFINEMENT | Flag.CENTROID_OUTLIER | Flag.EXCLUDED_FOR_REFINEMENT
)  # fmt: skip
#: When more of the spots have an index of one lattice, next to none have it by chance.
NEARLY_ALL = 0.8
#: Lattices with max_lattices=Auto at most, and candidates that may be refused.
MOST_LATTICES, MOST_REFUSED = 100, 3


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
        self.refused: list[np.ndarray] = []
        self.refusals: list[Refusal] = []
        self.harmonic = 0
        self.last: RefinementResult | None = None
        self.identifiers: list[str] = []

    def run(self) -> Indexed:
        """Do it.

        Raises
        ------
        IndexingError
            If no lattice is found.
        """
        self.max_cell = longest_edge(self.params.indexing, self.table, self.known, self.given, self.context.log)
        text = flat_sphere_text(
            self.sweeps, self.refinement.settings.parameterisation, "give it, indexing.known_symmetry.unit_cell="
        )
        if text:
            self.context.log.info("%s", text)
        search = LatticeSearch(self.params, self.refinement, self.context, self.known, self.max_cell)
        self.refusals = search.refusals
        if self.given:
            self.context.log.info("Using %d known crystal(s) of the input instead of searching", len(self.given))
            self._add([self._in_known_setting(c) for c in self.given])
            self._macro_cycles(self._finest(), self.sweeps)
            return self._finish()
        most = self.params.indexing.multiple_lattice_search.max_lattices
        most = MOST_LATTICES if most in (Auto, None) else int(most)
        in_vain = 0
        while len(self.crystals) < most and in_vain < MOST_REFUSED:
            found = self._next(search)
            if found is None:
                break
            before, n_refused = self.sweeps, len(self.refused)
            if any(found.solution.move):
                self.sweeps = shifted(self.sweeps, found.solution.move)
                self.table = place_in_reciprocal_space(self.table, self.sweeps, self.params.indexing)
            self._add([found.crystal])
            self.harmonic = found.solution.harmonic or self.harmonic
            if self._macro_cycles(found.d_min, before):
                self._take_right_cell()
                self._drop_unconvincing(found.d_min)
            in_vain += len(self.refused) > n_refused
        return self._finish()

    def _next(self, search: LatticeSearch) -> Found | None:
        """A further lattice that convinces, or None; the first one, convincing or not, or an error."""
        for _ in range(MOST_REFUSED):
            free = free_spots(self._frames(), self.crystals, self.harmonic)
            if not self._enough(free):
                return None
            found = search.find(self.sweeps, self.table, free, self.crystals, self.refused)
            if found is None:
                if not self.crystals and not self.refused:
                    raise IndexingError(nothing_found(self.known is not None))
                return None
            if not self.crystals:
                return found
            own = improve(self._frames(free, MOST_SHARED), matrix_of(found.crystal), found.d_min)
            if self._coincides(reduced_basis(own.A)):
                self.refused += [matrix_of(found.crystal), own.A]
                continue
            shares = share(self._frames(), [*map(matrix_of, self.crystals), own.A])
            *others, lattice = shares.lattices
            reason = fault(lattice, others)
            self.context.log.info(
                "Candidate for lattice %d: %s%s",
                len(self.crystals) + 1,
                describe(lattice),
                f": refused, {reason}" if reason else "",
            )
            if not reason:
                return replace(found, crystal=self._with_matrix(own.A))
            self.refused.append(own.A)
        return None

    def _drop_unconvincing(self, d_min: float) -> None:
        """Judge all lattices, now that there is another one; without those that do not convince, begin again from the headers."""
        dropped = False
        while len(self.crystals) > 1 and (worst := least_convincing(self._frames(), self.crystals)):
            number, lattice, reason = worst
            self.context.log.warning("Lattice %d is given up (%s): %s", number + 1, describe(lattice), reason)
            self.refused.append(lattice.A)
            self._drop(number)
            dropped = True
        if not dropped:
            return
        # What a wrong lattice did to the geometry is undone: it is refined again from the headers with the others.
        self.sweeps = self.given_sweeps
        self.table = place_in_reciprocal_space(self.table, self.sweeps, self.params.indexing)
        frames = self._frames(most=MOST_SHARED)
        self.crystals = [self._with_matrix(improve(frames, matrix_of(c), d_min).A) for c in self.crystals]
        self._macro_cycles(d_min, self.sweeps)

    def _take_right_cell(self) -> None:
        """A larger or smaller cell of the newest lattice, where spots between its points, or none on some of them, ask for it."""
        found = right_cell(self.sweeps, self.table, self.crystals, self.harmonic, self.known, self.params.indexing)
        self.harmonic = self.harmonic if found is None else found.harmonic or self.harmonic
        if found is not None and (text := found.text(len(self.crystals))):
            self.context.log.info("%s", text)
            self.crystals[-1] = self._with_matrix(found.A)
            self._macro_cycles(self._finest(), self.sweeps)

    def _frames(self, rows: np.ndarray | None = None, most: int | None = None) -> SpotFrames:
        """Those of all spots, or of some (a mask), and of a part of these when they are more than `most`."""
        chosen = np.arange(len(self.table)) if rows is None else np.flatnonzero(rows)
        if most is not None and len(chosen) > most:
            chosen = np.sort(np.random.default_rng(42).choice(chosen, most, replace=False))
        return spot_frames(self.sweeps, self.table.select(chosen))

    def _with_matrix(self, A: np.ndarray) -> Crystal:
        """The crystal of a lattice, in the known setting if there is one."""
        if self.known is not None:
            known_A = self.known.constrained(reduced_basis(A))
            if known_A is not None:
                return self.known.crystal(known_A)
        return Crystal(A=np.linalg.inv(reduced_basis(A)))

    # -- pieces ----------------------------------------------------------------------------------------------

    def _finest(self) -> float:
        return float(1 / np.linalg.norm(self.table["rlp"], axis=1).max())

    def _d_star(self) -> np.ndarray:
        return np.asarray(np.linalg.norm(self.table["rlp"], axis=1))

    def _enough(self, free: np.ndarray) -> bool:
        """Whether a further lattice is worth looking for; with max_lattices=Auto the candidates themselves decide."""
        search = self.params.indexing.multiple_lattice_search
        if not self.crystals:
            return True
        cutoff = 0.0 if search.max_lattices in (Auto, None) else search.recycle_unindexed_reflections_cutoff or 0.0
        d_star = self._d_star()
        within = d_star <= d_star[~free].max(initial=0.0)
        return bool(np.count_nonzero(within & free) >= max(cutoff * np.count_nonzero(within), FEWEST_SPOTS))

    def _add(self, crystals: list[Crystal]) -> None:
        for crystal in crystals:
            self.crystals.append(crystal)
            number = len(self.crystals)
            self.identifiers += [
                s.identifier if number == 1 else derived_identifier(s.identifier, i, "lattice", number)
                for i, s in enumerate(self.sweeps)
            ]

    def _drop(self, number: int) -> None:
        """Forget a lattice; further ones are numbered anew."""
        del self.crystals[number]
        left, self.crystals, self.identifiers = self.crystals, [], []
        self._add(left)

    def _in_known_setting(self, crystal: Crystal) -> Crystal:
        """A crystal of the input with the symmetry that the user asks for."""
        if self.known is None:
            return crystal
        primitive = primitive_operator(crystal.space_group).matrix @ crystal.real_space
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

    def _macro_cycles(self, d_min: float, before: Experiments) -> bool:
        """Index and refine at rising resolution; False when the newest lattice had to be given up, and the geometry of `before` is back."""
        protocol = self.params.indexing.refinement_protocol
        cycles = protocol.n_macro_cycles if protocol.mode == "refine_shells" else 1
        finest = self._finest()
        step = protocol.d_min_step
        if step in (Auto, None):
            step = (d_min - finest) / (cycles - 1) if cycles > 1 else 0.0
            self.context.log.info("Using d_min_step %.2f", step, extra=DETAIL)
        final = protocol.d_min_final
        for cycle in range(cycles):
            if cycle:
                d_min = max(d_min - step, 0.0, final or 0.0)
            if protocol.mode != "refine_shells":
                d_min = final or 0.0
            self.context.check_cancelled()
            last = cycle == cycles - 1 and final is None
            self._index_all(0.0 if last else d_min)
            if len(self.crystals) > 1 and self._coincides(primitive_basis(self.crystals[-1]), -1):
                self.context.log.info("The newest lattice is too close to an earlier one: it is dropped")
                return self._without_newest(before)
            self._report_indexed("Indexed crystal models:", DETAIL)
            if protocol.mode != "refine_shells":
                self.table = predicted_spots(self.experiments(), self.table)
                return True
            self.context.log.info("Starting refinement (macro-cycle %d)", cycle + 1, extra=DETAIL)
            try:
                self._refine()
            except RefinementError as error:
                if len(self.crystals) == 1:
                    raise
                self.context.log.warning("The newest lattice cannot be refined and is dropped: %s", error)
                return self._without_newest(before)
            self.context.log.info("%s", cycle_text(cycle + 1, self.table, self.last))
            if cycle >= 2 and final is not None and d_min <= final:
                self.context.log.info("Target d_min_final reached: finished with refinement")
                break
        self._report_indexed("Refined crystal models:", DETAIL if is_tried_centred(self.params, self.table) else None)
        return True

    def _without_newest(self, before: Experiments) -> bool:
        self.refused.append(matrix_of(self.crystals[-1]))
        self._drop(len(self.crystals) - 1)
        self.sweeps = before
        self.table = place_in_reciprocal_space(self.table, self.sweeps, self.params.indexing)
        self._index_all(0.0)
        if self.params.indexing.refinement_protocol.mode == "refine_shells":
            self._refine()
        return False

    def _coincides(self, basis: np.ndarray, n: int | None = None) -> bool:
        """Whether a lattice is next to one of the first `n`, or of all."""
        limit = self.params.indexing.multiple_lattice_search.minimum_angular_separation or 0.0
        return any(misorientation_deg(primitive_basis(c), basis) < limit for c in self.crystals[:n])

    def _refine(self) -> None:
        """One refinement of everything; models, predictions and flags are updated."""
        experiments = self.experiments()
        before = [c.volume for c in self.crystals]
        number, table = self.table["id"], self.table.view()
        left_out = self._left_out(number)
        table["id"] = np.where(left_out, -1, number).astype(np.int32)
        try:
            result = self.refinement.refine(experiments, table)
        except RefinementError as error:
            if self.refinement.settings.parameterisation.auto_reduction.action != "fail":
                raise
            self.context.log.info("%s\nRefining again with auto_reduction.action=fix", error)
            self.refinement.settings = self.refinement.settings.changed(parameterisation__auto_reduction__action="fix")
            result = self.refinement.refine(experiments, table)
        result = with_left_out(result, left_out, number)
        for listing in result.tables:
            self.context.table(listing.as_detail())
        if result.reason:
            self.context.log.info("%s", result.reason, extra=DETAIL)
        n = len(self.sweeps)
        crystals = [result.experiments[i * n].known_crystal for i in range(len(self.crystals))]
        if not self.params.indexing.refinement_protocol.disable_unit_cell_volume_sanity_check:
            for old, crystal in zip(before, crystals, strict=True):
                check_volume(old, crystal.volume)
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

    def _left_out(self, number: np.ndarray) -> np.ndarray:
        """(n,) bool: spots of experiments `number` that are not refined with."""
        if len(self.crystals) > 1 or np.mean(number >= 0) < NEARLY_ALL:
            lattice = np.where(number >= 0, number // len(self.sweeps), -1)
            return unlikely_spots(self._frames(), self.crystals, lattice)
        return np.zeros(len(number), np.bool_)

    def _report_indexed(self, title: str, weight: dict[str, Any] | None = None) -> None:
        counts = lattice_counts(self.table, len(self.crystals), len(self.sweeps))
        self.context.log.info("%s", models_text(title, self.crystals, counts), extra=weight)
        self.context.log.info("%s", matrices_text(self.crystals), extra=DETAIL)
        listing = indexed_table(self.table, len(self.sweeps))
        self.context.table(listing.as_detail() if weight else listing)

    def _finish(self) -> Indexed:
        experiments = self.experiments()
        table = self.table
        if self.known is not None and self.params.indexing.refinement_protocol.mode != "refine_shells":
            experiments = Experiments(
                [replace(e, crystal=constrain_crystal(e.crystal, self.known.group)) for e in experiments]
            )
        table.identifiers = {i: e.identifier for i, e in enumerate(experiments)}
        return Indexed(experiments, table, self.given_sweeps, self.last, self.max_cell, harmonic=self.harmonic)
