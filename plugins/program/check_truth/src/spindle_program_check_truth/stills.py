"""How many crystals of stills were found, and how their positions, cells and partialities agree with the truth."""

from __future__ import annotations

from typing import Any

import numpy as np

from spindle.errors import UserError
from spindle.models import Experiments
from spindle.report import Table
from spindle.table import ReflectionTable
from spindle_lib_comparison import Matches, Truth, best_match, is_symmetry

__all__ = ["match_stills", "stills_table"]

LEAST_PARTIALITY = 0.1  # of reflections that ought to be found


def match_stills(
    table: ReflectionTable, numbers: list[int], truths: list[Truth], experiments: Experiments | None
) -> tuple[dict[int, Matches], dict[int, str]]:
    """Pairs of the reflections of each crystal with the truth of its image, and the crystals that are none of it, with the reason.

    Raises
    ------
    UserError
        If none is.
    """
    found, strangers = {}, {}
    if experiments is None:
        raise UserError(
            "check_truth: the truth is of stills, and the reflections do not tell the images of their crystals: give the experiments, "
            "too, e.g. integrated.expt"
        )
    for k in numbers:
        try:
            found[k] = best_match(table, k, truths, experiments)
        except UserError as error:
            strangers[k] = str(error)
    if not found:
        raise UserError(
            f"check_truth: none of {len(numbers)} crystals is one of the truth. The first: {strangers[numbers[0]]}"
        )
    return found, strangers


def stills_table(
    table: ReflectionTable, matches: dict[int, Matches], strangers: dict[int, str], truths: list[Truth], experiments: Experiments | None
) -> tuple[Table, list[dict[str, Any]]]:  # fmt: skip
    """All crystals together in a table, and numbers of each."""
    each = []
    differences, off, seen, wanted, wrong, candidates, swapped = [], [], 0, 0, 0, 0, 0
    for k, one in matches.items():
        truth = one.truth
        assert truth.image is not None
        still = int(np.bincount(truth.image[one.truth_rows]).argmax()) if len(one.truth_rows) else -1
        observable = truth.observable() & (truth.image == still) & (truth.partiality > LEAST_PARTIALITY)
        here = np.isin(np.flatnonzero(observable), one.truth_rows)
        differences.append(one.difference[:, :2])
        if "partiality" in table:
            off.append(table["partiality"][one.rows] - truth.partiality[one.truth_rows])
        seen, wanted = seen + int(here.sum()), wanted + len(here)
        wrong, candidates = wrong + one.wrong_index, candidates + one.n_candidates
        swapped += not is_symmetry(one.reindex, truth.group)
        row: dict[str, Any] = {"Experiment": k, "image": still + truth.first_image, "matched": len(one.rows)}
        if experiments is not None and experiments[k].crystal is not None:
            row["cell"] = [round(float(v), 4) for v in experiments[k].known_crystal.cell]
        each.append(row)
    shift = np.concatenate(differences)
    rms = np.sqrt(np.mean(shift**2, axis=0)) if len(shift) else np.full(2, np.nan)
    crystals = sum(int(np.count_nonzero(truth.volume)) for truth in truths)
    column: dict[str, Any] = {
        "Crystals simulated": crystals,
        "Crystals found": len(matches),
        "Crystals that are none of them": len(strangers),
        "Crystals with axes that are no symmetry's": swapped,
        "Reflections with a place": candidates,
        "matched to the truth": len(shift),
        "matched by place but with another index": wrong,
        f"True reflections of partiality above {LEAST_PARTIALITY:g} on live pixels": wanted,
        "found of these (%)": round(100.0 * seen / max(wanted, 1), 2),
        "Predicted - true x, y (px, rms)": f"{rms[0]:.4f} {rms[1]:.4f}",
    }
    if off:
        difference = np.concatenate(off)
        column["Partiality - true (mean, rms)"] = f"{difference.mean():.4f} {np.sqrt(np.mean(difference**2)):.4f}"
    cells = np.array([row["cell"] for row in each if "cell" in row])
    if len(cells):
        column["Median cell (A, deg)"] = " ".join(f"{v:.3f}" for v in np.median(cells, axis=0))
        column["True cell"] = " ".join(f"{v:.3f}" for v in truths[0].models["cell"])
    rows = [[name, value] for name, value in column.items()]
    return Table("Stills against the truth", ["What", "Value"], rows, "truth_overview"), [{**column, "crystals": each}]
