"""Completion in the shell: programs, parameters, choices and plugins, from an index of names in the user's cache.

Nothing heavy is imported, and no plugin: what a shell asks for at each key has to come at once. Where the index is missing or older
than what is installed, another process makes it while this one answers with what there is.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from collections.abc import Iterator

from spindle._cache_root import cache_folder, cache_root
from spindle.errors import UserError

TYPE_CHECKING = False  # typing is not imported where shells wait
if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    Names = dict[str, Any]

NAMES_FILE = "names.json"
SHELLS = ("bash", "zsh", "fish")
COMMANDS = {
    "help": "help on a program or plugin, or what speaks of a word",
    "plugins": "list or check the installed plugins",
    "replay": "run again what a run record describes",
    "cite": "the publications behind what a run used",
    "new-plugin": "begin a plugin",
    "compile": "compile kernels now",
    "completion": "print what makes the shell complete",
}

#: Seconds after which an index that is being made is taken to have failed.
GIVEN_UP_S = 120.0

SCRIPTS = {
    "bash": """_spindle() {
    local IFS=$'\\n'
    COMPREPLY=( $(spindle completion --answer bash "${COMP_LINE:0:$COMP_POINT}" 2>/dev/null) )
    if [[ ${#COMPREPLY[@]} -eq 0 ]]; then
        compopt -o default
        return
    fi
    if [[ ${COMPREPLY[0]} == *= ]]; then
        compopt -o nospace
        COMPREPLY+=( $(compgen -f -- "${COMP_WORDS[COMP_CWORD]}") )
    fi
}
complete -F _spindle spindle
""",
    "zsh": """#compdef spindle
_spindle() {
    local -a found settings others
    found=("${(@f)$(spindle completion --answer zsh "${(j: :)words[1,CURRENT]}" 2>/dev/null)}")
    settings=(${(M)found:#*=})
    others=(${found:#*=})
    (( $#settings )) && compadd -S '' -- $settings
    (( $#others )) && compadd -- $others
    _files
}
if [ "$funcstack[1]" = "_spindle" ]; then
    _spindle "$@"
else
    compdef _spindle spindle
fi
""",
    "fish": """complete -c spindle -a '(spindle completion --answer fish (commandline -cp) 2>/dev/null)'
""",
}


def completion_command(words: list[str]) -> int:
    """``spindle completion SHELL`` prints a script; ``--answer SHELL LINE`` what may stand at the end of a line; ``--refresh`` makes the index."""
    if words[:1] == ["--answer"] and len(words) == 3 and words[1] in SHELLS:
        print("\n".join(answer(words[2], words[1], read_names())))
        return 0
    if words == ["--refresh"]:
        write_names()
        return 0
    if len(words) != 1 or words[0] not in SHELLS:
        given = f"{' '.join(words)!r} is not one of them" if words else "none was given"
        raise UserError(
            f"spindle completion: name your shell, {', '.join(SHELLS)}; {given}. "
            'For bash: eval "$(spindle completion bash)" in ~/.bashrc'
        )
    if stale():
        write_names()
    print(SCRIPTS[words[0]], end="")
    return 0


def names_path() -> Path:
    """Return the file of the index."""
    return cache_root() / NAMES_FILE


def stamp() -> str:
    """Return what changes when a distribution is installed or removed."""
    from spindle._version import __version__

    found = [__version__]
    for folder in sys.path:
        try:
            found.append(f"{folder} {os.stat(folder or '.').st_mtime_ns}" if "-packages" in folder else "")
        except OSError:
            continue
    return "\n".join(part for part in found if part)


def read_names() -> Names:
    """Return the index; an empty one, or an old one, while another process makes a new one."""
    try:
        with open(
            os.path.join(cache_folder(), NAMES_FILE), encoding="utf-8"
        ) as file:  # without pathlib, whose import takes long
            names: Names = json.load(file)
    except (OSError, ValueError):
        names = {}
    if names.get("stamp") != stamp():
        make_beside()
    return names


def stale() -> bool:
    """Return whether the index is missing or older than what is installed."""
    try:
        return bool(json.loads(names_path().read_text(encoding="utf-8")).get("stamp") != stamp())
    except (OSError, ValueError):
        return True


def make_beside() -> None:
    """Make the index in another process, unless one is at it."""
    import subprocess

    mark = names_path().with_suffix(".making")
    try:
        mark.parent.mkdir(parents=True, exist_ok=True)
        if mark.exists() and time.time() - mark.stat().st_mtime < GIVEN_UP_S:
            return
        mark.touch()
        null = subprocess.DEVNULL
        subprocess.Popen(
            [sys.executable, "-P", "-m", "spindle", "completion", "--refresh"],
            stdin=null, stdout=null, stderr=null, start_new_session=True,
        )  # fmt: skip
    except OSError:  # no cache, no completion
        return


def write_names() -> None:
    """Make the index: every program is imported once."""
    from .names import collect

    path = names_path()
    names = {"stamp": stamp(), **collect()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps(names), encoding="utf-8")
        temporary.replace(path)
        path.with_suffix(".making").unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"spindle completion: cannot write {path}: {error.strerror}; set SPINDLE_CACHE_DIR") from error


def answer(line: str, shell: str, names: Names) -> list[str]:
    """Return what may stand at the end of a command line.

    Parameters
    ----------
    line : str
        Up to the cursor.
    shell : str
        One of `SHELLS`; bash takes what follows the last ``=`` as a word of its own, fish shows a description after a tab.
    names : dict
        The index, see `spindle.cli.names.collect`.

    Returns
    -------
    list of str
        Nothing where a file is expected.
    """
    words = _split(line)
    before, word = (words, "") if not line or line[-1].isspace() else (words[:-1], words[-1] if words else "")
    found = sorted(set(_candidates(before[1:], word, names)))
    described: dict[str, str] = {**COMMANDS, **names.get("programs", {})} if len(before) == 1 else {}
    if shell == "bash" and "=" in word:
        start = word.rfind("=") + 1
        return [candidate[start:] for candidate in found]
    if shell == "fish":
        return [f"{c}\t{described[c]}" if c in described else c for c in found]
    return found


def _split(line: str) -> list[str]:
    """Words of a line whose last quotation may be open."""
    for end in ("", "'", '"'):
        try:
            return shlex.split(line + end)
        except ValueError:
            continue
    return line.split()


def _candidates(before: list[str], word: str, names: Names) -> Iterator[str]:
    """What begins with ``word`` after the words ``before``, of which the first is the command."""
    if not before:
        yield from _beginning(word, [*names.get("programs", {}), *COMMANDS])
        return
    command = before[0].replace("-", "_").removeprefix("dials.")
    if command == "help":
        yield from _beginning(word, [*names.get("programs", {}), *names.get("slots", []), *names.get("plugins", [])])
    elif command == "plugins":
        yield from _beginning(word, [*(names.get("plugins", []) if "--check" in before else []), "--json", "--check"])
    elif command == "new_plugin":
        yield from _beginning(word, names.get("slots", []) if len(before) == 1 else [])
    elif command == "completion":
        yield from _beginning(word, SHELLS)
    elif command == "compile":
        yield from _beginning(word, names.get("programs", {}))
    elif command == "cite":
        yield from _beginning(word, ["format=text", "format=bibtex"] if word else [])
    elif word:
        yield from _settings(word, names.get("parameters", {}).get(command, []))


def _beginning(word: str, found: Any) -> list[str]:
    return [name for name in found if name.startswith(word)]


def _settings(word: str, parameters: list[list[Any]]) -> Iterator[str]:
    """Names with ``=`` for a name that is begun, values for one that is complete."""
    if word.startswith("-"):
        yield from _beginning(word, ["-h", "-hh", "-hhh", "-c", "-v", "-q", "--plugin"])
        return
    name, is_setting, value = word.partition("=")
    if is_setting:
        fitting = [p for p in parameters if f".{p[0]}".endswith(f".{name}")]
        exact = [p for p in fitting if p[0] == name] or fitting
        *heads, last = value.split(",")
        choices = dict.fromkeys(
            choice for _, named in exact for choice in named
        )  # where several fit, what any of them takes
        yield from (f"{name}={','.join([*heads, choice])}" for choice in choices if choice.startswith(last))
        return
    count: dict[str, int] = {}
    for path, _ in parameters:
        for end in _ends(path):
            count[end] = count.get(end, 0) + 1
    for path, _ in parameters:
        if path.startswith(name):
            yield f"{path}="
            continue
        ends = [end for end in _ends(path) if end.startswith(name) and count[end] == 1]
        if ends:
            yield f"{ends[-1]}="


def _ends(path: str) -> list[str]:
    """``a.b.c``, ``b.c`` and ``c`` of ``a.b.c``."""
    parts = path.split(".")
    return [".".join(parts[i:]) for i in range(len(parts))]
