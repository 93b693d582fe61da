"""Intensities over their errors: by position, image and resolution; partiality and background."""

from __future__ import annotations

from typing import Any

import numpy as np

from spindle.report import Section, Table
from spindle.table import INTEGRATED, Flag, ReflectionTable
from spindle_lib_merging import resolution_of
from spindle_lib_pages.figures import heat_map, histogram, lines, resolution_ticks

from .bins import counts_2d, means, shells_of, spread
from .given import Given, sampled
from .images import ByImage
from .places import Maps, MapSettings, positions

__all__ = ["resolution_column", "signal_section"]

N_SHELLS = 20
KINDS = (("sum", "summation"), ("prf", "profile fitting"))
_NEEDED = (
    "flags", "id", "imageset_id", "panel", "miller_index", "d", "xyzcal.px", "xyzobs.px.value", "partiality", "qe", "background.mean",
    *(f"intensity.{kind}.{what}" for kind in ("sum", "prf") for what in ("value", "variance")),
)  # fmt: skip


def resolution_column(given: Given, table: ReflectionTable) -> np.ndarray | None:
    """Resolution (n,) in angstrom of indexed rows, from the column `d`, else from the crystals; None where neither is there."""
    if "d" in table and np.any(table["d"] > 0):
        return np.asarray(table["d"])
    if "miller_index" not in table:
        return None
    d = np.zeros(len(table))
    for i, rows in table.rows_by_experiment().items():
        crystal = given.experiments[i].crystal if i < len(given.experiments) else None
        if crystal is not None:
            d[rows] = resolution_of(table.peek("miller_index", rows), crystal.cell)
    return np.where(np.isfinite(d), d, 0.0) if d.any() else None


def signal_section(given: Given, settings: MapSettings) -> Section:
    """Signal of integrated reflections."""
    title, key = "Integrated intensities", "intensity"
    table = given.first("scaled", "integrated")
    if table is None:
        return Section.missing(title, key, "No integrated reflections were given; spindle integrate measures them.")
    if "intensity.sum.value" not in table or "intensity.sum.variance" not in table:
        return Section.missing(title, key, "The reflections have no summed intensities (column intensity.sum.value).")
    table = table.without(*[n for n in table if n not in _NEEDED])
    measured = table.peek("intensity.sum.variance") > 0
    if "flags" in table:
        measured &= table.has_flags(INTEGRATED, all=False)
    if not measured.any():
        return Section.missing(
            title, key, "No reflection was measured: none has a positive variance and a flag of integration."
        )
    n_measured = int(measured.sum())
    table, step = sampled(table, measured)
    ratios: list[tuple[str, str, np.ndarray]] = []
    for kind, name in KINDS:
        if f"intensity.{kind}.value" in table and f"intensity.{kind}.variance" in table:
            value, variance = table[f"intensity.{kind}.value"], table[f"intensity.{kind}.variance"]
            good = variance > 0
            if "flags" in table:
                good &= table.has_flags(Flag.INTEGRATED_SUM if kind == "sum" else Flag.INTEGRATED_PRF)
            with np.errstate(invalid="ignore", divide="ignore"):
                ratio = np.where(good, value / np.sqrt(np.where(good, variance, 1.0)), np.nan)
            if good.any():
                ratios.append((kind, name, ratio))
    section = Section(title, key)
    images = ByImage(given.experiments, table)
    parts = [f"{int(np.isfinite(r).sum())} by {name}" for _, name, r in ratios]
    section.text.append(
        f"{n_measured} reflections were integrated"
        + (f", {' and '.join(parts)}." if step == 1 else f"; every {step}th is in the figures.")
    )
    section.values |= {
        "n_integrated": n_measured,
        "n_in_figures": len(table),
        **{f"n_{kind}_in_figures": int(np.isfinite(r).sum()) for kind, _, r in ratios},
    }
    if ratios:
        section.values["mean_i_over_sigma"] = {k: round(float(np.nanmean(r)), 3) for k, _, r in ratios}
    _curves(section, given, table, ratios, images, step)
    _on_detector(section, given, table, ratios, settings)
    _distributions(section, given, table, ratios)
    return section


