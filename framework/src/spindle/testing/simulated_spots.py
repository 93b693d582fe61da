"""Images of Gaussian spots of known intensity, from the models of a turning crystal."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from spindle.contracts.profile import ForegroundMasks
from spindle.geometry import kabsch_frame, zeta_factor
from spindle.models import Beam, Crystal, Detector, Experiment, Experiments, Goniometer, Panel, Scan
from spindle.prediction import predict_static
from spindle.table import MaskCode, ReflectionTable, Shoeboxes

__all__ = [
    "SIGMA_B_DEG",
    "SIGMA_M_DEG",
    "SimulatedSpots",
    "crop_shoeboxes",
    "rotation_experiment",
    "simulate_spots",
    "strong_spots",
]

SIGMA_B_DEG, SIGMA_M_DEG = 0.05, 0.15


def rotation_experiment(
    n_images: int = 24, cell: tuple[float, ...] = (45.0, 55.0, 65.0, 90.0, 90.0, 90.0), turn_deg: float = 0.0
) -> Experiment:
    """A crystal turning about x before a panel of 280 x 300 pixels 100 mm behind it, 0.25 degrees per image.

    ``turn_deg`` turns the crystal about the beam.
    """
    panel = Panel(
        fast_axis=np.array([1.0, 0.0, 0.0]),
        slow_axis=np.array([0.0, -1.0, 0.0]),
        origin=np.array([-24.08, 25.8, -100.0]),
        pixel_size=(0.172, 0.172),
        image_size=(280, 300),
        trusted_range=(0.0, 1e6),
    )
    angles = np.deg2rad([20.0, 30.0, 40.0, turn_deg])
    rx, ry, rz, turn = (np.eye(3) for _ in range(4))
    for matrix, (a, b), angle in (
        (rx, (1, 2), angles[0]),
        (ry, (0, 2), angles[1]),
        (rz, (0, 1), angles[2]),
        (turn, (0, 1), angles[3]),
    ):
        matrix[a, a] = matrix[b, b] = np.cos(angle)
        matrix[a, b], matrix[b, a] = -np.sin(angle), np.sin(angle)
    return Experiment(
        beam=Beam(direction=np.array([0.0, 0.0, 1.0]), wavelength=1.0),
        detector=Detector((panel,)),
        goniometer=Goniometer(rotation_axis=np.array([1.0, 0.0, 0.0])),
        scan=Scan(image_range=(1, n_images), oscillation_deg=(0.0, 0.25)),
        identifier=f"turned {turn_deg:g}",
        crystal=Crystal.from_cell(cell, turn @ rx @ ry @ rz, "P 1"),
    )


@dataclass
class SimulatedSpots:
    """Images of Gaussian spots of known intensity.

    Attributes
    ----------
    experiments : Experiments
        One experiment, without a profile model.
    table : ReflectionTable
        Its predictions, with zeta, d, partiality 1 and flags.
    intensity : (n,) float64
        True mean counts of each spot.
    images : (n_images, slow, fast) float32
        Poisson counts.
    background : float
        True mean background per pixel.
    """

    experiments: Experiments
    table: ReflectionTable
    intensity: np.ndarray
    images: np.ndarray
    background: float


def simulate_spots(
    mean: float = 300.0,
    background: float = 0.5,
    seed: int = 1,
    n_images: int = 24,
    sigma_b_deg: float = SIGMA_B_DEG,
    sigma_m_deg: float = SIGMA_M_DEG,
    turn_deg: float = 0.0,
) -> SimulatedSpots:
    """Photons of Gaussian spots in Kabsch's frame, intensities distributed exponentially about ``mean``."""
    experiment = rotation_experiment(n_images, turn_deg=turn_deg)
    rng = np.random.default_rng(seed)
    table = predict_static(experiment, 0, 2.6)
    table["zeta"] = zeta_factor(experiment.beam.s0, table["s1"], experiment.goniometer.axis_lab)
    z = table["xyzcal.px"][:, 2]
    table = table.select((np.abs(table["zeta"]) > 0.2) & (z > 0) & (z < n_images))
    n = len(table)
    table["partiality"] = np.ones(n)
    table["d"] = 1.0 / np.linalg.norm(table["miller_index"] @ experiment.crystal.A.T, axis=1)
    intensity = rng.exponential(mean, n)
    photons = rng.poisson(intensity)
    owner = np.repeat(np.arange(n), photons)
    s1 = table["s1"]
    e1, e2, _ = kabsch_frame(s1, experiment.beam.s0)
    a, b = (rng.normal(0.0, np.deg2rad(sigma_b_deg), len(owner)) for _ in range(2))
    ray = s1[owner] + a[:, None] * e1[owner] + b[:, None] * e2[owner]
    v = ray @ experiment.detector.D[0].T
    xy = v[:, :2] / v[:, 2:] / 0.172
    width = experiment.scan.oscillation[1]
    image = (
        table["xyzcal.px"][owner, 2]
        + rng.normal(0.0, np.deg2rad(sigma_m_deg), len(owner)) / np.abs(table["zeta"][owner]) / width
    )
    images = rng.poisson(background, (n_images, 300, 280)).astype(np.float32)
    i, j, k = (np.floor(t).astype(int) for t in (xy[:, 0], xy[:, 1], image))
    good = (i >= 0) & (i < 280) & (j >= 0) & (j < 300) & (k >= 0) & (k < n_images)
    np.add.at(images, (k[good], j[good], i[good]), 1.0)
    return SimulatedSpots(Experiments([experiment]), table, intensity, images, background)


