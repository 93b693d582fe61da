"""Parts that programs of many crystals share; what they do with data is tested with the programs."""

from __future__ import annotations

from dataclasses import replace

import spindle_lib_many_crystals
from spindle.models import Experiments
from spindle.testing.scaling import scan_experiment
from spindle_lib_many_crystals import removed_table, wavelength_groups


def test_everything_public_is_described():
    for name in spindle_lib_many_crystals.__all__:
        assert getattr(spindle_lib_many_crystals, name).__doc__, name


def test_wavelengths_are_grouped():
    one = scan_experiment()
    waves = [1.0, 0.9, 1.00005, 0.9, 1.00012]
    changed = [replace(one, beam=replace(one.beam, direction=[0, 0, 1], wavelength=w)) for w in waves]
    assert wavelength_groups(Experiments(changed), 1e-4) == [[1, 3], [0, 2, 4]]


def test_what_was_removed_is_told_by_the_names_of_the_user():
    start = [["x", [1, 20]], ["y", [5, 14]]]
    sets = {"cycle": 1, "removed_datasets": ["y"], "removed_delta_cc_half": [-0.25]}
    images = {"cycle": 2, "removed_ranges": [[0, 11, 20]], "removed_delta_cc_half": [-0.5]}
    found = removed_table({"initial_expids_and_image_ranges": start, "cycles": [sets, images]}, {"x": "7"})
    assert found.rows == [["y", "y", "5-14", 1, -0.25], ["7", "x", "11-20", 2, -0.5]]
