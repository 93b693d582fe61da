"""What workers do with a block of images: find spots and index, and refine crystals with a known geometry."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from spindle.errors import Cancelled, SpindleError, UserError
from spindle.execution import RunContext
from spindle.models import Experiment, Experiments
from spindle.table import ReflectionTable

__all__ = ["FindAndIndex", "Outcome", "RefineCrystals", "quieted"]

STEPS = ("import", "find_spots", "index", "refine")

# Settings of `refine` that leave beam and detector alone.
FIXED: dict[str, Any] = {
    "refinement.parameterisation.beam.fix": "all",
    "refinement.parameterisation.detector.fix": "all",
    "refinement.parameterisation.scan_varying": False,
}

# What becomes of an image, in the order in which it may be left behind.
UNREADABLE, BLANK, FEW, MANY, SPOTS, NOT_INDEXED, INDEXED = (
    "cannot be read", "no spots", "too few spots", "too many spots", "spots found", "not indexed", "indexed",
)  # fmt: skip


class _Ours(logging.Filter):
    """Lets pass what the program itself says, and errors."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.name == "spindle.stills_process" or record.levelno >= logging.ERROR


class quieted:
    """Keeps what the steps say about single images out of console and log; their errors are told in the table of outcomes."""

    def __enter__(self) -> None:
        self.filter, self.handlers = _Ours(), list(logging.getLogger().handlers)
        for handler in self.handlers:
            handler.addFilter(self.filter)
        self.loggers = [logging.getLogger(f"spindle.{name}") for name in STEPS]
        self.levels = [logger.level for logger in self.loggers]
        silence()

    def __exit__(self, *error: object) -> None:
        for logger, level in zip(self.loggers, self.levels, strict=True):
            logger.setLevel(level)
        for handler in self.handlers:
            handler.removeFilter(self.filter)


def silence() -> None:
    """In this process, the steps say nothing but what ends them."""
    for name in STEPS:
        logging.getLogger(f"spindle.{name}").setLevel(logging.CRITICAL)


@dataclass
class Outcome:
    """What became of an image.

    Attributes
    ----------
    number : int
        Among those processed, from 0.
    name : str
        Its file.
    outcome : str
        One of the words above.
    reason : str
        Why it went no further; empty when it did.
    n_spots, n_indexed : int
    experiments : list of Experiment
        Its crystals.
    reflections : ReflectionTable or None
        Its spots, those of crystals with their number among the experiments, others with -1.
    """

    number: int
    name: str
    outcome: str = SPOTS
    reason: str = ""
    n_spots: int = 0
    n_indexed: int = 0
    experiments: list[Experiment] = field(default_factory=list)
    reflections: ReflectionTable | None = None


@dataclass(frozen=True)
class FindAndIndex:
    """Finds and indexes the spots of a block of images, given as (number of the first, experiments)."""

    context: RunContext
    fewest: int | None
    most: int | None
    index: bool
    squash: bool

    def __call__(self, block: tuple[int, list[Experiment]]) -> list[Outcome]:
        silence()
        first, stills = block
        found = self._spots(first, stills)
        for outcome, still in zip(found, stills, strict=True):
            self.context.check_cancelled()
            if outcome.outcome == SPOTS and self.index:
                self._index(outcome, still)
        return found

    def _spots(self, first: int, stills: list[Experiment]) -> list[Outcome]:
        """The spots of each; images that cannot be read are found out one by one."""
        found = [Outcome(first + i, still.image_name) for i, still in enumerate(stills)]
        try:
            self._find(found, stills)
        except Cancelled:
            raise
        except SpindleError:
            for outcome, still in zip(found, stills, strict=True):
                try:
                    self._find([outcome], [still])
                except Cancelled:
                    raise
                except SpindleError as error:
                    if not self.squash:
                        raise
                    outcome.outcome, outcome.reason = UNREADABLE, reason_of(error)
        for outcome in found:
            n = outcome.n_spots
            if outcome.outcome != SPOTS:
                continue
            if n == 0:
                outcome.outcome, outcome.reason = BLANK, "no spots"
            elif self.fewest is not None and n < self.fewest:
                outcome.outcome, outcome.reason = FEW, f"fewer than {self.fewest} spots"
            elif self.most is not None and n > self.most:
                outcome.outcome, outcome.reason = MANY, f"more than {self.most} spots"
        return found

    def _find(self, outcomes: list[Outcome], stills: Sequence[Experiment]) -> None:
        table = self.context.run_program("find_spots", Experiments(stills)).reflections
        rows = {} if table is None else table.rows_by_experiment()
        for i, outcome in enumerate(outcomes):
            outcome.n_spots = len(rows.get(i, ()))
            if table is not None and i in rows:
                part = table.select(rows[i])
                part.identifiers = {}
                part["id"] = np.zeros(len(part), np.int32)
                part["imageset_id"] = np.zeros(len(part), np.int32)
                outcome.reflections = part

    def _index(self, outcome: Outcome, still: Experiment) -> None:
        # an image among many is not worth a search for errors of its header
        own: dict[str, Any] = (
            {} if is_given(self.context, "index", "diagnosis.test_geometry") else {"diagnosis.test_geometry": False}
        )
        spots = outcome.reflections
        assert spots is not None
        try:
            result = self.context.run_program("index", Experiments([still]), spots, **own)
        except Cancelled:
            raise
        except (UserError, np.linalg.LinAlgError) as error:
            if not self.squash:
                raise
            outcome.outcome, outcome.reason = NOT_INDEXED, reason_of(error)
            return
        table = result.reflections
        assert result.experiments is not None and table is not None
        outcome.outcome, outcome.experiments, outcome.reflections = INDEXED, list(result.experiments), table
        outcome.n_indexed = int(np.count_nonzero(table["id"] >= 0))


@dataclass(frozen=True)
class RefineCrystals:
    """Refines the crystals of a block of images, given as experiments and their reflections, with beam and detector as they are.

    A crystal that cannot be refined stays as it is; the number of those is told.
    """

    context: RunContext

    def __call__(
        self, block: tuple[list[Experiment], ReflectionTable]
    ) -> tuple[list[Experiment], ReflectionTable, int]:
        silence()
        experiments, table = block
        refined: list[Experiment] = []
        parts, kept = [], 0
        rows = table.rows_by_experiment()
        for i, experiment in enumerate(experiments):
            self.context.check_cancelled()
            own = table.select(rows.get(i, np.zeros(0, np.int64)))
            own["id"] = np.zeros(len(own), np.int32)
            own.identifiers = {}
            try:
                result = self.context.run_program("refine", Experiments([experiment]), own, **FIXED)
                assert result.experiments is not None and result.reflections is not None
                experiment, part = result.experiments[0], result.reflections
            except Cancelled:
                raise
            except (UserError, np.linalg.LinAlgError):
                part, kept = own, kept + 1
            part = part.view()
            part.identifiers = {}
            part["id"] = np.full(len(part), i, np.int32)
            refined.append(experiment)
            parts.append(part)
        return refined, ReflectionTable.concatenate(parts), kept


def is_given(context: RunContext, program: str, name: str) -> bool:
    """Whether the user set a parameter of a step."""
    from spindle.params import walk

    params = context.params_of("program", program)
    return params is not None and any(e.path == name and e.is_modified for e in walk(params))


def reason_of(error: BaseException) -> str:
    """The first line of a message, without the name of the program."""
    text = (str(error).splitlines() or [type(error).__name__])[0]
    for name in (*STEPS, "integrate"):
        text = text.removeprefix(f"{name}: ")
    return text
