"""What integrate keeps and looks up for thousands of experiments."""

from __future__ import annotations

import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.special import erf
from spindle_program_integrate import Integrate, predictions
from spindle_program_integrate.expected import ExpectedIntensity
from spindle_program_integrate.filters import only_rows
from spindle_program_integrate.matching import find_observed
from spindle_program_integrate.packed_masks import PackedMasks
from spindle_program_integrate.passes import Integrator
from spindle_program_integrate.predictions import (
    Predictions,
    PredictSome,
    recorded_on_images,
    with_geometry,
)
from spindle_program_integrate.preparation import with_columns
from spindle_program_integrate.slabs import Wanted

from spindle.execution import Common, pack_apart
from spindle.geometry import rotation_matrix
from spindle.models import Beam, Crystal, Detector, Experiment, Experiments, Goniometer, ImageSet, Panel, Scan
from spindle.table import ReflectionTable
from spindle.testing import make_context
from spindle_lib_selection.significance import significance
from spindle_lib_spots.reference import match


class Prediction:
    """What is asked of predictions."""

    d_min, d_max, padding, force_static = 2.0, None, 0.5, False


@pytest.fixture
def sweeps():
    """Five narrow sweeps of crystals in directions of their own, with images in memory."""
    panel = Panel([1, 0, 0], [0, -1, 0], [-50.0, 52.0, -90.0], [0.4, 0.4], (250, 260), thickness=0.32, mu=4.2)
    first = Experiment(
        beam=Beam([0, 0, 1], 1.0), detector=Detector([panel]), goniometer=Goniometer(rotation_axis=[1, 0, 0]),
        scan=Scan((1, 3), (0.0, 0.5)), crystal=Crystal.from_cell((40.0, 50.0, 60.0, 90.0, 90.0, 90.0), np.eye(3), "P 1"),
        profile={"__id__": "gaussian_rs", "n_sigma": 3.0, "sigma_b": 0.05, "sigma_m": 0.1},
    )  # fmt: skip
    items = []
    for k in range(5):
        crystal = Crystal.from_cell(first.crystal.cell, rotation_matrix(np.array([0.36, 0.48, 0.8]), 1.0 + k), "P 1")
        images = ImageSet("ImageSequence", arrays=tuple((image,) for image in np.ones((3, 260, 250), np.int32)))
        items.append(replace(first, crystal=crystal, identifier=f"sweep {k}", imageset=images))
    context = make_context()
    return Experiments(items), context, context.algorithm("profile", "gaussian_rs")


def test_masks_come_back_as_they_were_and_take_little_room_meanwhile():
    rng = np.random.default_rng(1)
    masks = [rng.random((5, 7)) > 0.5, np.ones((2527, 2463), bool), np.zeros((0, 3), bool)]
    masks[1][1000:1017] = False
    packed = PackedMasks(masks)
    for before, after in zip(masks, packed.unpacked(), strict=True):
        assert after.dtype == np.bool_ and after.flags.c_contiguous
        np.testing.assert_array_equal(before, after)
    assert len(pickle.dumps(packed)) < 20_000


def test_filters_and_expectations_treat_each_experiment_by_itself():
    """Rows of several experiments in any order give what each gives alone."""
    rng = np.random.default_rng(2)
    ids = rng.permutation(np.repeat([0, 2, 5], [300, 400, 30])).astype(np.int32)
    d, value = rng.uniform(1.5, 10.0, len(ids)), rng.gamma(1.0, 3.0, len(ids)) * (1 + ids)
    table = ReflectionTable({"id": ids, "d": d, "intensity.sum.value": value, "intensity.sum.variance": value + 1.0})
    params = Integrate.Params().significance_filter
    kept, tables = significance(table, params)
    curve = ExpectedIntensity(ids, d**-2, value)(ids, d**-2)
    assert [t.key for t in tables] == ["significance_0", "significance_2", "significance_5"]
    for i in (0, 2, 5):
        rows = np.flatnonzero(ids == i)
        np.testing.assert_array_equal(kept[rows], significance(table.select(rows), params)[0])
        alone = ExpectedIntensity(ids[rows], d[rows] ** -2, value[rows])(ids[rows], d[rows] ** -2)
        np.testing.assert_array_equal(curve[rows], alone)
    assert ExpectedIntensity(ids, d**-2, value)(np.array([3]), np.array([0.1])).tolist() == [-1.0]


