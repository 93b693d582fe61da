"""Profiles: how well fitted ones agree with what was seen, and how wide they are."""

from __future__ import annotations

from typing import Any

import numpy as np

from spindle.report import Section, Table
from spindle.table import Flag, ReflectionTable, Shoeboxes
from spindle_lib_pages.figures import heat_map, histogram, lines, resolution_ticks

from .bins import means, shells_of, spread, thin
from .given import Given, sampled
from .images import MOST_CURVES, MOST_POINTS, ByImage
from .places import Maps, MapSettings, positions
from .signal import resolution_column

__all__ = ["profile_section"]

N_SHELLS = 20
SHAPES = 200  # spots whose mean shape is drawn
_NEEDED = (
    "flags", "id", "imageset_id", "panel", "miller_index", "d", "xyzcal.px", "xyzobs.px.value", "profile.correlation",
    "intensity.prf.value", "intensity.prf.variance",
)  # fmt: skip


def profile_section(given: Given, settings: MapSettings) -> Section:
    """Profile models, correlations of profiles, and the mean shape of strong spots where tables hold their pixels."""
    title, key = "Profiles", "reference"
    section = Section(title, key)
    _models(section, given)
    _shapes(section, given)
    table = given.first("scaled", "integrated")
    if table is not None and "profile.correlation" in table and "flags" in table:
        table = table.without(*[n for n in table if n not in _NEEDED])
        fitted = table.has_flags(Flag.INTEGRATED_PRF)
        if fitted.any():
            _correlations(section, given, table, fitted, settings)
        else:
            section.text.append("No reflection was integrated by profile fitting.")
    elif not section.tables and not section.figures and not section.text:
        return Section.missing(
            title, key, "There are neither profile models in the experiments, nor correlations of profiles (column profile.correlation), nor "
            "pixels of spots in the reflections; spindle integrate makes profiles.",
        )  # fmt: skip
    else:
        section.text.append("Correlations of profiles need integrated reflections.")
    return section


def _models(section: Section, given: Given) -> None:
    """Widths of the profile models."""
    rows: list[list[Any]] = []
    curves: list[Any] = []
    for i, experiment in enumerate(given.experiments):
        profile = experiment.profile
        if not profile:
            continue
        try:
            widths = [
                np.ravel(np.asarray(profile.get(n) if profile.get(n) is not None else [], np.float64))
                for n in ("sigma_b", "sigma_m")
            ]
        except (TypeError, ValueError):
            section.text.append(f"The profile model of experiment {i} has widths that are no numbers; it is left out.")
            continue
        if not any(len(w) for w in widths):
            continue
        if len(rows) < 60:
            shown = [round(float(w.mean()), 4) if len(w) else None for w in widths]
            rows.append([i, str(profile.get("__id__", "--")), *shown])
        for name, w in zip(("beam divergence", "mosaicity"), widths, strict=True):
            if len(w) > 1 and len(curves) < MOST_CURVES:
                keep = thin(len(w), MOST_POINTS)
                curves.append((name if len(given.experiments) == 1 else f"{name}, experiment {i}", keep + 1, w[keep]))
    if rows:
        headers = ["Experiment", "Model", "Beam divergence sigma_b (deg)", "Mosaicity sigma_m (deg)"]
        section.tables.append(Table("Profile models (means along the scan)", headers, rows, "profile_models"))
    if curves:
        section.figures["profile_widths"] = lines(
            "Widths of profiles along the scan", "image", "deg", curves, yaxis={"rangemode": "tozero"}
        )


