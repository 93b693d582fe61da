"""The program `sort_reflections`."""

from __future__ import annotations

from typing import Any

import numpy as np

from spindle.contracts import Program, ProgramInputs, ProgramResult, hookimpl
from spindle.errors import ParameterError, UserError
from spindle.params import Bool, PathParam, Str
from spindle.params import Params as ParamsBase
from spindle.table import ReflectionTable


class SortReflections(Program):
    """Sort reflections by one of their columns.

    Columns of several numbers are sorted by the first of them, then the second, and so on; a number after the name takes one alone. Rows
    that are equal stay in their order.

        spindle sort_reflections integrated.refl
        spindle sort_reflections integrated.refl key=intensity.sum.value reverse=True
        spindle sort_reflections strong.refl key=xyzobs.px.value.2
    """

    takes_files = False

    class Params(ParamsBase):
        """By what."""

        key = Str(
            "miller_index",
            help="Column to sort by, such as d or xyzobs.px.value; xyzobs.px.value.2 is its third number.",
        )
        reverse = Bool(False, help="Sort from the largest to the smallest.")
        output = PathParam("sorted.refl", output=True, help="Sorted reflections.")

    @hookimpl
    def run(self, inputs: ProgramInputs, params: Any, context: Any) -> ProgramResult:
        """Sort; see `spindle.contracts.program.ProgramSpec`."""
        if len(inputs.reflections) != 1:
            raise UserError(f"sort_reflections: give one reflection file, {len(inputs.reflections)} were given")
        table = inputs.reflections[0]
        order = sorted_rows(table, params.key, params.reverse)
        context.log.info(
            "%d reflections are sorted by %s, from the %s to the %s",
            len(table),
            params.key,
            *(("largest", "smallest") if params.reverse else ("smallest", "largest")),
        )
        return ProgramResult(
            reflections=table.select(order),
            summary={"n_reflections": len(table)},
            next_step=f"spindle show {params.output}",
        )


def sorted_rows(table: ReflectionTable, key: str, reverse: bool = False) -> np.ndarray:
    """(n,) int64: rows in the order of a column, equal ones in theirs.

    Raises
    ------
    ParameterError
        If there is no such column, or it holds nothing that has an order.
    """
    name, _, number = key.rpartition(".")
    component = None
    if key not in table and name in table and number.isdigit():
        key, component = name, int(number)
    if key not in table or (table.deferred(key) is not None and table.deferred(key).outline() is not None):  # type: ignore[union-attr]
        raise ParameterError(
            f"key={key}: there is no column with an order of this name; there are {', '.join(n for n in sorted(table) if n != 'shoebox')}"
        )
    values = table[key]
    if not isinstance(values, np.ndarray):
        raise ParameterError(f"key={key}: shoeboxes have no order; choose another column")
    flat = values.reshape(len(values), int(np.prod(values.shape[1:], dtype=np.int64)))
    if component is not None:
        if component >= flat.shape[1]:
            raise ParameterError(f"key={key}.{component}: the column has {flat.shape[1]} numbers, counted from 0")
        flat = flat[:, [component]]
    columns = [flat[:, k] for k in reversed(range(flat.shape[1]))]
    if reverse:  # ranks are turned round, since rows that are equal keep their order
        columns = [-np.unique(column, return_inverse=True)[1] for column in columns]
    elif values.dtype.kind == "O":
        columns = [np.unique(column, return_inverse=True)[1] for column in columns]
    return np.lexsort(columns).astype(np.int64)
