"""What lies beside the images is data: modules of well-known names in the current folder are not run."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import spindle
from spindle.execution import module_command

REPOSITORY = Path(__file__).parents[3]
NAMES = (
    "logging", "json", "numpy", "numba", "argparse", "csv", "email", "tempfile", "random", "gzip", "bz2", "hashlib", "socket", "ssl",
    "asyncio", "queue", "subprocess", "shutil", "gemmi", "msgpack", "h5py", "scipy", "pluggy", "traitlets", "rich", "uvicorn",
    "platform", "copy", "decimal", "dataclasses", "sitecustomize", "usercustomize",
)  # fmt: skip


@pytest.fixture
def hostile(tmp_path):
    """A folder of modules that note that they were run."""
    for name in NAMES:
        (tmp_path / f"{name}.py").write_text(
            f"open({str(tmp_path / 'ran')!r}, 'a').write('{name} ')\nraise SystemExit(9)\n"
        )
    return tmp_path


def ran(folder):
    return (folder / "ran").read_text() if (folder / "ran").exists() else ""


def test_the_hostile_modules_run_where_python_finds_them(hostile):
    subprocess.run([sys.executable, "-m", "timeit", "-h"], cwd=hostile, check=False, capture_output=True)
    subprocess.run([sys.executable, "-c", "import csv"], cwd=hostile, check=False)
    assert "csv" in ran(hostile)


@pytest.mark.parametrize("module", ["spindle", "spindle.cli.main"])
@pytest.mark.parametrize("words", [["--version"], ["plugins"], ["show", "-h"], ["find_spots", "-c"]])
def test_the_command_runs_nothing_from_the_current_folder(hostile, module, words):
    done = subprocess.run(
        [sys.executable, "-m", module, *words], cwd=hostile, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0 and not ran(hostile), done.stderr


@pytest.mark.parametrize("environment", [{}, {"PYTHONUNBUFFERED": "1"}])
def test_children_run_nothing_from_the_current_folder(hostile, tmp_path_factory, environment):
    package = tmp_path_factory.mktemp("path") / "spindle_few_kernels"
    package.mkdir()
    (package / "__init__.py").touch()
    # No list of this content was gone through before.
    (package / "kernel_signatures.json").write_text(json.dumps({"spindle.errors.none": [str(package)]}))
    code = (
        "import sys\nfrom spindle.execution.precompile import compile_beside\n"
        "import os; os.chdir(sys.argv[1])\nsys.exit(compile_beside(['spindle_few_kernels']).wait())"
    )
    environment = {**os.environ, **environment, "PYTHONPATH": str(package.parent)}
    done = subprocess.run([sys.executable, "-c", code, str(hostile)], env=environment, check=False, cwd=package)
    assert done.returncode == 0 and not ran(hostile)


def test_children_of_an_isolated_python_are_isolated():
    code = "import spindle.execution as e; print(e.module_command('m', 'x'))"
    done = subprocess.run([sys.executable, "-I", "-c", code], check=True, capture_output=True, text=True)
    assert "'-I', " in done.stdout and "'-m', 'm', 'x'" in done.stdout
    assert module_command("m")[1] in ("-P", "-I")


def test_importing_spindle_leaves_the_path_of_scripts_alone(tmp_path):
    (tmp_path / "mine.py").touch()
    subprocess.run([sys.executable, "-c", "import spindle, mine"], cwd=tmp_path, check=True)


def test_no_process_is_started_with_the_current_folder_on_its_path():
    """Every list of words that starts with this Python and runs a module says -P or -I."""
    bad = []
    folders = [
        Path(spindle.__file__).parent,
        *(REPOSITORY / name for name in ("libraries", "plugins", "formats", "benchmarks")),
    ]
    files = [p for folder in folders for p in folder.rglob("*.py") if "tests" not in p.parts] + [REPOSITORY / "run.py"]
    for path in (p for p in files if '"-m"' in p.read_text()):
        for node in ast.walk(ast.parse(path.read_text())):
            words = (
                node.elts if isinstance(node, ast.List | ast.Tuple) else node.args if isinstance(node, ast.Call) else []
            )
            texts = [ast.unparse(w) for w in words]
            if (
                len(texts) > 1
                and "'-m'" in texts
                and "'-P'" not in texts
                and "'-I'" not in texts
                and "'pytest'" not in texts
            ):
                bad += [f"{path}:{node.lineno}"] if "sys.flags.isolated" not in ast.unparse(node) else []
    assert not bad
