"""Reflections by image: one axis for sweeps and stills, and curves with few points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spindle.models import Experiments
from spindle.table import ReflectionTable
from spindle_lib_selection.parts import imageset_numbers, imagesets_of_rows

from .bins import means, rms

__all__ = ["MOST_CURVES", "MOST_POINTS", "ByImage", "Group"]

#: Most curves of one figure, of more sweeps each is a point; and most points of one curve, neighbouring images are joined.
MOST_CURVES, MOST_POINTS = 12, 900
#: Of more experiments, spots that are not indexed are not counted.
MOST_SINGLE = 50


@dataclass(frozen=True)
class Group:
    """Images that make one curve.

    Attributes
    ----------
    name : str
    first : int
        Place of the first image in arrays over all images.
    numbers : (k,) float64
        Numbers of the images, or of stills, or of sweeps.
    """

    name: str
    first: int
    numbers: np.ndarray


class ByImage:
    """Which image each row lies on; where there are more sweeps than a figure has curves, which sweep.

    Parameters
    ----------
    experiments : Experiments
        May be empty.
    table : ReflectionTable
        With the column `id`.
    observed : bool
        Take observed centroids where there are any, else calculated ones first.

    Attributes
    ----------
    places : (n,) int64
        Place of the image among those of all groups; -1 where a row lies on none.
    groups : list of Group
    n_images : int
    axis : str
        What a point is, and the title of the axis: image, still or sweep.
    """

    def __init__(self, experiments: Experiments, table: ReflectionTable, observed: bool = False) -> None:
        z = _z(table, observed)
        self.axis = "image"
        self.groups: list[Group] = []
        self.places = np.full(len(table), -1, np.int64)
        self.n_images = 0
        if z is None:
            return
        with np.errstate(invalid="ignore"):
            frame = np.where(np.isfinite(z), np.floor(z), -1e9).astype(np.int64)
        if len(experiments):
            self._of_experiments(experiments, table, frame)
        else:
            self._of_rows(table, frame)

    def _of_experiments(self, experiments: Experiments, table: ReflectionTable, frame: np.ndarray) -> None:
        which = imagesets_of_rows(table, imageset_numbers(experiments))
        own = np.asarray(table["id"])
        if len(experiments) > MOST_SINGLE:
            return self._of_many(experiments, table, frame)
        sets: list[tuple[np.ndarray, int]] = [
            (which == k, next(i for i, e in enumerate(experiments) if e.imageset is s))
            for k, s in enumerate(experiments.unique("imageset"))
            if s is not None
        ]
        sets += [(own == i, i) for i, e in enumerate(experiments) if e.imageset is None]
        if len(sets) == 1:  # spots that are not indexed can lie nowhere else
            sets = [(np.ones(len(table), bool), sets[0][1])]
        n_sweeps = sum(experiments[i].scan is not None and not experiments[i].is_still for _, i in sets)
        if n_sweeps > MOST_CURVES:
            for k, (rows, _) in enumerate(sets):
                self.places[rows] = k
            return self._points(len(sets), "sweep")
        stills: list[tuple[np.ndarray, int]] = []
        for rows, i in sets:
            scan = experiments[i].scan
            if scan is None or experiments[i].is_still:
                stills.append((rows, i))
                continue
            start, stop = scan.array_range
            inside = rows & (frame >= start) & (frame < stop)
            self.places[inside] = self.n_images + frame[inside] - start
            name = f"sweep {len(self.groups)}" if n_sweeps > 1 else ""
            self.groups.append(Group(name, self.n_images, np.arange(start + 1.0, stop + 1.0)))
            self.n_images += stop - start
        if stills:
            for k, (rows, _) in enumerate(stills):
                self.places[rows] = self.n_images + k
            self._points(len(stills), "still")
        return None

    def _of_many(self, experiments: Experiments, table: ReflectionTable, frame: np.ndarray) -> None:
        """One place for each still or sweep of many; of few sweeps with many lattices, for each image."""
        own = np.asarray(table["id"])
        keys = [id(e.imageset) if e.imageset is not None else ("own", i) for i, e in enumerate(experiments)]
        order = {key: k for k, key in enumerate(dict.fromkeys(keys))}
        place = np.array([order[key] for key in keys] + [-1])[own]
        swept = {k for k, e in zip(keys, experiments, strict=True) if not e.is_still}
        if not swept or len(swept) > MOST_CURVES:
            self.places = place
            return self._points(len(order), "sweep" if swept else "still")
        for key, e in zip(keys, experiments, strict=True):
            if key in swept and e.scan is not None:
                swept.remove(key)
                start, stop = e.scan.array_range
                inside = (place == order[key]) & (frame >= start) & (frame < stop)
                self.places[inside] = self.n_images + frame[inside] - start
                self.groups.append(
                    Group(f"sweep {len(self.groups)}", self.n_images, np.arange(start + 1.0, stop + 1.0))
                )
                self.n_images += stop - start
        return None

    def _of_rows(self, table: ReflectionTable, frame: np.ndarray) -> None:
        """Without models: by the number of the image set, else of the experiment."""
        number = np.asarray(table["imageset_id" if "imageset_id" in table else "id"]).astype(np.int64)
        known = frame > -(10**8)
        numbers = np.unique(number[known])
        if len(numbers) > MOST_CURVES:
            self.places = np.where(known, np.searchsorted(numbers, number), -1)
            return self._points(len(numbers), "sweep")
        for k in numbers:
            rows = known & (number == k)
            start, stop = int(frame[rows].min()), int(frame[rows].max()) + 1
            if stop - start > 10**6:
                continue
            self.places[rows] = self.n_images + frame[rows] - start
            self.groups.append(Group(f"sweep {max(k, 0)}", self.n_images, np.arange(start + 1.0, stop + 1.0)))
            self.n_images += stop - start
        return None

    def _points(self, n: int, what: str) -> None:
        self.axis = "image" if self.groups else what
        self.groups.append(Group(f"{what}s" if self.groups else "", self.n_images, np.arange(n, dtype=np.float64)))
        self.n_images += n

    @property
    def along(self) -> str:
        """The course of curves, for their titles."""
        return "along the scan" if self.axis == "image" else f"by {self.axis}"

    def counts(self, rows: np.ndarray | None = None) -> np.ndarray:
        """(n_images,) int64: rows on each image, of a choice (n,) bool."""
        places = self.places if rows is None else self.places[rows]
        return np.bincount(places[places >= 0], minlength=self.n_images)

    def count_curves(self, rows: np.ndarray | None = None, name: str = "") -> list[tuple[str, np.ndarray, np.ndarray]]:
        """Curves of the number of rows on each image."""
        counts = self.counts(rows).astype(np.float64)
        return [
            (self._named(g, name), *_joined(g.numbers, counts[g.first : g.first + len(g.numbers)])) for g in self.groups
        ]

    def mean_curves(
        self, values: np.ndarray, rows: np.ndarray | None = None, name: str = "", square: bool = False
    ) -> list[tuple[str, np.ndarray, np.ndarray]]:
        """Curves of the mean of values (n,) over the rows of each image, or of their root mean square."""
        places = self.places if rows is None else self.places[rows]
        chosen = values if rows is None else values[rows]
        curves = []
        for g in self.groups:
            block = _block(len(g.numbers))
            n = -(-len(g.numbers) // block)
            local = np.where((places >= g.first) & (places < g.first + len(g.numbers)), (places - g.first) // block, -1)
            found = rms(local, chosen, n) if square else means(local, chosen, n)[1]
            curves.append((self._named(g, name), _middles(g.numbers, block), found))
        return curves

    def _named(self, group: Group, name: str) -> str:
        return f"{name}, {group.name}" if name and group.name else name or group.name


def _block(n: int) -> int:
    return max(1, -(-n // MOST_POINTS))


def _middles(numbers: np.ndarray, block: int) -> np.ndarray:
    n = -(-len(numbers) // block)
    return np.array([numbers[k * block : (k + 1) * block].mean() for k in range(n)]) if block > 1 else numbers


def _joined(numbers: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means of neighbouring images."""
    block = _block(len(numbers))
    return _middles(numbers, block), _middles(values, block)


def _z(table: ReflectionTable, observed: bool) -> np.ndarray | None:
    """Array index in the scan of each row (n,); None where the table does not tell."""
    names = ["xyzobs.px.value", "xyzcal.px"]
    for name in names if observed else reversed(names):
        if name in table:
            return np.asarray(table.peek(name))[:, 2]
    return None
