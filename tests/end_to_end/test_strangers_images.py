"""Thresholds that take several images at once, and centroids, of strangers in runs of `spindle find_spots` and `spindle export`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import spindle
from spindle.errors import UserError
from spindle.models import Detector, Experiments
from spindle.plugins import refresh
from spindle.testing.exporter import integrated_data
from spindle_lib_readers.testing.spot_images import render_spots, write_spot_sweep

TESTS = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module", autouse=True)
def strangers():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(TESTS / "trial_plugins"))
        refresh()
        yield
    refresh()


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    images, _ = render_spots(counts=2000.0)
    return write_spot_sweep(tmp_path_factory.mktemp("sweep"), images)


@pytest.mark.parametrize("mp", [{}, {"mp.method": "parcels", "mp.nproc": 2}], ids=["here", "pickled"])
def test_images_are_searched_together_with_the_same_result(sweep, mp):
    import trial_images

    options = {"spotfinder.compute_mean_background": True, **mp}
    alone = spindle.run("find_spots", sweep, **{"threshold.algorithm": "above_alone"}, **options)
    trial_images.batches.clear()
    together = spindle.run("find_spots", sweep, **{"threshold.algorithm": "above"}, **options)
    n = alone.summary["n_images"]
    assert trial_images.batches == [4] * (n // 4) + [n % 4] * (n % 4 > 0)
    assert len(alone.reflections) > 20
    assert together.summary == alone.summary
    for name in ("xyzobs.px.value", "intensity.sum.value", "bbox"):
        np.testing.assert_array_equal(together.reflections[name], alone.reflections[name])


def test_images_that_are_left_out_are_in_no_batch(sweep):
    import trial_images

    trial_images.batches.clear()
    options = {"threshold.algorithm": "above", "exclude_images": "0:2:3"}
    found = spindle.run("find_spots", sweep, **options).reflections
    assert sum(trial_images.batches) == sweep[0].scan.n_images - 2
    assert not ((found["bbox"][:, 4] < 3) & (found["bbox"][:, 5] > 1)).any()


def test_centroids_of_spots_are_those_of_the_chosen_algorithm(sweep):
    found = spindle.run("find_spots", sweep, **{"spotfinder.centroid.algorithm": "middle"}).reflections
    middle = found["bbox"].reshape(-1, 3, 2).mean(axis=2)
    np.testing.assert_allclose(found["xyzobs.px.value"], middle)
    usual = spindle.run("find_spots", sweep).reflections
    assert len(usual) == len(found)
    assert not np.allclose(usual["xyzobs.px.value"], middle)


def in_two_panels(experiment):
    """The same detector as two panels, the second below the first."""
    panel = experiment.detector[0]
    half = panel.image_size[1] // 2
    below = panel.origin + half * panel.pixel_size[1] * panel.slow_axis
    size = panel.image_size[0]
    panels = (replace(panel, image_size=(size, half)), replace(panel, origin=below, image_size=(size, half)))
    return replace(experiment, detector=Detector(panels))


def test_an_exporter_is_given_only_what_it_can_say(tmp_path):
    experiments, table = integrated_data()
    done = spindle.run("export", experiments, table, format="listed")
    next(iter(done.files.values()))(tmp_path / "out.txt")
    assert len(np.loadtxt(tmp_path / "out.txt")) == len(table)
    divided = Experiments([in_two_panels(experiments[0])])
    with pytest.raises(UserError, match=r"format=listed: the detector of experiment 0 has 2 panels"):
        spindle.run("export", divided, table, format="listed")
    with pytest.raises(UserError, match=r"format=xds: .* panels 0 and 1 at the same place"):
        spindle.run("export", divided, table, format="xds")
    with pytest.raises(UserError, match="format=listed: no reflections"):
        spindle.run("export", experiments, format="listed")


@pytest.mark.parametrize("name", ["mtz", "xds_ascii"])
def test_several_panels_are_written_where_they_are(name, tmp_path):
    """A detector cut in two gives the file of the whole one."""
    experiments, table = integrated_data()
    divided = Experiments([in_two_panels(experiments[0])])
    half = divided[0].detector[0].image_size[1]
    rows = table.view()
    position = table["xyzcal.px"].copy()
    below = position[:, 1] >= half
    position[below, 1] -= half
    rows["xyzcal.px"], rows["panel"] = position, below.astype(np.int64)
    assert 0 < below.sum() < len(table)
    written = []
    for i, (e, t) in enumerate(((experiments, table), (divided, rows))):
        done = spindle.run("export", e, t, format=name)
        path = tmp_path / f"{i}.out"
        next(iter(done.files.values()))(path)
        written.append(path)
    if name == "mtz":
        import gemmi

        one, two = (np.array(gemmi.read_mtz_file(str(p)), copy=False) for p in written)
    else:
        one, two = (np.loadtxt([line for line in p.read_text().splitlines() if line[0] != "!"]) for p in written)
    np.testing.assert_allclose(one, two, rtol=2e-6, atol=2e-3)
