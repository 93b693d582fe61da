"""What every program must do. Subclass `ProgramContract`, name the program and give it something to work on.

>>> class TestMine(ProgramContract):
...     name = "mine"
...
...     @pytest.fixture
...     def inputs(self, tmp_path):
...         return ProgramInputs(experiments=..., reflections=[...])
"""

from __future__ import annotations

import contextlib
import json
import pickle
import shlex
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from spindle.contracts import ProgramInputs, ProgramResult
from spindle.errors import Cancelled, MissingColumn, UserError
from spindle.execution import Executor, RunContext, run_item
from spindle.execution.runner import effective_params
from spindle.params import Assignment
from spindle.plugins.host import PluginHost, running
from spindle.table import ReflectionTable

from .comparing import difference, snapshot
from .contract import PluginContract

__all__ = ["ProgramContract"]


class _Parcels:
    """Sends each task and result through pickle, as executors do that leave the process."""

    leaves_process, uses_jobs = True, False

    def declared(self, name: str) -> bool:
        """What it says of itself."""
        return bool(getattr(self, name))

    def map_ordered(
        self, function: Callable[[Any], Any], items: Iterable[Any], n_workers: int, cancelled: Callable[[], bool]
    ) -> Iterator[Any]:
        for index, item in enumerate(items):
            if cancelled():
                raise Cancelled("the run was cancelled")
            task = pickle.loads(pickle.dumps((function, index, item)))
            yield pickle.loads(pickle.dumps(run_item(*task)))


