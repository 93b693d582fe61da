"""Figures for paper and screen, drawn with matplotlib: a common look, and files that are the same in each run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from spindle.errors import ParameterError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "COLOURS",
    "KINDS",
    "colour_of",
    "correlation_figure",
    "new_figure",
    "new_mosaic",
    "save_figure",
    "suffix_of",
    "tree_figure",
]

#: Colours that people with any colour vision tell apart (Okabe & Ito 2008).
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#7f6000", "#555555")
#: Trees show so many leaves at most.
MOST_LEAVES = 200
KINDS = (".png", ".pdf", ".svg")

_STYLE: Any = {
    "font.size": 9.0, "axes.formatter.useoffset": False, "svg.hashsalt": "spindle", "axes.grid": True, "grid.color": "0.9",
    "axes.axisbelow": True, "legend.frameon": False,
}  # fmt: skip


def colour_of(number: int) -> str:
    """The colour of a curve or lattice; after the last the first comes again."""
    return COLOURS[number % len(COLOURS)]


def suffix_of(path: Path | str, parameter: str, default: str = ".png") -> str:
    """The kind of file that a figure is saved as: the suffix of its name, `default` without one.

    Raises
    ------
    ParameterError
        If figures cannot be saved as such.
    """
    suffix = Path(path).suffix.lower() or default
    if suffix not in KINDS:
        raise ParameterError(f"{parameter}={path}: figures are saved as {', '.join(KINDS)}, not as {suffix}")
    return suffix


def new_figure(rows: int, columns: int, width: float, height: float, **options: Any) -> tuple[Figure, list[Axes]]:
    """A figure of width x height inches and its plots, row by row.

    Nothing is shown and nothing global is changed: the figure belongs to no window.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False, **options)
    return figure, list(axes.flat)


def new_mosaic(layout: Sequence[Sequence[str]], width: float, height: float) -> tuple[Figure, dict[str, Axes]]:
    """A figure of width x height inches and its plots by the names in `layout`; a name that stands twice is one wide plot."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.subplot_mosaic([list(row) for row in layout])
    return figure, dict(axes)


def save_figure(figure: Figure, path: Path, kind: str, dpi: int = 150) -> None:
    """Save as `kind` (one of `KINDS`), without dates, so that equal figures are equal files."""
    import matplotlib as mpl

    metadata = {".png": {"Software": None}, ".pdf": {"CreationDate": None, "Producer": None, "Creator": None}}
    with mpl.rc_context(_STYLE):
        figure.savefig(path, format=kind[1:], dpi=dpi, metadata=metadata.get(kind, {"Date": None}))


def correlation_figure(matrix: Any, labels: Sequence[str], title: str = "") -> Figure:
    """A correlation matrix (n, n) as discs: blue is positive, red negative, the area its size."""
    import numpy as np
    from matplotlib.collections import EllipseCollection
    from matplotlib.colors import LinearSegmentedColormap

    n = len(labels)
    values = np.asarray(matrix, dtype=np.float64)
    side = min(max(3.2, 1.4 + 0.42 * n), 20.0)
    figure, (plot,) = new_figure(1, 1, side + 0.8, side)
    y, x = np.indices((n, n))
    size = 0.92 * np.sqrt(np.abs(values.ravel()))
    scheme = LinearSegmentedColormap.from_list("signed", ["#d55e00", "#ffffff", "#0072b2"])
    discs = EllipseCollection(
        size, size, np.zeros(n * n), units="xy", offsets=np.column_stack([x.ravel(), y.ravel()]), array=values.ravel(),
        offset_transform=plot.transData, cmap=scheme, edgecolors="0.5", linewidths=0.4,
    )  # fmt: skip
    discs.set_clim(-1.0, 1.0)
    plot.add_collection(discs)
    plot.set(xlim=(-0.5, n - 0.5), ylim=(n - 0.5, -0.5), aspect="equal")
    plot.set_xticks(range(n), labels, rotation=45, ha="left")
    plot.set_yticks(range(n), labels)
    plot.xaxis.tick_top()
    plot.tick_params(length=0)
    plot.grid(False)
    for edge in np.arange(0.5, n - 1):
        plot.axhline(edge, color="0.9", linewidth=0.6, zorder=0)
        plot.axvline(edge, color="0.9", linewidth=0.6, zorder=0)
    if n <= 12:
        for i, j in zip(y.ravel().tolist(), x.ravel().tolist(), strict=True):
            dark = abs(values[i, j]) > 0.6
            plot.text(
                j, i, f"{values[i, j]:.2f}", ha="center", va="center", fontsize=7, color="white" if dark else "black"
            )
    figure.colorbar(discs, ax=plot, label="correlation", shrink=0.8)
    if title:
        plot.set_xlabel(title)
    return figure


def tree_figure(
    linkage: np.ndarray, labels: Sequence[str], threshold: float | None = None, log: bool = False
) -> Figure:
    """The tree of unit cells, from scipy's linkage matrix (n - 1, 4); of more than 200 leaves the last merges only.

    Merges above `threshold` (angstrom^2) are grey; `log` is for the axis of distances.
    """
    import numpy as np
    from scipy.cluster.hierarchy import dendrogram

    many = len(labels) > MOST_LEAVES
    tree = dendrogram(
        linkage,
        no_plot=True,
        labels=None if many else list(labels),
        truncate_mode="lastp" if many else None,
        p=MOST_LEAVES,
    )
    figure, (axes,) = new_figure(1, 1, min(max(5.0, 0.22 * len(tree["ivl"])), 24.0), 4.6)
    low = min((y for ys in tree["dcoord"] for y in ys if y > 0), default=1.0) / 2
    for x, y in zip(tree["icoord"], tree["dcoord"], strict=True):
        above = threshold is not None and max(y) > threshold
        axes.plot(x, np.maximum(y, low) if log else y, color="0.6" if above else COLOURS[0], linewidth=1.2)
    if threshold is not None and threshold <= 1.5 * float(linkage[:, 2].max()):
        axes.axhline(threshold, color=COLOURS[3], linewidth=0.9, linestyle="--", label=f"threshold {threshold:g}")
        axes.legend(loc="upper right")
    axes.set_xticks([10 * i + 5 for i in range(len(tree["ivl"]))], tree["ivl"], rotation=90, fontsize=7)
    axes.set(xlabel="experiment", ylabel="distance (Å$^2$)")
    axes.grid(axis="x", visible=False)
    if log:
        axes.set_yscale("log")
    return figure
