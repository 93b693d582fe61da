"""Figures of cell, orientation and beam centre against the rotation angle."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spindle_lib_pictures.figures import colour_of, new_mosaic, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from spindle_lib_model_curves.curves import Curves

__all__ = ["beam_figure", "cell_figure", "orientation_figure", "writer"]

ANGLE = "rotation angle (deg)"
BARS = 20  # points from one bar to the next
LEAST_ANGLES = 0.2  # degrees that a plot of an angle of the cell shows at least
LEAST_LENGTHS = 2e-4  # the same of lengths and volumes, as a fraction
LEAST_TURNS = 0.002  # degrees
LEAST_PIXELS = 0.2
MOST_NAMES = 12


def writer(draw: Callable[[list[Curves]], Figure], curves: list[Curves], kind: str) -> Callable[[Path], None]:
    """Writer of the figure that `draw` makes of curves."""

    def write(path: Path) -> None:
        save_figure(draw(curves), path, kind)

    return write


def cell_figure(curves: list[Curves]) -> Figure:
    """Six cell parameters and the volume, with bars of standard deviations."""
    names = {
        "a": "a (Å)",
        "b": "b (Å)",
        "c": "c (Å)",
        "al": r"$\alpha$ (deg)",
        "be": r"$\beta$ (deg)",
        "ga": r"$\gamma$ (deg)",
    }
    figure, axes = new_mosaic([["a", "al"], ["b", "be"], ["c", "ga"], ["V", "V"]], 9.5, 9.5)
    for column, key in enumerate(("a", "b", "c", "al", "be", "ga", "V")):
        _curves(axes[key], curves, column)
        axes[key].set_ylabel(names.get(key, "volume (Å$^3$)"))
        _widen(axes[key], curves, column, LEAST_ANGLES if key in ("al", "be", "ga") else None)
    _finish(figure, axes, curves, "Unit cell along the scan", "V")
    return figure


def orientation_figure(curves: list[Curves]) -> Figure:
    """The three turns."""
    figure, axes = new_mosaic([["1"], ["2"], ["3"]], 9.5, 7.5)
    for column, key in enumerate("123"):
        _curves(axes[key], curves, column)
        axes[key].set_ylabel(rf"$\phi_{key}$ (deg)")
        _widen(axes[key], curves, column, LEAST_TURNS)
    _finish(figure, axes, curves, "Orientation along the scan", "3")
    return figure


def beam_figure(curves: list[Curves]) -> Figure:
    """Where the beam crosses the panel."""
    figure, axes = new_mosaic([["x"], ["y"]], 9.5, 5.5)
    for column, key in enumerate("xy"):
        _curves(axes[key], curves, column)
        axes[key].set_ylabel(f"{key} (pixels)")
        _widen(axes[key], curves, column, LEAST_PIXELS)
    _finish(figure, axes, curves, "Beam centre along the scan", "y")
    return figure


def _curves(plot: Axes, curves: list[Curves], column: int) -> None:
    for k, one in enumerate(curves):
        plot.plot(one.phi, one.values[:, column], color=colour_of(k), linewidth=1.3, label=f"experiment {one.number}")
        if one.sd is not None and len(curves) <= MOST_NAMES:  # bars of many would hide the curves
            here = slice(None, None, BARS)
            plot.errorbar(
                one.phi[here], one.values[here, column], one.sd[here, column], fmt="none", ecolor=colour_of(k), elinewidth=0.9,
                capsize=2,
            )  # fmt: skip


def _widen(plot: Axes, curves: list[Curves], column: int, least: float | None) -> None:
    """Show at least a range of `least`, by default a small part of the value, so that rounding does not look like a change."""
    values = np.concatenate([c.values[:, column] for c in curves])
    low, high = float(values.min()), float(values.max())
    middle = 0.5 * (low + high)
    half = 0.5 * (LEAST_LENGTHS * abs(middle) if least is None else least)
    if high - low < 2 * half:
        plot.set_ylim(middle - half, middle + half)


def _finish(figure: Figure, axes: dict[str, Any], curves: list[Curves], title: str, last: str) -> None:
    figure.suptitle(title)
    for plot in axes.values():
        plot.set_xlabel(ANGLE)
        plot.margins(x=0.01)
    if 1 < len(curves) <= MOST_NAMES:
        figure.legend(*axes[last].get_legend_handles_labels(), loc="outside lower center", ncols=min(len(curves), 6))
