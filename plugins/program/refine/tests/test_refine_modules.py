"""Displaced modules: learned from the residuals of a refinement, kept as maps, offered to the next data set."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import spindle
from spindle.cli.main import main
from spindle.files import read_experiments, read_reflections, write_experiments, write_reflections
from spindle.models import Detector, Experiments, ImageSet
from spindle.testing.refiner import disturbed, rotation_experiment, spots_of, with_noise
from spindle_lib_refinement.modules import Displacements, module_grid, with_displacements

D_MIN = 2.3
STRIPS = tuple((x, 0, x + 6, 600) for x in (145, 297, 449)) + tuple((0, y, 600, y + 6) for y in (194, 400))


def displaced(shift_px, seed=3):
    """Experiment whose model has modules in their regular places, and spots of one that has not."""
    experiment = rotation_experiment()
    regular = Detector((replace(experiment.detector[0], mask=STRIPS),))
    grid = module_grid(regular)
    rng = np.random.default_rng(seed)
    moves = np.column_stack([rng.normal(0, shift_px, (len(grid), 2)), rng.normal(0, shift_px * 0.003, len(grid))])
    true = replace(experiment, detector=with_displacements(regular, Displacements(grid, moves, moves)))
    table = with_noise(spots_of(true, D_MIN), noise=np.array([0.1, 0.1, 0.05]))
    table = table.select(grid.find(table["panel"], table["xyzobs.px.value"][:, :2]) >= 0)
    images = ImageSet(paths=(), template="x_####.cbf", kind="ImageSequence")
    model = replace(disturbed(replace(experiment, detector=regular)), imageset=images)
    return true, Experiments([model]), table


def truth(true, table):
    """Positions without noise, in the rows of `table`."""
    exact = spots_of(true, D_MIN)
    where = {
        (*h, round(z)): p
        for h, z, p in zip(
            exact["miller_index"].tolist(), exact["xyzobs.px.value"][:, 2] / 10, exact["xyzobs.px.value"], strict=True
        )
    }
    rows = [
        where.get((*h, round(z)), np.full(3, np.nan))
        for h, z in zip(table["miller_index"].tolist(), table["xyzcal.px"][:, 2] / 10, strict=True)
    ]
    return np.array(rows)


@pytest.fixture(scope="module")
def case():
    return displaced(0.35)


@pytest.fixture(scope="module")
def folder(case, tmp_path_factory):
    """The files of a refinement that learns."""
    folder = tmp_path_factory.mktemp("modules")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_experiments(case[1], "indexed.expt")
        write_reflections(case[2], "indexed.refl")
        assert main(["refine", "indexed.expt", "indexed.refl", "scan_varying=False"]) == 0
    return folder


def error_px(true, table):
    difference = (table["xyzcal.px"] - truth(true, table))[:, :2]
    difference = difference[np.isfinite(difference).all(axis=1)]
    assert len(difference) > 0.95 * len(table)
    return np.sqrt((difference**2).mean())


def test_predictions_meet_the_true_positions(case, folder):
    true, experiments, table = case
    without = spindle.run("refine", experiments, table, scan_varying=False, modules=False)
    assert error_px(true, without.reflections) > 0.25
    assert error_px(true, read_reflections(folder / "refined.refl")) < 0.012


def test_maps_are_named_in_the_models_and_reading_them_gives_the_same_predictions(folder):
    (refined,) = read_experiments(folder / "refined.expt")
    assert Path(refined.imageset.dx) == folder / "refined_modules_dx.npz"
    assert Path(refined.imageset.dy) == folder / "refined_modules_dy.npz"
    table = read_reflections(folder / "refined.refl")
    table = table.select(np.isfinite(table["xyzcal.mm"]).all(axis=1))
    seen = refined.detector.mm_to_pixel(table["panel"], table["xyzcal.mm"][:, :2])
    np.testing.assert_allclose(seen, table["xyzcal.px"][:, :2], atol=1e-6)


def test_refining_again_changes_no_module_and_writes_no_map(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    assert (
        main(
            [
                "refine",
                "refined.expt",
                "refined.refl",
                "scan_varying=False",
                "output.experiments=again.expt",
                "output.reflections=again.refl",
            ]
        )
        == 0
    )
    assert not list(folder.glob("again_modules*"))
    assert read_experiments("again.expt")[0].imageset.dx == read_experiments("refined.expt")[0].imageset.dx


@pytest.mark.parametrize(("wanted", "said"), [("Auto", ""), (True, "show no displacement")])
def test_nothing_is_learned_where_there_is_nothing(wanted, said, caplog):
    _, experiments, table = displaced(0.0)
    with caplog.at_level(logging.INFO):
        result = spindle.run("refine", experiments, table, scan_varying=False, modules=wanted)
    assert result.experiments[0].imageset.dx is None
    assert "modules" not in result.summary
    assert said in caplog.text


@pytest.mark.long
def test_small_displacements_are_corrected_on_demand_only(caplog):
    true, experiments, table = displaced(0.05)
    with caplog.at_level(logging.INFO):
        left = spindle.run("refine", experiments, table, scan_varying=False)
    assert left.experiments[0].imageset.dx is None
    assert "modules=True corrects it" in caplog.text
    corrected = spindle.run("refine", experiments, table, scan_varying=False, modules=True)
    assert error_px(true, corrected.reflections) < 0.6 * error_px(true, left.reflections)


@pytest.mark.long
def test_two_sweeps_with_one_detector_share_what_is_learned(case):
    true, experiments, table = case
    elsewhere = Detector(
        (replace(experiments[0].detector[0], origin=experiments[0].detector[0].origin + [0, 0, -0.2]),)
    )
    images = replace(experiments[0].imageset, template="y_####.cbf")
    both = Experiments([experiments[0], replace(experiments[0], identifier="b", detector=elsewhere, imageset=images)])
    second = table.view()
    second["id"] = np.ones(len(table), table["id"].dtype)
    result = spindle.run("refine", both, type(table).concatenate([table, second]), scan_varying=False)
    assert len(result.summary["modules"]) == 1
    assert {e.imageset.dx for e in result.experiments} == {result.experiments[0].imageset.dx} != {None}
    for number in (0, 1):
        own = result.reflections.select(result.reflections["id"] == number)
        assert error_px(true, own) < 0.015


@pytest.mark.long
def test_modules_without_gaps_are_learned_when_their_number_is_given(case, caplog):
    """The 4 x 3 modules of the truth differ by 5 px from equal ones."""
    true, experiments, table = case
    (model,) = experiments
    whole = replace(model, detector=Detector((replace(model.detector[0], mask=()),)))
    asked = {"scan_varying": False, "modules": True}
    unknown = spindle.run("refine", Experiments([whole]), table, **asked)
    assert unknown.experiments[0].imageset.dx is None
    assert "n_modules=FAST,SLOW" in caplog.text
    assert error_px(true, unknown.reflections) > 0.25
    given = spindle.run("refine", Experiments([whole]), table, **asked, n_modules=(4, 3))
    assert given.summary["modules"][0]["n_modules"] == 12
    assert error_px(true, given.reflections) < 0.06


def test_too_few_spots_are_said(case, caplog):
    _, experiments, table = case
    result = spindle.run(
        "refine", experiments, table.select(np.arange(0, len(table), 200)), scan_varying=False, modules=True
    )
    assert result.experiments[0].imageset.dx is None
    assert "too few to learn the places of 12 modules" in caplog.text


def test_index_refuses_to_learn_modules(case):
    with pytest.raises(spindle.errors.ParameterError, match="the modules stay where they are here"):
        spindle.run("index", case[1], case[2], **{"refinement.parameterisation.detector.modules": True})


@pytest.mark.long
def test_panels_are_learned_as_modules_are():
    """Four panels, each a module, that move as one rigid body in refinement."""
    experiment = rotation_experiment()
    panel = experiment.detector[0]
    places = [(x, y) for y in (0, 310) for x in (0, 310)]
    corner = [panel.origin + 0.2 * (x * panel.fast_axis + y * panel.slow_axis) for x, y in places]
    regular = Detector(tuple(replace(panel, image_size=(290, 290), origin=origin) for origin in corner))
    grid = module_grid(regular)
    moves = np.column_stack([np.random.default_rng(3).normal(0, 0.35, (4, 2)), [0.001, 0.0, -0.001, 0.0005]])
    true = replace(experiment, detector=with_displacements(regular, Displacements(grid, moves, moves)))
    exact = spots_of(true, D_MIN)
    table = with_noise(exact, noise=np.array([0.1, 0.1, 0.05]))
    images = ImageSet(paths=(), template="x_####.cbf", kind="ImageSequence")
    model = Experiments([replace(experiment, detector=regular, imageset=images)])
    errors = {}
    for wanted in (False, "Auto"):
        result = spindle.run("refine", model, table, scan_varying=False, modules=wanted)
        errors[wanted] = np.sqrt(np.mean((result.reflections["xyzcal.px"] - exact["xyzobs.px.value"])[:, :2] ** 2))
    assert len(grid) == 4
    assert errors[False] > 0.2
    assert errors["Auto"] < 0.03
