"""How good each image is, from its spots alone: how many, how strong, how far out.

Two rooms share it: the table of spots per image and the server that judges images while they are collected.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spindle.errors import ModelError
from spindle_lib_ice import SPOT_WIDTH, in_intervals, ring_intervals

from .resolution_limits import NOT_ESTIMATED, distl_method_1, distl_method_2, limit_by_signal

if TYPE_CHECKING:
    from spindle.models import Experiment, Experiments
    from spindle.table import ReflectionTable

__all__ = [
    "NOT_ESTIMATED",
    "SetOfImages",
    "SpotAnalysis",
    "analyse_image",
    "analyse_images",
    "analyse_together",
    "sets_of_images",
]

# Fewer spots outside ice rings say nothing about a resolution limit.
_FEWEST_SPOTS = 11


@dataclass(frozen=True, slots=True)
class SpotAnalysis:
    """What the spots say about each of n images.

    Attributes
    ----------
    n_spots_total : (n,) int64
    n_spots_no_ice : (n,) int64
        Spots outside the powder rings of hexagonal ice.
    n_spots_4A : (n,) int64
        Spots with d > 4 angstrom.
    total_intensity : (n,) float64, counts
        Summed intensity of the spots outside ice rings.
    estimated_d_min : (n,) float64, angstrom
        Resolution limit from the fall of I/sigma; -1 where there is no estimate.
    d_min_distl_method_1, d_min_distl_method_2 : (n,) float64, angstrom
        Resolution limits from the places of the spots alone; -1 where there is no estimate.
    noisiness_method_1, noisiness_method_2 : (n,) float64
        How disorderly the curve behind each of the two is, 0 (not at all) to 1; -1 without an estimate.
    """

    n_spots_total: np.ndarray
    n_spots_no_ice: np.ndarray
    n_spots_4A: np.ndarray
    total_intensity: np.ndarray
    estimated_d_min: np.ndarray
    d_min_distl_method_1: np.ndarray
    noisiness_method_1: np.ndarray
    d_min_distl_method_2: np.ndarray
    noisiness_method_2: np.ndarray

    def __len__(self) -> int:
        return len(self.n_spots_total)

    @classmethod
    def empty(cls, n: int) -> SpotAnalysis:
        """n images without spots."""
        counts = {f.name for f in fields(cls) if f.name.startswith("n_spots")}
        return cls(
            **{
                f.name: np.zeros(n, np.int64)
                if f.name in counts
                else np.full(n, 0.0 if f.name == "total_intensity" else NOT_ESTIMATED)
                for f in fields(cls)
            }
        )

    def columns(self) -> dict[str, np.ndarray]:
        """The arrays by name."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    def of_image(self, i: int) -> dict[str, int | float]:
        """Plain numbers of one image by name."""
        return {name: values[i].item() for name, values in self.columns().items()}


@dataclass(frozen=True, slots=True)
class SetOfImages:
    """The images of one image set, to which several crystals may belong.

    Attributes
    ----------
    experiment : Experiment
        The first of the experiments that look at these images; its beam and detector are used.
    numbers : tuple of int
        Positions of these experiments in their list.
    first, last : int
        Range of array indices, half open.
    """

    experiment: Experiment
    numbers: tuple[int, ...]
    first: int
    last: int

    def names(self) -> list[str]:
        """Name of the file of each image, with the number of the frame in files of many; empty without images."""
        imageset = self.experiment.imageset
        if imageset is None or not (imageset.template or imageset.paths):
            return []
        names = []
        # Sequences count images by the scan, other image sets by position; see `ImageSequence`.
        start = self.first if imageset.kind == "ImageSequence" else 0
        for number in range(start + 1, start + 1 + self.last - self.first):
            path, frame = imageset.file_of_image(number)
            is_series = imageset.template is not None and imageset.numbered is None
            names.append(Path(path).name + (f"[{frame}]" if frame or is_series else ""))
        return names


