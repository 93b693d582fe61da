"""From inputs to indexed spots, with a judgement of the result."""

from __future__ import annotations

from typing import Any

import numpy as np

from spindle.contracts import ProgramInputs, ProgramResult
from spindle.contracts.indexing import IndexingError
from spindle.errors import UserError
from spindle.models import Crystal, Experiment, Experiments
from spindle.report import DETAIL
from spindle.table import ReflectionTable
from spindle_lib_refinement.flat_sphere import is_flat
from spindle_lib_refinement.geometry_drift import place_of
from spindle_lib_spots.sweeps import join_tables, sweeps_of, with_common_scans

from .another import another_lattice
from .camera_length import camera_length_text
from .centring import again_where_centred
from .diagnosis import better_rotation, count_indexed, moved_beam
from .explanation import explain
from .indexed import Indexed
from .indexer import Indexer
from .ladder import climb, refusal_table
from .quality import causes, is_absurd, is_much_better, scale_text, sweeps_of_other_crystals, warning_text
from .report_text import indexed_table, lattice_table
from .sampling import completed, part_of
from .stills import (
    check_stills_params,
    failure_text,
    few_text,
    groups_of,
    index_stills,
    name_of,
    settings_for_a_still,
    together_text,
)
from .stills_indexer import model_texts
from .verification import verify

#: Refused candidates that are listed.
MOST_REFUSALS = 20
#: With more crystals than this, the symmetries of their lattices are not listed.
MOST_LATTICE_TABLES = 3


def index(inputs: ProgramInputs, params: Any, context: Any) -> ProgramResult:
    """Index the spots of the inputs; see `spindle_program_index.Index`."""
    if inputs.experiments is None or len(inputs.experiments) == 0:
        raise IndexingError("index: no experiments were given; run spindle import and give its imported.expt")
    spots = join_tables(inputs.reflections, inputs.experiments)
    sweeps, crystals = sweeps_of(inputs.experiments)
    check_stills_params(sweeps, params.indexing.stills)
    if params.indexing.combine_scans:
        sweeps = with_common_scans(sweeps)
    joint = params.indexing.joint_indexing
    if joint is True and len({sweep.is_still for sweep in sweeps}) > 1:
        raise IndexingError(
            "index: stills and rotation images cannot have a crystal in common: leave joint_indexing=True out, and each still is "
            "indexed by itself"
        )
    for number, sweep in enumerate(sweeps):
        if sweep.goniometer is not None and sweep.scan is not None and sweep.scan.is_still and sweep.scan.n_images > 1:
            raise IndexingError(
                f"index: sweep {number} has {sweep.scan.n_images} images of oscillation width 0. If the crystal was rotated, "
                "import again with the true values, geometry.scan.oscillation=START,WIDTH; if not, import the images as stills"
            )
    if params.indexing.debug:
        context.log.setLevel("DEBUG")
    parts, told = _indexed_parts(sweeps, spots, params, context, crystals)
    summary: dict[str, Any] = {}
    many = [p for p in parts if p.n_sweeps == 1 and p.given[0].is_still] if len(parts) > 1 else []
    if text := _few_of_many(many, params):
        context.log.warning("%s", text)
        told.append(text)
    for part in parts:
        if params.indexing.known_symmetry.unit_cell and (text := camera_length_text(part)):
            context.log.info("%s", text)
        known = params.indexing.known_symmetry.unit_cell
        first = part.experiments[0]
        distance = place_of(first).distance if is_flat(first) else None
        if text := scale_text(first.known_crystal, known, first.beam.wavelength, distance):
            part.warnings = [*part.warnings, text]
        warning = None if part in many else _judge(part, params, context)
        for text in part.warnings:
            context.log.warning("%s", text)
        told += [*part.warnings, *([warning] if warning else [])]
        if part.n_lattices == 1 and len(parts) <= MOST_LATTICE_TABLES:
            context.table(lattice_table(part.experiments[0].known_crystal))
    if told:
        summary["warning"] = "\n".join(told)
    following = f"spindle refine {params.output.experiments} {params.output.reflections}"
    if len(parts) == 1 and parts[0].cause:
        summary["cause"] = parts[0].cause
        following = "mend what the warning names, and index again"
    for text in model_texts([c for part in parts for c in part.experiments.unique("crystal") if c is not None]):
        context.log.info("%s", text)
    parts = [_with_all_spots(part, params, context) for part in parts]
    experiments, reflections = join_parts(parts)
    summary.update(key_numbers(parts, experiments, reflections))
    return ProgramResult(
        experiments=experiments, reflections=reflections, summary=summary,
        next_step=following,
    )  # fmt: skip


