"""Threads of a program share a heap for four cores."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

#: Heaps that glibc tells of (malloc_info) after eight threads took memory at once.
COUNT = """
import ctypes, os, sys, threading
from spindle.cli.machine import share_heaps

libc = ctypes.CDLL(None)
os.sched_getaffinity = lambda process: set(range(int(sys.argv[1])))
share_heaps()
wait = threading.Barrier(8)
def take():
    wait.wait()
    return [bytes(5000) for _ in range(100)]
threads = [threading.Thread(target=take) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
libc.fdopen.restype = ctypes.c_void_p
stream = ctypes.c_void_p(libc.fdopen(1, b"w"))
libc.malloc_info(0, stream)
libc.fflush(stream)
"""


def heaps(cores: int, **more: str) -> int:
    environment = {k: v for k, v in os.environ.items() if k not in ("MALLOC_ARENA_MAX", "GLIBC_TUNABLES")}
    command = [sys.executable, "-c", COUNT, str(cores)]
    done = subprocess.run(command, env=environment | more, capture_output=True, text=True, check=True)
    return done.stdout.count("<heap nr=")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is another than glibc")
def test_threads_share_heaps_unless_the_user_says_otherwise():
    assert [heaps(cores) for cores in (1, 2, 16)] == [1, 1, 4]
    assert heaps(1, MALLOC_ARENA_MAX="8") > 4
