"""Batch headers: each image's orientation in the frame that MTZ files use."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from spindle.models import Experiment, Experiments, Panel

N_INTS, N_FLOATS = 29, 156
LARGEST_BATCH = 9_999_999  # seven digits; the column BATCH holds whole numbers exactly up to 2^24


def batch_offsets(experiments: Experiments) -> list[int]:
    """What to add to the image numbers of each experiment: batches are positive and no two experiments share one.

    Offsets that the scans carry are kept when they do that. Otherwise one rule holds for each experiment in turn: its
    batches are its image numbers if they are positive and none is taken, else they begin at the next number that ends
    in 01 and leaves at least one number free after all before. Images 0 to 39 twice become 1 to 40 and 101 to 140;
    images 1 to 40 twice stay 1 to 40 and become 101 to 140.
    """
    ranges = [e.scan.image_range if e.scan is not None else (i + 1, i + 1) for i, e in enumerate(experiments)]
    given = [e.scan.batch_offset if e.scan is not None else 0 for e in experiments]
    carried = sorted((first + o, last + o) for (first, last), o in zip(ranges, given, strict=True))
    if any(given) and all(map(_possible, carried)) and all(a[1] < b[0] for a, b in pairwise(carried)):
        return given
    offsets: list[int] = []
    taken: list[tuple[int, int]] = []
    end = 0
    for first, last in ranges:
        free = _possible((first, last)) and all(last < a or first > b for a, b in taken)
        begin = first if free else _next_start(end)
        offsets.append(begin - first)
        taken.append((begin, begin + last - first))
        end = max(end, begin + last - first)
    return offsets


def _possible(batches: tuple[int, int]) -> bool:
    """Whether a file can hold these batch numbers."""
    return batches[0] > 0 and batches[1] <= LARGEST_BATCH


def _next_start(last: int) -> int:
    """The next number ending in 01 that does not follow directly; 1 at the beginning."""
    return 1 if last == 0 else 100 * (-(-(last + 1) // 100)) + 1


def cambridge_rotation(axis: np.ndarray, s0: np.ndarray) -> np.ndarray:
    """(3, 3) rotation that takes the rotation axis to +z and the beam as nearly as possible to +x."""
    z = axis / np.linalg.norm(axis)
    x = s0 - (s0 @ z) * z
    if np.linalg.norm(x) < 1e-9 * np.linalg.norm(s0):
        x = np.eye(3)[int(np.argmin(np.abs(z)))]
        x = x - (x @ z) * z
    x = x / np.linalg.norm(x)
    return np.stack([x, np.cross(z, x), z])


def image_matrices(experiment: Experiment, force_static: bool) -> np.ndarray:
    """(n_images, 3, 3): the crystal's A at the middle of each image."""
    crystal, scan = experiment.crystal, experiment.scan
    assert crystal is not None
    n = scan.n_images if scan is not None else 1
    points = crystal.A_at_scan_points
    if points is None or force_static or len(points) != n + 1:
        return np.broadcast_to(crystal.A, (n, 3, 3))
    return np.asarray(0.5 * (points[:-1] + points[1:]))


def batch_headers(experiment: Experiment, force_static: bool, panel: Panel) -> np.ndarray:
    """The 156 floats of each image's batch header, (n_images, 156) float64.

    The rotation axis is (0, 0, 1); the crystal's orientation is that at rotation angle zero; angles in degrees,
    distance in mm. `panel` is the rectangle on which XDET and YDET are positions.
    """
    from spindle.models import cell_from_real_space

    beam, goniometer, scan = experiment.beam, experiment.goniometer, experiment.scan
    n = scan.n_images if scan is not None else 1
    axis = goniometer.axis_lab if goniometer is not None else np.array([1.0, 0.0, 0.0])
    turn = cambridge_rotation(axis, beam.s0)
    to_lab = turn
    if goniometer is not None:
        to_lab = turn @ goniometer.setting_rotation @ goniometer.fixed_rotation
    matrices = image_matrices(experiment, force_static)
    cells = cell_from_real_space(np.linalg.inv(matrices))
    floats = np.zeros((n, N_FLOATS))
    floats[:, 0:6] = cells
    for i in range(n):
        # B after Busing & Levy (1967), Acta Cryst. 22, 457: a* along x, b* in the xy plane.
        B = np.linalg.cholesky(matrices[i].T @ matrices[i]).T
        U = to_lab @ matrices[i] @ np.linalg.inv(B)
        floats[i, 6:15] = U.T.ravel()  # column by column
    start, width = scan.oscillation_deg if scan is not None else (0.0, 0.0)
    floats[:, 36] = start + width * np.arange(n)
    floats[:, 37] = floats[:, 36] + width
    floats[:, 38:41] = (0.0, 0.0, 1.0)
    floats[:, 43] = 1.0
    floats[:, 47] = width
    floats[:, 59:62] = (0.0, 0.0, 1.0)
    source = turn @ beam.s0
    floats[:, 80:83] = (-1.0, 0.0, 0.0)
    floats[:, 83:86] = -source / np.linalg.norm(source)
    floats[:, 86] = beam.wavelength
    floats[:, 111] = panel.distance
    floats[:, 113:117] = (0.0, panel.image_size[0], 0.0, panel.image_size[1])
    return floats


def batch_integers(dataset: int, cell_is_fixed: bool) -> list[int]:
    """The 29 integers of a batch header."""
    ints = [0] * N_INTS
    ints[0:3] = [N_INTS + N_FLOATS, N_INTS, N_FLOATS]
    ints[4:10] = [0 if cell_is_fixed else -1] * 6
    ints[12], ints[14], ints[15], ints[17], ints[19], ints[20] = 1, 2, 1, 1, 1, dataset
    return ints
