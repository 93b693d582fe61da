"""Extrapolation of each reflection to dose zero, as far as free reflections show that it helps."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from spindle.report import Table
from spindle_lib_radiation_damage import (
    DamageLines,
    DosedIntensities,
    FreeTest,
    damage_lines,
    fit_rate,
    free_test,
    spread_of_slopes,
)

if TYPE_CHECKING:
    from .rounds import Scaler

__all__ = ["ZeroDose", "to_zero_dose"]

#: Parts of the unique reflections of which each is free while the others tell the rate.
PARTS = 2


@dataclass(slots=True)
class ZeroDose:
    """What the observations were before they were extrapolated, and what was found.

    Attributes
    ----------
    dose : (n,) float64
        Of each observation.
    raw : (n,) float64
        Intensities as they were integrated.
    rate : float
        Relative rms change of an intensity per unit of dose; 0 where extrapolation did not prove itself.
    test : FreeTest
    inflation : (n,) float64
        By what the variance of the mean of an observation's reflection grows.
    scatter : (n,) float64
        Intensities whose deviations from the mean are as large as the errors say, for error models.
    """

    dose: np.ndarray
    raw: np.ndarray
    rate: float
    test: FreeTest
    inflation: np.ndarray
    scatter: np.ndarray


def to_zero_dose(scaler: Scaler, dose: np.ndarray) -> None:
    """Extrapolate, where that proves itself, and tell the user; arguments as those of `extrapolate`."""
    found = extrapolate(scaler, dose)
    if found.rate > 0:
        # errors of equivalents that part with the dose were too large, and what they allowed for too small
        scaler.zero_dose = found
        if scaler.use_error_model:
            scaler.refine_errors(logging.DEBUG, weight=None)
        scaler.reject()
        scaler.refine("at dose zero", final=True)
        found = extrapolate(scaler, dose, found)
    scaler.zero_dose = found
    text, table = told(found)
    scaler.context.log.info("%s", text)
    scaler.context.table(table)


def extrapolate(scaler: Scaler, dose: np.ndarray, earlier: ZeroDose | None = None) -> ZeroDose:
    """Replace the intensities by those at dose zero, if this predicts free reflections better.

    Parameters
    ----------
    scaler : Scaler
        Its observations' intensities are changed.
    dose : (n,) float64
        Of each observation.
    earlier : ZeroDose, optional
        A first extrapolation, which is taken back; its proof counts.
    """
    obs = scaler.obs
    raw = obs.intensity.copy() if earlier is None else earlier.raw
    m = obs.groups.n_groups
    variance = scaler.corrected_variance()
    obs.intensity = raw.copy()
    d = obs.d[obs.groups.order[obs.groups.offsets[:-1]]]
    seen = DosedIntensities(obs.groups.index, raw / obs.g, variance / obs.g**2, dose, ~obs.outlier, np.zeros(m))
    level = damage_lines(seen, 0.0)
    seen = replace(seen, spread=spread_of_slopes(level.mean, d))
    rate = fit_rate(seen)
    test = earlier.test if earlier is not None else _proof(seen, scaler.context.seed)
    nothing = ZeroDose(dose, raw, 0.0, test, np.ones(len(obs)), raw)
    if not (rate > 0 and test.proven):
        return nothing
    lines, group = damage_lines(seen, rate), seen.group
    known = np.isfinite(lines.mean)[group]
    obs.intensity = np.where(known, raw - obs.g * lines.slope[group] * dose, raw)
    inflation = np.where(known, lines.inflation[group], 1.0)
    scatter = np.where(known, obs.g * _as_scattered(seen, lines, level), raw)
    return ZeroDose(dose, raw, rate, test, inflation, scatter)


def _proof(seen: DosedIntensities, seed: int) -> FreeTest:
    """Each part of the reflections is predicted with the rate that the others tell."""
    part = np.random.default_rng(seed).integers(0, PARTS, seen.n_reflections)
    tests = []
    for k in range(PARTS):
        free = part == k
        rate = fit_rate(replace(seen, use=seen.use & ~free[seen.group]))
        tests.append(free_test(seen, free, rate))
    return FreeTest.of_parts(tests)


def _as_scattered(seen: DosedIntensities, lines: DamageLines, level: DamageLines) -> np.ndarray:
    """Intensities that deviate from a mean as much as the observations do from their lines, with what the slopes took up given back."""
    back = np.sqrt(np.maximum(level.freedom, 0.0) / np.maximum(lines.freedom, 1e-6))
    return np.asarray(lines.mean[seen.group] + lines.residual * np.clip(back, 1.0, 10.0))


def told(found: ZeroDose) -> tuple[str, Table]:
    """A sentence and a table for the user."""
    test, span = found.test, float(np.ptp(found.dose)) if len(found.dose) else 0.0
    figures = f"rms deviation of {test.n} observations of {test.n_reflections} free reflections {test.without:.3f} -> {test.with_lines:.3f} sigma"
    if test.n == 0:
        text = "zero-dose extrapolation is left off: no reflection was measured more than once at different doses, so nothing can prove it"
    elif found.rate > 0:
        text = f"intensities are extrapolated to dose zero: {figures}; they change by {100 * found.rate * span:.1f} % rms over the doses measured"
    else:
        text = f"zero-dose extrapolation is left off, since it does not predict free reflections better beyond chance: {figures}"
    rows = [
        ["by the mean of their equivalents", test.without],
        ["by a line along the dose", test.with_lines],
        ["gain in log likelihood of an observation", test.gain],
        ["its standard error", test.error],
    ]
    return text, Table("Zero-dose extrapolation: free reflections predicted", ["", "Value"], rows, "zero_dose", True)
