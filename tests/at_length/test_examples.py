"""The scripts and notebooks of examples/ run from the first line to the last, on simulated images."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from spindle.testing.simulated import simulate_sweep

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    sweep = simulate_sweep(tmp_path_factory.mktemp("weak"), scan__n_images=24, structure__mean_counts=60.0)
    return [str(path) for path in sweep.images]


def script(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / "compare" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_two_backgrounds_on_weak_data(images, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = script("weak_backgrounds").main(images)
    (pair,) = result.summary["pairs"]["counts"]
    assert pair["cc"] > 0.99 and Path("compare.html").is_file()


def test_thresholds_against_indexing(images):
    found = script("thresholds_and_indexing").main(images)
    spots = [n for n, _ in found.values()]
    assert len(spots) == 3 and spots == sorted(spots, reverse=True)  # the higher the threshold, the fewer spots
    assert all(0 < indexed <= n for n, indexed in found.values())


@pytest.mark.parametrize("path", sorted((EXAMPLES / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_every_cell_of_a_notebook_runs(path, tmp_path, monkeypatch):
    """As a kernel runs them, one after the other in one namespace, the last expression of each shown."""
    import ast

    source = path.read_text(encoding="utf-8")
    if "to_pandas" in source:
        pytest.importorskip("pandas")
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "__main__"}
    shown = 0
    for cell in json.loads(source)["cells"]:
        if cell["cell_type"] != "code":
            continue
        tree = ast.parse("".join(cell["source"]))
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, path.name, "exec"), namespace)
        if last is None:
            continue
        value = eval(compile(ast.Expression(last.value), path.name, "eval"), namespace)
        if hasattr(value, "_repr_html_"):
            text = value._repr_html_()
            assert text.count("<table") == text.count("</table>") > 0
            shown += 1
    assert shown >= 2
