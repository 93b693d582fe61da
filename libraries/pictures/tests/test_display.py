"""Colours of pixels and pictures of several panels."""

from __future__ import annotations

import numpy as np
import pytest

from spindle.errors import ModelError
from spindle.models import Beam, Detector, Panel
from spindle_lib_pictures.canvas import Canvas
from spindle_lib_pictures.display import (
    COLOUR_SCHEMES,
    Display,
    bin_codes,
    codes_of,
    codes_of_flags,
    contrast_level,
    palette,
)
from spindle_lib_pictures.kernels import HIGHEST, LOWEST, MASKED, OVERLOAD

BEAM = Beam(direction=(0, 0, 1), wavelength=1.0)


def panel(origin=(0.0, 0.0, -100.0), fast=(1, 0, 0), slow=(0, -1, 0), size=(4, 3), **changes) -> Panel:
    return Panel(fast, slow, origin, (1.0, 1.0), size, **changes)


def test_a_tenth_of_the_pixels_is_above_the_level():
    assert contrast_level([np.arange(100.0).reshape(10, 10)]) == 89.0
    assert contrast_level([np.zeros((5, 5), np.int32)]) == 2.0
    assert contrast_level([np.arange(50.0)[None], np.arange(50.0, 100.0)[None]]) == 89.0


def test_grey_falls_by_two_fifths_at_the_level_and_ends_at_black():
    values = np.array([[-2, 0, 1, 2, 3, 4, 5, 100000]], np.int32)
    grey = palette("greyscale")[codes_of(values, 2.0)][0, :, 0]
    assert grey.tolist() == [255, 255, 204, 153, 102, 51, 0, 0]
    assert palette("greyscale")[codes_of(values, 2.0, brightness=20.0)][0, :, 0].tolist()[2:4] == [245, 235]


@pytest.mark.parametrize("scheme", COLOUR_SCHEMES)
def test_stronger_pixels_never_wrap_around_to_weak_colours(scheme):
    values = np.array([[0.0, 1e3, 1e6, 1e30, np.inf]], np.float32)
    colours = palette(scheme)[codes_of(values, 1.0)][0]
    assert np.all(colours[1:] == colours[-1]) and np.any(colours[0] != colours[-1])


def test_colour_schemes_begin_and_end_as_their_names_say():
    ends = {s: (palette(s)[LOWEST].tolist(), palette(s)[HIGHEST].tolist()) for s in COLOUR_SCHEMES}
    assert ends["greyscale"] == ([255] * 3, [0] * 3) and ends["inverse_greyscale"] == ([0] * 3, [255] * 3)
    assert ends["rainbow"] == ([63, 0, 255], [255, 0, 0])
    assert ends["heatmap"] == ([25] * 3, [255] * 3)
    with pytest.raises(ValueError, match="choose one of greyscale"):
        palette("sepia")


def test_masked_pixels_overloads_and_no_numbers():
    values = np.array([[1.0, 501.0, 500.0, np.nan]], np.float32)
    mask = np.array([[False, True, True, True]])
    assert codes_of(values, 1.0, mask=mask, overload=500)[0].tolist() == [MASKED, OVERLOAD, HIGHEST, LOWEST]
    assert codes_of_flags(np.array([[True, True, False, False]]), mask)[0].tolist() == [
        MASKED, HIGHEST, LOWEST, LOWEST,
    ]  # fmt: skip


def test_groups_of_pixels_show_the_strongest():
    codes = np.arange(35, dtype=np.uint16).reshape(5, 7)
    assert bin_codes(codes, 1) is codes
    assert bin_codes(codes, 3).tolist() == [[16, 19, 20], [30, 33, 34]]


def test_displays_are_image_maps_or_flags():
    pixels = np.random.default_rng(1).poisson(3, (30, 30)).astype(np.int32)
    good = np.ones(pixels.shape, bool)
    good[3] = False
    assert Display().of(pixels, good) is pixels
    above = Display("global_threshold", global_threshold=3).of(pixels, good)
    assert np.array_equal(above, good & (pixels > 3))
    assert Display("threshold").is_flag and not Display("mean").is_flag
    with pytest.raises(ValueError, match="choose 2 to 49"):
        Display("mean", min_local=1)
    with pytest.raises(ValueError, match="choose one of image"):
        Display("median").of(pixels, good)


