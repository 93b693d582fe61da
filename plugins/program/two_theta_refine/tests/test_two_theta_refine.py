"""`spindle two_theta_refine`: true cells from exact and noisy spots, what is selected, several crystals, files, refusals."""

from __future__ import annotations

import json
from dataclasses import replace

import gemmi
import numpy as np
import pytest
from spindle_program_two_theta_refine.fit import calculated_two_theta, fit_metric
from spindle_program_two_theta_refine.outputs import with_esd
from spindle_program_two_theta_refine.spread import mean_of_crystals

import spindle
from spindle.errors import UserError
from spindle.geometry import rotation_matrix
from spindle.models import Crystal, Experiments
from spindle.prediction import add_observed_geometry
from spindle.table import Flag, ReflectionTable
from spindle.testing import PluginContract
from spindle.testing.refinement_problems import rotation_experiment, spots_of, with_noise
from spindle_lib_refinement.metric import cell_and_slope, index_products, metric_constraints, metric_elements

U = rotation_matrix(np.array([0.6, 0.0, 0.8]), 0.7)


class TestTwoThetaRefinePlugin(PluginContract):
    slot = "program"
    name = "two_theta_refine"


def sweep_of(cell, group, identifier="sweep", turn=0.0):
    crystal = Crystal.from_cell(cell, rotation_matrix(np.array([0.0, 1.0, 0.0]), turn) @ U, group)
    return replace(rotation_experiment(40), crystal=crystal, identifier=identifier)


def off(experiment, stretch):
    """The experiment with a cell that is a little wrong."""
    return replace(experiment, crystal=experiment.crystal.with_A(experiment.crystal.A @ np.diag(stretch)))


def spots(experiment, noise=None, index=0, d_min=3.2):
    table = spots_of(experiment, d_min, index)
    if noise is not None:
        table = with_noise(table, 3, np.array(noise))
    return add_observed_geometry(Experiments([experiment] * (index + 1)), table)


def refine(experiments, tables, **params):
    if not isinstance(experiments, Experiments):
        experiments, tables = Experiments([experiments]), [tables]
    return spindle.run("two_theta_refine", experiments, tables, **{k.replace("__", "."): v for k, v in params.items()})


@pytest.mark.parametrize(
    ("cell", "group"),
    [
        ((58.0, 58.0, 41.0, 90.0, 90.0, 90.0), "P 4"),
        ((40.0, 51.0, 62.0, 90.0, 104.0, 90.0), "C 1 2 1"),
        ((44.0, 44.0, 55.0, 90.0, 90.0, 120.0), "P 3"),
        ((40.0, 45.0, 52.0, 81.0, 96.0, 107.0), "P 1"),
    ],
)
def test_the_true_cell_is_found_from_exact_spots(cell, group):
    truth = sweep_of(cell, group)
    result = refine(off(truth, [0.997, 0.997, 1.002]), spots(truth))
    np.testing.assert_allclose(result.summary["cells"][0], cell, atol=1e-6)
    crystal = result.experiments[0].crystal
    np.testing.assert_allclose(crystal.extra["recalculated_unit_cell"], cell, atol=1e-7)
    np.testing.assert_array_equal(crystal.A, off(truth, [0.997, 0.997, 1.002]).crystal.A)


def test_deviations_are_those_of_the_scatter():
    """Over many noisy data sets the refined edges scatter as their standard deviations say, volumes too."""
    truth = sweep_of((58.0, 58.0, 41.0, 90, 90, 90), "P 4")
    exact = spots(truth, d_min=4.0)
    pulls = []
    for seed in range(40):
        table = add_observed_geometry(Experiments([truth]), with_noise(exact, seed, np.array([0.3, 0.3, 0.01])))
        result = refine(truth, table)
        summary = result.summary
        error = np.array(summary["cells"][0])[[0, 2]] - [58.0, 41.0]
        pulls.append([*(error / np.array(summary["cell_esds"][0])[[0, 2]])])
    assert 0.75 < np.std(pulls) < 1.3
    assert np.abs(np.mean(pulls)) < 0.4
    crystal = result.experiments[0].crystal
    assert (crystal.cell_sd[3:] == 0).all() and crystal.extra["recalculated_cell_volume_sd"] > 0