def test_batches_of_experiments_and_blocks_of_rows_make_no_difference(sweeps, monkeypatch):
    experiments, _context, profile = sweeps
    whole = PredictSome(experiments, profile, Prediction)(range(5))
    parts = [PredictSome(experiments, profile, Prediction)(numbers) for numbers in (range(2), range(2, 5))]
    joined = ReflectionTable.concatenate(parts)
    assert sorted(set(whole["id"])) == [0, 1, 2, 3, 4]
    params = Integrate.Params().integration
    table = with_geometry(whole, experiments, profile, params, map)
    monkeypatch.setattr(predictions, "ROWS", 100)
    with ThreadPoolExecutor(2) as pool:
        again = with_geometry(joined, experiments, profile, params, pool.map)
    assert set(again) == set(table) >= {"d", "zeta", "lp", "qe", "bbox", "partiality"}
    for name in table:
        np.testing.assert_array_equal(again[name], table[name])


def test_groups_of_images_keep_neither_masks_nor_open_files(sweeps):
    """A detector of six million pixels has a mask of 6 MB, in thousands of groups."""
    experiments, context, profile = sweeps
    table = with_geometry(
        PredictSome(experiments, profile, Prediction)(range(5)),
        experiments,
        profile,
        Integrate.Params().integration,
        map,
    )
    integrator = Integrator(context, experiments, table, profile, Integrate.Params(), [set() for _ in experiments])
    for i in range(5):
        group = integrator._group([i], Common(experiments))
        assert len(group.rows) and group.masks.unpacked()[0].all()
        held = {*vars(group.sequence), *vars(group.unverified)}
        assert not held & {"masks", "corrections"} and len(pickle.dumps(group.masks)) < 1000


def test_tasks_of_a_group_carry_what_is_its_own(sweeps, monkeypatch):
    """Experiments and profiles of thousands of others travel once, not again for each group of images."""
    experiments, context, profile = sweeps
    table = with_geometry(
        PredictSome(experiments, profile, Prediction)(range(5)),
        experiments,
        profile,
        Integrate.Params().integration,
        map,
    )
    integrator = Integrator(context, experiments, table, profile, Integrate.Params(), [set() for _ in experiments])
    integrator.fitter = profile.make_fitter(experiments=experiments)
    groups = [integrator._group([i], Common(experiments)) for i in range(2)]
    packed = []

    def recorded(function, items):
        packed.append(pack_apart(function))
        return iter(())

    monkeypatch.setattr(context.executor, "map", recorded)
    n = len(integrator.table)
    for group in groups:
        list(integrator._pass(group, Wanted(np.ones(n, bool), np.zeros(n, bool), np.full(n, -1.0)), "trying"))
    images = len(pickle.dumps(experiments[0].imageset))
    assert len(packed) == 4 and max(len(function) for function, _ in packed) < 1.5 * images
    assert {name for _, common in packed for name in common} == {name for _, common in packed[:2] for name in common}
    assert len(packed[0][1]) == 2, "experiments and fitter"


def test_spots_find_their_predictions_whatever_their_order():
    rng = np.random.default_rng(4)
    n = 2000
    hkl = rng.integers(-4, 4, (n, 3))
    columns = {"miller_index": hkl, "id": rng.integers(0, 3, n), "panel": rng.integers(0, 2, n),
               "entering": rng.random(n) > 0.5, "xyzcal.px": rng.uniform(0, 30, (n, 3))}  # fmt: skip
    predicted = ReflectionTable(columns)
    reference = predicted.select(rng.permutation(n)[:300])
    reference["xyzcal.px"] = reference["xyzcal.px"] + rng.normal(0, 0.01, (300, 3))
    rows, partner = match(predicted, reference)
    assert len(rows) > 290
    for name in columns:
        close = np.abs(predicted[name][partner].astype(float) - reference[name][rows].astype(float))
        assert close.max() < 0.1
    assert len(match(predicted, reference.select([]))[0]) == len(match(predicted.select([]), reference)[0]) == 0


def test_rows_are_left_out_column_by_column():
    rng = np.random.default_rng(5)
    columns = {"d": rng.random(50), "s1": rng.random((50, 3)), "id": np.arange(50)}
    table, keep = ReflectionTable(columns, {0: "one"}), rng.random(50) > 0.4
    assert only_rows(table, np.ones(50, bool)) is table
    expected = table.select(keep)
    found = only_rows(table, keep)
    assert list(found) == list(expected) and found.identifiers == {0: "one"} and not list(table)
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name])
    assert len(only_rows(found, np.zeros(len(found), bool))) == 0


def columns(experiments, reference, profile, params):
    """What integrate knows of its predictions before it reads images."""
    asked = Predictions(experiments, profile, params.prediction, map)
    observed = None
    if reference is not None:
        rows, observed = find_observed(asked, experiments, reference)
        reference = reference.select(rows)
    return with_columns(asked, experiments, reference, observed, None, profile, params, map)


