"""The command line: ``spindle <program> [files] [key=value]``.

Nothing heavy is imported here: listing programs and plugins needs neither numpy nor a parameter tree.
"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence

# Threads of the linear algebra library would fight with ours; its matrices are small here. Must be set before numpy is imported.
for _name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"):
    os.environ.setdefault(_name, "1")

USAGE_ERROR = 2
UNFIT = 3
BUG = 1
INTERRUPTED = 130
TERMINATED = 143
EXIT_CODES = {
    0: "done",
    BUG: "a bug in Spindle or in a plugin, with a traceback",
    USAGE_ERROR: "something that the user can mend, with one message",
    UNFIT: "done, but the results should not be used, and the user has asked for an exit code then (`fail_if=red` of `process`)",
    INTERRUPTED: "interrupted with Ctrl-C",
    TERMINATED: "terminated with SIGTERM",
}

USAGE = """usage: spindle <program> [files ...] [name=value ...]
       spindle <program> -h | -hh | -hhh       help with the parameters of level 0, 1, 2
       spindle <program> -c [name=value ...]   print the effective parameters (-e N: up to level N)
       spindle help <program or plugin>        help on one program or plugin, for example background.glm
       spindle plugins [--json] [--check NAME] list or check the installed plugins
       spindle new-plugin SLOT NAME            begin a plugin: a package that passes the tests of its slot
       spindle compile [PROGRAM ...]           compile kernels now, so that no run waits for it
       spindle replay RECORD [name=value ...]  run again what a run record describes
       spindle cite RECORD [format=bibtex]     what to cite: the publications behind what a run used
       spindle completion bash|zsh|fish        print what makes the shell complete programs, parameters and choices
       spindle --version

With any of them, --plugin FILE.py:CLASS lets an algorithm take part that stands in a file and is not installed.
"""

PLUGIN = "--plugin"

# New objects that make Python look for cycles that nothing refers to, while modules are imported and when a program runs.
GARBAGE_AT_START = 1_000_000
GARBAGE = 10_000

OPTIONS_OF_PROGRAMS = (
    "-h",
    "-hh",
    "-hhh",
    "-hhhh",
    "--help",
    "-c",
    "--show-config",
    "-v",
    "--verbose",
    "-q",
    "--quiet",
    "--plugin",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code, one of `EXIT_CODES`."""
    from spindle.errors import UserError

    arguments = list(sys.argv[1:] if argv is None else argv)
    if argv is None:
        import atexit
        import gc
        import signal

        signal.signal(signal.SIGTERM, terminate)
        # Many small objects of modules live until the end: neither look through them while they are made, nor once more at the end.
        gc.set_threshold(GARBAGE_AT_START)
        atexit.register(gc.freeze)
    from .machine import check_streams, without_side_tracebacks

    try:
        if argv is None:
            check_streams()
        with without_side_tracebacks():
            code = with_plugin_files(arguments)
        sys.stdout.flush()
        return code
    except UserError as error:
        return fail(error)
    except Terminated:
        print("terminated", file=sys.stderr)
        return leave_interrupted(TERMINATED) if argv is None else TERMINATED
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return leave_interrupted() if argv is None else INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        from spindle.errors import Cancelled, is_out_of_memory

        if isinstance(error, Cancelled):
            from spindle.printable import printable

            print(printable(str(error)), file=sys.stderr)
            return leave_interrupted() if argv is None else INTERRUPTED
        try:
            from .machine import message_of

            if message := message_of(error):
                code = fail(UserError(message))
                return leave_quietly(code) if argv is None else code
            return report_bug(arguments, error)
        except (MemoryError, TypeError) as second:  # for the message itself
            if not is_out_of_memory(second):
                raise
            os.write(2, b"error: out of memory; take a machine with more memory, or a higher limit (ulimit -v)\n")
            return USAGE_ERROR


def leave_quietly(code: int) -> int:
    """Return an exit code, with what cannot be printed thrown away rather than tried once more at the end."""
    try:
        sys.stdout.flush()
    except OSError:
        from .machine import silence

        silence()
    return code


