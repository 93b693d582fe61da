"""Facts from experiments and reflections themselves, whatever programs made them."""

from __future__ import annotations

import numpy as np

from spindle.models import Experiments
from spindle.table import Flag, ReflectionTable
from spindle_lib_merging import merge_equivalents, merging_statistics
from spindle_lib_spots.blanks_and_ice import blanks_and_ice
from spindle_lib_spots.image_quality import sets_of_images
from spindle_lib_twinning.diagnosis import diagnose

from .facts import Facts
from .from_statistics import facts_of_diagnosis, facts_of_statistics, tells_errors

__all__ = ["decay_of", "facts_of_reflections", "facts_of_spots"]

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
    found = blanks_and_ice(experiments, spots)
    return Facts(
        n_images=found.n_images, n_spots=len(spots), n_blank_images=found.n_blank, ice_fraction=found.ice_fraction
    )


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
    known = tells_errors(statistics.overall)
    errors = Facts(
        decay_b=max(falls, default=None) if known else None,
        largest_i_over_sigma=1.0 / max(products) if products and known else None,
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
