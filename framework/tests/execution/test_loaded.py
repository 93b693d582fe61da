"""Files as objects, and what they say of themselves."""

from __future__ import annotations

import numpy as np
import pytest

import spindle
from spindle.errors import FileFormatError, UserError
from spindle.models import Beam, Crystal, Detector, Experiment, Experiments, Goniometer, Panel, Scan
from spindle.report import Table
from spindle.table import ReflectionTable


@pytest.fixture
def files(tmp_path):
    panel = Panel((1, 0, 0), (0, -1, 0), (-40.0, 40.0, -100.0), (0.172, 0.172), (400, 420))
    experiments = []
    for k in range(2):
        crystal = Crystal.from_cell((30.0 + k, 40, 50, 90, 90, 90), space_group="P 21 21 21")
        experiments.append(
            Experiment(Beam((0, 0, 1), 0.98), Detector([panel]), Goniometer((1, 0, 0)), Scan((1, 20), (0.0, 0.5)), crystal, identifier=f"e{k}")
        )  # fmt: skip
    names = []
    for k, experiment in enumerate(experiments):
        table = ReflectionTable.with_rows(
            3 + k, ["id", "flags", "miller_index", "xyzcal.px"], {0: experiment.identifier}
        )
        spindle.write_experiments(Experiments([experiment]), tmp_path / f"{k}.expt")
        spindle.write_reflections(table, tmp_path / f"{k}.refl")
        names += [tmp_path / f"{k}.expt", tmp_path / f"{k}.refl"]
    return names


def test_files_are_joined_and_rows_stay_with_their_experiments(files):
    data = spindle.load(files[0], files[2], files[3], files[1])
    assert len(data.experiments) == 2 and data.reflections["id"].tolist() == [1, 1, 1, 1, 0, 0, 0]
    assert repr(data) == "Loaded(0.expt, 1.expt, 1.refl, 0.refl: 2 experiments, 7 reflections)"


def test_models_and_tables_show_themselves(files):
    data = spindle.load(*files[:2])
    text = data._repr_html_()
    assert "30 40 50 90 90 90" in text and "P 21 21 21" in text and "miller_index" in text and "3 reflections" in text
    experiment = data.experiments[0]
    shown = {m: getattr(experiment, m)._repr_html_() for m in ("beam", "detector", "goniometer", "scan", "crystal")}
    assert "0.98 A" in shown["beam"] and "100.000 mm" in shown["detector"] and "0 to 10 deg" in shown["scan"]
    assert "1 0 0" in shown["goniometer"] and "60000 A^3" in shown["crystal"]
    assert "scan: images" in experiment._repr_html_()
    assert "P 21 21 21" in repr(data.experiments) and "400 x 420" in repr(experiment.detector)


def test_what_is_shown_is_no_markup_of_its_own():
    assert "<b>x</b>" not in Table("<b>x</b>", ["<i>"], [["<script>"]])._repr_html_()


def test_a_table_becomes_arrays():
    table = Table("", ["n", "x", "name"], [[1, 2.5, "a"], [2, None, "b"]])
    arrays = table.to_arrays()
    assert arrays["n"].dtype == np.int64 and np.isnan(arrays["x"][1]) and list(arrays["name"]) == ["a", "b"]


def test_a_table_becomes_a_data_frame():
    pandas = pytest.importorskip("pandas")
    frame = Table("", ["n", "x"], [[1, 2.5], [2, None]]).to_pandas()
    assert isinstance(frame, pandas.DataFrame) and frame["x"].isna().tolist() == [False, True]


def test_a_result_names_its_tables_and_files(tmp_path, monkeypatch):
    from spindle.contracts import ProgramResult

    monkeypatch.chdir(tmp_path)
    result = ProgramResult(
        tables=[Table("", ["a"], [[1]], "one")], files={"x.txt": lambda path: path.write_text("x") and None}
    )
    assert result.table("one").rows == [[1]]
    with pytest.raises(KeyError, match="there are one"):
        result.table("two")
    result.write("x.txt")
    assert (tmp_path / "x.txt").read_text() == "x"
    with pytest.raises(KeyError, match=r"there are x\.txt"):
        result.write("y.txt")


def test_what_cannot_be_loaded_is_told(files, tmp_path):
    with pytest.raises(UserError, match="no files"):
        spindle.load()
    with pytest.raises(FileFormatError, match="no such file"):
        spindle.load(tmp_path / "none.refl")
    other = tmp_path / "notes.txt"
    other.write_text("hello")
    with pytest.raises(FileFormatError, match="no installed importer reads it"):
        spindle.load(other)
    with pytest.raises(UserError, match="neither"):
        spindle.load(files[0], other)
