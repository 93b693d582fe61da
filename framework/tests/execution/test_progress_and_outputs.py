from __future__ import annotations

import logging
import os

import numpy as np
import pytest

from spindle.contracts import ProgramResult
from spindle.contracts.program import check_result
from spindle.errors import Cancelled, UserError
from spindle.execution import Progress, RunContext
from spindle.execution.outputs import check_outputs, log_file, write_outputs
from spindle.params import FolderParam, Params, PathParam, Str


class Tree(Params):
    class output(Params):
        table = PathParam("table.txt")
        log = Str("run.log")
        prefix = Str("name_without_suffix")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_progress_tells_its_beginning_and_its_end():
    told = []
    with Progress("reading", 3, lambda *event: told.append(event)) as progress:
        for _ in range(3):
            progress.advance()
    assert told[0] == ("reading", 0, 3)
    assert told[-1] == ("reading", 3, 3)


def test_progress_may_be_nested_and_drawn(capsys):
    with Progress("outer", 2, show=True) as outer:
        for _ in range(2):
            with Progress("inner", 5, show=True) as inner:
                inner.advance(5)
            outer.advance()
    assert (outer.completed, inner.completed) == (2, 5)


def test_progress_of_a_cancelled_run_stops():
    context = RunContext("test", Tree())
    context.cancel()
    with pytest.raises(Cancelled), context.progress("reading", 3) as progress:
        progress.advance()


def test_missing_folders_are_found_before_the_run():
    tree = Tree()
    tree = tree.changed(output__table="results/table.txt")
    with pytest.raises(UserError, match=r"test: output\.table=results/table\.txt: the folder results does not exist"):
        check_outputs("test", tree)


def test_outputs_outside_the_scope_of_that_name_are_checked_where_they_say_so():
    class Counts(Params):
        json = PathParam(None, output=True)
        source = PathParam(None)

        class plots(Params):
            plot = PathParam(None, output=True)

    tree = Counts(source="no/in.json")
    check_outputs("test", tree)
    tree = tree.changed(plots__plot="no/plot.html")
    with pytest.raises(UserError, match=r"test: plots\.plot=no/plot\.html: the folder no does not exist"):
        check_outputs("test", tree)


def test_folders_for_outputs_may_be_there_or_are_made(here):
    class Pictures(Params):
        class output(Params):
            directory = FolderParam(None)

    (here / "old").mkdir()
    (here / "file").touch()
    for name in (None, "old", "new/deep"):
        check_outputs("test", Pictures(output={"directory": name}))
    tree = Pictures(output={"directory": "file/new"})
    with pytest.raises(UserError, match="file is a file; give a folder"):
        check_outputs("test", tree)
    with pytest.raises(UserError, match=r"cannot write file/a\.txt: the folder cannot be made: File exists"):
        write_outputs("test", tree, ProgramResult(files={"file/a.txt": lambda path: path.touch()}))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_protected_folders_are_found_before_the_run(here):
    (here / "locked").mkdir(mode=0o500)
    tree = Tree(output={"table": "locked/table.txt"})
    with pytest.raises(UserError, match="cannot be written"):
        check_outputs("test", tree)


def test_outputs_of_programs_inside_a_program_are_checked(here):
    class Chain(Params):
        class step(Tree):
            pass

    tree = Chain().changed(step__output__log="logs/run.log")
    with pytest.raises(UserError, match=r"step\.output\.log=logs/run\.log"):
        check_outputs("chain", tree)


def test_files_appear_whole_or_not_at_all(here):
    (here / "table.txt").write_text("old")

    def fail(path):
        path.write_text("half")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_outputs("test", Tree(), ProgramResult(files={"table.txt": fail}))
    assert os.listdir(here) == ["table.txt"]
    assert (here / "table.txt").read_text() == "old"


def test_what_was_written_is_returned(here):
    result = ProgramResult(files={"a.txt": lambda p: p.write_text("a"), "b.txt": lambda p: p.write_text("b")})
    assert [p.name for p in write_outputs("test", Tree(), result)] == ["a.txt", "b.txt"]


def test_the_log_ends_with_what_stopped_the_run(here):
    log = logging.getLogger("spindle.test")
    with pytest.raises(UserError), log_file("test", Tree()):  # noqa: PT012
        log.warning("so far so good")
        raise UserError("the beam is off")
    text = (here / "run.log").read_text()
    assert text.splitlines()[1:] == ["so far so good", "stopped by UserError: the beam is off"]


def test_a_run_without_a_log_is_possible(here):
    tree = Tree(output={"log": ""})
    with log_file("test", tree):
        pass
    assert os.listdir(here) == []


def test_numbers_of_a_summary_are_plain():
    summary = {"r_split": np.float64(0.25), "nested": {"n": [np.int32(3), (np.bool_(True),)]}, "text": "as it is"}
    found = check_result({}, ProgramResult(summary=summary)).summary
    assert repr(found) == "{'r_split': 0.25, 'nested': {'n': [3, (True,)]}, 'text': 'as it is'}"
