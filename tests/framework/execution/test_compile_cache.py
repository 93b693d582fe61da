from __future__ import annotations

import os
import subprocess
import sys
import textwrap

PROGRAM = """
from spindle.execution.compile_cache import prepare_compile_cache
prepare_compile_cache()
from spindle_outside.outer import outer
print(outer(2.0), outer.stats.cache_hits[outer.signatures[0]] if outer.stats.cache_hits else 0)
"""


def run(folder):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("NUMBA_")}
    environment |= {"SPINDLE_CACHE_DIR": str(folder / "cache"), "PYTHONPATH": str(folder)}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True)
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
