"""Correlations of `spindle check_indexing_symmetry` against those of DIALS. Skipped without DIALS."""

from __future__ import annotations

import re
from dataclasses import replace

import gemmi
import numpy as np
import pytest

import spindle
from spindle.files import write_experiments, write_reflections
from spindle.models import Experiments, ImageSet
from spindle.symmetry import asu_indices
from spindle.table import Flag, ReflectionTable
from spindle.testing.dials import dials
from spindle.testing.indexing import rotation_experiment

CELL = (31.0, 31.0, 44.0, 90.0, 90.0, 90.0)


def test_correlations_are_those_of_dials(tmp_path):
    """Each index once, so that the order of repeated measurements does not matter; DIALS counts pairs from both ends."""
    sweep = replace(
        rotation_experiment(CELL, "P 4", 5, seed=4), identifier="sweep",
        imageset=ImageSet(template=str(tmp_path / "none_####.cbf"), image_range=(1, 5)),
    )  # fmt: skip
    hkl = gemmi.make_miller_array(gemmi.UnitCell(*CELL), gemmi.SpaceGroup("P 1"), 4.0, 30.0)
    hkl = np.concatenate([hkl, -hkl]).astype(np.int32)
    rng = np.random.default_rng(3)
    hkl = hkl[rng.random(len(hkl)) < 0.7]
    _, number = np.unique(asu_indices(hkl, "P 4")[0], axis=0, return_inverse=True)
    value = rng.exponential(1000.0, number.max() + 1)[number.ravel()] * rng.normal(1, 0.2, len(hkl)) + 20
    n = len(hkl)
    columns = {
        "miller_index": hkl, "id": np.zeros(n, int), "intensity.sum.value": value,
        "flags": np.full(n, int(Flag.INTEGRATED_SUM)),
        "intensity.sum.variance": np.abs(value), "panel": np.zeros(n, int),
    }  # fmt: skip
    table = ReflectionTable(columns, {0: "sweep"})
    write_experiments(Experiments([sweep]), tmp_path / "x.expt")
    write_reflections(table, tmp_path / "x.refl")
    text = dials("dials.check_indexing_symmetry", "x.expt", "x.refl", "grid=1", "symop_threshold=-1", cwd=tmp_path)
    ours = spindle.run("check_indexing_symmetry", Experiments([sweep]), table, grid=1).summary["experiments"][0]
    shown = re.findall(r"^ +(\S+,\S+,\S+) +(\d+) (-?[\d.]+)", text, re.MULTILINE)[1:]
    on_axis = int(np.count_nonzero((hkl[:, :2] == 0).all(axis=1)))  # DIALS compares them with themselves
    # DIALS 3.12 names the twofold and one of the fourfold rotations the other way round: only the numbers are compared
    theirs = sorted((int(count) - on_axis, float(cc)) for _, count, cc in shown)
    own = sorted(ours["operators"][1:], key=lambda o: -o["cc"])
    for operator, (count, cc) in zip(own, theirs, strict=True):
        assert operator["cc"] == pytest.approx(cc, abs=0.01)
        assert operator["n"] in (count, count // 2)
    lines = re.finditer(r"^ *(-?\d+) +(-?\d+) +(-?\d+) +(\d+) (-?[\d.]+)", text, re.MULTILINE)
    origin = {tuple(map(int, m.groups()[:3])): (int(m[4]), float(m[5])) for m in lines}
    assert len(origin) == 27
    for shift in ours["origin"]:
        count, cc = origin[tuple(shift["offset"])]
        assert shift["n"] == count // 2
        assert shift["cc"] == pytest.approx(cc, abs=0.01)  # with one reflection that is its own mate
