"""Matching processed reflections to the truth, and how well they agree."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spindle.errors import UserError
from spindle.table import Flag, ReflectionTable

from .matching import nearest_places, reindexing
from .truth import Truth

__all__ = ["Agreement", "Matches", "compare_intensities", "match", "observed_intensities"]

FEWEST_OF_STILL = 10
STEPS, OUTLIER_SPREADS = 8, 6.0  # of the regression of found on true intensities; how many spreads outliers are away
Z_LIMIT = 10.0  # a single wild value must not make the rms of z


@dataclass(frozen=True, slots=True)
class Matches:
    """m pairs of a processed and a true reflection.

    Attributes
    ----------
    truth : Truth
    rows, truth_rows : (m,) int64
        Rows of the table and of the truth.
    difference : (m, 3) float64, px, px, images
        Predicted less true place.
    reindex : (3, 3) float64
        hkl of the truth = reindex @ hkl of the table.
    n_candidates : int
        Rows of the table that have a position and an index.
    wrong_index : int
        Pairs by position whose indices disagree; left out of the pairs.
    """

    truth: Truth
    rows: np.ndarray
    truth_rows: np.ndarray
    difference: np.ndarray
    reindex: np.ndarray
    n_candidates: int
    wrong_index: int


def match(table: ReflectionTable, truth: Truth, experiment: int, still: int | None = None) -> Matches:
    """Pair reflections by panel and predicted position, so that the choice of axes does not matter, and find that choice.

    ``still`` is the number of the image of a still, from 0; its reflections are compared with those of that image.

    Raises
    ------
    UserError
        If next to none of the reflections is where the truth has one.
    """
    for name in ("xyzcal.px", "miller_index"):
        if name not in table:
            raise UserError(f"the reflections have no column {name}; give indexed, refined, integrated or scaled ones")
    hkl = table["miller_index"].astype(np.int64)
    usable = np.any(hkl != 0, axis=1) & np.isfinite(table["xyzcal.px"]).all(axis=1)
    if "id" in table:
        usable &= table["id"] == experiment
    rows = np.flatnonzero(usable)
    place = table["xyzcal.px"][rows] - [0.0, 0.0, truth.first_image - 1.0]
    width = truth.models["osc_deg"]
    if still is not None:
        place[:, 2], width = still + 0.5, 1.0
    panel = table["panel"][rows].astype(np.int64) if "panel" in table else np.zeros(len(rows), np.int64)
    true_panel, true_place = truth.as_imported()
    near, partner = nearest_places(panel, place, true_panel, true_place, width)
    if still is not None:
        of_image = np.abs(true_place[partner, 2] - place[near, 2]) < 0.5
        near, partner = near[of_image], partner[of_image]
    place, rows = place[near], rows[near]
    if len(rows) < (20 if still is None else FEWEST_OF_STILL):
        raise UserError(
            f"only {len(rows)} of {usable.sum()} reflections of experiment {experiment} lie where "
            f"the truth in {truth.folder} has one; are these the reflections of the simulated sweep in that folder?"
        )
    reindex = reindexing(hkl[rows], truth.hkl[partner])
    agree = np.all(np.abs(hkl[rows] @ reindex.T - truth.hkl[partner]) < 0.01, axis=1)
    return Matches(
        truth=truth,
        rows=rows[agree],
        truth_rows=partner[agree],
        difference=place[agree] - true_place[partner[agree]],
        reindex=reindex,
        n_candidates=int(usable.sum()),
        wrong_index=int((~agree).sum()),
    )


def observed_intensities(
    table: ReflectionTable, kind: str, stills: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Intensity, sigma and a mask of the usable rows, each (n,); None where the table has no such intensity.

    Parameters
    ----------
    table : ReflectionTable
    kind : "sum", "prf" or "scale"
        Summed counts, profile-fitted counts, or scaled intensities divided by their inverse scale factor.
    stills : bool
        Whether partialities are no parts of what was recorded.
    """
    value, variance = f"intensity.{kind}.value", f"intensity.{kind}.variance"
    if value not in table or variance not in table:
        return None
    intensity, sigma = table[value].copy(), np.sqrt(np.maximum(table[variance], 1e-12))
    usable = table[variance] > 0
    if kind == "scale":
        if "inverse_scale_factor" not in table:
            return None
        factor = table["inverse_scale_factor"]
        usable &= factor > 0
        bad = Flag.USER_EXCLUDED_IN_SCALING | Flag.OUTLIER_IN_SCALING | Flag.EXCLUDED_FOR_SCALING
        usable &= (table["flags"] & np.uint64(bad)) == 0
        factor = np.where(factor > 0, factor, 1.0)
        return intensity / factor, sigma / factor, usable
    done = Flag.INTEGRATED_SUM if kind == "sum" else Flag.INTEGRATED_PRF
    usable &= (table["flags"] & np.uint64(done)) != 0
    if "partiality" in table and not stills:
        usable &= table["partiality"] > 0.99
    return intensity, sigma, usable


