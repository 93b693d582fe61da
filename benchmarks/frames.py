"""Frames of a rotation measurement, simulated quickly for benchmarks, and written as a beamline would write them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

__all__ = ["DETECTORS", "make_frames", "write_cbf_series", "write_eiger"]

# Pixels (slow, fast), gap (slow, fast) and module (slow, fast) in pixels, size of a pixel in mm.
DETECTORS = {
    "pilatus_300k": ((619, 487), (17, 7), (195, 487), 0.172),
    "pilatus_6m": ((2527, 2463), (17, 7), (195, 487), 0.172),
    "eiger_4m": ((2167, 2070), (37, 10), (514, 1030), 0.075),
    "eiger_16m": ((4371, 4150), (37, 10), (514, 1030), 0.075),
}


def make_frames(detector: str, n: int, seed: int = 1, spots: int = 400, background: float = 0.6) -> np.ndarray:
    """Photon counts of `n` successive frames.

    A background that falls off from the beam centre, and spots of about three frames and three pixels whose intensities
    have the distribution of Wilson (acentric).

    Parameters
    ----------
    detector : str
        One of `DETECTORS`.
    n : int
    seed : int
    spots : int
        Spots that begin on each frame.
    background : float
        Mean photons of a pixel.

    Returns
    -------
    (n, slow, fast) int32
        Gaps between modules are -1.
    """
    (height, width), gap, module, _ = DETECTORS[detector]
    rng = np.random.default_rng(seed)
    y, x = np.ogrid[:height, :width]
    radius = np.hypot((y - height / 2) / height, (x - width / 2) / width)
    mean = np.exp(-4 * radius) + 0.15
    mean = (mean * (background / mean.mean())).astype(np.float32)
    frames = np.empty((n, height, width), np.int32)
    for frame in frames:
        frame[:] = rng.poisson(mean)
    total = spots * (n + 2)
    z = rng.uniform(-1, n + 1, total)
    centre_y, centre_x = rng.uniform(4, height - 4, total), rng.uniform(4, width - 4, total)
    photons = rng.exponential(300.0, total) * np.exp(-3 * np.hypot(centre_y / height - 0.5, centre_x / width - 0.5))
    for k in range(-1, 2):
        where = np.floor(z).astype(int) + k
        share = np.exp(-0.5 * ((where + 0.5 - z) / 0.6) ** 2) / 1.5
        counts = rng.poisson(photons * share)
        keep = (where >= 0) & (where < n) & (counts > 0)
        which = np.repeat(np.flatnonzero(keep), counts[keep])
        py = np.rint(centre_y[which] + rng.normal(0, 0.8, len(which))).astype(int).clip(0, height - 1)
        px = np.rint(centre_x[which] + rng.normal(0, 0.8, len(which))).astype(int).clip(0, width - 1)
        np.add.at(frames, (where[which], py, px), 1)
    for axis, (step, hole) in enumerate(zip(module, gap, strict=True), start=1):
        for start in range(step, frames.shape[axis], step + hole):
            frames[(slice(None),) * axis + (slice(start, start + hole),)] = -1
    return frames


def write_cbf_series(folder: Path, detector: str, n: int, distinct: int = 10) -> list[Path]:
    """Write `n` miniCBF images of 0.1 degrees; beyond `distinct` they are links to the first ones.

    All headers say the angle 0: import them with ``geometry.scan.oscillation=0,0.1``.
    """
    from spindle_lib_readers.testing.mini_cbf import mini_cbf_header, write_mini_cbf

    (height, width), _, _, pixel = DETECTORS[detector]
    header = mini_cbf_header(
        Detector="PILATUS, S/N 60-0001",
        Pixel_size=f"{pixel * 1e-3:g} m x {pixel * 1e-3:g} m",
        Detector_distance="0.3 m",
        Beam_xy=f"({width / 2}, {height / 2}) pixels",
        Angle_increment="0.1000 deg.",
    )
    paths = []
    for i, frame in enumerate(make_frames(detector, min(n, distinct))):
        paths.append(folder / f"{detector}_{i + 1:05d}.cbf")
        write_mini_cbf(paths[-1], frame, header)
    for i in range(len(paths), n):
        paths.append(folder / f"{detector}_{i + 1:05d}.cbf")
        paths[-1].symlink_to(paths[i % distinct])
    return paths


def write_eiger(path: Path, detector: str, n: int, distinct: int = 10) -> Path:
    """Write an NXmx file of `n` frames of 0.1 degrees, bitshuffle and LZ4; frames repeat after `distinct`."""
    import h5py
    import hdf5plugin

    from spindle_lib_readers.testing.nexus import write_nxmx

    frames = make_frames(detector, min(n, distinct))
    bad = frames[0] < 0
    pixels = np.where(frames < 0, np.uint32(2**32 - 1), frames.view(np.uint32))
    write_nxmx(
        path, pixels, 0.1 * np.arange(n), maxshape=(None, *pixels.shape[1:]), **hdf5plugin.Bitshuffle(cname="lz4")
    )
    with h5py.File(path, "r+") as file:
        data = file["entry/data/data"]
        data.resize(n, axis=0)
        for i in range(len(frames), n):
            _, chunk = data.id.read_direct_chunk((i % distinct, 0, 0))
            data.id.write_direct_chunk((i, 0, 0), chunk)
        file["entry/instrument/detector/pixel_mask"][...] = bad
    return path
