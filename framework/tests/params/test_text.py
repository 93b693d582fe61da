from __future__ import annotations

import pytest

from spindle.errors import ParameterError
from spindle.params import Float, Floats, Params, Str, build, parse_phil, read_parameter_file


def pairs(assignments):
    return [(a.key, a.value) for a in assignments]


def test_phil_scopes_and_dotted_names_are_the_same():
    assert pairs(parse_phil("a { b.c = 1 }\na.b.d=2", "f")) == [("a.b.c", "1"), ("a.b.d", "2")]


def test_phil_comments_attributes_and_disabled_parts_are_skipped():
    text = """
    # a comment
    a = 1 # another
      .type = int
      .help = "words; with = signs { }"
    !b = 2
    !c { d = 3 }
    e
      .multiple = True
    { f = 4; g = 5 }
    """
    assert pairs(parse_phil(text, "f")) == [("a", "1"), ("e.f", "4"), ("e.g", "5")]


def test_phil_values_keep_words_quotes_and_continued_lines():
    text = 'a = 1 2 3\nb = "x # y"\nc = one *two\nd = 1 \\\n 2\ne = img_####.cbf'
    found = dict(pairs(parse_phil(text.replace("img_####", '"img_####').replace(".cbf", '.cbf"'), "f")))
    assert found["a"] == "1 2 3"
    assert found["b"] == '"x # y"'
    assert found["c"] == "one *two"
    assert found["d"].split() == ["1", "2"]
    assert found["e"] == '"img_####.cbf"'


@pytest.mark.parametrize(
    ("text", "reason"),
    [("a {", "not closed"), ("}", "without a scope"), ("a =\nb=1", "value is missing"), ("a b", "expected '='")],
)
def test_phil_errors_name_file_and_line(text, reason):
    with pytest.raises(ParameterError, match=f"f, line 1.*{reason}"):
        parse_phil(text, "f")


def test_phil_files_may_include_others(tmp_path):
    (tmp_path / "inner.phil").write_text("x = 1")
    (tmp_path / "outer.phil").write_text("a { include file inner.phil\n y = 2 }")
    assert pairs(read_parameter_file(tmp_path / "outer.phil")) == [("a.x", "1"), ("a.y", "2")]


class Tree(Params):
    class a(Params):
        x = Float(1.0)
        name = Str("n")

        class b(Params, multiple=True):
            y = Float(0.0)
            z = Float(0.0)


def test_toml_and_phil_mean_the_same(tmp_path):
    (tmp_path / "run.toml").write_text('[a]\nx = 2\nname = "m"\n[[a.b]]\ny = 1\nz = 2\n[[a.b]]\ny = 3\n')
    (tmp_path / "run.phil").write_text("a { x = 2\n name = m\n b { y = 1\n z = 2 }\n b { y = 3 } }")
    toml = build(Tree, read_parameter_file(tmp_path / "run.toml"))
    phil = build(Tree, read_parameter_file(tmp_path / "run.phil"))
    assert toml == phil
    assert [(b.y, b.z) for b in toml.a.b] == [(1, 2), (3, 0)]


class Crystal(Params):
    face = Floats(None, size=3, multiple=True)
    axis = Floats(None, size=3)


def test_a_list_of_lists_in_toml_is_all_values_of_a_repeated_parameter(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text("face = [[1, 0, 0], [0, 1, 0], [0, 0, 1.5]]")
    assert [list(f) for f in build(Crystal, read_parameter_file(path)).face] == [[1, 0, 0], [0, 1, 0], [0, 0, 1.5]]
    path.write_text("axis = [[1, 0, 0], [0, 1, 0]]")
    with pytest.raises(ParameterError, match="axis"):
        build(Crystal, read_parameter_file(path))


def test_broken_toml_is_an_error_with_the_file_name(tmp_path):
    (tmp_path / "run.toml").write_text("x = = 1")
    with pytest.raises(ParameterError, match=r"run\.toml: not valid TOML"):
        read_parameter_file(tmp_path / "run.toml")
