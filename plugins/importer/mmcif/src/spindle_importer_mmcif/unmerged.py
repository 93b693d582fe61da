"""Unmerged observations of mmCIF: of the archive's category, and of the newer ones for unmerged data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import gemmi
import numpy as np

from spindle.errors import FileFormatError
from spindle.models import Scan
from spindle_lib_exchange import scan_of
from spindle_lib_merging import whole_indices

from .blocks import cell_in, numbers, wavelengths_of_crystals, wavelengths_of_sweeps, whole_numbers, words

__all__ = ["ARCHIVE", "NEXT", "Observed", "Sweep", "read_unmerged"]

ARCHIVE, NEXT = "_diffrn_refln.", "_pdbx_diffrn_unmerged_refln."
SCANS = "_pdbx_diffrn_scan."


@dataclass(slots=True)
class Sweep:
    """What a file says of one sweep.

    Attributes
    ----------
    name : str
    cell : (6,) float64 or None
    wavelength : float
        0 where it is not told.
    scan : Scan or None
    backwards : bool
        Angles of the file fall with the image: those of `scan` are theirs with the other sign, about the axis turned round.
    """

    name: str
    cell: np.ndarray | None
    wavelength: float
    scan: Scan | None
    backwards: bool = False


@dataclass(slots=True)
class Observed:
    """The rows of a block (n,).

    Attributes
    ----------
    sweeps : list of Sweep
    sweep : (n,) int64
        Position in `sweeps`.
    hkl : (n, 3) int32
    angle : (n,) float64 or None, degrees
    xy : (n, 2) float64 or None, pixels
    partiality : (n,) float64
    image : (n,) int64 or None
        From 1.
    scale : (n,) float64 or None
        By which intensities were multiplied.
    values : dict of str to ((n,) float64, (n,) float64)
        Intensities and sigmas: "scale", "prf", "sum", or "" for what the file does not name.
    """

    sweeps: list[Sweep]
    sweep: np.ndarray
    hkl: np.ndarray
    angle: np.ndarray | None
    xy: np.ndarray | None
    partiality: np.ndarray
    image: np.ndarray | None
    scale: np.ndarray | None
    values: dict[str, tuple[np.ndarray, np.ndarray]]


def read_unmerged(block: gemmi.cif.Block, category: str, path: Path) -> Observed:
    """Read the observations of a block.

    Raises
    ------
    FileFormatError
        If indices or intensities are missing.
    """
    columns = [numbers(block, f"{category}index_{x}") for x in "hkl"]
    if any(c is None or not np.isfinite(c).all() for c in columns):
        raise FileFormatError(f"{path}: {category}index_h, index_k and index_l are not all there; the file is damaged")
    hkl = whole_indices(
        np.stack([c for c in columns if c is not None], axis=1), f"{path}, {category}index_h, index_k, index_l"
    )
    names = words(block, category + ("scan_id" if category == NEXT else "diffrn_id")) or ["1"] * len(hkl)
    order = list(dict.fromkeys(names))
    place = {name: i for i, name in enumerate(order)}
    sweep = np.array([place[name] for name in names], np.int64)
    values = _values(block, category, path)
    scale = numbers(block, f"{category}{'' if category == NEXT else 'pdbx_'}scale_value")
    angle = _first(block, category, "scan_angle_reflection", "pdbx_scan_angle", "pdbx_rotation_angle")
    x, y = (numbers(block, f"{category}pdbx_detector_{c}") for c in "xy")
    image = numbers(block, f"{category}pdbx_image_id")
    observed = Observed(
        [], sweep, hkl, angle if angle is not None and np.isfinite(angle).all() else None,
        None if x is None or y is None else np.stack([x, y], axis=1), np.ones(len(hkl)),
        None if image is None or not np.isfinite(image).all() else whole_numbers(image, f"{category}pdbx_image_id"), scale, values,
    )  # fmt: skip
    partiality = numbers(block, f"{category}partiality")
    if partiality is not None:
        observed.partiality = np.where(np.isfinite(partiality), partiality, 1.0)
    observed.sweeps = _sweeps(block, category, order, observed)
    return observed


def _first(block: gemmi.cif.Block, category: str, *items: str) -> np.ndarray | None:
    return next((found for item in items if (found := numbers(block, category + item)) is not None), None)


def _values(block: gemmi.cif.Block, category: str, path: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Each kind of intensity that has sigmas."""
    pairs = [("", "intensity_net", "intensity_sigma")]
    if category == NEXT:
        pairs = [
            ("scale", "intensity_meas", "intensity_sigma"), ("prf", "intensity_profile", "intensity_profile_sigma"),
            ("prf", "intensity_prf", "intensity_prf_sigma"), ("sum", "intensity_sum", "intensity_sum_sigma"),
        ]  # fmt: skip
    found = {}
    for kind, value, sigma in pairs:
        intensity, error = numbers(block, category + value), numbers(block, category + sigma)
        if intensity is not None and error is not None:
            found[kind] = (intensity, error)
    if not found:
        raise FileFormatError(f"{path}: {category[:-1]} has no intensities with sigmas; a file with both is needed")
    return found


