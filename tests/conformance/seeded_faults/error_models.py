"""Faults of error models."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from spindle.contracts.error_model import ErrorModelFit

from ..test_error_model import TestBasicIndividual as ErrorModel
from . import changed, fault

Call = Any


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


@error_model(
    "bias",
    "counts that variances hold make room in the background",
    "fit_error_model",
    "test_variances_that_hold_all_counts_are_believed",
)
def _(call, a, plugin):
    found = call(**a)
    if not a["observations"].counted:
        return found
    return replace(found, parameters=(0.5 * found.parameters[0], *found.parameters[1:]), details={"c": 3.0})
