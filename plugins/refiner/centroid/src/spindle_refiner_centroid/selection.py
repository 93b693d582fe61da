"""Which reflections take part in refinement."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from spindle.contracts.refiner import RefinementError
from spindle.models import Experiments
from spindle.params import Auto
from spindle.table import Flag, ReflectionTable, rows_by_value

from .target import Observations

FEWEST_LEFT_BY_MARGIN = 40


def are_stills(experiments: Experiments, single_image_is_still: bool) -> bool:
    """True for stills.

    Raises
    ------
    RefinementError
        If stills and scans are mixed, or a model is missing.
    """
    still = []
    for i, experiment in enumerate(experiments):
        if experiment.crystal is None:
            raise RefinementError(f"experiment {i} has no crystal: run spindle index first")
        scan = experiment.scan
        if experiment.goniometer is not None and scan is not None and scan.is_still and scan.n_images > 1:
            raise RefinementError(
                f"experiment {i} has {scan.n_images} images of zero width: they are neither a scan nor one still; import them with "
                "the true oscillation width, or as separate stills"
            )
        still.append(experiment.is_still or (single_image_is_still and scan is not None and scan.n_images == 1))
    if len(set(still)) > 1:
        raise RefinementError("stills and scans cannot be refined together: split them into two files")
    return still[0]


def indexed_rows(experiments: Experiments, table: ReflectionTable) -> np.ndarray:
    """Rows (n,) int64 with Miller indices and an experiment.

    Raises
    ------
    RefinementError
        If a needed column is missing, or an id has no experiment.

    """
    for name in ("id", "panel", "miller_index", "flags", "xyzobs.px.value", "xyzobs.px.variance"):
        if name not in table:
            raise RefinementError(
                f"refinement needs the column {name}; the table has {', '.join(sorted(table))}. Run spindle index first"
            )
    owner = table["id"]
    if len(owner) and owner.max() >= len(experiments):
        raise RefinementError(
            f"reflections belong to experiment {int(owner.max())}, but there are only {len(experiments)} experiments: "
            "give the .expt and .refl files of the same step"
        )
    rows = np.flatnonzero((owner >= 0) & (table.peek("miller_index") != 0).any(axis=1))
    if len(rows) == 0:
        raise RefinementError("no reflection is indexed: run spindle index first")
    return rows


def _rows_of(experiments: Experiments, owner: np.ndarray) -> Iterable[tuple[int, np.ndarray | slice]]:
    """Experiments and their rows; all rows of a single one without copies."""
    return [(0, slice(None))] if len(experiments) == 1 else rows_by_value(owner).items()


def observed_positions(
    experiments: Experiments, owner: np.ndarray, panel: np.ndarray, xyz_px: np.ndarray, stills: bool
) -> np.ndarray:
    """Observed x, y (mm, without parallax) and angle (radians; 0 for stills) of (n, 3) pixel positions."""
    out = np.zeros((len(owner), 3))
    for i, own in _rows_of(experiments, owner):
        experiment = experiments[i]
        out[own, :2] = experiment.detector.pixel_to_mm(panel[own], xyz_px[own, :2])
        if not stills:
            out[own, 2] = experiment.known_scan.angle_from_array_index(xyz_px[own, 2])
    return out


def observed_rays(experiments: Experiments, owner: np.ndarray, panel: np.ndarray, xy_mm: np.ndarray) -> np.ndarray:
    """(n, 3) float64, 1/angstrom: diffracted rays through positions (n, 2) mm."""
    s1 = np.zeros((len(owner), 3))
    for i, own in _rows_of(experiments, owner):
        experiment = experiments[i]
        lab = experiment.detector.lab_coordinate(panel[own], xy_mm[own])
        s1[own] = lab / np.sqrt(np.einsum("ij,ij->i", lab, lab))[:, None] / experiment.beam.wavelength
    return s1


def spindle_products(experiments: Experiments, owner: np.ndarray, s1: np.ndarray) -> np.ndarray:
    """(n,) float64, 1/angstrom^2: s1 . (s0 x axis); negative for reflections that enter the sphere, near 0 next to
    the spindle.
    """
    normals = np.array([np.cross(e.beam.s0, e.known_goniometer.axis_lab) for e in experiments])
    return np.asarray(np.einsum("ij,ij->i", s1, normals[owner]))


def position_weights(
    experiments: Experiments,
    owner: np.ndarray,
    panel: np.ndarray,
    variance_px: np.ndarray,
    table: ReflectionTable,
    rows: np.ndarray,
    settings: Any,
    stills: bool,
) -> np.ndarray:
    """(n, 3) float64: weights of the residuals in x, y (1/mm^2) and angle (1/radian^2).

    Raises
    ------
    RefinementError
        If an indexed reflection has no variance, or a column is missing.

    """
    scope = settings.reflections.weighting_strategy
    choice = scope.override or ("stills" if stills else "statistical")
    if choice == "constant":
        return np.tile(np.asarray(scope.constants, dtype=np.float64), (len(rows), 1))
    if stills and choice == "statistical":
        raise RefinementError(
            "weighting_strategy.override=statistical: stills have no observed angle; choose stills or external_deltapsi"
        )
    if not stills and choice in ("stills", "external_deltapsi"):
        raise RefinementError(
            f"weighting_strategy.override={choice} is for stills; these are scans: choose statistical or constant"
        )
    n = 2 if stills else 3
    bad = np.flatnonzero(~(variance_px[:, :n] > 0).all(axis=1))
    if len(bad):
        raise RefinementError(
            f"{len(bad)} indexed reflections have no variance of their observed position (first in row "
            f"{int(rows[bad[0]])}): run spindle "
            "find_spots again, or set refinement.reflections.weighting_strategy.override=constant"
        )
    weights = np.zeros((len(rows), 3))
    for i, experiment in enumerate(experiments):
        own = slice(None) if len(experiments) == 1 else np.flatnonzero(owner == i)
        size = experiment.detector.geometry.pixel_size[panel[own]]
        weights[own, :2] = 1.0 / (variance_px[own, :2] * size**2)
        if not stills:
            weights[own, 2] = 1.0 / (variance_px[own, 2] * experiment.known_scan.oscillation[1] ** 2)
    if choice == "external_deltapsi":
        if "delpsical.weights" not in table:
            raise RefinementError("weighting_strategy.override=external_deltapsi needs the column delpsical.weights")
        weights[:, 2] = table["delpsical.weights"][rows]
    elif stills:
        weights[:, 2] = scope.delpsi_constant
    return weights


def suitable(
    experiments: Experiments, observations: Observations, products: np.ndarray | None, flags: np.ndarray, settings: Any
) -> np.ndarray:
    """(n,) bool: reflections that may take part, before any look at residuals."""
    scope = settings.reflections
    bad = np.uint64(int(Flag.OVERLOADED | Flag.NOT_SUITABLE_FOR_REFINEMENT))
    keep = (flags & bad) == 0
    if products is None:
        return keep
    keep &= np.abs(products) > (scope.close_to_spindle_cutoff or 0.0)
    for i, experiment in enumerate(experiments):
        own = observations.experiment == i
        scan = experiment.known_scan
        z0, z1 = scan.array_range
        z = observations.z
        keep &= ~own | ((z >= z0) & (z <= z1))
        if scope.scan_margin not in (Auto, None, 0.0):
            margin = scope.scan_margin / scan.oscillation_deg[1]
            inside = (z >= z0 + 0.5 + margin) & (z <= z1 - 0.5 - margin)
            if np.count_nonzero(keep & own & inside) >= FEWEST_LEFT_BY_MARGIN:
                keep &= ~own | inside
    return keep


def working_set(experiments: Experiments, experiment: np.ndarray, settings: Any, stills: bool) -> np.ndarray:
    """(n,) bool: a random choice of the reflections of each experiment, of the size that the parameters ask for."""
    scope = settings.reflections
    chosen = np.ones(len(experiment), dtype=bool)
    rng = np.random.default_rng(scope.random_seed)
    for i, model in enumerate(experiments):
        own = np.flatnonzero(experiment == i)
        size = len(own)
        rate = scope.reflections_per_degree
        if not stills:
            width = abs(model.known_scan.oscillation_deg[1]) * model.known_scan.n_images
            if rate is Auto:
                if width > 360.0:
                    size = max(int(np.ceil(size / (width / 360.0))), int(100 * width))
            elif rate is not None:
                size = int(rate * max(round(width), 1.0))
        size = max(size, scope.minimum_sample_size or 0)
        if scope.maximum_sample_size is not None:
            size = min(size, scope.maximum_sample_size)
        if size < len(own):
            chosen[own] = False
            chosen[own[rng.choice(len(own), size, replace=False)]] = True
    return chosen
