"""One HTML page with text, tables and plots that needs no network."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from spindle.report import Section, Table, format_value

__all__ = ["Page", "text_writer"]

#: Cells of more characters are broken into lines.
LONG = 40
_LONG = ' class="w"'

_STYLE = """
:root { color-scheme: light; --ink: #1c2733; --soft: #5b6b7b; --line: #d9e0e7; --panel: #f6f8fa; --accent: #0072b2; }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); margin: 0 auto; max-width: 1180px; padding: 1.5rem; }
h1 { font-size: 1.7rem; margin: 0 0 .2rem; } h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; border-bottom: 1px solid var(--line); }
nav a { color: var(--accent); text-decoration: none; margin-right: 1.2rem; display: inline-block; } nav { margin: .6rem 0 1rem; }
p { max-width: 75ch; } .plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(480px, 1fr)); gap: 1rem; }
.plot { height: 380px; box-shadow: 0 0 0 1px var(--line); border-radius: 6px; min-width: 0; overflow: hidden; } .wide { grid-column: 1 / -1; height: 520px; }
.scroll { overflow: auto; max-height: 46rem; border: 1px solid var(--line); border-radius: 6px; margin: .8rem 0; }
table { border-collapse: collapse; font-size: .86rem; font-variant-numeric: tabular-nums; width: 100%; }
caption { text-align: left; font-weight: 600; padding: .4rem .7rem; }
th, td { padding: .2rem .7rem; text-align: left; white-space: nowrap; } th { background: var(--panel); position: sticky; top: 0; white-space: normal; vertical-align: bottom; }
td.n, th.n { text-align: right; } td.w { white-space: normal; min-width: 14rem; } tbody tr:nth-child(even) { background: var(--panel); }
.absent { color: var(--soft); font-style: italic; }
.good, .doubtful, .bad { padding: .5rem .8rem; border-left: 5px solid; background: var(--panel); margin: .4rem 0; }
.good { border-color: #009e73; } .doubtful { border-color: #e69f00; } .bad { border-color: #d55e00; } .unknown { border-color: #9aa7b4; }
.answer { padding: .5rem .8rem; border-left: 5px solid; background: var(--panel); margin: .4rem 0; display: flex; gap: 1rem; }
.answer.unknown { border-color: #9aa7b4; } .answer.good { border-color: #009e73; } .answer.doubtful { border-color: #e69f00; } .answer.bad { border-color: #d55e00; }
.light { flex: 0 0 6.8rem; height: 1.7rem; text-align: center; border-radius: .9rem; color: #fff; font-weight: 600; background: #9aa7b4; }
.good .light { background: #00805d; } .doubtful .light { background: #b37700; } .bad .light { background: #c23b00; }
.next { color: var(--soft); }
@media (max-width: 560px) { .plots { grid-template-columns: 1fr; } }
"""


class Page:
    """Text, tables and plots in sections, in the order in which they are added.

    Parameters
    ----------
    title : str
    subtitle : str
        One line below it.

    Examples
    --------
    >>> from spindle_lib_pages.figures import lines
    >>> page = Page("Scaling")
    >>> page.section("Statistics")
    >>> page.table(Table("Shells", ["d (A)", "CC1/2"], [[2.0, 0.98]]))
    >>> page.plot(lines("CC1/2", "1/d2 (1/A2)", "CC1/2", [("", [0.25], [0.98])]))
    >>> "<table>" in page.html()
    True
    """

    def __init__(self, title: str, subtitle: str = "") -> None:
        self.title = title
        self.subtitle = subtitle
        self._sections: list[str] = []
        self._body: list[str] = []
        self._plots: list[dict[str, Any]] = []
        self._in_plots = False

    def section(self, title: str) -> None:
        """Begin a section; a line at the top of the page leads to each."""
        self._sections.append(title)
        self._add(f'<h2 id="s{len(self._sections)}">{html.escape(title)}</h2>')

    def text(self, text: str, mood: str = "") -> None:
        """A paragraph; `mood` is "good", "doubtful" or "bad" where it is a judgement."""
        self._add(f'<p class="{mood}">{html.escape(text)}</p>' if mood else f"<p>{html.escape(text)}</p>")

    def answer(self, question: str, mood: str, said: str, reason: str = "", next_step: str = "") -> None:
        """A question with its answer beside a light: "good", "doubtful", "bad", or "unknown"; and what to do about it."""
        words = {"good": "Good", "doubtful": "Look", "bad": "Bad", "unknown": "Not known"}
        self._add(
            f'<div class="answer {mood}"><span class="light">{words[mood]}</span><div><b>{html.escape(question)}</b><br>'
            f"{html.escape(said)}"
            + (f"<br><i>{html.escape(reason)}</i>" if reason else "")
            + (f'<br><span class="next">Next: {html.escape(next_step)}</span>' if next_step else "")
            + "</div></div>"
        )

    def links(self, links: Iterable[tuple[str, str]]) -> None:
        """A line of links to other files: what is said, and the file relative to the page."""
        made = [f'<a href="{html.escape(quote(file))}">{html.escape(said)}</a>' for said, file in links]
        if made:
            self._add(f"<nav>{''.join(made)}</nav>")

    def table(self, table: Table) -> None:
        """A table as programs print it."""
        cells = [[format_value(v) for v in row] for row in table.rows]
        numbers = [
            bool(table.rows) and all(v is None or isinstance(v, (int, float, np.number)) for v in column)
            for column in zip(*table.rows, strict=True)
        ] or [False] * len(table.headers)
        mark = [' class="n"' if n else "" for n in numbers]
        head = "".join(f"<th{m}>{html.escape(h)}</th>" for m, h in zip(mark, table.headers, strict=True))
        rows = "".join(
            "<tr>"
            + "".join(
                f"<td{_LONG if len(c) > LONG else m}>{html.escape(c)}</td>" for m, c in zip(mark, row, strict=True)
            )
            + "</tr>"
            for row in cells
        )
        caption = f"<caption>{html.escape(table.title)}</caption>" if table.title else ""
        self._add(
            f'<div class="scroll"><table>{caption}<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
        )

    def tables(self, tables: Iterable[Table]) -> None:
        """Several tables."""
        for table in tables:
            self.table(table)

    def plot(self, figure: dict[str, Any], wide: bool = False) -> None:
        """A figure as plotly has it: ``data`` and ``layout`` of plain values; those that follow each other share lines."""
        if not self._in_plots:
            self._body.append('<div class="plots">')
            self._in_plots = True
        self._body.append(f'<div id="p{len(self._plots)}" class="plot{" wide" if wide else ""}"></div>')
        self._plots.append(figure)

    def plots(self, figures: Iterable[dict[str, Any]]) -> None:
        """Several figures."""
        for figure in figures:
            self.plot(figure)

    def add(self, section: Section) -> None:
        """A section of a report: remarks, text, tables, figures; or why there is none."""
        self.section(section.title)
        if section.absent:
            self._add(f'<p class="absent">Not shown: {html.escape(section.absent)}</p>')
        for mood, sentence in section.remarks:
            self.text(sentence, mood)
        for paragraph in section.text:
            self.text(paragraph)
        self.tables(section.tables)
        empty = [figure for figure in section.figures.values() if _is_empty(figure)]
        if empty:
            names = ", ".join(str(figure["layout"].get("title", {}).get("text", "a figure")) for figure in empty)
            self._add(f'<p class="absent">Too few data to draw: {html.escape(names)}</p>')
        for figure in section.figures.values():
            if not _is_empty(figure):
                self.plot(figure, bool(figure.get("wide")))

    def html(self) -> str:
        """The page as text."""
        if self._in_plots:
            self._add("")
        links = "".join(f'<a href="#s{i + 1}">{html.escape(s)}</a>' for i, s in enumerate(self._sections))
        script = ""
        if self._plots:
            from plotly.offline import get_plotlyjs

            calls = "".join(
                f"Plotly.newPlot('p{i}',{_json(f['data'])},{_json(_layout(f))},{_BUTTONS});"
                for i, f in enumerate(self._plots)
            )
            script = f"<script>{get_plotlyjs()}</script><script>{calls}</script>"
        subtitle = f"<p>{html.escape(self.subtitle)}</p>" if self.subtitle else ""
        return (
            f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(self.title)}</title>'
            f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body>'
            f"<h1>{html.escape(self.title)}</h1>{subtitle}{f'<nav>{links}</nav>' if links else ''}"
            f"{''.join(self._body)}{script}</body></html>"
        )

    def _add(self, text: str) -> None:
        if self._in_plots:
            self._body.append("</div>")
            self._in_plots = False
        self._body.append(text)


def text_writer(text: str) -> Callable[[Path], None]:
    """Writer of a page, or of any other text, for the files of a program's result."""

    def write(path: Path) -> None:
        path.write_text(text, encoding="utf-8")

    return write


#: Few buttons, which show while the mouse is on a plot, so that they do not cover its title.
_BUTTONS = "{responsive:true,displaylogo:false,modeBarButtonsToRemove:['select2d','lasso2d','zoomIn2d','zoomOut2d','autoScale2d','pan2d']}"


def _is_empty(figure: dict[str, Any]) -> bool:
    """Whether curves and bars have nothing but gaps; other figures speak for themselves."""
    curves = [d for d in figure["data"] if d.get("type") in ("scatter", "scattergl", "bar")]
    if len(curves) < len(figure["data"]) or figure.get("layout", {}).get("images"):
        return False
    values = (v for d in curves for v in (_plain(d.get("y")) or ()))
    return not any(v is not None and not isinstance(v, str) for v in values)


def _layout(figure: dict[str, Any]) -> dict[str, Any]:
    common = {
        "font": {"family": "system-ui, sans-serif", "size": 12}, "margin": {"l": 62, "r": 18, "t": 44, "b": 50},
        "colorway": ["#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#7f6000", "#555555"],
        "paper_bgcolor": "#ffffff", "plot_bgcolor": "#ffffff",
    }  # fmt: skip
    layout = common | figure.get("layout", {})
    # on the left, where the buttons of a plot do not cover it
    layout["title"] = {"x": 0.012, "xanchor": "left", "font": {"size": 15}} | layout.get("title", {})
    for name in ("xaxis", "yaxis"):
        layout[name] = {"gridcolor": "#e8edf2", "zerolinecolor": "#c8d0d8"} | layout.get(name, {})
    return layout


def _json(value: Any) -> str:
    """As a script can hold it: no closing tag inside, no NaN."""
    return json.dumps(_plain(value), allow_nan=False).replace("</", "<\\/")


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None  # no screen shows more, and the page stays small
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(v) for v in value]
    return value
