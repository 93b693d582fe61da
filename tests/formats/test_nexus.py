"""NeXus files: chunks, virtual datasets, links, geometry, rotation, and what is said of defects."""

from __future__ import annotations

import contextlib

import h5py
import numpy as np
import pytest

import spindle
from spindle.contracts.format import FormatOptions
from spindle.errors import FileFormatError
from spindle.images import ImageSequence, open_image
from spindle.testing.nexus import add_axis, write_nxmx

hdf5plugin = pytest.importorskip("hdf5plugin")

PIXELS = np.random.default_rng(5).poisson(3.0, size=(4, 61, 97)).astype(np.uint16)
PIXELS[:, 7] = np.random.default_rng(6).integers(0, 65535, size=(4, 97))
DETECTOR = "entry/instrument/detector"
MODULE = f"{DETECTOR}/module"


@pytest.fixture
def nxmx(tmp_path):
    return write_nxmx(tmp_path / "x_master.h5", PIXELS)


def change(path, **nodes):
    """Replace datasets (None deletes) by path, __ standing for /."""
    with h5py.File(path, "r+") as file:
        for name, value in nodes.items():
            name = name.replace("__", "/")
            attributes = dict(file[name].attrs) if name in file else {}
            if name in file:
                del file[name]
            if value is not None:
                file[name] = value
                file[name].attrs.update(attributes)
    return path


def detector_of(path, index=0, **options):
    return open_image(path, options=FormatOptions(**options)).models(index).detector


def notes_of(path):
    return "\n".join(open_image(path).models(0).notes)


def link_data(path, names, **attributes):
    """Take the data of the file out into files of its own, linked as Dectris does."""
    with h5py.File(path, "r+") as file:
        del file["entry/data/data"]
        file["entry/data"].attrs["signal"] = names[0]
        for k, name in enumerate(names):
            target = f"{path.stem}_{name}.h5"
            with h5py.File(path.parent / target, "w") as other:
                part = other.create_dataset("entry/data/data", data=PIXELS[2 * k : 2 * k + 2], chunks=(1, 61, 97))
                part.attrs.update({key: value[k] for key, value in attributes.items()})
            file[f"entry/data/{name}"] = h5py.ExternalLink(target, "entry/data/data")
    return path


# -- pixels ------------------------------------------------------------------------------------------------------------

FILTERS = {
    "bitshuffle": hdf5plugin.Bitshuffle(),
    "small blocks": hdf5plugin.Bitshuffle(nelems=256),
    "LZ4": hdf5plugin.LZ4(),
    "gzip": {"compression": "gzip"},
    "bitshuffle-zstd": hdf5plugin.Bitshuffle(cname="zstd"),
    "shuffle-gzip": {"compression": "gzip", "shuffle": True},
    "plain": {},
}


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("chunk", [(1, 61, 97), (1, 20, 97), (1, 32, 40), (2, 61, 97)])
def test_pixels_are_those_that_hdf5_reads(tmp_path, name, chunk):
    for dtype in ("u1", "u2", "u4", "i2", "i4"):
        limits = np.iinfo(dtype)
        pixels = np.minimum(PIXELS[:2].astype(np.int64), limits.max).astype(dtype)
        pixels[0, 3], pixels[1, -1, -5:] = limits.max, limits.min
        path = write_nxmx(tmp_path / f"{dtype}.h5", pixels, **{**FILTERS[name], "chunks": chunk})
        reader = open_image(path)
        for i in range(2):
            assert np.array_equal(reader.read(i)[0], pixels[i].astype(np.int32)), dtype


def test_floats_and_64_bit_counts(tmp_path):
    real = write_nxmx(tmp_path / "f.h5", PIXELS.astype(np.float64) / 3)
    assert np.array_equal(open_image(real).read(1)[0], (PIXELS[1] / 3).astype(np.float32))
    long = PIXELS.astype(np.int64)
    long[0, 0, :2] = 2**40, -(2**40)
    found = open_image(write_nxmx(tmp_path / "l.h5", long)).read(0)[0]
    assert found[0, 0] == 2**31 - 1 and found[0, 1] == -(2**31) and np.array_equal(found[1:], PIXELS[0, 1:])


