"""The program `process`."""

from __future__ import annotations

import math
import sys
import time
from typing import Any

from spindle.contracts import Program, ProgramInputs, ProgramResult, hookimpl
from spindle.errors import UserError
from spindle.execution import HeardWarnings
from spindle.params import Bool, Choice, Float, FolderParam, PathParam, Plugin, Preset, ScopeOf, ShortName
from spindle.params import Params as ParamsBase
from spindle.report import DETAIL, Table

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

from .chain import Chain
from .given import first_step
from .judgement import Judged, judged, text_of, write_failed
from .presets import ELECTRON, SMALL_MOLECULE, said
from .resume import finished
from .steps import NAMES, STEPS
from .stills import end_of_stills

# What everybody wants to see at the end.
FINAL_TABLES = ("space_groups", "merging_statistics_summary")

# Endings of files of the steps that are named at the end: data, not logs, records and pages.
DATA = (".expt", ".refl", ".mtz", ".hkl", ".sca")


def _program(default: str, help: str) -> Plugin:
    """Parameter that chooses the program of a step; its parameters are those of the step."""
    return Plugin("program", default, elsewhere=True, help=help, level=2)


def peak_memory_mb() -> float | None:
    """Largest resident memory of this process so far, MB; None on systems that do not tell."""
    if resource is None:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1024.0


