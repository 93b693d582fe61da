"""Running one program in a given context, at the top of a run or inside that of another program."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spindle.contracts import ProgramInputs, ProgramResult
from spindle.errors import FileFormatError, MissingColumn, UserError
from spindle.params import Assignment, Params
from spindle.params.resolve import Resolver, build
from spindle.params.tree import plugin_of, scopes_of
from spindle.plugins.host import running

from .progress import waiting
from .record import file_entry, make_record, write_record

if TYPE_CHECKING:
    from spindle.models import Experiments

    from .context import RunContext

__all__ = ["Record", "check_results", "execute", "make_inputs", "nested_params", "run_nested"]


def make_inputs(experiments: Experiments | None, reflections: Any, files: Sequence[Path | str] = ()) -> ProgramInputs:
    """Return program inputs from what callers like to give."""
    tables = (
        [] if reflections is None else list(reflections) if isinstance(reflections, list | tuple) else [reflections]
    )
    return ProgramInputs(experiments=experiments, reflections=tables, files=[Path(f) for f in files])


def execute(context: RunContext, inputs: ProgramInputs) -> ProgramResult:
    """Run the program of ``context``."""
    program = context.algorithm("program", context.program, context.params)
    context.notify("step_started", program=context.program, params=context.params)
    start = time.perf_counter()
    with closing(context), running(context):
        try:
            result: ProgramResult = program.run(inputs=inputs, params=context.params, context=context)
        except MissingColumn as error:
            if all(error.column in table for table in inputs.reflections):
                raise
            raise FileFormatError(
                f"{context.program}: the reflections have no column {error.column}, which is needed here; give the file of the step "
                f"before (spindle {context.program} -h tells which)"
            ) from error
    known = [id(t) for t in result.tables]
    result.tables[:0] = [t for t in context.tables if id(t) not in known]
    context.notify("step_finished", program=context.program, result=result, seconds=time.perf_counter() - start)
    return result


def run_nested(
    parent: RunContext,
    name: str,
    experiments: Experiments | None,
    reflections: Any,
    files: Sequence[Path | str],
    write: bool,
    params: dict[str, Any],
    record: Record | None = None,
) -> ProgramResult:
    """Run a program inside the run of another; workers, observers and cancellation are shared."""
    tree = nested_params(parent, name, params)
    context = parent.nested(name, tree)
    inputs = make_inputs(experiments, reflections, files)
    with waiting(name, parent.shows_progress):
        return _run_nested(parent, name, context, inputs, write, record)


def _run_nested(
    parent: RunContext, name: str, context: RunContext, inputs: ProgramInputs, write: bool, record: Record | None
) -> ProgramResult:
    """The same, with its own context and inputs."""
    tree = context.params
    if not write:
        return execute(context, inputs)
    from .earlier import check_earlier, data_of, data_of_inputs, outputs_to_check
    from .outputs import check_outputs, log_file, named_outputs, report_outputs, write_outputs
    from .protection import check_twice

    check_outputs(name, tree)
    check_twice(name, tree, None if record is None else record.path, context.settings.log)
    data = data_of_inputs(inputs)
    replaced = outputs_to_check(tree, named_outputs(name, tree))
    sources = () if record is None else record.inputs
    if not context.may_replace:
        context.may_replace = check_earlier(name, replaced, data, sources)
    if record is not None:
        try:
            record.path.unlink(missing_ok=True)  # it describes files that are about to be replaced
        except OSError as error:
            raise UserError(f"cannot replace {record.path}: {error.strerror}") from error
    start = time.perf_counter()
    with log_file(name, tree), parent.host.noting() as used:
        result = execute(context, inputs)
        data = data or data_of(result.experiments, given=False)
        check_results(context, inputs, result, data, replaced, None if record is None else record.path)
        written = write_outputs(name, tree, result)
        context.written += written
        report_outputs(context.log, written, "")
    if record is not None:
        for _, scope in scopes_of(tree):
            plugin = plugin_of(scope)
            if plugin is not None:
                used.add(plugin)
        plugins = parent.host.used(used | {("program", name)})
        seconds = time.perf_counter() - start
        entries = [file_entry(p, p.suffix in (".expt", ".refl")) for p in record.inputs]
        argv = ["spindle", name, *map(str, record.inputs)]
        content = make_record(
            name, tree, plugins, entries, written, context.seed, argv, seconds, result.summary, record.images, data
        )
        write_record(content, record.path)
    return result


def check_results(
    context: RunContext,
    inputs: ProgramInputs,
    result: ProgramResult,
    data: dict[str, Any] | None,
    outputs: Sequence[tuple[str, Path]],
    record_path: Path | None = None,
) -> None:
    """Raise `UserError` when what a program returned would replace what it must not: checked when all names are known."""
    from .earlier import check_earlier
    from .protection import check_files

    named = [(name, Path(name)) for name in result.files]
    own = (record_path, context.settings.log)
    check_files(context.program, context.params, [p for _, p in named], inputs, result.experiments, own)
    if not context.may_replace:
        check_earlier(context.program, [*outputs, *named], data, inputs.sources, record_path)


@dataclass(frozen=True, slots=True)
class Record:
    """The record that a program inside the run of another leaves behind.

    Attributes
    ----------
    path : Path
    inputs : tuple of Path
        Files that hold what the program is given in memory.
    images : dict, optional
        `spindle.execution.changes.images_of` its experiments.
    """

    path: Path
    inputs: tuple[Path, ...]
    images: dict[str, Any] | None = None


def nested_params(parent: RunContext, name: str, params: dict[str, Any]) -> Params:
    """Return the effective parameters of a program inside the run of another; see `RunContext.run_program`."""
    params = dict(params)
    given = params.pop("params", None) if isinstance(params.get("params"), Params) else None
    if given is None:
        given = parent.params_of("program", name)
    program: Any = parent.host.load("program", name)
    assignments = [Assignment(key.replace("__", "."), value, parent.program) for key, value in params.items()]
    if given is None:
        return build(program.Params or Params, assignments, parent.host.load)
    return Resolver.on(given).build(assignments)
