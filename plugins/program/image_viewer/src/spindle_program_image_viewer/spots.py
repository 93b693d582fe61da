"""The reflections that lie on an image, with what is drawn of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from spindle.models import Experiments
from spindle.table import INTEGRATED, Flag, MaskCode, ReflectionTable

from .image_sets import OpenSet

__all__ = ["KINDS", "Spots", "reflection_of", "seen_on"]

#: What a row is: a spot without lattice, an indexed spot, a prediction, an integrated reflection, one that was rejected.
KINDS = ("strong", "indexed", "predicted", "integrated", "rejected")
_STRONG, _INDEXED, _PREDICTED, _INTEGRATED, _REJECTED = range(5)
_FAILED = Flag.FAILED_DURING_BACKGROUND_MODELLING | Flag.FAILED_DURING_SUMMATION | Flag.FAILED_DURING_PROFILE_FITTING
_BAD = Flag.DONT_INTEGRATE | Flag.CENTROID_OUTLIER | Flag.EXCLUDED_FOR_SCALING | Flag.OUTLIER_IN_SCALING | _FAILED
#: Reflections and pixels of spots that are sent for one image.
MOST, MOST_PIXELS = 20_000, 60_000


class Spots:
    """One reflection table, ready to be asked for what is on an image.

    Parameters
    ----------
    table : ReflectionTable
    experiments : Experiments
        Those that its ids count.
    first : int
        Number of the first of them among all that are open.
    name : str
    """

    def __init__(self, table: ReflectionTable, experiments: Experiments, first: int = 0, name: str = "") -> None:
        self.table, self.name, self.first = table, name, first
        n = len(table)
        observed, calculated = table.get("xyzobs.px.value"), table.get("xyzcal.px")
        self.observed = observed
        self.calculated = calculated
        self.flags = table["flags"] if "flags" in table else np.zeros(n, np.uint64)
        self.ids = np.asarray(table["id"], np.int64) if "id" in table else np.full(n, -1, np.int64)
        self.sweeps = np.asarray(table["imageset_id"], np.int64) if "imageset_id" in table else np.zeros(n, np.int64)
        self.panel = np.asarray(table["panel"], np.int64) if "panel" in table else np.zeros(n, np.int64)
        self.hkl = table["miller_index"] if "miller_index" in table else np.zeros((n, 3), np.int32)
        self.bbox = table.get("bbox")
        self.kind = self._kinds()
        z = calculated if observed is None else observed
        z = np.zeros(n) if z is None else z[:, 2]
        if calculated is not None and observed is not None:
            z = np.where(np.any(observed != 0, axis=1), z, calculated[:, 2])
        self.z = z
        if self.bbox is not None:
            self.begin, self.end = self.bbox[:, 4].astype(float), self.bbox[:, 5].astype(float)
        else:
            self.begin, self.end = np.floor(z), np.floor(z) + 1
        self.has_images_of = [id(e.imageset) for e in experiments]

    def _kinds(self) -> np.ndarray:
        """(n,) int8: places in `KINDS`."""
        flags = self.flags

        def has(which: int) -> np.ndarray:
            return np.asarray((flags & np.uint64(int(which))) != 0)

        kind = np.full(len(self.table), _STRONG, np.int8)
        kind[np.any(self.hkl != 0, axis=1)] = _INDEXED
        kind[has(Flag.PREDICTED) & ~has(Flag.STRONG | Flag.OBSERVED | Flag.INDEXED)] = _PREDICTED
        if self.observed is None:
            kind[:] = _PREDICTED
        kind[has(_BAD) & has(Flag.PREDICTED)] = _REJECTED
        kind[has(INTEGRATED) & ~has(_BAD)] = _INTEGRATED
        return kind

    def on(self, one: OpenSet, image: int) -> np.ndarray:
        """Rows that lie on an image of a set."""
        members = np.array(one.members, np.int64) - self.first
        experiment = one.experiment
        scan = experiment.scan
        is_sweep = scan is not None and one.frames[0][0].imageset.kind == "ImageSequence" and not one.is_joined
        if is_sweep and scan is not None:
            z = scan.array_range[0] + image
            mine = np.isin(self.ids, members)
            without = self.ids < 0
            if without.any():
                sets = {key: k for k, key in enumerate(dict.fromkeys(self.has_images_of))}
                here = {sets[self.has_images_of[m]] for m in members if 0 <= m < len(self.has_images_of)}
                mine |= without & np.isin(self.sweeps, list(here))
            return np.flatnonzero(mine & (self.begin < z + 1) & (self.end > z))
        owner = one.frames[image][0].experiment
        numbers = [
            m for m in members if 0 <= m < len(self.has_images_of) and self.has_images_of[m] == id(owner.imageset)
        ]
        mine = np.isin(self.ids, numbers)
        if not mine.any() and len(self.has_images_of) == len(one.frames):
            mine = (self.ids < 0) & (self.sweeps == image)
        return np.flatnonzero(mine)


def seen_on(spots: Spots, number: int, one: OpenSet, image: int, d_min: float | None = None) -> dict[str, Any]:
    """What is drawn of a table on an image.

    Parameters
    ----------
    spots : Spots
    number : int
        Of the table.
    one, image
    d_min : float, angstrom, optional
        Leave out what lies beyond.

    Returns
    -------
    dict
        Lists over reflections: ``row``, ``panel``, ``kind``, ``lattice`` (-1 without), ``hkl`` (or None), ``observed`` and
        ``calculated`` (positions in pixels of the panel, or None), ``box`` (x0, x1, y0, y1, or None), ``strong`` (x, y of strong
        pixels on this image, flat), ``brightest`` (x, y, or None).
    """
    rows = spots.on(one, image)
    detector, beam = one.experiment.detector, one.experiment.beam
    rows = rows[spots.panel[rows] < len(detector)]
    if d_min is not None and len(rows):
        at = spots.observed if spots.observed is not None else spots.calculated
        if at is not None:
            rows = rows[detector.resolution_at(spots.panel[rows], at[rows, :2], beam.s0) >= d_min]
    total = len(rows)
    rows = rows[:MOST]
    z = one.array_index(image)
    strong, brightest = _pixels_of(spots, rows, z)

    def positions(column: np.ndarray | None) -> list[Any]:
        if column is None:
            return [None] * len(rows)
        here = column[rows]
        return [[round(x, 3), round(y, 3), round(w, 3)] if x or y or w else None for x, y, w in here.tolist()]

    indexed = np.any(spots.hkl[rows] != 0, axis=1)
    return {
        "table": number,
        "name": spots.name,
        "total": total,
        "row": rows.tolist(),
        "panel": spots.panel[rows].tolist(),
        "kind": spots.kind[rows].tolist(),
        "lattice": np.where(indexed, spots.ids[rows] + spots.first, -1).tolist(),
        "hkl": [h if i else None for h, i in zip(spots.hkl[rows].tolist(), indexed.tolist(), strict=True)],
        "observed": positions(spots.observed),
        "calculated": positions(spots.calculated),
        "box": [None] * len(rows) if spots.bbox is None else spots.bbox[rows, :4].tolist(),
        "strong": strong,
        "brightest": brightest,
        "z": z,
    }


def _pixels_of(spots: Spots, rows: np.ndarray, z: int) -> tuple[list[list[int]], list[Any]]:
    """Strong pixels of each spot on an image (array index z), and its brightest pixel."""
    nothing: tuple[list[list[int]], list[Any]] = [[] for _ in rows], [None] * len(rows)
    if "shoebox" not in spots.table:
        return nothing
    boxes = spots.table["shoebox"]
    strong, brightest = nothing
    left = MOST_PIXELS
    for k, row in enumerate(rows.tolist()):
        data, mask, _ = boxes.pixels(row)
        x0, _, y0, _, z0, z1 = boxes.bbox[row].tolist()
        if not data.size or not z0 <= z < z1 or left <= 0:
            continue
        y, x = np.nonzero((mask[z - z0] & MaskCode.STRONG) != 0)
        left -= len(x)
        strong[k] = np.column_stack([x + x0, y + y0]).ravel().tolist()
        slowest, slow, fast = np.unravel_index(
            int(np.argmax(np.where(mask & MaskCode.STRONG, data, -np.inf))), data.shape
        )
        if slowest == z - z0 and strong[k]:
            brightest[k] = [int(fast) + x0, int(slow) + y0]
    return strong, brightest


def reflection_of(spots: Spots, row: int) -> dict[str, Any]:
    """All columns of a reflection, and the pixels of its shoebox image by image."""
    table = spots.table
    columns: dict[str, Any] = {}
    for name in table:
        if name == "shoebox":
            continue
        value = np.asarray(table[name][row])
        columns[name] = value.tolist() if value.ndim else value.item()
    flags = int(spots.flags[row])
    found: dict[str, Any] = {
        "columns": columns,
        "kind": KINDS[int(spots.kind[row])],
        "flags": [str(f.name).lower() for f in Flag if flags & int(f)],
        "shoebox": None,
    }
    if "shoebox" in table:
        data, mask, background = table["shoebox"].pixels(row)
        if data.size and data.size <= MOST_PIXELS:
            found["shoebox"] = {
                "bbox": table["shoebox"].bbox[row].tolist(),
                "data": data.tolist(),
                "mask": mask.tolist(),
                "background": background.tolist(),
            }
    return found


def spots_of(
    tables: Sequence[ReflectionTable], experiments: Experiments, first: int, names: Sequence[str]
) -> list[Spots]:
    """Tables ready to be asked."""
    return [Spots(t, experiments, first, n) for t, n in zip(tables, names, strict=True)]
