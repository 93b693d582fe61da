"""Which files no output may replace: images, inputs of another kind, and other outputs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from spindle.errors import UserError
from spindle.params import FolderParam, Params, PathParam, Str
from spindle.params.tree import Entry, scopes_of, walk

if TYPE_CHECKING:
    from spindle.contracts import ProgramInputs
    from spindle.models import Experiments

ALWAYS_FILES = ("experiments", "reflections", "log", "record", "json", "html")


def is_file_name(entry: Entry) -> bool:
    """Whether the value of a leaf in a scope ``output`` names a file, rather than a crystal or a project."""
    if isinstance(entry.leaf, FolderParam) or not isinstance(entry.leaf, Str | PathParam):
        return False
    if not isinstance(entry.value, str | Path) or not str(entry.value):
        return False
    if isinstance(entry.leaf, PathParam) or entry.name in ALWAYS_FILES:
        return True
    return bool(Path(str(entry.value)).suffix) and not str(entry.value).endswith("/")


def outputs_of(params: Params) -> Iterator[tuple[str, Entry]]:
    """Yield dotted name and leaf of every parameter that names an output file."""
    for dotted, scope in scopes_of(params):
        if dotted == "output" or dotted.endswith(".output"):
            yield from ((f"{dotted}.{e.path}", e) for e in walk(scope) if is_file_name(e))
    for entry in walk(params):
        if isinstance(entry.leaf, PathParam) and entry.leaf.output and is_file_name(entry):
            yield entry.path, entry


def identity(path: Path) -> tuple[object, ...]:
    """What is equal for two names of one file: through links, ``./..`` and, where the system does so, case."""
    try:
        status = path.stat()
    except OSError:
        return (os.path.normcase(os.path.realpath(path)),)
    return (status.st_dev, status.st_ino)


def check_twice(program: str, params: Params, record: Path | None = None, log: Path | None = None) -> None:
    """Raise `UserError` when two outputs of a program, or of programs that it runs one after the other, are the same file.

    Parameters
    ----------
    program : str
    params : Params
    record, log : Path, optional
        Where the run record and the log go.
    """
    from spindle.files.atomic import is_device

    seen: dict[tuple[object, ...], str] = {}
    paths = {name: Path(entry.value) for name, entry in outputs_of(params)}
    more = {"run.record": record, "output.log": log}
    for name, path in (paths | {name: path for name, path in more.items() if path is not None}).items():
        key = identity(path)
        if is_device(path) or _is_handed_on(seen.setdefault(key, name), name):
            continue
        raise UserError(
            f"{program}: {name}={path} and {seen[key]} are the same file; each output needs a name of its own"
        )


def _is_handed_on(outer: str, inner: str) -> bool:
    """Whether two names mean one output: that of a program and, in a scope, that of the one inside which writes it for it."""
    (own, name), (scope, inside) = outer.rpartition("output.")[::2], inner.rpartition("output.")[::2]
    return outer == inner or bool(not own and scope and name.endswith(inside))


def check_not_an_input(
    program: str,
    params: Params,
    experiments: Iterable[Path],
    reflections: Iterable[Path],
    others: Iterable[Path],
) -> None:
    """Raise `UserError` when an output would replace an input that is not of its kind."""
    given = {identity(p): ("experiments", p) for p in experiments}
    given |= {identity(p): ("reflections", p) for p in reflections}
    given |= {identity(p): ("file", p) for p in (*others, *read_by_parameters(params)) if not p.is_dir()}
    for name, entry in outputs_of(params):
        kind, path = given.get(identity(Path(entry.value)), ("", Path()))
        if kind and kind != entry.name:
            raise UserError(
                f"{program}: {name}={entry.value} is the input {path}, which it would replace; choose another name"
            )


def check_not_an_image(program: str, params: Params, experiments: Experiments | None) -> None:
    """Raise `UserError` when an output would replace an image or a lookup file of the experiments."""
    existing = {n: Path(e.value) for n, e in outputs_of(params) if Path(e.value).is_file()}
    if not existing or experiments is None:
        return
    suffixes = {p.suffix for p in existing.values()} | {Path(os.path.realpath(p)).suffix for p in existing.values()}
    images = {identity(p): p for p in _files_of(experiments) if p.suffix in suffixes}
    for name, path in existing.items():
        image = images.get(identity(path))
        if image is not None:
            raise UserError(
                f"{program}: {name}={path} is {image} of the experiments; an output never replaces an image"
            )


def check_files(
    program: str,
    params: Params,
    named: Sequence[Path],
    inputs: ProgramInputs,
    experiments: Experiments | None,
    own: Sequence[Path | None] = (),
) -> None:
    """Raise `UserError` when a file that a program names itself would replace an image, an input or another output.

    Parameters
    ----------
    program : str
    params : Params
    named : sequence of Path
        Files of `ProgramResult.files`.
    inputs : ProgramInputs
    experiments : Experiments or None
        Those that the program returns, whose images count too.
    own : sequence of Path or None
        The run record and the log, whether they exist or not.
    """
    from spindle.files.atomic import is_device

    taken = {identity(path) for path in own if path is not None and not is_device(path)}
    for path in named:
        if identity(path) in taken:
            raise UserError(
                f"{program}: the output {path} is also the name of the run record or of the log; choose another, or run.record= and output.log="
            )
    existing = [p for p in named if p.is_file()]
    if not existing:
        return
    read = {identity(p): f"the input {p}" for p in (*inputs.sources, *inputs.files, *read_by_parameters(params))}
    for found in (inputs.experiments, experiments):
        # Masks and maps that the program attaches to what it returns are its own outputs.
        files = () if found is None else _files_of(found, lookup=found is inputs.experiments)
        read |= {identity(p): f"{p} of the experiments" for p in files}
    for path in existing:
        what = read.get(identity(path))
        if what is not None:
            raise UserError(
                f"{program}: the output {path} is {what}, which it would replace; choose another name or folder"
            )


def read_by_parameters(params: Params) -> list[Path]:
    """Return existing files that parameters name to be read: masks, gain maps, reference data."""
    found = []
    for entry in walk(params):
        if not isinstance(entry.leaf, Str | PathParam) or {"output", "run"} & set(entry.path.split(".")[:-1]):
            continue
        is_path = isinstance(entry.leaf, PathParam)
        if isinstance(entry.leaf, PathParam) and entry.leaf.output:
            continue
        values = entry.value if isinstance(entry.value, list | tuple) else [entry.value]
        for value in values:
            if isinstance(value, str | Path) and str(value) and (is_path or Path(value).suffix):
                path = Path(os.path.expanduser(value))
                try:
                    found += [path] if path.is_file() else []
                except OSError:
                    continue  # a text that is too long for a name
    return found


def _files_of(experiments: Experiments, lookup: bool = True) -> Iterator[Path]:
    """Images and, with ``lookup``, masks and maps."""
    from .changes import files_of

    for imageset in experiments.unique("imageset"):
        yield from files_of(imageset)
        if not lookup:
            continue
        named = (imageset.mask, imageset.gain, imageset.pedestal, imageset.dx, imageset.dy)
        yield from (Path(p) for p in named if p)


def check_log(program: str, path: Path | None) -> None:
    """Raise `UserError` when a log would replace a file that is no log."""
    from spindle.files.atomic import is_device

    if path is None or is_device(path) or not path.is_file():
        return
    with path.open("rb") as stream:
        begin = stream.read(16)
    if begin and not begin.startswith(b"# spindle"):
        raise UserError(
            f"{program}: output.log={path} is there and is no log of Spindle, which it would replace; choose another name"
        )


def check_record(program: str, path: Path | None) -> None:
    """Raise `UserError` when a run record would replace a file that is no record."""
    from spindle.files.atomic import is_device

    if path is None or is_device(path) or not path.is_file():
        return
    with path.open("rb") as stream:
        begin = stream.read(200)
    if begin and b"spindle run record" not in begin:
        raise UserError(
            f"{program}: run.record={path} is there and is no run record, which it would replace; choose another name"
        )
