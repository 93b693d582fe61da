from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest

from spindle.execution.compile_cache import cache_key
from spindle.execution.precompile import compile_beside, packages_of
from spindle.execution.runner import effective_params, make_host

PROGRAM = """
from spindle.execution.compile_cache import prepare_compile_cache
prepare_compile_cache()
from spindle_outside.outer import outer
print(outer(2.0), outer.stats.cache_hits[outer.signatures[0]] if outer.stats.cache_hits else 0)
"""


def run(folder, program=PROGRAM):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA_")}
    environment |= {"SPINDLE_CACHE_DIR": str(folder / "cache"), "PYTHONPATH": str(folder)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.split(), "this happens once" in done.stderr


def write_inner(package, factor):
    (package / "inner.py").write_text(
        textwrap.dedent(f"""
        from numba import njit

        @njit(cache=True)
        def inner(x):
            return {factor} * x
        """)
    )


def test_a_change_in_a_kernel_reaches_kernels_of_other_files_that_call_it(tmp_path):
    package = tmp_path / "spindle_outside"
    package.mkdir()
    (package / "__init__.py").touch()
    write_inner(package, 10.0)
    (package / "outer.py").write_text(
        "from numba import njit\nfrom .inner import inner\n\n"
        "@njit(cache=True)\ndef outer(x):\n    return inner(x) + 1.0\n"
    )
    assert run(tmp_path) == (["21.0", "0"], True)
    assert run(tmp_path) == (["21.0", "1"], False)
    write_inner(package, 100.0)
    assert run(tmp_path) == (["201.0", "0"], False)
    assert (tmp_path / "cache" / "numba").is_dir()
    assert not (package / "__pycache__").exists() or not list((package / "__pycache__").glob("*.nbi"))


@pytest.mark.long
@pytest.mark.parametrize("first", ["import spindle", "from spindle.files import read_reflections"])
def test_kernels_are_kept_in_the_cache_whatever_is_imported_first(tmp_path, first):
    package = tmp_path / "spindle_outside"
    package.mkdir()
    (package / "__init__.py").touch()
    write_inner(package, 10.0)
    run(tmp_path, f"{first}\nfrom spindle_outside.inner import inner\ninner(1.0)")
    assert list((tmp_path / "cache" / "numba").glob("*/spindle_outside_*/*.nbi"))


def test_a_change_in_a_library_reaches_only_packages_that_use_it(tmp_path):
    for name, imports in (
        ("spindle_lib_deep", ""),
        ("spindle_lib_upper", "from spindle_lib_deep.inner import inner\n"),
        ("spindle_outside", "from spindle_lib_upper.outer import outer as inner\n"),
        ("spindle_lone", "from .inner import inner\n"),
    ):
        package = tmp_path / name
        package.mkdir()
        (package / "__init__.py").touch()
        if name in ("spindle_lib_deep", "spindle_lone"):
            write_inner(package, 10.0)
        if imports:
            (package / "outer.py").write_text(
                f"from numba import njit\n{imports}\n@njit(cache=True)\ndef outer(x):\n    return inner(x) + 1.0\n"
            )
    lone = PROGRAM.replace("spindle_outside", "spindle_lone")
    assert run(tmp_path)[0] == ["22.0", "0"] and run(tmp_path, lone)[0] == ["21.0", "0"]
    assert run(tmp_path)[0] == ["22.0", "1"] and run(tmp_path, lone)[0] == ["21.0", "1"]
    write_inner(tmp_path / "spindle_lib_deep", 100.0)
    assert run(tmp_path)[0] == ["202.0", "0"] and run(tmp_path, lone)[0] == ["21.0", "1"]


@pytest.mark.long
def test_a_change_in_a_library_reaches_a_file_that_is_in_no_package(tmp_path):
    library = tmp_path / "spindle_lib_deep"
    library.mkdir()
    (library / "__init__.py").touch()
    write_inner(library, 10.0)
    (tmp_path / "single.py").write_text(
        "from numba import njit\nfrom spindle_lib_deep.inner import inner\n\n"
        "@njit(cache=True)\ndef outer(x):\n    return inner(x) + 1.0\n"
    )
    program = PROGRAM.replace("spindle_outside.outer", "single")
    assert [run(tmp_path, program)[0] for _ in range(2)] == [["21.0", "0"], ["21.0", "1"]]
    write_inner(library, 100.0)
    assert run(tmp_path, program)[0] == ["201.0", "0"]


def test_lists_of_libraries_are_gone_through_with_those_of_the_plugins_that_use_them():
    process, spots = (effective_params(name, [], make_host()) for name in ("process", "find_spots"))
    assert {"spindle_lib_spots", "spindle_lib_dispersion"} <= set(packages_of(process))
    assert "spindle_lib_dispersion" in packages_of(spots) and "spindle_lib_merging" not in packages_of(spots)
    assert packages_of(spots)[-1] == "spindle"


def package_with_kernels(folder):
    package = folder / "spindle_outside"
    package.mkdir()
    (package / "__init__.py").touch()
    write_inner(package, 10.0)
    (package / "outer.py").write_text(
        "from numba import njit\nfrom .inner import inner\n\n"
        "@njit(cache=True)\ndef outer(x):\n    return inner(x) + 1.0\n"
    )


def run_with_messages(folder, **variables):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("NUMBA_", "SPINDLE_CACHE"))}
    environment |= {"PYTHONPATH": str(folder), **variables}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()[0], done.stderr


