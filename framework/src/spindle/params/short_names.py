"""Short names that a program declares: one name for a parameter, or for those of several programs that it runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from spindle.errors import ParameterError

from .text import Assignment
from .tree import Params

__all__ = ["ShortName", "short_names_of", "spell_out"]


class ShortName:
    """A name that sets parameters of the tree in which it is declared; it holds no value of its own.

    Written like a parameter, in the outermost class ``Params`` of a program::

        d_min = ShortName("find_spots.spotfinder.filter.d_min", "merge.d_min", help="Highest resolution.")

    A declared name comes before every other meaning that the name may have as an ending of dotted names. Later
    assignments win, as always: ``d_min=2 merge.d_min=2.5`` cuts only the merged data at 2.5.

    Parameters
    ----------
    *paths : str
        Full dotted names of the parameters that get the value.
    values : dict of str to object
        What a value stands for, when that is not the value of the parameter; keys in lower case.
    help : str
        What the name means.
    """

    def __init__(self, *paths: str, values: Mapping[str, Any] | None = None, help: str = "") -> None:
        self.paths = paths
        self.values = dict(values or {})
        self.help = help

    def value(self, given: Assignment) -> Any:
        """Return what the parameters get for a value of the short name."""
        if not self.values:
            return given.value
        word = str(given.value).strip().lower()
        if word not in self.values:
            raise ParameterError(
                f"{given.key}={given.value} ({given.source}): choose from {', '.join(self.values)}; it sets "
                f"{', '.join(self.paths)}"
            )
        return self.values[word]


def short_names_of(cls: type[Params]) -> dict[str, ShortName]:
    """Return the short names that ``cls`` declares, those of its bases included."""
    return {
        name: value
        for base in reversed(cls.__mro__)
        for name, value in vars(base).items()
        if isinstance(value, ShortName)
    }


def spell_out(assignments: list[Assignment], root: type[Params]) -> Iterator[Assignment]:
    """Replace each assignment to a short name that ``root`` declares by one for every parameter that it sets."""
    names = short_names_of(root)
    for given in assignments:
        if given.key in names:
            source = f"{given.source}, {given.key}="
            value = names[given.key].value(given)
            yield from (Assignment(p, value, source, given.blocks) for p in names[given.key].paths)
        else:
            yield given
