"""Merging statistics by resolution shell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from spindle_lib_merging import MergingStatistics, ShellStatistics
from spindle_lib_pages.figures import lines, resolution_ticks

__all__ = ["FEWEST_PAIRS", "shell_figures"]

#: Reflections measured twice or more, for a correlation or an R factor of a shell to be drawn.
FEWEST_PAIRS = 20


def shell_figures(statistics: MergingStatistics) -> dict[str, dict[str, Any]]:
    """Figures by resolution: CC1/2, signal, R factors, completeness, multiplicity, anomalous signal."""
    shells = [s for s in statistics.shells if s.n_unique]
    sure = [s.n_half >= FEWEST_PAIRS for s in shells]  # else chance alone gives any CC and R
    x = np.array([0.5 * (s.d_max**-2 + s.d_min**-2) for s in shells])
    ticks = resolution_ticks(x)

    def draw(title: str, y_title: str, names: Sequence[tuple[str, str]], **options: Any) -> dict[str, Any]:
        return lines(
            title,
            "",
            y_title,
            [
                (label, x, [_known(s, name, good) for s, good in zip(shells, sure, strict=True)])
                for label, name in names
            ],
            xaxis=ticks,
            **options,
        )

    zero: Any = {"rangemode": "tozero"}
    return {
        "cc_one_half": draw("CC1/2", "correlation", [("CC1/2", "cc_half"), ("significant above (p = 0.01)", "cc_half_critical")], yaxis={"range": [-0.2, 1.05]}),
        "i_over_sig_i": draw("Signal of merged intensities", "mean I/sigma", [("", "i_over_sigma")], yaxis=zero),
        "r_factors": draw("R factors", "R", [("Rmerge", "r_merge"), ("Rmeas", "r_meas"), ("Rpim", "r_pim")], yaxis=zero),
        "completeness": draw(
            "Completeness", "fraction", [("all", "completeness"), ("with both Friedel mates", "anomalous_completeness")],
            yaxis={"range": [0, 1.05]},
        ),
        "multiplicity_vs_resolution": draw("Multiplicity", "observations per reflection", [("", "multiplicity")], yaxis=zero),
        "anomalous_signal": draw(
            "Anomalous signal", "", [("CCano of half sets", "cc_anomalous"), ("|dI|/sigma(dI); noise gives 0.8", "delta_i_over_sigma")],
            yaxis={"range": [-0.4, max(1.6, 1.1 * np.nanmax([s.delta_i_over_sigma for s in shells] + [0.0]))]},
        ),
    }  # fmt: skip


def _known(shell: ShellStatistics, name: str, good: bool) -> float:
    """A statistic of a shell; NaN for those of pairs where there are few pairs."""
    of_pairs = name.startswith(("cc_", "r_"))
    if name == "cc_anomalous":
        good = shell.n_half_anomalous >= FEWEST_PAIRS
    return float(getattr(shell, name)) if good or not of_pairs else float("nan")
