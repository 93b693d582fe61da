"""The first-party refiner passes the contract that strangers' refiners have to pass."""

from __future__ import annotations

import pytest

from spindle.params import Params
from spindle.testing.refiner import RefinerContract
from spindle_lib_refinement.testing import plain_settings


class TestCentroid(RefinerContract):
    name = "centroid"

    @pytest.fixture
    def settings(self) -> Params:
        return plain_settings()
