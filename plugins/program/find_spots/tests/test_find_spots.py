"""`spindle find_spots`: simulated sweeps with known spots, its parameters, its errors, and what DIALS finds."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest

import spindle.execution
from spindle.errors import FileFormatError, ParameterError, UserError
from spindle.files import read_experiments, write_map
from spindle.images import ImageSequence
from spindle.models import Detector, Experiments
from spindle.plugins import using_plugin_files
from spindle.testing import shared_data
from spindle_lib_readers.testing.mini_cbf import mini_cbf_header, write_mini_cbf
from spindle_lib_readers.testing.spot_images import SWEEP_SHAPE, render_spots, write_spot_sweep

N_IMAGES, HEIGHT, WIDTH = SWEEP_SHAPE
COLUMNS = [
    "bbox", "flags", "id", "intensity.sum.value", "intensity.sum.variance", "n_signal", "panel", "shoebox",
    "xyzobs.px.value", "xyzobs.px.variance",
]  # fmt: skip


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    images, centres = render_spots()
    images[:, 5, 100] = 5000  # a hot pixel
    return write_spot_sweep(tmp_path_factory.mktemp("sweep"), images), centres


def run(experiments, **params):
    return spindle.execution.run("find_spots", experiments, **{k.replace("__", "."): v for k, v in params.items()})


def nearest(found, centres):
    """Distance of each centre from the nearest found position."""
    from scipy.spatial import cKDTree

    return cKDTree(found).query(centres)[0]


def test_spots_are_found_where_they_are(sweep):
    experiments, centres = sweep
    result = run(experiments)
    table = result.reflections
    assert len(table) == len(centres)
    found = table["xyzobs.px.value"]
    assert nearest(found, centres).max() < 0.25
    order = np.array([np.argmin(np.linalg.norm(found - c, axis=1)) for c in centres])
    # The threshold cuts the tails of a spot on all sides alike: no bias beyond the statistics of 4000 photons.
    assert np.abs((found[order] - centres).mean(axis=0)).max() < 0.05
    assert sorted(table.columns) == COLUMNS
    assert table.identifiers == {0: experiments[0].identifier}
    assert result.summary["n_spots"] == len(centres)


def test_columns_agree_with_each_other(sweep):
    table = run(sweep[0]).reflections
    boxes = table["shoebox"]
    for i in range(len(table)):
        data, mask, background = boxes.pixels(i)
        strong = mask == 5  # valid and foreground
        assert table["n_signal"][i] == strong.sum()
        assert table["intensity.sum.value"][i] == data[strong].sum() == table["intensity.sum.variance"][i]
        assert not data[~strong].any() and not mask[~strong].any() and not background.any()
        assert all(strong.any(axis=tuple(a for a in range(3) if a != k))[[0, -1]].all() for k in range(3))
    assert np.array_equal(boxes.bbox, table["bbox"])
    assert (table["flags"] == 32).all()


@pytest.mark.parametrize("workers", [2, 7])
def test_number_of_workers_changes_nothing(sweep, workers):
    one, many = (run(sweep[0], spotfinder__mp__nproc=n).reflections for n in (1, workers))
    for name in one.columns:
        if name != "shoebox":
            assert np.array_equal(one[name], many[name])
    assert np.array_equal(one["shoebox"].data, many["shoebox"].data)


def test_without_links_each_image_has_its_own_spots(sweep):
    table = run(sweep[0], force_2d=True, min_spot_size=1).reflections
    assert (np.diff(table["bbox"][:, 4:6], axis=1) == 1).all()
    assert len(table) > 2 * len(sweep[1])


def test_scan_range_keeps_image_numbers_and_cuts_spots(sweep):
    whole, part = run(sweep[0]).reflections, run(sweep[0], scan_range=[(7, 12), (15, 18)]).reflections
    z = part["bbox"][:, 4:6]
    assert ((z[:, 0] >= 6) & (z[:, 1] <= 12) | (z[:, 0] >= 14) & (z[:, 1] <= 18)).all()
    inside = (whole["bbox"][:, 4] >= 6) & (whole["bbox"][:, 5] <= 12)
    assert nearest(part["xyzobs.px.value"], whole["xyzobs.px.value"][inside]).max() == 0
    with pytest.raises(
        ParameterError, match=r"scan_range=100,120: there is no image 100 and no image 120; the .* have images 1 to 24"
    ):
        run(sweep[0], scan_range=(100, 120))
    with pytest.raises(
        ParameterError, match="scan_range=5,900: there is no image 900; the experiments have images 1 to 24"
    ):
        run(sweep[0], scan_range=[(1, 2), (5, 900)])


def test_excluded_images_have_no_pixels(sweep):
    table = run(sweep[0], exclude_images="0:5:8", min_spot_size=1).reflections
    assert not ((table["bbox"][:, 4] < 8) & (table["bbox"][:, 5] > 4)).any()
    table = run(sweep[0], exclude_images_multiple=4, min_spot_size=1).reflections
    assert (np.diff(table["bbox"][:, 4:6], axis=1) <= 3).all()
    with pytest.raises(ParameterError, match="there is no experiment 3"):
        run(sweep[0], exclude_images="3:1:2")


def test_region_of_interest_gives_positions_on_the_whole_panel(sweep):
    whole, part = run(sweep[0]).reflections, run(sweep[0], region_of_interest=(30, 90, 20, 60)).reflections
    box = whole["bbox"]
    inside = (box[:, 0] > 36) & (box[:, 1] < 84) & (box[:, 2] > 26) & (box[:, 3] < 54)
    assert inside.any()
    assert nearest(part["xyzobs.px.value"], whole["xyzobs.px.value"][inside]).max() == 0
    assert (part["bbox"][:, [0, 2]] >= [30, 20]).all() and (part["bbox"][:, [1, 3]] <= [90, 60]).all()
    with pytest.raises(ParameterError, match=r"region_of_interest=0,500,0,10: not inside panel 0 of 120 x 90"):
        run(sweep[0], region_of_interest=(0, 500, 0, 10))


def test_masks_take_pixels_out(sweep, tmp_path):
    good = np.ones((HEIGHT, WIDTH), np.bool_)
    good[:, :60] = False
    np.savez(tmp_path / "mask.npz", good)
    by_file = run(sweep[0], lookup__mask=str(tmp_path / "mask.npz")).reflections
    by_shape = run(sweep[0], untrusted__rectangle=(0, 60, 0, HEIGHT)).reflections
    assert (by_file["bbox"][:, 0] >= 60).all()
    assert np.array_equal(by_file["bbox"], by_shape["bbox"])
    assert (run(sweep[0], border=20).reflections["bbox"][:, 2] >= 20).all()


def test_automatic_mask_removes_a_hot_pixel(tmp_path):
    images, centres = render_spots(background=5.0)
    images[:, 5:7, 100:102] = 5000
    experiments = write_spot_sweep(tmp_path, images)
    experiments = experiments.replace(0, scan=replace(experiments[0].scan, oscillation_deg=(0.0, 0.5)))
    plain = run(experiments, max_separation=None)
    masked = run(experiments, max_separation=None, automatic_mask=True)
    assert len(plain.reflections) == len(masked.reflections) + 1 == len(centres) + 1


def test_size_limits_are_inclusive(sweep):
    table = run(sweep[0]).reflections
    smallest, largest = int(table["n_signal"].min()), int(table["n_signal"].max())
    assert len(run(sweep[0], min_spot_size=smallest, max_spot_size=largest).reflections) == len(table)
    assert len(run(sweep[0], min_spot_size=smallest + 1).reflections) < len(table)
    assert len(run(sweep[0], max_spot_size=largest - 1).reflections) < len(table)


def test_hot_pixels_are_written(sweep):
    result = run(sweep[0], write_hot_mask=True, hot_mask_prefix="hot")
    assert list(result.files) == ["hot_0.npz"]


def test_hot_mask_can_be_used_as_a_mask(sweep, tmp_path):
    # dispersion marks a lone pixel; the extended threshold does not, its surroundings are eroded away with it.
    result = run(sweep[0], write_hot_mask=True, threshold="dispersion")
    path = tmp_path / "hot.npz"
    result.files["hot_mask_0.npz"](path)
    with np.load(path) as archive:
        assert np.argwhere(~archive["panel_0"]).tolist() == [[5, 100]]
    # The brightest pixel of a spot through all images is not at its centre.
    options = {"threshold": "dispersion", "min_spot_size": 1, "max_separation": None}
    everything = run(sweep[0], **options).reflections
    clean = run(sweep[0], **options, lookup__mask=str(path)).reflections
    assert len(clean) == len(everything) - 1


def test_too_many_strong_pixels_stop_the_run_and_name_the_image(sweep):
    with pytest.raises(UserError, match=r"sweep_00\d\d.cbf are strong.*max_strong_pixel_fraction=0.001"):
        run(sweep[0], max_strong_pixel_fraction=0.001)
    assert len(run(sweep[0], max_strong_pixel_fraction=1).reflections)


def test_stills_with_too_many_strong_pixels_are_left_out(tmp_path, caplog):
    rng = np.random.default_rng(2)
    images = rng.poisson(1.0, (4, HEIGHT, WIDTH)).astype(np.int32)
    images[:, 40:44, 50:54] += 200
    images[1:3] += np.where(rng.random((2, HEIGHT, WIDTH)) < 0.2, 500, 0).astype(np.int32)
    files = [
        write_mini_cbf(
            tmp_path / f"s_{i}.cbf", image, mini_cbf_header(Start_angle=f"{30 * i} deg.", Angle_increment="0 deg.")
        )
        for i, image in enumerate(images)
    ]
    options = {"max_strong_pixel_fraction": 0.05, "threshold": "dispersion"}
    stills = spindle.execution.run("import", files=files).experiments
    assert len(stills) == 4 and all(e.is_still for e in stills)
    result = run(stills, **options)
    assert sorted(set(result.reflections["id"])) == [0, 3]
    assert result.summary["n_images"] == 4
    assert "s_2.cbf are strong, more than spotfinder.filter.max_strong_pixel_fraction=0.05" in caplog.text
    assert "2 of 4 images are left out" in caplog.text and "exclude_images" in caplog.text
    assert result.tables[0].column("Images\nleft out") == [2]
    with pytest.raises(UserError, match=r"^find_spots: .*s_2\.cbf are strong"):
        run(Experiments([stills[2]]), **options)
    with pytest.raises(UserError, match=r"no image is left, 2 are like the first: .*s_1\.cbf"):
        run(Experiments(stills[1:3]), **options)


def test_highest_trusted_value_can_be_lowered(sweep):
    table = run(sweep[0], maximum_trusted_value=200).reflections
    assert table["shoebox"].data.max() <= 200
    assert run(sweep[0]).reflections["shoebox"].data.max() > 200


def test_shoeboxes_can_be_left_out(sweep):
    assert "shoebox" not in run(sweep[0], output__shoeboxes=False).reflections


def test_gain_of_the_detector_is_divided_out(sweep, tmp_path):
    images, _ = render_spots()
    experiments = write_spot_sweep(tmp_path, images * 2 + 10)
    panel = replace(experiments[0].detector[0], gain=2.0, pedestal=10.0)
    experiments = experiments.replace(0, detector=Detector([panel]))
    plain, scaled = run(write_spot_sweep(tmp_path, images, "plain")).reflections, run(experiments).reflections
    assert np.array_equal(plain["xyzobs.px.value"], scaled["xyzobs.px.value"])
    assert np.array_equal(plain["intensity.sum.value"], scaled["intensity.sum.value"])


def test_statistics_of_images_add_up(sweep):
    result = run(sweep[0], per_image_statistics=True, compute_mean_background=True)
    tables = {t.key: t for t in result.tables}
    statistics = tables["per_image_statistics"]
    assert sum(statistics.column("#spots")) == len(result.reflections)
    assert sum(statistics.column("total_intensity")) == result.reflections["intensity.sum.value"].sum()
    assert np.mean(tables["mean_background"].column("mean background (counts)")) == pytest.approx(1.0, rel=0.05)


def test_steep_background_is_recognised(tmp_path):
    images, _ = render_spots(background=3.0)
    slope = np.random.default_rng(5).poisson(12.0 * np.arange(60), (N_IMAGES, HEIGHT, 60)).astype(np.int32)
    images[:, :, 60:] += slope
    experiments = write_spot_sweep(tmp_path, images)
    options = {"min_spot_size": 6, "background_gradient.gradient_cutoff": 15.0}
    before = run(experiments, **options).reflections
    after = run(experiments, **options, **{"background_gradient.filter": True}).reflections
    assert ((before["xyzobs.px.value"][:, 0] > 70) & (before["n_signal"] > 10)).any()
    assert (after["xyzobs.px.value"][:, 0] < 66).all()
    flat = before["xyzobs.px.value"][:, 0] < 50
    assert (after["xyzobs.px.value"][:, 0] < 50).sum() == flat.sum()


def test_crowded_parts_are_dropped():
    from spindle_program_find_spots.filters import uncrowded

    from spindle.table import ReflectionTable

    rng = np.random.default_rng(0)
    spread, crowd = rng.uniform(0, 1000, (4000, 3)), rng.uniform(500, 518, (600, 3))
    table = ReflectionTable({"xyzobs.px.value": np.concatenate([spread, crowd])})
    kept = uncrowded(table)
    assert kept[:4000].mean() > 0.99
    assert kept[4000:].mean() < 0.05
    assert uncrowded(ReflectionTable({"xyzobs.px.value": spread[:3]})).all()


def test_truncated_image_is_named(tmp_path):
    images, _ = render_spots()
    experiments = write_spot_sweep(tmp_path, images)
    path = tmp_path / "sweep_0017.cbf"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(FileFormatError, match=r"sweep_0017.cbf"):
        run(experiments)


def test_image_of_another_size_is_named(tmp_path):
    images, _ = render_spots()
    experiments = write_spot_sweep(tmp_path, images)
    write_mini_cbf(tmp_path / "sweep_0020.cbf", np.zeros((50, 60), np.int32), compress=False)
    with pytest.raises(FileFormatError, match=r"sweep_0020.cbf.*60x50.*120x90"):
        run(experiments)


def test_missing_image_is_named(tmp_path):
    images, _ = render_spots()
    experiments = write_spot_sweep(tmp_path, images)
    (tmp_path / "sweep_0003.cbf").unlink()
    with pytest.raises(FileFormatError, match=r"sweep_0003.cbf: no such file"):
        run(experiments)


def test_several_sweeps_and_crystals_that_share_images(sweep, tmp_path):
    first = sweep[0]
    second = write_spot_sweep(tmp_path, render_spots(seed=4)[0], "other")
    both = Experiments([first[0], second[0], replace(first[0], identifier="a second crystal")])
    table = run(both).reflections
    assert np.unique(table["id"]).tolist() == [0, 1]
    assert (table["id"] == 0).sum() == len(run(first).reflections)
    assert set(table.identifiers) == {0, 1, 2}


def test_stills_are_not_linked(sweep):
    experiments = sweep[0].replace(0, scan=replace(sweep[0][0].scan, oscillation_deg=(0.0, 0.0)))
    assert (np.diff(run(experiments).reflections["bbox"][:, 4:6], axis=1) == 1).all()


def test_empty_images_give_an_empty_table_and_advice(tmp_path, caplog):
    experiments = write_spot_sweep(tmp_path, np.zeros((3, HEIGHT, WIDTH), np.int32))
    with caplog.at_level(logging.WARNING):
        result = run(experiments)
    assert len(result.reflections) == 0
    assert sorted(result.reflections.columns) == COLUMNS
    assert "no spots on sweep_####.cbf" in caplog.text


def test_parameters_without_meaning_are_refused(sweep):
    for name, value in (("njobs", 3), ("chunksize", 5), ("min_chunksize", 7)):
        with pytest.raises(ParameterError, match=name):
            run(sweep[0], **{f"spotfinder.mp.{name}": value})
    with pytest.raises(ParameterError, match="min_spot_size=9 is larger"):
        run(sweep[0], min_spot_size=9, max_spot_size=5)


def test_histogram_of_spots_per_image():
    from spindle_program_find_spots.report import histogram

    lines = histogram("title", np.array([1, 2, 0, 4]), np.array([5, 6, 7, 8]), height=4).split("\n")
    assert lines == ["title", "7 spots found on 4 images (max 4 / bin)", "   *", "   *", " * *", "** *", "5  8"]


def test_lyso_small_is_found_as_by_dials():
    """First ten images: strong pixels as in the log of dials.find_spots 3.12.1 (its masking rule), image by image."""
    folder = shared_data("lyso_small")
    files = sorted(folder.glob("*.cbf.bz2"))[:10]
    experiments = spindle.execution.run("import", files=files).experiments
    result = run(experiments, legacy_erosion=True)
    counts = [3637, 3548, 3636, 3689, 3610, 3651, 3937, 3552, 3701, 3724]
    assert result.summary["n_strong_pixels"] == sum(counts)
    newer = run(experiments).reflections
    assert len(result.reflections) <= len(newer) <= 1.03 * len(result.reflections)


def test_quartz_strong_spots_of_dials_have_our_centroids():
    """The strong.refl of the public quartz set holds shoeboxes: their centroids come out as DIALS wrote them."""
    from spindle.files import read_reflections
    from spindle.testing import make_context

    path = shared_data("dials_processed") / "quartz_processed"
    table = read_reflections(path / "strong.refl")
    assert read_experiments(path / "imported.expt")
    found = make_context().algorithm("centroid", "simple").compute_centroids(shoeboxes=table["shoebox"])
    assert found.success.all()
    assert np.abs(found.position - table["xyzobs.px.value"]).max() < 1e-9
    assert np.abs(found.variance - table["xyzobs.px.variance"]).max() < 1e-9


def test_maps_of_gain_and_pedestal_are_corrected_for(sweep, tmp_path):
    experiments, _ = sweep
    rng = np.random.default_rng(8)
    gain = rng.uniform(2, 6, (HEIGHT, WIDTH))
    pedestal = rng.integers(10, 90, (HEIGHT, WIDTH)).astype(float)
    photons = ImageSequence(experiments[0])
    raw = [np.rint(photons.read(i)[0] * gain + pedestal) for i in range(photons.n_images)]
    distorted = write_spot_sweep(tmp_path, [r.astype(np.int32) for r in raw])
    write_map(tmp_path / "gain.npz", [gain])
    write_map(tmp_path / "pedestal.h5", [pedestal])
    imageset = replace(distorted[0].imageset, gain=str(tmp_path / "gain.npz"), pedestal=str(tmp_path / "pedestal.h5"))
    found = run(distorted.replace(0, imageset=imageset)).reflections
    true = run(experiments).reflections
    assert len(found) == len(true)
    # Values are rounded to whole counts of a half to a sixth of a photon.
    assert np.abs(found["intensity.sum.value"] / true["intensity.sum.value"] - 1).max() < 0.03
    assert np.abs(found["xyzobs.px.value"] - true["xyzobs.px.value"]).max() < 0.1
    cut = run(distorted.replace(0, imageset=imageset), region_of_interest=(30, 90, 20, 60)).reflections
    assert 0 < len(cut) < len(found)
    assert nearest(found["xyzobs.px.value"], cut["xyzobs.px.value"]).min() == 0


def test_overload_is_judged_on_raw_values(sweep, tmp_path):
    experiments, _ = sweep
    low = replace(experiments[0].detector[0], trusted_range=(0, 1e6), gain=2.0)
    experiments = experiments.replace(0, detector=Detector([low]))
    raw_peak = 2 * run(experiments).reflections["shoebox"].data.max()
    for limit, number in ((raw_peak, 1), (raw_peak + 1, 0)):
        flags = run(experiments, maximum_trusted_value=float(limit)).reflections["flags"]
        assert np.count_nonzero(flags & 1024) == number
    gain = np.full((HEIGHT, WIDTH), 2.0)
    write_map(tmp_path / "gain.npz", [gain])
    imageset = replace(experiments[0].imageset, gain=str(tmp_path / "gain.npz"))
    flags = run(experiments.replace(0, imageset=imageset), maximum_trusted_value=float(raw_peak)).reflections["flags"]
    assert np.count_nonzero(flags & 1024) == 1


def test_gain_is_estimated_when_asked_for(sweep, tmp_path, caplog):
    experiments, centres = sweep
    photons = ImageSequence(experiments[0])
    loud = write_spot_sweep(tmp_path, [photons.read(i)[0] * 10 for i in range(photons.n_images)])
    given = run(loud, threshold__dispersion__gain=10.0).reflections
    with caplog.at_level("INFO"):
        estimated = run(loud, threshold__dispersion__gain="Auto").reflections
    (text,) = [m for m in caplog.messages if m.startswith("Gain of experiment 0")]
    assert float(text.split(":")[1].split()[0]) == pytest.approx(10, rel=0.05)
    assert len(given) == len(centres)
    assert abs(len(estimated) - len(given)) <= 1


def test_advice_fits_the_threshold(tmp_path, caplog):
    experiments = write_spot_sweep(tmp_path, np.zeros((3, HEIGHT, WIDTH), np.int32))
    run(experiments)
    assert "dispersion.sigma_strong=2" in caplog.text and "gain= (Auto estimates it)" in caplog.text
    caplog.clear()
    run(experiments, threshold="radial_profile")
    assert "spotfinder.threshold.radial_profile.n_iqr=3" in caplog.text and "sigma_strong" not in caplog.text
    (tmp_path / "none.py").write_text(
        "from spindle.contracts import Algorithm, hookimpl\nclass NoneStrongThreshold(Algorithm):\n"
        "    @hookimpl\n    def find_strong(self, mask):\n        return mask & False\n"
    )
    caplog.clear()
    with using_plugin_files([f"{tmp_path / 'none.py'}:NoneStrongThreshold"]):
        run(experiments, threshold="none_strong")
    assert (
        "a lower threshold (spindle help threshold.none_strong)" in caplog.text
        and "the gain of the detector" in caplog.text
    )
