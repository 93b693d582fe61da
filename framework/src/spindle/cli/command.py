"""One program from the command line: parse, check, run, write, record."""

from __future__ import annotations

import gc
import logging
import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from spindle.contracts import ProgramInputs
from spindle.errors import FileFormatError
from spindle.execution import RunContext, execute
from spindle.execution.compile_cache import prepare_compile_cache
from spindle.execution.earlier import check_earlier, data_of, data_of_inputs, outputs_to_check
from spindle.execution.lock import locked
from spindle.execution.outputs import (
    check_outputs,
    check_writable,
    complete_step,
    log_file,
    log_path,
    look_at,
    named_outputs,
    report_outputs,
    write_outputs,
)
from spindle.execution.progress import is_terminal, waiting
from spindle.execution.protection import (
    check_log,
    check_not_an_image,
    check_not_an_input,
    check_record,
    check_twice,
    outputs_of,
)
from spindle.execution.record import file_entry, make_record, write_record
from spindle.execution.runner import effective_params, make_host
from spindle.execution.settings import RunSettings
from spindle.execution.steps import check_results
from spindle.execution.working_folder import absolute_word, folder_of, inside, with_absolute_files
from spindle.params import Params, Plugin, walk
from spindle.params.tree import plugin_of, scopes_of
from spindle.plugins import given_infos, is_strict, registry
from spindle.plugins.host import PluginHost
from spindle.printable import printable

from .arguments import Arguments, parse_arguments
from .console import ConsoleHandler, set_up_console
from .foreign import FOREIGN_SUFFIXES, refuse_foreign_parameters
from .machine import share_heaps
from .main import GARBAGE, GARBAGE_AT_START, UNFIT


def program_command(name: str, words: list[str]) -> int:
    """Do what ``spindle <name> words...`` says; return the exit code."""
    if is_strict():
        registry().check_all()
    host = make_host()
    prepare_compile_cache()
    program: Any = host.load("program", name)
    settings_to = str(getattr(program, "settings_to", ""))
    asks = getattr(program, "takes_words", False) or settings_to
    arguments = parse_arguments(name, words, is_parameter_of(name, host) if asks else None, settings_to)
    if any(f.suffix.lower() in FOREIGN_SUFFIXES for f in arguments.files):
        refuse_foreign_parameters(name, arguments.files, is_parameter_of(name, host))
    params = effective_params(name, arguments.assignments, host)
    if arguments.help_level is not None:
        from .help import program_help

        print(program_help(name, params, arguments.help_level))
        return 0
    if "show_config" in arguments.options:
        from .help import effective_text

        print(printable(effective_text(params, arguments.config_level)))
        return 0
    return run_command(name, params, arguments)


def is_parameter_of(name: str, host: PluginHost) -> Callable[[str], bool]:
    """Return a function that tells whether a program has a parameter of some name, which may be an ending of it."""
    paths = ["." + entry.path for entry in walk(effective_params(name, [], host), templates=True)]
    return lambda key: any(path.endswith("." + key.strip()) for path in paths)


def run_command(name: str, params: Params, arguments: Arguments) -> int:
    """Run a program with effective parameters on the files of a command line, in the folder that they name; return the exit code."""
    share_heaps()
    folder = folder_of(params)
    if folder is not None:
        params = with_absolute_files(params)
        for kind in ("experiments", "reflections", "files"):
            setattr(arguments, kind, [p.absolute() for p in getattr(arguments, kind)])
        arguments.words = [absolute_word(word) for word in arguments.words]
    with inside(folder):
        return _run_here(name, params, arguments)


def _run_here(name: str, params: Params, arguments: Arguments) -> int:
    """Run in the current folder."""
    check_outputs(name, params)
    settings = RunSettings.of(name, params)
    record_path = settings.record
    if record_path is not None:
        check_writable(record_path, f"{name}: run.record={record_path}")
    check_overwrite(name, params, arguments)
    check_kinds(name, arguments)
    check_twice(name, params, record_path, settings.log)
    check_not_an_input(name, params, arguments.experiments, arguments.reflections, arguments.files)
    check_log(name, settings.log)
    check_record(name, record_path)
    may_replace = is_settled(name, params, arguments, record_path)
    console = set_up_console(arguments.options)
    compile_ahead(params)
    try:
        with locked(name, all_outputs(name, params, record_path)), log_file(name, params):
            show = is_terminal() and "quiet" not in arguments.options
            with waiting(name, show):
                return _run(name, params, arguments, record_path, may_replace, console, show)
    finally:
        logging.getLogger().removeHandler(console)


def collect_garbage_from_here() -> None:
    """Leave what the command line has made so far, all that was imported, out of later searches for garbage."""
    if gc.get_threshold()[0] == GARBAGE_AT_START:  # not of a program that calls `main`
        gc.freeze()
        gc.set_threshold(GARBAGE)


