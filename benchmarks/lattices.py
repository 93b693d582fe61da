"""Are crystals of all 14 Bravais lattices indexed, and is the right lattice symmetry recommended? Beside DIALS.

    python benchmarks/lattices.py [N] [--first 0 | --numbers K ...] [--dials /usr/bin | none] [--only-dials] [--cpu-seconds S]
                                  [--keep FOLDER] [--json FILE]

Crystal number k has lattice k modulo 14. Each has a random cell with edges of 5 to 300 A and a space group of its lattice, a
random orientation, and a sweep of 1 to 180 degrees (more where that gives fewer than 60 spots). Spots are computed, not
found in images: predicted positions with errors of 0.25 pixel and 0.1 image, intensities with the symmetry of the group,
the stronger ones, without those that overlap, and a fifth of all spots at random places. The detector is off by up to 1 mm
in its plane. `index` and `refine_bravais_settings` run with default parameters.

A crystal counts as indexed when the primitive lattice is the true one, in the true orientation, and spots have the indices of
that lattice without an offset; its symmetry is right when the highest recommended setting is of the true Bravais lattice.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
from scipy.spatial import cKDTree
from timing import dials_environment

import spindle
from spindle.errors import SpindleError
from spindle.files import read_experiments, read_reflections, write_experiments, write_reflections
from spindle.models import Beam, Crystal, Detector, Experiment, Experiments, Goniometer, ImageSet, Panel, Scan
from spindle.prediction import predict_static
from spindle.symmetry import (
    asu_indices,
    bravais_type,
    is_systematically_absent,
    lattice_subgroups,
    primitive_operator,
    symmetrise_cell,
)  # fmt: skip
from spindle.table import Flag, ReflectionTable

LATTICES = ("aP", "mP", "mC", "oP", "oC", "oF", "oI", "tP", "tI", "hR", "hP", "cP", "cF", "cI")
SPURIOUS = 0.2
LARGEST_SHIFT_MM = 1.0
FEWEST_SPOTS, MOST_SPOTS = 60, 15_000
PIXEL_MM, SIZE = 0.172, (2463, 2527)
#: Cells with more symmetry than their lattice within this Le Page angle are not taken.
LEAST_DISTORTION_DEG = 1.0
#: CPU seconds that DIALS gets for each of its two programs.
SECONDS = 900


@dataclass
class Case:
    """A simulated crystal: what it is, and what each program made of it."""

    number: int
    lattice: str
    group: str
    cell: list[float]
    degrees: float
    n_spots: int
    shift_mm: float
    ours: str = ""
    our_symmetry: str = ""
    our_seconds: float = 0.0
    dials: str = ""
    dials_symmetry: str = ""
    dials_seconds: float = 0.0


def random_cell(lattice: str, rng: np.random.Generator) -> tuple[gemmi.SpaceGroup, np.ndarray]:
    """A Sohncke group of a lattice and a cell of it that has no more symmetry, by at least a degree."""
    groups = [g for g in map(gemmi.get_spacegroup_reference_setting, range(1, 231))
              if g.is_sohncke() and bravais_type(g) == lattice]  # fmt: skip
    while True:
        group = groups[rng.integers(len(groups))]
        edges = np.exp(rng.uniform(np.log(5.0), np.log(300.0), 3))
        angles = rng.uniform(65.0, 115.0, 3)
        if edges.max() > 8 * edges.min() or 1 - np.sum(np.cos(np.deg2rad(angles)) ** 2) < 0.3:
            continue
        cell = symmetrise_cell([*edges, *angles], group)
        if cell[:3].min() < 5 or cell[:3].max() > 300:
            continue
        best = lattice_subgroups(cell, group, LEAST_DISTORTION_DEG)[0]
        if best.bravais.replace("mI", "mC") == lattice:
            return group, cell


def simulate(number: int, folder: Path) -> tuple[Case, Experiment, ReflectionTable]:
    """The true experiment and its spots, with true indices in the column ``true_index``."""
    rng = np.random.default_rng(1000 + number)
    lattice = LATTICES[number % len(LATTICES)]
    group, cell = random_cell(lattice, rng)
    volume = gemmi.UnitCell(*cell).volume * abs(np.linalg.det(primitive_operator(group).matrix))
    degrees = float(np.exp(rng.uniform(0.0, np.log(180.0))))
    d_min = float(np.clip((4.19 * volume * degrees / 180.0 / 40_000) ** (1 / 3), 0.8, 4.0))
    wavelength = 0.7 if d_min < 1.2 else 1.0
    distance = float(np.clip(PIXEL_MM * SIZE[0] / 2 / np.tan(2 * np.arcsin(wavelength / 2 / d_min)), 80.0, 600.0))
    turn, upper = np.linalg.qr(rng.normal(size=(3, 3)))
    turn = turn * np.sign(np.diag(upper))
    crystal = Crystal.from_cell(cell, turn * np.sign(np.linalg.det(turn)), group)
    while True:
        n_images = max(round(degrees / 0.5), 2)
        truth = Experiment(
            beam=Beam(direction=np.array([0.0, 0.0, 1.0]), wavelength=wavelength),
            detector=Detector((Panel([1, 0, 0], [0, -1, 0], [-PIXEL_MM * SIZE[0] / 2, PIXEL_MM * SIZE[1] / 2, -distance],
                                     [PIXEL_MM] * 2, SIZE),)),
            goniometer=Goniometer(rotation_axis=np.array([1.0, 0.0, 0.0])),
            scan=Scan(image_range=(1, n_images), oscillation_deg=(0.0, 0.5)),
            crystal=crystal, identifier=f"crystal {number}",
            imageset=ImageSet(template=str(folder / "none_####.cbf"), image_range=(1, n_images)),
        )  # fmt: skip
        spots = spots_of(truth, group, d_min, rng)
        if len(spots) >= FEWEST_SPOTS or degrees > 360.0:
            break
        degrees *= 1.5
    shift = rng.uniform(-1, 1, 2)
    shift *= LARGEST_SHIFT_MM * np.sqrt(rng.random()) / np.linalg.norm(shift)
    panel = truth.detector[0]
    given = replace(truth, detector=Detector((replace(panel, origin=panel.origin + [*shift, 0.0]),)))
    case = Case(number, lattice, group.xhm(), [round(float(v), 3) for v in cell], round(n_images * 0.5, 1), len(spots),
                round(float(np.linalg.norm(shift)), 2))  # fmt: skip
    return case, given, spots


def spots_of(truth: Experiment, group: gemmi.SpaceGroup, d_min: float, rng: np.random.Generator) -> ReflectionTable:
    """The stronger predicted spots with errors, and spurious ones, in random order."""
    assert truth.crystal is not None and truth.scan is not None
    found = predict_static(truth, 0, d_min)
    hkl = found["miller_index"]
    found = found.select(~is_systematically_absent(hkl, group))
    hkl = found["miller_index"]
    asu, _ = asu_indices(hkl, group)
    _, orbit = np.unique(asu, axis=0, return_inverse=True)
    d = 1.0 / np.linalg.norm(hkl @ truth.crystal.A.T, axis=1)
    mean = np.exp(-2.0 * (d_min / d) ** 2)
    intensity = rng.exponential(1000.0, orbit.max(initial=-1) + 1)[orbit.ravel()] * mean
    wanted = min(int(rng.uniform(0.3, 0.8) * len(hkl)), MOST_SPOTS)
    rows = np.sort(np.argsort(-intensity)[:wanted])
    position = found["xyzcal.px"][rows] + rng.normal(0, 1, (len(rows), 3)) * (0.25, 0.25, 0.1)
    crowded = (
        cKDTree(position / (4.0, 4.0, 2.0)).query_pairs(1.0, output_type="ndarray") if len(rows) else np.zeros((0, 2))
    )
    keep = np.ones(len(rows), dtype=bool)
    keep[crowded.astype(int).ravel()] = False
    rows, position = rows[keep], position[keep]
    n_false = int(len(rows) * SPURIOUS / (1 - SPURIOUS))
    n_images = truth.scan.n_images
    position = np.concatenate([position, rng.random((n_false, 3)) * (*SIZE, n_images)])
    position[:, 2] = np.clip(position[:, 2], 0.01, n_images - 0.01)
    counts = np.concatenate([intensity[rows], rng.exponential(300.0, n_false)]) + 30.0
    n = len(position)
    start = np.floor(position).astype(np.int32) - (1, 1, 0)
    table = ReflectionTable({
        "id": np.zeros(n, int), "imageset_id": np.zeros(n, int), "panel": np.zeros(n, int),
        "flags": np.full(n, int(Flag.STRONG)), "xyzobs.px.value": position,
        "xyzobs.px.variance": np.tile([0.0625, 0.0625, 0.01], (n, 1)),
        "bbox": np.stack([start, start + np.array([3, 3, 1])], axis=-1).reshape(n, 6),
        "intensity.sum.value": rng.poisson(counts).astype(float), "intensity.sum.variance": counts,
        "true_index": np.concatenate([hkl[rows], np.zeros((n_false, 3), int)]),
    }, {0: truth.identifier})  # fmt: skip
    return table.select(rng.permutation(n))


def judge_index(truth: Experiment, spots: ReflectionTable, experiments: Experiments, table: ReflectionTable) -> str:
    """``right``, or what is wrong with the first lattice."""
    found, true = experiments[0].crystal, truth.crystal
    assert found is not None and true is not None
    bases = [primitive_operator(c.space_group).matrix @ c.real_space for c in (found, true)]
    change = bases[0] @ np.linalg.inv(bases[1])  # found basis vectors in terms of the true ones
    whole = np.rint(change)
    share = float(np.mean(table["id"] >= 0))
    if np.abs(change - whole).max() > 0.1 or round(np.linalg.det(whole)) == 0:
        ratio = abs(np.linalg.det(bases[0]) / np.linalg.det(bases[1]))
        return f"another lattice, volume x {ratio:.2f}, {100 * share:.0f} % indexed"
    multiple = abs(round(np.linalg.det(whole)))
    if multiple != 1:
        return f"cell {multiple} times too large"
    place = {tuple(p): i for i, p in enumerate(np.round(spots["xyzobs.px.value"], 4).tolist())}
    rows = np.array([place[tuple(p)] for p in np.round(table["xyzobs.px.value"], 4).tolist()])
    primitive = spots["true_index"][rows] @ primitive_operator(true.space_group).matrix.T
    expected = np.rint(primitive @ whole.T)
    own = table["miller_index"] @ primitive_operator(found.space_group).matrix.T
    good = (table["id"] == 0) & (spots["true_index"][rows] != 0).any(axis=1)
    offsets, n = np.unique(np.rint(own[good] - expected[good]), axis=0, return_counts=True)
    if len(n) and np.any(offsets[np.argmax(n)] != 0):
        return f"indices off by {' '.join(f'{v:.0f}' for v in offsets[np.argmax(n)])}"
    return "right" if np.mean(good) > 0.3 else f"right, but only {100 * share:.0f} % indexed"


def run_ours(case: Case, given: Experiment, spots: ReflectionTable) -> None:
    """Index and compare settings with Spindle."""
    start = time.perf_counter()
    try:
        indexed = spindle.run("index", Experiments([replace(given, crystal=None)]), spots.without("true_index"))
        case.ours = judge_index(given, spots, indexed.experiments, indexed.reflections)
        if case.ours.startswith("right"):
            result = spindle.run("refine_bravais_settings", indexed.experiments, indexed.reflections)
            (table,) = (t for t in result.tables if t.key == "bravais_settings")
            best = result.summary.get("lattice", "none")
            case.our_symmetry = "right" if best == case.lattice else f"{best}: {_rows(table.rows, case.lattice, best)}"
    except SpindleError as error:
        case.ours = case.ours or f"failed: {str(error).splitlines()[0][:90]}"
        if case.ours.startswith("right"):
            case.our_symmetry = f"failed: {str(error)[:90]}"
    case.our_seconds = round(time.perf_counter() - start, 1)


def _rows(rows: list[list[Any]], *lattices: str) -> str:
    """Metric fit, rmsd and correlations of the first rows of some lattices and of the triclinic one."""
    told = []
    for lattice in dict.fromkeys((*lattices, "aP")):
        row = next((r for r in rows if r[5] == lattice), None)
        told.append(f"{lattice} {row[1]} {row[2]} {row[3]}" if row else f"{lattice} is not listed")
    return ", ".join(told)


def run_dials(
    case: Case, given: Experiment, spots: ReflectionTable, folder: Path, programs: Path, seconds: int = SECONDS
) -> None:
    """The same with DIALS, whose programs may take so many CPU seconds each."""
    write_experiments(Experiments([replace(given, crystal=None)]), folder / "imported.expt")
    write_reflections(spots.without("true_index"), folder / "strong.refl")
    start = time.perf_counter()
    words = ["imported.expt", "strong.refl", "nproc=1"]
    if why := _dials(programs / "dials.index", words, folder, "indexed.expt", seconds):
        case.dials = why
    else:
        case.dials = judge_index(
            given, spots, read_experiments(folder / "indexed.expt"), read_reflections(folder / "indexed.refl")
        )
        if case.dials.startswith("right"):
            words = ["indexed.expt", "indexed.refl", "nproc=1"]
            program = programs / "dials.refine_bravais_settings"
            if why := _dials(program, words, folder, "bravais_summary.json", seconds):
                case.dials_symmetry = why
            else:
                summary = json.loads((folder / "bravais_summary.json").read_text())
                best = next((s["bravais"] for s in summary.values() if s["recommended"]), "none").replace("mI", "mC")
                case.dials_symmetry = "right" if best == case.lattice else best
    case.dials_seconds = round(time.perf_counter() - start, 1)


def _dials(program: Path, words: list[str], folder: Path, wanted: str, seconds: int) -> str:
    """Run a program that should write a file: nothing when it did, or else why not."""
    ended = subprocess.run(
        [str(program), *words], cwd=folder, env=dials_environment(program.parent), capture_output=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds)),
    )  # fmt: skip
    if (folder / wanted).is_file():
        return ""
    return f"not ended in {seconds} CPU seconds" if ended.returncode < 0 else "failed"


def summary_of(cases: list[Case], with_dials: bool) -> str:
    """Counts by lattice."""
    lines = [
        f"{'':8} {'crystals':>8}   {'Spindle: indexed  symmetry right':>32}"
        + (f"   {'DIALS: indexed  symmetry right':>30}" if with_dials else "")
    ]
    for lattice in (*LATTICES, "all"):
        own = [c for c in cases if lattice in (c.lattice, "all")]
        if not own:
            continue
        line = f"{lattice:8} {len(own):8d}   {sum(c.ours == 'right' for c in own):16d} {sum(c.our_symmetry == 'right' for c in own):15d}"
        if with_dials:
            line += f"   {sum(c.dials == 'right' for c in own):14d} {sum(c.dials_symmetry == 'right' for c in own):15d}"
        lines.append(line)
    return "\n".join(lines)


def main() -> None:
    """Simulate, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("n", type=int, nargs="?", default=56)
    parser.add_argument("--first", type=int, default=0, help="number of the first crystal")
    parser.add_argument("--numbers", type=int, nargs="+", help="these crystals instead")
    parser.add_argument("--dials", default=None, help="folder of the DIALS programs; none to leave DIALS out")
    parser.add_argument("--only-dials", action="store_true", help="leave Spindle out")
    parser.add_argument("--cpu-seconds", type=int, default=SECONDS, help="for each program of DIALS")
    parser.add_argument("--keep", type=Path, help="folder that keeps the files of each crystal")
    parser.add_argument("--json", type=Path, help="file for all results")
    options = parser.parse_args()
    found = options.dials or (Path(p).parent if (p := shutil.which("dials.index")) else None)
    programs = None if str(found) == "none" or found is None else Path(found)
    cases = []
    for number in options.numbers or range(options.first, options.first + options.n):
        with tempfile.TemporaryDirectory() as name:
            folder = options.keep / str(number) if options.keep else Path(name)
            folder.mkdir(parents=True, exist_ok=True)
            case, given, spots = simulate(number, folder.resolve())
            if not options.only_dials:
                run_ours(case, given, spots)
            if programs is not None:
                run_dials(case, given, spots, folder, programs, options.cpu_seconds)
        cases.append(case)
        cell = " ".join(f"{v:.1f}" for v in case.cell)
        print(f"{number:4d} {case.lattice} {case.group:10} {cell:42} {case.degrees:6.1f} deg {case.n_spots:6d} spots "
              f"{case.shift_mm:.2f} mm  {case.our_seconds:5.1f} s", flush=True)  # fmt: skip
        if not options.only_dials:
            print(f"       Spindle: {case.ours}; {case.our_symmetry or '-'}", flush=True)
        if programs is not None:
            print(
                f"       DIALS:   {case.dials}; {case.dials_symmetry or '-'} ({case.dials_seconds:.0f} s)", flush=True
            )
        if options.json:
            options.json.write_text(json.dumps([asdict(c) for c in cases], indent=1))
    print(summary_of(cases, programs is not None))


if __name__ == "__main__":
    main()