def test_batches_find_the_same_spots_and_keep_the_same_rows(sweeps, monkeypatch):
    experiments, _context, profile = sweeps
    params = Integrate.Params(prediction=Integrate.Params.prediction(d_min=2.0, padding=1.0))
    _, every = next(iter(Predictions(experiments, profile, params.prediction, map)))
    rng = np.random.default_rng(3)
    reference = every.select(rng.permutation(len(every))[:400])
    reference["xyzcal.px"] = reference["xyzcal.px"] + rng.normal(0.0, 0.01, (400, 3))
    reference["intensity.sum.value"] = rng.uniform(10.0, 100.0, 400)
    whole, bright = columns(experiments, reference, profile, params)
    assert np.count_nonzero(bright) > 100 and set(bright[bright > 0]) <= set(reference["intensity.sum.value"])
    monkeypatch.setattr(predictions, "BATCH", 2)
    monkeypatch.setattr(predictions, "KEPT", 4)
    parts, again = columns(experiments, reference, profile, params)
    np.testing.assert_array_equal(bright, again)
    for name in whole:
        np.testing.assert_array_equal(whole[name], parts[name])


def test_predictions_far_from_all_spots_are_made_once(sweeps, monkeypatch):
    """Spots are on three images of half a degree: to find them takes no more than three more at each end, 4.5 degrees of 21.5."""
    experiments, _context, profile = sweeps
    params = Integrate.Params.prediction(d_min=2.0, padding=10.0)
    _, every = next(iter(Predictions(experiments, profile, params, map)))
    z = every["xyzcal.px"][:, 2]
    reference = every.select(np.flatnonzero((z > 0.0) & (z < 3.0)))
    made = []

    def counted(task, batches):
        for batch in batches:
            made.append(len(table := task(batch)))
            yield table

    monkeypatch.setattr(predictions, "KEPT", 4)
    rows, _ = find_observed(Predictions(experiments, profile, params, counted), experiments, reference)
    assert len(rows) == len(reference)
    whole = len(PredictSome(experiments, profile, params)(range(5)))
    assert 0.15 * whole < sum(made) < 0.25 * whole


#: Two thirds each of 2,000 blocks of 96 kB, in a process of its own: in another, others may have left memory, or take some.
GROWS = """
import mmap
from pathlib import Path
import numpy as np
from spindle.table import ReflectionTable
from spindle_program_integrate.growing import Growing

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE

rng, before, growing = np.random.default_rng(6), resident(), Growing()
for k in range(2000):
    every = ReflectionTable({"d": rng.random(6144), "flags": np.full(6144, k, np.uint64)})
    growing.add(every, np.flatnonzero(every["d"] < 2 / 3))
table = growing.table()
size = sum(table[name].nbytes for name in table)
assert size > 120e6 and np.all(np.diff(table["flags"].astype(int)) >= 0) and table["flags"][-1] == 1999
assert table["d"].max() < 2 / 3 and abs(table["d"].mean() - 1 / 3) < 1e-3
print((resident() - before) / size)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the system does not say how much memory it gave")
def test_a_table_that_grows_takes_its_own_memory_alone():
    done = subprocess.run([sys.executable, "-c", GROWS], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 1.4


def test_predictions_of_the_padding_are_left_out_unless_they_are_asked_for(sweeps):
    """Their spots are over before the first image, or begin after the last: by the erf of the rocking curve."""
    experiments, _context, profile = sweeps
    table, _ = columns(experiments, None, profile, Integrate.Params(prediction=Integrate.Params.prediction(d_min=2.0)))
    asked = Integrate.Params(
        prediction=Integrate.Params.prediction(d_min=2.0),
        output=Integrate.Params.output(output_unintegrated_reflections=True),
    )
    every, _ = columns(experiments, None, profile, asked)
    z, width = every["xyzcal.px"][:, 2], 0.1 / np.abs(every["zeta"]) / 0.5
    on_images = 0.5 * (erf((3.0 - z) / width / np.sqrt(2)) - erf((0.0 - z) / width / np.sqrt(2)))
    assert len(every) > 1.3 * len(table)
    clearly = on_images > 0.005
    kept = set(map(tuple, np.column_stack([table["id"], table["miller_index"], table["xyzcal.px"]])))
    rows = list(map(tuple, np.column_stack([every["id"], every["miller_index"], every["xyzcal.px"]])))
    assert all(row in kept for row, yes in zip(rows, clearly, strict=True) if yes)
    assert table["partiality"].min() >= 0.001
    # what all images hold, which is asked first, is never less than what a box holds
    least = recorded_on_images(every, experiments, profile, map)
    assert np.all(least >= every["partiality"]) and np.count_nonzero(least < 0.001) > 0.2 * len(every)
