"""A worker: a process that reads items from its standard input and writes what became of them.

``python -m spindle_executor_processes.worker``. Its standard output goes to standard error, so that nothing that a task prints
gets between the answers.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from typing import Any, BinaryIO

from spindle.execution import Function, begin_worker, open_function, work

from .frames import COMMON, DONE, FORGET, FORGET_COMMON, FUNCTION, ITEM, NAME, READY, receive, send

SECONDS_TO_FINISH = 1.0  # after the run is over


def main() -> None:
    """Answer until there is nobody to answer to."""
    begin_worker()
    requests, answers = _streams()
    messages: queue.SimpleQueue[tuple[bytes, int, bytes] | None] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(requests, messages), daemon=True).start()
    functions: dict[int, Function | BaseException] = {}
    common: dict[str, Any] = {}
    send(answers, READY, 0)
    while (message := messages.get()) is not None:
        kind, number, data = message
        if kind == FUNCTION:
            functions[number] = _opened(data, common)
        elif kind == COMMON:
            common[data[:NAME].decode()] = data[NAME:]
        elif kind == FORGET_COMMON:
            common.pop(data.decode(), None)
        elif kind == FORGET:
            functions.pop(number, None)
        elif kind == ITEM:
            send(answers, DONE, number, work(functions[number], data))


def _opened(packed: bytes, common: dict[str, Any]) -> Function | BaseException:
    """The function, or the error of each of its items."""
    try:
        return open_function(packed, common)
    except Exception as error:
        return error


def _streams() -> tuple[BinaryIO, BinaryIO]:
    """Where items come from and answers go to; what a task reads is empty, what it prints is an error output."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return requests, answers


def _listen(requests: BinaryIO, messages: queue.SimpleQueue[tuple[bytes, int, bytes] | None]) -> None:
    """Take messages while an item is worked on, so that the run never waits to send one; end the process when the run is over."""
    try:
        while True:
            messages.put(receive(requests))
    except (EOFError, OSError):
        messages.put(None)
        time.sleep(SECONDS_TO_FINISH)
        os._exit(1)


if __name__ == "__main__":
    main()
