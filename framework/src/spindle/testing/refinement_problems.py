"""Models whose spots are known, and the same models a little wrong: what a refiner has to bring back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from spindle.geometry import rotation_matrix
from spindle.models import Beam, Crystal, Detector, Experiment, Experiments, Goniometer, Panel, Scan
from spindle.table import Flag, ReflectionTable

__all__ = ["NOISE", "crystal_of", "disturbed", "rotation_experiment", "spots_of", "two_sweeps", "with_noise"]


def rotation_experiment(n_images: int = 90, width_deg: float = 1.0, space_group: str = "P 4") -> Experiment:
    """A tetragonal crystal on one panel of 600 x 600 pixels of 0.2 mm at 110 mm, rotated about x."""
    panel = Panel(
        fast_axis=np.array([1.0, 0.0, 0.0]),
        slow_axis=np.array([0.0, -1.0, 0.0]),
        origin=np.array([-61.0, 59.0, -110.0]),
        pixel_size=np.array([0.2, 0.2]),
        image_size=(600, 600),
        trusted_range=(0.0, 1e6),
    )
    U = rotation_matrix(np.array([0.6, 0.0, 0.8]), 0.7)
    return Experiment(
        beam=Beam(direction=np.array([0.0, 0.0, 1.0]), wavelength=1.0),
        detector=Detector((panel,)),
        goniometer=Goniometer(rotation_axis=np.array([1.0, 0.0, 0.0])),
        scan=Scan(image_range=(1, n_images), oscillation_deg=(0.0, width_deg)),
        identifier="sweep",
        crystal=Crystal.from_cell((58.0, 58.0, 41.0, 90, 90, 90), U, space_group),
    )


def spots_of(experiment: Experiment, d_min: float = 2.6, index: int = 0) -> ReflectionTable:
    """Noise-free indexed spots of a static scan, straight from the Laue equation.

    Each index is turned about the spindle on to the sphere by solving a cos(phi) + b sin(phi) = c, an independent
    route from the one that refiners take.

    """
    crystal, beam, scan, goniometer = experiment.crystal, experiment.beam, experiment.scan, experiment.goniometer
    assert crystal is not None and scan is not None and goniometer is not None
    limits = np.floor(crystal.cell[:3] / d_min).astype(int) + 1
    grid = np.stack(np.meshgrid(*[np.arange(-m, m + 1) for m in limits], indexing="ij"), axis=-1).reshape(-1, 3)
    grid = grid[(grid != 0).any(axis=1)]
    A = goniometer.fixed_rotation @ crystal.A
    p = grid @ A.T
    keep = np.linalg.norm(p, axis=1) < 1.0 / d_min
    grid, p = grid[keep], p[keep]
    e = goniometer.rotation_axis
    s = goniometer.setting_rotation.T @ beam.s0
    along = p @ e
    p_sq = (p * p).sum(axis=1)
    a = p @ s - along * (e @ s)
    b = np.cross(e, p) @ s
    c = -0.5 * p_sq - along * (e @ s)
    amplitude = np.hypot(a, b)
    possible = amplitude > np.abs(c)
    middle, half = np.arctan2(b, a), np.arccos(np.clip(c / np.maximum(amplitude, 1e-12), -1, 1))
    rows = []
    low, high = scan.oscillation_range
    for sign in (-1.0, 1.0):
        phi = np.mod(middle + sign * half - low, 2 * np.pi) + low
        ok = possible & (phi < high)
        cosine, sine = np.cos(phi[ok])[:, None], np.sin(phi[ok])[:, None]
        r = p[ok] * cosine + np.cross(e, p[ok]) * sine + np.outer(along[ok], e) * (1.0 - cosine)
        s1 = beam.s0 + r @ goniometer.setting_rotation.T
        rows.append((grid[ok], phi[ok], s1))
    hkl, phi, s1 = (np.concatenate(part) for part in zip(*rows, strict=True))
    panels = np.full(len(hkl), -1)
    xy = np.zeros((len(hkl), 2))
    for k, (panel, D) in enumerate(zip(experiment.detector, experiment.detector.D, strict=True)):
        v = s1 @ D.T
        hit = (panels < 0) & (v[:, 2] > 0)
        point = v[:, :2] / np.where(v[:, 2:] > 0, v[:, 2:], 1.0)
        hit &= (point > 0).all(axis=1) & (point < panel.size_mm).all(axis=1)
        panels[hit], xy[hit] = k, point[hit]
    axis = goniometer.axis_lab
    seen = (panels >= 0) & (np.abs(s1 @ np.cross(beam.s0, axis)) > 0.03)
    hkl, phi, s1, panels, xy = hkl[seen], phi[seen], s1[seen], panels[seen], xy[seen]
    n = len(hkl)
    position = np.column_stack([experiment.detector.mm_to_pixel(panels, xy), scan.array_index_from_angle(phi)])
    return ReflectionTable(
        {
            "id": np.full(n, index),
            "panel": panels,
            "miller_index": hkl,
            "xyzobs.px.value": position,
            "xyzobs.px.variance": np.full((n, 3), 0.1),
            "flags": np.full(n, int(Flag.INDEXED | Flag.STRONG)),
            "s1": s1,
            "entering": s1 @ np.cross(beam.s0, axis) < 0,
        },
        {index: experiment.identifier},
    )


def crystal_of(experiment: Experiment) -> Crystal:
    """The experiment's crystal, which must be there."""
    assert experiment.crystal is not None
    return experiment.crystal


