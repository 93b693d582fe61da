"""Several sweeps and crystals: one indexing for all, whatever noise and the choices of indexing do to their cells."""

from __future__ import annotations

import re
from dataclasses import dataclass

import gemmi
import numpy as np
import pytest

import spindle
from spindle.geometry import rotation_matrix
from spindle.models import Beam, Crystal, Detector, Experiment, Experiments, Goniometer, Panel, Scan
from spindle.symmetry import (
    ChangeOfBasis,
    asu_indices,
    is_systematically_absent,
    lattice_group,
    laue_group_ops,
    niggli_reduce,
    primitive_operator,
)
from spindle.table import Flag, ReflectionTable

PANEL = Panel([1, 0, 0], [0, -1, 0], [-50.0, 52.0, -90.0], [0.172, 0.172], (600, 610))


@dataclass
class Sweeps:
    """Integrated sweeps and, for each, the true change of basis from the group's cell to the one it was indexed in."""

    experiments: Experiments
    table: ReflectionTable
    bases: list[ChangeOfBasis]
    group: gemmi.SpaceGroup


def simulate(symbol, cell, starts=(0.0, 90.0), n_images=50, seed=1, separate=False, same_crystal=True, d_min=0.9,
             noise=0.03, cell_noise=1e-4, choices=None, setting=None, known=False):  # fmt: skip
    """Sweeps of intensities with the symmetry of `symbol`, indexed in P 1.

    With `separate`, each sweep is indexed in another of the lattice's bases (`choices`: numbers of the rotations, else
    at random); with `same_crystal=False` each is of a crystal in another orientation. `setting` are operators of the
    sweeps in the space group's own cell, in which they are then indexed.
    """
    rng = np.random.default_rng(seed)
    group = gemmi.find_spacegroup_by_name(symbol)
    true_cell = gemmi.UnitCell(*cell)
    half = gemmi.make_miller_array(true_cell, gemmi.SpaceGroup("P 1"), d_min, 30.0)
    hkl = np.concatenate([half, -half]).astype(np.int32)
    if group.centring_type() != "P":
        points = np.rint(24 * np.array(group.operations().cen_ops) / gemmi.Op.DEN).astype(int)
        hkl = hkl[np.all((hkl @ points.T) % 24 == 0, axis=1)]
    asu, _ = asu_indices(hkl, group)
    keys, number = np.unique(asu, axis=0, return_inverse=True)
    truth = rng.exponential(1000.0, len(keys))
    truth[is_systematically_absent(keys, group)] = 0.0
    d = np.asarray(true_cell.calculate_d_array(hkl))
    value = (truth[number.ravel()]) * np.exp(-2.0 / (2 * d**2))
    crystal = Crystal.from_cell(cell, rotation_matrix(np.array([0.36, 0.48, 0.8]), 0.7))
    primitive = ChangeOfBasis.identity() if setting else primitive_operator(group)
    rows = primitive.matrix @ crystal.real_space
    transform = np.eye(3) if setting else niggli_reduce(rows)[1]
    turns = lattice_group(niggli_reduce(rows)[0], 2.5)
    items, tables, bases = [], [], []
    for k, start in enumerate(starts):
        turn = np.eye(3)
        if setting:
            turn = ChangeOfBasis.from_string(setting[k % len(setting)]).matrix
        elif separate:
            turn = turns[choices[k] if choices else int(rng.integers(len(turns)))].T
        basis = ChangeOfBasis(turn @ transform) @ primitive
        body = np.eye(3) if same_crystal or k == 0 else rotation_matrix(np.array([0.8, -0.36, 0.48]), 1.3 * k)
        A = body @ crystal.A @ np.linalg.inv(basis.matrix)
        A_seen = A @ (np.eye(3) + cell_noise * rng.normal(size=(3, 3)))
        seen = _crossing(hkl, body @ crystal.A, start, n_images)
        index, whole = basis.apply_to_indices(hkl[seen])
        assert whole.all()
        sigma = noise * value[seen] + 3.0
        n = len(seen)
        scale = (1.0, 0.4, 2.0)[k % 3]
        tables.append({
            "miller_index": index, "id": np.full(n, k), "flags": np.full(n, int(Flag.INTEGRATED_SUM)), "d": d[seen],
            "intensity.sum.value": scale * (value[seen] + rng.normal(0, sigma)),
            "intensity.sum.variance": (scale * sigma) ** 2, "partiality": np.ones(n), "partial_id": np.arange(n),
            "xyzcal.px": np.full((n, 3), 5.0), "xyzcal.mm": np.zeros((n, 3)),
        })  # fmt: skip
        seen_crystal = Crystal(A_seen)
        if setting:
            seen_crystal = seen_crystal.with_space_group(group, known=known)
        items.append(Experiment(Beam([0, 0, 1], 0.7), Detector([PANEL]), Goniometer([1, 0, 0]),
                                Scan((1, n_images), (start, 1.0)), seen_crystal))  # fmt: skip
        bases.append(basis)
    table = ReflectionTable({c: np.concatenate([t[c] for t in tables]) for c in tables[0]})
    return Sweeps(Experiments(items), table, bases, group)