class Process(Program):
    """Process rotation images from beginning to end.

    Give image files, or an experiment file written by `spindle import`, or the .expt and .refl files of any step: the run begins with the
    step that takes them. The steps are those of the single programs, with their parameters and their output files; tables are handed
    from step to step in memory. The step
    refine_in_symmetry is `spindle refine symmetrized.expt refined.refl output.experiments=refined_in_symmetry.expt`.

        spindle process images/*.cbf
        spindle process images/*.cbf space_group=P43212 unit_cell=78,78,37,90,90,90 d_min=1.8
        spindle process images/*.cbf small_molecule=True composition=C3H7NO2S
        spindle process imported.expt output.directory=again resume=True fail_if=red

    At the end there is a verdict, in green, amber and red lines, and in process.json. Every parameter of a step is one of process, too,
    by any part of its name that is unique (index.space_group, background.algorithm=glm): `spindle find_spots -h` and so on show them, and
    `spindle process -hh` all together.
    """

    goes_on = "resume"

    class Params(ParamsBase):
        start_at = Choice(
            NAMES, default="import", help="First step; the files of the steps before it are taken from this folder."
        )
        stop_after = Choice(NAMES, default="merge", help="Last step.")
        resume = Bool(
            False,
            help="Go on at the first step whose inputs, images, parameters, versions, code or files are not those of its run "
            "record; start_at is then not used.",
        )

        watch = ShortName(
            "find_spots.watch",
            "import.format.growing",
            help="Follow a series that is still being written: spots are found as images come, and what is there is processed "
            "again and again in the folder so_far. The end gives what a finished series gives.",
        )
        watch_images = ShortName(
            "find_spots.watch_images", help="Images that the series will have, for watch=True; by default nobody knows."
        )
        watch_timeout = ShortName(
            "find_spots.watch_timeout", help="The series is over when no image has come for so long, for watch=True."
        )

        space_group = ShortName("index.indexing.known_symmetry.space_group", help="Known space group of the crystal.")
        unit_cell = ShortName("index.indexing.known_symmetry.unit_cell", help="Known cell of the crystal.")
        d_min = ShortName(
            "find_spots.spotfinder.filter.d_min",
            "integrate.prediction.d_min",
            "scale.cut_data.d_min",
            "merge.d_min",
            help="Highest resolution of all that is done; symmetry takes what it can use within it. Auto is for the merged data: where "
            "CC1/2 and completeness end them.",
            only={"auto": ("merge.d_min",)},
        )
        d_max = ShortName(
            "find_spots.spotfinder.filter.d_max",
            "integrate.prediction.d_max",
            "scale.cut_data.d_max",
            "merge.d_max",
            help="Lowest resolution of all that is done.",
        )
        anomalous = ShortName(
            "scale.anomalous", "merge.anomalous", help="Keep Friedel mates apart in scaling and in the merged file."
        )
        scan_varying = ShortName(
            "refine.refinement.parameterisation.scan_varying", help="Let the crystal vary with the scan in refinement."
        )
        wavelength = ShortName("import.geometry.beam.wavelength", help="Wavelength instead of that of the images.")
        beam_centre = ShortName(
            "import.geometry.detector.fast_slow_beam_centre",
            help="Beam centre fast,slow in pixels instead of that of the images.",
        )
        distance = ShortName(
            "import.geometry.detector.distance", help="Distance of the detector instead of that of the images."
        )
        probe = ShortName(
            "import.geometry.beam.probe",
            help="What is scattered: x-ray, electron or neutron, instead of what the images say.",
        )
        max_lattices = ShortName(
            "index.indexing.multiple_lattice_search.max_lattices", help="Lattices to look for in the spots."
        )
        nproc = ShortName("mp.nproc", help="Workers of all steps.")
        mask = ShortName("import.lookup.mask", help="Mask file for all that is done.")
        image_range = ShortName("import.geometry.scan.image_range", help="Numbers of the first and the last image.")

        import_ = ScopeOf("program", "import", deeper=1)
        find_spots = ScopeOf("program", "find_spots", chosen_by="find_spots_program", deeper=1)
        index = ScopeOf("program", "index", chosen_by="index_program", deeper=1)
        refine = ScopeOf("program", "refine", chosen_by="refine_program", deeper=1)
        integrate = ScopeOf("program", "integrate", chosen_by="integrate_program", deeper=1)
        symmetry = ScopeOf("program", "symmetry", chosen_by="symmetry_program", deeper=1)
        scale = ScopeOf("program", "scale", chosen_by="scale_program", deeper=1)
        merge = ScopeOf("program", "merge", chosen_by="merge_program", deeper=1)

        find_spots_program = _program("find_spots", "Program that finds spots; with watch=True that is find_spots.")
        index_program = _program("index", "Program that indexes.")
        refine_program = _program("refine", "Program that refines the models, both times.")
        integrate_program = _program("integrate", "Program that integrates.")
        symmetry_program = _program("symmetry", "Program that finds the space group.")
        scale_program = _program("scale", "Program that scales.")
        merge_program = _program("merge", "Program that merges.")

        small_molecule = Preset(
            SMALL_MOLECULE,
            help="Crystals of small molecules: spots near the beam are left out, few spots are enough, space groups may have glide planes and "
            "a centre, and input for SHELX is written.",
        )
        electron = Preset(
            ELECTRON,
            help="Electron diffraction of small molecules: as small_molecule; the distance stays as it is unless the cell is known, and nothing is "
            "absorbed.",
        )
        cut_resolution = Bool(
            True,
            help="Merge to where CC1/2 and completeness end the data (merge.d_min=Auto), unless a limit is given; merged_all.mtz then has "
            "all of them.",
        )
        fail_if = Choice(
            ["red", "amber"],
            default=None,
            none=True,
            help="End with the exit code 3 when the verdict is red, or amber or red, though all files are written: for pipelines.",
        )
        export = Plugin(
            "exporter", default=None, none=True, help="Also write the scaled, unmerged data in this format at the end."
        )
        min_fraction_indexed = Float(
            0.25,
            min=0,
            max=1,
            help="Stop after index when a smaller fraction of the spots is indexed, or a trial has shown that the geometry is wrong: it would go "
            "wrong later. 0 goes on in any case.",
        )
        refine_in_symmetry = Bool(
            True,
            help="After symmetry, refine the models again under the constraints of the space group found, with the parameters "
            "of refine.",
        )
        details = Bool(False, help="Print everything that the steps print; without it, their logs have it.")

        class output(ParamsBase):
            """Files of the whole chain; those of the steps are below the steps' names."""

            directory = FolderParam(
                None, none=True, working=True, help="Folder of all files of the run; it is made where there is none."
            )
            unmerged_mtz = PathParam(
                "scaled_unmerged.mtz", none=True, help="Scaled unmerged intensities, written by the step scale."
            )
            refined_in_symmetry = PathParam(
                "refined_in_symmetry.expt",
                none=True,
                help="Models refined again in the space group found; reflections and log have names like it.",
            )
            merged_mtz = PathParam(
                "merged.mtz", none=True, help="Merged intensities and amplitudes, written by the step merge."
            )
            json = PathParam("process.json", none=True, help="Verdict, time and key numbers of every step.")
            report = PathParam(
                "report.html", none=True, help="Page about the data, as of `spindle report`; None writes none."
            )
            log = PathParam("spindle.process.log", none=True, help="The logs of all steps in one file.")

    @hookimpl
    def run(self, inputs: ProgramInputs, params: Params, context: Any) -> ProgramResult:
        """Run the chain; see `spindle.contracts.program.ProgramSpec`."""
        if inputs.experiments is not None and inputs.files:
            raise UserError(
                f"process: {inputs.files[0]} and an experiment list were given; give either images or an experiment list"
            )
        for line in said(params):
            context.log.info("%s", line)
        start, stop = first_step(inputs, params), NAMES.index(params.stop_after)
        given = 0 if inputs.experiments is None else start if inputs.reflections else 1
        earlier: dict[str, dict[str, Any]] = {}
        if params.resume:
            start, reason, earlier = finished(inputs, params, context, given)
            if start > stop:
                context.log.info("Every step up to %s is finished and nothing has changed since", NAMES[stop])
            else:
                done = NAMES[start - 1] if start else "nothing"
                context.log.info("Taking up after %s, at %s: %s", done, NAMES[start], reason)
        elif inputs.reflections and start != NAMES.index(params.start_at):
            context.log.info("Starting at %s, the step that takes the reflections that were given", NAMES[start])
        if stop < start and not params.resume:
            raise UserError(f"process: stop_after={params.stop_after} comes before the first step, {NAMES[start]}")
        chain = Chain(inputs, params, context, given)
        if getattr(params.find_spots, "watch", False):
            if params.find_spots_program != "find_spots":
                raise UserError("process: watch=True needs find_spots_program=find_spots, which can follow a series")
            if start > 0 or params.resume:
                raise UserError("process: watch=True begins with images; leave start_at=, resume= and experiments out")
            chain.watch()
        if start <= stop:
            chain.begin(start)
        heard = HeardWarnings()
        rows: list[list[Any]] = []
        report: dict[str, Any] = {}
        tables: dict[str, Table] = {}
        ended = ""
        for name, record in earlier.items():
            report[name] = {"seconds": record["seconds"], **record["summary"]}
            rows.append([name, round(record["seconds"], 2), "earlier", _in_short(record["summary"])])
        failed: UserError | None = None
        try:
            with heard:
                for step in STEPS[start : stop + 1]:
                    if ended := end_of_stills(step, chain.experiments, params):
                        break
                    heard.step = step.name
                    began = time.perf_counter()
                    result = chain.do(step)
                    if result is None:
                        continue
                    seconds = time.perf_counter() - began
                    tables.update({t.key: t for t in result.tables if t.key})
                    memory = peak_memory_mb()
                    report[step.name] = {
                        "seconds": round(seconds, 3),
                        "peak_memory_mb": None if memory is None else round(memory, 1),
                        **result.summary,
                    }
                    rows.append(
                        [
                            step.name,
                            round(seconds, 2),
                            None if memory is None else round(memory),
                            _in_short(result.summary),
                        ]
                    )
                    if step.name == "index":
                        self._check_indexed(result.summary, params)
        except UserError as error:
            failed = error
        for key in FINAL_TABLES:
            if key in tables and not params.details:
                context.log.info("%s", tables[key])
        if rows:
            context.table(Table("Summary", ["Step", "Seconds", "Peak memory (MB)", "Result"], rows, "process"))
        if written := [str(p) for p in dict.fromkeys(context.written) if p.suffix in DATA]:
            context.log.info("Files of the steps: %s", " ".join(written))
        for name, message in dict.fromkeys(heard.messages):
            context.log.info(
                "Warning of %s: %s", name, message.splitlines()[0], extra=DETAIL
            )  # the screen has shown it
        told = [m for _, m in heard.messages]
        failed_step = heard.step if failed is not None else None
        failed = UserError(ended) if ended else failed
        why = str(failed) if failed is not None else None
        found = judged(report, params, start, None if why is None else _headline(why), failed_step)
        # What import refuses says how to mend it: nothing is judged yet.
        context.log.info("%s", found.verdict.text(), extra=DETAIL if failed_step == "import" else None)
        text = text_of(report, told, found, why)
        if failed is not None:
            if params.output.json is not None and params.output.json.parent.is_dir():
                write_failed(params.output.json, text)
            raise failed
        return self._result(params, report, found, text, stop, chain)

    def _check_indexed(self, summary: dict[str, Any], params: Params) -> None:
        """Stop where going on would only cost time and memory."""
        fraction, cause = summary.get("fraction_indexed"), summary.get("cause", "")
        if fraction is None or not params.min_fraction_indexed:
            return
        if fraction < params.min_fraction_indexed or cause:
            least = f", less than min_fraction_indexed={params.min_fraction_indexed}" if not cause else ""
            # One cause that a trial has shown is named here as well; many possible ones are not.
            why = f". {cause}" if cause else "; the warning above says what it may mean"
            raise UserError(
                f"process: only {100 * fraction:.0f} % of the spots are indexed{least}{why}. The files of the steps so far are "
                "written: mend the geometry and begin again, or go on with start_at=refine"
            )

    def _result(
        self, params: Params, report: dict[str, Any], found: Judged, text: str, stop: int, chain: Chain
    ) -> ProgramResult:
        files: dict[str, Any] = {}
        if params.output.json is not None:
            files[str(params.output.json)] = lambda path: path.write_text(text, encoding="utf-8") and None
        done = NAMES[stop]
        exported: dict[str, Any] = {}
        if params.export is not None and done == NAMES[-1]:
            exported = chain.exported()
            files |= exported
        if params.output.report is not None:
            files |= chain.reported(str(params.output.report))
        colour = found.verdict.colour
        bad = {None: (), "red": ("red",), "amber": ("amber", "red")}[params.fail_if]
        if done == NAMES[-1]:
            merged = str(params.output.merged_mtz or "merged.mtz")
            next_step = found.next_step(" or ".join([*exported, merged]))
        elif colour == "red":
            next_step = f"first look into this: {found.verdict.lines[0].said}; {found.verdict.next_step}"
        else:
            next_step = f"spindle process start_at={NAMES[stop + 1]}"
        unfit = f"the verdict is {colour}, and fail_if={params.fail_if}" if colour in bad else ""
        return ProgramResult(
            summary={**report, "verdict": found.verdict.as_dict()}, files=files, next_step=next_step, unfit=unfit
        )


def _in_short(summary: dict[str, Any]) -> str:
    """Scalars of a summary on one line."""
    words = []
    for key, value in summary.items():
        if key in ("problem", "warning", "undecided", "contradiction"):  # sentences; the verdict says them
            continue
        value = _plain(value) if hasattr(value, "tolist") else value
        if isinstance(value, bool | int | str):
            words.append(f"{key}={value}")
        elif isinstance(value, float) and math.isfinite(value):
            words.append(f"{key}={value:.4g}")
    return ", ".join(words[:6])


def _headline(message: str) -> str:
    """The first line of a message, with the second where it only announces others."""
    first, *rest = (line.strip() for line in message.splitlines())
    return f"{first} {rest[0]}" if first.endswith(":") and rest else first


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)
