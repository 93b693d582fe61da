"""What every observer must do: hear all events, let results and errors through, keep out of the way.

>>> class TestMine(ObserverContract):
...     name = "mine"
"""

from __future__ import annotations

import inspect
import json
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from spindle.contracts import SLOTS, Algorithm, ProgramResult
from spindle.contracts.checking import read_only
from spindle.contracts.observer import check_sections
from spindle.models import Experiments
from spindle.params import HostParams
from spindle.params.resolve import build
from spindle.plugins import spec_of
from spindle.plugins.host import Handle, PluginHost
from spindle.plugins.loading import hooks_of
from spindle.plugins.observers import takes_of
from spindle.report import Table
from spindle.table import SCHEMA, ReflectionTable

from .background import flat_shoeboxes, pixel_detector
from .comparing import difference, snapshot
from .contract import PluginContract
from .cost import best_cpu_time, slowness
from .refinement_problems import rotation_experiment

__all__ = ["ObserverContract"]

EVENTS = ("step_started", "step_finished", "progressed", "table_reported", "report_sections")


class ObserverContract(PluginContract):
    """Checks of an observer, which is called directly: the host would only tell once of what fails.

    Attributes
    ----------
    event_budget_us, wrapper_budget_us : float
        Most CPU time of one event, and of one call of a hook that it wraps, in microseconds.
    """

    slot: ClassVar[str] = "observer"
    event_budget_us: ClassVar[float] = 2000.0
    wrapper_budget_us: ClassVar[float] = 2000.0

    @pytest.fixture
    def observer(self, plugin: Handle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
        """The observer itself, in an empty working folder."""
        monkeypatch.chdir(tmp_path)
        return plugin.plugin

    def tell(self, observer: Any, hook: str, arguments: dict[str, Any]) -> None:
        """Tell of an event, with the arguments that it takes."""
        function = getattr(type(observer), hook, None)
        if function is None or not hasattr(function, "spindle_impl"):
            return
        wanted = [p for p in inspect.signature(function).parameters if p != "self"]
        getattr(observer, hook)(**{name: arguments[name] for name in wanted})

    def events(self) -> list[tuple[str, dict[str, Any]]]:
        """Events of a run with a program inside another, some of them odd: no total, no results, no time."""
        table = Table("Counts", ["", "n"], [["a", 1], ["b", None]], "counts")
        empty, full = (
            ProgramResult(),
            ProgramResult(tables=[table], summary={"n": 1, "share": float("nan")}, next_step="spindle show"),
        )
        params = build(HostParams)
        return [
            ("step_started", {"program": "process", "params": params}),
            ("step_started", {"program": "import", "params": params}),
            ("progressed", {"description": "reading", "completed": 0.0, "total": None}),
            ("progressed", {"description": "reading", "completed": 3.0, "total": 10.0}),
            ("progressed", {"description": "nothing to do", "completed": 0.0, "total": 0.0}),
            ("progressed", {"description": "reading", "completed": 11.0, "total": 10.0}),
            ("table_reported", {"table": table}),
            ("table_reported", {"table": Table("Nothing", [], [], "")}),
            ("step_finished", {"program": "import", "result": empty, "seconds": 0.0}),
            ("step_finished", {"program": "process", "result": full, "seconds": 1.5}),
            ("step_finished", {"program": "never_started", "result": full, "seconds": 1e-9}),
        ]

    def test_does_something(self, observer: Any) -> None:
        assert self.wrapped(observer) or any(
            hasattr(getattr(type(observer), e, None), "spindle_impl") for e in EVENTS
        ), "it implements no hook"

    def test_every_event_is_taken(self, observer: Any) -> None:
        for _ in range(2):  # a second run in the same process
            for hook, arguments in self.events():
                self.tell(observer, hook, arguments)

    def test_sections_are_made_of_anything(self, observer: Any) -> None:
        """Whatever there is and is not, sections come back, and what they were made of stays as it was."""
        for experiments, table in report_inputs():
            before = snapshot({"reflections": table})
            found = self.answer(observer, experiments, table)
            if found is None:
                return
            check_sections({}, found)
            assert all(s.absent or s.text or s.remarks or s.tables or s.figures for s in found), (
                "a section is empty and does not say why"
            )
            assert len({s.key for s in found}) == len(found), "two sections have one key"
            json.dumps([s.to_dict() for s in found], default=lambda v: v.tolist())
            assert not difference(before, snapshot({"reflections": table})), "report_sections changes the table"

    def answer(self, observer: Any, experiments: Any, table: Any) -> Any:
        """Sections of an observer; None when it makes none."""
        names = takes_of(type(observer), "report_sections")
        given = {"experiments": experiments, "reflections": None if table is None else read_only(table)}
        return None if names is None else observer.report_sections(**{n: given[n] for n in names})

    def test_events_may_come_from_several_threads(self, observer: Any) -> None:
        wrong: list[str] = []

        def work() -> None:
            try:
                for hook, arguments in self.events() * 3:
                    self.tell(observer, hook, arguments)
            except Exception as error:
                wrong.append(repr(error))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong, wrong[0]

    def test_what_is_observed_stays_as_it_was(self, observer: Any) -> None:
        for hook, arguments in self.events():
            before = snapshot(arguments)
            kept = {
                name: list(getattr(v, "rows", ())) or dict(getattr(v, "summary", {})) for name, v in arguments.items()
            }
            self.tell(observer, hook, arguments)
            changed = difference(before, snapshot(arguments))
            now = {
                name: list(getattr(v, "rows", ())) or dict(getattr(v, "summary", {})) for name, v in arguments.items()
            }
            assert not changed and str(kept) == str(now), f"{hook} changes what it is told: {changed}"

    def test_events_take_no_time(self, observer: Any) -> None:
        events = self.events()

        def work() -> None:
            for hook, arguments in events * 5:
                self.tell(observer, hook, arguments)

        needed = best_cpu_time(work) / len(events * 5) * 1e6
        assert needed < self.event_budget_us * slowness(), f"an event takes {needed:.0f} microseconds"

    def wrapped(self, observer: Any) -> list[tuple[str, str]]:
        """(slot, hook) of what it wraps."""
        found = []
        for slot in SLOTS:
            spec = spec_of(slot)
            for hook in hooks_of(spec) if spec is not None and slot != "observer" else ():
                options = getattr(getattr(type(observer), hook, None), "spindle_impl", None)
                if options and options.get("wrapper"):
                    found.append((slot, hook))
        return found

    def call(self, observer: Any, slot: str, hook: str, function: Any) -> Any:
        """Call a hook of a plugin of its slot that does what `function` says, with and without the observer around it."""
        spec: Any = spec_of(slot)
        names = [p for p in _parameters(hooks_of(spec)[hook]) if p != "self"]
        arguments: dict[str, Any] = {name: f"<{name}>" for name in names}
        if hook == "estimate_background":
            arguments = {"shoeboxes": flat_shoeboxes(3), "detector": pixel_detector()}
        host = PluginHost(observers=() if observer is None else (observer,))
        handle = host.add(slot, "watched", _plugin(hook, names, function))
        call = handle.__dict__[hook]
        call.check = None
        return call(**arguments)

    def calls(self, observer: Any, slot: str, hook: str) -> None:
        """Twenty calls."""
        for _ in range(20):
            self.call(observer, slot, hook, bool)

    def test_results_of_wrapped_hooks_come_through(self, observer: Any) -> None:
        for slot, hook in self.wrapped(observer):
            for result in (object(), np.arange(3.0), [], None):
                try:
                    found = self.call(observer, slot, hook, lambda _, result=result: result)
                except AttributeError as error:
                    if type(result) in (object, list) or result is None:
                        pytest.fail(f"the wrapper of {hook} fails with a result that it does not know: {error}")
                    raise
                assert found is result, f"the wrapper of {hook} returns something else than the hook did"

    def test_errors_of_wrapped_hooks_come_through(self, observer: Any) -> None:
        for slot, hook in self.wrapped(observer):

            def fails(_: Any) -> None:
                raise KeyError("of the hook")

            with pytest.raises(KeyError, match="of the hook"):
                self.call(observer, slot, hook, fails)

    def test_hooks_run_once_whoever_watches(self, observer: Any) -> None:
        for slot, hook in self.wrapped(observer):
            calls: list[Any] = []
            self.call(observer, slot, hook, calls.append)
            assert len(calls) == 1, f"the wrapper of {hook} lets it run {len(calls)} times"

    def test_arguments_of_wrapped_hooks_stay_as_they_were(self, observer: Any) -> None:
        for slot, hook in self.wrapped(observer):
            before: list[Any] = []
            self.call(observer, slot, hook, lambda given, before=before: before.append((snapshot(given), given)))
            (kept, given) = before[0]
            assert not difference(kept, snapshot(given)), f"the wrapper of {hook} changes its arguments"

    def test_wrappers_may_run_in_several_threads(self, observer: Any) -> None:
        wrong: list[str] = []

        def work(slot: str, hook: str, number: int) -> None:
            for i in range(20):
                try:
                    if self.call(observer, slot, hook, lambda _, i=i: (number, i)) != (number, i):
                        wrong.append(f"{hook} got the result of another thread")
                except Exception as error:
                    wrong.append(repr(error))

        for slot, hook in self.wrapped(observer):
            threads = [threading.Thread(target=work, args=(slot, hook, n)) for n in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert not wrong, wrong[0]

    def test_wrappers_take_no_time(self, observer: Any) -> None:
        for slot, hook in self.wrapped(observer):
            bare = best_cpu_time(partial(self.calls, None, slot, hook))
            full = best_cpu_time(partial(self.calls, observer, slot, hook))
            assert (full - bare) / 20 * 1e6 < self.wrapper_budget_us * slowness(), f"the wrapper of {hook} is slow"


def report_inputs() -> list[tuple[Any, Any]]:
    """Experiments and tables as reports are made of: none, no rows, one row, few columns, stills, several."""
    n, rng = 40, np.random.default_rng(3)
    full = {name: spec.zeros(n) for name, spec in SCHEMA.items()}
    full["id"] = rng.integers(-1, 2, n).astype(np.int32)
    for name in ("intensity.sum.value", "intensity.prf.value"):
        full[name] = rng.normal(100.0, 80.0, n)
        full[name.replace("value", "variance")] = rng.uniform(0.0, 90.0, n)
    table = ReflectionTable(full)
    one = rotation_experiment(10)
    still = replace(one, scan=None, goniometer=None, crystal=None)
    both = Experiments([one, still])
    few = ReflectionTable({"id": np.zeros(3, np.int32)})
    return [
        (None, None), (None, table), (both, None), (both, table), (both, table.select(np.zeros(0, np.int64))), (both, table.select(np.arange(1))),
        (both, few), (both, ReflectionTable()),
    ]  # fmt: skip


def _parameters(function: Any) -> list[str]:
    return list(inspect.signature(function).parameters)


def _plugin(hook: str, names: list[str], function: Any) -> Any:
    """A plugin whose hook hands its arguments, as a dictionary, to a function."""
    from spindle.contracts import hookimpl

    space: dict[str, Any] = {"function": function}
    code = (
        f"def {hook}(self, {', '.join(names)}):\n    return function({{{', '.join(f'{n!r}: {n}' for n in names)}}})\n"
    )
    exec(code, space)
    return type("Watched", (Algorithm,), {hook: hookimpl(space[hook]), "__doc__": "Watched."})()
