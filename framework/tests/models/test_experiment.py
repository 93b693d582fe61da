"""What an experiment answers when it is asked for a model that it may lack."""

from __future__ import annotations

import pytest

from spindle.errors import ModelError
from spindle.models import Beam, Crystal, Detector, Experiment, Goniometer, Panel, Scan

BEAM = Beam(direction=[0, 0, 1], wavelength=1.0)
DETECTOR = Detector(
    (
        Panel(
            fast_axis=[1, 0, 0],
            slow_axis=[0, -1, 0],
            origin=[-5, 5, -100],
            pixel_size=[0.1, 0.1],
            image_size=(100, 100),
        ),
    )
)


def test_models_that_are_there_are_given_as_they_are():
    experiment = Experiment(
        BEAM,
        DETECTOR,
        Goniometer([1, 0, 0]),
        Scan((1, 10), (0.0, 0.1)),
        Crystal.from_cell([50, 60, 70, 90, 90, 90]),
    )
    assert experiment.known_scan is experiment.scan
    assert experiment.known_goniometer is experiment.goniometer
    assert experiment.known_crystal is experiment.crystal


@pytest.mark.parametrize(
    ("name", "remedy"), [("scan", "with their angles"), ("goniometer", "rotation axis"), ("crystal", "index it first")]
)
def test_a_model_that_is_missing_is_named_with_its_experiment_and_what_to_do(name, remedy):
    bare = Experiment(BEAM, DETECTOR, identifier="sweep 7")
    with pytest.raises(ModelError, match=rf"experiment sweep 7 has no {name}; .*{remedy}"):
        getattr(bare, f"known_{name}")
