"""Contract of the ``profile`` slot: the shape of spots, from bounding boxes to profile-fitted intensities.

Chosen by ``profile.algorithm``; entry-point group ``spindle.profile``. All hooks take the experiments of a run and a
reflection table whose column ``id`` points into them, so that spots of several lattices on the same images are treated
together. Hooks may be called from several threads with different blocks and keep no state; what is learned from the
images lives in the `ProfileFitter` that `ProfileSpec.make_fitter` returns.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import numpy as np

from . import hookspec
from .checking import Checked, Checks, Fault, array, finite, instance, items, kind_of, read_only

if TYPE_CHECKING:
    from spindle.models import Experiments
    from spindle.report import Table
    from spindle.table import ReflectionTable, Shoeboxes

__all__ = ["ForegroundMasks", "ProfileFit", "ProfileFitter", "ProfileSpec", "ProfileSummary"]


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


@dataclass(frozen=True, slots=True)
class ProfileSummary:
    """What a program may say about the model of an experiment, whose keys only the plugin knows.

    Attributes
    ----------
    numbers : dict of str to float
        Key numbers by name, such as widths in degrees; a run's summary holds them.
    fault : str
        Why no crystal can have such a model, with the number that says so; empty when it may be right.
    """

    numbers: dict[str, float] = field(default_factory=dict)
    fault: str = ""


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
            Their m shoeboxes with data, mask and background. The background is the variance of a pixel without signal,
            as for counted photons: where reading adds noise, data and background are both raised by its variance.

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
            Their shoeboxes with data, mask and background, raised as in `learn`.
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


class CheckedFitter(Checked):
    """A fitter as its callers see it: what the model's own returns is checked, and what it leaves out is there."""

    @property
    def deconvolution(self) -> bool:
        """Whether overlapping spots are fitted once more."""
        return bool(getattr(self.inner, "deconvolution", False))

    def choose(self, reflections: ReflectionTable) -> np.ndarray:
        """(n,) bool: strong spots that are worth learning from; all, unless the model chooses."""
        if not hasattr(self.inner, "choose"):
            return np.ones(len(reflections), np.bool_)
        with self.guard("choose"):
            return array(self.inner.choose(read_only(reflections)), (len(reflections),), np.bool_, "the result")

    def learn(self, reflections: ReflectionTable, shoeboxes: Shoeboxes) -> np.ndarray:
        """See `ProfileFitter.learn`."""
        with self.guard("learn"):
            used = self.inner.learn(read_only(reflections), read_only(shoeboxes))
            return array(used, (len(reflections),), np.bool_, "the result")

    def finish(self, map: Any = None) -> None:
        """See `ProfileFitter.finish`."""
        with self.guard("finish"):
            self.inner.finish(map)

    def fit(
        self, reflections: ReflectionTable, shoeboxes: Shoeboxes, expected: np.ndarray, background_variance: np.ndarray
    ) -> ProfileFit:
        """See `ProfileFitter.fit`."""
        n = len(reflections)
        with self.guard("fit"):
            found: ProfileFit = instance(
                self.inner.fit(
                    read_only(reflections), read_only(shoeboxes), read_only(expected), read_only(background_variance)
                ),
                ProfileFit,
                "the result",
            )
            success = array(found.success, (n,), np.bool_, "success")
            finite(array(found.value, (n,), np.float64, "value"), "value", success)
            finite(array(found.variance, (n,), np.float64, "variance"), "variance", success, least=0.0)
            finite(array(found.correlation, (n,), np.float64, "correlation"), "correlation", success)
            return found

    def expected_counts(self, reflections: ReflectionTable, shoeboxes: Shoeboxes, intensity: np.ndarray) -> np.ndarray:
        """(p,) float32: counts of the spots in their pixels."""
        with self.guard("expected_counts"):
            counts = self.inner.expected_counts(read_only(reflections), read_only(shoeboxes), read_only(intensity))
            finite(array(counts, (int(shoeboxes.offsets[-1]),), np.float32, "the result"), "the result")
            return np.asarray(counts)

    def models(self) -> list[dict[str, Any]]:
        """See `ProfileFitter.models`."""
        with self.guard("models"):
            return list(items(self.inner.models(), dict, "the result"))

    def tables(self) -> list[Table]:
        """See `ProfileFitter.tables`."""
        with self.guard("tables"):
            return list(instance(self.inner.tables(), (list, tuple), "the result"))

    def reference_profiles(self) -> list[dict[str, Any]]:
        """See `ProfileFitter.reference_profiles`."""
        with self.guard("reference_profiles"):
            return list(items(self.inner.reference_profiles(), dict, "the result"))


