"""Who takes part in `spindle compare`: a stranger's background as it is, and the scripts of examples/compare."""

from __future__ import annotations

import importlib.util
import tomllib
from pathlib import Path

import pytest

import spindle
from spindle.plugins import refresh

ROOT = Path(__file__).resolve().parents[2]
STRANGER = ROOT / "examples" / "third_party_plugin"


@pytest.fixture
def stranger(tmp_path, monkeypatch):
    """The example package as if it were installed: its metadata and its sources, nothing else."""
    project = tomllib.loads((STRANGER / "pyproject.toml").read_text())["project"]
    info = tmp_path / "site" / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
    points = "\n".join(
        f"[{group}]\n" + "\n".join(f"{k} = {v}" for k, v in names.items())
        for group, names in project["entry-points"].items()
    )
    (info / "entry_points.txt").write_text(points + "\n")
    monkeypatch.syspath_prepend(str(STRANGER / "src"))
    monkeypatch.syspath_prepend(str(info.parent))
    refresh()
    yield
    monkeypatch.undo()
    refresh()


@pytest.mark.usefixtures("stranger")
def test_a_background_of_a_stranger_takes_part_as_it_is(run_files):
    result = spindle.compare(
        run_files / "refined.expt",
        run_files / "refined.refl",
        choices={"background.algorithm": ["simple", "trimmed_mean", "null"]},
        stop_after="integrate",
        n_bootstrap=100,
    )
    rows = result.summary["truth"]["contestants"]
    assert set(rows) == {"simple", "trimmed_mean", "null"} and result.summary["ranking"]["order"][-1] == "null"
    assert rows["trimmed_mean"]["efficiency"] > 0.9 * rows["simple"]["efficiency"]


def script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / "compare" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_ours_against_xds(run_files, tmp_path, monkeypatch, capsys):
    """Our own intensities, written as XDS writes them: the same, whatever the form."""
    monkeypatch.chdir(tmp_path)
    loaded = spindle.load(run_files / "scaled.expt", run_files / "scaled.refl")
    written = loaded.run("export", format="xds_ascii", **{"xds_ascii.hklout": "XDS_ASCII.HKL"})
    written.write("XDS_ASCII.HKL")
    found = script("against_xds").main(str(run_files / "scaled.refl"), "XDS_ASCII.HKL")
    assert found["cc"] == pytest.approx(1, abs=1e-5) and found["slope"] == pytest.approx(1, abs=1e-3)
    assert "reflections that both have" in capsys.readouterr().out and Path("compare.html").stat().st_size > 1e6
