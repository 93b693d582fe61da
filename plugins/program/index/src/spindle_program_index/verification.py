"""Whether an index that looks right is that of a wrong beam centre, and a better index when it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from spindle.contracts.refiner import RefinementResult
from spindle.errors import SpindleError, UserError
from spindle.models import Experiments
from spindle.symmetry import primitive_operator
from spindle.table import ReflectionTable
from spindle_lib_refinement.geometry_drift import Drift, drift_warning, drifts, panel_of_beam, remember_given
from spindle_lib_refinement.index_offset import OffsetTest, compare_origins
from spindle_lib_refinement.short_refinement import Refinement, quiet, thin

from .indexed import Indexed
from .non_primitive import common_multiple, remainder_of_all

#: Another origin of the indices is believed when its misfit is this many times smaller (when it also brings the beam
#: centre nearer to that of the headers; else the second number), by this many standard deviations.
GAIN, GAIN_AWAY, SIGNIFICANT = 1.15, 1.5, 5.0
#: A cell that is smaller by more than this, with as many spots as well described, is the better one.
SMALLER = 0.7
#: A cell is too large where so many indices leave one remainder.
LEFT_OVER = 0.9
#: A searched beam centre this near to that of the headers, or of the refined models, is none of its own, pixels.
NOWHERE_PX = 0.5
#: How often the beam centre is moved: each time by a row.
MOST_MOVES = 3
#: Part of the spots that a better index may lose.
MAY_LOSE = 0.02

IndexAgain = Callable[[Experiments], Indexed]


@dataclass(slots=True)
class Verified:
    """An index, checked.

    Attributes
    ----------
    part : Indexed
        The one given, or a better one.
    warnings : list of str
        What is wrong with the geometry of the headers or of the models.
    """

    part: Indexed
    warnings: list[str] = field(default_factory=list)


def verify(part: Indexed, params: Any, context: Any, index_again: IndexAgain) -> Verified:
    """Compare with other origins of the indices and other beam centres; index again where these fit better.

    Parameters
    ----------
    part : Indexed
    params : Params
        The whole tree of the program.
    context : RunContext
    index_again : callable
        Indexes the same spots with the beam centre of other sweeps.
    """
    if part.last is None or any(sweep.is_still for sweep in part.given):
        return Verified(part)
    if not params.diagnosis.test_geometry and not params.indexing.check_misindexing.grid_search_scope:
        return Verified(replace(part, experiments=remember_given(part.experiments, part.given, False)))
    first = part
    test = None
    for _ in range(MOST_MOVES):
        test = _other_origins(part, params, context)
        better = _with_other_origin(part, test, context, index_again)
        doubtful = _all_left_over(part) or (not _is_confirmed(test) and _drift_texts(first.given, part))
        if better is None and (doubtful or _few_indexed(part, params)):
            better = _with_searched_centre(part, context, index_again)
        if better is None:
            break
        part = better
    mended = part is not first
    confirmed = _is_confirmed(test) or (mended and _drifts(first.given, part)[0].is_shifted)
    part = replace(part, given=first.given, experiments=remember_given(part.experiments, first.given, confirmed))
    return Verified(part, [_mended_text(first, part)] if mended else _what_is_suspicious(part, test, context))


def _is_confirmed(test: OffsetTest | None) -> bool:
    """Whether other origins of the indices fit worse beyond doubt."""
    return test is not None and test.is_confirmed


def _other_origins(part: Indexed, params: Any, context: Any) -> OffsetTest | None:
    """The test of `spindle_lib_refinement.index_offset` with the first lattice and a part of the spots."""
    experiments = Experiments(list(part.experiments)[: part.n_sweeps])
    table = part.reflections
    number = np.where(table["id"] < part.n_sweeps, table["id"], -1)
    rows = thin(experiments, number)
    refinement = Refinement(params.refinement, context, stills=False)
    reach = max(int(params.indexing.check_misindexing.grid_search_scope or 0), 1)
    with quiet():
        return compare_origins(experiments, table.select(rows), refinement.refine_candidate, reach)


def _with_other_origin(part: Indexed, test: OffsetTest | None, context: Any, index_again: IndexAgain) -> Indexed | None:
    """The index that another origin leads to, if it is better."""
    if test is None or test.rival is None or test.gain < GAIN or test.significance < SIGNIFICANT:
        return None
    there = test.rival.result.experiments
    if test.gain < GAIN_AWAY and _distance_px(part.given, there) > _distance_px(part.given, part.experiments):
        return None
    return _try(part, _with_centres_of(part.given, there), context, index_again)


def _with_searched_centre(part: Indexed, context: Any, index_again: IndexAgain) -> Indexed | None:
    """The index that starts at the place where `search_beam_position` puts the beam, if it is better."""
    moved = part.given
    try:
        method = context.algorithm("beam_position", "default")
        for detector in part.given.unique("detector"):
            users = part.given.indices_with("detector", detector)
            number = np.full(part.n_sweeps, -1, dtype=np.int32)
            number[users] = np.arange(len(users))
            spots = part.reflections.select(number[part.reflections["imageset_id"]] >= 0)
            spots["imageset_id"] = number[spots["imageset_id"]]
            own = Experiments([part.given[i] for i in users])
            with quiet():
                found = method.find_detector_shift(
                    sweeps=own, spots=_as_given(own, spots), executor=context.executor, rng=np.random.default_rng(42)
                )
            panels = [replace(p, origin=p.origin + found.shift) for p in detector]
            moved = moved.with_model(detector, detector.replace_panels(panels))
    except SpindleError as error:
        context.log.debug("The beam position could not be searched: %s", error)
        return None
    if min(_distance_px(moved, e) for e in (part.given, part.experiments)) < NOWHERE_PX:
        return None
    return _try(part, moved, context, index_again)


def _as_given(sweeps: Experiments, spots: ReflectionTable) -> ReflectionTable:
    """Spots in reciprocal space with the geometry of the headers."""
    from spindle.prediction import add_observed_geometry

    return add_observed_geometry(sweeps, spots, "imageset_id")


def _try(part: Indexed, moved: Experiments, context: Any, index_again: IndexAgain) -> Indexed | None:
    """Index with another beam centre; None when that is not better than `part`."""
    x, y = _centre(moved) or (np.nan, np.nan)
    context.log.info("Indexing again with the beam centre at %.1f, %.1f px", x, y)
    try:
        with quiet():
            other = index_again(moved)
    except UserError:
        return None
    if other.last is None or part.last is None or other.n_lattices < part.n_lattices:
        return None
    few = other.n_indexed < (1 - MAY_LOSE) * part.n_indexed
    # Where many more spots are indexed, those that are hard to fit are among them.
    more = other.n_indexed > 1.2 * part.n_indexed and _misfit(other.last) < 2 * _misfit(part.last)
    volumes = [p.experiments[0].known_crystal.volume for p in (other, part)]
    smaller = volumes[0] < SMALLER * volumes[1] and _misfit(other.last) < GAIN * _misfit(part.last)
    return None if few or not (more or smaller or GAIN * _misfit(other.last) < _misfit(part.last)) else other


def _misfit(result: RefinementResult) -> float:
    return float(result.reduced_chi_squared)


def _centre(experiments: Experiments, number: int = 0) -> tuple[float, float] | None:
    """Beam centre of an experiment on the panel that it hits, pixels."""
    experiment = experiments[number]
    panel = panel_of_beam(experiment.detector, experiment.beam.s0)
    centre = experiment.detector.beam_centre_px(experiment.beam.s0, panel)
    return None if centre is None else (float(centre[0]), float(centre[1]))


def _distance_px(before: Experiments, after: Experiments) -> float:
    """How far the beam centre of the first sweep moved."""
    old, new = _centre(before), _centre(after)
    return 0.0 if old is None or new is None else float(np.hypot(*np.subtract(new, old)))


def _with_centres_of(given: Experiments, refined: Experiments) -> Experiments:
    """The detectors of the headers, moved in their planes to refined beam centres."""
    moved = given
    for detector in given.unique("detector"):
        number = given.indices_with("detector", detector)[0]
        old, new = given[number], refined[number]
        i = panel_of_beam(detector, old.beam.s0)
        before, after = detector.beam_centre_px(old.beam.s0, i), new.detector.beam_centre_px(new.beam.s0, i)
        if before is None or after is None:
            continue
        panel = detector[i]
        x, y = (before - after) * panel.pixel_size
        shift = x * panel.fast_axis + y * panel.slow_axis
        panels = [replace(p, origin=p.origin + shift) for p in detector]
        moved = moved.with_model(detector, detector.replace_panels(panels))
    return moved


def _all_left_over(part: Indexed) -> tuple[np.ndarray, int, int] | None:
    """The condition that shows a cell which is too large, with indices that are off; see `remainder_of_all`."""
    table = part.reflections
    return remainder_of_all(table["miller_index"][(table["id"] >= 0) & (table["id"] < part.n_sweeps)], LEFT_OVER)


def _multiple_text(part: Indexed) -> str:
    """That the cell is a smaller one some times over in all directions; empty when it is not."""
    table = part.reflections
    # Half of the indices of a face-centred cell are even: those of its primitive cell tell.
    primitive = primitive_operator(part.experiments[0].known_crystal.space_group).matrix
    hkl = table["miller_index"][(table["id"] >= 0) & (table["id"] < part.n_sweeps)]
    found = common_multiple(np.rint(hkl @ primitive.T).astype(np.int64))
    if found is None:
        return ""
    number, share = found
    cell = part.experiments[0].known_crystal.cell
    smaller = ",".join([f"{v:.4g}" for v in cell[:3] / number] + [f"{v:.4g}" for v in cell[3:]])
    harmonic = {2: "second harmonic of the beam (half", 3: "third harmonic of the beam (a third"}[number]
    return (
        f"WARNING: {100 * share:.0f} % of the indices are multiples of {number} in h, k and l of the primitive cell ({100 / number**3:.0f} % would be by chance): "
        f"the cell is a smaller one {number} times over in all directions. Spots between come from a {harmonic} of "
        f"the wavelength), or from a superstructure. Without them: unit_cell={smaller}"
    )


def harmonic_text(part: Indexed) -> str:
    """That the beam has a harmonic whose spots get no index; empty when it has none."""
    if not part.harmonic:
        return ""
    whole = {2: "half", 3: "a third", 5: "a fifth"}[part.harmonic]
    return (
        f"WARNING: the beam has photons of {whole} of the wavelength: spots lie at parts of 1/{part.harmonic} of the indices, as strong or weak "
        "as the reflections of the same crystal that have the whole ones. They get no index. A harmonic adds to the reflections with indices "
        f"that are multiples of {part.harmonic}, too: remove it at the beamline (mirrors, a detuned monochromator)"
    )


def _few_indexed(part: Indexed, params: Any) -> bool:
    """Whether so few spots have an index that something else is looked for."""
    return part.n_indexed < float(params.diagnosis.look_below) * len(part.reflections)


def _drifts(given: Experiments, part: Indexed) -> list[Drift]:
    return drifts(given, Experiments(list(part.experiments)[: part.n_sweeps]), part.last)


def _drift_texts(given: Experiments, part: Indexed) -> list[str]:
    return [text for drift in _drifts(given, part) for text in drift.texts()]


def _mended_text(first: Indexed, part: Indexed) -> str:
    """What was done, with the numbers before and after."""
    drift = _drifts(first.given, part)[0]
    assert first.last is not None and part.last is not None
    old, new = drift.old_centre or (np.nan, np.nan), drift.new_centre or (np.nan, np.nan)
    cells = [
        " ".join(f"{v:.2f}" for v in p.experiments[0].crystal.cell)  # type: ignore[union-attr]
        for p in (first, part)
    ]
    total = max(len(part.reflections), 1)
    numbers = (
        f"indexed {100 * first.n_indexed / total:.1f} % before, {100 * part.n_indexed / total:.1f} % now; misfit (chi squared) "
        f"{_misfit(first.last):.2f} before, {_misfit(part.last):.2f} now; cell {cells[0]} before, {cells[1]} now"
    )
    if not drift.is_shifted:
        return (
            f"WARNING: another lattice was found from a beam centre {drift.shift_px:.1f} px away, which is next to nothing: {numbers}. "
            "Indexing hangs by a thread; look at the spots, whether there are several crystals or ice among them"
        )
    return (
        f"WARNING: the beam centre of the images' headers is wrong by {drift.shift_px:.1f} px, {drift.shift_rows:.2f} of the "
        f"distance between rows of spots: with it, {old[0]:.1f}, {old[1]:.1f} px (fast, slow), indices belong to other rows. The "
        f"spots were indexed again with the beam centre at {new[0]:.1f}, {new[1]:.1f} px: {numbers}.\nThe indexed files have the right beam centre. For other "
        "runs, import again with geometry.detector.fast_slow_beam_centre="
        f"{new[0]:.1f},{new[1]:.1f}; spindle search_beam_position looks for the place without an index"
    )


def _what_is_suspicious(part: Indexed, test: OffsetTest | None, context: Any) -> list[str]:
    """Warnings about models far from the headers, and about indices that other origins fit as well."""
    found = _drifts(part.given, part)
    confirmed = _is_confirmed(test)
    texts = []
    for drift in found:
        own = drift.texts()
        if confirmed and drift.is_shifted:
            context.log.info(
                "Refinement has moved a detector: %s. Indices of the neighbouring rows fit worse: the index is right, the beam centre in "
                "the headers is not",
                own.pop(0),
            )
        if own:
            which = "" if len(found) == 1 else f" of sweep {', '.join(map(str, drift.sweeps))}"
            texts.append(f"{'; '.join(own)}{which}")
    warnings = []
    if condition := _all_left_over(part):
        vector, modulus, remainder = condition
        terms = "".join(
            f"{'-' if v < 0 else '+'}{'' if abs(v) == 1 else abs(v)}{x}"
            for v, x in zip(vector, "hkl", strict=True)
            if v
        )
        warnings.append(
            f"WARNING: nearly all indices have {terms.lstrip('+')} = {remainder} modulo {modulus}: the cell is {modulus} times too large, and the "
            "beam centre wrong by a part of the distance between rows of spots. Run spindle search_beam_position with the imported "
            "experiments and the spots, and index again with its optimised.expt"
        )
    if text := harmonic_text(part) or _multiple_text(part):
        warnings.append(text)
    if texts:
        warnings.append(drift_warning(texts, "the images' headers"))
    rival_fits = test is not None and test.rival is not None and not confirmed
    if rival_fits and any(d.is_shifted for d in found):
        assert test is not None and test.rival is not None
        x, y = _centre(test.rival.result.experiments) or (np.nan, np.nan)
        warnings.append(
            f"WARNING: indices that differ by {','.join(map(str, test.rival.offset))}, with the beam centre at {x:.1f}, {y:.1f} px, fit "
            f"the spots about as well (misfit {test.rival.misfit:.2f} instead of {test.here.misfit:.2f}): with so little rotation the "
            "beam centre must be known to less than half the distance between rows. Use more images, or give the true one, "
            "geometry.detector.fast_slow_beam_centre="
        )
    return warnings
