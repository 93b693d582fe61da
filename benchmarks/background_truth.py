"""Background models where they are hard: intensities over a background with rings of ice, against the truth, beside DIALS.

    python benchmarks/background_truth.py [--ice 9] [--images 180] [--models Auto radial gmodel glm simple] [--folder F] [--dials]

Simulates a set, finds its models once, and integrates it with each background. For each shell it prints found / true and the rms of
z = (found - true) / sigma, of summed and of profile-fitted intensities. With ``--dials`` the chain of DIALS integrates the same images
(glm, simple, and gmodel with the model of dials.model_background), which takes minutes.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from timing import dials_environment, spindle_program

import spindle
from spindle.files import read_experiments, read_reflections

KINDS = {"sum": "summed", "profile": "profile-fitted"}


def steps(folder: Path, *commands: list[str], environment: dict[str, str] | None = None) -> None:
    """Run commands in a folder."""
    for command in commands:
        subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)


def compare(simulated: Path, reflections: Path) -> dict[str, Any]:
    """What `spindle check_truth` finds, by kind of intensity."""
    experiments = read_experiments(reflections.with_suffix(".expt"))
    result = spindle.run(
        "check_truth", experiments, read_reflections(reflections), files=[simulated], **{"output.picture": ""}
    )
    return {kind: result.summary[kind] for kind in KINDS if kind in result.summary}


def report(name: str, found: dict[str, Any]) -> None:
    """One line per kind: ratio and rms z of each shell."""
    for kind, numbers in found.items():
        ratios = " ".join(f"{v:6.3f}" for v in numbers["ratio"])
        rms = " ".join(f"{v:6.2f}" for v in numbers["z_rms"])
        print(f"{name:16s}{KINDS[kind]:16s}found/true {ratios}\n{'':32s}rms z      {rms}", flush=True)


def main() -> None:
    """Simulate, integrate, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ice", type=float, default=9.0)
    parser.add_argument("--images", type=int, default=180)
    parser.add_argument("--models", nargs="+", default=["Auto", "radial", "gmodel", "glm", "simple"])
    parser.add_argument("--set", nargs="*", default=[], help="further parameters of spindle simulate")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--dials", action="store_true")
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = words.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        program = spindle_program()
        steps(folder, [
            program, "simulate", f"scan.n_images={words.images}", "scan.oscillation=0.5", "detector.distance=100.35",
            f"background.ice={words.ice}", "output.overwrite=True", *words.set,
        ])  # fmt: skip
        images = [str(p) for p in sorted((folder / "simulated").glob("*.cbf"))]
        steps(
            folder,
            [program, "import", *images],
            [program, "find_spots", "imported.expt"],
            [program, "index", "imported.expt", "strong.refl"],
            [program, "refine", "indexed.expt", "indexed.refl"],
        )
        for model in words.models:
            names = [f"output.experiments={model}.expt", f"output.reflections={model}.refl"]
            steps(
                folder, [program, "integrate", "refined.expt", "refined.refl", f"background.algorithm={model}", *names]
            )
            report(model, compare(folder / "simulated", folder / f"{model}.refl"))
        if words.dials:
            beside_dials(folder, images)


def beside_dials(folder: Path, images: list[str]) -> None:
    """The same with DIALS."""
    environment = dials_environment(Path("/usr/bin"))
    steps(
        folder,
        ["dials.import", *images, "output.experiments=d_imported.expt"],
        ["dials.find_spots", "d_imported.expt", "output.reflections=d_strong.refl", "nproc=1"],
        ["dials.index", "d_imported.expt", "d_strong.refl", "output.experiments=d_indexed.expt", "output.reflections=d_indexed.refl"],
        ["dials.refine", "d_indexed.expt", "d_indexed.refl", "output.experiments=d_refined.expt", "output.reflections=d_refined.refl"],
        environment=environment,
    )  # fmt: skip
    for model in ("glm", "simple", "gmodel"):
        more = []
        if model == "gmodel":
            steps(folder, ["dials.model_background", "glm_d.expt"], environment=environment)
            more = ["gmodel.model=background.pickle"]
        names = [f"output.experiments={model}_d.expt", f"output.reflections={model}_d.refl", "nproc=1"]
        steps(
            folder,
            ["dials.integrate", "d_refined.expt", "d_refined.refl", f"background.algorithm={model}", *names, *more],
            environment=environment,
        )
        report(f"DIALS {model}", compare(folder / "simulated", folder / f"{model}_d.refl"))


if __name__ == "__main__":
    main()
