"""NeXus files: beam, detector and rotation."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

import spindle
from spindle.contracts.format import FormatOptions
from spindle.images import ImageSequence, open_image
from spindle_lib_readers.testing.nexus import add_axis, change, link_data, write_nxmx

hdf5plugin = pytest.importorskip("hdf5plugin")

PIXELS = np.random.default_rng(5).poisson(3.0, size=(4, 61, 97)).astype(np.uint16)
DETECTOR = "entry/instrument/detector"
MODULE = f"{DETECTOR}/module"


@pytest.fixture
def nxmx(tmp_path):
    return write_nxmx(tmp_path / "x_master.h5", PIXELS)


def detector_of(path, index=0, **options):
    return open_image(path, options=FormatOptions(**options)).models(index).detector


# -- geometry ----------------------------------------------------------------------------------------------------------


def test_detector_in_the_laboratory_frame(nxmx):
    panel = detector_of(nxmx)[0]
    # The NeXus frame turned by half a turn about y: x and z change their signs.
    assert np.allclose(panel.origin, [-3, 2, -100], atol=1e-12)
    assert np.allclose(panel.fast_axis, [1, 0, 0]) and np.allclose(panel.slow_axis, [0, -1, 0])
    assert panel.image_size == (97, 61) and np.allclose(panel.pixel_size, 0.075)
    assert panel.trusted_range == (0, 30000) and panel.material == "Si" and panel.thickness == 0.45


def test_chain_of_rotations_and_translations_in_any_units_and_order(nxmx):
    with h5py.File(nxmx, "r+") as file:
        moves = file[f"{DETECTOR}/transformations"]
        moves["det_z"].attrs["depends_on"] = "two_theta"  # relative to its group
        add_axis(moves, "two_theta", np.deg2rad(30.0), (0, 2, 0), "lift", "rad", "rotation")
        add_axis(moves, "lift", 0.02, (0, 1, 0), ".", "m", "translation", offset=[1.0, 0, 0], offset_units="cm")
    panel = detector_of(nxmx)[0]
    c, s = np.cos(np.pi / 6), 0.5
    # By hand, NeXus frame: (3, 2, 100) turned by 30 degrees about y, then moved by (10, 20, 0).
    nexus = np.array([c * 3 + s * 100 + 10, 2 + 20, -s * 3 + c * 100])
    assert np.allclose(panel.origin, nexus * [-1, 1, -1], atol=1e-10)
    assert np.allclose(panel.fast_axis, np.array([-c, 0, s]) * [-1, 1, -1], atol=1e-12)


def test_a_detector_that_moves_from_image_to_image(nxmx):
    change(nxmx, **{f"{DETECTOR}/transformations/det_z": np.array([100.0, 100.0, 120.0, 120.0])})
    reader = open_image(nxmx)
    found = [reader.models(i).detector for i in range(4)]
    assert [d[0].distance for d in found] == pytest.approx([100, 100, 120, 120])
    assert found[0] is found[1] and found[2] is found[3]


def add_module(file, name, origin, size, offset):
    module = file[DETECTOR].create_group(name)
    module.attrs["NX_class"] = "NXdetector_module"
    module["data_origin"], module["data_size"] = np.array(origin), np.array(size)
    chain = f"/{DETECTOR}/{name}/module_offset"
    extra = {"offset": offset, "offset_units": "mm"}
    place = f"/{DETECTOR}/transformations/det_z"
    add_axis(module, "module_offset", 0.0, (0, 0, 1), place, "mm", "translation", **extra)
    add_axis(module, "fast_pixel_direction", 75.0, (-1, 0, 0), chain, "um", "translation")
    add_axis(module, "slow_pixel_direction", 0.075, (0, -1, 0), "fast_pixel_direction", "mm", "translation")


def two_modules(path, second_offset):
    with h5py.File(path, "r+") as file:
        del file[MODULE]
        add_module(file, "module0", (0, 0), (61, 45), (3.0, 2.0, 0.0))
        add_module(file, "module1", (0, 50), (61, 47), second_offset)
    return path


def test_modules_on_one_grid_are_one_panel_or_a_panel_each(nxmx):
    path = two_modules(nxmx, (3.0 - 50 * 0.075, 2.0, 0.0))
    detector = detector_of(path)
    assert len(detector) == 1 and detector[0].image_size == (97, 61)
    assert np.allclose(detector[0].origin, [-3, 2, -100])
    mask = open_image(path).mask()[0]
    assert not mask[:, 45:50].any() and mask[:, :45].sum() == 61 * 45 - 1
    options = FormatOptions(multi_panel=True)
    reader = open_image(path, options=options)
    assert [p.image_size for p in reader.models().detector] == [(45, 61), (47, 61)]
    assert np.allclose(reader.models().detector[1].origin, [-3 + 50 * 0.075, 2, -100])
    assert np.array_equal(reader.read(1)[1], PIXELS[1][:, 50:])
    assert [m.shape for m in reader.mask()] == [(61, 45), (61, 47)]


def test_modules_off_the_grid_are_panels(nxmx):
    assert len(detector_of(two_modules(nxmx, (3.0 - 50 * 0.075, 2.0, 0.01)))) == 2


def test_images_with_an_axis_of_modules(nxmx):
    stacked = np.stack([PIXELS[:, :, :45], PIXELS[:, :, 50:95]], axis=1)
    with h5py.File(nxmx, "r+") as file:
        del file[MODULE], file["entry/data/data"], file[f"{DETECTOR}/pixel_mask"]
        file["entry/data"].create_dataset("data", data=stacked, chunks=(1, 1, 61, 45), **hdf5plugin.Bitshuffle())
        add_module(file, "module0", (0, 0, 0), (1, 61, 45), (3.0, 2.0, 0.0))
        add_module(file, "module1", (1, 0, 0), (1, 61, 45), (-3.0, 2.0, 0.0))
    reader = open_image(nxmx)
    panels = reader.read(2)
    assert len(reader.models().detector) == 2
    assert np.array_equal(panels[0], stacked[2, 0]) and np.array_equal(panels[1], stacked[2, 1])
    again = reader.read(0, panels)
    assert np.shares_memory(again[1], panels[1]) and np.array_equal(again[1], stacked[0, 1])


def eiger(path, **nodes):
    """A Dectris file without modules and transformations."""
    with h5py.File(path, "r+") as file:
        del file[MODULE], file["entry/sample/depends_on"], file[f"{DETECTOR}/depends_on"]
        del file["entry/sample/transformations"], file[f"{DETECTOR}/transformations"]
        detector = file[DETECTOR]
        values = {"x_pixel_size": 75e-6, "y_pixel_size": 75e-6, "detector_distance": 0.2, **nodes}
        for name, value in values.items():
            if value is not None:
                detector[name] = value
                detector[name].attrs["units"] = "m"
        if "beam_center_x" not in nodes:
            detector["beam_center_x"], detector["beam_center_y"] = 40.5, 30.25
        file["entry/sample/goniometer/omega"] = np.arange(4) * 0.1 + 10
    return link_data(path, PIXELS, ["data_000001", "data_000002"])


def test_an_eiger_master_file_without_transformations(nxmx):
    reader = open_image(eiger(nxmx))
    models = reader.models(1)
    panel = models.detector[0]
    assert np.allclose(panel.origin, [-40.5 * 0.075, 30.25 * 0.075, -200])
    assert models.scan.oscillation_deg == pytest.approx((10.1, 0.1))
    assert np.allclose(models.goniometer.rotation_axis, [1, 0, 0])
    assert "goniometer.axis=" in "".join(reader.models(0).notes)


def test_the_first_eigers_keep_mask_and_cutoff_among_their_own_values(nxmx):
    with h5py.File(nxmx, "r+") as file:
        detector = file[DETECTOR]
        del detector["saturation_value"]
        detector["detectorSpecific/countrate_correction_count_cutoff"] = 12000
        detector.move("pixel_mask", "detectorSpecific/pixel_mask")
    reader = open_image(nxmx)
    assert reader.models().notes == () and reader.models().detector[0].trusted_range == (0, 12000)
    assert not reader.mask()[0][2, 3]


# -- beam --------------------------------------------------------------------------------------------------------------


def test_a_wavelength_for_each_image(nxmx):
    change(nxmx, entry__instrument__beam__incident_wavelength=np.array([0.1, 0.1, 0.2, 0.1]))
    with h5py.File(nxmx, "r+") as file:
        file["entry/instrument/beam/incident_wavelength"].attrs["units"] = "nm"
    reader = open_image(nxmx)
    beams = [reader.models(i).beam for i in range(4)]
    assert [b.wavelength for b in beams] == pytest.approx([1, 1, 2, 1]) and beams[0] is beams[3]


def test_a_weighted_spectrum_and_an_energy(nxmx):
    change(nxmx, entry__instrument__beam__incident_wavelength=np.array([1.0, 2.0]))
    change(nxmx, entry__instrument__beam__incident_wavelength_weights=np.array([3.0, 1.0]))
    assert open_image(nxmx).models().beam.wavelength == pytest.approx(1.25)
    change(nxmx, entry__instrument__beam__incident_wavelength=None, entry__instrument__beam__incident_energy=12.4)
    with h5py.File(nxmx, "r+") as file:
        file["entry/instrument/beam/incident_energy"].attrs["units"] = "keV"
    assert open_image(nxmx).models().beam.wavelength == pytest.approx(12.39842 / 12.4)


def test_polarisation_from_stokes_parameters(nxmx):
    change(nxmx, entry__instrument__beam__incident_polarization_stokes=np.array([1.0, 0.9, 0.0, 0.0]))
    beam = open_image(nxmx).models().beam
    assert beam.polarization_fraction == pytest.approx(0.95) and np.allclose(beam.polarization_normal, [0, 1, 0])
    change(nxmx, entry__instrument__beam__incident_polarization_stokes=np.array([1.0, -1.0, 0.0, 0.0]))
    assert np.allclose(np.abs(open_image(nxmx).models().beam.polarization_normal), [1, 0, 0])


# -- rotation ----------------------------------------------------------------------------------------------------------


def test_three_axes_from_crystal_to_base(nxmx):
    with h5py.File(nxmx, "r+") as file:
        turns = file["entry/sample/transformations"]
        file["entry/sample/depends_on"][...] = "/entry/sample/transformations/phi"
        add_axis(turns, "phi", 20.0, (-1, 0, 0), "shift", "deg", "rotation")
        add_axis(turns, "shift", 3.0, (0, 0, 1), "chi", "mm", "translation")
        add_axis(turns, "chi", np.pi / 2, (0, 0, -1), "omega", "rad", "rotation")
    goniometer = open_image(nxmx).models(2).goniometer
    assert goniometer.names == ("phi", "chi", "omega") and goniometer.scan_axis == 2
    assert np.allclose(goniometer.axes, [[1, 0, 0], [0, 0, 1], [1, 0, 0]])
    assert np.allclose(goniometer.angles_deg[:2], [20, 90])
    # x of the crystal, on the phi axis, stands along y once chi is at 90 degrees.
    assert np.allclose(goniometer.rotation(0.0) @ [1, 0, 0], [0, 1, 0], atol=1e-12)


def test_several_sweeps_of_different_axes_in_one_file(tmp_path):
    pixels = np.zeros((12, 5, 6), dtype=np.uint16)
    omega = np.r_[np.arange(5) * 0.5, np.full(4, 90.0), 30.0 - np.arange(3) * 0.2]
    phi = np.r_[np.zeros(5), 10 + np.arange(4) * 1.0, np.full(3, 45.0)]
    path = write_nxmx(tmp_path / "x.h5", pixels, omega)
    with h5py.File(path, "r+") as file:
        add_axis(file["entry/sample/transformations"], "phi", phi, (0, -1, 0), "omega", "deg", "rotation")
        file["entry/sample/depends_on"][...] = "/entry/sample/transformations/phi"
    experiments = spindle.run("import", files=[path]).experiments
    assert [e.scan.image_range for e in experiments] == [(1, 5), (6, 9), (10, 12)]
    assert [e.scan.oscillation_deg for e in experiments] == [
        pytest.approx(v) for v in ((0, 0.5), (10, 1.0), (-30.0, 0.2))
    ]
    assert [e.goniometer.names[e.goniometer.scan_axis] for e in experiments] == ["omega", "phi", "omega"]
    # The last sweep runs backwards: its axis is turned round.
    assert np.allclose(experiments[2].goniometer.axes[1], [-1, 0, 0])
    assert experiments[1].goniometer.angles_deg[1] == 90 and experiments[2].goniometer.angles_deg[0] == 45


def test_widths_from_increments(tmp_path):
    path = write_nxmx(tmp_path / "x.h5", np.zeros((1, 5, 6), dtype=np.uint16), 15.0)
    assert open_image(path).models().scan.is_still
    change(path, entry__sample__transformations__omega_increment_set=0.25)
    assert open_image(path).models().scan.oscillation_deg == (15.0, 0.25)


def test_import_gives_experiments_whose_images_are_found_again(nxmx):
    (experiment,) = spindle.run("import", files=[nxmx]).experiments
    assert experiment.scan.image_range == (1, 4) and experiment.scan.oscillation_deg == (0.0, 0.5)
    assert experiment.scan.exposure_times[0] == 0.1 and experiment.scan.epochs[0] == 1767323045.0
    images = ImageSequence(experiment)
    assert np.array_equal(images.read(3)[0], PIXELS[3]) and not images.mask()[2, 3]


def test_two_entries_follow_each_other(nxmx):
    with h5py.File(nxmx, "r+") as file:
        file.copy("entry", "second")
        file["second/data/data"][...] = PIXELS[::-1]
        file["second/sample/depends_on"][...] = "transformations/omega"
        file["second/sample/transformations/omega"][...] += 90
    reader = open_image(nxmx)
    assert reader.n_images == 8
    assert np.array_equal(reader.read(4)[0], PIXELS[3])
    assert reader.models(5).scan.oscillation_deg == (90.5, 0.5)


# -- angles modulo a full turn -----------------------------------------------------------------------------------------

STEPS = {
    "past 360": (359.0, 0.5, lambda a: a % 360),
    "past 180": (178.9, 0.5, lambda a: (a + 180) % 360 - 180),
    "backwards past 0": (0.7, -0.5, lambda a: a % 360),
    "backwards past -180": (-178.9, -0.5, lambda a: (a + 180) % 360 - 180),
    "steps of 5": (348.0, 5.0, lambda a: a % 360),
    "from below zero": (-1.25, 0.5, lambda a: a % 360 if a >= 0 else a),
    "counted on": (358.9, 0.5, lambda a: a),
    "wide images": (10.0, 90.0, lambda a: a % 360),
    "many turns": (359.0, 45.0, lambda a: a % 360),
}


@pytest.mark.parametrize("given", ["starts alone", "ends", "ends modulo 360", "one width"])
@pytest.mark.parametrize("name", STEPS)
@pytest.mark.sampled(4)
def test_one_sweep_wherever_angles_begin_a_new_turn(name, given, tmp_path):
    start, step, written = STEPS[name]
    n = 40 if name == "many turns" else 5
    starts = start + step * np.arange(n)
    path = write_nxmx(tmp_path / "x.h5", np.zeros((n, 5, 6), np.uint16), written(starts) if n > 5 else None)
    turns = "entry/sample/transformations"
    angles = np.array([written(a) for a in starts])
    change(path, **{f"{turns}/omega": angles})
    ends = angles + step  # beyond 360 where the last start before the wrap is near it
    if given == "ends modulo 360":
        ends = np.array([written(a) for a in starts + step])
    if given.startswith("ends"):
        change(path, **{f"{turns}/omega_end": ends, f"{turns}/omega_end@units": "deg"})
    elif given == "one width":
        change(path, **{f"{turns}/omega_increment_set": step, f"{turns}/omega_increment_set@units": "deg"})
    (experiment,) = spindle.run("import", files=[path]).experiments
    assert experiment.scan.image_range == (1, n) and not experiment.is_still
    sign = np.sign(step)
    assert experiment.scan.oscillation_deg == pytest.approx((sign * angles[0], abs(step)))
    assert np.allclose(experiment.goniometer.rotation_axis, (sign, 0, 0))


def test_sweeps_of_one_file_are_still_told_apart_when_angles_wrap(tmp_path):
    omega = np.r_[359.0, 359.5, 0.0, 0.5, 90.0, 90.5, 91.0]
    path = write_nxmx(tmp_path / "x.h5", np.zeros((7, 5, 6), np.uint16), omega)
    found = spindle.run("import", files=[path]).experiments
    assert [(e.scan.image_range, e.scan.oscillation_deg) for e in found] == [((1, 4), (359, 0.5)), ((5, 7), (90, 0.5))]