class Terminated(KeyboardInterrupt):
    """SIGTERM: the run ends as it does when the user interrupts it, with the exit code 143."""


def terminate(number: int, frame: object) -> None:
    """End the main thread's work in order."""
    raise Terminated("terminated by a signal")


def leave_interrupted(code: int = INTERRUPTED) -> int:
    """End the process with the exit code of an interruption.

    Where the interrupt has passed through ``exec``, Python would not return our exit code but end itself by the signal.
    """
    import atexit

    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def fail(error: BaseException) -> int:
    """Print what the user can mend."""
    from spindle.printable import printable

    message = str(error)
    for note in getattr(error, "__notes__", ()):
        message += f" ({note})"
    message = printable(message)
    if sys.stderr is not None and sys.stderr.isatty():
        from .console import coloured

        message = coloured(f"error: {message}", "error", sys.stderr)
        print(message, file=sys.stderr)
    else:
        print(f"error: {message}", file=sys.stderr)
    return USAGE_ERROR


def report_bug(arguments: list[str], error: BaseException) -> int:
    """Print whose the error is, then the traceback without the host's own frames, then what to do with it."""
    from spindle import __version__
    from spindle.plugins.blame import BLAME, blame_of, trimmed
    from spindle.printable import printable

    whose = blame_of(error)
    lines = printable("".join(line for line in trimmed(error) if not line.startswith(BLAME)))
    culprit = f"the {whose.partition(', hook ')[0]}" if whose else f"Spindle {__version__}"
    if whose:
        print(f"error: {type(error).__name__}: {printable(str(error))}\n  {BLAME}{whose}\n", file=sys.stderr)
    print(lines, file=sys.stderr)
    print(
        f"This is a bug in {culprit}, not a mistake of yours. Please report it with the lines above and this command:\n"
        f"  spindle {printable(shlex.join(arguments))}",
        file=sys.stderr,
    )
    return BUG


def with_plugin_files(arguments: list[str]) -> int:
    """Run a command with the plugins that ``--plugin file.py:Class`` names."""
    if not any(word == PLUGIN or word.startswith(f"{PLUGIN}=") for word in arguments):
        return dispatch(arguments)
    from spindle.execution.compile_cache import prepare_compile_cache
    from spindle.plugins import using_plugin_files

    from .arguments import plugin_options

    rest, files = plugin_options(arguments)
    prepare_compile_cache()  # a file may import numba
    with using_plugin_files(files):
        return dispatch(rest)


def dispatch(arguments: list[str]) -> int:
    """Hand the arguments to the command that they name."""
    if not arguments or arguments[0] in ("-h", "-hh", "-hhh", "--help"):
        print_overview()
        return 0
    command, rest = arguments[0], arguments[1:]
    if command in ("--version", "-V"):
        from spindle import __version__

        print(f"spindle {__version__}")
        return 0
    if command == "plugins":
        from .listing import plugins_command

        return plugins_command(rest)
    if command == "help":
        if not rest:
            print_overview()
            return 0
        from .help import help_command

        return help_command(rest)
    if command == "replay":
        from .replay import replay_command

        return replay_command(rest)
    if command in ("new-plugin", "new_plugin"):
        from .new_plugin import new_plugin_command

        return new_plugin_command(rest)
    if command == "cite":
        from .cite import cite_command

        return cite_command(rest)
    if command == "completion":
        from .completion import completion_command

        return completion_command(rest)
    if command == "compile":
        from .compiling import compile_command

        return compile_command(rest)
    from .programs import program_name

    name = program_name(command)
    from .command import program_command

    return program_command(name, rest)


def print_overview() -> None:
    """Print usage and the installed programs."""
    from .programs import in_order_of_use

    print(USAGE)
    summaries = {i.name: i.summary for i in in_order_of_use()}
    if not summaries:
        print(
            "No program is installed. Next: pip install spindle-diffraction, or the spindle-program-... that you want"
        )
        return
    print("programs:")
    width = max(map(len, summaries))
    for name, summary in summaries.items():
        print(f"  {name:<{width}}  {summary}")


if __name__ == "__main__":
    sys.exit(main())
