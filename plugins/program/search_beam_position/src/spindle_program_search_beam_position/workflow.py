"""From inputs to moved detectors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from spindle.contracts import ProgramInputs, ProgramResult
from spindle.contracts.beam_position import BeamPositionError, DetectorShift
from spindle.errors import ParameterError, UserError
from spindle.execution import Executor
from spindle.models import Detector, Experiments
from spindle.params import Auto
from spindle.prediction import add_observed_geometry
from spindle.report import Table, json_text
from spindle.table import ReflectionTable
from spindle_lib_importing.experiments import experiments_of
from spindle_lib_spots.sweeps import join_tables, strong_spots, sweep_numbers, sweeps_of

from . import plots
from .by_images import LARGEST_UNCERTAINTY, ImageCentre, ImageSearch, panel_of_beam, shift_to

#: Centres of images with a lower quality come with a warning.
POOR_QUALITY = 0.25


@dataclass(slots=True)
class Found:
    """What was found for one detector.

    Attributes
    ----------
    sweeps : list of int
        Numbers of the sweeps that it belongs to.
    shift : (3,) float64, mm
    uncertainty : (2,) float64, pixels
        Along fast and slow.
    figures : list of plotly figures
        Made when they are asked for.
    """

    sweeps: list[int]
    shift: np.ndarray
    uncertainty: np.ndarray
    figures: list[Callable[[], Any]]


def search(inputs: ProgramInputs, params: Any, context: Any) -> ProgramResult:
    """Search the beam position; see `spindle_program_search_beam_position.SearchBeamPosition`."""
    methods = _methods(params, context)
    if methods is None and inputs.files:
        raise UserError(
            f"search_beam_position: {inputs.files[0]} is neither an experiment file (.expt) nor a reflection file (.refl), and "
            f"method={params.method} looks at nothing else; leave it out, or choose a method that looks at images"
        )
    experiments = inputs.experiments if methods is None else experiments_of(context, inputs)
    if experiments is None or len(experiments) == 0:
        raise UserError(
            "search_beam_position: no experiments were given; run spindle import and give its imported.expt"
        )
    executor = _executor(params, context)
    sweeps, _ = sweeps_of(experiments)
    groups = [sweeps.indices_with("detector", d) for d in sweeps.unique("detector")]
    files: dict[str, Callable[[Path], None]] = {}
    summary: dict[str, Any] = {"method": params.method}
    listed: list[dict[str, Any]] = []
    table = _spots_of(inputs, experiments) if methods is None else None
    found, failures = [], []
    for group in groups:
        try:
            if table is not None:
                found.append(_by_spots(sweeps, table, group, params, context, executor))
            elif methods is not None:
                found.append(_by_images(sweeps, group, params, methods, context, executor, listed))
        except BeamPositionError as error:
            if len(groups) == 1:
                raise
            failures.append(f"Detector{_of_sweeps(group, len(sweeps))}: {error}")
    if not found:
        raise BeamPositionError(
            f"search_beam_position: the beam position is found for none of {len(groups)} detectors:\n"
            + "\n".join(failures)
        )
    for failure in failures:
        context.log.warning("WARNING: this detector is left where it is. %s", failure)
    if methods is not None and params.projection.per_image:
        files[str(params.output.json)] = lambda path: _write_json(path, listed)
    moved, rows = _moved(experiments, sweeps, found, context)
    summary["detectors"] = rows
    if params.plot_search_scope:
        figures = [make for f in found for make in f.figures]
        files[str(params.output.plot)] = lambda path: plots.write_page(path, [make() for make in figures])
    step = f"spindle index {params.output.experiments} <reflections>"
    if not inputs.reflections:
        step = f"spindle find_spots {params.output.experiments}"
    return ProgramResult(experiments=moved, summary=summary, files=files, next_step=step)


def _methods(params: Any, context: Any) -> tuple[Any, Any] | None:
    """The plugins for the two axes, or None for a method that looks at spots.

    Raises
    ------
    ParameterError
        If the methods do not go together.
    """
    scope = params.projection
    main = context.chosen(params, "method")
    by_spots = main.implements("find_detector_shift")
    if by_spots and not (scope.method_x or scope.method_y):
        return None
    chosen = [
        main if getattr(scope, leaf) is None else context.chosen(scope, leaf) for leaf in ("method_x", "method_y")
    ]
    for axis, plugin in zip("xy", chosen, strict=True):
        if not plugin.implements("find_centre"):
            raise ParameterError(
                f"search_beam_position: projection.method_{axis} is {plugin.name}: this method looks at spots, not at images; give "
                "method= or both projection.method_x= and projection.method_y= a method that looks at images"
            )
    return chosen[0], chosen[1]


def _executor(params: Any, context: Any) -> Executor:
    executor: Executor = context.executor
    return executor if params.nproc in (Auto, None) else executor.limited(int(params.nproc))


def _spots_of(inputs: ProgramInputs, experiments: Experiments) -> ReflectionTable:
    if not inputs.reflections:
        raise UserError(
            "search_beam_position: no spots were given; run spindle find_spots and give its strong.refl, or let "
            "method=midpoint, maximum or inversion look at the images"
        )
    return join_tables(inputs.reflections, experiments)


# -- one detector


def _by_spots(
    sweeps: Experiments, table: ReflectionTable, group: list[int], params: Any, context: Any, executor: Executor
) -> Found:
    own = Experiments([sweeps[i] for i in group])
    number = np.full(len(sweeps), -1, dtype=np.int32)
    number[group] = np.arange(len(group))
    spots = table.select(number[table["imageset_id"]] >= 0)
    spots["imageset_id"] = number[spots["imageset_id"]]
    spots = add_observed_geometry(own, strong_spots(spots, params.image_range), "imageset_id")
    method = context.chosen(params, "method")
    rng = np.random.default_rng(params.seed)
    result: DetectorShift = method.find_detector_shift(sweeps=own, spots=spots, executor=executor, rng=rng)
    for note in result.notes:
        context.log.info("%s", note)
    context.table(
        Table(
            f"How {result.n_spots} spots fit a lattice" + _of_sweeps(group, len(sweeps)),
            ["", "fit (1 is perfect)", "on the lattice (%)"],
            [
                ["before", f"{result.quality_before:.3f}", f"{100 * result.on_lattice_before:.1f}"],
                ["after", f"{result.quality:.3f}", f"{100 * result.on_lattice:.1f}"],
            ],
            "lattice_fit",
        )
    )
    detector, s0 = own[0].detector, own[0].beam.s0
    panel = panel_of_beam(detector, s0)
    size = detector[panel].pixel_size
    rivals = [_centre(detector, s0, panel, shift) for shift in result.rivals]
    if rivals:
        places = "; ".join(f"{x:.1f}, {y:.1f}" for x, y in rivals[:6])
        context.log.warning(
            "%s",
            f"WARNING: the beam position is ambiguous: beside the one given below, the nearest to the old one, these fit "
            f"about as well (px): {places}. The images show too little rotation to tell; give more images, or mm_search_scope= "
            "smaller than the distance between spots if the old position cannot be that wrong",
        )
    figures: list[Callable[[], Any]] = []
    score_map = result.score_map
    if score_map is not None:
        title = "Score of shifts of the detector" + _of_sweeps(group, len(sweeps))
        figures.append(lambda: plots.score_figure(title, score_map, result.shift))
    return Found(group, result.shift, result.uncertainty / size, figures)


def _by_images(
    sweeps: Experiments,
    group: list[int],
    params: Any,
    methods: tuple[Any, Any],
    context: Any,
    executor: Executor,
    listed: list[dict[str, Any]],
) -> Found:
    own = Experiments([sweeps[i] for i in group])
    searcher = ImageSearch(own, params, methods, context, executor)
    if len(searcher.detector) > 1:
        context.log.info("Looking at panel %d of %d", searcher.panel, len(searcher.detector))
    figures: list[Callable[[], Any]] = []
    if params.projection.per_image:
        pixel, spread = _median_centre(searcher, group, context, listed)
        uncertainty = spread
    else:
        centre = searcher.together()
        pixel, uncertainty = centre.pixel, np.array([a.uncertainty for a in centre.axes])
        names = [m.name for m in methods]
        context.table(
            Table(
                f"Centre of {centre.n_images} images{_of_sweeps(group, len(sweeps))}, panel {centre.panel}",
                ["axis", "method", "centre (px)", "uncertainty (px)", "quality (0 to 1)"],
                [
                    [axis, name, f"{a.position:.2f}", f"{a.uncertainty:.2f}", f"{a.quality:.2f}"]
                    for axis, name, a in zip(("fast", "slow"), names, centre.axes, strict=True)
                ],
                "centres",
            )
        )
        poor = [name for name, a in zip(("fast", "slow"), centre.axes, strict=True) if a.quality < POOR_QUALITY]
        if poor:
            context.log.warning(
                "WARNING: the centre along %s is not much more than a guess (quality below %g): compare with another method, "
                "look at the images, and do not use it unseen",
                " and ".join(poor),
                POOR_QUALITY,
            )
        figures.append(lambda: plots.profile_figure(centre))
    return Found(group, shift_to(searcher.detector, searcher.s0, searcher.panel, pixel), uncertainty, figures)


def _median_centre(
    searcher: ImageSearch, group: list[int], context: Any, listed: list[dict[str, Any]]
) -> tuple[np.ndarray, np.ndarray]:
    """Median of the centres of all images, and its standard uncertainty, px."""
    centres, reasons = [], []
    for sweep, image, result in searcher.one_by_one():
        entry: dict[str, Any] = {"sweep": group[sweep], "image": image, "panel": searcher.panel}
        if isinstance(result, ImageCentre):
            centres.append(result.pixel)
            entry |= {"x": result.pixel[0], "y": result.pixel[1], "quality": [a.quality for a in result.axes]}
        else:
            reasons.append(str(result))
            entry |= {"x": None, "y": None, "reason": str(result)}
        listed.append(entry)
    if not centres:
        raise BeamPositionError(
            f"search_beam_position: no centre is found on any of {len(reasons)} images. The first says: {reasons[0]}"
        )
    if reasons:
        context.log.warning("WARNING: no centre is found on %d images; see output.json", len(reasons))
    values = np.array(centres)
    spread = 1.4826 * np.median(np.abs(values - np.median(values, axis=0)), axis=0)
    context.log.info(
        "Centres of %d images: median %.2f, %.2f px, they scatter by %.2f, %.2f px",
        len(values), *np.median(values, axis=0), *spread,
    )  # fmt: skip
    if len(values) < 3:
        return np.median(values, axis=0), np.full(2, np.nan)
    uncertainty = 1.25 * spread / np.sqrt(len(values))
    if uncertainty.max() > LARGEST_UNCERTAINTY:
        raise BeamPositionError(
            f"search_beam_position: the centres of {len(values)} images scatter by {spread[0]:.1f}, {spread[1]:.1f} px: their "
            f"median is no more than a guess (uncertainty {uncertainty.max():.1f} px, at most {LARGEST_UNCERTAINTY:g} is asked "
            "for), so the detector stays where it is. Look at the images together with projection.per_image=False, or try "
            "another method"
        )
    return np.median(values, axis=0), uncertainty


# -- results


def _centre(detector: Detector, s0: np.ndarray, panel: int, shift: np.ndarray) -> np.ndarray:
    """Pixel (2,) of a panel where the beam is once the detector was shifted by `shift` mm."""
    return np.asarray(_shifted(detector, shift).beam_centre_px(s0, panel))


def _shifted(detector: Detector, shift: np.ndarray) -> Detector:
    return detector.replace_panels([replace(p, origin=p.origin + shift) for p in detector])


def _moved(
    experiments: Experiments, sweeps: Experiments, found: list[Found], context: Any
) -> tuple[Experiments, list[dict[str, Any]]]:
    """The experiments with their detectors moved; says by how much."""
    numbers = sweep_numbers(experiments)
    of_sweep = {sweep: f for f in found for sweep in f.sweeps}
    rows = []
    for f in found:
        sweep = sweeps[f.sweeps[0]]
        detector, s0 = sweep.detector, sweep.beam.s0
        panel = panel_of_beam(detector, s0)
        size = detector[panel].pixel_size
        old, new = _centre(detector, s0, panel, np.zeros(3)), _centre(detector, s0, panel, f.shift)
        name = "" if len(detector) == 1 else f", panel {panel}"
        head = "Beam centre" + _of_sweeps(f.sweeps, len(sweeps)) + name
        change = new - old
        context.log.info("%s (fast, slow)", head)
        context.log.info("  Old beam centre: %.2f, %.2f mm (%.2f, %.2f px)", *old * size, *old)
        context.log.info("  New beam centre: %.2f, %.2f mm (%.2f, %.2f px)", *new * size, *new)
        context.log.info("  Shift: %.2f, %.2f mm (%.2f, %.2f px)", *change * size, *change)
        if np.all(np.isfinite(f.uncertainty)):
            context.log.info("  Uncertainty: %.2f, %.2f px", *f.uncertainty)
        rows.append(
            {
                "sweeps": f.sweeps,
                "panel": panel,
                "old_px": old.tolist(),
                "new_px": new.tolist(),
                "uncertainty_px": [float(u) if np.isfinite(u) else None for u in f.uncertainty],
                "shift_mm": f.shift.tolist(),
            }
        )
    for detector in experiments.unique("detector"):
        sweep_number = numbers[experiments.indices_with("detector", detector)[0]]
        if sweep_number in of_sweep:
            experiments = experiments.with_model(detector, _shifted(detector, of_sweep[sweep_number].shift))
    return experiments, rows


def _of_sweeps(group: list[int], n_sweeps: int) -> str:
    if n_sweeps == len(group):
        return ""
    names = ", ".join(str(i) for i in group[:8]) + (" ..." if len(group) > 8 else "")
    return f" of sweep{'s' if len(group) > 1 else ''} {names}"


def _write_json(path: Path, listed: list[dict[str, Any]]) -> None:
    path.write_text(json_text({"beam_positions": listed}, 1) + "\n")
