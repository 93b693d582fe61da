"""Reading the truth of a simulated sweep."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gemmi
import numpy as np

from spindle.errors import FileFormatError

__all__ = ["Truth", "read_truth"]


@dataclass(frozen=True, slots=True)
class Truth:
    """One lattice of one simulated sweep, n reflections.

    Attributes
    ----------
    models : dict
        The content of truth.json.
    hkl : (n, 3) int64
    d, zeta : (n,) float64
    position : (n, 3) float64, px, px, images
        Where an image shows the spot: the meeting point with the detector, moved by the mean depth in the sensor.
    intensity : (n,) float64
        |F|^2 on the scale of photons.
    counts : (n,) float64
        Expected photons: intensity times all factors, decay and changes of the beam included.
    scale : (n,) float64
        All that scaling has to find: beam, decay, absorption.
    clean : (ny, nx) bool
        Pixels at least 4 px away from dead or hot pixels, gaps and the beamstop.
    live : (ny, nx) bool
        Pixels that count.
    """

    models: dict[str, Any]
    hkl: np.ndarray
    d: np.ndarray
    zeta: np.ndarray
    position: np.ndarray
    intensity: np.ndarray
    counts: np.ndarray
    scale: np.ndarray
    clean: np.ndarray
    live: np.ndarray

    @property
    def group(self) -> gemmi.SpaceGroup:
        """The true space group."""
        return gemmi.SpaceGroup(self.models["space_group"])

    @property
    def n_images(self) -> int:
        """Images of the sweep."""
        return int(self.models["nframes"])

    def at(self, image: np.ndarray, position: np.ndarray) -> np.ndarray:
        """Values (n,) of an image (ny, nx) at positions (n, 3); False outside the detector."""
        column, row = np.floor(position[:, 0]).astype(int), np.floor(position[:, 1]).astype(int)
        ny, nx = image.shape
        inside = (column >= 0) & (column < nx) & (row >= 0) & (row < ny)
        values = np.zeros(len(position), image.dtype)
        values[inside] = image[row[inside], column[inside]]
        return values

    def observable(self) -> np.ndarray:
        """(n,) bool: centred on a live pixel and within the sweep."""
        z = self.position[:, 2]
        return (z > 0) & (z < self.n_images) & self.at(self.live, self.position)


def read_truth(folder: Path, lattice: int = 0) -> Truth:
    """Read truth.json and truth.npz of a folder that `spindle simulate` made."""
    for name in ("truth.json", "truth.npz"):
        if not (folder / name).is_file():
            raise FileFormatError(
                f"{folder / name}: no such file; give the folder that `spindle simulate` wrote its images to"
            )
    models = json.loads((folder / "truth.json").read_text())
    if not 0 <= lattice < len(models["lattices"]):
        raise FileFormatError(
            f"lattice={lattice}: {folder} was simulated with {len(models['lattices'])} lattice(s), counted from 0"
        )
    with np.load(folder / "truth.npz") as arrays:
        column = {name: arrays[name] for name in arrays.files if not name[-1].isdigit()}
        column.update(
            {name.removesuffix(f"_{lattice}"): arrays[name] for name in arrays.files if name.endswith(f"_{lattice}")}
        )
    counts, scale = _expected(column, models, lattice)
    return Truth(
        models=models,
        hkl=column["hkl"].astype(np.int64),
        d=column["d"],
        zeta=column["zeta"],
        position=_seen_positions(column, models),
        intensity=column["I_true"],
        counts=counts,
        scale=scale,
        clean=_clean_pixels(column, models),
        live=~column["bad"],
    )


def _expected(column: dict[str, np.ndarray], models: dict[str, Any], lattice: int) -> tuple[np.ndarray, np.ndarray]:
    """Expected photons, and the factor of beam, decay and absorption, averaged over each rocking curve."""
    d, z = column["d"], column["z_pred"]
    sigma = models["sigma_effective_deg"]["sigma_m"] / models["osc_deg"] / np.maximum(np.abs(column["zeta"]), 0.02)
    last = len(column["frame_scale"]) - 1
    total, norm = np.zeros(len(d)), 0.0
    for t in np.linspace(-3, 3, 31):
        frame = np.clip(np.floor(z + t * sigma).astype(int), 0, last)
        weight = np.exp(-0.5 * t * t)
        total += weight * column["frame_scale"][frame] * np.exp(-0.5 * column["frame_B"][frame] / d**2)
        norm += weight
    total /= norm
    return column["n_mean"] * total, total * column["absorption"] * models["lattices"][lattice]["fraction"]


def _seen_positions(column: dict[str, np.ndarray], models: dict[str, Any]) -> np.ndarray:
    """(n, 3) px, px, images with the mean depth in the sensor."""
    detector = models["detector"]
    fast, slow, origin = (np.array(detector[name]) for name in ("fast", "slow", "origin"))
    size = detector["pixel_mm"]
    xy = column["xy_pred"]
    ray = origin + xy[:, :1] * size * fast + xy[:, 1:] * size * slow
    ray /= np.linalg.norm(ray, axis=1)[:, None]
    shift = column["depth_mean"][:, None] * np.stack([ray @ fast, ray @ slow], axis=1) / size
    return np.column_stack([xy + shift, column["z_pred"]])


def _clean_pixels(column: dict[str, np.ndarray], models: dict[str, Any]) -> np.ndarray:
    from scipy.ndimage import binary_dilation

    detector = models["detector"]
    y, x = np.mgrid[0 : detector["ny"], 0 : detector["nx"]]
    x = (x + 0.5 - detector["beam_centre_px"][0]) * detector["pixel_mm"]
    y = (y + 0.5 - detector["beam_centre_px"][1]) * detector["pixel_mm"]
    dirty = column["bad"] | column["hot"]
    stop = models["params"]["beamstop"]
    if stop > 0:
        dirty |= (np.hypot(x, y) < stop + 0.4) | ((np.abs(x) < 0.85) & (y > 0))
    return ~binary_dilation(dirty, iterations=4)
