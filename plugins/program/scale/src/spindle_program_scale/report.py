"""The report of a scaling run: a page with the tables and plots."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from spindle.models import Experiments
from spindle.report import Table
from spindle.table import Flag, ReflectionTable
from spindle_lib_merging import MergingStatistics

from .rounds import Scaler

MOST_POINTS = 2000


def report_data(
    scaler: Scaler, statistics: MergingStatistics, table: ReflectionTable, experiments: Experiments
) -> dict[str, Any]:
    """Plain values of all plots."""
    sets = []
    scaled, rows_of = table.has_flags(Flag.SCALED), table.rows_by_experiment()
    z = table.peek("xyzcal.px")[:, 2].copy()
    for k, experiment in enumerate(experiments):
        model = experiment.scaling_model or {}
        rows = rows_of.get(k, np.zeros(0, np.int64))
        rows = rows[scaled[rows]]
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


def html_report(data: dict[str, Any], tables: Sequence[Table]) -> str:
    """A self-contained page; plotly draws the plots."""
    shells = data["merging_statistics"]["shells"]
    x = [0.5 * (s["d_max"] ** -2 + s["d_min"] ** -2) for s in shells]
    plots = [
        _plot("CC1/2", "1/d^2 (1/A^2)", "CC1/2", [("CC1/2", x, [s["cc_half"] for s in shells])]),
        _plot("Signal", "1/d^2 "
                        "(1/A^2)", "I/sigma of merged intensities", [("", x, [s["i_over_sigma"] for s in shells])]),
        _plot(
            "R factors", "1/d^2 (1/A^2)", "R",
            [(n, x, [s[k] for s in shells]) for n, k in (("Rmerge", "r_merge"), ("Rmeas", "r_meas"), ("Rpim",
            "r_pim"))],
        ),
        _plot("Completeness", "1/d^2 (1/A^2)", "fraction", [("", x, [s["completeness"] for s in shells])]),
    ]  # fmt: skip
    images = [(f"data set {k}", s["per_image"]) for k, s in enumerate(data["datasets"]) if s["per_image"]]
    plots.append(
        _plot("Scale factors", "image", "mean inverse scale factor", [(n, p["image"], p["scale"]) for n, p in images])
    )
    plots.append(
        _plot("Signal along the scan", "image", "mean I/sigma", [(n, p["image"], p["i_over_sigma"]) for n, p in images])
    )
    for k, s in enumerate(data["datasets"]):
        if "decay" in s["terms"]:
            values = s["terms"]["decay"]
            plots.append(
                _plot(
                    f"Decay of data set {k}",
                    "sample along the scan",
                    "relative B (A^2)",
                    [("", list(range(len(values))), values)],
                )
            )
    for k, model in enumerate(data["error_models"]):
        if model.get("deviations"):
            values = model["deviations"]
            expected = _normal_quantiles(len(values))
            plots.append(
                _plot(
                    f"Normal probability plot of error model {k}", "expected", "normalised deviation",
                    [("observed", expected, values), ("ideal", [-4, 4], [-4, 4])],
                )
            )  # fmt: skip
    return _page("Scaling", [str(t) for t in tables], plots)


def _normal_quantiles(n: int) -> list[float]:
    from scipy.special import ndtri

    return [float(v) for v in ndtri((np.arange(n) + 0.5) / n)]


def _plot(
    title: str, x_title: str, y_title: str, curves: Sequence[tuple[str, list[float], list[float]]]
) -> dict[str, Any]:
    return {
        "data": [
            {"x": x, "y": [None if y != y else y for y in ys], "name": name, "mode": "lines+markers", "type": "scatter"}
            for name, x, ys in curves
        ],
        "layout": {
            "title": {"text": title},
            "xaxis": {"title": {"text": x_title}},
            "yaxis": {"title": {"text": y_title}},
        },
    }


def _page(title: str, texts: Sequence[str], plots: Sequence[dict[str, Any]]) -> str:
    from plotly.offline import get_plotlyjs

    body = "".join(f"<pre>{html.escape(t)}</pre>" for t in texts)
    divisions = "".join(f'<div id="p{i}" class="plot"></div>' for i in range(len(plots)))
    calls = "".join(
        f"Plotly.newPlot('p{i}',{json.dumps(p['data'])},{json.dumps(p['layout'])});" for i, p in enumerate(plots)
    )
    return (
        f"<!DOCTYPE html><html><head><meta charset='utf-8'><title>{html.escape(title)}</title>"
        "<style>body{font-family:sans-serif;margin:2em}.plot{width:900px;height:420px}</style>"
        f"<script>{get_plotlyjs()}</script></head><body><h1>{html.escape(title)}</h1>{body}{divisions}"
        f"<script>{calls}</script></body></html>"
    )