@pytest.mark.long
def test_damaged_files_of_the_cache_are_compiled_again(tmp_path):
    package_with_kernels(tmp_path)
    cache = {"SPINDLE_CACHE_DIR": str(tmp_path / "cache")}
    run_with_messages(tmp_path, **cache)
    kinds = {
        "empty": lambda b: b"",
        "cut": lambda b: b[: len(b) // 2],
        "flipped": lambda b: b[:-9] + bytes([b[-9] ^ 4]) + b[-8:],
        "another": lambda b: b"\x80\x04N.",
    }
    for index, data in (("empty", "flipped"), ("cut", "empty"), ("another", "cut")):
        for ending, other, kind in (("outer*.nbi", "outer*.nbc", index), ("inner*.nbc", "inner*.nbi", data)):
            files = list((tmp_path / "cache").rglob(ending))
            assert files and list((tmp_path / "cache").rglob(other))
            for file in files:
                file.write_bytes(kinds[kind](file.read_bytes()))
        assert run_with_messages(tmp_path, **cache)[0] == "21.0"
    assert run(tmp_path)[0] == ["21.0", "1"]


@pytest.mark.parametrize(
    ("variable", "place", "mode"),
    [
        ("SPINDLE_CACHE_DIR", "cache", 0o777),
        ("SPINDLE_CACHE_DIR", "", 0o775),
        ("NUMBA_CACHE_DIR", "", 0o777),
        ("NUMBA_CACHE_DIR", "cache/numba", 0o757),
    ],
)
@pytest.mark.sampled(2)
def test_a_cache_that_others_may_write_is_not_used(tmp_path, variable, place, mode):
    package_with_kernels(tmp_path)
    shared = tmp_path / "shared"
    cache = shared / "cache" / "numba"
    cache.mkdir(parents=True, mode=0o700)
    changed = shared / place
    changed.chmod(mode)
    if mode == 0o775:
        os.chown(changed, -1, 4242) if os.getuid() == 0 else pytest.skip("needs another group")
    printed, messages = run_with_messages(tmp_path, **{variable: str(cache if variable[0] == "N" else cache.parent)})
    assert printed == "21.0"
    assert messages.count("others may write") == 1 and str(changed) in messages
    assert not list(shared.rglob("*.nb*"))


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() != 0, reason="only root can give folders away")
@pytest.mark.parametrize("place", ["", "cache"])
def test_a_cache_of_somebody_else_is_not_used(tmp_path, place):
    package_with_kernels(tmp_path)
    cache = tmp_path / "theirs" / "cache"
    cache.mkdir(parents=True)
    os.chown(tmp_path / "theirs" / place, 4242, -1)
    printed, messages = run_with_messages(tmp_path, SPINDLE_CACHE_DIR=str(cache))
    assert printed == "21.0" and "belongs to the user 4242" in messages


def test_a_cache_below_a_shared_sticky_folder_is_used(tmp_path):
    package_with_kernels(tmp_path)
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    assert "Warning" not in run_with_messages(tmp_path, SPINDLE_CACHE_DIR=str(shared / "mine"))[1]
    assert (shared / "mine").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("cache", ["/proc/none", "~nobody-of-this-name/cache", "/dev/null"])
def test_no_cache_stops_no_run(tmp_path, cache):
    package_with_kernels(tmp_path)
    printed, messages = run_with_messages(tmp_path, SPINDLE_CACHE_DIR=cache)
    assert printed == "21.0" and messages.count("compiled in each run") == 1


def test_settings_of_numba_beside_the_images_are_not_read(tmp_path):
    package_with_kernels(tmp_path)
    (tmp_path / ".numba_config.yaml").write_text("disable_jit: 1\n")
    (tmp_path / "yaml.py").write_text("def safe_load(stream):\n    return {'disable_jit': 1}\n")
    code = "import spindle.execution.compile_cache as c\nc.prepare_compile_cache()\nimport numba\nnumba.core.config.reload_config()\n"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code + "print(numba.config.DISABLE_JIT)"], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "SPINDLE_CACHE_DIR": str(tmp_path / "c"), "NUMBA_CACHE_DIR": ""},
        check=True,
    )  # fmt: skip
    assert done.stdout.split() == ["0"] and "config" not in done.stderr


