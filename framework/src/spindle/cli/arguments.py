"""From the words of a command line to options, files and assignments."""

from __future__ import annotations

import glob
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from spindle.errors import ParameterError, UserError
from spindle.params.text import PARAMETER_FILE_SUFFIXES, Assignment, read_parameter_file
from spindle.printable import CONTROL
from spindle.regular import open_regular, unreadable

OPTIONS = {
    "-c": "show_config",
    "--show-config": "show_config",
    "-v": "verbose",
    "--verbose": "verbose",
    "-q": "quiet",
    "--quiet": "quiet",
}


@dataclass(slots=True)
class Arguments:
    """What a command line said.

    Attributes
    ----------
    assignments : list of Assignment
        From parameter files and ``name=value``, in their order.
    experiments, reflections, files : list of Path
        Files by kind.
    words : list of str
        Left unread for the program.
    parameter_files : list of Path
    help_level : int or None
        Number of the letters h after the first; ``-e N`` and ``-a N`` give it as a number.
    config_level : int or None
        Highest level that ``-c`` shows; all when None.
    options : set of str
        ``show_config``, ``verbose``, ``quiet``.
    """

    assignments: list[Assignment] = field(default_factory=list)
    experiments: list[Path] = field(default_factory=list)
    reflections: list[Path] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    parameter_files: list[Path] = field(default_factory=list)
    help_level: int | None = None
    config_level: int | None = None
    options: set[str] = field(default_factory=set)

    @property
    def inputs(self) -> list[Path]:
        """All input files, as they go into the run record."""
        return [*self.experiments, *self.reflections, *self.files]


def parse_arguments(
    program: str, words: Iterable[str], is_parameter: Callable[[str], bool] | None = None, settings_to: str = ""
) -> Arguments:
    """Sort the words of a command line.

    Parameters
    ----------
    program : str
    words : iterable of str
    is_parameter : callable, optional
        Given for a program with ``takes_words`` or ``settings_to``: whether it has a parameter of this name.
    settings_to : str
        That of the program.

    Raises
    ------
    UserError
        For an unknown option or a word without ``=`` that is not an existing file.
    """
    found = Arguments()
    levels: dict[str, int] = {}
    remaining = iter(words)
    for word in remaining:
        if is_level(word):
            key, level = read_level(program, word, remaining)
            levels[key] = level
        elif word in ("-", "-i") and settings_to:
            found.files += [path for name in read_standard_input() for path in expand(program, name)]
        elif word in ("-", "-i") and is_parameter is not None:
            found.words += read_standard_input()
        elif word in ("-", "-i"):
            add_files(found, program, read_standard_input())
        elif word == "--help":
            found.help_level = 0
        elif word.startswith("-h") and set(word[1:]) == {"h"}:
            found.help_level = len(word) - 2
        elif word in OPTIONS:
            found.options.add(OPTIONS[word])
        elif word.startswith("-") and not Path(word).exists():
            raise UserError(
                f"{program}: unknown option {word}; options are -h -hh -hhh -c -e N -a N -i -v -q, parameters are "
                "name=value"
            )
        elif settings_to and ("=" not in word or Path(word).exists()):
            found.files += expand(program, word)
        elif settings_to and is_parameter is not None and not is_parameter(word.partition("=")[0]):
            found.assignments.append(Assignment(settings_to, word))
        elif (
            not settings_to
            and is_parameter is not None
            and not is_parameter(word.partition("=")[0] if "=" in word else "")
        ):
            found.words.append(word)
        elif "=" in word and not Path(word).exists():
            add_assignment(found, program, word)
        else:
            add_files(found, program, [word])
    set_levels(found, levels)
    refuse_twice(found, program)
    return found


def plugin_options(words: list[str]) -> tuple[list[str], list[str]]:
    """Separate the values of ``--plugin file.py:Class`` from the other words.

    Raises
    ------
    UserError
        For ``--plugin`` without a value.
    """
    rest, files = [], []
    remaining = iter(words)
    for word in remaining:
        name, equals, value = word.partition("=")
        if name != "--plugin":
            rest.append(word)
            continue
        value = value if equals else next(remaining, "")
        if not value:
            raise UserError("--plugin needs a file and the class in it: --plugin my_threshold.py:MyThreshold")
        files.append(value)
    return rest, files


LEVELS = {"-e": "expert", "--expert-level": "expert", "-a": "attributes", "--attributes-level": "attributes"}


def is_level(word: str) -> bool:
    """Whether a word is ``-e``, ``-e1``, ``--expert-level=1`` or one of the same with ``-a``."""
    name = word.partition("=")[0].replace("_", "-")
    return name in LEVELS or (word[:2] in LEVELS and word[2:].isdigit())


def read_level(program: str, word: str, remaining: Iterator[str]) -> tuple[str, int]:
    """Return what a level is for and its number, which may be the next word."""
    name, _, value = word.partition("=")
    if word[:2] in LEVELS and word[2:].isdigit():
        name, value = word[:2], word[2:]
    value = value or next(remaining, "")
    if not value.isdigit():
        raise UserError(f"{program}: {name} needs a level, 0 to 3: {name} 1 shows what -hh shows")
    return LEVELS[name.replace("_", "-")], int(value)