def test_derivatives_of_cell_and_volume():
    metric = metric_elements(Crystal.from_cell((40.0, 45.0, 52.0, 81.0, 96.0, 107.0)).A)
    values, slope = cell_and_slope(metric)
    np.testing.assert_allclose(values[:6], (40.0, 45.0, 52.0, 81.0, 96.0, 107.0), atol=1e-9)
    for k in range(6):
        step = np.zeros(6)
        step[k] = 1e-9
        numeric = (cell_and_slope(metric + step)[0] - cell_and_slope(metric - step)[0]) / 2e-9
        np.testing.assert_allclose(slope[:, k], numeric, rtol=1e-5, atol=1e-3 * np.abs(slope).max(axis=1).min())
    with pytest.raises(ValueError, match="no cell"):
        cell_and_slope(np.array([1.0, 1.0, 1.0, 2.0, 0.0, 0.0]))


def test_without_symmetry_the_primitive_cell_is_refined_and_the_crystals_keep_their_setting():
    truth = sweep_of((40.0, 51.0, 62.0, 90.0, 104.0, 90.0), "C 1 2 1")
    result = refine(truth, spots(truth, [0.3, 0.3, 0.01]), refinement__triclinic=True)
    primitive = gemmi.UnitCell(*result.summary["cells"][0])
    assert primitive.volume == pytest.approx(0.5 * gemmi.UnitCell(40, 51, 62, 90, 104, 90).volume, rel=1e-3)
    crystal = result.experiments[0].crystal
    assert crystal.hall == truth.crystal.hall
    own, sd = np.array(crystal.extra["recalculated_unit_cell"]), crystal.cell_sd
    assert (sd > 0).all()
    assert (np.abs(own - truth.crystal.cell) < 5 * sd).all()
    assert 2 * primitive.volume == pytest.approx(gemmi.UnitCell(*own).volume, rel=1e-6)


def test_one_cell_for_all_or_one_for_each():
    first = sweep_of((58.0, 58.0, 41.0, 90, 90, 90), "P 4", "a")
    second = sweep_of((58.3, 58.3, 41.2, 90, 90, 90), "P 4", "b", turn=0.4)
    tables = [spots(first), spots(second)]
    tables[1].identifiers = {0: "b"}
    both = Experiments([first, second])
    together = refine(both, tables)
    assert len(together.summary["cells"]) == 1
    assert 58.0 < together.summary["cells"][0][0] < 58.3
    assert together.summary["n_reflections"] == len(tables[0]) + len(tables[1])
    apart = refine(both, tables, refinement__combine_crystal_models=False)
    np.testing.assert_allclose(np.array(apart.summary["cells"])[:, :3], [[58, 58, 41], [58.3, 58.3, 41.2]], atol=1e-6)
    joined = tables[1].view()
    joined["id"], joined.identifiers = np.ones(len(joined), np.int32), {1: "b"}
    again = refine(both, [ReflectionTable.concatenate([tables[0], joined])])
    assert again.summary["cells"] == together.summary["cells"]
    other = sweep_of((66.0, 66.0, 41.0, 90, 90, 90), "P 4", "b")
    with pytest.raises(UserError, match="not one cell"):
        refine(Experiments([first, other]), tables)


