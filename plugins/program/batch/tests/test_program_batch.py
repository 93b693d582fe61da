"""Which data sets a batch finds, how their runs end up in one table, page and file, and sets that come while it watches."""

from __future__ import annotations

import json
import shutil
import threading
import time

import pytest
from spindle_program_batch.results import entry_of, page_of, results_of, table_of
from spindle_program_batch.running import Outcome
from spindle_program_batch.sets import DataSet, find_sets, named_sets

from spindle.cli.main import main
from spindle.errors import FileFormatError, UserError
from spindle.report.screen import on_screen
from spindle.testing import PluginContract

SMALL = ["detector.model=custom", "image_size=120,100", "distance=35", "wavelength=0.7", "structure.d_min=1", "unit_cell=11,13,17,90,90,90",
         "space_group=P 21 21 21", "n_images=3"]  # fmt: skip


class TestBatch(PluginContract):
    slot = "program"
    name = "batch"


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    """Three images of one series."""
    folder = tmp_path_factory.mktemp("series")
    assert (
        main(
            [
                "simulate",
                f"output.directory={folder}",
                f"output.log={folder}/log",
                f"run.record={folder}/record.json",
                *SMALL,
            ]
        )
        == 0
    )
    return sorted(folder.glob("*.cbf"))


def lay(series, folder, prefix, n=3):
    """Copies of the images under another name."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(series[:n], 1):
        shutil.copy(path, folder / f"{prefix}_{number:04d}.cbf")


def test_every_series_below_a_folder_is_a_set(series, tmp_path):
    lay(series, tmp_path / "visit" / "one", "a")
    lay(series, tmp_path / "visit" / "one", "b", 2)
    lay(series, tmp_path / "visit" / "two", "a")
    lay(series, tmp_path / "visit", "snapshot", 1)
    (tmp_path / "visit" / "notes_1.txt").write_text("no image")
    sets, left_out = find_sets([str(tmp_path / "visit")], 2)
    assert {s.name: len(s.files) for s in sets} == {"one_a": 3, "one_b": 2, "two_a": 3}
    assert len(left_out) == 1 and "snapshot" in left_out[0] and "min_images=2" in left_out[0]
    assert list(sets[0].files) == sorted(sets[0].files)


def test_links_are_followed_and_numbers_count_as_such(series, tmp_path):
    for name in ("xtal_2", "xtal_10"):
        lay(series, tmp_path / "elsewhere" / name, "a")
        (tmp_path / "visit").mkdir(exist_ok=True)
        (tmp_path / "visit" / name).symlink_to(tmp_path / "elsewhere" / name)
    (tmp_path / "elsewhere" / "xtal_2" / "back").symlink_to(tmp_path / "visit")
    sets, _ = find_sets([str(tmp_path / "visit")], 2)
    assert [s.name for s in sets] == ["xtal_2_a", "xtal_10_a"]


def test_files_and_patterns_are_sets_and_equal_names_are_told_apart(series, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("x", "y"):
        lay(series, tmp_path / folder, "a")
    sets, _ = find_sets(["x/a_0001.cbf", "x/a_0002.cbf", "y/a_*.cbf"], 2)
    assert [(s.name, len(s.files)) for s in sets] == [("a", 2), ("y_a", 3)]
    sets, _ = find_sets([str(tmp_path / "?")], 2)
    assert [s.name for s in sets] == ["x_a", "y_a"]


def test_folders_of_runs_are_not_searched_for_images(series, tmp_path):
    lay(series, tmp_path / "run", "a")
    (tmp_path / "run" / "spindle.import.json").write_text("{}")
    lay(series, tmp_path, "b")
    assert [s.name for s in find_sets([str(tmp_path)], 2)[0]] == ["b"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nothing"], "neither a folder"),
        (["empty"], "no series of images"),
        (["one"], "fewer than min_images=5"),
        (["p.yml"], "p.yml is no image.*name=value"),
    ],
)
def test_words_that_name_no_set_are_said(series, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "p.yml").write_text("d_min: 1.2\n")
    lay(series, tmp_path / "one", "a")
    with pytest.raises(UserError, match=said):
        find_sets(words, 5)


def test_a_file_of_sets_has_images_and_parameters_for_all_and_for_each(series, tmp_path):
    lay(series, tmp_path / "p", "a")
    lay(series, tmp_path / "q", "a")
    (tmp_path / "mask.npz").touch()
    file = tmp_path / "sets.toml"
    file.write_text(
        'd_min = 1.5\nmask = "mask.npz"\n[first]\nimages = "p/*.cbf"\n[both]\nimages = ["p", "q/a_*.cbf"]\nspace_group = "P 21"\n'
        "unit_cell = [10, 20, 30, 90, 90, 90]\n[both.index]\nmax_lattices = 2\n"
    )
    first, both = named_sets(file)
    common = ("d_min=1.5", f"mask={tmp_path / 'mask.npz'}")
    assert (first.name, len(first.files), first.words) == ("first", 3, common)
    assert (both.name, len(both.files)) == ("both", 6)
    assert both.words == (*common, "space_group=P 21", "unit_cell=10,20,30,90,90,90", "index.max_lattices=2")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("d_min = 2", "there is no set"), ("[a]\nimage = 'x'", r"\[a\] names no images"), ("[a]\nimages = 3", r"\[a\] images: expected"), ("[a]\nimages = 'z*.cbf'", "no file matches"),
        ("[a\n", "a file of sets has a table for each"),
    ],
)  # fmt: skip
def test_a_wrong_file_of_sets_is_said_with_the_place(tmp_path, text, said):
    file = tmp_path / "sets.toml"
    file.write_text(text)
    with pytest.raises(FileFormatError, match=said):
        named_sets(file)


def test_wrong_parameters_are_refused_before_anything_is_done(series, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    lay(series, tmp_path / "data", "a")
    (tmp_path / "sets.toml").write_text('[one]\nimages = "data/*.cbf"\nspace_grup = "P1"\n')
    assert main(["batch", "data", "spotfinder.filter.d_min=none_such"]) == 2
    assert main(["batch", "sets.toml"]) == 2
    said = capsys.readouterr().err
    assert "none_such" in said and "set one: space_grup=P1" in said
    assert not (tmp_path / "a").exists() and not (tmp_path / "one").exists()


def test_sets_are_processed_in_their_folders_and_told_of_in_one_file(series, tmp_path, monkeypatch, capsys):
    """With a set that cannot be processed, until its images are mended and the batch is taken up; what is finished stands."""
    monkeypatch.chdir(tmp_path)
    lay(series, tmp_path / "data", "a")
    lay(series, tmp_path / "data", "b")
    for path in (tmp_path / "data").glob("b_*.cbf"):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert (
        main(
            [
                "batch",
                "data",
                "output.directory=out",
                "stop_after=import",
                "fail_if=red",
                "import.input.tolerance.nonsense=1",
            ]
        )
        == 2
    )
    assert main(["batch", "data", "output.directory=out", "stop_after=import", "fail_if=red", "mp.nproc=2"]) == 3
    content = json.loads((tmp_path / "out" / "batch.json").read_text())
    assert (content["format"], content["format_version"], content["is_finished"]) == ("spindle batch", 1, True)
    a, b = content["sets"]
    assert (a["name"], a["exit_code"], a["n_images"], b["exit_code"], b["colour"]) == ("a", 0, 3, 2, "red")
    assert (tmp_path / "out" / "a" / "imported.expt").is_file() and "b_0001" in b["error"] + (
        tmp_path / "out" / "b" / "batch.log"
    ).read_text()
    assert content["colours"]["red"] == 1 and b["verdict"]["lines"][0]["next_step"]
    page = (tmp_path / "out" / "batch.html").read_text()
    assert 'href="a/process.json"' in page
    shown = capsys.readouterr().out
    assert "[2/2] b: red" in shown and "Data sets" in shown
    before = (tmp_path / "out" / "a" / "imported.expt").stat().st_mtime_ns
    lay(series, tmp_path / "data", "b")
    assert main(["batch", "data", "output.directory=out", "stop_after=import", "resume=True"]) == 0
    assert (tmp_path / "out" / "a" / "imported.expt").stat().st_mtime_ns == before
    assert [s["exit_code"] for s in json.loads((tmp_path / "out" / "batch.json").read_text())["sets"]] == [0, 0]


@pytest.mark.long
def test_sets_that_come_and_grow_are_processed_while_it_watches(series, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    lay(series, tmp_path / "data", "a", 2)

    def more():
        while not (tmp_path / "a" / "process.json").exists():
            time.sleep(0.1)
        lay(series, tmp_path / "data", "a", 3)
        lay(series, tmp_path / "data", "late")

    thread = threading.Thread(target=more)
    thread.start()
    assert main(["batch", "data", "stop_after=import", "watch=True", "watch_settle=0", "watch_timeout=4"]) == 0
    thread.join()
    content = json.loads((tmp_path / "batch.json").read_text())
    assert {s["name"]: s["n_images"] for s in content["sets"]} == {"a": 3, "late": 3}
    assert capsys.readouterr().out.count("] a: ") >= 2


def entry(tmp_path, name, colour, code=0):
    (tmp_path / name).mkdir()
    line = {"colour": colour, "topic": "signal", "said": "I/sigma 3", "reason": "weak" if colour != "green" else "",
            "next_step": "look" if colour != "green" else "", "value": 3.0, "limit": None}  # fmt: skip
    steps = {
        "import": {"n_images": 90},
        "merge": {"space_group": "P 21 21 21"},
        "refine": {"cells": [[1, 2, 3, 90, 90, 90]]},
    }
    verdict = {"colour": colour, "next": "", "lines": [line]}
    (tmp_path / name / "process.json").write_text(json.dumps({"verdict": verdict, "steps": steps, "failed": None}))
    shell = {"d_min": 1.5, "completeness": 0.9, "i_over_sigma": 3.0, "cc_half": float("nan")}
    (tmp_path / name / "merging_statistics.json").write_text(
        json.dumps({"wavelength_1": {"overall": shell, "shells": [shell, shell]}})
    )
    return entry_of(
        DataSet(name, ("/x/a_1.cbf",)), Outcome(name, code, 1.0, "error: it broke\n" if code == 1 else ""), tmp_path
    )


def test_an_entry_has_the_numbers_of_its_run_and_the_page_all_entries(tmp_path):
    entries = [entry(tmp_path, "good", "green"), entry(tmp_path, "bad", "red"), entry(tmp_path, "broken", "green", 1)]
    good, _, broken = entries
    assert (good["space_group"], good["unit_cell"], good["statistics"]["outer"]["d_min"]) == (
        "P 21 21 21",
        [1, 2, 3, 90, 90, 90],
        1.5,
    )
    assert good["statistics"]["overall"]["cc_half"] is None  # JSON has no NaN
    assert broken["colour"] == "red" and broken["verdict"]["lines"][0]["said"] == "it broke"
    content = results_of(entries, "0", True)
    assert json.loads(json.dumps(content, allow_nan=False))["colours"] == {"green": 1, "amber": 0, "red": 2}
    assert table_of(entries).column("Verdict") == ["green", "red", "red"]
    reason = "only 3 of 100 reflections " * 5  # the screen folds it, the page wraps it
    entries[1]["verdict"]["lines"][0]["said"] = reason
    assert table_of(entries).column("Why") == ["", reason, "it broke"] and page_of(entries, True).count(reason) == 2
    assert all(len(line) <= 100 for line in on_screen(table_of(entries), 100).splitlines())
    page = page_of(entries, True)
    assert page.index("it broke") < page.index(">good</h2>") and "3 data sets: 1 green, 0 amber, 2 red" in page
