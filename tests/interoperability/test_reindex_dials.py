"""The bases of `spindle reindex` against dials.reindex. Skipped without DIALS."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import spindle
from spindle.files import read_experiments, read_reflections, write_experiments, write_reflections
from spindle.models import Experiments, ImageSet
from spindle.table import Flag
from spindle.testing.dials import dials
from spindle.testing.indexing import rotation_experiment, spots_of

CELLS = {"P 1": (31.2, 37.5, 42.1, 81, 77, 68), "C 1 2 1": (61.2, 37.5, 42.1, 90, 101, 90)}


@pytest.fixture(scope="module")
def indexed(tmp_path_factory):
    """Files of an indexed sweep in each group, whose crystal varies with the scan."""
    folder = tmp_path_factory.mktemp("indexed")
    for group, cell in CELLS.items():
        sweep = replace(rotation_experiment(cell, group, 5, seed=4), identifier="sweep")
        sweep = replace(sweep, imageset=ImageSet(template=str(folder / "none_####.cbf"), image_range=(1, 5)))
        crystal = sweep.crystal
        crystal = crystal.with_A(crystal.A, np.stack([crystal.A * (1 + 1e-4 * k) for k in range(6)]))
        table = spots_of([sweep], d_min=4.0, seed=1)
        table["miller_index"] = table["true_index"]
        table["flags"] = table["flags"] | np.uint64(Flag.INDEXED)
        table.identifiers = {0: "sweep"}
        write_experiments(Experiments([replace(sweep, crystal=crystal)]), folder / f"{group[0]}.expt")
        write_reflections(table.without("true_index", "true_lattice"), folder / f"{group[0]}.refl")
    return folder


@pytest.mark.parametrize(
    ("file", "changes"),
    [
        ("P", {"change_of_basis_op": "a+b,b-c,a+b+c"}),
        ("P", {"change_of_basis_op": "h+k,-k,-l"}),
        ("P", {"change_of_basis_op": "b,c,a", "hkl_offset": "1,0,0"}),
        ("C", {"change_of_basis_op": "-a-c,b,a"}),
        ("C", {"change_of_basis_op": "x-y,x+y,z", "space_group": "P1"}),
    ],
)
def test_crystals_and_indices_are_those_of_dials(indexed, tmp_path, file, changes):
    given = [indexed / f"{file}.expt", indexed / f"{file}.refl"]
    dials("dials.reindex", *given, *(f"{k}={v}" for k, v in changes.items()), cwd=tmp_path)
    theirs = read_experiments(tmp_path / "reindexed.expt")[0].crystal
    if "hkl_offset" in changes:
        changes = {**changes, "hkl_offset": [1, 0, 0]}
    ours = spindle.run("reindex", read_experiments(given[0]), read_reflections(given[1]), **changes)
    crystal = ours.experiments[0].crystal
    np.testing.assert_allclose(crystal.A, theirs.A, atol=1e-9)
    np.testing.assert_allclose(crystal.A_at_scan_points, theirs.A_at_scan_points, atol=1e-9)
    assert crystal.space_group.xhm() == theirs.space_group.xhm()
    there = read_reflections(tmp_path / "reindexed.refl")
    np.testing.assert_array_equal(ours.reflections["miller_index"], there["miller_index"])
