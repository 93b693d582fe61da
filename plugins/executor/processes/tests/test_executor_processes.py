"""The plugin passes the contract of its slot."""

from __future__ import annotations

from spindle.testing.executor import ExecutorContract


class TestProcessesExecutor(ExecutorContract):
    name = "processes"