def set_levels(found: Arguments, levels: dict[str, int]) -> None:
    """Show parameters up to a level: with their help, or as a configuration with ``-c``."""
    if not levels:
        return
    shown = levels.get("expert", levels.get("attributes", 0))
    if "show_config" in found.options and not levels.get("attributes"):
        found.config_level = shown
    elif found.help_level is None:
        found.help_level = shown


def refuse_twice(found: Arguments, program: str) -> None:
    """Raise when experiments or reflections are given twice, which would count twice."""
    seen: set[Path] = set()
    for path in (*found.experiments, *found.reflections):
        real = path.resolve()
        if real in seen:
            raise UserError(f"{program}: {path} is given twice; give each file once")
        seen.add(real)


def read_standard_input() -> list[str]:
    """Return the file names on standard input, one per line."""
    return [line.strip() for line in sys.stdin if line.strip()]


def add_assignment(found: Arguments, program: str, word: str) -> None:
    """Add ``name=value``."""
    key, _, value = word.partition("=")
    key = key.strip()
    if not key:
        raise ParameterError(f"{program}: {word!r} has no parameter name before '='")
    add_files_or_value(found, program, Assignment(key, value))


def add_files_or_value(found: Arguments, program: str, given: Assignment) -> None:
    """Add an assignment; ``input.experiments=`` and ``input.reflections=`` name files, in parameter files too."""
    scope, _, kind = given.key.rpartition(".")
    if kind not in ("experiments", "reflections") or scope not in ("", "input"):
        found.assignments.append(given)
    elif not scope:
        raise ParameterError(
            f"{program}: {kind}={given.value} ({given.source}): write input.{kind}= for a file to read, or "
            f"output.{kind}= for the file to write"
        )
    else:
        for name in given.value if isinstance(given.value, list) else [str(given.value).strip().strip("\"'")]:
            if name not in ("None", "Auto"):
                getattr(found, kind).extend(expand(program, str(name)))


def add_files(found: Arguments, program: str, words: Iterable[str]) -> None:
    """Sort files by kind: experiments, reflections, parameters, others."""
    for word in words:
        for path in expand(program, word):
            kind = kind_of(path)
            if kind == "parameters":
                found.parameter_files.append(path)
                for given in read_parameter_file(path):
                    add_files_or_value(found, program, given)
            else:
                getattr(found, kind).append(path)


def expand(program: str, word: str) -> list[Path]:
    """Return the existing files that ``word`` means: a path, or a pattern with ``*``, ``?``, ``[...]`` or ``####``."""
    path = Path(os.path.expanduser(word))
    if CONTROL.search(word):
        raise UserError(
            f"{program}: {word!r} is no name that files here have: it has control characters, which a terminal takes for commands; "
            f"rename the file"
        )
    if os.path.exists(path):
        return [path]
    from spindle.files import files_of_template
    from spindle.models import split_template

    numbered = files_of_template(str(path))
    if numbered is not None:
        return [Path(p) for _, p in numbered.files]
    parts = split_template(str(path))
    pattern = str(path) if parts is None else f"{parts.prefix}{'[0-9]' * parts.width}{parts.suffix}"
    matches = sorted(glob.glob(pattern))
    if matches:
        return [Path(m) for m in matches]
    if any(c in word for c in "*?[#"):
        raise UserError(f"{program}: no file matches {word!r} in {Path.cwd()}")
    hint = (
        f"; a parameter is one word: {word}=value" if re.fullmatch(r"[a-z]+(_[a-z]+)*", word) else _similar_files(path)
    )
    raise UserError(f"{program}: {word!r} is neither an existing file nor name=value{hint}")


def _similar_files(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f"; there is no folder {folder}"
    close = get_close_matches(path.name, os.listdir(folder), 3)
    return f"; similar files are {', '.join(str(folder / c) for c in close)}" if close else ""


def kind_of(path: Path) -> str:
    """Return ``experiments``, ``reflections``, ``parameters`` or ``files``."""
    if path.is_dir():
        return "files"
    if path.suffix == ".expt":
        return "experiments"
    if path.suffix == ".refl":
        return "reflections"
    if path.suffix in PARAMETER_FILE_SUFFIXES:
        return "parameters"
    if path.suffix == ".json" and is_experiment_list(path):
        return "experiments"
    return "files"


def is_experiment_list(path: Path) -> bool:
    """Return whether a JSON file is a list of experiments under an old name."""
    try:
        with open_regular(path) as stream:
            if b"ExperimentList" not in stream.read(4096):
                return False
            stream.seek(0)
            content = json.loads(stream.read())
    except OSError as error:
        raise unreadable(path, error) from error
    except (ValueError, RecursionError):
        return False
    return isinstance(content, dict) and content.get("__id__") == "ExperimentList"
