"""The reflection table: named columns, flags, and shoeboxes as ragged arrays."""

from __future__ import annotations

from .deferred import Changed, Deferred, Selected
from .flags import BAD_FOR_REFINEMENT, BAD_FOR_SCALING, BAD_SHOEBOX, INTEGRATED, Flag, MaskCode
from .reflections import ReflectionTable, rows_by_value
from .schema import SCHEMA, ColumnSpec
from .shoeboxes import Shoeboxes

__all__ = [
    "BAD_FOR_REFINEMENT",
    "BAD_FOR_SCALING",
    "BAD_SHOEBOX",
    "INTEGRATED",
    "SCHEMA",
    "Changed",
    "ColumnSpec",
    "Deferred",
    "Flag",
    "MaskCode",
    "ReflectionTable",
    "Selected",
    "Shoeboxes",
    "rows_by_value",
]
