"""Determination of the scale parameters by Gauss-Newton steps with the mean intensities eliminated.

The weights of adaptive restraints are those of greatest evidence: with H the restrained normal matrix and K a
restraint, gamma = rank(K) - weight tr(K H^-1) parameters are determined by the data rather than by the restraint, and
weight = s^2 gamma / (x' K x), where s^2 = chi^2 / (observations - reflections - all gamma).
MacKay (1992), Neural Computation 4, 415-447.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from spindle.errors import ModelError

from .derivatives import Derivatives, FitData, gather
from .layout import Layout, overall_decay
from .matrix_kernels import add_halves, add_outer
from .normal_matrices import MOST_WHOLE, Blocks, BlockSystem, Inverse, Pin, System, WholeSystem
from .sums import BlockEquations, ChiSquare, Map, NormalEquations, NormalProduct

#: Updates of the adaptive weights per step.
ADAPTATIONS = 3
#: How much firmer than the data the pins hold what the data cannot tell.
PIN_STRENGTH = 100.0


@dataclass(slots=True)
class ScaleFit:
    """Result of a fit.

    Attributes
    ----------
    parameters : (p,) float64
    inverse : Inverse
        Of the restrained normal matrix; times `variance_factor` it is the covariance of the parameters.
    variance_factor : float
        chi^2 per degree of freedom.
    history : list of (float, float)
        RMSD of the normalised residuals and the value of the restraints, per step.
    reason : str
        Why the fit ended.
    """

    parameters: np.ndarray
    inverse: Inverse
    variance_factor: float
    history: list[tuple[float, float]] = field(default_factory=list)
    reason: str = ""


def fit_scales(
    layout: Layout,
    data: FitData,
    parameters: np.ndarray,
    *,
    max_iterations: int = 20,
    tolerance: float = 1e-4,
    damping: float = 0.0,
    adapt: bool = True,
    check: Callable[[], None] = lambda: None,
    run: Map = map,
) -> ScaleFit:
    """Refine scale parameters.

    Parameters
    ----------
    layout : Layout
        Its adaptive restraints' weights are updated.
    data : FitData
    parameters : (p,) float64
        Start values.
    max_iterations
        Most steps.
    tolerance
        Stop when the RMSD changes by less than this fraction.
    damping
        Initial Levenberg-Marquardt damping; 0 for Gauss-Newton with halved steps.
    adapt
        Update the weights of adaptive restraints.
    check
        Called before every step; raises to cancel.
    run
        Applies a function to items, as `map` does or in several threads.

    Returns
    -------
    ScaleFit
    """
    n, n_groups = len(data.intensity), len(data.offsets) - 1
    if n == 0:
        raise ModelError("scaling: no reflection was measured more than once, so there is nothing to scale against")
    x = parameters.copy()
    free = layout.free
    layout = layout.restricted(data.rows, run)
    history: list[tuple[float, float]] = []
    probes = _probes(layout, data)
    mu, reason = damping, "the greatest number of steps was reached"
    factor = 1.0
    for step in range(max_iterations + 1):
        check()
        g = gather(layout, x, data, run)
        equations = _equations(layout, data, x, g, probes, run)
        chi_square = equations.chi_square
        value = chi_square + layout.penalty(x) + _growth(data, g)
        history.append((float(np.sqrt(chi_square / n)), layout.penalty(x)))
        for _ in range(ADAPTATIONS if adapt and layout.is_adaptive and step == 0 else 1):
            system = equations.restrained(layout, x, free, check)
            push, inverse = system.push, system.inverse
            if adapt and layout.is_adaptive:
                factor = _adapt(layout, x + system.solved(push), inverse, chi_square, n - n_groups)
        value = chi_square + layout.penalty(x) + _growth(data, g)
        if step and abs(history[-2][0] - history[-1][0]) < tolerance * history[-1][0]:
            reason = "RMSD no longer decreasing"
            break
        if step == max_iterations:
            break
        accepted = False
        for _ in range(12):
            trial = x + system.solved(push, mu)
            if _value(layout, data, trial, run) <= value * (1 + 1e-9):
                accepted = True
                break
            if damping:
                mu *= 10.0
            else:
                push = push * 0.5
        if not accepted:
            gain = abs(float(push @ system.solved(push))) / max(value, 1e-300)
            reason = "converged" if gain < tolerance else "no step lowers the target function any more"
            break
        x = trial
        mu *= 0.1
        del equations, system  # derivatives of all observations are in memory once, not beside those of the next step
    factor = chi_square / max(n - n_groups - _determined(layout, inverse, int(free.sum())), 1.0)
    return ScaleFit(x, inverse, float(factor), history, reason)


def fit_scales_lbfgs(
    layout: Layout,
    data: FitData,
    parameters: np.ndarray,
    *,
    max_iterations: int = 200,
    tolerance: float = 1e-4,
    check: Callable[[], None] = lambda: None,
    run: Map = map,
) -> ScaleFit:
    """Refine scale parameters by L-BFGS, preconditioned by the diagonal of the normal matrix.

    The weights of adaptive restraints stay as they are. Arguments and result as those of `fit_scales`.
    """
    from scipy.optimize import minimize

    n = len(data.intensity)
    if n == 0:
        raise ModelError("scaling: no reflection was measured more than once, so there is nothing to scale against")
    part = layout.restricted(data.rows, run)
    probes, free = _probes(part, data), layout.free
    size = np.ones(len(parameters))
    history: list[tuple[float, float]] = []

    def evaluate(step: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        x = parameters + size * step
        g = gather(part, x, data, run)
        if not (np.isfinite(g).all() and g.min() > 0):
            return 1e30, np.zeros_like(step), np.ones_like(step)
        equations = _equations(part, data, x, g, probes, run)
        system = equations.restrained(part, x, free, check)
        value = equations.chi_square + part.penalty(x) + _growth(data, g) + sum(s * v * v for s, _, v in equations.pins)
        history.append((float(np.sqrt(equations.chi_square / n)), part.penalty(x)))
        check()
        return value, -2.0 * system.push * size, system.diagonal

    diagonal = evaluate(np.zeros(len(parameters)))[2]
    size = np.where(free, 1.0 / np.sqrt(np.maximum(diagonal, 1e-30)), 0.0)
    found = minimize(
        lambda y: evaluate(y)[:2], np.zeros(len(parameters)), jac=True, method="L-BFGS-B",
        options={"maxiter": max_iterations, "ftol": tolerance * 1e-2},
    )  # fmt: skip
    end = fit_scales(layout, data, parameters + size * found.x, max_iterations=0, adapt=False, run=run)
    end.history = [history[0], *end.history]
    end.reason = f"L-BFGS ended after {found.nit} iterations"
    return end


@dataclass(frozen=True, slots=True)
class Equations:
    """The equations of a step without restraints: the normal matrix is whole, or there are its blocks and its product."""

    normal: np.ndarray | Blocks
    product: Callable[[np.ndarray], np.ndarray]
    right: np.ndarray
    chi_square: float
    pins: list[Pin]

    def restrained(self, layout: Layout, x: np.ndarray, free: np.ndarray, check: Callable[[], None]) -> System:
        """With restraints, pins and fixed parameters."""
        if isinstance(self.normal, np.ndarray):
            return WholeSystem(*_restrained(layout, x, self.normal, self.right, self.pins, free), free)
        right, further = self.right.copy(), self.normal.changed(np.zeros(len(self.normal.values)))
        for restraint in layout.restraints:
            where, k = restraint.where, restraint.weight * restraint.penalty.matrix
            block = further.block(where)
            block += k
            right[where] -= k @ (x[where] - restraint.null)
        for strength, direction, value in self.pins:
            right -= strength * direction * value
        right[~free] = 0.0
        ridge = 1e-9 * max(float(self.normal.diagonal.max(initial=0.0)), 1e-30)
        return BlockSystem(self.normal, self.product, further, self.pins, ridge, free, right, check)


def _equations(layout: Layout, data: FitData, x: np.ndarray, g: np.ndarray, probes: np.ndarray, run: Map) -> Equations:
    p, derivatives = layout.n_parameters, Derivatives(layout, data, x)
    observed = (data.offsets, data.intensity, data.weight, g)
    normal: np.ndarray | Blocks
    times: Callable[[np.ndarray], np.ndarray]
    if p > MOST_WHOLE:
        columns, slopes = derivatives.all(run)  # kept: each product with a vector needs them
        sums = BlockEquations(*observed, columns, slopes, probes, layout.edges)
        normal, right, directions, chi_square, means = sums.total(run)
        diagonal = normal.diagonal
        product = NormalProduct(data.offsets, data.weight, g, means, columns, slopes, p)
        times = partial(product.total, run=run)
    else:
        normal, right, directions, chi_square = NormalEquations(*observed, derivatives, probes, p).total(run)
        diagonal = np.diag(normal).copy()
        add_halves(normal)
        times = partial(np.matmul, normal)
    if data.shares is not None:
        right -= directions[-1]
        probes, directions = probes[:, :-1], directions[:-1]
    strength, ln_g = PIN_STRENGTH * (float(diagonal.sum()) + len(g)), np.log(g)
    pins = [(strength, directions[c], float((probes[:, c] * ln_g).sum())) for c in range(probes.shape[1])]
    return Equations(normal, times, right, chi_square, pins)


def _probes(layout: Layout, data: FitData) -> np.ndarray:
    """(n, 1 or 2) float64: weights of ln g in the sums that the data cannot tell and that are therefore kept at zero.

    They are the mean of ln g and, where decay is refined everywhere, its slope against 1/d^2; there are none for anchored data, and
    the last are the shares where there are any, of which only the derivatives are wanted.
    """
    n = len(data.intensity)
    columns = []
    if not data.anchored:
        part = np.zeros(n)  # what stands for a reference has no scale
        for places in data.places:
            part[places] = 1.0
        part /= part.sum()
        columns.append(part)
        if layout.has_overall_decay():
            s = np.zeros(n)
            for number, places in enumerate(data.places):
                terms = layout.models[number].terms
                s[places] = next(t.coefficient for t in terms if overall_decay(t) and not t.fixed)
            from_mean = s - part @ s
            columns.append(part * from_mean / max(float(np.sqrt(part @ from_mean**2)), 1e-30))
    if data.shares is not None:
        columns.append(data.shares)
    return np.ascontiguousarray(np.stack(columns, axis=1)) if columns else np.zeros((n, 0))


def _value(layout: Layout, data: FitData, x: np.ndarray, run: Map) -> float:
    g = gather(layout, x, data, run)
    if not (np.isfinite(g).all() and g.min() > 0):
        return float("inf")
    return ChiSquare(data.offsets, data.intensity, data.weight, g).total(run) + layout.penalty(x) + _growth(data, g)


def _growth(data: FitData, g: np.ndarray) -> float:
    return 0.0 if data.shares is None else 2.0 * float(data.shares @ np.log(g))


def _restrained(
    layout: Layout,
    x: np.ndarray,
    normal: np.ndarray,
    right: np.ndarray,
    pins: list[Pin],
    free: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Normal matrix and right-hand side with restraints, pins and fixed parameters."""
    matrix, right = normal.copy(), right.copy()
    for restraint in layout.restraints:
        where, k = restraint.where, restraint.weight * restraint.penalty.matrix
        matrix[where, where] += k
        right[where] -= k @ (x[where] - restraint.null)
    for strength, direction, value in pins:
        add_outer(matrix, float(strength), np.ascontiguousarray(direction))
        right -= strength * direction * value
    ridge = 1e-9 * max(float(np.diag(normal).max(initial=0.0)), 1e-30)
    matrix[np.diag_indices(len(x))] += ridge
    matrix[~free, :] = 0.0
    matrix[:, ~free] = 0.0
    matrix[~free, ~free] = 1.0
    right[~free] = 0.0
    return matrix, right


