"""Contract of the ``background`` slot: the background under every pixel of a block of shoeboxes.

Chosen by ``integration.background.algorithm``; entry-point group ``spindle.background``. An implementation gets a whole
block of ragged shoeboxes at once and may be called from several threads with different blocks: it keeps no state
between calls. A model that has to know whole images first, such as one of powder rings, returns a `BackgroundLearner` from
`make_background_learner`; what that learned comes back with every block of shoeboxes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from spindle.table import MaskCode

from . import hookspec
from .background_learner import BackgroundLearner, check_learner
from .checking import Checks, Fault, array, finite, instance

if TYPE_CHECKING:
    from spindle.models import Detector, Experiment
    from spindle.table import Shoeboxes

__all__ = ["BackgroundEstimate", "BackgroundLearner", "BackgroundSpec", "usable_pixels"]


def usable_pixels(mask: np.ndarray) -> np.ndarray:
    """Pixels that a background model may look at: valid, background and not under a neighbour's foreground.

    Parameters
    ----------
    mask : (p,) uint8
        Mask bits of all pixels of a block of shoeboxes.

    Returns
    -------
    (p,) bool
    """
    wanted = MaskCode.VALID | MaskCode.BACKGROUND
    return (mask & (wanted | MaskCode.OVERLAPPED)) == wanted


@dataclass(frozen=True, slots=True)
class BackgroundEstimate:
    """Background of a block of n shoeboxes with p pixels in all.

    Attributes
    ----------
    background : (p,) float32, counts
        Background of every pixel, foreground included, in the pixel order of the shoeboxes; 0 where it failed.
    used : (p,) bool
        Pixels that took part in the estimate; becomes the mask bit ``BACKGROUND_USED``.
    mean, mse, dispersion : (n,) float64
        Columns ``background.mean`` (counts per pixel), ``background.mse`` (mean squared residual of the used pixels)
        and ``background.dispersion`` (sample variance / mean of the used pixels; near 1 for photon counts).
    success : (n,) bool
        False where no background could be estimated: the integrator then sets ``failed_during_background_modelling``
        and ``dont_integrate`` and writes no intensity.
    mean_variance : (n,) float64 or None, counts^2
        Variance of the mean background per pixel under the foreground, as the estimator itself knows it. Profile
        fitting and summation need it for honest sigmas; where it is None they take mean / number of used pixels.
    """

    background: np.ndarray
    used: np.ndarray
    mean: np.ndarray
    mse: np.ndarray
    dispersion: np.ndarray
    success: np.ndarray
    mean_variance: np.ndarray | None = None

    @classmethod
    def from_pixels(
        cls,
        shoeboxes: Shoeboxes,
        background: np.ndarray,
        used: np.ndarray,
        success: np.ndarray,
        *,
        mean: np.ndarray | None = None,
        mean_variance: np.ndarray | None = None,
    ) -> BackgroundEstimate:
        """Work out the statistics from the background of each pixel; failed shoeboxes are cleared.

        Parameters
        ----------
        shoeboxes : Shoeboxes
            The block that was modelled.
        background : (p,) float32, counts
            Background of every pixel; set to 0 in place where ``success`` is False.
        used : (p,) bool
            Pixels that were used; set to False in place where ``success`` is False.
        success : (n,) bool
            Where the model could be made.
        mean : (n,) float64, optional
            Mean background; the mean of the data of the used pixels when not given.
        mean_variance : (n,) float64, optional
            See the class.
        """
        from spindle.table.background_statistics import background_statistics

        n = len(success)
        data_mean, mse, dispersion = np.zeros(n), np.zeros(n), np.zeros(n)
        background_statistics(
            shoeboxes.data, shoeboxes.offsets, background, used.view(np.uint8), success, data_mean, mse, dispersion
        )
        mean = data_mean if mean is None else np.where(success, mean, 0.0)
        if mean_variance is not None:
            mean_variance = np.where(success, mean_variance, 0.0)
        return cls(background, used, mean, mse, dispersion, success, mean_variance)


def check_background(arguments: dict[str, Any], result: Any) -> BackgroundEstimate:
    """Refuse an estimate that does not fit the block, or that holds no numbers where it claims success."""
    estimate: BackgroundEstimate = instance(result, BackgroundEstimate, "the result")
    shoeboxes = arguments["shoeboxes"]
    n, p = len(shoeboxes), len(shoeboxes.data)
    success = array(estimate.success, (n,), np.bool_, "success")
    array(estimate.used, (p,), np.bool_, "used")
    pixels = array(estimate.background, (p,), np.float32, "background")
    if p and not (np.isfinite(pixels.min()) and np.isfinite(pixels.max())):
        box = np.repeat(np.arange(n), np.diff(shoeboxes.offsets))
        bad = ~np.isfinite(pixels) & success[box]
        if bad.any():
            first = int(np.argmax(bad))
            raise Fault(
                f"background is {pixels[first]} in pixel {first} of the block, of shoebox {box[first]}, although success is True "
                f"there; finite numbers expected ({len(np.unique(box[bad]))} of {n} shoeboxes)"
            )
    for name in ("mean", "mse", "dispersion"):
        finite(array(getattr(estimate, name), (n,), np.float64, name), name, success)
    if estimate.mean_variance is not None:
        variance = array(estimate.mean_variance, (n,), np.float64, "mean_variance")
        finite(variance, "mean_variance", success, least=0.0)
    return estimate


def nothing_to_learn() -> None:
    """What answers for a model without a learner."""


class BackgroundSpec:
    """Hooks of a background model."""

    optional: ClassVar[frozenset[str]] = frozenset({"make_background_learner"})
    defaults: ClassVar[dict[str, Any]] = {"make_background_learner": nothing_to_learn}
    added: ClassVar[dict[str, dict[str, Any]]] = {"estimate_background": {"learned": None}}
    checks: ClassVar[Checks] = {"estimate_background": check_background, "make_background_learner": check_learner}

    @hookspec(firstresult=True)
    def make_background_learner(self, experiment: Experiment) -> BackgroundLearner | None:
        """Begin to learn from the images of an experiment, before its shoeboxes are seen. May be left out.

        Parameters
        ----------
        experiment : Experiment
            The first of those on the images: beam, detector, goniometer, scan.

        Returns
        -------
        BackgroundLearner or None
            None when nothing is to be learned; the images are not read for it then.
        """

    @hookspec(firstresult=True)
    def estimate_background(  # type: ignore[empty-body]
        self, shoeboxes: Shoeboxes, detector: Detector | None, learned: Any
    ) -> BackgroundEstimate:
        """Estimate the background of every pixel of a block of shoeboxes.

        Parameters
        ----------
        shoeboxes : Shoeboxes
            n ragged shoeboxes, pixels ordered z, y, x; not to be changed. Only pixels of `usable_pixels` may be looked
            at.
        detector : Detector or None
            The detector of the experiment (panel types, gains); shoeboxes name its panels.
        learned : object
            What `BackgroundLearner.finish` returned; None without a learner.

        Returns
        -------
        BackgroundEstimate
            For all n shoeboxes, in order.

        Raises
        ------
        spindle.errors.UserError
            If the model cannot treat this kind of data at all. A single shoebox never raises: its ``success`` is False.
        """
