"""The search for one lattice: vectors, candidates, ranking."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain, islice
from typing import Any

import numpy as np

from spindle.contracts.indexing import BasisVectors, CrystalCandidate
from spindle.contracts.refiner import RefinementError
from spindle.errors import ModelError
from spindle.execution import Executor
from spindle.models import Crystal, Experiments
from spindle.params import Auto
from spindle.symmetry import cell_parameters
from spindle.table import Flag, ReflectionTable
from spindle_lib_refinement.short_refinement import Refinement, quiet, thin

from .beam_shift import shifted
from .candidates import bases_of, by_lattice, candidate_bases
from .evidence import improve
from .index_assignment import assign
from .judgement import describe
from .known_symmetry import KnownSymmetry
from .multiples import MIN_INDEXED, smallest_cell
from .optimisation import optimise_vectors
from .orientation import primitive_basis
from .preparation import place_in_reciprocal_space
from .proposals import MOST_SPOTS, is_known, propose, reduced_basis, relation
from .refusals import Refusal
from .scoring import Solution, rank
from .split import MOST_DEG, turned_copies
from .spot_frames import SpotFrames, spot_frames
from .trials import Trial, move_of, refine_trial, without_harmonics, without_subcells
from .triples import likely_bases

#: Candidates for scans whose rmsd after refinement is larger (pixels) are dropped; that of stills is not reliable.
MAX_RMSD_PX = 6.0
#: Candidates that are refined by default.
MAX_REFINE = 50
#: What indexing.method=Auto begins with.
USUAL_METHOD = "fft3d"
#: Lattices that are fitted to the spots before the best are refined, and further ones that are refined whatever the fit says.
MOST_PROPOSALS, MOST_OTHERS, MOST_LOOKED_AT = 40, 6, 500
#: Cells that are compared with a known one, and how many at once.
MOST_BASES, TOLD_AT_ONCE = 6000, 500
#: Refined candidates whose evidence is less than this part of the best are not ranked.
GOOD_PART = 0.6
#: Orientations nearer to a refused one are the same, degrees.
REFUSED_DEG = 0.5
#: Columns that indexing and refining a candidate need.
_NEEDED = frozenset(
    {
        "id", "imageset_id", "panel", "flags", "miller_index", "entering", "rlp", "s1", "bbox",
        "xyzobs.px.value", "xyzobs.px.variance", "xyzobs.mm.value", "xyzobs.mm.variance", "intensity.sum.value",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Found:
    """A lattice, its place among the candidates (with the move of the detector), and the resolution limit that it was found at."""

    crystal: Crystal
    d_min: float
    solution: Solution


@dataclass(frozen=True)
class _Evaluate:
    """The task of trying one candidate; attributes as the parameters of `LatticeSearch.evaluate`."""

    search: LatticeSearch
    sweeps: Experiments
    spots: ReflectionTable
    fixed: bool

    def __call__(self, trial: Trial) -> Solution | Refusal:
        """What became of it."""
        sweeps, spots, (basis, move) = self.sweeps, self.spots, trial
        if any(move):
            sweeps = shifted(sweeps, move)
            spots = place_in_reciprocal_space(spots, sweeps, self.search.params)
        try:
            found = self.search.evaluate(sweeps, spots, basis, self.fixed)
            return replace(found, move=move) if isinstance(found, Solution) else found
        except ModelError as error:  # divided or refined until nothing was left of it
            return _refusal(basis, 0, None, f"is no possible cell: {error}")


class LatticeSearch:
    """Finds the lattice that explains most of the spots that have no index yet.

    Parameters
    ----------
    sweeps : Experiments
    params : Params
        The whole tree of the program.
    refinement : Refinement
    context : RunContext
    known : KnownSymmetry or None
    max_cell : float, angstrom
    """

    def __init__(
        self, params: Any, refinement: Refinement, context: Any, known: KnownSymmetry | None, max_cell: float
    ) -> None:
        self.params = (_usual(params) if params.indexing.method is Auto else params).indexing
        self.refinement, self.context, self.known, self.max_cell = refinement, context, known, max_cell
        self.refusals: list[Refusal] = []

    def find(
        self,
        sweeps: Experiments,
        table: ReflectionTable,
        free: np.ndarray,
        existing: Sequence[Crystal],
        refused: Sequence[np.ndarray] = (),
    ) -> Found | None:
        """The best new lattice, or None.

        Parameters
        ----------
        sweeps : Experiments
        table : ReflectionTable
            All spots.
        free : (n,) bool
            Those that belong to no lattice.
        existing : sequence of Crystal
            Lattices found before. Where there are some, the geometry is good: candidates are refined without it.
        refused : sequence of (3, 3) float64, 1/angstrom
            Matrices of lattices that were found and given up.
        """
        d = 1 / np.maximum(np.linalg.norm(table["rlp"], axis=1), 1e-9)
        d_min_start = self.params.refinement_protocol.d_min_start
        if d_min_start is not None:
            free = free & (d >= d_min_start)
        first_turn = _first_turn(sweeps, table)
        rows = np.flatnonzero(free & first_turn)
        if len(rows) > MOST_SPOTS:
            rows = np.sort(np.random.default_rng(42).choice(rows, MOST_SPOTS, replace=False))
        frames = spot_frames(sweeps, table.select(rows))
        bases, others, limit = self._bases(sweeps, table, free, frames)
        d_min = d_min_start if d_min_start is not None else limit
        present = [np.linalg.inv(primitive_basis(c)) for c in existing]
        separation = self.params.multiple_lattice_search.minimum_angular_separation or 0.0

        def is_allowed(basis: np.ndarray) -> bool:
            if abs(np.linalg.det(basis)) < (self.params.min_cell_volume or 0.0):
                return False
            A = np.linalg.inv(basis)
            if any(is_known(A, other, separation) for other in present):
                return False
            if any(is_known(A, other, min(separation, REFUSED_DEG)) for other in refused):
                return False
            return self.known is None or self.known.constrained(basis) is not None

        wanted = self._wanted()
        if self.known is not None:
            bases, others = _possible(self.known, bases), _possible(self.known, others)
        if separation < MOST_DEG:
            copies = [np.linalg.inv(A) for other in present for A in turned_copies(frames, other)]
            bases = chain(copies, bases)
        proposals = propose(frames, bases, d_min, min(wanted, MOST_PROPOSALS), is_allowed)
        for proposal in proposals[:10]:
            self.context.log.debug("Proposed: %s", describe(proposal))
        candidates = [Trial(reduced_basis(p.A), move_of(sweeps, p, bool(existing))) for p in proposals[:wanted]]
        if not existing:
            unlike = _unlike([c.basis for c in candidates], others, min(wanted, MOST_OTHERS), is_allowed)
            candidates += map(Trial, unlike)
        solutions = self._solutions(sweeps, table, free & first_turn & (d > d_min), candidates, bool(existing))
        solutions = without_harmonics(solutions)
        if not solutions:
            return None
        most = max(s.gain for s in solutions)
        least = min(GOOD_PART * most, most)  # all gains may be negative
        pixel = float(np.mean(sweeps[0].detector[0].pixel_size))
        self.refusals += [
            _refusal(
                np.linalg.inv(s.A),
                s.n_indexed,
                s.rmsd_xy / pixel,
                f"says less about the spots than others ({s.gain:.0f} of {most:.0f})",
            )
            for s in solutions
            if s.gain < least
        ]
        solutions = without_subcells([s for s in solutions if s.gain >= least])
        volume = None if self.known is None else self.known.volume
        best, listing = rank(solutions, self.params.basis_vector_combinations, volume)
        self.context.table(listing)
        crystal = Crystal(A=best.A) if self.known is None else self.known.crystal(best.A)
        return Found(crystal, d_min, best)

    def _wanted(self) -> int:
        """Candidates that are refined."""
        wanted = self.params.basis_vector_combinations.max_refine
        return MAX_REFINE if wanted in (Auto, None) else int(wanted)

    def _bases(
        self, sweeps: Experiments, table: ReflectionTable, free: np.ndarray, frames: SpotFrames
    ) -> tuple[Iterable[np.ndarray], Iterable[np.ndarray], float]:
        """Candidate cells by the chosen method in two orders, and the resolution of the spots it took.

        The first order is by the spots that the vectors have in common, the second by the trust in the vectors: spots of a
        geometry that is wrong by half a row have few planes in common.
        """
        method = self.context.chosen(self.params, "method")
        if not method.implements("find_crystals"):
            found = self.basis_vectors(method, table["rlp"][free])
            combinations = self.params.basis_vector_combinations.max_combinations
            rlp = table["rlp"][free]
            rlp = rlp[np.linalg.norm(rlp, axis=1) <= 1 / found.d_min] if found.d_min > 0 else rlp
            likely = likely_bases(found.vectors, rlp, frames.typical_error, combinations)
            return likely, candidate_bases(found.vectors, combinations), found.d_min
        candidates = self.crystals(method, sweeps, table, free)
        finest = 1 / float(np.linalg.norm(table["rlp"][free], axis=1).max(initial=1e-9)) * (1 - 1e-6)
        limit = min((finest if c.d_min is None else c.d_min for c in candidates), default=finest)
        return bases_of(candidates), bases_of(candidates), limit

    def vectors(self, sweeps: Experiments, table: ReflectionTable) -> np.ndarray:
        """(m, 3) float64, angstrom: lattice vectors by the chosen method, from all spots."""
        method = self.context.chosen(self.params, "method")
        if not method.implements("find_crystals"):
            return self.basis_vectors(method, table["rlp"]).vectors
        found = list(bases_of(self.crystals(method, sweeps, table, np.ones(len(table), np.bool_))))
        return np.concatenate([np.zeros((0, 3)), *found])

    def crystals(
        self, method: Any, sweeps: Experiments, table: ReflectionTable, free: np.ndarray
    ) -> list[CrystalCandidate]:
        """Crystals by a method that finds them, from the spots `free`."""
        spots = table.without(*[name for name in table if name not in _NEEDED]).select(free)
        candidates: list[CrystalCandidate] = method.find_crystals(
            sweeps=sweeps, spots=spots, known=None if self.known is None else self.known.as_contract(),
            executor=self._executor(),
        )  # fmt: skip
        self.context.log.info("%s found %d candidate crystals", self.params.method, len(candidates))
        return candidates

    def basis_vectors(self, method: Any, rlp: np.ndarray) -> BasisVectors:
        """Vectors by a method that finds them, optimised if asked for."""
        target = None if self.known is None else self.known.reduced_cell
        found = method.find_basis_vectors(
            rlp=np.ascontiguousarray(rlp), min_cell=float(self.params.min_cell or 0.0), max_cell=self.max_cell,
            target_cell=target, executor=self.context.executor,
        )  # fmt: skip
        if self.params.optimise_initial_basis_vectors:
            vectors = optimise_vectors(found.vectors, rlp[np.linalg.norm(rlp, axis=1) <= 1 / found.d_min])
            found = BasisVectors(vectors, found.weights, found.d_min, found.n_points)
        return found

    def _solutions(
        self,
        sweeps: Experiments,
        table: ReflectionTable,
        rows: np.ndarray,
        trials: Sequence[Trial],
        fixed: bool,
    ) -> list[Solution]:
        """Candidates that could be indexed and refined, the most likely `max_refine` of them; `fixed`: without the geometry."""
        spots = table.without(*[name for name in table if name not in _NEEDED]).select(rows)
        evaluate = _Evaluate(self, sweeps, spots, fixed)
        solutions: list[Solution] = []
        with quiet(), self.context.progress("Trying candidate cells", len(trials)) as progress:
            for result in self._executor().map(evaluate, trials):
                self.context.check_cancelled()
                if isinstance(result, Solution):
                    solutions.append(result)
                else:
                    self.refusals.append(result)
                progress.advance(1)
        self.context.log.debug("%d candidate cells tried, %d kept", len(trials), len(solutions))
        if len(trials) and not solutions and self.known is not None:
            self.context.log.info("None of %d candidate cells is compatible with the known symmetry", len(trials))
        return solutions

    def _executor(self) -> Executor:
        """The run's executor, with as many workers as ``indexing.nproc`` says."""
        executor, nproc = self.context.executor, self.params.nproc
        return executor if nproc in (Auto, None) else executor.limited(int(nproc))

    def evaluate(
        self, sweeps: Experiments, spots: ReflectionTable, basis: np.ndarray, fixed: bool
    ) -> Solution | Refusal:
        """Index the spots with a candidate and refine it. `fixed`: without the geometry."""
        params = self.params
        threshold, harmonic = params.basis_vector_combinations.sys_absent_threshold, 0
        if threshold and (self.known is None or self.known.cell is None):
            found = smallest_cell(basis, spots, self._assign, threshold)
            if abs(np.linalg.det(found[0])) < max(params.min_cell_volume or 0.0, 1.0):
                return _refusal(found[0], found[2], None, "has indices of a cell below min_cell_volume")
            if self.known is None or self.known.constrained(found[0]) is not None:
                basis, harmonic = found[:2]
        A = np.linalg.inv(basis)
        if self.known is not None:
            known_A = self.known.constrained(basis)
            if known_A is None:
                return _refusal(basis, 0, None, "does not agree with the known symmetry")
            A = known_A
        indexed = self._assign(spots, A)
        if abs(1 / np.linalg.det(A)) < (params.min_cell_volume or 0) or indexed.n_indexed < MIN_INDEXED:
            return _refusal(np.linalg.inv(A), indexed.n_indexed, None, "has next to no spots")
        crystal = Crystal(A=A) if self.known is None else self.known.crystal(A)
        tried = crystal
        stills = params.stills if sweeps[0].is_still and params.stills.indexer != "sequences" else None
        if stills is not None and self.known is not None and not stills.refine_candidates_with_known_symmetry:
            tried = Crystal(A=np.linalg.inv(basis))
            indexed = self._assign(spots, tried.A)
        experiments = Experiments([_with_crystal(sweep, tried) for sweep in sweeps])
        rows = thin(experiments, np.where(indexed.lattice >= 0, spots["imageset_id"], -1))
        reflections = spots.select(rows)
        reflections["miller_index"] = indexed.hkl[rows]
        reflections["id"] = reflections["imageset_id"]
        reflections.set_flags(slice(None), Flag.INDEXED)
        try:
            refined, rmsd_xy = refine_trial(self.refinement, experiments, reflections, fixed, stills)
        except (RefinementError, np.linalg.LinAlgError) as error:
            return _refusal(
                np.linalg.inv(A), indexed.n_indexed, None, f"cannot be refined: {str(error).splitlines()[0]}"
            )
        pixel = float(np.mean(sweeps[0].detector[0].pixel_size))
        if not rmsd_xy / pixel <= MAX_RMSD_PX and not sweeps[0].is_still:
            verdict = f"predictions miss the spots by more than {MAX_RMSD_PX:g} px"
            return _refusal(np.linalg.inv(A), indexed.n_indexed, rmsd_xy / pixel, verdict)
        gain = self._gain(spots, refined)
        share = indexed.n_indexed / len(spots)
        return Solution(A, crystal.hall, indexed.n_indexed, share, rmsd_xy, gain, harmonic=harmonic)

    def _gain(self, spots: ReflectionTable, refined: Experiments) -> float:
        """What speaks for a refined candidate with its own geometry."""
        rows = np.sort(np.random.default_rng(42).permutation(len(spots))[:MOST_SPOTS])
        sample = place_in_reciprocal_space(spots.select(rows), refined, self.params)
        A = np.linalg.inv(primitive_basis(refined[0].known_crystal))
        return improve(spot_frames(refined, sample), A, 0.0, n_rounds=6).gain

    def _assign(self, spots: ReflectionTable, A: np.ndarray) -> Any:
        return assign(
            spots["rlp"], spots["xyzobs.mm.value"][:, 2], spots["imageset_id"], [A], self.params.index_assignment
        )


