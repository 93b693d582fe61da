"""Faults of outlier rejection."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..test_outlier import TestTukey as Outlier
from . import changed, fault

Call = Any


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
