"""Pages are whole, hold what they were given, and say it in a form that scripts and browsers read."""

from __future__ import annotations

import html.parser
import json
import re
import shutil
import subprocess

import numpy as np
import pytest

from spindle.report import Section, Table
from spindle_lib_pages import Page, text_writer
from spindle_lib_pages.figures import bars, dendrogram_lines, heat_map, histogram, lines, points, resolution_ticks

VOID = {"meta", "br", "img", "link"}


class Balance(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.text = [], []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("script", "style"):
            self.text.append(data)


def example():
    page = Page("Sets <of> data", "two of them")
    page.section("Tables & text")
    page.text("All agree.", "good")
    page.table(Table("A </script> table", ["Set", "CC"], [["a<b", 0.98765], ["c", None]]))
    page.section("Plots")
    ticks = resolution_ticks([0.01, 0.25])
    page.plot(lines("CC1/2", "d", "CC", [("a", [1, 2, 3], [0.9, np.nan, np.inf])], xaxis=ticks))
    page.plot(points("x", "x", "y", [("</script>", np.zeros(2), np.ones(2))], [["one", "two"]]), wide=True)
    page.plots([bars("b", "x", "n", [("", [1], [2])]), heat_map("h", "x", "y", np.eye(2), low=0.0)])
    return page


def calls(text):
    found = re.findall(r"Plotly\.newPlot\('p\d+',(.*?),\{responsive:true,displaylogo:false.*?\}\);", text, re.DOTALL)
    return [json.loads(f"[{call}]") for call in found]


def test_a_page_is_whole_and_needs_no_network():
    text = example().html()
    parser = Balance()
    parser.feed(text)
    assert parser.open == []
    said = " ".join(parser.text)
    assert "Sets <of> data" in said and "a<b" in said and "0.9877" in said and "--" in said
    assert not re.search(r"<(script|link|img)[^>]*(src|href)=", text)


def test_figures_arrive_without_nan():
    figures = calls(example().html())
    assert len(figures) == 4
    assert figures[0][0][0]["y"] == [0.9, None, None]
    assert figures[0][1]["xaxis"]["ticktext"][0] == "10.00" and figures[0][1]["xaxis"]["ticktext"][-1] == "2.00"
    assert figures[1][0][0]["name"] == "</script>"


def test_histograms_count_finite_values():
    figure = histogram("h", "x", [0.0, 0.1, 1.0, np.nan, np.inf], n_bins=2)
    assert figure["data"][0]["y"] == [2, 1]
    assert sum(histogram("h", "x", [])["data"][0]["y"]) == 0
    alike = histogram("h", "x", 90.0 + 1e-14 * np.arange(5))
    assert alike["data"][0]["y"] == [5]


def test_a_dendrogram_names_its_leaves():
    from scipy.cluster.hierarchy import linkage

    figure = dendrogram_lines("t", "height", linkage(np.array([[0.0], [0.1], [5.0]])), ["a", "b", "c"], threshold=1.0)
    assert sorted(figure["layout"]["xaxis"]["ticktext"]) == ["a", "b", "c"]
    assert [line["line"]["color"] for line in figure["data"]] == ["#0072b2", "#9aa7b4"]


def test_text_is_written_as_it_is(tmp_path):
    text_writer("0.5 \u00c5\n")(tmp_path / "x.txt")
    assert (tmp_path / "x.txt").read_bytes() == "0.5 \u00c5\n".encode()


def test_without_plots_there_is_no_script():
    page = Page("Short")
    page.text("nothing to draw")
    assert "<script" not in page.html()


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs the browser chromium")
def test_a_browser_draws_every_plot(tmp_path):
    (tmp_path / "page.html").write_text(example().html(), encoding="utf-8")
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=8000", "--dump-dom"]
    done = subprocess.run(
        [*command, f"file://{tmp_path}/page.html"], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.count('class="main-svg"') >= 8


def test_a_section_leaves_out_figures_that_hold_nothing_and_names_them():
    section = Section("Merged", "merging")
    section.figures["cc"] = lines("CC1/2", "d", "CC1/2", [("", [1.0, 2.0], [np.nan, np.nan])])
    section.figures["r"] = lines("R factors", "d", "R", [("", [1.0, 2.0], [np.nan, 0.1])])
    section.figures["map"] = heat_map("Map", "x", "y", np.full((2, 2), np.nan))
    page = Page("Report")
    page.add(section)
    text = page.html()
    assert "Too few data to draw: CC1/2<" in text and text.count('class="plot"') == 2
