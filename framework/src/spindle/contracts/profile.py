"""Contract of the ``profile`` slot: the shape of spots, from bounding boxes to profile-fitted intensities.

Chosen by ``profile.algorithm``; entry-point group ``spindle.profile``. All hooks take the experiments of a run and a
reflection table whose column ``id`` points into them, so that spots of several lattices on the same images are treated
together. Hooks may be called from several threads with different blocks and keep no state; what is learned from the
images lives in the `ProfileFitter` that `ProfileSpec.make_fitter` returns.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from . import hookspec
from .checking import Checks, Fault, array, finite, instance, items, number
from .profile_fitter import ProfileFit, ProfileFitter, check_fitter

if TYPE_CHECKING:
    from spindle.models import Experiments
    from spindle.report import Table
    from spindle.table import ReflectionTable

__all__ = ["ForegroundMasks", "ProfileFit", "ProfileFitter", "ProfileSpec", "ProfileSummary", "predict_rotation"]


@dataclass(frozen=True, slots=True)
class ForegroundMasks:
    """Which pixels of each bounding box belong to the spot.

    The mask of a spot is one rectangle, the same on all images of its box, or one rectangle for each image; the offsets tell which.

    Attributes
    ----------
    offsets : (n + 1,) int64
        Spot i owns ``inside[offsets[i]:offsets[i + 1]]``, its (ny, nx) rectangle, x fastest, or its (nz, ny, nx) block.
    inside : (offsets[-1],) uint8
        1 inside, 0 outside, 2 neither: a halo that is no background.
    """

    offsets: np.ndarray
    inside: np.ndarray

    @staticmethod
    def offsets_of(bbox: np.ndarray, each_image: bool | np.ndarray = False) -> np.ndarray:
        """Offsets for bounding boxes.

        Parameters
        ----------
        bbox : (n, 6) int
        each_image : bool or (n,) bool
            Whether the mask of a spot differs from image to image.

        Returns
        -------
        (n + 1,) int64
        """
        wide = bbox.astype(np.int64)
        size = (wide[:, 1] - wide[:, 0]) * (wide[:, 3] - wide[:, 2])
        size = np.where(each_image, size * (wide[:, 5] - wide[:, 4]), size)
        return np.concatenate([[0], np.cumsum(size)]).astype(np.int64)

    def of_pixels(self, bbox: np.ndarray) -> np.ndarray:
        """(p,) uint8: the mask of every pixel of shoeboxes with these boxes, image after image."""
        wide = bbox.astype(np.int64)
        area = (wide[:, 1] - wide[:, 0]) * (wide[:, 3] - wide[:, 2])
        volume = area * (wide[:, 5] - wide[:, 4])
        owner = np.repeat(np.arange(len(bbox)), volume)
        pixel = np.arange(len(owner)) - (np.cumsum(volume) - volume)[owner]
        flat = np.diff(self.offsets) == area
        return np.asarray(
            self.inside[self.offsets[owner] + np.where(flat[owner], pixel % np.maximum(area, 1)[owner], pixel)]
        )


@dataclass(frozen=True, slots=True)
class ProfileSummary:
    """What a program may say about the model of an experiment, whose keys only the plugin knows.

    Attributes
    ----------
    numbers : dict of str to float
        Key numbers by name; a run's summary holds them.
    widths_deg : dict of str to float
        Those of them that are mean widths of spots (standard deviations), degrees; by the same names.
    table : Table or None
        The model for a person to read: what, and its value. Without one a reader sees the keys of the model.
    fault : str
        Why no crystal can have such a model, with the number that says so; empty when it may be right.
    """

    numbers: dict[str, float] = field(default_factory=dict)
    fault: str = ""
    widths_deg: dict[str, float] = field(default_factory=dict)
    table: Table | None = None


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
    flat = ForegroundMasks.offsets_of(arguments["bbox"])
    offsets = array(masks.offsets, flat.shape, np.int64, "offsets")
    if not np.array_equal(offsets, flat):
        size, deep = np.diff(offsets), np.diff(ForegroundMasks.offsets_of(arguments["bbox"], True))
        if offsets[0] != 0 or not np.all((size == np.diff(flat)) | (size == deep)):
            raise Fault("offsets are not those of the boxes; ForegroundMasks.offsets_of(bbox, each_image) gives them")
    array(masks.inside, (int(offsets[-1]),), np.uint8, "inside")
    return masks


def check_partiality(arguments: dict[str, Any], result: Any) -> np.ndarray:
    """Refuse fractions that are none."""
    fraction = array(result, (len(arguments["reflections"]),), np.float64, "the result")
    finite(fraction, "the result", least=-1e-6)
    if len(fraction) and fraction.max() > 1.0 + 1e-6:
        raise Fault(f"the result is {fraction.max()} in row {int(np.argmax(fraction))}; fractions are at most 1")
    return fraction


def check_lorentz(arguments: dict[str, Any], result: Any) -> np.ndarray:
    """Refuse factors that are none."""
    factor = array(result, (len(arguments["reflections"]),), np.float64, "the result")
    finite(factor, "the result", least=0.0)
    if len(factor) and factor.min() <= 0.0:
        raise Fault(f"the result is 0 in row {int(np.argmin(factor))}; Lorentz factors are positive")
    return factor


def check_summary(arguments: dict[str, Any], result: Any) -> ProfileSummary:
    """Refuse anything but named numbers and text."""
    summary: ProfileSummary = instance(result, ProfileSummary, "the result")
    for name, value in instance(summary.numbers, dict, "numbers").items():
        instance(name, str, "a name in numbers")
        instance(value, (int, float), f"numbers[{name!r}]")
    for name, value in instance(summary.widths_deg, dict, "widths_deg").items():
        instance(name, str, "a name in widths_deg")
        number(value, f"widths_deg[{name!r}]", least=0.0)
    instance(summary.fault, str, "fault")
    if summary.table is not None:
        from spindle.report import Table

        instance(summary.table, Table, "table")
    return summary


def check_predictions(arguments: dict[str, Any], result: Any) -> ReflectionTable:
    """Refuse predictions that lack a column, or are of no experiment."""
    from spindle.table import ReflectionTable

    table: ReflectionTable = instance(result, ReflectionTable, "the result")
    if missing := [name for name in PREDICTION_COLUMNS if name not in table]:
        raise Fault(f"the result has no column {', '.join(missing)}")
    n = len(arguments["experiments"])
    if len(table):
        if not 0 <= table["id"].min() <= table["id"].max() < n:
            raise Fault(f"id is {table['id'].min()} to {table['id'].max()}, positions in the {n} experiments expected")
        for name in ("s1", "xyzcal.px"):
            finite(table[name], name)
    return table


def predict_rotation(
    experiments: Experiments, d_min: float | None, d_max: float | None, padding: float, force_static: bool
) -> ReflectionTable:
    """The host's prediction for experiments with a rotation, which does without a profile model."""
    from spindle.prediction import predict
    from spindle.table import ReflectionTable

    return ReflectionTable.concatenate(
        [predict(e, i, d_min, d_max, padding, force_static) for i, e in enumerate(experiments)]
    )


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


