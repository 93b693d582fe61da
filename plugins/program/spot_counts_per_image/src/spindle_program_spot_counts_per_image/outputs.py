"""JSON files and plots of the values of all images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from spindle.errors import ParameterError
from spindle.report import json_text

__all__ = ["check_suffix", "json_files", "plot_writer"]

Writer = Callable[[Path], None]

PICTURES = (".png", ".svg", ".pdf")

# Plots from top to bottom: title of the axis, and columns with their names and colours.
PLOTS: tuple[tuple[str, tuple[tuple[str, str, str], ...]], ...] = (
    (
        "number of spots",
        (
            ("n_spots_total", "all", "#e69f00"),
            ("n_spots_no_ice", "no ice", "#0072b2"),
            ("n_spots_4A", "d > 4 Å", "#009e73"),
        ),
    ),
    (
        "resolution limit (Å)",
        (
            ("estimated_d_min", "from I/sigma", "#d55e00"),
            ("d_min_distl_method_1", "distl method 1", "#cc79a7"),
            ("d_min_distl_method_2", "distl method 2", "#56b4e9"),
        ),
    ),
    ("total intensity (counts)", (("total_intensity", "no ice", "#555555"),)),
)


def check_suffix(path: Path) -> None:
    """Raise when plots cannot be written to files of this kind."""
    if path.suffix.lower() not in (".html", *PICTURES):
        raise ParameterError(
            f"plot={path}: plots of the kind {path.suffix or 'without a suffix'!r} cannot be written; choose .html, "
            f"{', '.join(PICTURES)}"
        )


def json_files(path: Path, columns: dict[str, np.ndarray], joint: bool, split: bool) -> dict[str, Writer]:
    """Writers of the JSON files: all columns in one, each in one of its own, or both."""

    def writer(content: object) -> Writer:
        def write(target: Path) -> None:
            target.write_text(json_text(content) + "\n", encoding="utf-8")

        return write

    plain = {name: columns[name].tolist() for name in sorted(columns)}
    files: dict[str, Writer] = {str(path): writer(plain)} if joint else {}
    if split:
        files.update({str(path.with_stem(f"{path.stem}_{name}")): writer(values) for name, values in plain.items()})
    return files


def plot_writer(path: Path, names: list[str], columns: dict[str, np.ndarray]) -> Writer:
    """Writer of a plot, of the kind that the suffix of the path names."""
    shown = [
        (axis, [(columns[name].astype(np.float64), label, colour) for name, label, colour in curves])
        for axis, curves in PLOTS
        if any(np.any(columns[name] > 0) for name, _, _ in curves) or curves[0][0] == "n_spots_total"
    ]
    for axis, curves in shown:
        for values, _, _ in curves:
            if axis.startswith("resolution"):
                values[values <= 0] = np.nan
    draw = _interactive if path.suffix.lower() == ".html" else _picture
    return lambda target: draw(target, path.suffix.lower()[1:], names, shown)


Shown = list[tuple[str, list[tuple[np.ndarray, str, str]]]]


def _interactive(path: Path, kind: str, names: list[str], shown: Shown) -> None:
    """A page of its own with plots to zoom; the mouse shows the file of a point."""
    from plotly import graph_objects, subplots

    figure = subplots.make_subplots(rows=len(shown), cols=1, shared_xaxes=True, vertical_spacing=0.04)
    x = np.arange(1, len(names) + 1)
    for row, (axis, curves) in enumerate(shown, 1):
        for values, label, colour in curves:
            figure.add_trace(
                graph_objects.Scattergl(
                    x=x, y=values, name=f"{axis.split(' (')[0]}: {label}", mode="markers", marker={"color": colour},
                    text=names, hovertemplate="image %{x} (%{text}): %{y:.4g}",
                ),
                row=row, col=1,
            )  # fmt: skip
        reverse = axis.startswith("resolution")
        figure.update_yaxes(title_text=axis, autorange="reversed" if reverse else None, row=row, col=1)
        if not reverse:
            figure.update_yaxes(rangemode="tozero", row=row, col=1)
    figure.update_xaxes(title_text="image", row=len(shown), col=1)
    figure.update_layout(title="Spots of each image", height=300 * len(shown) + 100)
    path.write_text(figure.to_html(include_plotlyjs=True), encoding="utf-8")


def _picture(path: Path, kind: str, names: list[str], shown: Shown) -> None:
    """A picture for paper."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 2.2 * len(shown) + 0.6), layout="constrained")
    axes = np.ravel(figure.subplots(len(shown), 1, sharex=True))
    x = np.arange(1, len(names) + 1)
    for plot, (axis, curves) in zip(axes, shown, strict=True):
        for values, label, colour in curves:
            plot.plot(x, values, ".", color=colour, label=label)
        plot.set_ylabel(axis)
        if axis.startswith("resolution"):
            plot.invert_yaxis()
        else:
            plot.set_ylim(bottom=0)
        plot.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    axes[-1].set_xlabel("image")
    figure.savefig(path, format=kind, dpi=150)
