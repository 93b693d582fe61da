"""Stills are separate crystals unless told otherwise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from spindle.contracts.indexing import IndexingError
from spindle.execution import run
from spindle.models import Experiments
from spindle.symmetry import niggli_cell
from spindle.table import ReflectionTable
from spindle.testing.indexing import rotation_experiment, spots_of

CELLS = [
    (31.2, 37.5, 44.1, 81.0, 77.0, 68.0),
    (38.0, 46.0, 57.0, 90.0, 90.0, 90.0),
    (42.0, 42.0, 51.0, 90.0, 90.0, 90.0),
]


def still(cell, seed, n=0):
    """A still of 0.4 degrees rotation at its middle, and its spots, numbered `n`."""
    truth = rotation_experiment(cell, seed=seed, n_images=1, width_deg=0.4)
    spots = spots_of([truth], d_min=2.2, keep=0.9, jitter_px=0.1, seed=seed)
    given = replace(truth, scan=None, goniometer=None, crystal=None)
    return given, numbered(spots, n)


def numbered(spots, n):
    spots["imageset_id"] = np.full(len(spots), n, dtype=np.int32)
    return spots


def together(pairs):
    return Experiments([e for e, _ in pairs]), ReflectionTable.concatenate([s for _, s in pairs])


def test_stills_of_different_crystals_are_indexed_each_by_itself():
    experiments, spots = together(
        [still(cell, seed, n) for n, (cell, seed) in enumerate(zip(CELLS, (3, 5, 8), strict=True))]
    )
    result = run("index", experiments, spots, max_refine=8)
    assert "warning" not in result.summary
    assert len(result.experiments.unique("crystal")) == 3
    assert result.summary["fraction_indexed"] > 0.9
    for cell, experiment, given in zip(CELLS, result.experiments, experiments, strict=True):
        np.testing.assert_allclose(experiment.crystal.cell, niggli_cell(cell), rtol=0.03)
        np.testing.assert_allclose(experiment.detector[0].origin, given.detector[0].origin)
    table = result.reflections
    np.testing.assert_array_equal(table["id"][table["id"] >= 0], table["imageset_id"][table["id"] >= 0])


def test_a_still_that_fails_is_named_and_does_not_stop_the_others():
    noise = still(CELLS[0], 3, 1)[1].select(np.arange(12))
    noise["xyzobs.px.value"] = np.random.default_rng(0).uniform(0, 1, (12, 3)) * (1000, 1000, 1)
    empty, _ = still(CELLS[0], 4)
    experiments, spots = together(
        [still(CELLS[0], 3, 0), (still(CELLS[0], 4)[0], noise), (empty, noise.select([])), still(CELLS[1], 5, 3)]
    )
    result = run("index", experiments, spots, max_refine=8)
    assert len(result.experiments) == 2
    assert "still 2 (0 spots)" in result.summary["warning"]
    assert result.experiments[1].identifier == experiments[3].identifier


def test_none_indexed_is_an_error():
    experiments, spots = together([still(CELLS[0], 3, n) for n in range(2)])
    with pytest.raises(IndexingError, match="none of 2 stills"):
        run("index", experiments, spots.select(np.r_[:3, len(spots) - 3 : len(spots)]), max_refine=4)


def test_a_known_cell_is_used_for_each():
    pairs = [still(CELLS[2], seed, n) for n, seed in enumerate((3, 9))]
    result = run("index", *together(pairs), max_refine=8, unit_cell=CELLS[2], space_group="P 43 21 2")
    for experiment in result.experiments:
        assert experiment.crystal.space_group.xhm() == "P 43 21 2"
        np.testing.assert_allclose(experiment.crystal.cell, CELLS[2], rtol=0.02)


def test_stills_and_a_sweep_are_indexed_in_one_run():
    sweep = rotation_experiment(CELLS[1], seed=2, n_images=20)
    pairs = [(replace(sweep, crystal=None), numbered(spots_of([sweep], d_min=3.0), 0)), still(CELLS[0], 3, 1)]
    result = run("index", *together(pairs), max_refine=8)
    assert [e.is_still for e in result.experiments] == [False, True]
    for cell, experiment in zip((CELLS[1], CELLS[0]), result.experiments, strict=True):
        np.testing.assert_allclose(experiment.crystal.cell, niggli_cell(cell), rtol=0.03)


def test_stills_of_one_crystal_can_be_indexed_together():
    truth = [rotation_experiment(CELLS[0], seed=3, n_images=1, width_deg=0.4) for _ in range(2)]
    pairs = [
        (replace(t, scan=None, goniometer=None, crystal=None), numbered(spots_of([t], d_min=2.2, seed=n), n))
        for n, t in enumerate(truth)
    ]
    result = run("index", *together(pairs), max_refine=8, joint_indexing=True)
    assert len(result.experiments.unique("crystal")) == 1
