"""The screen of a run: key lines, with ``-v`` all, colours on a terminal only; the log has everything."""

from __future__ import annotations

import logging
import os
import pty
import select
import subprocess
import sys
import time

import pytest

from spindle.cli.console import set_up_console
from spindle.execution import RunContext
from spindle.execution.progress import waiting
from spindle.params import Params
from spindle.report import DETAIL, EVENT, Table


@pytest.fixture
def console():
    """Return a function that sets up the screen; it is taken down afterwards."""
    root, handlers = logging.getLogger(), []
    level = root.level

    def set_up(*options: str):
        handlers.append(set_up_console(set(options)))
        return handlers[-1]

    yield set_up
    for handler in handlers:
        root.removeHandler(handler)
    root.setLevel(level)


def say() -> None:
    context = RunContext("trial", Params())
    context.log.info("key")
    context.log.info("detail\nof two lines", extra=DETAIL)
    context.table(Table("Shown", ["a"], [[1]]))
    context.table(Table("Hidden", ["a"], [[1]]).as_detail())
    context.log.warning("something is odd", extra=DETAIL)


def test_details_are_counted_and_not_shown(console, capsys):
    handler = console()
    say()
    handler.say_what_is_hidden(None)
    out = capsys.readouterr().out
    assert "key" in out and "Shown" in out and "detail" not in out and "Hidden" not in out
    assert out.endswith(
        "8 more lines are shown with -v\n"
    )  # two lines, and a table of title, three rules, header and row


def test_a_warning_is_never_a_detail_and_says_what_it_is(console, capsys):
    console()
    say()
    assert "\nWarning: something is odd\n" in capsys.readouterr().out


def test_verbose_shows_everything(console, capsys):
    handler = console("verbose")
    say()
    handler.say_what_is_hidden(None)
    out = capsys.readouterr().out
    assert "of two lines" in out and "Hidden" in out and "more lines" not in out


def test_quiet_shows_warnings_only(console, capsys):
    handler = console("quiet")
    say()
    handler.say_what_is_hidden(None)
    assert capsys.readouterr().out == "Warning: something is odd\n"


def on_terminal(code: str, width: int = 80, **environment: str) -> str:
    """Run Python with a terminal as its standard output and error; return what appears on it."""
    main, worker = pty.openpty()
    settings = {**os.environ, "TERM": "xterm", "COLUMNS": str(width), **environment}
    if "NO_COLOR" not in environment:
        settings.pop("NO_COLOR", None)
    child = subprocess.Popen([sys.executable, "-c", code], stdout=worker, stderr=worker, env=settings)
    os.close(worker)
    shown = b""
    while True:
        ready, _, _ = select.select([main], [], [], 60)
        try:
            piece = os.read(main, 65536) if ready else b""
        except OSError:
            piece = b""
        if not piece:
            break
        shown += piece
    os.close(main)
    assert child.wait() == 0
    return shown.decode().replace("\r\n", "\n")


SAY = """
import logging
from spindle.cli.console import set_up_console
from spindle.report import Table
set_up_console(set())
log = logging.getLogger("spindle.trial")
log.info("%s", Table("Wide", [f"column {i}" for i in range(30)], [[1000 + i for i in range(30)]]))
log.warning("word " * 40)
log.info("Next: spindle show")
"""


def test_a_terminal_gets_fitted_tables_and_colours():
    shown = on_terminal(SAY, 60)
    assert "\033[33mWarning: word" in shown and "\033[1;36mNext: spindle show\033[0m" in shown
    plain = on_terminal(SAY, 60, NO_COLOR="1")
    assert "\033" not in plain
    assert max(map(len, plain.splitlines())) <= 60
    assert all(str(1000 + i) in plain for i in range(30))


WAIT = """
import time
from spindle.execution.progress import waiting
with waiting("thinking", True, 0.05):
    time.sleep({seconds})
print("done")
"""


def test_a_long_wait_is_shown_and_a_short_one_is_not():
    assert "thinking" in on_terminal(WAIT.format(seconds=1.0))
    assert "thinking" not in on_terminal(WAIT.format(seconds=0.0))


def test_waiting_shows_nothing_where_it_must_not(capsys):
    with waiting("thinking", False, 0.0):
        time.sleep(0.01)
    assert capsys.readouterr() == ("", "")


def test_each_event_is_shown_however_many_are_alike(capsys, console):
    handler = console()
    context = RunContext("trial", Params())
    for k in range(40):
        context.log.info("answer %d", k, extra=EVENT)
    handler.say_what_is_hidden(None)
    assert capsys.readouterr().out.splitlines() == [f"answer {k}" for k in range(40)]


def test_of_many_alike_lines_and_tables_the_screen_shows_the_first(capsys, console):
    log = logging.getLogger("spindle.trial")
    handler = console()
    for i in range(40):
        log.info("Predicted %d reflections", i)
    for i in range(5):
        log.info("%s", Table(f"Summary for experiment {i}", ["Item", "Value"], [["n", i]]))
    for i in range(30):
        log.info("%s", f"text {i}")  # what has no words of its own is what a program is asked for
    for i in range(3):
        log.error("no %d", i)
    log.info("Predicted %d reflections", 99)
    shown = capsys.readouterr().out
    assert [f"Predicted {i} reflections" in shown for i in (0, 11, 12, 39, 99)] == [True, True, False, False, True]
    assert [f"Summary for experiment {i}" in shown for i in range(5)] == [True, True, True, False, False]
    assert "text 29" in shown and "no 2" in shown
    handler.say_what_is_hidden(None)
    assert f"{28 + 2 * 6} more lines" in capsys.readouterr().out
    for i in range(20):  # kinds that take turns
        log.info(" sigma b: %d", i)
        log.info(" sigma m: %d", i)
    shown = capsys.readouterr().out
    assert shown.count("sigma b") == shown.count("sigma m") == 12 and "sigma b: 11" in shown
    console("verbose")
    for i in range(40):
        log.info("Predicted %d reflections", i)
    assert "Predicted 39 reflections" in capsys.readouterr().out
