"""From experiments and spots to turned goniometers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from spindle.contracts import ProgramInputs, ProgramResult
from spindle.errors import UserError
from spindle.execution import Executor
from spindle.models import Experiments
from spindle.params import Auto
from spindle.prediction import add_observed_geometry
from spindle.report import Table
from spindle.table import ReflectionTable
from spindle_lib_spots.sweeps import join_tables, strong_spots, sweep_numbers, sweeps_of

from . import pictures
from .geometry import Plane, turned
from .search import AxisSearch, SweepSpots, Trace, separation_deg

#: Spots of larger spacing are near the beam and its shadow, angstrom.
LARGEST_SPACING = 10.0
#: With fewer spots there are too few differences.
FEWEST_SPOTS = 20
#: Contrasts below these are no result, and no sure one.
NO_CONTRAST, SMALL_CONTRAST = 1.15, 1.5
#: Scores below this are those of noise.
NOISE = 1.3
#: An axis that moves by less is the same, degrees.
SAME = 1.0


def find_axes(inputs: ProgramInputs, params: Any, context: Any) -> ProgramResult:
    """Find the axis of each goniometer; see `spindle_program_find_rotation_axis.FindRotationAxis`."""
    experiments = inputs.experiments
    if experiments is None or len(experiments) == 0:
        raise UserError("find_rotation_axis: no experiments were given; run spindle import and give its imported.expt")
    if not inputs.reflections:
        raise UserError("find_rotation_axis: no spots were given; run spindle find_spots and give its strong.refl")
    sweeps, _ = sweeps_of(experiments)
    for number, sweep in enumerate(sweeps):
        if sweep.goniometer is None or sweep.is_still:
            raise UserError(
                f"find_rotation_axis: experiment {number} is a still, which turns about nothing; if the crystal was rotated, import again "
                "with geometry.goniometer.axis=1,0,0 and geometry.scan.oscillation=START,WIDTH"
            )
    spots = strong_spots(join_tables(inputs.reflections, experiments), None)
    table = add_observed_geometry(sweeps, spots, "imageset_id")
    executor: Executor = context.executor
    if params.nproc not in (Auto, None):
        executor = executor.limited(int(params.nproc))
    groups = [sweeps.indices_with("goniometer", g) for g in sweeps.unique("goniometer")]
    results: list[tuple[list[int], float]] = []
    figures: list[Callable[[], Any]] = []
    summary: list[dict[str, Any]] = []
    for group in groups:
        context.check_cancelled()
        name = "" if len(groups) == 1 else f" of sweep{'s' if len(group) > 1 else ''} {', '.join(map(str, group))}"
        plane, chosen = _chosen_spots(sweeps, table, group, params.max_two_theta, name)
        search = AxisSearch(chosen, executor)
        n = sum(len(s) for s in search.sweeps)
        start = plane.azimuth_deg(sweeps[group[0]].known_goniometer.axis_lab)
        if params.azimuth is not None:
            start = float(params.azimuth)
        start = (start + (180.0 if params.opposite else 0.0) + 180.0) % 360.0 - 180.0
        if params.view:
            context.log.info("Azimuth%s: %.2f degrees, %d spots", name, start, n)
            figures.append(lambda s=search.sweeps, a=start, t=name: pictures.direction_figure(s, a, t))  # type: ignore[misc]
            continue
        context.log.info("Searching the rotation axis%s with %d spots", name, n)
        trace = search.find(start, params.global_search)
        _report(trace, plane, name, params, context)
        results.append((group, trace.best))
        summary.append(_numbers(trace, plane, group, n))
        figures.append(lambda tr=trace, t=name: pictures.score_figure(tr, t))  # type: ignore[misc]
        figures.append(lambda s=search.sweeps, a=trace.best, t=name: pictures.direction_figure(s, a, t))  # type: ignore[misc]
    files: dict[str, Callable[[Path], None]] = {}
    if params.output.plot:
        files[f"{params.output.plot}.html"] = lambda path: pictures.write_page(path, [make() for make in figures])
    if params.view:
        if not files:
            raise UserError(
                "find_rotation_axis: view=True writes the picture and nothing else: give output.plot= a name"
            )
        return ProgramResult(files=files, next_step="spindle find_rotation_axis <experiments> <reflections>")
    return ProgramResult(
        experiments=_turned(experiments, sweeps, results),
        summary={"axes": summary},
        files=files,
        next_step=f"spindle index {params.output.experiments} <reflections>",
    )


def _chosen_spots(
    sweeps: Experiments, table: ReflectionTable, group: list[int], max_two_theta: float | None, name: str
) -> tuple[Plane, list[SweepSpots]]:
    """The plane across the beam, and the spots of each sweep of a group that are looked at."""
    plane = Plane.across(sweeps[group[0]].beam.s0)
    chosen, n_all = [], 0
    for number in group:
        s0 = sweeps[number].beam.s0
        own = table.select(table["imageset_id"] == number)
        n_all += len(own)
        s1, radius = own["s1"], float(np.linalg.norm(s0))
        q = np.linalg.norm(s1 - s0, axis=1)
        two_theta = np.degrees(2 * np.arcsin(np.clip(0.5 * q / radius, 0.0, 1.0)))
        good = q >= 1 / LARGEST_SPACING
        if max_two_theta is not None:
            good &= two_theta <= max_two_theta
        rows = np.flatnonzero(good)
        rows = rows[np.argsort(q[rows], kind="stable")]
        across = s1[rows] @ np.stack([plane.first, plane.second], axis=1)
        phi = own["xyzobs.mm.value"][rows, 2]
        if len(rows) > 1:
            chosen.append(SweepSpots(np.ascontiguousarray(across), np.ascontiguousarray(phi), radius))
    n = sum(len(s) for s in chosen)
    if n < FEWEST_SPOTS:
        limit = "" if max_two_theta is None else f" within max_two_theta={max_two_theta:g} degrees and"
        raise UserError(
            f"find_rotation_axis: {n} of {n_all} spots{name} are{limit} beyond {LARGEST_SPACING:g} A resolution; at least {FEWEST_SPOTS} are "
            "needed: find more spots (spindle find_spots with more images, or a lower threshold), or raise max_two_theta"
        )
    return plane, chosen


def _report(trace: Trace, plane: Plane, name: str, params: Any, context: Any) -> None:
    """What was found, and whether it is believed."""
    given = "azimuth=" if params.azimuth is not None else "the experiments"
    rows = [
        [
            f"{'opposite to that of ' if params.opposite else ''}{given}",
            f"{trace.start:.2f}",
            f"{trace.start_score:.2f}",
        ],
        ["found", f"{trace.best:.2f}", f"{trace.best_score:.2f}"],
        ["the opposite of it", f"{trace.opposite:.2f}", f"{trace.opposite_score:.2f}"],
        ["best elsewhere", f"{trace.elsewhere:.2f}", f"{trace.elsewhere_score:.2f}"],
    ]
    context.table(
        Table(
            f"Rotation axis{name}; a score of 1 is that of no axis",
            ["", "azimuth (deg)", "score"],
            rows,
            "rotation_axis",
        )
    )
    axis = plane.axis(trace.best)
    text = ",".join(f"{v + 0.0:.5f}" for v in axis)
    context.log.info("Rotation axis found%s: %.2f degrees, %s", name, trace.best, text)
    if not np.isnan(trace.half_width):
        context.log.info("The peak is half as high %.1f degrees away", trace.half_width)
    if trace.best_score < NOISE or trace.contrast < NO_CONTRAST:
        context.log.warning(
            "%s",
            f"WARNING: no azimuth{name} is much better than others: the spots make no lattice about any axis across the beam, or they are "
            "too few. Do not use the result unseen: look at the picture and the spots (noise, several crystals), check the beam centre "
            "(spindle search_beam_position), give more images, or max_two_theta=",
        )
        return
    if trace.contrast < SMALL_CONTRAST:
        context.log.warning(
            "WARNING: the azimuth%s is not sure: the next best has %.0f %% of its height; look at the picture, and compare how many spots "
            "are indexed", name, 100 / trace.contrast,
        )  # fmt: skip
    moved = separation_deg(trace.best, trace.start)
    if moved < SAME:
        context.log.info("The axis of %s is right within %.2f degrees", given, moved)
    elif abs(moved - 180.0) < SAME:
        context.log.info("The sense of the rotation of %s is wrong: the axis is the opposite", given)
    else:
        sense = ", with the other sense" if moved > 90 else ""
        context.log.info("The axis of %s is wrong by %.2f degrees%s", given, moved, sense)
    context.log.info("For other crystals on this instrument, import with geometry.goniometer.axis=%s", text)


def _numbers(trace: Trace, plane: Plane, group: list[int], n_spots: int) -> dict[str, Any]:
    """Key numbers for scripts."""
    return {
        "sweeps": list(group),
        "azimuth_deg": trace.best,
        "axis": plane.axis(trace.best).tolist(),
        "azimuth_before_deg": trace.start,
        "score": trace.best_score,
        "score_before": trace.start_score,
        "score_opposite": trace.opposite_score,
        "contrast": trace.contrast,
        "n_spots": n_spots,
    }


def _turned(experiments: Experiments, sweeps: Experiments, results: list[tuple[list[int], float]]) -> Experiments:
    """The experiments with their goniometers turned to the azimuths found."""
    numbers = sweep_numbers(experiments)
    azimuths = {sweep: azimuth for group, azimuth in results for sweep in group}
    for goniometer in experiments.unique("goniometer"):
        sweep = numbers[experiments.indices_with("goniometer", goniometer)[0]]
        plane = Plane.across(sweeps[sweep].beam.s0)
        experiments = experiments.with_model(goniometer, turned(goniometer, plane, azimuths[sweep]))
    return experiments
