"""What plugins hold is let go when the program ends, however it ends."""

from __future__ import annotations

import logging
from contextlib import contextmanager

import pytest

from spindle.contracts import Program, ProgramInputs, ProgramResult, hookimpl
from spindle.errors import UserError
from spindle.execution import RunContext
from spindle.execution.steps import execute
from spindle.params import Params
from spindle.plugins.host import PluginHost


@contextmanager
def device(name, seen, fails=False):
    seen.append(f"+{name}")
    try:
        yield name
    finally:
        seen.append(f"-{name}")
        if fails:
            raise OSError("the device is gone")


def run(work):
    """Run a program that does `work(context)`."""

    class Works(Program):
        Params = Params

        @hookimpl
        def run(self, inputs, params, context):
            work(context)
            return ProgramResult(summary={"done": 1})

    class Host(PluginHost):
        def make(self, slot, name, params=None, context=None, parameter=""):
            return self.add(slot, name, Works(params, context))

    return execute(RunContext("works", Params(), Host()), ProgramInputs())


def test_devices_are_left_in_the_reverse_order():
    seen = []

    def work(context):
        assert context.enter(device("one", seen)) == "one"
        context.enter(device("two", seen))
        seen.append("work")

    assert run(work).summary == {"done": 1}
    assert seen == ["+one", "+two", "work", "-two", "-one"]


def test_devices_are_left_when_the_program_fails():
    seen = []

    def work(context):
        context.enter(device("one", seen))
        raise UserError("no such crystal")

    with pytest.raises(UserError, match="no such crystal"):
        run(work)
    assert seen == ["+one", "-one"]


def test_a_device_that_cannot_be_left_loses_no_result(caplog):
    seen = []

    def work(context):
        context.enter(device("one", seen))
        context.enter(device("two", seen, fails=True))

    with caplog.at_level(logging.WARNING, "spindle"):
        assert run(work).summary == {"done": 1}
    assert seen == ["+one", "+two", "-two", "-one"]
    assert "the device is gone" in caplog.text
