"""The steps of the contestants: each is done once for all who share it."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from spindle.errors import Cancelled, SpindleError, UserError
from spindle.execution import is_inside_worker
from spindle.models import Experiments
from spindle.params import walk
from spindle.table import INTEGRATED, ReflectionTable

from .choices import Entrant
from .compiling import Compiling
from .contestant import Contestant, Stage, StepCost
from .memory import begin_peak, peak_mb
from .saying import warnings_of

__all__ = ["AGAIN", "NAMES", "Given", "first_step", "run_entrants"]

NAMES = ("import", "find_spots", "index", "refine", "integrate", "symmetry", "refine_in_symmetry", "scale")
AGAIN = "refine_in_symmetry"
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Given:
    """What all contestants begin with.

    Attributes
    ----------
    files : list of Path
        Images.
    experiments, reflections : optional
    start : int
        First step, in `NAMES`.
    """

    files: list[Path]
    experiments: Experiments | None = None
    reflections: ReflectionTable | None = None
    start: int = 0


@dataclass(frozen=True, slots=True)
class State:
    """What the steps so far have made: the newest, and the spots that the step refine has used."""

    experiments: Experiments | None
    reflections: ReflectionTable | None
    spots: ReflectionTable | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """One step of one or several contestants."""

    step: str
    program: str
    params: Any
    state: State
    files: tuple[Path, ...] = ()
    fewest_indexed: float = 0.0
    alone: bool = True
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Done:
    """What became of an `Item`."""

    state: State | None
    summary: dict[str, Any]
    cost: StepCost
    reason: str = ""
    note: str = ""


@dataclass(frozen=True)
class Work:
    """Does an `Item`; what goes wrong is an answer, too."""

    context: Any

    def __call__(self, item: Item) -> Done:
        """Run the program of the step on objects in memory."""
        inside = is_inside_worker()
        counts_memory = begin_peak() and (item.alone or self.context.executor.leaves_process)
        began, cpu = time.perf_counter(), time.thread_time() if inside else time.process_time()
        compiling = Compiling(inside)
        state: State | None = None
        summary: dict[str, Any] = {}
        reason = note = ""
        try:
            with warnings_of(item.names, inside), compiling:
                state, summary, note = self._do(item)
        except Cancelled:
            raise
        except SpindleError as error:
            reason = str(error)
        except Exception as error:
            self.context.log.debug("%s", traceback.format_exc())
            reason = f"{type(error).__name__}: {error}"
        spent = (time.thread_time() if inside else time.process_time()) - cpu - compiling.seconds
        cost = StepCost(
            item.step,
            time.perf_counter() - began,
            None if not inside and self.context.executor.leaves_process else spent,
            peak_mb() if counts_memory else None,
        )
        return Done(state, summary, cost, reason, note)

    def _do(self, item: Item) -> tuple[State, dict[str, Any], str]:
        state = item.state
        if item.step == AGAIN:
            return self._again(item)
        result = self.context.run_program(
            item.program, state.experiments, state.reflections, item.files, brief=True, params=item.params
        )
        fraction = result.summary.get("fraction_indexed")
        if item.step == "index" and fraction is not None and fraction < item.fewest_indexed:
            raise UserError(
                f"only {100 * fraction:.0f} % of the spots are indexed, less than min_fraction_indexed={item.fewest_indexed}"
            )
        reflections = state.reflections if result.reflections is None else result.reflections
        if item.step in ("integrate", "symmetry", "scale") and reflections is not None:
            reflections = reflections.without("shoebox")
        spots = reflections if item.step == "refine" else state.spots
        if item.step == "integrate" and spots is None:
            spots = state.reflections
        return State(result.experiments or state.experiments, reflections, spots), result.summary, ""

    def _again(self, item: Item) -> tuple[State, dict[str, Any], str]:
        """Refine in the space group found; models that cannot be refined stay as they are."""
        state = item.state
        try:
            result = self.context.run_program(
                item.program, state.experiments, state.spots, brief=True, params=item.params
            )
        except Cancelled:
            raise
        except SpindleError as error:
            note = f"the models could not be refined in the space group found and stay as they are: {error}"
            return State(state.experiments, state.reflections), {}, note
        return State(result.experiments or state.experiments, state.reflections), result.summary, ""


def first_step(experiments: Experiments | None, reflections: ReflectionTable | None, trees: Sequence[Any]) -> int:
    """The step that takes what was given, as early as the choices ask for.

    Raises
    ------
    UserError
        If they touch a step that is done already.
    """
    if experiments is None:
        return 0
    has_crystals = any(e.crystal is not None for e in experiments)
    if reflections is None:
        if has_crystals:
            raise UserError(
                "compare: the experiments have crystals, so reflections belong to them; give the .refl file too"
            )
        start = latest = NAMES.index("find_spots")
    elif not has_crystals:
        start = latest = NAMES.index("index")
    elif "intensity.scale.value" in reflections and "inverse_scale_factor" in reflections:
        start = latest = NAMES.index("scale")
    elif reflections.has_flags(INTEGRATED, all=False).any():
        start = latest = NAMES.index("symmetry")
    else:
        start, latest = NAMES.index("refine"), NAMES.index("integrate")
    touched = touched_steps(trees)
    if touched and touched[0] < start:
        raise UserError(
            f"compare: the choices touch the step {NAMES[touched[0]]}, but what was given is further: it begins with {NAMES[start]}. Give "
            f"the files that {NAMES[touched[0]]} reads"
        )
    if start != latest and not (touched and touched[0] == start):
        is_varying = any(e.crystal is not None and e.crystal.A_at_scan_points is not None for e in experiments)
        return latest if is_varying else start
    return start


def touched_steps(trees: Sequence[Any]) -> list[int]:
    """Steps whose parameters differ between contestants."""
    return [k for k, step in enumerate(NAMES) if len({_text(step, tree) for tree in trees}) > 1]


def _scope(step: str, tree: Any) -> tuple[str, Any]:
    scope = "refine" if step == AGAIN else step
    if scope == "import":
        return "import", tree.import_
    return str(getattr(tree, f"{scope}_program")), getattr(tree, scope)


def _text(step: str, tree: Any) -> tuple[Any, ...]:
    """All that decides what a step does."""
    program, params = _scope(step, tree)
    own = (tree.refine_in_symmetry,) if step == AGAIN else (tree.min_fraction_indexed,) if step == "index" else ()
    return (program, own, *((e.path, e.text) for e in walk(params)))


def run_entrants(entrants: Sequence[Entrant], given: Given, stop: int, context: Any) -> list[Contestant]:
    """Run all contestants to the step `stop`, step by step; those who share all steps so far share the result.

    Steps of several contestants go through the executor of the run where there are enough of them for its workers, each then in one
    worker; else one after the other, with all workers inside.
    """
    contestants = [Contestant(e.name, "spindle", dict(e.settings), e.reason) for e in entrants]
    keys: dict[int, tuple[Any, ...]] = {i: () for i, e in enumerate(entrants) if e.tree is not None}
    states: dict[tuple[Any, ...], State] = {(): State(given.experiments, given.reflections)}
    for number in range(given.start, stop + 1):
        step = NAMES[number]
        before = keys
        groups: dict[tuple[Any, ...], list[int]] = {}
        for i, key in before.items():
            groups.setdefault((*key, _text(step, entrants[i].tree)), []).append(i)
        items = {
            key: item
            for key, members in groups.items()
            if (item := _item(step, entrants[members[0]].tree, states[before[members[0]]], given, len(groups) == 1))
        }
        if len(groups) > 1:
            items = {k: replace(item, names=tuple(contestants[i].name for i in groups[k])) for k, item in items.items()}
        words = "once for all" if len(groups) == 1 else f"{len(groups)} ways"
        if items:
            context.log.info("%s, %s ...", step, words)
        results = dict(zip(items, _map(context, list(items.values())), strict=True))
        keys, states_after = {}, {}
        for key, members in groups.items():
            done = results.get(key)
            if done is None:  # nothing to do
                states_after[key] = states[before[members[0]]]
                keys |= dict.fromkeys(members, key)
                continue
            for i in members:
                _note(contestants[i], step, done, len(members))
            if done.state is not None:
                states_after[key] = done.state
                keys |= dict.fromkeys(members, key)
        states = states_after
        if not keys:
            break
    return contestants


def _map(context: Any, items: list[Item]) -> Any:
    if len(items) > 1 and 2 * len(items) >= context.n_workers > 1:
        return context.executor.map(Work(context), items)
    return map(Work(context), [replace(item, alone=True) for item in items])


def _item(step: str, tree: Any, state: State, given: Given, alone: bool) -> Item | None:
    """What has to be done; None where there is nothing to do."""
    program, params = _scope(step, tree)
    if step == AGAIN:
        crystals = [e.crystal for e in state.experiments or () if e.crystal is not None]
        systems = {c.space_group.crystal_system_str() for c in crystals}
        if not tree.refine_in_symmetry or state.spots is None or systems <= {"triclinic"}:
            return None
    files = tuple(given.files) if step == "import" else ()
    return Item(step, program, params, state, files, tree.min_fraction_indexed, alone)


def _note(contestant: Contestant, step: str, done: Done, shared_by: int) -> None:
    cost = done.cost
    contestant.costs.append(StepCost(cost.name, cost.seconds, cost.cpu_seconds, cost.peak_memory_mb, shared_by))
    if done.note:
        contestant.notes.append(done.note)
    if done.state is None:
        contestant.reason, contestant.failed_at = done.reason, step
        return
    contestant.numbers[step] = done.summary
    experiments, reflections = done.state.experiments, done.state.reflections
    if experiments is None or reflections is None:
        return
    stage = Stage(experiments, reflections)
    name = {"index": "indexed", "refine": "refined", "integrate": "integrated", "scale": "scaled"}.get(step)
    if name:
        setattr(contestant, name, stage)
