"""Facts from experiments and reflections themselves, whatever programs made them."""

from __future__ import annotations

import numpy as np

from spindle.models import Experiments
from spindle.table import Flag, ReflectionTable
from spindle_lib_ice import SPOT_WIDTH, ring_intervals
from spindle_lib_merging import merge_equivalents, merging_statistics
from spindle_lib_spots.image_quality import sets_of_images
from spindle_lib_twinning.diagnosis import diagnose

from .facts import Facts
from .from_statistics import facts_of_diagnosis, facts_of_statistics

__all__ = ["decay_of", "facts_of_reflections", "facts_of_spots", "ice_fraction"]

#: An image is blank with less than this part of the spots that images of its sweep usually have, where that are at least so many.
BLANK, USUAL_SPOTS = 0.05, 10.0
#: Rings within this resolution: further out they overlap, and there is nothing beside them.
ICE_D_MIN = 1.9
#: An excess in a ring counts when it is this many standard deviations of the counts.
SIGNIFICANT = 4.0
N_SHELLS = 20


def facts_of_spots(experiments: Experiments, spots: ReflectionTable) -> Facts:
    """Number of images, blank ones, and ice; of spots as `find_spots` or `index` writes them.

    Parameters
    ----------
    experiments : Experiments
        With beam, detector and scan.
    spots : ReflectionTable
        panel, xyzobs.px.value, and id or imageset_id.
    """
    n_images = n_blank = n_of_sweeps = 0
    squares = []
    for number, images in enumerate(sets_of_images(experiments)):
        rows = _rows(spots, images.numbers, number)
        xyz = spots["xyzobs.px.value"][rows]
        experiment = images.experiment
        n = images.last - images.first
        n_images += n
        d = experiment.detector.resolution_at(spots["panel"][rows].astype(np.int64), xyz[:, :2], experiment.beam.s0)
        squares.append(np.asarray(d, float) ** -2.0)
        if experiment.is_still or n < 2:
            continue
        image = np.clip(np.floor(xyz[:, 2]).astype(np.int64) - images.first, 0, n - 1)
        counts = np.bincount(image, minlength=n)[:n]
        usual = float(np.quantile(counts, 0.9))
        n_of_sweeps += n
        if usual >= USUAL_SPOTS:
            n_blank += int(np.count_nonzero(counts < BLANK * usual))
    joined = np.concatenate(squares) if squares else np.zeros(0)
    return Facts(
        n_images=n_images,
        n_spots=len(spots),
        n_blank_images=n_blank if n_of_sweeps else None,
        ice_fraction=ice_fraction(joined) if len(joined) else None,
    )


def _rows(spots: ReflectionTable, numbers: tuple[int, ...], imageset: int) -> np.ndarray:
    """Rows of the spots of an image set; those that are not indexed by the number of their set."""
    if "imageset_id" in spots:
        return np.flatnonzero(spots["imageset_id"] == imageset)
    return np.flatnonzero(np.isin(spots["id"], numbers))


def ice_fraction(squares: np.ndarray) -> float:
    """Excess of spots in the rings of hexagonal ice over those beside them, as a fraction of all.

    Parameters
    ----------
    squares : (n,) float64, 1/angstrom^2
        1/d^2 of all spots.

    Notes
    -----
    A ring is compared with the free ranges of its own width on both sides; rings without as much beside them, and an excess that chance
    gives, do not count.
    """
    if not len(squares):
        return 0.0
    squares = np.sort(squares[np.isfinite(squares)])
    rings = ring_intervals(ICE_D_MIN, SPOT_WIDTH)

    def count(low: float, high: float) -> int:
        return int(np.searchsorted(squares, high) - np.searchsorted(squares, low))

    excess = 0.0
    for k, (low, high) in enumerate(rings):
        width = high - low
        left = max(low - width, rings[k - 1, 1] if k else 0.0)
        right = min(high + width, rings[k + 1, 0] if k + 1 < len(rings) else np.inf)
        free = (low - left) + (right - high)
        if free < 0.5 * width:
            continue
        beside = (count(left, low) + count(high, right)) * width / free
        inside = count(low, high)
        noise = np.sqrt(inside + beside * width / free + 1.0)
        if inside - beside > SIGNIFICANT * noise:
            excess += inside - beside
    return float(excess / max(len(squares), 1))


