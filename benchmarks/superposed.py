"""Superposed lattices: which of them `spindle index` finds, by seed, beside DIALS where it is installed.

    python benchmarks/superposed.py [--lattices 2 3 6] [--seeds 5] [--cells tetragonal triclinic] [--dials /usr/bin/dials.index]
    python benchmarks/superposed.py --pixels     # images of `spindle simulate`, spots found in them

Spot tables are made of predictions: Wilson's intensities, what exceeds a threshold is seen, with noise of centroids, spots that
touch joined into one, spurious ones among them, and the detector of the header a little off. For each set it prints
how many lattices were found, how many found ones are wrong (or found twice), how many are missed, three angles between refined and
true geometry, and the seconds of the whole run. The angles are those between the normals of the detectors in the laboratory, between the
beams as the detectors see them, and between the axes of rotation as beam and detector see them. In a short sweep a crystal that drifts
looks like one that turns about another axis: the first and the last of them are then wrong together, and no prediction with them.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree
from timing import dials_environment

import spindle
from spindle.errors import SpindleError
from spindle.files import read_experiments, write_experiments, write_reflections
from spindle.models import Crystal, Detector, Experiment, Experiments, ImageSet, Scan
from spindle.prediction import predict_static
from spindle.symmetry import niggli_reduce, primitive_operator
from spindle.table import Flag, ReflectionTable
from spindle.testing.indexing import rotation_experiment

CELLS = {
    "tetragonal": ((78.9, 78.9, 37.95, 90.0, 90.0, 90.0), "P 43 21 2"),
    "orthorhombic": ((38.0, 46.0, 57.0, 90.0, 90.0, 90.0), "P 21 21 21"),
    "triclinic": ((41.3, 52.6, 64.2, 82.0, 77.0, 69.0), "P 1"),
    "centred": ((71.0, 44.5, 58.2, 90.0, 107.0, 90.0), "C 1 2 1"),
    "hexagonal": ((62.0, 62.0, 79.0, 90.0, 90.0, 120.0), "P 61"),
}
#: Volumes of the crystals relative to the first.
WEIGHTS = {1: (1.0,), 2: (1.0, 0.5), 3: (1.0, 0.8, 0.5), 4: (1.0, 0.7, 0.5, 0.3), 6: (1.0, 0.8, 0.7, 0.5, 0.4, 0.3)}
#: The header's detector: off by these standard deviations, pixels, parts of the distance and degrees.
OFF_PX, OFF_DISTANCE, OFF_DEG = 1.0, 0.001, 0.15
#: A found lattice is a true one within this angle, degrees.
SAME_DEG = 0.3


@dataclass
class Case:
    """Spots of superposed lattices and the truth."""

    name: str
    truth: list[Experiment]
    given: Experiments
    spots: ReflectionTable


def random_turn(rng: np.random.Generator) -> np.ndarray:
    """A rotation matrix."""
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return np.asarray(q * np.sign(np.linalg.det(q)))


def turned(detector: Detector, vector: np.ndarray) -> Detector:
    """A detector of one panel turned about its middle by a rotation vector, radians."""
    angle = float(np.linalg.norm(vector))
    axis = vector / max(angle, 1e-12)
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    turn = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    panel = detector[0]
    size = np.asarray(panel.image_size) * panel.pixel_size / 2
    middle = panel.origin + size[0] * panel.fast_axis + size[1] * panel.slow_axis
    fast, slow = turn @ panel.fast_axis, turn @ panel.slow_axis
    return Detector((replace(panel, fast_axis=fast, slow_axis=slow, origin=middle - size[0] * fast - size[1] * slow),))


def simulate(
    names: list[str], weights: tuple[float, ...], n_images: int, seed: int, width: float = 0.5, spurious: float = 0.1,
    keep: float = 0.5, d_min: float = 2.2, joined: bool = True,
) -> Case:  # fmt: skip
    """Spots of crystals of the named cells (the last again for further ones)."""
    rng = np.random.default_rng([seed, len(weights), n_images])
    base = rotation_experiment(n_images=n_images, width_deg=width)
    base = replace(base, scan=Scan(image_range=(1, n_images), oscillation_deg=(float(rng.uniform(0, 90)), width)))
    true_detector = turned(base.detector, np.radians(OFF_DEG) * rng.normal(size=3))
    truth, position, intensity = [], [], []
    for i, weight in enumerate(weights):
        cell, group = CELLS[names[min(i, len(names) - 1)]]
        experiment = replace(
            base, detector=true_detector, crystal=Crystal.from_cell(cell, random_turn(rng), group), identifier=str(i)
        )
        truth.append(experiment)
        predicted = predict_static(experiment, 0, d_min)
        d_star = np.linalg.norm(predicted["miller_index"] @ experiment.crystal.A.T, axis=1)
        strength = weight * rng.exponential(np.exp(-12.0 * (d_star**2 - 0.1)))
        seen = strength > -np.log(keep)  # the part `keep` of the first crystal's spots at 3.2 A
        strength, place = strength[seen], predicted["xyzcal.px"][seen]
        noise = 0.08 + 0.35 * np.sqrt(-np.log(keep) / strength)
        position.append(place + rng.normal(size=place.shape) * noise[:, None] * (1.0, 1.0, 0.5))
        intensity.append(strength)
    xyz, strength = np.concatenate(position), np.concatenate(intensity)
    if joined:
        xyz, strength = join_touching(xyz, strength)
    n = int(spurious * len(xyz))
    xyz = np.concatenate([xyz, rng.uniform(size=(n, 3)) * (1000, 1000, n_images)])
    xyz[:, 2] = np.clip(xyz[:, 2], 0.01, n_images - 0.01)
    xyz = xyz[rng.permutation(len(xyz))]
    panel = base.detector[0]
    shift = OFF_PX * rng.normal(size=2) * panel.pixel_size
    origin = panel.origin + shift[0] * panel.fast_axis + shift[1] * panel.slow_axis
    origin = origin * np.array([1, 1, 1 + OFF_DISTANCE * rng.normal()])
    images = ImageSet(template="superposed_####.cbf", image_range=(1, n_images))
    header = Detector((replace(panel, origin=origin),))
    given = Experiments([replace(base, crystal=None, detector=header, imageset=images)])
    return Case(
        f"{'+'.join(names)} {','.join(f'{w:g}' for w in weights)} {n_images} images, seed {seed}",
        truth, given, spot_table(xyz),
    )  # fmt: skip


def join_touching(xyz: np.ndarray, strength: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Spots less than 4 pixels and 1.5 images apart become one, at the mean place."""
    alive = np.ones(len(xyz), dtype=bool)
    xyz = xyz.copy()
    pairs = cKDTree(xyz * (1 / 4.0, 1 / 4.0, 1 / 1.5)).query_pairs(1.0, output_type="ndarray")
    for i, j in pairs[np.argsort(-np.maximum(strength[pairs[:, 0]], strength[pairs[:, 1]]), kind="stable")]:
        if alive[i] and alive[j]:
            share = strength[i] / (strength[i] + strength[j])
            xyz[i] = share * xyz[i] + (1 - share) * xyz[j]
            alive[j] = False
    return xyz[alive], strength[alive]


