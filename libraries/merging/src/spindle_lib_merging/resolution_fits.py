"""Where data end: smooth curves through statistics of resolution shells, and where they reach a limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spindle.report import Table

from .statistics import MergingStatistics, ShellStatistics

__all__ = ["DATA_END", "METRICS", "DataEnd", "Metric", "ResolutionCurve", "data_end", "resolution_curve"]

#: Highest degree of the polynomials.
DEGREE = 6
#: Fewer shells tell nothing.
FEWEST_SHELLS = 3
#: Data end where CC1/2 (Karplus & Diederichs 2012, Science 336, 1030) or completeness falls below these.
DATA_END = (("cc_half", 0.3), ("completeness", 0.5))
#: Data are not cut where they would lose less than this in resolution, or more than this part of their reflections: then it is not the
#: resolution that is wrong with them.
LEAST_GAIN, MOST_LOST = 1.02, 0.75


@dataclass(frozen=True, slots=True)
class Metric:
    """A statistic that tells where data end.

    Attributes
    ----------
    name : str
        Name of its parameter.
    label : str
        As it is printed.
    field : str
        Of `ShellStatistics`; empty for a ratio of means, which needs values of its own.
    form : str
        "tanh", or "polynomial" of y, "log" of ln y, "inverse log" of ln 1/y.
    falls : bool
        Whether good data have large values.
    """

    name: str
    label: str
    field: str
    form: str
    falls: bool = True


METRICS = {
    m.name: m
    for m in (
        Metric("cc_half", "cc_half", "cc_half", "tanh"),
        Metric("cc_ref", "cc_ref", "", "tanh"),
        Metric("isigma", "I/sig", "i_over_sigma_unmerged", "log"),
        Metric("misigma", "Mn(I/sig)", "i_over_sigma", "log"),
        Metric("i_mean_over_sigma_mean", "Mn(I)/Mn(sig)", "", "log"),
        Metric("rmerge", "rmerge", "r_merge", "inverse log", False),
        Metric("completeness", "completeness", "completeness", "polynomial"),
    )
}


@dataclass(frozen=True, slots=True)
class ResolutionCurve:
    """Values of shells, a smooth curve through them, and where it reaches a limit.

    Attributes
    ----------
    metric : Metric
    limit : float
    x : (n,) float64, 1/angstrom^2
        High-resolution edge of each shell, from low to high resolution.
    y, fit : (n,) float64
        NaN where there is no value; empty `fit` where there are too few.
    d_min : float or None, angstrom
        None where the curve never reaches the limit from the good side.
    """

    metric: Metric
    limit: float
    x: np.ndarray
    y: np.ndarray
    fit: np.ndarray
    d_min: float | None


def resolution_curve(
    metric: Metric,
    limit: float,
    statistics: MergingStatistics | Sequence[ShellStatistics],
    values: np.ndarray | None = None,
    form: str | None = None,
    numbers: np.ndarray | None = None,
) -> ResolutionCurve:
    """Fit the values of one metric.

    Parameters
    ----------
    metric : Metric
    limit : float
        Value at which the data are to end.
    statistics
        Shells from low to high resolution.
    values : (n,) float64, optional
        Instead of those of the shells.
    form : str, optional
        Instead of that of the metric.
    numbers : (n,) float64, optional
        Reflections behind each value, which weigh those of "tanh".

    Notes
    -----
    (1 - tanh((x - s0) / r)) / 2: Evans & Murshudov (2013), Acta Cryst. D69, 1204; Brewster et al. (2018), Acta Cryst. D74, 877. The curve is
    followed from high resolution inwards to where it first is on the good side of the limit. Data on the good side everywhere end
    where they end.
    """
    shells = statistics.shells if isinstance(statistics, MergingStatistics) else tuple(statistics)
    x = np.array([s.d_min**-2.0 for s in shells])
    y = (
        np.array([getattr(s, metric.field) for s in shells], dtype=float)
        if values is None
        else np.asarray(values, float)
    )
    n = np.array([s.n_half for s in shells], dtype=float) if numbers is None else np.asarray(numbers, float)
    form = form or metric.form
    known = np.isfinite(y)
    if form in ("log", "inverse log"):
        known &= y > 0
    if form == "tanh":
        known &= n > 3
    if known.sum() < FEWEST_SHELLS:
        return ResolutionCurve(metric, limit, x, y, np.zeros(0), None)
    fit = np.full(len(x), np.nan)
    if form == "tanh":
        fit = _tanh(x[known], y[known], n[known], x)
    elif form == "polynomial":
        fit[known] = _polynomial(x[known], y[known])
    else:
        sign = 1.0 if form == "log" else -1.0
        fit[known] = np.exp(sign * _polynomial(x[known], sign * np.log(y[known])))
    good = (y[known] > limit) if metric.falls else (y[known] < limit)
    if good.all():
        return ResolutionCurve(metric, limit, x, y, fit, float(x[-1] ** -0.5))
    place = _crossing(x[np.isfinite(fit)], fit[np.isfinite(fit)], limit, metric.falls)
    return ResolutionCurve(metric, limit, x, y, fit, None if place is None else float(place**-0.5))


@dataclass(frozen=True, slots=True)
class DataEnd:
    """Where data end, by several metrics.

    Attributes
    ----------
    d_min : float or None, angstrom
        The lowest of the resolutions; None where the data are good to their end, or nowhere.
    curves : tuple of ResolutionCurve
    """

    d_min: float | None
    curves: tuple[ResolutionCurve, ...]

    @property
    def deciding(self) -> ResolutionCurve | None:
        """The curve that ends the data."""
        return next((c for c in self.curves if self.d_min is not None and c.d_min == self.d_min), None)

    def table(self) -> Table:
        """Values and curves of all shells."""
        headers, rows = ["d_min (A)"], [[f"{x**-0.5:.2f}"] for x in self.curves[0].x]
        for curve in self.curves:
            headers += [curve.metric.label, "fit"]
            for i, row in enumerate(rows):
                row += [_text(curve.y[i]), _text(curve.fit[i]) if len(curve.fit) else "--"]
        return Table("Where the data end", headers, rows, "data_end")


def data_end(statistics: MergingStatistics) -> DataEnd:
    """Where data end by CC1/2 and completeness, see `DATA_END`."""
    curves = tuple(resolution_curve(METRICS[name], limit, statistics) for name, limit in DATA_END)
    ends = [c.d_min for c in curves if c.d_min is not None]
    end = max(ends, default=None)
    if end is None or end < LEAST_GAIN * statistics.overall.d_min:
        return DataEnd(None, curves)
    lost = sum(s.n_unique for s in statistics.shells if s.d_max <= end * (1 + 1e-9))
    return DataEnd(None if lost > MOST_LOST * statistics.overall.n_unique else end, curves)


def _text(value: float) -> str:
    return f"{value:.3f}" if np.isfinite(value) else "--"


def _tanh(x: np.ndarray, y: np.ndarray, n: np.ndarray, places: np.ndarray) -> np.ndarray:
    from scipy.optimize import least_squares

    weight = np.where(n > 4, np.sqrt(np.maximum(n - 3.0, 1e-4)), 0.01)
    top = float(x.max())

    def residual(p: np.ndarray) -> np.ndarray:
        return np.asarray((0.5 * (1.0 - np.tanh((x - p[0]) / p[1])) - y) * weight)

    fits = [
        least_squares(residual, [start * top, 0.3 * top], bounds=([-10 * top, 1e-3 * top], [10 * top, 10 * top]))
        for start in (0.5, 1.0)
    ]
    p = min(fits, key=lambda f: f.cost).x
    return np.asarray(0.5 * (1.0 - np.tanh((places - p[0]) / p[1])))


def _polynomial(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Values of the polynomial of least squares at x."""
    degree = min(DEGREE, len(x) - 2) if len(x) > 3 else 1
    if not x[-1] > x[0]:
        return np.full(len(x), y.mean())
    return np.asarray(np.polynomial.Polynomial.fit(x, y, max(degree, 1))(x))


def _crossing(x: np.ndarray, fit: np.ndarray, limit: float, falls: bool) -> float | None:
    """First place from high resolution where the curve is on the good side."""
    good = fit >= limit if falls else fit <= limit
    if not good.any():
        return None
    last = int(np.flatnonzero(good)[-1])
    if last == len(x) - 1:
        return float(x[-1])
    step = fit[last + 1] - fit[last]
    part = (limit - fit[last]) / step if step else 0.0
    return float(x[last] + part * (x[last + 1] - x[last]))
