"""Numbers of spots and strengths of reflections along a scan, and where they break down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from spindle.models import Scan
from spindle.table import Flag, ReflectionTable

__all__ = ["Profile", "analyse", "edges_of"]

#: What is looked at: key, in words, and the title of its axis.
KINDS = (
    ("strong", "strong", "Number of reflections"),
    ("indexed", "indexed", "Number of reflections"),
    ("integrated", "integrated", "<I/sigma>"),
)


@dataclass(frozen=True, slots=True)
class Profile:
    """A quantity along a scan.

    Attributes
    ----------
    kind : str
        "strong", "indexed" or "integrated".
    n_reflections : int
    edges : (n + 1,) float64
        Array indices between which the values are.
    values : (n,) float64
    blank : (n,) bool
    """

    kind: str
    n_reflections: int
    edges: np.ndarray
    values: np.ndarray
    blank: np.ndarray

    @property
    def regions(self) -> list[tuple[int, int]]:
        """Half-open ranges of array indices of images that are blank, or partly so."""
        steps = np.diff(np.concatenate([[0], self.blank.astype(np.int8), [0]]))
        starts, ends = np.flatnonzero(steps > 0), np.flatnonzero(steps < 0)
        low = np.floor(self.edges[starts] + 1e-9).astype(int)
        high = np.ceil(self.edges[ends] - 1e-9).astype(int)
        return list(zip(low.tolist(), high.tolist(), strict=True))


def edges_of(scan: Scan, step_deg: float) -> np.ndarray:
    """(n + 1,) float64: array indices of the ends of equal steps of about a rotation; of single images where nothing turns."""
    first, last = scan.array_range
    n = scan.n_images
    if not scan.is_still and step_deg > 0:
        n = int(np.clip(round(n * scan.oscillation_deg[1] / step_deg), 1, n))
    return np.linspace(first, last, n + 1)


def analyse(table: ReflectionTable, scan: Scan, params: Any) -> list[Profile]:
    """What there is to say of the reflections of one scan.

    Parameters
    ----------
    table : ReflectionTable
    scan : Scan
    params : Params
        ``phi_step``, ``counts_fractional_loss`` and ``misigma_fractional_loss``.

    Returns
    -------
    list of Profile
        Of strong, indexed and integrated reflections, those kinds that there are; strong ones always.
    """
    edges = edges_of(scan, params.phi_step)
    z = table["xyzobs.px.value"][:, 2]
    found = []
    strong = table.has_flags(Flag.STRONG)
    indexed = table.has_flags(Flag.INDEXED) & ~table.has_flags(Flag.CENTROID_OUTLIER)
    for kind, rows in (("strong", strong), ("indexed", indexed)):
        if kind == "strong" or rows.any():
            counts, _ = np.histogram(z[rows], edges)
            blank = counts <= params.counts_fractional_loss * counts.max(initial=0)
            found.append(Profile(kind, int(np.count_nonzero(rows)), edges, counts.astype(np.float64), blank))
    name = "prf" if table.has_flags(Flag.INTEGRATED_PRF).any() else "sum"
    rows = table.has_flags(Flag.INTEGRATED_PRF if name == "prf" else Flag.INTEGRATED_SUM)
    if rows.any() and f"intensity.{name}.variance" in table:
        variance = table[f"intensity.{name}.variance"]
        rows &= variance > 0
        ratio = table[f"intensity.{name}.value"][rows] / np.sqrt(variance[rows])
        counts, _ = np.histogram(z[rows], edges)
        sums, _ = np.histogram(z[rows], edges, weights=ratio)
        means = np.divide(sums, counts, out=np.zeros(len(counts)), where=counts > 0)
        blank = means <= params.misigma_fractional_loss * max(means.max(initial=0.0), 0.0)
        found.append(Profile("integrated", int(np.count_nonzero(rows)), edges, means, blank))
    return found
