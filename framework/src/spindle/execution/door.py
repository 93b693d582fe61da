"""What a program is given is checked once, at the door: numbers are finite, rows belong to experiments and panels that exist.

Kernels trust the columns that index arrays (`id`, `panel`, `bbox`, `shoebox`), so nothing may pass that points beyond them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from spindle.errors import FileFormatError
from spindle.models import Experiments
from spindle.table import SCHEMA, ReflectionTable, Shoeboxes

__all__ = ["check_experiments", "check_reflections"]

# Pixels, and images of one box; far beyond any detector or scan, and safe to multiply and to add in 64 bits.
MAX_COORDINATE = 2**24
# Numbers of images are what files are called, a date and more included (2020010101); a box keeps them in 32 bits.
MAX_IMAGE = 2**31 - 1
IMAGES = f"an image from {-MAX_COORDINATE} to {MAX_IMAGE}"
BOXES = f"x0 <= x1, y0 <= y1, z0 <= z1 within {MAX_COORDINATE} pixels and images, z up to {MAX_IMAGE},"
# Half of what a packed index holds, so that sums of indices fit too; cells are below 5,000 A and d above 0.01 A.
MAX_INDEX = 500_000
BLOCK = 2**16  # rows that are looked at together: columns of a large file are not kept in memory for this
AGAIN = "run the step that wrote it again"
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
                "experiment once. Where they differ (two crystals on the same images), spindle assign_experiment_identifiers tells them apart"
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
        If a standard column holds NaN or an infinity, a box is turned round, a box or an observed
        position is beyond any detector, shoeboxes are not as large
        as their boxes, or `id` or `panel` name what there is not.
    """
    boxes = dict(_shoeboxes(table))
    for column in boxes.keys() & SCHEMA.keys():
        raise FileFormatError(f"{name}: column {column} holds shoeboxes: {SCHEMA[column].meaning} expected; {AGAIN}")
    if "shoebox" in table and "shoebox" not in boxes:
        raise FileFormatError(f"{name}: column shoebox holds no shoeboxes; {AGAIN}")
    for column, spec in SCHEMA.items():
        if column in table and spec.dtype == "f8":
            _check(table, column, _not_finite, "finite numbers", AGAIN, name)
    for column, outline in boxes.items():
        _check_boxes(outline.bbox, f"{column}'s box", name)
        if len(outline.data):
            _check_pixels(outline, column, name)
    if "xyzobs.px.value" in table:
        _check(
            table, "xyzobs.px.value", _far_away, f"a position within {MAX_COORDINATE} pixels and {IMAGES}", AGAIN, name
        )
    if "xyzcal.px" in table:  # far in x and y lie beams along a panel's plane
        _check(table, "xyzcal.px", _far_image, IMAGES, AGAIN, name)
    if "bbox" in table:
        _check(table, "bbox", _wrong_boxes, BOXES, AGAIN, name)
    for column in ("miller_index", "miller_index_asu"):
        if column in table:
            _check(table, column, _wrong_indices, f"indices within {MAX_INDEX}", AGAIN, name)
    _check_numbers(table, experiments, boxes, name)


def _shoeboxes(table: ReflectionTable) -> Iterator[tuple[str, Shoeboxes]]:
    """The shoeboxes of a table by column, without their pixels where those are not in memory."""
    for column in table:
        deferred = table.deferred(column)
        values = table[column] if deferred is None else deferred.outline()
        if isinstance(values, Shoeboxes):
            yield column, values


def _check(
    table: ReflectionTable,
    column: str,
    wrong: Callable[[np.ndarray, slice], np.ndarray],
    expected: str,
    remedy: str,
    name: str,
) -> None:
    """Refuse the first row that ``wrong`` finds in a block of a column, given with its place in the table."""
    start = 0
    for values in table.blocks(column, BLOCK):
        bad = wrong(values, slice(start, start + len(values)))
        for row in np.flatnonzero(bad)[:1]:
            raise _at_row(name, column, start + int(row), values[row], expected, remedy)
        start += len(values)


def _not_finite(values: np.ndarray, _rows: slice) -> np.ndarray:
    with np.errstate(invalid="ignore", over="ignore"):
        if np.isfinite(values.sum()):  # quickly taken; a sum that is not finite may also have overflowed
            return np.zeros(0, bool)
    return ~np.isfinite(values).reshape(len(values), -1).all(axis=1)


def _wrong_boxes(bbox: np.ndarray, _rows: slice) -> np.ndarray:
    pairs = bbox.reshape(-1, 3, 2)
    beyond = (bbox < -MAX_COORDINATE).any(axis=1) | (bbox[:, :4] > MAX_COORDINATE).any(axis=1)
    deep = bbox[:, 5].astype(np.int64) - bbox[:, 4] > MAX_COORDINATE
    return np.asarray((pairs[:, :, 1] < pairs[:, :, 0]).any(axis=1) | beyond | deep)


