"""Where the usual way finds nothing others are tried, and the user is told why."""

from __future__ import annotations

import numpy as np
import pytest
from spindle_program_index.explanation import explain
from spindle_program_index.ladder import strategies
from spindle_program_index.params import IndexParams
from spindle_program_index.quality import is_much_better

import spindle
from spindle.contracts.indexing import IndexingError
from spindle.params import build
from spindle.symmetry import niggli_cell
from spindle.testing.data import make_context
from spindle.testing.indexing import rotation_experiment, spots_of, without_crystals

CELL = (31.2, 37.5, 44.1, 81.0, 77.0, 68.0)


@pytest.fixture(scope="module")
def sweep():
    return rotation_experiment(CELL, seed=3, n_images=40)


@pytest.fixture(scope="module")
def spots(sweep):
    return spots_of([sweep], seed=1, keep=0.3)


def random_spots(spots, n):
    """Spots anywhere."""
    table = spots.select(np.arange(n))
    table["xyzobs.px.value"] = np.random.default_rng(1).uniform(0, 1, (n, 3)) * (1000, 1000, 40)
    return table


def test_another_method_is_tried_when_the_usual_one_fails(sweep, spots):
    given = without_crystals([sweep])
    blunt = {"fft3d.rmsd_cutoff": 1e4}  # no peak is that high
    result = spindle.run("index", given, spots, **blunt)
    np.testing.assert_allclose(result.experiments[0].crystal.cell, niggli_cell(CELL), rtol=2e-3)
    assert result.summary["fraction_indexed"] > 0.98
    with pytest.raises(IndexingError, match="peaks in the Fourier map") as caught:
        spindle.run("index", given, spots, try_other_methods=False, **blunt)
    assert "gave no better one" not in str(caught.value)


def test_what_the_user_chose_is_not_replaced():
    def names(n_stills=1, **changes):
        return [s.words for s in strategies(build(IndexParams).changed(**changes), 100.0, True, n_stills)]

    lengths = ["max_cell=60", "max_cell=35", "max_cell=250", "max_cell=600"]
    assert names() == [*lengths, "indexing.method=fft1d"]
    assert names(indexing__max_cell=80.0) == names(n_stills=20) == ["indexing.method=fft1d"]
    assert names(indexing__method="fft3d") == lengths  # the usual one, but given
    assert names(indexing__method="fft3d", indexing__max_cell=80.0) == []
    assert names(diagnosis__try_other_methods=False) == []
    cell = {"indexing__known_symmetry__unit_cell": CELL}
    last = "indexing.method=real_space_grid_search stills.indexer=sequences, without a model of mosaicity"
    assert names(**cell) == ["indexing.method=real_space_grid_search", "indexing.method=fft1d", last]
    assert names(**cell, n_stills=20) == ["indexing.method=real_space_grid_search", "indexing.method=fft1d"]
    both = names(**cell, indexing__known_symmetry__space_group="P 1")
    assert both[-2:] == ["indexing.method=low_res_spot_match", last]


def test_spots_without_a_lattice_are_told_as_such(sweep, spots, caplog):
    caplog.set_level("INFO")
    with pytest.raises(IndexingError) as caught:
        spindle.run("index", without_crystals([sweep]), random_spots(spots, 800))
    text = str(caught.value)
    assert "no clear period" in text
    assert "fft1d gave no better one" in text and len(text.splitlines()) <= 6
    (tried,) = [r for r in caplog.records if r.getMessage().startswith("Tried:")]
    assert "  - indexing.method=fft1d: " in tried.getMessage() and tried.detail


def test_few_spots_are_counted(sweep, spots):
    reasons = explain(without_crystals([sweep]), random_spots(spots, 30), build(IndexParams), make_context(IndexParams))
    assert reasons[0].startswith("30 spots are few")


def test_rings_of_ice_are_named(sweep, spots):
    """Two thirds of the spots moved to the ring at 3.67 angstrom."""
    table = random_spots(spots, 800)
    xyz = np.array(table["xyzobs.px.value"])
    panel = sweep.detector[0]
    centre = np.array(sweep.detector.beam_centre_px(sweep.beam.s0, 0))
    radius = 180.0 * np.tan(2 * np.arcsin(sweep.beam.wavelength / 2 / 3.67)) / panel.pixel_size[0]
    angle = np.linspace(0, 2 * np.pi, 600)
    xyz[:600, :2] = centre + radius * np.column_stack([np.cos(angle), np.sin(angle)])
    table["xyzobs.px.value"] = xyz
    reasons = explain(without_crystals([sweep]), table, build(IndexParams), make_context(IndexParams))
    assert any("rings of ice" in text for text in reasons)


def test_a_lattice_that_does_not_convince_is_written_when_the_user_wants_it(sweep, spots):
    few = spots.select(np.arange(11))
    options = {
        "unit_cell": CELL, "space_group": "P1", "indexing.method": "real_space_grid_search", "detector.fix": "all", "beam.fix": "all",
    }  # fmt: skip
    with pytest.raises(IndexingError, match="accept_doubtful"):
        spindle.run("index", without_crystals([sweep]), few, **options)
    result = spindle.run("index", without_crystals([sweep]), few, accept_doubtful=True, **options)
    assert "does not convince" in result.summary["warning"]


@pytest.mark.parametrize(
    ("now", "then", "total", "better"),
    [(17, 3, 38, False), (36, 5, 38, True), (900, 240, 1136, True), (420, 240, 1136, False)],
)
def test_another_geometry_is_named_only_where_its_count_is_not_chance(now, then, total, better):
    assert is_much_better(now, then, total) == better
