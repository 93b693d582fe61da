"""The importer of orientation matrices of MOSFLM."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spindle.contracts import Algorithm, hookimpl
from spindle.contracts.importer import Imported
from spindle.errors import FileFormatError
from spindle.models import Crystal, Experiments
from spindle.params import Params as ParamsBase
from spindle.params import SpaceGroup
from spindle_lib_exchange import experiment_without_images

SHAPE = [3] * 7 + [6, 3]
LABORATORY = np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]])  # axis from +z to +x, beam from +x to -z


class MosflmImporter(Algorithm):
    """Orientation matrices of MOSFLM (.mat): cell, orientation and wavelength."""

    class Params(ParamsBase):
        space_group = SpaceGroup("P1", help="Space group, which the file does not say.")

    @hookimpl
    def understand(self, path: Path, head: bytes) -> bool:
        """Whether it has the nine lines of a matrix; see `spindle.contracts.importer.ImporterSpec.understand`."""
        return _rows(head) is not None

    @hookimpl
    def refusal(self, path: Path, head: bytes) -> str:
        """See `spindle.contracts.importer.ImporterSpec.refusal`."""
        return "no matrix of MOSFLM: nine lines of three numbers are expected, but six in the eighth"

    @hookimpl
    def import_results(self, path: Path) -> Imported:
        """One crystal; see `spindle.contracts.importer.ImporterSpec.import_results`."""
        rows = _rows(path.read_bytes())
        if rows is None:
            raise FileFormatError(f"{path}: the nine lines of a matrix of MOSFLM are not complete; write it again")
        scaled, cell = np.array(rows[:3]), np.array(rows[7])
        volume = _volume(cell)
        determinant = float(np.linalg.det(scaled))
        if not determinant > 0 or not volume > 0:
            raise FileFormatError(f"{path}: matrix or cell are of no crystal (determinant {determinant:.3g})")
        wavelength = float(np.cbrt(determinant * volume))
        crystal = Crystal(LABORATORY @ scaled / wavelength).with_space_group(self.params.space_group)
        notes = (
            f"wavelength {wavelength:.5f} A, from the matrix and the cell",
            "the file knows no detector and no images: both are dummies",
        )
        return Imported(Experiments([experiment_without_images(crystal, wavelength)]), None, notes)


def _volume(cell: np.ndarray) -> float:
    c = np.cos(np.deg2rad(cell[3:]))
    return float(np.prod(cell[:3]) * np.sqrt(max(1 - c @ c + 2 * np.prod(c), 0.0)))


def _rows(content: bytes) -> list[list[float]] | None:
    """Numbers of the lines, where they are those of a matrix."""
    try:
        rows = [
            [float(w) for w in line.split()] for line in content[:2000].decode("ascii").splitlines() if line.strip()
        ]
    except ValueError:
        return None
    return rows if [len(r) for r in rows] == SHAPE else None
