"""What a program is given is checked once, at the door: numbers are finite, rows belong to experiments and panels that exist.

Kernels trust the columns that index arrays (`id`, `panel`, `bbox`, `shoebox`), so nothing may pass that points beyond them.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from spindle.errors import FileFormatError
from spindle.models import Experiments
from spindle.table import SCHEMA, ReflectionTable, Shoeboxes

__all__ = ["check_experiments", "check_reflections", "numbered_by_identifiers"]

# Pixels and images; far beyond any detector or scan, and safe to multiply and to add in 64 bits.
MAX_COORDINATE = 2**24
# Half of what a packed index holds, so that sums of indices fit too; cells are below 5,000 A and d above 0.01 A.
MAX_INDEX = 500_000
REMEDY = "give the file that belongs to these experiments, or run the step that wrote it again"


def check_experiments(experiments: Experiments, names: Sequence[str]) -> None:
    """Raise FileFormatError when two experiments have one identifier.

    Parameters
    ----------
    experiments : Experiments
    names : sequence of str
        Where each experiment comes from.
    """
    known: dict[str, str] = {}
    for item, name in zip(experiments, names, strict=True):
        if item.identifier and item.identifier in known:
            raise FileFormatError(
                f"{name}: an experiment has the identifier {item.identifier}, as one of {known[item.identifier]} has; give each "
                "experiment once"
            )
        known[item.identifier] = name


def check_reflections(table: ReflectionTable, experiments: Experiments | None, name: str) -> None:
    """Raise FileFormatError when rows cannot be what they claim.

    Parameters
    ----------
    table : ReflectionTable
    experiments : Experiments or None
        What its rows belong to, when that is known.
    name : str
        What the table is called in messages: the file.

    Raises
    ------
    FileFormatError
        If a standard column holds NaN or an infinity, a box is turned round or beyond any detector, shoeboxes are not as large
        as their boxes, or `id` or `panel` name what there is not.
    """
    for column, spec in SCHEMA.items():
        values = table.get(column)
        if values is None or spec.dtype != "f8" or np.isfinite(values).all():
            continue
        row = int(np.flatnonzero(~np.isfinite(values).reshape(len(values), -1).all(axis=1))[0])
        raise _at_row(name, column, row, values[row], "finite numbers", "run the step that wrote it again")
    for column, values in table.columns.items():
        if isinstance(values, Shoeboxes):
            _check_boxes(values.bbox, f"{column}'s box", name)
            _check_pixels(values, column, name)
    if "bbox" in table:
        _check_boxes(table["bbox"], "bbox", name)
    for column in ("miller_index", "miller_index_asu"):
        values = table.get(column)
        if values is not None:
            for row in np.flatnonzero((np.abs(values.astype(np.int64)) > MAX_INDEX).any(axis=1))[:1]:
                raise _at_row(
                    name,
                    column,
                    int(row),
                    values[row],
                    f"indices within {MAX_INDEX}",
                    "run the step that wrote it again",
                )
    _check_indices(table, experiments, name)


def numbered_by_identifiers(table: ReflectionTable, experiments: Experiments | None, name: str) -> ReflectionTable:
    """The table with its rows numbered as the experiments are, where identifiers tell that they were numbered otherwise.

    Rows of experiments that were not given (one of several sweeps is processed, for example) are left out, which is said. A
    table that has no identifier in common with the experiments stays as it is.
    """
    known = {e.identifier: i for i, e in enumerate(experiments or ()) if e.identifier}
    places = {old: known.get(identifier, -1) for old, identifier in table.identifiers.items() if identifier}
    if "id" not in table or all(new == -1 for new in places.values()) or all(old == new for old, new in places.items()):
        return table
    ids = table["id"].copy()
    for old, new in places.items():
        ids[table["id"] == old] = new if new >= 0 else -2
    left = int(np.count_nonzero(ids == -2))
    if left:
        logging.getLogger(__name__).info(
            "%s: %d reflections of experiments that were not given are left out", name, left
        )
    result = table.view()
    result["id"] = ids
    result = result.select(ids > -2) if left else result
    result.identifiers = {new: table.identifiers[old] for old, new in places.items() if new >= 0}
    return result


def _at_row(name: str, column: str, row: int, found: object, expected: str, remedy: str) -> FileFormatError:
    shown = found.tolist() if isinstance(found, np.ndarray | np.generic) else found
    return FileFormatError(f"{name}: row {row}, column {column}: {expected} expected, found {shown}; {remedy}")


def _check_boxes(bbox: np.ndarray, column: str, name: str) -> None:
    pairs = bbox.reshape(-1, 3, 2).astype(np.int64)
    wrong = (pairs[:, :, 1] < pairs[:, :, 0]).any(axis=1) | (np.abs(pairs) > MAX_COORDINATE).any(axis=(1, 2))
    for row in np.flatnonzero(wrong):
        expected = f"x0 <= x1, y0 <= y1, z0 <= z1 within {MAX_COORDINATE}"
        raise _at_row(name, column, int(row), bbox[row], expected, "run the step that wrote it again")


def _check_pixels(boxes: Shoeboxes, column: str, name: str) -> None:
    sizes = np.diff(boxes.bbox.astype(np.int64).reshape(-1, 3, 2), axis=2)[..., 0].prod(axis=1)
    held = np.diff(boxes.offsets)
    for row in np.flatnonzero((held != sizes) & (held != 0)):
        expected = f"{sizes[row]} pixels, or none,"
        raise _at_row(name, column, int(row), int(held[row]), expected, "run the step that wrote it again")


def _check_indices(table: ReflectionTable, experiments: Experiments | None, name: str) -> None:
    """`id`, `imageset_id` and `panel` name what there is."""
    n = len(table)
    ids = table.get("id", np.zeros(n, np.int32))
    for column in ("id", "imageset_id"):
        values = table.get(column)
        if values is None:
            continue
        for row in np.flatnonzero(values < -1)[:1]:
            raise _at_row(name, column, int(row), values[row], "-1 or the number of an experiment", REMEDY)
    if experiments is None or not len(experiments):
        return
    for row in np.flatnonzero(ids >= len(experiments)):
        raise _at_row(name, "id", int(row), ids[row], f"-1 to {len(experiments) - 1}", REMEDY)
    if "miller_index" in table:
        _check_resolution(table, ids, experiments, name)
    panels = table.get("panel")
    counts = np.array([len(e.detector) for e in experiments])
    boxes = [v.panel for v in table.columns.values() if isinstance(v, Shoeboxes)]
    for values in [panels] * (panels is not None) + boxes:
        limit = np.where((ids >= 0) & (ids < len(counts)), counts[np.clip(ids, 0, len(counts) - 1)], counts.max())
        for row in np.flatnonzero((values < 0) | (values >= limit))[:1]:
            raise _at_row(name, "panel", int(row), values[row], f"0 to {limit[row] - 1}", REMEDY)


def _check_resolution(table: ReflectionTable, ids: np.ndarray, experiments: Experiments, name: str) -> None:
    """No index lies beyond what the wavelength can reach (half of it, with a fifth to spare for odd models)."""
    for number, experiment in enumerate(experiments):
        if experiment.crystal is None:
            continue
        rows = np.flatnonzero(ids == number)
        spacing = np.linalg.norm(table["miller_index"][rows] @ experiment.crystal.A.T, axis=1)
        for row in np.flatnonzero(spacing > 2.4 / experiment.beam.wavelength)[:1]:
            expected = f"no d below half the wavelength ({experiment.beam.wavelength:g} A / 2) in the crystal's cell"
            found = f"{table['miller_index'][rows[row]].tolist()} with d = {1 / spacing[row]:.3g} A"
            raise _at_row(name, "miller_index", int(rows[row]), found, expected, REMEDY)
