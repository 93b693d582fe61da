"""`spindle import`: which files are meant, and which images belong together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from spindle_program_import.files import expand, split_number, template_of
from spindle_program_import.grouping import SharedModels, make_series, sweep_angles
from spindle_program_import.headers import read_headers

import spindle
from spindle.contracts.format import FormatOptions
from spindle.errors import FileFormatError, ModelError, ParameterError
from spindle.geometry.angles import nearest_turn
from spindle.images import ImageSequence
from spindle.models import Beam, Detector, Goniometer, Panel, Scan
from spindle.table import ReflectionTable
from spindle_lib_importing.comparing import beam_differences, detector_differences, goniometer_differences
from spindle_lib_importing.params import Tolerances
from spindle_lib_readers.testing.images import write_bruker, write_dtrek, write_marccd, write_raxis, write_smv
from spindle_lib_readers.testing.mini_cbf import mini_cbf_header, write_mini_cbf, write_sweep

PIXELS = np.arange(12, dtype=np.int32).reshape(3, 4)


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
    assert template_of([split_number(f"/d/t_{i:03d}.cbf") for i in (1, 2)]).text == "/d/t_###.cbf"
    assert template_of([split_number(f"/d/t_{i}.cbf") for i in (9, 10)]).text == "/d/t_#.cbf"
    with pytest.raises(FileFormatError, match="different widths"):
        template_of([split_number("/d/t_01.cbf"), split_number("/d/t_002.cbf")])


def test_folders_wildcards_and_templates_mean_the_same_files(tmp_path):
    paths = [str(p) for p in write_sweep(tmp_path, 12, name="t_{}.cbf")]
    for name in (".hidden", "imported.expt", "spindle.import.log"):
        (tmp_path / name).write_text("x")
    assert expand([tmp_path], [], []) == paths
    assert expand([f"{tmp_path}/*.cbf"], [], []) == paths
    assert expand([], [f"{tmp_path}/t_#.cbf"], []) == paths
    assert expand([], [], [str(tmp_path)]) == paths
    assert expand([paths[0], tmp_path], [], []) == paths


def test_templates_may_have_a_range(tmp_path):
    paths = [str(p) for p in write_sweep(tmp_path, 6)]
    assert expand([], [f"{tmp_path}/t_####.cbf:2:4"], []) == paths[1:4]
    with pytest.raises(ParameterError, match=r"input\.as_grid_scan=True too"):
        load(paths, grid_size=(2, 2))


def test_a_range_of_one_file_with_many_images(tmp_path):
    from spindle_lib_readers.testing.nexus import write_nxmx

    path = write_nxmx(tmp_path / "x.h5", np.zeros((6, 5, 6), np.uint16))
    (experiment,) = spindle.run("import", template=f"{path}:2:4").experiments
    assert experiment.scan.image_range == (2, 4) and experiment.scan.oscillation_deg == (0.5, 0.5)
    with pytest.raises(ParameterError, match="the images of the file are 1 to 6"):
        spindle.run("import", template=f"{path}:7:9")


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
        ([], ["u.cbf"], "no #"),
        ([], ["t_####.cbf:7:9"], r"of 1 to 2 is within"),
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


def _cbf(path, start, end):
    angles = {"Start_angle": f"{start:.4f} deg.", "Angle_increment": f"{nearest_turn(end - start):.4f} deg."}
    write_mini_cbf(path, PIXELS, mini_cbf_header(**angles))


def _dtrek(path, start, end):
    write_dtrek(path, PIXELS, ROTATION=f"{start} {end} 0.5 10 0 0 0 0 0 0")


ONE_IMAGE_EACH = {
    "cbf": _cbf,
    "smv": lambda path, start, end: write_smv(path, PIXELS, OSC_START=start, PHI=start, OSC_RANGE=nearest_turn(end - start)),
    "marccd": lambda path, start, end: write_marccd(path, PIXELS, at684=round(start * 1000), at716=round(end * 1000)),
    "dtrek": _dtrek,
    "raxis": lambda path, start, end: write_raxis(path, PIXELS, at524=start, at528=end),
    "bruker": lambda path, start, end: write_bruker(
        path, np.zeros((16, 32), int), START=str(start), INCREME=str(nearest_turn(end - start))
    ),
}  # fmt: skip


@pytest.mark.parametrize("low", [0.0, -180.0])
@pytest.mark.parametrize("step", [0.5, -5.0])
@pytest.mark.parametrize("kind", ONE_IMAGE_EACH)
def test_angles_begin_a_new_turn_within_a_sweep_of_any_format(kind, step, low, tmp_path):
    angles = (low - 2 * step + step * np.arange(6) - low) % 360.0 + low
    paths = [tmp_path / f"a_{i + 1:04d}.img" for i in range(5)]
    for path, start, end in zip(paths, angles[:-1], angles[1:], strict=True):
        ONE_IMAGE_EACH[kind](path, float(start), float(end))
    (experiment,) = load(paths)
    start, width = experiment.scan.oscillation_deg
    assert experiment.scan.image_range == (1, 5) and width == pytest.approx(abs(step), abs=1e-5)
    assert start == pytest.approx(np.sign(step) * angles[0], abs=1e-4)


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


@pytest.mark.parametrize("names", [("t_{:04d}.cbf", "t_{:04d}.cbf"), ("a/t_{:04d}.cbf", "b/t_{:04d}.cbf")])
def test_detectors_that_differ_in_their_serial_number_alone_are_two(tmp_path, caplog, names):
    serial = "PILATUS 6M, S/N 60-0{}"
    for k, name in enumerate(names):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_sweep(tmp_path, 3, name, 1 + 3 * k, 1.5 * k, Detector=serial.format(k))
    found = load([tmp_path / "a", tmp_path / "b"] if "a/" in names[0] else [tmp_path])
    assert [e.detector[0].identifier for e in found] == [serial.format(0), serial.format(1)]
    if "a/" not in names[0]:
        assert "identifier of image 3" in caplog.text and "images of several detectors" in caplog.text


def test_tolerances_join_what_differs_little(tmp_path):
    write_sweep(tmp_path, 3)
    write_sweep(tmp_path, 3, first=4, start=1.5, Detector_distance="0.10020 m")
    assert len(load([tmp_path])) == 2
    assert len(load([tmp_path], **{"tolerance.detector.origin": 0.5})) == 1


def test_a_wavelength_that_jitters_is_one_when_the_user_says_so(tmp_path, caplog):
    for i in range(1, 9):
        header = mini_cbf_header(Start_angle=f"{0.5 * i} deg.", Wavelength=f"{1.0 + 2e-5 * (i % 2)} A")
        write_mini_cbf(tmp_path / f"t_{i}.cbf", PIXELS, header)
    assert len(load([tmp_path])) == 8
    assert "and 4 more places of this kind" in caplog.text
    (experiment,) = load([tmp_path], **{"tolerance.beam.wavelength": 1e-4})
    assert experiment.scan.n_images == 8


BEAM = Beam(direction=(0, 0, 1), wavelength=1.0)
PANEL = Panel(fast_axis=(1, 0, 0), slow_axis=(0, -1, 0), origin=(-1, 1, -9), pixel_size=(1, 1), image_size=(2, 2))
AXIS = Goniometer(rotation_axis=(1, 0, 0))
TILT = np.array([[1, 0, 0], [0, np.cos(1e-3), -np.sin(1e-3)], [0, np.sin(1e-3), np.cos(1e-3)]])


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("beam.wavelength", BEAM, replace(BEAM, wavelength=1.001)),
        ("beam.direction", BEAM, replace(BEAM, direction=np.array([0, 1e-3, 1]))),
        ("beam.polarization_normal", BEAM, replace(BEAM, polarization_normal=np.array([1e-3, 1, 0]))),
        ("beam.polarization_fraction", BEAM, replace(BEAM, polarization_fraction=0.998)),
        ("detector.fast_axis", PANEL, replace(PANEL, fast_axis=np.array([1, 0, 1e-3]))),
        ("detector.slow_axis", PANEL, replace(PANEL, slow_axis=np.array([0, -1, 1e-3]))),
        ("detector.origin", PANEL, replace(PANEL, origin=np.array([-1, 1, -9.1]))),
        ("goniometer.rotation_axis", AXIS, replace(AXIS, rotation_axis=np.array([1, 1e-3, 0]))),
        ("goniometer.fixed_rotation", AXIS, replace(AXIS, fixed_rotation=TILT)),
        ("goniometer.setting_rotation", AXIS, replace(AXIS, setting_rotation=TILT)),
    ],
)
def test_each_tolerance_decides_whether_models_are_the_same(name, one, other):
    kind = name.partition(".")[0]
    compare = {"beam": beam_differences, "detector": detector_differences, "goniometer": goniometer_differences}[kind]
    if kind == "detector":
        one, other = Detector([one]), Detector([other])
    tolerances = Tolerances()
    assert compare(one, other, tolerances)
    for value in (0.2, None):
        assert not compare(one, other, tolerances.changed({name: value}))


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
    assert [e.scan.image_range[0] for e in experiments] == [1, 2, 3, 4, 5, 6] and experiments[0].goniometer is not None
    assert np.array_equal(ImageSequence(experiments[4]).read(0)[0], PIXELS)
    with pytest.raises(ParameterError, match="4 positions, but there are 6 images"):
        load(paths, as_grid_scan=True, grid_size=(2, 2))


def test_sequences_to_stills_and_back(tmp_path):
    paths = write_sweep(tmp_path, 4)
    stills = load(paths, convert_sequences_to_stills=True)
    assert len(stills) == 4 and all(e.scan is None and e.goniometer is None for e in stills)
    assert np.array_equal(ImageSequence(stills[2]).read(0)[0], PIXELS)
    (joined,) = load(write_sweep(tmp_path, 4, width=0.0), convert_stills_to_sequences=True)
    assert joined.scan.n_images == 4


def test_stills_whose_angle_steps_are_joined_with_the_step(tmp_path):
    for i in range(4):
        header = mini_cbf_header(Start_angle=f"{10.0 + i} deg.", Angle_increment="0.0 deg.")
        write_mini_cbf(tmp_path / f"t_{i + 1}.cbf", PIXELS, header)
    (joined,) = load([tmp_path], convert_stills_to_sequences=True)
    assert joined.scan.oscillation_deg == (10.0, 1.0) and joined.scan.n_images == 4


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
    with pytest.raises(FileFormatError, match=r"notes\.md: it cannot be imported: [^\n]+$"):
        load([tmp_path / "notes.md"])
    assert len(paths) == 2


def test_no_images_is_an_error(monkeypatch):
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(ParameterError, match="no images given"):
        load([])


def test_reflections_are_no_images(tmp_path):
    with pytest.raises(ParameterError, match="a reflection file is no image"):
        spindle.run("import", reflections=ReflectionTable({}), files=write_sweep(tmp_path, 1))


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
