"""Faults of centroids."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from spindle.table import MaskCode

from ..test_centroid import TestSimple as Centroid
from . import changed, fault

Call = Any


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
