from __future__ import annotations

import pickle
from pathlib import Path

import gemmi
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spindle.errors import ParameterError, UserError
from spindle.params import (
    Auto,
    Bool,
    Choice,
    Float,
    Floats,
    Int,
    Ints,
    Params,
    PathParam,
    Plugin,
    SpaceGroup,
    Str,
    Strings,
    UnitCell,
)
from spindle.params.structured import ICE


class Tree(Params):
    number = Float(1.5, min=0, max=10)
    optional = Float(None)
    count = Int(Auto, min=1)
    switch = Bool(False)
    text = Str("plain")
    word = Choice(["none", "one", "Two"], default="one")
    words = Choice(["a", "b", "c"], default=("a",), multi=True)
    pair = Floats((1, 2), size=2)
    box = Ints(None, size=4, min=0)
    ranges = Ints([], size=2, multiple=True)
    names = Strings(None)
    cell = UnitCell(None)
    group = SpaceGroup(194)
    path = PathParam(None)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("number", "2.5", 2.5),
        ("number", "1e-3", 1e-3),
        ("optional", "None", None),
        ("count", "auto", Auto),
        ("count", "7", 7),
        ("switch", "Yes", True),
        ("switch", "0", False),
        ("text", '"two words"', "two words"),
        ("text", "None", "None"),
        ("word", "none", "none"),
        ("word", "two", "Two"),
        ("word", "one *Two none", "Two"),
        ("words", "b+c", ("b", "c")),
        ("words", "*a b *c", ("a", "c")),
        ("pair", "3 4", (3.0, 4.0)),
        ("pair", "3,4", (3.0, 4.0)),
        ("box", "1,2,3,4", (1, 2, 3, 4)),
        ("ranges", "1 9", ((1, 9),)),
        ("ranges", "1-9", ((1, 9),)),
        ("names", 'a,"b c"', ("a", "b c")),
        ("cell", "78 78 37 90 90 90", (78.0, 78.0, 37.0, 90.0, 90.0, 90.0)),
        ("group", "P43212", "P 43 21 2"),
        ("group", "19", "P 21 21 21"),
        ("group", "R 3 :R", "R 3:R"),
        ("path", "a/b.txt", Path("a/b.txt")),
    ],
)
def test_text_becomes_a_value(name, text, value):
    assert getattr(Tree(**{name: text}), name) == value


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("number", "11", "at most 10"),
        ("number", "-1", "at least 0"),
        ("number", "nan", "NaN"),
        ("number", "None", "expected a number"),
        ("number", None, "None is not a value"),
        ("number", True, "truth value"),
        ("count", "1.5", "whole number"),
        ("switch", "maybe", "true or false"),
        ("word", "three", "none, one, Two"),
        ("pair", "1", "expected 2 values, got 1"),
        ("box", "1 2 3 -4", "at least 0"),
        ("cell", "1 2 3", "expected a b c alpha beta gamma"),
        ("cell", "1 2 3 90 90 180", "between 0 and 180"),
        ("group", "P 9 9 9", "space group"),
        ("group", "231", "1 to 230"),
    ],
)
def test_wrong_values_are_errors_with_the_reason(name, value, reason):
    with pytest.raises(ParameterError, match=reason):
        Tree(**{name: value})


def test_defaults_need_no_setting():
    tree = Tree()
    assert tree.group == "P 63/m m c"
    assert tree.count is Auto
    assert tree.ranges == ()


def test_impossible_defaults_are_found_at_definition():
    with pytest.raises(ValueError, match="at least 1"):
        Int(0, min=1)


def test_auto_is_one_object_even_after_pickling():
    assert pickle.loads(pickle.dumps(Auto)) is Auto


def test_unknown_attributes_are_errors_with_a_suggestion():
    with pytest.raises(ParameterError, match="did you mean number"):
        Tree(nummber=3)
    with pytest.raises(AttributeError, match="did you mean switch"):
        getattr(Tree(), "swich")  # noqa: B009


LEAVES = [
    Bool(True),
    Choice(("a", "b"), "a"),
    Choice(("a", "b"), "a", multi=True),
    Float(1.0),
    Floats((1.0, 2.0), size=2),
    Floats(None, size=2, multiple=True),
    Int(1),
    Ints(None, size=2, multiple=True),
    PathParam(None, multiple=True),
    Plugin("threshold", default="dispersion"),
    SpaceGroup(None),
    Str("a"),
    Strings(("a",)),
    Strings(None, multiple=True),
    UnitCell(None),
]
VALUES = [-1, 1e300, float("nan"), 10**30, True, None, Auto, "", "x", "\0", b"x", [], [1, 2], [None], ["x", 1], [[1, [2]]], {}, {"a": 1},
          object()]  # fmt: skip


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: f"{leaf.kind}{'s' * leaf.multiple}")
def test_whatever_is_no_value_is_an_error_of_the_user(leaf):
    cls = type("OneLeaf", (Params,), {"leaf": leaf})
    for value in VALUES:
        try:
            tree = cls(leaf=value)
        except UserError:
            continue
        assert leaf._checked(tree.leaf) == tree.leaf


@settings(deadline=None)
@given(
    st.floats(min_value=0, max_value=10),
    st.lists(st.floats(allow_nan=False), min_size=2, max_size=2),
    st.text("abcdefg XYZ_.-", min_size=1),
)
def test_rendered_values_are_read_back(number, pair, text):
    tree = Tree(number=number, pair=tuple(pair), text=f"'{text}'")
    for name in ("number", "pair", "text"):
        again = Tree(**{name: Tree.__dict__[name].render(getattr(tree, name))})
        assert getattr(again, name) == getattr(tree, name)


def test_the_symmetry_of_ice_which_is_not_looked_up_is_as_it_would_be():
    assert gemmi.SpaceGroup(ICE).xhm() == ICE == SpaceGroup(None).convert(ICE)
