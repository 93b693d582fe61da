"""Each defect of a NeXus file gives file, place, what was expected and found, and what mends it; then it is mended."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from spindle.contracts.format import FormatOptions
from spindle.errors import FileFormatError
from spindle.images import open_image
from spindle.testing.defects import Defect, assert_explained_and_mended
from spindle_lib_readers.testing.nexus import change, link_data, write_nxmx

hdf5plugin = pytest.importorskip("hdf5plugin")

STACK = np.random.default_rng(5).poisson(3.0, size=(4, 61, 97)).astype(np.uint16)
BEAM = "entry/instrument/beam"
DETECTOR = "entry/instrument/detector"
MODULE = f"{DETECTOR}/module"
DET_Z = f"{DETECTOR}/transformations/det_z"
SAMPLE = "entry/sample"
OMEGA = "entry/sample/transformations/omega"
IMAGES = "entry/data/data"

WAVELENGTH = "geometry.beam.wavelength"
DISTANCE = "geometry.detector.distance"
PIXEL_SIZE = "geometry.detector.panel.pixel_size"
OSCILLATION = "geometry.scan.oscillation"
RANGE = "geometry.scan.image_range"
TRUSTED = "geometry.detector.panel.trusted_range"
AXIS = "geometry.goniometer.axis"


def nexus(**changes: Any) -> Callable[[Path], list[Path]]:
    """A NeXus file with something replaced or deleted; see `spindle_lib_readers.testing.nexus.change`."""
    return lambda folder: [change(write_nxmx(folder / "x_master.h5", STACK), **changes)]


def nexus_file(work: Callable[[Path], Any], **stored: Any) -> Callable[[Path], list[Path]]:
    """A NeXus file after some work on it."""

    def make(folder: Path) -> list[Path]:
        path = write_nxmx(folder / "x_master.h5", STACK, **stored)
        work(path)
        return [path]

    return make


def in_file(work: Callable[[h5py.File], Any], **stored: Any) -> Callable[[Path], list[Path]]:
    """A NeXus file after some work on it while it is open."""

    def run(path: Path) -> None:
        with h5py.File(path, "r+") as file:
            work(file)

    return nexus_file(run, **stored)


def spoilt_chunk(damage: Callable[[bytes], bytes]) -> Callable[[h5py.File], Any]:
    """Damage the stored chunk of image 3."""

    def work(file: h5py.File) -> None:
        data = file[IMAGES]
        data.id.write_direct_chunk((2, 0, 0), damage(data.id.read_direct_chunk((2, 0, 0))[1]))

    return work


def two_datasets(file: h5py.File) -> None:
    file["entry/data/other"] = np.zeros((2, 5, 6), "u2")
    del file["entry/data"].attrs["signal"]


def unwritten(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file[IMAGES]
        data = file.create_dataset(IMAGES, (4, 61, 97), "u2", chunks=(1, 61, 97))
        data[:3] = STACK[:3]


def unknown_filter(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file[IMAGES]
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk((1, 61, 97))
        plist.set_filter(300, h5py.h5z.FLAG_OPTIONAL, ())
        space = h5py.h5s.create_simple((4, 61, 97))
        data = h5py.h5d.create(file["entry/data"].id, b"data", h5py.h5t.NATIVE_UINT16, space, plist)
        for i in range(4):
            data.write_direct_chunk((i, 0, 0), STACK[i].tobytes())


def without(name: str) -> Callable[[Path], Any]:
    """Links to two files of images, one of which is lost."""

    def work(path: Path) -> None:
        link_data(path, STACK, ["data_000001", "data_000002"])
        (path.parent / name).unlink()

    return work


def other_dataset(path: Path) -> None:
    link_data(path, STACK, ["data_000001"])
    with h5py.File(path.parent / "x_master_data_000001.h5", "r+") as file:
        file.move("entry/data/data", "entry/other")


def other_size(path: Path) -> None:
    link_data(path, STACK, ["data_000001", "data_000002"])
    change(path.parent / "x_master_data_000002.h5", **{IMAGES: np.zeros((2, 5, 6), "u2")})


def cut_data_file(path: Path) -> None:
    link_data(path, STACK, ["data_000001", "data_000002"])
    target = path.parent / "x_master_data_000002.h5"
    target.write_bytes(target.read_bytes()[:-5000])


def virtual(path: Path) -> None:
    layout = h5py.VirtualLayout((4, 61, 97), "u2")
    layout[:] = h5py.VirtualSource("gone.h5", "data", (4, 61, 97))
    with h5py.File(path, "r+") as file:
        del file[IMAGES]
        file["entry/data"].create_virtual_dataset("data", layout)


def wavelength_is(value: float) -> Callable[[Any], bool]:
    return lambda experiments: experiments[0].beam.wavelength == pytest.approx(value)


def distance_is(value: float) -> Callable[[Any], bool]:
    return lambda experiments: experiments[0].detector[0].distance == pytest.approx(value)


def trusted_is(low: float, high: float) -> Callable[[Any], bool]:
    return lambda experiments: experiments[0].detector[0].trusted_range == (low, high)


def scan_is(start: float, width: float, n: int) -> Callable[[Any], bool]:
    def check(experiments: Any) -> bool:
        (experiment,) = experiments
        return experiment.scan.oscillation_deg == pytest.approx((start, width)) and experiment.scan.n_images == n

    return check


def a_mask(folder: Path) -> dict[str, str]:
    np.savez(folder / "mask.npz", np.ones((61, 97), dtype=bool))
    return {"lookup.mask": str(folder / "mask.npz")}


BY_DISTANCE = {DISTANCE: 150.0}
TURN = {AXIS: (1, 0, 0), OSCILLATION: (5, 0.5)}
H5 = "x_master.h5"

MODELS = [
    Defect(
        "no wavelength", nexus(**{f"{BEAM}/incident_wavelength": None}),
        H5, "/entry/instrument/beam", "incident_wavelength or incident_energy", "none", WAVELENGTH,
        {WAVELENGTH: 0.9}, wavelength_is(0.9),
    ),
    Defect(
        "no beam", nexus(**{BEAM: None}),
        H5, "/entry", "NX_class NXbeam", "none", WAVELENGTH, {WAVELENGTH: 0.9}, wavelength_is(0.9),
    ),
    Defect(
        "wavelength of zero", nexus(**{f"{BEAM}/incident_wavelength": 0.0}),
        H5, "/entry/instrument/beam/incident_wavelength", "above zero", "0", WAVELENGTH,
        {WAVELENGTH: 0.9}, wavelength_is(0.9),
    ),
    Defect(
        "wavelength that is no number", nexus(**{f"{BEAM}/incident_wavelength": np.nan}),
        H5, "/entry/instrument/beam/incident_wavelength", "above zero", "nan", WAVELENGTH,
        {WAVELENGTH: 0.9}, wavelength_is(0.9),
    ),
    Defect(
        "too few wavelengths", nexus(**{f"{BEAM}/incident_wavelength": np.ones(3)}),
        H5, "/entry/instrument/beam/incident_wavelength", "for each of the 4 images", "3", WAVELENGTH,
        {WAVELENGTH: 0.9}, wavelength_is(0.9),
    ),
    Defect(
        "unknown unit of the wavelength", nexus(**{f"{BEAM}/incident_wavelength@units": "furlong"}),
        H5, "/entry/instrument/beam/incident_wavelength", "unit of wavelength (angstrom", "'furlong'", WAVELENGTH,
        {WAVELENGTH: 0.9}, wavelength_is(0.9),
    ),
    Defect(
        "keV called eV",
        nexus(**{
            f"{BEAM}/incident_wavelength": None, f"{BEAM}/incident_energy": 12.4, f"{BEAM}/incident_energy@units": "eV",
        }),
        H5, "/entry/instrument/beam/incident_energy", "wavelength of 0.008 to 30 A", "12.4 eV, which is 999.9 A",
        WAVELENGTH, {WAVELENGTH: 0.9999}, wavelength_is(0.9999),
    ),
    Defect(
        "energy without unit", nexus(**{f"{BEAM}/incident_wavelength": None, f"{BEAM}/incident_energy": 12400.0}),
        H5, "/entry/instrument/beam/incident_energy", "an attribute 'units' with a unit of energy", "none", WAVELENGTH,
        {WAVELENGTH: 0.9999}, wavelength_is(0.9999),
    ),
    Defect(
        "polarisation that no beam has", nexus(**{f"{BEAM}/incident_polarization_stokes": np.zeros(4)}),
        H5, "incident_polarization_stokes", "that a beam can have", "[0.0, 0.0, 0.0, 0.0]",
        "geometry.beam.polarization_fraction", {"geometry.beam.polarization_fraction": 0.7},
        lambda experiments: experiments[0].beam.polarization_fraction == 0.7,
    ),
    Defect(
        "no depends_on", nexus(**{f"{MODULE}/module_offset@depends_on": None}),
        H5, "/entry/instrument/detector/module", "depends_on that moves the detector away", "in the sample", DISTANCE,
        BY_DISTANCE, distance_is(150),
    ),
    Defect(
        "depends_on that names nothing", nexus(**{f"{MODULE}/module_offset@depends_on": "detz"}),
        H5, "/module/module_offset", "transformations/det_z", "'detz', which does not exist", DISTANCE,
        BY_DISTANCE, distance_is(150),
    ),
    Defect(
        "depends_on in a circle", nexus(**{f"{DET_Z}@depends_on": "det_z"}),
        H5, "/det_z", "depends_on '.'", "a circle back to", DISTANCE, BY_DISTANCE, distance_is(150),
    ),
    Defect(
        "transformation without a vector", nexus(**{f"{DET_Z}@vector": None}),
        H5, "/det_z", "an attribute 'vector' of three numbers", "none", DISTANCE, BY_DISTANCE, distance_is(150),
    ),
    Defect(
        "vector of zeros", nexus(**{f"{DET_Z}@vector": np.zeros(3)}),
        H5, "/det_z", "not all zero", "[0.0, 0.0, 0.0]", DISTANCE, BY_DISTANCE, distance_is(150),
    ),
    Defect(
        "vector of two numbers", nexus(**{f"{DET_Z}@vector": np.ones(2)}),
        H5, "/det_z", "'vector' of three numbers", "[1.0, 1.0]", DISTANCE, BY_DISTANCE, distance_is(150),
    ),
    Defect(
        "unknown unit of length", nexus(**{f"{DET_Z}@units": "furlong"}),
        H5, "/det_z", "a unit of length (m,", "'furlong'", DISTANCE, BY_DISTANCE, distance_is(150),
    ),
    Defect(
        "length without unit", nexus(**{f"{DET_Z}@units": None}),
        H5, "/det_z", "an attribute 'units'", "none", DISTANCE, BY_DISTANCE, distance_is(150),
    ),
    Defect(
        "neither rotation nor translation", nexus(**{f"{DET_Z}@transformation_type": "shear"}),
        H5, "/det_z", "'rotation' or 'translation'", "'shear'", DISTANCE, BY_DISTANCE, distance_is(150),
    ),
    Defect(
        "no direction of pixels", nexus(**{f"{MODULE}/fast_pixel_direction": None}),
        H5, "/module", "fast_pixel_direction", "data_origin, data_size", DISTANCE,
        {DISTANCE: 150.0, PIXEL_SIZE: (0.075, 0.075)}, distance_is(150),
    ),
    Defect(
        "module beyond the image", nexus(**{f"{MODULE}/data_origin": np.array([0, 50])}),
        H5, "/module", "within the image of 61 x 97", "data_origin 0, 50", DISTANCE, BY_DISTANCE, distance_is(150),
    ),
    Defect(
        "module with fast and slow swapped", nexus(**{f"{MODULE}/data_size": np.array([97, 61])}),
        H5, "/module/data_size", "61 x 97", "97 x 61", "geometry.detector.panel.fast_axis",
        {"geometry.detector.panel.fast_axis": (0, -1, 0), "geometry.detector.panel.slow_axis": (1, 0, 0)},
        lambda experiments: experiments[0].detector[0].image_size == (97, 61),
    ),
    Defect(
        "detector before the sample", nexus(**{DET_Z: -100.0}),
        H5, "/entry/instrument/detector", "behind the sample", "z = -100 mm", "geometry.detector.panel.origin",
        {"geometry.detector.panel.origin": (-3, 2, -90)}, distance_is(90),
    ),
    Defect(
        "two distances", nexus(**{f"{DETECTOR}/distance": 0.3}),
        H5, "/entry/instrument/detector", "300 mm", "100 mm", DISTANCE, {DISTANCE: 300.0}, distance_is(300),
    ),
    Defect(
        "unknown material of the sensor", nexus(**{f"{DETECTOR}/sensor_material": "cheese"}),
        H5, "sensor_material", "a known material (", "'cheese'", "geometry.detector.panel.material",
        {"geometry.detector.panel.material": "Si", "geometry.detector.panel.thickness": 0.3},
        lambda experiments: experiments[0].detector[0].mu > 0,
    ),
    Defect(
        "no mask", nexus(**{f"{DETECTOR}/pixel_mask": None}),
        H5, "/entry/instrument/detector", "a pixel_mask", "none", "lookup.mask",
        a_mask, lambda experiments: experiments[0].imageset.mask.endswith("mask.npz"),
    ),
    Defect(
        "mask with fast and slow swapped", nexus(**{f"{DETECTOR}/pixel_mask": np.zeros((97, 61), "u4")}),
        H5, "pixel_mask", "61 x 97", "97 x 61 (slow and fast are swapped)", "lookup.mask",
        a_mask, lambda experiments: experiments[0].imageset.mask.endswith("mask.npz"),
    ),
    Defect(
        "flatfield of another shape",
        nexus(**{f"{DETECTOR}/flatfield": np.ones((61, 90)) * 2, f"{DETECTOR}/flatfield_applied": False}),
        H5, "flatfield", "61 x 97", "61 x 90", "lookup.gain",
    ),
    Defect(
        "counter of more bits than the images", nexus(**{f"{DETECTOR}/bit_depth_image": 32}),
        H5, "bit_depth_image", "16 bits", "32", TRUSTED, {TRUSTED: (0, 99)}, trusted_is(0, 99),
    ),
    Defect(
        "counter of too few bits", nexus(**{f"{DETECTOR}/bit_depth_image": 8}),
        H5, "bit_depth_image", "saturation_value, 30000", "8", TRUSTED, {TRUSTED: (0, 99)}, trusted_is(0, 99),
    ),
    Defect(
        "no saturation value", nexus(**{f"{DETECTOR}/saturation_value": None}),
        H5, "/entry/instrument/detector", "a saturation_value", "none", TRUSTED, {TRUSTED: (0, 99)}, trusted_is(0, 99),
    ),
    Defect(
        "saturation below underload",
        nexus(**{f"{DETECTOR}/saturation_value": 50, f"{DETECTOR}/underload_value": 100}),
        H5, "saturation_value", "above the underload_value, 100", "50", TRUSTED, {TRUSTED: (0, 99)}, trusted_is(0, 99),
    ),
    Defect(
        "no depends_on of the sample", nexus(**{f"{SAMPLE}/depends_on": None}),
        H5, "/entry/sample", "depends_on with the axis next to the crystal", "none", AXIS, TURN, scan_is(5, 0.5, 4),
    ),
    Defect(
        "depends_on of the sample that names nothing", nexus(**{f"{SAMPLE}/depends_on": "omga"}),
        H5, "/entry/sample", "transformations/omega", "'omga', which does not exist", OSCILLATION, TURN,
        scan_is(5, 0.5, 4),
    ),
    Defect(
        "no depends_on of the last axis", nexus(**{f"{OMEGA}@depends_on": None}),
        H5, OMEGA, "an attribute 'depends_on'", "none", "attrs['depends_on'] = '.'",
    ),
    Defect(
        "axis without a vector", nexus(**{f"{OMEGA}@vector": None}),
        H5, OMEGA, "an attribute 'vector'", "none", AXIS, TURN, scan_is(5, 0.5, 4),
    ),
    Defect(
        "angles without unit", nexus(**{f"{OMEGA}@units": None}),
        H5, OMEGA, "a unit of angle (deg", "none", AXIS, TURN, scan_is(5, 0.5, 4),
    ),
    Defect(
        "too few angles", nexus(**{OMEGA: np.arange(3.0)}),
        H5, OMEGA, "each of the 4 images", "3", OSCILLATION, {OSCILLATION: (5, 0.5)}, scan_is(5, 0.5, 4),
    ),
    Defect(
        "a start that is no time", nexus(**{"entry/start_time": "yesterday"}),
        H5, "/entry/start_time", "a time such as 2026-01-02T03:04:05Z", "'yesterday'", "left out",
    ),
]  # fmt: skip

READ = {"verify_checksum": True}
FEWER = {RANGE: (1, 2)}
CONTENT = [
    Defect(
        "chunk cut short",
        in_file(spoilt_chunk(lambda c: c[: len(c) // 2]), **hdf5plugin.Bitshuffle()),
        H5, "/entry/data/data, chunk of image 3", "11834 bytes of pixels", "its end at byte", RANGE, FEWER,
        scan_is(0, 0.5, 2), READ,
    ),
    Defect(
        "chunk of noise", in_file(spoilt_chunk(lambda c: c[:12] + b"\xff" * 388 + c[400:]), **hdf5plugin.Bitshuffle()),
        H5, "/entry/data/data, chunk of image 3", "", "", RANGE, FEWER, scan_is(0, 0.5, 2), READ,
    ),
    Defect(
        "image that was never written", nexus_file(unwritten),
        H5, "/entry/data/data", "chunks of 4 images", "3", RANGE, {RANGE: (1, 3)}, scan_is(0, 0.5, 3),
    ),
    Defect(
        "compression that is not installed", nexus_file(unknown_filter),
        H5, "filter 300", "a filter that is installed", "", "HDF5_PLUGIN_PATH", given=READ,
    ),
    Defect(
        "lost data file", nexus_file(without("x_master_data_000002.h5")),
        H5, "/entry/data/data_000002", "x_master_data_000002.h5", "no such file", "copy x_master_data_000002.h5 into",
    ),
    Defect(
        "data file of another data set", nexus_file(other_dataset),
        H5, "/entry/data/data_000001", "entry/data/data in", "no such dataset there, but entry", "copy the file again",
    ),
    Defect(
        "data file with images of another size", nexus_file(other_size),
        "x_master_data_000002.h5", "/entry/data/data", "uint16 of 61 x 97", "uint16 of 5 x 6", "another measurement",
    ),
    Defect(
        "data file cut short", nexus_file(cut_data_file),
        "x_master_data_000002.h5", "end of the file", " bytes", " bytes", "copy it again",
    ),
    Defect(
        "virtual dataset without its source", nexus_file(virtual),
        H5, "/entry/data/data (virtual)", "gone.h5", "no such file", "copy gone.h5 into",
    ),
    Defect(
        "fewer images than announced", nexus(**{f"{DETECTOR}/detectorSpecific/nimages": 7}),
        H5, "detectorSpecific/nimages", "4 images", "7", RANGE, {RANGE: (1, 4)}, scan_is(0, 0.5, 4),
    ),
    Defect(
        "signal that names nothing", nexus(**{"entry/data@signal": "image"}),
        H5, "/entry/data", "'image'", "data", "attrs['signal'] = 'data'",
    ),
    Defect(
        "two datasets and no signal", in_file(two_datasets),
        H5, "/entry/data", "an attribute 'signal'", "data, other", "attrs['signal'] = '<name>'",
    ),
    Defect(
        "no images yet", nexus(**{IMAGES: np.zeros((0, 61, 97), "u2")}),
        H5, "/entry/data/data", "images", "none yet", "import again",
    ),
    Defect(
        "one axis too few", nexus(**{IMAGES: np.zeros(7, "u2")}),
        H5, "/entry/data/data", "(image, slow, fast)", "uint16 of 7", "'signal'",
    ),
    Defect(
        "master file cut short", nexus_file(lambda p: p.write_bytes(p.read_bytes()[:-5000])),
        H5, "end of the file", " bytes", " bytes", "copy it again",
    ),
]  # fmt: skip


@pytest.mark.parametrize("defect", [*MODELS, *CONTENT], ids=lambda d: d.name)
@pytest.mark.sampled(3)
def test_a_defect_is_explained_and_mended(defect, tmp_path, caplog):
    assert_explained_and_mended(defect, tmp_path, caplog)


def test_a_whole_file_has_no_notes(tmp_path):
    assert open_image(write_nxmx(tmp_path / "x.h5", STACK)).models(0).notes == ()


def test_options_mend_files(tmp_path):
    path = nexus(**{f"{BEAM}/incident_wavelength": None, f"{MODULE}/module_offset@depends_on": None})(tmp_path)[0]
    models = open_image(path, options=FormatOptions(wavelength=0.9, distance=150.0)).models()
    assert models.beam.wavelength == 0.9 and models.detector[0].distance == 150.0


def test_data_files_are_refused_with_the_reason(tmp_path):
    link_data(write_nxmx(tmp_path / "x_master.h5", STACK), STACK, ["data_000001"])
    with pytest.raises(FileFormatError, match=r"nexus: an HDF5 file without a NeXus entry .* import the master file"):
        open_image(tmp_path / "x_master_data_000001.h5")
