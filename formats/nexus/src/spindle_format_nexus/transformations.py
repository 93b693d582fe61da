"""Chains of NXtransformations and the laboratory frame.

NeXus uses the frame of McStas: z along the beam, y up. Spindle's laboratory has z towards the source: both differ by
half a turn about y.
"""

from __future__ import annotations

from dataclasses import dataclass

import h5py
import numpy as np

from spindle.errors import fault
from spindle.geometry import rotation_matrix

from .hdf import attribute, factor, fault_at, get, is_angle, line_to_set, numbers, text, three_numbers

# McStas to laboratory.
TO_LAB = np.diag([-1.0, 1.0, -1.0])


@dataclass(frozen=True, slots=True)
class Axis:
    """One transformation.

    Attributes
    ----------
    name : str
        Last part of its path.
    path : str
    is_rotation : bool
    vector : (3,) float64
        Unit vector, NeXus frame.
    offset : (3,) float64, mm
    values : (n,) float64, deg or mm
        One per image, or one.
    """

    name: str
    path: str
    is_rotation: bool
    vector: np.ndarray
    offset: np.ndarray
    values: np.ndarray

    def value(self, image: int) -> float:
        """Value at an image (0-based); the first where there is one for all."""
        return float(self.values[image if image < len(self.values) else 0 if len(self.values) == 1 else -1])

    def matrix(self, image: int) -> np.ndarray:
        """(4, 4) float64, mm: the transformation at an image."""
        out = np.eye(4)
        out[:3, 3] = self.offset
        if self.is_rotation:
            out[:3, :3] = rotation_matrix(self.vector, np.deg2rad(self.value(image)))
        else:
            out[:3, 3] += self.value(image) * self.vector
        return out


# Axes of the largest diffractometer, ten times.
_MOST_AXES = 100


def follow(node: h5py.Group | h5py.Dataset, what: str, notes: list[str]) -> list[Axis]:
    """The transformations that something depends on, the nearest first.

    Parameters
    ----------
    node : Group or Dataset
        With a dataset (groups) or an attribute (transformations) ``depends_on``.
    what : str
        For messages: whose chain it is.
    notes : list of str
        Filled with what was assumed.

    Raises
    ------
    FileFormatError
        If a transformation does not exist, is incomplete, or the chain closes on itself.
    """
    axes: list[Axis] = []
    current: h5py.Group | h5py.Dataset = node
    seen = {node.name}
    while True:
        target = depends_on(current)
        if target is None:
            if isinstance(current, h5py.Dataset):
                known = [
                    a
                    for a in known_axes(current.file, current.parent)
                    if a not in seen and a.startswith(current.parent.name)
                ]
                notes.append(
                    fault(
                        current.name,
                        "an attribute 'depends_on' ('.' for the last of a chain)",
                        None,
                        f"it is taken as the last that {what} stands on. If it is not: "
                        + line_to_set(current, "depends_on", f"'{known[0] if known else '.'}'"),
                    )
                )
            return axes
        if target == ".":
            return axes
        found = resolve(current, target)
        if found is None:
            folder = current if isinstance(current, h5py.Group) else current.parent
            named = ", ".join(known_axes(folder.file, folder)) or "no transformation"
            raise fault_at(
                current,
                f"depends_on (of {what}) to name a transformation; the entry has {named}",
                f"'{target}', which does not exist",
                "correct depends_on",
            )
        if found.name in seen:
            raise fault_at(
                current,
                f"depends_on (of {what}) to lead to a transformation with depends_on '.'",
                f"a circle back to {found.name}",
                "correct depends_on",
            )
        if len(seen) > _MOST_AXES:
            expected = f"a chain of at most {_MOST_AXES} transformations, from {node.name}"
            raise fault_at(current, expected, "a longer one", "correct depends_on")
        seen.add(found.name)
        if isinstance(found, h5py.Dataset):
            axes.append(read_axis(found))
        elif depends_on(found) is None:
            raise fault_at(
                current,
                f"depends_on (of {what}) to name a transformation",
                f"a group, {found.name}",
                "correct depends_on",
            )
        current = found


