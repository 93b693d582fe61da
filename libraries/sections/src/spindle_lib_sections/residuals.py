"""Where reflections are seen against where they were calculated."""

from __future__ import annotations

from typing import Any

import numpy as np

from spindle.models import Experiments
from spindle.report import Section, Table
from spindle.table import Flag, ReflectionTable
from spindle_lib_pages.figures import heat_map, histogram, lines
from spindle_lib_verdict import Facts

from .bins import counts_2d, means, spread
from .given import Given, sampled
from .images import ByImage
from .places import Maps, MapSettings, positions

__all__ = ["residual_rows", "residual_section"]

#: Intensities over sigma from which an integrated reflection tells where it is.
STRONG = 10.0


def residual_section(given: Given, settings: MapSettings) -> Section:
    """Residuals of the positions, from the table of refinement, else of integration."""
    title, key = "Positions: observed against calculated", "centroid"
    candidates = [given.tables[s] for s in ("refined", "indexed", "integrated", "scaled") if s in given.tables]
    table = next((t for t in candidates if len(t) and "xyzobs.px.value" in t and "xyzcal.px" in t), None)
    if table is None:
        return Section.missing(
            title, key,
            "No reflections with observed and calculated positions (columns xyzobs.px.value, xyzcal.px) were given; add refined.refl or "
            "integrated.refl.",
        )  # fmt: skip
    rows = residual_rows(table)
    if not rows.any():
        return Section.missing(title, key, "No reflection was seen well enough where it was calculated.")
    section = Section(title, key)
    n_rows = int(rows.sum())
    chosen, _ = sampled(table.without(*[n for n in table if n not in _NEEDED]), rows)
    difference = np.asarray(chosen["xyzobs.px.value"]) - np.asarray(chosen["xyzcal.px"])
    if len(given.experiments) and all(e.is_still for e in given.experiments):
        difference[:, 2] = 0.0  # the middle of an image is no place along a rotation
    degrees = difference[:, 2] * _widths(given.experiments, chosen)
    is_still = not np.any(difference[:, 2])
    images = ByImage(given.experiments, chosen)
    _overall(section, table, chosen, difference, degrees, n_rows, is_still)
    _by_image(section, chosen, difference, degrees, images, is_still)
    panel, xy = positions(chosen, "xyzcal.px")
    maps = Maps(given.experiments, panel, xy, settings)
    everything = np.ones(len(chosen), bool)
    section.figures["centroid_differences_x"] = maps.differences("Observed less calculated x (px)", difference[:, 0])
    section.figures["centroid_differences_y"] = maps.differences("Observed less calculated y (px)", difference[:, 1])
    section.values["rms_of_map_px"] = [_round(maps.unevenness(difference[:, i], everything)) for i in (0, 1)]
    section.figures["centroid_difference_histogram"] = histogram(
        "Length of the differences", "px" if is_still else "px and images", np.sqrt((difference**2).sum(axis=1)), 60
    )
    _scatter(section, difference, is_still)
    if len(np.unique(panel)) > 1:
        _by_panel(section, panel, difference, degrees, is_still)
    _outliers(section, table, given)
    return section


_NEEDED = ("flags", "id", "imageset_id", "panel", "xyzobs.px.value", "xyzcal.px", "xyzobs.mm.value", "xyzcal.mm")


def residual_rows(table: ReflectionTable) -> np.ndarray:
    """Rows (n,) bool whose residuals tell about the models.

    After integration full reflections that were summed with I / sigma above 10; before it, or without such, those used in refinement; else
    all that are indexed and no outliers.
    """
    n = len(table)
    if "flags" not in table:
        return np.ones(n, bool)
    full = np.ones(n, bool)
    if "partiality" in table:
        found = np.asarray(table["partiality"]) >= 0.99
        full = found if found.any() else full
    summed = table.has_flags(Flag.INTEGRATED_SUM)
    if summed.any() and "intensity.sum.variance" in table:
        value, variance = table["intensity.sum.value"], table["intensity.sum.variance"]
        with np.errstate(invalid="ignore", divide="ignore"):
            strong = full & summed & (variance > 0) & (value > STRONG * np.sqrt(np.maximum(variance, 0)))
        if strong.any():
            return np.asarray(strong)
    used = table.has_flags(Flag.USED_IN_REFINEMENT)
    if used.any():
        return np.asarray(used)
    return np.asarray(table.has_flags(Flag.INDEXED) & ~table.has_flags(Flag.CENTROID_OUTLIER))


