"""Sweeps of an unmerged MTZ file, from its batch headers."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spindle.errors import FileFormatError
from spindle.models import Beam, Crystal, Scan

if TYPE_CHECKING:
    import gemmi

__all__ = ["Sweep", "sweeps_of"]

N_FLOATS = 156
SAME_ANGLE = 1e-3  # degrees: headers are single precision


@dataclass(slots=True)
class Sweep:
    """Batches that follow one another.

    Attributes
    ----------
    first, last : int
        Batch numbers.
    beam : Beam
        In the frame of the file: rotation axis along +z.
    crystal : Crystal
        At rotation angle zero, in that frame.
    scan : Scan
    distance : float, mm
    size : (int, int)
        Pixels.
    """

    first: int
    last: int
    beam: Beam
    crystal: Crystal
    scan: Scan
    distance: float
    size: tuple[int, int]


def sweeps_of(mtz: gemmi.Mtz, path: Path) -> list[Sweep]:
    """Batches in groups: numbers and angles follow one another, data set and wavelength are the same.

    Raises
    ------
    FileFormatError
        If there are no batches, or they have no orientation.
    """
    batches = sorted(mtz.batches, key=lambda b: b.number)
    if not batches:
        raise FileFormatError(f"{path}: there are no batches; this importer reads unmerged files, this one is merged")
    numbers = np.array([b.number for b in batches])
    floats = np.array([[b.floats[i] for i in range(N_FLOATS)] for b in batches], dtype=np.float64)
    owner = np.array([b.dataset_id for b in batches])
    begin, end = floats[:, 36], floats[:, 37]
    width = np.where(end != begin, end - begin, floats[:, 47])
    follows = (np.diff(numbers) == 1) & (np.diff(owner) == 0) & (np.abs(np.diff(width)) < SAME_ANGLE)
    follows &= np.abs((begin[1:] - end[:-1] + 180) % 360 - 180) < SAME_ANGLE
    follows &= np.abs(np.diff(floats[:, 86])) < 1e-5
    cuts = [0, *(np.flatnonzero(~follows) + 1), len(batches)]
    wavelengths = {d.id: d.wavelength for d in mtz.datasets}
    found = []
    for a, b in pairwise(cuts):
        wavelength = float(floats[a, 86]) or wavelengths.get(int(owner[a]), 0.0)
        if not wavelength > 0:
            raise FileFormatError(f"{path}: batch {numbers[a]} has no wavelength, nor has its data set")
        found.append(_sweep(path, mtz, numbers[a:b], floats[a:b], wavelength))
    return found


def _sweep(path: Path, mtz: gemmi.Mtz, numbers: np.ndarray, floats: np.ndarray, wavelength: float) -> Sweep:
    U = np.swapaxes(floats[:, 6:15].reshape(-1, 3, 3), 1, 2)
    if not np.allclose(U @ np.swapaxes(U, 1, 2), np.eye(3), atol=1e-3) or not np.all(np.linalg.det(U) > 0):
        raise FileFormatError(
            f"{path}: batch {numbers[0]} has no orientation matrix; such a file cannot become experiments"
        )
    if np.any(floats[:, 15:18] != 0):
        raise FileFormatError(
            f"{path}: batch {numbers[0]} has missetting angles, which this importer does not apply; export without them"
        )
    axis = floats[0, 59:62] if np.any(floats[0, 59:62]) else np.array([0.0, 0.0, 1.0])
    if not np.allclose(axis / np.linalg.norm(axis), [0, 0, 1], atol=1e-4):
        raise FileFormatError(
            f"{path}: batch {numbers[0]} turns about {axis.tolist()}; the axis of MTZ files is 0, 0, 1"
        )
    matrices = U @ _busing_levy(floats[:, 0:6])
    same = np.allclose(matrices, matrices[0], rtol=0, atol=2e-7 * np.abs(matrices[0]).max())
    points = None if same else _edges(matrices)
    middle = matrices[len(matrices) // 2]
    source = floats[0, 83:86] if np.any(floats[0, 83:86]) else np.array([-1.0, 0.0, 0.0])
    crystal = Crystal(middle if points is not None else matrices[0], " " + mtz.spacegroup.hall, A_at_scan_points=points)
    start, width = float(floats[0, 36]), float(floats[0, 37] - floats[0, 36]) or float(floats[0, 47])
    n = len(numbers)
    if n > 1:
        width = float((floats[-1, 37] - floats[0, 36]) / n) if floats[-1, 37] > floats[0, 36] else width
    # batches of a further sweep begin at a number that ends in 01; its images are counted from 1 again
    offset = int(numbers[0]) - 1 if numbers[0] % 100 == 1 else 0
    images = (int(numbers[0]) - offset, int(numbers[-1]) - offset)
    scan = Scan(images, (start, round(width, 6)), batch_offset=offset)
    limits = floats[0, 113:117]
    size = (int(round(limits[1] - limits[0])), int(round(limits[3] - limits[2])))
    return Sweep(
        int(numbers[0]), int(numbers[-1]), Beam(source / np.linalg.norm(source), wavelength), crystal, scan,
        float(floats[0, 111]), size,
    )  # fmt: skip


def _busing_levy(cells: np.ndarray) -> np.ndarray:
    """(n, 3, 3) B with a* along x and b* in the xy plane, 1/angstrom."""
    cos = np.cos(np.deg2rad(cells[:, 3:]))
    lengths = cells[:, :3]
    metric = np.empty((len(cells), 3, 3))
    for i in range(3):
        for j in range(3):
            other = 3 - i - j
            metric[:, i, j] = lengths[:, i] * lengths[:, j] * (1.0 if i == j else cos[:, other])
    return np.swapaxes(np.linalg.cholesky(np.linalg.inv(metric)), 1, 2)


def _edges(matrices: np.ndarray) -> np.ndarray:
    """(n + 1, 3, 3) at the edges of images, from their middles; linear beyond the first and last."""
    inner = 0.5 * (matrices[:-1] + matrices[1:])
    first, last = 1.5 * matrices[0] - 0.5 * matrices[1], 1.5 * matrices[-1] - 0.5 * matrices[-2]
    return np.concatenate([first[None], inner, last[None]])
