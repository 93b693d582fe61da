"""`spindle integrate` on simulated images of known intensities, and its pieces."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from spindle_program_integrate import Integrate, passes
from spindle_program_integrate.images import image_groups

from spindle.contracts import ProgramInputs
from spindle.contracts.profile import ForegroundMasks
from spindle.errors import UserError
from spindle.files import write_map
from spindle.geometry import rotation_matrix
from spindle.images import ImageSequence
from spindle.models import Experiments, ImageSet
from spindle.params import make
from spindle.table import Flag, MaskCode
from spindle.testing import make_context
from spindle.testing.profile import crop_shoeboxes, simulate_spots


def with_images(experiments, images, **changes):
    """The first experiment with other models and its images in memory."""
    experiment = replace(experiments[0], **changes)
    return experiments.replace(
        0, **changes | {"imageset": ImageSequence.from_arrays(experiment, images.astype(np.int32)).imageset}
    )


@pytest.fixture(scope="module")
def data():
    """Simulated spots, and the strong ones as indexed reflections with shoeboxes."""
    spots = simulate_spots(mean=400.0, background=0.5, seed=11)
    experiments = with_images(spots.experiments, spots.images)
    strong = np.flatnonzero(spots.intensity > 300)
    table = spots.table.select(strong)
    xyz = np.floor(table["xyzcal.px"]).astype(np.int32)
    bbox = np.stack([xyz - 3, xyz + 4], axis=2).reshape(-1, 6)
    bbox[:, 4:] = np.clip(bbox[:, 4:], 0, len(spots.images))
    bbox = np.ascontiguousarray(bbox)
    offsets = ForegroundMasks.offsets_of(bbox)
    seen = type(spots)(experiments, table, spots.intensity, spots.images, spots.background)
    boxes = crop_shoeboxes(seen, bbox, ForegroundMasks(offsets, np.ones(int(offsets[-1]), np.uint8)))
    boxes.mask[boxes.data < 4] = 0
    table["shoebox"], table["bbox"] = boxes, bbox
    table["xyzobs.px.value"], table["xyzobs.px.variance"] = table["xyzcal.px"], np.full((len(table), 3), 0.1)
    table["xyzobs.mm.value"] = table["xyzcal.mm"]
    table["intensity.sum.value"] = spots.intensity[strong]
    table["flags"] = np.full(len(table), int(Flag.INDEXED | Flag.STRONG | Flag.OBSERVED), np.uint64)
    return experiments, table, spots


def run(data, n_workers=1, **changes):
    """Integrate with parameters given as dotted names with double underscores for dots."""
    experiments, table, _ = data
    params = make(Integrate.Params, **{"prediction.d_min": 2.6, **changes})
    context = make_context("integrate", n_workers, params)
    return Integrate(params, context).run(ProgramInputs(experiments, [table.copy()]), params, context)


def compare(result, spots):
    """Rows of the result and of the truth that are the same reflection."""
    table = result.reflections
    keys = {
        (*map(int, h), bool(e)): i
        for i, (h, e) in enumerate(zip(spots.table["miller_index"], spots.table["entering"], strict=True))
    }
    found = np.array(
        [keys.get((*map(int, h), bool(e)), -1) for h, e in zip(table["miller_index"], table["entering"], strict=True)]
    )
    z = table["xyzcal.px"][:, 2]
    good = (found >= 0) & (z > 3) & (z < len(spots.images) - 3)
    return np.flatnonzero(good), found[good]


@pytest.fixture(scope="module")
def result(data):
    return run(data)


@pytest.mark.parametrize(("kind", "flag"), [("sum", Flag.INTEGRATED_SUM), ("prf", Flag.INTEGRATED_PRF)])
def test_intensities_are_unbiased_and_sigmas_honest(data, result, kind, flag):
    spots = data[2]
    rows, truth = compare(result, spots)
    table = result.reflections.select(rows)
    ok = table.has_flags(flag) & (table["partiality"] > 0.99)
    assert ok.sum() > 200
    true = spots.intensity[truth][ok]
    error = table[f"intensity.{kind}.value"][ok] - true
    z = error / np.sqrt(table[f"intensity.{kind}.variance"][ok])
    assert abs(error.sum() / true.sum()) < 0.02
    assert 0.85 < np.sqrt(np.mean(np.clip(z, -6, 6) ** 2)) < 1.2


@pytest.mark.parametrize(
    ("kind", "gain", "offset", "noise", "background"),
    [
        ("SENSOR_PAD", 4.0, -6.0, 2.0, "Auto"),
        ("SENSOR_PAD", 1.0, -1.0, 0.7, "Auto"),
        ("SENSOR_PAD", 1.0, -1.0, 0.7, "glm"),
        ("SENSOR_CCD", 0.25, 0.3, 0.5, "simple"),
    ],
)
def test_integrating_cameras_give_the_same_intensities(data, result, kind, gain, offset, noise, background):
    spots = data[2]
    rng = np.random.default_rng(8)
    scaled = gain * 8 if gain < 1 else gain  # images here are whole numbers: eighths of a count
    unit = scaled / gain
    images = spots.images * gain + offset + noise * rng.normal(size=spots.images.shape)
    (panel,) = data[0][0].detector
    camera = data[0][0].detector.replace_panels([replace(panel, trusted_range=(-1e4, 1e7), gain=scaled, type=kind)])
    experiments = with_images(data[0], np.rint(images * unit), detector=camera)
    found = run((experiments, *data[1:]), integration__background__algorithm=background)
    rows, truth = compare(found, spots)
    table = found.reflections.select(rows)
    assert len(rows) > 0.95 * len(compare(result, spots)[0])
    for which, flag in (("sum", Flag.INTEGRATED_SUM), ("prf", Flag.INTEGRATED_PRF)):
        ok = table.has_flags(flag) & (table["partiality"] > 0.99)
        assert ok.sum() > 200
        true = spots.intensity[truth][ok]
        error = table[f"intensity.{which}.value"][ok] - true
        z = error / np.sqrt(table[f"intensity.{which}.variance"][ok])
        assert abs(error.sum() / true.sum()) < 0.02, which
        weak = true < np.median(true)
        for part in (weak, ~weak):
            assert 0.85 < np.sqrt(np.mean(np.clip(z[part], -6, 6) ** 2)) < 1.15, which


def test_profile_fitting_is_more_precise_than_summation_for_weak_spots(data, result):
    spots = data[2]
    rows, truth = compare(result, spots)
    table = result.reflections.select(rows)
    both = table.has_flags(Flag.INTEGRATED_SUM | Flag.INTEGRATED_PRF) & (spots.intensity[truth] < 100)
    rms = [
        np.sqrt(np.mean((table[f"intensity.{k}.value"][both] - spots.intensity[truth][both]) ** 2))
        for k in ("sum", "prf")
    ]
    assert rms[1] < rms[0]


def test_all_columns_of_the_file_are_there(result):
    expected = (
        "miller_index id imageset_id panel entering flags d s1 bbox partiality partial_id zeta lp xyzcal.px xyzcal.mm xyzobs.px.value "
        "xyzobs.px.variance xyzobs.mm.value xyzobs.mm.variance intensity.sum.value intensity.sum.variance intensity.prf.value "
        "intensity.prf.variance background.mean background.sum.value background.sum.variance background.mse background.dispersion "
        "num_pixels.valid num_pixels.foreground num_pixels.background num_pixels.background_used profile.correlation "
        "expected_counts"
    )
    assert set(expected.split()) <= set(result.reflections)
    assert "shoebox" not in result.reflections
    assert result.experiments[0].profile["__id__"] == "gaussian_rs"


BLOCKS = {"integration__block__size": 1.5, "integration__block__threshold": 0.5}


@pytest.mark.parametrize("changes", [{"n_workers": 2}, {"integration__mp__multiprocessing__n_subset_split": 3}, BLOCKS])
def test_results_do_not_depend_on_workers_or_parts(data, result, changes):
    other = run(data, **changes)
    assert len(other.reflections) == len(result.reflections)
    for name in ("intensity.sum.value", "intensity.prf.value", "intensity.prf.variance", "flags"):
        assert np.array_equal(other.reflections[name], result.reflections[name]), name


def test_a_constant_added_to_all_pixels_leaves_the_sums(data, result):
    raised = run(
        (with_images(data[0], data[2].images + 7), *data[1:]),
        integration__background__algorithm="simple",
        integration__filter__automatic_mask=False,
    )
    plain = run(data, integration__background__algorithm="simple", integration__filter__automatic_mask=False)
    np.testing.assert_allclose(
        raised.reflections["intensity.sum.value"], plain.reflections["intensity.sum.value"], atol=0.02
    )
    assert np.all(raised.reflections["intensity.sum.variance"] > plain.reflections["intensity.sum.variance"])


def test_maps_of_gain_and_pedestal_are_corrected_for(data, tmp_path):
    images = data[2].images
    rng = np.random.default_rng(4)
    gain, pedestal = rng.integers(2, 9, images.shape[1:]), rng.integers(-5, 50, images.shape[1:])
    write_map(tmp_path / "gain.npz", [gain])
    write_map(tmp_path / "pedestal.h5", [pedestal])
    lookups = {"gain": str(tmp_path / "gain.npz"), "pedestal": str(tmp_path / "pedestal.h5")}
    fixed = {
        "integration__background__algorithm": "simple",
        "integration__filter__automatic_mask": False,
    }
    (panel,) = data[0][0].detector
    wide = data[0][0].detector.replace_panels([replace(panel, trusted_range=(-5, 1e7))])
    plain = run((data[0].replace(0, detector=wide), *data[1:]), **fixed).reflections
    distorted = with_images(data[0], images * gain + pedestal, detector=wide, imageset=ImageSet(**lookups))
    corrected = run((distorted, *data[1:]), **fixed).reflections
    for name in ("intensity.sum.value", "intensity.sum.variance", "intensity.prf.value"):
        np.testing.assert_allclose(corrected[name], plain[name], rtol=1e-4, atol=0.02)


def test_neighbours_are_left_in_the_background_on_request(data):
    wide = {"integration__profile__sigma_b_multiplier": 6.0}
    masked = run(data, **wide).reflections
    other = run(data, **wide, integration__mask_neighbours=False).reflections
    assert not np.any(other.has_flags(Flag.OVERLAPPED_BG | Flag.OVERLAPPED_FG, all=False))
    assert np.any(masked.has_flags(Flag.OVERLAPPED_BG))
    assert other["num_pixels.background_used"].mean() > masked["num_pixels.background_used"].mean()


def test_overlapping_lattices_are_separated(data):
    """A second crystal turned by 1.5 degrees about the beam: spots lie up to 4 pixels from those of the first."""
    experiments, table, spots = data
    other = simulate_spots(mean=400.0, background=0.0, seed=12, turn_deg=1.5)
    first = with_images(experiments, spots.images + other.images)[0]
    both = Experiments([first, replace(other.experiments[0], imageset=first.imageset)])
    widths = {f"profile__gaussian_rs__parameters__sigma_{k}": v for k, v in (("b", 0.05), ("m", 0.15))}
    truth = {
        (i, *map(int, h)): v for i, s in enumerate((spots, other)) for h, v in zip(s.table["miller_index"], s.intensity)
    }
    rms = []
    for together in (False, True):
        name = "profile__gaussian_rs__fitting__detector_space__deconvolution"
        found = run((both, table, spots), **widths, **{name: together}).reflections
        rows = found.has_flags(Flag.INTEGRATED_PRF | Flag.OVERLAPPED_FG) & (found["partiality"] > 0.99)
        part = found.select(rows)
        true = np.array([truth.get((i, *map(int, h)), np.nan) for i, h in zip(part["id"], part["miller_index"])])
        # nearer to the beam the two spots are less than 1.3 pixels apart: no fit can tell them apart
        known = np.isfinite(true) & (np.hypot(*(part["xyzcal.px"][:, :2] - (140, 150)).T) > 50)
        assert known.sum() > 60
        z = (part["intensity.prf.value"] - true)[known] / np.sqrt(part["intensity.prf.variance"][known])
        rms.append(np.sqrt(np.mean(np.clip(z, -10, 10) ** 2)))
    # 1.25 and 1.07 when this was written
    assert rms[1] < 0.92 * rms[0]
    assert rms[1] < 1.15


def test_excluded_images_are_not_used(data):
    table = run(data, exclude_images=["10:12"], output__output_unintegrated_reflections=True).reflections
    hit = (table["bbox"][:, 4] < 12) & (table["bbox"][:, 5] > 9)
    assert hit.any()
    assert not np.any(table.has_flags(Flag.INTEGRATED_SUM)[hit])
    assert np.any(table.has_flags(Flag.INTEGRATED_SUM)[~hit])


def test_scan_range_cuts_the_scan(data):
    result = run(data, scan_range=[(6, 18)])
    assert result.experiments[0].scan.image_range == (7, 18)
    assert result.reflections["bbox"][:, 4].min() >= 6
    assert result.reflections["bbox"][:, 5].max() <= 18


@pytest.mark.long
def test_reciprocal_space_fits_agree_with_detector_space(data, result):
    other = run(data, profile__gaussian_rs__fitting__fit_method="reciprocal_space")
    common = np.intersect1d(result.reflections["partial_id"], other.reflections["partial_id"])
    a, b = (r.reflections.select(np.searchsorted(r.reflections["partial_id"], common)) for r in (result, other))
    assert "expected_counts" not in b, "these fits have variances of observed counts"
    both = a.has_flags(Flag.INTEGRATED_PRF) & b.has_flags(Flag.INTEGRATED_PRF) & (a["intensity.prf.value"] > 200)
    ratio = b["intensity.prf.value"][both] / a["intensity.prf.value"][both]
    assert abs(np.median(ratio) - 1.0) < 0.03


def test_variances_are_made_of_expected_counts_where_they_say_so(data, result):
    rows, truth = compare(result, data[2])
    counts, d = result.reflections["expected_counts"][rows], result.reflections["d"][rows]
    for half in (d > np.median(d), d <= np.median(d)):
        assert counts[half].mean() == pytest.approx(data[2].intensity[truth][half].mean(), rel=0.25)
    doubled = run(data, integration__summation__detector_gain=2.0).reflections
    assert "expected_counts" not in doubled  # photons are half of these counts


def test_kept_shoeboxes_hold_data_and_background(data):
    table = run(data, integration__debug__output=True, integration__debug__separate_files=False).reflections
    boxes = table["shoebox"]
    assert np.array_equal(boxes.bbox, table["bbox"])
    used = (boxes.mask & MaskCode.BACKGROUND_USED) != 0
    assert boxes.data[used].mean() == pytest.approx(boxes.background[used].mean(), rel=0.02)


def test_absurd_model_is_refused_with_an_explanation(data):
    with pytest.raises(UserError, match=r"sigma_m.*rotation axis"):
        run(data, profile__gaussian_rs__parameters__sigma_b=0.05, profile__gaussian_rs__parameters__sigma_m=7.0)
    with pytest.raises(UserError, match="pixels wide"):
        run(data, profile__gaussian_rs__parameters__sigma_b=3.0, profile__gaussian_rs__parameters__sigma_m=0.1)


def test_memory_is_bounded_by_measuring_in_parts(data, result, monkeypatch):
    monkeypatch.setattr(passes, "PIXEL_MEMORY", 3_000_000)
    other = run(data)
    assert np.array_equal(other.reflections["intensity.prf.value"], result.reflections["intensity.prf.value"])
    monkeypatch.setattr(passes, "PIXEL_MEMORY", 10_000)
    with pytest.raises(UserError, match="GB"):
        run(data)


@pytest.mark.parametrize(
    "changes",
    [
        {"integration__block__force": True},
        {"integration__integrator": "2d"},
        {"prediction__margin": 3},
        {"exclude_images": ["x"]},
        {"scan_range": [(3, 99)]},
    ],
)
def test_what_is_not_possible_is_refused(data, changes):
    with pytest.raises(UserError, match=r"integrat|prediction\.|exclude_images=x"):
        run(data, **changes)


def test_spots_of_another_experiment_are_refused(data):
    experiments, table, spots = data
    other = table.copy()
    other["miller_index"] = -other["miller_index"]
    with pytest.raises(UserError, match="not to belong"):
        run((experiments, other, spots))


def test_experiments_on_the_same_images_are_a_group(data):
    experiments = Experiments([data[0][0], data[0][0]])
    assert image_groups(experiments) == [[0, 1]]


def test_spots_that_overlap_along_the_rotation_are_fitted_together(data):
    """Two lattices 1.5 degrees apart about the rotation axis, spots 0.4 degrees wide: each spot has a twin six images later."""
    table = data[1]
    first, second = (simulate_spots(400.0, b, s, n_images=48, sigma_m_deg=0.4) for s, b in ((13, 0.5), (14, 0)))
    shifted = np.zeros_like(second.images)
    shifted[6:] = second.images[:-6]
    crystal = second.experiments[0].crystal
    turned = replace(crystal, A=rotation_matrix(np.array([1.0, 0.0, 0.0]), np.deg2rad(-1.5)) @ crystal.A)
    one = with_images(first.experiments, first.images + shifted)[0]
    both = Experiments([one, replace(one, identifier="turned", crystal=turned)])
    widths = {f"profile__gaussian_rs__parameters__sigma_{k}": v for k, v in (("b", 0.05), ("m", 0.4))}
    truth = {
        (i, *map(int, h)): v
        for i, s in enumerate((first, second))
        for h, v in zip(s.table["miller_index"], s.intensity)
    }
    name = "profile__gaussian_rs__fitting__detector_space__deconvolution"
    found = {}
    for together in (False, True):
        part = run((both, table, first), **widths, **{name: together}).reflections
        z = part["xyzcal.px"][:, 2]
        ok = part.has_flags(Flag.INTEGRATED_PRF | Flag.INTEGRATED_SUM | Flag.OVERLAPPED_FG) & (z > 7) & (z < 41)
        true = np.array([truth.get((i, *map(int, h)), np.nan) for i, h in zip(part["id"], part["miller_index"])])
        ok &= np.isfinite(true) & (part["partiality"] > 0.97)
        assert ok.sum() > 100
        for kind in ("sum", "prf"):
            error = (part[f"intensity.{kind}.value"] - true)[ok]
            z = np.clip(error / np.sqrt(part[f"intensity.{kind}.variance"][ok]), -10, 10)
            found[kind, together] = np.sqrt(np.mean(z**2)), error.mean() / true[ok].mean()
    # sum and fit: 6.2 and 1.9 each by itself, 1.07 and 1.07 together when this was written
    assert found["sum", False][0] > 2.0
    for kind in ("sum", "prf"):
        assert found[kind, True][0] < 1.2
        assert abs(found[kind, True][1]) < 0.02


def test_profiles_are_validated_by_parts_of_the_spots(data):
    names = [f"integration__profile__validation__{name}" for name in ("number_of_partitions", "min_partition_size")]
    tables = {t.key: t for t in run(data, **dict(zip(names, (3, 20), strict=True))).tables}
    rows = tables["integrate_validation"].rows
    assert [row[0] for row in rows] == [0, 1, 2]
    assert all(row[1] > row[2] >= 20 and row[3] >= 0.95 * row[2] for row in rows)
    assert all(0.9 < row[4] <= 1.0 and row[5] < 0.3 for row in rows)
    few = {t.key for t in run(data, **dict(zip(names, (3, 5000), strict=True))).tables}
    assert "integrate_validation" not in few


def test_profiles_on_the_sphere_give_the_same_intensities(data, result):
    other = run(data, profile__gaussian_rs__fitting__grid_method="spherical_grid").reflections
    assert np.array_equal(other["partial_id"], result.reflections["partial_id"])
    both = other.has_flags(Flag.INTEGRATED_PRF) & result.reflections.has_flags(Flag.INTEGRATED_PRF)
    change = (other["intensity.prf.value"] - result.reflections["intensity.prf.value"])[both]
    assert np.mean(np.abs(change) < 0.5 * np.sqrt(other["intensity.prf.variance"][both])) > 0.95


def test_models_stay_where_reflections_have_no_shoeboxes(data, result):
    """Integrated experiments given again."""
    experiments = with_images(result.experiments, data[2].images)
    again = run((experiments, data[1].without("shoebox"), data[2]))
    widths = [r.experiments[0].profile for r in (again, result)]
    assert widths[0]["sigma_m"] == pytest.approx(widths[1]["sigma_m"], rel=2e-3)  # measured once more on whole spots
    assert len(again.reflections) == pytest.approx(len(result.reflections), abs=2)
    with pytest.raises(UserError, match="no shoeboxes"):
        run((data[0], data[1].without("shoebox"), data[2]))
