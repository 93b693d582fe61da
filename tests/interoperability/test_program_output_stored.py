"""What programs of DIALS 3.12 printed about the processed quartz set, beside what ours say of the same files."""

from __future__ import annotations

import re

import gemmi
import numpy as np
import pytest

import spindle
from spindle.files import read_experiments, read_reflections
from spindle.testing import shared_data


@pytest.fixture(scope="module")
def quartz():
    return shared_data("dials_processed") / "quartz_processed"


@pytest.fixture(scope="module")
def printed():
    folder = shared_data("dials_processed").parents[1] / "design" / "spec" / "examples" / "program_output"
    if not folder.is_dir():
        pytest.skip("what programs of DIALS printed is not here")
    return lambda name: (folder / f"{name}.txt").read_text()


def rows_of(text, n):
    """Cells of the rows of tables with n columns, without their headers."""
    found = [[c.strip() for c in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    return [row for row in found if len(row) == n and re.search(r"\d", "".join(row))]


def test_flags_and_what_an_expression_of_them_keeps(quartz, printed):
    table = read_reflections(quartz / "integrated.refl")
    found = spindle.run("filter_reflections", None, table)
    assert [[name, str(n)] for name, n in found.tables[0].rows] == rows_of(printed("filter2"), 2)
    kept = spindle.run("filter_reflections", None, table, flag_expression="integrated_sum & ~reference_spot")
    assert f"Selected {len(kept.reflections)} reflections by flags" in printed("filter")


def test_spots_of_every_image(quartz, printed):
    found = spindle.run(
        "spot_counts_per_image",
        read_experiments(quartz / "imported.expt"),
        read_reflections(quartz / "strong.refl"),
    )
    columns = (found.tables[0].column(h) for h in ("#spots", "#spots\nno ice", "Total\nintensity"))
    mine = np.array([[int(v) for v in column] for column in columns]).T
    theirs = np.array(rows_of(printed("spot_counts"), 4), int)[:, 1:]
    np.testing.assert_array_equal(mine, theirs)


def test_lattices_that_fit_the_indexed_spots(quartz, printed):
    found = spindle.run(
        "refine_bravais_settings",
        read_experiments(quartz / "indexed.expt"),
        read_reflections(quartz / "indexed.refl"),
        nproc=1,
    )
    ours = next(t for t in found.tables if "cb_op" in t.headers).rows
    theirs = [[row[i] for i in (5, 6, 2)] for row in rows_of(printed("rbs"), 9)]
    assert len(ours) == len(theirs) == 12
    turn = [0, 0, 0, 90, 90, 90]
    for mine, (lattice, cell, rmsd) in zip(ours, theirs, strict=True):
        assert mine[5] == lattice and float(mine[2]) == pytest.approx(float(rmsd), abs=0.0021)
        # settings of equal lattices stand in another order, and an axis may point the other way
        cells = [[float(v) for v in c.split()] for l, c, _ in theirs if l == lattice]
        own = [float(v) for v in str(mine[6]).split()]
        off = [np.abs(np.abs(np.subtract(c, turn)) - np.abs(np.subtract(own, turn))).max() for c in cells]
        assert min(off) < 0.15, (lattice, own, cell)


def test_cell_and_share_of_indexed_spots(quartz, printed):
    found = spindle.run(
        "index",
        read_experiments(quartz / "imported.expt"),
        read_reflections(quartz / "strong.refl"),
        **{"parameterisation.detector.fix": "distance"},
    )
    ((_, n, n_not, _),) = rows_of(printed("index").split("# indexed")[-1], 4)
    assert found.summary["n_spots"] == int(n) + int(n_not) + 1  # DIALS leaves one out of both
    assert found.summary["n_indexed"] == pytest.approx(int(n), abs=5)
    theirs = printed("index").split("Unit cell:")[-1].split("\n")[0]
    cells = [[float(v.split("(")[0]) for v in theirs.split(",")], found.summary["unit_cell"]]
    reduced = [gemmi.GruberVector(gemmi.UnitCell(*c), gemmi.SpaceGroup("P 1")) for c in cells]
    for vector in reduced:
        vector.niggli_reduce(epsilon=1e-3)
    one, two = (np.array(vector.cell_parameters()) for vector in reduced)
    np.testing.assert_allclose(one[:3], two[:3], rtol=2e-3)
    np.testing.assert_allclose(np.abs(one[3:] - 90), np.abs(two[3:] - 90), atol=0.3)
