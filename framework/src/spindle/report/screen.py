"""What of a run is shown on the screen: a weight for lines and tables, long tables shortened, wide ones fitted to a terminal."""

from __future__ import annotations

import io
import os
import textwrap
from typing import Any

from .table import Table, _is_number, format_value, render

DETAIL: dict[str, Any] = {"detail": True}
"""``log.info("...", extra=DETAIL)``: a line for the log of the run, which the screen shows with ``-v`` only."""

EVENT: dict[str, Any] = {"event": True}
"""``log.info("...", extra=EVENT)``: a line of something that goes on as long as it goes on, as a server's answers or the sets of a
batch; the screen shows each, however many alike there are."""

MOST_ROWS = 24
"""Rows of a table that the screen shows; of longer ones it shows the first and the last."""

FIRST_ROWS, LAST_ROWS = 6, 2

GAP = 3
"""Characters between columns on a terminal."""
SENTENCE, LEAST_OF_SENTENCES = 60, 30
"""Cells longer than that are sentences, which are not folded to narrower columns."""


def has_colours(stream: Any) -> bool:
    """Return whether a stream is a terminal that is to show colours: not where NO_COLOR is set or TERM is dumb."""
    return bool(stream.isatty()) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def shortened(table: Table, log: str = "") -> tuple[Table, str]:
    """Return the first and last rows of a long table, and a line that says where all of them are.

    Parameters
    ----------
    table : Table
    log : str
        Name of the file that has all rows.

    Returns
    -------
    tuple of Table and str
        The table itself and no text, when it is not long.
    """
    n = len(table.rows)
    if n <= MOST_ROWS:
        return table, ""
    gap = ["..." for _ in table.rows[0]]
    rows = [*table.rows[:FIRST_ROWS], gap, *table.rows[-LAST_ROWS:]]
    where = f"see {log} or -v" if log else "-v shows all"
    return Table(table.title, table.headers, rows, table.key), f"{n} rows: {where}"


def on_screen(table: Table, width: int | None = None, colours: bool = False, log: str = "", whole: bool = False) -> str:
    """Return a table as the screen shows it.

    Parameters
    ----------
    table : Table
    width : int, optional
        Width of the terminal; None where the output is not a terminal, which gets lines as long as they are.
    colours : bool
        Whether the terminal shows colours.
    log : str
        File that has all rows of a long table.
    whole : bool
        Whether long tables are shown in full.
    """
    shown, note = (table, "") if whole else shortened(table, log)
    text = render(shown) if width is None else "\n".join(_drawn(part, width, colours) for part in fitted(shown, width))
    return f"{text}\n{note}" if note else text


def fitted(table: Table, width: int) -> list[Table]:
    """Return a table as one or several that fit a width; each has the first column.

    Parameters
    ----------
    table : Table
    width : int
        Characters.
    """
    n = _n_columns(table)
    if n < 2:
        return [table]
    widths = [_least_width(table, j) + GAP for j in range(n)]
    parts: list[list[int]] = [[0]]
    for j in range(1, n):
        if len(parts[-1]) > 1 and sum(widths[k] for k in [*parts[-1], j]) > width:
            parts.append([0])
        parts[-1].append(j)
    if len(parts) == 1:
        return [table]
    return [
        Table(
            table.title if i == 0 else "",
            [table.headers[j] for j in part] if table.headers else (),
            [[row[j] for j in part] for row in table.rows],
            table.key,
        )
        for i, part in enumerate(parts)
    ]


def _n_columns(table: Table) -> int:
    return len(table.headers) or max((len(row) for row in table.rows), default=0)


def _widths(table: Table, width: int) -> list[int]:
    """Width of each column: what it needs, and more up to its longest line while there is room, the neediest first."""
    n = _n_columns(table)
    widths = [max(1, _least_width(table, j)) for j in range(n)]
    natural = [
        max([len(format_value(row[j])) for row in table.rows] + [len(str(table.headers[j])) if table.headers else 0])
        for j in range(n)
    ]
    room = width - sum(widths) - GAP * (n - 1)
    for j in sorted(range(n), key=lambda j: natural[j] - widths[j]):
        more = min(max(room, 0), max(natural[j] - widths[j], 0))
        widths[j] += more
        room -= more
    return [min(w, width) for w in widths]


def _least_width(table: Table, j: int) -> int:
    """Width that a column needs: numbers are never broken, words of headers and of text stay whole up to 20 characters, sentences have 30."""
    cells = [format_value(row[j]) for row in table.rows]
    words = str(table.headers[j]).split() if table.headers else []
    if all(_is_number(cell) for cell in cells):
        return max(map(len, [*words, *cells]), default=0)
    if max(map(len, cells)) > SENTENCE:
        return LEAST_OF_SENTENCES
    return max((min(len(word), 20) for cell in [*cells, *words] for word in cell.split()), default=0)


def _drawn(table: Table, width: int, colours: bool) -> str:
    """Return a table drawn for a terminal."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table as Drawing
    from rich.text import Text

    drawing = Drawing(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1), show_header=bool(table.headers))
    cells = [[format_value(v) for v in row] for row in table.rows]
    for j, own in enumerate(_widths(table, width)):
        numbers = bool(cells) and all(_is_number(row[j]) for row in cells)
        header = str(table.headers[j]).replace("\n", " ") if table.headers else ""
        drawing.add_column(
            Text(header, style="bold"), justify="right" if numbers else "left", overflow="fold", width=own
        )
    for row in cells:
        drawing.add_row(*(Text(cell) for cell in row))
    target = io.StringIO()
    console = Console(
        file=target,
        width=width,
        force_terminal=colours,
        color_system="standard" if colours else None,
        no_color=not colours,
    )
    console.print(drawing)
    lines = [line.rstrip() for line in target.getvalue().split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    while lines and not lines[0]:
        lines.pop(0)
    title = [f"\033[1m{table.title}\033[0m" if colours else table.title] if table.title else []
    return "\n".join([*title, *lines])


def wrapped(text: str, width: int) -> str:
    """Return text with its lines broken between words where they are wider than a terminal."""
    return "\n".join(line if len(line) <= width else _folded(line, width) for line in text.split("\n"))


def _folded(line: str, width: int) -> str:
    indent = " " * (len(line) - len(line.lstrip()) + 2)
    return textwrap.fill(
        line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False, replace_whitespace=False,
        drop_whitespace=True,
    )  # fmt: skip
