"""The gaussian_rs profile model against DIALS's columns of a real data set and against simulated truth."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from spindle_profile_gaussian_rs import GaussianRsProfile
from spindle_profile_gaussian_rs.fitter import gaussian_profile, profile_widths
from spindle_profile_gaussian_rs.geometry import SpotGeometry, growth
from spindle_profile_gaussian_rs.kernels import FARTHEST, bounding_boxes, recorded_fractions
from spindle_profile_gaussian_rs.model_error import ModelError as ProfileError
from spindle_profile_gaussian_rs.samplers import Sampler

from spindle.errors import ModelError, UserError
from spindle.files import read_experiments, read_reflections
from spindle.models import Experiments
from spindle.table import Flag, ReflectionTable
from spindle.testing import shared_data
from spindle.testing.profile import crop_shoeboxes, rotation_experiment, simulate_spots


@pytest.fixture(scope="module")
def quartz():
    """Integrated by DIALS 3.12: 1653 reflections of an electron diffraction scan, model in the .expt."""
    folder = shared_data("dials_processed/quartz_processed")
    return read_experiments(folder / "integrated.expt"), read_reflections(folder / "integrated.refl")


@pytest.fixture
def as_dials():
    return GaussianRsProfile(GaussianRsProfile.Params(widths="dials"))


def test_bounding_boxes_are_those_of_dials(quartz, as_dials):
    experiments, table = quartz
    bbox = as_dials.bounding_boxes(experiments, table, 2.0)
    assert np.array_equal(bbox[:, :4], table["bbox"][:, :4])
    # 69 rows are pieces of the 31 reflections that DIALS split at the borders of its jobs
    whole = np.all(bbox[:, 4:] == table["bbox"][:, 4:], axis=1)
    assert np.count_nonzero(~whole) <= 100


def test_frames_without_width_have_empty_boxes():
    """Of a beam along the incident one, of a panel whose plane holds the sample: no division by zero."""
    good = np.array([1e3, 0, 0, 0, 1e3, 0, 0.1, 0, 0, 0, 0.1, 0, -20, -20, 200.0])
    no_width, no_plane = good.copy(), good.copy()
    no_width[:6] = 0.0
    no_plane[14] = 0.0
    frames = np.stack([good, no_width, no_plane])
    boxes = bounding_boxes(frames, np.full(3, 0.5), np.full(3, 4.2), 3.0, 3.0, np.zeros(3, np.int64), np.full(3, 9))
    assert boxes[0, 0] < 200 < boxes[0, 1] and boxes[0, 2] < 200 < boxes[0, 3]
    assert (boxes[1:, :4] == 0).all() and (boxes[:, 5] > boxes[:, 4]).all()


def test_partiality_is_that_of_dials(quartz, as_dials):
    experiments, table = quartz
    partiality = as_dials.partiality(experiments, table, table["bbox"])
    np.testing.assert_allclose(partiality, table["partiality"], atol=1e-12)


def test_foreground_is_that_of_dials(quartz, as_dials):
    experiments, table = quartz
    bbox = np.ascontiguousarray(table["bbox"])
    masks = as_dials.foreground(experiments, table, bbox)
    size = experiments[0].detector[0].image_size
    # DIALS counts foreground pixels on the detector, on every image of the box
    nx = (bbox[:, 1] - bbox[:, 0]).astype(np.int64)
    owner = np.repeat(np.arange(len(table)), np.diff(masks.offsets))
    k = np.arange(len(owner)) - masks.offsets[owner]
    x, y = bbox[owner, 0] + k % nx[owner], bbox[owner, 2] + k // nx[owner]
    inside = (masks.inside == 1) & (x >= 0) & (x < size[0]) & (y >= 0) & (y < size[1])
    count = np.bincount(owner[inside], minlength=len(table)) * (bbox[:, 5] - bbox[:, 4])
    assert np.mean(count == table["num_pixels.foreground"]) > 0.995


@pytest.mark.parametrize(("algorithm", "sigma_m"), [("basic", 0.461373), ("extended", 0.332043)])
def test_widths_are_those_of_dials(algorithm, sigma_m):
    """sigma_b 0.012436789, sigma_m as printed by DIALS 3.12 for these files."""
    folder = shared_data("dials_processed/quartz_processed")
    experiments, spots = read_experiments(folder / "refined.expt"), read_reflections(folder / "refined.refl")
    bad = Flag.CENTROID_OUTLIER | Flag.EXCLUDED_FOR_REFINEMENT
    spots = spots.select(spots.has_flags(Flag.INDEXED) & ~spots.has_flags(bad, all=False))
    model = GaussianRsProfile(GaussianRsProfile.Params(widths="dials", sigma_m_algorithm=algorithm))
    found = model.estimate_profiles(experiments, spots)[0]
    assert found["sigma_b"] == pytest.approx(0.012436789, rel=1e-6)
    assert found["sigma_m"] == pytest.approx(sigma_m, rel=1e-5)


def test_sigma_m_of_simulated_spots_is_recovered():
    spots, table = _seen_spots(mean=2000.0, background=0.02, seed=3)
    found = GaussianRsProfile().estimate_profiles(spots.experiments, table)[0]
    assert found["sigma_m"] == pytest.approx(0.15, rel=0.03)


def test_sigma_b_is_freed_from_the_pixel():
    """0.05 degrees are half a pixel here; the pixel alone would add 16 %."""
    spots, table = _seen_spots(mean=2000.0, background=0.02, seed=4)
    found = GaussianRsProfile(GaussianRsProfile.Params(widths="isotropic")).estimate_profiles(spots.experiments, table)[
        0
    ]
    assert found["sigma_b"] == pytest.approx(0.05, rel=0.04)


def _seen_spots(**options):
    """Bright simulated spots with the boxes that spot finding would give."""
    from spindle.contracts.profile import ForegroundMasks

    spots = simulate_spots(**options)
    z = spots.table["xyzcal.px"][:, 2]
    spots.table = spots.table.select((spots.intensity > 500) & (z > 4) & (z < 20))
    xyz = np.floor(spots.table["xyzcal.px"]).astype(np.int32)
    bbox = np.ascontiguousarray(np.stack([xyz - 3, xyz + 4], axis=2).reshape(-1, 6))
    offsets = ForegroundMasks.offsets_of(bbox)
    boxes = crop_shoeboxes(spots, bbox, ForegroundMasks(offsets, np.ones(int(offsets[-1]), np.uint8)))
    table = spots.table.view()
    table["shoebox"], table["xyzobs.px.value"] = boxes, table["xyzcal.px"]
    return spots, table


def test_recorded_fraction_of_the_whole_is_the_sum_of_its_pieces():
    kz, z = np.array([0.7, -0.7]), np.array([10.3, 10.3])
    edges = np.array([5.0, 9.0, 11.0, 16.0])
    pieces = sum(recorded_fractions(kz, z, np.full(2, a), np.full(2, b)) for a, b in pairwise(edges))
    np.testing.assert_allclose(pieces, recorded_fractions(kz, z, np.full(2, 5.0), np.full(2, 16.0)), atol=1e-14)


def test_mosaic_spread_widens_spots_as_random_rotations_do():
    """Turn blocks by small random angles, bring each to diffraction, and look where its beam goes."""
    experiment = rotation_experiment()
    from spindle.prediction import predict_static

    table = predict_static(experiment, 0, 3.5)
    rng = np.random.default_rng(5)
    s0, axis, spread = experiment.beam.s0, experiment.goniometer.axis_lab, 1e-5
    s1 = table["s1"]
    expected = growth(experiment, s1, np.broadcast_to(s0, s1.shape))[:, 0]
    e1 = np.cross(s1, s0)
    e1 /= np.linalg.norm(e1, axis=1)[:, None]
    zeta = e1 @ axis
    for i in np.flatnonzero(np.abs(zeta) > 0.2)[::40]:
        p = s1[i] - s0
        turn = rng.normal(0.0, spread, (20000, 3))
        moved = np.cross(turn, p)
        # further rotation until the point is on the sphere again: (s0 + p).dp = 0
        rate = np.cross(axis, p)
        phi = -(moved @ s1[i]) / (rate @ s1[i])
        shift = (moved + phi[:, None] * rate) @ e1[i] / np.linalg.norm(s0)
        assert np.std(shift) / spread == pytest.approx(np.sqrt(expected[i]), rel=0.03)


def learned(**fitting):
    """A fitter that has learned one profile from simulated spots."""
    spots = simulate_spots(mean=1500.0, background=0.2, seed=8)
    plugin = GaussianRsProfile(GaussianRsProfile.Params(fitting={"grid_method": "single", **fitting}))
    model = {"__id__": "gaussian_rs", "n_sigma": 3.0, "sigma_b": 0.06, "sigma_m": 0.17}
    experiments = spots.experiments.replace(0, profile=model)
    bbox = plugin.bounding_boxes(experiments, spots.table, 2.0)
    boxes = crop_shoeboxes(spots, bbox, plugin.foreground(experiments, spots.table, bbox))
    z = spots.table["xyzcal.px"][:, 2]
    rows = np.flatnonzero((z > 5) & (z < 19))
    fitter = plugin.make_fitter(experiments)
    fitter.learn(spots.table.select(rows), boxes.select(rows))
    fitter.finish()
    return fitter


def test_learned_profile_has_the_true_widths():
    fitter = learned()
    e2, e1, e3 = profile_widths(fitter.references[0], fitter.step)
    # bilinear interpolation between points adds the variance of a triangle of half width `step`
    hat = fitter.step**2 / 6.0
    assert np.hypot(e1, np.sqrt(hat)) * 0.06 == pytest.approx(0.05, rel=0.03)
    assert np.hypot(e2, np.sqrt(hat)) * 0.06 == pytest.approx(0.05, rel=0.03)
    assert e3 * 0.17 == pytest.approx(0.15, rel=0.05)


@pytest.mark.parametrize("method", ["detector_space", pytest.param("reciprocal_space", marks=pytest.mark.long)])
def test_profiles_are_cut_off_below_the_threshold(method):
    whole, cut = (learned(fit_method=method, threshold=t).references[0] for t in (0.0, 0.1))
    kept = whole >= 0.1 * whole.max()
    assert 0.0 < whole[~kept].sum() < 0.3
    np.testing.assert_allclose(cut, np.where(kept, whole, 0.0) / whole[kept].sum(), rtol=1e-9)


def test_gaussian_profile_is_normalised_and_as_wide_as_asked():
    profile = gaussian_profile(31, 0.4, (1.0, 1.2, 0.8))
    assert profile.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(profile_widths(profile, 0.4), (1.0, 1.2, 0.8), rtol=0.02)


@pytest.mark.parametrize("method", ["single", "regular_grid", "circular_grid", "spherical_grid"])
def test_positions_are_nearest_to_themselves_and_weigh_one(method):
    sampler = Sampler(method, (487.0, 619.0), (0, 180), 18)
    positions = sampler.positions
    assert len(positions) == len(sampler)
    assert np.array_equal(sampler.nearest(positions), np.arange(len(sampler)))
    for k in (0, len(sampler) // 2):
        assert sampler.weights(positions, k)[k] == pytest.approx(1.0)


def test_local_frames_put_the_predicted_beam_at_the_predicted_pixel():
    experiment = rotation_experiment()
    experiments = Experiments([experiment]).replace(0, profile={"sigma_b": 0.05, "sigma_m": 0.1})
    from spindle.prediction import predict_static

    table = predict_static(experiment, 0, 3.0)
    frames, _ = SpotGeometry(experiments).frames(table)
    xy = table["xyzcal.px"]
    v = frames[:, 6:9] * xy[:, :1] + frames[:, 9:12] * xy[:, 1:2] + frames[:, 12:15]
    v /= np.linalg.norm(v, axis=1)[:, None]
    np.testing.assert_allclose(v, table["s1"] / np.linalg.norm(table["s1"], axis=1)[:, None], atol=1e-12)
    np.testing.assert_allclose(np.einsum("ij,ij->i", v, frames[:, :3]), 0.0, atol=1e-9)


def test_few_spots_are_refused_with_the_remedy():
    experiments = Experiments([rotation_experiment()])
    table = ReflectionTable.with_rows(3, ["id", "panel", "s1", "xyzcal.px", "xyzobs.px.value"])
    _, seen = _seen_spots(seed=1)
    table["shoebox"] = seen["shoebox"].select(np.arange(3))
    with pytest.raises(UserError, match=r"3 reference spots.*sigma_b"):
        GaussianRsProfile().estimate_profiles(experiments, table)


def test_half_a_model_is_refused():
    with pytest.raises(UserError, match=r"profile\.gaussian_rs\.parameters: give both"):
        GaussianRsProfile(GaussianRsProfile.Params(parameters={"sigma_b": 0.1}))


def test_fits_tell_whole_intensities_of_spots_that_the_scan_cuts_off():
    """Also where profiles are known to be wrong, so that fits of whole spots are mostly sums."""
    spots = simulate_spots(mean=5000.0, background=0.3, seed=22)
    plugin = GaussianRsProfile()
    experiments = spots.experiments.replace(
        0, profile={"__id__": "gaussian_rs", "n_sigma": 3.0, "sigma_b": 0.05, "sigma_m": 0.15}
    )
    bbox = plugin.bounding_boxes(experiments, spots.table, 2.0)
    boxes = crop_shoeboxes(spots, bbox, plugin.foreground(experiments, spots.table, bbox))
    part = plugin.partiality(experiments, spots.table, bbox)
    fitter = plugin.make_fitter(experiments)
    fitter.finish()
    fitter.error = ProfileError(1.0, 0.05)
    n = len(spots.table)
    found = fitter.fit(spots.table, boxes, np.full(n, 5000.0), np.zeros(n))
    cut = found.success & (spots.intensity > 1000.0) & (part > 0.4) & (part < 0.9)
    assert np.count_nonzero(cut) > 20
    assert np.sum(found.value[cut]) / np.sum(spots.intensity[cut]) == pytest.approx(1.0, abs=0.02)
    whole = found.success & (spots.intensity > 1000.0) & (part > 0.999)
    assert np.sum(found.value[whole]) / np.sum(spots.intensity[whole]) == pytest.approx(1.0, abs=0.02)


def spots_with_fitter():
    """Simulated spots, their shoeboxes, and a fitter that has learned nothing."""
    spots = simulate_spots(mean=100.0, background=0.3, seed=21)
    plugin = GaussianRsProfile()
    experiments = spots.experiments.replace(
        0, profile={"__id__": "gaussian_rs", "n_sigma": 3.0, "sigma_b": 0.05, "sigma_m": 0.15}
    )
    bbox = plugin.bounding_boxes(experiments, spots.table, 2.0)
    boxes = crop_shoeboxes(spots, bbox, plugin.foreground(experiments, spots.table, bbox))
    fitter = plugin.make_fitter(experiments)
    fitter.finish()
    return spots, boxes, fitter


def test_a_hot_pixel_does_not_change_the_fit():
    spots, boxes, fitter = spots_with_fitter()
    n = len(spots.table)
    arguments = np.full(n, 100.0), np.zeros(n)
    before = fitter.fit(spots.table, boxes, *arguments)
    foreground = np.flatnonzero((boxes.mask & 5) == 5)
    owner = np.searchsorted(boxes.offsets, foreground, "right") - 1
    first = foreground[np.unique(owner, return_index=True)[1]]
    boxes.data[first] += 500.0
    after = fitter.fit(spots.table, boxes, *arguments)
    both = before.success & after.success & (spots.intensity < 300)
    change = np.abs(after.value - before.value)[both] / np.sqrt(before.variance[both])
    assert np.mean(change < 1.0) > 0.97


def test_a_fit_tells_the_profile_that_expected_counts_has():
    spots, boxes, fitter = spots_with_fitter()
    fitter.deconvolution = True
    n = len(spots.table)
    found = fitter.fit(spots.table, boxes, np.full(n, 100.0), np.zeros(n))
    good = (boxes.mask & 5) == 5
    expected = fitter.expected_counts(spots.table, boxes, np.ones(n))
    assert good.any() and expected[good].max() > 0.05
    np.testing.assert_allclose(found.profile[good], expected[good], rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("wild", [np.nan, np.inf, -np.inf, 1e300])
def test_a_frame_that_is_no_frame_has_an_empty_box(quartz, wild):
    """Such a box was as large as numbers are, and the rectangles of all spots began before their array."""
    experiments, table = quartz
    frames, kz = SpotGeometry(experiments).frames(table.select(np.arange(4)))
    for first in (0, 6):
        bad = frames.copy()
        bad[1, first : first + 6] = wild
        z, n = np.array([5.0, wild, 5.0, 5.0]), len(kz)
        box = bounding_boxes(bad, kz, z, 3.0, 3.0, np.zeros(n, np.int64), np.full(n, 10))
        assert (box[[0, 2, 3], 1] > box[[0, 2, 3], 0]).all()
        assert (np.abs(box) <= FARTHEST).all() and (box[:, 1::2] >= box[:, ::2]).all()
        assert (box[:, 4] >= 0).all() and (box[:, 5] <= 10).all()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("sigma_b", v) for v in (None, "wide", [], [[0.1]], 0.0, -0.1, np.nan, 1e-300, 1e300)),
        *(("sigma_m", v) for v in (0, [0.1, np.nan], {})), ("sigma_e1", [0.1]), ("sigma_e2", [0.0, 0.0]), ("sigma_e1", None),
    ],
)  # fmt: skip
def test_widths_in_a_file_are_widths(quartz, as_dials, name, value):
    experiments, table = quartz
    pairs = {"sigma_e1": [0.1, 0.1], "sigma_e2": [0.1, 0.1]} if name.startswith("sigma_e") else {}
    wild = experiments.replace(0, profile={**experiments[0].profile, **pairs, name: value})
    with pytest.raises(ModelError, match=f"experiment 0: the profile's {name} is .* degrees expected"):
        as_dials.bounding_boxes(wild, table, 2.0)


def test_the_work_of_estimates_and_frames_grows_in_proportion_to_the_experiments(quartz, as_dials, monkeypatch):
    """Each experiment's beams are looked up as often as its own spots need, whatever the number of the others."""
    experiments, table = quartz
    refined = shared_data("dials_processed/quartz_processed")
    spots = read_reflections(refined / "refined.refl")
    spots = spots.select(np.flatnonzero(spots.has_flags(Flag.INDEXED))[:100])
    calls = []
    real = SpotGeometry.incident

    def counted(experiment, z):
        calls.append(len(z))
        return real(experiment, z)

    monkeypatch.setattr(SpotGeometry, "incident", staticmethod(counted))

    def many(n):
        parts = []
        for i in range(n):
            part = spots.view()
            part["id"] = np.full(len(spots), i, np.int32)
            part.identifiers = {}
            parts.append(part)
        calls.clear()
        models = as_dials.estimate_profiles(Experiments([experiments[0]] * n), ReflectionTable.concatenate(parts))
        return models, len(calls)

    one, few = many(1)
    twenty, more = many(20)
    assert twenty == one * 20
    assert more == 20 * few

    calls.clear()
    SpotGeometry(Experiments([experiments[0]] * 1000)).frames(table)
    assert len(calls) == 1
