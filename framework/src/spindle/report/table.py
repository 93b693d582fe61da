"""Tables that a person can read and a script can grep."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from spindle.printable import printable

from .html import table_html

if TYPE_CHECKING:
    import numpy as np
    import pandas


_NOT_IN_CELLS = re.compile(r"[\t\n]")


@dataclass(slots=True)
class Table:
    """Rows of values under headers.

    Parameters
    ----------
    title : str
        Printed above the table; may be empty.
    headers : sequence of str
        One per column, with the unit in parentheses where there is one.
    rows : sequence of sequence
        Values: text, numbers or None (shown as ``--``).
    key : str
        Short name by which scripts and reports find the table.
    detail : bool
        Whether it is for the log and for reports, and the screen shows it with ``-v`` only.
    """

    title: str = ""
    headers: Sequence[str] = ()
    rows: Sequence[Sequence[Any]] = field(default_factory=list)
    key: str = ""
    detail: bool = False

    def __post_init__(self) -> None:
        self.headers = [str(h) for h in self.headers]
        self.rows = [list(row) for row in self.rows]
        for row in self.rows:
            if self.headers and len(row) != len(self.headers):
                raise ValueError(
                    f"table {self.key or self.title!r}: a row has {len(row)} values for {len(self.headers)} headers"
                )

    def column(self, header: str) -> list[Any]:
        """Return the values under ``header``."""
        index = list(self.headers).index(header)
        return [row[index] for row in self.rows]

    def as_detail(self) -> Table:
        """Return the same table as one that the screen shows with ``-v`` only."""
        return replace(self, detail=True)

    def to_dict(self) -> dict[str, Any]:
        """Return title, key, headers and rows with plain Python values, for JSON."""
        return {
            "title": self.title,
            "key": self.key,
            "headers": list(self.headers),
            "rows": [[plain(v) for v in row] for row in self.rows],
        }

    def to_arrays(self) -> dict[str, np.ndarray]:
        """The columns by header, as arrays: numbers as float64 (NaN where there is none), whole numbers as int64, others as text."""
        import numpy as np

        arrays = {}
        for header in self.headers:
            values = [plain(v) for v in self.column(header)]
            if values and all(isinstance(v, int) and not isinstance(v, bool) for v in values):
                arrays[header] = np.array(values, dtype=np.int64)
            elif values and all(v is None or (isinstance(v, int | float) and not isinstance(v, bool)) for v in values):
                arrays[header] = np.array([np.nan if v is None else v for v in values], dtype=np.float64)
            else:
                arrays[header] = np.array(["" if v is None else str(v) for v in values], dtype=object)
        return arrays

    def to_pandas(self) -> pandas.DataFrame:
        """A pandas DataFrame with a column per header. Needs pandas."""
        import pandas

        return pandas.DataFrame(self.to_arrays())

    def _repr_html_(self) -> str:
        return table_html(self.title, self.headers, [[format_value(v) for v in row] for row in self.rows])

    def __str__(self) -> str:
        return render(self)


def plain(value: Any) -> Any:
    """Return a numpy scalar or array as a plain Python value."""
    return value.tolist() if hasattr(value, "tolist") else value


def format_value(value: Any) -> str:
    """Return the text of a cell: four significant digits for floats, ``--`` for None."""
    if value is None:
        return "--"
    value = plain(value)
    if isinstance(value, float):
        if value != value:
            return "--"
        value += 0.0  # no -0
        return f"{value:.0f}" if abs(value) >= 1e4 and value == round(value) else f"{value:.4g}"
    return _NOT_IN_CELLS.sub(" ", printable(str(value)))


def _is_number(text: str) -> bool:
    try:
        float(text.rstrip("%"))
    except ValueError:
        return text in ("--", "...")
    return True


def render(table: Table) -> str:
    """Return the table as text with lines of ``+---+`` and one row per line, numbers to the right."""
    cells = [[format_value(v) for v in row] for row in table.rows]
    headers = [str(h).split("\n") for h in table.headers]
    n = len(table.headers) or max((len(r) for r in cells), default=0)
    widths = [0] * n
    for j in range(n):
        header_width = max((len(line) for line in headers[j]), default=0) if headers else 0
        widths[j] = max([header_width, *(len(r[j]) for r in cells)])
    right = [bool(cells) and all(_is_number(r[j]) for r in cells) for j in range(n)]
    rule = "+" + "+".join("-" * (w + 2) for w in widths) + "+"
    lines = [table.title] if table.title else []
    lines.append(rule)
    for k in range(max((len(h) for h in headers), default=0)):
        lines.append(_line([h[k] if k < len(h) else "" for h in headers], widths, right))
    if headers:
        lines.append(rule.replace("-", "="))
    lines += [_line(row, widths, right) for row in cells]
    lines.append(rule)
    return "\n".join(lines)


def _line(cells: Iterable[str], widths: list[int], right: list[bool]) -> str:
    padded = (c.rjust(w) if r else c.ljust(w) for c, w, r in zip(cells, widths, right, strict=True))
    return "| " + " | ".join(padded) + " |"
