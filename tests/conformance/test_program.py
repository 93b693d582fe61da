"""First-party programs pass the contract that strangers' programs have to pass, on small simulated data."""

from __future__ import annotations

from dataclasses import replace

import pytest

from spindle.contracts import ProgramInputs
from spindle.models import Experiments
from spindle.testing.program import ProgramContract
from spindle.testing.refiner import disturbed, rotation_experiment, spots_of, with_noise
from spindle.testing.scaling import simulated_scan


class _Scan(ProgramContract):
    @pytest.fixture
    def inputs(self):
        experiment, table, _ = simulated_scan(n_unique=150, multiplicity=4)
        return ProgramInputs(experiments=Experiments([experiment]), reflections=[table])


class TestSymmetry(_Scan):
    name = "symmetry"


class TestShow(_Scan):
    name = "show"


class TestRefine(ProgramContract):
    name = "refine"

    @pytest.fixture
    def inputs(self):
        truth = replace(rotation_experiment(40), identifier="sweep")
        spots = with_noise(spots_of(truth, 3.6))
        return ProgramInputs(experiments=Experiments([disturbed(truth)]), reflections=[spots])


class TestFindRotationAxis(ProgramContract):
    name = "find_rotation_axis"

    @pytest.fixture
    def inputs(self):
        truth = replace(rotation_experiment(40), identifier="sweep")
        spots = with_noise(spots_of(truth, 3.6))
        return ProgramInputs(experiments=Experiments([replace(truth, crystal=None)]), reflections=[spots])
