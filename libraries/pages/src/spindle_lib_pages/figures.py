"""Figures of the usual kinds, as plain values that plotly draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "bars",
    "dendrogram_lines",
    "heat_map",
    "histogram",
    "histograms",
    "lines",
    "picture",
    "points",
    "resolution_ticks",
]

Curve = tuple[str, npt.ArrayLike, npt.ArrayLike]


def _figure(data: list[dict[str, Any]], title: str, x_title: str, y_title: str, **layout: Any) -> dict[str, Any]:
    axes: dict[str, dict[str, Any]] = {
        "xaxis": {"title": {"text": x_title}, "automargin": True},
        "yaxis": {"title": {"text": y_title}, "automargin": True},
    }
    for name in axes:
        axes[name] |= layout.pop(name, {})
    return {"data": data, "layout": {"title": {"text": title}, **axes, **layout}}


def lines(title: str, x_title: str, y_title: str, curves: Sequence[Curve], **layout: Any) -> dict[str, Any]:
    """Curves with markers: (name, x, y); values that are no numbers leave gaps.

    Further keywords are properties of plotly's layout; those of ``xaxis`` and ``yaxis`` are added to the titles.
    """
    data = [
        {"type": "scatter", "mode": "lines+markers", "name": name, "x": _list(x), "y": _list(y), "marker": {"size": 5}}
        for name, x, y in curves
    ]
    return _figure(data, title, x_title, y_title, showlegend=len(curves) > 1, **layout)


def points(
    title: str, x_title: str, y_title: str, groups: Sequence[Curve], labels: Sequence[Sequence[str]] = (), **layout: Any
) -> dict[str, Any]:
    """Points in groups: (name, x, y); `labels` hold what each says when the mouse is on it."""
    data: list[dict[str, Any]] = [
        {
            "type": "scattergl",
            "mode": "markers",
            "name": name,
            "x": _list(x),
            "y": _list(y),
            "marker": {"size": 7, "opacity": 0.8},
        }
        for name, x, y in groups
    ]
    for entry, text in zip(data, labels, strict=False):
        entry |= {"text": list(text), "hoverinfo": "text+x+y"}
    return _figure(data, title, x_title, y_title, showlegend=len(groups) > 1, **layout)


def bars(title: str, x_title: str, y_title: str, groups: Sequence[Curve], **layout: Any) -> dict[str, Any]:
    """Bars in groups: (name, x, height)."""
    data = [{"type": "bar", "name": name, "x": _list(x), "y": _list(y)} for name, x, y in groups]
    return _figure(data, title, x_title, y_title, showlegend=len(groups) > 1, **layout)


def histogram(title: str, x_title: str, values: npt.ArrayLike, n_bins: int = 40, **layout: Any) -> dict[str, Any]:
    """Counts of finite values in equal bins over their range; binned here, so that the page stays small."""
    values = np.asarray(values, dtype=np.float64).ravel()
    values = values[np.isfinite(values)]
    if not len(values):
        counts, edges = np.zeros(1, np.int64), np.array([0.0, 1.0])
    elif np.ptp(values) <= 1e-9 * max(1.0, float(np.abs(values).max())):  # all alike
        counts, edges = np.array([len(values)]), values[0] + np.array([-0.5, 0.5])
    else:
        counts, edges = np.histogram(values, bins=n_bins)
    middle = (edges[1:] + edges[:-1]) / 2
    bar = {"type": "bar", "x": _list(middle), "y": _list(counts), "width": float(edges[1] - edges[0])}
    return _figure([bar], title, x_title, "number", bargap=0, **layout)


def histograms(
    title: str, x_title: str, groups: Sequence[tuple[str, npt.ArrayLike]], n_bins: int = 40, **layout: Any
) -> dict[str, Any]:
    """Counts of the finite values of several groups, one upon the other, in the same bins."""
    finite = [(name, np.asarray(v, dtype=np.float64)) for name, v in groups]
    finite = [(name, v[np.isfinite(v)]) for name, v in finite]
    if sum(len(v) > 0 for _, v in finite) < 2:
        return histogram(title, x_title, np.concatenate([v for _, v in finite]), n_bins, **layout)
    edges = np.histogram_bin_edges(np.concatenate([v for _, v in finite]), n_bins)
    middle = (edges[1:] + edges[:-1]) / 2
    data = [
        {
            "type": "bar",
            "name": name,
            "x": _list(middle),
            "y": _list(np.histogram(v, edges)[0]),
            "width": float(edges[1] - edges[0]),
        }
        for name, v in finite
    ]
    return _figure(data, title, x_title, "number", bargap=0, barmode="stack", showlegend=True, **layout)


def heat_map(
    title: str, x_title: str, y_title: str, z: npt.ArrayLike, x: npt.ArrayLike | None = None, y: npt.ArrayLike | None = None,
    low: float | None = None, high: float | None = None, colours: str | list[Any] = "Viridis", **layout: Any,
) -> dict[str, Any]:  # fmt: skip
    """Values (rows, columns) as colours; rows run downwards in y unless `y` says otherwise."""
    entry: dict[str, Any] = {"type": "heatmap", "z": _list(z), "colorscale": colours}
    if x is not None:
        entry["x"] = _list(x)
    if y is not None:
        entry["y"] = _list(y)
    if low is not None or high is not None:
        entry |= {"zmin": low, "zmax": high}
    return _figure([entry], title, x_title, y_title, **layout)


def picture(
    title: str,
    uri: str,
    width: float,
    height: float,
    marks: Sequence[tuple[str, str, str, npt.ArrayLike]] = (),
    extent: tuple[float, float, float, float] | None = None,
    x_title: str = "x (px)",
    y_title: str = "y (px)",
    hidden: bool = False,
    digits: int = 1,
    **layout: Any,
) -> dict[str, Any]:
    """A picture with marks on it: (name, plotly's symbol, colour, positions (n, 2) in its pixels).

    Parameters
    ----------
    title : str
    uri : str
        The picture itself, as a data URI.
    width, height : float
        Its size in the unit of the positions.
    marks
        Drawn over it; a click on a name in the legend hides them.
    extent : (float, float, float, float), optional
        Positions of its left, right, lower and upper edge; by default the first pixel is from 0 to 1, and y runs downwards.
    x_title, y_title : str
    hidden : bool
        Show the marks only once their names are clicked.
    digits : int
        Decimals of the positions of marks.
    """
    left, right, lower, upper = extent or (0, width, height, 0)
    data: list[dict[str, Any]] = [  # without a point that is always there, a picture without marks has no axes
        {"type": "scatter", "x": [left, right], "y": [upper, lower], "mode": "markers", "marker": {"opacity": 0}, "hoverinfo": "skip",
         "showlegend": False}
    ]  # fmt: skip
    for name, symbol, colour, xy in marks:
        places = np.asarray(xy, dtype=np.float64).round(digits)
        marker = {"symbol": symbol, "size": 8, "color": colour, "line": {"color": colour, "width": 1}}
        entry = {
            "type": "scatter", "mode": "markers", "name": f"{name} ({len(places)})", "x": _list(places[:, 0]), "y": _list(places[:, 1]),
            "marker": marker,
        }  # fmt: skip
        data.append(entry | ({"visible": "legendonly"} if hidden else {}))
    image = {
        "source": uri, "xref": "x", "yref": "y", "x": left, "y": upper, "sizex": width, "sizey": height, "sizing": "stretch", "layer": "below",
    }  # fmt: skip
    axis = {"showgrid": False, "zeroline": False, "constrain": "domain"}
    return _figure(
        data, title, x_title, y_title, images=[image], showlegend=bool(marks), legend={"x": 1.02, "y": 1.0},
        xaxis={**axis, "range": [left, right]}, yaxis={**axis, "range": [lower, upper], "scaleanchor": "x"}, **layout,
    )  # fmt: skip


def dendrogram_lines(
    title: str, y_title: str, linkage: np.ndarray, labels: Sequence[str], threshold: float | None = None
) -> dict[str, Any]:
    """The tree of scipy's linkage matrix (n - 1, 4); merges above `threshold` are grey."""
    from scipy.cluster.hierarchy import dendrogram

    tree = dendrogram(linkage, no_plot=True, labels=list(labels))
    data = []
    for x, y in zip(tree["icoord"], tree["dcoord"], strict=True):
        colour = "#9aa7b4" if threshold is not None and max(y) > threshold else "#0072b2"
        data.append({"type": "scatter", "mode": "lines", "x": x, "y": y, "line": {"color": colour}, "hoverinfo": "y"})
    ticks = {"tickvals": [10 * i + 5 for i in range(len(labels))], "ticktext": tree["ivl"]}
    return _figure(data, title, "data set", y_title, showlegend=False, xaxis=ticks)


def resolution_ticks(inverse_squares: npt.ArrayLike, n: int = 6) -> dict[str, Any]:
    """Ticks in angstrom for an axis of 1/d^2: a part of ``xaxis``."""
    values = np.asarray(inverse_squares, dtype=np.float64)
    values = values[np.isfinite(values) & (values > 0)]
    if not len(values):
        return {}
    places = np.linspace(values.min(), values.max(), n)
    return {
        "tickvals": _list(places),
        "ticktext": [f"{v**-0.5:.2f}" for v in places],
        "title": {"text": "resolution (A)"},
    }


def _list(values: npt.ArrayLike) -> list[Any]:
    return list(np.asarray(values).tolist())
