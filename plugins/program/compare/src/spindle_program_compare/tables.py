"""The tables of a comparison."""

from __future__ import annotations

from typing import Any

import numpy as np

from spindle.report import Table

from .against_truth import AgainstTruth
from .contestant import Contestant
from .ranking import Ranking
from .versus import Level

__all__ = [
    "contestant_table",
    "cost_table",
    "failure_table",
    "merging_table",
    "pair_table",
    "truth_table",
    "weakest_fifth",
]


def _ordered(contestants: list[Contestant], ranking: Ranking) -> list[Contestant]:
    place = {name: i for i, name in enumerate(ranking.order)}
    return sorted(contestants, key=lambda c: (place.get(c.name, len(place)), bool(c.reason)))


def _place(name: str, ranking: Ranking) -> str:
    return ranking.places.get(name, "--")


def _percent(value: Any, digits: int = 1) -> Any:
    return None if value is None else round(100 * value, digits)


def contestant_table(contestants: list[Contestant], numbers: dict[str, dict[str, Any]], ranking: Ranking) -> Table:
    """One row for each, the best first."""
    headers = [
        "Rank", "Contestant", "Indexed (%)", "RMSD x, y (px)", "RMSD z (images)", "Integrated", "Space group", "CC1/2", "Rmeas", "Rpim",
        "CC ano", "Slope ano", "a", "b", "ISa", "CPU (s)", "Memory (MB)",
    ]  # fmt: skip
    rows = []
    for contestant in _ordered(contestants, ranking):
        n = numbers[contestant.name]
        overall = n.get("merging", {}).get("overall", {})
        rmsd = n["rmsd_px"]
        rows.append([
            _place(contestant.name, ranking), contestant.name, _percent(n["fraction_indexed"]),
            f"{rmsd[0]:.3f} {rmsd[1]:.3f}" if rmsd else "--", round(rmsd[2], 3) if rmsd else None, n["n_integrated"],
            n.get("space_group", "--"), _rounded(overall.get("cc_half"), 4), _rounded(overall.get("r_meas"), 4),
            _rounded(overall.get("r_pim"), 4), _rounded(overall.get("cc_anomalous"), 3), _rounded(overall.get("anomalous_slope"), 3),
            _rounded(n.get("error_model_a"), 3), _rounded(n.get("error_model_b"), 4), _rounded(n.get("isa"), 1),
            _rounded(n["cpu_seconds"], 1), _rounded(n["peak_memory_mb"], 0),
        ])  # fmt: skip
    return Table("Contestants", headers, rows, "compare")


def _rounded(value: Any, digits: int) -> Any:
    if value is None or value != value:
        return None
    return round(value, digits) if digits else round(value)


def failure_table(contestants: list[Contestant]) -> Table | None:
    """Those that failed, and why; None when nobody did."""
    rows = [[c.name, c.failed_at or "the settings", c.reason] for c in contestants if c.reason]
    return Table("Failed", ["Contestant", "At", "Reason"], rows, "compare_failed") if rows else None


def truth_table(truth: AgainstTruth, ranking: Ranking) -> Table:
    """Each against the truth."""
    headers = [
        "Rank", "Contestant", "Found (%)", "Place x, y (px)", "Place z (images)", "Counts", "Efficiency", "95 %", "Scale", "R", "rms z",
        "Weakest fifth\nbias (%)", "Weakest fifth\n+- (%)", "Weakest fifth\nrms z", "Scaled R", "Scaled rms z",
    ]  # fmt: skip
    rows = []
    names = [*ranking.order, *(n for n in truth.rows if n not in ranking.order)]
    for name in names:
        row = truth.rows.get(name)
        if row is None:
            continue
        x, y, z = row.place_rms
        weak = weakest_fifth(row.by_counts)
        rows.append([
            _place(name, ranking), name, _percent(row.found, 2), f"{x:.4f} {y:.4f}", round(z, 4), row.kind or "--",
            _rounded(row.efficiency, 3), f"{row.low:.3f} {row.high:.3f}" if row.low == row.low else "--",
            _rounded(row.counts.scale, 4) if row.counts else None, _rounded(row.counts.r_factor, 4) if row.counts else None,
            _rounded(row.counts.rms_z, 2) if row.counts else None, *weak,
            _rounded(row.scaled.r_factor, 4) if row.scaled else None, _rounded(row.scaled.rms_z, 2) if row.scaled else None,
        ])  # fmt: skip
    return Table("Against the truth", headers, rows, "compare_truth")


