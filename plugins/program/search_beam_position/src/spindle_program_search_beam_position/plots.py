"""Plots of what was searched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from spindle.contracts.beam_position import ScoreMap

from .by_images import ImageCentre

_WIDTH, _HEIGHT = 900, 700


def score_figure(title: str, score_map: ScoreMap, shift: np.ndarray) -> Any:
    """Figure of the scores of a grid of shifts, with the one that was chosen."""
    import plotly.graph_objects as go

    x, y = score_map.axes @ shift
    figure = go.Figure(
        go.Heatmap(
            x=score_map.offsets.tolist(), y=score_map.offsets.tolist(), z=score_map.scores.T.tolist(),
            colorscale="Viridis", colorbar={"title": "score"},
        )
    )  # fmt: skip
    figure.add_trace(
        go.Scatter(
            x=[float(x)], y=[float(y)], mode="markers", name="found",
            marker={"symbol": "cross-thin", "size": 16, "line": {"width": 3, "color": "red"}},
        )
    )  # fmt: skip
    figure.update_layout(
        title=title, width=_WIDTH, height=_HEIGHT, xaxis_title="shift along the first axis (mm)",
        yaxis={"title": "shift along the second axis (mm)", "scaleanchor": "x"},
    )  # fmt: skip
    return figure


def profile_figure(centre: ImageCentre) -> Any:
    """Figure of what was looked at along both axes of a panel, with the centres."""
    from plotly.subplots import make_subplots

    figure = make_subplots(rows=2, cols=1, subplot_titles=("fast (x)", "slow (y)"))
    for row, axis in enumerate(centre.axes, 1):
        positions = (np.arange(len(axis.profile)) + 0.5).tolist()
        values = [None if v != v else float(v) for v in axis.profile]
        figure.add_scatter(x=positions, y=values, mode="lines", showlegend=False, row=row, col=1)
        figure.add_vline(x=axis.position, line_color="red", row=row, col=1)  # type: ignore[arg-type]
        figure.update_xaxes(title_text="pixel", row=row, col=1)
    figure.update_layout(title=f"Panel {centre.panel}: {centre.n_images} images", width=_WIDTH, height=_HEIGHT)
    return figure


def write_page(path: Path, figures: list[Any]) -> None:
    """Write figures to one self-contained page."""
    import plotly.io as pio

    parts = [
        pio.to_html(figure, full_html=False, include_plotlyjs=number == 0) for number, figure in enumerate(figures)
    ]
    title = "Search for the beam position"
    path.write_text(
        f"<!DOCTYPE html><html><head><meta charset='utf-8'><title>{title}</title></head><body><h1>{title}</h1>"
        + "".join(parts)
        + "</body></html>\n"
    )
