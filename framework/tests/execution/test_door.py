"""What programs are given is checked before they run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import spindle
from spindle.cli.main import main
from spindle.errors import FileFormatError
from spindle.execution.door import check_experiments, check_reflections
from spindle.execution.numbering import number_tables, numbered_by_identifiers
from spindle.files import read_reflections, write_experiments, write_reflections
from spindle.models import Beam, Detector, Experiment, Experiments, Panel
from spindle.plugins import registry
from spindle.table import SCHEMA, ReflectionTable, Shoeboxes

PANEL = Panel(
    fast_axis=np.array([1.0, 0, 0]), slow_axis=np.array([0, -1.0, 0]), origin=np.array([-10.0, 8, -100]),
    pixel_size=np.array([0.172, 0.172]), image_size=(120, 90),
)  # fmt: skip
ONE = Experiment(beam=Beam(direction=[0, 0, 1], wavelength=1.0), detector=Detector([PANEL]), identifier="first")
TWO_PANELS = replace(ONE, detector=Detector([PANEL, replace(PANEL, name="b")]), identifier="second")
EXPERIMENTS = Experiments([ONE, TWO_PANELS])
N = 5


def table() -> ReflectionTable:
    found = ReflectionTable.with_rows(N, list(SCHEMA))
    found["bbox"] = np.tile([2, 5, 3, 6, 0, 1], (N, 1))
    found["id"] = np.array([0, 0, 1, 1, -1])
    found["panel"] = np.array([0, 0, 1, 0, 1])
    found["shoebox"] = Shoeboxes.empty(found["panel"], found["bbox"])
    return found


def test_what_is_right_passes():
    check_reflections(table(), EXPERIMENTS, "x.refl")
    check_reflections(table(), None, "x.refl")
    check_reflections(ReflectionTable(), EXPERIMENTS, "x.refl")


@pytest.mark.parametrize("column", [n for n, spec in SCHEMA.items() if spec.dtype == "f8"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_every_number_is_finite(column, value):
    found = table()
    values = found[column].copy()
    values.reshape(N, -1)[3, -1] = value
    found[column] = values
    with pytest.raises(FileFormatError, match=rf"x\.refl: row 3, column {column}: finite numbers expected"):
        check_reflections(found, None, "x.refl")


@pytest.mark.parametrize(
    ("column", "row", "value"),
    [
        ("id", 2, 2), ("id", 0, -2), ("imageset_id", 0, -7), ("panel", 0, 1), ("panel", 2, 2), ("panel", 4, 2**63),
        ("bbox", 1, [5, 2, 0, 1, 0, 1]), ("bbox", 1, [0, 1, 0, 1, 0, 2**31 - 1]), ("bbox", 1, [-(2**31), 1, 0, 1, 0, 1]),
        ("xyzobs.px.value", 2, [1e300, 4, 5]), ("xyzobs.px.value", 0, [1, 2, -1e9]),
        ("xyzcal.px", 4, [1, 2, 1e12]),
    ],
)  # fmt: skip
def test_every_index_names_what_there_is(column, row, value):
    found = table()
    values = found[column].copy()
    values[row] = value
    found[column] = values
    with pytest.raises(FileFormatError, match=rf"row {row}, column {column}"):
        check_reflections(found, EXPERIMENTS, "x.refl")


def test_shoeboxes_hold_the_pixels_of_their_boxes():
    found = table()
    boxes = found["shoebox"]
    bbox = boxes.bbox.copy()
    bbox[2, 1] += 1
    found["shoebox"] = replace(boxes, bbox=bbox)
    with pytest.raises(FileFormatError, match="row 2, column shoebox: 12 pixels, or none, expected, found 9"):
        check_reflections(found, EXPERIMENTS, "x.refl")
    found["shoebox"] = replace(boxes, panel=boxes.panel - 1)
    with pytest.raises(FileFormatError, match="column panel"):
        check_reflections(found, EXPERIMENTS, "x.refl")


def test_shoeboxes_and_numbers_are_not_exchanged():
    found = table()
    found["d"] = found["shoebox"]
    with pytest.raises(FileFormatError, match="column d holds shoeboxes: resolution expected"):
        check_reflections(found, None, "x.refl")
    found = table()
    found["shoebox"] = found["flags"]
    with pytest.raises(FileFormatError, match="column shoebox holds no shoeboxes"):
        check_reflections(found, None, "x.refl")


@pytest.mark.parametrize("program", [i.name for i in registry().infos if i.slot == "program"])
def test_no_experiments_are_no_input_of_any_program(program, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_experiments(Experiments(), tmp_path / "none.expt")
    write_reflections(ReflectionTable({"id": np.zeros(0)}), tmp_path / "none.refl")
    assert main([program, "none.expt", "none.refl"]) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ") and "Traceback" not in message
    if program not in ("import", "simulate", "find_spots_server", "find_spots_client", "check_truth"):
        assert "none." in message


def test_an_experiment_is_given_once():
    with pytest.raises(FileFormatError, match=r"b\.expt: an experiment has the identifier first, as one of a\.expt"):
        check_experiments(Experiments([ONE, ONE]), ["a.expt", "b.expt"])
    nameless = replace(ONE, identifier="")
    check_experiments(Experiments([nameless, nameless]), ["a.expt", "b.expt"])


def test_rows_follow_the_identifiers_of_their_experiments(caplog):
    found = table()
    found.identifiers = {0: "first", 1: "second"}
    assert numbered_by_identifiers(found, EXPERIMENTS, "x.refl") is found
    turned = numbered_by_identifiers(found, Experiments([TWO_PANELS, ONE]), "x.refl")
    assert turned["id"].tolist() == [1, 1, 0, 0, -1]
    assert turned.identifiers == {1: "first", 0: "second"}
    with caplog.at_level("INFO"):
        alone = numbered_by_identifiers(found, Experiments([TWO_PANELS]), "x.refl")
    assert alone["id"].tolist() == [0, 0, -1]
    assert "2 reflections of experiments that were not given are left out" in caplog.text
    assert found["id"].tolist() == [0, 0, 1, 1, -1]


def tables_of_files(*identifiers):
    """One table per file, each of two rows of its first experiment and a spot without any."""
    made = []
    for identifier in identifiers:
        one = ReflectionTable({"id": np.array([0, 0, -1])}, {0: identifier} if identifier else {})
        made.append(one)
    return made


def test_rows_of_several_files_get_numbers_among_all_experiments():
    lists = [Experiments([ONE]), Experiments([TWO_PANELS])]
    for names, expected in ((("first", "second"), [0, 1]), (("second", "first"), [1, 0]), (("", ""), [0, 1])):
        found = number_tables(tables_of_files(*names), lists, ["a.refl", "b.refl"])
        assert [t["id"].tolist() for t in found] == [[k, k, -1] for k in expected]
        assert [t.identifiers for t in found] == [{k: EXPERIMENTS[k].identifier} for k in expected]


def test_files_that_nothing_pairs_keep_their_numbers(caplog):
    lists = [EXPERIMENTS]
    strangers = tables_of_files("other", "another")
    assert number_tables(strangers, lists, ["a.refl", "b.refl"]) == strangers
    with caplog.at_level("INFO"):
        (alone,) = number_tables([table_with("first", "gone")], [EXPERIMENTS], ["a.refl"])
    assert alone["id"].tolist() == [0] and "1 reflections of experiments that were not given" in caplog.text


def test_files_of_experiments_of_one_identifier_belong_together_in_their_order():
    lists = [Experiments([ONE]), Experiments([TWO_PANELS, ONE])]
    one, two = tables_of_files("first", "first")
    found = number_tables([one, two], lists, ["a.refl", "b.refl"])
    assert [t["id"].tolist() for t in found] == [[0, 0, -1], [2, 2, -1]]
    with pytest.raises(FileFormatError, match=r"b\.refl: .* in the same order"):
        number_tables([one, tables_of_files("second")[0]], [lists[0]] * 2, ["a.refl", "b.refl"])


def table_with(*identifiers):
    return ReflectionTable({"id": np.arange(len(identifiers))}, dict(enumerate(identifiers)))


def test_a_row_of_none_of_the_experiments_of_its_file_is_refused():
    strange = tables_of_files("", "")
    strange[1]["id"] = np.array([0, 1, -1])
    with pytest.raises(FileFormatError, match=r"b\.refl: row 1 belongs to experiment 1"):
        number_tables(strange, [Experiments([ONE]), Experiments([TWO_PANELS])], ["a.refl", "b.refl"])


def test_rows_of_several_files_are_checked_with_their_own_experiments():
    """Panel 1 is none of the first experiment, and all of the tables are numbered before."""
    rows = ReflectionTable({"id": np.array([1, 1]), "panel": np.array([1, 0])})
    check_reflections(rows, EXPERIMENTS, "b.refl")
    rows["id"] = np.array([0, 1])
    with pytest.raises(FileFormatError, match="row 0, column panel"):
        check_reflections(rows, EXPERIMENTS, "b.refl")


def test_programs_are_behind_the_door(tmp_path):
    found = table()
    found["panel"] = np.full(N, 9)
    with pytest.raises(FileFormatError, match="merge: reflections 0: row 0, column panel"):
        spindle.run("merge", EXPERIMENTS, found)
    write_reflections(found, tmp_path / "x.refl")
    assert read_reflections(tmp_path / "x.refl")["panel"].tolist() == [9] * N
