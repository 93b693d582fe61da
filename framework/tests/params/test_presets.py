"""Presets, short names for some values only, scopes shown deeper, names by some of their parts, and folders to work in."""

from __future__ import annotations

import os

import pytest

from spindle.errors import ParameterError
from spindle.execution.working_folder import folder_of, inside, with_absolute_files
from spindle.params import Assignment, Float, FolderParam, Params, PathParam, Preset, ScopeOf, ShortName, walk
from spindle.params.resolve import build


class Road(Params):
    limit = ShortName("a.limit", "b.inner.limit", help="Limit.", only={"auto": ("b.inner.limit",)})
    easy = Preset({"a.limit": 3.0, "b.inner.limit": 4.0, "c.gone": 5.0}, help="Easy.")
    output_folder = FolderParam(None, none=True, working=True)
    mask = PathParam(None, none=True)
    written = PathParam("out.txt", output=True)

    class a(Params):
        limit = Float(1.0)

    class b(Params):
        class inner(Params):
            limit = Float(2.0, auto=True)

        class other(Params):
            limit = Float(2.5)


def of(*words):
    return build(Road, [Assignment(*word.split("=", 1)) for word in words])


def test_a_preset_sets_its_parameters_and_leaves_out_those_that_are_not_there():
    tree = of("easy=True")
    assert (tree.a.limit, tree.b.inner.limit, tree.b.other.limit, tree.easy) == (3.0, 4.0, 2.5, True)
    assert of("easy=False").a.limit == 1.0


@pytest.mark.parametrize("words", [["easy=True", "a.limit=7"], ["a.limit=7", "easy=True"], ["limit=7", "easy=yes"]])
def test_what_the_user_says_stands_before_a_preset_in_any_order(words):
    assert of(*words).a.limit == 7.0


def test_a_preset_that_is_neither_on_nor_off_is_refused():
    with pytest.raises(ParameterError, match="easy=perhaps"):
        of("easy=perhaps")


def test_some_values_of_a_short_name_are_for_some_of_its_parameters():
    assert (of("limit=9").a.limit, of("limit=9").b.inner.limit) == (9.0, 9.0)
    tree = of("limit=Auto")
    assert tree.a.limit == 1.0 and str(tree.b.inner.limit) == "Auto"


def test_a_name_may_leave_out_scopes_in_the_middle():
    tree = of("b.inner.limit=1", "b.other.limit=8")
    assert tree.b.other.limit == 8.0

    class Deep(Params):
        class program(Params):
            class known(Params):
                class symmetry(Params):
                    group = Float(0.0)

        class second(Params):
            class known(Params):
                group = Float(0.0)

    def deep(word):
        return build(Deep, [Assignment(*word.split("=", 1))])

    assert deep("program.group=1").program.known.symmetry.group == 1.0
    assert deep("second.group=1").second.known.group == 1.0
    assert deep("known.symmetry.group=1").program.known.symmetry.group == 1.0  # an ending comes first
    with pytest.raises(ParameterError, match="is ambiguous"):
        deep("group=1")
    with pytest.raises(ParameterError, match="is not a parameter"):
        deep("symmetry.known.group=1")  # in another order


def test_parts_that_fit_several_names_are_ambiguous():
    with pytest.raises(ParameterError, match=r"b\.inner\.limit, b\.other\.limit"):
        of("b.limit=1")


def test_a_scope_may_be_shown_deeper():
    class Chain(Params):
        merge = ScopeOf("program", "merge", deeper=1)

    class Plain(Params):
        merge = ScopeOf("program", "merge")

    plain = {e.path: e.level for e in walk(build(Plain))}
    assert {e.path: e.level for e in walk(build(Chain))} == {path: level + 1 for path, level in plain.items()}


def test_a_run_works_in_its_folder_and_reads_files_from_outside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mask.npz").touch()
    tree = of("output_folder=new/one", "mask=mask.npz", "written=mask.npz")
    folder = folder_of(tree)
    changed = with_absolute_files(tree)
    assert (changed.mask, str(changed.written)) == (tmp_path / "mask.npz", "mask.npz")
    with inside(folder):
        assert os.getcwd() == str(tmp_path / "new" / "one")
    assert os.getcwd() == str(tmp_path)
    with inside(folder_of(of())):
        assert os.getcwd() == str(tmp_path)
