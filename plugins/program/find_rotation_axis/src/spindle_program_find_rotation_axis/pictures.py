"""The page with the curve of the scores and the map of directions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .search import SweepSpots, Trace

_WIDTH, _HEIGHT = 900, 480
#: Bins of the map in which neighbours are added up, so that the page stays small.
_REBIN = (4, 2)


def score_figure(trace: Trace, title: str) -> Any:
    """Figure of the score against the azimuth."""
    import plotly.graph_objects as go

    figure = go.Figure(
        go.Scatter(
            x=trace.azimuths.tolist(), y=trace.scores.tolist(), mode="lines+markers", marker={"size": 4}, name="score"
        )
    )
    marks = ((trace.best, "found", "red", "top right"), (trace.start, "before", "grey", "bottom right"))
    for azimuth, name, colour, where in marks:
        figure.add_vline(x=azimuth, line_color=colour, line_dash="dot", annotation_text=name, annotation_position=where)
    figure.update_layout(
        title=f"Sharpness of directions{title}; best at {trace.best:.2f} degrees", width=_WIDTH, height=_HEIGHT,
        xaxis={"title": "azimuth of the axis (degrees)", "range": [-180, 180], "dtick": 30},
        yaxis_title="score (1: no axis)", showlegend=False,
    )  # fmt: skip
    return figure


def direction_figure(sweeps: Sequence[SweepSpots], azimuth: float, title: str) -> Any:
    """Figure of the directions of differences for one azimuth, on a cylinder about the axis."""
    import plotly.graph_objects as go

    counts = np.sum([sweep.directions(azimuth) for sweep in sweeps], axis=0)
    n, m = counts.shape
    coarse = counts.reshape(n // _REBIN[0], _REBIN[0], m // _REBIN[1], _REBIN[1]).sum(axis=(1, 3))
    bright = float(np.quantile(coarse[coarse > 0], 0.995)) if (coarse > 0).any() else 1.0
    figure = go.Figure(
        go.Heatmap(
            z=coarse.T.tolist(), x0=-180 + 180 / coarse.shape[0], dx=360 / coarse.shape[0], y0=0.5 / coarse.shape[1],
            dy=1 / coarse.shape[1], zmin=0, zmax=bright, colorscale="Viridis", colorbar={"title": "pairs"},
        )
    )  # fmt: skip
    figure.update_layout(
        title=f"Directions of differences between spots{title}, axis at {azimuth:.2f} degrees: points and arcs where it is right, a haze "
        "where it is wrong",
        width=_WIDTH, height=_HEIGHT, xaxis_title="angle about the axis (degrees)",
        yaxis_title="cosine of the angle to the axis",
    )  # fmt: skip
    figure.update_layout(title_font_size=13)
    return figure


def write_page(path: Path, figures: list[Any]) -> None:
    """Write figures to one self-contained page."""
    import plotly.io as pio

    parts = [
        pio.to_html(figure, full_html=False, include_plotlyjs=number == 0) for number, figure in enumerate(figures)
    ]
    title = "Search for the rotation axis"
    path.write_text(
        f"<!DOCTYPE html><html><head><meta charset='utf-8'><title>{title}</title></head><body><h1>{title}</h1>"
        + "".join(parts)
        + "</body></html>\n"
    )
