"""Laue group and space group from intensities with known symmetry."""

from __future__ import annotations

from dataclasses import replace

import gemmi
import numpy as np
import pytest

import spindle
from spindle.errors import UserError
from spindle.geometry import rotation_matrix
from spindle.models import Beam, Crystal, Detector, Experiment, Experiments, Goniometer, Panel, Scan
from spindle.symmetry import ChangeOfBasis, asu_indices, is_systematically_absent
from spindle.table import Flag, ReflectionTable
from spindle_lib_symmetry_analysis.absences import direct_score, fourier_score
from spindle_lib_symmetry_analysis.resolution import resolution_limits

CELLS = {
    "P 1": (41.0, 53.0, 62.0, 82.0, 95.0, 101.0),
    "P 1 21 1": (41.0, 53.0, 62.0, 90.0, 104.0, 90.0),
    "C 1 2 1": (91.0, 53.0, 62.0, 90.0, 104.0, 90.0),
    "P 21 21 21": (41.0, 53.0, 62.0, 90.0, 90.0, 90.0),
    "P 43 21 2": (61.0, 61.0, 40.0, 90.0, 90.0, 90.0),
    "P 4": (61.0, 61.0, 40.0, 90.0, 90.0, 90.0),
    "P 61": (61.0, 61.0, 80.0, 90.0, 90.0, 120.0),
    "P 31 2 1": (61.0, 61.0, 80.0, 90.0, 90.0, 120.0),
    "I 2 3": (70.0, 70.0, 70.0, 90.0, 90.0, 90.0),
    "R 3 2:H": (70.0, 70.0, 95.0, 90.0, 90.0, 120.0),
}
ALSO = {"P 43 21 2": "P 41 21 2", "P 65": "P 61", "P 32 2 1": "P 31 2 1", "I 2 3": "I 2 3"}


def intensities(symbol, d_min=3.2, noise=0.05, seed=1):
    """An experiment in the primitive reduced cell, in P 1, whose intensities have the symmetry of `symbol`."""
    from spindle.symmetry import niggli_reduce, primitive_operator

    group = gemmi.find_spacegroup_by_name(symbol)
    cell = gemmi.UnitCell(*CELLS[symbol])
    hkl = gemmi.make_miller_array(cell, gemmi.SpaceGroup("P 1"), d_min, 30.0)
    hkl = np.concatenate([hkl, -hkl]).astype(np.int32)
    hkl = hkl[~np.asarray(group.operations().systematic_absences(hkl))] if group.centring_type() != "P" else hkl
    asu, _ = asu_indices(hkl, group)
    keys, number = np.unique(asu, axis=0, return_inverse=True)
    rng = np.random.default_rng(seed)
    truth = rng.exponential(1000.0, len(keys))
    truth[is_systematically_absent(keys, group)] = 0.0
    d = np.asarray(cell.calculate_d_array(hkl))
    value = truth[number] * np.exp(-20.0 / (2 * d**2))
    sigma = noise * value + 3.0
    primitive = primitive_operator(group)
    crystal = Crystal.from_cell(CELLS[symbol], rotation_matrix(np.array([0.36, 0.48, 0.8]), 0.7))
    _, transform = niggli_reduce(primitive.matrix @ crystal.real_space)
    to_minimum = ChangeOfBasis(transform) @ primitive
    reduced, whole = to_minimum.apply_to_indices(hkl)
    assert whole.all()
    n = len(hkl)
    table = ReflectionTable({
        "miller_index": reduced, "id": np.zeros(n, int), "flags": np.full(n, int(Flag.INTEGRATED_SUM)), "d": d,
        "intensity.sum.value": value + rng.normal(0, sigma), "intensity.sum.variance": sigma**2,
        "partiality": np.ones(n),
        "partial_id": np.arange(n), "xyzcal.px": np.full((n, 3), 5.0), "xyzcal.mm": np.zeros((n, 3)),
    })  # fmt: skip
    panel = Panel([1, 0, 0], [0, -1, 0], [-50.0, 52.0, -90.0], [0.172, 0.172], (600, 610))
    A = crystal.A @ np.linalg.inv(to_minimum.matrix)
    experiment = Experiment(
        Beam([0, 0, 1], 1.0), Detector([panel]), Goniometer([1, 0, 0]), Scan((1, 180), (0.0, 1.0)), Crystal(A)
    )
    return Experiments([experiment]), table


