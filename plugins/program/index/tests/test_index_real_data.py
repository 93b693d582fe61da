"""The index program on real spots, against DIALS 3.12.1 on the same files."""

from __future__ import annotations

import numpy as np
import pytest
from spindle_program_index.mosaicity import fit_mosaicity
from spindle_program_index.params import IndexParams
from spindle_program_index.preparation import prepare

from spindle.execution import run
from spindle.files import read_experiments, read_reflections
from spindle.testing import shared_data
from spindle_lib_spots.max_cell import estimate_max_cell
from spindle_lib_spots.sweeps import join_tables, sweeps_of


def read(folder, experiments, spots):
    data = shared_data("dials_processed") / folder
    return read_experiments(data / experiments), read_reflections(data / spots)


@pytest.mark.parametrize(
    ("folder", "experiments", "spots", "log", "linear"),
    [
        ("quartz_processed", "imported.expt", "strong.refl", 7.19719, 7.16562),
        ("centroid_test_data", "indexed.expt", "indexed.refl", 58.49317, 57.62118),
    ],
)
def test_max_cell_is_that_of_dials(folder, experiments, spots, log, linear):
    models, table = read(folder, experiments, spots)
    params = IndexParams()
    sweeps, _ = sweeps_of(models)
    prepared = prepare(join_tables([table], models), sweeps, params.indexing)
    assert estimate_max_cell(prepared, params.indexing.max_cell_estimation) == pytest.approx(log, abs=1e-5)
    settings = params.indexing.max_cell_estimation.changed(histogram_binning="linear")
    assert estimate_max_cell(prepared, settings) == pytest.approx(linear, abs=1e-5)


def test_quartz_by_electron_diffraction():
    """DIALS: 443 of 504 spots, 4.924 4.930 5.399 89.97 89.85 59.99, with the same parameters."""
    models, table = read("quartz_processed", "imported.expt", "strong.refl")
    result = run("index", models, table, **{"detector.fix": "distance"})
    np.testing.assert_allclose(result.experiments[0].crystal.cell[:3], (4.924, 4.930, 5.399), rtol=5e-3)
    np.testing.assert_allclose(result.experiments[0].crystal.cell[3:], (90, 90, 60), atol=0.3)
    assert result.summary["n_indexed"] >= 443


def test_thaumatin_like_lattice_is_found_anew_and_with_its_known_crystal():
    """DIALS with the crystal of the file: 569 of 654 spots, 42.193 42.193 39.680 in P 4 2 2."""
    models, table = read("centroid_test_data", "indexed.expt", "indexed.refl")
    known = run("index", models, table)
    np.testing.assert_allclose(known.experiments[0].crystal.cell, (42.193, 42.193, 39.680, 90, 90, 90), rtol=5e-3)
    assert known.summary["n_indexed"] >= 569
    assert known.experiments[0].crystal.space_group.xhm() == "P 4 2 2"
    searched = run("index", sweeps_of(models)[0], table, space_group="P422")
    np.testing.assert_allclose(searched.experiments[0].crystal.cell, (42.193, 42.193, 39.680, 90, 90, 90), rtol=5e-3)
    assert searched.summary["n_indexed"] >= 560


def test_thaumatin_of_a_grid_scan_by_its_known_cell():
    """DIALS (real_space_grid_search, stills.indexer=sequences, detector and beam fixed): first of eight lattices 58.54 58.54 151.26, 126 spots."""
    models, table = read("vmxi_thaumatin_grid_index", "split_07602.expt", "split_07602.refl")
    result = run("index", models, table, space_group="P4", unit_cell=(58, 58, 150, 90, 90, 90))
    np.testing.assert_allclose(result.experiments[0].crystal.cell, (58.54, 58.54, 151.26, 90, 90, 90), rtol=5e-3)
    assert result.summary["n_indexed"] >= 126
    assert "max_lattices" in result.summary["warning"]  # there are several


def test_quartz_by_one_dimensional_transforms():
    """The same 443 spots as DIALS with fft3d."""
    models, table = read("quartz_processed", "imported.expt", "strong.refl")
    result = run("index", models, table, **{"detector.fix": "distance", "indexing.method": "fft1d", "max_refine": 10})
    np.testing.assert_allclose(result.experiments[0].crystal.cell[:3], (4.924, 4.930, 5.399), rtol=5e-3)
    assert result.summary["n_indexed"] >= 443


def test_mosaicity_of_stills_is_that_of_dials():
    """Of the five crystals in its files; the domain size of the last is not determined by its spots: there the likelihood is higher."""
    models, table = read("ssx_CuNiR_test_data", "indexed.expt", "indexed.refl")
    for number, experiment in enumerate(models):
        rows = np.flatnonzero(table["id"] == number)
        d = 1 / np.linalg.norm(table["miller_index"][rows] @ experiment.crystal.A.T, axis=1)
        found = fit_mosaicity(d, table["delpsical.rad"][rows], experiment.crystal.volume).written
        expected = {name: experiment.crystal.extra[name] for name in found}
        if number == 4:
            assert found["ML_half_mosaicity_deg"] == pytest.approx(expected["ML_half_mosaicity_deg"], rel=6e-3)
        else:
            assert found == pytest.approx(expected, rel=5e-5)


def test_stills_of_nitrite_reductase_are_indexed_each():
    """DIALS in its files: 34, 36, 194, 34 and 62 spots; ssx_index 3.12 with this cell and group alone: none."""
    models, table = read("ssx_CuNiR_test_data", "imported_with_ref_5.expt", "strong_5.refl")
    result = run("index", models, table, unit_cell=(96.4, 96.4, 96.4, 90, 90, 90), space_group="P213")
    assert len(result.experiments) == 5
    counts = np.bincount(result.reflections["id"][result.reflections["id"] >= 0], minlength=5)
    assert np.all(counts >= (34, 36, 194, 34, 62))
    for experiment in result.experiments:
        np.testing.assert_allclose(experiment.crystal.cell[:3], 96.4, atol=0.05)
        assert 0.01 < experiment.crystal.extra["ML_half_mosaicity_deg"] < 0.25
