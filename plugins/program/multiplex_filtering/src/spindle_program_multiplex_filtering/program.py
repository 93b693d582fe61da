"""The program `multiplex_filtering`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from spindle.contracts import Program, ProgramInputs, ProgramResult, hookimpl
from spindle.errors import ParameterError, UserError
from spindle.params import walk
from spindle.report import Table, json_text
from spindle_lib_many_crystals import (
    DATA,
    Reduced,
    Reduction,
    Steps,
    by_resolution,
    filter_section,
    removed_table,
    shell_section,
    summary_of,
)
from spindle_lib_pages import Page, text_writer

from .finished import Finished, read_finished
from .params import MultiplexFilteringParams

__all__ = ["MultiplexFiltering"]


class MultiplexFiltering(Program):
    """Filter the data of a finished run of `multiplex` once more, with other limits.

    Leaves out the data sets, or the groups of images at the ends of sweeps, that lower CC1/2, scales and merges what is left, with the
    parameters of that run. Only this is done again: indexing, groups and space group stay as they are.

        spindle multiplex_filtering .
        spindle multiplex_filtering ../first_run filtering.deltacchalf.stdcutoff=3
        spindle multiplex_filtering . mode=image_group group_size=20 max_percent_removed=20
    """

    Params = MultiplexFilteringParams

    @hookimpl
    def run(self, inputs: ProgramInputs, params: MultiplexFilteringParams, context: Any) -> ProgramResult:
        """Filter; see `spindle.contracts.program.ProgramSpec`."""
        folder = _folder(inputs, params)
        finished = read_finished(folder, context.host.load("program", "multiplex").Params, context.log)
        images = params.filtering.deltacchalf.mode == "image_group"
        if len(finished.experiments) < 2 and not images:
            raise UserError(
                f"multiplex_filtering: {folder} has one data set, which cannot be judged as a whole; mode=image_group judges groups of images"
            )
        limits = {e.path: e.value for e in walk(params) if e.path.startswith(("filtering.", "resolution."))}
        own = finished.params.changed(**limits)
        with Steps(context, not params.output.cleanup) as steps:
            reduction = Reduction(steps, own)
            if finished.mtz is not None and own.r_free_flags.generate:
                reduction.share_flags(finished.mtz)
            filtered = reduction.reduce(
                "Filtered", finished.experiments, finished.table, f"{DATA}/filtered", "filtered", filtering=True
            )
            table, warnings = steps.table(), steps.warnings
            files = {**steps.files, **filtered.files}
        return _result(finished, filtered, table, warnings, files, params, context)


def _folder(inputs: ProgramInputs, params: Any) -> Path:
    """The folder of the finished run."""
    given = [Path(p) for p in inputs.files]
    if params.input.directory is not None:
        given.append(Path(params.input.directory))
    if inputs.experiments or inputs.reflections or len(given) != 1:
        raise UserError(
            f"multiplex_filtering: give the folder in which spindle multiplex was run, and nothing else ({len(given)} are given): "
            "spindle multiplex_filtering <folder>"
        )
    if not given[0].is_dir():
        raise ParameterError(
            f"multiplex_filtering: {given[0]} is not a folder; give that in which spindle multiplex was run"
        )
    return given[0]


def _result(
    finished: Finished,
    filtered: Reduced,
    steps: Table,
    warnings: list[tuple[str, str]],
    files: dict[str, Any],
    params: Any,
    context: Any,
) -> ProgramResult:
    done = filtered.filtered
    assert done is not None
    both = [finished.whole, filtered]
    removed, beside = removed_table(done, finished.names), summary_of(both)
    context.table(removed)
    context.table(beside)
    context.table(steps)
    mood, said = _verdict(finished.whole, filtered, removed)
    (context.log.info if mood == "good" else context.log.warning)("%s", said)
    if params.output.html is not None:
        page = Page("Many crystals, filtered", f"{len(filtered.experiments)} of {len(finished.experiments)} data sets")
        page.text(said + ".", mood)
        page.section("Merged data")
        page.table(beside)
        page.tables(t for t in filtered.tables if t.key == "merging_statistics_summary")
        page.plots(by_resolution(both))
        filter_section(page, filtered, finished.names)
        shell_section(page, both)
        page.section("Steps")
        page.table(steps)
        if warnings:
            page.table(Table("Warnings", ["Step", ""], [list(w) for w in warnings], "warnings"))
        files[str(params.output.html)] = text_writer(page.html())
    if params.output.json is not None:
        content = {
            **done, "data_sets": [e.identifier for e in filtered.experiments], "d_min": filtered.d_min, "limit_by": filtered.limits,
            "final_stats": filtered.statistics, "before": finished.whole.statistics, "verdict": {"mood": mood, "text": said},
        }  # fmt: skip
        files[str(params.output.json)] = text_writer(json_text(content, 1) + "\n")
    summary = {
        "n_data_sets": len(filtered.experiments), "n_removed": len(removed.rows), "termination_reason": done["termination_reason"],
        **filtered.summary,
    }  # fmt: skip
    next_step = (
        f"open {DATA}/filtered.mtz in a structure solution program"
        if mood == "good"
        else f"go on with {DATA}/scaled.mtz"
    )
    return ProgramResult(summary=summary, files=files, next_step=next_step)


def _verdict(whole: Reduced, filtered: Reduced, removed: Table) -> tuple[str, str]:
    """Whether the filter has done good: mood and sentence."""
    if not removed.rows:
        return "doubtful", "Nothing lowers CC1/2 by so much that it is left out; a lower stdcutoff takes more"
    before, after = whole.statistics["overall"], filtered.statistics["overall"]
    figures = (
        f"CC1/2 {before['cc_half']:.3f} -> {after['cc_half']:.3f}, Rpim {before['r_pim']:.3f} -> {after['r_pim']:.3f}, "
        f"completeness {100 * before['completeness']:.1f} -> {100 * after['completeness']:.1f} %"
    )
    what = f"{len(removed.rows)} set(s) or group(s) of images are left out: {figures}"
    better = after["cc_half"] > before["cc_half"] or after["r_pim"] < before["r_pim"]
    return ("good", what) if better else ("doubtful", f"{what}; that is no gain, so all data are better kept")
