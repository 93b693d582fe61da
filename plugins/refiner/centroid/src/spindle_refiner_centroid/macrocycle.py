"""One macrocycle of refinement, from the selection of reflections to updated predictions."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from spindle.contracts.refiner import Purpose, RefinementError, RefinementResult
from spindle.execution import available_cores
from spindle.models import Experiments
from spindle.params import Auto
from spindle.report import DETAIL
from spindle.table import Flag, ReflectionTable

from . import selection, summaries
from .centroid_analysis import block_means
from .drift_limit import drift_information
from .engines import Minimum, Recorder, minimise
from .interval_widths import choose_widths, may_drift, price
from .outliers import find_outliers, outlier_groups, with_borrowed_angles, without_drift
from .precision import learned_weights
from .predictions import predicted_table
from .problem import Problem
from .reduction import reduce_parameters
from .restraints import build_restraints
from .scan_ends import ScanEnds
from .standing import USUAL_TURN, seen_turn, standing_of
from .target import Observations, Target
from .updating import refined_experiments

log = logging.getLogger(__name__)

# Observed mm positions depend on the geometry through the depth in the sensor; below this change it is not worth
# another round.
DEPTH_TOLERANCE_MM = 2e-5
DEPTH_ROUNDS = 3
# How much wider the bulk of the residuals may be while candidate cells are compared.
LENIENCY = 2.0


@dataclass(frozen=True)
class _Fit:
    """What a fit leaves; the last three are rows of the table that it left out, refused and used."""

    problem: Problem
    minimum: Minimum
    experiments: Experiments
    chi: float
    covariance: np.ndarray
    rmsd_px: np.ndarray
    n_reflections: np.ndarray
    excluded: np.ndarray
    outliers: np.ndarray
    used: np.ndarray


class Macrocycle:
    """The work of one call."""

    def __init__(
        self,
        outlier_algorithm: Callable[[str, Any], Any],
        experiments: Experiments,
        table: ReflectionTable,
        settings: Any,
        scan_varying: bool,
        purpose: Purpose,
    ) -> None:
        self.outlier_algorithm, self.experiments, self.table = outlier_algorithm, experiments, table
        self.settings, self.scan_varying, self.purpose = settings, scan_varying, purpose
        self.stills = selection.are_stills(experiments, settings.parameterisation.treat_single_image_as_still)
        if self.stills and scan_varying:
            raise RefinementError(
                "stills cannot be refined with scan-varying models: set refinement.parameterisation.scan_varying=False"
            )
        self.tables: list[Any] = []
        self.block_deg, self.n_threads = cache(self._block_deg), settings.mp.nproc or 1
        weighting = settings.reflections.weighting_strategy.override
        self.learns_weights = purpose != "candidate" and weighting is None and not self.stills
        self.spread, self.turn = np.zeros(0), USUAL_TURN

    def _observations(self) -> tuple[Observations, np.ndarray | None]:
        """All indexed reflections, and for scans their closeness to the spindle."""
        table = self.table
        rows = selection.indexed_rows(self.experiments, table)
        owner = table["id"][rows].astype(np.int64)
        panel = table["panel"][rows].astype(np.int64)
        xyz = table["xyzobs.px.value"][rows]
        observed = selection.observed_positions(self.experiments, owner, panel, xyz, self.stills)
        weights = selection.position_weights(
            self.experiments,
            owner,
            panel,
            table.peek("xyzobs.px.variance")[rows],
            table,
            rows,
            self.settings,
            self.stills,
        )
        products, entering = None, np.zeros(len(rows), dtype=bool)
        if not self.stills:
            rays = selection.observed_rays(self.experiments, owner, panel, observed[:, :2])
            products = selection.spindle_products(self.experiments, owner, rays)
            entering = products < 0
        hkl = np.ascontiguousarray(table.peek("miller_index")[rows], dtype=np.float64)
        z = np.ascontiguousarray(xyz[:, 2])
        return Observations(rows, hkl, entering, owner, panel, z, observed, weights), products

    def _block_deg(self, i: int) -> float:
        """Width of the blocks of the centroid analysis of one experiment, with the residuals of the starting models."""
        scan = self.experiments[i].known_scan
        owner, z, residuals = self.start
        own = owner == i
        z0, z1 = scan.array_range
        block_deg, counts, means = block_means(z[own], residuals[own], z0, z1, abs(scan.oscillation_deg[1]))
        if self.settings.parameterisation.debug_centroid_analysis:
            self.tables.append(summaries.centroid_table(i, block_deg, counts, means))
        return block_deg

    def _weigh(self, observations: Observations, residuals: np.ndarray) -> bool:
        """Exchange the weights by those that the residuals tell, where the user leaves the choice; whether that was done."""
        if not self.learns_weights:
            return False
        given = observations.weights
        observations.weights = learned_weights(observations, residuals, self.spread[observations.rows])
        return not np.array_equal(given, observations.weights)

    def _look_for_ends(self, observations: Observations) -> None:
        """Find out where spots are cut, where the user leaves that to the data."""
        is_asked = self.settings.reflections.scan_margin is Auto and not self.stills and self.purpose != "candidate"
        self.ends = ScanEnds(self.experiments, self.table, observations) if is_asked else None

    def _cut(self, observations: Observations, residuals: np.ndarray) -> np.ndarray:
        """(n,) bool: spots that are cut by the ends of scans, which models with these residuals predict there."""
        return np.zeros(len(observations), dtype=bool) if self.ends is None else self.ends.cut(observations, residuals)

    def _reject(self, observations: Observations, residuals: np.ndarray, cut: np.ndarray) -> np.ndarray:
        """(n,) bool: outliers by the chosen algorithm; spots that are cut are judged by their places on the detector."""
        scope = self.settings.reflections.outlier
        name = scope.algorithm
        if name is Auto and self.learns_weights:
            # Weak spots are not outliers because they scatter more than strong ones.
            residuals = residuals * np.sqrt(observations.weights)
        if name is Auto:
            name = "sauter_poon" if self.stills else "mcd" if self.purpose == "refinement" else "tukey"
        if name is None or name == "null":
            return np.zeros(len(observations), dtype=bool)
        algorithm = self.outlier_algorithm(name, getattr(scope, name, None))
        groups = outlier_groups(self.experiments, observations, scope, self.stills, self.block_deg)
        residuals = with_borrowed_angles(residuals, groups, cut)
        threads = available_cores() if scope.nproc is Auto else scope.nproc or 1
        outliers, small = find_outliers(
            algorithm, self.experiments, observations, residuals, groups, scope, self.stills, threads,
            LENIENCY if self.purpose == "candidate" else 1.0,
        )  # fmt: skip
        log.info("Detecting centroid outliers using the %s algorithm", name, extra=DETAIL)
        if small:
            log.info(
                "%d of %d groups have fewer than %s reflections and were rejected as a whole",
                small, len(groups), scope.minimum_number_of_reflections, extra=DETAIL,
            )  # fmt: skip
        log.info(
            "%d reflections have been flagged as outliers, %d reflections remain",
            np.count_nonzero(outliers),
            len(observations) - np.count_nonzero(outliers),
            extra=DETAIL,
        )
        return outliers

    def run(self) -> RefinementResult:
        """Do it."""
        fit = self._fit()
        # What was refined against is no more in memory when all reflections are looked at again.
        table = predicted_table(self.table, fit.problem, fit.minimum.x, fit.experiments, self._observations()[0])
        flags = table["flags"].copy()
        flags[fit.excluded] |= np.uint64(int(Flag.EXCLUDED_FOR_REFINEMENT))
        flags[fit.outliers] |= np.uint64(int(Flag.CENTROID_OUTLIER))
        flags[fit.used] |= np.uint64(int(Flag.USED_IN_REFINEMENT))
        table["flags"] = flags
        return RefinementResult(
            experiments=fit.experiments,
            reflections=table,
            steps=fit.minimum.steps,
            reason=fit.minimum.reason,
            rmsd_px=fit.rmsd_px,
            n_reflections=fit.n_reflections,
            parameter_names=list(fit.problem.names),
            parameter_values=fit.minimum.x,
            parameter_esds=np.sqrt(np.maximum(np.diag(fit.covariance), 0.0)),
            covariance=fit.covariance,
            reduced_chi_squared=fit.chi,
            tables=self.tables,
        )

    def _fit(self) -> _Fit:
        """Choose reflections and refine."""
        settings = self.settings
        everything, products = self._observations()
        if self.learns_weights:
            self.spread = self.table["xyzobs.px.variance"][:, :2].sum(axis=1)
        usable = selection.suitable(
            self.experiments, everything, products, self.table["flags"][everything.rows], settings
        )
        n_indexed, excluded = len(everything), everything.rows[~usable]
        candidates = everything.those(usable)
        self._look_for_ends(everything)
        del everything, products, usable
        constant = Problem(self.experiments, settings, False, self.stills)
        start = Target(
            constant, candidates, block_size=settings.target.gradient_calculation_blocksize, n_threads=self.n_threads
        )
        evaluation = start.evaluate(constant.x0, gradients=False)
        matched = evaluation.predicted
        if not matched.any():
            raise RefinementError(
                f"none of {n_indexed} indexed reflections can be used: {len(excluded)} are "
                f"excluded, the others are not "
                "predicted by the starting models; index again, and check the rotation axis and the distance"
            )
        candidates, residuals = candidates.those(matched), evaluation.residuals[matched]
        cut = self._cut(candidates, residuals)
        self.start = candidates.experiment, candidates.z, residuals
        del start, evaluation, matched
        self.tables.append(summaries.residual_quantiles(residuals, candidates.weights, self.stills))
        is_weighed = self._weigh(candidates, residuals)
        drifting = self.scan_varying and may_drift(self.experiments, settings.parameterisation)
        outliers = self._reject(candidates, without_drift(candidates, residuals) if drifting else residuals, cut)
        used, spare = self._divide(candidates, outliers, cut)
        problem, before = constant, None
        widths: dict[str, float] = {}
        if self.scan_varying:
            widths = self._choose_widths(used, spare)
            problem = Problem(self.experiments, settings, True, self.stills, widths)
        if self.scan_varying or is_weighed:
            before = self._minimise(problem, used, spare)[0]
            self.turn = seen_turn(problem, before.x)
            del used, spare
            # Outliers of the starting models, which are constant, are not those of the refined ones.
            candidates = self._seen_with(candidates, refined_experiments(problem, before.x, kinds=("detector",)))
            residuals = Target(problem, candidates).evaluate(before.x, gradients=False).residuals
            self._weigh(candidates, residuals)
            cut = self._cut(candidates, residuals)
            outliers = self._reject(candidates, residuals, cut)
            used, spare = self._divide(candidates, outliers, cut)
            again = self._choose_widths(used, spare) if drifting else widths
            # A new problem: reduction has fixed parameters of the old one.
            problem = Problem(self.experiments, settings, self.scan_varying, self.stills, again)
            before = before if again == widths else None
        if outliers.any():
            self.tables.append(
                summaries.residual_quantiles(residuals[~outliers], candidates.weights[~outliers], self.stills)
            )
        rejected = candidates.rows[outliers]
        # What was chosen from is not in memory beside what was chosen while models are refined.
        del self.start, candidates, residuals, outliers, cut
        minimum, target = self._minimise(problem, used, spare, before)
        return self._described(problem, minimum, target, excluded, rejected)

    def _divide(
        self, candidates: Observations, outliers: np.ndarray, cut: np.ndarray
    ) -> tuple[Observations, Observations]:
        """The working set, and what is left of the good reflections; angles of those that are cut have no weight, or that of their edges."""
        good = candidates.select(~outliers)
        if self.ends is not None:
            self.ends.weigh_angles(good, np.flatnonzero(cut[~outliers]))
        work = selection.working_set(self.experiments, good.experiment, self.settings, self.stills)
        return good.those(work), good.select(~work)

    def _choose_widths(self, used: Observations, spare: Observations) -> dict[str, float]:
        """Widths of intervals (degrees) by kind of model where the user leaves the choice."""

        def criterion(trial: dict[str, float]) -> float:
            problem = Problem(self.experiments, self.settings, True, self.stills, trial)
            minimum, target = self._minimise(problem, used.select(slice(None)), spare, quiet=True)
            n = minimum.evaluation.n_residuals
            # Each coordinate by itself: constant models, by which they are weighed so far, fit one worse than the others.
            misfits = (target.observations.weights * minimum.evaluation.residuals**2).sum(axis=0)
            return float(n @ np.log(np.maximum(misfits, 1e-300))) + price(problem, int(n.sum()))

        return choose_widths(self.experiments, self.settings.parameterisation, criterion)

    def _seen_with(self, observations: Observations, experiments: Experiments) -> Observations:
        """Observations with mm positions freed from parallax by other models."""
        xyz = self.table["xyzobs.px.value"][observations.rows]
        moved = observations.select(slice(None))
        moved.observed = selection.observed_positions(experiments, moved.experiment, moved.panel, xyz, self.stills)
        return moved

    def _minimise(
        self,
        problem: Problem,
        used: Observations,
        spare: Observations,
        before: Minimum | None = None,
        quiet: bool = False,
    ) -> tuple[Minimum, Target]:
        """Refine, from the starting models or from an earlier minimum, whose steps come first in the history."""
        settings = self.settings
        restraints = build_restraints(problem, settings.parameterisation.crystal.unit_cell.restraints)
        options = {"block_size": settings.target.gradient_calculation_blocksize, "n_threads": self.n_threads}
        if problem.n_parameters == 0:
            raise RefinementError("there is nothing to refine: every parameter is fixed")
        if problem.scan_varying:
            here = Target(problem, used, **options).evaluate(problem.x0, gradients=False)
            restraints += standing_of(problem, self.turn, 2.0 * here.objective / max(here.n_residuals.sum(), 1))
        target = reduce_parameters(Target(problem, used, restraints, **options), settings)
        used = target.observations
        degrees = 3 * len(used) + target.n_restraints - problem.n_parameters
        if degrees < 1:
            raise RefinementError(
                f"{len(used)} reflections cannot determine {problem.n_parameters} parameters: fix some "
                f"(crystal.fix, detector.fix, beam.fix) "
                "or use more reflections"
            )
        if not quiet:
            log.info(
                "There are %d parameters to refine against %d reflections in 3 dimensions",
                problem.n_parameters, len(used), extra=DETAIL,
            )  # fmt: skip
        x, steps = problem.x0, []
        if before is not None and len(before.x) == problem.n_parameters:
            x, steps = before.x, before.steps
        for _ in range(1 if self.purpose == "candidate" else DEPTH_ROUNDS):
            recorder = Recorder(
                target, settings, self._cutoff(), Target(problem, spare, **options) if len(spare) else None
            )
            minimum = minimise(target, x, recorder, settings)
            steps = steps + (
                minimum.steps
                if not steps or steps[-1].n_reflections != minimum.steps[0].n_reflections
                else minimum.steps[1:]
            )
            x = minimum.x
            if not self._depth_changes(problem, x, used):
                break
            target = Target(problem, used, restraints, **options)
        minimum.steps = steps
        return minimum, target

    def _cutoff(self) -> np.ndarray:
        """(3,) RMSDs that are good enough."""
        scope = self.settings.target
        if scope.rmsd_cutoff == "absolute":
            if scope.absolute_cutoffs is None:
                raise RefinementError(
                    "refinement.target.rmsd_cutoff=absolute needs refinement.target.absolute_cutoffs= (mm, mm, radians)"
                )
            cutoff = np.array(scope.absolute_cutoffs, dtype=np.float64)
        else:
            size = min(
                (d.geometry.pixel_size.min(axis=0) for d in self.experiments.unique("detector")),
                key=lambda s: float(s[0]),
            )
            widths = [e.known_scan.oscillation[1] for e in self.experiments] if not self.stills else [np.inf]
            fraction = scope.bin_size_fraction or 0.0
            cutoff = np.append(size, min(widths)) * fraction if fraction else np.zeros(3)
        return cutoff

    def _depth_changes(self, problem: Problem, x: np.ndarray, used: Observations) -> bool:
        """Convert observed pixels to mm with the refined detector; True when they move by more than the tolerance."""
        if all(not d.geometry.parallax.any() for d in self.experiments.unique("detector")):
            return False
        refined = refined_experiments(problem, x, kinds=("detector",))
        xyz = self.table["xyzobs.px.value"][used.rows]
        new = selection.observed_positions(refined, used.experiment, used.panel, xyz, self.stills)
        change = float(np.abs(new[:, :2] - used.observed[:, :2]).max())
        used.observed[:, :2] = new[:, :2]
        return change > DEPTH_TOLERANCE_MM

    def _described(
        self, problem: Problem, minimum: Minimum, target: Target, excluded: np.ndarray, outliers: np.ndarray
    ) -> _Fit:
        """Models, their errors and the tables of a fit."""
        used, evaluation = target.observations, minimum.evaluation
        degrees = max(evaluation.n_residuals.sum() + target.n_restraints - problem.n_parameters, 1)
        chi = 2.0 * evaluation.objective / degrees
        covariance = chi * _inverse(evaluation.N + chi * drift_information(problem, minimum.x))
        experiments = refined_experiments(problem, minimum.x, covariance)
        rmsd_px, n = summaries.rmsds_in_pixels(
            experiments, used, evaluation.residuals, evaluation.predicted, self.stills
        )
        self.tables.append(summaries.steps_table(minimum.steps, self.stills))
        self.tables.append(summaries.rmsd_table(rmsd_px, n, self.stills))
        self.tables += summaries.panel_table(experiments, used, evaluation.residuals, evaluation.predicted, self.stills)
        found = used.rows[evaluation.predicted]
        return _Fit(problem, minimum, experiments, chi, covariance, rmsd_px, n, excluded, outliers, found)


def _inverse(N: np.ndarray) -> np.ndarray:
    """Inverse of a normal matrix through its scaled form; NaN when it is singular."""
    scale = 1.0 / np.sqrt(np.maximum(np.diag(N), 1e-300))
    try:
        return np.asarray(np.linalg.inv(N * np.outer(scale, scale)) * np.outer(scale, scale))
    except np.linalg.LinAlgError:
        return np.full_like(N, np.nan)
