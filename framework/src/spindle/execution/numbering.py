"""The numbers of experiments that rows of tables have are made those of the experiments that were given."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import numpy as np

from spindle.errors import FileFormatError
from spindle.models import Experiments
from spindle.table import ReflectionTable

__all__ = ["number_tables", "numbered_by_identifiers"]

log = logging.getLogger(__name__)
_NOWHERE = -2


def numbered_by_identifiers(table: ReflectionTable, experiments: Experiments | None, name: str) -> ReflectionTable:
    """The table with its rows numbered as the experiments are, where identifiers tell that they were numbered otherwise.

    Rows of experiments that were not given (one of several sweeps is processed, for example) are left out, which is said. A
    table that has no identifier in common with the experiments stays as it is.
    """
    places = _places(table, _known(experiments or ()))
    if "id" not in table or all(new == -1 for new in places.values()) or all(old == new for old, new in places.items()):
        return table
    return _renumbered(table, {old: new if new >= 0 else _NOWHERE for old, new in places.items()}, name)


def number_tables(
    tables: Sequence[ReflectionTable], lists: Sequence[Experiments], names: Sequence[str]
) -> list[ReflectionTable]:
    """Several tables, each with its rows numbered by the place of their experiment among all that were given.

    Identifiers tell which experiments a table belongs to. Without any that is known, as many tables as lists of experiments
    belong together in their order; other tables stay as they are. So do as many tables as lists in which experiments have one identifier.

    Parameters
    ----------
    tables : sequence of ReflectionTable
    lists : sequence of Experiments
        The experiments of each file.
    names : sequence of str
        What each table is called in messages.

    Raises
    ------
    FileFormatError
        If a row has a number that is not one of the experiments its table belongs to, or a table names none of the experiments of the
        list in its place where only the order tells.
    """
    everything = Experiments([e for found in lists for e in found])
    known = _known(everything)
    offsets = np.cumsum([0, *map(len, lists)])
    file_of = np.repeat(np.arange(len(lists)), [len(found) for found in lists])
    paired = len(tables) == len(lists)
    in_order = paired and len(known) < sum(bool(e.identifier) for e in everything)
    result = []
    for number, (table, name) in enumerate(zip(tables, names, strict=True)):
        if in_order:
            known = {text: int(offsets[number]) + i for text, i in _known(lists[number]).items()}
        places = _places(table, known)
        if in_order and places and max(places.values()) < 0:
            raise FileFormatError(
                f"{name}: its reflections belong to none of the experiments of the file of experiments in the same place; since experiments "
                "have one identifier in common, give files of experiments and of reflections in the same order"
            )
        homes = {int(file_of[new]) for new in places.values() if new >= 0}
        if not homes and paired:
            homes, places = {number}, {}
        if paired and len(homes) == 1:
            (home,) = homes
            for i in range(len(lists[home])):  # of those that have no identifier
                places.setdefault(i, int(offsets[home]) + i)
        if homes and "id" in table:
            mapping = {old: new if new >= 0 else _NOWHERE for old, new in places.items()}
            table = _renumbered(table, mapping, name, strict=True)
            table.identifiers = {i: text or everything[i].identifier for i, text in table.identifiers.items()}
        result.append(table)
    return result


def _known(experiments: Sequence[object]) -> dict[str, int]:
    return {e.identifier: i for i, e in enumerate(experiments) if e.identifier}  # type: ignore[attr-defined]


def _places(table: ReflectionTable, known: Mapping[str, int]) -> dict[int, int]:
    """Number of each experiment that a table names, among those that are known; -1 of others."""
    return {old: known.get(identifier, -1) for old, identifier in table.identifiers.items() if identifier}


def _renumbered(table: ReflectionTable, mapping: Mapping[int, int], name: str, strict: bool = False) -> ReflectionTable:
    """The table with other numbers, without the rows that get `_NOWHERE`; numbers that are not in the mapping stay."""
    numbers = np.array([*mapping, 0], np.int64)[: len(mapping)]
    order = np.argsort(numbers)
    position = np.minimum(np.searchsorted(numbers, table["id"], sorter=order), len(numbers) - 1)
    targets = np.array([*mapping.values()], np.int32)[order]
    found = numbers[order][position] == table["id"]
    for row in np.flatnonzero(~found & (table["id"] >= 0))[:1] if strict else ():
        raise FileFormatError(
            f"{name}: row {row} belongs to experiment {table['id'][row]}, which is none of the experiments that belong to this file; "
            "give the files of one run, in the same order"
        )
    ids = np.where(found, targets[position], table["id"])
    left = int(np.count_nonzero(ids == _NOWHERE))
    if left:
        log.info("%s: %d reflections of experiments that were not given are left out", name, left)
    result = table.view()
    result["id"] = ids
    result = result.select(ids > _NOWHERE) if left else result
    result.identifiers = {new: table.identifiers.get(old, "") for old, new in mapping.items() if new >= 0}
    return result