def check_models(arguments: dict[str, Any], result: Any) -> list[dict[str, Any]]:
    """Refuse anything but a model with its name for each experiment."""
    for i, model in enumerate(items(result, dict, "the result", len(arguments["experiments"]))):
        if not isinstance(model.get("__id__"), str):
            raise Fault(f"the result[{i}] has no '__id__', the name of the model expected there")
    return list(result)


def check_boxes(arguments: dict[str, Any], result: Any) -> np.ndarray:
    """Refuse boxes of other number or kind, or that end before they begin."""
    boxes = array(result, (len(arguments["reflections"]), 6), "i", "the result")
    backwards = (boxes[:, 1::2] < boxes[:, ::2]).any(axis=1)
    if backwards.any():
        first = int(np.argmax(backwards))
        raise Fault(
            f"the result[{first}] is {boxes[first].tolist()}; boxes are x0, x1, y0, y1, z0, z1 with each end after its begin"
        )
    return boxes


def check_foreground(arguments: dict[str, Any], result: Any) -> ForegroundMasks:
    """Refuse masks that do not fit the boxes."""
    masks: ForegroundMasks = instance(result, ForegroundMasks, "the result")
    wanted = ForegroundMasks.offsets_of(arguments["bbox"])
    offsets = array(masks.offsets, wanted.shape, np.int64, "offsets")
    if not np.array_equal(offsets, wanted):
        raise Fault("offsets are not those of the boxes; ForegroundMasks.offsets_of(bbox) gives them")
    array(masks.inside, (int(wanted[-1]),), np.uint8, "inside")
    return masks


def check_partiality(arguments: dict[str, Any], result: Any) -> np.ndarray:
    """Refuse fractions that are none."""
    fraction = array(result, (len(arguments["reflections"]),), np.float64, "the result")
    finite(fraction, "the result", least=-1e-6)
    if len(fraction) and fraction.max() > 1.0 + 1e-6:
        raise Fault(f"the result is {fraction.max()} in row {int(np.argmax(fraction))}; fractions are at most 1")
    return fraction


def check_fitter(arguments: dict[str, Any], result: Any) -> CheckedFitter | None:
    """Refuse what cannot learn and fit."""
    if result is None:
        return None
    needed = ["learn", "finish", "fit", "models", "tables", "reference_profiles"]
    if getattr(result, "deconvolution", False):
        needed.append("expected_counts")
    if missing := [name for name in needed if not callable(getattr(result, name, None))]:
        raise Fault(
            f"the result is {kind_of(result)}, which has no method {' and no '.join(missing)}; a ProfileFitter expected"
        )
    return CheckedFitter(result)


def check_summary(arguments: dict[str, Any], result: Any) -> ProfileSummary:
    """Refuse anything but named numbers and text."""
    summary: ProfileSummary = instance(result, ProfileSummary, "the result")
    for name, value in instance(summary.numbers, dict, "numbers").items():
        instance(name, str, "a name in numbers")
        instance(value, (int, float), f"numbers[{name!r}]")
    instance(summary.fault, str, "fault")
    return summary


def summary_of_numbers(model: dict[str, Any]) -> ProfileSummary:
    """The finite numbers that a model holds, means of arrays; what is said of a model that does not describe itself."""
    numbers = {}
    for name, value in model.items():
        if value is None or isinstance(value, str | bool | dict):
            continue
        try:
            mean = float(np.mean(np.asarray(value, np.float64)))
        except (TypeError, ValueError):
            continue
        if np.isfinite(mean):
            numbers[name] = mean
    return ProfileSummary(numbers)


class ProfileSpec:
    """Hooks of a profile model. The model of an experiment is the dictionary ``experiment.profile``, as in the file."""

    optional: ClassVar[frozenset[str]] = frozenset({"describe_model"})
    defaults: ClassVar[dict[str, Any]] = {"describe_model": summary_of_numbers}
    checks: ClassVar[Checks] = {
        "estimate_profiles": check_models,
        "bounding_boxes": check_boxes,
        "foreground": check_foreground,
        "partiality": check_partiality,
        "make_fitter": check_fitter,
        "describe_model": check_summary,
    }

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

    @hookspec(firstresult=True)
    def describe_model(self, model: dict[str, Any]) -> ProfileSummary:  # type: ignore[empty-body]
        """What a program may say of the model of an experiment, and refuse it for.

        Optional: without it the summary holds the means of the finite numbers of the model.

        Parameters
        ----------
        model : dict
            One that `estimate_profiles` or the fitter returned, or that of a file.

        Returns
        -------
        ProfileSummary
        """