def _crossing(hkl, A, start, n_images, wavelength=0.7):
    """Rows of the indices whose points cross the sphere of reflection in the sweep."""
    r = hkl @ A.T
    s0 = np.array([0, 0, 1 / wavelength])
    sides = []
    for angle in np.deg2rad(start + np.arange(n_images + 1)):
        turned = r @ rotation_matrix(np.array([1.0, 0, 0]), angle).T
        sides.append(np.linalg.norm(turned + s0, axis=1) > 1 / wavelength)
    return np.flatnonzero(np.any(np.diff(np.array(sides), axis=0), axis=0))


def operator_found(result, sweeps, k):
    """Matrix from the true indices to those that symmetry writes for sweep k."""
    A = result.experiments[k].crystal.A
    rows = sweeps.table["id"] == k
    before = sweeps.table["miller_index"][rows][:50] @ np.linalg.inv(sweeps.bases[k].matrix).T
    after = result.reflections["miller_index"][result.reflections["id"] == k][:50]
    matrix, *_ = np.linalg.lstsq(before, after, rcond=None)
    assert np.abs(before @ matrix - after).max() < 1e-6
    assert np.isfinite(A).all()
    return matrix.T


def check(sweeps, numbers=None, **params):
    """The space group is found and all sweeps are in one indexing of it."""
    result = spindle.run("symmetry", sweeps.experiments, sweeps.table, **params)
    group = result.experiments[0].crystal.space_group
    assert group.number in (numbers or [sweeps.group.number]), group.xhm()
    turns = laue_group_ops(group, proper=True)
    first = operator_found(result, sweeps, 0)
    for k in range(1, len(sweeps.experiments)):
        between = np.linalg.inv((operator_found(result, sweeps, k) @ np.linalg.inv(first)).T)
        assert any(np.allclose(between, t, atol=1e-5) for t in turns), (k, between)
    return result


MIRRORED = {76: (76, 78), 78: (76, 78), 144: (144, 145), 145: (144, 145), 169: (169, 170), 170: (169, 170)}
JOINT = [
    ("P 43", (9.4, 9.4, 12.6, 90, 90, 90)),
    ("P 1 21 1", (11.4, 7.9, 9.2, 90, 101.3, 90)),
    ("P 1 21 1", (11.4, 7.9, 11.41, 90, 103.0, 90)),
    ("P 1 21 1", (11.4, 7.9, 9.2, 90, 90.02, 90)),
    ("P 21 21 21", (8.0, 8.002, 12.1, 90, 90, 90)),
    ("P 21 21 2", (9.0, 9.001, 9.002, 90, 90, 90)),
    ("C 2 2 21", (8.0, 13.87, 9.0, 90, 90, 90)),
    ("P 1", (8.1, 9.2, 10.3, 90.01, 89.99, 90.01)),
    ("P 1", (8.1, 8.1, 8.1, 90.0, 90.0, 90.0)),
    ("P 31", (9.0, 9.0, 11.0, 90, 90, 120)),
    ("P 61", (9.0, 9.0, 11.0, 90, 90, 120)),
    ("R 3:H", (12.0, 12.0, 9.0, 90, 90, 120)),
    ("I 1 2 1", (14.1, 9.74, 15.05, 90, 97.34, 90)),
    ("P 21 3", (9.5, 9.5, 9.5, 90, 90, 90)),
    ("I 2 3", (11.0, 11.0, 11.0, 90, 90, 90)),
    ("P 4 3 2", (10.5, 10.5, 10.5, 90, 90, 90)),
    ("F 2 2 2", (11.0, 13.0, 17.0, 90, 90, 90)),
]


@pytest.mark.parametrize(("symbol", "cell"), JOINT)
@pytest.mark.sampled(4)
def test_sweeps_that_were_indexed_together_change_together(symbol, cell):
    sweeps = simulate(symbol, cell, starts=(0.0, 60.0, 120.0))
    result = check(sweeps, MIRRORED.get(gemmi.SpaceGroup(symbol).number) or OPEN.get(symbol))
    operators = [operator_found(result, sweeps, k) for k in range(3)]
    np.testing.assert_allclose(operators[1:], [operators[0]] * 2, atol=1e-6)


