"""Rows of tables by experiment, and what belongs to a choice of experiments."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from spindle.models import Experiments
from spindle.table import ReflectionTable, rows_by_value

__all__ = ["Parts", "imageset_numbers", "imagesets_of_rows", "join"]


def join(tables: Sequence[ReflectionTable]) -> ReflectionTable | None:
    """The rows of several tables, as the host numbers them, in one; None for no table.

    Identifiers are left out: tables of other runs may name one experiment differently.
    """
    if not tables:
        return None
    views = []
    for table in tables:
        view = table.view()
        view.identifiers = {}
        views.append(view)
    return ReflectionTable.concatenate(views)


def imageset_numbers(experiments: Experiments) -> np.ndarray:
    """(n_experiments + 1,) int64: which of the distinct image sets each experiment has; -1 for none, and at the end."""
    places = {id(s): i for i, s in enumerate(experiments.unique("imageset"))}
    return np.array([places.get(id(e.imageset), -1) for e in experiments] + [-1], np.int64)


def imagesets_of_rows(table: ReflectionTable, of_experiment: np.ndarray) -> np.ndarray:
    """Which of the distinct image sets of the experiments each row lies on, (n,) int64; -1 where that is not known.

    Parameters
    ----------
    table : ReflectionTable
    of_experiment : (n_experiments + 1,) int64
        `imageset_numbers` of the experiments.

    Notes
    -----
    Rows that belong to an experiment lie on its images. Others, spots that were not indexed, lie where those rows do that have
    the same number in the column `imageset_id`.
    """
    ids = np.asarray(table["id"])
    found = of_experiment[ids]
    stray = np.flatnonzero(ids < 0)
    if not len(stray):
        return found
    if "imageset_id" not in table:
        found[stray] = 0 if of_experiment.max() == 0 else -1
        return found
    numbers, first = np.unique(table["imageset_id"][ids >= 0], return_index=True)
    if not len(numbers):
        return found
    position = np.minimum(np.searchsorted(numbers, table["imageset_id"][stray]), len(numbers) - 1)
    is_known = numbers[position] == table["imageset_id"][stray]
    found[stray] = np.where(is_known, found[ids >= 0][first][position], -1)
    return found


class Parts:
    """Experiments and the rows of a table, of which any number of choices can be taken.

    Parameters
    ----------
    experiments : Experiments
    table : ReflectionTable or None
        With the place of its experiment in the column `id` of each row.
    imagesets : (n,) int64, optional
        What `imagesets_of_rows` says, where rows come from tables that count their image sets differently.
    """

    def __init__(
        self, experiments: Experiments, table: ReflectionTable | None, imagesets: np.ndarray | None = None
    ) -> None:
        self.experiments = experiments
        self.table = table
        self._imageset = imageset_numbers(experiments)
        self._rows: dict[int, np.ndarray] = {}
        self._stray: dict[int, np.ndarray] = {}
        if table is not None and "id" in table:
            self._rows = table.rows_by_experiment()
            stray = np.flatnonzero(table["id"] < 0)
            if len(stray):
                where = (imagesets_of_rows(table, self._imageset) if imagesets is None else imagesets)[stray]
                self._stray = {i: stray[rows] for i, rows in rows_by_value(where).items() if i >= 0}

    def counts(self) -> np.ndarray:
        """(n_experiments,) int64: rows of each experiment."""
        return np.array([len(self._rows.get(i, ())) for i in range(len(self.experiments))], np.int64)

    def rows(self, experiment: int) -> np.ndarray:
        """Ascending rows of an experiment."""
        return self._rows.get(experiment, np.zeros(0, np.int64))

    def take(
        self, chosen: Iterable[int], with_stray: bool = True, models: Experiments | None = None
    ) -> tuple[Experiments, ReflectionTable | None]:
        """Some experiments in a new order, and their reflections.

        Parameters
        ----------
        chosen : iterable of int
            Places of the experiments, each once.
        with_stray : bool
            Rows of no experiment come along when an experiment with the same images does.
        models : Experiments, optional
            The same experiments with other models, to be returned in their place.

        Returns
        -------
        experiments : Experiments
        table : ReflectionTable or None
            Rows in the order that they had; `id`, `imageset_id` (where there is one) and identifiers are those of the new list.
        """
        order = list(chosen)
        new = Experiments([(self.experiments if models is None else models)[i] for i in order])
        if self.table is None:
            return new, None
        if "id" not in self.table:
            return new, self.table.view()
        pieces = [(self.rows(i), place) for place, i in enumerate(order)]
        numbers = imageset_numbers(new)
        images = [numbers[place] for _, place in pieces]
        if with_stray:  # they come with the first of the experiments on their images
            first = {int(self._imageset[i]): place for place, i in reversed([*enumerate(order)])}
            strays = [(self._stray[k], place) for k, place in sorted(first.items()) if k in self._stray]
            images += [numbers[place] for _, place in strays]
            pieces += [(rows, -1) for rows, _ in strays]
        lengths = [len(rows) for rows, _ in pieces]
        rows = np.concatenate([rows for rows, _ in pieces]) if pieces else np.zeros(0, np.int64)
        back = np.argsort(rows, kind="stable")
        table = self.table.select(rows[back])
        table["id"] = np.repeat([place for _, place in pieces], lengths)[back].astype(np.int32)
        if "imageset_id" in table:
            table["imageset_id"] = np.repeat(images, lengths)[back].astype(np.int32)
        table.identifiers = dict(new.identifiers)
        return new, table