def depends_on(node: h5py.Group | h5py.Dataset) -> str | None:
    """What a group or transformation depends on; None when it does not say."""
    named = get(node, "depends_on") if isinstance(node, h5py.Group) else None
    if isinstance(named, h5py.Dataset) and named.size:
        return text(named) or "."
    return attribute(node, "depends_on")


def resolve(node: h5py.Group | h5py.Dataset, target: str) -> h5py.Group | h5py.Dataset | None:
    """What a path means, absolute or relative to the group (or to the group of the dataset) that names it."""
    if target.startswith("/"):
        return get(node.file, target)
    parts = list(target.split("/"))
    folder = node if isinstance(node, h5py.Group) else node.parent
    while parts and parts[0] in (".", ".."):
        folder = folder.parent if parts.pop(0) == ".." else folder
    return get(folder, "/".join(parts)) if parts else None


def known_axes(file: h5py.File, near: h5py.Group) -> list[str]:
    """Paths of the transformations below the entry of a group, for messages."""
    entry = file[near.name.split("/")[1]] if near.name.count("/") else file
    found: list[str] = []

    def visit(name: str, node: object) -> None:
        if isinstance(node, h5py.Dataset) and "transformation_type" in node.attrs:
            found.append(node.name)

    entry.visititems(visit)
    return found[:12]


def read_axis(node: h5py.Dataset) -> Axis:
    """A transformation from its dataset and attributes.

    Raises
    ------
    FileFormatError
        If vector, type or unit is missing or impossible.
    """
    kind = attribute(node, "transformation_type")
    if kind not in ("rotation", "translation", None):
        remedy = "correct the attribute 'transformation_type'"
        raise fault_at(node, "transformation_type 'rotation' or 'translation'", f"'{kind}'", remedy)
    is_rotation = is_angle(node) if kind is None else kind == "rotation"
    values = numbers(node) * factor(node, "angle" if is_rotation else "length")
    if not values.size or not np.all(np.isfinite(values)):
        found = values[~np.isfinite(values)][0] if values.size else None
        raise fault_at(node, "one value, or one per image", found, "write the value there")
    # Writers give no direction to translations of no length.
    is_idle = not is_rotation and not values.any()
    vector = np.zeros(3) if is_idle else unit_vector(node)
    return Axis(node.name.rpartition("/")[2], node.name, is_rotation, vector, read_offset(node, is_rotation), values)


def unit_vector(node: h5py.Dataset) -> np.ndarray:
    """The attribute ``vector``, normalised."""
    if "vector" not in node.attrs:
        remedy = line_to_set(node, "vector", "[x, y, z]")
        raise fault_at(node, "an attribute 'vector' of three numbers", None, remedy)
    vector = three_numbers(node, "vector")
    length = float(np.linalg.norm(vector))
    if not 0 < length < np.inf:
        expected = "an attribute 'vector' of three numbers, not all zero"
        raise fault_at(node, expected, vector.tolist(), "correct the attribute 'vector'")
    return np.asarray(vector / length)


def read_offset(node: h5py.Dataset, is_rotation: bool) -> np.ndarray:
    """(3,) float64, mm: the attribute ``offset``; zero without it."""
    if "offset" not in node.attrs:
        return np.zeros(3)
    offset = three_numbers(node, "offset")
    if not offset.any():
        return offset
    default = None if is_rotation else attribute(node, "units")
    return np.asarray(offset * factor(node, "length", "offset_units", default))


def joined(axes: list[Axis], image: int) -> np.ndarray:
    """(4, 4) float64, mm: all transformations of a chain at an image, the nearest applied first."""
    out = np.eye(4)
    for axis in axes:
        out = axis.matrix(image) @ out
    return out