def _widths(experiments: Experiments, table: ReflectionTable) -> np.ndarray:
    """Degrees for each image of the scan that each row belongs to, (n,) float64; NaN where that is not known."""
    widths = np.array(
        [abs(e.scan.oscillation_deg[1]) if e.scan is not None else np.nan for e in experiments] + [np.nan]
    )
    number = np.asarray(table["id"])
    return widths[np.where((number >= 0) & (number < len(experiments)), number, -1)]


def _round(value: float, digits: int = 4) -> float | None:
    return round(float(value), digits) if np.isfinite(value) else None


def _rms(values: np.ndarray) -> float:
    values = values[np.isfinite(values)]
    return float(np.sqrt(np.mean(values**2))) if len(values) else float("nan")


def _overall(
    section: Section,
    table: ReflectionTable,
    chosen: ReflectionTable,
    difference: np.ndarray,
    degrees: np.ndarray,
    n_rows: int,
    is_still: bool,
) -> None:
    """Root mean squares of each experiment."""
    rows = []
    own = np.asarray(chosen["id"])
    groups: list[tuple[str, Any]] = [("all", np.ones(len(own), bool))]
    numbers = np.unique(own)
    if 1 < len(numbers) <= 24:
        groups += [(f"experiment {i}", own == i) for i in numbers]
    for name, mine in groups:
        d, phi = difference[mine], degrees[mine]
        rows.append(
            [name, int(mine.sum()), *(_round(v) for v in (d[:, 0].mean(), d[:, 1].mean(), _rms(d[:, 0]), _rms(d[:, 1])))]
            + ([] if is_still else [_round(_rms(d[:, 2])), _round(_rms(phi))])
        )  # fmt: skip
    headers = ["", "Reflections", "mean dx (px)", "mean dy (px)", "RMSD x (px)", "RMSD y (px)"]
    headers += [] if is_still else ["RMSD z (images)", "RMSD phi (deg)"]
    section.tables.append(Table("Observed less calculated positions", headers, rows, "residuals"))
    section.values |= {
        "n_reflections": n_rows, "rmsd_x_px": _round(_rms(difference[:, 0])), "rmsd_y_px": _round(_rms(difference[:, 1])),
    }  # fmt: skip
    if not is_still:
        section.values |= {"rmsd_z_images": _round(_rms(difference[:, 2])), "rmsd_phi_deg": _round(_rms(degrees))}
    worst = [_rms(difference[:, 0]), _rms(difference[:, 1])]
    turn = None if is_still else _rms(difference[:, 2])
    section.values["facts"] = Facts(rmsd_px=max(worst), rmsd_images=turn).as_dict()
    section.text.append(
        f"{n_rows} reflections that were seen well: {_which(table)}. A root mean square below half a pixel and half an image is good; "
        "what follows image or position is a fault of the models."
    )


def _which(table: ReflectionTable) -> str:
    summed = "flags" in table and table.has_flags(Flag.INTEGRATED_SUM).any()
    return f"integrated with I/sigma above {STRONG:.0f}" if summed else "used in refinement, or indexed"


