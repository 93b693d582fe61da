"""An indexing method that finds whole crystals, in runs of `spindle index`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import spindle
from spindle.contracts.indexing import IndexingError
from spindle.geometry import rotation_matrix
from spindle.models import Crystal
from spindle.plugins import refresh
from spindle.testing.indexing import random_rotation, rotation_experiment, spots_of, without_crystals

TESTS = Path(__file__).resolve().parent.parent
CELL = (48.2, 57.4, 69.8, 90.0, 90.0, 90.0)


@pytest.fixture(scope="module", autouse=True)
def strangers():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(TESTS / "trial_plugins"))
        refresh()
        yield
    refresh()


@pytest.fixture(scope="module")
def two():
    """One sweep of two crystals."""
    first = rotation_experiment(CELL)
    return [first, replace(first, crystal=Crystal.from_cell(CELL, random_rotation(7), "P 1"))]


def noted(*crystals):
    """Matrices as somebody would have noted them: a little off, between two of other lattices."""
    off = rotation_matrix(np.array([0.3, 0.5, 0.8]) / np.linalg.norm([0.3, 0.5, 0.8]), np.radians(0.15))
    wrong = [Crystal.from_cell((31.0, 44.0, 77.0, 85.0, 95.0, 100.0), random_rotation(k), "P 1").A for k in (3, 4)]
    return np.concatenate([wrong[0], *[off @ c.A for c in crystals], wrong[1]]).ravel().tolist()


def test_crystals_are_found_one_after_the_other(two):
    options = {"indexing.method": "remembers", "indexing.remembers.A": noted(*[e.crystal for e in two])}
    options |= {"multiple_lattice_search.max_lattices": 3}
    spots = spots_of(two)
    done = spindle.run("index", without_crystals(two), spots, **options)
    assert len(done.experiments) == 2
    table = done.reflections
    indexed = table["id"] >= 0
    assert indexed.mean() > 0.98
    for number, experiment in enumerate(done.experiments):
        own = table["true_lattice"][table["id"] == number]
        truth = two[np.bincount(own).argmax()].crystal
        assert np.mean(own == np.bincount(own).argmax()) > 0.95
        assert experiment.crystal.cell == pytest.approx(truth.cell, rel=1e-3)


def test_what_is_known_is_kept_and_tasks_can_leave_the_process(two):
    options = {"indexing.method": "remembers", "indexing.remembers.A": noted(two[0].crystal), "space_group": "P 2 2 2"}
    spots = spots_of(two[:1])
    here = spindle.run("index", without_crystals(two[:1]), spots, unit_cell=CELL, **options)
    there = spindle.run(
        "index", without_crystals(two[:1]), spots, unit_cell=CELL, **options, **{"mp.method": "parcels", "mp.nproc": 2}
    )
    assert here.experiments[0].crystal.space_group.hm == "P 2 2 2"
    np.testing.assert_array_equal(here.experiments[0].crystal.A, there.experiments[0].crystal.A)


def test_a_method_that_cannot_work_says_so(two):
    with pytest.raises(IndexingError, match="give the crystals"):
        spindle.run("index", without_crystals(two), spots_of(two), **{"indexing.method": "remembers"})