def spot_table(xyz: np.ndarray) -> ReflectionTable:
    """What a spot finder would write."""
    n = len(xyz)
    table = ReflectionTable.with_rows(n, ["id", "panel", "flags", "imageset_id"])
    table["id"] = np.full(n, -1, dtype=np.int32)
    table["flags"] = np.full(n, int(Flag.STRONG), dtype=np.uint64)
    table["xyzobs.px.value"] = xyz
    table["xyzobs.px.variance"] = np.full((n, 3), 0.3**2) * (1, 1, 0.3)
    start = np.floor(xyz).astype(np.int32) - (1, 1, 0)
    table["bbox"] = np.stack([start, start + np.array([3, 3, 1])], axis=-1).reshape(n, 6)
    table["intensity.sum.value"] = np.full(n, 100.0)
    table["intensity.sum.variance"] = np.full(n, 100.0)
    return table


def primitive(crystal: Crystal) -> np.ndarray:
    """(3, 3) rows of the reduced basis."""
    return np.asarray(niggli_reduce(primitive_operator(crystal.space_group).matrix @ crystal.real_space)[0])


def angle_between(one: np.ndarray, two: np.ndarray) -> float:
    """Degrees between two lattices; 180 when their vectors are not about the same."""
    combination = np.rint(one @ np.linalg.inv(two))
    if abs(round(np.linalg.det(combination))) != 1:
        return 180.0
    change = np.linalg.solve(combination @ two, one).T
    left, stretch, right = np.linalg.svd(change)
    if np.abs(stretch - 1).max() > 0.02:
        return 180.0
    return float(np.degrees(np.arccos(np.clip((np.trace(left @ right) - 1) / 2, -1, 1))))


