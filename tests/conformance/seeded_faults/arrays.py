"""Faults of thresholds, backgrounds, centroids, outliers and error models."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np

from spindle.contracts.background import usable_pixels
from spindle.contracts.error_model import ErrorModelFit
from spindle.table import MaskCode

from ..test_background import TestSimpleConstant3d as Background
from ..test_centroid import TestSimple as Centroid
from ..test_error_model import TestBasicIndividual as ErrorModel
from ..test_outlier import TestTukey as Outlier
from ..test_threshold import TestDispersion as Threshold
from . import changed, fault

Call = Any

# ---- thresholds


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


# ---- backgrounds


def background(kind: str, title: str, *checks: str, missed: str = "") -> Any:
    """A fault of estimate_background."""

    def register(change: Any) -> Any:
        fault(Background, kind, f"background: {title}", *checks, missed=missed)(
            lambda good: changed(good, "estimate_background", change)
        )
        return change

    return register


def box_of(a: dict[str, Any]) -> np.ndarray:
    """Number of the shoebox of each pixel."""
    return np.repeat(np.arange(len(a["shoeboxes"])), np.diff(a["shoeboxes"].offsets))


def scaled_by(result: Any, factor: Any, a: dict[str, Any]) -> Any:
    """The estimate times a number per shoebox."""
    each = np.broadcast_to(np.asarray(factor, float), len(result.mean))
    return replace(result, background=(result.background * each[box_of(a)]).astype(np.float32), mean=result.mean * each)


@background("bias", "0.9 counts too low", "test_any_counts_are_recovered")
def _(call, a, plugin):
    result = call(**a)
    return replace(result, background=result.background - np.float32(0.9), mean=result.mean - 0.9)


@background("bias", "5 % too high", "test_any_counts_are_recovered", "test_flat_background_is_recovered")
def _(call, a, plugin):
    return scaled_by(call(**a), 1.07, a)


@background("low counts", "whole counts", "test_any_counts_are_recovered")
def _(call, a, plugin):
    result = call(**a)
    return replace(result, background=np.rint(result.background), mean=np.rint(result.mean))


@background("low counts", "nothing below a tenth of a count", "test_any_counts_are_recovered")
def _(call, a, plugin):
    result = call(**a)
    return scaled_by(result, result.mean > 0.15, a)


@background("hardly any", "a last shoebox without pixels breaks it", "test_shoeboxes_without_pixels_fail_alone")
def _(call, a, plugin):
    boxes = a["shoeboxes"]
    if len(boxes):
        np.add.reduceat(boxes.data, boxes.offsets[:-1])
    return call(**a)


@background("several", "all shoeboxes have the mean of the block", "test_each_shoebox_has_its_own_background")
def _(call, a, plugin):
    result = call(**a)
    n = max(result.success.sum(), 1)
    return scaled_by(
        result, np.where(result.mean > 0, result.mean[result.success].sum() / n / np.maximum(result.mean, 1e-9), 0), a
    )


@background("several", "gain of the first panel for all", "test_panels_are_told_apart_by_their_numbers")
def _(call, a, plugin):
    gain = a["detector"][0].gain if a["detector"] is not None else 1.0
    return scaled_by(call(**a), gain, a)


@background("units", "variance of a pixel for that of the mean", "test_the_variance_of_the_mean_is_honest")
def _(call, a, plugin):
    result = call(**a)
    return replace(result, mean_variance=np.maximum(result.mean, 0.0))


@background("units", "standard deviation for mse", "test_statistics_are_those_of_the_pixels_that_were_used")
def _(call, a, plugin):
    result = call(**a)
    return replace(result, mse=np.sqrt(result.mse))


@background(
    "mask",
    "foreground pixels are used",
    "test_only_usable_pixels_are_used",
    "test_values_of_unusable_pixels_do_not_matter",
)
def _(call, a, plugin):
    boxes = a["shoeboxes"]
    return call(**{**a, "shoeboxes": replace(boxes, mask=boxes.mask | np.uint8(MaskCode.BACKGROUND))})


@background("mask", "overlapped pixels are used", "test_only_usable_pixels_are_used")
def _(call, a, plugin):
    boxes = a["shoeboxes"]
    return call(**{**a, "shoeboxes": replace(boxes, mask=boxes.mask & np.uint8(0xFF - MaskCode.OVERLAPPED))})


@background(
    "swap",
    "pixels of a shoebox turned round",
    "test_rows_and_columns_are_treated_alike",
    "test_each_shoebox_has_its_own_background",
)
def _(call, a, plugin):
    result = call(**a)
    return replace(result, background=np.ascontiguousarray(result.background[::-1]))


@background(
    "order",
    "shoeboxes sorted by their background",
    "test_shoeboxes_do_not_influence_each_other",
    "test_each_shoebox_has_its_own_background",
)
def _(call, a, plugin):
    result = call(**a)
    return replace(result, mean=np.sort(result.mean))


@background("nan", "NaN where it failed counts as success", "test_too_few_pixels_are_a_failure_not_an_error")
def _(call, a, plugin):
    result = call(**a)
    return replace(result, mean=np.where(result.success, result.mean, np.nan), success=np.ones_like(result.success))


@background("dtype", "float64 pixels", "test_arrays_have_the_declared_shapes_and_types")
def _(call, a, plugin):
    result = call(**a)
    return replace(result, background=result.background.astype(float))


@background("mutation", "counts are subtracted in place", "test_what_it_is_given_stays_as_it_was")
def _(call, a, plugin):
    result = call(**a)
    a["shoeboxes"].data[:] -= result.background
    return result


@background("state", "starts from the last mean", "test_each_call_is_a_new_beginning")
def _(call, a, plugin):
    result = call(**a)
    last, plugin.last = getattr(plugin, "last", 0.0), float(result.mean.mean()) if len(result.mean) else 0.0
    return scaled_by(result, 1 + 1e-3 * last, a)


@background("settings", "choice of the model ignored", "test_switches_and_choices_change_something")
def _(call, a, plugin):
    boxes = a["shoeboxes"]
    used = usable_pixels(boxes.mask)
    number = np.bincount(box_of(a)[used], minlength=len(boxes))
    total = np.bincount(box_of(a)[used], boxes.data[used], len(boxes))
    mean = np.divide(total, number, out=np.zeros(len(boxes)), where=number > 10)
    from spindle.contracts.background import BackgroundEstimate

    return BackgroundEstimate.from_pixels(boxes, mean[box_of(a)].astype(np.float32), used, number > 10, mean=mean)


@background("speed", "loop of Python over shoeboxes", "test_time_per_element_is_within_the_budget")
def _(call, a, plugin):
    boxes = a["shoeboxes"]
    for i in range(len(boxes)):
        part = slice(boxes.offsets[i], boxes.offsets[i + 1])
        values = boxes.data[part][usable_pixels(boxes.mask[part])]
        if len(values):
            np.median(values), values.mean()
    return call(**a)


@background("frame", "needs a detector", "test_the_detector_may_be_unknown")
def _(call, a, plugin):
    return scaled_by(call(**a), a["detector"][0].gain ** 0, a)


# ---- centroids


def centroid(kind: str, title: str, *checks: str, missed: str = "") -> Any:
    """A fault of compute_centroids."""

    def register(change: Any) -> Any:
        fault(Centroid, kind, f"centroid: {title}", *checks, missed=missed)(
            lambda good: changed(good, "compute_centroids", change)
        )
        return change

    return register


@centroid("swap", "rows and columns exchanged in the strides", "test_boxes_of_any_shape_have_their_centres")
def _(call, a, plugin):
    boxes = a["shoeboxes"]
    if not len(boxes):
        return call(**a)
    result = call(**{**a, "shoeboxes": replace(boxes, bbox=np.ascontiguousarray(boxes.bbox[:, [2, 3, 0, 1, 4, 5]]))})
    return replace(result, position=result.position - boxes.bbox[:, [2, 0, 4]] + boxes.bbox[:, [0, 2, 4]])


@centroid("units", "standard deviations for variances", "test_variances_are_those_of_a_mean")
def _(call, a, plugin):
    result = call(**a)
    return replace(result, variance=np.sqrt(result.variance))


@centroid("units", "variance of the spot for that of its mean", "test_variances_are_those_of_a_mean")
def _(call, a, plugin):
    result = call(**a)
    return replace(result, variance=result.variance * 20.0)


@centroid(
    "frame",
    "centres of pixels at whole numbers",
    "test_a_single_pixel_has_its_centre",
    "test_boxes_of_any_shape_have_their_centres",
)
def _(call, a, plugin):
    result = call(**a)
    return replace(result, position=np.where(result.success[:, None], result.position - 0.5, 0.0))


@centroid("frame", "images counted from 1", "test_boxes_of_any_shape_have_their_centres")
def _(call, a, plugin):
    result = call(**a)
    return replace(result, position=np.where(result.success[:, None], result.position + [0, 0, 1], 0.0))


@centroid("mask", "background pixels take part", "test_pixels_around_the_spot_do_not_matter")
def _(call, a, plugin):
    boxes = a["shoeboxes"]
    return call(shoeboxes=replace(boxes, mask=boxes.mask | np.uint8(MaskCode.FOREGROUND)))


@centroid("mask", "overlapped pixels take part", "test_bad_pixels_do_not_matter")
def _(call, a, plugin):
    boxes = a["shoeboxes"]
    return call(shoeboxes=replace(boxes, mask=boxes.mask & np.uint8(0xFF - MaskCode.OVERLAPPED)))


@centroid("nan", "NaN where it failed", "test_what_fails_is_zero")
def _(call, a, plugin):
    result = call(**a)
    return replace(result, position=np.where(result.success[:, None], result.position, np.nan))


@centroid("negative", "variances below zero", "test_pixels_below_the_background_make_no_negative_variance")
def _(call, a, plugin):
    result = call(**a)
    weak = result.variance.max(axis=1, initial=0) > 0.6
    return replace(result, variance=np.where(weak[:, None], -result.variance, result.variance))


@centroid("bias", "background not subtracted", "test_background_is_subtracted_pixel_by_pixel")
def _(call, a, plugin):
    boxes = a["shoeboxes"]
    return call(shoeboxes=replace(boxes, background=np.zeros_like(boxes.background)))


@centroid("bias", "mean background subtracted from all pixels", "test_background_is_subtracted_pixel_by_pixel")
def _(call, a, plugin):
    boxes = a["shoeboxes"]
    level = np.float32(boxes.background.mean()) if len(boxes.data) else np.float32(0)
    return call(shoeboxes=replace(boxes, background=np.full_like(boxes.background, level)))


@centroid("hardly any", "a shoebox without pixels breaks it", "test_a_shoebox_without_pixels_fails_alone")
def _(call, a, plugin):
    boxes = a["shoeboxes"]
    if len(boxes):
        np.maximum.reduceat(boxes.data, boxes.offsets[:-1])
    return call(**a)


@centroid("state", "adds to the last positions", "test_each_call_is_a_new_beginning")
def _(call, a, plugin):
    result = call(**a)
    plugin.calls = getattr(plugin, "calls", 0) + 1
    return replace(result, position=result.position + 1e-6 * (plugin.calls - 1))


@centroid("speed", "loop of Python over shoeboxes", "test_time_per_element_is_within_the_budget")
def _(call, a, plugin):
    boxes = a["shoeboxes"]
    for i in range(len(boxes)):
        data, mask, _ = boxes.pixels(i)
        (data * mask).sum(axis=(0, 1))
    return call(**a)


@centroid("limits", "counts overflow in int16", "test_boxes_of_any_shape_have_their_centres")
def _(call, a, plugin):
    boxes = a["shoeboxes"]
    return call(shoeboxes=replace(boxes, data=boxes.data.astype(np.int32).astype(np.int16).astype(np.float32)))


# ---- outliers


def outlier(kind: str, title: str, *checks: str, missed: str = "") -> Any:
    """A fault of find_outliers."""

    def register(change: Any) -> Any:
        fault(Outlier, kind, f"outlier: {title}", *checks, missed=missed)(
            lambda good: changed(good, "find_outliers", change)
        )
        return change

    return register


def with_residuals(call: Call, a: dict[str, Any], residuals: np.ndarray) -> np.ndarray:
    """The answer for other residuals."""
    return np.array(call(**{**a, "residuals": residuals}))


@outlier("swap", "the angle is not looked at", "test_every_column_is_looked_at_on_both_sides")
def _(call, a, plugin):
    return with_residuals(call, a, a["residuals"][:, :2])


@outlier(
    "swap",
    "only one side is looked at",
    "test_every_column_is_looked_at_on_both_sides",
    "test_signs_of_residuals_do_not_matter",
)
def _(call, a, plugin):
    return with_residuals(
        call, a, np.maximum(a["residuals"], np.median(a["residuals"]) if len(a["residuals"]) else 0.0)
    )


@outlier("hardly any", "no rows break it", "test_takes_any_number_of_rows")
def _(call, a, plugin):
    a["residuals"].max(axis=0)
    return call(**a)


@outlier("hardly any", "one row breaks it", "test_takes_any_number_of_rows")
def _(call, a, plugin):
    if len(a["residuals"]) == 1:
        np.percentile(a["residuals"][1:], 50, axis=0)[0] + a["residuals"][1]
    return call(**a)


@outlier("corner", "all of identical rows are outliers", "test_identical_rows_have_no_outliers")
def _(call, a, plugin):
    flags = np.array(call(**a))
    return flags | (len(flags) > 3 and np.ptp(a["residuals"]) < 1e-9)


@outlier("units", "microns for mm", "test_what_is_an_outlier_depends_on_the_others_alone")
def _(call, a, plugin):
    return np.array(call(**a)) & (np.abs(a["residuals"]).max(axis=1, initial=0) > 0.003)


@outlier("units", "pixels of equal sides for granted", "test_pixels_need_not_be_square")
def _(call, a, plugin):
    flags = np.array(call(**a))
    return flags & (a["pixel_size"][0] == a["pixel_size"][1])


@outlier("bias", "distance from zero, not from the bulk", "test_a_common_offset_makes_no_outliers")
def _(call, a, plugin):
    return np.array(call(**a)) | (np.abs(a["residuals"][:, 0]) > 0.04)


@outlier("random", "a random half, without a seed", "test_each_call_is_a_new_beginning", "test_same_input_same_answer")
def _(call, a, plugin):
    return np.array(call(**a)) & (np.random.default_rng().random(len(a["residuals"])) < 0.97)


@outlier("mutation", "the median is subtracted in place", "test_what_it_is_given_stays_as_it_was")
def _(call, a, plugin):
    a["residuals"][:] -= a["residuals"].mean()
    return call(**a)


@outlier(
    "order", "rows sorted", "test_order_of_rows_does_not_matter_much", "test_finds_gross_outliers_and_keeps_the_bulk"
)
def _(call, a, plugin):
    return np.sort(np.array(call(**a)))


@outlier("dtype", "numbers for bool", "test_answers_for_every_row")
def _(call, a, plugin):
    return np.array(call(**a)).astype(np.int64)


@outlier(
    "limits",
    "at most one in twenty",
    "test_many_outliers_do_not_hide_each_other",
    "test_small_groups_have_outliers_too",
)
def _(call, a, plugin):
    flags = np.array(call(**a))
    flags[np.flatnonzero(flags)[max(len(flags) // 20, 1) :]] = False
    return flags


# ---- error models


def error_model(kind: str, title: str, hook: str, *checks: str, missed: str = "") -> Any:
    """A fault of a hook of an error model."""

    def register(change: Any) -> Any:
        fault(ErrorModel, kind, f"error model: {title}", *checks, missed=missed)(
            lambda good: changed(good, hook, change)
        )
        return change

    return register


def with_observations(call: Call, a: dict[str, Any], **columns: Any) -> Any:
    """The fit to changed observations."""
    return call(**{**a, "observations": replace(a["observations"], **columns)})


@error_model(
    "units",
    "scale factor not divided out of the variance",
    "fit_error_model",
    "test_scatter_is_explained_whatever_the_scales_and_multiplicities",
)
def _(call, a, plugin):
    o = a["observations"]
    return with_observations(call, a, intensity=o.intensity / o.scale, scale=np.ones_like(o.scale))


@error_model(
    "units", "standard deviations for variances", "corrected_variance", "test_scatter_of_equivalents_is_explained"
)
def _(call, a, plugin):
    return np.sqrt(call(**a))


@error_model(
    "several",
    "equal multiplicity for granted",
    "fit_error_model",
    "test_scatter_is_explained_whatever_the_scales_and_multiplicities",
)
def _(call, a, plugin):
    o = a["observations"]
    m = len(o.offsets) - 1
    return with_observations(call, a, offsets=np.linspace(0, len(o.intensity), m + 1).astype(np.int64))


@error_model(
    "hardly any", "reflections measured once break it", "fit_error_model", "test_reflections_measured_once_tell_nothing"
)
def _(call, a, plugin):
    n = np.diff(a["observations"].offsets)
    if len(n) and (n == 1).all():
        return ErrorModelFit("BasicErrorModel", (float("nan"), 0.0))
    return call(**a)


@error_model(
    "mutation", "variance multiplied in place", "corrected_variance", "test_scatter_of_equivalents_is_explained"
)
def _(call, a, plugin):
    a["variance"][:] *= 1.01
    return call(**a)


@error_model(
    "negative",
    "negative intensities lower the variance",
    "corrected_variance",
    "test_variances_grow_with_what_they_are_made_of",
)
def _(call, a, plugin):
    return np.maximum(call(**a) + 1e-4 * np.minimum(a["expected"], 0.0), 1e-9)


@error_model("bias", "observed for expected intensities", "corrected_variance", "test_weights_do_not_follow_the_noise")
def _(call, a, plugin):
    return call(**{**a, "expected": a["intensity"]})


@error_model("bias", "fit stops at the default", "fit_error_model", "test_scatter_of_equivalents_is_explained")
def _(call, a, plugin):
    return plugin.default_error_model()


@error_model(
    "state",
    "variances need the instance that fitted",
    "corrected_variance",
    "test_a_fit_is_all_that_variances_depend_on",
)
def _(call, a, plugin):
    plugin.calls = getattr(plugin, "calls", 0) + 1
    return call(**a) * (1 + 1e-6 * id(plugin) % 1)


@error_model("state", "begins with the last fit", "fit_error_model", "test_each_call_is_a_new_beginning")
def _(call, a, plugin):
    found = call(**a)
    last, plugin.last = getattr(plugin, "last", found.parameters[0]), found.parameters[0]
    return replace(found, parameters=(0.5 * (last + found.parameters[0]), *found.parameters[1:]))


@error_model("order", "only the first groups are looked at", "fit_error_model", "test_order_of_groups_does_not_matter")
def _(call, a, plugin):
    o = a["observations"]
    m = max(1, (len(o.offsets) - 1) // 4)
    e = o.offsets[m] if len(o.offsets) > m else 0
    few = {n: getattr(o, n)[:e] for n in ("intensity", "variance", "scale", "counting", "partiality")}
    return with_observations(call, a, **few, offsets=o.offsets[: m + 1])


@error_model("limits", "infinite for rows of no variance", "corrected_variance", "test_rows_may_be_measured_very_badly")
def _(call, a, plugin):
    with np.errstate(divide="ignore"):
        return call(**a) + 0.0 / np.where(a["variance"] == 0, np.nan, 1.0)
