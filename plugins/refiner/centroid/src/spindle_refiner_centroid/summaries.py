"""Tables about residuals and steps."""

from __future__ import annotations

import numpy as np

from spindle.contracts.refiner import RefinementStep
from spindle.models import Experiments
from spindle.report import Table

from .target import Observations, is_weighed


def residual_quantiles(residuals: np.ndarray, weights: np.ndarray, stills: bool) -> Table:
    """Quantiles of residuals and weights."""
    angle = "DeltaPsi (deg)" if stills else "Phic - Phio (deg)"
    names = ["Xc - Xo (mm)", "Yc - Yo (mm)", angle, "X weights", "Y weights"]
    names.append("DeltaPsi weights" if stills else "Phi weights")
    degree = np.deg2rad(1.0)
    columns = [residuals[:, k] / scale for k, scale in enumerate((1.0, 1.0, degree))]
    columns += [weights[:, k] * scale for k, scale in enumerate((1.0, 1.0, degree**2))]
    values = [np.percentile(column, [0, 25, 50, 75, 100]).tolist() if len(column) else [None] * 5 for column in columns]
    rows = [[name, *row] for name, row in zip(names, values, strict=True)]
    return Table(
        f"Summary statistics for {len(residuals)} observations matched to predictions:",
        ["", "Min", "Q1", "Med", "Q3", "Max"],
        rows,
        "residual_quantiles",
        detail=True,
    )


def steps_table(steps: list[RefinementStep], stills: bool) -> Table:
    """RMSDs after each step."""
    angle = "RMSD_DeltaPsi\n(deg)" if stills else "RMSD_Phi\n(deg)"
    rows = [
        [str(i), str(s.n_reflections), *(f"{v:.5g}" for v in (s.rmsd[0], s.rmsd[1], np.rad2deg(s.rmsd[2])))]
        for i, s in enumerate(steps)
    ]
    return Table(
        "Refinement steps:", ["Step", "Nref", "RMSD_X\n(mm)", "RMSD_Y\n(mm)", angle], rows, "refinement_steps", True
    )


def rmsds_in_pixels(
    experiments: Experiments, observations: Observations, residuals: np.ndarray, predicted: np.ndarray, stills: bool
) -> tuple[np.ndarray, np.ndarray]:
    """RMSDs per experiment (n_experiments, 3) in pixels, pixels, images (degrees for stills), and numbers of
    reflections.
    """
    n = np.bincount(observations.experiment[predicted], minlength=len(experiments))
    out = np.zeros((len(experiments), 3))
    for i, experiment in enumerate(experiments):
        own = predicted & (observations.experiment == i)
        if not own.any():
            continue
        size = experiment.detector.geometry.pixel_size[observations.panel[own]]
        angle = np.deg2rad(1.0) if stills else experiment.known_scan.oscillation[1]
        told = is_weighed(observations.weights[own])
        scaled = told * residuals[own] / np.column_stack([size, np.full(len(size), angle)])
        out[i] = np.sqrt((scaled**2).sum(axis=0) / told.sum(axis=0))
    return out, n


def rmsd_table(rmsd_px: np.ndarray, n: np.ndarray, stills: bool) -> Table:
    """RMSDs by experiment."""
    angle = "RMSD_DeltaPsi\n(deg)" if stills else "RMSD_Z\n(images)"
    rows = [[str(i), str(n[i]), *(f"{v:.5g}" for v in rmsd)] for i, rmsd in enumerate(rmsd_px)]
    return Table(
        "RMSDs by experiment:", ["Exp\nid", "Nref", "RMSD_X\n(px)", "RMSD_Y\n(px)", angle], rows, "rmsd_by_experiment"
    )


def panel_table(
    experiments: Experiments, observations: Observations, residuals: np.ndarray, predicted: np.ndarray, stills: bool
) -> list[Table]:
    """RMSDs by panel, one table per detector with several panels."""
    tables = []
    for k, detector in enumerate(experiments.unique("detector")):
        if len(detector) == 1:
            continue
        users = experiments.indices_with("detector", detector)
        own = predicted & np.isin(observations.experiment, users)
        panel = observations.panel[own]
        n = np.bincount(panel, minlength=len(detector))
        size = detector.geometry.pixel_size
        rows = []
        for p in np.flatnonzero(n):
            told = is_weighed(observations.weights[own][panel == p])
            here = told * residuals[own][panel == p] / np.append(size[p], np.deg2rad(1.0))
            rows.append([str(p), str(n[p]), *(f"{v:.5g}" for v in np.sqrt((here**2).sum(axis=0) / told.sum(axis=0)))])
        angle = "RMSD_DeltaPsi\n(deg)" if stills else "RMSD_Phi\n(deg)"
        headers = ["Panel\nid", "Nref", "RMSD_X\n(px)", "RMSD_Y\n(px)", angle]
        tables.append(Table(f"Detector {k + 1} RMSDs by panel:", headers, rows, "rmsd_by_panel", True))
    return tables


def centroid_table(experiment: int, block_deg: float, counts: np.ndarray, means: np.ndarray) -> Table:
    """Mean residuals along the scan."""
    rows = [
        [f"{(k + 0.5) * block_deg:.2f}", str(n), *(f"{v:.5f}" for v in m[:2]), f"{np.rad2deg(m[2]):.5f}"]
        for k, (n, m) in enumerate(zip(counts, means, strict=True))
    ]
    headers = ["Angle\n(deg)", "Nref", "<Xc - Xo>\n(mm)", "<Yc - Yo>\n(mm)", "<Phic - Phio>\n(deg)"]
    return Table(f"Mean residuals along the scan of experiment {experiment}:", headers, rows, "centroid_analysis")
