"""Each defect of a data set gives file, place, what was expected and found, and what mends it; then it is mended."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import spindle
from spindle.errors import FileFormatError
from spindle.files import write_experiments
from spindle.images.compressed import read_head
from spindle.testing.defects import Defect, assert_explained_and_mended
from spindle_lib_readers.testing.images import write_bruker, write_marccd, write_smv
from spindle_lib_readers.testing.mini_cbf import mini_cbf_header, write_mini_cbf

PIXELS = np.arange(12, dtype=np.int32).reshape(3, 4)
WAVELENGTH = "geometry.beam.wavelength"
DISTANCE = "geometry.detector.distance"
PIXEL_SIZE = "geometry.detector.panel.pixel_size"
CENTRE = "geometry.detector.fast_slow_beam_centre"
OSCILLATION = "geometry.scan.oscillation"
RANGE = "geometry.scan.image_range"


def sweep(n: int = 4, pixels: np.ndarray = PIXELS, names: str = "t_{:04d}.cbf", **lines: Any) -> Callable[[Path], Any]:
    """A sweep of miniCBF files; a header line that is a function gets the number of the image, from 1."""

    def make(folder: Path) -> Path:
        for i in range(1, n + 1):
            angle = {"Start_angle": f"{0.5 * (i - 1):.4f} deg.", "Beam_xy": "(2.0, 1.5) pixels"}
            changed = {k: v(i) if callable(v) else v for k, v in lines.items()}
            write_mini_cbf(folder / names.format(i), pixels, mini_cbf_header(**{**angle, **changed}))
        return folder

    return make


def after(make: Callable[[Path], Any], work: Callable[[Path], Any]) -> Callable[[Path], Any]:
    """Work on the folder of a data set after it is made."""

    def run(folder: Path) -> Any:
        files = make(folder)
        work(folder)
        return files

    return run


def edited(name: str, *pairs: bytes) -> Callable[[Path], Any]:
    """Replace bytes of a file, old and new in turn."""

    def work(folder: Path) -> None:
        content = (folder / name).read_bytes()
        for old, new in zip(pairs[::2], pairs[1::2], strict=True):
            assert old in content
            content = content.replace(old, new, 1)
        (folder / name).write_bytes(content)

    return work


def cut(name: str, n: int) -> Callable[[Path], Any]:
    """Take bytes off the end of a file."""
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-n])


def smv(**items: Any) -> Callable[[Path], list[Path]]:
    return lambda folder: [write_smv(folder / "a_001.img", PIXELS, **items)]


def wavelength_is(value: float) -> Callable[[Any], bool]:
    return lambda experiments: experiments[0].beam.wavelength == pytest.approx(value)


def distance_is(value: float) -> Callable[[Any], bool]:
    return lambda experiments: experiments[0].detector[0].distance == pytest.approx(value)


def scan_is(start: float, width: float, n: int) -> Callable[[Any], bool]:
    def check(experiments: Any) -> bool:
        (experiment,) = experiments
        return experiment.scan.oscillation_deg == pytest.approx((start, width)) and experiment.scan.n_images == n

    return check


def centre_is(fast: float, slow: float) -> Callable[[Any], bool]:
    def check(experiments: Any) -> bool:
        detector, beam = experiments[0].detector, experiments[0].beam
        return detector.beam_centre_px(beam.s0, 0) == pytest.approx((fast, slow))

    return check


def tiff(**options: Any) -> Callable[[Path], list[Path]]:
    """A TIFF file without any geometry."""

    def make(folder: Path) -> list[Path]:
        import tifffile

        tifffile.imwrite(folder / "a_001.tif", options.pop("data", PIXELS.astype("u2")), **options)
        return [folder / "a_001.tif"]

    return make


def text_file(name: str, content: bytes) -> Callable[[Path], list[Path]]:
    def make(folder: Path) -> list[Path]:
        (folder / name).write_bytes(content)
        return [folder / name]

    return make


def hdf5(folder: Path) -> Path:
    import h5py

    with h5py.File(folder / "x_0001.h5", "w") as file:
        file["numbers"] = np.arange(5)
    return folder / "x_0001.h5"


CUT = {"geometry.scan.image_range": (1, 2)}


def broken_imgcif(folder: Path) -> list[Path]:
    cif = "_axis.id X\n_array_structure_list.array_id A\n_array_structure_list.index 1\n"
    return [write_mini_cbf(folder / f"full_{i:04d}.cbf", PIXELS, cif=cif) for i in (1, 2)]


def a_reference(folder: Path) -> str:
    (folder / "good").mkdir()
    write_experiments(spindle.run("import", files=[sweep()(folder / "good")]).experiments, folder / "reference.expt")
    return str(folder / "reference.expt")


BY_DISTANCE = {DISTANCE: 150.0}
READ = {"verify_checksum": True, "ignore_unhandled": False}
TURNED = {"Start_angle": lambda i: f"{10.0 + i} deg.", "Angle_increment": "0.0 deg."}
TIFF = {WAVELENGTH: 1.0, DISTANCE: 150.0, PIXEL_SIZE: (0.1, 0.1)}

HEADERS = [
    Defect(
        "no wavelength in a CBF", sweep(Wavelength=None),
        "t_0001.cbf", "'# Wavelength", "the wavelength", "none", WAVELENGTH, {WAVELENGTH: 0.9}, wavelength_is(0.9),
    ),
    Defect(
        "wavelength of zero in a CBF", sweep(Wavelength="0.0 A"),
        "t_0001.cbf", "'# Wavelength", "the wavelength", "0", WAVELENGTH, {WAVELENGTH: 0.9}, wavelength_is(0.9),
    ),
    Defect(
        "wavelength changes", sweep(Wavelength=lambda i: f"{1.0 + (i > 2) * 0.1} A"),
        "t_####.cbf", "image 3", "wavelength (A) of image 2, 1", "1.1", WAVELENGTH, {WAVELENGTH: 0.9}, wavelength_is(0.9),
    ),
    Defect(
        "no distance in a CBF", sweep(Detector_distance=None),
        "t_0001.cbf", "'# Detector_distance", "the detector distance", "none", DISTANCE, BY_DISTANCE, distance_is(150),
    ),
    Defect(
        "no pixel size in a CBF", sweep(Pixel_size=None),
        "t_0001.cbf", "'# Pixel_size", "the pixel size", "none", PIXEL_SIZE, {PIXEL_SIZE: (0.1, 0.1)},
        lambda experiments: experiments[0].detector[0].pixel_size.tolist() == [0.1, 0.1],
    ),
    Defect(
        "no sensor in a CBF", sweep(Silicon=None),
        "t_0001.cbf", "Silicon sensor", "sensor material and thickness", "none", "geometry.detector.panel.material",
        {"geometry.detector.panel.material": "Si", "geometry.detector.panel.thickness": 0.3},
        lambda experiments: experiments[0].detector[0].parallax == "normalised",
    ),
    Defect(
        "no cutoff in a CBF", sweep(Count_cutoff=None),
        "t_0001.cbf", "Count_cutoff", "the highest good count", "none", "geometry.detector.panel.trusted_range",
        {"geometry.detector.panel.trusted_range": (0, 99)},
        lambda experiments: experiments[0].detector[0].trusted_range == (0, 99),
    ),
    Defect(
        "no beam centre in a CBF", sweep(Beam_xy=None),
        "t_0001.cbf", "'# Beam_xy", "the beam centre", "none", CENTRE, {CENTRE: (3, 1)}, centre_is(3, 1),
    ),
    Defect(
        "beam centre in mm", sweep(pixels=np.zeros((600, 500), np.int32), Beam_xy="(43.0, 51.6) pixels"),
        "t_####.cbf", "the beam centre", "the middle of the detector (250, 300) px", "43 mm, 51.6 mm", CENTRE,
        {CENTRE: (250, 300)}, centre_is(250, 300),
    ),
    Defect(
        "beam beside the detector", sweep(Beam_xy="(1000.0, 900.0) pixels"),
        "t_####.cbf", "the beam centre", "within 4 x 3 px", "(1000, 900) px", CENTRE, {CENTRE: (2, 1)}, centre_is(2, 1),
    ),
    Defect(
        "detector moves during the sweep", sweep(Detector_distance=lambda i: f"{0.1 + 0.02 * (i > 2):g} m"),
        "t_####.cbf", "image 3", "distance (mm) of image 2, 100", "120", DISTANCE, BY_DISTANCE, distance_is(150),
    ),
    Defect(
        "images of two sizes",
        after(sweep(), lambda f: write_mini_cbf(f / "t_0003.cbf", PIXELS.T, mini_cbf_header(Start_angle="1.0 deg."))),
        "t_####.cbf", "image 3", "image size of image 2, (4, 3)", "(3, 4)", RANGE, {RANGE: (1, 2)}, scan_is(0, 0.5, 2),
    ),
    Defect(
        "full CBF whose arrays are not described", broken_imgcif,
        "full_0001.cbf", "_array_structure_list", "a precedence and a dimension", "precedence None",
        "reference_geometry", lambda folder: {"reference_geometry": a_reference(folder), OSCILLATION: (5, 0.5)},
        scan_is(5, 0.5, 2),
    ),
    Defect(
        "SMV without distance", smv(DISTANCE=None),
        "a_001.img", "DISTANCE=", "the detector distance", "none", DISTANCE, BY_DISTANCE, distance_is(150),
    ),
    Defect(
        "SMV without pixel size", smv(PIXEL_SIZE="0"),
        "a_001.img", "PIXEL_SIZE=", "the pixel size", "0", PIXEL_SIZE, {PIXEL_SIZE: (0.1, 0.1)},
    ),
    Defect(
        "SMV without beam centre", smv(BEAM_CENTER_X=None),
        "a_001.img", "BEAM_CENTER_X=", "the beam centre", "none", CENTRE, {CENTRE: (3, 1)}, centre_is(3, 1),
    ),
    Defect(
        "SMV with a detector that is turned", smv(TWOTHETA=10),
        "a_001.img", "TWOTHETA=", "the axis that the detector is turned about", "10",
        "geometry.detector.panel.fast_axis", {"geometry.detector.panel.fast_axis": (0.8, 0, 0.6)},
        lambda experiments: experiments[0].detector[0].fast_axis.tolist() == [0.8, 0, 0.6],
    ),
    Defect(
        "marCCD with its beam centre in mm",
        lambda folder: [
            write_marccd(folder / "a_001.mccd", np.zeros((1000, 1000), np.uint16), at644=40000, at648=40500)
        ],
        "a_001.mccd", "beam_x and beam_y", "a beam centre in pixels", "40, 40.5, which is near the middle", CENTRE,
        {CENTRE: (40, 40.5)}, centre_is(40, 40.5),
    ),
    Defect(
        "Bruker frame whose axis is none", lambda folder: [write_bruker(folder / "a_01.sfrm", PIXELS, AXIS="7", DETTYPE="CCD-PXL 3200.0 1.5 0.0")],
        "a_01.sfrm", "AXIS:", "the number of the axis that was turned", "7", OSCILLATION,
        {OSCILLATION: (5, 0.5)}, scan_is(5, 0.5, 1),
    ),
    Defect(
        "TIFF without wavelength", tiff(),
        "a_001.tif", "description", "the wavelength and the distance and the pixel size", "none", PIXEL_SIZE, TIFF, wavelength_is(1),
    ),
    Defect(
        "TIFF without distance", tiff(description="# Wavelength 0.9 A"),
        "a_001.tif", "description", "the distance and the pixel size", "none", DISTANCE, TIFF,
        distance_is(150),
    ),
    Defect(
        "colour picture", tiff(data=np.zeros((5, 6, 3), "u1"), photometric="rgb"),
        "a_001.tif", "first directory", "a grey image", "5 x 6 x 3", "write it again",
    ),
    Defect(
        "SMV without width", smv(OSC_RANGE=None),
        "a_001.img", "OSC_RANGE=", "the rotation during the image", "none", OSCILLATION, {OSCILLATION: (5, 0.5)},
        scan_is(5, 0.5, 1),
    ),
    Defect(
        "SMV of an unknown type", smv(TYPE="complex"),
        "a_001.img", "TYPE=", "a known type of pixels", "complex", "write the type", given=READ,
    ),
]  # fmt: skip

SWEEPS = [
    Defect(
        "CBF without width", sweep(Angle_increment=None),
        "t_0001.cbf", "'# Angle_increment", "the rotation during the image", "none", OSCILLATION,
        {OSCILLATION: (5, 0.5)}, scan_is(5, 0.5, 4),
    ),
    Defect(
        "width of zero while the angle advances", sweep(**TURNED),
        "t_####.cbf", "angles", "a width of 1 deg", "0 deg", OSCILLATION, {OSCILLATION: (11, 1)}, scan_is(11, 1, 4),
    ),
    Defect(
        "width changes", sweep(Angle_increment=lambda i: f"{0.5 if i < 3 else 0.25} deg."),
        "t_####.cbf", "image 3", "0.5 deg as before", "0.25 deg", OSCILLATION, {OSCILLATION: (0, 0.5)},
        scan_is(0, 0.5, 4),
    ),
    Defect(
        "angle that does not follow the number", sweep(Start_angle=lambda i: f"{i * 0.5 + 30 * (i > 2)} deg."),
        "t_####.cbf", "image 3", "to start at 1.5000 deg, where image 2 ends", "31.5000 deg", OSCILLATION,
        {OSCILLATION: (0.5, 0.5)}, scan_is(0.5, 0.5, 4),
    ),
    Defect(
        "missing image", after(sweep(), lambda f: (f / "t_0003.cbf").unlink()),
        "t_####.cbf", "image 4", "image 3", "image 4", RANGE, {RANGE: (1, 2)}, scan_is(0, 0.5, 2),
    ),
    Defect(
        "image that is there twice",
        after(sweep(), lambda f: write_mini_cbf(f / "t_0002.cbf.gz", PIXELS, mini_cbf_header())),
        "t_0002.cbf.gz", "image 2", "each image once", "t_0002.cbf too", "template=",
    ),
    Defect(
        "numbers of different widths",
        after(sweep(), lambda f: write_mini_cbf(f / "t_005.cbf", PIXELS, mini_cbf_header())),
        "t_*.cbf", "file names", "padded to one width", "(t_005.cbf, t_0001.cbf)", "template=",
    ),
]  # fmt: skip

FILES = [
    Defect(
        "pixels cut short", after(sweep(), cut("t_0003.cbf", 4140)),
        "t_0003.cbf", "end of the file", " bytes", " bytes", "copy it again",
    ),
    Defect(
        "compressed file cut short", after(sweep(names="t_{:04d}.cbf.gz"), cut("t_0003.cbf.gz", 4)),
        "t_0003.cbf.gz", "end of the file", "the end of the compression", "none", "copy it again", given=READ,
    ),
    Defect(
        "size of the pixels too large", after(sweep(), edited("t_0003.cbf", b"X-Binary-Size: 12", b"X-Binary-Size: 99999")),
        "t_0003.cbf", "", " bytes", " bytes", "copy it again",
    ),
    Defect(
        "size of the pixels too small", after(sweep(), edited("t_0003.cbf", b"X-Binary-Size: 12", b"X-Binary-Size: 5", b"Content-MD5", b"X-MD5")),
        "t_0003.cbf", "pixels", "12", "", RANGE, CUT, scan_is(0, 0.5, 2), {"verify_checksum": True},
    ),
    Defect(
        "another checksum", after(sweep(), edited("t_0003.cbf", b"Content-MD5: ", b"Content-MD5: A")),
        "t_0003.cbf", "Content-MD5", "", "", RANGE, CUT, scan_is(0, 0.5, 2), {"verify_checksum": True},
    ),
    Defect(
        "unknown compression", after(sweep(), edited("t_0003.cbf", b"x-CBF_BYTE_OFFSET", b"x-CBF_SOMETHING")),
        "t_0003.cbf", "binary section", "one of the compressions BYTE_OFFSET", "x-CBF_SOMETHING", "convert the file",
    ),
    Defect(
        "sizes that contradict the number of pixels",
        after(sweep(), edited("t_0003.cbf", b"Fastest-Dimension: 4", b"Fastest-Dimension: 5")),
        "t_0003.cbf", "binary section", "5 x 3 = 15 pixels", "12 elements", "copy the file again",
    ),
    Defect(
        "SMV cut short", after(smv(), cut("a_001.img", 7)),
        "a_001.img", "end of the file", "1048 bytes", "1041 bytes", "copy it again", given=READ,
    ),
    Defect(
        "TIFF cut short", after(tiff(), cut("a_001.tif", 7)),
        "a_001.tif", "end of the file", " bytes to hold 4 x 3 pixels", " bytes", "copy it again", given={**READ, **TIFF},
    ),
    Defect(
        "empty file", after(sweep(), lambda f: (f / "t_0005.cbf").write_bytes(b"")),
        "t_0005.cbf", "the file is empty", "an image", "0 bytes", "copy it again",
    ),
    Defect(
        "text that is called CBF", text_file("t_0001.cbf", b"not an image\n"),
        "t_0001.cbf", "first bytes", "an image of an installed format", "cbf: does not start with", "format=",
    ),
    Defect(
        "HDF5 that is no NeXus", hdf5,
        "x_0001.h5", "first bytes", "an image of an installed format", "without a NeXus entry", "format=",
    ),
    Defect(
        "folder without files", lambda folder: folder,
        "", "the folder", "image files", "none", "template=",
    ),
]  # fmt: skip


def test_a_whole_sweep_has_no_warnings(tmp_path, caplog):
    spindle.run("import", files=[sweep()(tmp_path)])
    assert not [r for r in caplog.records if r.levelname == "WARNING"]


def test_a_file_that_may_not_be_read_says_so(tmp_path, monkeypatch):
    # The superuser may read everything: the refusal is played.
    def refuse(*args: Any, **options: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("spindle.regular.os.open", refuse)
    with pytest.raises(
        FileFormatError, match=r"a\.cbf: permissions: expected a file that may be read, found .*chmod u\+r a"
    ):
        read_head(tmp_path / "a.cbf")


def test_a_mask_without_a_good_pixel_is_refused(tmp_path):
    np.savez(tmp_path / "mask.npz", np.zeros((3, 4), dtype=bool))
    with pytest.raises(FileFormatError, match=r"mask.npz: all panels: expected some good pixels, .* lookup\.mask="):
        spindle.run("import", files=[sweep()(tmp_path)], **{"lookup.mask": str(tmp_path / "mask.npz")})


@pytest.mark.parametrize("defect", [*HEADERS, *SWEEPS, *FILES], ids=lambda d: d.name)
@pytest.mark.sampled(3)
def test_a_defect_is_explained_and_mended(defect, tmp_path, caplog):
    assert_explained_and_mended(defect, tmp_path, caplog)
