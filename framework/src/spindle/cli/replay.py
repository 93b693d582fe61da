"""``spindle replay RECORD``: run again what a run record describes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from spindle.errors import FileFormatError, UserError
from spindle.execution.changes import code_hash
from spindle.execution.record import changed_inputs, read_record, versions
from spindle.execution.runner import effective_params, make_host
from spindle.params import Params
from spindle.plugins import PluginFile, UnknownPlugin, given_infos, registry
from spindle.printable import printable

from .arguments import Arguments, add_assignment, kind_of
from .command import run_command
from .programs import program_name
from .recorded import check_makes_data, check_targets, located, recorded_assignments, with_located_files

# What wrong values can raise on their way into parameters.
DAMAGE = (AttributeError, IndexError, KeyError, OverflowError, RecursionError, TypeError, ValueError)


def replay_command(words: list[str]) -> int:
    """Run with the effective parameters and input files of a record; ``name=value`` changes some of them.

    The record may be somebody else's: only programs that make data are run, and they write below the current folder.
    """
    from spindle.files.atomic import writing_only_below

    force = "--force" in words
    paths = [w for w in words if "=" not in w and not w.startswith("-")]
    if len(paths) != 1:
        raise UserError("usage: spindle replay RECORD [name=value ...] [--force]")
    path = Path(paths[0])
    record = read_record(path)
    edited = plugin_files_of(record, path)
    name = program_name(record["program"])
    host = make_host()
    check_makes_data(name, host.load("program", name), path)
    folders = [Path(record["working_folder"]), path.parent.absolute(), Path.cwd()]
    record["inputs"] = located(record["inputs"], folders)
    changed = [*edited, *changed_inputs(record)]
    if changed and not force:
        raise UserError(f"replay: {'; '.join(changed)}. Next: bring the files back, or spindle replay {path} --force")
    arguments = Arguments()
    for entry in record["inputs"]:
        kind = kind_of(Path(entry["path"]))
        if kind == "parameters":
            raise FileFormatError(f"{path}: the record is damaged: its input {entry['path']} is a parameter file")
        getattr(arguments, kind).append(Path(entry["path"]))
    typed = [word for word in words if "=" in word]
    recorded = recorded_assignments(record, path)
    recorded = with_located_files(recorded, _effective(name, recorded, host, path, record), folders)
    arguments.assignments = list(recorded)
    for word in typed:
        add_assignment(arguments, name, word)
    for line in differences(record):
        print(f"warning: {printable(line)}")
    params = _effective(name, arguments.assignments, host, path, record)
    allowed = check_targets(name, params, [word.partition("=")[0].strip() for word in typed])
    with writing_only_below(*allowed):
        return run_command(name, params, arguments)


def plugin_files_of(record: dict[str, Any], path: Path) -> list[str]:
    """Return what is different about the plugins that were given as files, one line each.

    Raises
    ------
    UserError
        If one is not given now. A record may be somebody else's, and what it names would be run: only the user says which file.
    """
    given = {(i.slot, i.name): i for i in given_infos()}
    changed = []
    for plugin in record["plugins"]:
        if "file" not in plugin:
            continue
        what = f"the {plugin['slot']} {plugin['name']!r}"
        found = given.get((plugin["slot"], plugin["name"]))
        if found is None:
            file = PluginFile(plugin["file"], plugin["class"])
            raise UserError(
                f"replay: {path} was made with {what} of the file {file.path} (sha256 {plugin['sha256'][:16]}), which is code and is run only "
                f"when you name it. Next: look at it, and add {file.option}"
            )
        if found.sha256 != plugin["sha256"]:
            changed.append(f"{found.file} is not the file that the record was made with")
    return changed


def renamed(record: dict[str, Any]) -> str:
    """What distributions of a record provide now in place of plugins that are gone."""
    have = {(i.slot, i.name) for i in registry().infos}
    known = {(p["slot"], p["name"]) for p in record["plugins"]}
    lines = []
    for plugin in record["plugins"]:
        if (plugin["slot"], plugin["name"]) in have:
            continue
        new = sorted(
            i.name
            for i in registry().infos
            if (i.slot, i.distribution) == (plugin["slot"], plugin["distribution"]) and (i.slot, i.name) not in known
        )
        now = f"has the {plugin['slot']} {' and '.join(new)} now" if new else "is not installed or has none now"
        lines.append(f"; {plugin['name']} was of {plugin['distribution']} {plugin['version']}, which {now}")
    return "".join(lines)


def _effective(name: str, assignments: Any, host: Any, path: Path, record: dict[str, Any]) -> Params:
    try:
        return effective_params(name, assignments, host)
    except UnknownPlugin as error:
        raise UnknownPlugin(f"{error}{renamed(record)}") from error
    except DAMAGE as error:
        raise FileFormatError(
            f"{path}: the parameters of the record are not understood ({type(error).__name__}: {error}); run spindle {name} itself"
        ) from error


def differences(record: dict) -> list[str]:  # type: ignore[type-arg]
    """Return what is installed in another version than when the record was written, or with other code."""
    now = versions()
    lines = [
        f"{name} is {now.get(name, 'not installed')}, the record was made with {version}"
        for name, version in record["versions"].items()
        if now.get(name) != version
    ]
    have = {(i.slot, i.name): (i.distribution, i.version) for i in registry().infos}
    for plugin in record["plugins"]:
        found = have.get((plugin["slot"], plugin["name"]))
        recorded = (plugin["distribution"], plugin["version"])
        if found is not None and found != recorded:
            lines.append(f"{plugin['slot']} {plugin['name']} is from {' '.join(found)}, was from {' '.join(recorded)}")
    changed = [name for name, code in record.get("code", {}).items() if code_hash(name) not in ("", code)]
    return [*lines, *(f"the code of {name} has changed since the record was made" for name in changed)]