def _curves(
    section: Section, given: Given, table: ReflectionTable, ratios: list[Any], images: ByImage, step: int
) -> None:
    by_image: list[Any] = []
    for _, name, ratio in ratios:
        by_image += images.mean_curves(ratio, name=name)
    if images.groups:
        section.figures["i_over_sigma_vs_image"] = lines(
            f"Signal {images.along}", images.axis, "mean I/sigma", by_image, yaxis={"rangemode": "tozero"}
        )
        section.figures["reflections_per_image"] = lines(
            f"Reflections on each {images.axis}" + (f" (every {step}th)" if step > 1 else ""),
            images.axis,
            "number",
            images.count_curves(),
            yaxis={"rangemode": "tozero"},
        )
        if "background.mean" in table:
            section.figures["background_per_image"] = lines(
                f"Background {images.along}", images.axis, "counts per pixel", images.mean_curves(np.asarray(table["background.mean"], np.float64)),
                yaxis={"rangemode": "tozero"},
            )  # fmt: skip
    d = resolution_column(given, table)
    if d is None:
        section.text.append("Nothing is shown against resolution: it needs a column d, or experiments with crystals.")
        return
    shell, middle = shells_of(d, N_SHELLS)
    ticks = resolution_ticks(middle)
    curves = [(name, middle, means(shell, r, N_SHELLS)[1]) for _, name, r in ratios]
    section.figures["i_over_sigma_vs_resolution"] = lines(
        "Signal by resolution", "", "mean I/sigma", curves, xaxis=ticks
    )
    counts = means(shell, d, N_SHELLS)[0]
    rows = [
        [f"{x**-0.5:.2f}", int(n), *(round(float(c[2][k]), 2) for c in curves)]
        for k, (x, n) in enumerate(zip(middle, counts, strict=True))
        if n
    ]
    section.tables.append(
        Table("Signal of single reflections by resolution", ["d (A)", "Reflections", *(f"I/sigma, {n}" for _, n, _ in ratios)], rows,
              "signal_by_resolution")
    )  # fmt: skip
    if "background.mean" in table:
        found = means(shell, np.asarray(table["background.mean"], np.float64), N_SHELLS)[1]
        section.figures["background_vs_resolution"] = lines(
            "Background by resolution",
            "",
            "counts per pixel",
            [("", middle, found)],
            xaxis=ticks,
            yaxis={"rangemode": "tozero"},
        )


def _on_detector(
    section: Section, given: Given, table: ReflectionTable, ratios: list[Any], settings: MapSettings
) -> None:
    name = next((n for n in ("xyzcal.px", "xyzobs.px.value") if n in table), None)
    if name is None:
        return
    panel, xy = positions(table, name)
    maps = Maps(given.experiments, panel, xy, settings)
    if maps.is_overlaid:
        section.text.append("Without experiments all panels of the detector lie on top of each other in the maps.")
    for kind, said, ratio in ratios:
        section.figures[f"i_over_sigma_{kind}_vs_xy"] = maps.means(
            f"Signal on the detector, {said}", ratio, np.isfinite(ratio), "mean I/sigma"
        )
    if "qe" in table:
        efficiency = np.asarray(table["qe"], np.float64)
        if np.ptp(efficiency) > 1e-3:
            section.figures["qe_map"] = maps.means("Efficiency of the sensor", efficiency, None, "part of the photons")


def _within_scans(given: Given, table: ReflectionTable, z: np.ndarray) -> np.ndarray:
    """Positions (n,) in the scan of the row's experiment: at its ends for reflections that were measured there, but centred beyond."""
    held = np.array(z, np.float64)
    for i, rows in table.rows_by_experiment().items():
        scan = given.experiments[i].scan if i < len(given.experiments) else None
        if scan is not None and not given.experiments[i].is_still:
            held[rows] = np.clip(held[rows], *scan.array_range)
    return held


def _distributions(section: Section, given: Given, table: ReflectionTable, ratios: list[Any]) -> None:
    for kind, said, ratio in ratios[:1]:
        with np.errstate(invalid="ignore", divide="ignore"):
            logs = np.log10(ratio)
        section.figures["log_i_over_sigma_histogram"] = histogram(
            f"Signal of reflections ({said})", "log10 I/sigma", logs[np.isfinite(logs)]
        )
        if "xyzcal.px" in table:
            z = table.peek("xyzcal.px")[:, 2]
            if np.ptp(z[np.isfinite(z)]) > 2:
                _density(section, f"i_over_sigma_{kind}_vs_z", _within_scans(given, table, z), logs)
    if "partiality" in table:
        partiality = np.asarray(table["partiality"], np.float64)
        partiality = partiality[(partiality > 0) & np.isfinite(partiality)]
        if len(partiality):
            full = float((partiality >= 0.99).mean())
            section.values["fraction_full"] = round(full, 4)
            if full < 1.0:
                section.figures["partiality_histogram"] = histogram(
                    f"Partiality ({100 * full:.0f} % are recorded in full)", "partiality", partiality, 20, yaxis={"type": "log", "dtick": 1}
                )  # fmt: skip


def _density(section: Section, key: str, z: np.ndarray, logs: np.ndarray) -> None:
    """Number of reflections by image and signal."""
    good = np.isfinite(logs) & np.isfinite(z)
    if not good.any():
        return
    low, high = np.percentile(logs[good], [0.2, 99.9])
    first, last = np.floor(z[good].min()), np.ceil(z[good].max())
    nx, ny = int(min(100, max(last - first, 1))), 60
    counts = counts_2d(spread(first, last, z, nx), spread(low, high, logs, ny), nx, ny)
    x = first + (np.arange(nx) + 0.5) * (last - first) / nx
    y = low + (np.arange(ny) + 0.5) * (high - low) / ny
    figure = heat_map("Reflections by image and signal", "image", "log10 I/sigma", counts, x, y)
    figure["data"][0]["colorbar"] = {"title": {"text": "number", "side": "right"}, "thickness": 14}
    section.figures[key] = figure
