"""Faults of backgrounds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from spindle.contracts.background import usable_pixels
from spindle.table import MaskCode

from ..test_background import TestSimpleConstant3d as Background
from . import changed, fault

Call = Any


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
