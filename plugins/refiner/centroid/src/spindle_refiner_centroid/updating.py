"""Refined models from refined parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from spindle.contracts.refiner import RefinementError
from spindle.models import Detector, Experiments
from spindle_lib_smoothing.smoother import Spline

from .detector_groups import LABORATORY, in_parent, local_frame, panels_below
from .model_block import ModelBlock
from .parameterisations import ModuleParameters
from .problem import Problem
from .restraints import cell_and_gradient

LARGEST_VOLUME_CHANGE = 4.0


def refined_experiments(
    problem: Problem,
    x: np.ndarray,
    covariance: np.ndarray | None = None,
    kinds: Sequence[str] = ("orientation", "beam", "goniometer", "detector"),
) -> Experiments:
    """Experiments with refined models, shared as before.

    Parameters
    ----------
    problem : Problem
    x : (p,) float64
    covariance : (p, p) float64 or None
        None gives cells without errors.
    kinds : sequence of str
        Models to exchange; "orientation" stands for the crystal.

    Raises
    ------
    RefinementError
        If a cell volume has changed absurdly.

    """
    everything = problem.expand(x)
    experiments = problem.experiments
    if covariance is not None and not np.isfinite(covariance).all():
        covariance = None
    exchange: dict[int, Any] = {}
    for model_id, blocks in _by_model(problem).items():
        kind = blocks[0].kind
        if kind not in kinds:
            continue
        if kind == "orientation":
            exchange[model_id] = _crystal(problem, everything, covariance, blocks)
        elif kind == "beam":
            exchange[model_id] = _beam(problem, everything, blocks[0])
        elif kind == "goniometer":
            exchange[model_id] = _goniometer(problem, everything, blocks[0])
        else:
            exchange[model_id] = _detector(problem, everything, blocks)
    updated = []
    for experiment in experiments:
        changes = {
            name: exchange[id(getattr(experiment, name))]
            for name in ("crystal", "beam", "goniometer", "detector")
            if id(getattr(experiment, name)) in exchange
        }
        updated.append(replace(experiment, **changes))
    return Experiments(updated)


def _by_model(problem: Problem) -> dict[int, list[ModelBlock]]:
    """Blocks of each model of which something is refined."""
    out: dict[int, list[ModelBlock]] = {}
    for block in problem.blocks:
        out.setdefault(id(block.model), []).append(block)
    return {
        key: blocks
        for key, blocks in out.items()
        if any((problem.number[b.offset : b.offset + b.size] >= 0).any() for b in blocks)
    }


def _edges(problem: Problem, block: ModelBlock) -> np.ndarray:
    z0, z1 = problem.experiments[block.experiments[0]].known_scan.array_range
    return np.arange(z0, z1 + 1, dtype=np.float64)


def _constant(block: ModelBlock, everything: np.ndarray, z: np.ndarray | None = None) -> np.ndarray:
    """(1, k) values of a constant model, or the means of a varying one over the scan."""
    if block.smoother is None:
        return block.at(everything, np.zeros(1))
    return np.asarray(
        block.at(everything, z if z is not None else block.smoother.positions).mean(axis=0, keepdims=True)
    )


def _crystal(problem: Problem, everything: np.ndarray, covariance: np.ndarray | None, blocks: list[ModelBlock]) -> Any:
    orientation, cell = blocks
    crystal = orientation.model
    varying = orientation.smoother is not None or cell.smoother is not None
    z = _edges(problem, orientation) if varying else None
    U, _ = orientation.parameterisation.compose(_constant(orientation, everything, z))
    B, dB = cell.parameterisation.compose(_constant(cell, everything, z))
    A = (U @ B)[0]
    ratio = abs(np.linalg.det(crystal.A) / np.linalg.det(A))
    if not 1.0 / LARGEST_VOLUME_CHANGE < ratio < LARGEST_VOLUME_CHANGE:
        raise RefinementError(
            f"the volume of the cell of {orientation.label.lower()} changed from {crystal.volume:.0f} to "
            f"{abs(1.0 / np.linalg.det(A)):.0f} cubic angstrom: the reflections are not indexed by this lattice, or "
            f"the geometry (rotation "
            "axis, distance, wavelength) is wrong; check it with spindle show and index again"
        )
    at_points = dB_points = None
    if z is not None:
        U_points, _ = orientation.parameterisation.compose(orientation.at(everything, z))
        B_points, dB_points = cell.parameterisation.compose(cell.at(everything, z))
        at_points = np.ascontiguousarray(np.broadcast_to(U_points @ B_points, (len(z), 3, 3)))
    new = crystal.with_A(A, at_points)
    numbers = problem.number[cell.offset : cell.offset + cell.size].reshape(-1, cell.n_samples)
    if not (numbers >= 0).any() or covariance is None:
        return new
    weights = np.full((1, cell.n_samples), 1.0 / cell.n_samples)
    extra = dict(new.extra)
    dense = _sample_weights(cell.smoother, cell.n_samples, z) if z is not None and cell.smoother is not None else None
    if dense is not None:
        weights = dense.mean(axis=0, keepdims=True)
    metric_covariance = _local_covariance(covariance, numbers, weights[0])
    _, slope = cell_and_gradient(B[0], dB[0])
    cell_sd = np.sqrt(np.maximum(np.diag(slope.T @ metric_covariance @ slope), 0.0))
    flat = dB[0].reshape(len(dB[0]), 9)
    extra["B_covariance"] = (flat.T @ metric_covariance @ flat).reshape(-1).tolist()
    if dense is not None and dB_points is not None and problem.settings.parameterisation.set_scan_varying_errors:
        rows = []
        for k, weight in enumerate(dense):
            flat = dB_points[k].reshape(-1, 9)
            rows.append((flat.T @ _local_covariance(covariance, numbers, weight) @ flat).reshape(-1).tolist())
        extra["B_covariance_at_scan_points"] = rows
    return replace(new, cell_sd=cell_sd, extra=extra)


def _sample_weights(smoother: Spline, n_samples: int, z: np.ndarray) -> np.ndarray:
    """(m, n_samples) weights of the samples at array indices z."""
    index, weight = smoother.weights(z)
    dense = np.zeros((len(z), n_samples))
    np.put_along_axis(dense, index, weight, axis=1)
    return dense


def _local_covariance(covariance: np.ndarray, numbers: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(k, k) covariance of smoothed values, from that of the refined parameters numbered `numbers` (k, n_samples)."""
    k, n = numbers.shape
    used = np.unique(numbers[numbers >= 0])  # few of many: the rest of the covariance has no part in it
    J = np.zeros((k, len(used)))
    for j in range(k):
        for s in range(n):
            if numbers[j, s] >= 0:
                J[j, np.searchsorted(used, numbers[j, s])] += weights[s]
    return np.asarray(J @ covariance[np.ix_(used, used)] @ J.T)


