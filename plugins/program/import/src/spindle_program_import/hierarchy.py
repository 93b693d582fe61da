"""Frames of the tree of panels changed by the user's parameters."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from spindle.errors import ParameterError
from spindle.models import Detector, Panel

Frame = tuple[np.ndarray, np.ndarray]
IDENTITY: Frame = (np.eye(3), np.zeros(3))


def _frame_of(node: Any, name: str) -> Frame:
    """Rotation (columns x, y, normal) and origin of a group that the user describes."""
    fast = np.array(node.fast_axis if node.fast_axis is not None else (1.0, 0.0, 0.0))
    slow = np.array(node.slow_axis if node.slow_axis is not None else (0.0, 1.0, 0.0))
    origin = np.array(node.origin if node.origin is not None else (0.0, 0.0, 0.0))
    if not fast.any() or not slow.any() or abs(float(fast @ slow)) > 1e-4 * np.linalg.norm(fast) * np.linalg.norm(slow):
        raise ParameterError(
            f"geometry.detector.hierarchy: fast_axis and slow_axis of {name} are not perpendicular directions"
        )
    fast, slow = fast / np.linalg.norm(fast), slow / np.linalg.norm(slow)
    return np.stack([fast, slow, np.cross(fast, slow)], axis=1), origin


def _joined(parent: Frame, child: Frame) -> Frame:
    return parent[0] @ child[0], parent[0] @ child[1] + parent[1]


def _entry(name: str | None, frame: Frame) -> dict[str, Any]:
    # The keys of a panel, as the file layout repeats them for groups.
    return {
        "name": name or "",
        "type": "",
        "fast_axis": frame[0][:, 0].tolist(),
        "slow_axis": frame[0][:, 1].tolist(),
        "origin": frame[1].tolist(),
        "raw_image_offset": [0, 0],
        "image_size": [0, 0],
        "pixel_size": [0.0, 0.0],
        "trusted_range": [0.0, 0.0],
        "thickness": 0.0,
        "material": "",
        "mu": 0.0,
        "identifier": "",
        "mask": [],
        "gain": 1.0,
        "pedestal": 0.0,
        "px_mm_strategy": {"type": "SimplePxMmStrategy"},
        "children": [],
    }


def _local(panel: Panel, frame: Frame) -> Panel:
    """A panel whose frame is that of `panel`, taken as local to `frame`."""
    rotation, origin = frame
    return replace(
        panel,
        fast_axis=rotation @ panel.fast_axis,
        slow_axis=rotation @ panel.slow_axis,
        origin=rotation @ panel.origin + origin,
    )


def apply_hierarchy(detector: Detector, params: Any) -> Detector:
    """Detector with ``geometry.detector.hierarchy`` applied.

    Panels keep the frames that they have (from the header or from ``panel.*``) as frames local to their new group, so
    the parameters move them.
    """
    root = params.hierarchy
    is_set = any(getattr(root, name) is not None for name in ("name", "fast_axis", "slow_axis", "origin"))
    if not is_set and not root.group:
        return detector
    if detector.hierarchy is not None and any(node.get("children") for node in detector.hierarchy.get("children", ())):
        raise ParameterError(
            "geometry.detector.hierarchy: the detector of these images already has groups; they cannot be replaced"
        )
    frames: dict[tuple[int, ...], Frame] = {(): _frame_of(root, "the root")}
    tree = _entry(root.name, frames[()])
    nodes: dict[tuple[int, ...], dict[str, Any]] = {(): tree}
    panels: list[Panel | None] = [None] * len(detector)
    for group in sorted(root.group, key=lambda g: (len(g.id or ()), g.id or ())):
        place = tuple(group.id) if group.id is not None else (len(tree["children"]),)
        if place in nodes or place[:-1] not in nodes:
            raise ParameterError(
                f"geometry.detector.hierarchy.group.id={','.join(map(str, place))}: each group needs its own place in "
                "the tree, below a group that exists"
            )
        local = _frame_of(group, f"group {place}")
        frames[place] = _joined(frames[place[:-1]], local)
        nodes[place] = _entry(group.name, local)
        nodes[place[:-1]]["children"].append(nodes[place])
        for index in group.panel:
            if index >= len(detector) or panels[index] is not None:
                raise ParameterError(
                    f"geometry.detector.hierarchy.group.panel={index}: there is no such panel, or it is in two groups"
                )
            panels[index] = _local(detector[index], frames[place])
            nodes[place]["children"].append({"panel": index})
    for index, panel in enumerate(panels):
        if panel is None:
            panels[index] = _local(detector[index], frames[()])
            tree["children"].append({"panel": index})
    return Detector([p for p in panels if p is not None], tree)
