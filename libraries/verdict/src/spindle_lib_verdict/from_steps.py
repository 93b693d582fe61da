"""Facts from what the steps of a chain say at their end: the summaries in process.json and in run records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .facts import Facts

__all__ = ["facts_of_steps"]

MOST_NAMED = 10


def facts_of_steps(
    steps: Mapping[str, Mapping[str, Any]], failed: str | None = None, failed_step: str | None = None
) -> Facts:
    """Facts from the summaries of steps, by the name of the step; what a summary does not have is not known.

    Parameters
    ----------
    steps : mapping of str to mapping
        ``steps`` of process.json, or ``summary`` of the run record of each step.
    failed : str, optional
        What the step said that ended the chain.
    failed_step : str, optional
        Its name.
    """
    facts = [_of_step(name, summary) for name, summary in steps.items()]
    problems = [f"{name}: {s['problem']}" for name, s in steps.items() if s.get("problem") and "undecided" not in s]
    lost = [one for s in steps.values() for one in s.get("lost_images") or ()]
    n_lost = sum(int(one["last"]) - int(one["first"]) + 1 for one in lost)
    return Facts.joined(
        [
            *facts,
            Facts(
                failed=failed,
                failed_step=failed_step,
                problems=tuple(problems) or None,
                n_lost_images=n_lost if any("lost_images" in s for s in steps.values()) else None,
                lost_images=tuple(f"{one['experiment']}:{one['first']}:{one['last']}" for one in lost) or None,
            ),
        ]
    )


def _of_step(name: str, summary: Mapping[str, Any]) -> Facts:
    """What one summary tells: names that mean the same in every step, and those of refine and scale."""
    same = (
        "n_images", "n_left_out_images", "n_blank_images", "n_spots", "ice_fraction", "fraction_indexed", "n_lattices", "further_fraction", "space_group_is_given", "undecided", "contradiction",
        "screw_axes",
        "is_twinned", "twin_law", "twin_fraction", "mean_abs_l", "missed_centring", "suggested_d_min", "completeness", "multiplicity",
        "good_completeness", "good_multiplicity",
        "r_meas_low", "cc_half", "cc_half_critical", "i_over_sigma", "best_i_over_sigma", "sigma_factor", "decay_b",
    )  # fmt: skip
    known: dict[str, Any] = {key: summary[key] for key in same if key in summary}
    if "cc_half" in summary or "completeness" in summary:  # other steps have a d_min of another meaning
        known["d_min"] = summary.get("d_min")
    if "cc_half" in summary or "probability" in summary or "undecided" in summary:
        known["space_group"] = summary.get("space_group")
    if "probability" in summary:
        known["laue_group_probability"] = summary["probability"]
    if rmsd := summary.get("rmsd_px"):
        known.update(_rmsd(rmsd))
    elif "rmsd_x" in summary:
        known.update(_rmsd([[summary["rmsd_x"], summary["rmsd_y"], summary.get("rmsd_z", 0.0)]]))
    if left_out := summary.get("left_out_images"):
        known["left_out_images"] = tuple(Path(str(one["path"])).name for one in left_out[:MOST_NAMED])
    if (errors := summary.get("error_models")) and summary.get("errors_are_known", True):
        products = [float(np.prod(e[:2])) for e in errors if len(e) >= 2]
        if products and max(products) > 0:
            known["largest_i_over_sigma"] = 1.0 / max(products)
    return Facts(**{k: v for k, v in known.items() if v is not None})


def _rmsd(values: Sequence[Sequence[float]]) -> dict[str, float]:
    """The worst experiment: along the detector and along the rotation."""
    worst = np.nanmax(np.asarray(values, float).reshape(-1, 3), axis=0)
    return {"rmsd_px": float(worst[:2].max()), "rmsd_images": float(worst[2])}
