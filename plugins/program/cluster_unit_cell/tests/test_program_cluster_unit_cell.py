"""Crystal forms are told apart whatever setting their cells are given in."""

from __future__ import annotations

import json

import numpy as np
import pytest

import spindle
from spindle.errors import UserError
from spindle.models import Beam, Crystal, Detector, Experiment, Experiments, Goniometer, ImageSet, Panel, Scan
from spindle.symmetry import ChangeOfBasis, change_crystal_basis
from spindle.table import ReflectionTable
from spindle.testing import PluginContract

PANEL = Panel([1, 0, 0], [0, -1, 0], [-40.0, 40.0, -100.0], [0.1, 0.1], (800, 800))


class TestClusterUnitCell(PluginContract):
    slot = "program"
    name = "cluster_unit_cell"


def crystals_of(forms, seed=1, spread=0.002):
    """Experiments with noisy cells: (cell, space group, operator or None) for each."""
    rng = np.random.default_rng(seed)
    found = []
    for i, (cell, group, operator) in enumerate(forms):
        noisy = np.array(cell) * np.where(np.arange(6) < 3, rng.normal(1, spread), 1.0)
        crystal = Crystal.from_cell(tuple(noisy), np.eye(3), group)
        if operator is not None:
            crystal = change_crystal_basis(crystal, ChangeOfBasis.from_string(operator), "P 1")
        found.append(
            Experiment(
                Beam([0, 0, 1], 1.0), Detector([PANEL]), Goniometer([1, 0, 0]), Scan((1, 10), (0.0, 1.0)), crystal,
                imageset=ImageSet(template=f"x{i}_####.cbf", image_range=(1, 10)), identifier=f"x{i}",
            )
        )  # fmt: skip
    return Experiments(found)


@pytest.fixture(scope="module")
def mixture():
    """Five of an orthorhombic form, two of them in other settings; three of a C-centred form, one primitive; and one more."""
    first, second = (41.0, 53.0, 62.0, 90.0, 90.0, 90.0), (91.0, 53.0, 70.0, 90.0, 104.0, 90.0)
    forms = [
        (first, "P 21 21 21", None), (first, "P 21 21 21", None), (first, "P 21 21 21", "b,c,a"), (first, "P 21 21 21", "c,a,b"),
        (first, "P 2 2 21", None), (second, "C 1 2 1", None), (second, "C 1 2 1", None),
        (second, "C 1 2 1", "1/2*a+1/2*b,b,c"), ((150.0, 150.0, 150.0, 90.0, 90.0, 90.0), "P 2 3", None),
    ]  # fmt: skip
    return crystals_of(forms)


def test_forms_are_groups_whatever_the_setting(mixture, tmp_path):
    table = ReflectionTable({"id": np.repeat(np.arange(9), 4), "d": np.ones(36)}, {i: f"x{i}" for i in range(9)})
    result = spindle.run(
        "cluster_unit_cell", mixture, table, threshold=300, **{"output.clusters": True, "output.json": "cells.json"}
    )
    assert result.summary["clusters"] == [[0, 1, 2, 3, 4], [5, 6, 7], [8]]
    groups = next(t for t in result.tables if t.key == "cell_groups")
    assert groups.column("Highest symmetry") == ["P 2 2 2", "C 1 2 1"]
    assert (
        groups.column("Space groups")[0].startswith("P 21 21 21 (2)") or "P 1 (2)" in groups.column("Space groups")[0]
    )
    for name, write in result.files.items():
        write(tmp_path / name)
    assert json.loads((tmp_path / "cells.json").read_text())["clusters"]["cluster_2"] == [5, 6, 7]
    part = spindle.files.read_reflections(tmp_path / "cluster_2.refl")
    assert len(part) == 12 and sorted(set(part["id"])) == [0, 1, 2]
    assert [e.identifier for e in spindle.files.read_experiments(tmp_path / "cluster_3.expt")] == ["x8"]
    assert (tmp_path / "cluster_unit_cell.png").read_bytes()[:4] == b"\x89PNG"


def test_a_large_threshold_joins_all(mixture):
    assert spindle.run("cluster_unit_cell", mixture, threshold=None).summary["n_clusters"] == 1


@pytest.mark.parametrize("options", [{"linkage": "ward"}, {"plot.log": True, "plot.name": "tree.svg"}])
def test_options_run(mixture, options, tmp_path):
    result = spindle.run("cluster_unit_cell", mixture, threshold=300, **options)
    assert result.summary["n_clusters"] == 3
    for name, write in result.files.items():
        write(tmp_path / name)


def test_one_crystal_is_no_group_and_none_is_an_error(mixture):
    assert spindle.run("cluster_unit_cell", Experiments(mixture[:1])).summary["n_clusters"] == 1
    from dataclasses import replace

    with pytest.raises(UserError, match="experiment 1 has no crystal"):
        spindle.run("cluster_unit_cell", Experiments([mixture[0], replace(mixture[1], crystal=None)]))