def facts_of_reflections(experiments: Experiments, reflections: ReflectionTable, d_min: float | None = None) -> Facts:
    """What indexed or scaled reflections tell: lattices and indexed spots, or signal, errors, twins and damage.

    Parameters
    ----------
    experiments : Experiments
    reflections : ReflectionTable
        Of `index` (unindexed spots have id -1), or of `scale` (inverse_scale_factor, intensity.scale.value).
    d_min : float, optional, angstrom
        Leave out what lies beyond.
    """
    if "inverse_scale_factor" in reflections and "intensity.scale.value" in reflections:
        return _of_scaled(experiments, reflections, d_min)
    crystals = experiments.unique("crystal")
    indexed = reflections["id"] >= 0 if "id" in reflections else np.zeros(len(reflections), bool)
    if not any(c is not None for c in crystals) or len(reflections) == 0:
        return Facts()
    return Facts(
        n_spots=len(reflections), fraction_indexed=float(np.mean(indexed)),
        n_lattices=max(len(images.numbers) for images in sets_of_images(experiments)),
    )  # fmt: skip


def _of_scaled(experiments: Experiments, table: ReflectionTable, d_min: float | None) -> Facts:
    good = table.has_flags(Flag.SCALED) & (table["inverse_scale_factor"] > 0)
    cell = np.mean([e.known_crystal.cell for e in experiments], axis=0)
    group = experiments[0].known_crystal.space_group
    if d_min is not None and "d" in table:
        good &= table["d"] >= d_min
    if not good.any():
        return Facts(space_group=group.xhm())
    hkl, g = table["miller_index"][good], table["inverse_scale_factor"][good]
    value, variance = table["intensity.scale.value"][good] / g, table["intensity.scale.variance"][good] / g**2
    statistics = merging_statistics(hkl, value, variance, cell, group, N_SHELLS)
    merged = merge_equivalents(hkl, value, variance, group, False, False)
    found = diagnose(merged.hkl, merged.intensity, merged.sigma, cell, group)
    falls = [decay for e in experiments if (decay := decay_of(e.scaling_model)) is not None]
    products = [p for e in experiments if (p := _relative_error(e.scaling_model)) is not None]
    errors = Facts(
        decay_b=max(falls, default=None),
        largest_i_over_sigma=1.0 / max(products) if products else None,
        space_group_is_given=all(e.known_crystal.space_group_is_known for e in experiments),
    )
    return facts_of_statistics(statistics, group.xhm()).with_more(facts_of_diagnosis(found), errors)


def decay_of(model: object) -> float | None:
    """Largest fall of the relative B factor along a sweep, angstrom^2; None for a model without such a term.

    Parameters
    ----------
    model : dict or None
        Scaling model of an experiment; the term ``decay`` of a physical model has B factors along the rotation, and falls with the
        intensities.
    """
    if not isinstance(model, dict) or not isinstance(model.get("decay"), dict):
        return None
    if model.get("configuration_parameters", {}).get("decay_rot_interval") is None:
        return None
    b = np.asarray(model["decay"]["parameters"], float)
    return float(np.max(np.maximum.accumulate(b) - b)) if len(b) else None


def _relative_error(model: object) -> float | None:
    """By which part equivalents of strong reflections differ, from an error model of at least two numbers."""
    if not isinstance(model, dict):
        return None
    parameters = model.get("configuration_parameters", {}).get("error_model_parameters") or ()
    product = float(np.prod(parameters[:2])) if len(parameters) >= 2 else 0.0
    return product if product > 0 else None
