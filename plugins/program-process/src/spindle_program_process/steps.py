"""The steps of the chain: what each reads and writes, and which of its numbers go into the summary."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from spindle.errors import UserError
from spindle.params import Params


@dataclass(frozen=True, slots=True)
class Step:
    """One program of the chain.

    Attributes
    ----------
    program : str
    experiments, reflections : bool
        Whether it writes those (to ``output.experiments``, ``output.reflections``).
    """

    program: str
    experiments: bool = True
    reflections: bool = True
    files: tuple[str, ...] = field(default_factory=tuple)

    @property
    def attribute(self) -> str:
        """Name of the step's scope in the parameters of this program."""
        return "import_" if self.program == "import" else self.program

    def outputs(self, params: Params) -> list[Path]:
        """Files that the step hands to later ones, as its parameters name them."""
        output = getattr(params, self.attribute).output
        names = [n for n, there in (("experiments", self.experiments), ("reflections", self.reflections)) if there]
        return [Path(getattr(output, name)) for name in names]


STEPS = (
    Step("import", reflections=False),
    Step("find_spots", experiments=False),
    Step("index"),
    Step("refine"),
    Step("integrate"),
    Step("symmetry"),
    Step("scale"),
    Step("merge", experiments=False, reflections=False),
)
NAMES = [step.program for step in STEPS]


def last_finished(params: Params) -> int:
    """Number of steps whose outputs are there, each no older than those of the step before it."""
    newest = 0.0
    done = 0
    for step in STEPS:
        paths = step.outputs(params)
        if not paths or not all(p.is_file() for p in paths):
            break
        times = [p.stat().st_mtime for p in paths]
        if min(times) < newest:
            break
        newest = max(times)
        done += 1
    return done


def inputs_of(start: int, params: Params) -> tuple[Path | None, Path | None]:
    """Newest experiment and reflection file that the steps before `start` write.

    Raises
    ------
    UserError
        If one of them is not there.
    """
    experiments: Path | None = None
    reflections: Path | None = None
    for step in STEPS[:start]:
        paths = step.outputs(params)
        if step.experiments:
            experiments = paths[0]
        if step.reflections:
            reflections = paths[-1]
    for path in (experiments, reflections):
        if path is not None and not path.is_file():
            raise UserError(
                f"process: start_at={NAMES[start]} needs {path}, which is not in this folder; start at an earlier step "
                "or run "
                "spindle process in the folder of the earlier run"
            )
    return experiments, reflections
