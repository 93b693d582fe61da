"""The crystal of each block of images, from INTEGRATE.LP."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from spindle.errors import FileFormatError
from spindle.models import Experiment

from .frames import laboratory

BLOCK = re.compile(r"PROCESSING OF IMAGES\s+(\d+)\s*\.\.\.\s*(\d+)")
AXIS = re.compile(r"COORDINATES OF UNIT CELL ([ABC])-AXIS\s+(\S+)\s+(\S+)\s+(\S+)")
VECTOR = {
    "axis": re.compile(r"DIRECTION COSINES OF ROTATION AXIS\s+(\S+)\s+(\S+)\s+(\S+)"),
    "beam": re.compile(r"DIRECT BEAM COORDINATES \(REC\. ANGSTROEM\)\s+(\S+)\s+(\S+)\s+(\S+)"),
}


def with_blocks(experiment: Experiment, path: Path) -> Experiment:
    """The experiment with the crystal that INTEGRATE.LP gives for each block, constant within it.

    Raises
    ------
    FileFormatError
        If there is no such file, or its blocks do not take in the scan.
    """
    if not path.is_file():
        raise FileFormatError(f"{path}: there is no such file; leave out xds.read_varying_crystal=True")
    scan = experiment.known_scan
    matrices = np.full((scan.n_images + 1, 3, 3), np.nan)
    text = path.read_text(encoding="utf-8", errors="replace")
    parts = BLOCK.split(text)
    for first, last, body in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
        axes = {m[0]: [float(v) for v in m[1:]] for m in AXIS.findall(body)}
        found = {name: pattern.search(body) for name, pattern in VECTOR.items()}
        if set(axes) != set("ABC") or not all(found.values()):
            raise FileFormatError(
                f"{path}: the block of images {first} to {last} does not give axes, rotation axis and beam"
            )
        axis, beam = (np.array([float(v) for v in m.groups()]) for m in found.values() if m)
        A = np.linalg.inv(np.array([axes[a] for a in "ABC"]) @ laboratory(axis, beam).T)
        begin, end = int(first) - scan.image_range[0], int(last) - scan.image_range[0] + 1
        matrices[max(begin, 0) : max(end, 0)] = A
    known = np.flatnonzero(np.isfinite(matrices[:, 0, 0]))
    if len(known) < scan.n_images:
        raise FileFormatError(f"{path}: its blocks take in {len(known)} of the {scan.n_images} images of the scan")
    matrices[-1] = matrices[known[-1]]
    return replace(experiment, crystal=replace(experiment.known_crystal, A_at_scan_points=matrices))
