"""The program passes the contract of plugins, and opens what fits what was given."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from spindle_program_view import View

from spindle.contracts import ProgramInputs
from spindle.images import ImageSequence
from spindle.models import Experiments, ImageSet
from spindle.params import build
from spindle.table import ReflectionTable
from spindle.testing import PluginContract
from spindle.testing.simulated_spots import rotation_experiment


class TestView(PluginContract):
    slot = "program"
    name = "view"


@pytest.fixture
def opened():
    """What runs the program and says with which parameters and files the viewer was started."""

    def run(inputs, **words):
        context = SimpleNamespace(
            run_program=lambda name, experiments, reflections, files, params: (name, experiments, files, params)
        )
        params = build(View.Params).changed(words)
        return View().run(inputs, params, context)

    return run


def test_images_open_where_they_are_and_reciprocal_space_where_there_are_none(opened, tmp_path):
    table = ReflectionTable({"id": np.zeros(1, np.int32)})
    gone = replace(rotation_experiment(3), imageset=ImageSet(template=str(tmp_path / "x_####.cbf")))
    there = ImageSequence.from_arrays(rotation_experiment(3), [np.zeros((300, 280), np.int32)] * 3).experiment

    def page(experiment, tables, **words):
        name, *_, params = opened(ProgramInputs(experiments=Experiments([experiment]), reflections=tables), **words)
        assert name == "image_viewer"
        return params.first_page

    assert page(gone, [table]) == "lattice" and page(there, [table]) == "images"
    assert page(gone, []) == "images" and page(there, [table], page="geometry") == "geometry"
    (tmp_path / "x_0001.cbf").touch()
    assert page(gone, [table]) == "images"


def test_parameters_of_the_viewer_are_those_of_the_shell(opened, tmp_path):
    path = tmp_path / "a.img"
    _, experiments, files, params = opened(
        ProgramInputs(files=[path]), **{"image_viewer.show_ice_rings": True, "image_viewer.port": 8123}
    )
    assert files == [path] and experiments is None and params.show_ice_rings and params.port == 8123
