"""Are crystals that drift during a scan refined to within three standard uncertainties of the truth?

    python benchmarks/drift.py [--seeds 4] [--first-seed 1] [--crystals 0 1 2 3 4 5] [--noise 1.0] [--mosaicity 0.1]
        [--images 90] [--width 1.0]

Spots of 90 images of 1 degree (or others) are computed where each index meets the sphere with the orientation and the cell of that
moment, with errors of 0.1 px, 0.1 px and 0.08 images times `--noise`, for crystals that swing by 0.003 to 0.2 degrees and grow by up to 0.3 %.
With `--mosaicity` they are as images record them: photons of rocking curves of that standard deviation (degrees) are counted image by image,
and what lies beyond the ends of the scan is not.
Detector, beam and crystal start off the truth; they are refined as constant and then as varying models. For each set it prints
the parts of the scan points at which orientations (about three axes) and volumes are within three standard uncertainties of the truth, the rms
deviations in these units, the rms angle between refined and true orientations, and the angle in the laboratory between the refined and the true
normal of the detector; of all sets, the rms of both angles.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np

from spindle.geometry import rotation_matrix
from spindle.models import Crystal, Experiments, Scan
from spindle.testing import make_context
from spindle.testing.refiner import disturbed, rotation_experiment
from spindle_lib_refinement.testing import (
    DriftingCrystal,
    plain_settings,
    pulls_of_orientation,
    pulls_of_volume,
    turns_of_orientation,
)

D_MIN = 3.4
NOISE = np.array([0.1, 0.1, 0.08])
#: Mean of a full reflection.
PHOTONS = 300.0
#: Cell, space group, swing (degrees), growth.
CRYSTALS = (
    ((58.0, 58.0, 41.0, 90.0, 90.0, 90.0), "P 4", 0.003, 0.0),
    ((58.0, 58.0, 41.0, 90.0, 90.0, 90.0), "P 4", 0.01, 3e-4),
    ((36.0, 42.0, 55.0, 80.0, 95.0, 101.0), "P 1", 0.02, 1e-3),
    ((40.0, 50.0, 62.0, 90.0, 90.0, 90.0), "P 21 21 21", 0.05, 2e-3),
    ((45.0, 60.0, 52.0, 90.0, 104.0, 90.0), "P 1 2 1", 0.1, 2e-3),
    ((57.0, 57.0, 57.0, 90.0, 90.0, 90.0), "P 21 3", 0.2, 3e-3),
)


def pulls(number: int, seed: int, options: argparse.Namespace) -> tuple[np.ndarray, np.ndarray, float, float]:
    """Deviations of orientations (n, 3) and volumes (n,) in standard uncertainties, of orientations (rms) and the detector's normal in degrees."""
    n_images, mosaicity_deg = options.images, options.mosaicity
    cell, group, swing_deg, growth = CRYSTALS[number]
    crystal = Crystal.from_cell(cell, rotation_matrix(np.array([0.6, 0.0, 0.8]), 0.7 + seed), group)
    truth = replace(rotation_experiment(n_images), crystal=crystal, scan=Scan((1, n_images), (0.0, options.width)))
    drift = DriftingCrystal(crystal, seed, swing_deg, growth, n_images)
    table = (
        drift.recorded(truth, D_MIN, mosaicity_deg, PHOTONS, seed)
        if mosaicity_deg
        else drift.spots(truth, D_MIN, options.noise * NOISE, seed)
    )
    refiner = make_context().algorithm("refiner", "centroid")
    settings = plain_settings(parameterisation__set_scan_varying_errors=True)

    def refined(experiments: Experiments, scan_varying: bool) -> object:
        return refiner.refine(
            experiments=experiments,
            reflections=table,
            settings=settings,
            scan_varying=scan_varying,
            purpose="refinement",
        )

    static = refined(Experiments([disturbed(truth)]), False)
    result = refined(static.experiments, True)
    normals = (truth.detector[0].normal, result.experiments[0].detector[0].normal)
    tilt = np.degrees(np.arctan2(np.linalg.norm(np.cross(*normals)), np.dot(*normals)))
    turn = np.sqrt((turns_of_orientation(result, drift) ** 2).sum(axis=1).mean())
    return pulls_of_orientation(result, drift), pulls_of_volume(result, drift), float(turn), float(tilt)


def main() -> None:
    """Simulate, refine, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--crystals", type=int, nargs="+", default=list(range(len(CRYSTALS))))
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--noise", type=float, default=1.0, help="errors of positions, as a factor")
    parser.add_argument("--mosaicity", type=float, default=0.0, help="of spots as images record them, degrees")
    parser.add_argument("--images", type=int, default=90)
    parser.add_argument("--width", type=float, default=1.0, help="of images, degrees")
    options = parser.parse_args()
    shares, angles = [], []
    for number in options.crystals:
        for seed in range(options.first_seed, options.first_seed + options.seeds):
            turned, volumes, turn, tilt = pulls(number, seed, options)
            angles.append([turn, tilt])
            ends = np.mean(np.abs(turned[[0, 1, -2, -1]]) < 3)
            shares.append([np.mean(np.abs(turned) < 3), np.mean(np.abs(volumes) < 3), ends])
            rms = np.sqrt(np.mean(turned**2, axis=0))
            print(
                f"{CRYSTALS[number][1]:10} {CRYSTALS[number][2]:.3f} deg, seed {seed:3d}: within three errors: "
                f"orientations {100 * shares[-1][0]:5.1f} %, cells {100 * shares[-1][1]:5.1f} %; rms "
                f"{rms[0]:.2f} {rms[1]:.2f} {rms[2]:.2f}, {np.sqrt(np.mean(volumes**2)):.2f}; crystal {turn:.4f}, detector {tilt:.3f} deg",
                flush=True,
            )
    orientations, cells, ends = 100 * np.mean(shares, axis=0)
    turn, tilt = np.sqrt(np.mean(np.square(angles), axis=0))
    print(
        f"{len(shares)} sets: orientations at {orientations:.2f} % of the scan points, at {ends:.2f} % of the two at each end, cells at {cells:.2f} %; "
        f"rms of crystals {turn:.4f}, of detectors {tilt:.4f} deg"
    )


if __name__ == "__main__":
    main()
