"""Contract of the ``beam_position`` slot: where the direct beam hits the detector.

Chosen by ``method`` of the program search_beam_position; entry-point group ``spindle.beam_position``. There are two kinds
of methods, and a plugin implements the hook of its kind: those that look at spots move the detector until the spots make a
lattice; those that look at images find the centre of what surrounds the beam, along one axis of a panel or both, so that
each axis may have a method of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from spindle.errors import UserError

from . import hookspec
from .checking import Checks, array, finite, instance, integer, items, number

if TYPE_CHECKING:
    from spindle.contracts.executor import Executor
    from spindle.models import Experiments
    from spindle.table import ReflectionTable

__all__ = ["AxisCentre", "BeamPositionError", "BeamPositionSpec", "DetectorShift", "ImageSummary", "ScoreMap"]


class BeamPositionError(UserError):
    """A beam position that cannot be told; says why and what to try."""


@dataclass(frozen=True, slots=True)
class ScoreMap:
    """How well each place of a search fits, for plots.

    Attributes
    ----------
    offsets : (k,) float64, mm
        Places along either axis, ascending.
    scores : (k, k) float64
        ``scores[i, j]`` is that of ``offsets[i] * axes[0] + offsets[j] * axes[1]``.
    axes : (2, 3) float64
        Unit vectors in the laboratory.
    """

    offsets: np.ndarray
    scores: np.ndarray
    axes: np.ndarray


@dataclass(frozen=True, slots=True)
class DetectorShift:
    """Where a detector should be moved to.

    Attributes
    ----------
    shift : (3,) float64, mm
        To be added to the origin of every panel, in the laboratory frame.
    uncertainty : float, mm
        Standard uncertainty of the shift in one direction; NaN when it is not known.
    quality, quality_before : float
        How well the spots fit a lattice with the shift and without it: 1 is perfect, 0 is chance.
    on_lattice, on_lattice_before : float
        Fraction of the spots that lie near points of that lattice.
    n_spots : int
        Spots that were used.
    rivals : (m, 3) float64, mm
        Other shifts that fit about as well.
    score_map : ScoreMap or None
    notes : tuple of str
        What the user should know: vectors found, sweeps left out.
    """

    shift: np.ndarray
    uncertainty: float
    quality: float
    quality_before: float
    on_lattice: float
    on_lattice_before: float
    n_spots: int
    rivals: np.ndarray = field(default_factory=lambda: np.empty((0, 3)))
    score_map: ScoreMap | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ImageSummary:
    """Several images of one panel, pixel by pixel.

    Attributes
    ----------
    mean, maximum : (slow, fast) float32, counts
        Over the images in which a pixel was good; 0 where it never was.
    good : (slow, fast) bool
        Pixels that were good in some image.
    expected : (2,) float64, pixels
        Where the models say that the beam is (fast, slow); NaN when they do not.
    n_images : int
    """

    mean: np.ndarray
    maximum: np.ndarray
    good: np.ndarray
    expected: np.ndarray
    n_images: int


@dataclass(frozen=True, slots=True)
class AxisCentre:
    """Where the beam is along one axis of a panel.

    Attributes
    ----------
    position : float, pixels
        From the outer edge of the first pixel: the middle of pixel 0 is 0.5.
    uncertainty : float, pixels
        Standard uncertainty as far as the image tells.
    quality : float
        1 for a centre beyond doubt, 0 for a guess.
    profile : (n,) float64
        What was looked at, one number per pixel along the axis; NaN where there is nothing.
    """

    position: float
    uncertainty: float
    quality: float
    profile: np.ndarray


def check_shift(arguments: dict[str, Any], result: Any) -> DetectorShift:
    """Refuse a shift that is none."""
    found: DetectorShift = instance(result, DetectorShift, "the result")
    finite(array(found.shift, (3,), np.float64, "shift"), "shift")
    number(found.uncertainty, "uncertainty", nan=True)
    for name in ("quality", "quality_before", "on_lattice", "on_lattice_before"):
        number(getattr(found, name), name, nan=True)
    integer(found.n_spots, "n_spots")
    finite(array(found.rivals, (None, 3), np.float64, "rivals"), "rivals")
    if found.score_map is not None:
        instance(found.score_map, ScoreMap, "score_map")
    items(found.notes, str, "notes")
    return found


def check_centre(arguments: dict[str, Any], result: Any) -> tuple[AxisCentre, ...]:
    """Refuse anything but one finite centre for each axis that was asked for."""
    centres = items(result, AxisCentre, "the result", len(arguments["axes"]))
    for axis, centre in zip(arguments["axes"], centres, strict=True):
        number(centre.position, f"position along axis {axis}")
        number(centre.uncertainty, f"uncertainty along axis {axis}", nan=True)
        number(centre.quality, f"quality along axis {axis}", nan=True)
        array(centre.profile, (None,), "fiu", f"profile along axis {axis}")
    return tuple(centres)


class BeamPositionSpec:
    """Hooks of the ``beam_position`` slot; a plugin implements one of them."""

    checks: ClassVar[Checks] = {"find_detector_shift": check_shift, "find_centre": check_centre}

    optional: ClassVar[frozenset[str]] = frozenset({"find_detector_shift", "find_centre"})

    @hookspec(firstresult=True)
    def find_detector_shift(  # type: ignore[empty-body]
        self, sweeps: Experiments, spots: ReflectionTable, executor: Executor, rng: np.random.Generator
    ) -> DetectorShift:
        """Find the shift of a detector that makes the spots a lattice.

        Parameters
        ----------
        sweeps : Experiments
            Sweeps and stills without crystals that share one detector.
        spots : ReflectionTable
            Their strong spots: xyzobs.px.value, xyzobs.mm.value, panel, s1, rlp, entering, and imageset_id, the position
            in `sweeps`.
        executor : Executor
            Spreads work over ``executor.n_workers`` threads.
        rng : numpy.random.Generator
            For methods that choose at random.

        Returns
        -------
        DetectorShift
            In the plane normal to the beam. The same input gives the same answer for any number of workers.

        Raises
        ------
        BeamPositionError
            If there are too few spots, or no place at which they make a lattice.
        """

    @hookspec(firstresult=True)
    def find_centre(self, image: ImageSummary, axes: tuple[int, ...]) -> tuple[AxisCentre, ...]:  # type: ignore[empty-body]
        """Find the centre of an image along one axis or both.

        Parameters
        ----------
        image : ImageSummary
        axes : tuple of int
            Those that are asked for: 0 for fast (x), 1 for slow (y).

        Returns
        -------
        tuple of AxisCentre
            In the order of `axes`.

        Raises
        ------
        BeamPositionError
            If the image has no centre that this method could find.
        """