def sets_of_images(experiments: Experiments) -> list[SetOfImages]:
    """The image sets of experiments, in order of first appearance, each with the union of its scans."""
    groups: dict[object, list[int]] = {}
    for number, experiment in enumerate(experiments):
        imageset = experiment.imageset
        alone = imageset is None or not (imageset.template or imageset.paths)
        # Stills of one image set are told apart by their scans.
        key = (
            (number,) if alone else (id(imageset), id(experiment.scan) if imageset.kind != "ImageSequence" else 0)  # type: ignore[union-attr]
        )
        groups.setdefault(key, []).append(number)
    sweeps = []
    for numbers in groups.values():
        ranges = [_array_range(experiments[n]) for n in numbers]
        sweeps.append(
            SetOfImages(experiments[numbers[0]], tuple(numbers), min(r[0] for r in ranges), max(r[1] for r in ranges))
        )
    return sweeps


def _array_range(experiment: Experiment) -> tuple[int, int]:
    """Array indices of the images of an experiment, half open; those of a still count from 0."""
    if experiment.scan is not None:
        return experiment.scan.array_range
    return 0, max(1, len(experiment.imageset.paths) if experiment.imageset is not None else 1)


def analyse_images(
    experiments: Experiments, reflections: ReflectionTable, resolution_analysis: bool = True
) -> Iterator[tuple[SetOfImages, SpotAnalysis]]:
    """Analyse the spots of each image; a spot belongs to the image in which its centroid lies.

    Parameters
    ----------
    experiments : Experiments
    reflections : ReflectionTable
        Strong, indexed or integrated spots: panel, xyzobs.px.value, intensity.sum.value, intensity.sum.variance, and id
        or imageset_id. Spots of unknown experiments (id = -1, no imageset_id) take no part.
    resolution_analysis : bool
        Also estimate resolution limits.

    Yields
    ------
    SetOfImages, SpotAnalysis
        One per image set, with one entry per image.

    Raises
    ------
    ModelError
        If the table lacks a column.
    """
    _check_columns(reflections)
    for index, sweep in enumerate(sets_of_images(experiments)):
        rows = _rows_of(reflections, sweep, index)
        spots = _Spots.of(sweep.experiment, reflections, rows)
        n = sweep.last - sweep.first
        if sweep.experiment.scan is None and n == 1:
            image = np.zeros(len(spots.z), np.int64)  # a still, whatever its spots have for z
        else:
            image = np.floor(spots.z).astype(np.int64) - sweep.first
        order = np.argsort(image, kind="stable")
        bounds = np.searchsorted(image[order], np.arange(n + 1))
        analysis = SpotAnalysis.empty(n)
        columns = analysis.columns()
        for i in range(n):
            found = _analyse(spots.select(order[bounds[i] : bounds[i + 1]]), resolution_analysis)
            for name, value in found.items():
                columns[name][i] = value
        yield sweep, analysis


def analyse_image(
    experiment: Experiment, reflections: ReflectionTable, resolution_analysis: bool = True
) -> dict[str, int | float]:
    """Analyse spots that are all of one image, whatever their id and their image number.

    Parameters
    ----------
    experiment : Experiment
    reflections : ReflectionTable
        With panel, xyzobs.px.value, intensity.sum.value and intensity.sum.variance.
    resolution_analysis : bool

    Returns
    -------
    dict
        Plain numbers by the names of `SpotAnalysis`.
    """
    _check_columns(reflections)
    return _analyse(_Spots.of(experiment, reflections, np.arange(len(reflections))), resolution_analysis)


def analyse_together(experiments: Experiments, reflections: ReflectionTable) -> dict[str, int | float]:
    """Analyse all spots of all image sets as if they were on one image."""
    _check_columns(reflections)
    parts = [
        _Spots.of(sweep.experiment, reflections, _rows_of(reflections, sweep, index))
        for index, sweep in enumerate(sets_of_images(experiments))
    ]
    return _analyse(_Spots.join(parts), True)


