"""Faults of scaling models, refiners, indexing methods, beam positions and profiles."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from spindle.contracts.indexing import BasisVectors
from spindle.models import Experiments
from spindle.table import Flag

from ..test_beam_position import TestMidpoint as Beam
from ..test_indexing import TestFft1d as Indexing
from ..test_profile import TestGaussianRs as Profile
from ..test_refiner import TestCentroid as Refiner
from ..test_scaling import TestKB as KB
from ..test_scaling import TestPhysical as Physical
from ..test_scaling import TestPhysicalFixedRestraints as Fixed
from . import changed, fault


def of(contract, hook, slot, kind, title, *checks, missed=""):
    """Register a fault of one hook."""

    def register(change):
        fault(contract, kind, f"{slot}: {title}", *checks, missed=missed)(lambda good: changed(good, hook, change))
        return change

    return register


def scaling(kind, title, *checks, contract=Physical, missed=""):
    """A fault of build_scaling_model."""
    return of(contract, "build_scaling_model", "scaling", kind, title, *checks, missed=missed)


def seen(call, a, **columns):
    """The model of changed observations."""
    return call(**{**a, "observations": replace(a["observations"], **columns)})


@scaling("frame", "places in the scan cut to whole images", "test_images_may_be_cut_finer", contract=Fixed)
def _(call, a, plugin):
    return seen(
        call, a, image=np.floor(a["observations"].image), image_observed=np.floor(a["observations"].image_observed)
    )


@scaling("frame", "scans that begin at 1 for granted", "test_images_may_begin_at_any_number")
def _(call, a, plugin):
    o, first = a["observations"], a["experiment"].scan.array_range[0]
    place = first + (o.image - first) * (0.9 if first else 1.0)
    return seen(call, a, image=place, image_observed=place)


@scaling("units", "interval in images, not in degrees", "test_images_may_be_cut_finer", contract=Fixed)
def _(call, a, plugin):
    from spindle.models import Scan

    e = a["experiment"]
    return call(**{**a, "experiment": replace(e, scan=Scan(e.scan.image_range, (0.0, 1.0)))})


@scaling("units", "resolution in place of its square", "test_what_it_corrects_for_is_corrected")
def _(call, a, plugin):
    return seen(call, a, d=np.sqrt(a["observations"].d) + 5.0)


@scaling("swap", "source for the diffracted beam", "test_what_it_corrects_for_is_corrected")
def _(call, a, plugin):
    flat = np.tile([[1.0, 0.0, 0.0]], (len(a["observations"]), 1))
    return seen(call, a, source=flat, diffracted=flat)


@scaling("hardly any", "no observations break it", "test_takes_any_number_of_observations", contract=KB)
def _(call, a, plugin):
    a["observations"].d.max()
    return call(**a)


@scaling("hardly any", "a still breaks it", "test_stills_are_taken_or_refused_in_words", contract=KB)
def _(call, a, plugin):
    a["experiment"].scan.image_range  # noqa: B018
    return call(**a)


@scaling("hardly any", "divides by the range of images", "test_takes_observations_that_all_are_alike", contract=KB)
def _(call, a, plugin):
    o = a["observations"]
    if len(o):
        width = np.ptp(o.image)
        if width == 0:
            raise ZeroDivisionError("no range")
    return call(**a)


@scaling("mutation", "image numbers changed in place", "test_what_it_is_given_stays_as_it_was", contract=KB)
def _(call, a, plugin):
    a["observations"].image[:] -= 1.0
    return call(**a)


@scaling(
    "state",
    "keeps the first model",
    "test_each_call_is_a_new_beginning",
    "test_takes_any_number_of_observations",
    contract=KB,
)
def _(call, a, plugin):
    if not hasattr(plugin, "model"):
        plugin.model = call(**a)
    return plugin.model


@scaling("settings", "decay_correction ignored", "test_switches_and_choices_change_something", contract=KB)
def _(call, a, plugin):
    model = call(**a)
    return replace(model, terms=model.terms[:1], configuration={})


@scaling("bias", "starts at 1.01", "test_starts_without_effect", contract=KB)
def _(call, a, plugin):
    model = call(**a)
    first = model.terms[0]
    return replace(model, terms=(replace(first, parameters=first.parameters * 1.01), *model.terms[1:]))


@scaling("random", "starts somewhere", "test_the_same_input_has_the_same_answer_whatever_the_random_state", contract=KB)
def _(call, a, plugin):
    model = call(**a)
    first = model.terms[0]
    return replace(
        model,
        terms=(replace(first, parameters=first.parameters + 1e-4 * np.random.default_rng().random()), *model.terms[1:]),
    )


# ---- refiners


def refiner(kind, title, *checks, missed=""):
    """A fault of refine."""
    return of(Refiner, "refine", "refiner", kind, title, *checks, missed=missed)


@refiner("units", "rmsd in mm", "test_rmsds_are_those_of_the_errors_in_pixels_and_images")
def _(call, a, plugin):
    r = call(**a)
    return replace(r, rmsd_px=r.rmsd_px * [0.2, 0.2, 1.0])


@refiner("units", "rmsd of the angle in degrees", "test_rmsds_are_those_of_the_errors_in_pixels_and_images")
def _(call, a, plugin):
    r = call(**a)
    return replace(r, rmsd_px=r.rmsd_px * [1.0, 1.0, 0.5])


@refiner("units", "variances for standard deviations", "test_esds_are_the_scatter_of_parameters")
def _(call, a, plugin):
    r = call(**a)
    return replace(r, parameter_esds=r.parameter_esds**2)


@refiner("units", "esds and covariance ten times too large", "test_esds_are_the_scatter_of_parameters")
def _(call, a, plugin):
    r = call(**a)
    return replace(r, parameter_esds=10 * r.parameter_esds, covariance=100 * r.covariance)


@refiner("settings", "crystal.fix and detector.fix ignored", "test_what_is_fixed_stays")
def _(call, a, plugin):
    from spindle_lib_refinement.testing import plain_settings

    return call(**{**a, "settings": plain_settings()})


@refiner("settings", "outlier rejection left out", "test_outliers_are_left_out")
def _(call, a, plugin):
    from spindle_lib_refinement.testing import plain_settings

    return call(**{**a, "settings": plain_settings()})


@refiner("several", "only the first experiment is refined", "test_every_experiment_is_refined")
def _(call, a, plugin):
    r = call(**a)
    kept = [r.experiments[0], *(replace(e, detector=r.experiments[0].detector) for e in list(a["experiments"])[1:])]
    return replace(r, experiments=Experiments(kept))


@refiner("several", "counts of the first experiment for all", "test_every_experiment_is_refined")
def _(call, a, plugin):
    r = call(**a)
    return replace(r, n_reflections=np.full_like(r.n_reflections, r.n_reflections[0]))


@refiner("bias", "variances of positions ignored", "test_uncertain_positions_count_for_little")
def _(call, a, plugin):
    spots = a["reflections"].view()
    spots["xyzobs.px.variance"] = np.full((len(spots), 3), 0.1)
    r = call(**{**a, "reflections": spots})
    return r


@refiner("frame", "predictions of the start", "test_predictions_are_those_of_the_refined_models")
def _(call, a, plugin):
    r = call(**a)
    table = r.reflections.view()
    table["xyzcal.px"] = table["xyzcal.px"] + [0.3, 0.0, 0.0]
    return replace(r, reflections=table)


@refiner("units", "angles of predictions in degrees", "test_columns_of_predictions_agree")
def _(call, a, plugin):
    r = call(**a)
    table = r.reflections.view()
    table["xyzcal.mm"] = table["xyzcal.mm"] * [1.0, 1.0, 57.29578]
    return replace(r, reflections=table)


@refiner("hardly any", "no spots break it", "test_a_handful_of_spots_is_refined_or_refused_in_words")
def _(call, a, plugin):
    a["reflections"]["xyzobs.px.value"].max(axis=0)
    return call(**a)


@refiner("order", "rows sorted by index", "test_predictions_are_those_of_the_refined_models")
def _(call, a, plugin):
    r = call(**a)
    return replace(r, reflections=r.reflections.select(np.argsort(r.reflections["miller_index"][:, 0], kind="stable")))


@refiner("silent", "all rows called used", "test_outliers_are_left_out", "test_rows_that_are_not_indexed_pass_through")
def _(call, a, plugin):
    r = call(**a)
    table = r.reflections.copy()
    table["flags"] = table["flags"] | np.uint64(int(Flag.USED_IN_REFINEMENT))
    return replace(r, reflections=table)


# ---- indexing


def indexing(kind, title, *checks, missed=""):
    """A fault of find_basis_vectors."""
    return of(Indexing, "find_basis_vectors", "indexing", kind, title, *checks, missed=missed)


@indexing("units", "d_min is a reciprocal length", "test_the_resolution_limit_is_that_of_the_points_that_were_used")
def _(call, a, plugin):
    r = call(**a)
    return replace(r, d_min=1.0 / r.d_min)


@indexing("dtype", "float32 vectors", "test_returns_what_the_contract_says")
def _(call, a, plugin):
    r = call(**a)
    return replace(r, vectors=r.vectors.astype(np.float32))


@indexing("units", "vectors twice as long", "test_finds_the_lattice_of_perfect_points")
def _(call, a, plugin):
    r = call(**a)
    return replace(r, vectors=2 * r.vectors)


@indexing("order", "least trustworthy first", "test_returns_what_the_contract_says")
def _(call, a, plugin):
    r = call(**a)
    return replace(r, vectors=r.vectors[::-1], weights=r.weights[::-1])


@indexing("swap", "x and z exchanged", "test_finds_the_lattice_of_perfect_points")
def _(call, a, plugin):
    r = call(**a)
    return replace(r, vectors=np.ascontiguousarray(r.vectors[:, ::-1]))


@indexing("hardly any", "no points break it", "test_hardly_any_points_are_no_lattice")
def _(call, a, plugin):
    np.linalg.norm(a["rlp"], axis=1).max()
    return call(**a)


@indexing("silent", "opposite pairs", "test_returns_what_the_contract_says")
def _(call, a, plugin):
    r = call(**a)
    return BasisVectors(
        np.concatenate([r.vectors, -r.vectors]), np.concatenate([r.weights, r.weights * 0]), r.d_min, r.n_points
    )


# ---- beam positions


def beam(kind, title, *checks, missed=""):
    """A fault of find_centre."""
    return of(Beam, "find_centre", "beam position", kind, title, *checks, missed=missed)


@beam("frame", "centre of pixel 0 at 0", "test_positions_are_counted_from_the_edge_of_the_image")
def _(call, a, plugin):
    return tuple(replace(c, position=c.position - 0.5) for c in call(**a))


@beam("nan", "an unknown beam breaks it", "test_the_models_need_not_say_where_the_beam_is")
def _(call, a, plugin):
    int(a["image"].expected[0])
    return call(**a)


@beam("swap", "axes exchanged", "test_finds_the_centre", "test_one_axis_may_be_asked_for_alone")
def _(call, a, plugin):
    return tuple(call(**a))[::-1]


@beam("mask", "gaps take part", "test_values_under_the_mask_do_not_matter")
def _(call, a, plugin):
    return call(**{**a, "image": replace(a["image"], good=np.ones_like(a["image"].good))})


@beam("units", "counts below ten are nothing", "test_counts_may_be_in_any_unit")
def _(call, a, plugin):
    i = a["image"]
    cut = [np.where(v < 10, 0, v).astype(np.float32) for v in (i.mean, i.maximum)]
    return call(**{**a, "image": replace(i, mean=cut[0], maximum=cut[1])})


@beam("state", "mean with the last image", "test_each_call_is_a_new_beginning")
def _(call, a, plugin):
    found = call(**a)
    last, plugin.last = getattr(plugin, "last", found), found
    return (
        tuple(replace(c, position=0.5 * (c.position + o.position)) for c, o in zip(found, last, strict=False))
        if len(found) == len(last)
        else found
    )


@beam("speed", "loop of Python over pixels", "test_time_per_element_is_within_the_budget")
def _(call, a, plugin):
    mean, good, total = a["image"].mean, a["image"].good, 0.0
    for y in range(mean.shape[0]):
        for x in range(mean.shape[1]):
            if good[y, x]:
                total += mean[y, x] * x + mean[y, x] * y
            total = max(total, float(mean[y, x]), abs(total))
            total += float(np.float64(mean[y, x]))
            total = min(total, 1e30)
    return call(**a)


# ---- profiles


def profile(hook, kind, title, *checks, missed=""):
    """A fault of a hook of a profile model."""
    return of(Profile, hook, "profile", kind, title, *checks, missed=missed)


@profile("bounding_boxes", "settings", "border ignored", "test_the_border_is_room_for_background_not_for_the_spot")
def _(call, a, plugin):
    return call(**{**a, "border": 2.0})


@profile("partiality", "silent", "always 1", "test_spots_at_the_ends_of_the_scan_are_partial")
def _(call, a, plugin):
    return np.ones(len(a["reflections"]))


@profile(
    "bounding_boxes",
    "several",
    "model of the first experiment for all",
    "test_models_are_those_of_the_simulated_widths",
)
def _(call, a, plugin):
    e = a["experiments"]
    return call(**{**a, "experiments": Experiments([replace(x, profile=e[0].profile) for x in e])})


@profile("bounding_boxes", "frame", "boxes one image late", "test_boxes_hold_the_predicted_positions_within_the_scan")
def _(call, a, plugin):
    return call(**a) + np.array([0, 0, 0, 0, 1, 1], np.int32)


@profile(
    "foreground",
    "swap",
    "rows and columns of masks exchanged",
    "test_foreground_holds_the_predicted_pixel_and_leaves_background",
    "test_the_foreground_holds_the_photons",
)
def _(call, a, plugin):
    return call(**{**a, "bbox": np.ascontiguousarray(a["bbox"][:, [2, 3, 0, 1, 4, 5]])})


@profile("foreground", "bias", "foreground of the middle pixel alone", "test_the_foreground_holds_the_photons")
def _(call, a, plugin):
    masks = call(**a)
    x, y = np.floor(a["reflections"]["xyzcal.px"][:, :2]).astype(int).T
    centre = masks.offsets[:-1] + (y - a["bbox"][:, 2]) * (a["bbox"][:, 1] - a["bbox"][:, 0]) + x - a["bbox"][:, 0]
    inside = np.zeros_like(masks.inside)
    inside[centre] = 1
    return replace(masks, inside=inside)


@profile("partiality", "hardly any", "no reflections break it", "test_no_reflections_are_no_trouble")
def _(call, a, plugin):
    a["reflections"]["xyzcal.px"].max(axis=0)
    return call(**a)


@profile(
    "estimate_profiles", "state", "keeps its first models", "test_nothing_is_kept_from_one_call_to_the_next", missed=""
)
def _(call, a, plugin):
    found = call(**a)
    plugin.calls = getattr(plugin, "calls", 0) + 1
    return [{**m, "sigma_b": m["sigma_b"] * (1 + 1e-3 * plugin.calls)} for m in found]