def _correlations(
    section: Section, given: Given, table: ReflectionTable, fitted: np.ndarray, settings: MapSettings
) -> None:
    n_fitted = int(fitted.sum())
    table, step = sampled(table, fitted)
    cc = np.asarray(table["profile.correlation"], np.float64)
    reference = table.has_flags(Flag.REFERENCE_SPOT)
    section.values |= {
        "n_fitted": n_fitted, "n_in_figures": len(table), "n_reference": step * int(reference.sum()), "mean_correlation": round(float(np.nanmean(cc)), 4),
        "mean_correlation_reference": round(float(np.nanmean(cc[reference])), 4) if reference.any() else None,
    }  # fmt: skip
    section.text.append(
        f"{n_fitted} reflections were fitted, {step * int(reference.sum())} of them were reference spots. Correlations of observed and fitted "
        "profiles are near 1 where spots are strong and fall to 0 for weak ones; a dip by image or position is a fault."
    )
    images = ByImage(given.experiments, table)
    if images.groups:
        curves = images.mean_curves(cc, name="all")
        if reference.any():
            curves += images.mean_curves(cc, reference, "reference spots")
        section.figures["reflection_correlations_vs_z"] = lines(
            f"Profile correlation {images.along}", images.axis, "mean correlation", curves
        )
    d = resolution_column(given, table)
    if d is not None:
        shell, middle = shells_of(d, N_SHELLS)
        found = [("all", middle, means(shell, cc, N_SHELLS)[1])]
        if reference.any():
            found.append(("reference spots", middle, means(np.where(reference, shell, -1), cc, N_SHELLS)[1]))
        section.figures["reflection_cc_vs_resolution"] = lines(
            "Profile correlation by resolution", "", "mean correlation", found, xaxis=resolution_ticks(middle)
        )
    section.figures["reflection_correlations_histogram"] = histogram(
        "Profile correlations", "correlation", cc[np.abs(cc) <= 1], 40
    )
    if "intensity.prf.variance" in table:
        value, variance = table["intensity.prf.value"], table["intensity.prf.variance"]
        with np.errstate(invalid="ignore", divide="ignore"):
            logs = np.log10(value / np.sqrt(variance))
        place = spread(-1.0, 3.0, logs, 40)
        found_ = means(place, cc, 40)[1]
        section.figures["reflection_correlations_vs_ios"] = lines(
            "Profile correlation by signal",
            "log10 I/sigma",
            "mean correlation",
            [("", -1 + (np.arange(40) + 0.5) / 10, found_)],
        )
    name = "xyzcal.px" if "xyzcal.px" in table else "xyzobs.px.value"
    if name in table:
        maps = Maps(given.experiments, *positions(table, name), settings)
        section.figures["reflection_correlations_xy"] = maps.means(
            "Profile correlation on the detector", cc, None, "mean correlation", low=0.0, high=1.0
        )
        if reference.any():
            section.figures["n_reference_profiles_vs_xy"] = maps.counts("Reference spots on the detector", reference)


def _shapes(section: Section, given: Given) -> None:
    """Mean shape of the strongest spots, seen along each axis."""
    for stage in ("integrated", "refined", "indexed", "strong", "scaled"):
        table = given.tables.get(stage)
        if table is None or not len(table) or "shoebox" not in table or "intensity.sum.value" not in table:
            continue
        value = np.asarray(table["intensity.sum.value"])
        order = np.argsort(np.where(np.isfinite(value), value, -np.inf), kind="stable")[::-1]
        rows = np.sort(
            order[len(order) // 50 : len(order) // 50 + SHAPES]
        )  # not the very strongest, which may be overloads
        mean = _mean_shape(table.select(rows)["shoebox"]) if len(rows) else None
        if mean is None:
            continue
        for title, axis, x_title, y_title, key in (
            ("Mean spot on the detector", 0, "x (px)", "y (px)", "mean_spot_xy"),
            ("Mean spot along the scan", 1, "x (px)", "image", "mean_spot_xz"),
        ):
            z = mean.sum(axis=axis)
            axes = [np.arange(n) - (n - 1) // 2 for n in (z.shape[1], z.shape[0])]
            if min(z.shape) < 2:
                continue
            figure = heat_map(title, x_title, y_title, z / z.sum(), *axes)
            figure["data"][0]["colorbar"] = {"title": {"text": "part of the counts", "side": "right"}, "thickness": 14}
            section.figures[key] = figure
        return


def _mean_shape(boxes: Shoeboxes) -> np.ndarray | None:
    """(2z+1, 2y+1, 2x+1) float64: counts above the level of the edge, about the centre of mass of each spot, summed."""
    half = (4, 7, 7)
    total = np.zeros([2 * h + 1 for h in half])
    for k in range(len(boxes)):
        data = np.asarray(boxes.pixels(k)[0], np.float64)
        if not data.size:
            continue
        edge = np.median(data)
        above = np.clip(data - edge, 0.0, None)
        if not above.sum() > 0:
            continue
        centre = [
            round(float((above.sum(axis=tuple(j for j in range(3) if j != i)) * np.arange(n)).sum() / above.sum()))
            for i, n in enumerate(data.shape)
        ]
        cut, into = [], []
        for c, n, h in zip(centre, data.shape, half, strict=True):
            low, high = max(0, c - h), min(n, c + h + 1)
            cut.append(slice(low, high))
            into.append(slice(low - c + h, high - c + h))
        total[tuple(into)] += above[tuple(cut)] / above.sum()
    return total if total.any() else None
