"""Parts of a run that are kept, and what becomes of those of another run."""

from __future__ import annotations

import json

import numpy as np
import pytest
from spindle_program_stills_process.integrating import NotIntegratedError, integrated
from spindle_program_stills_process.parts import Parts, key_of, results_joined
from spindle_program_stills_process.tasks import INDEXED, NOT_INDEXED, Outcome

from spindle.contracts import ProgramResult
from spindle.errors import UserError
from spindle.models import Experiments
from spindle.params import build
from spindle.table import ReflectionTable
from spindle.testing.stills import simulated_stills


@pytest.fixture(scope="module")
def stills():
    return simulated_stills(3)


def outcomes(stills):
    table = stills.table.select(stills.table["id"] == 0)
    table.identifiers = {}
    spots = ReflectionTable({"id": np.zeros(4, np.int32), "n_signal": np.arange(4, dtype=np.int32)})
    return [
        Outcome(0, "a.cbf", INDEXED, "", 50, len(table), [stills.experiments[0]], table),
        Outcome(1, "b.cbf", NOT_INDEXED, "no lattice", 4, 0, [], spots),
        Outcome(2, "c.cbf"),
    ]


def test_outcomes_come_back_as_they_were(stills, tmp_path):
    given = outcomes(stills)
    Parts(tmp_path / "parts", "key", True).keep_outcomes("some", given)
    found = Parts(tmp_path / "parts", "key", True).outcomes("some")
    for a, b in zip(given, found, strict=True):
        for name in ("number", "name", "outcome", "reason", "n_spots", "n_indexed"):
            assert getattr(a, name) == getattr(b, name)
        assert len(a.experiments) == len(b.experiments)
        assert (a.reflections is None) == (b.reflections is None)
    np.testing.assert_allclose(found[0].experiments[0].crystal.A, stills.experiments[0].crystal.A, rtol=1e-12)
    for name in ("intensity.sum.value", "miller_index", "partiality"):
        np.testing.assert_array_equal(found[0].reflections[name], given[0].reflections[name])


def test_only_what_is_missing_is_done(stills, tmp_path):
    asked = []

    def run(blocks):
        asked.extend(blocks)
        return iter([outcomes(stills) for _ in blocks])

    parts = Parts(tmp_path / "parts", "key", True)
    work = parts.mapped("some", ["first", "second", "third"], run)
    next(work), next(work)  # and stopped
    asked.clear()
    again = Parts(tmp_path / "parts", "key", True)
    assert len(list(again.mapped("some", ["first", "second", "third"], run))) == 3
    assert asked == ["third"] and again.n_taken == 2


def test_half_a_part_is_none(stills, tmp_path):
    parts = Parts(tmp_path / "parts", "key", True)
    parts.keep_outcomes("some", outcomes(stills))
    (tmp_path / "parts" / "some.json").unlink()
    assert parts.outcomes("some") is None
    parts.keep_outcomes("some", outcomes(stills))
    (tmp_path / "parts" / "some.expt").write_text("{")
    assert parts.outcomes("some") is None


@pytest.mark.parametrize(("key", "goes_on"), [("another", True), ("key", False)])
def test_parts_of_another_run_are_not_taken(stills, tmp_path, key, goes_on):
    Parts(tmp_path / "parts", "key", True).keep_outcomes("some", outcomes(stills))
    assert Parts(tmp_path / "parts", key, goes_on).outcomes("some") is None
    assert not (tmp_path / "parts").exists()


@pytest.mark.parametrize("note", ["", "{", "[]", "3", '{"key": ["key"]}'])
def test_a_folder_with_a_damaged_note_begins_again(stills, tmp_path, note):
    Parts(tmp_path / "parts", "key", True).keep_outcomes("some", outcomes(stills))
    (file,) = (
        f for f in (tmp_path / "parts").iterdir() if "key" in f.read_bytes().decode("latin-1") and f.suffix == ".json"
    )
    file.write_text(note)
    assert Parts(tmp_path / "parts", "key", True).outcomes("some") is None


def test_a_link_to_a_folder_is_left_alone(stills, tmp_path):
    Parts(tmp_path / "parts", "key", True).keep_outcomes("some", outcomes(stills))
    (tmp_path / "link").symlink_to("parts")
    with pytest.raises(UserError, match=r"output\.parts"):
        Parts(tmp_path / "link", "another", True)
    assert any((tmp_path / "parts").iterdir())


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(UserError, match=r"output\.parts"):
        Parts(tmp_path, "key", False)
    assert (tmp_path / "mine.txt").exists()


def test_results_of_other_crystals_are_not_taken(stills, tmp_path):
    first, other = Experiments([stills.experiments[0]]), Experiments([stills.experiments[1]])
    parts = Parts(tmp_path / "parts", "key", True)
    made = []

    def make():
        made.append(1)
        return ProgramResult(first, stills.table.select(stills.table["id"] == 0), summary={"n_integrated": 3})

    parts.result("integrated", first, make)
    assert parts.result("integrated", first, make).summary == {"n_integrated": 3}
    assert len(made) == 1
    parts.result("integrated", other, make)
    assert len(made) == 2


class Refusing:
    """The part of a context that integrates, and cannot."""

    def run_program(self, *_, **__):
        raise UserError("integrate: no spot is strong")


class Full(Parts):
    """Parts on a disk without room."""

    def save(self, *_):
        raise UserError("parts: no space left on the device")


def test_a_part_that_cannot_be_written_is_not_one_that_cannot_be_integrated(stills, tmp_path):
    with pytest.raises(NotIntegratedError) as told:
        integrated(stills.experiments, stills.table, 10, Refusing(), Parts(tmp_path / "parts", "key", True))
    assert "no spot is strong" in str(told.value.__cause__)

    class Able:
        def run_program(self, _, experiments, table, **__):
            return ProgramResult(experiments, table, summary={})

    with pytest.raises(UserError, match="no space left"):
        integrated(stills.experiments, stills.table, 10, Able(), Full(tmp_path / "full", "key", True))


def test_results_are_joined_in_order(stills):
    each = []
    for k in range(3):
        table = stills.table.select(stills.table["id"] == k)
        table["id"] = np.zeros(len(table), np.int32)
        table.identifiers = {}
        failed = [{"experiment": 1, "image": "x", "reason": "blank"}] if k == 1 else []
        each.append(
            (
                2 * k,
                ProgramResult(
                    Experiments([stills.experiments[k]]), table, summary={"n_integrated": len(table), "failed": failed}
                ),
            )
        )
    joined = results_joined(each)
    assert joined.summary["n_integrated"] == len(stills.table)
    assert joined.summary["failed"] == [{"experiment": 3, "image": "x", "reason": "blank"}]
    np.testing.assert_array_equal(joined.reflections["id"], stills.table["id"])


def test_the_key_changes_with_what_decides(stills):
    from spindle_program_stills_process.params import StillsProcessParams

    usual = build(StillsProcessParams)
    keys = {
        key_of(stills.experiments, usual, "1"),
        key_of(stills.experiments, usual, "2"),
        key_of(list(stills.experiments)[:2], usual, "1"),
        key_of(stills.experiments, usual.changed(dispatch__squash_errors=False), "1"),
    }
    assert len(keys) == 4
    assert key_of(stills.experiments, usual.changed(output__json=None), "1") in keys
    json.dumps(sorted(keys))