#: Groups that axial reflections cannot tell apart, or may not be seen to.
OPEN = {"I 2 3": (197, 199), "P 21 21 2": (16, 17, 18), "P 4 3 2": (207, 208, 212, 213), "P 43": (75, 76, 77, 78)}
SEPARATE = [
    ("P 3", (9.0, 9.0, 11.0, 90, 90, 120)),
    ("P 4", (9.4, 9.4, 12.6, 90, 90, 90)),
    ("P 6", (9.0, 9.0, 11.0, 90, 90, 120)),
    ("P 2 3", (9.5, 9.5, 9.5, 90, 90, 90)),
    ("R 3:H", (12.0, 12.0, 9.0, 90, 90, 120)),
    ("P 1 21 1", (11.4, 7.9, 9.2, 90, 90.0, 90)),
    ("P 1 21 1", (11.4, 7.9, 11.4, 90, 103.0, 90)),
    ("P 21 21 21", (8.0, 8.03, 12.1, 90, 90, 90)),
    ("P 1", (8.1, 9.2, 10.3, 90.0, 90.0, 90.0)),
    ("I 4", (12.4, 12.4, 9.6, 90, 90, 90)),
    ("P 3 2 1", (9.0, 9.0, 11.0, 90, 90, 120)),
]


@pytest.mark.parametrize("same_crystal", [True, False])
@pytest.mark.parametrize(("symbol", "cell"), SEPARATE)
@pytest.mark.sampled(4)
def test_sweeps_that_were_indexed_separately_are_brought_together(symbol, cell, same_crystal):
    sweeps = simulate(
        symbol, cell, starts=(0.0, 40.0, 90.0), separate=True, same_crystal=same_crystal, n_images=60, cell_noise=3e-4
    )
    check(sweeps)


def test_a_sweep_that_does_not_agree_is_named(caplog):
    """Intensities of another structure in the same cell: Rmerge of unrelated intensities is about one half."""
    cell = (11.4, 7.9, 9.2, 90, 101.3, 90)
    sweeps = simulate("P 1 21 1", cell, starts=(0.0, 40.0, 90.0))
    other = simulate("P 1 21 1", cell, starts=(0.0, 40.0, 90.0), seed=7)
    assert len(other.table) == len(sweeps.table)
    rows = sweeps.table["id"] == 2
    value = sweeps.table["intensity.sum.value"].copy()
    value[rows] = other.table["intensity.sum.value"][rows]
    sweeps.table["intensity.sum.value"] = value
    with caplog.at_level("WARNING"):
        result = spindle.run("symmetry", sweeps.experiments, sweeps.table)
    named = [r.getMessage() for r in caplog.records if "does not agree" in r.getMessage()]
    assert any("Experiment 2" in m for m in named)
    table = next(t for t in result.tables if t.key == "agreement")
    between = table.column("Rmerge with others")
    assert between[2] > 0.4
    assert table.column("Rmerge within")[2] < 0.1


KNOWN = [
    ("P -1", (7.9, 8.6, 11.4, 81, 97, 103)),
    ("P 1", (7.9, 8.6, 11.4, 90, 90, 90)),
    ("P 1 21/n 1", (11.4, 7.9, 9.2, 90, 101.3, 90)),
    ("P 1 21/a 1", (11.4, 7.9, 9.2, 90, 101.3, 90)),
    ("P 1 1 21", (9.2, 11.4, 7.9, 90, 90, 101.3)),
    ("B 1 1 2", (9.2, 11.4, 12.9, 90, 90, 101.3)),
    ("C 1 1 21", (9.2, 11.4, 12.9, 90, 90, 101.3)),
    ("I 1 2 1", (14.1, 9.74, 15.05, 90, 97.34, 90)),
    ("C 1 2/c 1", (14.1, 9.74, 15.05, 90, 117.34, 90)),
    ("P 1 2 1", (14.1, 7.74, 9.05, 90, 131.0, 90)),
    ("P n m a", (12.0, 7.0, 9.0, 90, 90, 90)),
    ("P 2 21 21", (12.0, 7.0, 9.0, 90, 90, 90)),
    ("A m m 2", (8.0, 9.0, 14.0, 90, 90, 90)),
    ("F d d d:1", (11.0, 13.0, 17.0, 90, 90, 90)),
    ("P 4 2 2", (9.4, 9.4, 12.6, 90, 90, 90)),
    ("I 41/a:1", (12.4, 12.4, 9.6, 90, 90, 90)),
    ("P 3 1 2", (9.0, 9.0, 11.0, 90, 90, 120)),
    ("R 3:H", (12.0, 12.0, 9.0, 90, 90, 120)),
    ("R 3:R", (8.0, 8.0, 8.0, 97, 97, 97)),
    ("R -3 c:R", (8.0, 8.0, 8.0, 83, 83, 83)),
    ("P 6 2 2", (9.0, 9.0, 11.0, 90, 90, 120)),
    ("P a -3", (9.5, 9.5, 9.5, 90, 90, 90)),
]


