"""Good plugins with one small fault each, by which the conformance kit is judged.

A fault changes what a hook of a good plugin takes or returns. It names the checks of the kit that should find it; those are run in the suite.
All checks of all faults: ``python -m tests.conformance.seeded_faults``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from spindle.contracts import hookimpl
from spindle.plugins import registry, spec_of
from spindle.plugins.loading import hooks_of

ROOT = Path(__file__).parents[3]
FAULTS: list[Fault] = []


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes
    ----------
    contract : type
        The passing test of the good plugin.
    kind : str
        units, low counts, several, hardly any, state, swap, settings, mutation, nan, dtype, order, random, bias, mask, limits, speed ...
    title : str
    make : callable (class) -> class
        From the good plugin's class to the faulty one's.
    checks : tuple of str
        Checks that should find it.
    missed : str
        Why the kit does not find it, if it does not.
    """

    contract: Any
    kind: str
    title: str
    make: Callable[[Any], Any]
    checks: tuple[str, ...]
    missed: str = ""

    @property
    def slot(self) -> str:
        """The slot of the plugin."""
        return str(self.contract.slot)


def fault(contract: Any, kind: str, title: str, *checks: str, missed: str = "") -> Callable[[Any], Any]:
    """Register a function from a class to a class with a fault."""

    def register(make: Callable[[Any], Any]) -> Callable[[Any], Any]:
        unknown = [check for check in checks if not hasattr(contract, check)]
        assert not unknown, f"{title}: there is no check {unknown}"
        FAULTS.append(Fault(contract, kind, title, make, checks, missed))
        return make

    return register


def changed(good: type, hook: str, change: Callable[..., Any]) -> type:
    """A class whose hook is ``change(call, arguments, plugin)``; ``call(**arguments)`` is what the good one answers."""
    slot = next(i.slot for i in registry().infos if i.slot and hook in _hooks(i.slot))
    names = [n for n in inspect.signature(hooks_of(spec_of(slot))[hook]).parameters if n != "self"]
    wanted = [n for n in inspect.signature(getattr(good, hook)).parameters if n != "self"]

    def answer(self: Any, given: dict[str, Any]) -> Any:
        def call(**arguments: Any) -> Any:
            return getattr(super(faulty, self), hook)(**{n: arguments[n] for n in wanted})

        return change(call, given, self)

    space = {"answer": answer}  # pluggy reads the names of arguments from the code of a function
    exec(
        f"def {hook}(self, {', '.join(names)}):\n    return answer(self, {{{', '.join(f'{n!r}: {n}' for n in names)}}})",
        space,
    )
    implementation = space[hook]
    faulty = type("Faulty" + good.__name__, (good,), {hook: hookimpl(implementation), "__doc__": good.__doc__})
    return faulty


def _hooks(slot: str) -> set[str]:
    spec = spec_of(slot)
    return set(hooks_of(spec)) if spec is not None else set()


def without_fault(contract: Any) -> Fault:
    """The good plugin behind wrappers that change nothing: it passes all checks that find a fault in one of its kind."""
    checks = tuple(dict.fromkeys(check for f in all_faults() if f.contract is contract for check in f.checks))

    def wrapped(good: type) -> type:
        for hook in _hooks(contract.slot) if contract.slot != "observer" else ():
            if hasattr(getattr(good, hook, None), "spindle_impl"):
                good = changed(good, hook, lambda call, arguments, plugin: call(**arguments))
        return good

    return Fault(contract, "", f"no fault {contract.__module__} {contract.__name__}", wrapped, checks)


def class_of(fault: Fault, every: bool) -> type:
    """The test of a fault: the contract of the good plugin, with the faulty class in its place."""

    def plugin_class(self: Any, info: Any) -> Any:
        return fault.make(registry().load(info.slot, info.name))

    space: dict[str, Any] = {
        "plugin_class": pytest.fixture(plugin_class),
        "__module__": "seeded",
        "expected_failures": {},
    }
    if not every:
        space |= {name: None for name in dir(fault.contract) if name.startswith("test") and name not in fault.checks}
    return type("Test" + "".join(w for w in fault.title.title() if w.isalnum()), (fault.contract,), space)


class _Judge:
    """Collects which tests failed."""

    def __init__(self) -> None:
        self.failed: dict[str, list[str]] = {}
        self.trouble: list[str] = []
        self.n_tests = 0

    def pytest_runtest_logreport(self, report: Any) -> None:
        name = report.nodeid.split("::")
        self.n_tests += report.when == "setup"
        if report.failed and len(name) > 2:
            self.failed.setdefault(name[1], []).append(name[2])

    def pytest_collectreport(self, report: Any) -> None:
        if report.failed:
            self.trouble.append(str(report.longrepr))


def caught(faults: list[Fault], folder: Any, every: bool = False) -> dict[str, list[str]]:
    """Title of each fault and the checks that found it."""
    slots = sorted({f.slot for f in faults})
    file = folder / f"test_seeded_{'_'.join(slots)}.py"
    file.write_text(
        f"import sys\nsys.path.insert(0, {str(ROOT)!r})\nfrom conftest import install\nfrom tests.conformance import seeded_faults as s\n"
        f"faults = [f for f in s.all_faults() if f.slot in {slots!r}]\n"
        "faults += [s.without_fault(c) for c in dict.fromkeys(f.contract for f in faults)]\n"
        f"globals().update({{c.__name__: c for c in (s.class_of(f, {every}) for f in faults)}})\n"
    )
    judge = _Judge()
    options = [
        "-q",
        "--no-header",
        "--no-summary",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "--capture=sys",
        "-c",
        "/dev/null",
    ]
    if not every:
        options += ["--tb=no", "--assert=plain"]  # nobody reads why
    pytest.main([*options, f"--rootdir={folder}", str(file)], plugins=[judge])
    assert not judge.trouble, judge.trouble[0]
    for good in (without_fault(c) for c in dict.fromkeys(f.contract for f in faults)):
        assert not judge.failed.get(class_of(good, every).__name__), f"{good.title}: {judge.failed}"
    assert judge.n_tests >= len(faults)
    return {f.title: judge.failed.get(class_of(f, every).__name__, []) for f in faults}


def all_faults() -> list[Fault]:
    """All of them."""
    if not FAULTS:
        from . import (  # noqa: F401  they register themselves
            backgrounds,
            centroids,
            error_models,
            formats,
            models,
            outliers,
            outside,
            thresholds,
        )
    return FAULTS