@again_where_centred
def _together(
    sweeps: Experiments, spots: ReflectionTable, params: Any, context: Any, crystals: list[Crystal] | None = None
) -> Indexed:
    """All sweeps with the same crystals, by the strategy that gives a lattice; a failure is explained from the spots."""
    n_spots = len(spots)
    spots, taken = part_of(sweeps, spots, params.indexing)
    if taken is not None:
        context.log.info(
            "Looking for lattices with %d of %d spots; all of them get an index afterwards (most_spots)",
            len(spots),
            n_spots,
        )
    result = climb(sweeps, spots, params, context, list(crystals or []))
    doubtful = bool(result.doubt) and not params.diagnosis.accept_doubtful
    if result.part is not None and not doubtful:
        if text := result.text():
            context.log.info("%s", text)
        part = _verified(result.part, spots, result.params, context, crystals)
        if result.doubt:
            part.warnings = [*part.warnings, f"WARNING: the lattice does not convince: {result.doubt}"]
        part.taken = taken
        return part
    kind: type[UserError] = IndexingError
    lines = ["index: no lattice was found that convinces"]
    if result.part is not None:
        cell = " ".join(f"{v:.2f}" for v in result.part.experiments[0].known_crystal.cell)
        lines = [f"index: no lattice was found that convinces. The best, {cell}: {result.doubt}"]
    elif result.error is not None:
        kind, lines = type(result.error), [str(result.error)]
    if params.diagnosis.test_geometry:
        found = _reason(sweeps, spots, 0, params, context)
        if found is not None:
            raise kind("\n".join([*lines, found])) from result.error
        lines += [f"  - {text}" for text in explain(sweeps, spots, params, context)]
    if result.refusals:
        context.table(refusal_table(result.refusals[:MOST_REFUSALS]).as_detail())
    if text := result.text():
        context.log.info("%s", text, extra=DETAIL)
        others = ", ".join(words for words, _ in result.tried[1:])
        lines.append(f"  - {others} gave no better one: what came of each is in the log, and on the screen with -v")
    if result.part is not None:
        lines.append("  - diagnosis.accept_doubtful=True writes it all the same")
    raise kind("\n".join(lines)) from result.error


def _one_of_many(sweeps: Experiments, spots: ReflectionTable, params: Any, context: Any, n_stills: int) -> Indexed:
    """One of several stills, by the first strategy that gives a lattice which convinces.

    Raises
    ------
    UserError
        That of the first attempt where none gives a lattice, or what is wrong with the best.
    """
    result = climb(sweeps, spots, params, context, [], n_stills)
    if result.part is None:
        assert result.error is not None
        raise result.error
    if result.doubt and not params.diagnosis.accept_doubtful:
        cell = " ".join(f"{v:.1f}" for v in result.part.experiments[0].known_crystal.cell)
        raise IndexingError(f"the best lattice, {cell}, does not convince: {result.doubt}")
    return result.part


def _with_all_spots(part: Indexed, params: Any, context: Any) -> Indexed:
    """The index of all spots, where a part of them was taken."""
    if part.taken is None:
        return part
    part = completed(part, part.taken, params.indexing)
    context.log.info("All spots:")
    context.table(indexed_table(part.reflections, part.n_sweeps))
    return part


def _verified(
    part: Indexed, spots: ReflectionTable, params: Any, context: Any, crystals: list[Crystal] | None = None
) -> Indexed:
    """The index, or a better one where the beam centre is wrong by a row of spots; warnings are kept with it."""
    checked = verify(part, params, context, lambda sweeps: Indexer(sweeps, spots, params, context, crystals).run())
    checked.part.warnings = checked.warnings
    return checked.part


