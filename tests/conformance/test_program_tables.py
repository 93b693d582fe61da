"""First-party programs that work on reflections, in the contract that strangers' programs have to pass."""

from __future__ import annotations

import pytest

import spindle
from spindle.contracts import ProgramInputs
from spindle.models import Experiments
from spindle.testing.program import ProgramContract
from spindle.testing.scaling import simulated_scan


@pytest.fixture(scope="module")
def integrated():
    """A small sweep with intensities."""
    experiment, table, _ = simulated_scan(n_unique=150, multiplicity=4)
    return Experiments([experiment]), table


@pytest.fixture(scope="module")
def scaled(integrated):
    """The same, scaled."""
    result = spindle.run("scale", *integrated, model="KB")
    return result.experiments, result.reflections


class TestScale(ProgramContract):
    name = "scale"
    parameters = {"model": "KB"}

    @pytest.fixture
    def inputs(self, integrated):
        return ProgramInputs(experiments=integrated[0], reflections=[integrated[1]])


class _Scaled(ProgramContract):
    @pytest.fixture
    def inputs(self, scaled):
        return ProgramInputs(experiments=scaled[0], reflections=[scaled[1]])


class TestMerge(_Scaled):
    name = "merge"


class TestExport(_Scaled):
    name = "export"
    parameters = {"intensity": "scale"}
