"""Tables, page and record of the program `damage_analysis`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from spindle.report import Table
from spindle_lib_pages import Page
from spindle_lib_pages.figures import lines, resolution_ticks

from .curves import DamageCurves
from .series import Part

__all__ = ["Verdict", "dose_table", "page", "record", "sweep_table"]

MOST_ROWS = 25
MOST_POINTS = 500


class Verdict:
    """What the curves say, in words.

    Parameters
    ----------
    curves : DamageCurves
    cut : float or None
        Largest dose that is advised.
    slope, error : float
        Of Rd.

    Attributes
    ----------
    can_tell : bool
        Whether enough equivalents were measured at different doses.
    """

    def __init__(self, curves: DamageCurves, cut: float | None, slope: float, error: float) -> None:
        self.cut = cut
        self.can_tell = cut is not None or bool(np.isfinite(slope))
        span = float(curves.distance[-1]) if len(curves.distance) else 0.0
        self.growth = slope * span
        if cut is not None:
            self.mood, self.text = "bad", (
                f"Damage: equivalents part by {100 * self.growth:.1f} % more over the whole range of doses than at equal dose, and beyond "
                f"{cut:g} their differences grow beyond their errors"
            )  # fmt: skip
        elif np.isfinite(slope) and slope > 3 * error and self.growth > 0:
            self.mood, self.text = "doubtful", (
                f"Some damage: Rd rises by {100 * self.growth:.1f} % over the whole range of doses, but differences stay within what "
                "the errors account for"
            )  # fmt: skip
        elif np.isfinite(slope):
            self.mood, self.text = "good", "No damage is seen: Rd does not rise with the difference of doses"
        else:
            self.mood, self.text = "doubtful", "Too few equivalents were measured at different doses to tell"


def _thin(n: int, most: int) -> np.ndarray:
    """Every so many places, the last one among them."""
    if n <= most:
        return np.arange(n)
    return np.unique(np.append(np.arange(0, n, -(-n // most)), n - 1))


def dose_table(curves: DamageCurves, most: int | None = MOST_ROWS) -> Table:
    """The curves of all reflections as numbers."""
    places = _thin(len(curves.dose), most) if most else np.arange(len(curves.dose))
    rows = [
        [float(f"{curves.dose[i]:g}"), *(_plain(v[i], k) for v, k in ((curves.completeness, 4), (curves.rcp, 4), (curves.scp, 3))),
         float(f"{curves.distance[i]:g}"), _plain(curves.rd[i], 4)]
        for i in places
    ]  # fmt: skip
    headers = ["Dose up to", "Completeness", "Rcp", "Scp", "Difference of doses", "Rd"]
    return Table("Agreement of equivalents with the dose", headers, rows, "damage")


def sweep_table(sweeps: Sequence[tuple[int, DamageCurves, Verdict]]) -> Table:
    """One line for each sweep."""
    rows = [
        [i, float(f"{c.dose[-1]:g}"), _plain(c.completeness[-1], 3), _plain(c.rcp[-1], 4), _plain(c.scp[-1], 3),
         None if not np.isfinite(v.growth) else round(100 * v.growth, 2), v.cut]
        for i, c, v in sweeps
    ]  # fmt: skip
    headers = ["Sweep", "Last dose", "Completeness", "Rcp", "Scp", "Rise of Rd (%)", "Suggested last dose"]
    return Table("Each sweep by itself", headers, rows, "damage_by_sweep")


def _plain(value: float, digits: int) -> float | None:
    return round(float(value), digits) if np.isfinite(value) else None


def _values(values: np.ndarray) -> list[float | None]:
    return [float(v) if np.isfinite(v) else None for v in values]


def _shells(curves: DamageCurves) -> list[str]:
    return [f"{a:.2f} - {b:.2f} A" for a, b in zip(curves.edges[:-1], curves.edges[1:], strict=True)]


def record(
    curves: DamageCurves, verdict: Verdict, sweeps: Sequence[tuple[int, DamageCurves, Verdict]]
) -> dict[str, Any]:
    """Plain values of all curves."""
    content: dict[str, Any] = {
        "doses": _values(curves.dose), "differences": _values(curves.distance), "shells": _values(curves.edges),
        "rcp": _values(curves.rcp), "scp": _values(curves.scp), "rd": _values(curves.rd),
        "completeness": _values(curves.completeness),
        **{f"completeness_{name}": _values(v) for name, v in curves.anomalous.items()},
        "rcp_by_shell": [_values(v) for v in curves.rcp_shells], "scp_by_shell": [_values(v) for v in curves.scp_shells],
        "completeness_by_shell": [_values(v) for v in curves.completeness_shells],
        "suggested_last_dose": verdict.cut, "verdict": verdict.text,
    }  # fmt: skip
    if sweeps:
        content["sweeps"] = {
            str(i): {"doses": _values(c.dose), "rcp": _values(c.rcp), "scp": _values(c.scp), "rd": _values(c.rd),
                     "completeness": _values(c.completeness), "suggested_last_dose": v.cut}
            for i, c, v in sweeps
        }  # fmt: skip
    return content


def page(
    curves: DamageCurves, verdict: Verdict, sweeps: Sequence[tuple[int, DamageCurves, Verdict]], tables: Sequence[Table],
    source: str, series: dict[str, list[Part]],
) -> str:  # fmt: skip
    """The page with tables and plots."""
    out = Page("Radiation damage", f"Doses are {source}; resolution {curves.edges[0]:.2f} to {curves.edges[-1]:.2f} A")
    out.text(verdict.text + ".", verdict.mood)
    out.section("Curves")
    places = _thin(len(curves.dose), MOST_POINTS)
    dose, names = curves.dose[places], _shells(curves)
    for title, label, whole, by_shell in (
        ("Differences of all pairs so far", "Rcp", curves.rcp, curves.rcp_shells),
        ("Differences in units of their errors", "Scp", curves.scp, curves.scp_shells),
        ("Completeness", "completeness", curves.completeness, curves.completeness_shells),
    ):
        drawn: list[Any] = [("all", dose, whole[places])]
        drawn += [(name, dose, values[places]) for name, values in zip(names, by_shell, strict=True)]
        if label == "completeness":
            drawn += [(name, dose, values[places]) for name, values in curves.anomalous.items()]
        if verdict.cut is not None:
            top = float(np.nanmax([np.nanmax(c[2]) for c in drawn if np.isfinite(c[2]).any()]))
            drawn.append(("suggested end", [verdict.cut] * 2, [0.0, top]))
        out.plot(lines(title, "dose", label, drawn))
    at = _thin(len(curves.distance), MOST_POINTS)
    out.plot(
        lines(
            "Pairs by the difference of their doses",
            "difference of doses",
            "Rd",
            [("", curves.distance[at], curves.rd[at])],
        )
    )
    out.text(
        "Rcp: mean difference of all pairs of equivalents measured up to a dose, over their mean intensity. Scp: the same in units of what "
        "the errors account for; 1 without damage. Rd: by the difference of the doses of a pair; flat without damage."
    )
    for title, parts in series.items():
        known = [p for p in parts if p.statistics is not None]
        if not known:
            continue
        out.section(title)
        for name, label in (
            ("i_over_sigma", "I/sigma"), ("r_pim", "Rpim"), ("completeness", "completeness"), ("cc_half", "CC1/2")
        ):  # fmt: skip
            curves_of = []
            for part in known:
                assert part.statistics is not None
                shells = part.statistics.shells
                x = [(s.d_min**-2 + s.d_max**-2) / 2 for s in shells]
                curves_of.append((part.name, x, [getattr(s, name) for s in shells]))
            out.plot(
                lines(label, "", label, curves_of, xaxis=resolution_ticks(np.concatenate([c[1] for c in curves_of])))
            )
    out.section("Numbers")
    out.tables(tables)
    if sweeps and len(sweeps) <= 50:
        out.plot(
            lines(
                "Rd of each sweep",
                "difference of doses",
                "Rd",
                [(f"sweep {i}", c.distance, c.rd) for i, c, _ in sweeps],
            )
        )
    return out.html()