def _by_image(
    section: Section,
    chosen: ReflectionTable,
    difference: np.ndarray,
    degrees: np.ndarray,
    images: ByImage,
    is_still: bool,
) -> None:
    """Means and root mean squares along the scan."""
    if not images.groups:
        return
    named = (("x", 0), ("y", 1))
    mean: list[Any] = []
    spread_: list[Any] = []
    for name, i in named:
        mean += images.mean_curves(difference[:, i], name=name)
        spread_ += images.mean_curves(difference[:, i], name=name, square=True)
    section.figures["centroid_mean_differences_vs_phi"] = lines(
        "Mean of observed less calculated", images.axis, "px", mean
    )
    section.figures["centroid_rmsd_vs_phi"] = lines(
        "Root mean square of observed less calculated", images.axis, "px", spread_, yaxis={"rangemode": "tozero"}
    )
    if not is_still:
        known = np.isfinite(degrees).any()
        values, unit = (degrees, "deg") if known else (difference[:, 2], "images")
        curves = images.mean_curves(values, name="mean") + images.mean_curves(values, name="rms", square=True)
        section.figures["phi_residuals_vs_phi"] = lines(
            "Observed less calculated rotation angle", images.axis, unit, curves
        )
    drift = images.mean_curves(difference[:, 0]) + images.mean_curves(difference[:, 1])
    section.values["largest_mean_along_scan_px"] = _round(
        max((float(np.nanpercentile(np.abs(y), 95)) for _, _, y in drift if np.isfinite(y).any()), default=np.nan)
    )


def _scatter(section: Section, difference: np.ndarray, is_still: bool) -> None:
    """Densities of differences."""
    limit = float(np.percentile(np.abs(difference[:, :2]), 99)) or 1.0
    pairs = [("residuals_xy", 0, 1, "x (px)", "y (px)")]
    if not is_still:
        pairs.append(("residuals_xz", 0, 2, "x (px)", "z (images)"))
    for key, i, j, x_title, y_title in pairs:
        high = limit if j < 2 else float(np.percentile(np.abs(difference[:, 2]), 99)) or 1.0
        n = 50
        z = counts_2d(spread(-limit, limit, difference[:, i], n), spread(-high, high, difference[:, j], n), n, n)
        x, y = (((np.arange(n) + 0.5) * 2 / n - 1) * v for v in (limit, high))
        figure = heat_map("Density of observed less calculated", x_title, y_title, z, x, y)
        figure["data"][0]["colorbar"] = {"title": {"text": "number", "side": "right"}, "thickness": 14}
        section.figures[key] = figure


def _by_panel(section: Section, panel: np.ndarray, difference: np.ndarray, degrees: np.ndarray, is_still: bool) -> None:
    n_panels = int(panel.max()) + 1
    counts, _ = means(panel, difference[:, 0], n_panels)
    columns = [means(panel, difference[:, i], n_panels)[1] for i in (0, 1)]
    columns += [np.sqrt(means(panel, difference[:, i] ** 2, n_panels)[1]) for i in (0, 1)]
    headers = ["Panel", "Reflections", "mean dx (px)", "mean dy (px)", "RMSD x (px)", "RMSD y (px)"]
    if not is_still:
        columns.append(np.sqrt(means(panel, degrees**2, n_panels)[1]))
        headers.append("RMSD phi (deg)")
    rows = [[k, int(counts[k]), *(_round(c[k]) for c in columns)] for k in range(n_panels) if counts[k]]
    section.tables.append(Table("The same by panel", headers, rows, "residuals_by_panel"))


def _outliers(section: Section, table: ReflectionTable, given: Given) -> None:
    """The part of indexed reflections that refinement left out as outliers."""
    if "flags" not in table:
        return
    indexed = table.has_flags(Flag.INDEXED)
    outlier = table.has_flags(Flag.CENTROID_OUTLIER) & indexed
    if not outlier.any():
        return
    part = float(outlier.sum() / indexed.sum())
    section.values |= {"n_outliers": int(outlier.sum()), "fraction_outliers": round(part, 4)}
    section.text.append(
        f"{int(outlier.sum())} of {int(indexed.sum())} indexed reflections, {100 * part:.1f} %, were outliers in refinement."
    )
    light = table.without(*[n for n in table if n not in _NEEDED]).select(indexed)
    images = ByImage(given.experiments, light, observed=True)
    if images.groups:
        curves = [(n, x, 100 * y) for n, x, y in images.mean_curves(outlier[indexed].astype(np.float64))]
        section.figures["outliers_per_image"] = lines(
            "Outliers of refinement", images.axis, "% of the indexed", curves, yaxis={"rangemode": "tozero"}
        )