def _far_away(position: np.ndarray, _rows: slice) -> np.ndarray:
    return np.asarray((np.abs(position[:, :2]) > MAX_COORDINATE).any(axis=1)) | _far_image(position, _rows)


def _far_image(position: np.ndarray, _rows: slice) -> np.ndarray:
    return np.asarray((position[:, 2] < -MAX_COORDINATE) | (position[:, 2] > MAX_IMAGE))


def _wrong_indices(index: np.ndarray, _rows: slice) -> np.ndarray:
    return np.asarray(((index > MAX_INDEX) | (index < -MAX_INDEX)).any(axis=1))


def _at_row(name: str, column: str, row: int, found: object, expected: str, remedy: str) -> FileFormatError:
    shown = found.tolist() if isinstance(found, np.ndarray | np.generic) else found
    return FileFormatError(f"{name}: row {row}, column {column}: {expected} expected, found {shown}; {remedy}")


def _check_boxes(bbox: np.ndarray, column: str, name: str) -> None:
    for row in np.flatnonzero(_wrong_boxes(bbox, slice(None)))[:1]:
        raise _at_row(name, column, int(row), bbox[row], BOXES, AGAIN)


def _check_pixels(boxes: Shoeboxes, column: str, name: str) -> None:
    sizes = np.diff(boxes.bbox.astype(np.int64).reshape(-1, 3, 2), axis=2)[..., 0].prod(axis=1)
    held = np.diff(boxes.offsets)
    for row in np.flatnonzero((held != sizes) & (held != 0)):
        expected = f"{sizes[row]} pixels, or none,"
        raise _at_row(name, column, int(row), int(held[row]), expected, AGAIN)


def _check_numbers(
    table: ReflectionTable, experiments: Experiments | None, boxes: Mapping[str, Shoeboxes], name: str
) -> None:
    """`id`, `imageset_id` and `panel` name what there is, `miller_index` what the wavelength can reach."""
    for column in ("id", "imageset_id"):
        if column in table:
            _check(table, column, lambda v, _: v < -1, "-1 or the number of an experiment", REMEDY, name)
    if experiments is None or not len(experiments):
        return
    count = len(experiments)
    if "id" in table:
        _check(table, "id", lambda v, _: v >= count, f"-1 to {count - 1}", REMEDY, name)
    ids = table.get("id", np.zeros(len(table), np.int32))
    used = np.unique(ids[ids >= 0])  # one of thousands of files belongs to few of all experiments
    own = Experiments([experiments[int(i)] for i in used] or experiments)
    places = np.where(ids >= 0, np.searchsorted(used, ids), -1)
    if "miller_index" in table:
        _check_resolution(table, places, own, name)
    panels = np.array([len(e.detector) for e in own] + [0])
    panels[-1] = panels.max()  # of rows that belong to no experiment

    def beyond(values: np.ndarray, rows: slice) -> np.ndarray:
        return np.asarray((values < 0) | (values >= panels[places[rows]]))

    expected = f"0 to {panels[-1] - 1}" if (panels == panels[-1]).all() else "a panel of the detector of its experiment"
    if "panel" in table:
        _check(table, "panel", beyond, expected, REMEDY, name)
    for shoeboxes in boxes.values():
        for row in np.flatnonzero(beyond(shoeboxes.panel, slice(None)))[:1]:
            raise _at_row(name, "panel", int(row), shoeboxes.panel[row], expected, REMEDY)


def _check_resolution(table: ReflectionTable, ids: np.ndarray, experiments: Experiments, name: str) -> None:
    """No index lies beyond what the wavelength can reach (half of it, with a fifth to spare for odd models)."""
    settings = np.zeros((len(experiments) + 1, 3, 3))
    limits = np.full(len(experiments) + 1, np.inf)
    for number, experiment in enumerate(experiments):
        if experiment.crystal is not None:
            settings[number] = experiment.crystal.A
            limits[number] = 2.4 / experiment.beam.wavelength

    def spacing(index: np.ndarray, number: np.ndarray) -> np.ndarray:
        return np.asarray(
            np.linalg.norm(np.matmul(settings[number], index[:, :, None].astype(np.float64))[:, :, 0], axis=1)
        )

    start = 0
    for index in table.blocks("miller_index", BLOCK):
        ends = np.array([index.min(axis=0), index.max(axis=0)] if len(index) else np.zeros((2, 3)), np.float64)
        corner = np.linalg.norm(np.abs(settings) @ np.abs(ends).max(axis=0), axis=1)
        if np.all(corner <= limits):  # nothing inside can be beyond
            start += len(index)
            continue
        numbers = ids[start : start + len(index)]
        reached = spacing(index, numbers)
        for row in np.flatnonzero(reached > limits[numbers])[:1]:
            wavelength = experiments[int(numbers[row])].beam.wavelength
            expected = f"no d below half the wavelength ({wavelength:g} A / 2) in the crystal's cell"
            found = f"{index[row].tolist()} with d = {1 / reached[row]:.3g} A"
            raise _at_row(name, "miller_index", start + int(row), found, expected, REMEDY)
        start += len(index)
