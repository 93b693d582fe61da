"""The parameter ``exclude_images``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from spindle.errors import ParameterError
from spindle.models import Experiments
from spindle.table import ReflectionTable

__all__ = ["ImageRange", "excluded_images", "on_excluded_images"]


class ImageRange(NamedTuple):
    """Images of an experiment.

    Attributes
    ----------
    experiment : int
        Counted from 0.
    first, last : int
        Image numbers, both included; image 1 has the array index 0.
    """

    experiment: int
    first: int
    last: int


def excluded_images(
    words: Iterable[str | Sequence[str]] | None, experiments: int | Experiments, name: str = "exclude_images"
) -> list[ImageRange]:
    """Return the images that a parameter leaves out.

    Parameters
    ----------
    words : iterable of str or of sequences of str, or None
        ``experiment:first:last`` with image numbers, both included; ``first:last`` of all experiments; or one image
        of all experiments.
    experiments : int or Experiments
        Their number; or themselves, to refuse images that none of them has.
    name : str
        Of the parameter, for messages.

    Returns
    -------
    list of ImageRange
        In the order of the words; they may overlap.

    Raises
    ------
    ParameterError
        If a word is none of these, the last image comes before the first, or there is no such experiment or image.
    """
    n_experiments = experiments if isinstance(experiments, int) else len(experiments)
    scans = [] if isinstance(experiments, int) else [e.scan for e in experiments]
    found = []
    for word in (w for item in words or () for w in ([item] if isinstance(item, str) else item)):
        try:
            numbers = [int(part) for part in str(word).split(":")]
        except ValueError:
            numbers = []
        first, last = numbers[-2:] if len(numbers) > 1 else numbers * 2 or (1, 0)
        if len(numbers) > 3 or last < first:
            raise ParameterError(
                f"{name}={word}: write experiment:first:last, first:last of all experiments, or one image, for example 0:1:10; "
                "images are counted from 1, experiments from 0"
            )
        if len(numbers) == 3 and not 0 <= numbers[0] < n_experiments:
            raise ParameterError(f"{name}={word}: there is no experiment {numbers[0]}, only 0 to {n_experiments - 1}")
        which = [numbers[0]] if len(numbers) == 3 else range(n_experiments)
        there = [scan.image_range for i in which if scans and (scan := scans[i]) is not None]
        if there and len(there) == len(which) and all(last < begin or first > end for begin, end in there):
            raise ParameterError(
                f"{name}={word}: there are no such images; experiment {which[0]} has {there[0][0]} to {there[0][1]}"
            )
        found += [ImageRange(i, first, last) for i in which]
    return found


def on_excluded_images(table: ReflectionTable, ranges: Iterable[ImageRange], column: str) -> np.ndarray:
    """Whether reflections lie on images that are left out, (n,) bool.

    Parameters
    ----------
    table : ReflectionTable
    ranges : iterable of ImageRange
    column : str
        With the array index in its third component, ``xyzobs.px.value`` or ``xyzcal.px``.
    """
    z = np.asarray(table[column][:, 2])
    out = np.zeros(len(table), np.bool_)
    ranges = list(ranges)
    rows_of = table.rows_by_experiment() if ranges else {}
    for experiment, first, last in ranges:
        rows = rows_of.get(experiment)
        if rows is not None:
            out[rows] |= (z[rows] >= first - 1) & (z[rows] < last)
    return out
