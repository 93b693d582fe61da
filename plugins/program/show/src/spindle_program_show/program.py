"""`spindle show`: models, reflections and image statistics as text."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from spindle.contracts import Program, ProgramInputs, ProgramResult, hookimpl
from spindle.errors import ParameterError, PluginError
from spindle.params import Bool, Int, Params, UnrecordedParams
from spindle.report import DETAIL
from spindle_lib_importing.params import Tolerances, tolerances_of

from .other_files import describe, kind_of

if TYPE_CHECKING:
    from spindle.execution import RunContext
    from spindle.report import Table

MOST_EXPERIMENTS = 3  # whose models are all shown


class Show(Program):
    """Print what is in experiment lists, reflection files, MTZ, XDS_ASCII and CIF files, masks and images.

    Nothing is written. Images, and results of other programs, are imported on the fly, as they are. What is long is shortened; -v prints all.

        spindle show indexed.expt indexed.refl
        spindle show integrated.refl show_flags=True max_reflections=10
        spindle show image_0001.cbf image_statistics.show_raw=True
        spindle show merged.mtz XDS_ASCII.HKL pixels.mask
    """

    class Params(UnrecordedParams):
        """Print models, reflections and image statistics."""

        show_scan_varying = Bool(False, help="Print crystal and beam at each scan point.")
        show_scaling_parameters = Bool(
            False, help="Print every parameter of scaling models; else how many and their range."
        )
        show_shared_models = Bool(False, help="Print which experiments share which models.")
        show_all_reflection_data = Bool(False, help="Print all columns of single reflections.")
        show_intensities = Bool(False, help="Print the intensity columns of single reflections.")
        show_centroids = Bool(False, help="Print the centroid columns of single reflections.")
        show_profile_fit = Bool(False, help="Print the profile fitting columns of single reflections.")
        show_flags = Bool(False, help="Print how many reflections have each flag.")
        show_identifiers = Bool(False, help="Print the experiment identifiers that a reflection file knows.")
        max_experiments = Int(
            None,
            min=0,
            max=1_000_000,
            help="How many experiments to print with all their models; by default all of up to three, and of more the first. "
            "When there are others, a table tells of all; -v prints all.",
        )
        max_reflections = Int(None, min=0, help="How many single reflections to print; all by default.")

        class input(Params, level=2):
            """How images are sorted; `spindle import -hhh` has all of it."""

            class tolerance(Tolerances, level=2):
                """How much the models of two images may differ and still be the same model."""

        class image_statistics(Params):
            """Minimum, quartiles and maximum of the pixels of each image."""

            show_corrected = Bool(False, help="Of counts: pedestal taken off, divided by the gain.")
            show_raw = Bool(False, help="Of values as stored.")

    @hookimpl
    def run(self, inputs: ProgramInputs, params: Params, context: RunContext) -> ProgramResult:
        """Print; see `spindle.contracts.program.ProgramSpec`."""
        experiments = inputs.experiments
        known = len(experiments or ())
        others = [path for path in inputs.files if kind_of(path)]
        images = [path for path in inputs.files if path not in others]
        for path in others:
            text, tables = describe(path)
            context.log.info("%s", text)
            for shown in tables:
                context.table(shown)
        reflections = list(inputs.reflections)
        if images:
            imported = context.run_program("import", files=images, **tolerances_of(params))
            found = imported.experiments
            experiments = found if not experiments else type(experiments)([*experiments, *(found or ())])
            if imported.reflections is not None:
                reflections.append(imported.reflections)
        if not experiments and not reflections and not others:
            raise ParameterError(
                "nothing to show: give experiment lists (.expt), reflection files (.refl), MTZ files, masks or images"
            )
        statistics = params.image_statistics
        summary: dict[str, Any] = {}
        if experiments:
            from .images import image_format
            from .models import describe_experiment, experiments_table, scaling_parameters, shared_models

            most = params.max_experiments
            if most is None:
                most = len(experiments) if len(experiments) <= MOST_EXPERIMENTS else 1
            is_all = params.output.log or context.log.isEnabledFor(logging.DEBUG)  # else those beyond are not described
            for index, experiment in enumerate(experiments if is_all else experiments[:most]):
                extra = DETAIL if index >= most else None
                images_of = experiment.imageset  # results of other programs come without
                has_images = images_of is not None and bool(images_of.paths or images_of.template)
                name = image_format(experiment) if index >= known and has_images else ""
                profile = _profile_table(experiment.profile, context)
                text = describe_experiment(experiment, params.show_scan_varying, name, profile)
                context.log.info("Experiment %d:\n%s\n", index, text, extra=extra)
                if parameters := scaling_parameters(experiment.scaling_model):
                    context.log.info("%s\n", parameters, extra=extra if params.show_scaling_parameters else DETAIL)
            if len(experiments) > most:
                context.table(experiments_table(experiments))
            if params.show_shared_models:
                context.table(shared_models(experiments))
            summary["n_experiments"] = len(experiments)
        if statistics.show_raw or statistics.show_corrected:
            if not experiments:
                raise ParameterError("image_statistics needs experiments or images; only reflections were given")
            from .images import image_statistics

            for is_raw in [
                r for r, wanted in ((True, statistics.show_raw), (False, statistics.show_corrected)) if wanted
            ]:
                context.table(image_statistics(experiments, is_raw, context.executor))
        for table in reflections:
            from .reflections import column_statistics, flag_counts, identifier_table, list_reflections

            context.log.info("\nReflection list contains %d reflections", len(table))
            context.table(column_statistics(table))
            if params.show_flags:
                context.table(flag_counts(table))
            if params.show_identifiers:
                context.table(identifier_table(table))
            columns = _columns(params)
            if columns or params.show_all_reflection_data or params.max_reflections:
                context.table(list_reflections(table, columns, params.max_reflections))
        if reflections:
            summary["n_reflections"] = [len(t) for t in reflections]
        return ProgramResult(experiments=None, summary=summary)


def _profile_table(model: dict[str, Any] | None, context: RunContext) -> Table | None:
    """What the plugin of a profile model says of it; None where it is not here."""
    if not model or not isinstance(model.get("__id__"), str):
        return None
    try:
        return context.algorithm("profile", model["__id__"]).describe_model(model=model).table
    except PluginError:
        return None


_INTENSITIES = (
    "id",
    "panel",
    "miller_index",
    "flags",
    "d",
    "intensity.prf.value",
    "intensity.prf.variance",
    "intensity.sum.value",
    "intensity.sum.variance",
    "intensity.scale.value",
    "intensity.scale.variance",
    "inverse_scale_factor",
    "background.mean",
    "partiality",
    "lp",
    "qe",
)
_CENTROIDS = (
    "id",
    "panel",
    "miller_index",
    "xyzobs.px.value",
    "xyzobs.px.variance",
    "xyzobs.mm.value",
    "xyzobs.mm.variance",
    "xyzcal.px",
    "xyzcal.mm",
    "rlp",
    "s1",
    "delpsical.rad",
)
_PROFILE = (
    "id",
    "panel",
    "miller_index",
    "d",
    "intensity.prf.value",
    "intensity.prf.variance",
    "profile.correlation",
    "profile.rmsd",
    "partiality",
    "num_pixels.foreground",
    "num_pixels.background",
    "num_pixels.background_used",
)


def _columns(params: Show.Params) -> tuple[str, ...]:
    """Columns of single reflections that the user asks for; () for all."""
    if params.show_all_reflection_data:
        return ()
    names: dict[str, None] = {}
    for wanted, group in (
        (params.show_intensities, _INTENSITIES),
        (params.show_centroids, _CENTROIDS),
        (params.show_profile_fit, _PROFILE),
    ):
        if wanted:
            names.update(dict.fromkeys(group))
    return tuple(names)
