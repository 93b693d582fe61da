"""All sections, the answers at the top, the page and the JSON file."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from spindle.contracts import ProgramInputs, ProgramResult
from spindle.errors import ParameterError, UserError
from spindle.params import Auto
from spindle.report import Section, Table, json_text
from spindle_lib_pages import Page, text_writer
from spindle_lib_sections.damage import damage_section
from spindle_lib_sections.data_sets import add_data_sets
from spindle_lib_sections.given import Given
from spindle_lib_sections.merged import completeness_section, merged_data, merging_section, twinning_section
from spindle_lib_sections.models import geometry_section, scan_varying_section
from spindle_lib_sections.names import FileNames
from spindle_lib_sections.pictures import picture_section
from spindle_lib_sections.places import MapSettings
from spindle_lib_sections.profiles import profile_section
from spindle_lib_sections.questions import Answer, answers, judged
from spindle_lib_sections.residuals import residual_section
from spindle_lib_sections.runs import run_section
from spindle_lib_sections.scaling import scaling_section
from spindle_lib_sections.signal import signal_section
from spindle_lib_sections.spots import spot_section
from spindle_lib_verdict import Verdict

if TYPE_CHECKING:
    from spindle.execution import RunContext
    from spindle.models import Experiment

__all__ = ["make_report"]

#: What the JSON file says about itself.
FORMAT, FORMAT_VERSION = "spindle report", 1
HOST = "spindle-diffraction-base"


def make_report(inputs: ProgramInputs, params: Any, context: RunContext) -> ProgramResult:
    """Make the report; see the program."""
    if not inputs.experiments and not inputs.reflections:
        raise UserError("report: give experiments, reflections or both: spindle report scaled.expt scaled.refl")
    if params.output.html is None and params.output.json is None:
        raise ParameterError("report: output.html=None and output.json=None leave nothing to write; name one")
    given = Given.of(inputs.experiments, inputs.reflections)
    for stage, table in given.tables.items():
        context.log.info("%d %s reflections", len(table), stage)
    sections = list(_sections(given, inputs, params, context))
    newest = given.tables.get(given.furthest)
    own = {s.key for s in sections}
    _say_how_to_look(sections, inputs, given.experiments)
    for found in context.collect("report_sections", experiments=inputs.experiments, reflections=newest):
        for section in found:
            if section.key in own:
                context.log.warning(
                    "A second section %s was left out: sections of observers need keys of their own", section.key
                )
                continue
            own.add(section.key)
            sections.append(section)
    # records know what programs found, the data themselves know what they are now
    known = sorted(sections, key=lambda s: s.key != "runs")
    lights, verdict = answers(known, bool(given.experiments) and all(e.is_still for e in given.experiments))
    names = FileNames(inputs.sources or inputs.files, inputs.experiments, inputs.reflections)
    lights = [names.in_answer(light) for light in lights]
    verdict = Verdict(tuple(replace(line, next_step=names.in_text(line.next_step)) for line in verdict.lines))
    for section in sections:
        names.in_section(section)
    about = judged(known)
    context.table(_table(lights))
    if about:
        context.log.info("%s", about)
    shown = [s for s in sections if not s.absent]
    for section in sections:
        if section.absent:
            context.log.info("Not shown: %s. %s", section.title, section.absent)
    files: dict[str, Callable[..., None]] = {}
    if params.output.html is not None:
        files[str(params.output.html)] = text_writer(_page(inputs, given, lights, about, sections).html())
    if params.output.json is not None:
        files[str(params.output.json)] = text_writer(
            json_text(_content(given, lights, verdict, about, sections)) + "\n"
        )
    moods = [a.mood for a in lights]
    summary = {
        "n_sections": len(shown), "n_figures": sum(len(s.figures) for s in shown), "stages": list(given.tables),
        "verdict": verdict.colour, **{f"n_{mood}": moods.count(mood) for mood in ("good", "doubtful", "bad", "unknown")},
    }  # fmt: skip
    following = next(
        (a.next_step for m in ("bad", "doubtful", "unknown") for a in lights if a.mood == m and a.next_step), ""
    )
    where = params.output.html or params.output.json
    return ProgramResult(
        summary=summary, files=files, next_step=f"open {where}" + (f"; {following}" if following else "")
    )


def _sections(given: Given, inputs: ProgramInputs, params: Any, context: RunContext) -> Iterator[Section]:
    """The sections in the order of the page."""
    settings = MapSettings(
        params.pixels_per_bin or 1,
        None if params.grid_size is Auto else tuple(params.grid_size),
        params.centroid_diff_max,
    )
    axes = [_axis(params.orientation_decomposition, name) for name in ("e1", "e2", "e3")]
    steps: list[tuple[str, Callable[[], list[Section]]]] = [
        ("images", lambda: [picture_section(given, params.images)]),
        ("spots", lambda: [spot_section(given, settings)]),
        ("models", lambda: [geometry_section(given.experiments)]),
        ("positions", lambda: [residual_section(given, settings)]),
        ("models along the scan", lambda: [
            scan_varying_section(given.experiments, np.array(axes), params.orientation_decomposition.relative_to_static_orientation)
        ]),
        ("profiles", lambda: [profile_section(given, settings)]),
        ("intensities", lambda: [signal_section(given, settings)]),
        ("scaling and merging", lambda: _merged(given)),
        ("runs", lambda: [run_section(inputs.sources or inputs.files)]),
    ]  # fmt: skip
    with context.progress("looking at the data", len(steps)) as progress:
        for _, step in steps:
            yield from step()
            progress.advance(1)


def _merged(given: Given) -> list[Section]:
    data = merged_data(given)
    merging = merging_section(data, given.experiments)
    if not isinstance(data, str):
        add_data_sets(merging, data)
    return [
        scaling_section(given, data),
        merging,
        completeness_section(data),
        twinning_section(data),
        damage_section(given, data),
    ]


def _say_how_to_look(sections: list[Section], inputs: ProgramInputs, experiments: Sequence[Experiment]) -> None:
    """The commands that show the images with what was found on them, from any folder."""
    files = [p for p in (inputs.sources or inputs.files) if p.suffix in (".expt", ".refl")]
    models = [p for p in files if p.suffix == ".expt"]
    pictures = next((s for s in sections if s.key == "images" and not s.absent), None)
    if pictures is not None and models:
        names = [str(p.absolute()) for p in (models[-1], *[p for p in files if p.suffix == ".refl"][-1:])]
        command = shlex.join(["spindle", "image_viewer", *names])
        pictures.text.append(f"All of them, with spots, predictions and profiles: {command}")
        if rows := _commands(command, pictures, experiments):
            pictures.tables.append(
                Table("To see these images in the viewer, paste into a terminal", ("Image", "Command"), rows, "viewer")
            )


def _commands(command: str, pictures: Section, experiments: Sequence[Experiment]) -> list[list[Any]]:
    """Number of each picture, and the command that opens the viewer there; none where the viewer joins sets of images."""
    sets: dict[int, int] = {}
    for e in experiments:
        if e.imageset is None or e.imageset.kind != "ImageSequence" or e.scan is None or e.scan.n_images == 1:
            return []
        sets.setdefault(id(e.imageset), len(sets))
    rows: list[list[Any]] = []
    for figure in pictures.figures.values():
        seen = figure["layout"]["meta"]
        number = sets[id(experiments[seen["experiment"]].imageset)]
        of_set = f" imageset={number}" if number else ""
        rows.append([seen["image"], f"{command}{of_set} image={seen['image']}"])
    return rows


def _axis(scope: Any, name: str) -> np.ndarray:
    axis = np.array(getattr(scope, name))
    length = float(np.linalg.norm(axis))
    if not length > 1e-9:
        raise ParameterError(
            f"orientation_decomposition.{name}={' '.join(f'{v:g}' for v in axis)}: an axis has a length; give another"
        )
    return np.asarray(axis / length)


def _table(lights: list[Answer]) -> Table:
    rows = [[a.question, a.mood, a.said, a.next_step or "--"] for a in lights]
    return Table("What a referee would ask", ["Question", "Answer", "What is known", "What to do"], rows, "verdict")


def _page(inputs: ProgramInputs, given: Given, lights: list[Answer], about: str, sections: list[Section]) -> Page:
    files = [p.name for p in (inputs.sources or inputs.files)]
    shown = files if len(files) <= 4 else files[-2:]
    names = ", ".join(shown) or "data in memory"
    names += f" and {len(files) - len(shown)} files of earlier steps" if len(shown) < len(files) else ""
    page = Page("Report", f"{names}: {_counted(given.experiments)}. Spindle {version(HOST)}")
    page.section("Is it good?")
    for light in lights:
        page.answer(light.question, light.mood, light.said, light.reason, light.next_step)
    if about:
        page.text(about)
    for stage, table in given.tables.items():
        if not len(table):
            said = f"The table of {stage} reflections that was given has no rows: what is known is that of models and run records."
            page.text(said, "doubtful")
    for section in sections:
        if not section.absent:
            page.add(section)
    absent = [s for s in sections if s.absent]
    if absent:
        page.section("Not shown")
        page.table(Table("", ["Section", "Why"], [[s.title, s.absent] for s in absent]))
    return page


def _counted(experiments: Sequence[Experiment]) -> str:
    """How many crystals and sweeps there are, and the space group."""
    crystals = {id(e.crystal): e.crystal for e in experiments if e.crystal is not None}
    sets: dict[int, Experiment] = {}
    for i, e in enumerate(experiments):
        sets.setdefault(id(e.imageset) if e.imageset is not None else i, e)
    stills = sum(e.is_still for e in sets.values())
    parts = [
        f"{n} {what}" + ("s" if n > 1 else "")
        for n, what in ((len(crystals), "crystal"), (len(sets) - stills, "sweep"), (stills, "still"))
        if n
    ]
    group = sorted({c.space_group.xhm() for c in crystals.values()})
    return ", ".join([*parts, *group[:3]]) or "no experiments"


def _content(
    given: Given, lights: list[Answer], verdict: Verdict, about: str, sections: list[Section]
) -> dict[str, Any]:
    """Everything as plain values."""
    return {
        "format": FORMAT, "format_version": FORMAT_VERSION, "spindle": version(HOST),
        "stages": {stage: len(table) for stage, table in given.tables.items()}, "n_experiments": len(given.experiments),
        "questions": [a.to_dict() for a in lights], "verdict": verdict.as_dict(), "judged": about,
        **{s.key: _plain(s.to_dict()) for s in sections},
    }  # fmt: skip


def _plain(value: Any) -> Any:
    """Values for JSON: no arrays, no NaN; pictures stay on the page."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, str) and value.startswith("data:image/"):
        return ""
    return value if value is None or isinstance(value, bool | int | str) else str(value)
