"""Geometry that ran away is told by refine too, against what was known before indexing."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from spindle_program_index.beam_shift import shifted

from spindle.execution import run
from spindle.files import read_experiments, write_experiments
from spindle.models import Experiments, ImageSet
from spindle.testing.indexing import rotation_experiment, spots_of, without_crystals

CELL = (38.0, 46.0, 57.0, 90.0, 90.0, 90.0)
PIXEL = 0.2


def measured(n_images=30, d_min=3.5):
    """A sweep with its true crystal, its spots, and the sweep as imported."""
    images = ImageSet(template="x_####.cbf", image_range=(1, n_images))
    truth = [replace(rotation_experiment(CELL, seed=3, n_images=n_images), imageset=images)]
    return truth, spots_of(truth, seed=1, d_min=d_min), without_crystals(truth)


def refined(indexed, **params):
    return run("refine", indexed.experiments, [indexed.reflections], **params)


def distances(warning):
    """Before and after, as the warning has them."""
    return tuple(map(float, re.search(r"distance changed from ([\d.]+) to ([\d.]+) mm", warning).groups()))


def at_distance(given, factor):
    panel = given[0].detector[0]
    moved = given[0].detector.replace_panels([replace(panel, origin=panel.origin * (1, 1, factor))])
    return Experiments([replace(given[0], detector=moved)])


def test_a_distance_that_index_has_changed_is_told_by_refine(tmp_path):
    _, spots, given = measured(90)
    indexed = run("index", at_distance(given, 0.95), spots, max_refine=8)
    write_experiments(indexed.experiments, tmp_path / "indexed.expt")
    again = run("refine", read_experiments(tmp_path / "indexed.expt"), [indexed.reflections])
    warning = again.summary["warning"]
    assert distances(warning) == pytest.approx((180 * 0.95, 180), abs=0.1)
    assert "the images' headers" in warning and "search_beam_position" in warning


def test_a_distance_that_refine_changes_is_told_by_refine():
    _, spots, given = measured(90)
    indexed = run("index", given, spots, max_refine=8)
    without = Experiments([replace(e, imageset=None) for e in indexed.experiments])
    warning = run("refine", at_distance(without, 0.95), [indexed.reflections]).summary["warning"]
    assert distances(warning) == pytest.approx((180 * 0.95, 180), abs=0.1)
    assert "that of the input" in warning


@pytest.mark.parametrize("remembered", [True, False])
def test_indices_of_another_row_are_told_with_the_right_centre(remembered):
    truth, spots, given = measured(10)
    row = truth[0].beam.wavelength * 180.0 / CELL[0] / PIXEL
    wrong = shifted(given, (row * PIXEL, 0.0))
    indexed = run("index", wrong, spots, max_refine=8, **{"diagnosis.test_geometry": False})
    if not remembered:
        indexed.experiments = Experiments([replace(e, imageset=None) for e in indexed.experiments])
    warning = refined(indexed).summary["warning"]
    x, y = truth[0].detector.beam_centre_px(truth[0].beam.s0, 0)
    told = warning.split("fast_slow_beam_centre=")[1].split()[0].strip(",")
    np.testing.assert_allclose([float(v) for v in told.split(",")], [x, y], atol=0.5)
    assert "search_beam_position" in warning


@pytest.mark.parametrize("n_images", [10, 90])
def test_right_geometry_gives_no_warning(n_images):
    _, spots, given = measured(n_images)
    assert "warning" not in refined(run("index", given, spots, max_refine=8)).summary


def test_a_beam_centre_that_index_has_mended_is_no_news_to_refine():
    truth, spots, given = measured(15)
    row = truth[0].beam.wavelength * 180.0 / CELL[0] / PIXEL
    indexed = run("index", shifted(given, (row * PIXEL, 0.0)), spots, max_refine=8)
    assert "beam centre" in indexed.summary["warning"]
    assert "warning" not in refined(indexed).summary


@pytest.mark.parametrize("factor", [0.95, 1.03])
@pytest.mark.sampled(2)
def test_a_wrong_wavelength_is_told_by_the_known_cell(factor):
    truth, spots, given = measured(30)
    beam = given[0].beam
    wrong = Experiments([replace(given[0], beam=replace(beam, wavelength=beam.wavelength * factor))])
    warning = run("index", wrong, spots, max_refine=8, unit_cell=CELL).summary["warning"]
    assert f"geometry.beam.wavelength={truth[0].beam.wavelength:.3g}"[:-1] in warning
    assert float(warning.split("times ")[1].split()[0].strip(".")) == pytest.approx(factor, abs=2e-3)
    assert "warning" not in run("index", given, spots, max_refine=8, unit_cell=CELL).summary