@dataclass(frozen=True, slots=True)
class _Spots:
    """Arrays over spots: image coordinate, resolution (angstrom), volume within it outside of ice rings (1/angstrom^3),
    intensity, its variance, within an ice ring.
    """

    z: np.ndarray
    d: np.ndarray
    volume: np.ndarray
    intensity: np.ndarray
    variance: np.ndarray
    ice: np.ndarray

    @classmethod
    def of(cls, experiment: Experiment, table: ReflectionTable, rows: np.ndarray) -> _Spots:
        """Spots of some rows of a table."""
        xyz = table["xyzobs.px.value"][rows]
        panel = table["panel"][rows].astype(np.int64)
        if len(rows) and panel.max() >= len(experiment.detector):
            raise ModelError(
                f"the reflections name panel {panel.max()}, the detector has {len(experiment.detector)} (counted from "
                "0): give the experiments that belong to them"
            )
        d = experiment.detector.resolution_at(panel, xyz[:, :2], experiment.beam.s0)
        volume, ice = _around_ice(d)
        return cls(xyz[:, 2], d, volume, table["intensity.sum.value"][rows], table["intensity.sum.variance"][rows], ice)

    @classmethod
    def join(cls, parts: list[_Spots]) -> _Spots:
        """Spots of several sweeps."""
        return cls(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)))

    def select(self, rows: np.ndarray) -> _Spots:
        """Some of the spots."""
        return _Spots(*(getattr(self, f.name)[rows] for f in fields(self)))


def _check_columns(table: ReflectionTable) -> None:
    needed = ("panel", "xyzobs.px.value", "intensity.sum.value", "intensity.sum.variance")
    missing = [name for name in needed if name not in table]
    if missing and len(table):
        raise ModelError(
            f"the reflections lack {', '.join(missing)}: give spots that were found in images (strong.refl of "
            "spindle find_spots, indexed.refl, integrated.refl)"
        )


def _rows_of(table: ReflectionTable, sweep: SetOfImages, index: int) -> np.ndarray:
    """Rows (n,) int64 of the spots of an image set; spots that are not indexed are told by imageset_id."""
    if not len(table):
        return np.empty(0, np.int64)
    number = table.get("id")
    if number is None and "imageset_id" not in table:
        raise ModelError("the reflections have neither id nor imageset_id: which images they belong to is unknown")
    chosen = np.zeros(len(table), np.bool_) if number is None else np.isin(number, sweep.numbers)
    if "imageset_id" in table:
        unknown = np.ones(len(table), np.bool_) if number is None else number < 0
        chosen |= unknown & (table["imageset_id"] == index)
    # Predicted reflections that were not observed have no place.
    chosen &= np.any(table["xyzobs.px.value"][:, :2] != 0, axis=1)
    return np.flatnonzero(chosen)


def _around_ice(d: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Volume (n,) of reciprocal space within each d and outside the rings of hexagonal ice, and whether d is in a ring."""
    if not len(d):
        return np.zeros(0), np.zeros(0, np.bool_)
    rings = ring_intervals(max(float(d.min()), 0.3), SPOT_WIDTH)
    square = 1.0 / d**2
    knots = np.concatenate([[0.0], rings.ravel(), [max(square.max(), rings.max(initial=0.0)) + 1.0]])
    gained = np.diff(knots**1.5)
    gained[1::2] = 0.0
    volume = np.interp(square**1.5, knots**1.5, np.concatenate([[0.0], np.cumsum(gained)]))
    return volume, in_intervals(square, rings)


def _analyse(spots: _Spots, resolution_analysis: bool) -> dict[str, int | float]:
    """Plain numbers of the spots of one image."""
    plain = ~spots.ice
    n_plain = int(np.count_nonzero(plain))
    result: dict[str, int | float] = SpotAnalysis.empty(1).of_image(0)
    result["n_spots_total"] = len(spots.d)
    result["n_spots_no_ice"] = n_plain
    result["n_spots_4A"] = int(np.count_nonzero(spots.d > 4.0))
    result["total_intensity"] = float(spots.intensity[plain].sum())
    if not resolution_analysis or n_plain < _FEWEST_SPOTS:
        return result
    d, volume = spots.d[plain], spots.volume[plain]
    result["estimated_d_min"] = limit_by_signal(d, spots.intensity[plain], spots.variance[plain])
    result["d_min_distl_method_1"], result["noisiness_method_1"] = distl_method_1(d, volume)
    result["d_min_distl_method_2"], result["noisiness_method_2"] = distl_method_2(d, volume)
    return result
