"""The search for one lattice: vectors, candidates, ranking."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spindle.contracts.indexing import BasisVectors, CrystalCandidate
from spindle.contracts.refiner import RefinementError
from spindle.execution import Executor
from spindle.models import Crystal, Experiments
from spindle.params import Auto
from spindle.table import Flag, ReflectionTable
from spindle_lib_refinement.short_refinement import Refinement, quiet, thin

from .candidates import Candidate, bases_of, by_lattice, candidate_bases
from .index_assignment import assign
from .known_symmetry import KnownSymmetry
from .non_primitive import smaller_cell
from .orientation import misorientation_deg
from .scoring import Solution, rank

#: A candidate with fewer indexed spots says nothing.
MIN_INDEXED = 5
#: Candidates for scans whose rmsd after refinement is larger (pixels) are dropped; that of stills is not reliable.
MAX_RMSD_PX = 6.0
#: Candidates that are refined by default.
MAX_REFINE = 50
#: The search ends when this many times max_refine candidates were refined in vain.
PATIENCE = 4
#: Columns that indexing and refining a candidate need.
_NEEDED = frozenset(
    {
        "id", "imageset_id", "panel", "flags", "miller_index", "entering", "rlp", "s1", "bbox",
        "xyzobs.px.value", "xyzobs.px.variance", "xyzobs.mm.value", "xyzobs.mm.variance",
    }
)  # fmt: skip


@dataclass(frozen=True)
class _Evaluate:
    """The task of trying one candidate; attributes as the parameters of `LatticeSearch.evaluate`."""

    search: LatticeSearch
    sweeps: Experiments
    spots: ReflectionTable
    others: Sequence[np.ndarray]

    def __call__(self, candidate: Candidate) -> tuple[Candidate, Solution | bool, str]:
        """What became of it, and why a refinement failed."""
        solution = self.search.evaluate(self.sweeps, self.spots, candidate.basis, self.others)
        return candidate, solution, self.search.last_error


@dataclass(slots=True)
class _Count:
    """Candidates so far: good ones, and others that were refined in vain."""

    wanted: int
    n_good: int = 0
    n_poor: int = 0

    def is_full_after(self, solution: Solution | bool) -> bool:
        """Count one more; whether no further ones need be tried."""
        if isinstance(solution, Solution):
            self.n_good += 1
        else:
            self.n_poor += solution
        return self.n_good >= self.wanted or self.n_poor >= PATIENCE * self.wanted


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
        self.params = params.indexing
        self.refinement, self.context, self.known, self.max_cell = refinement, context, known, max_cell
        self.last_error = ""

    def find(
        self, sweeps: Experiments, table: ReflectionTable, existing: Sequence[Crystal]
    ) -> tuple[Crystal, float] | None:
        """The best new lattice and the resolution limit it was found at, or None.

        Parameters
        ----------
        sweeps : Experiments
        table : ReflectionTable
            All spots; those with id -1 are looked at.
        existing : sequence of Crystal
            Lattices found before.
        """
        d = 1 / np.maximum(np.linalg.norm(table["rlp"], axis=1), 1e-9)
        free = table["id"] < 0
        d_min_start = self.params.refinement_protocol.d_min_start
        if d_min_start is not None:
            free &= d >= d_min_start
        bases, limit = self._bases(sweeps, table, free)
        d_min = d_min_start if d_min_start is not None else limit
        solutions = self._solutions(sweeps, table, free & (d > d_min), bases, existing)
        if not solutions:
            return None
        volume = None if self.known is None else self.known.volume
        best, listing = rank(solutions, self.params.basis_vector_combinations, volume)
        self.context.table(listing)
        return (Crystal(A=best.A) if self.known is None else self.known.crystal(best.A)), d_min

    def _bases(
        self, sweeps: Experiments, table: ReflectionTable, free: np.ndarray
    ) -> tuple[Iterable[np.ndarray], float]:
        """Candidate cells by the chosen method, most trustworthy first, and the resolution of the spots it took."""
        method = self.context.chosen(self.params, "method")
        if not method.implements("find_crystals"):
            found = self.basis_vectors(method, table["rlp"][free])
            combinations = self.params.basis_vector_combinations.max_combinations
            return candidate_bases(found.vectors, combinations), found.d_min
        candidates = self.crystals(method, sweeps, table, free)
        finest = 1 / float(np.linalg.norm(table["rlp"][free], axis=1).max(initial=1e-9)) * (1 - 1e-6)
        return bases_of(candidates), min((finest if c.d_min is None else c.d_min for c in candidates), default=finest)

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
        bases: Iterable[np.ndarray],
        existing: Sequence[Crystal],
    ) -> list[Solution]:
        """Candidates that could be indexed and refined.

        ``max_refine`` counts copies of a lattice too: they say that nothing better is to come, but are not refined again.
        """
        combinations = self.params.basis_vector_combinations
        wanted = combinations.max_refine
        if wanted in (Auto, None):
            wanted = MAX_REFINE
        rows = rows & _first_turn(sweeps, table)
        spots = table.without(*[name for name in table if name not in _NEEDED]).select(rows)
        others = [np.linalg.inv(c.A) for c in existing]

        evaluate = _Evaluate(self, sweeps, spots, others)
        solutions: list[Solution] = []
        n_tried = 0
        count = _Count(wanted)
        became: dict[int, Solution | bool] = {}
        candidates = by_lattice(bases)
        with quiet(), self.context.progress("Trying candidate cells", wanted) as progress:
            for candidate, solution, error in self._executor().map(evaluate, candidates):
                self.context.check_cancelled()
                if any(count.is_full_after(became[lattice]) for lattice in candidate.copies):
                    break
                self.last_error = error or self.last_error
                n_tried += 1
                if isinstance(solution, Solution):
                    solutions.append(solution)
                if isinstance(solution, Solution) or candidate.lattice not in became:
                    became[candidate.lattice] = solution
                if isinstance(solution, Solution):
                    progress.advance(1)
                if count.is_full_after(solution):
                    break
        self.context.log.debug("%d candidate cells tried, %d kept", n_tried, len(solutions))
        if n_tried and not solutions and self.known is not None:
            self.context.log.info("None of %d candidate cells is compatible with the known symmetry", n_tried)
        return solutions

    def _executor(self) -> Executor:
        """The run's executor, with as many workers as ``indexing.nproc`` says."""
        executor, nproc = self.context.executor, self.params.nproc
        return executor if nproc in (Auto, None) else executor.limited(int(nproc))

    def evaluate(
        self, sweeps: Experiments, spots: ReflectionTable, basis: np.ndarray, others: Sequence[np.ndarray]
    ) -> Solution | bool:
        """Index the spots with a candidate and refine it.

        Returns
        -------
        Solution or bool
            Not a solution: True if it was refined in vain, False if it was excluded before.
        """
        params = self.params
        separation = params.multiple_lattice_search.minimum_angular_separation or 0.0
        if any(misorientation_deg(other, basis) < separation for other in others):
            return False
        A = np.linalg.inv(basis)
        if self.known is not None:
            known_A = self.known.constrained(basis)
            if known_A is None:
                return False
            A = known_A
        indexed = self._assign(spots, A)
        threshold = params.basis_vector_combinations.sys_absent_threshold
        if threshold and self.known is None:
            while indexed.n_indexed >= MIN_INDEXED:
                smaller = smaller_cell(np.linalg.inv(A), indexed.hkl[indexed.lattice >= 0], threshold)
                if smaller is None:
                    break
                if abs(np.linalg.det(smaller)) < max(params.min_cell_volume or 0.0, 1.0):
                    return False
                A = np.linalg.inv(smaller)
                indexed = self._assign(spots, A)
        if abs(1 / np.linalg.det(A)) < (params.min_cell_volume or 0) or indexed.n_indexed < MIN_INDEXED:
            return False
        crystal = Crystal(A=A) if self.known is None else self.known.crystal(A)
        experiments = Experiments([_with_crystal(sweep, crystal) for sweep in sweeps])
        rows = thin(experiments, np.where(indexed.lattice >= 0, spots["imageset_id"], -1))
        reflections = spots.select(rows)
        reflections["miller_index"] = indexed.hkl[rows]
        reflections["id"] = reflections["imageset_id"]
        reflections.set_flags(slice(None), Flag.INDEXED)
        try:
            result = self.refinement.refine_candidate(experiments, reflections)
        except (RefinementError, np.linalg.LinAlgError) as error:
            self.last_error = str(error)
            return True
        rmsd = result.steps[-1].rmsd
        rmsd_xy = float(np.hypot(rmsd[0], rmsd[1]))
        pixel = float(np.mean(sweeps[0].detector[0].pixel_size))
        if not rmsd_xy / pixel <= MAX_RMSD_PX and not sweeps[0].is_still:
            return True
        return Solution(A, crystal.hall, indexed.n_indexed, indexed.n_indexed / len(spots), rmsd_xy)

    def _assign(self, spots: ReflectionTable, A: np.ndarray) -> Any:
        return assign(
            spots["rlp"], spots["xyzobs.mm.value"][:, 2], spots["imageset_id"], [A], self.params.index_assignment
        )


