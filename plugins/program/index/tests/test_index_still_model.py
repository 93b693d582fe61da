"""Stills get a model of their mosaicity, and one of several known cells where these are given."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from spindle_program_index.mosaicity import MosaicModel, fit_mosaicity
from spindle_program_index.orientation import misorientation_deg

from spindle.contracts.indexing import IndexingError
from spindle.errors import ParameterError
from spindle.execution import run
from spindle.models import Experiments
from spindle.prediction import predict_still
from spindle.table import Flag, ReflectionTable
from spindle.testing.indexing import rotation_experiment

CELL = (78.9, 78.9, 38.0, 90.0, 90.0, 90.0)
OTHER = (80.0, 80.0, 37.3, 90.0, 90.0, 90.0)
HALF_DEG, DOMAIN = 0.12, 4000.0
MODEL = {"ML_half_mosaicity_deg": HALF_DEG, "ML_domain_size_ang": DOMAIN}
KNOWN = {"unit_cell": CELL, "space_group": "P43212", "max_refine": 4}
ISOFORMS = [{"name": "wide", "cell": OTHER}, {"name": "narrow", "cell": CELL}]


@pytest.fixture(scope="module")
def still():
    """A still of a mosaic crystal, its spots with errors of 0.15 pixel."""
    return make_still(CELL)


def make_still(cell):
    experiment = rotation_experiment(cell, seed=4, n_images=1, width_deg=0.0)
    experiment = replace(experiment, scan=None, goniometer=None)
    experiment = replace(experiment, crystal=replace(experiment.crystal, extra=MODEL))
    found = predict_still(experiment, 0, d_min=2.2)
    n = len(found)
    position = found["xyzcal.px"] + np.random.default_rng(3).normal(0, 0.15, (n, 3)) * (1, 1, 0)
    position[:, 2] = 0.5
    start = np.floor(position).astype(np.int32) - (1, 1, 0)
    spots = ReflectionTable({
        "id": np.full(n, -1), "imageset_id": np.zeros(n, int), "panel": np.zeros(n, int), "flags": np.full(n, int(Flag.STRONG)),
        "xyzobs.px.value": position, "xyzobs.px.variance": np.tile([0.02, 0.02, 0.08], (n, 1)),
        "bbox": np.stack([start, start + np.array([3, 3, 1])], axis=-1).reshape(n, 6),
        "intensity.sum.value": np.full(n, 100.0), "intensity.sum.variance": np.full(n, 100.0),
    })  # fmt: skip
    return Experiments([replace(experiment, crystal=None)]), spots, experiment


def test_the_widths_are_fitted_from_uniform_angles():
    """Points anywhere within the half width, which is what the model says of them."""
    rng = np.random.default_rng(1)
    d = 1 / rng.uniform(0.05, 0.5, 3000)
    true = MosaicModel(3000.0, np.radians(0.2))
    found = fit_mosaicity(d, rng.uniform(-1, 1, len(d)) * true.half_width(d), 1e5)
    assert found.domain_size == pytest.approx(true.domain_size, rel=0.1)
    assert found.mosaicity == pytest.approx(true.mosaicity, rel=0.1)
    assert found.written["ML_half_mosaicity_deg"] == pytest.approx(1.4 * 0.1, rel=0.1)


def test_the_volume_near_the_sphere_is_that_of_its_shells():
    """Without mosaicity a cap of solid angle 2 pi (1 - cos T) of the shell of one over the domain size, counted twice over, divided by three; and
    for small angles the mosaic part is the integral of 2 pi R^2 sin(phi) times eta R sin(phi) / 2."""
    model = MosaicModel(1000.0, 0.0)
    angle = 2 * np.arcsin(0.25)
    shell = 2 * np.pi / 3 * (1 - np.cos(angle)) * (1.001**3 - 1)
    assert model.ewald_proximal_volume(1.0, 2.0) == pytest.approx(shell)
    broad = MosaicModel(1e12, 1e-4).ewald_proximal_volume(1.0, 2.0)
    expected = 2 * np.pi * 1e-4 / 2 * (angle / 2 - np.sin(2 * angle) / 4)
    assert broad == pytest.approx(expected, rel=1e-3)


def test_a_still_gets_its_mosaic_model(still):
    sweeps, spots, truth = still
    result = run("index", sweeps, spots, **KNOWN)
    crystal = result.experiments[0].crystal
    np.testing.assert_allclose(crystal.cell[:3], CELL[:3], rtol=3e-3)
    assert result.summary["n_indexed"] > 0.97 * len(spots)
    # the simulated widths are what is seen, those written have a margin of 1.4
    assert crystal.extra["ML_half_mosaicity_deg"] == pytest.approx(1.4 * HALF_DEG, rel=0.25)
    assert 0.3 * DOMAIN < crystal.extra["ML_domain_size_ang"] < 3 * DOMAIN
    assert misorientation_deg(crystal.real_space, truth.crystal.real_space) < 0.05
    table = result.reflections
    assert np.abs(np.degrees(table["delpsical.rad"][table["id"] == 0])).max() < 0.5


def test_widths_can_be_given(still):
    sweeps, spots, _ = still
    given = {"stills.set_domain_size_ang_value": 1234.0, "stills.set_mosaic_half_deg_value": 0.3}
    crystal = run("index", sweeps, spots, **KNOWN, **given).experiments[0].crystal
    assert crystal.extra["ML_domain_size_ang"] == 1234.0
    assert crystal.extra["ML_half_mosaicity_deg"] == 0.3
    none = run("index", sweeps, spots, **KNOWN, **{"stills.indexer": "sequences"}).experiments[0].crystal
    assert "ML_domain_size_ang" not in none.extra


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"stills.rmsd_min_px": 0.05}, "more than indexing.stills.rmsd_min_px=0.05"),
        ({"stills.ewald_proximal_volume_max": 1e-6}, "more than indexing.stills.ewald_proximal_volume_max"),
    ],
)
def test_a_lattice_that_the_limits_refute_is_an_error(still, settings, message):
    sweeps, spots, _ = still
    with pytest.raises(IndexingError, match=message):
        run("index", sweeps, spots, try_other_methods=False, test_geometry=False, **KNOWN, **settings)


def test_candidates_can_be_tried_in_other_ways(still):
    sweeps, spots, _ = still
    for settings in (
        {"stills.refine_all_candidates": False},
        {"stills.candidate_outlier_rejection": False, "stills.refine_candidates_with_known_symmetry": True},
    ):
        result = run("index", sweeps, spots, **KNOWN, **settings)
        assert result.summary["n_indexed"] > 0.97 * len(spots)


@pytest.mark.parametrize(("cell", "name"), [(CELL, "narrow"), (OTHER, "wide")])
def test_the_isoform_of_the_crystal_is_chosen(cell, name):
    """Cells that differ by 1.4 % and 1.8 %; the crystal gets exactly the one that it has."""
    sweeps, spots, _ = make_still(cell)
    result = run("index", sweeps, spots, space_group="P43212", max_refine=4, **{"stills.isoforms": ISOFORMS})
    crystal = result.experiments[0].crystal
    assert crystal.extra["identified_isoform"] == name
    np.testing.assert_allclose(crystal.cell, cell, atol=1e-6)
    assert result.summary["n_indexed"] > 0.9 * len(spots)


def test_isoforms_unlike_the_crystal_are_an_error(still):
    sweeps, spots, _ = still
    options = {"space_group": "P43212", "max_refine": 4, "try_other_methods": False, "test_geometry": False}
    unlike = [{"name": "huge", "cell": (150, 150, 90, 90, 90, 90)}]
    with pytest.raises(IndexingError, match="is like none of"):
        run("index", sweeps, spots, **options, **{"stills.isoforms": unlike})
    strict = [{"name": "wide", "cell": OTHER, "rmsd_target_mm": 0.01}]
    with pytest.raises(IndexingError, match="more than its rmsd_target_mm"):
        run("index", sweeps, spots, **options, **{"stills.isoforms": strict})


def test_parameters_of_the_model_are_refused_where_nothing_heeds_them(still):
    sweeps, spots, _ = still
    with pytest.raises(ParameterError, match="indexer=sequences has no model of stills"):
        run("index", sweeps, spots, **{"stills.indexer": "sequences", "stills.rmsd_min_px": 3})
    sweep = Experiments([replace(rotation_experiment(CELL, n_images=2), crystal=None)])
    with pytest.raises(ParameterError, match="there are no stills"):
        run("index", sweep, spots, **{"stills.isoforms": ISOFORMS})
