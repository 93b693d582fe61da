"""A table made of blocks of rows, which is never in memory twice."""

from __future__ import annotations

import numpy as np

from spindle.table import ReflectionTable

__all__ = ["Growing"]

SPARE = 8  # room is made for one in so many rows more than there are


class Growing:
    """Takes blocks of rows with the same columns.

    Blocks that wait to be joined are in memory with the table made of them, and small arrays that are given up one by one leave holes.
    Here each block goes to the end of its columns, whose memory grows in place.
    """

    def __init__(self) -> None:
        self._columns: dict[str, np.ndarray] = {}
        self._n = self._room = 0
        self._own = False

    def add(self, block: ReflectionTable, rows: np.ndarray) -> None:
        """Append some rows (k,) int64, ascending, of a block, which may lose its columns."""
        if not self._columns:
            every = len(rows) == len(block)
            for name in list(block):
                values = block[name]
                del block[name]
                self._columns[name] = values if every else values[rows]
            self._n = self._room = len(rows)
            return
        start, self._n = self._n, self._n + len(rows)
        if self._n > self._room or not self._own:
            self._make_room(start)
        for name, values in self._columns.items():
            np.take(block[name], rows, axis=0, out=values[start : self._n], mode="clip")

    def table(self) -> ReflectionTable:
        """All rows; nothing can be added any more."""
        columns, self._columns = self._columns, {}
        table = ReflectionTable()
        for name in list(columns):
            values = columns.pop(name)
            if self._room > self._n:
                values.resize((self._n, *values.shape[1:]), refcheck=False)
            table[name] = values
        return table

    def _make_room(self, n: int) -> None:
        """For the rows that there are and some more; the first n are filled."""
        self._room = self._n + self._n // SPARE
        for name, values in self._columns.items():
            shape = (self._room, *values.shape[1:])
            if self._own:
                values.resize(shape, refcheck=False)  # large arrays are moved in the address space alone
            else:  # the first block may be a part of something
                self._columns[name] = np.empty(shape, values.dtype)
                self._columns[name][:n] = values
        self._own = True