@pytest.mark.parametrize("symbol", list(CELLS))
@pytest.mark.sampled(3)
def test_the_space_group_of_simulated_intensities_is_found(symbol):
    experiments, table = intensities(symbol)
    result = spindle.run("symmetry", experiments, table)
    found = result.experiments[0].crystal.space_group
    expected = gemmi.find_spacegroup_by_name(ALSO.get(symbol, symbol))
    assert (found.number, found.hm) == (expected.number, expected.hm)
    np.testing.assert_allclose(np.sort(result.experiments[0].crystal.cell[:3]), np.sort(CELLS[symbol][:3]), rtol=1e-6)
    # The new indices with the new A give the reciprocal lattice points of the old ones.
    before = table["miller_index"] @ experiments[0].crystal.A.T
    after = result.reflections["miller_index"] @ result.experiments[0].crystal.A.T
    np.testing.assert_allclose(after, before, atol=1e-9)


def test_a_lattice_of_higher_symmetry_than_the_intensities_is_not_believed():
    """An orthorhombic lattice with monoclinic intensities."""
    CELLS["P 1 2 1"] = (41.0, 53.0, 62.0, 90.0, 90.0, 90.0)
    experiments, table = intensities("P 1 2 1")
    assert spindle.run("symmetry", experiments, table).experiments[0].crystal.space_group.hm == "P 1 2 1"


@pytest.mark.parametrize("normalisation", ["kernel", "quasi", "ml_iso"])
def test_every_normalisation_finds_the_group(normalisation):
    experiments, table = intensities("P 21 21 21")
    result = spindle.run("symmetry", experiments, table, normalisation=normalisation)
    assert result.experiments[0].crystal.space_group.hm == "P 21 21 21"


def test_fourier_method_finds_the_screw_axes():
    experiments, table = intensities("P 21 21 21", d_min=2.2)
    result = spindle.run("symmetry", experiments, table, **{"systematic_absences.method": "fourier"})
    assert result.experiments[0].crystal.space_group.hm == "P 21 21 21"


def test_a_laue_group_can_be_asked_for():
    experiments, table = intensities("P 43 21 2")
    result = spindle.run("symmetry", experiments, table, laue_group="P 2 2 2")
    assert result.experiments[0].crystal.space_group.point_group_hm() == "222"
    with pytest.raises(UserError, match="no symmetry of this lattice"):
        spindle.run("symmetry", experiments, table, laue_group="P 6 2 2")


def test_weak_data_warn_of_an_unsure_choice(caplog):
    experiments, table = intensities("P 21 21 21", d_min=6.0, noise=30.0)
    caplog.set_level("INFO", logger="spindle")
    spindle.run("symmetry", experiments, table, d_min=None)
    assert "The symmetry is not decided" in caplog.text and "Space group P 1," in caplog.text


def test_images_can_be_left_out():
    experiments, table = intensities("P 21 21 21")
    with pytest.raises(UserError, match="exclude_images"):
        spindle.run("symmetry", experiments, table, exclude_images=["a:b"])
    with pytest.raises(UserError, match=r"table is empty|is left"):
        spindle.run("symmetry", experiments, table, exclude_images=["0:1:20"])


def test_a_known_space_group_is_kept_where_intensities_cannot_tell():
    """P 43 21 2 that was given is not turned into its mirror image; nor is a group that contradicts the intensities kept."""
    experiments, table = intensities("P 43 21 2")
    known = Experiments([replace(e, crystal=e.crystal.with_space_group("P 1")) for e in experiments])
    first = spindle.run("symmetry", known, table)
    assert first.experiments[0].crystal.space_group.hm == "P 41 21 2"
    told = Experiments([replace(e, crystal=e.crystal.with_space_group("P 43 21 2")) for e in first.experiments])
    assert spindle.run("symmetry", told, first.reflections).experiments[0].crystal.space_group.hm == "P 43 21 2"
    wrong = Experiments([replace(e, crystal=e.crystal.with_space_group("P 42 21 2")) for e in first.experiments])
    assert spindle.run("symmetry", wrong, first.reflections).experiments[0].crystal.space_group.hm == "P 41 21 2"


