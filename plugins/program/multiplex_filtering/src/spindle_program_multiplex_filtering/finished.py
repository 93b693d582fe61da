"""What a finished run of `spindle multiplex` has left."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import spindle
from spindle.errors import FileFormatError, UserError
from spindle.execution import read_record
from spindle.models import Experiments
from spindle.params import Params, make, walk
from spindle.table import ReflectionTable
from spindle_lib_many_crystals import DATA, PROCESSING, Reduced, with_nan

__all__ = ["Finished", "read_finished"]

RECORD = "spindle.multiplex.json"
ALL = "All data"


@dataclass(slots=True)
class Finished:
    """A finished run.

    Attributes
    ----------
    params : Params
        Its effective parameters.
    whole : Reduced
        All data, as they were merged.
    experiments : Experiments
    table : ReflectionTable
        What was scaled.
    names : dict of str to str
        What the run calls each data set, by identifier.
    mtz : Path or None
        The merged data, whose test set is kept.
    """

    params: Any
    whole: Reduced
    experiments: Experiments
    table: ReflectionTable
    names: dict[str, str]
    mtz: Path | None


def read_finished(folder: Path, schema: type[Params], log: Any) -> Finished:
    """Read what the run left in its folder.

    Parameters
    ----------
    folder : Path
        In which the run was started.
    schema : type of Params
        Of `multiplex`.
    log : logger

    Raises
    ------
    UserError
        When the folder has no finished run in it.
    """
    params = _params(folder, schema, log)
    numbers_at = folder / (params.output.json or "multiplex.json")
    data = folder / DATA / "scaled.expt"
    lacking = [str(p.relative_to(folder)) for p in (numbers_at, data, data.with_suffix(".refl")) if not p.is_file()]
    if lacking:
        raise UserError(
            f"multiplex_filtering: {folder} has no {', '.join(lacking)}, so it is not the folder in which spindle multiplex has run to its "
            "end; name that one, or run spindle multiplex first"
        )
    try:
        numbers = json.loads(numbers_at.read_text(encoding="utf-8"))
        merged = numbers["datasets"][ALL]
        names = {str(e["identifier"]): str(e["data_set"]) for e in numbers["data_sets"]}
        statistics, limits = with_nan(merged["merging_stats"]), [str(v) for v in merged["limit_by"]]
        d_min = None if merged["d_min"] is None else float(merged["d_min"])
        statistics["overall"], statistics["shells"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FileFormatError(
            f"{numbers_at} is not what spindle multiplex writes ({type(error).__name__}: {error}); run spindle multiplex again"
        ) from error
    scaled, table = _loaded(data, data.with_suffix(".refl"))
    whole = Reduced(ALL, scaled, table, d_min, limits, statistics, [], {})
    kept = folder / PROCESSING / "models.expt"
    if kept.is_file() and kept.with_name("observations.refl").is_file():
        scaled, table = _loaded(kept, kept.with_name("observations.refl"))
    elif d_min is not None:
        log.warning(
            "The data end at %.2f A, where that run has cut them; with output.cleanup=False multiplex keeps all in %s",
            d_min,
            PROCESSING,
        )
    mtz = data.with_suffix(".mtz")
    return Finished(params, whole, scaled, table, names, mtz if mtz.is_file() else None)


def _params(folder: Path, schema: type[Params], log: Any) -> Any:
    """The parameters of the run, as its record has them."""
    path = folder / RECORD
    if not path.is_file():
        log.warning("%s has no %s: the parameters of multiplex are taken to be as they are by default", folder, RECORD)
        return schema()
    record = read_record(path)
    if record["program"] != "multiplex":
        raise UserError(
            f"multiplex_filtering: {path} is the record of spindle {record['program']}, not of spindle multiplex"
        )
    known = {entry.path for entry in walk(schema())}
    given = {}
    for name, value in record.get("modified", {}).items():
        if name not in known or name.startswith(("mp.", "filtering.", "output.composition")):
            continue
        beside = folder / value if isinstance(value, str) else None
        given[name] = str(beside) if beside is not None and name.endswith("reference") and beside.is_file() else value
    return make(schema, **given)


def _loaded(experiments: Path, reflections: Path) -> tuple[Experiments, ReflectionTable]:
    """Files of the run, checked as inputs are."""
    found = spindle.load(experiments, reflections)
    assert found.reflections is not None  # where a file of reflections was given
    return found.experiments, found.reflections