def _with_crystal(sweep: Any, crystal: Crystal) -> Any:
    from dataclasses import replace

    return replace(sweep, crystal=crystal)


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


def optimise_vectors(vectors: np.ndarray, rlp: np.ndarray, n_steps: int = 10) -> np.ndarray:
    """Vectors that maximise the sum of cos(2 pi r . v) near the given ones, by damped Newton steps.

    Parameters
    ----------
    vectors : (m, 3) float64, angstrom
    rlp : (n, 3) float64, 1/angstrom
    """
    best = np.array(vectors, dtype=float)
    points = rlp if len(rlp) <= 5000 else rlp[:: len(rlp) // 5000 + 1]

    def score(v: np.ndarray) -> np.ndarray:
        return np.asarray(np.cos(2 * np.pi * (v @ points.T)).sum(axis=1))

    value = score(best)
    for _ in range(n_steps):
        phase = 2 * np.pi * (best @ points.T)
        gradient = -2 * np.pi * (np.sin(phase) @ points)
        curvature = 4 * np.pi**2 * np.einsum("mn,ni,nj->mij", np.cos(phase), points, points)
        damping = 0.1 * np.trace(curvature, axis1=1, axis2=2)[:, None, None] / 3 * np.eye(3)
        trial = (
            best
            + np.linalg.solve(
                np.maximum(curvature, 0) * np.eye(3) + np.abs(damping) + 1e-9 * np.eye(3), gradient[..., None]
            )[..., 0]
        )
        improved = score(trial) > value
        best[improved] = trial[improved]
        value = score(best)
        if not improved.any():
            break
    return best
