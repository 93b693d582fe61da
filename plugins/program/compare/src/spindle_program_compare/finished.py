"""Results that are finished: files of Spindle, DIALS, XDS and others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import spindle
from spindle.errors import FileFormatError, UserError
from spindle.execution import import_results
from spindle.table import INTEGRATED, Flag

from .contestant import Contestant, Stage

__all__ = ["contestant_of", "is_result_of_others", "read_finished", "read_result"]

#: Endings of files that hold results of other programs; whatever else an importer reads is no finished result.
_OTHERS = (".hkl", ".ahkl", ".mtz", ".cif", ".mmcif")
#: Columns of places; merged reflections have none.
PLACES = ("xyzcal.px", "xyzobs.px.value")
NEEDED = {
    "id": "which tells the experiment of each row",
    "flags": "which tells what has been done with each row",
}


def is_result_of_others(path: Path) -> bool:
    """Whether a file may hold results of another program, by its name."""
    return path.suffix.lower() in _OTHERS and path.is_file()


def read_finished(results: Sequence[str], declared: Mapping[str, Mapping[str, Any]], context: Any) -> list[Contestant]:
    """The contestants of ``[NAME=]FILE[,FILE]`` and of the tables of a file of runs; a file that cannot be read is a row with its reason."""
    wanted: list[tuple[str, list[Path]]] = []
    for text in results:
        name, equals, files = text.partition("=")
        if not equals or Path(text.split(",")[0]).exists():
            name, files = "", text
        wanted.append((name.strip(), [Path(f.strip()) for f in files.split(",") if f.strip()]))
    for name, table in declared.items():
        extra = set(table) - {"reflections", "experiments"}
        if extra or "reflections" not in table:
            raise UserError(
                f'compare: results.{name} needs reflections = "FILE", and experiments = "FILE" for a .refl file'
            )
        wanted.append((name, [Path(str(table[k])) for k in ("reflections", "experiments") if k in table]))
    found = []
    for name, paths in wanted:
        tables = [p for p in paths if p.suffix != ".expt"]
        models = [p for p in paths if p.suffix == ".expt"]
        if len(tables) != 1 or len(models) > 1:
            raise UserError(
                f"compare: results={','.join(map(str, paths))}: one file of reflections is needed, with the .expt file that belongs to it"
            )
        contestant = Contestant(name or _name_of(tables[0]), "file")
        try:
            contestant = contestant_of(contestant, read_result(tables[0], models[0] if models else None, context))
        except UserError as error:
            contestant.reason, contestant.failed_at = str(error), "reading"
        found.append(contestant)
    return found


def _name_of(path: Path) -> str:
    parent = path.resolve().parent.name
    return f"{parent}/{path.name}" if parent else path.name


def read_result(reflections: Path, experiments: Path | None, context: Any) -> Stage:
    """Read one result.

    Raises
    ------
    UserError
        If it cannot be read, has no reflections, or no models that belong to it.
    """
    if not reflections.exists():
        raise FileFormatError(f"{reflections}: no such file; check the name, as seen from the folder of the command")
    if reflections.suffix != ".refl":
        found = import_results([reflections], context)
        if found is None or found.reflections is None:
            raise FileFormatError(
                f"{reflections}: no importer reads reflections from it; give a .refl file, XDS_ASCII.HKL, INTEGRATE.HKL, an MTZ or an mmCIF file"
            )
        table, models = found.reflections, found.experiments
    else:
        path = experiments or _beside(reflections)
        loaded = spindle.load(path, reflections)  # numbered, and checked as inputs are
        assert loaded.reflections is not None  # a file of them was given
        models, table = loaded.experiments, loaded.reflections
        for column, source in NEEDED.items():
            if column not in table:
                raise UserError(f"{reflections}: it has no column {column}, {source}; run the step that wrote it again")
    if not len(table):
        raise UserError(f"{reflections}: it holds no reflections")
    return Stage(models, table.without("shoebox"))


def _beside(reflections: Path) -> Path:
    """The experiments that belong to a file of reflections, by its name."""
    path = reflections.with_suffix(".expt")
    if not path.is_file():
        raise UserError(
            f"{reflections}: there is no {path.name} beside it; give the experiments too: results={reflections},EXPERIMENTS.expt"
        )
    return path


def contestant_of(contestant: Contestant, stage: Stage) -> Contestant:
    """Put a result at the stages that it is of.

    Raises
    ------
    UserError
        If its reflections are not even indexed.
    """
    import numpy as np

    table = stage.reflections
    if "miller_index" not in table or not np.any(table["miller_index"] != 0):
        raise UserError(
            f"{contestant.name}: none of its reflections is indexed; give the files of index or a later step"
        )
    if table.has_flags(Flag.SCALED).any() and not any(np.any(table.get(n, np.zeros(1))) for n in PLACES):
        contestant.scaled, contestant.merged = stage, True
        contestant.notes.append(
            "merged reflections: compared by index with what the others merge to, not observation by observation"
        )
        return contestant
    if table.has_flags(INTEGRATED, all=False).any():
        contestant.integrated = stage
        if "intensity.scale.value" in table and table.has_flags(Flag.SCALED).any():
            contestant.scaled = stage
    else:
        contestant.refined = contestant.indexed = stage
    return contestant
