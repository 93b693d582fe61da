"""Batch headers: each image's orientation in the frame that MTZ files use."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from spindle.models import Experiment, Experiments

N_INTS, N_FLOATS = 29, 156


def batch_offsets(experiments: Experiments) -> list[int]:
    """What to add to the image numbers of each experiment so that no two share a batch number.

    Offsets that the scans carry already are kept when they are all different; image ranges that do not overlap need
    none. Otherwise each experiment starts at the next number that ends in 01 and leaves at least one number free.

    Raises
    ------
    ValueError
        If the offsets of the scans make batches overlap.
    """
    ranges = [e.scan.image_range if e.scan is not None else (i + 1, i + 1) for i, e in enumerate(experiments)]
    given = [e.scan.batch_offset if e.scan is not None else 0 for e in experiments]
    if len(set(given)) == len(given) and len(given) > 1:
        return given
    ordered = sorted(ranges)
    if all(a[1] < b[0] for a, b in pairwise(ordered)):
        return [0] * len(ranges)
    offsets, last = [], 0
    for first, end in ranges:
        start = first if last == 0 else _next_start(last)
        offsets.append(start - first)
        last = start + end - first
    return offsets


def _next_start(last: int) -> int:
    """The next number ending in 01 that does not follow directly."""
    rest = last % 100
    if rest == 99:
        return last + 2
    return last + 101 if rest == 0 else last - rest + 101


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


def batch_headers(experiment: Experiment, force_static: bool) -> np.ndarray:
    """The 156 floats of each image's batch header, (n_images, 156) float64.

    The rotation axis is (0, 0, 1); the crystal's orientation is that at rotation angle zero; angles in degrees,
    distance in mm.
    """
    from spindle.models.crystal import cell_from_real_space

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
    panel = experiment.detector[0]
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
