"""Short names that a program declares: one name for a parameter, or for those of several programs that it runs; and presets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from spindle.errors import ParameterError

from .leaves import Bool
from .text import Assignment
from .tree import Params, fields_of, public_name

__all__ = ["Preset", "ShortName", "preset_assignments", "short_names_of", "spell_out"]


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
    only : mapping of str to tuple of str, optional
        Values, in lower case, that set these parameters alone instead of all: ``only={"auto": ("merge.d_min",)}``.
    """

    def __init__(
        self,
        *paths: str,
        values: Mapping[str, Any] | None = None,
        help: str = "",
        only: Mapping[str, tuple[str, ...]] | None = None,
    ) -> None:
        self.paths = paths
        self.values = dict(values or {})
        self.help = help
        self.only = dict(only or {})

    def paths_for(self, given: Assignment) -> tuple[str, ...]:
        """Return the parameters that a value is for."""
        return self.only.get(str(given.value).strip().lower(), self.paths)

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


class Preset(Bool):
    """A switch that gives other parameters values of its own, which the user may still give otherwise.

    Declared in the outermost class ``Params`` of a program::

        electron = Preset({"import.geometry.beam.probe": "electron"}, help="Data of an electron microscope.")

    When it is true its values come before everything that the user says, in whatever order; a parameter that is not in the tree, because
    another plugin was chosen, is left out.

    Parameters
    ----------
    settings : mapping of str to object
        Values by full dotted names.
    help : str
    level : int
    """

    def __init__(self, settings: Mapping[str, Any], *, help: str, level: int = 0) -> None:
        super().__init__(False, help=help, level=level)
        self.settings = dict(settings)


def preset_assignments(assignments: list[Assignment], root: type[Params]) -> list[Assignment]:
    """Return what the presets of ``root`` set that the assignments turn on."""
    presets = {public_name(name): leaf for name, leaf in fields_of(root).items() if isinstance(leaf, Preset)}
    found: list[Assignment] = []
    for name, preset in presets.items():
        given = [a for a in assignments if a.key == name]
        if given and _is_on(preset, given[-1].value):
            found += [Assignment(path, value, f"{name}=True") for path, value in preset.settings.items()]
    return found


def _is_on(preset: Preset, value: Any) -> bool:
    """Whether a value turns it on; what is no value of a switch is refused when it is assigned."""
    try:
        return preset.convert(value)
    except ValueError:
        return False


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
            yield from (Assignment(p, value, source, given.blocks) for p in names[given.key].paths_for(given))
        else:
            yield given