def weakest_fifth(by_counts: dict[str, Any]) -> tuple[float | None, float | None, float | None]:
    """Relative bias, its standard error (both %) and rms z of the weakest fifth of the true counts."""
    if not by_counts:
        return None, None, None
    n = max(1, len(by_counts["n"]) // 5)
    weight = by_counts["n"][:n] * by_counts["counts"][:n]
    total = max(float(weight.sum()), 1e-9)
    bias = float((by_counts["bias"][:n] * weight).sum() / total)
    error = float(np.sqrt(((by_counts["bias_error"][:n] * weight) ** 2).sum()) / total)
    rms = float(((by_counts["rms_z"][:n] ** 2).mean()) ** 0.5)
    return round(100 * bias, 2), round(100 * error, 2), round(rms, 2)


def pair_table(level: Level) -> Table | None:
    """Each pair; None when there is none."""
    rows = []
    for duel in level.duels:
        s = duel.statistics
        rows.append([
            duel.first, duel.second, s.n, round(s.cc, 5), "{:.5f} {:.5f}".format(*s.cc_interval), round(s.slope, 4),
            "{:.4f} {:.4f}".format(*s.slope_interval), round(s.offset, 3), "{:.3f} {:.3f}".format(*s.offset_interval),
            round(s.mean_z, 3), round(s.rms_z, 3),
        ])  # fmt: skip
    what = {"counts": "counts", "scaled": "scaled intensities", "merged": "merged intensities"}[level.name]
    headers = [
        "x", "y", "Number", "CC", "95 %", "Slope", "95 % ", "Offset", " 95 %", "Mean difference\n(sigma)", "rms difference\n(sigma)",
    ]  # fmt: skip
    return (
        Table(f"Pairwise, {what} of the same reflections: y = slope x + offset", headers, rows, f"compare_{level.name}")
        if rows
        else None
    )


def merging_table(common: dict[str, Any], n_common: int) -> Table | None:
    """Merging statistics on what all have; None when there is nothing in common."""
    if len(common) < 2:
        return None
    rows = []
    for name, statistics in common.items():
        o = statistics.overall
        rows.append([
            name, o.n_observations, o.n_unique, _rounded(o.cc_half, 4), _rounded(o.r_meas, 4), _rounded(o.r_pim, 4),
            _rounded(o.i_over_sigma, 2), _rounded(o.cc_anomalous, 3), _rounded(o.anomalous_slope, 3),
        ])  # fmt: skip
    headers = ["Contestant", "Observations", "Unique", "CC1/2", "Rmeas", "Rpim", "I/sigma", "CC ano", "Slope ano"]
    return Table(f"Merged, the {n_common} observations that all have", headers, rows, "compare_common")


def cost_table(contestants: list[Contestant]) -> Table | None:
    """What every step has cost; None when nothing was run."""
    rows = []
    seen = set()
    for contestant in contestants:
        for cost in contestant.costs:
            key = (cost.name, cost.seconds, cost.shared_by)
            if cost.shared_by > 1 and key in seen:
                continue
            seen.add(key)
            whose = contestant.name if cost.shared_by == 1 else f"{cost.shared_by} contestants together"
            rows.append([
                cost.name, whose, round(cost.seconds, 2), _rounded(cost.cpu_seconds, 2), _rounded(cost.peak_memory_mb, 0),
            ])  # fmt: skip
    headers = ["Step", "Contestant", "Seconds", "CPU (s)", "Peak memory (MB)"]
    return Table("Time and memory", headers, rows, "compare_cost") if rows else None
