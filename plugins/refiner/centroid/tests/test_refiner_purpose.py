"""What the refiner does depends on what the models are for, as the caller says it."""

from __future__ import annotations

import numpy as np
import pytest
from spindle_refiner_centroid import CentroidRefiner

from spindle.models import Experiments
from spindle.params import Auto
from spindle.testing.refiner import rotation_experiment, spots_of
from spindle_lib_refinement.testing import plain_settings


@pytest.mark.parametrize(
    ("purpose", "expected"), [("candidate", ("tukey", 2.0)), ("indexing", ("tukey", 1.0)), ("refinement", ("mcd", 1.0))]
)
def test_the_purpose_chooses_how_outliers_are_told(purpose, expected):
    truth, asked = rotation_experiment(), []

    class Nobody:
        def find_outliers(self, residuals, names, pixel_size, leniency):
            asked.append(leniency)
            return np.zeros(len(residuals), bool)

    class Refiner(CentroidRefiner):
        def _outlier_algorithm(self, name, params):
            asked.append(name)
            return Nobody()

    settings = plain_settings(reflections__outlier__algorithm=Auto)
    Refiner().refine(Experiments([truth]), spots_of(truth, 4.0), settings, False, purpose)
    assert tuple(asked[:2]) == expected
