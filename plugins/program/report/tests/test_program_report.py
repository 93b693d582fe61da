"""`spindle report`: numbers against those of the tables, pages that a browser draws, anything missing."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace

import gemmi
import numpy as np
import pytest

import spindle
from spindle.contracts import Algorithm, hookimpl
from spindle.errors import ParameterError, UserError
from spindle.files import read_experiments, read_reflections
from spindle.models import Detector, Experiments
from spindle.report import Section, Table
from spindle.table import Flag, ReflectionTable
from spindle.testing import PluginContract
from spindle.testing.data import shared_data
from spindle.testing.refinement_problems import rotation_experiment


class TestReport(PluginContract):
    slot = "program"
    name = "report"


def report(experiments, tables, **params):
    result = spindle.run("report", experiments, tables, **{"output.json": "r.json", "images": 0, **params})
    return result, {name: written(write) for name, write in result.files.items()}


def written(write):
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        write(path)
        return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def quartz():
    folder = shared_data("dials_processed/quartz_processed")
    experiments, table = read_experiments(folder / "scaled.expt"), read_reflections(folder / "scaled.refl")
    _, files = report(experiments, table)
    return experiments, table, json.loads(files["r.json"]), files["spindle.report.html"]


def scaled_rows(table):
    good = table.has_flags(Flag.SCALED) & ~table.has_flags(
        Flag.USER_EXCLUDED_IN_SCALING | Flag.OUTLIER_IN_SCALING | Flag.EXCLUDED_FOR_SCALING, all=False
    )
    return (
        good
        & (table["inverse_scale_factor"] > 0)
        & (table["intensity.scale.variance"] > 0)
        & (table["partiality"] >= 0.4)
    )


def test_merging_statistics_are_those_of_plain_loops(quartz):
    experiments, table, content, _ = quartz
    crystal = experiments[0].crystal
    rows = np.flatnonzero(scaled_rows(table))
    ratio = table["intensity.scale.value"] / np.sqrt(np.maximum(table["intensity.scale.variance"], 1e-30))
    asu, operations = gemmi.ReciprocalAsu(crystal.space_group), crystal.space_group.operations()
    groups = {}
    for i in rows[ratio[rows] >= -5.0]:
        h = table["miller_index"][i].tolist()
        if not operations.is_systematically_absent(h):
            key = tuple(asu.to_asu(h, operations)[0])
            g = table["inverse_scale_factor"][i]
            groups.setdefault(key, []).append(
                (table["intensity.scale.value"][i] / g, g**2 / table["intensity.scale.variance"][i])
            )
    up = down = 0.0
    for members in groups.values():
        if len(members) > 1:
            values, weights = np.array(members).T
            mean = (weights * values).sum() / weights.sum()
            up, down = up + np.abs(values - mean).sum(), down + values.sum()
    overall = content["merging"]["values"]["statistics"]["overall"]
    assert overall["n_unique"] == len(groups)
    assert overall["n_observations"] == sum(map(len, groups.values()))
    assert overall["r_merge"] == pytest.approx(up / down, rel=1e-6)
    counts = np.bincount(np.minimum([len(m) for m in groups.values()], 60))
    assert content["merging"]["multiplicities"]["data"][0]["y"][1 : len(counts)] == counts[1:].tolist()


def test_slices_hold_what_was_measured(quartz):
    experiments, table, content, _ = quartz
    figure = content["completeness_map"]["multiplicity_hk0"]["data"][0]
    group = experiments[0].crystal.space_group
    asu, operations = gemmi.ReciprocalAsu(group), group.operations()
    seen = {tuple(asu.to_asu(h, operations)[0]) for h in table["miller_index"][scaled_rows(table)].tolist()}
    z = figure["z"]
    n_checked = 0
    for row, k in zip(z, figure["y"], strict=True):
        for value, h in zip(row, figure["x"], strict=True):
            if value is not None:
                n_checked += 1
                assert (value > 0) == (tuple(asu.to_asu([int(h), int(k), 0], operations)[0]) in seen), (h, k)
    assert n_checked > 10


def test_signal_by_image_is_that_of_the_table(quartz):
    _, table, content, _ = quartz
    curve = content["intensity"]["i_over_sigma_vs_image"]["data"][0]
    used = table.has_flags(Flag.INTEGRATED_SUM) & (table["intensity.sum.variance"] > 0)
    image = np.floor(table["xyzcal.px"][:, 2]).astype(int) + 1
    number = int(np.bincount(image[used]).argmax())
    mine = used & (image == number)
    expected = np.mean(table["intensity.sum.value"][mine] / np.sqrt(table["intensity.sum.variance"][mine]))
    assert curve["y"][curve["x"].index(number)] == pytest.approx(expected)


def test_deviations_are_normalised(quartz):
    """Errors twice as large halve the slope of the normal plot."""
    experiments, table, content, _ = quartz
    twice = table.view()
    twice["intensity.scale.variance"] = 4 * table["intensity.scale.variance"]
    _, files = report(experiments, twice, **{"output.html": None})
    slopes = [c["scaling_model"]["values"]["normal_slope"] for c in (content, json.loads(files["r.json"]))]
    assert slopes[1] == pytest.approx(slopes[0] / 2, rel=0.02)


def test_the_page_is_whole_and_small(quartz):
    *_, content, page = quartz
    assert len(page) < 6e6
    assert not re.search(r"<(script|link|img)[^>]*(src|href)=", page)
    assert len(content["questions"]) == 5 and page.count('class="answer ') == 5
    for answer in content["questions"]:
        assert answer["mood"] in ("good", "doubtful", "bad", "unknown") and answer["said"]


def browser(path, tmp_path):
    command = [
        "chromium",
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--virtual-time-budget=20000",
        "--enable-logging=stderr",
        "--dump-dom",
    ]
    done = subprocess.run(
        [*command, f"--user-data-dir={tmp_path}/browser", f"file://{path}"],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    return done.stdout, [
        line for line in done.stderr.splitlines() if "CONSOLE" in line and ("Uncaught" in line or "rror" in line)
    ]


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs the browser chromium")
def test_a_browser_draws_every_figure_without_an_error(quartz, tmp_path):
    *_, content, page = quartz
    path = tmp_path / "page.html"
    path.write_text(page, encoding="utf-8")
    shown, errors = browser(path, tmp_path)
    assert errors == []
    n = sum(
        "data" in v and "layout" in v
        for s in content.values()
        if isinstance(s, dict)
        for v in s.values()
        if isinstance(v, dict)
    )
    assert n > 25 and shown.count("js-plotly-plot") >= n
    path.write_text(page.replace("Plotly.newPlot('p3'", "Plotly.noSuch('p3'"), encoding="utf-8")
    assert browser(path, tmp_path)[1], "an error of a script goes unnoticed"


def strong(n=500, n_images=20, panels=1):
    rng = np.random.default_rng(8)
    experiment = rotation_experiment(n_images)
    if panels > 1:
        first = experiment.detector[0]
        width = first.image_size[0] * first.pixel_size[0]
        second = replace(first, origin=first.origin + (width + 1.0) * first.fast_axis, name="second")
        experiment = replace(experiment, detector=Detector([first, second]))
    size = experiment.detector[0].image_size
    xyz = np.column_stack([rng.uniform(0, size[0], n), rng.uniform(0, size[1], n), rng.uniform(0, n_images, n)])
    table = ReflectionTable(
        {
            "id": np.full(n, -1, np.int32), "imageset_id": np.zeros(n, np.int32), "panel": rng.integers(0, panels, n).astype(np.uint64),
            "flags": np.full(n, int(Flag.STRONG), np.uint64), "xyzobs.px.value": xyz,
        }
    )  # fmt: skip
    return Experiments([experiment]), table


def shown(files):
    content = json.loads(files["r.json"])
    return {k for k, v in content.items() if isinstance(v, dict) and v.get("absent") == ""}


def test_each_picture_has_the_command_that_opens_the_viewer_there(tmp_path):
    import shlex

    from spindle_program_report.workflow import _say_how_to_look

    from spindle.contracts import ProgramInputs
    from spindle.images import ImageSequence
    from spindle_lib_sections.given import Given
    from spindle_lib_sections.pictures import picture_section

    sweeps = []
    for _ in range(2):
        bare = rotation_experiment(3)
        fast, slow = bare.detector[0].image_size
        sweeps.append(ImageSequence.from_arrays(bare, [np.zeros((slow, fast), np.int32)] * 3).experiment)
    names = [tmp_path / "my data.expt", tmp_path / "my data.refl"]
    for experiments, wanted in (
        (sweeps[:1], [["image=1"], ["image=2"], ["image=3"]]),
        (sweeps, [["image=1"], ["image=3"], ["imageset=1", "image=1"]]),
    ):
        section = picture_section(Given.of(Experiments(experiments), []), 3)
        _say_how_to_look([section], ProgramInputs(sources=names), Experiments(experiments))
        commands = [shlex.split(row[1]) for row in section.tables[0].rows]
        assert commands == [["spindle", "image_viewer", *map(str, names), *w] for w in wanted]


def test_spots_alone_make_a_report():
    experiments, table = strong()
    result, files = report(None, table)
    assert shown(files) == {"strong"}
    assert result.summary["n_unknown"] == 5 and "not looked for" in files["spindle.report.html"]
    result, files = report(experiments, table)
    assert {"strong", "models"} <= shown(files) and result.summary["n_bad"] == 0


def test_experiments_alone_make_a_report():
    experiments, _ = strong()
    _, files = report(experiments, None)
    assert shown(files) == {"models"}
    assert "No spots were given" in files["spindle.report.html"]


def test_several_panels_lie_beside_each_other():
    experiments, table = strong(panels=2)
    _, files = report(experiments, table)
    figure = json.loads(files["r.json"])["strong"]["n_spots_vs_xy"]["data"][0]
    z = np.array(figure["z"], float)
    size = experiments[0].detector[0].image_size
    assert np.nansum(z) == 500
    assert max(figure["x"]) > 1.8 * size[0]
    second = np.nansum(z[:, np.array(figure["x"]) > size[0] + 20])
    assert second == pytest.approx((table["panel"] == 1).sum(), abs=25)


@pytest.mark.parametrize(
    "columns",
    [[], ["flags"], ["id", "flags"], ["id", "flags", "miller_index", "intensity.scale.value", "inverse_scale_factor"]],
)
def test_tables_without_rows_or_columns_make_a_report(columns):
    experiments, _ = strong(5)
    kinds = {"id": np.int32, "flags": np.uint64}
    empty = ReflectionTable(
        {
            c: np.zeros((0, 3), np.int32) if c == "miller_index" else np.zeros(0, kinds.get(c, np.float64))
            for c in columns
        }
    )
    for given in (experiments, None):
        _, files = report(given, empty)
        assert "strong" not in shown(files) and "<h1>" in files["spindle.report.html"]


def test_stills_make_a_report():
    folder = shared_data("dials_processed/ssx_CuNiR_test_data")
    experiments, table = read_experiments(folder / "integrated.expt"), read_reflections(folder / "integrated.refl")
    _, files = report(experiments, table)
    content = json.loads(files["r.json"])
    assert {"intensity", "models"} <= shown(files)
    assert content["scan_varying"]["absent"] and content["damage"]["absent"]
    assert content["intensity"]["i_over_sigma_vs_image"]["layout"]["xaxis"]["title"]["text"] == "still"


def test_nothing_given_or_asked_for_is_refused():
    experiments, table = strong(5)
    with pytest.raises(UserError, match="give experiments"):
        spindle.run("report")
    with pytest.raises(ParameterError, match="leave nothing"):
        spindle.run("report", experiments, table, **{"output.html": None})
    with pytest.raises(ParameterError, match="an axis has a length"):
        spindle.run("report", experiments, table, **{"orientation_decomposition.e1": (0, 0, 0)})


class Speaks(Algorithm):
    """An observer with a section."""

    @hookimpl
    def report_sections(self, reflections):
        return [Section("Mine", "mine", ["Said by an observer."], tables=[Table("", ["n"], [[len(reflections)]], "n")])]


class Breaks(Algorithm):
    """An observer that returns no sections."""

    @hookimpl
    def report_sections(self, experiments, reflections):
        return "nothing"


def test_observers_add_sections(monkeypatch, caplog):
    from spindle.plugins import registry
    from spindle.plugins.host import PluginHost

    experiments, table = strong(40)
    host = PluginHost(plugins=registry())
    for name, kind in (("breaks", Breaks), ("speaks", Speaks)):
        host.observe(name, kind())
    found = list(host.collect("report_sections", {"experiments": experiments, "reflections": table}))
    assert [name for name, _ in found] == ["speaks"]
    assert found[0][1][0].tables[0].rows == [[40]]
    assert "the result is str" in caplog.text
