"""What a report is about: experiments, and one table for each step of the work."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np

from spindle.models import Experiments
from spindle.table import INTEGRATED, Flag, ReflectionTable
from spindle_lib_merging import is_scaled
from spindle_lib_selection.parts import join

__all__ = ["MOST_ROWS", "STAGES", "Given", "only", "sampled", "some_rows", "stage_of"]

#: What a table can be the result of, in the order of the work.
STAGES = ("strong", "predicted", "indexed", "refined", "integrated", "scaled")

#: Figures of means and maps take no more rows: they would show nothing else.
MOST_ROWS = 300_000


def sampled(table: ReflectionTable, chosen: np.ndarray) -> tuple[ReflectionTable, int]:
    """Some rows of a table for figures.

    Parameters
    ----------
    table : ReflectionTable
    chosen : (n,) bool

    Returns
    -------
    table : ReflectionTable
        Every k-th of the chosen rows, at most `MOST_ROWS`.
    k : int
    """
    n = int(np.count_nonzero(chosen))
    step = max(1, -(-n // MOST_ROWS))
    if step == 1 and n == len(table):
        return table, 1
    return some_rows(table, np.flatnonzero(chosen)[::step]), step


def some_rows(table: ReflectionTable, rows: np.ndarray) -> ReflectionTable:
    """Some rows of a table: columns that are still in their file are read block by block and not kept.

    Parameters
    ----------
    table : ReflectionTable
    rows : (k,) int64, in rising order
    """
    deferred = [n for n in table if (found := table.deferred(n)) is not None and found.outline() is None]
    result = table.without(*deferred).select(rows)
    for name in deferred:
        parts, first = [], 0
        for block in table.blocks(name):
            low, high = np.searchsorted(rows, (first, first + len(block)))
            parts.append(block[rows[low:high] - first])
            first += len(block)
        result[name] = np.concatenate(parts) if parts else table[name][rows]
    return result


def only(table: ReflectionTable, names: Collection[str]) -> ReflectionTable:
    """Some columns, read for this table alone: what is read for it does not stay in memory with the given one."""
    return table.without(*[n for n in table if n not in names]).select(np.arange(len(table)))


def stage_of(table: ReflectionTable) -> str:
    """Which of `STAGES` a table comes from, by its columns and flags."""
    if is_scaled(table):
        return "scaled"
    if "flags" in table and len(table):
        if table.has_flags(INTEGRATED, all=False).any():
            return "integrated"
        indexed = table.has_flags(Flag.INDEXED)
        if indexed.any():
            return "refined" if table.has_flags(Flag.USED_IN_REFINEMENT).any() else "indexed"
        return "predicted" if table.has_flags(Flag.PREDICTED).all() else "strong"
    if "inverse_scale_factor" in table:
        return "scaled"
    if "intensity.prf.value" in table or "partiality" in table:
        return "integrated"
    return "indexed" if "miller_index" in table else "strong"


@dataclass(frozen=True)
class Given:
    """What there is to report.

    Attributes
    ----------
    experiments : Experiments
        Empty where none were given.
    tables : dict of str to ReflectionTable
        By stage; those of one stage are joined.
    """

    experiments: Experiments = field(default_factory=Experiments)
    tables: dict[str, ReflectionTable] = field(default_factory=dict)

    @classmethod
    def of(cls, experiments: Experiments | None, tables: Sequence[ReflectionTable]) -> Given:
        """Sort tables by stage; shoeboxes are left out of tables that are joined, and of the same rows the last table is taken.

        Indexing refines, so that indexed.refl and refined.refl are of one stage and hold the same spots.
        """
        groups: dict[str, list[ReflectionTable]] = {}
        for table in tables:
            groups.setdefault(stage_of(table), []).append(table)
        joined = {}
        for stage in STAGES:
            if stage in groups:
                parts = _once(groups[stage])
                parts = parts if len(parts) == 1 else [t.without("shoebox") for t in parts]
                found = join(parts)
                assert found is not None
                joined[stage] = _numbered(found)
        return cls(experiments or Experiments(), joined)

    def first(self, *stages: str) -> ReflectionTable | None:
        """The table of the first of some stages that has rows."""
        return next((self.tables[s] for s in stages if s in self.tables and len(self.tables[s])), None)

    @property
    def furthest(self) -> str:
        """The last stage that there is a table of; empty for none."""
        return next((s for s in reversed(STAGES) if s in self.tables), "")


def _once(tables: list[ReflectionTable]) -> list[ReflectionTable]:
    """Without tables whose rows a later one holds, too: as many, at the same places."""
    marks = [_mark(t) if len(tables) > 1 else None for t in tables]
    return [
        t
        for k, (t, mark) in enumerate(zip(tables, marks, strict=True))
        if mark is None or not any(m is not None and np.allclose(m, mark, rtol=1e-10, atol=0) for m in marks[k + 1 :])
    ]


def _mark(table: ReflectionTable) -> np.ndarray | None:
    """(5,) float64: number of rows, sums of their places and of the squares; the same for rows in another order. None without places."""
    name = next((n for n in ("xyzobs.px.value", "xyzcal.px") if n in table), None)
    if name is None or not len(table):
        return None
    xyz = np.asarray(table.peek(name), np.float64)
    return np.array([len(xyz), *np.nansum(xyz, axis=0), np.nansum(xyz**2)])


def _numbered(table: ReflectionTable) -> ReflectionTable:
    """With a column `id`."""
    if "id" in table:
        return table
    result = table.view()
    result["id"] = np.full(len(table), -1, np.int32)
    return result
