"""Faults of thresholds."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from ..test_threshold import TestDispersion as Threshold
from . import changed, fault

Call = Any


def threshold(kind: str, title: str, *checks: str, missed: str = "") -> Any:
    """A fault of find_strong."""

    def register(change: Any) -> Any:
        fault(Threshold, kind, f"threshold: {title}", *checks, missed=missed)(
            lambda good: changed(good, "find_strong", change)
        )
        return change

    return register


def own(call: Call, a: dict[str, Any], **changes: Any) -> np.ndarray:
    """The answer of the good threshold, copied."""
    return np.array(call(**{**a, **changes}))


@threshold("swap", "result moved by a row", "test_strong_pixels_are_where_the_spots_are")
def _(call, a, plugin):
    return np.roll(own(call, a), 1, axis=0) & a["mask"]


@threshold("swap", "result moved by a column", "test_strong_pixels_are_where_the_spots_are")
def _(call, a, plugin):
    return np.roll(own(call, a), -1, axis=1) & a["mask"]


@threshold("units", "gain ignored", "test_gain_is_counts_per_photon")
def _(call, a, plugin):
    return own(call, a, gain=1.0)


@threshold("units", "gain inverted", "test_gain_is_counts_per_photon")
def _(call, a, plugin):
    return own(call, a, gain=1.0 / np.asarray(a["gain"]) if np.ndim(a["gain"]) else 1.0 / a["gain"])


@threshold("units", "map of gains breaks it", "test_gain_is_counts_per_photon")
def _(call, a, plugin):
    return own(call, a, gain=float(a["gain"]))


@threshold("units", "one gain of a map for all pixels", "test_a_map_of_gains_holds_pixel_by_pixel")
def _(call, a, plugin):
    return own(call, a, gain=float(np.ravel(a["gain"])[0]))


@threshold("limits", "bright pixels overflow in int16", "test_the_brightest_pixels_are_strong")
def _(call, a, plugin):
    return own(call, a, image=a["image"].astype(np.int16).astype(np.int32))


@threshold("limits", "counts above a million cut off at none", "test_the_brightest_pixels_are_strong")
def _(call, a, plugin):
    return own(call, a, image=np.where(a["image"] > 1_000_000, 0, a["image"]))


@threshold(
    "mask",
    "masked pixels are part of the surroundings",
    "test_background_beside_a_gap_is_not_strong",
    "test_values_under_the_mask_do_not_matter",
)
def _(call, a, plugin):
    return own(call, a, mask=np.ones_like(a["mask"])) & a["mask"]


@threshold("mask", "strong under the mask", "test_masked_pixels_are_never_strong")
def _(call, a, plugin):
    return own(call, a, mask=np.ones_like(a["mask"]))


@threshold("mutation", "masked pixels of the image set to 0", "test_what_it_is_given_stays_as_it_was")
def _(call, a, plugin):
    a["image"][~a["mask"]] = 0
    return own(call, a)


@threshold("state", "answers with its first image", "test_each_call_is_a_new_beginning")
def _(call, a, plugin):
    known = plugin.__dict__.setdefault("known", {})
    return known.setdefault(a["image"].shape, own(call, a)) & a["mask"]


@threshold("state", "one buffer for all answers", "test_answers_stay_when_others_are_asked_for")
def _(call, a, plugin):
    buffers = plugin.__dict__.setdefault("buffers", {})
    buffer = buffers.setdefault(a["image"].shape, np.zeros(a["image"].shape, np.bool_))
    buffer[:] = own(call, a)
    return buffer


@threshold(
    "low counts",
    "nothing below two counts",
    "test_spots_are_told_from_any_background",
    "test_fractions_of_counts_are_not_cut_off",
)
def _(call, a, plugin):
    return own(call, a) & (a["image"] > 20)


@threshold("dtype", "images cut to whole numbers", "test_fractions_of_counts_are_not_cut_off")
def _(call, a, plugin):
    return own(call, a, image=a["image"].astype(np.int32))


@threshold("corner", "edges are never strong", "test_rows_and_columns_are_treated_alike")
def _(call, a, plugin):
    strong = own(call, a)
    strong[:8] = strong[:, :8] = False
    return strong


@threshold("swap", "two last rows for granted", "test_tiny_images_are_no_trouble")
def _(call, a, plugin):
    return own(call, a) & (a["image"][5, 5] > -5)


@threshold(
    "random",
    "pixels left out at random",
    "test_the_same_input_has_the_same_answer_whatever_the_random_state",
    "test_each_call_is_a_new_beginning",
)
def _(call, a, plugin):
    return own(call, a) & (np.random.default_rng().random(a["image"].shape) > 0.02)


@threshold(
    "random",
    "seeds the numbers of the whole process",
    "test_the_same_input_has_the_same_answer_whatever_the_random_state",
)
def _(call, a, plugin):
    np.random.seed(0)  # noqa: NPY002
    return own(call, a)


@threshold("speed", "loop of Python over pixels", "test_time_per_element_is_within_the_budget")
def _(call, a, plugin):
    strong = own(call, a)
    for y in range(strong.shape[0]):
        for x in range(strong.shape[1]):
            around = a["image"][max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
            strong[y, x] = strong[y, x] and around.max() > 0
    return strong


@threshold("nan", "NaN under the mask spreads", "test_values_under_the_mask_do_not_matter")
def _(call, a, plugin):
    return own(call, a) & ~np.isnan(a["image"].sum(dtype=float))


@threshold("threads", "a workspace for all threads", "test_calls_at_the_same_time_do_not_disturb_each_other")
def _(call, a, plugin):
    plugin.given = a
    time.sleep(0.002)
    return own(call, plugin.given)