def disturbed(experiment: Experiment) -> Experiment:
    """The experiment with crystal and detector a little off: 0.2 degrees, 0.3 % in the cell, 0.5 mm, 2 mrad."""
    crystal, panel = experiment.crystal, experiment.detector[0]
    assert crystal is not None
    turn = rotation_matrix(np.array([0.0, 0.6, 0.8]), 0.0035)
    tilt = rotation_matrix(np.array([0.0, 1.0, 0.0]), 0.002)
    stretch = np.diag([0.997, 0.997, 1.002])
    moved = replace(
        panel,
        fast_axis=tilt @ panel.fast_axis,
        slow_axis=tilt @ panel.slow_axis,
        origin=panel.origin + np.array([0.3, -0.2, -0.5]),
    )
    others = experiment.detector[1:]
    return replace(
        experiment,
        crystal=crystal.with_A(turn @ crystal.U @ crystal.B @ stretch),
        detector=Detector((moved, *others), experiment.detector.hierarchy),
    )


NOISE = np.array([0.25, 0.15, 0.08])  # standard deviations in pixels, pixels, images


def with_noise(spots: ReflectionTable, seed: int = 0, noise: np.ndarray = NOISE) -> ReflectionTable:
    """The spots with normal errors, which their variances tell."""
    rng = np.random.default_rng(seed)
    table = spots.view()
    table["xyzobs.px.value"] = spots["xyzobs.px.value"] + rng.normal(size=(len(spots), 3)) * noise
    table["xyzobs.px.variance"] = np.tile(noise**2, (len(spots), 1))
    return table


def two_sweeps() -> tuple[Experiments, Experiments, ReflectionTable]:
    """Two crystals on one detector: the truth, models that are a little off, and noise-free spots of both."""
    first = rotation_experiment(40)
    crystal = Crystal.from_cell((52.0, 52.0, 45.0, 90, 90, 90), rotation_matrix(np.array([0.0, 0.8, 0.6]), 1.1), "P 4")
    second = replace(
        first, crystal=crystal, scan=Scan(image_range=(1, 60), oscillation_deg=(30.0, 0.5)), identifier="other"
    )
    start = disturbed(first)
    other = replace(disturbed(second), detector=start.detector)
    table = ReflectionTable.concatenate([spots_of(first, 3.0, 0), spots_of(second, 3.0, 1)])
    return Experiments([first, second]), Experiments([start, other]), table
