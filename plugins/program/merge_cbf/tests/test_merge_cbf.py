"""`spindle merge_cbf`: pixels and headers of sums that are known."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from spindle_program_merge_cbf.cbf_header import merged_header
from spindle_program_merge_cbf.kernels import add_image, finish_sum
from spindle_program_merge_cbf.model_header import model_header

import spindle
from spindle.cli.main import main
from spindle.errors import FileFormatError, ModelError, ParameterError, UserError
from spindle.files import write_experiments
from spindle.files.maps import write_mask
from spindle.geometry import rotation_matrix
from spindle.images import ImageSequence, open_image
from spindle.models import Beam, Detector, Experiment, Experiments, Goniometer, Panel, Scan
from spindle_lib_readers.cbf_writing import write_cbf
from spindle_lib_readers.testing.images import write_edf, write_smv
from spindle_lib_readers.testing.mini_cbf import mini_cbf_header, write_mini_cbf

SHAPE = (40, 50)
CUTOFF = 1048500


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def sweep(folder, n=6, name="t", **changes):
    """Paths and pixels of n images of a sweep."""
    rng = np.random.default_rng(4)
    images = [rng.poisson(5.0, SHAPE).astype(np.int32) for _ in range(n)]
    paths = []
    for i, image in enumerate(images):
        image[:, 20:23], image[7, 8] = -1, -2
        header = mini_cbf_header(Start_angle=f"{10 + 0.5 * i} deg.", Omega_increment="0.5000 deg.", **changes)
        paths.append(write_mini_cbf(folder / f"{name}_{i + 1:04d}.cbf", image, header))
    return paths, images


def test_sums_are_a_scan_of_fewer_and_wider_images(here, capsys):
    paths, images = sweep(here, 7)
    assert main(["merge_cbf", *map(str, paths), "merge_n_images=3"]) == 0
    text = capsys.readouterr().out
    assert "the last 1 of 7 images of t_####.cbf" in text and "Next: spindle import sum_*.cbf" in text
    assert not (here / "sum_0003.cbf").exists()
    record = json.loads((here / "spindle.merge_cbf.json").read_text())
    assert {"sum_0001.cbf", "sum_0002.cbf"} <= {e["path"] for e in record["outputs"]}
    (before,) = spindle.run("import", files=paths).experiments
    (after,) = spindle.run("import", files=sorted(here.glob("sum_*.cbf"))).experiments
    assert after.scan.image_range == (1, 2)
    assert after.scan.oscillation_deg == pytest.approx((10.0, 1.5))
    assert after.scan.exposure_times == pytest.approx([0.3, 0.3])
    assert after.detector[0].trusted_range == (0.0, 3 * CUTOFF)
    assert np.array_equal(after.detector.d, before.detector.d)
    read = ImageSequence(after)
    for i in range(2):
        expected = np.sum(images[3 * i : 3 * i + 3], axis=0)
        expected[:, 20:23], expected[7, 8] = -1, -2
        assert np.array_equal(read.read(i)[0], expected)
    header = open_image(here / "sum_0002.cbf").header
    assert header.numbers["Omega_increment"] == 1.5 and header.numbers["Start_angle"] == 11.5
    assert header.numbers["Exposure_time"] == pytest.approx(0.291)


@pytest.mark.parametrize("kind", ["cbf", "smv"])
def test_any_file_name_makes_files_that_can_be_read(here, kind):
    paths = sweep(here, 2)[0]
    if kind == "smv":
        paths = [write_smv(here / f"s_{i}.img", np.ones((32, 48), int), PHI=i / 2, OSC_START=i / 2) for i in (1, 2)]
    done = spindle.run("merge_cbf", files=paths, **{"output.image_prefix": "a \\1 sümme_"})
    assert done.next_step == "spindle import 'a \\1 sümme_'*.cbf"
    assert len(spindle.run("import", files=[here / "a \\1 sümme_0001.cbf"]).experiments) == 1


def test_bad_and_overloaded_pixels_of_one_image_are_so_in_the_sum(here):
    paths, images = sweep(here, 2)
    values = [(-1, 7, -1), (7, -2, -2), (-1, -2, -2), (CUTOFF + 1, 3, 2 * CUTOFF + 1), (CUTOFF, CUTOFF, 2 * CUTOFF)]
    for k, (a, b, _) in enumerate(values):
        images[0][k, k], images[1][k, k] = a, b
    for path, image, start in zip(paths, images, (0.0, 0.5), strict=True):
        write_mini_cbf(path, image, mini_cbf_header(Start_angle=f"{start} deg."))
    result = spindle.run("merge_cbf", files=paths)
    assert result.summary["n_sums"] == 1 and result.summary["n_overloaded"] == 1
    (out,) = open_image("sum_0001.cbf").read()
    assert [out[k, k] for k in range(len(values))] == [v[2] for v in values]


def test_sums_never_leave_32_bits():
    raw = np.full((1, 3), 2**30, np.int32)
    total, bad, over = np.zeros((1, 3), np.int64), np.zeros((1, 3), np.int32), np.zeros((1, 3), np.uint8)
    for _ in range(4):
        add_image(raw, 0, 2**31 - 2, total, bad, over)
    out = np.empty((1, 3), np.int32)
    assert finish_sum(total, bad, over, 2**31 - 2, out) == 3
    assert out.tolist() == [[2**31 - 1] * 3]


def test_workers_do_not_change_the_sums(here):
    paths, _ = sweep(here, 6)
    for nproc in (1, 2):
        spindle.run("merge_cbf", files=paths, mp__nproc=nproc, output__image_prefix=f"n{nproc}_")
    for i in (1, 2, 3):
        first, second = (open_image(f"n{k}_000{i}.cbf").read()[0] for k in (1, 2))
        assert np.array_equal(first, second)


def test_categories_of_a_full_cbf_are_changed():
    text = "\n".join(
        [
            "###CBF: VERSION 1.5", "", "data_old", "", "_array_data.header_contents", ";", "# Exposure_time 0.0964 s", ";",
            "loop_", "_diffrn_scan_axis.axis_id", "_diffrn_scan_axis.angle_start", "_diffrn_scan_axis.angle_range",
            "_diffrn_scan_axis.angle_increment", "OMEGA -145.0 0.1000 0.1000", "PHI 5.0 0.0 0.0",
            "loop_", "_diffrn_scan_frame.frame_id", "_diffrn_scan_frame.integration_time", "FRAME1 0.096400",
            "loop_", "_array_intensities.array_id", "_array_intensities.overload", "_array_intensities.gain",
            "ARRAY1 388705 1.0", "",
        ]
    )  # fmt: skip
    merged = merged_header(text, 3, "new", "old_0001.cbf")
    assert merged.startswith("###CBF: VERSION 1.5") and "data_new" in merged
    for line in ("OMEGA -145.0 0.3000 0.3000", "PHI 5.0 0.0 0.0", "FRAME1 0.289200", "ARRAY1 1166115 1.0"):
        assert line in merged.replace("  ", " ")
    assert "# Exposure_time 0.2892 s" in merged
    with pytest.raises(FileFormatError, match=r"old_0001.*cannot be read"):
        merged_header(text.replace("PHI 5.0", "PHI"), 3, "new", "old_0001.cbf")


def test_images_of_another_format_keep_geometry_and_angles(here):
    rng = np.random.default_rng(2)
    images = [rng.integers(0, 3000, (32, 48)) for _ in range(4)]
    images[0][5, 6], images[1][7, 7] = 65535, 0
    paths = [
        write_smv(here / f"s_{i + 1:03d}.img", a, PHI=10 + 0.5 * i, OSC_START=10 + 0.5 * i)
        for i, a in enumerate(images)
    ]
    (before,) = spindle.run("import", files=paths).experiments
    bad = np.ones((32, 48), np.bool_)
    bad[9, 9] = False
    write_mask(here / "mine.npz", [bad])
    masked = Experiments([replace(before, imageset=replace(before.imageset, mask=str(here / "mine.npz")))])
    spindle.run("merge_cbf", masked)
    (after,) = spindle.run("import", files=sorted(here.glob("sum_*.cbf"))).experiments
    assert after.scan.oscillation_deg == pytest.approx((10.0, 1.0)) and after.scan.n_images == 2
    assert after.scan.exposure_times == pytest.approx(2 * before.scan.exposure_times[:2])
    assert after.scan.epochs[0] == pytest.approx(before.scan.epochs[0])
    assert np.allclose(after.detector.d, before.detector.d, atol=1e-9)
    assert np.allclose(after.beam.s0, before.beam.s0) and np.allclose(
        after.goniometer.axis_lab, before.goniometer.axis_lab
    )
    assert after.detector[0].type == "SENSOR_CCD"
    (out,) = ImageSequence(after).read(1)
    assert np.array_equal(out, images[2] + images[3])
    (out,) = ImageSequence(after).read(0)
    assert out[5, 6] == after.detector[0].trusted_range[1] + 1
    assert out[9, 9] == images[0][9, 9] + images[1][9, 9]  # the mask of the user is no part of the images


def test_any_geometry_survives_a_header_from_models(here):
    tilt = rotation_matrix(np.array([0.6, 0.8, 0.0]), 0.4)
    panel = Panel(
        fast_axis=tilt @ [0, -1, 0], slow_axis=tilt @ [1, 0, 0], origin=(-10.0, 20.0, 90.0), pixel_size=(0.1, 0.12),
        image_size=(50, 40), thickness=0.45, material="Si", mu=3.0, gain=2.5, type="SENSOR_PAD",
    )  # fmt: skip
    goniometer = Goniometer(
        rotation_axis=(0, 1, 0), fixed_rotation=rotation_matrix(np.array([1.0, 0, 0]), 0.3),
        setting_rotation=rotation_matrix(np.array([0, 0.6, 0.8]), -0.7),
    )  # fmt: skip
    beam = Beam(direction=(0, 0, -1), wavelength=0.7)  # the other way round than in imgCIF
    experiment = Experiment(
        beam, Detector([panel]), goniometer, Scan((1, 10), (20.0, 0.2), np.full(10, 0.5), np.full(10, 1e9))
    )
    write_cbf(here / "m_0001.cbf", model_header(experiment, 4, 3, 99, "m"), np.zeros((40, 50), np.int32))
    found = open_image(here / "m_0001.cbf").models()
    turn = np.diag([1.0, -1.0, -1.0])  # of the laboratory
    assert np.allclose(found.beam.s0, turn @ beam.s0)
    assert np.allclose(found.detector.d[0], turn @ experiment.detector.d[0], atol=1e-8)
    assert found.detector[0].gain == 2.5 and found.detector[0].trusted_range == (0.0, 99.0)
    assert found.detector[0].thickness == pytest.approx(0.45)
    assert found.scan.oscillation_deg == pytest.approx((20.8, 0.6)) and found.exposure_time == pytest.approx(1.5)
    for phi in (0.0, 0.5):
        assert np.allclose(found.goniometer.rotation(phi), turn @ goniometer.rotation(phi) @ turn.T, atol=1e-6)


def test_sweeps_are_numbered_apart(here):
    first, _ = sweep(here, 3)
    second, _ = sweep(here, 4, "u", Wavelength="0.98 A")
    result = spindle.run("merge_cbf", files=[*first, *second])
    assert result.summary["files"] == ["sum_1_0001.cbf", "sum_2_0001.cbf", "sum_2_0002.cbf"]


def test_models_that_differ_from_the_headers_are_said(here, caplog):
    paths, _ = sweep(here, 2)
    experiments = spindle.run("import", files=paths, geometry__beam__wavelength=1.1).experiments
    with caplog.at_level("WARNING"):
        spindle.run("merge_cbf", experiments)
    assert "another wavelength than the headers" in caplog.text


def test_wrong_requests_are_errors(here, capsys):
    paths, _ = sweep(here, 2)
    experiments = spindle.run("import", files=paths).experiments
    write_experiments(experiments, "imported.expt")
    for words, message in (
        (["merge_n_images=3"], "t_####.cbf has 2 images in one sweep"),
        (["get_raw_data_from_imageset=False"], "Leave it out"),
        (["output.image_prefix=t_", "merge_n_images=1"], "would be replaced"),
        (["output.image_prefix=no/sum_"], "the folder no does not exist"),
    ):
        assert main(["merge_cbf", "imported.expt", *words]) == 2
        assert message in capsys.readouterr().err
    (here / "sum_0007.cbf").touch()
    with pytest.raises(UserError, match=r"1 images of that name \(sum_0007\.cbf"):
        spindle.run("merge_cbf", files=paths)
    paths[1].write_bytes(paths[1].read_bytes()[:-6000])
    with pytest.raises(FileFormatError, match=r"t_0002\.cbf"):
        spindle.run("merge_cbf", experiments, output__image_prefix="new_")
    assert not list(here.glob("new_*"))


def test_sums_go_to_a_folder_that_ends_in_a_slash(here, capsys):
    paths, _ = sweep(here, 4)
    (here / "file").touch()
    for folder in ("new/deep.d/", "new/"):
        assert main(["merge_cbf", *map(str, paths), f"output.image_prefix={folder}"]) == 0
        assert f"Next: spindle import {folder}*.cbf" in capsys.readouterr().out
        assert sorted(p.name for p in (here / folder).glob("*.cbf")) == ["0001.cbf", "0002.cbf"]
        assert spindle.run("import", files=list((here / folder).glob("*.cbf"))).experiments[0].scan.n_images == 2
    assert main(["merge_cbf", *map(str, paths), "output.image_prefix=new/deep.d/"]) == 0
    assert main(["merge_cbf", *map(str, paths), "output.image_prefix=file/"]) == 2
    assert "file is a file; give a folder" in capsys.readouterr().err


def test_what_a_cbf_cannot_hold_is_refused(here):
    pixels = np.full((20, 30), 1.5, np.float32)
    items = {"Distance": 0.1, "WaveLength": 1e-10, "PSize_1": 1e-4, "PSize_2": 1e-4}
    options = {
        "geometry.detector.distance": 100,
        "geometry.beam.wavelength": 1.0,
        "geometry.detector.panel.pixel_size": "0.1,0.1",
    }
    experiments = spindle.run("import", files=[write_edf(here / "e_0001.edf", pixels, **items)], **options).experiments
    with pytest.raises(FileFormatError, match=r"e_0001\.edf: the pixels hold fractions"):
        spindle.run("merge_cbf", experiments, merge_n_images=1)
    panel = experiments[0].detector[0]
    two = Experiments([replace(experiments[0], detector=Detector([panel, panel]))])
    with pytest.raises(ModelError, match="2 panels that are not parts of one flat CBF"):
        spindle.run("merge_cbf", two, merge_n_images=1)
    with pytest.raises(ParameterError, match="no images"):
        spindle.run("merge_cbf")
