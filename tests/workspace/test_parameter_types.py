"""mypy knows the types of parameters from their declarations."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

api = pytest.importorskip("mypy.api")
ROOT = Path(__file__).parent.parent.parent
AUTO = "spindle.params.leaves.AutoType"

DECLARED = {
    "Float(1.0)": "float",
    "Float(None, min=0)": "float | None",
    "Float()": "float | None",
    "Float(2.0, none=True)": "float | None",
    "Float(Auto)": f"float | {AUTO}",
    "Float(Auto, none=True)": f"float | None | {AUTO}",
    "Int(3, auto=True)": f"int | {AUTO}",
    "Int(None, multiple=True)": "tuple[int, ...]",
    "Bool(True)": "bool",
    "Str(None)": "str | None",
    "PathParam('a.txt')": "pathlib.Path",
    "Choice(['a', 'b'], 'a')": "str",
    "Choice(['a', 'b'], ('a',), multi=True)": "tuple[str, ...]",
    "Floats((1, 2, 3), size=3)": "tuple[float, float, float]",
    "Ints(None, size=2, multiple=True)": "tuple[tuple[int, int], ...]",
    "Ints(None)": "tuple[int, ...] | None",
    "Strings(('a',))": "tuple[str, ...]",
    "UnitCell(None)": "tuple[float, ...] | None",
    "Plugin('background', default='glm')": "str",
}

SOURCE = f"""
from spindle.params import *

class Tree(Params):
{chr(10).join(f"    p{i} = {text}" for i, text in enumerate(DECLARED))}

    class scope(Params):
        inner = Float(1.0)

    class again(Params, multiple=True):
        inner = Float(None)

    named = scope
    other = ScopeOf("program", "index")

class More(Tree):
    class scope(Tree.scope):
        another = Int(1)

tree = Tree()
{chr(10).join(f"reveal_type(tree.p{i})" for i in range(len(DECLARED)))}
"""

SCOPES = {
    "tree.scope": "trial.Tree.scope",
    "tree.scope.inner": "float",
    "tree.again": "tuple[trial.Tree.again, ...]",
    "tree.again[0].inner": "float | None",
    "tree.named.inner": "float",
    "tree.other": "Any",
    "tree.changed(p0=2).scope": "trial.Tree.scope",
    "More().scope.another": "int",
    "More().scope.inner": "float",
    "tree.p4 if tree.p4 is not Auto else 1.0": "float",
}


def test_types_follow_from_declarations(tmp_path: Path) -> None:
    file = tmp_path / "trial.py"
    wrong = "tree.scope.iner\ntree.p0 = 3.0\n"
    file.write_text(SOURCE + "".join(f"reveal_type({text})\n" for text in SCOPES) + wrong)
    out, err, _ = api.run(["--config-file", str(ROOT / "pyproject.toml"), str(file)])
    assert err == ""
    found = re.findall(r'note: Revealed type is "(.*)"', out)
    expected = [*DECLARED.values(), *SCOPES.values()]
    assert dict(zip([*DECLARED, *SCOPES], found, strict=True)) == dict(zip([*DECLARED, *SCOPES], expected, strict=True))
    assert '"scope" has no attribute "iner"' in out