class ProgramContract(PluginContract):
    """Checks of a program, which is run as the host does it, on the `inputs` that its test gives.

    Attributes
    ----------
    needs_inputs : bool
        False for a program that works without experiments, reflections and files.
    repeats : bool
        False for a program whose answer is never twice the same (times, places).
    """

    slot: ClassVar[str] = "program"
    needs_inputs: ClassVar[bool] = True
    repeats: ClassVar[bool] = True

    @pytest.fixture
    def inputs(self, tmp_path: Path) -> ProgramInputs:
        """What the program is run on: only its author knows."""
        if not self.needs_inputs:
            return ProgramInputs()
        pytest.fail(
            f"{type(self).__name__} has to define the fixture `inputs`, which returns the ProgramInputs (experiments, reflections, files) "
            "that the program is tried on; or needs_inputs = False"
        )

    @pytest.fixture
    def here(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """An empty working folder."""
        folder = tmp_path / "working folder"
        folder.mkdir()
        monkeypatch.chdir(folder)
        return folder

    @pytest.fixture
    def run(self, plugin_class: Any, here: Path) -> Callable[..., ProgramResult]:
        """A function that runs the program on inputs: ``run(inputs, executor=None, cancel=False, instance=None, **parameters)``."""

        def run(
            inputs: ProgramInputs, executor: Any = None, cancel: bool = False, instance: Any = None, **changes: Any
        ) -> ProgramResult:
            given = [Assignment(k, v, "test") for k, v in {**self.parameters, **changes}.items()]
            tree = effective_params(self.name, given, PluginHost())
            context = RunContext(self.name, tree)
            self.written = context.written
            context._executor = Executor(
                executor, 2 if executor is not None else 1, lambda: context._cancelled.is_set()
            )
            if cancel:
                context.cancel()
            made = plugin_class.from_params(tree, context) if instance is None else instance
            handle = context.host.add("program", self.name, made)
            with running(context):
                result: ProgramResult = handle.run(inputs=inputs, params=tree, context=context)
            return replace(result, tables=[*context.tables, *(t for t in result.tables if t not in context.tables)])

        return run

    def told(self, result: ProgramResult) -> dict[str, Any]:
        """What of a result must be the same in each run."""
        tables = [(t.title, t.rows) for t in result.tables]
        return snapshot(
            [result.experiments, result.reflections, result.summary, sorted(map(str, result.files)), tables],
            "the result",
        )

    def test_its_help_shows_examples_that_can_be_typed(self, plugin_class: Any) -> None:
        """Indented lines of the docstring that begin with ``spindle``: one is of the program itself, and all parameters in them exist."""
        examples = [shlex.split(line) for line in plugin_class.examples()]
        assert any(words[1:2] == [self.name] for words in examples), (
            f"the docstring of {plugin_class.__name__}, which is the help page, shows no command: give it an indented line such as "
            f"    spindle {self.name} scaled.expt scaled.refl"
        )
        for words in examples:
            if words[1] != self.name or plugin_class.takes_words:
                continue
            given = [word.partition("=") for word in words[2:] if "=" in word]
            effective_params(
                self.name, [Assignment(key, value, "an example of its help") for key, _, value in given], PluginHost()
            )

    def test_it_runs(self, run: Any, inputs: ProgramInputs) -> None:
        result = run(inputs)
        assert (
            result.experiments is not None
            or result.reflections is not None
            or result.files
            or result.tables
            or result.summary
        ), "the result is empty"

    def test_what_it_is_given_stays_as_it_was(self, run: Any, inputs: ProgramInputs) -> None:
        given = [inputs.experiments, inputs.reflections, [str(f) for f in inputs.files]]
        contents = {f: f.read_bytes() for f in inputs.files if f.is_file()}
        before = snapshot(given, "inputs")
        result = run(inputs)
        changed = difference(before, snapshot(given, "inputs"))
        assert not changed, f"the program changes its inputs: {changed}; work on a copy (table.view(), table.copy())"
        assert contents == {f: f.read_bytes() for f in contents}, "the program changes its input files"
        if result.reflections is not None and any(result.reflections is table for table in inputs.reflections):
            pytest.fail("the program returns the table that it was given; return table.view() when nothing changes")

    def test_it_writes_only_what_the_host_asks_for(
        self, run: Any, inputs: ProgramInputs, here: Path, tmp_path: Path
    ) -> None:
        before = _files(tmp_path)
        result = run(inputs)
        told = {(here / f).resolve() for f in self.written}
        new = sorted(str(f.relative_to(tmp_path)) for f in _files(tmp_path) - before if f.resolve() not in told)
        assert not new, (
            f"the program writes {', '.join(new)} itself; return it in ProgramResult.files, or where it has to be written during the run "
            "add it to context.written"
        )
        for number, (name, writer) in enumerate(result.files.items()):
            target = tmp_path / f"written_{number}{Path(str(name)).suffix}"
            writer(target)
            assert target.exists(), f"the writer of {name} writes nothing where it is told to"
        beside = {f.resolve() for f in _files(here)} - told
        assert not beside, "a writer writes beside the path that it is given"

    def test_it_prints_nothing_itself(self, run: Any, inputs: ProgramInputs, capfd: pytest.CaptureFixture[str]) -> None:
        run(inputs)
        printed = capfd.readouterr().out
        assert not printed, f"the program prints {printed[:60]!r}; use context.log and context.table"

    def test_its_summary_can_be_written(self, run: Any, inputs: ProgramInputs) -> None:
        summary = run(inputs).summary
        assert json.loads(json.dumps(summary)).keys() == {str(k) for k in summary}, "plain values with names"

    def test_a_second_run_gives_the_same(self, run: Any, inputs: ProgramInputs) -> None:
        if not self.repeats:
            pytest.skip("this program is never twice the same")
        answers = []
        for seed in (1, 2):
            np.random.seed(seed)  # noqa: NPY002
            answers.append(self.told(run(inputs)))
        found = difference(answers[0], answers[1], rtol=1e-9)
        assert not found, f"{found}: take random numbers from context.rng"

    def test_nothing_is_kept_from_one_run_to_the_next(self, run: Any, inputs: ProgramInputs, plugin_class: Any) -> None:
        if not (inputs.reflections and self.repeats):
            pytest.skip("there are no reflections of which some could be taken")
        some = replace(inputs, reflections=[t.select(np.arange(0, len(t), 2)) for t in inputs.reflections])
        try:
            alone = self.told(run(some))
        except UserError:
            pytest.skip("half the reflections are too few")
        tree = effective_params(self.name, [Assignment(k, v, "test") for k, v in self.parameters.items()], PluginHost())
        instance = plugin_class.from_params(tree, None)
        run(inputs, instance=instance)
        found = difference(alone, self.told(run(some, instance=instance)), rtol=1e-9)
        assert not found, f"after another run {found}"

    def test_missing_inputs_are_an_error_of_the_user(self, run: Any, inputs: ProgramInputs) -> None:
        if not self.needs_inputs:
            pytest.skip("this program needs nothing")
        less = [ProgramInputs()]
        for name, nothing in (("experiments", None), ("reflections", []), ("files", [])):
            if getattr(inputs, name):
                less.append(replace(inputs, **{name: nothing}))
        refused = []
        for given in less:
            try:
                run(given)
            except UserError as error:
                refused.append(str(error))
        assert refused, "the program runs on nothing at all: needs_inputs = False?"
        assert all(len(text) > 10 for text in refused)

    @pytest.mark.parametrize("n", [0, 1])
    def test_hardly_any_reflections_are_taken_or_refused_in_words(
        self, run: Any, inputs: ProgramInputs, n: int
    ) -> None:
        if not inputs.reflections:
            pytest.skip("this program needs no reflections")
        few = replace(inputs, reflections=[t.select(np.arange(min(n, len(t)))) for t in inputs.reflections])
        with contextlib.suppress(UserError):
            run(few)

    def test_columns_that_are_missing_are_named(self, run: Any, inputs: ProgramInputs) -> None:
        """The host makes an error of the user of a table without a column that is asked for; anything else is a bug."""
        for number, table in enumerate(inputs.reflections):
            bare = ReflectionTable({"id": table["id"]} if "id" in table else {}, table.identifiers)
            tables = [bare if i == number else t for i, t in enumerate(inputs.reflections)]
            try:
                run(replace(inputs, reflections=tables))
            except (UserError, MissingColumn):
                continue

    def test_several_inputs_are_used_or_refused(self, run: Any, inputs: ProgramInputs) -> None:
        """Twice the reflections are no answer for once of them."""
        if len(inputs.reflections) != 1 or inputs.experiments is not None:
            pytest.skip("only for programs that work on one table alone")
        table = inputs.reflections[0]
        other = table.select(np.arange(0, len(table), 3))
        try:
            both = self.told(run(replace(inputs, reflections=[table, other])))
        except UserError:
            return
        assert difference(both, self.told(run(inputs)), rtol=1e-9), "the second table is dropped without a word"

    def test_tasks_can_be_done_in_another_process(self, run: Any, inputs: ProgramInputs) -> None:
        usual = self.told(run(inputs))
        found = (
            difference(usual, self.told(run(inputs, executor=_Parcels())), rtol=1e-9)
            if self.repeats
            else run(inputs, executor=_Parcels()) and ""
        )
        assert not found, f"with tasks that are sent to another process {found}"

    def test_a_cancelled_run_ends(self, run: Any, inputs: ProgramInputs) -> None:
        try:
            run(inputs, cancel=True)
        except Cancelled:
            return
        except Exception as error:
            pytest.fail(f"the program makes {type(error).__name__} of a cancelled run: {error}")

    def test_its_next_step_is_a_command(self, run: Any, inputs: ProgramInputs) -> None:
        step = run(inputs).next_step
        assert not step or step.startswith(("spindle ", "open ")), (
            f"next_step is {step!r}; a command that begins with `spindle`, or a file to open, expected"
        )


def _files(folder: Path) -> set[Path]:
    return {f for f in folder.rglob("*") if f.is_file()}
