"""The first-party refiner passes the contract that strangers' refiners have to pass."""

from __future__ import annotations

from spindle.testing.refiner import RefinerContract
from spindle_lib_refinement.testing import plain_settings


class TestCentroid(RefinerContract):
    name = "centroid"

    def make_settings(self, **changes):
        return plain_settings(**changes)