def test_the_page_shows_what_decided(tmp_path):
    """Screw axes, probabilities and the twin tests of a group with all of them."""
    experiments, table = intensities("P 43 21 2")
    page = tmp_path / "symmetry.html"
    result = spindle.run("symmetry", experiments, table, **{"output.html": str(page)})
    result.files[str(page)](page)
    text = page.read_text()
    assert result.summary["space_group"] in ("P 41 21 2", "P 43 21 2")
    for part in (
        "Probability of each Laue group",
        "Probability of each space group",
        "Reflections 0 0 l",
        "L test",
        "Screw axis",
        "clearly",
    ):
        assert part in text, part


@pytest.fixture(scope="module")
def tetragonal():
    return intensities("P 4", d_min=4.0)


def with_cell(experiment, cell, identifier):
    crystal = Crystal.from_cell(cell, experiment.crystal.U, experiment.crystal.space_group)
    return replace(experiment, crystal=crystal, identifier=identifier)


@pytest.mark.parametrize(("max_delta", "symbol"), [(2.0, "P 4"), (0.1, "P 1 2 1")])
def test_a_lattice_may_deviate_by_max_delta(tetragonal, max_delta, symbol):
    (experiment,), table = tetragonal
    cell = np.array(experiment.crystal.cell)
    cell[3:] += np.where(np.argsort(np.argsort(cell[:3])) == 0, 0.8, 0.0)  # between the two long axes
    found = spindle.run(
        "symmetry", Experiments([with_cell(experiment, cell, "a")]), table, lattice_symmetry_max_delta=max_delta,
        **{"systematic_absences.check": False},
    )  # fmt: skip
    assert found.summary["space_group"] == symbol


@pytest.mark.parametrize(("best", "symbol"), [(True, "I 1 2 1"), (False, "C 1 2 1")])
def test_the_cell_with_the_best_beta_is_taken(monkeypatch, best, symbol):
    monkeypatch.setitem(CELLS, "C 1 2 1", (91.0, 53.0, 40.0, 90.0, 116.0, 90.0))  # a + c is at right angles to c
    found = spindle.run("symmetry", *intensities("C 1 2 1", d_min=4.5), best_monoclinic_beta=best)
    assert found.summary["space_group"] == symbol


@pytest.mark.parametrize(
    ("options", "refused"),
    [({}, False), ({"relative_length_tolerance": 0.001}, True), ({"absolute_angle_tolerance": 0.1}, True)],
)
def test_cells_within_the_tolerances_are_one_crystal(tetragonal, options, refused):
    (experiment,), table = tetragonal
    other = np.array(experiment.crystal.cell) * (1.005, 1, 1, 1, 1, 1) + (0, 0, 0, 0.5, 0, 0)
    two = Experiments([experiment, with_cell(experiment, other, "other")])
    table = table.view()
    table["id"] = (np.arange(len(table)) % 2).astype(np.int32)
    if refused:
        with pytest.raises(UserError, match=next(iter(options))):
            spindle.run("symmetry", two, table, **options)
    else:
        assert spindle.run("symmetry", two, table).summary["space_group"] == "P 4"


def test_the_analysis_ends_where_half_sets_agree_as_asked():
    rng = np.random.default_rng(2)
    hkl = rng.permutation(np.array(np.meshgrid(*[np.arange(1, 16)] * 3)).reshape(3, -1).T)[:2000]
    d = np.repeat(60.0 / np.sqrt((hkl**2).sum(axis=1)), 4)
    true = np.repeat(rng.exponential(100, len(hkl)), 4) * np.exp(-60 / (2 * d**2))
    value = true + rng.normal(0, 3, len(d))
    found = [
        resolution_limits(np.repeat(hkl, 4, axis=0).astype(np.int32), value, np.full(len(d), 9.0), d, None, least)[1]
        for least in (0.3, 0.6, 0.9)
    ]
    assert found[0] < found[1] < found[2]


def test_an_axis_is_believed_from_the_significance_level_on():
    index = np.arange(2, 26)
    ratio = np.where(index % 2 == 0, 4.0, 1.0) + np.random.default_rng(3).normal(0, 3.0, len(index))
    p = fourier_score(ratio, index, 2, 0.0)
    assert 0.5 < p < 1 and fourier_score(ratio, index, 2, p + 1e-6) == 0.0
    weak = np.where(index % 2 == 0, 2.0, 0.1)
    assert direct_score(weak, index % 2 == 0, 1.9) > 0.9 and direct_score(weak, index % 2 == 0, 2.1) == 0.0
