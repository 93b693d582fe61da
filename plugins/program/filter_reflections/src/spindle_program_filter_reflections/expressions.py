"""Expressions of flags and of columns, read as Python's grammar and worked out without running any code."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from spindle.errors import ParameterError
from spindle.table import BAD_FOR_REFINEMENT, BAD_FOR_SCALING, BAD_SHOEBOX, INTEGRATED, Flag, ReflectionTable

__all__ = ["FLAGS", "flag_counts", "rows_with_flags", "rows_with_values"]

# Name of each flag or group of flags, its bits, and whether all of them are needed.
FLAGS: dict[str, tuple[int, bool]] = {flag.name.lower(): (int(flag), True) for flag in Flag if flag.name} | {
    "integrated": (int(INTEGRATED), True),
    "bad_for_refinement": (int(BAD_FOR_REFINEMENT), False),
    "bad_for_scaling": (int(BAD_FOR_SCALING), False),
    "bad_shoebox": (int(BAD_SHOEBOX), False),
}  # fmt: skip
MOST_LETTERS = 2000
MOST_DEPTH = 60

_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge, ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}  # fmt: skip
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: np.add, ast.Sub: np.subtract, ast.Mult: np.multiply, ast.Div: np.true_divide, ast.Pow: np.float_power,
    ast.Mod: np.mod,
}  # fmt: skip
_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "sqrt": np.sqrt, "abs": np.abs, "log": np.log, "log10": np.log10, "exp": np.exp, "sin": np.sin, "cos": np.cos,
    "degrees": np.degrees, "radians": np.radians, "floor": np.floor, "round": np.round, "isfinite": np.isfinite,
}  # fmt: skip


def rows_with_flags(table: ReflectionTable, expression: str) -> np.ndarray:
    """(n,) bool: rows for which an expression of flags is true.

    Parameters
    ----------
    table : ReflectionTable
    expression : str
        Names of flags, joined by ``&``, ``|``, ``~`` (or ``and``, ``or``, ``not``) and brackets.

    Raises
    ------
    ParameterError
        If it is not such an expression.
    """
    return _Evaluation("flag_expression", expression, len(table), lambda name: _flag(table, name)).truth()


def rows_with_values(table: ReflectionTable, expression: str, extra: dict[str, np.ndarray] | None = None) -> np.ndarray:
    """(n,) bool: rows for which an expression of columns is true.

    Parameters
    ----------
    table : ReflectionTable
    expression : str
        Columns (``intensity.sum.value``, ``xyzobs.px.value[2]``) and numbers with arithmetic, comparisons, ``and or not``, some
        functions and flags.
    extra : dict of str to (n,) array
        Further columns that may be named.

    Raises
    ------
    ParameterError
        If it is not such an expression, or names what there is not.
    """

    def value(name: str) -> np.ndarray:
        if extra is not None and name in extra:
            return extra[name]
        if name not in table:
            if name in FLAGS:
                return _flag(table, name)
            columns = ", ".join(sorted(set(table) - {"shoebox"} | set(extra or ())))
            raise _Fault(f"there is no column {name}; there are {columns}")
        values = table[name]
        if not isinstance(values, np.ndarray) or values.dtype.kind not in "biuf":
            raise _Fault(f"column {name} holds no numbers")
        return values.astype(np.float64) if values.dtype.kind in "iu" else values

    return _Evaluation("expression", expression, len(table), value).truth()


def flag_counts(table: ReflectionTable) -> list[tuple[str, int]]:
    """Number of rows with each flag or group of flags that occurs, by name."""
    counts = [(name, int(np.count_nonzero(_flag(table, name)))) for name in sorted(FLAGS)]
    return [(name, n) for name, n in counts if n]


def _flag(table: ReflectionTable, name: str) -> np.ndarray:
    if name.lower() not in FLAGS:
        raise _Fault(f"there is no flag {name}; there are {', '.join(sorted(FLAGS))}")
    return table.has_flags(*FLAGS[name.lower()])


class _Fault(Exception):
    """What is wrong with an expression."""


class _Evaluation:
    """Works out one expression; only what is listed here can be in it.

    Parameters
    ----------
    parameter : str
        Its name, for messages.
    text : str
    n : int
        Rows.
    value : callable
        Column or flag of a name.
    """

    def __init__(self, parameter: str, text: str, n: int, value: Callable[[str], np.ndarray]) -> None:
        self.parameter, self.text, self.n, self.value = parameter, text.strip(), n, value

    def truth(self) -> np.ndarray:
        """(n,) bool."""
        try:
            if not self.text or len(self.text) > MOST_LETTERS:
                raise _Fault("it is empty" if not self.text else f"it has more than {MOST_LETTERS} letters")
            tree = ast.parse(self.text, mode="eval").body
            if _depth(tree) > MOST_DEPTH:
                raise _Fault("its brackets are too deep")
            with np.errstate(all="ignore"):  # what is no number is not above or below any
                found = np.asarray(self._value(tree))
            return np.array(np.broadcast_to(self._truth(found, tree), self.n))
        except SyntaxError as error:
            at = self.text[max((error.offset or 1) - 1, 0) :][:20]
            raise ParameterError(
                f"{self.parameter}={self.text}: not understood at '{at}'; write names with &, |, ~ and brackets between them"
            ) from error
        except (_Fault, RecursionError, MemoryError) as error:
            raise ParameterError(f"{self.parameter}={self.text}: {error}") from error

    def _truth(self, values: Any, node: ast.expr) -> np.ndarray:
        values = np.asarray(values)
        if values.dtype != np.bool_ or values.ndim > 1:
            raise _Fault(f"'{ast.unparse(node)}' is neither true nor false: compare it with something, such as > 0")
        return values

    def _value(self, node: ast.expr) -> Any:
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, bool | int | float)
            and self.parameter == "expression"
        ):
            return node.value if isinstance(node.value, bool) else _number(node.value)
        if isinstance(node, ast.Name | ast.Attribute):
            return self.value(_dotted(node))
        if isinstance(node, ast.BoolOp):
            parts = [self._truth(self._value(v), v) for v in node.values]
            join = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
            result = parts[0]
            for part in parts[1:]:
                result = join(result, part)
            return result
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.Invert):
            return ~self._truth(self._value(node.operand), node.operand)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitAnd | ast.BitOr):
            return self._both(node)
        if self.parameter == "expression":
            return self._of_numbers(node)
        raise _Fault(f"'{ast.unparse(node)}' is no flag: join names of flags with &, |, ~ and brackets")

    def _both(self, node: ast.BinOp) -> np.ndarray:
        try:
            left, right = (self._truth(self._value(v), v) for v in (node.left, node.right))
        except _Fault as fault:
            if self.parameter == "expression" and "neither true" in str(fault):
                raise _Fault(
                    f"{fault}. & and | bind before comparisons: write brackets around these, or 'and' and 'or'"
                ) from fault
            raise
        return left & right if isinstance(node.op, ast.BitAnd) else left | right

    def _of_numbers(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Compare):
            values = [self._value(v) for v in (node.left, *node.comparators)]
            result: Any = True
            for i, op in enumerate(node.ops):
                if type(op) not in _COMPARE:
                    raise _Fault(f"'{ast.unparse(node)}': compare with < <= > >= == !=")
                for v in (values[i], values[i + 1]):
                    _one_dimensional(v, node)
                result = result & _COMPARE[type(op)](np.asarray(values[i]), values[i + 1])
            return result
        if isinstance(node, ast.BinOp) and type(node.op) in _ARITHMETIC:
            left, right = self._value(node.left), self._value(node.right)
            for v in (left, right):
                _one_dimensional(v, node)
            return _ARITHMETIC[type(node.op)](left, right)
        if isinstance(node, ast.UnaryOp):
            value = np.asarray(self._value(node.operand), np.float64)
            return -value if isinstance(node.op, ast.USub) else value
        if isinstance(node, ast.Call):
            return self._call(node)
        if isinstance(node, ast.Subscript):
            return self._component(node)
        raise _Fault(f"'{ast.unparse(node)}' is not allowed here")

    def _call(self, node: ast.Call) -> Any:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name not in _FUNCTIONS or node.keywords or len(node.args) != 1 or isinstance(node.args[0], ast.Starred):
            raise _Fault(f"'{ast.unparse(node)}': there are the functions {', '.join(_FUNCTIONS)}, of one value each")
        value = self._value(node.args[0])
        _one_dimensional(value, node)
        return _FUNCTIONS[name](np.asarray(value, np.float64))

    def _component(self, node: ast.Subscript) -> np.ndarray:
        column = np.asarray(self._value(node.value))
        at = node.slice
        if not (isinstance(at, ast.Constant) and type(at.value) is int and column.ndim > 1):
            raise _Fault(
                f"'{ast.unparse(node)}': write the number of a component of a vector, such as xyzobs.px.value[2]"
            )
        flat = column.reshape(len(column), int(np.prod(column.shape[1:], dtype=np.int64)))
        if not 0 <= at.value < flat.shape[1]:
            raise _Fault(f"'{ast.unparse(node)}': the column has {flat.shape[1]} numbers, counted from 0")
        return flat[:, at.value]


def _number(value: float) -> float:
    try:
        return float(value)
    except OverflowError as error:
        raise _Fault("a number has too many digits") from error


def _one_dimensional(value: Any, node: ast.expr) -> None:
    if np.ndim(value) > 1:
        raise _Fault(f"'{ast.unparse(node)}' uses a vector: take one of its numbers, such as miller_index[0]")


def _dotted(node: ast.expr) -> str:
    """The name of a column with its dots."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        raise _Fault(f"'{ast.unparse(node)}' is no name of a column")
    return ".".join([node.id, *reversed(parts)])


def _depth(tree: ast.expr) -> int:
    """How deep an expression is, without recursion; a dotted name counts once."""

    def children(node: ast.AST) -> Iterator[ast.AST]:
        return iter(()) if isinstance(node, ast.Attribute | ast.Name | ast.Constant) else ast.iter_child_nodes(node)

    level, depth = [tree], 0
    while level and depth <= MOST_DEPTH:
        level, depth = [c for node in level for c in children(node)], depth + 1  # type: ignore[misc]
    return depth
