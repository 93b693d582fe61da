"""CPU time of a piece of work, on a scale that does not depend on the machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["REFERENCE_STEP_US", "best_cpu_time", "slowness"]

# One step of the loop below where budgets hold as they are: a slow core; fast ones have less.
REFERENCE_STEP_US = 0.075


def best_cpu_time(work: Callable[[], Any], times: int = 3) -> float:
    """Return the least CPU time of several calls in seconds, of all threads of this process; other processes do not count."""
    best = float("inf")
    for _ in range(times):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


def _python_loop() -> float:
    values, total = np.ones(20_000), 0.0
    for value in values:
        total += value
    return total


def slowness() -> float:
    """Return how many times slower than the reference this machine goes through a loop of Python now; less than 1 for a faster one."""
    return best_cpu_time(_python_loop, 5) / 20_000 * 1e6 / REFERENCE_STEP_US
