"""The tree of groups that the axes of an imgCIF header make of its elements."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .axes import Axis, locate, orientation
from .imgcif import Element

Vector = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Group:
    """Elements that stand on one axis.

    Attributes
    ----------
    name : str
        Of the axis.
    fast, slow, origin : (float, float, float)
        Its frame, local to the group around it; mm.
    children : tuple of Group or int
        Groups, and numbers of elements.
    """

    name: str
    fast: Vector
    slow: Vector
    origin: Vector
    children: tuple[Group | int, ...]

    def to_dict(self) -> dict[str, Any]:
        """The tree as `spindle.models.Detector` takes it."""
        return {
            "name": self.name,
            "fast_axis": list(self.fast),
            "slow_axis": list(self.slow),
            "origin": list(self.origin),
            "children": [{"panel": c} if isinstance(c, int) else c.to_dict() for c in self.children],
        }


def group_elements(elements: tuple[Element, ...], axes: dict[str, Axis], path: Path) -> Group:
    """Join elements that stand on the same axes: a group for each axis from which several lead on.

    Parameters
    ----------
    elements : tuple of Element
    axes : dict of str to Axis
    path : Path
        For messages.
    """

    def join(members: list[int], depth: int, rotation: np.ndarray, shift: np.ndarray) -> Group:
        mounts = [elements[i].mount for i in members]
        while min(map(len, mounts)) > depth and len({mount[depth] for mount in mounts}) == 1:
            depth += 1
        name = mounts[0][depth - 1] if depth else ""
        turned = orientation(axes, name, path) if name else np.eye(3)
        place = locate(axes, name, {}, path) if name else np.zeros(3)
        apart: dict[str, list[int]] = {}
        for i in members:
            mount = elements[i].mount
            # An element that stands on this axis itself is a branch of its own.
            apart.setdefault(mount[depth] if len(mount) > depth else f"{i}", []).append(i)
        children = tuple(
            branch[0] if len(branch) == 1 else join(branch, depth, turned, place) for branch in apart.values()
        )
        local = rotation.T @ turned
        fast, slow, origin = (tuple(v.tolist()) for v in (local[:, 0], local[:, 1], rotation.T @ (place - shift)))
        return Group(name, fast, slow, origin, children)

    return join(list(range(len(elements))), 0, np.eye(3), np.zeros(3))