def _sweeps(block: gemmi.cif.Block, category: str, order: list[str], observed: Observed) -> list[Sweep]:
    """What is told of each sweep, in the order in which they come."""
    cell, waves = cell_in(block), wavelengths_of_sweeps(block)
    if category == ARCHIVE:
        # a loop of scans may stand beside the archive's category
        told = _scans(block)
        found = []
        for i, name in enumerate(order):
            _, scan, backwards = told.get(name, ("", None, False))
            if scan is None:
                scan, backwards = _scan(observed, i)
            found.append(Sweep(name, cell, waves.get(name, waves.get("", 0.0)), scan, backwards))
        return found
    crystals = words(block, "_pdbx_diffrn_unmerged_cell.crystal_id")
    of_crystals, scans = wavelengths_of_crystals(block), _scans(block)
    found = []
    for name in order:
        crystal, scan, backwards = scans.get(name, (name, None, False))
        own = cell_in(block, "_pdbx_diffrn_unmerged_cell.", crystals.index(crystal)) if crystal in crystals else None
        wave = waves.get(name, 0.0) or of_crystals.get(crystal, 0.0) or waves.get("", 0.0)
        found.append(Sweep(name, cell if own is None else own, wave, scan, backwards))
    return found


def _scan(observed: Observed, number: int) -> tuple[Scan | None, bool]:
    """The scan of a sweep, from numbers of images and angles, and whether it runs backwards."""
    if observed.image is None or observed.angle is None:
        return None, False
    rows = observed.sweep == number
    image, angle = observed.image[rows], observed.angle[rows]
    backwards = bool((image - image.mean()) @ angle < 0)
    return scan_of(image, -angle if backwards else angle), backwards


def _scans(block: gemmi.cif.Block) -> dict[str, tuple[str, Scan | None, bool]]:
    """Crystal, scan and whether that runs backwards, by the name of the scan."""
    names, crystals = words(block, f"{SCANS}scan_id"), words(block, f"{SCANS}crystal_id")
    columns = [
        numbers(block, SCANS + c) for c in ("image_id_begin", "image_id_end", "scan_angle_begin", "scan_angle_end")
    ]
    found: dict[str, tuple[str, Scan | None, bool]] = {}
    for i, name in enumerate(names):
        scan, backwards = None, False
        row = [float(c[i]) if c is not None and i < len(c) else np.nan for c in columns]
        if np.isfinite(row).all() and row[1] >= row[0]:
            first, last, begin, end = row
            width = round((end - begin) / (last - first + 1), 7)
            backwards = width < 0
            sign = -1.0 if backwards else 1.0
            scan = Scan((int(first), int(last)), (sign * begin, sign * width)) if width else None
        found[name] = (crystals[i] if i < len(crystals) else name, scan, backwards)
    return found