def _beam(problem: Problem, everything: np.ndarray, block: ModelBlock) -> Any:
    z = _edges(problem, block) if block.smoother is not None else None
    values = _constant(block, everything, z)
    s0, _ = block.parameterisation.compose(values)
    normal = block.parameterisation.rotation(values[0]) @ block.model.polarization_normal
    points = block.parameterisation.compose(block.at(everything, z))[0] if z is not None else None
    return block.model.with_s0(s0[0], polarization_normal=normal, s0_at_scan_points=points)


def _goniometer(problem: Problem, everything: np.ndarray, block: ModelBlock) -> Any:
    z = _edges(problem, block) if block.smoother is not None else None
    S, _ = block.parameterisation.compose(_constant(block, everything, z))
    points = block.parameterisation.compose(block.at(everything, z))[0] if z is not None else None
    # The axes of a multi-axis goniometer cannot express a refined setting rotation: keep the rotations they amount to.
    return replace(
        block.model,
        setting_rotation=S[0],
        setting_rotation_at_scan_points=points,
        axes=None,
        angles_deg=None,
        names=None,
        scan_axis=None,
    )


def _detector(problem: Problem, everything: np.ndarray, blocks: list[ModelBlock]) -> Detector:
    detector: Detector = blocks[0].model
    d = detector.d.copy()
    hierarchy = detector.hierarchy
    for number, block in enumerate(blocks):
        values = _constant(block, everything, _edges(problem, block) if block.smoother is not None else None)
        state, _ = block.parameterisation.compose(values)
        panels = np.arange(len(detector)) if block.panels is None else block.panels
        d[panels] = state[0]
        if hierarchy is not None:
            before = block.parameterisation.rigid_motion(np.asarray(block.parameterisation.initial))[1]
            R, after = block.parameterisation.rigid_motion(values[0])
            by_themselves = isinstance(block.parameterisation, ModuleParameters)
            if by_themselves and number > 0:  # the first has moved the whole
                continue
            moved_panels = set(range(len(detector)) if by_themselves else panels.tolist())
            hierarchy = _moved(hierarchy, LABORATORY, moved_panels, R, before, after)
    # Orthonormal to rounding: products of rotations drift.
    d[:, :, 0] /= np.linalg.norm(d[:, :, 0], axis=1)[:, None]
    d[:, :, 1] -= (d[:, :, 0] * d[:, :, 1]).sum(axis=1)[:, None] * d[:, :, 0]
    d[:, :, 1] /= np.linalg.norm(d[:, :, 1], axis=1)[:, None]
    moved = detector.with_frames(d)
    return Detector(moved.panels, hierarchy)


def _moved(
    node: dict[str, Any], parent: np.ndarray, panels: set[int], R: np.ndarray, before: np.ndarray, after: np.ndarray
) -> dict[str, Any]:
    """The tree with the frame of the group of `panels` moved rigidly: point p goes to R (p - before) + after."""
    if "panel" in node:
        return node
    frame = in_parent(parent, local_frame(node))
    below = set(panels_below(node))
    if below == panels:
        if "fast_axis" not in node:
            return node
        new = R @ frame
        new[:, 3] = R @ (frame[:, 3] - before) + after
        local = parent[:, :3].T @ new
        local[:, 3] = parent[:, :3].T @ (new[:, 3] - parent[:, 3])
        return {
            **node,
            "fast_axis": local[:, 0].tolist(),
            "slow_axis": local[:, 1].tolist(),
            "origin": local[:, 3].tolist(),
        }
    if not panels <= below:
        return node
    children = [_moved(child, frame, panels, R, before, after) for child in node.get("children", ())]
    return {**node, "children": children}
