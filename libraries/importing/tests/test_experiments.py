"""Programs that take images or experiments."""

from __future__ import annotations

import numpy as np
import pytest

from spindle.contracts import ProgramInputs
from spindle.errors import ParameterError
from spindle.testing import make_context
from spindle_lib_importing.experiments import experiments_of
from spindle_lib_readers.testing.mini_cbf import write_mini_cbf


def test_programs_get_the_experiments_or_those_of_the_images(tmp_path):
    files = [write_mini_cbf(tmp_path / "t_0001.cbf", np.zeros((20, 30), np.int32))]
    context = make_context("show")
    experiments = experiments_of(context, ProgramInputs(files=files))
    assert len(experiments) == 1 and experiments[0].detector[0].image_size == (30, 20)
    assert experiments_of(context, ProgramInputs(experiments=experiments)) is experiments
    with pytest.raises(ParameterError, match="show: no images: give an experiment file"):
        experiments_of(context, ProgramInputs())
    with pytest.raises(ParameterError, match=r"t_0001\.cbf and an experiment list were given"):
        experiments_of(context, ProgramInputs(experiments=experiments, files=files))
