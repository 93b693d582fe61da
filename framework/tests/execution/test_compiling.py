"""Kernels compiled before they are needed."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

PACKAGE = """
from numba import njit

@njit(cache=True)
def {name}(x):
    return 2 * x + 1
"""
RUN = """
from spindle.execution.compile_cache import prepare_compile_cache
prepare_compile_cache()
from spindle_compiled_threshold import one, two
for kernel, argument in ((one.first, 2), (two.second, 2.0)):
    print(kernel(argument), sum(kernel.stats.cache_hits.values()))
"""


@pytest.fixture
def installed(tmp_path):
    """A folder with an installed plugin of two kernels, and the environment that has it."""
    package = tmp_path / "site" / "spindle_compiled_threshold"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "one.py").write_text(PACKAGE.format(name="first"))
    (package / "two.py").write_text(PACKAGE.format(name="second"))
    name = package.name
    listed = {f"{name}.one.first": [["int64"]], f"{name}.two.second": [["float64"], ["no type"]]}
    (package / "kernel_signatures.json").write_text(json.dumps(listed))
    about = tmp_path / "site" / "spindle_compiled_threshold-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: spindle-compiled-threshold\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[spindle.threshold]\ncompiled = spindle_compiled_threshold:Compiled\n")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA_")}
    environment |= {"SPINDLE_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": str(tmp_path / "site")}
    return environment


def call(environment, *words):
    command = [sys.executable, "-P", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)


def compile_one(environment, workers):
    code = (
        "import sys\nfrom spindle.execution.compile_cache import prepare_compile_cache\nprepare_compile_cache()\n"
        "from spindle.execution.precompile import compile_packages, unfinished\n"
        "print(unfinished(['spindle_compiled_threshold']))\n"
        f"compile_packages(['spindle_compiled_threshold'], {workers}, print)\n"
        "print(unfinished(['spindle_compiled_threshold']))\n"
    )
    return call(environment, "-c", code)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.sampled(2)
def test_kernels_are_compiled_module_by_module_in_any_number_of_processes(installed, workers):
    done = compile_one(installed, workers)
    first, *modules, last = done.stdout.splitlines()
    assert first == "['spindle_compiled_threshold']" and last == "[]", done.stderr
    assert sorted(modules) == ["spindle_compiled_threshold.one 1 0", "spindle_compiled_threshold.two 1 1"]
    assert call(installed, "-c", RUN).stdout.split() == ["5", "1", "5.0", "1"]


def test_compile_finds_the_kernels_of_installed_plugins(installed):
    code = (
        "import sys\nfrom spindle.cli import compiling\n"
        "print('spindle_compiled_threshold' in compiling.installed_packages())\n"
        "print(compiling.installed_packages()[0], compiling.packages_of_programs(['find_spots'])[0])\n"
    )
    assert call(installed, "-c", code).stdout.split() == ["True", "spindle", "spindle"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere"], "there is no program 'nowhere'"),
        (["nproc=0"], "nproc=0: give a number"),
        (["threads=2"], "unknown: threads"),
        (["--all"], "unknown: --all"),
    ],
)
def test_wrong_words_are_refused(words, said):
    from spindle.cli.compiling import compile_command
    from spindle.errors import UserError

    with pytest.raises(UserError, match=said):
        compile_command(words)


def test_nothing_is_compiled_where_nothing_can_be_kept(installed):
    done = call(installed | {"SPINDLE_CACHE_DIR": "/proc/none"}, "-m", "spindle", "compile")
    assert done.returncode == 2 and "set SPINDLE_CACHE_DIR" in done.stderr.splitlines()[-1]


def test_what_was_compiled_is_not_compiled_again(installed, tmp_path):
    code = (
        "from spindle.cli import compiling\ncompiling.installed_packages = lambda: ['spindle_compiled_threshold']\n"
        "compiling.compile_command(['nproc=1'])\ncompiling.compile_command([])\n"
    )
    lines = call(installed, "-c", code).stdout.splitlines()
    assert lines[0] == "Compiling the kernels of spindle_compiled_threshold in 1 process"
    assert lines[1].startswith("Compiled 2 kernels in") and lines[1].endswith(
        str(next((tmp_path / "cache" / "numba").iterdir()))
    )
    assert lines[2].startswith("Not compiled: 1 of the lists")
    assert lines[3].startswith("Everything is compiled already")