def _indexed_parts(
    sweeps: Experiments, spots: ReflectionTable, params: Any, context: Any, crystals: list[Crystal]
) -> tuple[list[Indexed], list[str]]:
    """Sweeps that share crystals together, the others and stills one by one; with warnings about those left out.

    Raises
    ------
    IndexingError
        If none can be indexed.
    """
    groups = groups_of(sweeps, params.indexing.joint_indexing)
    if len(groups) == 1:
        alone = len(sweeps) == 1 and sweeps[0].is_still
        return [_together(sweeps, spots, settings_for_a_still(params) if alone else params, context, crystals)], []
    stills = [g[0] for g in groups if len(g) == 1 and sweeps[g[0]].is_still]
    found: list[tuple[int, Indexed]] = []
    told = []
    for number, group in enumerate(g for g in groups if g[0] not in stills):
        context.log.info("Indexing %s", _named(group))
        own, own_spots = _part_of(sweeps, spots, group)
        try:
            found.append((group[0], _together(own, own_spots, params, context)))
        except UserError as error:
            if number == len(groups) - 1 and not found:
                raise
            told.append(f"WARNING: {_named(group)} cannot be indexed and is left out: {error}")
            context.log.warning("%s", told[-1])
    if stills:
        context.log.info("%s", together_text(len(stills)))
        others, failed = index_stills(
            sweeps, spots, stills, params, context, lambda e, t, p: _one_of_many(e, t, p, context, len(stills))
        )
        found += others
        if failed:
            told.append(failure_text(failed, len(stills)))
            context.log.warning("%s", told[-1])
        if not found:
            raise IndexingError(f"index: none of {len(stills)} stills could be indexed. The first: {failed[0]}")
        if len(stills) < len(sweeps):
            context.log.info(
                "Stills and sweeps were indexed; refine takes them in two files: import and index them apart"
            )
    if not found:
        raise IndexingError("index: none of the sweeps could be indexed; see the messages above")
    return [part for _, part in sorted(found, key=lambda f: f[0])], told


def _named(group: list[int]) -> str:
    return f"sweep{'s' if len(group) > 1 else ''} {', '.join(map(str, group))}"


def _part_of(sweeps: Experiments, spots: ReflectionTable, group: list[int]) -> tuple[Experiments, ReflectionTable]:
    """Some of the sweeps, numbered anew, with their spots."""
    number = np.full(len(sweeps), -1, dtype=np.int32)
    number[group] = np.arange(len(group), dtype=np.int32)
    own = spots.select(number[spots["imageset_id"]] >= 0)
    own["imageset_id"] = number[own["imageset_id"]]
    return Experiments([sweeps[i] for i in group]), own


def _judge(part: Indexed, params: Any, context: Any) -> str | None:
    """Warn about a result that makes no sense; returns the warning."""
    total = len(part.reflections)
    limit = params.indexing.refinement_protocol.d_min_final
    within = np.linalg.norm(part.reflections["rlp"], axis=1) <= (1 / limit if limit else np.inf)
    fraction = part.n_indexed / max(int(np.count_nonzero(within)), 1)
    apart = sweeps_of_other_crystals(_fractions(part, within), params.diagnosis.warn_below)
    if apart is not None:
        text = f"WARNING: {apart}"
        context.log.warning("%s", text)
        return text
    suspicious = part.last is not None and is_absurd(part.experiments, part.last.rmsd_px)
    found = None
    if params.diagnosis.test_geometry:
        few = fraction < params.diagnosis.look_below
        found, part.n_further = another_lattice(part, params, context, few) or (None, 0.0)
    if fraction < params.diagnosis.warn_below and found is not None and part.n_lattices == 1:
        # About a wrong axis, and of wrong widths, the pieces of one crystal look like several of them.
        rotation = better_rotation(part.given, part.reflections, part.n_indexed, params, context)
        if rotation is not None:
            found, part.n_further, part.cause = rotation, 0.0, rotation
    if fraction >= params.diagnosis.warn_below and not suspicious:
        if found is not None:
            context.log.info("%s", found)
        return None
    sweeps = part.given
    if found is None and params.diagnosis.test_geometry:
        found = _reason(sweeps, part.reflections, part.n_indexed, params, context)
        part.cause = found or ""
    if fraction >= params.diagnosis.warn_below:
        assert part.last is not None
        text = "WARNING: predicted and observed spots disagree by " + ", ".join(
            f"{v:.1f} {unit}" for v, unit in zip(part.last.rmsd_px.max(axis=0), ("px", "px", "images"), strict=True)
        )
        text += ": the lattice or the geometry is wrong." + ("" if found is None else "\n" + found)
    else:
        hints = causes(sweeps, total, part.n_lattices, params.indexing.multiple_lattice_search.max_lattices)
        text = warning_text(fraction, params.diagnosis.warn_below, hints, found)
    if part.n_sweeps == 1 and sweeps[0].is_still:
        text = f"{name_of(sweeps[0], 0)}: {text}"
    context.log.warning("%s", text)
    return text


def _few_of_many(stills: list[Indexed], params: Any) -> str:
    """The warning about stills of which few spots are indexed; "" when there are none."""
    fractions = [part.n_indexed / max(len(part.reflections), 1) for part in stills]
    few = [
        (name_of(part.given[0], i), f) for i, (part, f) in enumerate(zip(stills, fractions, strict=True))
        if f < params.diagnosis.warn_below
    ]  # fmt: skip
    return few_text(few, len(stills), params.diagnosis.warn_below) if few else ""


