"""Cycles of merging and post-refinement of all stills against the means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spindle.models import Experiments

from .kernels import N_PARAMETERS, refine_stills
from .merging import ErrorTerms, Merge, fit_errors, merge
from .observations import Observations

__all__ = ["Postrefinement", "Result"]

#: Stills that one task refines.
STILLS_PER_TASK = 100
#: Deviations in sigma from which on observations pull no more (Huber 1964).
ROBUST_LIMIT = 2.5
#: Shells in which first scales are found.
SHELLS = 15
#: First standard deviations that parameters are drawn to their middle with: B (A^2) and ln width; that of orientations is a parameter.
B_SPREAD, WIDTH_SPREAD = 5.0, 0.2
#: They do not become smaller than this part of the first ones, nor larger than this many times.
SPREAD_RANGE = (0.02, 5.0)
#: Points are taken for so much wider where orientations are refined for the first time.
WIDE = 2.0
#: Steps of each cycle.
STEPS = 8


@dataclass(slots=True)
class Result:
    """Post-refined stills.

    Attributes
    ----------
    parameters : (m, 5) float64
        ln scale, B (A^2), rotations (radians), ln width, of every still.
    g, partiality, spread : (n,) float64
        Inverse scale factors, partialities in them, variances of ln g.
    merged : Merge
    errors : ErrorTerms
    reasons : dict of int to str
        Stills that are left out.
    outlier : (n,) bool
    history : list of (int, float, float)
        Cycle, CC of observations with the means of the others, rms normalised deviation.
    model : str
        Of partialities.
    """

    parameters: np.ndarray
    g: np.ndarray
    partiality: np.ndarray
    spread: np.ndarray
    merged: Merge
    errors: ErrorTerms
    reasons: dict[int, str]
    outlier: np.ndarray
    history: list[tuple[int, float, float]]
    model: str

    @property
    def kept(self) -> np.ndarray:
        """Stills that are merged."""
        m = len(self.parameters)
        return np.setdiff1d(np.arange(m), list(self.reasons))


@dataclass(frozen=True)
class _Task:
    """Refines a block of stills; attributes as the arguments of `kernels.refine_stills`."""

    obs: Observations
    x: np.ndarray
    reach: np.ndarray
    given: np.ndarray
    weight: np.ndarray
    reference: np.ndarray
    free: np.ndarray
    middle: np.ndarray
    hold: np.ndarray
    steps: int
    parameters: np.ndarray
    g: np.ndarray
    partiality: np.ndarray
    spread: np.ndarray
    variances: np.ndarray

    def __call__(self, block: tuple[int, int]) -> None:
        obs, (first, last) = self.obs, block
        begin, end = int(obs.offsets[first]), int(obs.offsets[last])
        rows, stills = slice(begin, end), slice(first, last)
        refine_stills(
            obs.offsets[first : last + 1] - begin, obs.q[rows], self.x[rows], self.reach[rows], self.given[rows], obs.value[rows], self.weight[rows],
            self.reference[rows], obs.s0[stills], obs.e1[stills], obs.e2[stills], self.free, self.middle[stills], self.hold, self.steps,
            self.parameters[stills], self.g[rows], self.partiality[rows], self.spread[rows], self.variances[stills],
        )  # fmt: skip


class Postrefinement:
    """Scales stills and finds their partialities.

    Parameters
    ----------
    obs : Observations
    experiments : Experiments
    params : Params
        Of the program.
    context : RunContext
    target : (m,) float64 or None
        Reference intensities of the unique reflections, NaN where there is none: instead of the means.
    model : str
        Of partialities: ``refined``, ``table`` or ``unity``.
    """

    def __init__(
        self,
        obs: Observations,
        experiments: Experiments,
        params: Any,
        context: Any,
        target: np.ndarray | None = None,
        model: str = "refined",
    ) -> None:
        self.obs, self.params, self.context, self.target = obs, params, context, target
        self.x = 0.5 / obs.d**2
        self.model = model
        self.reach = np.ones(len(obs))
        if params.partiality.width == "angle":
            # a turn about the axis that is fastest takes a point across the sphere at |q| cos theta
            q = np.linalg.norm(obs.q, axis=1)
            sine = 0.5 * q / np.linalg.norm(obs.s0, axis=1)[obs.still]
            self.reach = q * np.sqrt(np.maximum(1.0 - sine**2, 1e-3))
        n, m = len(obs), obs.n_stills
        self.parameters = np.zeros((m, N_PARAMETERS))
        self.g, self.partiality, self.spread = np.ones(n), np.ones(n), np.zeros(n)
        self.variances = np.zeros((m, N_PARAMETERS))
        angle = np.radians(params.postrefinement.orientation_spread)
        self.first_spreads = np.array([B_SPREAD, angle, WIDTH_SPREAD])
        self.spreads = self.first_spreads.copy()
        self.outlier = np.zeros(n, bool)
        self.errors = ErrorTerms()
        self.reasons: dict[int, str] = {}
        self.history: list[tuple[int, float, float]] = []
        self._begin(experiments)

    def run(self) -> Result:
        """All cycles; each frees more parameters."""
        options = self.params.postrefinement
        counts = np.diff(self.obs.offsets)
        for k in np.flatnonzero(counts < self.params.min_reflections):
            self.reasons[int(k)] = f"{counts[k]} reflections, fewer than min_reflections={self.params.min_reflections}"
        merged = self.first_merge()
        if self.params.method == "monte_carlo":
            return self._result(merged)
        refine = self.model == "refined"
        free = np.zeros(N_PARAMETERS, bool)
        for cycle in range(1, options.cycles + 1):
            free[0] = True
            free[1] = cycle > 1 and options.b_factor
            free[2:4] = refine and cycle > 2 and options.orientation
            free[4] = refine and cycle > 3 and options.width
            if refine and cycle == 3:
                # wide points first: what lies beside the sphere by the orientation of the file may lie on it
                self.given[:] = 0.0
                self.parameters[:, 4] += np.log(WIDE)
            self.refine(merged, free)
            if refine and cycle == 3:
                self.parameters[:, 4] -= np.log(WIDE)
                self.refine(merged, free)
            self.normalise()
            merged = self.merge_again(merged)
            self.judge(merged, cycle)
            if cycle > 1:
                self.errors = fit_errors(self.obs, merged, self.spread, self.used(), self.errors)
                merged = self.merge_again(merged)
                self.reject(merged)
                merged = self.merge_again(merged)
        return self._result(merged)

    def first_merge(self) -> Merge:
        """Scales from the mean intensity of each still in shells, and plain means."""
        obs = self.obs
        full = obs.value / self.partiality
        shell = np.argsort(np.argsort(obs.d)) * SHELLS // max(len(obs), 1)
        for _ in range(3):
            scaled = full / self.g * self.partiality
            mean = np.bincount(shell, scaled, SHELLS) / np.maximum(np.bincount(shell, minlength=SHELLS), 1)
            expected = np.maximum(mean, 0.0)[shell] * self.partiality
            top = np.bincount(obs.still, obs.value, obs.n_stills)
            bottom = np.bincount(obs.still, expected, obs.n_stills)
            ratio = np.where((top > 0) & (bottom > 0), top / np.maximum(bottom, 1e-300), np.nan)
            self.parameters[:, 0] = np.log(np.where(np.isfinite(ratio), ratio, 1.0))
            self.g = np.exp(self.parameters[obs.still, 0]) * self.partiality
        for k in np.flatnonzero(~np.isfinite(ratio) & (np.diff(obs.offsets) > 0)):
            self.reasons.setdefault(int(k), "its intensities are not positive on average")
        return merge(
            obs,
            self.g,
            np.where(
                self.used(),
                1.0 / self.errors.variance(obs, self.g, np.maximum(full / self.g * self.partiality, 0), self.spread),
                0.0,
            ),
        )

    def used(self) -> np.ndarray:
        """(n,) bool: what is merged."""
        good = ~self.outlier & (self.partiality >= self.params.partiality.min)
        if self.reasons:
            bad = np.zeros(self.obs.n_stills, bool)
            bad[list(self.reasons)] = True
            good &= ~bad[self.obs.still]
        return good

    def comparison(self, merged: Merge) -> tuple[np.ndarray, np.ndarray]:
        """What each observation is compared with, and its variance."""
        mean, variance = merged.of_others(self.obs)
        if self.target is not None:
            given = self.target[self.obs.index]
            return given, np.where(np.isfinite(given), 0.0, np.inf)
        return mean, variance

    def refine(self, merged: Merge, free: np.ndarray) -> None:
        """One cycle of all stills."""
        obs = self.obs
        reference, uncertain = self.comparison(merged)
        known = np.isfinite(reference) & ~self.outlier
        reference = np.where(known, reference, 0.0)
        variance = self.errors.variance(obs, self.g, reference, np.zeros(len(obs)))
        variance = variance + self.g**2 * np.where(known, uncertain, 0.0)
        deviation = np.abs(obs.value - self.g * reference) / np.sqrt(variance)
        weight = np.where(known, np.minimum(1.0, ROBUST_LIMIT / np.maximum(deviation, 1e-30)) / variance, 0.0)
        weight[self.partiality < self.params.partiality.min] *= 0.0 if not free[2] else 1.0
        b, angle, width = self.spreads**-2.0
        hold = np.array([1e-9, b, angle, angle, width])
        middle = np.zeros_like(self.parameters)
        middle[:, 4] = np.median(self.parameters[:, 4])
        self._map(weight, reference, free, middle, hold, STEPS)
        self.weigh(free, middle)

    def weigh(self, free: np.ndarray, middle: np.ndarray) -> None:
        """How much crystals differ in B, orientation and width, by the data: the spreads of greatest evidence (MacKay 1992).

        What the stills are too weak or too few to tell is thereby left as it was.
        """
        good = np.diff(self.obs.offsets) > 0
        good[list(self.reasons)] = False
        for i, places in enumerate(([1], [2, 3], [4])):
            if not free[places[0]] or not good.any():
                continue
            deviation = (self.parameters - middle)[good][:, places]
            told = 1.0 - np.clip(self.variances[good][:, places] / self.spreads[i] ** 2, 0.0, 1.0)
            found = np.sqrt(float((deviation**2).sum()) / max(float(told.sum()), 1e-3))
            low, high = (f * self.first_spreads[i] for f in SPREAD_RANGE)
            self.spreads[i] = float(np.clip(found, low, high))

    def _map(
        self,
        weight: np.ndarray,
        reference: np.ndarray,
        free: np.ndarray,
        middle: np.ndarray,
        hold: np.ndarray,
        steps: int,
    ) -> None:
        task = _Task(
            self.obs, self.x, self.reach, self.given, weight, reference, free, middle, hold, steps, self.parameters, self.g, self.partiality,
            self.spread, self.variances,
        )  # fmt: skip
        m = self.obs.n_stills
        blocks = [(i, min(i + STILLS_PER_TASK, m)) for i in range(0, m, STILLS_PER_TASK)]
        for _ in self.context.executor.here.map(task, blocks):
            pass

    def normalise(self) -> None:
        """Common scale, B and rotation mean nothing: the median still has scale 1 and B 0."""
        if self.target is not None:
            return
        good = np.ones(self.obs.n_stills, bool)
        good[list(self.reasons)] = False
        for place in (0, 1):
            middle = float(np.median(self.parameters[good, place])) if good.any() else 0.0
            self.parameters[:, place] -= middle
            self.g *= np.exp(-middle) if place == 0 else np.exp(-middle * self.x)

    def merge_again(self, merged: Merge) -> Merge:
        """Means with weights from what the present ones let expect."""
        reference = np.nan_to_num(merged.mean)[self.obs.index]
        variance = self.errors.variance(self.obs, self.g, reference, self.spread)
        return merge(self.obs, self.g, np.where(self.used(), 1.0 / variance, 0.0))

    def judge(self, merged: Merge, cycle: int) -> None:
        """Correlations of stills with the means of the others; those that do not agree are left out."""
        obs = self.obs
        reference, uncertain = self.comparison(merged)
        use = self.used() & np.isfinite(reference)
        expected = np.where(use, self.g * np.where(use, reference, 0.0), 0.0)
        variance = self.errors.variance(obs, self.g, np.where(use, reference, 0.0), self.spread)
        variance = variance + self.g**2 * np.where(use, uncertain, 0.0)
        z = np.where(use, (obs.value - expected) / np.sqrt(variance), 0.0)
        cc = correlations(obs.still[use], obs.value[use], expected[use], obs.n_stills)
        if cycle > 1:
            for k in np.flatnonzero(cc < self.params.min_cc):
                self.reasons.setdefault(
                    int(k), f"CC {cc[k]:.2f} with the others, less than min_cc={self.params.min_cc:g}"
                )
        mean_cc = float(np.nanmean(cc)) if np.isfinite(cc).any() else float("nan")
        self.history.append(
            (cycle, mean_cc, float(np.sqrt((np.minimum(z[use] ** 2, 36.0)).mean())) if use.any() else float("nan"))
        )

    def reject(self, merged: Merge) -> None:
        """Outliers afresh: observations far from the mean of the others."""
        obs, limit = self.obs, self.params.outlier_zmax
        self.outlier[:] = False
        reference, uncertain = self.comparison(merged)
        known = np.isfinite(reference) & np.isfinite(uncertain)
        variance = self.errors.variance(obs, self.g, np.where(known, reference, 0.0), self.spread)
        variance = variance + self.g**2 * np.where(known, uncertain, 0.0)
        z = (obs.value - self.g * np.where(known, reference, 0.0)) / np.sqrt(variance)
        self.outlier = known & (np.abs(z) > limit)

    def _begin(self, experiments: Experiments) -> None:
        """First widths: from the partialities of the table, or from how far from the sphere reflections were integrated."""
        obs = self.obs
        length = np.linalg.norm(obs.s0, axis=1)[obs.still]
        error = np.linalg.norm(obs.s0[obs.still] + obs.q, axis=1) - length
        t = error / self.reach
        p = obs.partiality
        tells = (p < 0.95) & (p > 0.02)
        self.given = np.zeros(len(obs))
        if tells.sum() > 50:
            width = float(np.sqrt(np.median(t[tells] ** 2 / (-2.0 * np.log(p[tells])))))
        else:
            width = float(np.sqrt(np.mean(t**2))) if len(t) else 1e-3
        self.parameters[:, 4] = np.log(max(width, 1e-7))
        if self.params.method == "monte_carlo" or self.model == "unity":
            self.given[:] = 1.0
            return
        if (
            self.model == "table" or tells.sum() > 50
        ):  # before orientations are refined, those of the table are the best there are
            self.given = p.copy()
            self.partiality = p.copy()
            return
        self.partiality = np.exp(-0.5 * (t / max(width, 1e-7)) ** 2)
        self.partiality = np.maximum(self.partiality, 1e-6)

    def _result(self, merged: Merge) -> Result:
        if self.params.method == "monte_carlo":
            merged = merge(self.obs, self.g, self._by_scatter())
        return Result(
            self.parameters, self.g, self.partiality, self.spread, merged, self.errors, self.reasons, self.outlier, self.history, self.model
        )  # fmt: skip

    def _by_scatter(self) -> np.ndarray:
        """(n,) float64: the weights of plain means, 1 / variance from the scatter of the observations of each reflection."""
        obs, use = self.obs, self.used()
        full = obs.value / self.g
        n = np.bincount(obs.index[use], minlength=obs.n_unique)
        mean = np.bincount(obs.index[use], full[use], obs.n_unique) / np.maximum(n, 1)
        squares = np.bincount(obs.index[use], (full - mean[obs.index])[use] ** 2, obs.n_unique)
        one = np.bincount(obs.index[use], (obs.variance / self.g**2)[use], obs.n_unique) / np.maximum(n, 1)
        # few observations say little of their scatter: the square of the mean is what partialities alone make it
        spread = np.maximum((squares + 2.0 * mean**2) / np.maximum(n + 1, 1), one)
        return np.where(use, 1.0 / np.maximum(self.g**2 * spread[obs.index], 1e-300), 0.0)


def correlations(still: np.ndarray, value: np.ndarray, expected: np.ndarray, m: int) -> np.ndarray:
    """(m,) float64: correlation of observed with expected intensities in each still; NaN with fewer than three."""
    n = np.bincount(still, minlength=m)
    count = np.maximum(n, 1)
    first, second = (np.bincount(still, v, m) / count for v in (value, expected))
    a, b = value - first[still], expected - second[still]
    top = np.bincount(still, a * b, m)
    bottom = np.sqrt(np.bincount(still, a * a, m) * np.bincount(still, b * b, m))
    return np.where((n > 2) & (bottom > 0), top / np.maximum(bottom, 1e-300), np.nan)


def summary_of(values: Sequence[float]) -> tuple[float, float, float]:
    """Median and the tenth and ninetieth percentile."""
    low, middle, high = np.percentile(values, [10, 50, 90])
    return float(middle), float(low), float(high)
