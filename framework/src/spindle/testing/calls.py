"""What holds for every hook that turns arrays into arrays: it keeps nothing, changes nothing, and answers in time."""

from __future__ import annotations

import os
import random
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
import pytest

from spindle.errors import UserError
from spindle.params import Assignment, Bool, Choice, Params, Plugin, walk
from spindle.params.resolve import build
from spindle.plugins import PluginInfo
from spindle.plugins.host import Handle, PluginHost

from .comparing import Leaves, difference, snapshot
from .contract import PluginContract
from .cost import best_cpu_time, slowness
from .data import make_context

__all__ = ["CallContract", "Problem"]

# name of a hook and what it is called with
Problem = tuple[str, dict[str, Any]]


class CallContract(PluginContract):
    """Checks of a plugin whose work is one hook, on problems that the contract of its slot poses.

    Attributes
    ----------
    budget_us : float
        Most CPU time per element (pixel, shoebox, row ...) in microseconds on a core of about 3 GHz, for `large_problem`. A loop of
        Python over the elements does not keep within it; say so here, with the reason, if yours has to.
    inert : dict of str to str
        Parameters (Bool and Choice) that change no answer to the problems of the kit, or ``name=value`` for one value of them, and why.
    rtol : float
        Relative difference between two answers that must be the same.
    """

    budget_us: ClassVar[float] = 0.0
    inert: ClassVar[dict[str, str]] = {}
    rtol: ClassVar[float] = 0.0

    def problem(self, which: int) -> Problem:
        """Hook and arguments of one of three problems: 1 has the shapes of 0 and another content, 2 is of another size."""
        raise NotImplementedError

    def large_problem(self) -> tuple[Problem, int]:
        """A problem large enough for its time to be measured, and the number of its elements."""
        raise NotImplementedError

    def telling_problems(self) -> list[Problem]:
        """Further problems whose answers depend on settings that do not matter for the others."""
        return []

    @pytest.fixture
    def another(self, info: PluginInfo, plugin_class: Any, plugin: Handle) -> Any:
        """A function that makes further instances of the plugin, with changed parameters if they are given."""

        def make(**changes: Any) -> Handle:
            given = [Assignment(k, v, "test") for k, v in {**self.parameters, **changes}.items()]
            params = build(plugin_class.Params or Params, given)
            return PluginHost().add(info.slot, info.name, plugin_class.from_params(params, make_context()))

        return make

    def ask(self, plugin: Handle, problem: Problem) -> Any:
        """The answer; a refusal counts as one, but a fault of the plugin does not."""
        hook, arguments = problem
        try:
            return getattr(plugin, hook)(**arguments)
        except UserError as error:
            if type(error).__name__ == "ContractError":
                raise
            return str(error)

    def answer(self, plugin: Handle, problem: Problem) -> Leaves:
        """A copy of the answer."""
        return snapshot(self.ask(plugin, problem), "the answer")

    def test_what_it_is_given_stays_as_it_was(self, plugin: Handle) -> None:
        for which in range(3):
            hook, arguments = self.problem(which)
            rest = {n: v for n, v in arguments.items() if n not in ("executor", "out", "rng")}
            before = snapshot(rest, "the arguments")
            self.ask(plugin, (hook, arguments))
            changed = difference(before, snapshot(rest, "the arguments"))
            assert not changed, f"{hook} changes what it is given: {changed}"

    def test_each_call_is_a_new_beginning(self, plugin: Handle, another: Any) -> None:
        alone = [self.answer(another(), self.problem(which)) for which in range(3)]
        for which in (1, 2, 0):
            again = self.answer(plugin, self.problem(which))
            changed = difference(alone[which], again, self.rtol)
            assert not changed, f"after other calls {changed}: something is kept from one call to the next"

    def test_answers_stay_when_others_are_asked_for(self, plugin: Handle) -> None:
        first = self.ask(plugin, self.problem(0))
        before = snapshot(first)
        for which in (1, 2):
            self.ask(plugin, self.problem(which))
        changed = difference(before, snapshot(first))
        assert not changed, f"{changed}: the memory of an answer is used again for the next"

    def test_the_same_input_has_the_same_answer_whatever_the_random_state(self, another: Any) -> None:
        answers = []
        for seed in (1, 2):
            with _global_state_kept(seed) as changed:
                answers.append(self.answer(another(), self.problem(0)))
            assert not changed, f"it changes {', '.join(changed)} of the whole process"
        for other in answers[1:]:
            found = difference(answers[0], other, self.rtol)
            assert not found, f"{found} between two instances: take random numbers from a generator with a seed"

    def test_calls_at_the_same_time_do_not_disturb_each_other(self, plugin: Handle) -> None:
        begin = time.perf_counter()
        alone = [self.answer(plugin, self.problem(which)) for which in range(3)]
        # Short calls meet by chance: many of them, all threads together at each. Of long ones two meet in any case.
        taken_s = time.perf_counter() - begin
        turns = int(np.clip(0.3 / taken_s, 3, 60))
        n_threads = 4 if taken_s < 0.3 else 2
        wrong: list[str] = []
        start = threading.Barrier(n_threads)

        def work(first: int) -> None:
            for turn in range(turns):
                start.wait()
                which = (first + turn) % 3
                try:
                    found = difference(alone[which], self.answer(plugin, self.problem(which)), self.rtol)
                except Exception as error:
                    found = repr(error)
                if found:
                    wrong.append(found)

        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-5)
        try:
            threads = [threading.Thread(target=work, args=(i,)) for i in range(n_threads)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        finally:
            sys.setswitchinterval(interval)
        assert not wrong, wrong[0]

    def test_switches_and_choices_change_something(self, params: Params, plugin: Handle, another: Any) -> None:
        problems = [self.problem(0), self.problem(2), *self.telling_problems()]
        usual = [self.answer(plugin, problem) for problem in problems]
        idle = []
        for entry in walk(params):
            leaf: Any = entry.leaf
            if isinstance(leaf, Plugin) or not isinstance(leaf, Bool | Choice) or leaf.multiple:
                continue
            others = leaf.choices() if isinstance(leaf, Choice) else (not entry.value,)
            for value in others:
                if value == entry.value or {entry.path, f"{entry.path}={value}"} & self.inert.keys():
                    continue
                try:
                    changed = another(**{entry.path: value})
                except UserError:
                    continue  # refused beside the other settings
                if not any(difference(u, self.answer(changed, p)) for p, u in zip(problems, usual, strict=True)):
                    idle.append(f"{entry.path}={value}")
        assert not idle, f"no answer is changed by {', '.join(idle)}; let it act, or name it in `inert` with the reason"

    def test_time_per_element_is_within_the_budget(self, plugin: Handle) -> None:
        problem, n = self.large_problem()
        self.ask(plugin, problem)  # compiles
        budget = self.budget_us * n * 1e-6
        if best_cpu_time(lambda: self.ask(plugin, problem), 1) < 0.3 * budget:
            return  # on any machine
        budget *= slowness()
        needed = best_cpu_time(lambda: self.ask(plugin, problem))
        assert needed < budget, (
            f"{problem[0]} needs {needed / n * 1e6:.2f} microseconds of CPU time per element ({n} in {needed:.2f} s), the budget is "
            f"{budget / n * 1e6:.2f}; work on whole arrays or compile the loop, or set `budget_us` with the reason"
        )


@contextmanager
def _global_state_kept(seed: int) -> Iterator[list[str]]:
    """Set the global random numbers to a seed; afterwards the list names what of the process was changed."""
    changed: list[str] = []
    kept = np.random.get_state(), random.getstate(), np.geterr(), os.getcwd(), dict(os.environ)  # noqa: NPY002
    # what a plugin must not depend on
    np.random.seed(seed)  # noqa: NPY002
    random.seed(seed)
    here: Any = (np.random.get_state(), random.getstate())  # noqa: NPY002
    yield changed
    now: Any = (np.random.get_state(), random.getstate())  # noqa: NPY002
    if not np.array_equal(here[0][1], now[0][1]) or here[0][2] != now[0][2]:
        changed.append("numpy's global random numbers")
    if here[1] != now[1]:
        changed.append("Python's global random numbers")
    if np.geterr() != kept[2]:
        changed.append("numpy's treatment of errors")
    if os.getcwd() != kept[3]:
        changed.append("the working folder")
    if dict(os.environ) != kept[4]:
        changed.append("the environment")
    np.random.set_state(kept[0])  # noqa: NPY002
    random.setstate(kept[1])
    np.seterr(**kept[2])
    os.chdir(kept[3])