@pytest.mark.parametrize("name", ["bitshuffle", "LZ4", "gzip"])
@pytest.mark.parametrize("damage", ["short", "noise", "header"])
def test_a_damaged_chunk_is_an_error_that_names_file_dataset_and_image(tmp_path, name, damage):
    path = write_nxmx(tmp_path / "x.h5", PIXELS, **FILTERS[name])
    with h5py.File(path, "r+") as file:
        data = file["entry/data/data"]
        content = bytearray(data.id.read_direct_chunk((2, 0, 0))[1])
        if damage == "short":
            content = content[: len(content) // 2]
        elif damage == "noise":
            content[12:400] = b"\xff" * 388
        else:
            content[:12] = bytes(12)
        data.id.write_direct_chunk((2, 0, 0), bytes(content))
    reader = open_image(path)
    assert np.array_equal(reader.read(1)[0], PIXELS[1])
    with pytest.raises(FileFormatError, match=r"x\.h5: /entry/data/data: chunk of image 3 .*image_range="):
        reader.read(2)


def test_any_damage_is_an_error_or_other_pixels_but_no_crash(tmp_path):
    path = write_nxmx(tmp_path / "x.h5", PIXELS, **FILTERS["bitshuffle"])
    rng = np.random.default_rng(1)
    with h5py.File(path, "r+") as file:
        good = file["entry/data/data"].id.read_direct_chunk((0, 0, 0))[1]
    for _ in range(12):
        with h5py.File(path, "r+") as file:
            bad = np.frombuffer(good, dtype=np.uint8).copy()
            bad[rng.integers(0, len(bad), 5)] = rng.integers(0, 256, 5)
            file["entry/data/data"].id.write_direct_chunk((0, 0, 0), bad.tobytes())
        with contextlib.suppress(FileFormatError):
            assert open_image(path).read(0)[0].shape == (61, 97)


def test_an_image_that_was_never_written_is_an_error(tmp_path):
    path = write_nxmx(tmp_path / "x.h5", None)
    with h5py.File(path, "r+") as file:
        data = file["entry/data"].create_dataset("data", (3, 60, 97), "u2", chunks=(1, 60, 97))
        data[0] = 1
    with pytest.raises(FileFormatError, match="image 2 of 3 was never written"):
        open_image(path).read(1)


def test_flatfield_is_applied_only_when_it_was_not(nxmx):
    flat = np.full((61, 97), 2.0, dtype=np.float32)
    change(nxmx, **{f"{DETECTOR}/flatfield": flat, f"{DETECTOR}/flatfield_applied": True})
    assert np.array_equal(open_image(nxmx).read(0)[0], PIXELS[0])
    change(nxmx, **{f"{DETECTOR}/flatfield_applied": False})
    found = open_image(nxmx).read(0)[0]
    trusted = PIXELS[0] <= 30000
    assert found.dtype == np.float32
    assert np.array_equal(found[trusted], 2.0 * PIXELS[0][trusted])
    assert np.array_equal(found[~trusted], PIXELS[0][~trusted])


def test_pixels_are_bad_by_the_lower_16_bits_of_the_mask(nxmx):
    mask = open_image(nxmx).mask()[0]
    assert not mask[2, 3] and mask[4, 5] and mask.sum() == mask.size - 1


# -- virtual datasets and links ----------------------------------------------------------------------------------------


def test_external_links_follow_each_other(nxmx):
    reader = open_image(link_data(nxmx, ["data_000001", "data_000002"]))
    assert reader.n_images == 4
    for i in (3, 0, 2, 1):
        assert np.array_equal(reader.read(i)[0], PIXELS[i])


def test_image_numbers_of_datasets_are_believed_more_than_names(nxmx):
    path = link_data(nxmx, ["data_000001", "data_000002"], image_nr_low=[3, 1])
    assert np.array_equal(open_image(path).read(0)[0], PIXELS[2])


def test_a_broken_external_link_is_named(nxmx):
    path = link_data(nxmx, ["data_000001", "data_000002"])
    (path.parent / "x_master_data_000002.h5").unlink()
    with pytest.raises(
        FileFormatError, match=r"/entry/data/data_000002: a link to .*x_master_data_000002\.h5.*copy it"
    ):
        open_image(path)


def test_a_link_to_another_dataset_is_named(nxmx):
    path = link_data(nxmx, ["data_000001"])
    with h5py.File(path.parent / "x_master_data_000001.h5", "r+") as file:
        file.move("entry/data/data", "entry/other")
    with pytest.raises(FileFormatError, match="found no such dataset there"):
        open_image(path)


def virtual(path, layout):
    with h5py.File(path, "r+") as file:
        if "data" in file["entry/data"]:
            del file["entry/data/data"]
        file["entry/data"].create_virtual_dataset("data", layout, fillvalue=9)
    return path


def test_virtual_datasets_of_interleaved_files_and_of_virtual_datasets(nxmx, tmp_path):
    layout = h5py.VirtualLayout((4, 61, 97), "u2")
    for k in range(2):
        with h5py.File(tmp_path / f"part{k}.h5", "w") as file:
            file.create_dataset("raw", data=PIXELS[k::2], chunks=(1, 61, 97), **FILTERS["bitshuffle"])
            inner = h5py.VirtualLayout((2, 61, 97), "u2")
            inner[:] = h5py.VirtualSource(".", "raw", (2, 61, 97))
            file.create_virtual_dataset("data", inner)
        layout[k::2] = h5py.VirtualSource(f"part{k}.h5", "data", (2, 61, 97))
    reader = open_image(virtual(nxmx, layout))
    for i in range(4):
        assert np.array_equal(reader.read(i)[0], PIXELS[i])


def test_virtual_datasets_of_parts_of_images(nxmx, tmp_path):
    layout = h5py.VirtualLayout((4, 61, 97), "u2")
    for k, (low, high) in enumerate([(0, 30), (33, 61)]):
        with h5py.File(tmp_path / f"half{k}.h5", "w") as file:
            file.create_dataset("data", data=PIXELS[:, low:high], chunks=(1, high - low, 97), **FILTERS["bitshuffle"])
        layout[:, low:high] = h5py.VirtualSource(f"half{k}.h5", "data", (4, high - low, 97))
    path = virtual(nxmx, layout)
    found = open_image(path).read(1)[0]
    with h5py.File(path) as file:
        assert np.array_equal(found, file["entry/data/data"][1])
    assert np.all(found[30:33] == 9)


def test_a_missing_source_is_an_error_and_no_black_image(nxmx):
    layout = h5py.VirtualLayout((4, 61, 97), "u2")
    layout[:] = h5py.VirtualSource("gone.h5", "data", (4, 61, 97))
    with pytest.raises(FileFormatError, match=r"/entry/data/data \(virtual\): a link to data in gone\.h5"):
        open_image(virtual(nxmx, layout))


def test_a_growing_file_is_read_while_it_is_written(tmp_path):
    path = write_nxmx(tmp_path / "x.h5", PIXELS[:1], np.arange(4) * 0.5, maxshape=(None, 61, 97))
    with h5py.File(path, "r+", libver=("v110", "v110")) as writer:
        writer.swmr_mode = True
        data = writer["entry/data/data"]
        reader = open_image(path)
        assert reader.n_images == 1
        for n in (2, 4):
            data.resize(n, axis=0)
            data[n - 1] = PIXELS[n - 1]
            data.flush()
            assert reader.n_images == n
            assert np.array_equal(reader.read(n - 1)[0], PIXELS[n - 1])
            assert reader.models(n - 1).scan.oscillation_deg == (0.5 * (n - 1), 0.5)


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
        file["entry/data"].create_dataset("data", data=stacked, chunks=(1, 1, 61, 45), **FILTERS["bitshuffle"])
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
    return link_data(path, ["data_000001", "data_000002"])


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


# -- defects -----------------------------------------------------------------------------------------------------------


def set_attribute(place, name, value):
    def work(path):
        with h5py.File(path, "r+") as file:
            if value is None:
                del file[place].attrs[name]
            else:
                file[place].attrs[name] = value

    return work


def put(place, value):
    return lambda path: change(path, **{place: value})


BEAM = "entry/instrument/beam"
OMEGA = "entry/sample/transformations/omega"
ERRORS = [
    (put(f"{BEAM}/incident_wavelength", None), ["/entry/instrument/beam", "geometry.beam.wavelength="]),
    (put(f"{BEAM}/incident_wavelength", 0.0), ["positive", "found 0", "geometry.beam.wavelength="]),
    (put(f"{BEAM}/incident_wavelength", np.ones(3)), ["4 images", "found 3", "geometry.beam.wavelength="]),
    (set_attribute(f"{BEAM}/incident_wavelength", "units", "furlong"), ["incident_wavelength", "'furlong'"]),
    (set_attribute(f"{MODULE}/module_offset", "depends_on", None), ["/module", "in the sample", "distance="]),
    (set_attribute(f"{MODULE}/module_offset", "depends_on", "detz"), ["'detz'", "det_z", "distance="]),
    (set_attribute(f"{DETECTOR}/transformations/det_z", "depends_on", "det_z"), ["circle", "'.'"]),
    (set_attribute(f"{DETECTOR}/transformations/det_z", "units", None), ["det_z", "units", "mm"]),
    (set_attribute(f"{DETECTOR}/transformations/det_z", "vector", None), ["det_z", "'vector'"]),
    (set_attribute(f"{DETECTOR}/transformations/det_z", "vector", [0.0, 0, 0]), ["det_z", "not all zero"]),
    (set_attribute(f"{DETECTOR}/transformations/det_z", "transformation_type", "shear"), ["'rotation'", "'shear'"]),
    (put(f"{MODULE}/fast_pixel_direction", None), ["fast_pixel_direction", "/module"]),
    (put(f"{MODULE}/data_origin", np.array([0, 50])), ["data_origin 0, 50", "61 x 97", "swapped"]),
    (set_attribute("entry/data", "signal", "image"), ["/entry/data", "'image'", "found data"]),
    (put("entry/data/data", np.zeros((0, 61, 97), "u2")), ["/entry/data/data", "none yet"]),
    (put("entry/data/data", np.zeros(7, "u2")), ["(image, slow, fast)", "found uint16 of 7"]),
]


@pytest.mark.parametrize(("defect", "words"), ERRORS)
def test_an_error_names_file_place_and_remedy(nxmx, defect, words):
    defect(nxmx)
    with pytest.raises(FileFormatError) as caught:
        open_image(nxmx).models(0)
    for word in ["x_master.h5", *words]:
        assert word in str(caught.value)


WARNINGS = [
    (put("entry/sample/depends_on", None), ["/entry/sample/depends_on is missing", "goniometer.axis="]),
    (put("entry/sample/depends_on", "omga"), ["'omga'", "transformations/omega", "scan.oscillation="]),
    (put(OMEGA, np.arange(3.0)), ["3 angles for 4 images", "scan.oscillation="]),
    (put(f"{DETECTOR}/pixel_mask", None), ["pixel_mask", "lookup.mask="]),
    (put(f"{DETECTOR}/pixel_mask", np.zeros((97, 61), "u4")), ["97 x 61", "61 x 97", "swapped", "lookup.mask="]),
    (put(f"{MODULE}/data_size", np.array([97, 61])), ["data_size is 97 x 61", "61 x 97"]),
    (put(f"{DETECTOR}/bit_depth_image", 32), ["bit_depth_image is 32", "16 bits", "trusted_range="]),
    (put(f"{DETECTOR}/bit_depth_image", 8), ["saturation_value is 30000", "trusted_range="]),
    (put(f"{DETECTOR}/saturation_value", None), ["saturation_value", "65533", "trusted_range="]),
    (put(f"{DETECTOR}/distance", 0.3), ["300 mm", "100 mm", "detector.distance="]),
    (put(f"{DETECTOR}/transformations/det_z", -100.0), ["between source and sample", "panel.origin="]),
    (put(f"{DETECTOR}/sensor_material", "cheese"), ["'cheese'", "panel.material="]),
    (put("entry/start_time", "yesterday"), ["start_time", "'yesterday'"]),
    (put(f"{DETECTOR}/detectorSpecific/nimages", 7), ["announces 7 images", "has 4"]),
    (put(f"{BEAM}/incident_polarization_stokes", np.zeros(4)), ["stokes", "polarization_fraction="]),
]


@pytest.mark.parametrize(("defect", "words"), WARNINGS)
def test_a_note_names_place_and_remedy(nxmx, defect, words):
    defect(nxmx)
    notes = notes_of(nxmx)
    for word in words:
        assert word in notes


def test_a_whole_file_has_no_notes(nxmx):
    assert notes_of(nxmx) == ""


def test_options_mend_files(nxmx):
    change(nxmx, **{f"{BEAM}/incident_wavelength": None})
    set_attribute(f"{MODULE}/module_offset", "depends_on", None)(nxmx)
    with h5py.File(nxmx, "r+") as file:
        for axis in "xy":
            file[f"{DETECTOR}/{axis}_pixel_size"] = 75e-6
    models = open_image(nxmx, options=FormatOptions(wavelength=0.9, distance=150.0)).models()
    assert models.beam.wavelength == 0.9 and models.detector[0].distance == 150.0


def test_data_files_are_refused_with_the_reason(nxmx):
    link_data(nxmx, ["data_000001"])
    with pytest.raises(FileFormatError, match="nexus: an HDF5 file without a NeXus entry"):
        open_image(nxmx.with_name("x_master_data_000001.h5"))


def test_a_file_cut_short_says_so(nxmx):
    nxmx.write_bytes(nxmx.read_bytes()[:-5000])
    with pytest.raises(FileFormatError, match=r"x_master\.h5: the file is cut short"):
        open_image(nxmx)
