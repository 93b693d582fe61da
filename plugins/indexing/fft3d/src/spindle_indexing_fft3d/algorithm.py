"""The fft3d indexing method."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from spindle.contracts import Algorithm, Citation, hookimpl
from spindle.contracts.indexing import BasisVectors, IndexingError
from spindle.params import Auto, Choice, Float, Int
from spindle.params import Params as ParamsBase
from spindle.report import DETAIL

from .vectors import collect_vectors

logger = logging.getLogger(__name__)


class Fft3dIndexing(Algorithm):
    """Peaks of the Fourier transform of the reciprocal lattice points (Bricogne 1986; Campbell 1998)."""

    citations = (
        Citation(
            "Campbell, J. W.",
            1998,
            "The practicality of using a three-dimensional fast Fourier transform in auto-indexing protein single-crystal oscillation images",
            "J. Appl. Cryst.",
            "31",
            "407-413",
        ),
    )

    class Params(ParamsBase):
        """Grid and peaks of the three-dimensional Fourier transform."""

        b_iso = Float(
            Auto, min=0, none=True, auto=True, level=2, units="A^2",
            help="Points are weighted with exp(-b_iso / (4 d^2)). Auto: 0.05 at the resolution limit of the grid.",
        )  # fmt: skip
        rmsd_cutoff = Float(
            15, min=0, none=True, level=1, help="Peaks are higher than this many times the rms of the map."
        )
        peak_search = Choice(
            ["flood_fill", "clean"],
            default="flood_fill",
            level=2,
            unavailable="the map is not cleaned of the largest peaks one after the other",
            help="How peaks are found.",
        )
        peak_volume_cutoff = Float(
            0.15,
            none=True,
            level=2,
            help="Peaks with less than this fraction of the largest peak's voxels are dropped.",
        )

        class reciprocal_space_grid(ParamsBase):
            """The grid in reciprocal space."""

            n_points = Int(
                256, min=0, max=640, none=True, level=1, help="Points along an edge; raised to a product of 2, 3 and 5."
            )
            d_min = Float(
                Auto, min=0, none=True, auto=True, units="A",
                help="Resolution limit of the grid. Auto: 5 max_cell / n_points, or that of the spots.",
            )  # fmt: skip

    @hookimpl
    def find_basis_vectors(self, rlp: np.ndarray, min_cell: float, max_cell: float, executor: Any) -> BasisVectors:
        """Peaks of the transform, grouped and freed of multiples, largest first."""
        params = self.params
        if len(rlp) == 0:
            raise IndexingError("fft3d: there are no spots to index")
        from scipy.fft import next_fast_len

        n = int(next_fast_len(int(params.reciprocal_space_grid.n_points or 256), real=True))
        while n % 2:  # the origin is the grid point n / 2
            n = int(next_fast_len(n + 1, real=True))
        lengths = np.linalg.norm(rlp, axis=1)
        d_min = params.reciprocal_space_grid.d_min
        if d_min in (Auto, None):
            d_min = max(5 * max_cell / n, float(1 / lengths.max()))
        logger.info("Setting d_min: %.2f", d_min, extra=DETAIL)
        logger.info("FFT gridding: (%d,%d,%d)", n, n, n, extra=DETAIL)
        power, n_used = self._map(rlp[lengths <= 1 / d_min], d_min, n, int(getattr(executor, "n_workers", 1)))
        logger.info("Number of centroids used: %d", n_used, extra=DETAIL)
        vectors, sizes = self._peaks(power, n, d_min)
        keep = np.linalg.norm(vectors, axis=1)
        inside = (keep > min_cell) & (keep < 2 * max_cell)
        vectors, weights = collect_vectors(vectors[inside], sizes[inside])
        return BasisVectors(vectors=vectors, weights=weights, d_min=float(d_min), n_points=n_used)

    def _map(self, rlp: np.ndarray, d_min: float, n: int, workers: int) -> tuple[np.ndarray, int]:
        """Squared real part of the transform, its independent half, (n, n, n / 2 + 1) float32; and points used."""
        b_iso = self.params.b_iso
        if b_iso in (Auto, None):
            b_iso = -4 * d_min**2 * np.log(0.05)
        spacing = 2 / (d_min * n)
        index = np.rint(rlp / spacing).astype(np.int64) + n // 2
        inside = np.all((index >= 0) & (index < n), axis=1)
        index = index[inside]
        weights = np.exp(-b_iso * np.sum(rlp[inside] ** 2, axis=1) / 4).astype(np.float32)
        power = np.square(_spectrum(index, weights, n, workers).real)
        return power, int(np.count_nonzero(inside))

    def _peaks(self, power: np.ndarray, n: int, d_min: float) -> tuple[np.ndarray, np.ndarray]:
        """Vectors (m, 3) to the peaks and their sizes in voxels."""
        from .kernels import connected_peaks

        params = self.params
        # The planes k = 0 and n / 2 stand for themselves, all others also for their mates at n - k.
        flat = power.reshape(n * n, -1)
        per_plane = flat.sum(axis=0, dtype=np.float64)
        squares = np.einsum("ij,ij->j", flat, flat, dtype=np.float64)
        share = np.full(flat.shape[1], 2.0)
        share[0] = share[-1] = 1.0
        mean = float(per_plane @ share) / n**3
        rms = np.sqrt(max(float(squares @ share) / n**3 - mean**2, 0.0))
        if not rms > 0:
            raise IndexingError(
                f"fft3d: no spot lies within the resolution of the grid, d_min={d_min:.3g}. Is the largest cell edge right (max_cell), and "
                "the geometry? A smaller indexing.fft3d.reciprocal_space_grid.d_min takes all spots"
            )
        i, j, k = np.nonzero(power >= np.float32((params.rmsd_cutoff or 0) * rms))
        mates = (k != 0) & (k != n // 2)
        keys = np.concatenate(
            [(i * n + j) * n + k, (((-i[mates]) % n) * n + (-j[mates]) % n) * n + (n - k[mates])]
        ).astype(np.int64)
        keys.sort()
        sizes = np.empty(len(keys), dtype=np.int64)
        sums = np.empty((len(keys), 3), dtype=np.int64)
        found = connected_peaks(keys, n, sizes, sums)
        if found < 4:
            raise IndexingError(
                f"fft3d: only {found} peaks in the Fourier map, too few for a lattice. Are there enough spots? "
                "A lower indexing.fft3d.rmsd_cutoff or a smaller indexing.max_cell may help"
            )
        sizes, sums = sizes[:found], sums[:found]
        low, high = _hinges(np.sort(sizes))
        usual = sizes[sizes <= high + 5 * (high - low)]
        chosen = sizes > int((params.peak_volume_cutoff or 0) * usual.max())
        centres = sums[chosen] / (sizes[chosen, None] * n)
        return (centres - np.rint(centres)) * (n * d_min / 2), sizes[chosen]


def _spectrum(index: np.ndarray, weights: np.ndarray, n: int, workers: int) -> np.ndarray:
    """(n, n, n / 2 + 1) complex64: Fourier transform of weights at some points (m, 3) of a grid.

    Most lines and, of a still, half of the planes have no point: those are not transformed.
    """
    from scipy.fft import fft, rfft

    lines, line = np.unique(index[:, 0] * n + index[:, 1], return_inverse=True)
    along = np.zeros((len(lines), n), dtype=np.float32)
    along[line, index[:, 2]] = weights
    planes, plane = np.unique(lines // n, return_inverse=True)
    spectrum = np.zeros((n, n, n // 2 + 1), dtype=np.complex64)
    flat = np.zeros((len(planes), n, n // 2 + 1), dtype=np.complex64)
    flat[plane, lines % n] = rfft(along, axis=1, workers=workers)
    spectrum[planes] = fft(flat, axis=1, workers=workers, overwrite_x=True)
    return np.asarray(fft(spectrum, axis=0, workers=workers, overwrite_x=True))


def _hinges(values: np.ndarray) -> tuple[float, float]:
    """Tukey's hinges: medians of the lower and the upper half, the middle element in both."""
    half = (len(values) + 1) // 2
    return float(np.median(values[:half])), float(np.median(values[-half:]))
