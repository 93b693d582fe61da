"""Observers of the tests and of the guide pass the contract of their slot."""

from __future__ import annotations

import pytest

from spindle.testing.observer import ObserverContract


class _Trial(ObserverContract):
    @pytest.fixture(autouse=True)
    def trial(self, install):
        install("trial_plugins")


class TestListener(_Trial):
    name = "listener"


class TestJsonLines(_Trial):
    name = "json_lines"
