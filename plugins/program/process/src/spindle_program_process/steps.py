"""The steps of the chain: what each reads and writes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spindle.contracts import ProgramInputs
from spindle.errors import UserError
from spindle.models import Experiments
from spindle.params import Auto, Params, walk


@dataclass(frozen=True, slots=True)
class Step:
    """One program of the chain.

    Attributes
    ----------
    name : str
    scope : str
        Scope of its parameters, which is that of another step for a program that is run twice.
    experiments, reflections : bool
        Whether it hands those to later steps.
    """

    name: str
    scope: str
    experiments: bool = True
    reflections: bool = True

    def params(self, params: Params) -> Any:
        """The scope of the step's program in the parameters of `process`."""
        return getattr(params, "import_" if self.scope == "import" else self.scope)

    def program(self, params: Params) -> str:
        """The program that does the step, as the parameters of `process` choose it."""
        return "import" if self.scope == "import" else str(getattr(params, f"{self.scope}_program"))

    def _output(self, params: Any, name: str) -> Any:
        """An output parameter of the step's program; None when that program, chosen by the user, has no such output."""
        output = getattr(self.params(params), "output", None)
        return getattr(output, name, None)

    def outputs(self, params: Any) -> tuple[Path | None, Path | None]:
        """Files of experiments and reflections that the step hands to later ones, as the parameters name them."""
        if self is AGAIN:
            return params.output.refined_in_symmetry, None
        experiments = _path(self._output(params, "experiments")) if self.experiments else None
        return experiments, _path(self._output(params, "reflections")) if self.reflections else None

    def settings(self, params: Any) -> dict[str, Any]:
        """What `process` sets of the step's parameters."""
        if self is AGAIN:
            path: Path = params.output.refined_in_symmetry
            nowhere = ("matches", "centroids", "parameter_table", "history", "correlation_plot.filename")
            named: dict[str, Any] = {
                "output.experiments": str(path),
                "output.reflections": str(path.with_suffix(".refl")),
                "output.log": str(path.with_name("spindle.refine_in_symmetry.log")),
                **{f"output.{name}": None for name in nowhere},
            }
        elif (
            self.name == "scale"
            and params.output.unmerged_mtz is not None
            and self._output(params, "unmerged_mtz") is None
        ):
            named = {"output.unmerged_mtz": str(params.output.unmerged_mtz)}
        elif self.name == "merge":
            named = {} if params.output.merged_mtz is None else {"output.mtz": str(params.output.merged_mtz)}
            if params.cut_resolution and getattr(self.params(params), "d_min", Auto) is None:
                named["d_min"] = Auto
        else:
            return {}
        there = {entry.path for entry in walk(self.params(params), templates=True)}
        return {name: value for name, value in named.items() if name in there}

    def record(self, params: Any) -> Path:
        """Run record of the step, beside its log."""
        log = self.settings(params).get("output.log") or self._output(params, "log")
        return (Path(log).parent if log else Path()) / f"spindle.{self.name}.json"


def _path(name: Any) -> Path | None:
    return None if name is None or not str(name) else Path(name)


AGAIN = Step("refine_in_symmetry", "refine", reflections=False)
REFINE = Step("refine", "refine")
SYMMETRY = Step("symmetry", "symmetry")
STEPS = (
    Step("import", "import", reflections=False),
    Step("find_spots", "find_spots", experiments=False),
    Step("index", "index"),
    REFINE,
    Step("integrate", "integrate"),
    SYMMETRY,
    AGAIN,
    Step("scale", "scale"),
    Step("merge", "merge", experiments=False, reflections=False),
)
NAMES = [step.name for step in STEPS]
READ_IMAGES = ("import", "find_spots", "integrate")


def sources(step: Step, params: Any, given: tuple[Path, ...], again: bool) -> tuple[Path | None, Path | None]:
    """Files of experiments and reflections that a step reads, as earlier steps write them.

    Parameters
    ----------
    step : Step
    params : Params
        Those of `process`.
    given : tuple of Path
        Experiment files given by the user, which stand for the step import.
    again : bool
        Whether models are refined again in the symmetry found.
    """
    experiments: Path | None = None
    reflections: Path | None = None
    spots: Path | None = None
    for earlier in STEPS[: STEPS.index(step)]:
        if earlier is AGAIN and not again:
            continue
        expt, refl = earlier.outputs(params)
        if earlier.name == "import" and given:
            expt = given[0]
        experiments = expt or experiments
        reflections = refl or reflections
        if earlier.name == "refine" and step is AGAIN:
            spots = refl
    return experiments, spots if step is AGAIN else reflections


def given_experiments(inputs: ProgramInputs) -> tuple[Path, ...]:
    """Experiment files that the user gave."""
    if inputs.experiments is None:
        return ()
    return tuple(p for p in inputs.sources if p not in inputs.files and p.suffix != ".refl")


def files_read(step: Step, params: Any, given: tuple[Path, ...], again: bool) -> list[Path]:
    """All files that a step after import reads; see `sources`."""
    found = [p for p in sources(step, params, given, again) if p is not None]
    return [*given, *found[1:]] if given and found[0] == given[0] else found


def is_refined_again(experiments: Experiments | None, params: Any) -> bool:
    """Whether the models can gain by a refinement under the constraints of their space group."""
    if not params.refine_in_symmetry or params.output.refined_in_symmetry is None or experiments is None:
        return False
    groups = {e.crystal.space_group.crystal_system_str() for e in experiments if e.crystal is not None}
    return not groups <= {"triclinic"}


def require(step: Step, paths: tuple[Path | None, Path | None]) -> None:
    """Raise `UserError` when a step cannot begin since a file of an earlier one is not there."""
    for path in paths:
        if path is not None and not path.is_file():
            raise UserError(
                f"process: start_at={step.name} needs {path}, which is not in this folder; start at an earlier step or run "
                "spindle process in the folder of the earlier run"
            )
