"""The program `spindle export_bitmaps`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spindle.contracts import Program, ProgramInputs, ProgramResult, hookimpl
from spindle.errors import ParameterError
from spindle_lib_importing.experiments import experiments_of

from .params import ExportBitmapsParams

if TYPE_CHECKING:
    from spindle.execution import RunContext
    from spindle.images import ImageSequence
    from spindle.models import Experiments

__all__ = ["ExportBitmaps"]

SUFFIXES = {".png": "png", ".jpg": "jpeg", ".jpeg": "jpeg", ".tif": "tiff", ".tiff": "tiff"}


@dataclass(frozen=True, slots=True, repr=False)
class _Job:
    """One picture: which image of which sequence, and where it goes."""

    sequence: ImageSequence
    index: int
    target: Path

    def __repr__(self) -> str:
        return f"{self.sequence.file_of(self.index)[0]} to {self.target}"


@dataclass(frozen=True, slots=True)
class _Make:
    """Makes one picture."""

    painter: Any
    kind: str
    params: ExportBitmaps.Params

    def __call__(self, job: _Job) -> Path:
        """Paint, and write the file."""
        from spindle.files import atomic_write

        from .picture import save_picture

        codes = self.painter.paint(job.sequence, job.index)
        with atomic_write(job.target) as temporary:
            save_picture(codes, self.painter.palette, temporary, self.kind, self.params)
        return job.target


class ExportBitmaps(Program):
    """Make pictures of images, or of what spot finding sees in them.

    Fast is to the right and slow down. Panels of a detector become one picture; what lies between them is pink.

        spindle export_bitmaps image_0001.cbf
        spindle export_bitmaps imported.expt binning=2 output.format=jpeg output.directory=pictures
        spindle export_bitmaps image_0001.cbf display=threshold colour_scheme=inverse_greyscale output.file=strong.png
    """

    class Params(ExportBitmapsParams):
        """Pictures of images."""

    @hookimpl
    def run(self, inputs: ProgramInputs, params: Params, context: RunContext) -> ProgramResult:
        """Paint and write; see `spindle.contracts.program.ProgramSpec`."""

        from spindle.execution import check_files

        from .picture import Painter

        painter = Painter(_display(params), params)
        kind = _kind(params)
        experiments = _experiments(inputs, params, context)
        jobs = _jobs(experiments, params, kind)
        check_files("export_bitmaps", params, [job.target for job in jobs], inputs, experiments)
        for sequence in {id(job.sequence): job.sequence for job in jobs}.values():
            painter.add(sequence)
        if params.output.directory is not None:
            try:
                params.output.directory.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise ParameterError(
                    f"output.directory={params.output.directory}: the folder cannot be made: {error.strerror}; give another"
                ) from error

        with context.progress("painting images", len(jobs)) as progress:
            for path in context.executor.map(_Make(painter, kind, params), jobs):
                context.written.append(path)
                progress.advance(1)
        first, last = jobs[0].target, jobs[-1].target
        context.log.info("Wrote %s", first if len(jobs) == 1 else f"{len(jobs)} pictures, {first} to {last}")
        summary = {"n_pictures": len(jobs), "first": str(first), "last": str(last)}
        return ProgramResult(summary=summary, next_step=f"open {first}")


def _display(params: ExportBitmaps.Params) -> Any:
    """What to show, from the parameters."""
    from spindle_lib_pictures.display import Display

    if params.gain <= 0:
        raise ParameterError(f"gain={params.gain:g}: the gain must be positive")
    try:
        return Display(
            params.display, params.kernel_size, params.min_local, params.gain, params.nsigma_b, params.nsigma_s,
            params.global_threshold,
        )  # fmt: skip
    except ValueError as error:
        raise ParameterError(f"min_local={params.min_local}: {error}") from error


def _kind(params: ExportBitmaps.Params) -> str:
    """Format of the pictures: that of the suffix of output.file, else output.format."""
    name = params.output.file
    if name is None:
        return str(params.output.format)
    suffix = Path(name).suffix.lower()
    if suffix not in SUFFIXES:
        raise ParameterError(f"output.file={name}: the suffix {suffix!r} is none of {', '.join(SUFFIXES)}")
    return SUFFIXES[suffix]


def _experiments(inputs: ProgramInputs, params: ExportBitmaps.Params, context: RunContext) -> Experiments:
    """The experiments to show, imported when images were given."""
    if inputs.reflections:
        raise ParameterError(
            "export_bitmaps: pictures are made of images, without spots; leave the reflection file out"
        )
    reading = params.format
    if not inputs.files and (reading.multi_panel or reading.dynamic_shadowing in (True, False)):
        raise ParameterError(
            "format.multi_panel and format.dynamic_shadowing say how images are imported; they cannot be changed for an "
            "experiment list: give them to spindle import, or give the images themselves"
        )
    return experiments_of(
        context,
        inputs,
        **{"format.multi_panel": reading.multi_panel, "format.dynamic_shadowing": reading.dynamic_shadowing},
    )


def _jobs(experiments: Experiments, params: ExportBitmaps.Params, kind: str) -> list[_Job]:
    """All pictures to make; an image that several experiments share is shown once."""
    from spindle.images import ImageSequence

    output = params.output
    sets: dict[int, list[Any]] = {}
    for experiment in experiments:
        sets.setdefault(id(experiment.imageset), []).append(experiment)
    wanted = range(len(sets)) if not params.imageset_index else params.imageset_index
    bad = [k for k in wanted if k >= len(sets)]
    if bad:
        raise ParameterError(f"imageset_index={bad[0]}: there are {len(sets)} image sets, counted from 0")
    folder = Path() if output.directory is None else output.directory
    jobs: list[_Job] = []
    sources = set()
    for k, members in enumerate(sets.values()):
        if k not in wanted:
            continue
        seen = set()
        for experiment in members:
            sequence = ImageSequence(experiment)
            scan = experiment.scan
            first = scan.image_range[0] if scan is not None and sequence.imageset.kind == "ImageSequence" else 1
            for index in range(len(sequence)):
                source = sequence.file_of(index)
                if source in seen:
                    continue
                seen.add(source)
                sources.add(Path(source[0]).resolve())
                name = f"{output.prefix}{f'{k}_' if len(sets) > 1 else ''}{first + index:04d}.{kind}"
                jobs.append(_Job(sequence, index, folder / (name if output.file is None else output.file)))
    if output.file is not None and len(jobs) > 1:
        raise ParameterError(
            f"output.file={output.file}: {len(jobs)} images would go to one file; use output.prefix and "
            "output.directory, or give one image"
        )
    for parent in {job.target.parent for job in jobs} - {folder}:
        if not parent.is_dir():
            raise ParameterError(
                f"output.prefix={output.prefix}: the folder {parent} does not exist. Next: mkdir -p {parent}, or use "
                "output.directory"
            )
    for job in jobs:
        if job.target.resolve() in sources:
            raise ParameterError(
                f"{job.target}: the picture would replace one of the images; choose another output.prefix, "
                "output.directory or output.file"
            )
    return jobs
