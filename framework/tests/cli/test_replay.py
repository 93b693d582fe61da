"""Records that somebody else wrote, or that are damaged."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from spoiling import damaged_bytes, damaged_tree


@pytest.fixture
def record(spindle, tmp_path):
    """A record of the trial as a dictionary; writing it back is up to the test."""
    (tmp_path / "image.cbf").write_text("x")
    assert spindle("trial", "image.cbf", "n=4").returncode == 0
    return json.loads((tmp_path / "spindle.trial.json").read_text())


def replay(spindle, folder, record, *words):
    (folder / "foreign.json").write_text(json.dumps(record))
    return spindle("replay", "foreign.json", *words)


@pytest.mark.parametrize("parameter", ["output.text", "output.log", "run.record"])
@pytest.mark.parametrize(
    "where", ["../elsewhere.txt", "{}/elsewhere.txt", "link/elsewhere.txt", "link.txt", ".hidden", ".a/b.txt"]
)
def test_a_record_writes_nowhere_else(spindle, record, tmp_path, monkeypatch, parameter, where):
    here = tmp_path / "here"
    here.mkdir()
    (here / ".a").mkdir()
    (here / "link").symlink_to("..")
    (here / "link.txt").symlink_to("../elsewhere.txt")
    monkeypatch.chdir(here)
    before = sorted(p.name for p in tmp_path.iterdir())
    record["parameters"][parameter] = where.format(tmp_path)
    done = replay(spindle, here, record)
    assert done.returncode == 2 and parameter in done.stderr and "Next: name the place yourself" in done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == before
    assert not {p.name for p in here.rglob("*")} - {".a", "link", "link.txt", "foreign.json"}


def test_code_that_has_changed_since_is_told_of(spindle, record, tmp_path):
    assert "has changed since" not in replay(spindle, tmp_path, record).stdout
    record["code"]["trial_plugins"] = "0123456789abcdef"
    done = replay(spindle, tmp_path, record)
    assert done.returncode == 0
    assert "warning: the code of trial_plugins has changed since the record was made" in done.stdout


@pytest.mark.parametrize("code", [["x"], {"spindle": 3}, "x"], ids=str)
def test_damaged_hashes_of_code_are_said(spindle, record, tmp_path, code):
    record["code"] = code
    done = replay(spindle, tmp_path, record)
    assert done.returncode == 2 and "the record is damaged" in done.stderr


def test_a_plugin_that_has_another_name_now_is_told_of(spindle, record, tmp_path):
    record["parameters"]["squares.algorithm"] = "ornate"
    record["plugins"] = [
        {"slot": "trial_slot", "name": "ornate", "distribution": "trial", "version": "0.0"},
        {"slot": "trial_slot", "name": "plain", "distribution": "trial", "version": "0.0"},
        {"slot": "exporter", "name": "gone", "distribution": "far-away", "version": "3"},
    ]
    done = replay(spindle, tmp_path, record)
    assert done.returncode == 2 and "there is no trial_slot 'ornate'" in done.stderr
    assert "ornate was of trial 0.0, which has the trial_slot fancy now" in done.stderr
    assert "gone was of far-away 3, which is not installed or has none now" in done.stderr


def test_the_user_may_name_another_place(spindle, record, tmp_path, monkeypatch):
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    done = replay(spindle, here, record, "text=../squares2.txt")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "squares2.txt").read_text() == "0 1 4 9"


def test_a_writer_that_is_no_parameter_is_stopped_too(spindle, record, tmp_path):
    from spindle.errors import UserError
    from spindle.files.atomic import atomic_write, writing_only_below

    (tmp_path / "inside").mkdir()
    with writing_only_below(tmp_path / "inside"):
        with pytest.raises(UserError, match="outside of"), atomic_write(tmp_path / "a.txt"):
            pass
        with atomic_write(tmp_path / "inside" / "a.txt") as temporary:
            temporary.write_text("a")
    with atomic_write(tmp_path / "a.txt") as temporary:
        temporary.write_text("a")


@pytest.mark.parametrize("program", ["find_spots_server", "find_spots_client", "show"])
def test_only_what_makes_data_is_replayed(spindle, record, tmp_path, program):
    record["program"] = program
    done = replay(spindle, tmp_path, record)
    assert done.returncode == 2 and "makes no data" in done.stderr


def test_relative_inputs_are_those_of_the_recorded_folder(spindle, record, tmp_path, monkeypatch):
    other = tmp_path / "other"
    other.mkdir()
    (other / "image.cbf").write_text("another image of this name")
    monkeypatch.chdir(other)
    done = replay(spindle, other, record)
    assert done.returncode == 0, done.stderr
    again = json.loads((other / "spindle.trial.json").read_text())
    assert again["inputs"][0]["path"] == str(tmp_path / "image.cbf")
    record["working_folder"] = "/gone"  # the folder was moved: what lies beside the record, by content
    (tmp_path / "moved.json").write_text(json.dumps(record))
    assert spindle("replay", "../moved.json").returncode == 0


@pytest.mark.parametrize("input_", ["/dev/zero", "pipe", "loop", "x.phil", "a" * 300, "."])
def test_what_a_record_reads_are_files(spindle, record, tmp_path, input_):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "x.phil").write_text("n = 1")
    record["inputs"][0]["path"] = input_
    assert replay(spindle, tmp_path, record).returncode == 2


def test_an_input_that_is_named_often_is_read_once(spindle, record, tmp_path, monkeypatch):
    from spindle.execution import record as records

    opened = []
    open_input = records.open_input
    monkeypatch.setattr(records, "open_input", lambda path: opened.append(path) or open_input(path))
    record["inputs"] *= 1000
    record["inputs"][7] = record["inputs"][7] | {"path": ".//./image.cbf"}
    done = replay(spindle, tmp_path, record)
    assert done.returncode == 0, done.stderr
    assert 0 < len(opened) < 10
    assert len(json.loads((tmp_path / "spindle.trial.json").read_text())["inputs"]) == 1
    record["inputs"] = [record["inputs"][0], record["inputs"][0] | {"size": 7}]
    done = replay(spindle, tmp_path, record)
    assert done.returncode == 2 and "inputs[1]: expected what was said before of 'image.cbf'" in done.stderr


@pytest.mark.parametrize("part", range(4))
def test_damaged_records_are_one_message(spindle, record, tmp_path, part):
    rng = np.random.default_rng((11, part))
    (tmp_path / "work").mkdir()
    for case in range(50):
        content = (
            json.dumps(damaged_tree(record, rng)).encode()
            if case % 3
            else damaged_bytes(json.dumps(record).encode(), rng)
        )
        (tmp_path / "damaged.json").write_bytes(content)
        done = spindle("replay", "damaged.json", "-q")
        assert done.returncode in (0, 2), (case, content, done.stderr)
        assert done.returncode == 0 or done.stderr.count("error:") == 1, (case, content, done.stderr)
        (tmp_path / "image.cbf").write_text("x")


@pytest.mark.parametrize(
    "content", ["[" * 100_000, '{"format": ' * 100_000, "", "null", "NaN", '{"format": "spindle run record"}']
)
def test_what_is_no_record_is_one_message(spindle, tmp_path, content):
    (tmp_path / "x.json").write_text(content)
    done = spindle("replay", "x.json")
    assert done.returncode == 2 and "x.json" in done.stderr
