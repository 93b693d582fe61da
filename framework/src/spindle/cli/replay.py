"""``spindle replay RECORD``: run again what a run record describes."""

from __future__ import annotations

from pathlib import Path

from spindle.errors import UserError
from spindle.execution.record import changed_inputs, read_record, versions
from spindle.execution.runner import effective_params, make_host
from spindle.params import Assignment

from .arguments import Arguments, add_assignment, kind_of
from .command import run_command
from .main import program_name


def replay_command(words: list[str]) -> int:
    """Run with the effective parameters and input files of a record; ``name=value`` changes some of them."""
    force = "--force" in words
    paths = [w for w in words if "=" not in w and not w.startswith("-")]
    if len(paths) != 1 or not Path(paths[0]).is_file():
        missing = f": there is no file {paths[0]}" if len(paths) == 1 else ""
        raise UserError(f"usage: spindle replay RECORD [name=value ...] [--force]{missing}")
    record = read_record(Path(paths[0]))
    name = program_name(record["program"])
    changed = changed_inputs(record)
    if changed and not force:
        raise UserError(
            f"replay: {'; '.join(changed)}. Next: bring the files back, or spindle replay {paths[0]} --force"
        )
    arguments = Arguments()
    for entry in record["inputs"]:
        path = Path(entry["path"])
        getattr(arguments, kind_of(path)).append(path)
    arguments.assignments = recorded_assignments(record)
    for word in words:
        if "=" in word:
            add_assignment(arguments, name, word)
    for line in differences(record):
        print(f"warning: {line}")
    params = effective_params(name, arguments.assignments, make_host())
    run_command(name, params, arguments)
    return 0


def recorded_assignments(record: dict) -> list[Assignment]:  # type: ignore[type-arg]
    """Return the effective parameters of a record; elements of multiple scopes get an identity by their index."""
    found = []
    for path, value in record["parameters"].items():
        key, blocks = [], []
        for part in path.split("."):
            name, _, index = part.partition("[")
            key.append(name)
            blocks.append(-1 - int(index.rstrip("]")) if index else 0)
        found.append(Assignment(".".join(key), value, "run record", tuple(blocks[:-1])))
    return found


def differences(record: dict) -> list[str]:  # type: ignore[type-arg]
    """Return what is installed in another version than when the record was written."""
    from spindle.plugins import registry

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
    return lines
