"""The first-party centroid algorithms pass the contract that strangers' algorithms have to pass."""

from __future__ import annotations

from spindle.testing.centroid import CentroidContract


class TestSimple(CentroidContract):
    name = "simple"
