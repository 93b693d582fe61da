"""Chains of axes of a full CBF: where a point that is fixed to an axis is in the laboratory, and the goniometer.

imgCIF dictionary, Hammersley, Bernstein & Westbrook (2006), Int. Tables Cryst. G, 3.7. Each axis has a vector and an
offset in the frame of the axis that it depends on, all at zero settings; a point fixed to an axis moves with it and
with all axes below it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spindle.errors import FileFormatError, HeaderError
from spindle.geometry import rotation_matrix
from spindle.models import Goniometer

REFERENCE = "mend the header, or give an experiment list with the geometry as reference_geometry="


@dataclass(frozen=True, slots=True)
class Axis:
    """A row of the ``_axis`` category with its setting in this frame.

    Attributes
    ----------
    angle_deg, displacement : float
        Setting in degrees (rotations) and mm (translations).
    angle_increment : float, degrees
        From the scan, 0 when the axis stands still.
    unit : (3,) float64
        The vector, of length 1.
    turn : (3, 3) float64 or None
        Rotation by the setting; None for none.
    """

    name: str
    type: str
    equipment: str
    depends_on: str
    vector: np.ndarray
    offset: np.ndarray
    angle_deg: float
    displacement: float
    angle_increment: float
    unit: np.ndarray
    turn: np.ndarray | None


def number_of(text: str | None) -> float | None:
    """Number of a CIF value; None for '.', '?', text and nothing."""
    if text is None or text in (".", "?", ""):
        return None
    try:
        return float(text.partition("(")[0])
    except ValueError:
        return None


def make_axis(row: dict[str, str], scan: dict[str, str], frame: dict[str, str], path: Path) -> Axis:
    """An axis with its setting; the frame's own settings count before those of the scan.

    Parameters
    ----------
    row, scan, frame : dict of str to str
        Its rows in ``_axis``, ``_diffrn_scan_axis`` and ``_diffrn_scan_frame_axis``, empty where there is none.
    path : Path
        For messages.
    """
    name, kind = row.get("id", ""), row.get("type", "")
    angle, shift = number_of(frame.get("angle")), number_of(frame.get("displacement"))
    increment = number_of(scan.get("angle_increment"))
    vector = np.array([number_of(row.get(f"vector[{i}]")) or 0.0 for i in (1, 2, 3)])
    length = float(np.sqrt(vector @ vector))
    if kind in ("rotation", "translation") and length == 0.0:
        raise HeaderError(path, f"axis '{name}'", "_axis.vector[1], [2] and [3]", "a vector of length 0", REFERENCE)
    unit = vector / length if length else vector
    angle = angle if angle is not None else (number_of(scan.get("angle_start")) or 0.0)
    return Axis(
        name=name,
        type=kind,
        equipment=row.get("equipment", ""),
        depends_on=row.get("depends_on", "."),
        vector=vector,
        offset=np.array([number_of(row.get(f"offset[{i}]")) or 0.0 for i in (1, 2, 3)]),
        angle_deg=angle,
        displacement=shift if shift is not None else (number_of(scan.get("displacement_start")) or 0.0),
        angle_increment=increment if increment is not None else (number_of(scan.get("angle_range")) or 0.0),
        unit=unit,
        turn=rotation_matrix(unit, np.deg2rad(angle)) if kind == "rotation" and angle else None,
    )


def chain(axes: dict[str, Axis], name: str, path: Path) -> list[str]:
    """Names from an axis down to the base, itself first.

    Raises
    ------
    FileFormatError
        If an axis is missing or the chain runs in a circle.
    """
    names: list[str] = []
    while name not in (".", "?", ""):
        if name not in axes or name in names:
            what = "an axis that was not in the chain yet" if name in names else "an axis of the category _axis"
            raise HeaderError(
                path, f"_axis.depends_on of '{names[-1]}'" if names else "axis of the detector", what, f"'{name}'", REFERENCE
            )  # fmt: skip
        names.append(name)
        name = axes[name].depends_on
    return names


def direction(axes: dict[str, Axis], name: str, path: Path) -> np.ndarray:
    """(3,) unit vector of an axis in the laboratory."""
    vector = axes[name].unit
    for parent in chain(axes, name, path)[1:]:
        turn = axes[parent].turn
        if turn is not None:
            vector = turn @ vector
    return vector


def orientation(axes: dict[str, Axis], name: str, path: Path) -> np.ndarray:
    """(3, 3) rotation of what stands on an axis, by its setting and those of the axes below it."""
    rotation = np.eye(3)
    for key in chain(axes, name, path):
        turn = axes[key].turn
        if turn is not None:
            rotation = turn @ rotation
    return rotation


def locate(axes: dict[str, Axis], name: str, displacements: dict[str, float], path: Path) -> np.ndarray:
    """(3,) laboratory position, mm, of the zero of an axis; `displacements` replace settings of the axes named."""
    point = np.zeros(3)
    for key in chain(axes, name, path):
        axis = axes[key]
        if axis.turn is not None:
            point = axis.turn @ point
        elif axis.type == "translation":
            point = point + displacements.get(key, axis.displacement) * axis.unit
        point = point + axis.offset
    return point


def goniometer_of(axes: dict[str, Axis], path: Path) -> tuple[Goniometer | None, tuple[float, float] | None]:
    """Goniometer and (start, width) of this image in degrees.

    Axes are ordered from crystal to base; the scan axis is the one that moves, or the one nearest the base when none
    moves. A decreasing angle turns the axis round. (None, None) without a goniometer.
    """
    rotations = [a for a in axes.values() if a.equipment == "goniometer" and a.type == "rotation"]
    if not rotations:
        return None, None
    rotations.sort(key=lambda a: -len(chain(axes, a.name, path)))
    moving = [i for i, a in enumerate(rotations) if a.angle_increment != 0.0]
    if len(moving) > 1:
        names = ", ".join(rotations[i].name for i in moving)
        raise FileFormatError(f"{path}: the goniometer axes {names} move together; one scan axis is expected")
    scan_axis = moving[0] if moving else len(rotations) - 1
    # Rounded unit vectors stay as the header has them.
    vectors = np.array([a.unit if abs(a.vector @ a.vector - 1) > 2e-3 else a.vector for a in rotations])
    angles = [a.angle_deg for a in rotations]
    start, width = rotations[scan_axis].angle_deg, rotations[scan_axis].angle_increment
    if width < 0:
        vectors[scan_axis] *= -1.0
        start, width = -start, -width
        angles[scan_axis] = start
    if len(rotations) == 1:
        return Goniometer(rotation_axis=vectors[0]), (start, width)
    return Goniometer.multi_axis(vectors, angles, [a.name for a in rotations], scan_axis), (start, width)


def beam_direction(axes: dict[str, Axis]) -> np.ndarray:
    """(3,) direction from sample to source."""
    for axis in axes.values():
        if axis.equipment == "source" and axis.vector.any():
            return axis.unit
    return np.array([0.0, 0.0, 1.0])