def turning_about_e1(experiments: Experiments, reflections: ReflectionTable) -> np.ndarray:
    """1 / sin 2 theta: the Lorentz factor of stills whose blocks are turned at random, and have no size."""
    factor = np.ones(len(reflections))
    for i, rows in reflections.rows_by_experiment().items():
        beam = experiments[i].beam
        across = np.linalg.norm(np.cross(reflections["s1"][rows], beam.s0), axis=1) * beam.wavelength**2
        factor[rows] = 1.0 / np.maximum(across, 1e-9)
    return factor


def models_as_they_are(experiments: Experiments, reflections: ReflectionTable) -> list[dict[str, Any]]:
    """What follows from intensities for a plugin that does not look at them."""
    return [dict(e.profile or {}) for e in experiments]


PREDICTION_COLUMNS = ("miller_index", "id", "panel", "entering", "s1", "xyzcal.mm", "xyzcal.px", "flags")


class ProfileSpec:
    """Hooks of a profile model. The model of an experiment is the dictionary ``experiment.profile``, as in the file."""

    optional: ClassVar[frozenset[str]] = frozenset(
        {"describe_model", "learn_partiality", "predict_reflections", "still_lorentz"}
    )
    defaults: ClassVar[dict[str, Any]] = {
        "describe_model": summary_of_numbers,
        "learn_partiality": models_as_they_are,
        "predict_reflections": predict_rotation,
        "still_lorentz": turning_about_e1,
    }
    checks: ClassVar[Checks] = {
        "estimate_profiles": check_models,
        "bounding_boxes": check_boxes,
        "foreground": check_foreground,
        "learn_partiality": check_models,
        "partiality": check_partiality,
        "make_fitter": check_fitter,
        "describe_model": check_summary,
        "predict_reflections": check_predictions,
        "still_lorentz": check_lorentz,
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
        """(n,) float64: fraction of each spot recorded on the images of its box.

        Of stills, which record no fraction of an integral: how high the rocking curve is where the crystal stands, relative to its top.
        ``reflections`` then has ``delpsical.rad``.
        """

    @hookspec(firstresult=True)
    def learn_partiality(self, experiments: Experiments, reflections: ReflectionTable) -> list[dict[str, Any]]:  # type: ignore[empty-body]
        """Models that know what the summed intensities of stills say about their rocking curves.

        Optional: without it models stay as they are. Called once per block of stills after summation; `partiality` is asked again
        afterwards.

        Parameters
        ----------
        experiments : Experiments
            Each with its model.
        reflections : ReflectionTable
            Integrated: ``delpsical.rad``, ``d``, ``lp``, ``qe`` where there is a sensor, ``flags``, ``intensity.sum.value`` and its
            variance.

        Returns
        -------
        list of dict
            One per experiment, in order.
        """

    @hookspec(firstresult=True)
    def still_lorentz(self, experiments: Experiments, reflections: ReflectionTable) -> np.ndarray:  # type: ignore[empty-body]
        """(n,) float64: Lorentz factors of stills, what the top of the rocking curve of each reflection is multiplied by.

        A still shows the density of a lattice point on the Ewald sphere; the higher, the narrower the point is across the sphere. Where
        points are as wide as their distance from the origin, since blocks are turned at random, that is 1 / sin 2 theta, the factor of
        a rotation about e1; where they are all of one width, since blocks are small, it is 1. Only ratios within a crystal count.

        Optional: without it the factor is 1 / sin 2 theta. Asked for rows of stills only, before and after `learn_partiality`.

        Parameters
        ----------
        experiments : Experiments
            Each with its model.
        reflections : ReflectionTable
            Predictions: ``id``, ``miller_index``, ``s1``, ``delpsical.rad``.
        """

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

    @hookspec(firstresult=True)
    def predict_reflections(  # type: ignore[empty-body]
        self,
        experiments: Experiments,
        d_min: float | None,
        d_max: float | None,
        padding: float,
        force_static: bool,
    ) -> ReflectionTable:
        """Where and when reflections are seen, of all experiments.

        Optional: without it the host predicts where reciprocal lattice points cross the Ewald sphere while the crystal turns.

        Parameters
        ----------
        experiments : Experiments
            Each with a crystal; ``experiment.profile`` is that of the file, None or of another model where this one is still to be
            estimated.
        d_min, d_max : float or None, angstrom
            Resolution limits; None is that of the corners of the detector, and no limit.
        padding : float, radians
            How far outside the scan reflections are wanted.
        force_static : bool
            Take the crystal for the same through the scan.

        Returns
        -------
        ReflectionTable
            miller_index, id, panel, entering, s1, xyzcal.mm, xyzcal.px, and flags with ``Flag.PREDICTED``; by experiment.

        Raises
        ------
        spindle.errors.ModelError
            If nothing can be predicted from such models.
        """
