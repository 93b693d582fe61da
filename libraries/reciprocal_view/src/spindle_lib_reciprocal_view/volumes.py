"""Volumes of reciprocal space as images: their sections along z, x and y, one after the other."""

from __future__ import annotations

import math
import os
import re
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from spindle.errors import FileFormatError
from spindle.images import ImageSequence, open_regular
from spindle.models import Beam, Detector, Experiment, Experiments, Panel

__all__ = ["is_section", "is_volume", "section_of", "sections_of"]

#: Voxels along the edge of volumes that are cut one way only.
LARGE = 300
MOST_VOXELS = 1 << 30
_BYTES = {0: 1, 1: 2, 2: 4, 3: 4, 4: 8, 6: 2}  # of a voxel, by the mode of the header (MRC2014)
_NAME = "section along "
_SUFFIXES = (".mrc", ".map", ".ccp4")
#: Angstrom of the map for each 1/angstrom.
STRETCH = 100.0
#: A wavelength that makes the sphere of reflection flat; pixels of 0.1 mm then are at the distance that gives sections their scale.
_WAVELENGTH, _PIXEL = 0.01, 0.1
# What is to the right, upwards, and from section to section.
_WAYS = {"z": "xyz", "x": "yzx", "y": "xzy"}
_LABEL = re.compile(r"spindle: [xyz] in 1/A of h k l: (\S+) (\S+) (\S+)")


def _head(path: Path) -> tuple[int, ...] | None:
    """The first ten words of a CCP4 map of floating numbers; None for anything else."""
    if path.suffix.lower() not in _SUFFIXES or not path.is_file():
        return None
    with open(path, "rb") as file:
        head = file.read(224)
    if len(head) < 224 or head[208:212] != b"MAP ":
        return None
    words = struct.unpack("<10i", head[:40])
    return words if words[3] == 2 else None


def is_volume(path: Path | str) -> bool:
    """Whether a file is a cube as `spindle rs_mapper` or ``dials.rs_mapper`` writes it; images of microscopes have the same suffix."""
    words = _head(Path(path))
    if words is None or not words[0] == words[1] == words[2] > 1:
        return False
    edge = words[7]
    return words[7:10] == (edge,) * 3 and edge in (words[0], words[0] - 1)


def is_section(experiment: Experiment) -> bool:
    """Whether images are sections of a volume; the origin is in the middle one, image n // 2 of n."""
    return experiment.detector[0].name.startswith(_NAME)


def section_of(experiment: Experiment) -> dict[str, Any] | None:
    """How sections of a volume lie; None for images.

    Returns
    -------
    dict
        ``axes``: names of what is to the right, upwards, and from section to section, as ``"xyz"``; ``step``, 1/angstrom: of a pixel and
        of a section; ``middle``: number of the section through the origin, from 0; ``to_hkl``: rows of the matrix that makes Miller
        indices of places x y z in 1/angstrom, None where the file does not tell it.
    """
    if not is_section(experiment) or experiment.imageset is None:
        return None
    panel = experiment.detector[0]
    return {
        "axes": _WAYS[panel.name.removeprefix(_NAME)], "step": _PIXEL / (panel.distance * _WAVELENGTH), "middle": panel.image_size[0] // 2,
        "to_hkl": experiment.imageset.params.get("to_hkl"),
    }  # fmt: skip


def _to_hkl(made: Any) -> list[list[float]] | None:
    """What the labels of a map say of Miller indices."""
    rows = [found.groups() for k in range(10) if (found := _LABEL.match(made.header_str(57 + 20 * k, 80)))]
    try:
        to_q = np.array(rows, float)
        inverse = np.linalg.inv(to_q) if to_q.shape == (3, 3) else np.full((3, 3), np.nan)
    except (ValueError, np.linalg.LinAlgError):
        return None
    return inverse.tolist() if np.isfinite(inverse).all() else None


