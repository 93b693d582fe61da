"""The course of scaling: rounds of fits, outlier rejection, choice of intensities, error models."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from spindle.contracts.error_model import ErrorModelFit, ErrorModelObservations
from spindle.contracts.scaling import ScalingModel
from spindle.params import Auto, plugin_scope
from spindle.report import DETAIL, Table
from spindle.table import rows_by_value
from spindle_lib_noise.signal import counts_in_variance

from . import combine
from .anchors import begin_near_one, fit_data, hold, no_equivalents, place_target, report_target, with_target
from .believed import believed_intensities
from .data import Observations
from .error_groups import groups_of_errors
from .flicker import doubt_images
from .friedel import FriedelTest, decide_friedel
from .layout import Layout
from .params import ScaleParams
from .pieces import expected_intensities, fill_rows, fill_scales, find_outliers, pieces_of, slices_of
from .select import free_groups, normalised_intensities, rmsd_of_rows
from .solver import ScaleFit, fit_scales, fit_scales_lbfgs
from .sums import Map
from .target import Target, TargetOfGroups
from .wilson import scale_by_distribution
from .zero_dose import ZeroDose, to_zero_dose

if TYPE_CHECKING:
    from spindle.execution import RunContext

#: Before scales are known, equivalents may differ by this fraction.
UNSCALED_SPREAD = 0.15


class Scaler:
    """Scales the observations of all data sets together.

    Parameters
    ----------
    obs : Observations
        Changed in place: intensity, variance, outlier, g.
    models : sequence of ScalingModel
        One per data set.
    params : Params
        Of the scale program.
    context : RunContext
    free_offset : int, optional
        Leave out this free set whatever the parameters say.
    may_friedel_differ : bool
        Whether ``anomalous=Auto`` looks for differences of Friedel mates.
    target : Target, optional
        Reference intensities to scale against.
    held : sequence of int
        Data sets that others are scaled against: their scale factors stay as they are, at first or, with ``only_target``, to the end.
    start_errors : sequence of ErrorModelFit or None
        Of each data set, from an earlier scaling.
    dose : (n,) float64, optional
        Of each observation, to extrapolate intensities to dose zero.

    Attributes
    ----------
    target : TargetOfGroups or None
        What the reference says of the reflections that were measured.
    friedel : FriedelTest or None
        What decided about Friedel mates, with ``anomalous=Auto``.
    free_rmsd : float or None
        RMSD of the normalised residuals of the free set after the last round.
    zero_dose : ZeroDose or None
        What the extrapolation to dose zero found.
    scale_error : (n,) float64 or None
        Relative variances of scale factors that no equivalents tell, which are no part of the error model.
    """

    def __init__(
        self,
        obs: Observations,
        models: Sequence[ScalingModel],
        params: ScaleParams,
        context: RunContext,
        free_offset: int | None = None,
        may_friedel_differ: bool = True,
        target: Target | None = None,
        held: Sequence[int] = (),
        start_errors: Sequence[ErrorModelFit | None] = (),
        dose: np.ndarray | None = None,
    ) -> None:
        self.obs = obs
        self.params = params
        self.context = context
        self.layout = Layout(models)
        self.parameters = self.layout.start.copy()
        name = params.weighting.error_model.error_model
        chosen = name or "basic"
        self.error_plugin = context.algorithm("error_model", chosen, plugin_scope(params, "error_model", chosen))
        self.use_error_model = name is not None
        self.error_groups = groups_of_errors(obs, params, context.log)
        default = self.error_plugin.default_error_model()
        known = dict(enumerate(start_errors))
        self.errors: list[ErrorModelFit] = [
            next((e for k in sets if (e := known.get(k)) is not None), default) for sets in self.error_groups
        ]
        self.middles = np.zeros(obs.n_sets)
        self.fit: ScaleFit | None = None
        self.free = np.zeros(obs.groups.n_groups, bool)
        options = params.scaling_options
        self.free_rmsd: float | None = None
        self.dose = dose
        self.zero_dose: ZeroDose | None = None
        self.scale_error: np.ndarray | None = None
        self.friedel: FriedelTest | None = None
        self.may_friedel_differ = may_friedel_differ
        if options.use_free_set or free_offset is not None:
            offset = options.free_set_offset if free_offset is None else free_offset
            self.free = free_groups(obs.groups.n_groups, options.free_set_percentage, offset)
        self.target = None if target is None else TargetOfGroups.of(target, obs.groups, obs.d)
        self.everything = self.layout.free.copy()
        self.held = list(held)
        self.expand()
        if not self.held:
            begin_near_one(self)

    def run(self) -> None:
        """All rounds."""
        params, log = self.params, self.context.log
        choice = params.reflection_selection.intensity_choice
        middle = {"profile": combine.PROFILE_ONLY, "sum": combine.SUM_ONLY, "combine": combine.PROFILE_ONLY}[choice]
        self.set_intensities(np.full(self.obs.n_sets, middle))
        if choice != "combine":
            self.obs.settle()
        if self.target is not None:
            place_target(self, self.target)
        hold(self)
        self.reject(spread=UNSCALED_SPREAD)
        if params.scaling_refinery.refinement_order == "consecutive":
            self.refine_consecutively()
        self.refine("first round", tolerance=max(1e-3, params.scaling_refinery.rmsd_tolerance))
        if self.held and not params.scaling_options.only_target:
            self.release()
        self.reject()
        if choice == "combine":
            self.set_intensities(combine.chosen(self.obs, params, self.context))
            self.obs.settle()
            self.reject()
        self.refine("second round")
        self.reject()
        if self.params.anomalous is Auto and self.may_friedel_differ:
            decide_friedel(self)
        if self.use_error_model:
            self.refine_errors()
            self.reject()
        self.refine("with the final weights", final=True)
        self.reject()
        self.reject_impossible()
        if self.dose is not None:
            to_zero_dose(self, self.dose)
        scale_by_distribution(self)
        doubt_images(self)
        if self.use_error_model:
            tables = self.refine_errors(weight=None)
            for table in tables:
                self.context.table(table.as_detail())
        if self.target is not None:
            report_target(self, self.target)
        log.info("%d of %d observations are outliers", int(self.obs.outlier.sum()), len(self.obs))

    def release(self) -> None:
        """Let all scale factors vary again."""
        self.context.log.info(
            "all data sets are scaled together from here on; only_target=True keeps the scaled ones as they are"
        )
        self.layout.free = self.everything.copy()
        self.held = []

    @property
    def run_here(self) -> Map:
        """Applies a function to items, in several threads of this process, since they all see the same large arrays."""
        return self.context.executor.here.map

    @property
    def anchored(self) -> bool:
        """Whether more than equivalents tells the scale factors."""
        return self.target is not None or bool(self.held)

    def group_means(self) -> tuple[np.ndarray, np.ndarray]:
        """Scaled mean (m,) of the observations of each reflection that are no outliers, NaN without any, and 1 / variance (m,)."""
        obs = self.obs
        index, m = obs.groups.index, obs.groups.n_groups
        weight = ~obs.outlier / self.corrected_variance()
        bottom = np.bincount(index, weight * obs.g**2, m)
        top = np.bincount(index, weight * obs.g * obs.intensity, m)
        return np.divide(top, bottom, out=np.full(m, np.nan), where=bottom > 0), np.maximum(bottom, 1e-300)

    def set_intensities(self, middles: np.ndarray) -> None:
        """Take the mixture of profile fitting and summation of each data set's Imid."""
        obs = self.obs
        self.middles = np.asarray(middles, dtype=float)
        obs.intensity, obs.variance = np.empty(len(obs)), np.empty(len(obs))
        obs.made_of = np.empty(len(obs.expected_counts))

        def mix(piece: list[tuple[int, int, int]]) -> None:
            for k, first, last in piece:
                rows = slice(int(obs.bounds[k]) + first, int(obs.bounds[k]) + last)
                obs.intensity[rows], obs.variance[rows] = combine.mixture(obs, float(self.middles[k]), rows)
                if len(obs.made_of):
                    factor, expected = obs.factor[rows], obs.expected_counts[rows]
                    raw, variance = obs.intensity[rows] / factor, obs.variance[rows] / factor**2
                    obs.made_of[rows] = counts_in_variance(raw, variance, expected)

        for _ in self.run_here(mix, pieces_of(np.diff(obs.bounds))):
            pass

    def corrected_variance(self) -> np.ndarray:
        """(n,) float64: variances under the present error models, not divided by g^2."""
        obs = self.obs
        expected = self.expected()
        believed = believed_intensities(obs, expected, self.run_here, self._told_by_target())
        variance = np.empty(len(obs))
        several = len(self.error_groups) > 1
        for k, chosen in rows_by_value(self._error_group_of_rows()).items() if several else [(0, None)]:
            model = self.errors[k]

            def corrected(rows: Any, model: ErrorModelFit = model) -> np.ndarray:
                found = self.error_plugin.corrected_variance(
                    intensity=obs.intensity[rows], variance=believed.variance(rows, drawn=True), expected=expected[rows],
                    counting=believed.counting(rows), model=model,
                )  # fmt: skip
                return np.maximum(found, 1e-30)

            parts = slices_of(len(obs) if chosen is None else len(chosen))
            fill_rows(corrected, [p if chosen is None else chosen[p] for p in parts], variance, self.run_here)
        return variance

    def _error_group_of_rows(self) -> np.ndarray:
        """(n,) int64: which error model each observation has."""
        group = np.empty(self.obs.n_sets, np.int64)
        for k, sets in enumerate(self.error_groups):
            group[sets] = k
        return group[self.obs.number]

    def expected(self) -> np.ndarray:
        """(n,) float64: g <I> from the equivalents that are no outliers; the intensity itself where there is none."""
        return expected_intensities(self.obs, self.obs.variance, self.run_here, self._told_by_target())

    def _told_by_target(self) -> tuple[np.ndarray, np.ndarray] | None:
        """(m,) float64 each: I / variance and 1 / variance of the target."""
        if self.target is None:
            return None
        target, there = self.target, self.target.known
        weight = np.divide(1.0, target.variance, out=np.zeros(len(there)), where=there)
        return np.where(there, target.value, 0.0) * weight, weight

    def reject(self, spread: float = 0.0) -> None:
        """Find outliers afresh; `spread` allows for relative differences that scaling will remove."""
        obs, options = self.obs, self.params.scaling_options
        order = obs.groups.order
        variance = self.corrected_variance()
        if spread:
            variance = variance + (spread * self.expected()) ** 2
        how = options.outlier_zmax, options.outlier_rejection == "standard", self.run_here
        if self.target is None:
            obs.outlier = find_outliers(obs.groups.offsets, order, obs.intensity, 1.0 / variance, obs.g, *how)
            return
        offsets, place, intensity, weight, g = with_target(
            self, obs.groups.offsets, np.arange(obs.groups.n_groups), obs.intensity[order], 1.0 / variance[order],
            obs.g[order],
        )  # fmt: skip
        rejected = find_outliers(offsets, None, intensity, weight, g, *how)
        obs.outlier = np.zeros(len(obs), bool)
        obs.outlier[order[rejected[place]]] = True

    def reject_impossible(self) -> None:
        """Reject observations far above what Wilson's distribution allows."""
        limit = self.params.scaling_options.emax
        if limit is not None and limit > 0:
            impossible = (normalised_intensities(self.obs) > limit**2) & ~self.obs.outlier
            self.obs.outlier |= impossible
            if impossible.any():
                self.context.log.info("%d observations have E > %g and are outliers", int(impossible.sum()), limit)

    def refine_errors(self, log_level: int = logging.INFO, weight: dict[str, Any] | None = DETAIL) -> tuple[Table, ...]:
        """Fit the error models; returns the tables of the last one of each group."""
        obs = self.obs
        tables: list[Table] = []
        believed = believed_intensities(obs, self.expected(), self.run_here, self._told_by_target())
        order = obs.groups.order
        several = len(self.error_groups) > 1
        places = rows_by_value(self._error_group_of_rows()[order]) if several else {}
        scale_error = 0.0 if self.scale_error is None else float(np.sqrt(self.scale_error.mean()))
        scattered = obs.intensity if self.zero_dose is None else self.zero_dose.scatter
        for k, sets in enumerate(self.error_groups):
            groups = combine.several_of(obs.groups, ~obs.outlier, order[places.get(k, slice(0))] if several else order)
            rows = groups.order
            fit = self.error_plugin.fit_error_model(
                observations=ErrorModelObservations(
                    scattered[rows], believed.variance(rows, drawn=False), obs.g[rows],
                    believed.counting(rows), obs.partiality[rows], groups.offsets, scale_error,
                    believed.counted(rows),
                ),
                start=self.errors[k],
            )  # fmt: skip
            self.errors[k] = fit
            where = "" if len(self.error_groups) == 1 else f" of data sets {', '.join(map(str, sets))}"
            self.context.log.log(log_level, "error model%s: %s", where, fit.description, extra=weight)
            tables.extend(fit.tables)
        return tuple(tables)

    def refine_consecutively(self) -> None:
        """One more term at a time."""
        names = list(dict.fromkeys(t.name for m in self.layout.models for t in m.terms))
        everything = self.layout.free.copy()
        for n in range(1, len(names)):
            self.layout.free = everything.copy()
            for places in self.layout.slices:
                for name in names[n:]:
                    if name in places:
                        self.layout.free[places[name]] = False
            self.refine(" and ".join(names[:n]))
        self.layout.free = everything

    def refine(self, title: str, tolerance: float | None = None, final: bool = False) -> None:
        """Fit the scale parameters to a selection of observations and apply them to all."""
        refinery = self.params.scaling_refinery
        if self.target is not None and not title.startswith("first"):
            self.target.judge(*self.group_means())
        engine = refinery.full_matrix_engine if final else refinery.engine
        limit = refinery.full_matrix_max_iterations if final else refinery.max_iterations
        data, free_data = fit_data(self)
        if len(data.intensity) == 0:
            if title.startswith("first"):
                self.context.log.warning(
                    "%s: there are no equivalents that could tell scale factors", no_equivalents(self.obs)
                )
            self.fit = None
            return
        with self.context.progress(f"scaling, {title}") as progress:
            if engine == "SimpleLBFGS":
                self.fit = fit_scales_lbfgs(
                    self.layout, data, self.parameters, max_iterations=limit or 200,
                    tolerance=tolerance or refinery.rmsd_tolerance, check=lambda: progress.advance(1),
                    run=self.run_here,
                )  # fmt: skip
            else:
                self.fit = fit_scales(
                    self.layout, data, self.parameters, max_iterations=limit or 20,
                    tolerance=tolerance or refinery.rmsd_tolerance, damping=1e-3 if engine == "LevMar" else 0.0,
                    check=lambda: progress.advance(1), run=self.run_here,
                )  # fmt: skip
        self.parameters = self.fit.parameters
        self.expand()
        rows = [[i, len(data.intensity), rmsd] for i, (rmsd, _) in enumerate(self.fit.history)]
        text = f"scaling, {title}: {len(data.intensity)} observations of {len(data.offsets) - 1} reflections, "
        text += f"{self.layout.n_parameters} parameters, RMSD {rows[0][2]:.5f} -> {rows[-1][2]:.5f} in "
        text += f"{len(rows) - 1} steps; "
        text += self.fit.reason
        if free_data is not None:
            self.free_rmsd = rmsd_of_rows(self.obs, free_data, self.corrected_variance())
            text += f"; free RMSD {self.free_rmsd:.5f}"
        self.context.log.info("%s", text, extra=None if final else DETAIL)

    def expand(self) -> None:
        """Scale factors of all observations from the parameters."""
        obs = self.obs

        def places(rows: tuple[int, int, int]) -> slice:
            k, first, last = rows
            return slice(int(obs.bounds[k]) + first, int(obs.bounds[k]) + last)

        fill_scales(self.layout, self.parameters, places, np.diff(obs.bounds), obs.g, self.run_here)

    def sigma_factor(self) -> float:
        """By what the error models multiply the sigmas of weak reflections: the median below the median intensity."""
        obs = self.obs
        use = ~obs.outlier & (obs.variance > 0)
        if not use.any():
            return 1.0
        use &= obs.intensity <= np.median(obs.intensity[use])
        return float(np.sqrt(np.median((self.corrected_variance() / np.maximum(obs.variance, 1e-30))[use])))

    def scale_variances(self) -> np.ndarray:
        """(n,) float64: variances of the scale factors from the covariance of the parameters."""
        obs = self.obs
        if self.fit is None:
            return np.zeros(len(obs))
        found, inverse = np.empty(len(obs)), self.fit.inverse

        def fill(piece: list[tuple[int, int, int]]) -> None:
            for k, first, last in piece:
                columns, slopes = self.layout.slopes(k, self.parameters, np.arange(first, last))
                inverse.forms(columns, slopes, found[obs.bounds[k] + first : obs.bounds[k] + last])

        for _ in self.run_here(fill, pieces_of(np.diff(obs.bounds))):
            pass
        return np.maximum(found, 0.0) * self.fit.variance_factor * obs.g**2
