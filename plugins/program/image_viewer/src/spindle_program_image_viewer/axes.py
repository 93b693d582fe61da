"""Axes of crystals and of the goniometer as directions seen on the detector."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from spindle.geometry import rotation_matrix
from spindle.models import Experiment

__all__ = ["axes_of"]


def axes_of(members: Sequence[tuple[int, Experiment]], z: int) -> list[dict[str, Any]]:
    """Directions in the laboratory frame while an image is taken.

    Parameters
    ----------
    members : sequence of (int, Experiment)
        Lattices of one image set.
    z : int
        Array index of the image; its middle counts.

    Returns
    -------
    list of dict
        ``name`` (a*, b*, c* or axis), ``lattice`` (-1 for the goniometer), ``vector`` (3 numbers; 1/angstrom for crystals).
    """
    found: list[dict[str, Any]] = []
    for number, experiment in members:
        goniometer, scan = experiment.goniometer, experiment.scan
        setting = np.eye(3)
        if goniometer is not None:
            setting = goniometer.setting_rotation
            if not any(a["name"] == "axis" for a in found):
                axis = goniometer.setting_rotation @ goniometer.rotation_axis
                found.append({"name": "axis", "lattice": -1, "vector": axis.tolist()})
        if experiment.crystal is None:
            continue
        turn = setting
        if goniometer is not None:
            phi = 0.0 if scan is None else float(scan.angle_from_array_index(z + 0.5))
            turn = setting @ rotation_matrix(goniometer.rotation_axis, phi) @ goniometer.fixed_rotation
        vectors = turn @ _reciprocal(experiment, z)
        found += [
            {"name": name, "lattice": number, "vector": vectors[:, k].tolist()}
            for k, name in enumerate(("a*", "b*", "c*"))
        ]
    return found


def _reciprocal(experiment: Experiment, z: int) -> np.ndarray:
    """(3, 3) float64, 1/angstrom: columns a*, b*, c* in the frame of the crystal."""
    crystal, scan = experiment.crystal, experiment.scan
    assert crystal is not None
    points = crystal.A_at_scan_points
    if points is not None and scan is not None:
        at = min(max(z - scan.array_range[0], 0), len(points) - 1)
        return np.asarray(points[at])
    return np.asarray(crystal.A)