def frame(experiment: Experiment) -> np.ndarray:
    """(3, 3): columns are the axes of the first panel."""
    panel = experiment.detector[0]
    return np.stack([panel.fast_axis, panel.slow_axis, np.cross(panel.fast_axis, panel.slow_axis)], axis=1)


def degrees_between(one: np.ndarray, two: np.ndarray) -> float:
    """Angle between two vectors."""
    return float(np.degrees(np.arctan2(np.linalg.norm(np.cross(one, two)), np.dot(one, two))))


def geometry_errors(true: Experiment, found: Experiment) -> tuple[float, float, float]:
    """Degrees between detector normals in the laboratory, beams as the detectors see them, and axes as the detectors see them."""
    to_true = frame(true) @ frame(found).T
    return (
        degrees_between(frame(true)[:, 2], frame(found)[:, 2]),
        degrees_between(true.beam.s0, to_true @ found.beam.s0),
        degrees_between(true.goniometer.axis_lab, to_true @ found.goniometer.axis_lab),
    )


def compare(truth: list[Experiment], found: Experiments) -> tuple[int, int, int, tuple[float, float, float]]:
    """Numbers found, wrong (or found twice) and missed, and `geometry_errors`."""
    crystals = [primitive(c) for c in found.unique("crystal") if c is not None]
    taken: set[int] = set()
    wrong = 0
    for crystal in crystals:
        angles = [angle_between(primitive(t.crystal), crystal) for t in truth]
        best = int(np.argmin(angles))
        if angles[best] > SAME_DEG or best in taken:
            wrong += 1
        else:
            taken.add(best)
    return len(taken), wrong, len(truth) - len(taken), geometry_errors(truth[0], found[0])


def simulate_pixels(n: int, n_images: int, seed: int) -> Case:
    """Images of `spindle simulate` (lysozyme's cell on a small detector), and the spots found in them."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "images"
        values = {"crystal.lattices": n, "crystal.weaker": 0.72, "scan.n_images": n_images, "scan.oscillation": 0.5}
        spindle.run("simulate", **values, **{"output.directory": str(folder), "run.seed": seed})
        truth = json.loads((folder / "truth.json").read_text())
        given = spindle.run("import", files=sorted(folder.glob("*.cbf"))).experiments
        spots = spindle.run("find_spots", given).reflections
    panel = replace(
        given[0].detector[0], **{k: np.array(truth["detector"][v]) for k, v in (("fast_axis", "fast"), ("slow_axis", "slow"))}
    )  # fmt: skip
    base = replace(given[0], detector=Detector((replace(panel, origin=np.array(truth["detector"]["origin"])),)))
    crystals = [Crystal(A=np.array(lattice["U"]) @ np.array(truth["B"])) for lattice in truth["lattices"]]
    return Case(
        f"images, {n} lattices, {n_images} images, seed {seed}", [replace(base, crystal=c) for c in crystals], given, spots
    )  # fmt: skip


def with_spindle(case: Case, options: list[str]) -> tuple[Experiments | None, str]:
    """Experiments, or why there are none."""
    values = dict(option.split("=", 1) for option in options)
    try:
        result = spindle.run("index", case.given, case.spots, **values)
    except SpindleError as error:
        return None, str(error).splitlines()[0]
    return result.experiments, f"{100 * result.summary['fraction_indexed']:.1f} % indexed"


def with_dials(case: Case, dials: Path, n: int) -> tuple[Experiments | None, str]:
    """The same with DIALS, told how many lattices there are."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_experiments(case.given, folder / "imported.expt")
        write_reflections(case.spots, folder / "strong.refl")
        command = [str(dials), "imported.expt", "strong.refl", f"max_lattices={n}"]
        run = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, env=dials_environment(dials.parent), check=False
        )
        if not (folder / "indexed.expt").exists():
            return None, (run.stdout + run.stderr).strip().splitlines()[-1]
        counts = re.findall(r"^\|\s+\d+ \|\s+(\d+) \|\s+(\d+) \|\s+[\d.]+%", run.stdout, re.MULTILINE)
        share = 100 * int(counts[-1][0]) / max(sum(map(int, counts[-1])), 1) if counts else np.nan
        return read_experiments(folder / "indexed.expt"), f"{share:.1f} % indexed"


