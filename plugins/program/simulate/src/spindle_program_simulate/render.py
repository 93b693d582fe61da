"""From a sweep to images: blocks of images by several workers, with the statistics of every reflection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .kernels import draw_background, read_out, trace_reflections
from .mishaps import add_zingers
from .scene import Lattice, Sweep
from .settings import BEAM, rotation

__all__ = ["PhotonStatistics", "block_ranges", "normal_quantiles", "render"]

# Memory of the images of one block. Spots at the border of two blocks are traced twice, so blocks are not too small
# either.
BLOCK_BYTES = 120e6
MIN_BLOCK, MAX_BLOCK = 4, 32
SHADE_STREAM = 6  # of the random numbers of an image


@dataclass(frozen=True, slots=True)
class PhotonStatistics:
    """What the photons of the reflections of one lattice did.

    Attributes
    ----------
    n_all : (n,) int64
        Photons absorbed in the plane of the detector, also beyond its edges and before and after the sweep.
    n_live : (n,) int64
        Photons counted in an image.
    position : (n, 3) float64
        Mean x, y (px of the reflection's panel) and z (images) of all photons; nan without photons.
    variance : (n, 3) float64, rad^2
        Mean square of the Kabsch coordinates e1, e2, e3.
    """

    n_all: np.ndarray
    n_live: np.ndarray
    position: np.ndarray
    variance: np.ndarray


def normal_quantiles() -> np.ndarray:
    """65,536 equally probable normal deviates (float32); the largest is 4.3."""
    from scipy.special import ndtri

    return ndtri((np.arange(65536) + 0.5) / 65536).astype(np.float32)


def block_ranges(sweep: Sweep, n_workers: int) -> list[tuple[int, int]]:
    """Ranges of images (first, one past last) that are made together."""
    n = len(sweep.frames)
    nx, ny = sweep.instrument.image_size
    size = int(np.clip(BLOCK_BYTES / (4 * nx * ny), MIN_BLOCK, MAX_BLOCK))
    size = max(1, min(size, -(-n // n_workers)))
    return [(first, min(first + size, n)) for first in range(0, n, size)]


def render(
    sweep: Sweep,
    beam_sigmas: tuple[float, float, float],
    n_workers: int,
    map_blocks: Callable[..., Iterator[Any]],
    finish: Callable[[int, np.ndarray], Any],
) -> tuple[list[PhotonStatistics], np.ndarray, list[Any]]:
    """Draw all images of a sweep.

    Parameters
    ----------
    sweep : Sweep
    beam_sigmas : (float, float, float)
        Divergence (rad), relative bandpass, and size of the illuminated volume (mm).
    n_workers : int
    map_blocks : callable
        Ordered map over blocks of images in this process, such as ``context.executor.here.map``: workers add to the statistics
        and files of all.
    finish : callable
        Called with the number of an image (from 0) and its pixels (ny, nx) int32, in the worker; what it returns is
        collected.

    Returns
    -------
    statistics : list of PhotonStatistics
        One per lattice.
    zingers : (k, 4) int64
        Image, y, x, counts of each pixel that a stray particle hit.
    results : list
        What ``finish`` returned, by image.
    """
    normals = normal_quantiles()
    beam = np.array([*BEAM, sweep.instrument.wavelength, *beam_sigmas])
    tape, hits = sweep.supports.tape_image(sweep.instrument), []
    empty = [_empty_statistics(lattice) for lattice in sweep.lattices]

    def make_block(frames: tuple[int, int]) -> list[Any]:
        first, last = frames
        nx, ny = sweep.instrument.image_size
        images = np.zeros((last - first, ny, nx), np.int32)
        draw_background(
            images,
            first,
            sweep.seed,
            sweep.background,
            sweep.frames.scale,
            sweep.instrument.pixel_state,
            sweep.instrument.hot_pixels,
            sweep.instrument.hot_rate,
        )
        if sweep.supports.anvils is not None:
            _shade(images, first, sweep)
        for number, lattice in enumerate(sweep.lattices):
            _trace(images, first, sweep, number, lattice, beam, normals, empty[number], tape)
        response = sweep.instrument.response
        if not response.is_counting:
            read_out(
                images, first, sweep.seed, response.gain, response.offset, response.noise, response.cutoff + 1,
                sweep.instrument.pixel_state, normals,
            )  # fmt: skip
        if sweep.zingers > 0:
            hits.append(
                add_zingers(images, first, sweep.seed, sweep.zingers, sweep.zinger_counts, sweep.instrument.pixel_state)
            )
        images += sweep.instrument.blank
        return [finish(first + i, image) for i, image in enumerate(images)]

    results = [result for block in map_blocks(make_block, block_ranges(sweep, n_workers)) for result in block]
    found = np.concatenate(hits) if hits else np.zeros((0, 4), np.int64)
    return [_finished(statistics) for statistics in empty], found[np.argsort(found[:, 0], kind="stable")], results


def _shade(images: np.ndarray, first: int, sweep: Sweep) -> None:
    """Take from the background of a block of images what the anvils stop: each photon by chance."""
    anvils, turning, frames = sweep.supports.anvils, sweep.settings.rotation, sweep.frames
    if anvils is None:
        return
    start = turning.setting @ turning.fixed @ anvils.normal
    for f in range(len(images)):
        normal = rotation(frames.axis, frames.start + (first + f + 0.5) * frames.width) @ start
        rng = np.random.default_rng([SHADE_STREAM, sweep.seed, first + f])
        images[f] = rng.binomial(images[f], sweep.supports.anvil_image(sweep.instrument, normal))


def _trace(
    images: np.ndarray,
    first: int,
    sweep: Sweep,
    number: int,
    lattice: Lattice,
    beam: np.ndarray,
    normals: np.ndarray,
    statistics: PhotonStatistics,
    tape: np.ndarray,
) -> None:
    """Trace the photons of one lattice into a block of images; statistics go to the rows whose home the block is."""
    r, panels = lattice.reflections, sweep.instrument.panels
    last = first + len(images)
    n_frames, response = len(sweep.frames), sweep.instrument.response
    home_frame = np.clip(np.floor(r.z), 0, n_frames - 1)
    home = (home_frame >= first) & (home_frame < last)
    touches = (r.z + r.window >= first) & (r.z - r.window <= last)
    trace_reflections(
        images,
        first,
        sweep.seed * 16 + number,
        np.flatnonzero(home | touches),
        home,
        r.q,
        r.phi,
        r.entering,
        r.window,
        r.photons,
        r.d,
        sweep.frames.scale,
        sweep.frames.b_factor,
        sweep.frames.shift,
        beam,
        sweep.frames.axis,
        sweep.sigma_mosaic,
        r.panel,
        panels.frames,
        np.concatenate([panels.offset, panels.size], axis=1),
        panels.pixel_size,
        np.array([sweep.instrument.mu, sweep.instrument.thickness]),
        np.array(response.point_spread),
        np.array([sweep.frames.start, sweep.frames.width]),
        np.zeros(0, np.int64) if lattice.stills is None else lattice.stills.image,
        normals,
        sweep.instrument.pixel_state,
        tape,
        statistics.n_all,
        statistics.n_live,
        statistics.position,
        statistics.variance,
    )


def _empty_statistics(lattice: Lattice) -> PhotonStatistics:
    n = len(lattice.reflections)
    return PhotonStatistics(np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros((n, 3)), np.zeros((n, 3)))


def _finished(sums: PhotonStatistics) -> PhotonStatistics:
    """Means from sums."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return PhotonStatistics(
            sums.n_all, sums.n_live, sums.position / sums.n_all[:, None], sums.variance / sums.n_all[:, None]
        )
