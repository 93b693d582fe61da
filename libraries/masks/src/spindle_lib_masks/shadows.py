"""Shadows that parts of the goniometer throw on the detector, and that move while the crystal turns.

A body is the convex hull of points that are fixed to an axis of the goniometer. Its shadow on a panel is the hull of their projections
from the crystal. The bodies of goniometers that are known are in goniometers.toml; users may give a file of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from spindle.errors import UserError
from spindle.geometry import rotation_matrix
from spindle.models import Detector, Experiment, Goniometer, Scan
from spindle.params import parse_toml, read_toml

__all__ = ["Body", "MovingShadow", "read_bodies", "shadow_of"]

FILE = "goniometers.toml of spindle_lib_masks"
IN_FRONT = 1e-5  # of the projections: others are behind the crystal
KEYS = {
    "name", "axes", "detectors", "automatic", "axis", "points", "arcs", "joint", "joint_axis", "joint_share", "invert",
}  # fmt: skip
AUTOMATIC, ALWAYS, NEVER = "Auto", True, False


@dataclass(frozen=True)
class Body:
    """A convex part of a goniometer.

    Attributes
    ----------
    name : str
    axes : tuple of str
        Names of the axes of the goniometer from the crystal to the base; empty for any.
    detectors : tuple of str
        Serial numbers of the detectors before which it stands; empty for any.
    automatic : bool
        Whether it is there unless it is asked away.
    points : (n, 3) float64, mm
        With all axes at zero.
    axis : (n,) int64
        Innermost axis that moves each point; those beyond it do, too.
    invert : bool
        It is an opening.
    joint : (3,) float64, mm
        A point on another axis.
    joint_axis : int
    joint_share : (n, 3) float64
        How much of its coordinates, turned by its own axis alone, each point has added.
    """

    name: str
    axes: tuple[str, ...]
    detectors: tuple[str, ...]
    automatic: bool
    points: np.ndarray
    axis: np.ndarray
    invert: bool
    joint: np.ndarray
    joint_axis: int
    joint_share: np.ndarray

    def belongs_to(self, names: tuple[str, ...]) -> bool:
        """Whether a goniometer with axes of these names may have it."""
        plain = tuple(name.lower().removeprefix("gon_") for name in names)
        return not self.axes or plain == self.axes

    def stands_before(self, detector: Detector) -> bool:
        """Whether it is known to stand before this detector."""
        identity = f"{detector[0].identifier} {detector[0].name}"
        return any(serial in identity for serial in self.detectors)

    def at(self, axes: np.ndarray, angles: np.ndarray) -> np.ndarray:
        """(n, 3) mm: the points with the axes (k, 3) of the goniometer at angles (k,) rad."""
        turns = [rotation_matrix(axis, angle) for axis, angle in zip(axes, angles, strict=True)]
        points = self.points + self.joint_share * (turns[self.joint_axis] @ self.joint)
        for k, turn in enumerate(turns):
            moved = self.axis <= k
            points[moved] = points[moved] @ turn.T
        return points


def read_bodies(path: str | Path | None = None) -> list[Body]:
    """Bodies of a TOML file; of the goniometers that are known, without one.

    Raises
    ------
    UserError
        If the file is none, or a shape in it is not understood.
    """
    if path is None:
        return _known()
    remedy = "give a TOML file with the shapes of the goniometer"
    return _bodies(read_toml(Path(path), "shapes of a goniometer", remedy), str(path))


@lru_cache(maxsize=1)
def _known() -> list[Body]:
    text = files(__package__).joinpath("goniometers.toml").read_text(encoding="utf-8")
    return _bodies(parse_toml(text, "goniometers.toml"), "goniometers.toml")


def _bodies(content: dict[str, Any], where: str) -> list[Body]:
    shapes = content.get("shape")
    if not isinstance(shapes, list) or not shapes:
        raise UserError(f"{where}: holds no shape; begin each with a line [[shape]]")
    by_name: dict[str, list[Body]] = {}
    for number, shape in enumerate(shapes, 1):
        body = _body(shape, f"{where}: shape {number}")
        by_name.setdefault(body.name, []).append(body)
    return [body for parts in by_name.values() for body in parts]


def _body(shape: dict[str, Any], where: str) -> Body:
    unknown = set(shape) - KEYS
    if unknown:
        raise UserError(f"{where}: {', '.join(sorted(unknown))} is not known; there are {', '.join(sorted(KEYS))}")
    try:
        points = [np.array(shape.get("points", []), float).reshape(-1, 3)]
        for arc in shape.get("arcs", []):
            a = np.radians(np.arange(arc["start"], arc["stop"] + 1e-9, arc["step"]))[:, None]
            centre, u, v = (np.array(arc[key], float).reshape(3) for key in ("centre", "u", "v"))
            points.append(centre + float(arc["radius"]) * (np.cos(a) * u + np.sin(a) * v))
        joined = np.concatenate(points)
        share = np.array(shape.get("joint_share", np.zeros((len(joined), 3))), float).reshape(len(joined), 3)
        axis = np.broadcast_to(np.array(shape.get("axis", 0), np.int64), len(joined)).copy()
        body = Body(
            str(shape.get("name", where)), tuple(str(a).lower() for a in shape.get("axes", ())),
            tuple(str(d) for d in shape.get("detectors", ())), bool(shape.get("automatic", True)), joined, axis, bool(shape.get("invert", False)),
            np.array(shape.get("joint", np.zeros(3)), float).reshape(3), int(shape.get("joint_axis", 0)), share,
        )  # fmt: skip
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(
            f"{where}: {error}; points are [[x, y, z], ...] in mm, axis is a number or one for each point, arcs have centre, radius, u, v, "
            "start, stop, step"
        ) from error
    if len(joined) < 3 or not np.isfinite(joined).all():
        raise UserError(f"{where}: has {len(joined)} points; a body has at least three, in mm")
    if axis.min() < 0:
        raise UserError(f"{where}: axis={axis.min()}; axes are counted from 0 at the crystal")
    return body


@dataclass(frozen=True)
class MovingShadow:
    """Where the bodies of one goniometer shadow the panels of a detector.

    Attributes
    ----------
    bodies : tuple of Body
    goniometer : Goniometer
    scan : Scan or None
    detector : Detector
    """

    bodies: tuple[Body, ...]
    goniometer: Goniometer
    scan: Scan | None
    detector: Detector

    @property
    def names(self) -> list[str]:
        """Of the bodies."""
        return list(dict.fromkeys(body.name for body in self.bodies))

    def hulls(self, angle: float) -> list[list[tuple[np.ndarray, bool]]]:
        """For each panel, polygons (n, 2) px that are convex, and whether each is an opening; at a scan angle in rad."""
        g = self.goniometer
        axes = g.rotation_axis[None] if g.axes is None else g.axes
        if g.axes is None or g.angles_deg is None or g.scan_axis is None:
            angles = np.array([angle])
        else:
            angles = np.radians(g.angles_deg)
            angles[g.scan_axis] = angle
        units = axes / np.linalg.norm(axes, axis=1)[:, None]
        points: dict[tuple[str, bool], list[np.ndarray]] = {}
        for body in self.bodies:
            points.setdefault((body.name, body.invert), []).append(body.at(units, angles))
        found = []
        for k, panel in enumerate(self.detector):
            polygons = []
            for (_, invert), parts in points.items():
                u, v, w = self.detector.D[k] @ np.concatenate(parts).T
                front = w > IN_FRONT
                flat = np.stack([u[front] / w[front], v[front] / w[front]], axis=1) / np.array(panel.pixel_size)
                polygons.append((_convex_hull(flat), invert))
            found.append(polygons)
        return found

    def angles_of(self, z: int) -> tuple[float, float]:
        """Scan angles (rad) at the beginning and the end of the image with array index z."""
        if self.scan is None:
            return 0.0, 0.0
        first, last = self.scan.angle_from_array_index(np.array([z, z + 1.0]))
        return float(first), float(last)

    def spans(self, z: int) -> list[list[tuple[np.ndarray, bool]]]:
        """For each panel, the pixels of each row that bodies cover during an image.

        Parameters
        ----------
        z : int
            Array index of the image.

        Returns
        -------
        list of lists of ((n_slow, 2) int64, bool)
            First column and one past the last, and whether it is an opening. The hulls at the beginning and at the end of the image
            both count.
        """
        found: list[list[tuple[np.ndarray, bool]]] = [[] for _ in self.detector]
        for angle in dict.fromkeys(self.angles_of(z)):
            for k, polygons in enumerate(self.hulls(angle)):
                width, height = self.detector[k].image_size
                found[k] += [(_rows_of(polygon, width, height), invert) for polygon, invert in polygons]
        return found

    def shadowed(self, z: int) -> list[np.ndarray]:
        """For each panel, (n_slow, n_fast) bool: pixels in the shadow during an image."""
        masks = []
        for k, spans in enumerate(self.spans(z)):
            width, height = self.detector[k].image_size
            column, mask = np.arange(width), np.zeros((height, width), np.bool_)
            for rows, invert in spans:
                covered = np.flatnonzero(rows[:, 1] > rows[:, 0])
                part = rows[covered]
                inside = (column >= part[:, :1]) & (column < part[:, 1:])
                if invert:
                    outside = np.ones((height, width), np.bool_)
                    outside[covered] = ~inside
                    mask |= outside
                else:
                    mask[covered] |= inside
            masks.append(mask)
        return masks


def _convex_hull(points: np.ndarray) -> np.ndarray:
    """(m, 2): corners of the convex hull of points (n, 2), in order (Andrew's monotone chain); none for fewer than 3."""
    if len(points) < 3:
        return np.zeros((0, 2))
    points = points[np.lexsort((points[:, 1], points[:, 0]))]

    def chain(ordered: np.ndarray) -> list[np.ndarray]:
        kept: list[np.ndarray] = []
        for p in ordered:
            while len(kept) > 1:
                a, b = kept[-1] - kept[-2], p - kept[-2]
                if a[0] * b[1] - a[1] * b[0] > 0:
                    break
                kept.pop()
            kept.append(p)
        return kept[:-1]

    return np.array(chain(points) + chain(points[::-1]))


def _rows_of(polygon: np.ndarray, width: int, height: int) -> np.ndarray:
    """(height, 2) int64: first column and one past the last whose centres are inside a convex polygon (px)."""
    low, high = np.full(height, np.inf), np.full(height, -np.inf)
    y = np.arange(height) + 0.5
    for (x1, y1), (x2, y2) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if y1 == y2:
            continue
        first_row, end = int(np.ceil(min(y1, y2) - 0.5)), int(np.floor(max(y1, y2) - 0.5)) + 1
        rows = slice(max(first_row, 0), max(min(end, height), 0))
        x = x1 + (y[rows] - y1) * ((x2 - x1) / (y2 - y1))
        np.minimum(low[rows], x, out=low[rows])
        np.maximum(high[rows], x, out=high[rows])
    first = np.clip(np.ceil(low - 0.5), 0, width)
    last = np.clip(np.floor(high - 0.5) + 1, 0, width)
    return np.stack([np.where(first < last, first, 0), np.where(first < last, last, 0)], axis=1).astype(np.int64)


def _known_before(bodies: list[Body], detector: Detector, asked: bool) -> list[Body]:
    """Those that stand before a detector; where they are asked for, others with the same axes if they are of one goniometer."""
    here = [body for body in bodies if body.stands_before(detector) and (asked or body.automatic)]
    if here or not asked:
        return here
    names = list(dict.fromkeys(body.name for body in bodies))
    if len(names) > 1:
        raise UserError(
            f"format.dynamic_shadowing=True: the goniometer could be that of {', '.join(names)}; copy the right one from {FILE} to a file of your "
            "own and import with format.shadow=FILE"
        )
    return bodies


def shadow_of(experiment: Experiment) -> MovingShadow | None:
    """The shadow that the images of an experiment were imported with; None for none.

    ``dynamic_shadowing`` of the image set is "Auto" (a known goniometer before a detector that is known to have it), True (any known
    goniometer with axes of these names) or False; its ``shadow`` is a file of shapes.

    Raises
    ------
    UserError
        If it is True and no shape is known, or the file is not understood.
    """
    images, goniometer = experiment.imageset, experiment.goniometer
    if images is None or goniometer is None:
        return None
    how, path = images.params.get("dynamic_shadowing", AUTOMATIC), images.params.get("shadow")
    if how is False or str(how).lower() == "false":
        return None
    names = goniometer.names or ()
    fitting = [body for body in read_bodies(path) if body.belongs_to(names)]
    asked = how is True or str(how).lower() == "true"
    if path is None:
        fitting = _known_before(fitting, experiment.detector, asked)
    n_axes = 1 if goniometer.axes is None else len(goniometer.axes)
    for body in fitting:
        if max(int(body.axis.max()), body.joint_axis) >= n_axes:
            raise UserError(
                f"the shape {body.name} is on axis {max(int(body.axis.max()), body.joint_axis)}, the goniometer has {n_axes}, counted from 0 at the crystal"
            )
    if not fitting:
        if asked or path is not None:
            what = f"of {path}" if path is not None else "that Spindle knows"
            raise UserError(
                f"format.dynamic_shadowing: no shape {what} belongs to a goniometer with the axes {', '.join(names) or '(one, without a name)'}; "
                "describe it in a TOML file and import with format.shadow=FILE (docs/how-to/shadows-of-the-goniometer.md)"
            )
        return None
    return MovingShadow(tuple(fitting), goniometer, experiment.scan, experiment.detector)
