"""Text of many rows, formatted a block at a time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import IO

import numpy as np

__all__ = ["decimals_that_fit", "write_rows"]

BLOCK = 20_000


def write_rows(file: IO[str], form: str, columns: Sequence[np.ndarray]) -> None:
    """Write one line per row.

    Parameters
    ----------
    file : text file
    form : str
        Format of one line without its end, as of the operator ``%``; one conversion per column.
    columns : sequence of (n,) arrays
        Numbers or texts.
    """
    n = len(columns[0])
    line = form + "\n"
    for start in range(0, n, BLOCK):
        parts = [column[start : start + BLOCK].tolist() for column in columns]
        file.write(line * len(parts[0]) % tuple(chain.from_iterable(zip(*parts, strict=True))))


def decimals_that_fit(values: np.ndarray, width: int, most: int) -> int | None:
    """How many decimals all values can have in a field; None when not even whole numbers and their point fit.

    Parameters
    ----------
    values : (n,) float
    width : int
        Characters of the field.
    most : int
        Decimals when there is room enough.
    """
    if not len(values):
        return most
    ends = (float(np.max(values)), float(np.min(values)))
    for decimals in range(most, -1, -1):
        if all(len(f"{end:.{decimals}f}") <= width for end in ends):
            return decimals
    return None