def _check_size(path: Path) -> None:
    """Refuse what announces more than it has, or more than memory is taken for, before it is read."""
    with open_regular(path) as stream:
        header = stream.read(1024)
        length = os.fstat(stream.fileno()).st_size
    if len(header) < 1024:
        raise FileFormatError(
            f"{path}: it has {len(header)} bytes, the header of a volume 1024; make it again with spindle rs_mapper"
        )
    orders = [order for order in "<>" if struct.unpack_from(f"{order}i", header, 12)[0] in _BYTES]
    order = orders[0] if orders else "<"
    *size, mode = struct.unpack_from(f"{order}4i", header)
    n = math.prod(size)
    if min(size) < 1 or n > MOST_VOXELS or 1024 + n * _BYTES.get(mode, 1) > length:
        raise FileFormatError(
            f"{path}: {size[0]} x {size[1]} x {size[2]} voxels in {length} bytes: at least one along each edge, at most {MOST_VOXELS} "
            "together, and all of them expected; make it again with spindle rs_mapper"
        )


def sections_of(path: Path | str) -> Experiments:
    """Three image sets: sections of a volume along z (x to the right, y upwards), along x (y, z) and along y (x, z).

    Of volumes of more than 300 voxels along an edge, along z alone: each set needs the memory of the whole.

    Voxels that are not a number are pixels outside of the trusted range. The pixels of the section through the origin have the resolution of their voxels; the beam centre is the origin.

    Raises
    ------
    FileFormatError
        If the file is cut short, or has more than `MOST_VOXELS`.
    """
    import gemmi

    path = Path(path)
    _check_size(path)
    try:
        made = gemmi.read_ccp4_map(str(path))
    except (RuntimeError, ValueError) as error:
        raise FileFormatError(f"{path}: {error}; make it again with spindle rs_mapper") from error
    values = np.array(made.grid, copy=False)
    order = [made.header_i32(k) - 1 for k in (17, 18, 19)]  # which axis columns, rows and sections are
    if sorted(order) == [0, 1, 2]:
        values = np.transpose(values, np.argsort(order))
    n = made.header_i32(8)
    values = values[:n, :n, :n]
    step = made.grid.unit_cell.a / STRETCH / n
    # A point at r mm from the beam centre scatters r / (wavelength distance) 1/angstrom.
    distance = _PIXEL / (step * _WAVELENGTH)
    # The middle of voxel n // 2 is the origin; rows run downwards.
    left, top = -(n // 2 + 0.5) * _PIXEL, (n - n // 2 - 0.5) * _PIXEL
    beam = Beam(direction=np.array([0.0, 0.0, 1.0]), wavelength=_WAVELENGTH)
    highest = float(np.fmax.reduce(values, axis=None, initial=1.0))
    lowest = float(np.fmin.reduce(values, axis=None, initial=0.0))
    np.nan_to_num(values, copy=False, nan=lowest - 1.0)  # where nothing was measured, outside of the trusted range
    found = []
    for name, axis in (("z", 2), ("x", 0), ("y", 1))[: 1 if n > LARGE else 3]:
        cuts = [np.take(values, k, axis=axis).T[::-1] for k in range(n)]
        panel = Panel(
            np.array([1.0, 0.0, 0.0]), np.array([0.0, -1.0, 0.0]), np.array([left, top, -distance]), pixel_size=np.array([_PIXEL, _PIXEL]), image_size=(n, n),
            trusted_range=(lowest, highest), name=f"{_NAME}{name}",
        )  # fmt: skip
        bare = Experiment(beam=beam, detector=Detector([panel]), identifier=f"{path.name} {name}")
        experiment = ImageSequence.from_arrays(bare, cuts).experiment
        assert experiment.imageset is not None
        told = {**experiment.imageset.params, "to_hkl": _to_hkl(made)}
        named = replace(experiment.imageset, template=f"{path.name}, sections along {name}", params=told)
        found.append(replace(experiment, imageset=named))
    return Experiments(found)