def _fractions(part: Indexed, within: np.ndarray) -> np.ndarray:
    """(n_sweeps,) indexed part of the spots of each sweep within the resolution limit, NaN where there are none."""
    sweep, indexed = part.reflections["imageset_id"], part.reflections["id"] >= 0
    total = np.bincount(sweep[within], minlength=part.n_sweeps).astype(np.float64)
    own = np.bincount(sweep[within & indexed], minlength=part.n_sweeps)
    return np.where(total > 0, own / np.maximum(total, 1), np.nan)


def _reason(sweeps: Experiments, spots: ReflectionTable, n_indexed: int, params: Any, context: Any) -> str | None:
    """What hinders indexing, if a trial shows it."""
    trials = (better_rotation, _better_beam_centre, _without_symmetry)
    return next((text for trial in trials if (text := trial(sweeps, spots, n_indexed, params, context))), None)


def _without_symmetry(
    sweeps: Experiments, spots: ReflectionTable, n_indexed: int, params: Any, context: Any
) -> str | None:
    """Whether the lattice is fine but for the symmetry that the user gave: what to tell, or None."""
    if params.indexing.known_symmetry.space_group is None and params.indexing.known_symmetry.unit_cell is None:
        return None
    free = count_indexed(sweeps, spots, params, context)
    total = len(spots)
    if not is_much_better(free, n_indexed, total):
        return None
    return (
        f"Without the given space group and unit cell {100 * free / total:.0f} % of the spots can be indexed: the "
        "crystal does not have this symmetry. Leave indexing.known_symmetry out, or correct it"
    )


def _better_beam_centre(
    sweeps: Experiments, spots: ReflectionTable, n_indexed: int, params: Any, context: Any
) -> str | None:
    """Whether another beam centre indexes far more spots: what to tell, or None."""
    moved = moved_beam(sweeps, spots, params, context)
    if moved is None:
        return None
    now = max(n_indexed, count_indexed(sweeps, spots, params, context))
    then, total = count_indexed(moved, spots, params, context), len(spots)
    if not is_much_better(then, now, total):
        return None
    old, new = (s[0].detector.beam_centre_px(s[0].beam.s0, panel=0) for s in (sweeps, moved))
    if old is None or new is None:
        return None
    return (
        f"With the beam centre at {new[0]:.1f}, {new[1]:.1f} instead of {old[0]:.1f}, {old[1]:.1f} pixels (fast, slow), "
        f"{100 * then / total:.0f} % of the spots can be indexed: most likely the beam centre in the images' header is wrong. "
        "Run spindle search_beam_position with the same files, or import again with "
        f"geometry.detector.fast_slow_beam_centre={new[0]:.1f},{new[1]:.1f}"
    )


def join_parts(parts: list[Indexed]) -> tuple[Experiments, ReflectionTable]:
    """One list of experiments and one table from sweeps that were indexed separately."""
    if len(parts) == 1:
        return parts[0].experiments, parts[0].reflections
    experiments: list[Experiment] = []
    tables = []
    n_sweeps = 0
    for part in parts:
        table = part.reflections.view()
        table["id"] = np.where(table["id"] >= 0, table["id"] + len(experiments), -1).astype(np.int32)
        table["imageset_id"] = (table["imageset_id"] + n_sweeps).astype(np.int32)
        n_sweeps += part.n_sweeps
        table.identifiers = {len(experiments) + i: e.identifier for i, e in enumerate(part.experiments)}
        experiments += list(part.experiments)
        tables.append(table)
    return Experiments(experiments), ReflectionTable.concatenate(tables)


def key_numbers(parts: list[Indexed], experiments: Experiments, table: ReflectionTable) -> dict[str, Any]:
    """Numbers for scripts and for the summary of a chain."""
    n_indexed = int(np.count_nonzero(table["id"] >= 0))
    rmsds = [p.last.rmsd_px for p in parts if p.last is not None]
    numbers: dict[str, Any] = {
        "n_spots": len(table),
        "n_indexed": n_indexed,
        "fraction_indexed": n_indexed / max(len(table), 1),
        "n_lattices": max(p.n_lattices for p in parts),
        "further_fraction": sum(p.n_further for p in parts) / max(len(table), 1),
        "max_cell": parts[0].max_cell,
        "unit_cell": [round(float(v), 4) for v in experiments[0].known_crystal.cell],
        "space_group": experiments[0].known_crystal.space_group.xhm(),
    }
    if rmsds:
        mean = np.mean(np.concatenate(rmsds), axis=0)
        numbers.update(rmsd_x=float(mean[0]), rmsd_y=float(mean[1]), rmsd_z=float(mean[2]))
    return numbers
