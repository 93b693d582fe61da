"""Contract of the ``profile`` slot: the shape of spots, from bounding boxes to profile-fitted intensities.

Chosen by ``profile.algorithm``; entry-point group ``spindle.profile``. All hooks take the experiments of a run and a
reflection table whose column ``id`` points into them, so that spots of several lattices on the same images are treated
together. Hooks may be called from several threads with different blocks and keep no state; what is learned from the
images lives in the `ProfileFitter` that `ProfileSpec.make_fitter` returns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from . import hookspec

if TYPE_CHECKING:
    from spindle.models import Experiments
    from spindle.report import Table
    from spindle.table import ReflectionTable, Shoeboxes

__all__ = ["ForegroundMasks", "ProfileFit", "ProfileFitter", "ProfileSpec"]


@dataclass(frozen=True, slots=True)
class ForegroundMasks:
    """Which pixels of each bounding box belong to the spot, the same on all images of the box.

    Attributes
    ----------
    offsets : (n + 1,) int64
        Spot i owns ``inside[offsets[i]:offsets[i + 1]]``, its (ny, nx) rectangle, x fastest.
    inside : (offsets[-1],) uint8
        1 inside, 0 outside.
    """

    offsets: np.ndarray
    inside: np.ndarray

    @staticmethod
    def offsets_of(bbox: np.ndarray) -> np.ndarray:
        """(n + 1,) int64 offsets for bounding boxes (n, 6)."""
        wide = bbox.astype(np.int64)
        size = (wide[:, 1] - wide[:, 0]) * (wide[:, 3] - wide[:, 2])
        return np.concatenate([[0], np.cumsum(size)]).astype(np.int64)


@dataclass(frozen=True, slots=True)
class ProfileFit:
    """Profile-fitted intensities of n spots.

    Attributes
    ----------
    value, variance : (n,) float64, counts, counts^2
        Intensity of the whole spot, also where only part of it was recorded. 0 and -1 where the fit failed.
    correlation : (n,) float64
        Pearson correlation between pixels (or grid points) and the fitted model.
    success : (n,) bool
    """

    value: np.ndarray
    variance: np.ndarray
    correlation: np.ndarray
    success: np.ndarray


class ProfileFitter(Protocol):
    """Reference profiles of a run: first all calls of `learn`, in order, then `finish`, then any number of `fit`.

    Two things are optional. ``choose(reflections) -> (n,) bool`` picks, before images are read, the strong spots (with
    ``intensity.sum.value``) that are worth learning from. Where an attribute ``deconvolution`` is True, overlapping spots are fitted
    once more with ``expected_counts(reflections, shoeboxes, intensity) -> (p,) float32`` of the others as background.
    """

    def learn(self, reflections: ReflectionTable, shoeboxes: Shoeboxes) -> np.ndarray:
        """Take in strong spots.

        Parameters
        ----------
        reflections : ReflectionTable
            m rows that are reference spots, fully recorded, without bad pixels, successfully summed.
        shoeboxes : Shoeboxes
            Their m shoeboxes with data, mask and background.

        Returns
        -------
        (m,) bool
            Rows that were used; they get the flag ``used_in_modelling``.
        """
        ...

    def finish(self, map: Any = None) -> None:
        """Make the reference profiles; ``map(function, items)`` runs work on all cores, in order."""
        ...

    def fit(
        self, reflections: ReflectionTable, shoeboxes: Shoeboxes, expected: np.ndarray, background_variance: np.ndarray
    ) -> ProfileFit:
        """Fit spots. Called from several threads.

        Parameters
        ----------
        reflections : ReflectionTable
            n rows.
        shoeboxes : Shoeboxes
            Their shoeboxes with data, mask and background.
        expected : (n,) float64, counts
            Mean intensity of reflections of such resolution; negative where unknown.
        background_variance : (n,) float64, counts^2 per pixel^2
            Variance of the mean background.
        """
        ...

    def models(self) -> list[dict[str, Any]]:
        """The models of the experiments as `finish` left them, which may have improved them; for the output."""
        ...

    def tables(self) -> list[Table]:
        """Tables about the reference profiles for the log."""
        ...

    def reference_profiles(self) -> list[dict[str, Any]]:
        """The profiles: dictionaries with ``experiment``, ``coord`` (3,), ``data`` (array), ``n_reflections``."""
        ...


class ProfileSpec:
    """Hooks of a profile model. The model of an experiment is the dictionary ``experiment.profile``, as in the file."""

    @hookspec(firstresult=True)
    def estimate_profiles(self, experiments: Experiments, reflections: ReflectionTable) -> list[dict[str, Any]]:  # type: ignore[empty-body]
        """Estimate a model for each experiment from observed spots.

        Parameters
        ----------
        experiments : Experiments
        reflections : ReflectionTable
            Strong spots with shoeboxes, ``s1`` and ``xyzcal.px`` of their predictions, ``xyzobs.px.value``.

        Returns
        -------
        list of dict
            One per experiment, in order, with ``__id__`` and whatever the file shall hold.

        Raises
        ------
        spindle.errors.UserError
            If the spots do not suffice; the message says how many there are and what to do.
        """

    @hookspec(firstresult=True)
    def bounding_boxes(self, experiments: Experiments, reflections: ReflectionTable, border: float) -> np.ndarray:  # type: ignore[empty-body]
        """Bounding boxes (n, 6) int32 (x0, x1, y0, y1, z0, z1; half open; z clipped to the scan).

        Parameters
        ----------
        experiments : Experiments
        reflections : ReflectionTable
            Predictions: ``id``, ``panel``, ``s1``, ``xyzcal.px``.
        border : float
            Width of the box across the detector in units of the width of the foreground, at least 1: room for
            background.
        """

    @hookspec(firstresult=True)
    def foreground(self, experiments: Experiments, reflections: ReflectionTable, bbox: np.ndarray) -> ForegroundMasks:  # type: ignore[empty-body]
        """Pixels of each box (n, 6) that belong to the spot."""

    @hookspec(firstresult=True)
    def partiality(self, experiments: Experiments, reflections: ReflectionTable, bbox: np.ndarray) -> np.ndarray:  # type: ignore[empty-body]
        """(n,) float64: fraction of each spot recorded on the images of its box."""

    @hookspec(firstresult=True)
    def make_fitter(self, experiments: Experiments) -> ProfileFitter | None:
        """A new `ProfileFitter`, or None when this model (or this kind of data) has no profile fitting."""
