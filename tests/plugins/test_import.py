"""`spindle import`: which images belong together, and models set by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from spindle_program_import.files import expand, split_number, template_of
from spindle_program_import.grouping import SharedModels, make_series, sweep_angles
from spindle_program_import.headers import read_headers
from spindle_program_import.params import Tolerances

import spindle
from spindle.contracts.format import FormatOptions
from spindle.errors import FileFormatError, ModelError, ParameterError
from spindle.files import read_experiments, write_experiments
from spindle.images import ImageSequence
from spindle.images.maps import write_map
from spindle.models import Scan
from spindle.testing import shared_data
from spindle.testing.format import mini_cbf_header, write_mini_cbf

PIXELS = np.arange(12, dtype=np.int32).reshape(3, 4)


def write_sweep(folder, n=5, name="t_{:04d}.cbf", first=1, start=0.0, width=0.5, pixels=PIXELS, **changes):
    paths = []
    for i in range(first, first + n):
        angles = {"Start_angle": f"{start + (i - first) * width:.4f} deg.", "Angle_increment": f"{width:.4f} deg."}
        header = mini_cbf_header(**{**angles, **changes})
        paths.append(write_mini_cbf(folder / name.format(i), pixels, header))
    return paths


def load(files, **params):
    return spindle.run("import", files=files, **params).experiments


# -- file names --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("/d/t_1_0023.cbf.gz", ("/d/t_1_", "0023", ".cbf.gz")),
        ("/d/x.0026.bz2", ("/d/x.", "0026", ".bz2")),
        ("/d/t_0023_corr.cbf", ("/d/t_", "0023", "_corr.cbf")),
        ("/d/t7.img", ("/d/t", "7", ".img")),
        ("/d/hit-20181213155134902.cbf", ("/d/hit-20181213155134902.cbf", "", "")),
        ("/d/image.cbf", ("/d/image.cbf", "", "")),
        ("/d/run2/image.cbf", ("/d/run2/image.cbf", "", "")),
    ],
)
def test_image_number_in_a_name(name, parts):
    found = split_number(name)
    assert (found.prefix, found.digits, found.suffix) == parts


def test_template_of_padded_and_unpadded_numbers():
    assert template_of([split_number(f"/d/t_{i:03d}.cbf") for i in (1, 2)]) == "/d/t_###.cbf"
    assert template_of([split_number(f"/d/t_{i}.cbf") for i in (9, 10)]) == "/d/t_#.cbf"
    with pytest.raises(FileFormatError, match="different widths"):
        template_of([split_number("/d/t_01.cbf"), split_number("/d/t_002.cbf")])


def test_folders_wildcards_and_templates_mean_the_same_files(tmp_path):
    paths = [str(p) for p in write_sweep(tmp_path, 12, name="t_{}.cbf")]
    (tmp_path / ".hidden").write_text("x")
    assert expand([tmp_path], [], []) == paths
    assert expand([f"{tmp_path}/*.cbf"], [], []) == paths
    assert expand([], [f"{tmp_path}/t_#.cbf"], []) == paths
    assert expand([], [], [str(tmp_path)]) == paths
    assert expand([paths[0], tmp_path], [], []) == paths


def test_standard_input_names_files(tmp_path, monkeypatch):
    import io

    paths = [str(p) for p in write_sweep(tmp_path, 3)]
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(paths) + "\n"))
    assert expand(["-"], [], []) == paths


@pytest.mark.parametrize(
    ("files", "templates", "message"),
    [
        (["t_0001.cbx"], [], "no such file or folder.*did you mean .*t_0001.cbf"),
        (["u_*.cbf"], [], "no file matches"),
        ([], ["u_####.cbf"], "no file matches"),
        ([], ["t_0001.cbf"], "no #"),
    ],
)
def test_names_that_mean_nothing_are_errors(tmp_path, files, templates, message):
    write_sweep(tmp_path, 2)
    with pytest.raises(FileFormatError, match=message):
        expand([tmp_path / f for f in files], [f"{tmp_path}/{t}" for t in templates], [])


# -- grouping ----------------------------------------------------------------------------------------------------------


def test_one_sweep(tmp_path):
    (experiment,) = load(write_sweep(tmp_path, 5, start=10.0))
    assert experiment.scan.image_range == (1, 5)
    assert experiment.scan.oscillation_deg == (10.0, 0.5)
    assert experiment.imageset.template == str(tmp_path / "t_####.cbf")
    assert len(experiment.scan.epochs) == 5


def test_order_of_files_does_not_matter(tmp_path):
    paths = write_sweep(tmp_path, 5)
    (experiment,) = load(paths[::-1])
    assert experiment.scan.image_range == (1, 5)


def test_images_are_read_back_through_the_experiment(tmp_path):
    for i in range(1, 4):
        write_mini_cbf(tmp_path / f"t_{i:02d}.cbf", PIXELS + i, mini_cbf_header(Start_angle=f"{0.5 * i} deg."))
    sequence = ImageSequence(load([tmp_path])[0])
    for i in range(3):
        assert np.array_equal(sequence.read(i)[0], PIXELS + i + 1)


def test_sweeps_of_two_templates_share_their_beam_and_detector(tmp_path):
    first = write_sweep(tmp_path, 3, name="a_{:04d}.cbf")
    second = write_sweep(tmp_path, 4, name="b_{:04d}.cbf", start=90.0)
    one, two = load([*first, *second])
    assert one.beam is two.beam and one.detector is two.detector
    assert (one.scan.n_images, two.scan.n_images) == (3, 4)


def test_a_missing_image_makes_two_sweeps_and_is_named(tmp_path, caplog):
    paths = write_sweep(tmp_path, 6)
    one, two = load(paths[:3] + paths[4:])
    assert one.scan.image_range == (1, 3) and two.scan.image_range == (5, 6)
    assert two.scan.oscillation_deg[0] == 2.0
    assert "image 4 is missing" in caplog.text


def test_a_jump_of_the_angle_makes_two_sweeps(tmp_path, caplog):
    write_sweep(tmp_path, 3)
    write_sweep(tmp_path, 3, first=4, start=90.0)
    assert [e.scan.image_range for e in load([tmp_path])] == [(1, 3), (4, 6)]
    assert "expected to start at 1.5000 deg, where image 3 ends, found 90.0000 deg" in caplog.text


def test_a_full_turn_is_one_sweep(tmp_path):
    write_sweep(tmp_path, 3, start=358.5, width=1.0)
    write_sweep(tmp_path, 3, first=4, start=1.5, width=1.0)
    (experiment,) = load([tmp_path])
    assert experiment.scan.oscillation_deg == (358.5, 1.0)


def test_mixed_detectors_make_two_sweeps_and_a_table(tmp_path):
    write_sweep(tmp_path, 3)
    write_sweep(tmp_path, 3, first=4, start=1.5, Detector_distance="0.12000 m")
    result = spindle.run("import", files=[tmp_path])
    assert len(result.experiments) == 2
    table = next(t for t in result.tables if t.key == "geometry_conflict")
    assert ["distance (mm)", "100", "120"] in table.rows


def test_tolerances_join_what_differs_little(tmp_path):
    write_sweep(tmp_path, 3)
    write_sweep(tmp_path, 3, first=4, start=1.5, Detector_distance="0.10020 m")
    assert len(load([tmp_path])) == 2
    assert len(load([tmp_path], **{"tolerance.detector.origin": 0.5})) == 1


def test_several_sweeps_can_be_refused(tmp_path):
    paths = write_sweep(tmp_path, 6)
    with pytest.raises(ModelError, match="the images make 2 sequences"):
        load(paths[:3] + paths[4:], allow_multiple_sequences=False)


def test_stills_of_one_template_are_one_experiment_each(tmp_path):
    experiments = load(write_sweep(tmp_path, 4, width=0.0))
    assert [e.scan.image_range for e in experiments] == [(1, 1), (2, 2), (3, 3), (4, 4)]
    assert all(e.is_still for e in experiments)
    assert len(experiments.unique("imageset")) == len(experiments.unique("detector")) == 1


def test_hidden_rotation_is_pointed_out(tmp_path, caplog):
    for i in range(4):
        header = mini_cbf_header(Start_angle=f"{10.0 + i} deg.", Angle_increment="0.0 deg.")
        write_mini_cbf(tmp_path / f"t_{i + 1}.cbf", PIXELS, header)
    load([tmp_path])
    assert "geometry.scan.oscillation=10,1" in caplog.text
    (experiment,) = load([tmp_path], **{"geometry.scan.oscillation": (10.0, 1.0)})
    assert experiment.scan.image_range == (1, 4) and experiment.scan.oscillation_deg == (10.0, 1.0)


def test_rounded_widths_are_taken_from_the_start_angles(tmp_path):
    n, true_width = 400, 1.0 / 30.0
    paths = write_sweep(tmp_path, 3)
    headers = read_headers([str(p) for p in paths], None, FormatOptions(), map)
    frame = make_series(headers.items, SharedModels(Tolerances()))[0].frames[0]
    frames = [replace(frame, number=i + 1, scan=Scan((1, 1), (round(i * true_width, 4), 0.0333))) for i in range(n)]
    angles = sweep_angles(frames)
    assert angles.width == pytest.approx(true_width, abs=1e-6)
    assert angles.notes


def test_grid_scan(tmp_path):
    paths = write_sweep(tmp_path, 6, width=0.0)
    experiments = load(paths, as_grid_scan=True, grid_size=(3, 2))
    assert [e.imageset.extra["grid_position"] for e in experiments] == [[0, 0], [1, 0], [2, 0], [0, 1], [1, 1], [2, 1]]
    with pytest.raises(ParameterError, match="4 positions, but there are 6 images"):
        load(paths, as_grid_scan=True, grid_size=(2, 2))


def test_sequences_to_stills_and_back(tmp_path):
    paths = write_sweep(tmp_path, 4)
    stills = load(paths, convert_sequences_to_stills=True)
    assert len(stills) == 4 and all(e.scan is None and e.goniometer is None for e in stills)
    assert np.array_equal(ImageSequence(stills[2]).read(0)[0], PIXELS)
    (joined,) = load(write_sweep(tmp_path, 4, width=0.0), convert_stills_to_sequences=True)
    assert joined.scan.n_images == 4


# -- files that are no images ------------------------------------------------------------------------------------------


def test_other_files_are_left_out_and_named(tmp_path, caplog):
    paths = write_sweep(tmp_path, 2)
    (tmp_path / "notes.md").write_text("not an image")
    (tmp_path / "empty_0003.cbf").write_bytes(b"")
    (experiment,) = load([tmp_path])
    assert experiment.scan.n_images == 2
    assert "2 of 4 files are left out" in caplog.text
    assert (
        "notes.md" in caplog.text
        and "expected those of an image of an installed format, found b'not an image'" in caplog.text
        and "the file is empty" in caplog.text
    )
    with pytest.raises(FileFormatError, match="ignore_unhandled=False and 2 files"):
        load([tmp_path], ignore_unhandled=False)
    with pytest.raises(FileFormatError, match="the file cannot be imported"):
        load([tmp_path / "notes.md"])
    assert len(paths) == 2


def test_no_images_is_an_error(monkeypatch):
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(ParameterError, match="no images given"):
        load([])


def test_missing_wavelength_is_mended_by_the_parameter(tmp_path):
    paths = write_sweep(tmp_path, 2, Wavelength=None)
    with pytest.raises(FileFormatError, match=r"set geometry.beam.wavelength"):
        load(paths)
    assert load(paths, **{"geometry.beam.wavelength": 0.9})[0].beam.wavelength == 0.9


def test_damaged_pixels_are_found_on_demand(tmp_path):
    paths = write_sweep(tmp_path, 3)
    content = bytearray(paths[1].read_bytes())
    content[content.index(b"\x0c\x1a\x04\xd5") + 6] += 1
    paths[1].write_bytes(bytes(content))
    assert len(load(paths)) == 1
    with pytest.raises(FileFormatError, match=r"t_0002.cbf: Content-MD5, the checksum"):
        load(paths, verify_checksum=True, ignore_unhandled=False)


# -- geometry ----------------------------------------------------------------------------------------------------------


def test_beam_parameters(tmp_path):
    beam = load(
        write_sweep(tmp_path, 2),
        **{
            "geometry.beam.wavelength": 1.3,
            "geometry.beam.direction": (0, 0.1, 1),
            "geometry.beam.polarization_normal": (1, 0, 0),
            "geometry.beam.polarization_fraction": 0.5,
            "transmission": 0.3,
            "flux": 1e12,
        },
    )[0].beam
    assert (
        beam.wavelength == 1.3 and beam.polarization_fraction == 0.5 and beam.transmission == 0.3 and beam.flux == 1e12
    )
    assert beam.direction == pytest.approx(np.array([0, 0.1, 1]) / np.sqrt(1.01))
    assert beam.polarization_normal.tolist() == [1, 0, 0]


def test_another_wavelength_changes_the_attenuation(tmp_path):
    paths = write_sweep(tmp_path, 2)
    assert load(paths, **{"geometry.beam.wavelength": 0.6889})[0].detector[0].mu == pytest.approx(1.4153536, rel=1e-6)


def test_distance_moves_the_detector_along_its_normal(tmp_path):
    paths = write_sweep(tmp_path, 2)
    before, after = load(paths)[0].detector[0], load(paths, **{"geometry.detector.distance": 150})[0].detector[0]
    assert after.distance == pytest.approx(150)
    assert after.origin[:2] == pytest.approx(before.origin[:2])


def test_small_changes_are_made_in_spite_of_tolerances(tmp_path):
    paths = write_sweep(tmp_path, 2)
    assert load(paths, **{"geometry.detector.distance": 100.01})[0].detector[0].distance == pytest.approx(100.01)
    assert load(paths, **{"geometry.beam.wavelength": 1.0000001})[0].beam.wavelength == 1.0000001


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    # DIALS 3.12.1 with the same parameters: {1} is slow, {0} fast for mosflm; pixels for the others.
    [
        ("mosflm_beam_centre", (0.4, 0.6), (0.6 / 0.172, 0.4 / 0.172)),
        ("fast_slow_beam_centre", (2, 1), (2, 1)),
        ("slow_fast_beam_centre", (2, 1), (1, 2)),
        ("fast_slow_beam_centre", (2, 1, 0), (2, 1)),
    ],
)
def test_beam_centre(tmp_path, name, value, expected):
    experiment = load(write_sweep(tmp_path, 2), **{f"geometry.detector.{name}": value})[0]
    assert experiment.detector.beam_centre_px(experiment.beam.s0, 0) == pytest.approx(expected)
    assert experiment.detector[0].distance == pytest.approx(100)


def test_panel_parameters(tmp_path):
    panel = load(
        write_sweep(tmp_path, 2, Silicon=None),
        **{
            "panel.name": "P",
            "panel.gain": 1.5,
            "panel.pedestal": 10.0,
            "panel.trusted_range": (1, 500),
            "panel.material": "CdTe",
            "panel.thickness": 0.75,
            "panel.origin": (-1, 2, -50),
            "panel.type": "SENSOR_CCD",
            "panel.fast_axis": (0, 1, 0),
            "panel.slow_axis": (1, 0, 0),
            "panel.pixel_size": (0.1, 0.1),
        },
    )[0].detector[0]
    assert (panel.name, panel.gain, panel.pedestal, panel.type) == ("P", 1.5, 10.0, "SENSOR_CCD")
    assert panel.trusted_range == (1, 500) and panel.parallax == "normalised" and panel.mu > 0
    assert panel.origin.tolist() == [-1, 2, -50] and panel.fast_axis.tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"panel.id": 3, "panel.gain": 2.0}, "the detector has 1 panels"),
        ({"panel.type": "FILM"}, "SENSOR_PAD"),
        ({"panel.fast_axis": (1, 1, 0)}, "not perpendicular"),
        ({"panel.trusted_range": (5, 1)}, "must not exceed"),
        ({"mosflm_beam_centre": (1, 1), "fast_slow_beam_centre": (1, 1)}, "both set the beam centre"),
        ({"fast_slow_beam_centre": (1, 1, 4)}, "no panel 4"),
        ({"goniometer.axis": (1, 0, 0), "goniometer.axes": (1, 0, 0)}, "give one of them"),
        ({"goniometer.angles": (1, 2)}, "give axes= too"),
        ({"geometry.goniometer.fixed_rotation": (1, 0, 0, 0, 1, 0, 0, 0, 2)}, "is no rotation"),
        ({"goniometer.axes": (1, 0, 0, 1)}, "a multiple of 3"),
        ({"geometry.scan.oscillation": (0, -1)}, "must not be negative"),
        ({"image_range": (1, 9)}, "the images of .* are 1 to 2"),
        ({"extrapolate_scan": True}, "needs geometry.scan.image_range"),
        ({"lookup.gain": "gain.npz"}, r"lookup.gain=gain.npz: no such file"),
        ({"lookup.mask": "nothing.npz"}, "no such file"),
        ({"dynamic_shadowing": True}, "no installed format has a model"),
        ({"convert_stills_to_sequences": True, "convert_sequences_to_stills": True}, "contradict"),
        ({"as_grid_scan": True}, "needs input.grid_size"),
    ],
)
def test_impossible_parameters_are_errors(tmp_path, params, message):
    with pytest.raises(ParameterError, match=message):
        load(write_sweep(tmp_path, 2), **params)


def test_unknown_material_is_an_error(tmp_path):
    with pytest.raises(ModelError, match="no attenuation table for the sensor material 'Unobtainium'"):
        load(write_sweep(tmp_path, 2), **{"panel.material": "Unobtainium"})


@pytest.mark.parametrize("mode", ["normalised", "dials", "none"])
def test_depth_in_the_sensor(tmp_path, mode):
    assert load(write_sweep(tmp_path, 2), parallax=mode)[0].detector[0].parallax == mode


def test_depth_correction_of_lists_and_references_changes_on_demand_only(tmp_path):
    paths = write_sweep(tmp_path, 2)
    theirs = load(paths, parallax="dials")
    write_experiments(theirs, tmp_path / "reference.expt")
    name = str(tmp_path / "reference.expt")
    for given in ({"experiments": theirs}, {"files": paths, "reference_geometry": name}):
        for wanted in ({}, {"parallax": "normalised"}, {"parallax": "none"}):
            (found,) = spindle.run("import", **given, **wanted).experiments
            assert found.detector[0].parallax == wanted.get("parallax", "dials")


def test_parallax_can_be_switched_off_by_panel(tmp_path):
    assert load(write_sweep(tmp_path, 2), parallax_correction=False)[0].detector[0].parallax == "none"


def test_single_axis_parameters(tmp_path):
    paths = write_sweep(tmp_path, 2)
    goniometer = load(
        paths, **{"goniometer.axis": (0, 1, 0), "geometry.goniometer.setting_rotation": (0, -1, 0, 1, 0, 0, 0, 0, 1)}
    )[0].goniometer
    assert goniometer.axis_lab == pytest.approx([-1, 0, 0])
    assert load(paths, invert_rotation_axis=True)[0].goniometer.rotation_axis.tolist() == [-1, 0, 0]


def test_multi_axis_parameters(tmp_path):
    goniometer = load(
        write_sweep(tmp_path, 2),
        **{
            "goniometer.axes": (1, 0, 0, 0, 1, 0),
            "goniometer.angles": (30, 0),
            "goniometer.names": "PHI,OMEGA",
            "scan_axis": 1,
        },
    )[0].goniometer
    assert goniometer.names == ("PHI", "OMEGA") and goniometer.rotation_axis.tolist() == [0, 1, 0]
    assert goniometer.fixed_rotation[2, 1] == pytest.approx(0.5)


def test_image_range_selects_images(tmp_path):
    (experiment,) = load(write_sweep(tmp_path, 6), image_range=(3, 5))
    assert experiment.scan.image_range == (3, 5) and experiment.scan.oscillation_deg == (1.0, 0.5)


def test_scans_can_be_extrapolated(tmp_path):
    (experiment,) = load(write_sweep(tmp_path, 3, first=2), image_range=(1, 10), extrapolate_scan=True)
    assert experiment.scan.image_range == (1, 10) and experiment.scan.oscillation_deg == (-0.5, 0.5)


def test_batch_offset_and_identifiers(tmp_path):
    paths = write_sweep(tmp_path, 2)
    experiment = load(paths, batch_offset=100, identifier_type="timestamp")[0]
    assert experiment.scan.batch_offset == 100 and experiment.identifier == "20260102030405500"
    assert load(paths, identifier_type="None")[0].identifier == ""
    assert len(load(paths)[0].identifier) == 36


def test_hierarchy_moves_groups_of_panels(tmp_path):
    pixels = np.zeros((619, 487), dtype=np.int32)
    paths = write_sweep(tmp_path, 1, pixels=pixels)
    before = load(paths, multi_panel=True)[0].detector
    params = {
        "hierarchy": {"name": "root", "origin": (0, 0, -5)},
        "hierarchy.group": {"id": (0,), "origin": (1, 0, 0), "panel": [1]},
    }
    after = load(paths, multi_panel=True, **{f"geometry.detector.{k}": v for k, v in params.items()})[0].detector
    assert after[0].origin - before[0].origin == pytest.approx([0, 0, -5])
    assert after[1].origin - before[1].origin == pytest.approx([1, 0, -5])
    assert after.hierarchy["children"][0]["children"] == [{"panel": 1}]


def test_mask_is_used_by_readers(tmp_path):
    mask = np.ones((3, 4), dtype=bool)
    mask[1, 2] = False
    np.savez(tmp_path / "mask.npz", mask)
    (experiment,) = load(write_sweep(tmp_path, 2), **{"lookup.mask": str(tmp_path / "mask.npz")})
    assert np.array_equal(ImageSequence(experiment).mask(0), mask)


def test_maps_are_checked_and_kept_in_the_file(tmp_path):
    images = write_sweep(tmp_path, 2)
    write_map(tmp_path / "gain.h5", [np.full((3, 4), 2.0)])
    write_map(tmp_path / "wrong.npz", [np.full((4, 3), 2.0)])
    experiments = load(images, **{"lookup.gain": str(tmp_path / "gain.h5")})
    write_experiments(experiments, tmp_path / "i.expt")
    (experiment,) = read_experiments(tmp_path / "i.expt")
    assert experiment.imageset.gain == str(tmp_path / "gain.h5")
    assert ImageSequence(experiment).corrections[0].gain.mean() == 2
    with pytest.raises(FileFormatError, match="transposed"):
        load(images, **{"lookup.pedestal": str(tmp_path / "wrong.npz")})


# -- references and existing lists -------------------------------------------------------------------------------------


def test_reference_geometry_replaces_the_models(tmp_path):
    paths = write_sweep(tmp_path, 3)
    reference = load(
        paths, **{"geometry.detector.distance": 123.0, "geometry.beam.wavelength": 1.1, "goniometer.axis": (0, 0, 1)}
    )
    write_experiments(reference, tmp_path / "reference.expt")
    name = str(tmp_path / "reference.expt")
    (experiment,) = load(paths, reference_geometry=name)
    assert experiment.detector[0].distance == pytest.approx(123)
    assert experiment.beam.wavelength == 1.1 and experiment.goniometer.rotation_axis.tolist() == [0, 0, 1]
    (experiment,) = load(paths, reference_geometry=name, use_beam_reference=False, use_gonio_reference=False)
    assert experiment.beam.wavelength == 1.0 and experiment.goniometer.rotation_axis.tolist() == [1, 0, 0]


def test_reference_of_another_detector_is_refused(tmp_path):
    (tmp_path / "other").mkdir()
    other = load(write_sweep(tmp_path / "other", 1, pixels=np.zeros((5, 6), dtype=np.int32)))
    write_experiments(other, tmp_path / "reference.expt")
    with pytest.raises(ModelError, match=r"image size of panel 0: images \(4, 3\), reference \(6, 5\)"):
        load(write_sweep(tmp_path, 2), reference_geometry=str(tmp_path / "reference.expt"))


def test_existing_list_is_changed(tmp_path):
    experiments = load(write_sweep(tmp_path, 4))
    (changed,) = spindle.run(
        "import", experiments=experiments, **{"geometry.detector.distance": 90.0, "geometry.scan.image_range": (2, 3)}
    ).experiments
    assert changed.detector[0].distance == pytest.approx(90) and changed.scan.image_range == (2, 3)
    assert changed.identifier == experiments[0].identifier


# -- real data, against dials.import 3.12.1 ----------------------------------------------------------------------------


def test_l_cysteine_makes_three_sweeps():
    folder = shared_data("l_cysteine")
    experiments = load([folder])
    assert [(e.scan.image_range, e.scan.oscillation_deg) for e in experiments] == [
        ((1, 15), (-145.0, 0.1)),
        ((1, 15), (-145.0, 0.1)),
        ((1, 15), (0.0, 0.1)),
    ]
    assert [e.goniometer.scan_axis for e in experiments] == [1, 1, 0]
    # dials.import: one beam, two detectors (two-theta 30 and 0), three goniometers.
    assert [len(experiments.unique(name)) for name in ("beam", "detector", "goniometer")] == [1, 2, 3]


def test_thaumatin_grid_makes_ten_stills():
    experiments = load([shared_data("thaumatin_grid")])
    assert len(experiments) == 10 and all(e.is_still for e in experiments)
    assert len(experiments.unique("imageset")) == len(experiments.unique("goniometer")) == 1


def test_a_written_list_is_read_back(tmp_path):
    experiments = load(sorted(shared_data("l_cysteine").glob("*_01_*.bz2")))
    write_experiments(experiments, tmp_path / "imported.expt")
    (again,) = read_experiments(tmp_path / "imported.expt")
    assert again.detector[0].parallax == "normalised" and again.detector[0].trusted_range == (0.0, 388705.0)
    assert again.detector[0].origin == pytest.approx(experiments[0].detector[0].origin)
