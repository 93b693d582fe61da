"""`spindle import`: images to an experiment list."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spindle.contracts import Program, ProgramInputs, ProgramResult, hookimpl
from spindle.errors import ModelError, ParameterError
from spindle.execution import import_results
from spindle.params import Auto

from .params import ImportParams
from .reporting import damaged_images, overview, report_breaks, report_counts, report_refused

if TYPE_CHECKING:
    from logging import Logger

    from spindle.contracts.importer import Imported
    from spindle.execution import RunContext
    from spindle.models import Beam, Experiments

    from .grouping import Break, Run, Series
    from .reference import Reference


class Import(Program):
    """Make an experiment list from images.

    Give image files, folders, wildcards, `template=image_####.cbf`, or `-` for a list of files on standard input.
    Headers are read and images sorted into sweeps, stills and grid scans. An existing experiment list can be given
    instead of images, to change its geometry.

        spindle import data/*.cbf.bz2
        spindle import template=data/lyso_####.cbf geometry.detector.distance=101.5
        spindle import data/ reference_geometry=refined.expt
    """

    class Params(ImportParams):
        """Make an experiment list from images."""

    @hookimpl
    def run(self, inputs: ProgramInputs, params: Params, context: RunContext) -> ProgramResult:
        """Read headers, group images, change models; see `spindle.contracts.program.ProgramSpec`."""
        from .lookups import check_lookups
        from .reference import read_reference

        _check_params(params)
        reference = (
            read_reference(params.input.reference_geometry, params.input) if params.input.reference_geometry else None
        )
        imported = import_results(inputs.files, context, params.importer.name)
        if imported is not None:
            return _results(imported, inputs, params, context)
        has_images = bool(inputs.files or params.input.template or params.input.directory)
        if inputs.experiments and has_images:
            raise ParameterError("give either images or an existing experiment list, not both")
        left_out: dict[str, Any] = {}
        if inputs.experiments:
            experiments = _changed_experiments(inputs.experiments, params, reference, context.log)
        else:
            experiments, left_out = _import_images(inputs, params, context, reference)
        if reference is not None:
            experiments = reference.with_maps(experiments)
        experiments = check_lookups(experiments)
        tables = [overview(experiments)]
        context.table(tables[0])
        sweeps = sum(1 for e in experiments if not e.is_still)
        summary = {
            "n_experiments": len(experiments),
            "n_sweeps": sweeps,
            "n_stills": len(experiments) - sweeps,
            "n_images": sum(e.scan.n_images if e.scan is not None else 1 for e in experiments),
            **left_out,
        }
        return ProgramResult(
            experiments=experiments,
            tables=tables,
            summary=summary,
            next_step=f"spindle find_spots {params.output.experiments}",
        )


def _results(imported: Imported, inputs: ProgramInputs, params: Import.Params, context: RunContext) -> ProgramResult:
    """What an importer has read from files of another program."""
    if inputs.experiments or inputs.reflections:
        raise ParameterError("import: give either files of another program or experiments and reflections, not both")
    for note in imported.notes:
        context.log.info("%s", note)
    table = overview(imported.experiments)
    context.table(table)
    summary = {"n_experiments": len(imported.experiments)}
    if imported.reflections is not None:
        summary["n_reflections"] = len(imported.reflections)
        context.log.info("%d reflections", len(imported.reflections))
    names = [params.output.experiments, *([params.output.reflections] if imported.reflections is not None else [])]
    return ProgramResult(
        experiments=imported.experiments,
        reflections=imported.reflections,
        tables=[table],
        summary=summary,
        next_step="spindle show " + " ".join(names),
    )


def _check_params(params: Import.Params) -> None:
    """Stop for what is not supported, before anything long."""
    from .lookups import lookup_files

    lookup_files(params)
    geometry = params.geometry
    if geometry.convert_stills_to_sequences and geometry.convert_sequences_to_stills:
        raise ParameterError(
            "geometry.convert_stills_to_sequences and convert_sequences_to_stills contradict each other"
        )
    if geometry.scan.oscillation is not None and geometry.scan.oscillation[1] < 0:
        raise ParameterError(
            f"geometry.scan.oscillation={geometry.scan.oscillation[0]:g},{geometry.scan.oscillation[1]:g}: the width "
            "must not be negative; use geometry.goniometer.invert_rotation_axis=True with the signs of both angles "
            "changed"
        )
    given = params.input
    if given.grid_size is not None and not given.as_grid_scan:
        raise ParameterError("input.grid_size= is for grid scans; set input.as_grid_scan=True too, or leave it out")
    if given.reference_geometry is None:
        for name in ("check_reference_geometry", "use_beam_reference", "use_gonio_reference", "use_detector_reference"):
            if not getattr(given, name):
                raise ParameterError(f"input.{name}=False has no meaning without input.reference_geometry=")
    if geometry.scan.extrapolate_scan and geometry.scan.image_range is None:
        raise ParameterError("geometry.scan.extrapolate_scan=True needs geometry.scan.image_range=<first>,<last>")


def _import_images(
    inputs: ProgramInputs, params: Import.Params, context: RunContext, reference: Reference | None
) -> tuple[Experiments, dict[str, Any]]:
    """Experiments, and what the summary says of images that cannot be read."""
    from spindle.contracts.format import FormatOptions

    from .advice import given_parameters, still_to_do
    from .build import Builder
    from .checks import centre_faults, detectors_text
    from .files import expand, named_by_templates, piped_names
    from .grouping import SharedModels, make_series, split_runs
    from .headers import read_headers
    from .reference import known_without_headers

    files: list[Path | str] = list(inputs.files)
    if inputs.reflections:
        raise ParameterError("import: a reflection file is no image; leave it out and name the images or their folder")
    if not files and not params.input.template and not params.input.directory:
        files = list(piped_names())
    if not files and not params.input.template and not params.input.directory:
        raise ParameterError(
            "no images given: name image files or folders, template=image_####.cbf, or - for a list of files on "
            "standard input"
        )
    paths = expand(files, params.input.template, params.input.directory)
    given = named_by_templates([*params.input.template, *(str(file) for file in files)])
    geometry = params.geometry
    options = FormatOptions(
        multi_panel=params.format.multi_panel,
        parallax=_asked_parallax(geometry),
        verify_checksum=params.format.verify_checksum is not False,
        is_growing=params.format.growing,
        **known_without_headers(params.geometry, reference),
    )
    with context.progress("reading headers", len(paths)) as progress:
        headers = read_headers(
            paths,
            params.format.name,
            options,
            context.executor.map,
            progress.advance,
            geometry.scan.image_range,
            None if reference is None else reference.models(),
            params.format.verify_checksum is True,
            given,
        )
    report_refused(headers, params, context)
    shared = SharedModels(params.input.tolerance)
    apart: list[str] = []
    all_series = make_series(headers.items, shared, apart, given)
    # A fresh start: a parameter that changes little must not be taken for the header's model again.
    apart += _change_models(all_series, params, reference, SharedModels(params.input.tolerance))
    _select_images(all_series, params)
    runs: list[Run] = []
    breaks: list[Break] = []
    for series in all_series:
        _set_oscillation(series, params)
        is_joined = geometry.convert_stills_to_sequences or geometry.scan.oscillation is not None
        found, why = split_runs(series, params.input.tolerance, is_joined)
        runs += found
        breaks += why
    sweeps = sum(1 for r in runs if r.kind == "sweep")
    report_breaks(breaks, context)
    if sweeps > 1 and not params.input.allow_multiple_sequences:
        listing = "\n".join(f"  {r.series.template} images {r.frames[0].number} to {r.frames[-1].number}" for r in runs)
        raise ModelError(f"input.allow_multiple_sequences=False, but the images make {sweeps} sequences:\n{listing}")
    builder = Builder(params)
    experiments = builder.experiments(runs)
    is_given = given_parameters(params)
    for note, where in headers.notes.items():
        if text := still_to_do(note, is_given):
            context.log.warning("%s%s: %s", where[0], f" and {len(where) - 1} more" if len(where) > 1 else "", text)
    for note in (*apart, *builder.notes):
        if text := still_to_do(note, is_given):
            context.log.warning("%s", text)
    for note in centre_faults(experiments, is_given("geometry.detector.fast_slow_beam_centre")):
        context.log.warning("%s", note)
    if text := detectors_text(experiments):
        context.log.warning("%s", text)
    report_counts(headers, runs, context)
    return experiments, damaged_images(headers)


def _asked_parallax(geometry: Any) -> str:
    """The correction that formats are asked for."""
    if geometry.parallax is not Auto:
        return str(geometry.parallax)
    return "normalised" if geometry.beam.probe in (None, "x-ray") else "none"


def _change_models(
    all_series: list[Series], params: Import.Params, reference: Reference | None, shared: Any
) -> list[str]:
    """Apply reference and parameters once per distinct model, and put the results in place; what the user should know."""
    from .lookups import with_numbers
    from .overrides import changed_beam, changed_detector, changed_goniometer, probe_note

    geometry = params.geometry
    beams: dict[int, Any] = {}
    detectors: dict[tuple[int, int], Any] = {}
    goniometers: dict[int, Any] = {}
    for series in all_series:
        for frame in series.frames:
            old_beam, old_detector, old_goniometer = frame.beam, frame.detector, frame.goniometer
            if id(old_beam) not in beams:
                beam = reference.beam if reference is not None and reference.beam is not None else old_beam
                beams[id(old_beam)] = (shared.beam(changed_beam(beam, geometry.beam)), old_beam)
            frame.beam = beams[id(old_beam)][0]
            key = (id(old_detector), id(old_beam))
            if key not in detectors:
                base = reference.detector_for(old_detector) if reference is not None else old_detector
                of_base = old_beam if base is old_detector or reference is None else reference
                is_other = frame.beam.wavelength != of_base.wavelength
                detector = changed_detector(base, frame.beam, geometry.detector, _wanted_parallax(params), is_other)
                detector = with_numbers(detector, params.lookup)
                detectors[key] = (shared.detector(detector), old_detector, old_beam)
            frame.detector = detectors[key][0]
            if id(old_goniometer) not in goniometers:
                goniometer = old_goniometer
                if reference is not None and reference.goniometer is not None:
                    goniometer = reference.goniometer
                goniometers[id(old_goniometer)] = (
                    shared.goniometer(changed_goniometer(goniometer, geometry.goniometer)),
                    old_goniometer,
                )
            frame.goniometer = goniometers[id(old_goniometer)][0]
    texts = {probe_note(old, new, geometry.beam): None for new, old in beams.values()}
    if reference is not None:
        texts |= {reference.wavelength_note(old, geometry): None for _, old in beams.values()}
    return [f"{all_series[0].template}: {text}" for text in texts if text]


def _wanted_parallax(params: Import.Params) -> str | None:
    """The depth correction that the user asks for; None for none in particular."""
    return None if params.geometry.parallax is Auto else params.geometry.parallax


def _select_images(all_series: list[Series], params: Import.Params) -> None:
    """Keep the images of ``geometry.scan.image_range`` and of ``input.template=file.h5:<first>:<last>``."""
    from .files import container_ranges

    ranges = container_ranges(params.input.template)
    for series in [s for s in all_series if s.template in ranges]:
        first, last = ranges[series.template]
        count = len(series.frames)
        series.frames = [f for f in series.frames if first <= f.number <= last]
        if not series.frames:
            raise ParameterError(
                f"input.template={series.template}:{first}:{last}: the images of the file are 1 to {count}"
            )
    wanted = params.geometry.scan.image_range
    if wanted is None:
        return
    first, last = wanted
    if last < first:
        raise ParameterError(f"geometry.scan.image_range={first},{last}: the last image comes before the first")
    for series in all_series:
        numbers = [f.number for f in series.frames]
        is_beyond = first < min(numbers) or last > max(numbers)
        if is_beyond and not params.geometry.scan.extrapolate_scan:
            raise ParameterError(
                f"geometry.scan.image_range={first},{last}: the images of {series.template} are {min(numbers)} to "
                f"{max(numbers)}; choose a range within, or set geometry.scan.extrapolate_scan=True to describe "
                "images that are not there"
            )
        series.frames = [f for f in series.frames if first <= f.number <= last]
        if not series.frames:
            raise ParameterError(f"geometry.scan.image_range={first},{last}: no image of {series.template} is within")


def _set_oscillation(series: Series, params: Import.Params) -> None:
    """Give the images of a series the angles that the user wants."""
    from spindle.models import Goniometer, Scan

    from .grouping import hidden_rotation

    default = Goniometer(rotation_axis=np.array([1.0, 0.0, 0.0]))
    wanted = params.geometry.scan.oscillation
    is_sequence = params.geometry.convert_stills_to_sequences
    if wanted is None and not is_sequence:
        return
    first = series.frames[0].number
    step = hidden_rotation(series.frames) or 0.0
    for frame in series.frames:
        if wanted is not None:
            start, width = wanted[0] + (frame.number - first) * wanted[1], wanted[1]
        else:
            start, width = frame.start, frame.width or max(step, 0.0)
        if frame.scan is None:
            frame.scan = Scan(image_range=(1, 1), oscillation_deg=(start, width))
        else:
            frame.scan = replace(frame.scan, oscillation_deg=(start, width))
        if frame.goniometer is None:
            if is_sequence:
                frame.goniometer = default
            else:
                raise ParameterError(
                    f"geometry.scan.oscillation=: the images of {series.template} have no goniometer; give "
                    "geometry.goniometer.axis= too, or geometry.convert_stills_to_sequences=True for an axis along +x"
                )


def _changed_experiments(
    experiments: Experiments, params: Import.Params, reference: Reference | None, log: Logger
) -> Experiments:
    """Existing experiments with reference, overrides and lookup applied; shared models stay shared."""
    from .build import extrapolated
    from .lookups import lookup_files, with_numbers
    from .overrides import changed_beam, changed_detector, changed_goniometer, probe_note

    geometry = params.geometry
    if params.input.as_grid_scan or geometry.convert_stills_to_sequences or geometry.convert_sequences_to_stills:
        raise ParameterError(
            "input.as_grid_scan and geometry.convert_* regroup images: give the images themselves, not an experiment "
            "list"
        )
    beams: list[tuple[Beam, Beam]] = []
    notes, before = [], experiments
    for beam in experiments.unique("beam"):
        notes.append("" if reference is None else reference.wavelength_note(beam, geometry))
        base = reference.beam if reference is not None and reference.beam is not None else beam
        beams.append((base, changed_beam(base, geometry.beam)))
        experiments = experiments.with_model(beam, beams[-1][1])
    for detector in experiments.unique("detector"):
        first = experiments.indices_with("detector", detector)[0]
        beam = experiments[first].beam
        base = reference.detector_for(detector) if reference is not None else detector
        of_base = before[first].beam if base is detector or reference is None else reference
        is_other = beam.wavelength != of_base.wavelength
        changed = changed_detector(base, beam, geometry.detector, _wanted_parallax(params), is_other)
        changed = with_numbers(changed, params.lookup)
        experiments = experiments.with_model(detector, changed)
    for goniometer in experiments.unique("goniometer"):
        base = reference.goniometer if reference is not None and reference.goniometer is not None else goniometer
        experiments = experiments.with_model(goniometer, changed_goniometer(base, geometry.goniometer))
    wanted = geometry.scan
    for scan in experiments.unique("scan"):
        changed_scan = scan
        if wanted.oscillation is not None:
            changed_scan = replace(changed_scan, oscillation_deg=wanted.oscillation)
        if wanted.batch_offset is not None:
            changed_scan = replace(changed_scan, batch_offset=wanted.batch_offset)
        if wanted.image_range is not None:
            if wanted.extrapolate_scan:
                changed_scan = extrapolated(changed_scan, wanted.image_range)
            else:
                changed_scan = changed_scan.slice(*wanted.image_range)
        if changed_scan is not scan:
            experiments = experiments.with_model(scan, changed_scan)
    verify = params.format.verify_checksum
    if verify is not Auto:
        for imageset in experiments.unique("imageset"):
            options = {**imageset.params, "verify_checksum": verify}
            experiments = experiments.with_model(imageset, replace(imageset, params=options))
    lookups = lookup_files(params)
    if any(lookups.values()):
        given = {name: path for name, path in lookups.items() if path}
        for imageset in experiments.unique("imageset"):
            experiments = experiments.with_model(imageset, replace(imageset, **given))
    for text in dict.fromkeys([*(probe_note(old, new, geometry.beam) for old, new in beams), *notes]):
        if text:
            log.warning("%s", text)
    return experiments
