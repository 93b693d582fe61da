"""`spindle import`: images to an experiment list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spindle.contracts import Program, ProgramInputs, ProgramResult, hookimpl
from spindle.errors import FileFormatError, ModelError, ParameterError
from spindle.params import Auto
from spindle.report import Table

from .params import ImportParams

if TYPE_CHECKING:
    from spindle.execution import RunContext
    from spindle.models import Experiments

    from .grouping import Break, Run, Series
    from .headers import Headers
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
    def run(self, inputs: ProgramInputs, params: Any, context: RunContext) -> ProgramResult:
        """Read headers, group images, change models; see `spindle.contracts.program.ProgramSpec`."""
        from .reference import read_reference

        _check_params(params)
        reference = (
            read_reference(params.input.reference_geometry, params.input) if params.input.reference_geometry else None
        )
        has_images = bool(inputs.files or params.input.template or params.input.directory)
        if inputs.experiments and has_images:
            raise ParameterError("give either images or an existing experiment list, not both")
        if inputs.experiments:
            experiments = _changed_experiments(inputs.experiments, params, reference)
        else:
            experiments = _import_images(inputs, params, context, reference)
        tables = [_overview(experiments)]
        context.table(tables[0])
        sweeps = sum(1 for e in experiments if not e.is_still)
        summary = {
            "n_experiments": len(experiments),
            "n_sweeps": sweeps,
            "n_stills": len(experiments) - sweeps,
            "n_images": sum(e.scan.n_images if e.scan is not None else 1 for e in experiments),
        }
        return ProgramResult(
            experiments=experiments,
            tables=tables,
            summary=summary,
            next_step=f"spindle find_spots {params.output.experiments}",
        )


def _check_params(params: Any) -> None:
    """Stop for what is not supported, before anything long."""
    for name in ("gain", "pedestal", "dx", "dy"):
        if getattr(params.lookup, name):
            remedy = f"use geometry.detector.panel.{name}=" if name in ("gain", "pedestal") else "leave it out"
            raise ParameterError(
                f"lookup.{name}={getattr(params.lookup, name)}: per-pixel maps of this kind are not supported; {remedy}"
            )
    if params.lookup.mask and Path(params.lookup.mask).suffix != ".npz":
        raise ParameterError(
            f"lookup.mask={params.lookup.mask}: masks are .npz files with one True/False array per panel, in order "
            "(numpy.savez); pickled masks of DIALS are not read"
        )
    if params.lookup.mask and not Path(params.lookup.mask).expanduser().exists():
        raise ParameterError(f"lookup.mask={params.lookup.mask}: no such file")
    if params.format.dynamic_shadowing is True:
        raise ParameterError(
            "format.dynamic_shadowing=True: no installed format has a model of the goniometer's shadow; mask the "
            "shadow with lookup.mask="
        )
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
    if geometry.scan.extrapolate_scan and geometry.scan.image_range is None:
        raise ParameterError("geometry.scan.extrapolate_scan=True needs geometry.scan.image_range=<first>,<last>")


def _import_images(inputs: ProgramInputs, params: Any, context: RunContext, reference: Reference | None) -> Experiments:
    from spindle.contracts.format import FormatOptions

    from .build import Builder
    from .files import expand, piped_names
    from .grouping import SharedModels, make_series, split_runs
    from .headers import read_headers

    files: list[Path | str] = list(inputs.files)
    if not files and not params.input.template and not params.input.directory:
        files = list(piped_names())
    if not files and not params.input.template and not params.input.directory:
        raise ParameterError(
            "no images given: name image files or folders, template=image_####.cbf, or - for a list of files on "
            "standard input"
        )
    paths = expand(files, params.input.template, params.input.directory)
    geometry = params.geometry
    options = FormatOptions(
        multi_panel=params.format.multi_panel,
        parallax="normalised" if geometry.parallax is Auto else geometry.parallax,
        verify_checksum=params.format.verify_checksum,
        wavelength=geometry.beam.wavelength,
        distance=geometry.detector.distance,
    )
    with context.progress("reading headers", len(paths)) as progress:
        headers = read_headers(paths, params.format.name, options, context.executor.map, progress.advance)
    _report_refused(headers, params, context)
    shared = SharedModels(params.input.tolerance)
    all_series = make_series(headers.items, shared)
    # A fresh start: a parameter that changes little must not be taken for the header's model again.
    _change_models(all_series, params, reference, SharedModels(params.input.tolerance))
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
    _report_breaks(breaks, context)
    if sweeps > 1 and not params.input.allow_multiple_sequences:
        listing = "\n".join(f"  {r.series.template} images {r.frames[0].number} to {r.frames[-1].number}" for r in runs)
        raise ModelError(f"input.allow_multiple_sequences=False, but the images make {sweeps} sequences:\n{listing}")
    builder = Builder(params)
    experiments = builder.experiments(runs)
    for note, where in headers.notes.items():
        context.log.warning("%s%s: %s", where[0], f" and {len(where) - 1} more" if len(where) > 1 else "", note)
    for note in builder.notes:
        context.log.warning("%s", note)
    _report_counts(headers, runs, context)
    return experiments


def _report_refused(headers: Headers, params: Any, context: RunContext) -> None:
    """Name the files that are not read; stop when none is left or the user wants every file read."""
    if not headers.refused:
        return
    n = len(headers.refused)
    listing = _by_reason(headers.refused)
    if not headers.items:
        what = "the file is no image" if n == 1 else f"none of the {n} files is an image"
        raise FileFormatError(f"{what} that can be read:\n{listing}\n`spindle plugins` lists the installed formats")
    if not params.input.ignore_unhandled:
        raise FileFormatError(f"input.ignore_unhandled=False and {n} files cannot be read:\n{listing}")
    context.log.warning("%d of %d files are left out:\n%s", n, n + len({h.path for h in headers.items}), listing)


def _by_reason(refused: Sequence[tuple[str, str]], most: int = 10) -> str:
    """Lines that name files with equal reasons together."""
    groups: dict[str, list[str]] = {}
    for path, reason in refused:
        groups.setdefault(reason.removeprefix(path).lstrip(":, "), []).append(path)
    lines = []
    for reason, paths in list(groups.items())[:most]:
        names = ", ".join([paths[0], *(Path(p).name for p in paths[1:3])])
        lines.append(f"  {names}{f' and {len(paths) - 3} more' if len(paths) > 3 else ''}: {reason}")
    if len(groups) > most:
        lines.append(f"  and {len(groups) - most} more reasons")
    return "\n".join(lines)


def _change_models(all_series: list[Series], params: Any, reference: Reference | None, shared: Any) -> None:
    """Apply reference and parameters once per distinct model, and put the results in place."""
    from .overrides import changed_beam, changed_detector, changed_goniometer

    geometry = params.geometry
    beams: dict[int, Any] = {}
    detectors: dict[tuple[int, int], Any] = {}
    goniometers: dict[int, Any] = {}
    for series in all_series:
        for frame in series.frames:
            old_beam, old_detector, old_goniometer = frame.beam, frame.detector, frame.goniometer
            if id(old_beam) not in beams:
                base = reference.beam if reference is not None and reference.beam is not None else old_beam
                beams[id(old_beam)] = (shared.beam(changed_beam(base, geometry.beam)), old_beam)
            frame.beam = beams[id(old_beam)][0]
            key = (id(old_detector), id(old_beam))
            if key not in detectors:
                base = reference.detector_for(old_detector) if reference is not None else old_detector
                new_wavelength = base is old_detector and frame.beam.wavelength != old_beam.wavelength
                detector = changed_detector(
                    base, frame.beam, geometry.detector, _wanted_parallax(params), new_wavelength
                )
                detectors[key] = (shared.detector(detector), old_detector, old_beam)
            frame.detector = detectors[key][0]
            if id(old_goniometer) not in goniometers:
                base = (
                    reference.goniometer
                    if reference is not None and reference.goniometer is not None
                    else old_goniometer
                )
                goniometers[id(old_goniometer)] = (
                    shared.goniometer(changed_goniometer(base, geometry.goniometer)),
                    old_goniometer,
                )
            frame.goniometer = goniometers[id(old_goniometer)][0]


def _wanted_parallax(params: Any) -> str | None:
    """The depth correction that the user asks for; None for none in particular."""
    return None if params.geometry.parallax is Auto else params.geometry.parallax


def _select_images(all_series: list[Series], params: Any) -> None:
    """Keep the images of ``geometry.scan.image_range``."""
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


def _set_oscillation(series: Series, params: Any) -> None:
    """Give the images of a series the angles that the user wants."""
    from spindle.models import Goniometer, Scan

    default = Goniometer(rotation_axis=np.array([1.0, 0.0, 0.0]))
    wanted = params.geometry.scan.oscillation
    is_sequence = params.geometry.convert_stills_to_sequences
    if wanted is None and not is_sequence:
        return
    first = series.frames[0].number
    for frame in series.frames:
        if wanted is not None:
            start, width = wanted[0] + (frame.number - first) * wanted[1], wanted[1]
        else:
            start, width = frame.start, frame.width
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


def _report_breaks(breaks: Sequence[Break], context: RunContext) -> None:
    """Say why images with one template make several sweeps."""
    for b in breaks[:20]:
        context.log.warning("%s: a new sweep begins at image %d: %s", b.template, b.after, b.reason)
        if b.differences:
            context.table(
                Table(
                    title=f"Differences between images {b.before} and {b.after}",
                    headers=("Item", f"Image {b.before}", f"Image {b.after}"),
                    rows=[list(d) for d in b.differences],
                    key="geometry_conflict",
                )
            )
    if breaks:
        if len(breaks) > 20:
            context.log.warning("and %d more such places", len(breaks) - 20)
        context.log.warning(
            "If this is one sweep: copy missing images, set what the headers say differently (geometry.*), or widen "
            "input.tolerance.*"
        )


def _report_counts(headers: Headers, runs: Sequence[Run], context: RunContext) -> None:
    """The counts that users look at first."""
    formats = sorted({h.format for h in headers.items})
    sequences = [r for r in runs if r.kind != "image"]
    still_series = {id(r.series) for r in runs if r.kind == "still"}
    line = "-" * 80
    context.log.info("%s", line)
    context.log.info("  format: %s", ", ".join(formats))
    context.log.info("  num images: %d", len(headers.items))
    context.log.info("  sequences:")
    context.log.info("    still:    %d", len(still_series))
    context.log.info("    sweep:    %d", sum(1 for r in sequences if r.kind == "sweep"))
    context.log.info("  num stills: %d", sum(len(r.frames) for r in runs if r.kind == "image"))
    context.log.info("%s", line)


def _overview(experiments: Experiments) -> Table:
    """One line per sweep; stills of one template share a line."""
    rows: list[list[Any]] = []
    shared: dict[int, list[Any]] = {}
    for experiment in experiments:
        imageset, scan = experiment.imageset, experiment.scan
        where = (
            "" if imageset is None else Path(imageset.template or (imageset.paths[0] if imageset.paths else "")).name
        )
        distance = f"{experiment.detector[0].distance:.2f}"
        wavelength = f"{experiment.beam.wavelength:.5f}"
        if scan is not None and not experiment.is_still:
            first, last = scan.image_range
            start, width = scan.oscillation_deg
            rows.append([where, f"{first}-{last}", f"{start:g}", f"{width:g}", wavelength, distance])
            continue
        key = id(imageset)
        if key in shared:
            shared[key][1] = f"{shared[key][1].split('-')[0]}-{scan.image_range[1] if scan else ''}"
            continue
        number = f"{scan.image_range[0]}-{scan.image_range[1]}" if scan else "1"
        rows.append(
            [where, number, "still" if scan is None else f"{scan.oscillation_deg[0]:g}", "0", wavelength, distance]
        )
        shared[key] = rows[-1]
    extra = []
    if len(rows) > 25:
        extra = [["...", f"{len(rows) - 25} more", "", "", "", ""]]
    return Table(
        title="Imported",
        headers=("Images", "Numbers", "Start (deg)", "Width (deg)", "Wavelength (A)", "Distance (mm)"),
        rows=rows[:25] + extra,
        key="imported",
    )


def _changed_experiments(experiments: Experiments, params: Any, reference: Reference | None) -> Experiments:
    """Existing experiments with reference, overrides and lookup applied; shared models stay shared."""
    from .build import extrapolated
    from .overrides import changed_beam, changed_detector, changed_goniometer

    geometry = params.geometry
    if params.input.as_grid_scan or geometry.convert_stills_to_sequences or geometry.convert_sequences_to_stills:
        raise ParameterError(
            "input.as_grid_scan and geometry.convert_* regroup images: give the images themselves, not an experiment "
            "list"
        )
    for beam in experiments.unique("beam"):
        base = reference.beam if reference is not None and reference.beam is not None else beam
        experiments = experiments.with_model(beam, changed_beam(base, geometry.beam))
    for detector in experiments.unique("detector"):
        beam = experiments[experiments.indices_with("detector", detector)[0]].beam
        base = reference.detector_for(detector) if reference is not None else detector
        has_new_beam = geometry.beam.wavelength is not None and base is detector
        changed = changed_detector(base, beam, geometry.detector, _wanted_parallax(params), has_new_beam)
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
    if params.lookup.mask:
        mask = str(Path(params.lookup.mask).expanduser().absolute())
        for imageset in experiments.unique("imageset"):
            experiments = experiments.with_model(imageset, replace(imageset, mask=mask))
    return experiments
