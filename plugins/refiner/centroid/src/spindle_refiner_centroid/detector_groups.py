"""Which panels of a detector move together, and the frames in which they do."""

from __future__ import annotations

from typing import Any

import numpy as np

from spindle.contracts.refiner import RefinementError
from spindle.models import Detector

from .parameterisations import ModuleParameters, PanelGroupParameters


def detector_groups(
    detector: Detector, s0: np.ndarray, panels: str, level: int | None
) -> list[tuple[np.ndarray, PanelGroupParameters | ModuleParameters]]:
    """Rigid groups of panels: their panel numbers and parameters.

    Parameters
    ----------
    detector : Detector
    s0 : (3,) float64
        Beam, to find the panel closest to it.
    panels : "automatic", "single", "multiple", "hierarchical" or "modules"
    level : int
        Level of the tree whose groups move.

    Raises
    ------
    RefinementError
        If the choice does not fit the detector.
    """
    if panels == "automatic":
        panels = "single" if len(detector) == 1 else "hierarchical"
    if panels == "single" and len(detector) != 1:
        raise RefinementError(
            f"refinement.parameterisation.detector.panels=single: the detector has {len(detector)} panels; choose "
            f"multiple or hierarchical"
        )
    everything = np.arange(len(detector), dtype=np.int64)
    if panels == "modules":
        closest = closest_panel(detector, s0)
        return [(everything[k : k + 1], _module(detector, k, closest)) for k in range(len(detector))]
    if panels in ("single", "multiple"):
        return [(everything, _about_panel(detector, closest_panel(detector, s0)))]
    if detector.hierarchy is None or not detector.hierarchy.get("children"):
        if level:
            raise RefinementError(
                f"refinement.parameterisation.detector.hierarchy_level={level}: the detector has no groups"
            )
        return [(everything, _about_panel(detector, closest_panel(detector, s0), "Group1"))]
    nodes = _nodes_at_level(detector.hierarchy, int(level or 0))
    if not nodes:
        raise RefinementError(
            f"refinement.parameterisation.detector.hierarchy_level={level}: the tree is not that deep"
        )
    return [_about_group(detector, node, frame, k) for k, (node, frame) in enumerate(nodes, 1)]


def closest_panel(detector: Detector, s0: np.ndarray) -> int:
    """Number of the panel whose middle is nearest to the beam."""
    unit = s0 / np.linalg.norm(s0)
    centres = np.array([_centre(detector, i) for i in range(len(detector))])
    return int(np.argmax(centres @ unit / np.linalg.norm(centres, axis=1)))


def _centre(detector: Detector, i: int) -> np.ndarray:
    panel = detector[i]
    half = 0.5 * panel.size_mm
    return np.asarray(panel.origin + half[0] * panel.fast_axis + half[1] * panel.slow_axis)


def _about_panel(detector: Detector, i: int, prefix: str = "") -> PanelGroupParameters:
    panel = detector[i]
    frame = np.array([panel.fast_axis, panel.slow_axis, panel.normal])
    return PanelGroupParameters(detector.d, frame, _centre(detector, i), prefix)


def _module(detector: Detector, k: int, closest: int) -> ModuleParameters:
    whole = detector[closest]
    frame = np.array([whole.fast_axis, whole.slow_axis, whole.normal])
    return ModuleParameters(detector.d[k], _centre(detector, k), frame, _centre(detector, closest), f"Panel{k}")


def local_frame(node: dict[str, Any]) -> np.ndarray:
    """(3, 4) columns fast, slow, normal, origin of a node of the tree in its parent's frame."""
    fast = np.asarray(node.get("fast_axis", (1.0, 0.0, 0.0)), dtype=np.float64)
    slow = np.asarray(node.get("slow_axis", (0.0, 1.0, 0.0)), dtype=np.float64)
    origin = np.asarray(node.get("origin", (0.0, 0.0, 0.0)), dtype=np.float64)
    return np.stack([fast, slow, np.cross(fast, slow), origin], axis=1)


def in_parent(parent: np.ndarray, local: np.ndarray) -> np.ndarray:
    """A (3, 4) frame given in another one, in the frame of that one."""
    out = parent[:, :3] @ local
    out[:, 3] += parent[:, 3]
    return out


LABORATORY = np.hstack([np.eye(3), np.zeros((3, 1))])


def _nodes_at_level(root: dict[str, Any], level: int) -> list[tuple[dict[str, Any], np.ndarray]]:
    nodes = [(root, in_parent(LABORATORY, local_frame(root)))]
    for _ in range(level):
        nodes = [
            (child, in_parent(frame, local_frame(child)))
            for node, frame in nodes
            for child in node.get("children", ())
            if "panel" not in child
        ]
    return nodes


def panels_below(node: dict[str, Any]) -> list[int]:
    """Numbers of all panels below a node of the tree."""
    if "panel" in node:
        return [int(node["panel"])]
    return [panel for child in node.get("children", ()) for panel in panels_below(child)]


def _about_group(
    detector: Detector, node: dict[str, Any], frame: np.ndarray, number: int
) -> tuple[np.ndarray, PanelGroupParameters]:
    panels = np.array(panels_below(node), dtype=np.int64)
    if len(panels) == 0:
        raise RefinementError(f"group {number} of the detector's tree has no panels; run spindle import again")
    fast, slow, normal, origin = frame.T
    if not ("fast_axis" in node and "origin" in node) or abs(origin @ normal) < 1e-9:
        # A tree without frames of its own: the axes of its first panel, the plane of its panels.
        panel = detector[int(panels[0])]
        fast, slow, normal, origin = panel.fast_axis, panel.slow_axis, panel.normal, panel.origin
    towards = np.mean([_centre(detector, int(i)) for i in panels], axis=0)
    along = float(towards @ normal)
    reference = origin if abs(along) < 1e-9 else towards * float(origin @ normal) / along
    parameters = PanelGroupParameters(detector.d[panels], np.array([fast, slow, normal]), reference, f"Group{number}")
    return panels, parameters