def compile_ahead(params: Params) -> None:
    """Compile the kernels of later steps beside the first ones, when a run of several programs begins with some not compiled."""
    from spindle.execution.executor import available_cores

    chains = any((plugin_of(scope) or ("",))[0] == "program" for _, scope in scopes_of(params))
    if chains and available_cores() > 1:
        from spindle.execution.precompile import compile_beside, packages_of

        compile_beside(packages_of(params))


def _run(
    name: str,
    params: Params,
    arguments: Arguments,
    record_path: Path | None,
    may_replace: bool,
    console: ConsoleHandler,
    show_progress: bool,
) -> int:
    context = RunContext(
        name,
        params,
        make_host(RunSettings.of(name, params)),
        show_progress=show_progress,
    )
    context.may_replace = may_replace
    start = time.perf_counter()
    print_modified(context.log, params)
    given = read_inputs(name, arguments)
    check_not_an_image(name, params, given.experiments)
    check_columns(name, given, arguments)
    inputs = []
    if (
        record_path is not None
    ):  # hashed before the run, which may replace its own input, and after files of absurd sizes are refused
        inputs = [file_entry(p) for p in (*arguments.experiments, *arguments.reflections)]
        inputs += [file_entry(p, whole=False) for p in arguments.files]
    data = data_of_inputs(given)
    collect_garbage_from_here()
    result = execute(context, given)
    warn_of_idle_plugins(context)
    data = data or data_of(result.experiments, given=False)
    outputs = outputs_to_check(params, named_outputs(name, params))
    check_results(context, given, result, data, outputs, record_path)
    written = write_outputs(name, params, result)
    context.written += written
    seconds = time.perf_counter() - start
    if record_path is not None:
        record = make_record(
            name,
            params,
            _plugins(context),
            inputs,
            list(dict.fromkeys(p for p in context.written if p.exists())),
            context.seed,
            ["spindle", name, *_words(arguments)],
            seconds,
            result.summary,
            data=data,
        )
        write_record(record, record_path)
        written.append(record_path)
    log = context.settings.log
    named = {
        "experiments": arguments.experiments,
        "reflections": arguments.reflections,
        "images": arguments.files or arguments.experiments,
    }
    step = complete_step(result.next_step or look_at(written), written, named)
    if step and (folder := folder_of(params)) is not None and str(folder) != ".":
        step = f"cd {shlex.quote(str(folder))}; {step}"
    console.say_what_is_hidden(log)
    report_outputs(context.log, [*written, *([log] if log else [])], step)
    if result.unfit:
        context.log.error("%s: %s", name, result.unfit)
    return UNFIT if result.unfit else 0


def is_settled(name: str, params: Params, arguments: Arguments, record_path: Path | None) -> bool:
    """Whether a run may replace the outputs of earlier runs; False when it has to be seen which images it reads.

    Raises
    ------
    UserError
        If it would replace what was made from other images or more experiments.
    """
    program: Any = registry().load("program", name)
    if RunSettings.of(name, params).overwrite or (program.goes_on and getattr(params, program.goes_on)):
        return True
    outputs = [(n, p) for n, p in outputs_to_check(params, named_outputs(name, params)) if p.is_file()]
    if not outputs:
        return bool(arguments.inputs)
    experiments = None
    if arguments.experiments:
        from spindle.files import read_experiments
        from spindle.models import Experiments

        experiments = Experiments([e for path in arguments.experiments for e in read_experiments(path)])
    return check_earlier(name, outputs, data_of(experiments, arguments.files), arguments.inputs, record_path)


def _plugins(context: RunContext) -> list[dict[str, Any]]:
    """Return the plugins that the parameters chose or the run loaded."""
    for _, scope in scopes_of(context.params):
        plugin = plugin_of(scope)
        if plugin is not None:
            context.host.load(*plugin)
    return context.host.used()


def warn_of_idle_plugins(context: RunContext) -> None:
    """Say of plugins that were given as files and took no part how they are chosen."""
    used = {(p["slot"], p["name"]) for p in context.host.used()}
    for info in given_infos():
        if (info.slot, info.name) in used:
            continue
        leaves = [
            e.path
            for e in walk(context.params, templates=True)
            if isinstance(e.leaf, Plugin) and e.leaf.slot == info.slot
        ]
        how = (
            f"choose it with {leaves[0]}={info.name}"
            if leaves
            else f"{context.program} has no use for a plugin of the slot {info.slot}"
        )
        context.log.warning("Warning: %s:%s took no part: %s", info.file, info.target.partition(":")[2], how)