def report(case: Case, who: str, result: tuple[Experiments | None, str], seconds: float) -> np.ndarray:
    """Print a line; returns found, wrong and missed."""
    experiments, text = result
    n = len(case.truth)
    found, wrong, missed, angles = (0, 0, n, (np.nan,) * 3) if experiments is None else compare(case.truth, experiments)
    print(
        f"{case.name:48} {who:8} {len(case.spots):6} spots  found {found} wrong {wrong} missed {missed}  "
        f"detector {angles[0]:.3f}, to beam {angles[1]:.3f}, to axis {angles[2]:.3f} deg "
        f"{seconds:6.1f} s  {text}",
        flush=True,
    )
    return np.array([found, wrong, missed])


def compared(case: Case, arguments: list[str]) -> np.ndarray:
    """Index with Spindle and print a line."""
    start = time.perf_counter()
    result = with_spindle(case, arguments)
    return report(case, "spindle", result, time.perf_counter() - start)


def main() -> None:
    """Make the sets, index them, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lattices", type=int, nargs="+", default=[2, 3, 6], choices=sorted(WEIGHTS))
    parser.add_argument("--cells", nargs="+", default=["tetragonal", "triclinic", "centred"], choices=sorted(CELLS))
    parser.add_argument("--mixed", action="store_true", help="crystals of different cells in one set")
    parser.add_argument("--pixels", action="store_true", help="images of spindle simulate instead of spot tables")
    parser.add_argument("--images", type=int, nargs="+", default=[60, 100, 120])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--spurious", type=float, default=0.1, help="spurious spots, as a part of the others")
    parser.add_argument("--args", nargs="*", default=["max_lattices=Auto"], help="parameters of spindle index")
    parser.add_argument("--dials", type=Path, default=shutil.which("dials.index"))
    parser.add_argument("--no-dials", action="store_true")
    options = parser.parse_args()
    total: dict[str, np.ndarray] = {}
    for n in options.lattices:
        for number, seed in enumerate(range(options.first_seed, options.first_seed + options.seeds)):
            images = options.images[number % len(options.images)]
            if options.pixels:
                case = simulate_pixels(n, images, seed)
                total["spindle"] = total.get("spindle", 0) + compared(case, options.args)
                continue
            names = options.cells if options.mixed else [options.cells[number % len(options.cells)]]
            case = simulate(names, WEIGHTS[n], images, seed, spurious=options.spurious)
            total["spindle"] = total.get("spindle", 0) + compared(case, options.args)
            if options.dials and not options.no_dials:
                start = time.perf_counter()
                result = with_dials(case, Path(options.dials), n)
                counts = report(case, "dials", result, time.perf_counter() - start)
                total["dials"] = total.get("dials", 0) + counts
    for who, (found, wrong, missed) in total.items():
        print(f"{who:8} found {found}, wrong {wrong}, missed {missed}")


if __name__ == "__main__":
    main()
