"""`spindle export_bitmaps`: pictures of images that the test has made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from spindle_program_export_bitmaps import params as of_the_program
from spindle_program_export_bitmaps.params import ExportBitmapsParams
from spindle_program_export_bitmaps.picture import save_picture

import spindle
from spindle.errors import ModelError, ParameterError, SpindleError, UserError
from spindle.models import Experiments
from spindle.params.resolve import build
from spindle.table import ReflectionTable
from spindle_lib_pictures import display as framework
from spindle_lib_pictures.display import palette
from spindle_lib_readers.testing.images import write_smv


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    """Counts that rise to the right (fast), with a spot at fast 40, slow 10 and a tenth of the pixels above 4."""
    counts = np.broadcast_to(np.arange(64) // 13, (48, 64)).copy()
    counts[9:12, 39:42] = 200
    return counts


@pytest.fixture
def image(tmp_path, pixels, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_smv(tmp_path / "a_001.img", pixels)


def paint(image: Path | list[Path], **parameters) -> list[np.ndarray]:
    """Pictures as arrays (rows, columns, 3)."""
    files = image if isinstance(image, list) else [image]
    folder = files[0].parent / "out"
    spindle.run("export_bitmaps", files=files, **{"output.directory": str(folder), **parameters})
    return [np.asarray(Image.open(p).convert("RGB")) for p in sorted(folder.iterdir())]


def test_fast_is_to_the_right_and_slow_down(image, pixels):
    (picture,) = paint(image)
    assert picture.shape == (48, 64, 3)
    grey = picture[..., 0].astype(int)
    assert np.all(grey == picture[..., 2]) and np.all(grey[9:12, 39:42] == 0)
    assert np.all(np.diff(grey[0]) <= 0) and grey[0, 0] == 255 and grey[0, 63] < 255
    assert np.array_equal(grey < grey[0, 63], pixels > pixels[0, 63])


@pytest.mark.parametrize("scheme", ["greyscale", "rainbow", "heatmap", "inverse_greyscale"])
@pytest.mark.parametrize("kind", ["png", "tiff"])
def test_lossless_formats_hold_the_colours_of_the_scheme(image, pixels, scheme, kind):
    (picture,) = paint(image, colour_scheme=scheme, **{"output.format": kind})
    colours = palette(scheme)
    assert np.array_equal(picture[0, 0], colours[2]) and np.array_equal(picture[10, 40], colours[257])
    for value in range(5):
        assert len(np.unique(picture[pixels == value].reshape(-1, 3), axis=0)) == 1


def test_jpeg_is_near_and_its_quality_matters(image, tmp_path):
    (exact,) = paint(image)
    files = []
    for quality in (10, 95):
        name = tmp_path / f"q{quality}.jpg"
        spindle.run("export_bitmaps", files=[image], **{"output.file": str(name), "jpeg.quality": quality})
        files.append(name.stat().st_size)
    assert files[0] < files[1]
    near = np.asarray(Image.open(tmp_path / "q95.jpg").convert("RGB")).astype(int)
    assert np.abs(near - exact).mean() < 4


def test_binning_keeps_spots(image):
    (picture,) = paint(image, binning=5)
    assert picture.shape == (10, 13, 3) and np.all(picture[2, 8] == 0)


def test_threshold_shows_the_spot_alone(image):
    (picture,) = paint(image, display="threshold", colour_scheme="inverse_greyscale")
    strong = picture[..., 0] > 0
    assert np.array_equal(np.argwhere(strong), np.argwhere(np.ones((3, 3))) + [9, 39])


@pytest.mark.parametrize("display", ["mean", "variance", "dispersion", "sigma_b", "sigma_s", "global_threshold"])
def test_every_display_tells_the_spot_from_its_surroundings(image, display):
    (picture,) = paint(image, display=display, global_threshold=10)
    assert picture[10, 40, 0] < picture[40, 5, 0] == 255


def test_mask_and_saturation_have_colours_of_their_own(image, pixels):
    experiments = spindle.run("import", files=[image]).experiments
    panel = experiments[0].detector[0]
    masked = replace(panel, trusted_range=(0, 150), mask=((0, 0, 10, 5),))
    changed = replace(experiments[0], detector=experiments[0].detector.replace_panels([masked]))
    spindle.run(
        "export_bitmaps", Experiments([changed]), show_mask=True, **{"output.file": str(image.with_suffix(".png"))}
    )
    picture = np.asarray(Image.open(image.with_suffix(".png")).convert("RGB"))
    magenta = (picture == (255, 0, 200)).all(axis=-1)
    assert magenta[:5, :10].all() and magenta[9:12, 39:42].all() and magenta.sum() == 59
    (picture,) = paint(image, saturation=199)
    assert np.array_equal((picture == (254, 254, 1)).all(axis=-1), pixels > 199)


def test_names_follow_the_image_numbers(tmp_path, pixels, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = [write_smv(tmp_path / f"a_{k:03d}.img", pixels + k, PHI=k, OSC_START=k, OSC_RANGE=1) for k in (7, 8, 9)]
    assert len(paint(files, **{"output.prefix": "p_"})) == 3
    assert [p.name for p in sorted((tmp_path / "out").iterdir())] == ["p_0007.png", "p_0008.png", "p_0009.png"]


def test_an_image_of_two_experiments_is_painted_once_and_image_sets_are_told_apart(image, tmp_path, pixels):
    one = spindle.run("import", files=[image]).experiments[0]
    other = spindle.run("import", files=[write_smv(tmp_path / "b_001.img", pixels)]).experiments[0]
    experiments = Experiments([one, replace(one, identifier="twin"), other])
    result = spindle.run("export_bitmaps", experiments)
    assert result.summary["n_pictures"] == 2
    assert (tmp_path / "image0_0001.png").exists() and (tmp_path / "image1_0001.png").exists()
    assert spindle.run("export_bitmaps", experiments, imageset_index=[1]).summary["n_pictures"] == 1


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"output.file": "a.gif"}, r"'\.gif' is none of"),
        ({"min_local": 1, "display": "mean"}, "min_local=1: choose 2 to 49"),
        ({"gain": 0}, "must be positive"),
        ({"imageset_index": [4]}, "there are 1 image sets"),
        ({"output.prefix": "nowhere/a"}, "folder nowhere does not exist"),
    ],
)
def test_parameters_without_sense_are_refused(image, parameters, message):
    with pytest.raises(ParameterError, match=message):
        spindle.run("export_bitmaps", files=[image], **parameters)


def test_several_images_do_not_fit_into_one_file_and_images_are_not_overwritten(tmp_path, pixels, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files = [write_smv(tmp_path / f"a_{k:03d}.img", pixels, PHI=k, OSC_START=k, OSC_RANGE=1) for k in (1, 2)]
    with pytest.raises(ParameterError, match="2 images would go to one file"):
        spindle.run("export_bitmaps", files=files, **{"output.file": "a.png"})
    disguised = files[0].rename(tmp_path / "image0001.png")
    with pytest.raises(ParameterError, match="would replace one of the images"):
        spindle.run("export_bitmaps", files=[disguised])


def test_import_options_belong_to_images(image):
    experiments = spindle.run("import", files=[image]).experiments
    with pytest.raises(ParameterError, match="give them to spindle import"):
        spindle.run("export_bitmaps", experiments, **{"format.multi_panel": True})
    with pytest.raises(ParameterError, match="no images"):
        spindle.run("export_bitmaps")
    with pytest.raises(ModelError, match="no images on disk"):
        spindle.run("export_bitmaps", Experiments([replace(experiments[0], imageset=None)]))


def test_a_folder_that_cannot_be_made_and_spots_are_refused(image):
    with pytest.raises(ParameterError, match=r"output\.directory=.*cannot be made: File exists"):
        spindle.run("export_bitmaps", files=[image], **{"output.directory": str(image)})
    with pytest.raises(ParameterError, match="leave the reflection file out"):
        spindle.run("export_bitmaps", reflections=ReflectionTable(), files=[image])


def test_a_damaged_image_is_named_and_leaves_no_picture(image, tmp_path):
    experiments = spindle.run("import", files=[image]).experiments
    image.write_bytes(image.read_bytes()[:3000])
    with pytest.raises(SpindleError, match=r"a_001\.img"):
        spindle.run("export_bitmaps", experiments)
    assert not list(tmp_path.glob("*.png"))


def test_pictures_too_large_for_jpeg_are_refused(tmp_path):
    params = build(ExportBitmapsParams)
    codes = np.broadcast_to(np.uint16(2), (1, 65501))
    with pytest.raises(UserError, match="too many for a JPEG"):
        save_picture(codes, palette("greyscale"), tmp_path / "a.jpeg", "jpeg", params)


def test_more_colours_than_a_table_holds_are_kept(tmp_path):
    codes = np.arange(259, dtype=np.uint16)[None]
    save_picture(codes, palette("rainbow"), tmp_path / "a.png", "png", build(ExportBitmapsParams))
    assert np.array_equal(np.asarray(Image.open(tmp_path / "a.png"))[0], palette("rainbow"))


def test_choices_are_those_of_the_framework():
    assert of_the_program.DISPLAYS == framework.DISPLAYS
    assert of_the_program.COLOUR_SCHEMES == framework.COLOUR_SCHEMES
