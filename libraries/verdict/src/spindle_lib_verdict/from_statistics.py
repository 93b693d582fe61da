"""Facts from merging statistics and from the tests for twins."""

from __future__ import annotations

from typing import Any

from spindle_lib_merging import MergingStatistics, ShellStatistics, data_end
from spindle_lib_merging.soundness import MIN_REFLECTIONS
from spindle_lib_twinning.diagnosis import Diagnosis

from .facts import Facts

__all__ = ["facts_of_diagnosis", "facts_of_statistics", "tells_errors"]


def tells_errors(overall: ShellStatistics) -> bool:
    """Whether enough reflections were measured twice to tell errors, scales and decay; else these are as scaling has assumed them."""
    return overall.n_half >= 2 * MIN_REFLECTIONS


def facts_of_statistics(statistics: MergingStatistics, space_group: str | None = None) -> Facts:
    """Facts of merged intensities.

    Parameters
    ----------
    statistics : MergingStatistics
    space_group : str, optional
        In which they were merged.
    """
    overall = statistics.overall
    suggested = data_end(statistics).d_min
    good = (None, None) if suggested is None else _within(statistics, suggested)
    sure = [s for s in statistics.shells if s.n_unique >= MIN_REFLECTIONS]
    return Facts(
        space_group=space_group,
        d_min=overall.d_min,
        suggested_d_min=suggested,
        completeness=overall.completeness,
        multiplicity=overall.multiplicity,
        good_completeness=good[0],
        good_multiplicity=good[1],
        r_meas_low=sure[0].r_meas if sure and sure[0].n_half >= 2 * MIN_REFLECTIONS else None,
        cc_half=overall.cc_half if tells_errors(overall) else None,
        cc_half_critical=overall.cc_half_critical if tells_errors(overall) else None,
        i_over_sigma=overall.i_over_sigma,
        best_i_over_sigma=max((s.i_over_sigma for s in sure), default=overall.i_over_sigma),
    )


def _within(statistics: MergingStatistics, d_min: float) -> tuple[float | None, float | None]:
    """Completeness and multiplicity to a limit, with the part of the last shell that lies within it."""
    observations = unique = possible = 0.0
    for shell in statistics.shells:
        inner, outer = shell.d_max**-3, shell.d_min**-3
        part = min(max((d_min**-3 - inner) / max(outer - inner, 1e-12), 0.0), 1.0)
        if shell.n_unique and shell.completeness > 0:
            observations += part * shell.n_observations
            unique += part * shell.n_unique
            possible += part * shell.n_unique / shell.completeness
    return (unique / possible, observations / unique) if possible else (None, None)


def facts_of_diagnosis(diagnosis: Diagnosis) -> Facts:
    """Facts of the tests for twins and translations; nothing where there were too few reflections."""
    if not diagnosis.n:
        return Facts()
    known: dict[str, Any] = {"is_twinned": diagnosis.is_twinned, "mean_abs_l": diagnosis.l_test.mean_abs}
    if diagnosis.law is not None:
        known["twin_law"] = diagnosis.law.law.name
        known["twin_fraction"] = float(diagnosis.law.fraction_h_square)
    shift = diagnosis.translation
    if shift is not None and shift.is_lattice_vector:
        vector = ", ".join(f"{v:.3f}" for v in shift.vector)
        known["missed_centring"] = f"a vector of the lattice, ({vector}), which the cell does not have"
    return Facts(**known)
