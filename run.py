#!/usr/bin/env python3
"""From an empty clone to a processed data set, or to a passed test suite, with Python 3.11 or newer and pip alone.

python3 run.py demo     install into .venv, simulate a data set, process it, compare with the truth (in the folder demo)
python3 run.py install  install into .venv, with what the tests and checks need
python3 run.py test     install into .venv, run the test suite; further arguments go to pytest
python3 run.py night    damage files and end runs with the seed of this day, for hours; further arguments go to pytest
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
VENV = HERE / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")
TEST_TOOLS = ["pytest", "pytest-xdist", "hypothesis", "nexusformat"]
NIGHTLY = [
    "tests/formats/test_fuzz.py",
    "tests/end_to_end/test_damaged_inputs.py",
    "tests/end_to_end/test_bounds.py",
    "tests/end_to_end/test_crashes.py",
]
LINT_TOOLS = ["ruff", "mypy", "import-linter", "codespell", "towncrier"]


#: Hundreds of short processes of the tests read the same sources: compiled ones are kept, and not beside the sources.
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
ENVIRONMENT["PYTHONPYCACHEPREFIX"] = str(VENV / "pycache")
#: Tests of servers, executors and ends of runs wait more than they work: one worker more than cores keeps all of these busy.
ENVIRONMENT.setdefault("PYTEST_XDIST_AUTO_NUM_WORKERS", str((os.cpu_count() or 1) + 1))


def call(*command: str | Path, cwd: Path = HERE) -> None:
    """Run a command; end with its exit code when it fails."""
    done = subprocess.run([str(c) for c in command], cwd=cwd, env=ENVIRONMENT, check=False)
    if done.returncode:
        sys.exit(done.returncode)


def pip(*arguments: str | Path) -> None:
    """Run the pip of the environment, or the caller's on it where the environment could not be given one."""
    has_pip = subprocess.run([PYTHON, "-P", "-m", "pip", "--version"], capture_output=True, check=False).returncode == 0
    command = [PYTHON, "-P", "-m", "pip"] if has_pip else [sys.executable, "-P", "-m", "pip", "--python", PYTHON]
    call(*command, "--disable-pip-version-check", "-q", *arguments)


def fingerprint() -> str:
    """Hash of everything that decides what is installed."""
    files = [
        HERE / "workspace.txt",
        HERE / "constraints.txt",
        *sorted(HERE.glob("*/pyproject.toml")),
        *sorted(HERE.glob("*/*/pyproject.toml")),
        *sorted(HERE.glob("*/*/*/pyproject.toml")),
    ]
    return hashlib.sha256(b"".join(f.read_bytes() for f in files)).hexdigest()


def install() -> None:
    """Put all distributions of this repository into .venv, unless they are there."""
    stamp = VENV / "installed"
    if stamp.exists() and stamp.read_text() == fingerprint():
        return
    print("Installing into .venv (a minute or so)", flush=True)
    if not PYTHON.exists():
        made = subprocess.run([sys.executable, "-P", "-m", "venv", VENV], capture_output=True, check=False)
        if made.returncode:
            call(sys.executable, "-P", "-m", "venv", "--without-pip", "--clear", VENV)
    pip("install", "-c", "constraints.txt", "hatchling", "editables")
    with tempfile.TemporaryDirectory(prefix="wheels-") as folder:
        call(PYTHON, "tools/editable.py", "build", folder)
        pip("install", "--no-compile", "-c", "constraints.txt", "-r", Path(folder, "wheels.txt"), *TEST_TOOLS)
    call(PYTHON, "tools/editable.py", "note")
    stamp.write_text(fingerprint())


def demo() -> None:
    """Simulate, process, compare."""
    folder = HERE / "demo"
    folder.mkdir(exist_ok=True)
    spindle = BIN / "spindle"

    def step(*arguments: str) -> None:
        print(f"\n$ spindle {' '.join(arguments[:3])}{' ...' if len(arguments) > 3 else ''}", flush=True)
        call(spindle, *arguments, cwd=folder)

    step("simulate")
    images = sorted(str(p.relative_to(folder)) for p in (folder / "simulated").glob("*.cbf"))
    step("process", *images)
    step("check_truth", "simulated", "scaled.expt", "scaled.refl")
    print("\nEverything is in the folder demo; open demo/check_truth.svg to see recovered against true intensities.")


def night() -> None:
    """What the suite tries with a fixed seed and a few cases, with a seed of its own on each day and many."""
    settings = {
        "SPINDLE_FUZZ_SEED": time.strftime("%Y%m%d"),
        "SPINDLE_FUZZ_COUNT": "2000",
        "SPINDLE_FUZZ_CASES": "2500",
        "SPINDLE_CRASH_ALL": "1",
        "SPINDLE_LONG_RUNS": "1",
    }
    ENVIRONMENT.update({name: ENVIRONMENT.get(name, value) for name, value in settings.items()})
    print(f"SPINDLE_FUZZ_SEED={ENVIRONMENT['SPINDLE_FUZZ_SEED']}", flush=True)
    call(BIN / "spindle", "compile")
    call(PYTHON, "-m", "pytest", *NIGHTLY, *sys.argv[2:])


def lint_tools() -> None:
    """Install what lint needs."""
    pip("install", "-c", "constraints.txt", *LINT_TOOLS)


def lint() -> None:
    """Everything that is checked without running the code."""
    lint_tools()
    call(PYTHON, "tools/workspace.py", "--check")
    call(PYTHON, "tools/reference.py", "--check")
    call(PYTHON, "tools/docs.py", "--check")
    call(BIN / "ruff", "check", ".")
    call(BIN / "ruff", "format", "--check", ".")
    call(BIN / "codespell")
    call(BIN / "towncrier", "build", "--draft", "--version", "next")
    call(BIN / "mypy")
    call(BIN / "lint-imports")


def main() -> None:
    """Read the one argument."""
    if sys.version_info < (3, 11):
        sys.exit(f"Spindle needs Python 3.11 or newer; this is {sys.version.split()[0]}")
    task = sys.argv[1] if len(sys.argv) > 1 else ""
    if task not in ("demo", "install", "test", "lint", "night"):
        sys.exit(__doc__)
    install()
    if task == "demo":
        demo()
    elif task == "install":
        lint_tools()
    elif task == "lint":
        lint()
    elif task == "night":
        night()
    else:
        if not sys.argv[2:]:  # the workers would compile the same kernels at the same time
            call(BIN / "spindle", "compile")
        call(PYTHON, "-m", "pytest", *(sys.argv[2:] or ["-n", "auto", "--dist", "loadfile", "--no-loadscope-reorder"]))


if __name__ == "__main__":
    main()
