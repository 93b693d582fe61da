"""A worker process: reads questions from its standard input, writes answers to its standard output, one JSON per line.

A worker that crashes, hangs or is killed takes its image with it and nothing else; the server starts another one. It ends by itself when
the server is gone.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from spindle_program_find_spots_server.confinement import keep_to, limit_memory

__all__ = ["WARM_UP_IMAGE", "main"]

WARM_UP_IMAGE = Path(__file__).parent / "warm_up.cbf"
"""A tiny image, analysed by each worker before it takes requests, so that kernels are loaded by then."""


def main() -> None:
    """Work until the server closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server decides when to stop
    answers = os.fdopen(os.dup(1), "w", encoding="ascii")
    os.dup2(2, 1)  # whatever libraries print goes to standard error
    questions: queue.SimpleQueue[str] = queue.SimpleQueue()
    settings = json.loads(sys.stdin.readline())
    threading.Thread(target=_read, args=(questions,), daemon=True).start()

    def say(content: object) -> None:
        answers.write(json.dumps(content) + "\n")
        answers.flush()

    logging.basicConfig(level=logging.WARNING, format="worker %(process)d: %(message)s")
    logging.getLogger().handlers[0].setLevel(logging.ERROR)  # warnings go into the answer
    start = time.perf_counter()
    analyst = _warm_analyst(settings)
    keep_to(settings["allow"])
    limit_memory(settings["memory"])
    say({"ready": True, "seconds": time.perf_counter() - start})
    while True:
        say(analyst.answer(json.loads(questions.get())))


def _read(questions: queue.SimpleQueue[str]) -> None:
    """Hand on questions; end the process at once when the server is gone, even in the middle of an image."""
    for line in sys.stdin:
        questions.put(line)
    os._exit(0)


def _warm_analyst(settings: dict[str, Any]) -> Any:
    from spindle.execution import PluginFile, add_plugin_files, prepare_compile_cache

    prepare_compile_cache()
    add_plugin_files(PluginFile(**file) for file in settings["plugins"])
    from spindle_lib_serving.allowed import AllowedFolders

    from .analysis import Analyst

    question = {"image": str(WARM_UP_IMAGE), "parameters": [], "index": False}
    status, content = Analyst(AllowedFolders([WARM_UP_IMAGE.parent])).answer(question)
    if status != 200:
        logging.error("cannot analyse %s: %s", WARM_UP_IMAGE, content["error"])
    return Analyst(AllowedFolders(settings["allow"]))


if __name__ == "__main__":
    main()
