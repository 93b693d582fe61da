"""The report of a scaling run: a page with the tables and plots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from spindle.report import Table
from spindle.table import Flag, ReflectionTable
from spindle_lib_merging import MergingStatistics
from spindle_lib_pages import Page
from spindle_lib_pages.figures import lines, resolution_ticks
from spindle_lib_twinning.diagnosis import Diagnosis

from .course import Scaled

MOST_POINTS = 2000


def report_data(scaled: Scaled, statistics: MergingStatistics, diagnosis: Diagnosis) -> dict[str, Any]:
    """Plain values of all plots."""
    scaler, table, experiments = scaled.scaler, scaled.table, scaled.experiments
    sets = []
    good, rows_of = table.has_flags(Flag.SCALED), table.rows_by_experiment()
    z = table.peek("xyzcal.px")[:, 2].copy()
    for k, experiment in enumerate(experiments):
        model = experiment.scaling_model or {}
        rows = rows_of.get(k, np.zeros(0, np.int64))
        rows = rows[good[rows]]
        sets.append(
            {
                "terms": {n: v["parameters"] for n, v in model.items() if isinstance(v, dict) and "parameters" in v},
                "configuration": model.get("configuration_parameters", {}),
                "per_image": _per_image(table, z, rows),
            }
        )
    return {
        "merging_statistics": statistics.as_dict(),
        "datasets": sets,
        "error_models": [{"parameters": list(e.parameters), **e.details} for e in scaler.errors],
        "n_outliers": int(scaler.obs.outlier.sum()),
        "intensity_statistics": diagnosis.as_dict(),
        "image_scales": [
            {
                "dataset": s.number,
                "image": s.image.tolist(),
                "relative_to_neighbours": (s.scale / s.neighbours).tolist(),
                "odd": s.image[s.odd].tolist(),
            }
            for s in scaled.image_scales
        ],
    }


def _per_image(table: ReflectionTable, place: np.ndarray, rows: np.ndarray) -> dict[str, list[float]]:
    """Mean scale factor, I / sigma and number of observations per image, from the array index of each row."""
    z = np.floor(place[rows]).astype(np.int64)
    if len(z) == 0:
        return {}
    first = int(z.min())
    n = np.bincount(z - first)
    used = np.flatnonzero(n)
    g = np.bincount(z - first, table["inverse_scale_factor"][rows])[used] / n[used]
    ratio = table["intensity.scale.value"][rows] / np.sqrt(table["intensity.scale.variance"][rows])
    signal = np.bincount(z - first, ratio)[used] / n[used]
    return {
        "image": (used + first + 1).tolist(), "scale": g.tolist(), "i_over_sigma": signal.tolist(),
        "n": n[used].tolist()
    }  # fmt: skip


def html_report(data: dict[str, Any], tables: Sequence[Table], diagnosis: Diagnosis) -> str:
    """A self-contained page with the tables and plots."""
    shells = data["merging_statistics"]["shells"]
    x = [0.5 * (s["d_max"] ** -2 + s["d_min"] ** -2) for s in shells]
    ticks = resolution_ticks(x)

    def by_shell(title: str, y_title: str, keys: Sequence[tuple[str, str]]) -> dict[str, Any]:
        return lines(title, "", y_title, [(name, x, [s[key] for s in shells]) for name, key in keys], xaxis=ticks)

    page = Page("Scaling")
    page.section("Statistics")
    page.tables(tables)
    page.section("By resolution")
    page.plot(by_shell("CC1/2", "CC1/2", [("", "cc_half")]))
    page.plot(by_shell("Signal", "I/sigma of merged intensities", [("", "i_over_sigma")]))
    page.plot(by_shell("R factors", "R", [("Rmerge", "r_merge"), ("Rmeas", "r_meas"), ("Rpim", "r_pim")]))
    page.plot(by_shell("Completeness", "fraction", [("", "completeness")]))
    page.section("Along the scans")
    images = [(f"data set {k}", s["per_image"]) for k, s in enumerate(data["datasets"]) if s["per_image"]]
    for heading, y_title, key in (
        ("Scale factors", "mean inverse scale factor", "scale"), ("Signal", "mean I/sigma", "i_over_sigma"),
    ):  # fmt: skip
        page.plot(lines(heading, "image", y_title, [(n, p["image"], p[key]) for n, p in images]))
    curves: list[Any] = [
        (f"data set {s['dataset']}", s["image"], s["relative_to_neighbours"]) for s in data["image_scales"]
    ]
    page.plot(lines("Scale of each image relative to its neighbours", "image", "ratio", curves))
    for k, s in enumerate(data["datasets"]):
        along = s["configuration"].get("decay_rot_interval") is not None  # else it is one number, or a grid
        if "decay" in s["terms"] and along:
            values = s["terms"]["decay"]
            curve = ("", list(range(len(values))), values)
            page.plot(lines(f"Decay of data set {k}", "sample along the scan", "relative B (A^2)", [curve]))
    page.section("Errors")
    for k, model in enumerate(data["error_models"]):
        if model.get("deviations"):
            values = model["deviations"]
            curves = [("observed", _normal_quantiles(len(values)), values), ("ideal", [-4, 4], [-4, 4])]
            title = f"Normal probability plot of error model {k}"
            page.plot(lines(title, "expected", "normalised deviation", curves))
    if diagnosis.n:
        page.section("Twinning and pseudo-translation")
        for sentence in diagnosis.warnings():
            page.text(sentence, "doubtful")
        page.plots(lines(*curves) for curves in diagnosis.curves())
    return page.html()


def _normal_quantiles(n: int) -> list[float]:
    from scipy.special import ndtri

    return [float(v) for v in ndtri((np.arange(n) + 0.5) / n)]
