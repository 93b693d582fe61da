"""Steps one after the other, what one returns handed to the next in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from spindle.contracts import ProgramInputs, ProgramResult
from spindle.errors import Cancelled, SpindleError, UserError
from spindle.execution import Record, images_of
from spindle.files import read_experiments, read_reflections, write_experiments
from spindle.models import Experiments

from .given import files_for, has_spots
from .resume import images_of_record
from .steps import (
    AGAIN,
    READ_IMAGES,
    REFINE,
    STEPS,
    Step,
    given_experiments,
    is_refined_again,
    require,
    sources,
)
from .watching import Finished, follow


class Chain:
    """What the steps so far have made.

    Parameters
    ----------
    inputs : ProgramInputs
        What the user gave.
    params : Params
        Those of `process`.
    context : RunContext
    first : int
        Number of the first step that works on what was given: 0 for images.

    Attributes
    ----------
    experiments, reflections : optional
        The newest.
    spots : ReflectionTable or None
        Those that the step refine has used.
    """

    def __init__(self, inputs: ProgramInputs, params: Any, context: Any, first: int) -> None:
        self.inputs, self.params, self.context, self.first = inputs, params, context, first
        self.given = given_experiments(inputs)
        self.files: list[Path] = list(inputs.files)
        self.experiments: Experiments | None = inputs.experiments
        self.reflections: Any = inputs.reflections[0] if inputs.reflections else None
        self.spots: Any = None
        self._images: dict[str, Any] | None = None
        self.finished: Finished | None = None

    def watch(self) -> None:
        """Follow a series that is still being written to its end."""
        self.finished = follow(self.files, self.params, self.context)
        self.files = self.finished.files

    def begin(self, start: int) -> None:
        """Read what the first step needs, unless it was given.

        Raises
        ------
        UserError
            If something is missing.
        """
        if start == 0:
            if not self.files and self.params.resume:
                self.files = images_of_record(self.params)
            given = self.params.import_.input
            if not self.files and not given.template and not given.directory:
                raise UserError("process: give image files, or an experiment file: spindle process images/*.cbf")
            return
        step = STEPS[start]
        is_given = self.experiments is not None or self.reflections is not None
        if is_given and not (self.params.resume and start > self.first):
            if step.name == "integrate":
                self.spots = self.reflections
            return
        symmetrised = sources(AGAIN, self.params, self.given, False)[0] if has_spots(self.first) else None
        again = start > STEPS.index(AGAIN) and symmetrised is not None and self._is_refined_again(symmetrised)
        expt, refl = paths = sources(step, self.params, self.given, again)
        require(step, paths)
        self.context.log.info("Starting with %s", ", ".join(str(p) for p in paths if p is not None))
        self.experiments = None if expt is None else read_experiments(expt)
        if (
            STEPS.index(REFINE) < start <= STEPS.index(AGAIN)
            and self.params.refine_in_symmetry
            and has_spots(self.first)
        ):
            spots = sources(AGAIN, self.params, self.given, False)[1]
            require(step, (None, spots))
            self.spots = None if spots is None else read_reflections(spots)
        if step is AGAIN:
            refl = sources(STEPS[start + 1], self.params, self.given, False)[1]
            require(step, (None, refl))
        self.reflections = None if refl is None else read_reflections(refl)

    def _is_refined_again(self, symmetrised: Path) -> bool:
        return symmetrised.is_file() and is_refined_again(read_experiments(symmetrised), self.params)

    def do(self, step: Step) -> ProgramResult | None:
        """Do one step; None for one that has nothing to do."""
        if step is AGAIN:
            return self._refine_again()
        self.context.log.info("%s ...", step.name)
        result: ProgramResult = self._run(step, self.experiments, self.reflections)
        self.experiments = self.experiments if result.experiments is None else result.experiments
        self.reflections = self.reflections if result.reflections is None else result.reflections
        if step.name == "refine":
            self.spots = self.reflections
        return result

    def _refine_again(self) -> ProgramResult | None:
        """Refine in the space group found; models that cannot be refined stay as they are."""
        if not is_refined_again(self.experiments, self.params) or self.spots is None:
            return None
        self.context.log.info("%s ...", AGAIN.name)
        try:
            result = self._run(AGAIN, self.experiments, self.spots)
        except Cancelled:
            raise
        except SpindleError as error:
            self.context.log.warning(
                "The models could not be refined in the space group found and stay as they are: %s", error
            )
            output = AGAIN.outputs(self.params)[0]
            if self.experiments is not None and output is not None:
                write_experiments(self.experiments, output)
            return None
        self.experiments = result.experiments or self.experiments
        self.spots = None if result.reflections is None else result.reflections.without("shoebox")
        crystal = self.experiments[0].crystal if self.experiments else None
        if crystal is not None:
            cell = " ".join(f"{v:.3f}" for v in crystal.cell)
            self.context.log.info("refined again in %s: cell %s", crystal.space_group.hm, cell)
        return result

    def exported(self) -> dict[str, Any]:
        """Files of the scaled data in the format that the user wants; those on the disk where nothing was done in this run."""
        if self.experiments is None or self.reflections is None or "inverse_scale_factor" not in self.reflections:
            expt, refl = sources(STEPS[-1], self.params, self.given, True)
            require(STEPS[-1], (expt, refl))
            self.experiments, self.reflections = read_experiments(expt), read_reflections(refl)  # type: ignore[arg-type]
        exporter = self.context.algorithm("exporter", self.params.export)
        found = exporter.export(experiments=self.experiments, reflections=self.reflections, intensity="auto", path=None)
        for message in found.messages:
            self.context.log.info("%s", message)
        return dict(found.files)

    def reported(self, path: str) -> dict[str, Any]:
        """The page about what there is now; nothing where nothing was done in this run, or no page can be made of it."""
        if self.experiments is None or self.reflections is None:
            return {}
        spots = self.spots if self.spots is not None else self._refined_spots()
        if spots is not None and len(spots) and int(spots["id"].max()) >= len(self.experiments):
            spots = None  # of experiments that were left out since
        tables = [t for t in (spots, self.reflections) if t is not None and len(t)]
        written = [p for step in STEPS for p in step.outputs(self.params) if p is not None and p.is_file()]
        try:
            found = self.context.run_program(
                "report", self.experiments, tables, written, brief=True, **{"output.html": path, "output.json": None}
            )
        except Cancelled:
            raise
        except SpindleError as error:
            self.context.log.warning("no page is written to %s: %s", path, error)
            return {}
        return dict(found.files)

    def _refined_spots(self) -> Any:
        """The spots of a refinement in an earlier run of these experiments, or None."""
        known = {e.identifier for e in self.experiments or ()}
        for step in (AGAIN, REFINE):
            for path in step.outputs(self.params):
                if path is not None and path.suffix == ".refl" and path.is_file():
                    spots = read_reflections(path)
                    if spots.identifiers and known.issuperset(spots.identifiers.values()):
                        return spots
        return None

    def _settings(self, step: Step) -> dict[str, Any]:
        """What is set of the step's parameters."""
        own = {} if self.finished is None else self.finished.settings(step.name)
        return {**step.settings(self.params), **own}

    def _run(self, step: Step, experiments: Any, reflections: Any) -> ProgramResult:
        is_import = step.name == "import"
        again = has_spots(self.first) and is_refined_again(experiments, self.params)
        read = self.files if is_import else files_for(step, self.params, self.inputs, self.first, again)
        if step.name in READ_IMAGES and not is_import and self._images is None:
            imported = STEPS[0].outputs(self.params)[0]
            if self.inputs.experiments is None and imported is not None and imported.is_file():
                self._images = images_of(read_experiments(imported))
            else:
                self._images = images_of(self.inputs.experiments or experiments)
        record = Record(
            step.record(self.params),
            tuple(p for p in read if p.exists()),
            self._images if step.name in READ_IMAGES and not is_import else None,
        )
        result: ProgramResult = self.context.run_program(
            step.program(self.params), experiments, reflections, self.files if is_import else (),
            write=True, brief=not self.params.details, record=record, **self._settings(step),
        )  # fmt: skip
        written = step.outputs(self.params)[0]
        if result.experiments is not None and written is not None:
            # What the file holds, to the last bit: a run that is taken up here later must give the same.
            result.experiments = read_experiments(written)
        return result
