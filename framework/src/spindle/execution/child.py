"""First file of each process that works for another one: it ends with that one, however that one ends.

Run by what `spindle.execution.module_command` and `program_command` return: ``python child.py PARENT -m MODULE WORDS`` or
``python child.py PARENT PROGRAM WORDS``. It imports nothing but the standard library.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
import time
from contextlib import suppress

_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG
_LOOK_S = 1.0


def end_with(parent: int) -> None:
    """Send SIGTERM to this process when its parent is gone, so that it tidies up; a kill of the parent cannot be caught there.

    Parameters
    ----------
    parent : int
        Number of the process that has started this one.
    """
    if sys.platform == "win32":  # no process knows whether its parent lives
        return
    if sys.platform == "linux":
        import ctypes

        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, int(signal.SIGTERM))
    else:
        threading.Thread(target=_watch, args=(parent,), name="parent", daemon=True).start()
    if os.getppid() != parent:
        sys.exit(1)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LOOK_S)
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """Be the program that the command line names, or run its module as ``python -m`` would."""
    _, parent, program, *words = sys.argv
    end_with(int(parent))
    if program != "-m":
        os.execv(program, [program, *words])  # the signal stays
    sys.argv = words
    runpy.run_module(words[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