def _words(arguments: Arguments) -> list[str]:
    files = [str(p) for p in (*arguments.inputs, *arguments.parameter_files)]
    return files + [f"{a.key}={a.value}" for a in arguments.assignments if a.source == "command line"]


def all_outputs(name: str, params: Params, record_path: Path | None) -> list[Path]:
    """Return every file that a run may write, as its parameters name them."""
    paths = [Path(entry.value) for _, entry in outputs_of(params)]
    return [p for p in (*paths, log_path(name, params), record_path) if p is not None]


def check_kinds(name: str, arguments: Arguments) -> None:
    """Raise when a program gets files that it has no use for."""
    program: Any = registry().load("program", name)
    if arguments.files and not getattr(program, "takes_files", True):
        from spindle.errors import UserError

        raise UserError(
            f"{name}: {arguments.files[0]} is neither an experiment file (.expt) nor a reflection file (.refl), and {name} reads "
            "nothing else; leave it out"
        )


def check_columns(name: str, inputs: ProgramInputs, arguments: Arguments) -> None:
    """Raise when reflections lack columns that a program needs."""
    program: Any = registry().load("program", name)
    needs: dict[str, str] = getattr(program, "needs_columns", {})
    for path, table in zip(arguments.reflections, inputs.reflections, strict=True):
        for column, source in needs.items():
            if column not in table:
                from spindle.errors import UserError

                raise UserError(f"{name}: {path} has no column {column}, which {name} needs; {source}")


def check_overwrite(name: str, params: Params, arguments: Arguments) -> None:
    """Raise when the log or the record would replace an input."""
    from spindle.errors import UserError

    inputs = {p.resolve() for p in arguments.inputs}
    settings = RunSettings.of(name, params)
    for path, parameter in ((settings.log, "output.log"), (settings.record, "run.record")):
        if path is not None and path.resolve() in inputs:
            raise UserError(f"{name}: {parameter}={path} is one of the input files; choose another name")


def read_inputs(program: str, arguments: Arguments) -> ProgramInputs:
    """Read the experiment and reflection files of the command line of a program."""
    # Not before the compile cache is prepared, since it imports numba.
    from spindle.execution.door import check_experiments, check_reflections
    from spindle.execution.numbering import number_tables, numbered_by_identifiers

    inputs = ProgramInputs(files=list(arguments.files), words=list(arguments.words), sources=list(arguments.inputs))
    if arguments.experiments:
        from spindle.files import read_experiments
        from spindle.models import Experiments

        lists = [read_experiments(path) for path in arguments.experiments]
        inputs.experiments = lists[0] if len(lists) == 1 else Experiments([e for found in lists for e in found])
        for path, found in zip(arguments.experiments, lists, strict=True):
            if not found:
                raise FileFormatError(f"{path}: it holds no experiments; run the step that wrote it again")
        names = [str(path) for path, found in zip(arguments.experiments, lists, strict=True) for _ in found]
        plugin: Any = registry().load("program", program)
        paired = len(arguments.reflections) in (0, len(lists))
        if not ((plugin.names_experiments and paired) or (plugin.compares_models and not arguments.reflections)):
            check_experiments(inputs.experiments, names)
    if arguments.reflections:
        from spindle.files import read_reflections

        inputs.reflections = [read_reflections(path) for path in arguments.reflections]
        if len(inputs.reflections) == 1:
            name = str(arguments.reflections[0])
            inputs.reflections = [numbered_by_identifiers(inputs.reflections[0], inputs.experiments, name)]
        elif arguments.experiments:
            inputs.reflections = number_tables(inputs.reflections, lists, [str(p) for p in arguments.reflections])
        for path, table in zip(arguments.reflections, inputs.reflections, strict=True):
            check_reflections(table, inputs.experiments, str(path))
    warn_of_strangers(inputs, arguments)
    return inputs


def warn_of_strangers(inputs: ProgramInputs, arguments: Arguments) -> None:
    """Say when reflections name other experiments than those that were given."""
    known = {e.identifier for e in inputs.experiments or () if e.identifier}
    for path, table in zip(arguments.reflections, inputs.reflections, strict=True):
        if known and any(table.identifiers.values()) and known.isdisjoint(table.identifiers.values()):
            logging.getLogger(__name__).warning(
                "Warning: %s belongs to other experiments than those of %s (they have no identifier in common). If the same "
                "images were only imported again, all is well; else give the files of one run",
                path,
                ", ".join(map(str, arguments.experiments)),
            )


def print_modified(log: logging.Logger, params: Params) -> None:
    """Print the parameters that differ from their defaults."""
    modified = [e for e in walk(params) if e.is_modified]
    if modified:
        log.info("The following parameters have been modified:\n")
        for entry in modified:
            log.info("  %s = %s", entry.path, entry.text)
        log.info("")
