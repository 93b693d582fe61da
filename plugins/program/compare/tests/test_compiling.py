"""The time of compilations is told from other work."""

from __future__ import annotations

import threading
import time

import pytest
from numba.core import event
from spindle_program_compare.compiling import Compiling


def busy(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def compilation(seconds):
    """A kernel that is compiled, with another one that it calls."""
    with event.trigger_event("numba:compile"):
        busy(seconds / 2)
        with event.trigger_event("numba:compile"):
            busy(seconds / 2)


@pytest.mark.parametrize("of_this_thread", [True, False])
def test_compilations_are_counted_once_and_work_is_not(of_this_thread):
    with Compiling(of_this_thread) as compiling:
        busy(0.04)
        compilation(0.02)
        other = threading.Thread(target=compilation, args=(0.06,))
        other.start()
        other.join()
    compilation(0.05)  # after it is left
    assert compiling.seconds == pytest.approx(0.02 if of_this_thread else 0.08, abs=0.01)