@pytest.mark.parametrize(("symbol", "cell"), KNOWN)
@pytest.mark.sampled(4)
def test_a_known_space_group_and_its_setting_are_kept(symbol, cell, caplog):
    sweeps = simulate(symbol, cell, starts=(0.0, 90.0), setting=["a,b,c"], known=True, d_min=1.1)
    result = spindle.run("symmetry", sweeps.experiments, sweeps.table)
    for before, after in zip(sweeps.experiments, result.experiments, strict=True):
        assert after.crystal.space_group.xhm() == symbol
        assert after.crystal.space_group_is_known
        np.testing.assert_allclose(after.crystal.A, before.crystal.A, atol=2e-3)
    np.testing.assert_array_equal(result.reflections["miller_index"], sweeps.table["miller_index"])
    assert "contradict" not in caplog.text


@pytest.mark.parametrize(("symbol", "cell", "operator"), [
    ("P 4", (9.4, 9.4, 12.6, 90, 90, 90), "b,a,-c"), ("P 3", (9.0, 9.0, 11.0, 90, 90, 120), "-a,-b,c"),
    ("P 2 3", (9.5, 9.5, 9.5, 90, 90, 90), "b,-a,c"), ("P 1 21 1", (9.4, 7.0, 9.4, 90, 103, 90), "c,-b,a"),
    ("R 3:R", (8.0, 8.0, 8.0, 97, 97, 97), "-b,-a,-c"),
])  # fmt: skip
def test_crystals_in_a_known_group_are_brought_into_one_of_its_indexings(symbol, cell, operator):
    sweeps = simulate(symbol, cell, starts=(0.0, 40.0, 90.0), setting=["a,b,c", operator, "a,b,c"], known=True,
                      same_crystal=False, n_images=60)  # fmt: skip
    check(sweeps)


@pytest.mark.parametrize(("given", "true", "numbers"), [
    ("P 1 21/a 1", "P 1 21/n 1", r"\d+ of \d+ reflections that it forbids"),
    ("P 2/m 2/m 2/m", "P 1 21/n 1", r"probability of 0\.0\d .*2-fold along .* CC -?0\.\d+ of \d+ pairs"),
])  # fmt: skip
def test_data_that_contradict_the_known_group_are_said_with_numbers(given, true, numbers, caplog):
    sweeps = simulate(true, (11.4, 7.9, 9.2, 90, 90.0, 90), starts=(0.0, 90.0), setting=["a,b,c"])
    group = gemmi.SpaceGroup(given.replace("P 2/m 2/m 2/m", "P m m m"))
    experiments = sweeps.experiments
    for crystal in experiments.unique("crystal"):
        experiments = experiments.with_model(crystal, crystal.with_space_group(group, known=True))
    result = spindle.run("symmetry", experiments, sweeps.table)
    assert result.experiments[0].crystal.space_group.xhm() == group.xhm()
    said = " ".join(r.getMessage() for r in caplog.records if "contradict" in r.getMessage())
    assert re.search(numbers, said), said


