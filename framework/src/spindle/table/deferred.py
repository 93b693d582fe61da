"""Columns that stay in their file until they are asked for."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .shoeboxes import Shoeboxes

# A selection is made from the file when the rows between its first and its last are at most so many times those selected.
SPREAD = 4


class Deferred(ABC):
    """A column of a table that is not in memory yet.

    What is read differs from no array that was already handed out: a column that is in memory is never read again.

    Parameters
    ----------
    n : int
        Number of rows.
    """

    def __init__(self, n: int) -> None:
        self._n = n
        self._held: Any = None
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self._n

    @abstractmethod
    def read(self, start: int, stop: int) -> Any:
        """Rows ``start`` to ``stop`` (not included) in memory of their own."""

    @property
    def held(self) -> Any:
        """The column when it is in memory, else None."""
        return self._held

    def value(self) -> Any:
        """The column, which stays in memory."""
        with self._lock:
            if self._held is None:
                self._held = self.read(0, self._n)
            return self._held

    def outline(self) -> Shoeboxes | None:
        """Boxes and panels of shoeboxes, without pixels; None for columns of numbers."""
        return None

    def blocks(self, rows: int) -> Iterator[Any]:
        """The column in blocks of ``rows`` rows, of which none is kept."""
        for start in range(0, self._n, rows):
            yield self.read(start, min(start + rows, self._n))

    def gather(self, rows: np.ndarray) -> Any:
        """Some rows (indices), nothing else kept."""
        if not len(rows):
            return self.read(0, 0)
        first, last = int(rows.min()), int(rows.max())
        values = self.read(first, last + 1)
        if len(rows) == len(values) and (len(rows) < 2 or bool((np.diff(rows) == 1).all())):
            return values
        rows = rows - first
        return values[rows] if isinstance(values, np.ndarray) else values.select(rows)


class Selected(Deferred):
    """Some rows of a deferred column.

    Parameters
    ----------
    column : Deferred
    rows : (n,) int64
    in_turn : bool
        Each row follows the one before: they are read as they lie in the column, without a look at their numbers.
    """

    def __init__(self, column: Deferred, rows: np.ndarray, in_turn: bool = False) -> None:
        super().__init__(len(rows))
        self.column, self.rows, self.in_turn = column, rows, in_turn

    def outline(self) -> Shoeboxes | None:
        """Boxes and panels of the selected shoeboxes."""
        found = self.column.outline()
        return None if found is None else found.select(self.rows)

    def read(self, start: int, stop: int) -> Any:
        """Rows of the selection."""
        if self.in_turn and stop > start:
            return self.column.read(int(self.rows[start]), int(self.rows[stop - 1]) + 1)
        return self.column.gather(self.rows[start:stop])


class Changed(Deferred):
    """A deferred column as a function makes it, such as its view that cannot be written; memory is shared with the column.

    Parameters
    ----------
    column : Deferred
    change : callable
    """

    def __init__(self, column: Deferred, change: Callable[[Any], Any]) -> None:
        super().__init__(len(column))
        self.column, self.change = column, change

    def read(self, start: int, stop: int) -> Any:
        """Rows of the changed column, of memory that they share with the column when that is in memory."""
        held = self.column.held
        if held is None:
            return self.change(self.column.read(start, stop))
        return self.change(held[start:stop] if isinstance(held, np.ndarray) else held.part(start, stop))

    def value(self) -> Any:
        """The changed column; the column itself then stays in memory."""
        with self._lock:
            if self._held is None:
                self._held = self.change(self.column.value())
            return self._held

    def gather(self, rows: np.ndarray) -> Any:
        """Some rows in memory of their own: a change such as a lock on writing holds for the column, not for copies of it."""
        first, last = (int(rows.min()), int(rows.max()) + 1) if len(rows) else (0, 0)
        values = self.read(first, last)
        return values[rows - first] if isinstance(values, np.ndarray) else values.select(rows - first)


def selected(columns: dict[str, Any], rows: np.ndarray) -> dict[str, Any]:
    """Some rows of all columns; deferred ones are read later where that does not read much more than the rows.

    Parameters
    ----------
    columns : dict of array, Shoeboxes or Deferred
    rows : (n,) int64
    """
    close = bool(len(rows)) and int(rows.max()) - int(rows.min()) < SPREAD * len(rows) and int(rows.min()) >= 0
    in_turn = close and bool((rows[1:] - rows[:-1] == 1).all())
    composed: dict[int, np.ndarray] = {}

    def later(values: Deferred) -> Deferred:
        if not isinstance(values, Selected):
            # a changed column makes copies of some rows only
            return Selected(values, rows, in_turn and not isinstance(values, Changed))
        if id(values.rows) not in composed:
            composed[id(values.rows)] = values.rows[rows]
        return Selected(values.column, composed[id(values.rows)], in_turn and values.in_turn)

    def in_use(values: Deferred) -> bool:
        """Whether the column under a changed one is in memory, where it may have been written to."""
        return isinstance(values, Changed) and values.column.held is not None

    found: dict[str, Any] = {}
    for name, values in columns.items():
        if isinstance(values, Deferred) and values.held is None and close and not in_use(values):
            found[name] = later(values)
            continue
        held = values.value() if isinstance(values, Deferred) else values
        if isinstance(held, np.ndarray):
            is_slice = in_turn and rows[-1] < len(held)  # rows that are not there are an IndexError
            found[name] = held[rows[0] : rows[-1] + 1].copy() if is_slice else held[rows]
        else:
            found[name] = held.select(rows)
    return found
