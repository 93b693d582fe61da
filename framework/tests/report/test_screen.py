"""What of tables and lines the screen shows."""

from __future__ import annotations

import io

import pytest

from spindle.report import Table, render
from spindle.report.screen import MOST_ROWS, fitted, has_colours, on_screen, shortened, wrapped


def long_table(n: int) -> Table:
    return Table("Images", ["Image", "Spots"], [[i, 10 * i] for i in range(n)], "images")


def test_a_long_table_shows_its_first_and_last_rows_and_where_all_are():
    text = on_screen(long_table(162), log="spindle.integrate.log")
    assert text.endswith("\n162 rows: see spindle.integrate.log or -v")
    numbers = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("|")]
    assert numbers == ["Image", "0", "1", "2", "3", "4", "5", "...", "160", "161"]


@pytest.mark.parametrize("n", [0, 1, MOST_ROWS])
def test_a_short_table_is_whole(n):
    table = long_table(n)
    assert shortened(table) == (table, "")
    assert on_screen(table) == render(table)


def test_a_verbose_screen_has_all_rows():
    assert on_screen(long_table(162), whole=True) == render(long_table(162))


def wide_table() -> Table:
    headers = ["Patterson group", *[f"Some long header {j}" for j in range(12)], "Reindex operator"]
    rows = [[f"P {i}/m m m", *[1000.5 + j for j in range(12)], "-b,c,-a"] for i in range(4)]
    return Table("Wide", headers, rows, "wide")


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_a_wide_table_fits_the_terminal_and_loses_nothing(width):
    text = on_screen(wide_table(), width)
    assert max(map(len, text.splitlines())) <= width
    for j in range(12):
        assert text.count(f"{1000.5 + j:.4g}") >= 4
    assert text.count("-b,c,-a") == 4


def test_parts_of_a_wide_table_each_begin_with_its_first_column():
    parts = fitted(wide_table(), 60)
    assert len(parts) > 1 and all(part.headers[0] == "Patterson group" for part in parts)
    assert sum(len(part.headers) - 1 for part in parts) == 13


@pytest.mark.parametrize("table", [Table(), Table("Only a title"), Table("", ["a"], [[1]]), Table("", [], [[1, "b"]])])
def test_small_tables_are_drawn(table):
    assert isinstance(on_screen(table, 80), str)


def test_escape_codes_are_only_there_with_colours():
    assert "\033" not in on_screen(wide_table(), 80)
    assert "\033[1m" in on_screen(wide_table(), 80, colours=True)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colours_need_a_terminal_and_can_be_refused(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert has_colours(Terminal()) and not has_colours(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not has_colours(Terminal())
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert not has_colours(Terminal())


def test_lines_are_broken_between_words():
    text = "short\n  an indented line of many words that is too wide"
    broken = wrapped(text, 24)
    assert max(map(len, broken.splitlines())) <= 24
    assert broken.split() == text.split() and broken.startswith("short\n  an indented")


def test_a_path_is_never_broken():
    path = "/somewhere/" + "x" * 100
    assert path in wrapped(f"Wrote {path}", 40)


@pytest.mark.parametrize("width", [40, 80, 120, 200])
def test_sentences_are_not_folded_to_narrow_columns(width):
    sentence = "there are no strong spots to work with; look at the images, and at the threshold of the spot finder"
    table = Table("", ["Set", *(f"number {i}" for i in range(8)), "Why"], [["first", *range(8), sentence]])
    lines = on_screen(table, width).splitlines()
    assert all(len(line) <= width for line in lines)
    assert sum("spots" in line or "images" in line or "threshold" in line for line in lines) <= 3
    words = " ".join(" ".join(lines).split())
    assert width == 40 or all(word in words for word in sentence.split())
    assert len(lines) <= (20 if width == 40 else 10)
