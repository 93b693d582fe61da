"""Geometry from the CIF categories of a full CBF: chains of axes, detector elements, goniometer.

imgCIF dictionary, Hammersley, Bernstein & Westbrook (2006), Int. Tables Cryst. G, 3.7. Each axis has a vector and an
offset in the frame of the axis that it depends on, all at zero settings; a point fixed to an axis moves with it and
with all axes below it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spindle.errors import FileFormatError
from spindle.geometry import rotation_matrix
from spindle.models import Goniometer

if TYPE_CHECKING:
    import gemmi


@dataclass(frozen=True, slots=True)
class Axis:
    """A row of the ``_axis`` category with its setting in this frame.

    Attributes
    ----------
    angle_deg, displacement : float
        Setting in degrees (rotations) and mm (translations).
    angle_range, angle_increment : float, degrees
        From the scan, 0 when the axis stands still.
    """

    name: str
    type: str
    equipment: str
    depends_on: str
    vector: np.ndarray
    offset: np.ndarray
    angle_deg: float = 0.0
    displacement: float = 0.0
    angle_increment: float = 0.0


@dataclass(frozen=True, slots=True)
class ImgCif:
    """What the CIF part says.

    Attributes
    ----------
    axes : dict of str to Axis
    wavelength : float or None, angstrom
    fast, slow, origin : (3,) float64
        Frame of the detector, mm.
    pixel_size : (float, float), mm
    image_size : (int, int)
    overload : float or None
    exposure_time : float or None, seconds
    date : str
    """

    axes: dict[str, Axis]
    wavelength: float | None
    fast: np.ndarray
    slow: np.ndarray
    origin: np.ndarray
    pixel_size: tuple[float, float]
    image_size: tuple[int, int]
    overload: float | None
    exposure_time: float | None
    date: str


def _number(text: str | None) -> float | None:
    """Number of a CIF value; None for '.', '?', text and nothing."""
    if text is None or text in (".", "?", ""):
        return None
    try:
        return float(text.partition("(")[0])
    except ValueError:
        return None


def _rows(block: gemmi.cif.Block, category: str) -> list[dict[str, str]]:
    """Rows of a category as dictionaries from item name (without the category) to string."""
    from gemmi import cif

    table = block.find_mmcif_category(category)
    tags = [tag[len(category) :] for tag in table.tags]
    return [{tag: cif.as_string(value) for tag, value in zip(tags, row, strict=True)} for row in table]


def has_geometry(text: bytes) -> bool:
    """Whether a header has the categories that place a detector."""
    return b"_axis.id" in text and b"_array_structure_list" in text


def parse_imgcif(text: bytes, path: Path) -> ImgCif:
    """Read the CIF part of a full CBF.

    Parameters
    ----------
    text : bytes
        The file up to its binary section.
    path : Path
        For messages.

    Raises
    ------
    FileFormatError
        If it is no CIF, describes several detector elements, or lacks what a detector needs.
    """
    from gemmi import cif

    end = text.rfind(b"_array_data.data")
    try:
        document = cif.read_string(text[:end].decode("latin-1") if end >= 0 else text.decode("latin-1"))
        block = document[0]
    except (ValueError, RuntimeError, IndexError) as error:
        raise FileFormatError(f"{path}: the CIF header cannot be read: {error}") from error
    axes = _axes(block, path)
    lists = _rows(block, "_array_structure_list.")
    arrays = {row.get("array_id", "") for row in lists}
    if len(arrays) != 1 or len(lists) != 2:
        raise FileFormatError(
            f"{path}: {len(arrays)} detector arrays with {len(lists)} dimensions are described; CBF files with one "
            "flat array are read. For detectors of several elements import the NeXus file of the same run"
        )
    steps = {row.get("axis_id", ""): row for row in _rows(block, "_array_structure_list_axis.")}
    frames = {}
    for row in lists:
        axis = axes.get(row.get("axis_set_id", ""))
        step = steps.get(row.get("axis_set_id", ""), {})
        size, increment = _number(row.get("dimension")), _number(step.get("displacement_increment"))
        if axis is None or size is None or increment is None:
            raise FileFormatError(
                f"{path}: array dimension {row.get('index')} runs along axis '{row.get('axis_set_id')}', which has no "
                "entry in _axis, no _array_structure_list.dimension or no "
                "_array_structure_list_axis.displacement_increment"
            )
        frames[row.get("precedence", row.get("index", ""))] = (
            axis,
            int(size),
            increment,
            step,
            row.get("direction", ""),
        )
    if set(frames) != {"1", "2"} or any(frame[4] == "decreasing" for frame in frames.values()):
        raise FileFormatError(
            f"{path}: array precedences {sorted(frames)} and directions {[f[4] for f in frames.values()]} are not "
            "those of an image stored fast axis first with increasing pixels"
        )
    fast_axis, slow_axis = frames["1"][0], frames["2"][0]
    deepest = fast_axis if slow_axis.name in _chain(axes, fast_axis.name, path) else slow_axis
    start = {frames[k][0].name: (_number(frames[k][3].get("displacement")) or 0.0) for k in frames}
    origin = _locate(axes, deepest.name, start, path)
    radiation = _rows(block, "_diffrn_radiation_wavelength.")
    intensities = _rows(block, "_array_intensities.")
    scan_frames = _rows(block, "_diffrn_scan_frame.")
    return ImgCif(
        axes=axes,
        wavelength=_number(radiation[0].get("wavelength")) if radiation else None,
        fast=np.sign(frames["1"][2]) * _direction(axes, fast_axis.name, path),
        slow=np.sign(frames["2"][2]) * _direction(axes, slow_axis.name, path),
        origin=origin,
        pixel_size=(abs(frames["1"][2]), abs(frames["2"][2])),
        image_size=(frames["1"][1], frames["2"][1]),
        overload=_number(intensities[0].get("overload")) if intensities else None,
        exposure_time=_number(scan_frames[0].get("integration_time")) if scan_frames else None,
        date=scan_frames[0].get("date", "") if scan_frames else "",
    )


def _axes(block: gemmi.cif.Block, path: Path) -> dict[str, Axis]:
    """All axes with their settings; the frame's own settings count before those of the scan."""
    scan = {row.get("axis_id", ""): row for row in _rows(block, "_diffrn_scan_axis.")}
    frame = {row.get("axis_id", ""): row for row in _rows(block, "_diffrn_scan_frame_axis.")}
    axes = {}
    for row in _rows(block, "_axis."):
        name = row.get("id", "")
        moved, here = scan.get(name, {}), frame.get(name, {})
        angle = _number(here.get("angle"))
        shift = _number(here.get("displacement"))
        increment = _number(moved.get("angle_increment"))
        vector = np.array([_number(row.get(f"vector[{i}]")) or 0.0 for i in (1, 2, 3)])
        axes[name] = Axis(
            name=name,
            type=row.get("type", ""),
            equipment=row.get("equipment", ""),
            depends_on=row.get("depends_on", "."),
            vector=vector,
            offset=np.array([_number(row.get(f"offset[{i}]")) or 0.0 for i in (1, 2, 3)]),
            angle_deg=angle if angle is not None else (_number(moved.get("angle_start")) or 0.0),
            displacement=shift if shift is not None else (_number(moved.get("displacement_start")) or 0.0),
            angle_increment=increment if increment is not None else (_number(moved.get("angle_range")) or 0.0),
        )
        if axes[name].type in ("rotation", "translation") and not vector.any():
            raise FileFormatError(f"{path}: axis '{name}' has no _axis.vector")
    return axes


