"""Parameters and values that nothing heeds are refused with the reason, and shown late."""

from __future__ import annotations

import pytest

from spindle.cli.help import parameter_help
from spindle.errors import ParameterError
from spindle.params import Assignment, Bool, Choice, Float, Int, Params, build, make, walk
from spindle.plugins import registry
from spindle.plugins.host import PluginHost


class Partly(Params):
    """Parameters some of which nothing heeds."""

    size = Int(3, unavailable="there are no blocks", help="Size of a block.")
    method = Choice(["a", "b", "c"], "a", unavailable={"b": "nobody wrote it"}, help="How.")

    class inner(Params, unavailable="it is not made"):
        """A scope that nothing heeds."""

        class deeper(Params):
            """Below it."""

            flag = Bool(False)

    class repeated(Params, multiple=True, unavailable={"width": "it has no width"}):
        """A scope of which one parameter is not heeded."""

        width = Float(1.0)
        height = Float(1.0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"size": 4}, "size=4 (call): not available: there are no blocks. Leave it out"),
        ({"method": "b"}, "method=b (call): not available: nobody wrote it. Choose one of: a, c"),
        ({"flag": True}, "inner.deeper.flag=True (call): not available: it is not made. Leave it out"),
        (
            {"repeated": [{"height": 2.0}, {"width": 2.0}]},
            "repeated[1].width=2 (call): not available: it has no width. Leave it out",
        ),
    ],
)
def test_what_nothing_heeds_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ParameterError) as error:
        make(Partly, **values)
    assert str(error.value) == message


def test_the_default_and_other_values_are_taken() -> None:
    params = make(Partly, size=3, method="c", flag=False, repeated=[{"height": 2.0}, {"height": 3.0}])
    assert params.method == "c"
    assert [r.height for r in params.repeated] == [2.0, 3.0]


def test_a_refused_value_that_is_given_again_is_not_there() -> None:
    assert build(Partly, [Assignment("size", 9, "a.phil"), Assignment("size", 3, "command line")]).size == 3


def test_the_help_shows_late_what_nothing_heeds() -> None:
    levels = {e.path: e.level for e in walk(Partly(), templates=True)}
    assert levels == {
        "size": 2, "method": 0, "inner.deeper.flag": 2, "repeated.width": 2, "repeated.height": 0,
    }  # fmt: skip
    text = " ".join(parameter_help(Partly(), 2).split())
    assert "only the default; not available: there are no blocks" in text
    assert "(one of: a, c; b is not available: nobody wrote it)" in text


def test_a_plugin_is_not_made_with_what_nothing_heeds() -> None:
    cls = registry().load("profile", "ellipsoid").Params
    with pytest.raises(ParameterError, match=r"unit_cell\.fixed=True: not available"):
        PluginHost().make("profile", "ellipsoid", cls(unit_cell={"fixed": True}))
