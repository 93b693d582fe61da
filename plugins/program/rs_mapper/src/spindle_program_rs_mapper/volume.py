"""The volume of all blocks, and its file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from .kernels import add_bricks
from .mapping import Gathered

__all__ = ["Volume", "map_writer"]

#: Angstrom of the map for each 1/angstrom, so that programs for maps show something of a usual size.
STRETCH = 100.0
# Of the head of a map, counted from 1 in words of four bytes: how many labels of 80 characters there are, and where they begin.
_N_LABELS, _LABELS, _LABEL_WORDS = 56, 57, 20


class Volume:
    """Means of voxels.

    Parameters
    ----------
    n : int
        Voxels along an edge.
    """

    def __init__(self, n: int) -> None:
        self.n = n
        self.sums = np.zeros((n, n, n))
        self.counts = np.zeros((n, n, n), np.int32)

    def add(self, gathered: Gathered) -> None:
        """Add a block of images."""
        add_bricks(gathered.places, gathered.sums, gathered.counts, self.sums, self.counts)

    def means(self) -> np.ndarray:
        """(n, n, n) float32: mean along x, y, z; 0 where no pixel was. The sums are gone afterwards."""
        np.divide(self.sums, self.counts, out=self.sums, where=self.counts > 0)
        found = self.sums.astype(np.float32)
        self.sums = np.zeros((0, 0, 0))
        return found


def map_writer(means: np.ndarray, d_min: float, to_q: np.ndarray | None = None) -> Callable[[Path], None]:
    """What writes a volume as CCP4 map in mode 2: x is fastest, 100 A stand for 1/A, voxel n/2 is the origin.

    Parameters
    ----------
    means : (n, n, n) float32
    d_min : float, angstrom
        The edge is 2 / d_min.
    to_q : (3, 3) float64, 1/angstrom, optional
        From Miller indices to places; three labels in the head of the map tell its rows.
    """

    def write(path: Path) -> None:
        import gemmi

        n = means.shape[0]
        edge = STRETCH * 2.0 / d_min
        grid = gemmi.FloatGrid(means, gemmi.UnitCell(edge, edge, edge, 90, 90, 90), gemmi.SpaceGroup("P 1"))
        made = gemmi.Ccp4Map()
        made.grid = grid
        made.update_ccp4_header(2, True)
        for word in (5, 6, 7):  # number of the first column, row and section
            made.set_header_i32(word, -(n // 2))
        if to_q is not None:
            made.set_header_i32(_N_LABELS, 4)
            for k, row in enumerate(to_q, 1):
                text = f"spindle: {'xyz'[k - 1]} in 1/A of h k l: {row[0]:.9g} {row[1]:.9g} {row[2]:.9g}"
                made.set_header_str(_LABELS + k * _LABEL_WORDS, text.ljust(80))
        made.write_ccp4_map(str(path))

    return write