def with_known_group(sweeps, symbol):
    experiments = sweeps.experiments
    for crystal in experiments.unique("crystal"):
        experiments = experiments.with_model(crystal, crystal.with_space_group(gemmi.SpaceGroup(symbol), known=True))
    return experiments


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_one_strong_forbidden_reflection_contradicts_no_group(seed, caplog):
    """An outlier among all that a screw axis forbids, and the only one that was measured of them."""
    sweeps = simulate(
        "P 1 21 1", (9.4, 11.0, 9.9, 90, 103, 90), starts=(0.0, 90.0), setting=["a,b,c"], known=True, seed=seed
    )
    table = sweeps.table
    h, k, l = table["miller_index"].T
    forbidden = np.flatnonzero((h == 0) & (l == 0) & (k % 2 != 0))
    one = forbidden[np.abs(k[forbidden]) == np.abs(k[forbidden[0]])]
    table["intensity.sum.value"][one] = 2e4
    table["intensity.sum.variance"][one] = 400.0
    result = spindle.run("symmetry", sweeps.experiments, table)
    assert "contradict the space group" not in caplog.text and "contradiction" not in result.summary
    few = np.ones(len(table), bool)
    few[np.setdiff1d(forbidden, one)] = False
    result = spindle.run("symmetry", sweeps.experiments, table.select(few))
    assert "contradiction" not in result.summary and result.experiments[0].crystal.space_group.hm == "P 1 21 1"


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_many_forbidden_reflections_contradict_a_group_with_numbers(seed, caplog):
    sweeps = simulate("P 1 2 1", (6.4, 29.0, 6.9, 90, 103, 90), starts=(0.0, 90.0), setting=["a,b,c"], seed=seed)
    result = spindle.run("symmetry", with_known_group(sweeps, "P 1 21 1"), sweeps.table)
    said = result.summary["contradiction"]
    assert said in caplog.text and re.search(
        r"\d+ of \d+ reflections .* with a probability of \S+\), their mean intensity is \d\.", said
    )


@pytest.mark.parametrize(("symbol", "cell", "setting"), [
    ("P 1 21/n 1", (11.4, 7.9, 9.2, 90, 101.3, 90), "-a-c,b,a"), ("P 21 2 21", (9.2, 7.9, 11.4, 90, 90, 90), "b,c,a"),
])  # fmt: skip
def test_axes_on_which_data_agree_with_the_known_group_are_told(symbol, cell, setting, caplog):
    sweeps = simulate(symbol, cell, starts=(0.0, 50.0, 100.0), setting=[setting])
    experiments = with_known_group(sweeps, symbol)
    spindle.run("symmetry", experiments, sweeps.table)
    told = re.search(r"reindex with change_of_basis_op=(\S+) space_group='(.*?)'", caplog.text)
    assert told and told[2] == symbol, caplog.text
    turned = spindle.run("reindex", experiments, sweeps.table, change_of_basis_op=told[1], space_group=told[2])
    caplog.clear()
    result = spindle.run("symmetry", turned.experiments, turned.reflections)
    assert "contradict" not in caplog.text
    assert result.experiments[0].crystal.space_group.xhm() == symbol
    np.testing.assert_allclose(sorted(result.experiments[0].crystal.cell), sorted(cell), rtol=5e-3)


def test_an_earlier_result_in_another_setting_is_kept():
    """P 1 1 21 that an earlier step found is not turned into P 1 21 1, nor does it lose its screw axis."""
    sweeps = simulate("P 1 1 21", (9.2, 11.4, 7.9, 90, 90, 101.3), setting=["a,b,c"])
    result = spindle.run("symmetry", sweeps.experiments, sweeps.table)
    assert result.experiments[0].crystal.space_group.xhm() == "P 1 1 21"
    np.testing.assert_array_equal(result.reflections["miller_index"], sweeps.table["miller_index"])


def test_without_a_laue_group_only_screw_axes_are_looked_at():
    sweeps = simulate("P 1 21 1", (11.4, 7.9, 9.2, 90, 101.3, 90), setting=["a,b,c"])
    experiments = sweeps.experiments
    for crystal in experiments.unique("crystal"):
        experiments = experiments.with_model(crystal, crystal.with_space_group("P 1 2 1"))
    result = spindle.run("symmetry", experiments, sweeps.table, laue_group=None)
    assert result.experiments[0].crystal.space_group.xhm() == "P 1 21 1"


@pytest.mark.parametrize("kind", ["noise", "shuffled"])
def test_data_without_symmetry_stay_in_the_lowest_group_and_say_so(kind, caplog):
    """Noise about zero, whose CC agree with those of a true symmetry (both are nothing), and unrelated intensities."""
    sweeps = simulate("P 43", (9.4, 9.4, 12.6, 90, 90, 90))
    rng = np.random.default_rng(5)
    n = len(sweeps.table)
    if kind == "noise":
        sweeps.table["intensity.sum.value"] = rng.normal(0, 5.0, n)
        sweeps.table["intensity.sum.variance"] = np.full(n, 25.0)
    else:
        order = rng.permutation(n)
        for name in ("intensity.sum.value", "intensity.sum.variance"):
            sweeps.table[name] = sweeps.table[name][order]
    result = spindle.run("symmetry", sweeps.experiments, sweeps.table)
    assert result.experiments[0].crystal.space_group.xhm() == "P 1"
    assert "not decided" in result.summary["problem"]
    assert "P 1" in result.next_step
    assert "not decided" in caplog.text
