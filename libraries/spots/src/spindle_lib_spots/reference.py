"""Observed spots: which to trust, and which prediction each belongs to."""

from __future__ import annotations

import logging

import numpy as np

from spindle.errors import UserError
from spindle.report import DETAIL
from spindle.table import BAD_FOR_REFINEMENT, Flag, ReflectionTable

MAX_DISTANCE = 2.0
MAX_DISTANCE_PX = 15.0
INHERITED = Flag.STRONG | Flag.INDEXED | Flag.USED_IN_REFINEMENT


def split_reference(
    table: ReflectionTable, n_experiments: int, log: logging.Logger, program: str
) -> tuple[ReflectionTable, ReflectionTable]:
    """Spots to use, and the rest: unindexed, rejected by refinement, index (0, 0, 0). Errors begin with the name of the program."""
    log.info(" read %d strong spots", len(table))
    indexed = table.has_flags(Flag.INDEXED)
    bad = indexed & table.has_flags(int(BAD_FOR_REFINEMENT), all=False)
    zero = indexed & ~bad & np.all(table["miller_index"] == 0, axis=1)
    for rows, why in ((~indexed, "unindexed"), (bad, "marked as bad for refinement"), (zero, "with index 0 0 0")):
        if rows.any():
            log.info(" removing %d reflections %s", np.count_nonzero(rows), why, extra=DETAIL)
    good = indexed & ~bad & ~zero
    ids = table["id"][good]
    if np.any(ids < 0) or np.any(ids >= n_experiments):
        raise UserError(
            f"{program}: indexed spots have ids {ids.min()} to {ids.max()}, there are {n_experiments} experiments; "
            "give the "
            "experiments and reflections of the same step"
        )
    log.info(" using %d indexed reflections", np.count_nonzero(good))
    return table.select(good), table.select(~good)


def check_distance(reference: ReflectionTable, program: str) -> None:
    """Refuse spots that are not where the models say."""
    if not len(reference):
        raise UserError(
            f"{program}: the models predict none of the indexed spots; the reflections seem not to belong to these experiments: give "
            "those of the same refinement"
        )
    away = np.linalg.norm(reference["xyzobs.px.value"][:, :2] - reference["xyzcal.px"][:, :2], axis=1)
    if np.median(away) > MAX_DISTANCE_PX:
        raise UserError(
            f"{program}: half of the {len(reference)} indexed spots are more than {np.median(away):.0f} pixels from where the models "
            "predict them; the reflections seem not to belong to these experiments, or the refinement failed: give experiments and "
            "reflections of the same refinement"
        )


def match(predicted: ReflectionTable, reference: ReflectionTable) -> tuple[np.ndarray, np.ndarray]:
    """Pair reference spots with predictions of the same index, experiment, panel and direction, nearest first, within
    2.

    Distances are Euclidean in (pixel, pixel, image) between calculated positions.

    Parameters
    ----------
    predicted, reference : ReflectionTable
        With miller_index, id, panel, entering, xyzcal.px.

    Returns
    -------
    rows, partner : (m,) int64
        Reference rows and their predictions; each prediction at most once.
    """

    mine, theirs = _keys(predicted, reference)
    order = np.argsort(mine, kind="stable")
    ordered = mine[order]
    first, last = np.searchsorted(ordered, theirs, "left"), np.searchsorted(ordered, theirs, "right")
    best = np.full(len(reference), -1, np.int64)
    distance = np.full(len(reference), np.inf)
    positions, wanted = predicted["xyzcal.px"], reference["xyzcal.px"]
    for turn in range(int(np.max(last - first, initial=0))):
        rows = np.flatnonzero(first + turn < last)
        candidate = order[first[rows] + turn]
        d = np.linalg.norm(positions[candidate] - wanted[rows], axis=1)
        closer = d < distance[rows]
        best[rows[closer]], distance[rows[closer]] = candidate[closer], d[closer]
    rows = np.flatnonzero(distance < MAX_DISTANCE)
    nearest_first = rows[np.lexsort((distance[rows], best[rows]))]
    _, unique = np.unique(best[nearest_first], return_index=True)
    rows = np.sort(nearest_first[unique])
    return rows, best[rows]


def _keys(first: ReflectionTable, second: ReflectionTable) -> tuple[np.ndarray, np.ndarray]:
    """(n,) int64 of each table: equal where index, experiment, panel and direction are; ascending as predictions are mostly."""
    columns = [
        ("id", None),
        ("miller_index", 0),
        ("miller_index", 1),
        ("miller_index", 2),
        ("panel", None),
        ("entering", None),
    ]
    keys = np.zeros(len(first), np.int64), np.zeros(len(second), np.int64)
    for name, part in columns:
        values = [table[name] if part is None else table[name][:, part] for table in (first, second)]
        low = min((int(v.min()) for v in values if len(v)), default=0)
        high = max((int(v.max()) for v in values if len(v)), default=0)
        for key, column in zip(keys, values, strict=True):
            key *= high - low + 1
            key += column.astype(np.int64)
            key -= low
    return keys