@dataclass(frozen=True, slots=True)
class Agreement:
    """Intensities against the truth, over all and per resolution shell (s shells of equal numbers).

    Attributes
    ----------
    n : int
    scale, relative_b : float
        True intensities times scale exp(-relative_b / (2 d^2)) are compared with the found ones.
    correlation, r_factor, rms_z : float
    d_max, d_min, number, mean, signal, ratio, r, z_mean, z_rms : (s,) arrays
        Limits (angstrom), number, mean true intensity, mean I / sigma, found / true, R, mean and rms of (found - true)
        / sigma.
    z_drawn : (s,) array
        Rms of what the photons that were drawn differ from those expected, in units of the square root: the noise of the truth itself,
        about which no measurement can do anything; NaN where it is not known.
    """

    n: int
    scale: float
    relative_b: float
    correlation: float
    r_factor: float
    rms_z: float
    d_max: np.ndarray
    d_min: np.ndarray
    number: np.ndarray
    mean: np.ndarray
    signal: np.ndarray
    ratio: np.ndarray
    r: np.ndarray
    z_mean: np.ndarray
    z_rms: np.ndarray
    z_drawn: np.ndarray


def compare_intensities(
    found: np.ndarray,
    sigma: np.ndarray,
    true: np.ndarray,
    d: np.ndarray,
    n_shells: int,
    fit_b: bool,
    draw: np.ndarray | None = None,
) -> Agreement:
    """Compare found and true intensities, all (n,).

    ``fit_b`` allows for a B factor between the two, which scaling cannot know; the overall scale is always free. ``draw`` is what the photons
    drawn differ from those expected, over its standard deviation.
    """
    if draw is None:
        draw = np.full(len(true), np.nan)
    scale, relative_b = _relative_scale(found, sigma, true, d, fit_b)
    model = scale * true * np.exp(-0.5 * relative_b / d**2)
    z = np.clip((found - model) / sigma, -Z_LIMIT, Z_LIMIT)
    order = np.argsort(-d, kind="stable")
    parts = [p for p in np.array_split(order, n_shells) if len(p) > 0]

    def per_shell(function: object) -> np.ndarray:
        return np.array([function(p) for p in parts], dtype=float)  # type: ignore[operator]

    return Agreement(
        n=len(found),
        scale=scale,
        relative_b=relative_b,
        correlation=float(np.corrcoef(found, model)[0, 1]),
        r_factor=float(np.abs(found - model).sum() / model.sum()),
        rms_z=float(np.sqrt(np.mean(z**2))),
        d_max=per_shell(lambda p: d[p].max()),
        d_min=per_shell(lambda p: d[p].min()),
        number=per_shell(len),
        mean=per_shell(lambda p: model[p].mean()),
        signal=per_shell(lambda p: (found[p] / sigma[p]).mean()),
        ratio=per_shell(lambda p: found[p].sum() / model[p].sum()),
        r=per_shell(lambda p: np.abs(found[p] - model[p]).sum() / model[p].sum()),
        z_mean=per_shell(lambda p: z[p].mean()),
        z_rms=per_shell(lambda p: np.sqrt(np.mean(z[p] ** 2))),
        z_drawn=per_shell(lambda p: np.sqrt(np.mean(draw[p] ** 2))),
    )


def _relative_scale(
    found: np.ndarray, sigma: np.ndarray, true: np.ndarray, d: np.ndarray, fit_b: bool
) -> tuple[float, float]:
    """Scale and relative B of found against true intensities, from the strong ones.

    Which ones are strong, and what they weigh, follows from the truth alone: those found to be strong are too strong on average, the more
    so the weaker they are. Of Poisson regression, so that sums agree; what lies far from the model is left out step by step.
    """
    chosen = true > np.quantile(true, 0.5 if fit_b else 0.75)
    if np.count_nonzero(chosen) < (50 if fit_b else 20) or found[chosen].sum() <= 0.0:
        return float(found.sum() / true.sum()), 0.0
    y, t, x = found[chosen], true[chosen], 0.5 / d[chosen] ** 2
    middle = float(np.average(x, weights=t))
    design = np.stack([np.ones(len(x)), x - middle], axis=1)[:, : 1 + fit_b]
    keep, v = np.ones(len(y), np.bool_), np.zeros(1 + fit_b)
    v[0] = np.log(y.sum() / t.sum())
    for _ in range(STEPS):
        model = t * np.exp(design @ v)
        residual = (y - model) / np.sqrt(model)
        keep = np.abs(residual) < OUTLIER_SPREADS * 1.4826 * np.median(np.abs(residual)) + 1e-6
        a = design[keep]
        step = np.linalg.solve(a.T @ (a * model[keep, None]), a.T @ (y - model)[keep])
        v = v + step / max(1.0, float(np.abs(design @ step).max()))
    slope = float(v[1]) if fit_b else 0.0
    return float(np.exp(v[0] - slope * middle)), -slope