def _chain(axes: dict[str, Axis], name: str, path: Path) -> list[str]:
    """Names from an axis down to the base, itself first."""
    chain: list[str] = []
    while name not in (".", "?", ""):
        if name not in axes or name in chain:
            raise FileFormatError(
                f"{path}: axis '{name}' in the chain {' > '.join(chain) or '(start)'} is missing from _axis or "
                "depends on itself"
            )
        chain.append(name)
        name = axes[name].depends_on
    return chain


def _direction(axes: dict[str, Axis], name: str, path: Path) -> np.ndarray:
    """(3,) unit vector of an axis in the laboratory."""
    vector = axes[name].vector / np.linalg.norm(axes[name].vector)
    for parent in _chain(axes, name, path)[1:]:
        axis = axes[parent]
        if axis.type == "rotation":
            vector = rotation_matrix(axis.vector / np.linalg.norm(axis.vector), np.deg2rad(axis.angle_deg)) @ vector
    return vector


def _locate(axes: dict[str, Axis], name: str, displacements: dict[str, float], path: Path) -> np.ndarray:
    """(3,) laboratory position, mm, of the zero of an axis; `displacements` replace settings of the axes named."""
    point = np.zeros(3)
    for key in _chain(axes, name, path):
        axis = axes[key]
        if axis.type == "rotation":
            point = rotation_matrix(axis.vector / np.linalg.norm(axis.vector), np.deg2rad(axis.angle_deg)) @ point
        elif axis.type == "translation":
            shift = displacements.get(key, axis.displacement)
            point = point + shift * axis.vector / np.linalg.norm(axis.vector)
        point = point + axis.offset
    return point


def goniometer_from(cif: ImgCif, path: Path) -> tuple[Goniometer | None, tuple[float, float] | None]:
    """Goniometer and (start, width) of this image in degrees.

    Axes are ordered from crystal to base; the scan axis is the one that moves, or the one nearest the base when none
    moves. A decreasing angle turns the axis round. (None, None) without a goniometer.
    """
    rotations = [a for a in cif.axes.values() if a.equipment == "goniometer" and a.type == "rotation"]
    if not rotations:
        return None, None
    rotations.sort(key=lambda a: -len(_chain(cif.axes, a.name, path)))
    moving = [i for i, a in enumerate(rotations) if a.angle_increment != 0.0]
    if len(moving) > 1:
        names = ", ".join(rotations[i].name for i in moving)
        raise FileFormatError(f"{path}: the goniometer axes {names} move together; one scan axis is expected")
    scan_axis = moving[0] if moving else len(rotations) - 1
    axes = np.array([a.vector / np.linalg.norm(a.vector) if abs(np.linalg.norm(a.vector) - 1) > 1e-3 else a.vector
                     for a in rotations])  # fmt: skip
    angles = [a.angle_deg for a in rotations]
    start, width = rotations[scan_axis].angle_deg, rotations[scan_axis].angle_increment
    if width < 0:
        axes[scan_axis] *= -1.0
        start, width = -start, -width
        angles[scan_axis] = start
    if len(rotations) == 1:
        return Goniometer(rotation_axis=axes[0]), (start, width)
    return Goniometer.multi_axis(axes, angles, [a.name for a in rotations], scan_axis), (start, width)


def beam_direction(cif: ImgCif) -> np.ndarray:
    """(3,) direction from sample to source."""
    for axis in cif.axes.values():
        if axis.equipment == "source" and axis.vector.any():
            return axis.vector / np.linalg.norm(axis.vector)
    return np.array([0.0, 0.0, 1.0])
