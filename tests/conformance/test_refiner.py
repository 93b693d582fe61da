"""The first-party refiner passes the contract that strangers' refiners have to pass."""

from __future__ import annotations

from spindle.testing.refiner import RefinerContract


class TestCentroid(RefinerContract):
    name = "centroid"
