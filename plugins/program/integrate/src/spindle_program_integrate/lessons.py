"""Strong spots for a fitter to learn from, in an order that does not depend on how images were cut into tasks."""

from __future__ import annotations

from typing import Any

import numpy as np

from spindle.table import ReflectionTable, Shoeboxes

from .blocks import SPOTS_PER_BLOCK, Plan
from .measure import Measured
from .noise import lifted
from .validation import Validation

__all__ = ["Lessons"]


class Lessons:
    """Shoeboxes of strong spots of one set of images.

    Parameters
    ----------
    table : ReflectionTable
        All rows of the run, with bbox and the columns that a fitter may want.
    rows : (m,) int64
        Those on the images, ascending.
    """

    def __init__(self, table: ReflectionTable, rows: np.ndarray) -> None:
        self.table = table
        self._every = rows
        self._rows: list[np.ndarray] = []
        self._boxes: list[Shoeboxes] = []

    def add(self, measured: Measured, chosen: np.ndarray) -> None:
        """Take in some of the kept shoeboxes, (k,) positions among them."""
        if len(chosen):
            self._rows.append(measured.rows[measured.kept[chosen]])
            self._boxes.append(lifted(measured.shoeboxes.select(chosen), measured.noise[chosen]))

    def teach(self, fitter: Any, witness: Validation | None = None) -> np.ndarray:
        """Let a `ProfileFitter` learn, spot after spot as they end on the images; a witness gets the same.

        Returns
        -------
        (n,) int64
            Rows that it used.
        """
        if not self._rows:
            return np.zeros(0, np.int64)
        rows, boxes = np.concatenate(self._rows), Shoeboxes.concatenate(self._boxes)
        self._rows, self._boxes = [], []
        order = np.argsort(self._rank(rows), kind="stable")
        used = []
        for begin in range(0, len(order), SPOTS_PER_BLOCK):
            part = order[begin : begin + SPOTS_PER_BLOCK]
            spots, some = self.table.select(rows[part]), boxes.select(part)
            if witness is not None:
                witness.add(spots, some)
            learned = fitter.learn(spots, some)
            used.append(rows[part][learned])
        return np.concatenate(used)

    def _rank(self, rows: np.ndarray) -> np.ndarray:
        """(k,) int64: the place of rows in the order."""
        plan = Plan(self.table["bbox"], self._every)
        as_they_end = np.argsort(np.array(plan.last), kind="stable")
        rank = np.empty(len(self._every), np.int64)
        in_order = np.concatenate([plan.blocks[i] for i in as_they_end])
        rank[np.searchsorted(self._every, in_order)] = np.arange(len(in_order))
        return np.asarray(rank[np.searchsorted(self._every, rows)])
