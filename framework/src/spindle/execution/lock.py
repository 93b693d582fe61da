"""Two runs never write the same files at the same time.

Each run leaves a hidden file in the folders that it writes to, with its machine, its process and the names of its outputs, for as
long as it lasts. One that finds such a file of a living run with a name of its own stops before it writes anything.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from spindle.errors import UserError

PREFIX = ".spindle.running."


@contextmanager
def locked(program: str, outputs: Iterable[Path]) -> Iterator[None]:
    """Keep the outputs of a run to it; raise `UserError` when another run that is still going on writes one of them."""
    folders: dict[Path, set[str]] = {}
    for path in outputs:
        real = Path(os.path.realpath(path))
        if real.parent.is_dir() and os.access(real.parent, os.W_OK) and real.parts[1:2] not in (("dev",), ("proc",)):
            folders.setdefault(real.parent, set()).add(real.name)
    made = []
    try:
        for folder, names in folders.items():
            made.append(folder / f"{PREFIX}{platform.node()}.{os.getpid()}")
            content = {"program": program, "machine": platform.node(), "process": os.getpid(), "outputs": sorted(names)}
            try:
                made[-1].write_text(json.dumps(content))
            except OSError as error:
                raise UserError(
                    f"{program}: cannot write in {folder}: {error.strerror}; choose another folder"
                ) from error
        for folder, names in folders.items():
            _check(program, folder, names)
        yield
    finally:
        for path in made:
            with suppress(OSError):  # one that stays is removed by the next run
                path.unlink(missing_ok=True)


def _remove_if_dead(path: Path) -> None:
    """Remove what a process of this machine that was ended while it wrote the file has left."""
    from spindle.files.atomic import is_running

    process = path.name.removeprefix(f"{PREFIX}{platform.node()}.")
    if process.isdecimal() and not is_running(int(process)):
        path.unlink(missing_ok=True)


def _check(program: str, folder: Path, names: set[str]) -> None:
    from spindle.files.atomic import is_running

    for path in folder.glob(f"{PREFIX}*"):
        try:
            other = json.loads(path.read_text())
            machine, process, theirs = other["machine"], int(other["process"]), set(other["outputs"])
        except (OSError, ValueError, KeyError, TypeError):
            _remove_if_dead(path)  # else it is just being written or removed, or not ours
            continue
        is_here = machine == platform.node()
        if is_here and process == os.getpid():
            continue
        if is_here and not is_running(process):
            path.unlink(missing_ok=True)
            continue
        common = sorted(names & theirs)
        if common:
            where = "" if is_here else f"; if that run is over, remove {path}"
            raise UserError(
                f"{program}: spindle {other.get('program')} is running in {folder} (process {process} on {machine}) and writes "
                f"{common[0]}{' and others' if len(common) > 1 else ''} too. Wait for it, or use another folder or other "
                f"names{where}"
            )