def crop_shoeboxes(spots: SimulatedSpots, bbox: np.ndarray, masks: ForegroundMasks) -> Shoeboxes:
    """Shoeboxes cut from the images, with the true background in them."""
    boxes = Shoeboxes.empty(spots.table["panel"].astype(np.int64), bbox)
    owner = np.repeat(np.arange(len(boxes)), np.diff(boxes.offsets))
    wide = bbox.astype(np.int64)[owner]
    nx, ny = wide[:, 1] - wide[:, 0], wide[:, 3] - wide[:, 2]
    k = np.arange(len(owner)) - boxes.offsets[owner]
    x, y, z = wide[:, 0] + k % nx, wide[:, 2] + k // nx % ny, wide[:, 4] + k // (nx * ny)
    _, height, width = spots.images.shape
    valid = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    boxes.data[valid] = spots.images[z[valid], y[valid], x[valid]]
    code = masks.of_pixels(bbox)
    boxes.mask[:] = np.where(code == 1, MaskCode.FOREGROUND, np.where(code == 0, MaskCode.BACKGROUND, 0)) | valid
    boxes.background[:] = spots.background
    return boxes


def strong_spots(spots: SimulatedSpots) -> ReflectionTable:
    """What spot finding leaves of the strong ones: shoeboxes of the pixels above the background."""
    table = spots.table.select(spots.intensity > 50)
    x, y, z = table["xyzcal.px"].T
    low, high = [np.floor(x) - 4, np.floor(y) - 4, np.floor(z) - 3], [np.floor(x) + 5, np.floor(y) + 5, np.floor(z) + 4]
    bbox = np.stack([v for pair in zip(low, high, strict=True) for v in pair], axis=1)
    bbox[:, 4:] = np.clip(bbox[:, 4:], 0, len(spots.images))
    bbox = bbox.astype(np.int32)
    offsets = ForegroundMasks.offsets_of(bbox)
    seen = replace(spots, table=table)
    boxes = crop_shoeboxes(seen, bbox, ForegroundMasks(offsets, np.ones(int(offsets[-1]), np.uint8)))
    boxes.mask[boxes.data < 3] = 0
    table["bbox"], table["shoebox"], table["xyzobs.px.value"] = bbox, boxes, table["xyzcal.px"]
    return table
