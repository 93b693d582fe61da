"""Segments of a detector as XDS describes them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Segment", "segments_in", "segments_of_rows", "several"]


@dataclass(frozen=True, slots=True)
class Segment:
    """A flat part of a detector, in the frame of the detector.

    Attributes
    ----------
    limits : (int, int, int, int)
        First and last pixel along x and y, counted from 1.
    origin_px : (2,) float64
        ORGXS, ORGYS: the pixel that lies on the origin of the detector's frame, apart from the distance.
    distance : float, mm
        Along the normal of the segment.
    x, y : (3,) float64
        Axes.
    """

    limits: tuple[int, int, int, int]
    origin_px: np.ndarray
    distance: float
    x: np.ndarray
    y: np.ndarray

    @property
    def size(self) -> tuple[int, int]:
        """Pixels along x and y."""
        x1, x2, y1, y2 = self.limits
        return x2 - x1 + 1, y2 - y1 + 1

    @property
    def offset(self) -> tuple[int, int]:
        """Pixels of the image before the first of the segment."""
        return self.limits[0] - 1, self.limits[2] - 1


def segments_of_rows(rows: Sequence[Sequence[float]], count: int) -> tuple[Segment, ...]:
    """Segments of the last lines of XPARM.XDS: five numbers and nine for each.

    Raises
    ------
    ValueError
        If there are not as many lines, or numbers in them.
    """
    shape = [len(r) for r in rows]
    if shape != [5, 9] * count:
        raise ValueError(
            f"{count} segments need lines of {', '.join(['5, 9'] * min(count, 3))} numbers, found {', '.join(map(str, shape))}"
        )
    found = []
    for place, geometry in zip(rows[::2], rows[1::2], strict=True):
        x1, x2, y1, y2 = (int(v) for v in place[1:])
        found.append(_segment((x1, x2, y1, y2), geometry[:2], geometry[2], geometry[3:6], geometry[6:9]))
    return tuple(found)


def segments_in(pairs: Iterable[tuple[str, str]]) -> tuple[Segment, ...]:
    """Segments of keywords and values as in XDS.INP: SEGMENT= begins each.

    Raises
    ------
    ValueError
        If a value is no number, or too few of them.
    """
    found: list[dict[str, list[float]]] = []
    for key, value in pairs:
        if key == "SEGMENT":
            found.append({key: [float(v) for v in value.split()[:4]]})
        elif found and key.startswith(("SEGMENT_", "DIRECTION_OF_SEGMENT_")):
            found[-1][key] = [float(v) for v in value.split()[:3]]
    segments = []
    for words in found:
        x1, x2, y1, y2 = (int(v) for v in words["SEGMENT"])
        segments.append(
            _segment(
                (x1, x2, y1, y2), [words.get(f"SEGMENT_ORG{c}", [0.0])[0] for c in "XY"], words.get("SEGMENT_DISTANCE", [0.0])[0],
                words.get("DIRECTION_OF_SEGMENT_X-AXIS", [1.0, 0.0, 0.0]), words.get("DIRECTION_OF_SEGMENT_Y-AXIS", [0.0, 1.0, 0.0]),
            )
        )  # fmt: skip
    return tuple(segments)


def _segment(
    limits: tuple[int, int, int, int], origin: Sequence[float], distance: float, x: Sequence[float], y: Sequence[float]
) -> Segment:  # fmt: skip
    if limits[1] < limits[0] or limits[3] < limits[2] or min(limits) < 1:
        raise ValueError(f"a segment of pixels {limits[0]} to {limits[1]}, {limits[2]} to {limits[3]}")
    along, up = np.array(x, float), np.array(y, float)
    if len(along) != 3 or len(up) != 3 or not np.linalg.norm(np.cross(along, up)) > 1e-6:
        raise ValueError("a segment whose axes are no two directions")
    along, up = along / np.linalg.norm(along), up / np.linalg.norm(up)
    return Segment(limits, np.array(origin, float), float(distance), along, up)


def several(segments: Sequence[Segment], size: tuple[int, int]) -> bool:
    """Whether segments say more than that the detector is one flat area."""
    if len(segments) != 1:
        return len(segments) > 1
    one = segments[0]
    return bool(
        one.size != tuple(size) or np.any(one.origin_px != 0) or one.distance != 0
        or not np.allclose([one.x, one.y], [[1, 0, 0], [0, 1, 0]], atol=1e-7)
    )  # fmt: skip
