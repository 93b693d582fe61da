"""The program `refine_error_model`."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from spindle.contracts import Program, ProgramInputs, ProgramResult, hookimpl
from spindle.contracts.error_model import ErrorModelFit
from spindle.errors import ModelError, UserError
from spindle.models import Experiments
from spindle.params import Auto, Bool, Choice, Float, Ints, Plugin, Str, plugin_scope
from spindle.params import Params as ParamsBase
from spindle_lib_merging import check_scaled
from spindle_lib_noise.signal import sets_by_counts
from spindle_lib_pages import Page
from spindle_lib_pages.figures import lines

from .observations import Scaled, scaled_observations

__all__ = ["RefineErrorModel"]

#: Friedel mates differ where the error model with them apart has a b smaller by this factor.
DIFFERENT = 0.8


class RefineErrorModel(Program):
    """Fit the error model of scaled data again, with other options, without scaling them again.

    The scatter of symmetry equivalents about their means says how far sigmas of integration are from the errors of intensities. Scale
    factors and outliers stay as they are; variances are replaced.

        spindle refine_error_model scaled.expt scaled.refl basic.minimisation=individual
    """

    takes_files = False
    needs_columns = {"miller_index": "spindle scale writes it"}

    class Params(ParamsBase):
        """The error model, and which data sets have one together."""

        error_model = Plugin("error_model", default="basic", help="Form of the error model.")
        grouping = Choice(
            ["individual", "grouped", "combined"],
            default=Auto,
            auto=True,
            help="One error model per data set, per error_model_group, or for all. Auto: for all, but one of their own for data sets of other "
            "programs beside those that tell their expected counts.",
            level=1,
        )
        error_model_group = Ints(None, multiple=True, help="Data sets of one group; give it once per group.", level=1)

        anomalous = Bool(
            Auto,
            auto=True,
            help="Keep Friedel mates apart when equivalents are compared. Auto: where a fit without them has a smaller b than one with them.",
            level=1,
        )

        reset_error_model = Bool(
            False,
            unavailable="the fit always begins with the usual error model",
            help="Begin with the usual error model, not with that of the data.",
        )
        intensity_choice = Choice(
            ["profile", "sum", "combine"],
            default="combine",
            unavailable="the intensities of the scaled data are taken as scale has chosen them; scale again to choose others",
            help="Profile-fitted or summed intensities, or a mixture.",
        )

        class combine(ParamsBase):
            """The mixture of profile-fitted and summed intensities."""

            Imid = Float(
                None,
                min=0,
                none=True,
                unavailable="the intensities of the scaled data are taken as scale has mixed them; scale again to choose another",
                help="Intensity of equal parts.",
            )

        class output(ParamsBase):
            """Files."""

            log = Str("spindle.refine_error_model.log", none=True, help="Log file.")
            html = Str("spindle.refine_error_model.html", none=True, help="Page with plots.")
            json = Str(None, none=True, help="Parameters of the error models, and deviations of equivalents.")
            experiments = Str("scaled_errors.expt", help="Experiments with the new error models.")
            reflections = Str("scaled_errors.refl", help="Reflections with the new variances.")

    @hookimpl
    def run(self, inputs: ProgramInputs, params: Params, context: Any) -> ProgramResult:
        """Fit; see `spindle.contracts.program.ProgramSpec`."""
        if inputs.experiments is None or len(inputs.reflections) != 1:
            raise UserError(
                "refine_error_model: give one experiment file and one reflection file: spindle refine_error_model scaled.expt scaled.refl"
            )
        experiments, table = inputs.experiments, inputs.reflections[0]
        check_scaled(table, "refine_error_model")
        if any((e.scaling_model or {}).get("configuration_parameters", {}).get("zero_dose") for e in experiments):
            raise ModelError(
                "refine_error_model: these intensities are extrapolated to dose zero, and their variances hold what that adds, which a fit to "
                "integrated intensities cannot tell; scale again with the error model that you want"
            )
        plugin = context.algorithm(
            "error_model", params.error_model, plugin_scope(params, "error_model", params.error_model)
        )
        data = scaled_observations(experiments, table, params.anomalous is True)
        if params.anomalous is Auto:
            data = _with_or_without_mates(plugin, data, scaled_observations(experiments, table, True), context)
        groups = _groups(len(experiments), params, data, context.log)
        variance = data.raw_variance.copy()
        fits: list[ErrorModelFit] = []
        for sets in groups:
            rows = np.flatnonzero(np.isin(data.number, sets))
            fit = plugin.fit_error_model(observations=data.observations(rows), start=None)
            where = "" if len(groups) == 1 else f" of data sets {', '.join(map(str, sets))}"
            context.log.info("error model%s: %s", where, fit.description)
            for shown in fit.tables:
                context.table(shown)
            variance[rows] = plugin.corrected_variance(
                intensity=data.intensity[rows], variance=data.raw_variance[rows], expected=data.expected[rows],
                counting=data.counting[rows], model=fit,
            )  # fmt: skip
            fits.append(fit)
        result = table.view()
        column = np.array(table["intensity.scale.variance"], dtype=np.float64)
        column[data.rows] = np.maximum(variance, 1e-30)
        result["intensity.scale.variance"] = column
        changed = _with_models(experiments, groups, fits)
        summary = {
            "error_models": [list(f.parameters) for f in fits], "n_observations": len(data.rows),
            "median_change_of_sigma": round(float(np.median(np.sqrt(variance / data.old_variance))), 4),
        }  # fmt: skip
        files: dict[str, Any] = {}
        if params.output.html:
            tables = list(context.tables)
            files[params.output.html] = lambda path: Path(path).write_text(
                _page(data, variance, fits, tables), encoding="utf-8"
            )
        output = params.output
        if output.json is not None:
            record = [
                {"data_sets": sets, "error_model": fit.kind, "parameters": list(fit.parameters), **fit.details}
                for sets, fit in zip(groups, fits, strict=True)
            ]
            text = json.dumps(record, indent=1) + "\n"
            files[output.json] = lambda path: Path(path).write_text(text, encoding="utf-8")
        return ProgramResult(
            changed, result, [], summary, files, f"spindle merge {output.experiments} {output.reflections}"
        )


def _with_or_without_mates(plugin: Any, together: Scaled, apart: Scaled, context: Any) -> Scaled:
    """Friedel mates apart, where they differ by more than their own observations."""
    fits = [
        plugin.fit_error_model(observations=d.observations(np.arange(len(d.rows))), start=None)
        for d in (together, apart)
    ]
    known = all(len(f.parameters) > 1 and not f.details.get("assumed") for f in fits)
    if known and fits[1].parameters[1] < DIFFERENT * fits[0].parameters[1]:
        context.log.info(
            "Friedel mates are kept apart: with them together b would be %.4f, apart it is %.4f. anomalous=False compares them as equals",
            fits[0].parameters[1], fits[1].parameters[1],
        )  # fmt: skip
        return apart
    return together


def _groups(n: int, params: Any, data: Scaled, log: Any) -> list[list[int]]:
    """Data sets that share an error model."""
    if params.grouping is Auto:
        found = sets_by_counts(data.number, data.counted, data.groups.index, n)
        if len(found) > 1:
            log.info(
                "Of %d data sets %d tell the counts that their variances are made of (column expected_counts); the others have an error model of "
                "their own. grouping=combined is one for all", n, len(found[0]),
            )  # fmt: skip
        return found
    if params.grouping == "individual":
        return [[k] for k in range(n)]
    if params.grouping == "combined":
        return [list(range(n))]
    given = [list(g) for g in params.error_model_group or []]
    named = [k for g in given for k in g]
    if len(set(named)) != len(named) or any(not 0 <= k < n for k in named):
        raise UserError(
            f"refine_error_model: error_model_group names a data set twice, or one that is not among 0 to {n - 1}"
        )
    rest = [k for k in range(n) if k not in named]
    return given + ([rest] if rest else [])


def _with_models(experiments: Experiments, groups: list[list[int]], fits: list[ErrorModelFit]) -> Experiments:
    """Experiments whose scaling models tell the new errors."""
    items = list(experiments)
    for sets, fit in zip(groups, fits, strict=True):
        for k in sets:
            model = dict(items[k].scaling_model or {})
            model["configuration_parameters"] = {
                **model.get("configuration_parameters", {}), "error_model_type": fit.kind,
                "error_model_parameters": list(fit.parameters), "error_model_counting": fit.details.get("c", 0.0),
            }  # fmt: skip
            items[k] = replace(items[k], scaling_model=model)
    return Experiments(items)


def _page(data: Scaled, variance: np.ndarray, fits: list[ErrorModelFit], tables: list[Any]) -> str:
    from scipy.special import ndtri

    page = Page("Error model")
    for fit in fits:
        page.text(fit.description)
    page.tables(tables)
    for k, fit in enumerate(fits):
        if values := fit.details.get("deviations"):
            expected = ndtri((np.arange(len(values)) + 0.5) / len(values))
            curves = [("observed", expected, values), ("ideal", [-4, 4], [-4, 4])]
            page.plot(lines(f"Normal probability plot {k}", "expected", "normalised deviation", curves))
    order = np.argsort(data.expected)
    pieces = [p for p in np.array_split(order, 40) if len(p)]
    middle = [float(np.median(data.expected[p])) for p in pieces]
    found = [
        (name, middle, [float(np.median(data.intensity[p] / np.sqrt(v[p]))) for p in pieces])
        for name, v in (("of integration", data.raw_variance), ("before", data.old_variance), ("now", variance))
    ]
    page.plot(lines("I/sigma of observations", "expected intensity", "median I/sigma", found, xaxis={"type": "log"}))
    return page.html()
