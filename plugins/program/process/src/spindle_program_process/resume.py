"""Which steps of an earlier run can stand, by the records that they left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from spindle.contracts import ProgramInputs
from spindle.errors import FileFormatError, UserError
from spindle.execution import first_change, images_of, nested_params, read_record
from spindle.files import read_experiments
from spindle.models import Experiments

from .given import files_for, has_spots
from .steps import AGAIN, READ_IMAGES, STEPS, Step, given_experiments, is_refined_again, sources


def finished(
    inputs: ProgramInputs, params: Any, context: Any, first: int
) -> tuple[int, str, dict[str, dict[str, Any]]]:
    """Compare the records of all steps, from the first that works on what was given, with what they would do now.

    Returns
    -------
    n : int
        Number of steps before the first that has to be done.
    reason : str
        Why that one has to be done; empty when all can stand.
    records : dict of str to dict
        Those of the steps that can stand, by name.
    """
    records: dict[str, dict[str, Any]] = {}
    given = given_experiments(inputs)
    again = True
    imported: Experiments | None = inputs.experiments
    images: dict[str, Any] | None = None
    for number, step in enumerate(STEPS):
        if number < first:
            continue
        if step is AGAIN:
            again = has_spots(first) and is_refined_again(_read(sources(step, params, given, False)[0]), params)
            if not again:
                continue
        record = _record_of(step, params)
        if record is None:
            return number, f"{step.name} has not been finished", records
        reads_images = step.name in READ_IMAGES and step.name != "import"
        if reads_images and images is None:
            imported = imported or _read(STEPS[0].outputs(params)[0])
            images = None if imported is None else images_of(imported)
        paths = files_for(step, params, inputs, first, again) if step.name != "import" else inputs.files or None
        tree = nested_params(context, step.program(params), step.settings(params))
        change = first_change(record, tree, context.seed, paths, images if reads_images else None)
        if change is not None:
            return number, f"{step.name}: {change}", records
        records[step.name] = record
    return len(STEPS), "", records


def images_of_record(params: Any) -> list[Path]:
    """Images that an earlier run has imported, for one that imports them again."""
    record = _record_of(STEPS[0], params)
    if record is None:
        return []
    paths = [Path(e["path"]) for e in record["inputs"]]
    paths = [p if p.exists() else Path(record["working_folder"]) / p for p in paths]
    missing = [p for p in paths if not p.exists()]
    if missing:
        raise UserError(f"process: {missing[0]}, which was imported before, is gone; give the images anew")
    return paths


def _record_of(step: Step, params: Any) -> dict[str, Any] | None:
    path = step.record(params)
    if not path.is_file():
        return None
    try:
        record = read_record(path)
    except FileFormatError:
        return None
    return record if record["program"] == step.program(params) else None


def _read(path: Path | None) -> Experiments | None:
    return read_experiments(path) if path is not None and path.is_file() else None
