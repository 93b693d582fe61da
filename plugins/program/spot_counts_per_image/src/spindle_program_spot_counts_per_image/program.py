"""The program `spindle spot_counts_per_image`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from spindle.contracts import Program, ProgramInputs, ProgramResult, hookimpl
from spindle.errors import ParameterError
from spindle.params import Bool, Int, PathParam
from spindle.params import Params as ParamsBase
from spindle.report import Table

from .outputs import check_suffix, json_files, plot_writer

if TYPE_CHECKING:
    from spindle.execution import RunContext
    from spindle.models import Experiments
    from spindle.table import ReflectionTable

__all__ = ["SpotCountsPerImage"]

# Title of a resolution limit in tables, and the columns with its value and its noisiness.
LIMITS = (
    ("d_min", "estimated_d_min", None),
    ("d_min (distl method 1)", "d_min_distl_method_1", "noisiness_method_1"),
    ("d_min (distl method 2)", "d_min_distl_method_2", "noisiness_method_2"),
)


class SpotCountsPerImage(Program):
    """Count the spots of each image and estimate how far out they reach.

    Spots in the powder rings of ice are counted apart. The resolution limits are three rough estimates from the spots
    alone: where I/sigma falls off, and two from the number of spots against resolution, with their noisiness in
    brackets (0 is orderly). They serve to compare images with each other.

        spindle spot_counts_per_image imported.expt strong.refl
        spindle spot_counts_per_image imported.expt strong.refl plot=per_image.html json=per_image.json
    """

    class Params(ParamsBase):
        """Count the spots of each image."""

        resolution_analysis = Bool(True, help="Estimate resolution limits of each image.")
        plot = PathParam(
            None,
            output=True,
            help="Draw the counts, limits and intensities: .html (to zoom and read values), .png, .svg or .pdf.",
        )
        json = PathParam(None, output=True, help="Write the values of all images, -1 where there is no estimate.")
        split_json = Bool(False, help="Write each quantity to a file of its own, too: <json>_<quantity>.json.")
        joint_json = Bool(True, help="Write all quantities to one file.")
        id = Int(None, min=0, help="Use the spots of this experiment only.")

    @hookimpl
    def run(self, inputs: ProgramInputs, params: Params, context: RunContext) -> ProgramResult:
        """Tabulate; see `spindle.contracts.program.ProgramSpec`."""
        from spindle_lib_spots.image_quality import SpotAnalysis, analyse_images, analyse_together

        experiments, table = _inputs(inputs, params.id)
        if params.plot is not None:
            check_suffix(params.plot)
        if params.json is not None and not (params.joint_json or params.split_json):
            raise ParameterError(
                f"json={params.json}: joint_json=False and split_json=False leave nothing to write; set one to True"
            )
        if params.json is None and params.split_json:
            raise ParameterError("split_json=True: set json= too, with which the names of the files begin")
        parts, names = [], []
        with context.progress("analysing images", len(experiments)) as progress:
            for sweep, found in analyse_images(experiments, table, params.resolution_analysis):
                parts.append(found)
                names += sweep.names() or [f"experiment {sweep.numbers[0]}"] * len(found)
                progress.advance(len(sweep.numbers))
        columns = {name: np.concatenate([p.columns()[name] for p in parts]) for name in SpotAnalysis.empty(0).columns()}
        together = analyse_together(experiments, table)
        tables = [_image_table(names, columns), _overall_table(together, params.resolution_analysis)]
        for one in tables:
            context.table(one)
        lost = len(table) - together["n_spots_total"]
        if lost:
            context.log.warning("%d spots belong to none of the experiments and were left out", lost)
        outside = together["n_spots_total"] - int(columns["n_spots_total"].sum())
        if outside:
            context.log.warning("%d spots lie outside the images of their scan and are in no row", outside)
        result = ProgramResult(tables=tables, summary={"n_images": len(names), **together})
        if params.json is not None:
            result.files.update(json_files(params.json, columns, params.joint_json, params.split_json))
        if params.plot is not None:
            result.files[str(params.plot)] = plot_writer(params.plot, names, columns)
        else:
            result.next_step = "spindle index <experiments> <reflections>"
        return result


def _inputs(inputs: ProgramInputs, number: int | None) -> tuple[Experiments, ReflectionTable]:
    """The experiments and spots to use."""
    if inputs.files:
        raise ParameterError(
            f"{inputs.files[0]}: give an experiment file and the spots that were found in its images, e.g. "
            "imported.expt strong.refl; spindle find_spots writes them"
        )
    if not inputs.experiments:
        raise ParameterError("no experiments: give the experiment file (.expt) that belongs to the spots")
    if len(inputs.reflections) != 1:
        raise ParameterError(
            f"{len(inputs.reflections)} reflection files were given, exactly one is needed, e.g. strong.refl"
        )
    experiments, table = inputs.experiments, inputs.reflections[0]
    if number is None:
        return experiments, table
    if number >= len(experiments):
        raise ParameterError(f"id={number}: there are {len(experiments)} experiments, counted from 0")
    if "id" not in table and len(table):
        raise ParameterError(f"id={number}: the reflections do not say which experiment they belong to (no column id)")
    from spindle.models import Experiments

    chosen = table.of_experiment(number).without("imageset_id") if len(table) else table
    chosen["id"] = np.zeros(len(chosen), np.int32)
    return Experiments([experiments[number]]), chosen


def _limit(value: float, noisiness: float | None) -> str | None:
    """Text of a resolution limit with its noisiness; None without an estimate."""
    if value <= 0:
        return None
    return f"{value:.2f}" if noisiness is None else f"{value:.2f} ({noisiness:.2f})"


def _image_table(names: list[str], columns: dict[str, np.ndarray]) -> Table:
    """One row per image; limits only where any image has one."""
    headers = ["Image", "File", "#spots", "#spots\nno ice", "#spots\nd > 4 A", "Total\nintensity"]
    cells: list[list[Any]] = [
        list(range(1, len(names) + 1)),
        names,
        *(columns[name].tolist() for name in ("n_spots_total", "n_spots_no_ice", "n_spots_4A")),
        [f"{v:.0f}" for v in columns["total_intensity"]],
    ]
    for title, name, noisiness in LIMITS:
        values = columns[name]
        if np.any(values > 0):
            noise = [None] * len(values) if noisiness is None else columns[noisiness].tolist()
            headers.append(title.replace(" (", "\n("))
            cells.append([_limit(v, n) for v, n in zip(values.tolist(), noise, strict=True)])
    return Table("Spots of each image", headers, list(zip(*cells, strict=True)), "spot_counts_per_image")


def _overall_table(together: dict[str, int | float], with_limits: bool) -> Table:
    """All spots as if on one image."""
    rows: list[list[Any]] = [["#spots", together["n_spots_total"]], ["#spots no ice", together["n_spots_no_ice"]]]
    if with_limits:
        rows += [
            [title, _limit(together[name], None if noisiness is None else together[noisiness])]
            for title, name, noisiness in LIMITS
        ]
    return Table("All images together", ["", "value"], rows, "spot_counts_overall")
