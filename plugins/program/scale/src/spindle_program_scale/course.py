"""One complete scaling of some data sets, from filters to flags."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from spindle.contracts.error_model import ErrorModelFit
from spindle.contracts.scaling import DatasetInfo, ScaleTarget, ScalingModel
from spindle.geometry import ELECTRONS_BELOW_A
from spindle.models import Experiments
from spindle.params import Auto, plugin_scope
from spindle.report import Table
from spindle.table import Flag, ReflectionTable
from spindle_lib_image_ranges import ImageRange

from .data import Filtered, Observations, apply_filters, collect, resolution_column, scaling_observations
from .doses import observed_doses
from .flicker import tell_of_flicker
from .layout import Layout
from .odd_images import ImageScales, image_scales, sentence
from .params import ScaleParams
from .pieces import bundles_of
from .rounds import Scaler
from .solver import ScaleFit
from .target import Target, TargetOfGroups

if TYPE_CHECKING:
    from spindle.execution import RunContext

#: Columns that models are told of.
SEEN_BY_MODELS = ("s1", "xyzcal.px", "xyzobs.px.value", "panel")
#: Scans narrower than this get one scale per data set.
NARROW_SCAN_DEG = 1.0


@dataclass(slots=True)
class Scaled:
    """Scaled data sets.

    Attributes
    ----------
    experiments : Experiments
        With scaling models.
    table : ReflectionTable
        With scaled intensities, scale factors and flags.
    scaler : Scaler
    image_scales : list of ImageScales
        Of every scan, as they were when odd images were looked for the first time.
    left_out : list of ImageRange
        Odd images.
    """

    experiments: Experiments
    table: ReflectionTable
    scaler: Scaler
    image_scales: list[ImageScales]
    left_out: list[ImageRange] = field(default_factory=list)


#: Odd images are looked for again in what is left this many times.
LOOKS = 3


def scale_once(
    experiments: Experiments,
    table: ReflectionTable,
    params: ScaleParams,
    context: RunContext,
    exclusions: Sequence[ImageRange] = (),
    free_offset: int | None = None,
    target: Target | None = None,
) -> Scaled:
    """Scale.

    Parameters
    ----------
    experiments : Experiments
    table : ReflectionTable
        Cleaned of an earlier scaling; its ``id`` numbers the experiments.
    params : Params
        Of the scale program.
    context : RunContext
    exclusions : sequence of ImageRange
        Image numbers to leave out.
    free_offset : int, optional
        Leave out this free set whatever the parameters say.
    target : Target, optional
        Reference intensities to scale against.
    """
    odd: list[ImageRange] = []
    first: list[ImageScales] | None = None
    look = 0
    while True:
        look += 1
        scaled = _scale(experiments, table, params, context, [*exclusions, *odd], free_offset, target)
        place = table.peek("xyzcal.px")[scaled.scaler.obs.rows, 2]
        scales = image_scales(scaled.scaler, experiments, place, params.image_outliers.max_deviation)
        first = first or scales
        said = sentence(scales)
        reject = params.image_outliers.reject
        if said and not reject:
            context.log.warning("Images are off their neighbours: %s. image_outliers.reject=True leaves them out", said)
        if not said or not reject or look == LOOKS:
            return Scaled(scaled.experiments, scaled.table, scaled.scaler, first or [], odd)
        context.log.warning(
            "Images are off their neighbours, as where the beam was lost, and are left out: %s. image_outliers.reject=False keeps "
            "them, image_outliers.max_deviation= sets the limit", said,
        )  # fmt: skip
        odd += [r for s in scales for r in s.ranges()]
        del scaled, place, scales  # observations and models are in memory once


def _scale(
    experiments: Experiments,
    table: ReflectionTable,
    params: ScaleParams,
    context: RunContext,
    exclusions: Sequence[ImageRange],
    free_offset: int | None,
    target: Target | None,
) -> Scaled:
    d = resolution_column(experiments, table, params)
    filtered = apply_filters(table, params, d, exclusions)
    obs = collect(experiments, table, filtered, params, d)
    context.log.info("%d of %d reflections are scaled", len(obs), len(table))
    for reason, n in filtered.counts.items():
        if n:
            context.log.info("  %d left out: %s", n, reason)
    datasets = [DatasetInfo(e, int(n)) for e, n in zip(experiments, np.diff(obs.bounds), strict=True)]
    models = build_models(datasets, table, obs, params, context, None if target is None else target.values)
    del d
    rows = [[k, m.kind, t.name, len(t.parameters)] for k, m in enumerate(models) for t in m.terms]
    context.table(Table("Scaling models", ["Data set", "Model", "Term", "Parameters"], rows, "scaling_models", True))
    # electrons and neutrons are hardly scattered anomalously; where their mates differ, that is error
    is_xray = all(e.beam.probe == "x-ray" and e.beam.wavelength > ELECTRONS_BELOW_A for e in experiments)
    starts = [earlier_errors(e.scaling_model, params) for e in experiments]
    held = sets_to_hold(experiments, models, params, context)
    dose = observed_doses(experiments, table, obs, params) if params.zero_dose.extrapolate else None
    scaler = Scaler(obs, models, params, context, free_offset, is_xray, target, held, starts, dose)
    scaler.run()
    tell_of_flicker(scaler)
    table = write_columns(table, obs, filtered, scaler, params)
    return Scaled(with_models(experiments, scaler, params), table, scaler, [])


def build_models(
    datasets: Sequence[DatasetInfo],
    table: ReflectionTable,
    obs: Observations,
    params: ScaleParams,
    context: RunContext,
    target: ScaleTarget | None,
) -> list[ScalingModel]:
    """The scaling models of all data sets, several of them at a time."""
    plugins: dict[str, Any] = {}
    plans = [plan_model(k, datasets, params, context, plugins) for k in range(len(datasets))]
    seen = ReflectionTable({name: table.peek(name) for name in SEEN_BY_MODELS if name in table})

    def build(sets: list[int]) -> list[ScalingModel]:
        return [build_model(k, datasets, seen, obs, *plans[k], target) for k in sets]

    return [m for some in context.executor.here.map(build, bundles_of(np.diff(obs.bounds))) for m in some]


def plan_model(
    k: int, datasets: Sequence[DatasetInfo], params: ScaleParams, context: RunContext, plugins: dict[str, Any]
) -> tuple[Any, dict[str, Any] | None]:
    """The scaling model of data set k, and that of an earlier run; `plugins` are those that were asked before, by name."""
    experiment = datasets[k].experiment
    name = params.model
    existing = experiment.scaling_model if not params.overwrite_existing_models else None
    if name in (Auto, None):
        scan = None if experiment.is_still else experiment.known_scan
        width = 0.0 if scan is None else scan.oscillation_deg[1] * scan.n_images
        name = "physical" if width >= NARROW_SCAN_DEG else "KB"
    if existing is not None and existing.get("__id__") != name:
        context.log.info("data set %d: the earlier %s model is replaced", k, existing.get("__id__"))
        existing = None
    if name not in plugins:
        plugins[name] = context.algorithm("scaling", name, plugin_scope(params, "scaling", name))
    return plugins[name], existing


def build_model(
    k: int,
    datasets: Sequence[DatasetInfo],
    table: ReflectionTable,
    obs: Observations,
    plugin: Any,
    existing: dict[str, Any] | None,
    target: ScaleTarget | None = None,
) -> ScalingModel:
    """Ask the scaling model of data set k for its terms."""
    experiment = datasets[k].experiment
    here = slice(obs.bounds[k], obs.bounds[k + 1])
    model: ScalingModel = plugin.build_scaling_model(
        experiment=experiment,
        observations=scaling_observations(experiment, table, obs.rows[here], obs.d[here]),
        existing=existing,
        peers=[info for i, info in enumerate(datasets) if i != k],
        target=target,
    )
    return model


def sets_to_hold(
    experiments: Experiments, models: Sequence[ScalingModel], params: ScaleParams, context: RunContext
) -> list[int]:
    """Data sets that were scaled before, against which the others are scaled."""
    options = params.scaling_options
    scaled = already_scaled(experiments, models, params)
    if not (options.target_cycle or options.only_target) or not 0 < len(scaled) < len(experiments):
        return []
    new = [k for k in range(len(experiments)) if k not in scaled]
    context.log.info(
        "data set(s) %s are scaled against %s, which were scaled before",
        ", ".join(map(str, new[:20])), ", ".join(map(str, scaled[:20])),
    )  # fmt: skip
    return scaled


def already_scaled(experiments: Experiments, models: Sequence[ScalingModel] | None, params: ScaleParams) -> list[int]:
    """Data sets with a scaling model of an earlier run that is used again."""
    if params.overwrite_existing_models:
        return []
    found = []
    for k, experiment in enumerate(experiments):
        earlier = experiment.scaling_model
        if earlier and (models is None or earlier.get("__id__") == models[k].kind):
            found.append(k)
    return found


def earlier_errors(model: dict[str, Any] | None, params: ScaleParams) -> ErrorModelFit | None:
    """The error model of an earlier scaling, to begin with; None where there is none, or it is to be forgotten."""
    chosen = params.weighting.error_model
    fixed = any(getattr(getattr(chosen, "basic", None), name, None) is not None for name in ("a", "b"))
    if model is None or chosen.reset_error_model or params.overwrite_existing_models or fixed:
        return None
    settings = model.get("configuration_parameters", {})
    kind, values = settings.get("error_model_type"), settings.get("error_model_parameters")
    if kind != "BasicErrorModel" or not values or len(values) < 2:
        return None
    c = float(settings.get("error_model_counting", 0.0))
    return ErrorModelFit(kind, tuple(float(v) for v in values), "of the earlier scaling", (), {"c": c})


def write_columns(
    table: ReflectionTable, obs: Observations, filtered: Filtered, scaler: Scaler, params: Any
) -> ReflectionTable:
    """The table with scaled intensities, scale factors and flags."""
    result = table.view()
    n = len(table)
    variance = scaler.corrected_variance()
    full_matrix = params.scaling_options.full_matrix
    scale_variance = scaler.scale_variances() if full_matrix else np.zeros(len(obs))
    if full_matrix:
        way = params.weighting.scale_error
        if way == "dials":
            variance = variance * (1.0 + np.sqrt(scale_variance) / obs.g)
        elif way == "exact" or not scaler.use_error_model:
            variance = variance + (scaler.expected() / obs.g) ** 2 * scale_variance
    if scaler.scale_error is not None:
        variance = variance + scaler.expected() ** 2 * scaler.scale_error
    if scaler.zero_dose is not None:
        variance = (
            variance * scaler.zero_dose.inflation
        )  # so that merged intensities have the errors of extrapolated ones
    anchor = np.ones(len(obs)) if scaler.target is None else scaler.target.scale_of(obs.d)
    for name, start, values in (
        ("intensity.scale.value", np.zeros(n), obs.intensity),
        ("intensity.scale.variance", np.zeros(n), variance),
        ("inverse_scale_factor", np.ones(n), obs.g * anchor),
        ("inverse_scale_factor_variance", np.zeros(n), scale_variance * anchor**2),
    ):
        column = np.array(start, dtype=np.float64)
        column[obs.rows] = values
        result[name] = column
    flags = np.array(table["flags"], dtype=np.uint64)
    cutoff = params.cut_data.small_scale_cutoff
    small = obs.g < cutoff if cutoff is not None else np.zeros(len(obs), bool)
    flags[filtered.excluded] |= np.uint64(int(Flag.EXCLUDED_FOR_SCALING))
    flags[filtered.user_excluded] |= np.uint64(int(Flag.USER_EXCLUDED_IN_SCALING))
    flags[obs.rows[small]] |= np.uint64(int(Flag.EXCLUDED_FOR_SCALING))
    flags[obs.rows[obs.outlier]] |= np.uint64(int(Flag.OUTLIER_IN_SCALING))
    flags[obs.rows[~obs.outlier & ~small]] |= np.uint64(int(Flag.SCALED))
    result["flags"] = flags
    return result


def with_models(experiments: Experiments, scaler: Scaler, params: Any) -> Experiments:
    """Experiments with their new scaling models."""
    fit = scaler.fit if params.scaling_options.full_matrix else None
    # what brings data to the scale of a reference is kept apart until here
    groups = list(zip(scaler.errors, scaler.error_groups, strict=True))
    errors_of = {k: errors for errors, sets in reversed(groups) for k in sets}  # of several the first
    items = []
    for k, experiment in enumerate(experiments):
        model = model_dictionary(
            scaler.layout, k, scaler.parameters, fit, errors_of[k], float(scaler.middles[k]), scaler.target
        )
        if scaler.zero_dose is not None and scaler.zero_dose.rate > 0:
            model["configuration_parameters"]["zero_dose"] = True
        items.append(replace(experiment, scaling_model=model))
    return Experiments(items)


def model_dictionary(
    layout: Layout,
    number: int,
    parameters: np.ndarray,
    fit: ScaleFit | None,
    errors: ErrorModelFit,
    middle: float,
    target: TargetOfGroups | None = None,
) -> dict[str, Any]:
    """The scaling model of a data set as the ``.expt`` file holds it."""
    model = layout.models[number]
    found: dict[str, Any] = {"__id__": model.kind}
    whole = parameters if target is None else layout.changed(parameters, target.factor, target.b)
    linear = layout.overall_terms(number)[0]
    for term in model.terms:
        where = layout.slices[number][term.name]
        values = whole[where]
        found[term.name] = {
            "n_parameters": len(values), "parameters": values.tolist(), "null_parameter_value": term.null_value,
        }  # fmt: skip
        if fit is not None:
            variances = fit.inverse.diagonal[where] * fit.variance_factor
            factor = 1.0 if target is None or linear is None or linear.name != term.name else target.factor
            found[term.name]["est_standard_devs"] = (factor * np.sqrt(np.maximum(variances, 0.0))).tolist()
    found["configuration_parameters"] = {
        **model.configuration,
        "shared": list(model.shared),
        "error_model_type": errors.kind,
        "error_model_parameters": list(errors.parameters),
        "error_model_counting": errors.details.get("c", 0.0),
        "Imid": middle,
    }
    return found
