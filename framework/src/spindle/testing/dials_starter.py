"""Run by the Python of DIALS: it imports once what all programs of DIALS need, and does each command in a child.

Most of a short run of DIALS are its imports, a second of them. Each line of standard input is a command in JSON: ``words`` (a script or
``-c`` and code, then arguments), ``cwd``, ``environment``, ``output`` and ``errors`` (files for what it prints). A line with its exit code
comes back. The end of standard input ends this process.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import runpy
import sys
import traceback
from typing import Any

NEEDED_BY_ALL = ("dials.array_family.flex", "dials.util.options", "dxtbx.model.experiment_list")


def redirect(number: int, path: str, flags: int) -> None:
    """Let a file descriptor be that of a file."""
    opened = os.open(path, flags, 0o600)
    os.dup2(opened, number)
    os.close(opened)


def run(words: list[str]) -> int:
    """Do what Python does with the words of its command line; return the exit code."""
    sys.argv = words
    try:
        if words[0] == "-c":
            sys.argv = ["-c", *words[2:]]
            sys.path.insert(0, "")
            exec(compile(words[1], "<string>", "exec"), {"__name__": "__main__"})
        else:
            sys.path.insert(0, os.path.dirname(os.path.abspath(words[0])))
            runpy.run_path(words[0], run_name="__main__")
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def child(command: dict[str, Any]) -> int:
    """Do one command in the process that was made for it; return the exit code."""
    redirect(0, os.devnull, os.O_RDONLY)
    redirect(1, command["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    redirect(2, command["errors"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.environ.clear()
    os.environ.update(command["environment"])
    os.chdir(command["cwd"])
    code = run(command["words"])
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return code


def main() -> None:
    """Import, say so, and do commands until there are no more."""
    sys.path.pop(0)  # the folder of this file, whose names are no modules of DIALS
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    for name in NEEDED_BY_ALL:
        importlib.import_module(name)
    print("ready", file=answers)
    for line in sys.stdin:
        if os.name == "posix":  # nobody starts this elsewhere
            pid = os.fork()
            if not pid:
                try:
                    os._exit(child(json.loads(line)) & 0xFF)
                finally:
                    os._exit(70)  # what has gone wrong here is none of the command's
            print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), file=answers)


if __name__ == "__main__":
    main()
