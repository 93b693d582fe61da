"""The profiles as JSON and as a picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spindle.report import json_text

from .analysis import KINDS, Profile

__all__ = ["described", "json_writer", "plot_writer"]

Writer = Callable[[Path], None]


def described(profiles: Sequence[Profile]) -> dict[str, Any]:
    """What the JSON file holds of a scan: bars, as plotly draws them, and blank regions (half-open array indices)."""
    titles = {key: title for key, _, title in KINDS}
    return {
        p.kind: {
            "data": [
                {
                    "x": ((p.edges[1:] + p.edges[:-1]) / 2).tolist(),
                    "y": p.values.tolist() if p.kind == "integrated" else p.values.astype(int).tolist(),
                    "xlow": p.edges[:-1].tolist(), "xhigh": p.edges[1:].tolist(), "blank": p.blank.tolist(), "type": "bar",
                    "name": "blank_counts_analysis",
                }
            ],
            "layout": {"xaxis": {"title": "z observed (images)"}, "yaxis": {"title": titles[p.kind]}, "bargap": 0},
            "blank_regions": [list(region) for region in p.regions],
        }
        for p in profiles
    }  # fmt: skip


def json_writer(content: Any) -> Writer:
    """Writer of a JSON file."""

    def write(target: Path) -> None:
        target.write_text(json_text(content) + "\n", encoding="utf-8")

    return write


def plot_writer(scans: Sequence[tuple[str, Sequence[Profile]]]) -> Writer:
    """Writer of a picture: a row for each scan, a column for each kind of reflections; blank images in red."""

    def write(target: Path) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        columns = [key for key, _, _ in KINDS if any(p.kind == key for _, found in scans for p in found)]
        size = (4.6 * len(columns), min(2.9 * len(scans), 60.0))
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasAgg(figure)
        grid = figure.subplots(len(scans), len(columns), squeeze=False)
        for row, (title, found) in zip(grid, scans, strict=True):
            for axes, key in zip(row, columns, strict=True):
                profile = next((p for p in found if p.kind == key), None)
                if profile is None:
                    axes.set_axis_off()
                    continue
                colours = np.where(profile.blank, "#d55e00", "#0072b2")
                axes.bar(profile.edges[:-1] + 0.5, profile.values, np.diff(profile.edges), align="edge", color=colours)
                axes.set_title(f"{title}{key}", fontsize=10)
                axes.set_xlabel("image")
                axes.set_ylabel({k: t for k, _, t in KINDS}[key])
                axes.margins(x=0)
                for side in ("top", "right"):
                    axes.spines[side].set_visible(False)
                for low, high in profile.regions:  # bars of blank images may have no height
                    axes.axvspan(low + 0.5, high + 0.5, color="#d55e00", alpha=0.15, linewidth=0)
        figure.savefig(target, format="png", dpi=110)

    return write