def test_a_list_of_kernels_is_gone_through_once_whatever_ran_before(tmp_path, monkeypatch):
    package = tmp_path / "path" / "spindle_few_kernels"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "kernel_signatures.json").write_text('{"spindle.errors.none": ["i"]}')
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "spindle-cache").touch()  # another program was here before
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(cache))
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    monkeypatch.syspath_prepend(str(package.parent))
    first = compile_beside(["spindle_few_kernels"])
    assert first is not None and first.wait(60) == 0
    assert compile_beside(["spindle_few_kernels"]) is None
    (package / "kernels.py").write_text("import numba  # njit\n")
    again = compile_beside(["spindle_few_kernels"])
    assert again is not None and again.wait(60) == 0
    monkeypatch.setenv("NUMBA_CACHE_DIR", os.devnull)
    assert compile_beside(["spindle_few_kernels"]) is None


def test_a_cache_for_a_named_processor_is_the_same_on_all(monkeypatch):
    own = cache_key()
    monkeypatch.setenv("NUMBA_CPU_NAME", "x86-64-v3")
    assert cache_key() == own  # the features are still those of this one
    monkeypatch.setenv("NUMBA_CPU_FEATURES", "")
    named = cache_key()
    monkeypatch.setattr("spindle.execution.compile_cache.platform.processor", lambda: "another")
    monkeypatch.setattr("spindle.execution.compile_cache.open", raise_missing, raising=False)
    assert cache_key() == named != own
    monkeypatch.setenv("NUMBA_CPU_NAME", "generic")
    assert cache_key() != named
    monkeypatch.delenv("NUMBA_CPU_FEATURES")
    assert cache_key() != own


def raise_missing(*_, **__):
    raise FileNotFoundError


#: Begins a program as another user who may read everything, wherever this installation is, and write nothing.
READER = [
    "setpriv",
    "--reuid",
    "4242",
    "--regid",
    "4242",
    "--clear-groups",
    "--inh-caps",
    "+dac_read_search",
    "--ambient-caps",
    "+dac_read_search",
]


@pytest.mark.skipif(
    shutil.which("setpriv") is None or os.getuid() != 0, reason="only root can be another user, with setpriv"
)
def test_a_cache_of_the_system_serves_those_who_may_only_read_it():
    """Another user's run finds the kernels that root has compiled, warns of nothing, and does not try to compile others beside."""
    folder = Path(tempfile.mkdtemp(prefix="cache-for-all-"))
    try:
        folder.chmod(0o755)
        package_with_kernels(folder)
        assert run(folder) == (["21.0", "0"], True)
        subprocess.run(["chmod", "-R", "a+rX,go-w", str(folder)], check=True)
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("NUMBA_", "PYTHONPYCACHE"))}
        environment |= {"SPINDLE_CACHE_DIR": str(folder / "cache"), "PYTHONPATH": str(folder), "HOME": "/nowhere"}
        beside = "from spindle.execution.precompile import compile_beside\nprint(compile_beside(['spindle']))\n"
        done = subprocess.run(
            [*READER, sys.executable, "-c", PROGRAM + beside], env=environment, capture_output=True, text=True, cwd="/"
        )
        if done.stderr.startswith("setpriv:"):
            pytest.skip("no rights can be given here")
        assert done.stdout.split() == ["21.0", "1", "None"] and not done.stderr
    finally:
        shutil.rmtree(folder)


def test_kernels_are_loaded_without_what_only_compiling_needs(tmp_path):
    package = tmp_path / "spindle_outside"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "summed.py").write_text(
        "import numpy as np\nfrom numba import njit\n\n@njit(cache=True)\ndef summed(x):\n"
        "    if x.size == 0:\n        raise ValueError('nothing')\n    return np.sum(x)\n"
    )
    start = "import sys, spindle, numpy as np\nfrom spindle_outside.summed import summed\nprint(summed(np.ones(2)))\n"
    run(tmp_path, start)
    program = (
        start
        + """
print(summed.stats.cache_hits[summed.signatures[0]])
try:
    summed(np.ones(0))
except ValueError as error:
    print(error)
from spindle.execution.light_numba import needs_more
wanted = b"\\0NRT_incref\\0numba_unpickle\\0", b"\\0_numba_hashsecret_siphash_k0\\0"
print(*{"numba.np.arraymath", "numba.cpython.unicode", "scipy.linalg"} & set(sys.modules), *map(needs_more, wanted))
print(summed.overloads[summed.signatures[0]].library._shared_module is None)
from numba import njit
print(njit(lambda x: summed(x) + 1.0)(np.ones(2)), "numba.np.arraymath" in sys.modules, *map(needs_more, wanted))
"""
    )
    found, _ = run(tmp_path, program)
    assert found == ["2.0", "1", "nothing", "False", "True", "True", "3.0", "True", "False", "False"]


@pytest.mark.parametrize("module", ["spindle.models", "spindle.table", "spindle.testing.stills"])
@pytest.mark.sampled(3)
def test_a_module_that_imports_numba_first_can_be_the_first_of_all(module, tmp_path):
    assert run(tmp_path, f"import {module}; print('done')")[0] == ["done"]
