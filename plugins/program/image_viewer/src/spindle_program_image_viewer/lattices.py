"""The spots of the open experiments for the page of reciprocal space, and what is written of them."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spindle.errors import ParameterError
from spindle.files import write_reflections
from spindle.models import Experiments
from spindle.params import build
from spindle.table import ReflectionTable
from spindle_lib_reciprocal_view.meta import meta_of
from spindle_lib_reciprocal_view.page import SCRIPTS, arrays_of
from spindle_lib_reciprocal_view.params import ReciprocalViewParams
from spindle_lib_reciprocal_view.points import points_of

from .views import message

__all__ = ["points_message", "write_rows"]


def points_message(experiments: Experiments, tables: Sequence[ReflectionTable], names: Sequence[str]) -> bytes:
    """What the page is made of: its meta data, names of its scripts, and the arrays of the points.

    Parameters
    ----------
    experiments : Experiments
    tables : sequence of ReflectionTable
        None: a page with the geometry alone.
    names : sequence of str
    """
    given = list(tables) or [_nothing()]
    points = points_of(experiments, given)
    title = ", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")
    params = build(ReciprocalViewParams)
    meta = meta_of(experiments, points, params, title or "geometry", f"<experiments> {' '.join(names)}")
    arrays = {name: np.ascontiguousarray(values) for name, values in arrays_of(points).items()}
    about = [{"name": name, "type": values.dtype.name, "n": values.size} for name, values in arrays.items()]
    return message({"meta": meta, "arrays": about, "scripts": list(SCRIPTS)}, *arrays.values())


def _nothing() -> ReflectionTable:
    """A table without rows."""
    return ReflectionTable({
        "id": np.zeros(0, np.int32), "panel": np.zeros(0, np.uint64), "imageset_id": np.zeros(0, np.int32),
        "xyzobs.px.value": np.zeros((0, 3)), "xyzobs.px.variance": np.zeros((0, 3)),
    })  # fmt: skip


def write_rows(tables: Sequence[ReflectionTable], bits: str, path: Path, replace: bool) -> dict[str, Any]:
    """Write rows, counted over all tables one after the other, with all their columns.

    Parameters
    ----------
    tables : sequence of ReflectionTable
    bits : str
        One bit for each row, the lowest of a byte first, in base64.
    path : Path
    replace : bool
        Write over a file.

    Raises
    ------
    ParameterError
        For rows that there are not, or a file that is there already.
    """
    sizes = [len(t) for t in tables]
    try:
        packed = np.frombuffer(base64.b64decode(bits, validate=True), np.uint8)
    except ValueError as error:
        raise ParameterError(f"bits: no base64: {error}") from error
    wanted = np.flatnonzero(np.unpackbits(packed, bitorder="little"))
    if not len(wanted) or wanted[-1] >= sum(sizes):
        raise ParameterError(f"{len(wanted)} rows were asked for, of {sum(sizes)}; choose points first")
    if path.exists() and not replace:
        raise ParameterError(f"{path}: is there already; give another name")
    parts, begin = [], 0
    for table, size in zip(tables, sizes, strict=True):
        own = wanted[(wanted >= begin) & (wanted < begin + size)] - begin
        if len(own):
            parts.append(table.select(own))
        begin += size
    write_reflections(parts[0] if len(parts) == 1 else ReflectionTable.concatenate(parts), path)
    return {"said": f"Wrote {len(wanted)} reflections to {path}", "n": len(wanted)}