def _with_crystal(sweep: Any, crystal: Crystal) -> Any:
    return replace(sweep, crystal=crystal)


def _refusal(basis: np.ndarray, n_indexed: int, rmsd_px: float | None, verdict: str) -> Refusal:
    return Refusal(cell_parameters(basis), n_indexed, rmsd_px, verdict)


@lru_cache(maxsize=8)
def _usual(params: Any) -> Any:
    """The tree with the method that is tried first."""
    return params.changed(indexing__method=USUAL_METHOD)


def _possible(known: KnownSymmetry, bases: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Those of the first thousands of cells that may be the known one, told in blocks."""
    bases = islice(bases, MOST_BASES)
    while block := list(islice(bases, TOLD_AT_ONCE)):
        rows = np.array(block)
        yield from rows[known.may_fit(rows)]


def _unlike(
    bases: Sequence[np.ndarray], others: Iterable[np.ndarray], wanted: int, is_allowed: Callable[[np.ndarray], bool]
) -> list[np.ndarray]:
    """The first allowed ones of `others` that are neither the lattices of `bases` nor multiples of these."""
    known = [np.linalg.inv(basis) for basis in bases]
    found: list[np.ndarray] = []
    for candidate in islice(by_lattice(others, variants=1), MOST_LOOKED_AT):
        if not is_allowed(candidate.basis):
            continue
        A = np.linalg.inv(candidate.basis)
        if not any(relation(A, other) in ("same", "supercell") for other in known):
            found.append(candidate.basis)
        if len(found) == wanted:
            break
    return found


def _first_turn(sweeps: Experiments, table: ReflectionTable) -> np.ndarray:
    """Spots of the first 360 degrees of their sweep."""
    inside = np.ones(len(table), dtype=bool)
    phi = table["xyzobs.mm.value"][:, 2]
    for number, sweep in enumerate(sweeps):
        if sweep.scan is None or sweep.is_still:
            continue
        start, end = sweep.scan.oscillation_range
        if end - start > 2 * np.pi * 1.0001:
            inside &= (table["imageset_id"] != number) | (phi < start + 2 * np.pi)
    return inside
