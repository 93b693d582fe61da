"""Rules that leave out or flag reflections."""

from __future__ import annotations

import operator
import re
from typing import Any

import numpy as np

from spindle.errors import UserError
from spindle.table import ReflectionTable, Shoeboxes, rows_by_value

OPERATORS = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
}


def sample(ids: np.ndarray, degrees: list[float], params: Any, rng: np.random.Generator) -> np.ndarray:
    """(n,) bool: a random sample of the predictions of each experiment."""
    keep = np.zeros(len(ids), bool)
    for i, rows in rows_by_value(ids).items():
        width = degrees[i]
        wanted = len(rows) if params.integrate_all_reflections else int((params.reflections_per_degree or 0) * width)
        if not params.integrate_all_reflections:
            wanted = max(wanted, params.minimum_sample_size or 0)
        if params.maximum_sample_size is not None:
            wanted = min(wanted, params.maximum_sample_size)
        keep[rows if wanted >= len(rows) else rng.choice(rows, wanted, replace=False)] = True
    return keep


def only_rows(table: ReflectionTable, keep: np.ndarray) -> ReflectionTable:
    """The rows of a mask. The table loses its columns one by one meanwhile, so that there are never two tables in memory."""
    if keep.all():
        return table
    rows, result = np.flatnonzero(keep), ReflectionTable(identifiers=table.identifiers)
    for name in list(table):
        values = table[name]
        del table[name]
        result[name] = values.select(rows) if isinstance(values, Shoeboxes) else values[rows]
        del values
    return result


def select_rows(table: ReflectionTable, expression: str) -> np.ndarray:
    """(n,) bool of a rule '<column> <operator> <number>'; '&' tests flags bits."""
    found = re.fullmatch(r"\s*([\w.]+)\s*(<=|>=|==|!=|<|>|&)\s*([-+.\deE]+)\s*", expression)
    if not found:
        raise UserError(
            f"integration.debug.select='{expression}': expected '<column> <operator> <number>', e.g. 'd<2.5'"
        )
    name, symbol, number = found[1], found[2], float(found[3])
    virtual = re.fullmatch(r"intensity\.(sum|prf)\.i_over_sigma", name)
    if virtual:
        variance = table[f"intensity.{virtual[1]}.variance"]
        values = table[f"intensity.{virtual[1]}.value"] / np.sqrt(np.maximum(variance, 1e-12))
    elif name in table and getattr(table[name], "ndim", 0) == 1:
        values = table[name]
    else:
        raise UserError(
            f"integration.debug.select='{expression}': the integrated reflections have no column of numbers '{name}'"
        )
    if symbol == "&":
        return np.asarray((values.astype(np.uint64) & np.uint64(int(number))) != 0)
    return np.asarray(OPERATORS[symbol](values, number))
