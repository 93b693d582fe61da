"""Contract of the ``threshold`` slot: which pixels of an image are stronger than their surroundings.

Chosen by ``spotfinder.threshold.algorithm``; entry-point group ``spindle.threshold``. One instance serves all images of
a run and is called from several threads at once: it may keep workspace per thread and maps per panel, never anything of
another image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from . import hookspec
from .checking import Checks, Fault, array, instance, items

if TYPE_CHECKING:
    from spindle.models import Beam, Panel

__all__ = ["ThresholdImage", "ThresholdSpec"]


@dataclass(frozen=True, slots=True)
class ThresholdImage:
    """The image of one panel, as `ThresholdSpec.find_strong` gets it.

    Attributes
    ----------
    image : (slow, fast) int32 or float32, counts
    mask : (slow, fast) bool
        True where a pixel can be used.
    gain : float or (slow, fast) float64
        Counts per photon that are left in `image`.
    panel : Panel
    beam : Beam
    corner : (int, int), pixels
        Where in the panel (fast, slow) ``image[0, 0]`` lies.
    out : (slow, fast) bool
        Memory that may be filled and returned.
    """

    image: np.ndarray
    mask: np.ndarray
    gain: float | np.ndarray
    panel: Panel
    beam: Beam
    corner: tuple[int, int]
    out: np.ndarray


_ROWS = 64


def check_strong(arguments: dict[str, Any], result: Any) -> np.ndarray:
    """Refuse what is not an image of bool, or strong where the mask forbids it."""
    mask = arguments["mask"]
    strong = array(result, mask.shape, np.bool_, "the result")
    # Piece by piece, which fits into the processor's cache: fresh memory for a whole image takes longer than the comparison.
    forbidden = sum(
        np.count_nonzero(np.greater(strong[i : i + _ROWS], mask[i : i + _ROWS])) for i in range(0, len(mask), _ROWS)
    )
    if forbidden:
        raise Fault(f"the result is True at {forbidden} pixels where mask is False; masked pixels are never strong")
    return strong


def check_batch(arguments: dict[str, Any], result: Any) -> list[np.ndarray]:
    """Refuse what is not one image of bool for each image."""
    images = arguments["images"]
    found = items(result, np.ndarray, "the result", len(images))
    return [check_strong({"mask": image.mask}, strong) for image, strong in zip(images, found, strict=True)]


def check_yes_or_no(arguments: dict[str, Any], result: Any) -> bool:
    """Refuse anything but yes or no."""
    return bool(instance(result, (bool, np.bool_), "the result"))


def one_by_one(plugin: Any, images: Sequence[ThresholdImage]) -> list[np.ndarray]:
    """The strong pixels of each image by `find_strong`."""
    return [plugin.find_strong(*(getattr(image, f.name) for f in fields(image))) for image in images]


def never() -> bool:
    """The answer of thresholds that know no gain."""
    return False


class ThresholdSpec:
    """Hooks of a threshold.

    A threshold that is quicker with several images at once, as on a graphics processor, implements `find_strong_batch` too and declares
    how many it wants.

    Attributes
    ----------
    images_at_once : int, declared
        How many images of a sweep a program should give to `find_strong_batch` at once, each with all its panels.
    finds_more_with : str, declared
        An assignment of one of its parameters (``sigma_strong=2``) with which weaker pixels are strong too; programs advise it where
        there are few spots. Empty for none.
    gain_parameter : str, declared
        Its parameter for the gain of the detector, counts per photon; empty for none.
    """

    checks: ClassVar[Checks] = {
        "find_strong": check_strong,
        "find_strong_batch": check_batch,
        "wants_estimated_gain": check_yes_or_no,
    }
    optional: ClassVar[frozenset[str]] = frozenset({"find_strong_batch", "wants_estimated_gain"})
    defaults: ClassVar[dict[str, Any]] = {"find_strong_batch": one_by_one, "wants_estimated_gain": never}
    declares: ClassVar[dict[str, Any]] = {"images_at_once": 1, "finds_more_with": "", "gain_parameter": ""}
    # arguments that an implementation may change
    changed: ClassVar[frozenset[str]] = frozenset({"out"})

    @hookspec(firstresult=True)
    def find_strong(  # type: ignore[empty-body]
        self,
        image: np.ndarray,
        mask: np.ndarray,
        gain: float | np.ndarray,
        panel: Panel,
        beam: Beam,
        corner: tuple[int, int],
        out: np.ndarray,
    ) -> np.ndarray:
        """Find the strong pixels of the image of one panel.

        Parameters
        ----------
        image : (slow, fast) int32 or float32, counts
            Pixel values, C order, free of pedestal and divided by the panel's gain. Integers where nothing had to be
            corrected.
        mask : (slow, fast) bool
            True where a pixel can be used; the trusted range is in it.
        gain : float or (slow, fast) float64
            Counts per photon that are left in `image`; 1 unless a map says otherwise.
        panel : Panel
            The panel, for thresholds that depend on the geometry.
        beam : Beam
        corner : (int, int), pixels
            Where in the panel (fast, slow) ``image[0, 0]`` lies; not (0, 0) when a region of interest is searched.
        out : (slow, fast) bool
            Memory that may be filled and returned; an implementation may return an array of its own instead.

        Returns
        -------
        (slow, fast) bool
            True at strong pixels; never where `mask` is False.

        Raises
        ------
        spindle.errors.ParameterError
            If a parameter does not make sense for these images.
        """

    @hookspec(firstresult=True)
    def find_strong_batch(self, images: Sequence[ThresholdImage]) -> list[np.ndarray]:  # type: ignore[empty-body]
        """Find the strong pixels of several images at once.

        Optional: without it `find_strong` is asked for each.

        Parameters
        ----------
        images : sequence of ThresholdImage
            Panels of one image or of several images of one sweep, perhaps of different sizes.

        Returns
        -------
        list of (slow, fast) bool
            For each image what `find_strong` would give.
        """

    @hookspec(firstresult=True)
    def wants_estimated_gain(self) -> bool:  # type: ignore[empty-body]
        """Whether the program should estimate the gain from the images and give it to `find_strong`; no, unless it says so."""
