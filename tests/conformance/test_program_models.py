"""First-party programs that work on models, and on reflections beside them, in the contract that strangers' programs have to pass."""

from __future__ import annotations

import pytest

from spindle.contracts import ProgramInputs
from spindle.models import Experiments
from spindle.testing.program import ProgramContract
from spindle.testing.refinement_problems import rotation_experiment


class TestPredict(ProgramContract):
    name = "predict"
    parameters = {"d_min": 3.0}

    @pytest.fixture
    def inputs(self):
        return ProgramInputs(experiments=Experiments([rotation_experiment(10)]))
