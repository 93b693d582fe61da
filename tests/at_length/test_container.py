"""What the recipe of a container says can be done as it stands, and leads to an image whose kernels every user finds compiled."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from string import Template

import pytest

ROOT = Path(__file__).resolve().parents[2]
RECIPE = re.sub(r"\\\n\s*", "", (ROOT / "Containerfile").read_text(encoding="utf-8"))
LINES = [line.split(None, 1) for line in RECIPE.splitlines() if line and not line.startswith("#")]
#: Begins a program as another user who may read everything, wherever Python is, and write nothing of root's.
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
COPIED = [words.split()[:-1] for verb, words in LINES if verb == "COPY"]


def test_everything_that_the_recipe_copies_is_there():
    copied = [name for names in COPIED for name in names]
    assert copied
    assert all((ROOT / name).exists() for name in copied)


@pytest.mark.long
@pytest.mark.skipif(
    shutil.which("setpriv") is None or os.getuid() != 0, reason="makes what belongs to root and is read by others"
)
def test_its_steps_make_kernels_that_others_find():
    """Its shell lines, in an environment for each of its stages, with the folders of the image below one that all may read."""
    root = Path(tempfile.mkdtemp(prefix="container-"))
    root.chmod(0o755)
    try:
        variables = build(root)
        look_as_another(root, variables)
    finally:
        shutil.rmtree(root)


def build(root: Path) -> dict[str, str]:
    """Do the lines of the recipe; return the variables of the image."""
    arguments: dict[str, str] = {}
    variables: dict[str, str] = {}
    stage, folder = 0, root
    for verb, words in LINES:
        if verb == "FROM":
            stage += 1
            venv.create(root / f"python{stage}", with_pip=True)
            arguments, variables, folder = {}, {}, root
        elif verb == "ARG":
            name, _, arguments[name] = words.partition("=")
        elif verb == "ENV":
            for pair in words.split():
                name, _, value = pair.partition("=")
                variables[name] = inside(Template(value.strip('"')).substitute(arguments), root)
        elif verb == "WORKDIR":
            folder = Path(inside(words, root))
            folder.mkdir(parents=True, exist_ok=True)
        elif verb == "COPY":
            *names, target = words.split()
            for name in names:
                if (ROOT / name).is_dir():
                    shutil.copytree(ROOT / name, folder / target, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copy(ROOT / name, folder / target)
        elif verb == "RUN":
            words = inside(re.sub(r"--mount=\S+\s+", "", words), root)
            call(["sh", "-c", words], folder, environment(root / f"python{stage}", variables))
        else:
            assert verb == "ENTRYPOINT" and words == '["spindle"]'
    return variables


def inside(words: str, root: Path) -> str:
    return re.sub(r"(?<![\w./])/(?=wheels|source|opt|work)", f"{root}/", words)


def environment(python: Path, variables: dict[str, str]) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("NUMBA_", "SPINDLE_", "PYTHON", "VIRTUAL_"))}
    return kept | {"PATH": f"{python / 'bin'}{os.pathsep}{kept['PATH']}", "HOME": str(python.parent)} | variables


def call(command: list[str], folder: Path, variables: dict[str, str]) -> str:
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def look_as_another(root: Path, variables: dict[str, str]) -> None:
    """A user who is nobody here processes images with a copy of the cache's files as they were, and compiles nothing."""
    cache = Path(variables["SPINDLE_CACHE_DIR"])
    kernels = {path: path.stat().st_mtime_ns for path in cache.rglob("*.nb?")}
    assert len(kernels) > 100
    home = root / "home"
    home.mkdir()
    os.chown(home, 4242, 4242)
    call([sys.executable, "-c", SIMULATE, str(root / "images")], root, dict(os.environ))
    python, spindle = (str(root / "python2" / "bin" / name) for name in ("python", "spindle"))
    known = environment(root / "python2", variables) | {"HOME": str(home)}
    images = sorted(map(str, (root / "images").glob("*.cbf")))
    said = call([*READER, python, "-c", COUNT, "process", *images, "d_min=2.5"], home, known)
    assert "Warning: compiled kernels" not in said and "this happens once" not in said
    assert (home / "merged.mtz").is_file()
    found, compiled = map(int, re.search(r"^kernels (\d+) (\d+)$", said, re.MULTILINE).groups())
    assert found > 50 and compiled < found / 10, (found, compiled)
    assert kernels == {path: path.stat().st_mtime_ns for path in cache.rglob("*.nb?")}
    assert call([*READER, spindle, "--version"], home, known).startswith("spindle 0")


SIMULATE = """
import sys
from spindle.testing.simulated import simulate_sweep
simulate_sweep(sys.argv[1], scan__n_images=40)
"""

#: Runs a command, and counts the kernels that it found and those that it compiled.
COUNT = """
import gc, sys
from spindle.cli.main import main
code = main(sys.argv[1:])
from numba.core.dispatcher import Dispatcher
kernels = [k for k in gc.get_objects() if isinstance(k, Dispatcher)]
print("kernels", sum(sum(k.stats.cache_hits.values()) for k in kernels), sum(sum(k.stats.cache_misses.values()) for k in kernels))
sys.exit(code)
"""
