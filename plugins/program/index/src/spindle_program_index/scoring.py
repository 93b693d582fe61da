"""Ranking of candidate lattices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spindle.report import Table
from spindle.symmetry import cell_parameters


@dataclass(frozen=True)
class Solution:
    """A candidate lattice that was indexed and refined.

    Attributes
    ----------
    A : (3, 3) float64, 1/angstrom
        Before refinement.
    hall : str
        Hall symbol of its space group.
    n_indexed : int
    fraction_indexed : float
    rmsd_xy : float, mm
        After a short refinement.
    gain : float
        What speaks for it then; see `evidence`.
    move : (float, float), mm
        Of the detector along fast and slow, with which it was tried.
    harmonic : int
        Of the beam, whose spots lie between its points; 0 for none.
    """

    A: np.ndarray
    hall: str
    n_indexed: int
    fraction_indexed: float
    rmsd_xy: float
    gain: float
    move: tuple[float, float] = (0.0, 0.0)
    harmonic: int = 0

    @property
    def cell(self) -> np.ndarray:
        """(6,) angstrom and degrees."""
        return cell_parameters(np.linalg.inv(self.A))

    @property
    def volume(self) -> float:
        """Cubic angstrom."""
        return float(abs(1 / np.linalg.det(self.A)))


def rank(solutions: Sequence[Solution], params: Any, known_volume: float | None = None) -> tuple[Solution, Table]:
    """The best solution and a table of all, by the chosen scorer.

    Parameters
    ----------
    solutions : sequence of Solution
        Not empty.
    params : Params
        The scope ``indexing.basis_vector_combinations``.
    known_volume : float or None, cubic angstrom
        Volume of the cell that the user knows, in the setting of the solutions: the nearest to it, not the smallest, is
        then the best.
    """
    if params.solution_scorer == "filter":
        return _rank_by_filter(solutions, params.filter)
    return _rank_by_weight(solutions, params.weighted, known_volume)


def _cell_text(cell: np.ndarray) -> str:
    return " ".join([f"{x:.2f}" for x in cell[:3]] + [f"{x:.1f}" for x in cell[3:]])


def _rank_by_weight(solutions: Sequence[Solution], params: Any, known_volume: float | None) -> tuple[Solution, Table]:
    """Small volume, many spots and small rmsd, each as a distance from the best in powers of two."""
    volume = np.log2([s.volume for s in solutions])
    if known_volume is not None:
        volume = np.abs(volume - np.log2(known_volume))
    fraction = np.log2([max(s.fraction_indexed, 1e-9) for s in solutions])
    rmsd = np.log2([max(s.rmsd_xy, 1e-6) for s in solutions])
    parts = np.array(
        [
            params.volume_weight * (volume - volume.min()),
            params.n_indexed_weight * (fraction.max() - fraction),
            params.rmsd_weight * (rmsd - rmsd.min()),
        ]
    )
    total = np.sum(parts**params.power, axis=0)
    order = np.argsort(total, kind="stable")
    rows = []
    for i in order:
        s = solutions[i]
        rows.append(
            [
                _cell_text(s.cell), f"{s.volume:.0f}", f"{parts[0, i]:.2f}",
                s.n_indexed, f"{100 * s.fraction_indexed:.0f}", f"{parts[1, i]:.2f}",
                f"{s.rmsd_xy:.3f}", f"{parts[2, i]:.2f}", f"{total[i]:.2f}",
            ]
        )  # fmt: skip
    headers = [
        "unit_cell", "volume", "volume score", "#indexed", "% indexed", "% indexed score", "rmsd_xy", "rmsd_xy score",
        "overall score",
    ]  # fmt: skip
    return solutions[order[0]], Table("Candidate solutions:", headers, rows, "candidate_solutions")


def _rank_by_filter(solutions: Sequence[Solution], params: Any) -> tuple[Solution, Table]:
    """Drop poor, doubled and large cells in turn; the smallest rmsd of the rest wins."""
    kept = [s for s in solutions if s.n_indexed >= 0.05 * max(t.n_indexed for t in solutions)]
    if params.check_doubled_cell:
        kept = [s for s in kept if not any(_is_multiple_of(s, t) for t in kept if t is not s)] or kept
    best = max(_likelihood(s) for s in kept)
    kept = [s for s in kept if _likelihood(s) >= params.likelihood_cutoff * best] or kept
    smallest = min(s.volume for s in kept)
    kept = [s for s in kept if s.volume < params.volume_cutoff * smallest]
    most = max(s.n_indexed for s in kept)
    kept = [s for s in kept if s.n_indexed >= params.n_indexed_cutoff * most]
    kept.sort(key=_likelihood, reverse=True)
    identities = {id(s) for s in kept}
    rows = []
    for s in sorted(solutions, key=lambda s: (id(s) not in identities, -_likelihood(s))):
        rows.append(
            [
                _cell_text(s.cell), f"{s.volume:.0f}", s.n_indexed, f"{100 * s.fraction_indexed:.0f}",
                f"{s.rmsd_xy:.3f}", f"{_likelihood(s):.2f}", "yes" if id(s) in identities else "no",
            ]
        )  # fmt: skip
    headers = ["unit_cell", "volume", "#indexed", "% indexed", "rmsd_xy", "likelihood", "passes filters"]
    return kept[0], Table("Candidate solutions:", headers, rows, "candidate_solutions")


def _likelihood(solution: Solution) -> float:
    return 1.0 - solution.rmsd_xy


def _is_multiple_of(large: Solution, small: Solution) -> bool:
    """Whether one lattice is the other with doubled edges and explains hardly more spots."""
    if large.volume < 1.5 * small.volume or large.n_indexed >= 1.1 * small.n_indexed:
        return False
    direct = np.linalg.inv(large.A)
    for factors in np.array(np.meshgrid(*[[1, 2]] * 3)).reshape(3, -1).T:
        if factors.max() == 1:
            continue
        # The shrunken basis must be the small lattice: whole-number combinations of its vectors with determinant 1.
        combination = (direct / factors[:, None]) @ small.A
        whole = np.rint(combination)
        if abs(round(np.linalg.det(whole))) == 1 and np.abs(combination - whole).max() < 0.05:
            return True
    return False
