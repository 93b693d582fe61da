"""Merging statistics as the tables that crystallographers know."""

from __future__ import annotations

import math
from collections.abc import Sequence

from spindle.report import Table

from .statistics import MergingStatistics, ShellStatistics


def _number(value: float, digits: int) -> str | None:
    return None if value is None or math.isnan(value) else f"{value:.{digits}f}"


def _correlation(value: float, significant: bool) -> str | None:
    text = _number(value, 3)
    return None if text is None else text + ("*" if significant else "")


def shell_table(statistics: MergingStatistics, anomalous: bool = False) -> Table:
    """One line per resolution shell and one for all; an asterisk marks correlations significant at 1 %.

    With `anomalous` the R factors keep Friedel mates apart.
    """
    kind = "_anomalous" if anomalous else ""
    rows = []
    for s in (*statistics.shells, statistics.overall):
        rows.append(
            [
                f"{s.d_max:.2f}", f"{s.d_min:.2f}", s.n_observations, s.n_unique, _number(s.multiplicity, 2),
                _number(100 * s.completeness, 2), _number(s.mean_intensity, 1), _number(s.i_over_sigma, 1),
                *(_number(getattr(s, name + kind), 3) for name in ("r_merge", "r_meas", "r_pim")),
                _number(s.r_anomalous, 3),
                _correlation(s.cc_half, s.cc_half_significant), _correlation(s.cc_anomalous,
                s.cc_anomalous_significant),
            ]
        )  # fmt: skip
    headers = [
        "d_max",
        "d_min",
        "#obs",
        "#uniq",
        "mult.",
        "%comp",
        "<I>",
        "<I/sI>",
        "r_mrg",
        "r_meas",
        "r_pim",
        "r_anom",
        "cc1/2",
        "cc_ano",
    ]
    return Table(
        "Merging statistics by resolution shell (last line: overall)", headers, rows, "merging_statistics_by_shell"
    )


#: Lines of the summary: label, attribute, digits, factor.
SUMMARY: Sequence[tuple[str, str, int, float]] = (
    ("High resolution limit", "d_min", 2, 1),
    ("Low resolution limit", "d_max", 2, 1),
    ("Completeness", "completeness", 1, 100),
    ("Multiplicity", "multiplicity", 1, 1),
    ("I/sigma", "i_over_sigma", 1, 1),
    ("Rmerge(I)", "r_merge", 3, 1),
    ("Rmerge(I+/-)", "r_merge_anomalous", 3, 1),
    ("Rmeas(I)", "r_meas", 3, 1),
    ("Rmeas(I+/-)", "r_meas_anomalous", 3, 1),
    ("Rpim(I)", "r_pim", 3, 1),
    ("Rpim(I+/-)", "r_pim_anomalous", 3, 1),
    ("CC half", "cc_half", 3, 1),
    ("CC half (sigma-tau)", "cc_half_sigma_tau", 3, 1),
    ("Anomalous completeness", "anomalous_completeness", 1, 100),
    ("Anomalous multiplicity", "anomalous_multiplicity", 1, 1),
    ("Anomalous correlation", "cc_anomalous", 3, 1),
    ("Anomalous slope", "anomalous_slope", 3, 1),
    ("dF/F", "delta_f_over_f", 3, 1),
    ("dI/s(dI)", "delta_i_over_sigma", 3, 1),
    ("Total observations", "n_observations", 0, 1),
    ("Total unique", "n_unique", 0, 1),
)


def summary_table(
    overall: ShellStatistics, low: ShellStatistics, high: ShellStatistics, suggested: ShellStatistics | None = None
) -> Table:
    """Overall, lowest and highest shell side by side; `suggested`: overall to a suggested resolution limit."""
    columns = [overall, low, high] if suggested is None else [suggested, low, high, overall]
    headers = ["", "Overall", "Low", "High"] if suggested is None else ["", "Suggested", "Low", "High", "Overall"]
    rows = [
        [label, *(_number(factor * getattr(c, name), digits) for c in columns)]
        for label, name, digits, factor in SUMMARY
    ]
    return Table("Summary of merging statistics", headers, rows, "merging_statistics_summary")
