"""How positions, cell and space group of each experiment agree with the truth."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import gemmi
import numpy as np

from spindle.models import Experiments
from spindle.report import Table
from spindle_lib_comparison import Matches

__all__ = ["overview_table"]


def overview_table(matches: dict[int, Matches], experiments: Experiments | None) -> tuple[Table, list[dict[str, Any]]]:
    """Recall, positions, cell and space group: a table with a column for each experiment, and the same by experiment."""
    columns = []
    for number, one in matches.items():
        column = _column(one, experiments, number)
        if len(matches) > 1:
            column = {"Experiment": number, "Truth": f"{one.truth.folder.name}, lattice {one.truth.lattice}", **column}
        columns.append(column)
    names = list(dict.fromkeys(name for column in columns for name in column))
    rows = [[name, *(column.get(name, "") for column in columns)] for name in names]
    headers = ["What", "Value"] if len(columns) == 1 else ["What", *(f"Value {k}" for k in matches)]
    return Table("Against the truth", headers, rows, "truth_overview"), columns


def _column(matches: Matches, experiments: Experiments | None, number: int) -> dict[str, Any]:
    truth = matches.truth
    experiment = experiments[number] if experiments is not None and number < len(experiments) else None
    observable = truth.observable(experiment.scan.image_range if experiment is not None and experiment.scan else None)
    recall = np.isin(np.flatnonzero(observable), matches.truth_rows).mean()
    rms = np.sqrt(np.mean(matches.difference**2, axis=0))
    column: dict[str, Any] = {
        "Reflections with a place": matches.n_candidates,
        "matched to the truth": len(matches.rows),
        "matched by place but with another index": matches.wrong_index,
        "True reflections on live pixels during the sweep": int(observable.sum()),
        "found of these (%)": round(100 * float(recall), 2),
        "Predicted - true x, y (px, rms)": f"{rms[0]:.4f} {rms[1]:.4f}",
        "Predicted - true rotation (images, rms)": f"{rms[2]:.4f}",
        "True hkl = M hkl, M": " ".join(str(Fraction(v).limit_denominator(6)) for v in matches.reindex.ravel()),
    }
    if experiment is not None and experiment.crystal is not None:
        crystal = experiment.crystal
        cell = _cell_in_true_setting(crystal.A, matches.reindex)
        column |= {
            "Cell (A, deg), in the true setting": " ".join(f"{v:.3f}" for v in cell),
            "True cell": " ".join(f"{v:.3f}" for v in truth.models["cell"]),
            "Space group": crystal.space_group.xhm(),
            "True space group": truth.group.xhm() + _hand(crystal.space_group, truth.group),
        }
    return column


# Space groups that are each other's mirror image (International Tables A, 3.3.3).
MIRROR_IMAGES = {
    frozenset(pair)
    for pair in (
        (76, 78), (91, 95), (92, 96), (144, 145), (151, 153), (152, 154), (169, 170), (171, 172), (178, 179),
        (180, 181), (212, 213),
    )
}  # fmt: skip


def _hand(found: gemmi.SpaceGroup, true: gemmi.SpaceGroup) -> str:
    """A remark where the two differ only in what a diffraction pattern shows hardly or not at all."""
    if frozenset((found.number, true.number)) in MIRROR_IMAGES:
        return " (its mirror image: intensities alone do not tell which)"
    if found.number != true.number and found.point_group_hm() == true.point_group_hm():
        return " (same point group: only axial reflections tell screw axes)"
    return ""


def _cell_in_true_setting(setting: np.ndarray, reindex: np.ndarray) -> np.ndarray:
    """Cell (6,) of a setting matrix after reindexing."""
    axes = np.linalg.inv(setting @ np.linalg.inv(reindex))  # rows a, b, c
    lengths = np.linalg.norm(axes, axis=1)
    unit = axes / lengths[:, None]
    angles = [np.degrees(np.arccos(np.clip(unit[i] @ unit[j], -1, 1))) for i, j in ((1, 2), (0, 2), (0, 1))]
    return np.concatenate([lengths, angles])
