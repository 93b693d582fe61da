"""Crystals of which the user knows something: the space group, the cell, the orientation; and centred cells, which nobody told of."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from spindle_program_index.centring import shared_condition

from spindle.contracts.indexing import IndexingError
from spindle.errors import ParameterError
from spindle.execution import run
from spindle.models import Experiments
from spindle.symmetry import niggli_cell
from spindle.testing.indexing import rotation_experiment, spots_of, without_crystals

TRICLINIC = (31.2, 37.5, 44.1, 81.0, 77.0, 68.0)
TETRAGONAL = (57.8, 57.8, 75.1, 90.0, 90.0, 90.0)


def index(truth, spots, **params):
    params = {"max_refine": 8, **params}
    return run("index", without_crystals(truth), spots, **params)


@pytest.fixture(scope="module")
def triclinic():
    truth = [rotation_experiment(TRICLINIC, seed=3)]
    return truth, spots_of(truth, seed=1)


@pytest.mark.parametrize(
    ("space_group", "cell", "volume_per_lattice_point"),
    [("C 1 2 1", (61.2, 37.5, 42.1, 90, 101, 90), 0.5), ("I 4 2 2", (58, 58, 41, 90, 90, 90), 0.5)],
)
def test_centred_lattices_are_indexed_in_their_primitive_cell(space_group, cell, volume_per_lattice_point):
    truth = [rotation_experiment(cell, space_group, seed=7)]
    result = index(truth, spots_of(truth, seed=3))
    volume = truth[0].crystal.volume * volume_per_lattice_point
    assert result.experiments[0].crystal.volume == pytest.approx(volume, rel=5e-3)
    assert result.summary["fraction_indexed"] > 0.98


def test_known_space_group_constrains_the_cell_in_its_setting():
    truth = [rotation_experiment(TETRAGONAL, "P 43 21 2", seed=9)]
    result = index(truth, spots_of(truth, seed=4), space_group="P43212")
    crystal = result.experiments[0].crystal
    assert crystal.space_group.xhm() == "P 43 21 2"
    assert crystal.cell[0] == pytest.approx(crystal.cell[1], abs=1e-9)
    np.testing.assert_allclose(crystal.cell[3:], 90, atol=1e-9)
    np.testing.assert_allclose(crystal.cell, TETRAGONAL, rtol=1e-3)


@pytest.mark.parametrize(
    ("space_group", "cell"),
    [
        ("C 1 2 1", (61.2, 37.5, 42.1, 90, 101, 90)),
        ("I 1 2 1", (42.1, 37.5, 61.2, 90, 97, 90)),
        ("P 2 21 21", (51.2, 37.5, 42.1, 90, 90, 90)),
        ("R 3:H", (61.2, 61.2, 82.1, 90, 90, 120)),
        ("F 2 3", (81.2, 81.2, 81.2, 90, 90, 90)),
    ],
)
def test_known_cell_and_space_group_give_that_setting(space_group, cell):
    truth = [rotation_experiment(cell, space_group, seed=11)]
    result = index(truth, spots_of(truth, seed=5), space_group=space_group, unit_cell=cell)
    crystal = result.experiments[0].crystal
    assert crystal.space_group.xhm() == space_group
    np.testing.assert_allclose(crystal.cell, cell, rtol=2e-3)
    assert result.summary["fraction_indexed"] > 0.98


@pytest.mark.parametrize(("space_group", "cell", "centring"), [("I 1 2 1", (42.1, 37.5, 61.2, 90, 97, 90), "I 1")])
def test_a_cell_given_without_its_space_group_is_found_centred(space_group, cell, centring, caplog):
    truth = [rotation_experiment(cell, space_group, seed=11)]
    spots = spots_of(truth, seed=5)
    with caplog.at_level("INFO", logger="spindle"):
        crystal = index(truth, spots, unit_cell=cell).experiments[0].crystal
    assert crystal.space_group.xhm() == centring
    assert not crystal.space_group_is_known
    np.testing.assert_allclose(crystal.cell, cell, rtol=3e-3)
    assert "h+k+l even" in caplog.text
    told = [r.getMessage() for r in caplog.records if "Space group" in r.getMessage() and not hasattr(r, "detail")]
    assert len(told) == 1, "the primitive cell that is given up is for the log alone"
    assert f"Space group: {centring}" in told[0]


def test_conditions_of_centred_lattices_are_told_apart():
    hkl = np.array(np.meshgrid(*[range(-6, 7)] * 3)).reshape(3, -1).T
    h, k, n = hkl.T
    for name, kept in {
        "F 1": (h + k) % 2 + (k + n) % 2 == 0, "I 1": (h + k + n) % 2 == 0, "C 1": (h + k) % 2 == 0,
        "A 1": (k + n) % 2 == 0, "B 1": (h + n) % 2 == 0, "R 3:H": (-h + k + n) % 3 == 0,
    }.items():  # fmt: skip
        assert shared_condition(hkl[kept], 0.9)[0] == name
    assert shared_condition(hkl, 0.9) is None


@pytest.mark.long
def test_a_harmonic_of_the_beam_is_told_with_the_cell_without_it():
    """A third of the wavelength puts spots at thirds of the indices: here a part of all that could be there."""
    cell = (14.2, 17.5, 20.1, 81.0, 77.0, 68.0)
    truth = [rotation_experiment([3 * v for v in cell[:3]] + list(cell[3:]), seed=3)]
    spots = spots_of(truth, seed=1)
    multiples = np.all(spots["true_index"] % 3 == 0, axis=1)
    rng = np.random.default_rng(1)
    spots = spots.select(np.flatnonzero(multiples | (rng.random(len(spots)) < 0.06)))
    result = index(truth, spots, max_cell=80)
    np.testing.assert_allclose(result.experiments[0].crystal.cell, niggli_cell(truth[0].crystal.cell), rtol=3e-3)
    told = re.search(r"multiples of 3 in h, k and l .* unit_cell=(\S+)", result.summary["warning"])
    assert told, result.summary["warning"]
    smaller = index(truth, spots, unit_cell=[float(v) for v in told[1].split(",")])
    np.testing.assert_allclose(smaller.experiments[0].crystal.cell, niggli_cell(cell), rtol=3e-3)
    assert "multiples of" not in smaller.summary.get("warning", "")


def test_space_group_that_the_lattice_does_not_have_is_an_error_with_the_remedy(triclinic):
    truth, spots = triclinic
    with pytest.raises(IndexingError, match=r"known_symmetry.*max_delta"):
        index(truth, spots, space_group="F23", max_combinations=200)


@pytest.mark.long
def test_wrong_space_group_that_fits_a_few_spots_is_noticed(triclinic):
    truth, spots = triclinic
    with pytest.raises(IndexingError, match="Without the given space group"):
        index(truth, spots, space_group="P4", max_refine=5)


def test_cell_that_contradicts_the_space_group_is_refused(triclinic):
    truth, spots = triclinic
    with pytest.raises(ParameterError, match="nearest"):
        index(truth, spots, space_group="P4", unit_cell=(50, 60, 70, 90, 90, 90))


def test_crystal_of_the_input_is_used_instead_of_a_search(triclinic):
    truth, spots = triclinic
    disturbed = truth[0].crystal.with_A(truth[0].crystal.A * 1.002)
    given = Experiments([replace(truth[0], crystal=disturbed)])
    result = run("index", given, spots)
    np.testing.assert_allclose(result.experiments[0].crystal.cell, TRICLINIC, rtol=1e-3)
    assert not [t for t in result.tables if t.key == "candidate_solutions"]