def test_only_good_reflections_are_used():
    truth = sweep_of((58.0, 58.0, 41.0, 90, 90, 90), "P 4")
    table = spots(truth)
    n = len(table)
    flags = table["flags"].copy()
    flags[: n // 2] |= np.uint64(int(Flag.INTEGRATED_SUM | Flag.INTEGRATED_PRF))
    flags[: n // 8] &= ~np.uint64(int(Flag.STRONG))
    flags[n // 8 : n // 8 + 5] |= np.uint64(int(Flag.OVERLOADED))
    hkl = table["miller_index"].copy()
    hkl[n // 8 + 5] = 0
    table["flags"], table["miller_index"] = flags, hkl
    assert refine(truth, table).summary["n_reflections"] == n // 2 - n // 8 - 6
    every = refine(truth, table, refinement__filter_integrated_centroids=False)
    assert every.summary["n_reflections"] == n - 6
    scaled = table.view()
    scaled["inverse_scale_factor"] = np.where(np.arange(n) % 10 == 0, 0.0, 1.0)
    scaled["partiality"] = np.where(np.arange(n) % 10 == 1, 0.3, 1.0)
    fewer = refine(truth, scaled, refinement__filter_integrated_centroids=False).summary["n_reflections"]
    assert fewer == pytest.approx(0.8 * n, abs=8)
    low = refine(truth, scaled, refinement__filter_integrated_centroids=False, refinement__partiality_threshold=None)
    assert low.summary["n_reflections"] == pytest.approx(0.9 * n, abs=8)


def test_files(tmp_path):
    truth = sweep_of((58.0, 58.0, 41.0, 90, 90, 90), "P 4")
    table = spots(truth, [0.3, 0.3, 0.01])
    names = {kind: str(tmp_path / f"cell.{kind}") for kind in ("cif", "mmcif", "p4p")}
    plot = {"output__correlation_plot__filename": str(tmp_path / "corr.png"), "output__correlation_plot__steps": (0, 1)}
    result = refine(truth, table, **{f"output__{k}": v for k, v in names.items()}, **plot)
    for path, write in result.files.items():
        write(type(tmp_path)(path))
    written = sorted(p.name for p in tmp_path.iterdir())
    assert written == ["cell.cif", "cell.mmcif", "cell.p4p", "corr_step00.json", "corr_step00_2theta.png", "corr_step01.json",
                       "corr_step01_2theta.png"]  # fmt: skip
    block = gemmi.cif.read(names["cif"]).sole_block()
    assert gemmi.cif.as_number(block.find_value("_cell_length_a")) == pytest.approx(58.0, abs=0.02)
    assert "(" in block.find_value("_cell_length_c") and block.find_value("_cell_angle_gamma") == "90"
    assert int(block.find_value("_cell_measurement_reflns_used")) == result.summary["n_reflections"]
    assert int(block.find_value("_diffrn_reflns_limit_h_max")) == table["miller_index"][:, 0].max()
    block = gemmi.cif.read(names["mmcif"]).sole_block()
    assert float(block.find_value("_cell.length_a_esd")) == pytest.approx(result.summary["cell_esds"][0][0], abs=1e-6)
    lines = (tmp_path / "cell.p4p").read_text().splitlines()
    assert lines[1].split()[1:4] == [f"{v:.4f}" for v in result.summary["cells"][0][:3]]
    assert lines[3].split() == ["SOURCE", "SYNCH", "1.000000"]
    numbers = json.loads((tmp_path / "corr_step01.json").read_text())
    assert numbers["labels"] == ["G11", "G33"] and numbers["corrmats"]["2theta"][0][0] == pytest.approx(1.0)
    assert (tmp_path / "corr_step01_2theta.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("value", "esd", "text"),
    [(4.92386, 0.0012, "4.9239(12)"), (113.4499, 0.0526, "113.45(5)"), (70679.18, 15.06, "70679(15)"), (90.0, 0.0, "90"),
     (119.99999, 0.0, "120"), (5.4033, 0.0019996, "5.403(2)"), (8.14147, 0.0021, "8.141(2)"), (712345.0, 230.0, "712345(230)")],
)  # fmt: skip
def test_numbers_with_deviations(value, esd, text):
    assert with_esd(value, esd) == text


def test_what_cannot_be_refined_is_refused():
    truth = sweep_of((58.0, 58.0, 41.0, 90, 90, 90), "P 4")
    table = spots(truth)
    with pytest.raises(UserError, match="give experiments and their indexed reflections"):
        spindle.run("two_theta_refine", Experiments([truth]))
    with pytest.raises(UserError, match="no crystal"):
        refine(replace(truth, crystal=None), table)
    with pytest.raises(UserError, match="2 reflections for 2 parameters"):
        refine(truth, table.select(np.arange(2)))
    flat = table.select(table["miller_index"][:, 2] == 0)
    with pytest.raises(UserError, match="leave a parameter open"):
        refine(truth, flat)
    unindexed = table.view()
    unindexed["miller_index"] = np.zeros_like(table["miller_index"])
    with pytest.raises(UserError, match=r"none of \d+ reflections is indexed"):
        refine(truth, unindexed)
    with pytest.raises(UserError, match="figures are saved as"):
        refine(truth, table, output__correlation_plot__filename="a.gif")
    with pytest.raises(UserError, match="ended with step"):
        refine(truth, table, output__correlation_plot__filename="a.png", output__correlation_plot__steps=(99,))
    with pytest.raises(UserError, match="no parameter is called so"):
        refine(truth, table, output__correlation_plot__filename="a", output__correlation_plot__col_select=("G22",))
    with pytest.raises(UserError, match="no observed positions"):
        refine(truth, table.without("xyzobs.mm.value", "xyzobs.px.value"))
    second = sweep_of((58.0, 58.0, 41.0, 90, 90, 90), "P 4", "b")
    with pytest.raises(UserError, match="holds one cell"):
        refine(
            Experiments([truth, second]), [table], output__p4p="a.p4p", refinement__combine_crystal_models=False
        )  # fmt: skip


def test_the_mean_cell_of_two_crystals_is_as_uncertain_as_their_difference_says(caplog):
    """58 and 58.3 A, exactly: 58.15 with 0.3 / sqrt(2) / sqrt(2), however many reflections each has."""
    crystals = [
        sweep_of((58.0, 58.0, 41.0, 90, 90, 90), "P 4", "a"),
        sweep_of((58.3, 58.3, 41.2, 90, 90, 90), "P 4", "b", 0.4),
    ]
    tables = [spots(e) for e in crystals]
    tables[1].identifiers = {0: "b"}
    tables[1] = tables[1].select(slice(0, None, 7))
    with caplog.at_level("INFO"):
        found = refine(Experiments(crystals), tables).summary
    np.testing.assert_allclose(found["cells"][0][:3], [58.15, 58.15, 41.1], atol=2e-3)
    np.testing.assert_allclose(found["cell_esds"][0][:3], [0.15, 0.15, 0.1], rtol=0.01)
    assert "differ by standard deviations of a 0.21, b 0.21, c 0.14 A" in caplog.text


@pytest.mark.parametrize("spread", [0.0, 1e-3])
def test_mean_cells_lie_within_their_errors(spread):
    off = []
    for seed in range(8):
        rng, crystals, tables = np.random.default_rng(seed), [], []
        for k in range(6):
            size = 1.0 + spread * rng.normal()
            crystals.append(
                sweep_of((36.0 * size, 36.0 * size, 50.0 * size, 90, 90, 120), "P 3", f"s{k}", rng.uniform(0, 3))
            )
            table = spots(crystals[-1], d_min=4.0)
            moved = with_noise(
                table.select(rng.random(len(table)) < rng.uniform(0.1, 1.0)), 100 * seed + k, np.array([0.1, 0.1, 0.1])
            )
            tables.append(add_observed_geometry(Experiments(crystals[-1:]), moved))
            tables[-1].identifiers = {0: f"s{k}"}
        found = refine(Experiments(crystals), tables).summary
        off.append(
            (np.array(found["cells"][0]) - (36, 36, 50, 90, 90, 120))[[0, 2]] / np.array(found["cell_esds"][0])[[0, 2]]
        )
    # of errors that six crystals tell: Student's t of five degrees of freedom, whose rms is 1.29; one cell for all reflections has 9
    assert 0.5 < np.sqrt(np.mean(np.square(off))) < 2.2


def test_the_spread_of_hundreds_of_crystals_is_found():
    rng, m, each = np.random.default_rng(5), 400, 15
    crystal = Crystal.from_cell((36.0, 36.0, 50.0, 90, 90, 120), np.eye(3), "P 3")
    constraints, _ = metric_constraints(crystal.hall)
    start = np.linalg.lstsq(constraints, metric_elements(crystal.A), rcond=None)[0]
    hkl, owner = rng.integers(1, 9, (m * each, 3)), np.repeat(np.arange(m), each)
    wavelength, size = np.ones(len(hkl)), 1.0 + 1e-3 * rng.normal(size=m)
    products = index_products(hkl) * (size[owner] ** 2)[:, None]
    angle = calculated_two_theta(products, constraints @ start, wavelength) + 2e-4 * rng.normal(size=len(hkl))
    fit = fit_metric(hkl, angle, wavelength, constraints, start)
    mean, spread = mean_of_crystals(fit, hkl, wavelength, constraints, owner)
    assert spread.n_crystals == m
    # metrics are squares: they differ by twice as much
    np.testing.assert_allclose(np.sqrt(np.diag(spread.covariance)) / start, 2e-3, rtol=0.12)
    assert np.abs((mean.values - start) / np.sqrt(np.diag(mean.covariance))).max() < 3.5