def _gammas(layout: Layout, inverse: Inverse) -> list[float]:
    found = []
    for r in layout.restraints:
        block = inverse.block(r.where)
        found.append(min(max(r.rank - r.weight * float((r.penalty.matrix * block).sum()), 1e-3), float(r.rank)))
    return found


def _determined(layout: Layout, inverse: Inverse, n_free: int) -> float:
    """Number of parameters that the data determine."""
    lost = sum(r.rank - gamma for r, gamma in zip(layout.restraints, _gammas(layout, inverse), strict=True))
    return n_free - lost


def _adapt(layout: Layout, x: np.ndarray, inverse: Inverse, chi_square: float, freedom: int) -> float:
    """Update the weights of adaptive restraints; returns the variance factor."""
    gammas = _gammas(layout, inverse)
    factor = chi_square / max(freedom - _determined(layout, inverse, int(layout.free.sum())), 1.0)
    for restraint, gamma in zip(layout.restraints, gammas, strict=True):
        if not restraint.adaptive:
            continue
        deviation = x[restraint.where] - restraint.null
        size = float(deviation @ restraint.penalty.matrix @ deviation)
        guess = 1.0 / restraint.penalty.typical**2
        weight = factor * gamma / max(size, 1e-300)
        restraint.weight = float(np.clip(weight, layout.weight_range[0] * guess, layout.weight_range[1] * guess))
    return float(factor)
