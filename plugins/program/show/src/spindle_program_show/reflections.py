"""Tables about reflection tables."""

from __future__ import annotations

from typing import Any

import numpy as np

from spindle.report import Table
from spindle.table import (
    BAD_FOR_REFINEMENT,
    BAD_FOR_SCALING,
    BAD_SHOEBOX,
    INTEGRATED,
    Flag,
    MaskCode,
    ReflectionTable,
    Shoeboxes,
)

# Decimals of columns; others follow from the type and the size of the values.
_DECIMALS = {
    "miller_index": 0,
    "background": 1,
    "intensity": 1,
    "d": 2,
    "lp": 3,
    "qe": 3,
    "zeta": 3,
    "partiality": 4,
    "s1": 4,
    "rlp": 4,
    "profile": 3,
    "xyzobs": 2,
    "xyzcal": 2,
    "inverse_scale_factor": 3,
    "delpsical": 4,
}
_COMBINATIONS = {
    "integrated": INTEGRATED,
    "includes_bad_pixels": Flag.FOREGROUND_INCLUDES_BAD_PIXELS | Flag.BACKGROUND_INCLUDES_BAD_PIXELS,
    "bad_spot": BAD_SHOEBOX,
    "bad_for_scaling": BAD_FOR_SCALING,
    "bad_for_refinement": BAD_FOR_REFINEMENT,
}


def _number(value: float, name: str) -> str:
    if isinstance(value, (int, np.integer, np.bool_)):
        return str(int(value))
    if not np.isfinite(value):
        return str(value)
    if name.endswith("variance") and name.startswith("xyz"):
        return f"{value:.4g}"
    decimals = _DECIMALS.get(name, _DECIMALS.get(name.split(".")[0]))
    is_tiny_or_huge = value != 0 and decimals is not None and not 0.5 * 10.0**-decimals <= abs(value) < 1e10
    if decimals is None or is_tiny_or_huge:
        return f"{value:.4g}"
    return f"{value:.{decimals}f}"


def _cell(values: Any, name: str) -> str:
    """One value or a vector of them as text."""
    return ", ".join(_number(v, name) for v in np.ravel(values))


def column_statistics(table: ReflectionTable) -> Table:
    """Minimum, maximum and mean of every column; of vectors element by element, of integers the rounded mean."""
    rows: list[list[str]] = []
    for name in sorted(table.columns):
        values = table.peek(name)
        if isinstance(values, Shoeboxes):
            rows += _shoebox_rows(name, values)
            continue
        values = np.asarray(values)
        if len(values) == 0 or values.dtype.kind not in "biuf":
            rows.append([name, "", "", "" if len(values) == 0 else f"{len(set(values.tolist()))} distinct"])
            continue
        is_integer = values.dtype.kind in "biu"
        mean = values.mean(axis=0, dtype=np.float64)
        if is_integer:
            mean = np.rint(mean).astype(np.int64)
        rows.append([name, *(_cell(v, name) for v in (values.min(axis=0), values.max(axis=0), mean))])
    return Table("", ("Column", "min", "max", "mean"), rows, key="columns")


def _shoebox_rows(name: str, boxes: Shoeboxes) -> list[list[str]]:
    """Sums over the pixels of each shoebox."""
    starts, sizes = boxes.offsets[:-1], np.diff(boxes.offsets)
    keep = sizes > 0
    number = int(np.count_nonzero(keep))
    rows = [[name if number == len(boxes) else f"{name} (of {number} with pixels)", "", "", ""]]
    if number == 0:
        return rows
    starts, sizes = starts[keep], sizes[keep]
    is_signal = (boxes.mask & (MaskCode.VALID | MaskCode.FOREGROUND)) == (MaskCode.VALID | MaskCode.FOREGROUND)
    for label, values in (
        ("  summed counts", np.add.reduceat(boxes.data.astype(np.float64), starts)),
        ("  pixels", sizes.astype(np.float64)),
        ("  valid foreground pixels", np.add.reduceat(is_signal.astype(np.float64), starts)),
    ):
        rows.append([label, *(f"{v:.1f}" for v in (values.min(), values.max(), values.mean()))])
    return rows


def flag_counts(table: ReflectionTable) -> Table:
    """How many reflections have each flag; combinations count when any of their bits is set."""
    total = max(len(table), 1)
    bits = [(flag.name.lower(), int(flag), True) for flag in Flag if flag.name]
    bits += [(name, int(mask), False) for name, mask in _COMBINATIONS.items()]
    rows = []
    for name, mask, needs_all in bits:
        count = int(np.count_nonzero(table.has_flags(mask, all=needs_all))) if "flags" in table else 0
        rows.append([name, count, round(100.0 * count / total, 1)])
    return Table("Reflection flags:", ("Flag", "Count", "%"), rows, key="flags")


def identifier_table(table: ReflectionTable) -> Table:
    """Experiment numbers and identifiers."""
    rows = [[number, name] for number, name in sorted(table.identifiers.items())]
    return Table("Experiment identifiers:", ("id", "Identifier"), rows, key="identifiers")


def list_reflections(table: ReflectionTable, columns: tuple[str, ...], limit: int | None) -> Table:
    """The first reflections, one per line."""
    n = len(table) if limit is None else min(limit, len(table))
    first = ("id", "panel", "miller_index", "d", "flags")
    names = [name for name in (columns or sorted(table.columns, key=lambda c: (c not in first, c))) if name in table]
    cells: list[list[str]] = []
    headers: list[str] = []
    for name in names:
        values = next(table.blocks(name, max(n, 1))) if len(table) else table[name]
        headers.append(f"{name} (pixels)" if isinstance(values, Shoeboxes) else name)
        if isinstance(values, Shoeboxes):
            cells.append([str(int(v)) for v in np.diff(values.offsets[: n + 1])])
        elif np.asarray(values).dtype.kind in "biuf":
            cells.append([_cell(v, name) for v in values[:n]])
        else:
            cells.append([str(v) for v in values[:n]])
    rows = [list(row) for row in zip(*cells, strict=True)]
    return Table(f"{n} of {len(table)} reflections:", headers, rows, key="reflections")
