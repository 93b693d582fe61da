"""The finished runs that `tools/damage.py` and `tools/crashes.py` begin from: a small sweep, and three stills."""

from __future__ import annotations

from pathlib import Path
from typing import Any

SWEEP = [
    ("find_spots", "strong"), ("index", "indexed"), ("refine", "refined"), ("integrate", "integrated"),
    ("symmetry", "symmetrized"), ("scale", "scaled"),
]  # fmt: skip
CELL = {"unit_cell": "21.4,24.2,27.6,90,90,90", "space_group": "P 21 21 21"}
STILLS: dict[str, Any] = {
    "scan.stills": True, "scan.n_images": 3, "crystal.mosaic_spread": 0.08, "structure.b_factor": 3.0, "structure.mean_counts": 3000.0,
    "crystal.unit_cell": (21.4, 24.2, 27.6, 90.0, 90.0, 90.0), "beam.wavelength": 0.7, "detector.distance": 55.0,
}  # fmt: skip


def make_run(folder: Path) -> None:
    """Make both where the folder has no experiments."""
    if not any(folder.glob("*.expt")):
        folder.mkdir(parents=True, exist_ok=True)
        make_sweep(folder)
        make_stills(folder)


def make_sweep(folder: Path) -> None:
    """Simulate twelve images; put there the files of every step: imported.expt, strong.refl ... scaled.refl."""
    import spindle
    from spindle.testing.simulated import simulate_sweep

    sweep = simulate_sweep(folder / "images", scan__n_images=12, structure__mean_counts=300.0)
    result = spindle.run("import", files=sweep.images)
    _write(folder, "imported", result.experiments, None)
    for program, name in SWEEP:
        result = spindle.run(program, result.experiments, result.reflections)
        _write(folder, name, result.experiments, result.reflections)


def make_stills(folder: Path) -> None:
    """Simulate three stills; put there stills.expt, stills_indexed, stills_refined, stills_integrated and stills_ellipsoid."""
    import spindle
    from spindle.testing.simulated import simulate_sweep

    more = {name.replace(".", "__"): value for name, value in STILLS.items()}
    sweep = simulate_sweep(folder / "still_images", **more)
    result = spindle.run("import", files=sweep.images)
    _write(folder, "stills", result.experiments, None)
    result = spindle.run("find_spots", result.experiments)
    result = spindle.run("index", result.experiments, result.reflections, **CELL)
    _write(folder, "stills_indexed", result.experiments, result.reflections)
    refined = spindle.run("refine", result.experiments, result.reflections)
    _write(folder, "stills_refined", refined.experiments, refined.reflections)
    for name, words in (("integrated", {}), ("ellipsoid", {"profile.algorithm": "ellipsoid"})):
        result = spindle.run("integrate", refined.experiments, refined.reflections, **words)
        _write(folder, f"stills_{name}", result.experiments, result.reflections)


def _write(folder: Path, name: str, experiments: Any, reflections: Any) -> None:
    from spindle.files import write_experiments, write_reflections

    write_experiments(experiments, folder / f"{name}.expt")
    if reflections is not None:
        write_reflections(reflections, folder / f"{name}.refl")
