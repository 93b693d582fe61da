"""Minimisers of the target."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from spindle.contracts.refiner import RefinementError, RefinementStep

from .target import Evaluation, Target

DEGENERATE = 1e-13
SPARSE_FROM = 1500
# Combinations of parameters with a smaller relative curvature are hardly determined (cell and distance in electron
# diffraction): they move only when that gains more than chance, half a unit of chi-squared: one standard error. Where crystals vary with the
# scan they stay: turned detectors and crystals that sway with the spindle's angle look alike but for what curves cannot follow, and that is
# no knowledge of the detector, however many errors it seems to gain. The constant models know better.
WEAK_CURVATURE = 1e-4
FEWEST_GAINED = 0.5
MOST_DECOMPOSED = 1000


@dataclass
class Minimum:
    """Where a minimiser stopped.

    Attributes
    ----------
    x : (p,) float64
    evaluation : Evaluation
        The target there, with normal equations.
    steps : list of RefinementStep
    reason : str

    """

    x: np.ndarray
    evaluation: Evaluation
    steps: list[RefinementStep]
    reason: str


class Recorder:
    """Keeps the history of a refinement and says when it has converged.

    Parameters
    ----------
    target : Target
    settings : RefinementParams
    cutoff : (3,) float64
        RMSDs that are good enough; 0 for never.
    free_set : Target or None
        Reflections outside the working set, for their RMSDs.

    """

    def __init__(self, target: Target, settings: Any, cutoff: np.ndarray, free_set: Target | None = None) -> None:
        self.target = target
        self.cutoff = cutoff
        self.free_set = free_set
        self.journal = settings.refinery.journal
        self.log = settings.refinery.log
        self.steps: list[RefinementStep] = []
        self._last: np.ndarray | None = None

    def record(self, x: np.ndarray, evaluation: Evaluation) -> None:
        """Keep the state after a step."""
        journal: dict[str, Any] = {}
        wanted = self.journal
        if wanted.track_step:
            journal["step"] = None if self._last is None else x - self._last
        if wanted.track_gradient:
            journal["gradient"] = evaluation.g.copy()
        if wanted.track_parameter_correlation:
            journal["parameter_correlation"] = correlation(np.linalg.pinv(evaluation.N))
        if wanted.track_jacobian_structure:
            journal["jacobian_structure"] = evaluation.touched.copy()
        if wanted.track_condition_number:
            journal["condition_number"] = float(np.linalg.cond(evaluation.N))
        if wanted.track_normal_matrix:
            journal["normal_matrix"] = evaluation.N.copy()
        if wanted.track_out_of_sample_rmsd:
            free = self.free_set.evaluate(x, gradients=False) if self.free_set is not None else None
            journal["out_of_sample_rmsd"] = None if free is None or free.n_predicted == 0 else free.rmsd()
        self._last = x.copy()
        self.steps.append(RefinementStep(evaluation.n_predicted, evaluation.rmsd(), evaluation.objective, journal))
        if self.log is not None:
            line = {"step": len(self.steps) - 1, "n": evaluation.n_predicted, "objective": evaluation.objective}
            with self.log.open("a") as stream:
                stream.write(json.dumps({**line, "rmsd": evaluation.rmsd().tolist(), "x": x.tolist()}) + "\n")

    def finished(self) -> str | None:
        """Why to stop, or None."""
        now = self.steps[-1]
        if np.all(self.cutoff > 0) and np.all(now.rmsd < self.cutoff):
            return "RMSD target achieved"
        if len(self.steps) < 2:
            return None
        before = self.steps[-2]
        used = before.rmsd > 0
        change = np.abs(before.rmsd[used] - now.rmsd[used]) / before.rmsd[used]
        if np.all(change < 1e-4) and before.objective - now.objective < 1e-6 * before.objective:
            return "RMSD no longer decreasing"
        return None


def correlation(covariance: np.ndarray) -> np.ndarray:
    """(p, p) correlation matrix of a covariance matrix."""
    sd = np.sqrt(np.maximum(np.diag(covariance), 1e-300))
    return np.asarray(covariance / np.outer(sd, sd))


def solve_damped(
    N: np.ndarray,
    g: np.ndarray,
    damping: float,
    names: list[str],
    sparse: bool,
    least_gain: float = 0.0,
) -> np.ndarray:
    """Step h of (N + damping diag N) h = -g.

    Parameters
    ----------
    least_gain : float
        Weak combinations of parameters stay where they are if the objective would gain less; 0 moves all, infinity none.

    Raises
    ------
    RefinementError
        If some parameter has no influence, or a combination of them has none.

    """
    diagonal = np.diag(N)
    dead = np.flatnonzero(diagonal <= 0)
    if len(dead):
        raise RefinementError(
            "refinement is indeterminate: no residual depends on "
            + ", ".join(names[i] for i in dead[:10])
            + "; fix these parameters (fix_list=) or use more reflections"
        )
    scale = 1.0 / np.sqrt(diagonal)
    scaled = N * scale[:, None] * scale[None, :]
    right = -g * scale
    if sparse:
        from scipy.sparse import csc_matrix
        from scipy.sparse.linalg import splu

        scaled[np.diag_indices_from(scaled)] += max(damping, DEGENERATE)
        step = splu(csc_matrix(scaled), permc_spec="COLAMD").solve(right)
    elif least_gain > 0 and len(g) <= MOST_DECOMPOSED:
        curvature, directions = np.linalg.eigh(scaled)
        curvature = np.maximum(curvature, DEGENERATE)
        along = directions.T @ right
        gain = 0.5 * along**2 / curvature
        along[(curvature < WEAK_CURVATURE) & (gain < least_gain)] = 0.0
        step = directions @ (along / (curvature + damping))
    else:
        scaled[np.diag_indices_from(scaled)] += max(damping, DEGENERATE)
        try:
            factor = np.linalg.cholesky(scaled)
        except np.linalg.LinAlgError as error:
            raise RefinementError(
                "the normal equations are singular: some parameters cannot be told apart with these reflections; "
                "fix some of them, for "
                "example refinement.parameterisation.detector.fix=distance or beam.fix=all"
            ) from error
        step = np.linalg.solve(factor.T, np.linalg.solve(factor, right))
    if not np.isfinite(step).all():
        raise RefinementError(
            "the normal equations have no finite solution; fix some parameters or use more reflections"
        )
    return np.asarray(step * scale)


def levenberg_marquardt(
    target: Target, x: np.ndarray, recorder: Recorder, max_iterations: int, sparse: bool
) -> Minimum:
    """Levenberg-Marquardt with the damping rule of Nielsen (1999), IMM-REP-1999-05, on variables scaled by their
    curvature.
    """
    names = target.problem.names
    here = target.evaluate(x)
    recorder.record(x, here)
    damping, growth = 1e-4, 2.0
    gained = np.inf if target.problem.scan_varying else FEWEST_GAINED
    for _ in range(max_iterations):
        degrees = max(here.n_residuals.sum() + target.n_restraints - len(x), 1)
        unit = max(2.0 * here.objective / degrees, 1e-300)
        step = solve_damped(here.N, here.g, damping, names, sparse, gained * unit)
        expected = 0.5 * float(step @ (damping * np.diag(here.N) * step - here.g))
        if expected <= 1e-14 * here.objective:
            return Minimum(x, here, recorder.steps, "step too small")
        try:
            there = target.evaluate(x + step)
            lost = here.n_predicted - there.n_predicted
            # Reflections that a step loses must not count as an improvement.
            allowance = there.objective * lost / max(there.n_predicted, 1) if lost > 0 else 0.0
            gain = (here.objective - there.objective - allowance) / expected
        except RefinementError:
            if growth >= 8192:
                raise
            gain = -1.0
        if gain > 0 and np.isfinite(there.objective):
            x, here = x + step, there
            damping = max(damping * max(1.0 / 3.0, 1.0 - (2.0 * gain - 1.0) ** 3), 1e-12)
            growth = 2.0
            recorder.record(x, here)
            reason = recorder.finished()
            if reason is not None:
                return Minimum(x, here, recorder.steps, reason)
        else:
            damping *= growth
            growth *= 2.0
            if growth >= 8192:
                return Minimum(x, here, recorder.steps, "no further reduction possible")
    return Minimum(x, here, recorder.steps, "reached maximum number of iterations")


def gauss_newton(target: Target, x: np.ndarray, recorder: Recorder, max_iterations: int, sparse: bool) -> Minimum:
    """Gauss-Newton; steps back and stops when the objective rises although no reflection was lost."""
    here = target.evaluate(x)
    recorder.record(x, here)
    for _ in range(max_iterations):
        step = solve_damped(here.N, here.g, 0.0, target.problem.names, sparse)
        there = target.evaluate(x + step)
        if there.objective > here.objective and there.n_predicted <= here.n_predicted:
            return Minimum(x, here, recorder.steps, "objective rose: last step taken back")
        x, here = x + step, there
        recorder.record(x, here)
        reason = recorder.finished()
        if reason is not None:
            return Minimum(x, here, recorder.steps, reason)
    return Minimum(x, here, recorder.steps, "reached maximum number of iterations")


def lbfgs(target: Target, x: np.ndarray, recorder: Recorder, max_iterations: int, curvatures: bool) -> Minimum:
    """Limited-memory BFGS (memory 5) with backtracking (Nocedal & Wright 2006, algorithms 7.4 and 3.1).

    With `curvatures` the inverse diagonal of the normal matrix starts each two-loop recursion.

    """
    here = target.evaluate(x)
    recorder.record(x, here)
    memory: deque[tuple[np.ndarray, np.ndarray, float]] = deque(maxlen=5)
    scale = 1.0 / np.sqrt(np.maximum(np.diag(here.N), 1e-300))
    for _ in range(max_iterations):
        q = here.g.copy()
        alphas = []
        for s, y, rho in reversed(memory):
            alpha = rho * float(s @ q)
            q -= alpha * y
            alphas.append(alpha)
        if curvatures:
            q /= np.maximum(np.diag(here.N), 1e-300)
        elif memory:
            s, y, _ = memory[-1]
            # Shanno's scaling, on variables scaled once at the start.
            q *= scale**2 * float(s @ y) / float(y @ (scale**2 * y))
        else:
            q *= scale**2
        for (s, y, rho), alpha in zip(memory, reversed(alphas), strict=True):
            q += s * (alpha - rho * float(y @ q))
        slope = -float(q @ here.g)
        if slope >= -1e-14 * here.objective:
            return Minimum(x, here, recorder.steps, "step too small")
        length = 1.0
        while True:
            there = target.evaluate(x - length * q)
            if there.objective <= here.objective + 1e-4 * length * slope:
                break
            length *= 0.5
            if length < 1e-10:
                return Minimum(x, here, recorder.steps, "no further reduction possible")
        s, y = -length * q, there.g - here.g
        if float(s @ y) > 1e-12 * float(np.sqrt((s @ s) * (y @ y))):
            memory.append((s, y, 1.0 / float(s @ y)))
        x, here = x + s, there
        recorder.record(x, here)
        reason = recorder.finished()
        if reason is not None:
            return Minimum(x, here, recorder.steps, reason)
    return Minimum(x, here, recorder.steps, "reached maximum number of iterations")


def minimise(target: Target, x: np.ndarray, recorder: Recorder, settings: Any) -> Minimum:
    """Run the engine that ``refinery.engine`` names."""
    engine = settings.refinery.engine
    many = settings.refinery.max_iterations
    wanted = settings.parameterisation.sparse
    sparse = engine == "SparseLevMar" or (wanted is True) or (not isinstance(wanted, bool) and len(x) >= SPARSE_FROM)
    run: dict[str, Callable[[], Minimum]] = {
        "LevMar": lambda: levenberg_marquardt(target, x, recorder, many or 100, sparse),
        "SparseLevMar": lambda: levenberg_marquardt(target, x, recorder, many or 100, True),
        "GaussNewton": lambda: gauss_newton(target, x, recorder, many or 20, sparse),
        "SimpleLBFGS": lambda: lbfgs(target, x, recorder, many or 100, False),
        "LBFGScurvs": lambda: lbfgs(target, x, recorder, many or 100, True),
    }
    return run[engine]()
