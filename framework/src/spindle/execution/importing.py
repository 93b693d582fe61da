"""Files of results of other programs, read by the installed importer that recognises them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spindle.errors import FileFormatError, PluginError, SpindleError, UserError, is_out_of_memory
from spindle.plugins import is_strict
from spindle.plugins.host import Handle
from spindle.plugins.loading import place_of

if TYPE_CHECKING:
    from spindle.contracts.importer import Imported

    from .context import RunContext

log = logging.getLogger(__name__)

# What code that reads a damaged file as if it were whole runs into.
UNEXPECTED = (ArithmeticError, AttributeError, EOFError, LookupError, RuntimeError, TypeError, ValueError)


def import_results(files: Sequence[Path | str], context: RunContext, name: str | None = None) -> Imported | None:
    """Experiments and reflections of files that importers recognise.

    Parameters
    ----------
    files : sequence of path
        Each is a data set of its own; they are joined in their order.
    context : RunContext
    name : str, optional
        An importer that is asked for; it has to understand the files.

    Returns
    -------
    Imported or None
        None where no importer recognises the first file: it may be an image.

    Raises
    ------
    FileFormatError
        If a file cannot be used or is damaged, or is not understood by the importer that was asked for or the one of the first file.
    UserError
        If several importers recognise a file.
    """
    from spindle.contracts.importer import Imported
    from spindle.models import Experiment, Experiments
    from spindle.table import ReflectionTable

    names = [name] if name else list(context.host.registry.names("importer"))
    if not files or not names:
        return None
    chosen = _importer_of(Path(files[0]), names, context, bool(name))
    if chosen is None:
        return None
    experiments: list[Experiment] = []
    tables: list[ReflectionTable] = []
    notes: list[str] = []
    for file in map(Path, files):
        if _importer_of(file, [chosen.name], context, True) is None:
            raise AssertionError  # refused there
        found = _read(chosen, file)
        if found.reflections is not None:
            table = found.reflections.view()
            table["id"] = np.where(table["id"] < 0, table["id"], table["id"] + len(experiments))
            tables.append(table)
        experiments += list(found.experiments)
        notes += [f"{file}: {note}" for note in found.notes]
    joined = ReflectionTable.concatenate(tables) if tables else None
    if joined is not None:
        joined.identifiers = {i: e.identifier for i, e in enumerate(experiments)}
    return Imported(Experiments(experiments), joined, tuple(notes))


def _read(importer: Handle, file: Path) -> Imported:
    """What an importer makes of a file, checked like every file that a program is given.

    Whatever an importer did not expect is taken for damage to the file: it is said of the file, with the place for its author.
    """
    from spindle.regular import refuse_holes

    from .door import check_reflections

    refuse_holes(file)

    try:
        found: Imported = importer.import_results(path=file)
    except SpindleError:
        raise
    except UNEXPECTED as error:
        if is_out_of_memory(error):
            raise
        log.debug("the importer %r failed", importer.name, exc_info=True)
        raise FileFormatError(
            f"{file}: the importer {importer.name} found what it did not expect ({type(error).__name__}: {str(error)[:200]}, at "
            f"{place_of(error)}); the file is damaged, or of a kind that it does not know. Next: write the file again; if other programs "
            "read it, tell the author of the importer"
        ) from error
    if found.reflections is not None:
        check_reflections(found.reflections, found.experiments, str(file))
    return found


def _importer_of(path: Path, names: Sequence[str], context: RunContext, asked: bool) -> Handle | None:
    """The one importer that understands a file; None where no one does, unless it was asked for."""
    from spindle.images.compressed import read_head

    if not path.is_file():
        return None
    head = read_head(path)
    found, refusals = [], []
    for name in names:
        try:
            importer = context.algorithm("importer", name)
            if importer.understand(path=path, head=head):
                found.append(importer)
            else:
                refusals.append(importer.refusal(path=path, head=head) or "not its kind of file")
        except PluginError as error:
            if asked or is_strict():
                raise
            log.warning(
                "Warning: the importer %r cannot tell whether it reads %s and is left out: %s", name, path, error
            )
    if len(found) > 1:
        raise UserError(
            f"{path}: several importers read this file ({', '.join(i.name for i in found)}); choose one with importer.name="
        )
    if not found and asked:
        raise FileFormatError(f"{path}: the importer {names[0]} does not read this file: {'; '.join(refusals)}")
    return found[0] if found else None
