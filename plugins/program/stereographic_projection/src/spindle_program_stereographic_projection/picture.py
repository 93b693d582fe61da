"""The disc with the points of all crystals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spindle.errors import ParameterError
from spindle.models import Experiments
from spindle_lib_pictures.figures import colour_of, new_figure, save_figure, suffix_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .workflow import Projection

__all__ = ["picture_writer"]

DPI = 300
MOST_NAMES = 20
CIRCLES_DEG = (30.0, 60.0)  # angles from the centre that are shown
TOUCHING = 0.004  # points nearer than this share a label


def picture_writer(
    projections: list[Projection], experiments: Experiments, plot: Any, centre: str, up: str
) -> Callable[[Path], None]:
    """Writer of the picture.

    Raises
    ------
    ParameterError
        If colours, colour map or kind of file are unknown.
    """
    kind = suffix_of(plot.filename, "plot.filename")
    colours = _colours(len(projections), experiments, plot)

    def write(path: Path) -> None:
        figure, (disc,) = new_figure(1, 1, 6.4, 6.0)
        _frame(disc, centre, up)
        if plot.gridsize is not None:
            points = np.concatenate([p.xy for p in projections])
            drawn = disc.hexbin(
                points[:, 0], points[:, 1], gridsize=plot.gridsize, linewidths=0.2, mincnt=1, extent=(-1, 1, -1, 1)
            )
            figure.colorbar(drawn, ax=disc, label="directions", shrink=0.8)
        else:
            size = plot.marker_size if plot.marker_size is not None else 3
            named = bool(plot.labels)
            for p, colour in zip(projections, colours, strict=True):
                name = p.name if named else f"crystal {p.name}"
                disc.scatter(p.xy[:, 0], p.xy[:, 1], c=[colour], s=size, edgecolors="none", label=name, zorder=3)
                if plot.label_indices:
                    _label(disc, p, 6.0 if plot.font_size is None else plot.font_size)
            if (named or len(projections) > 1) and len(projections) <= MOST_NAMES:
                figure.legend(
                    loc="outside lower center", ncols=min(5, len(projections)), markerscale=max(1.0, (20 / size) ** 0.5)
                )
        save_figure(figure, path, kind, DPI)

    return write


def _frame(disc: Axes, centre: str, up: str) -> None:
    """Circle, circles of equal angle, cross, and what is where."""
    from matplotlib.patches import Circle

    for angle in CIRCLES_DEG:
        radius = float(np.tan(np.deg2rad(angle) / 2))
        disc.add_patch(Circle((0, 0), radius, fill=False, edgecolor="0.85", linewidth=0.6))
        disc.text(radius, 0, f"{angle:g}°", fontsize=6, color="0.6", ha="left", va="bottom")
    disc.add_patch(Circle((0, 0), 1.0, fill=False, edgecolor="0.3", linewidth=1.0))
    disc.plot([-1, 1], [0, 0], color="0.85", linewidth=0.6, zorder=0)
    disc.plot([0, 0], [-1, 1], color="0.85", linewidth=0.6, zorder=0)
    disc.text(-0.01, -0.01, centre, fontsize=7, color="0.4", ha="right", va="top")
    if up:
        disc.text(0, 1.02, up, fontsize=7, color="0.4", ha="center", va="bottom")
    disc.set(xlim=(-1.1, 1.1), ylim=(-1.1, 1.1), aspect="equal")
    disc.set_axis_off()


def _label(disc: Axes, projection: Projection, size: float) -> None:
    """Write the indices beside the points; of points on one place, those of the first."""
    cells = np.rint(projection.xy / TOUCHING).astype(np.int64)
    first = np.sort(np.unique(cells, axis=0, return_index=True)[1])
    for k in first.tolist():
        text = " ".join(str(v) for v in projection.hkl[k].tolist())
        disc.annotate(text, projection.xy[k], xytext=(2, 2), textcoords="offset points", fontsize=size, zorder=4)


def _colours(n: int, experiments: Experiments, plot: Any) -> list[Any]:
    """A colour for each crystal."""
    import matplotlib as mpl
    from matplotlib.colors import is_color_like

    if plot.colour_map is not None:
        if plot.colours:
            raise ParameterError("plot.colours= and plot.colour_map= both say the colours; give one of them")
        if plot.colour_map not in mpl.colormaps:
            raise ParameterError(
                f"plot.colour_map={plot.colour_map}: matplotlib has no such map; well-known ones are viridis, plasma, cividis, coolwarm"
            )
        place = _order(experiments)
        return [mpl.colormaps[plot.colour_map](v) for v in place]
    if not plot.colours:
        return [colour_of(i) for i in range(n)]
    unknown = [c for c in plot.colours if not is_color_like(c)]
    if unknown:
        raise ParameterError(
            f"plot.colours: {unknown[0]} is no colour that matplotlib knows; for example red, blue, or #0072b2"
        )
    return [plot.colours[i % len(plot.colours)] for i in range(n)]


def _order(experiments: Experiments) -> np.ndarray:
    """(n,) from 0 to 1: when each was measured, or its place where no times are known."""
    times = np.array([0.0 if e.scan is None or e.scan.epochs is None else e.scan.epochs[0] for e in experiments])
    if np.ptp(times) == 0:
        times = np.arange(len(experiments), dtype=np.float64)
    span = float(np.ptp(times))
    return np.asarray((times - times.min()) / span if span else np.zeros(len(times)))
