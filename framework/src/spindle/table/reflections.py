"""A column store for reflections."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from spindle.errors import MissingColumn, ShapeError
from spindle.report import table_html

from .deferred import Changed, Deferred, selected
from .flags import Flag
from .schema import SCHEMA
from .shoeboxes import Shoeboxes

if TYPE_CHECKING:
    import pandas


def rows_by_value(values: np.ndarray) -> dict[int, np.ndarray]:
    """Ascending rows of each whole number that occurs in (n,) values, the least number first; one sort for all."""
    values = np.asarray(values)
    order = np.argsort(values, kind="stable")
    first = np.flatnonzero(np.diff(values[order])) + 1
    return {int(values[rows[0]]): rows for rows in np.split(order, first) if len(rows)}


class ReflectionTable:
    """Columns of equal length, with the identifiers of the experiments they belong to.

    Columns are numpy arrays with one row per reflection; the column ``shoebox`` is a `Shoeboxes`; text columns are
    object arrays of str. Standard columns are converted to the dtype of `SCHEMA` when they are set. Columns of a large file
    are read when they are first asked for, and stay in memory then; `peek` and `blocks` look at them without keeping them.

    Parameters
    ----------
    columns : mapping of str to array
    identifiers : dict of int to str
        Value of the column `id` and the identifier of that experiment.
    """

    def __init__(self, columns: Mapping[str, Any] | None = None, identifiers: Mapping[int, str] | None = None) -> None:
        self._columns: dict[str, Any] = {}
        self._length: int | None = None
        self.identifiers: dict[int, str] = dict(identifiers or {})
        for name, values in (columns or {}).items():
            self[name] = values

    @classmethod
    def with_rows(
        cls, n: int, names: Sequence[str] = (), identifiers: Mapping[int, str] | None = None
    ) -> ReflectionTable:
        """A table of n rows with standard columns filled with zeros."""
        table = cls(identifiers=identifiers)
        table._length = n
        for name in names:
            table[name] = SCHEMA[name].zeros(n)
        return table

    def __len__(self) -> int:
        return self._length or 0

    def __contains__(self, name: object) -> bool:
        return name in self._columns

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __getitem__(self, name: str) -> Any:
        try:
            values = self._columns[name]
        except KeyError:
            raise MissingColumn(name, sorted(self._columns)) from None
        if isinstance(values, Deferred):
            values = self._columns[name] = values.value()
        return values

    def __setitem__(self, name: str, values: Any) -> None:
        if not isinstance(values, Shoeboxes | Deferred):
            values = np.asarray(values)
            spec = SCHEMA.get(name)
            if spec is not None:
                values = values.astype(spec.dtype, copy=False)
                if values.shape[1:] != spec.shape:
                    raise ShapeError(
                        f"column {name} has shape {values.shape}, (n, {', '.join(map(str, spec.shape))}) expected"
                    )
        if self._length is None:
            self._length = len(values)
        elif len(values) != self._length:
            raise ShapeError(f"column {name} has {len(values)} rows, the table has {self._length}")
        self._columns[name] = values

    def __delitem__(self, name: str) -> None:
        del self._columns[name]

    def __repr__(self) -> str:
        return f"ReflectionTable({len(self)} rows: {', '.join(sorted(self._columns))})"

    def _repr_html_(self) -> str:
        rows = []
        for name in sorted(self._columns):
            values = self._columns[name]
            if isinstance(values, Shoeboxes | Deferred) or not len(values):
                rows.append([name, "", type(values).__name__ if not isinstance(values, np.ndarray) else "", "", ""])
                continue
            shape = " x ".join(map(str, values.shape[1:]))
            limits = ["", ""]
            if values.ndim == 1 and values.dtype.kind in "iuf":
                limits = [f"{values.min():.5g}", f"{values.max():.5g}"]
            rows.append([name, str(values.dtype), shape, *limits])
        return table_html(f"{len(self)} reflections", ["column", "type", "components", "least", "greatest"], rows)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_columns": dict(self.columns)}

    @property
    def columns(self) -> Columns:
        """The columns by name; their values are read when they are taken."""
        return Columns(self)

    def get(self, name: str, default: Any = None) -> Any:
        """A column or `default`."""
        return self[name] if name in self._columns else default

    def peek(self, name: str, rows: np.ndarray | None = None) -> Any:
        """A column as it is in memory, or read and not kept: for a single look.

        Parameters
        ----------
        name : str
        rows : (k,) int, optional
            These alone, from 0 on, copied; only the part of the file from the first to the last of them is read.
        """
        values = self._columns.get(name)
        if not isinstance(values, Deferred):
            values = self[name]
        elif values.held is None:
            return values.read(0, len(values)) if rows is None else values.gather(rows)
        else:
            values = values.held
        if rows is None:
            return values
        return values.select(rows) if isinstance(values, Shoeboxes) else values[rows]

    def blocks(self, name: str, rows: int = 2**18) -> Iterator[Any]:
        """A column in blocks of rows, of which none is kept: for a single pass; nothing for a table without rows."""
        values = self._columns.get(name)
        if isinstance(values, Deferred) and values.held is None:
            yield from values.blocks(rows)
            return
        values = self[name]
        if isinstance(values, Shoeboxes):
            yield from (values.part(i, min(i + rows, len(self))) for i in range(0, len(self), rows))
        else:
            yield from (values[i : i + rows] for i in range(0, len(self), rows))

    def deferred(self, name: str) -> Deferred | None:
        """What stands for a column that is not in memory yet, None for others."""
        values = self._columns.get(name)
        return values if isinstance(values, Deferred) and values.held is None else None

    def changed(self, change: Callable[[Any], Any]) -> ReflectionTable:
        """A view whose columns are what ``change`` makes of each; of those not in memory when they are asked for."""
        table = self.view()
        for name, values in self._columns.items():
            table._columns[name] = Changed(values, change) if isinstance(values, Deferred) else change(values)
        return table

    def copy(self) -> ReflectionTable:
        """A table with copies of all columns."""
        return self.select(np.arange(len(self)))

    def view(self) -> ReflectionTable:
        """A table that shares the columns; setting a column of it leaves this one alone."""
        table = ReflectionTable(identifiers=self.identifiers)
        table._columns = dict(self._columns)
        table._length = self._length
        return table

    def without(self, *names: str) -> ReflectionTable:
        """A view that lacks some columns."""
        table = self.view()
        for name in names:
            table._columns.pop(name, None)
        return table

    def select(self, rows: Any) -> ReflectionTable:
        """The table of some rows, given as mask, indices or slice."""
        if isinstance(rows, slice):
            rows = np.arange(len(self))[rows]
        rows = np.asarray(rows)
        if rows.dtype == np.bool_:
            if len(rows) != len(self):
                raise ShapeError(f"a mask of {len(rows)} rows cannot select from a table of {len(self)}")
            rows = np.flatnonzero(rows)
        rows = rows.astype(np.int64, copy=False)
        table = ReflectionTable(identifiers=self.identifiers)
        table._length = len(rows)
        table._columns = selected(self._columns, rows)
        return table

    @staticmethod
    def concatenate(tables: Sequence[ReflectionTable]) -> ReflectionTable:
        """All rows of several tables, in order.

        Columns that one of them lacks are filled with zeros when they are standard ones, and dropped otherwise. Tables
        without rows count only when all are empty.

        Raises
        ------
        ValueError
            If two tables give one id different identifiers.
        """
        identifiers: dict[int, str] = {}
        for table in tables:
            for key, value in table.identifiers.items():
                if identifiers.setdefault(key, value) != value:
                    raise ValueError(
                        f"experiment {key} has two identifiers, {identifiers[key]} and {value}: renumber the tables "
                        "first"
                    )
        filled = [t for t in tables if len(t)] or list(tables[:1])
        if not filled:
            return ReflectionTable()
        if len(filled) == 1:
            result = filled[0].view()
            result.identifiers = identifiers
            return result
        result = ReflectionTable(identifiers=identifiers)
        result._length = sum(len(t) for t in filled)
        for name in dict.fromkeys(n for t in filled for n in t):
            if any(name not in t for t in filled) and name not in SCHEMA:
                continue
            parts: list[Any] = [t.peek(name) if name in t else SCHEMA[name].zeros(len(t)) for t in filled]
            join = Shoeboxes.concatenate if isinstance(parts[0], Shoeboxes) else np.concatenate
            result._columns[name] = join(parts)
        return result

    def has_flags(self, flags: int, all: bool = True) -> np.ndarray:
        """(n,) bool: rows with all (or any) of the flags."""
        found = self["flags"] & np.uint64(int(flags))
        return np.asarray(found == np.uint64(int(flags)) if all else found != 0)

    def set_flags(self, rows: Any, flags: int) -> None:
        """Set flags of some rows (mask or indices)."""
        column = self["flags"].copy()
        column[rows] |= np.uint64(int(flags))
        self["flags"] = column

    def unset_flags(self, rows: Any, flags: int) -> None:
        """Clear flags of some rows (mask or indices)."""
        column = self["flags"].copy()
        column[rows] &= ~np.uint64(int(flags))
        self["flags"] = column

    def rows_by_experiment(self) -> dict[int, np.ndarray]:
        """Ascending rows of each `id` that occurs, negative ones left out; one sort, for a loop over many experiments."""
        return {i: rows for i, rows in rows_by_value(self["id"]).items() if i >= 0}

    def of_experiment(self, index: int) -> ReflectionTable:
        """The rows whose `id` is `index`."""
        return self.select(self["id"] == index)

    def to_pandas(self) -> pandas.DataFrame:
        """A pandas DataFrame; vector columns become one column per component. Needs pandas."""
        import pandas

        data: dict[str, Any] = {}
        for name, values in self.columns.items():
            if isinstance(values, Shoeboxes):
                continue
            if values.ndim == 1:
                data[name] = values
            else:
                flat = values.reshape(len(values), -1)
                data.update({f"{name}.{i}": flat[:, i] for i in range(flat.shape[1])})
        return pandas.DataFrame(data)


class Columns(Mapping[str, Any]):
    """The columns of a table as a mapping that reads none before it is taken."""

    def __init__(self, table: ReflectionTable) -> None:
        self._table = table

    def __getitem__(self, name: str) -> Any:
        return self._table[name]

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._table))

    def __len__(self) -> int:
        return len(list(self._table))

    def __contains__(self, name: object) -> bool:
        return name in self._table


__all__ = ["Flag", "ReflectionTable"]
