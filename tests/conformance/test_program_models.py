"""First-party programs that work on models, and on reflections beside them, in the contract that strangers' programs have to pass."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spindle.contracts import ProgramInputs
from spindle.models import Experiments
from spindle.prediction import add_observed_geometry
from spindle.testing.program import ProgramContract
from spindle.testing.refinement_problems import rotation_experiment, spots_of, with_noise


class TestPredict(ProgramContract):
    name = "predict"
    parameters = {"d_min": 3.0}

    @pytest.fixture
    def inputs(self):
        return ProgramInputs(experiments=Experiments([rotation_experiment(10)]))


class TestTwoThetaRefine(ProgramContract):
    name = "two_theta_refine"

    @pytest.fixture
    def inputs(self):
        experiments = Experiments([rotation_experiment(40)])
        table = add_observed_geometry(experiments, with_noise(spots_of(experiments[0], 4.0)))
        return ProgramInputs(experiments=experiments, reflections=[table])


class TestPlotScanVaryingModel(ProgramContract):
    name = "plot_scan_varying_model"

    @pytest.fixture
    def inputs(self):
        sweep = rotation_experiment(10)
        varying = replace(sweep.known_crystal, A_at_scan_points=np.repeat(sweep.known_crystal.A[None], 11, axis=0))
        return ProgramInputs(experiments=Experiments([replace(sweep, crystal=varying)]))


class TestStereographicProjection(ProgramContract):
    name = "stereographic_projection"
    parameters = {"hkl_limit": 1}

    @pytest.fixture
    def inputs(self):
        return ProgramInputs(experiments=Experiments([rotation_experiment(5)]))


class TestReciprocalLatticeViewer(ProgramContract):
    name = "reciprocal_lattice_viewer"

    @pytest.fixture
    def inputs(self):
        experiments = Experiments([rotation_experiment(10)])
        return ProgramInputs(experiments=experiments, reflections=[with_noise(spots_of(experiments[0], 4.0))])
