"""Bragg peaks fall on the voxels and the points of layers where the lattice has them; means, masks and bad input."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import gemmi
import numpy as np
import pytest
from spindle_program_rs_mapper.planes import planes_of

import spindle
from spindle.errors import ParameterError, UserError
from spindle.geometry import rotation_matrix
from spindle.images import ImageSequence
from spindle.models import Detector, Experiment, Experiments, Goniometer, Panel, Scan
from spindle.prediction import predict_static
from spindle.testing import PluginContract
from spindle.testing.simulated_spots import rotation_experiment
from spindle_lib_reciprocal_view.volumes import section_of, sections_of

N, D_MIN, HIGH = 64, 4.0, 100_000


class TestRsMapper(PluginContract):
    slot = "program"
    name = "rs_mapper"


def with_peaks(experiment: Experiment, high: int = HIGH) -> tuple[Experiment, np.ndarray]:
    """Images of 1 with a pixel of `high` where a reflection is predicted; and the indices of those."""
    detector = experiment.detector
    images = [[np.ones(p.image_size[::-1], np.int32) for p in detector] for _ in range(experiment.known_scan.n_images)]
    table = predict_static(experiment, d_min=1.05 * D_MIN)
    x, y, z = np.floor(table["xyzcal.px"]).astype(int).T
    z -= experiment.known_scan.array_range[0]
    for panel, i, j, k in zip(table["panel"], x, y, z, strict=True):
        images[k][panel][j, i] = high
    return ImageSequence.from_arrays(experiment, images).experiment, table["miller_index"]


def single() -> Experiment:
    return rotation_experiment(24)


def swung_out() -> Experiment:
    """A detector on a two-theta arm, a crystal on a goniometer with two more axes, turning backwards."""
    base = rotation_experiment(24)
    arm = rotation_matrix(np.array([0.0, 1.0, 0.0]), np.deg2rad(-18.0))
    (panel,) = base.detector
    panel = replace(panel, fast_axis=arm @ panel.fast_axis, slow_axis=arm @ panel.slow_axis, origin=arm @ panel.origin)
    axes = [[0.0, 0, 1], [-1.0, 0, 0], [0.1, 1.0, 0.0]]
    goniometer = Goniometer.multi_axis(axes, [25.0, 0.0, -35.0], ["phi", "omega", "chi"], 1)
    scan = Scan(image_range=(5, 28), oscillation_deg=(30.0, 0.25))
    return replace(base, detector=Detector([panel]), goniometer=goniometer, scan=scan)


def four_panels() -> Experiment:
    base = rotation_experiment(24)
    (p,) = base.detector
    panels = []
    for k in range(4):
        i, j = divmod(k, 2)
        tilt = rotation_matrix(np.array([0.3, 1.0, 0.1 * k]), np.deg2rad(3.0 * k - 4.0))
        origin = p.origin + j * 142 * 0.172 * p.fast_axis + i * 152 * 0.172 * p.slow_axis
        panels.append(
            Panel(tilt @ p.fast_axis, tilt @ p.slow_axis, origin, pixel_size=p.pixel_size, image_size=(138, 148), trusted_range=(0, 1e6),
                  name=str(k))
        )  # fmt: skip
    return replace(base, detector=Detector(panels))


def volume_of(experiments, tmp_path, **words):
    """The map as (n, n, n), and the result."""
    words = {"grid_size": N, "max_resolution": D_MIN, **words}
    result = spindle.run("rs_mapper", Experiments(experiments), **{k.replace("__", "."): v for k, v in words.items()})
    path = tmp_path / "volume.mrc"
    result.files["rs_mapper_output.mrc"](path)
    made = gemmi.read_ccp4_map(str(path))
    assert [made.header_i32(w) for w in (4, 5, 6, 7)] == [2, -(N // 2), -(N // 2), -(N // 2)]
    assert made.grid.unit_cell.a == pytest.approx(200 / D_MIN, rel=1e-5)
    return np.array(made.grid), result


def peak_near(volume, q, scale):
    """(m,) whether a voxel beside each point is much above the level of the images."""
    at = np.floor(q * scale + 0.5 * N + 0.5).astype(int)
    found = np.zeros(len(q))
    for step in np.ndindex(3, 3, 3):
        found = np.maximum(found, volume[tuple((at + np.array(step) - 1).T.clip(0, N - 1))])
    return found > 5


@pytest.mark.parametrize("make", [single, swung_out, four_panels])
def test_peaks_are_where_the_lattice_has_them(make, tmp_path):
    experiment, hkl = with_peaks(make())
    assert len(hkl) > 40
    volume, result = volume_of([experiment], tmp_path)
    scale = 0.5 * D_MIN * N
    q = hkl @ experiment.crystal.A.T
    assert peak_near(volume, q, scale).mean() > 0.99
    # Peaks are nowhere else: those of a volume are as many as those of the images.
    high = np.argwhere(volume > 5)
    gap = np.abs(high[:, None, :] - (q * scale + 0.5 * N)[None]).max(axis=2).min(axis=1)
    assert gap.max() < 1.5 and len(high) <= len(hkl)
    assert result.summary["share_seen"] == pytest.approx(np.mean(volume > 0))
    wrong, _ = volume_of([experiment], tmp_path, reverse_phi=True)
    assert peak_near(wrong, q, scale).mean() < 0.6


def test_sweeps_fall_on_each_other_and_means_are_means(tmp_path):
    first, hkl = with_peaks(single())
    turned = replace(single(), scan=Scan(image_range=(1, 24), oscillation_deg=(20.0, 0.25)))
    second, more = with_peaks(turned)
    third = ImageSequence.from_arrays(single(), [[np.full((300, 280), 3, np.int32)] for _ in range(24)]).experiment
    volume, _ = volume_of([first, second], tmp_path)
    q = np.concatenate([hkl, more]) @ first.crystal.A.T
    assert peak_near(volume, q, 0.5 * D_MIN * N).mean() > 0.99
    flat, _ = volume_of([third, replace(third, identifier="again")], tmp_path)
    assert set(np.unique(flat)) == {0.0, 3.0}
    both, _ = volume_of([third, with_peaks(replace(single(), identifier="b"), 1)[0]], tmp_path)
    assert np.unique(both).tolist() == [0.0, 2.0]


def test_layers_show_their_points(tmp_path, monkeypatch):
    from spindle_program_rs_mapper import workflow

    experiment, hkl = with_peaks(swung_out())
    drawn = {}

    def keep(wanted, pictures, *rest):
        drawn.update(
            {plane.name: (plane, *pair) for plane, pair in zip(wanted.planes, pictures, strict=True)}, wanted=wanted
        )
        return real(wanted, pictures, *rest)

    real = workflow._draw_layers
    monkeypatch.setattr(workflow, "_draw_layers", keep)
    _, result = volume_of(
        [experiment], tmp_path, planes=("hk0", "1kl", "h-2l"), slices__d_min=D_MIN, size=200, thickness=0.5
    )
    assert {"slice_hk0.png", "slice_1kl.png", "slice_h-2l.png", "rs_mapper.html"} <= set(result.files)
    n = 0
    for name, axis, level in (("hk0", 2, 0), ("1kl", 0, 1), ("h-2l", 1, -2)):
        plane, sums, counts = drawn[name]
        means = sums / np.maximum(counts, 1)
        of_layer = hkl[hkl[:, axis] == level]
        place = of_layer @ plane.directions(experiment.crystal.A).T * drawn["wanted"].plane_scale + 100
        # Lengths and angles of the layer are those of the lattice.
        length = np.linalg.norm((of_layer - level * np.eye(3, dtype=int)[axis]) @ experiment.crystal.A.T, axis=1)
        assert np.allclose(np.linalg.norm(place - 100, axis=1) / drawn["wanted"].plane_scale, length, atol=1e-9)
        around = [means[int(y) - 1 : int(y) + 2, int(x) - 1 : int(x) + 2].max() > 5 for x, y in place]
        assert all(around)
        n += len(around)
    assert n > 5
    result.files["slice_hk0.png"](tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    result.files["rs_mapper.html"](tmp_path / "a.html")
    assert "hk0" in (tmp_path / "a.html").read_text()


def test_several_workers_make_the_same_volume(tmp_path):
    experiment, _ = with_peaks(single())
    one, _ = volume_of([experiment], tmp_path, rs_mapper__nproc=1)
    many, _ = volume_of([experiment], tmp_path, mp__nproc=3)
    np.testing.assert_array_equal(one, many)


def test_masked_pixels_are_left_out_unless_told_otherwise(tmp_path):
    values = np.full((300, 280), 4, np.int32)
    values[:, ::2] = -1
    experiment = ImageSequence.from_arrays(replace(single(), scan=single().scan.slice(1, 3)), [[values]] * 3).experiment
    assert np.unique(volume_of([experiment], tmp_path)[0]).tolist() == [0.0, 4.0]
    assert volume_of([experiment], tmp_path, ignore_mask=True)[0].min() < 0


def test_nothing_measured_is_told_from_measured_as_nothing(tmp_path):
    values = np.zeros((300, 280), np.int32)
    values[100:120, 100:120] = 7
    experiment = ImageSequence.from_arrays(replace(single(), scan=single().scan.slice(1, 3)), [[values]] * 3).experiment
    plain, _ = volume_of([experiment], tmp_path)
    told, result = volume_of([experiment], tmp_path, unmeasured="nan")
    seen = np.isfinite(told)
    assert 0 < seen.mean() < 0.5 and seen.mean() == pytest.approx(result.summary["share_seen"])
    np.testing.assert_array_equal(np.nan_to_num(told), plain)
    assert (told[seen] == 0).any() and (told[seen] == 7).any()
    along_z = ImageSequence(sections_of(tmp_path / "volume.mrc")[0])
    low, high = along_z.experiment.detector[0].trusted_range
    sections = np.stack([along_z.read(k)[0] for k in range(N)])
    shown = (sections >= low) & (sections <= high)
    np.testing.assert_array_equal(np.transpose(shown[:, ::-1], (2, 1, 0)), seen)


def test_a_still_is_mapped_as_it_stands_and_the_crystal_frame_turns_it(tmp_path):
    still = replace(single(), scan=None, goniometer=None)
    table = predict_static(single(), d_min=1.05 * D_MIN)
    image = np.ones((300, 280), np.int32)
    near = table.select(table["xyzcal.px"][:, 2] < 1)
    x, y = np.floor(near["xyzcal.px"][:, :2]).astype(int).T
    image[y, x] = HIGH
    experiment = ImageSequence.from_arrays(still, [[image]]).experiment
    volume, _ = volume_of([experiment], tmp_path)
    scale = 0.5 * D_MIN * N
    assert peak_near(volume, near["miller_index"] @ still.crystal.A.T, scale).all()
    turned, _ = volume_of([experiment], tmp_path, crystal_frame=True)
    assert peak_near(turned, near["miller_index"] @ still.crystal.B.T, scale).all()
    # The head of the map tells what its places are in indices.
    for turn, from_hkl in ((False, still.crystal.A), (True, still.crystal.B)):
        volume_of([experiment], tmp_path, crystal_frame=turn)
        path = tmp_path / "volume.mrc"
        for section in sections_of(path):
            told = section_of(section)
            np.testing.assert_allclose(np.array(told["to_hkl"]) @ from_hkl, np.eye(3), atol=1e-6)
            assert told["step"] == pytest.approx(1 / scale, rel=1e-6) and told["middle"] == N // 2


def test_solid_angle_and_polarization_divide(tmp_path):
    base = replace(swung_out(), scan=swung_out().scan.slice(5, 5))
    experiment = ImageSequence.from_arrays(base, [[np.full((300, 280), 1000, np.int32)]]).experiment
    panel = base.detector[0]
    xy = np.array([[3.5, 140.5]])
    lab = base.detector.lab_coordinate_of_pixel(0, xy)[0]
    r = np.linalg.norm(lab)
    q = (lab / r - base.beam.s0) / base.beam.wavelength
    phi = base.scan.oscillation[0] + 0.5 * base.scan.oscillation[1]
    at = tuple(np.floor(base.goniometer.rotation(phi).T @ q * 0.5 * D_MIN * N + 0.5 * N + 0.5).astype(int))
    solid, _ = volume_of([experiment], tmp_path, solid_angle=True)
    # area of the pixel seen from the sample, relative to one hit at a right angle at the distance of the panel
    expected = 1000 / (lab @ panel.normal / r * (panel.distance / r) ** 2)
    assert solid[at] == pytest.approx(abs(expected), rel=0.03)
    polar, _ = volume_of([experiment], tmp_path, polarization=True)
    two_theta = np.arccos(lab @ base.beam.s0 / r)
    fraction = base.beam.polarization_fraction
    n, u = base.beam.polarization_normal, lab / r
    factor = (1 - 2 * fraction) * (1 - (n @ u) ** 2) + fraction * (1 + np.cos(two_theta) ** 2)
    assert polar[at] == pytest.approx(1000 / factor, rel=0.03)
    assert abs(1000 / factor - abs(expected)) > 20


def test_bad_input_is_refused():
    experiment, _ = with_peaks(single())
    table = predict_static(experiment, d_min=10)
    with pytest.raises(UserError, match="leave the reflection file out"):
        spindle.run("rs_mapper", Experiments([experiment]), table)
    with pytest.raises(ParameterError, match="no layer of a lattice"):
        planes_of(("hkl",))
    with pytest.raises(ParameterError, match="have 1 lattices"):
        spindle.run("rs_mapper", Experiments([experiment]), lattice=2)
    with pytest.raises(ParameterError, match="has no crystal"):
        spindle.run("rs_mapper", Experiments([replace(experiment, crystal=None)]), crystal_frame=True)
    away = replace(experiment.detector[0], trusted_range=(-5.0, 0.0))
    with pytest.raises(UserError, match="no good pixel"):
        spindle.run("rs_mapper", Experiments([replace(experiment, detector=Detector([away]))]))
    with pytest.raises(UserError, match="has no images"):
        spindle.run("rs_mapper", Experiments([replace(experiment, imageset=None)]))
    assert Path("rs_mapper_output.mrc").exists() is False
