"""Install spindle-program-process from wheels into an empty environment, with what it declares, and process simulated images.

Builds the wheels of this repository, makes an empty environment, installs that one program into it and nothing else, and lets it work
from beginning to end. What it needs beside, of this repository, must come by what the wheels declare; packages of others
come from the index that pip is configured for. Images are simulated by the environment that runs this.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import release
from rooms import ROOT

PROGRAM = "spindle-program-process"
IMAGES = 40
#: Run by the Python of the new environment, in the folder with the results.
LOOK = """
import gemmi, importlib.metadata, pathlib, spindle
mtz = gemmi.read_mtz_file("merged.mtz")
names = sorted(d.name for d in importlib.metadata.distributions() if d.name.startswith("spindle"))
assert mtz.nreflections > 500, mtz.nreflections
assert "IMEAN" in mtz.column_labels(), mtz.column_labels()
assert pathlib.Path(spindle.__file__).is_relative_to(pathlib.Path(__import__("sys").prefix)), spindle.__file__
assert not {"spindle-program-simulate", "spindle-background-median", "spindle-diffraction"} & set(names), names
print(f"{mtz.nreflections} unique reflections, made by {len(names)} distributions")
"""


def call(*command: str | Path, cwd: Path = ROOT) -> None:
    """Run a command; end with its exit code when it fails."""
    done = subprocess.run([str(c) for c in command], cwd=cwd, check=False)
    if done.returncode:
        sys.exit(done.returncode)


def main() -> int:
    """Build, install, process, look; return the exit code."""
    from spindle.testing.simulated import simulate_sweep

    with tempfile.TemporaryDirectory(prefix="alone-") as name:
        scratch = Path(name)
        release.build(scratch / "wheels", wheels_only=True)
        simulate_sweep(scratch / "images", scan__n_images=IMAGES)
        venv.create(scratch / "venv", with_pip=True)
        python = next(p for p in ("bin/python", "Scripts/python.exe") if (scratch / "venv" / p).exists())
        python_alone = scratch / "venv" / python
        pip = [
            python_alone,
            "-m",
            "pip",
            "install",
            "-q",
            "--no-compile",
            "--disable-pip-version-check",
            "--only-binary=:all:",
        ]
        call(*pip, "-c", ROOT / "constraints.txt", "--find-links", scratch / "wheels", PROGRAM)
        (scratch / "work").mkdir()
        images = sorted((scratch / "images").glob("*.cbf"))
        command = [python_alone, "-P", "-m", "spindle", "process", *images, "d_min=2.5", "-q"]
        call(*command, cwd=scratch / "work")
        call(python_alone, "-P", "-c", LOOK, cwd=scratch / "work")
    return 0


if __name__ == "__main__":
    sys.exit(main())
