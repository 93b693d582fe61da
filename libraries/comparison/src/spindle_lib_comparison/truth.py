"""Reading the truth of a simulated sweep."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gemmi
import numpy as np
from scipy.optimize import nnls

from spindle.errors import FileFormatError

__all__ = ["Truth", "find_truths", "read_truth"]

LEAST_BEAM = 0.7  # of the usual one; integrate leaves out images with less


@dataclass(frozen=True, slots=True)
class Truth:
    """One lattice of one simulated sweep, or the crystals of stills; n reflections.

    Attributes
    ----------
    folder : Path
        Of truth.json.
    lattice : int
    models : dict
        The content of truth.json.
    hkl : (n, 3) int64
    d, zeta : (n,) float64
    panel : (n,) int64
    position : (n, 3) float64, px, px, images
        Where an image shows the spot: the meeting point with its panel, moved by the mean depth in the sensor; images
        from the first of the sweep.
    intensity : (n,) float64
        |F|^2 on the scale of photons.
    counts : (n,) float64
        Expected photons: intensity times all factors, decay and changes of the beam included.
    drawn : (n,) float64
        Photons that were drawn, whatever pixel they met: no measurement is nearer to `counts` than these are.
    undimmed : (n,) float64
        The expected ones, had the beam not been lost or weak on some images: what a fit to the other images of a reflection should find.
    support : (n,) float64
        Share of the photons that tape and anvils let through; in the counts.
    scale : (n,) float64
        All that scaling has to find: beam, decay, absorption.
    clean : (ny, nx) bool
        Pixels of the whole image at least 4 px away from dead or hot pixels, gaps and the beamstop.
    live : (ny, nx) bool
        Pixels that count.
    background : (ny, nx) float64
        Expected counts of one image when the beam has its usual strength; 0 where the truth does not tell it.
    frame_scale : (n_images,) float64
        Strength of the beam on each image.
    spread : (n, 3) float64
        Expected variance of the directions of the photons of each spot along the axes e1, e2 and e3 of Kabsch; rad^2.
    image : (n,) int64 or None
        The still of each reflection, from 0; None for sweeps.
    partiality : (n,) float64
        Of stills: the height of the rocking curve where the crystal stands, relative to its top; 1 for sweeps.
    volume : (n_images,) float64
        Of the crystals of stills relative to the usual, 0 where there is none; 1 for sweeps.
    """

    folder: Path
    lattice: int
    models: dict[str, Any]
    hkl: np.ndarray
    d: np.ndarray
    zeta: np.ndarray
    panel: np.ndarray
    position: np.ndarray
    intensity: np.ndarray
    counts: np.ndarray
    drawn: np.ndarray
    undimmed: np.ndarray
    support: np.ndarray
    scale: np.ndarray
    clean: np.ndarray
    live: np.ndarray
    background: np.ndarray
    frame_scale: np.ndarray
    spread: np.ndarray
    image: np.ndarray | None = None
    partiality: np.ndarray = field(default_factory=lambda: np.ones(0))
    volume: np.ndarray = field(default_factory=lambda: np.ones(0))

    @property
    def stills(self) -> bool:
        """Whether each image is of a crystal of its own."""
        return self.image is not None

    @property
    def group(self) -> gemmi.SpaceGroup:
        """The true space group."""
        return gemmi.SpaceGroup(self.models["space_group"])

    @property
    def n_images(self) -> int:
        """Images of the sweep."""
        return int(self.models["nframes"])

    @property
    def first_image(self) -> int:
        """Number of the first image."""
        return int(self.models.get("first_image", 1))

    def images(self) -> set[Path]:
        """The image files, as far as the truth names them."""
        return {(self.folder / name).resolve() for name in self.models.get("images", ()) if name is not None}

    def at(self, image: np.ndarray, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        """Values (m,) of a map (ny, nx) of the whole image where some of the spots are; False outside their panels."""
        panels = _panels(self.models)
        offset = np.array([p["first_pixel"] for p in panels])[self.panel[rows]]
        size = np.array([p["size"] for p in panels])[self.panel[rows]]
        place = np.floor(self.position[rows, :2]).astype(int)
        inside = ((place >= 0) & (place < size)).all(axis=1)
        column, row = (place + offset)[inside].T
        values = np.zeros(len(place), image.dtype)
        values[inside] = image[row, column]
        return values

    def as_imported(self) -> tuple[np.ndarray, np.ndarray]:
        """Panel (n,) and position (n, 3) as one who reads the headers counts them, which may have one panel for several true ones."""
        panels = _panels(self.models)
        if self.models.get("n_header_panels", len(panels)) == len(panels):
            return self.panel, self.position
        offset = np.array([[*p["first_pixel"], 0.0] for p in panels])
        return np.zeros_like(self.panel), self.position + offset[self.panel]

    def observable(self, images: tuple[int, int] | None = None) -> np.ndarray:
        """(n,) bool: centred on a live pixel and within the sweep, or within some of its images (numbers, inclusive)."""
        first, last = (
            (0, self.n_images) if images is None else (images[0] - self.first_image, images[1] - self.first_image + 1)
        )
        z = self.position[:, 2]
        return (z > max(first, 0)) & (z < min(last, self.n_images)) & self.at(self.live)


def find_truths(place: Path) -> list[Path]:
    """Folders with a truth: the given one, else all inside it.

    Raises
    ------
    FileFormatError
        If there is none.
    """
    if (place / "truth.json").is_file():
        return [place]
    folders = sorted(path.parent for path in place.rglob("truth.json")) if place.is_dir() else []
    if not folders:
        raise FileFormatError(
            f"{place / 'truth.json'}: no such file; give the folder that `spindle simulate` wrote its images to"
        )
    return folders


def _panels(models: dict[str, Any]) -> list[dict[str, Any]]:
    """Panels of truth.json; the detector as a whole in files that do not know panels."""
    detector = models["detector"]
    return models.get("panels") or [{**detector, "first_pixel": [0, 0], "size": [detector["nx"], detector["ny"]]}]


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
    image = column["image"].astype(np.int64) if models.get("stills") else None
    if image is None:
        counts, scale = _expected(column, models, lattice)
        undimmed = _expected({**column, "frame_scale": _undimmed(column["frame_scale"])}, models, lattice)[0]
        partiality, volume = np.ones(len(counts)), np.ones(len(column["frame_scale"]))
    else:
        strength, volume = column["frame_scale"][image], np.asarray(column["volume"], np.float64)
        counts, undimmed = column["n_mean"] * strength, column["n_mean"] * _undimmed(column["frame_scale"])[image]
        scale = strength * volume[image] * column["absorption"] * models["lattices"][lattice]["fraction"]
        partiality = np.exp(-0.5 * (column["turn"] / column["rocking"]) ** 2)
    return Truth(
        folder=folder,
        lattice=lattice,
        models=models,
        hkl=column["hkl"].astype(np.int64),
        d=column["d"],
        zeta=column["zeta"],
        panel=column.get("panel", np.zeros(len(counts))).astype(np.int64),
        position=_seen_positions(column, models),
        intensity=column["I_true"],
        counts=counts,
        drawn=np.asarray(column["n_all"], np.float64),
        undimmed=undimmed,
        support=column.get("support", np.ones(len(counts))),
        scale=scale,
        clean=_clean_pixels(column, models),
        live=~column["bad"],
        background=np.asarray(column.get("background", np.zeros(column["bad"].shape)), np.float64),
        frame_scale=np.asarray(column["frame_scale"], np.float64),
        spread=_spread(column, models["wavelength"]),
        image=image,
        partiality=partiality,
        volume=volume,
    )


def _spread(column: dict[str, np.ndarray], wavelength: float) -> np.ndarray:
    """(n, 3) rad^2: variances along e1, e2, e3, as straight lines in (wavelength / d)^2 through those of the photons that were traced."""
    measured, photons = np.asarray(column["var_e123"], np.float64), np.asarray(column["n_all"], np.float64)
    square = (wavelength / column["d"]) ** 2
    design = np.stack([np.ones(len(square)), square], axis=1)
    use = (photons >= 2) & np.isfinite(measured).all(axis=1) & (np.abs(column["zeta"]) > 0.3)
    fitted = np.zeros_like(measured)
    for k in range(3):
        line = nnls(design[use] * np.sqrt(photons[use])[:, None], measured[use, k] * np.sqrt(photons[use]))[0]
        fitted[:, k] = design @ line
    return fitted


def _undimmed(frame_scale: np.ndarray) -> np.ndarray:
    """(n_images,): strength of the beam, where it fell by a good part what the images around have."""
    scale = np.array(frame_scale, np.float64)
    whole = np.flatnonzero(scale >= LEAST_BEAM * np.median(scale))
    return np.interp(np.arange(len(scale)), whole, scale[whole]) if len(whole) else scale


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
    panel = column.get("panel", np.zeros(len(column["z_pred"]))).astype(np.int64)
    fast, slow, origin = (np.array([p[name] for p in _panels(models)])[panel] for name in ("fast", "slow", "origin"))
    size = models["detector"]["pixel_mm"]
    xy = column["xy_pred"]
    ray = origin + xy[:, :1] * size * fast + xy[:, 1:] * size * slow
    ray /= np.linalg.norm(ray, axis=1)[:, None]
    shift = (
        column["depth_mean"][:, None] * np.stack([(ray * fast).sum(axis=1), (ray * slow).sum(axis=1)], axis=1) / size
    )
    return np.column_stack([xy + shift, column["z_pred"]])


def _clean_pixels(column: dict[str, np.ndarray], models: dict[str, Any]) -> np.ndarray:
    from scipy.ndimage import binary_dilation

    dirty = column["bad"] | column["hot"]
    if "shadow" in column:
        dirty |= binary_dilation(column["shadow"], iterations=3)  # spots are wider than a pixel
    else:
        dirty |= _shadow(models)
    return np.asarray(~binary_dilation(dirty, iterations=4))


def _shadow(models: dict[str, Any]) -> np.ndarray:
    """(ny, nx) bool: behind the beamstop and its arm, in files that do not say it pixel by pixel."""
    detector, stop = models["detector"], models["params"]["beamstop"]
    y, x = np.mgrid[0 : detector["ny"], 0 : detector["nx"]]
    x = (x + 0.5 - detector["beam_centre_px"][0]) * detector["pixel_mm"]
    y = (y + 0.5 - detector["beam_centre_px"][1]) * detector["pixel_mm"]
    return np.asarray((stop > 0) & ((np.hypot(x, y) < stop + 0.4) | ((np.abs(x) < 0.85) & (y > 0))))
