"""Contract of the ``threshold`` slot: which pixels of an image are stronger than their surroundings.

Chosen by ``spotfinder.threshold.algorithm``; entry-point group ``spindle.threshold``. One instance serves all images of
a run and is called from several threads at once: it may keep workspace per thread and maps per panel, never anything of
another image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from . import hookspec
from .checking import Checks, Fault, array

if TYPE_CHECKING:
    from spindle.models import Beam, Panel

__all__ = ["ThresholdSpec"]


def check_strong(arguments: dict[str, Any], result: Any) -> np.ndarray:
    """Refuse what is not an image of bool, or strong where the mask forbids it."""
    mask = arguments["mask"]
    strong = array(result, mask.shape, np.bool_, "the result")
    beyond = np.greater(strong, mask)
    if beyond.any():
        forbidden = np.count_nonzero(beyond)
        raise Fault(f"the result is True at {forbidden} pixels where mask is False; masked pixels are never strong")
    return strong


class ThresholdSpec:
    """Hooks of a threshold."""

    checks: ClassVar[Checks] = {"find_strong": check_strong}
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