def numbered(*shapes: tuple[int, int]) -> list[np.ndarray]:
    """Panels whose pixels count through: 100 k + number of the pixel, k from 1."""
    return [
        (100 * (k + 1) + np.arange(h * w, dtype=np.uint16)).reshape(h, w).astype(np.uint16)
        for k, (h, w) in enumerate(shapes)
    ]


@pytest.mark.parametrize("projection", ["image", "lab"])
def test_one_panel_is_its_own_picture(projection):
    pixels = numbered((3, 4))
    assert Canvas(Detector([panel(fast=(-1, 0, 0))]), BEAM, projection)(pixels) is pixels[0]


def test_panels_are_placed_at_their_offsets_in_the_file():
    detector = Detector([panel(raw_image_offset=(10, 5)), panel(raw_image_offset=(10, 10))])
    picture = Canvas(detector, BEAM)(numbered((3, 4), (3, 4)))
    assert picture.shape == (8, 4)
    assert np.array_equal(picture[:3], numbered((3, 4))[0]) and not picture[3:5].any() and picture[5, 0] == 200


def test_panels_without_offsets_are_laid_out_in_rows():
    canvas = Canvas(Detector([panel()] * 6), BEAM, padding=2)
    picture = canvas(numbered(*[(3, 4)] * 6))
    assert picture.shape == (13, 10) == canvas.shape
    assert picture[0, 0] == 100 and picture[0, 6] == 200 and picture[5, 0] == 300 and not picture[3:5].any()


def test_laboratory_picture_of_flat_panels_is_what_the_sample_sees():
    # Two panels beside each other, the right one turned by 90 degrees: its fast axis goes down.
    detector = Detector([panel((-5, 2, -100)), panel((4, 2, -100), fast=(0, -1, 0), slow=(-1, 0, 0), size=(3, 4))])
    one, two = numbered((3, 4), (4, 3))
    picture = Canvas(detector, BEAM, "lab")([one, two])
    assert picture.shape == (3, 9)
    assert np.array_equal(picture[:, :4], one) and not picture[:, 4].any()
    assert np.array_equal(picture[:, 5:], two[::-1].T)


def test_laboratory_picture_does_not_depend_on_the_axes_of_a_panel():
    # The same square of the laboratory, read out from two corners.
    square = np.arange(1, 17, dtype=np.uint16).reshape(4, 4)
    other = panel((10, 0, -100), size=(4, 4))
    plain = Detector([panel((0, 0, -100), size=(4, 4)), other])
    turned = Detector([panel((4, -4, -100), fast=(-1, 0, 0), slow=(0, 1, 0), size=(4, 4)), other])
    assert np.array_equal(
        Canvas(plain, BEAM, "lab")([square, square]), Canvas(turned, BEAM, "lab")([square[::-1, ::-1], square])
    )


def test_tilted_panels_look_shorter_and_panels_seen_from_the_edge_are_left_out():
    tilt = np.deg2rad(60.0)
    tilted = panel((0, 50, -100), slow=(0, -np.cos(tilt), np.sin(tilt)), size=(20, 20))
    facing = [panel((0, y, -100), size=(20, 20)) for y in (0, 30)]
    canvas = Canvas(Detector([facing[0], facing[0], facing[1], tilted]), BEAM, "lab")
    assert canvas.shape[1] == 20 and 68 <= canvas.shape[0] <= 72
    edge = Canvas(Detector([*facing, panel((0, 60, -100), slow=(0, 0, -1), size=(20, 20))]), BEAM, "lab")
    assert edge([np.ones((20, 20), np.uint16)] * 3).sum() <= 3 * 400


def test_absurd_positions_make_no_picture():
    far = Detector([panel(), panel((1e6, 1e6, -100))])
    with pytest.raises(ModelError, match="choose projection=image"):
        Canvas(far, BEAM, "lab")
    with pytest.raises(ModelError, match="projection=lab"):
        Canvas(Detector([panel(), panel(raw_image_offset=(10**5, 10**5))]), BEAM)
    with pytest.raises(ValueError, match="choose one of lab, image"):
        Canvas(far, BEAM, "globe")
