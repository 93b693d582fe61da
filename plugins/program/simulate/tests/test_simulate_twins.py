"""Twins: each intensity is mixed with that of the reflection on the same spot."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest
from spindle_program_simulate.structure import random_structure, twinned

from spindle.errors import ParameterError
from spindle.symmetry import ChangeOfBasis


def test_a_twin_mixes_each_intensity_with_that_of_its_mate():
    group = gemmi.SpaceGroup("P 41")
    single = random_structure(np.array([50.0, 50, 40, 90, 90, 90]), group, 4.0, 20.0, 0.0, np.random.default_rng(0))
    mixed = twinned(single, ChangeOfBasis.from_string("k,h,-l"), 0.3)
    known = {tuple(map(int, h)): v for h, v in zip(single.hkl, single.intensity, strict=True)}
    for hkl, value in zip(mixed.hkl[::37], mixed.intensity[::37], strict=True):
        h, k, l = map(int, hkl)
        assert value == pytest.approx(0.7 * known[h, k, l] + 0.3 * known[k, h, -l])
    assert "30 % twinned by k,h,-l" in mixed.source
    with pytest.raises(ParameterError, match="no symmetry of the lattice"):
        twinned(single, ChangeOfBasis.from_string("l,h,k"), 0.3)
