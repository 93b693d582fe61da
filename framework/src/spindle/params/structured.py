"""Leaves with structure: words to choose from, sequences, cells, space groups, plugins."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

from spindle.errors import ParameterError

from .leaves import Auto, Leaf, check_range, range_text, split_words, to_float, to_int, unquote

N = TypeVar("N", int, float)


def several(value: Any) -> list[Any]:
    """Return the elements of ``value``; raise ValueError in words when it is a single thing."""
    if not hasattr(value, "__iter__"):
        raise ValueError("expected a list of values")
    return list(value)


class Choice(Leaf[str]):
    """One of several words, or several of them with ``multi=True`` (a tuple)."""

    kind = "choice"

    def __init__(self, choices: Sequence[str], default: Any = None, *, multi: bool = False, **options: Any) -> None:
        self._choices = tuple(choices)
        self.multi = multi
        super().__init__(default, **options)

    def choices(self) -> tuple[str, ...]:
        """Return the words to choose from."""
        return self._choices

    def _special(self, text: str) -> Any:
        return Leaf if text in self.choices() else super()._special(text)

    def _match(self, word: str) -> str:
        choices = self.choices()
        if word in choices:
            return word
        folded = [c for c in choices if c.lower() == word.lower()]
        if len(folded) == 1:
            return folded[0]
        raise ValueError("choose from " + self.available())

    def convert(self, value: Any) -> Any:
        if self.multi:
            words = [value] if isinstance(value, str) else several(value)
            return tuple(self._match(str(w)) for w in words)
        if not isinstance(value, str):
            raise ValueError("choose from " + self.available())
        return self._match(value)

    def parse_one(self, text: str) -> Any:
        words = [w for w in re.split(r"[\s,+]+", text) if w]
        starred = [w[1:] for w in words if w.startswith("*")]
        if self.multi:
            if text.strip().lower() == "none" and "none" not in map(str.lower, self.choices()):
                return ()
            return self.convert(starred or words)
        if len(starred) == 1:
            return self.convert(starred[0])
        return self.convert(unquote(text))

    def render_one(self, value: Any) -> str:
        return ("+".join(value) or "None") if self.multi else str(value)

    def available(self) -> str:
        """Return the words that are heeded, as text."""
        return ", ".join(c for c in self.choices() if c not in self.unavailable_values)

    def describe(self) -> str:
        return ("any of: " if self.multi else "one of: ") + self.available()


class _Sequence(Leaf[tuple[N, ...]], Generic[N]):
    """A tuple of numbers."""

    def __init__(
        self,
        default: Any = None,
        *,
        size: int | None = None,
        size_min: int | None = None,
        min: float | None = None,
        max: float | None = None,
        **options: Any,
    ) -> None:
        self.size, self.size_min, self.min, self.max = size, size_min, min, max
        super().__init__(default, **options)

    def element(self, value: Any) -> Any:
        raise NotImplementedError

    def convert(self, value: Any) -> tuple[Any, ...]:
        if isinstance(value, str):
            value = split_words(value)
        elif not hasattr(value, "__iter__"):
            value = (value,)
        values = tuple(self.element(v) for v in value)
        if self.size is not None and len(values) != self.size:
            raise ValueError(f"expected {self.size} values, got {len(values)}")
        if self.size_min is not None and len(values) < self.size_min:
            raise ValueError(f"expected at least {self.size_min} values, got {len(values)}")
        for number in values:
            check_range(number, self.min, self.max)
        return values

    def _elements(self, value: Any) -> list[Any]:
        if isinstance(value, list | tuple) and value and not hasattr(value[0], "__iter__"):
            return [tuple(value)]
        return super()._elements(value)

    def render_one(self, value: Any) -> str:
        return ",".join(repr(v).removesuffix(".0") for v in value)

    def describe(self) -> str:
        count = f"{self.size} " if self.size is not None else ""
        return count + self.kind + range_text(self.min, self.max)


class Floats(_Sequence[float]):
    """A tuple of real numbers, ``size`` of them if given."""

    kind = "floats"

    def element(self, value: Any) -> float:
        return to_float(value)


class Ints(_Sequence[int]):
    """A tuple of whole numbers, ``size`` of them if given."""

    kind = "ints"

    def element(self, value: Any) -> int:
        return to_int(value)

    def convert(self, value: Any) -> tuple[Any, ...]:
        if isinstance(value, str) and re.fullmatch(r"\s*\d+\s*[-:]\s*\d+\s*", value) and self.size == 2:
            value = re.findall(r"\d+", value)
        return super().convert(value)


class Strings(Leaf[tuple[str, ...]]):
    """A tuple of words."""

    kind = "strings"

    def convert(self, value: Any) -> tuple[str, ...]:
        if isinstance(value, str):
            return () if value.strip().lower() == "none" else tuple(split_words(value))
        return tuple(str(v) for v in several(value))

    def render_one(self, value: Any) -> str:
        return ",".join(f'"{v}"' if re.search(r"[\s,]", v) else v for v in value) or "None"


class UnitCell(Leaf[tuple[float, ...]]):
    """Six numbers: a b c in angstrom, alpha beta gamma in degrees (a tuple of floats)."""

    kind = "unit cell"

    def convert(self, value: Any) -> tuple[float, ...]:
        if hasattr(value, "parameters"):
            value = value.parameters
        cell = tuple(to_float(v) for v in (split_words(value) if isinstance(value, str) else several(value)))
        if len(cell) != 6:
            raise ValueError(f"expected a b c alpha beta gamma, got {len(cell)} values")
        if min(cell) <= 0 or max(cell[3:]) >= 180:
            raise ValueError("lengths must be positive and angles between 0 and 180 degrees")
        return cell

    def render_one(self, value: Any) -> str:
        return ",".join(repr(v).removesuffix(".0") for v in value)


ICE = "P 63/m m c"


class SpaceGroup(Leaf[str]):
    """A space group, given by number, Hermann-Mauguin or Hall symbol, with or without a change of basis.

    The value is its extended Hermann-Mauguin symbol (text), which says the setting.
    """

    kind = "space group"

    def _is_lazy(self) -> bool:
        return True

    def convert(self, value: Any) -> str:
        if value == ICE:  # a default: the symmetry code is not imported for it in every run
            return ICE
        from spindle.symmetry import space_group

        try:
            return space_group(value if hasattr(value, "xhm") else str(value)).xhm()
        except ParameterError as error:
            raise ValueError(str(error).removeprefix("space group: ")) from error

    def parse_one(self, text: str) -> str:
        return self.convert(unquote(text))

    def render_one(self, value: Any) -> str:
        return f'"{value}"'


class Plugin(Choice):
    """The name of an installed plugin of one slot.

    The parameters of the chosen plugin appear beside this leaf, in a scope named after the plugin.

    Parameters
    ----------
    slot : str
        Entry point group without ``spindle.``.
    default : str, None or Auto
        Chosen name.
    in_scope_if_auto : sequence of str
        Plugins whose parameters are in scope while the value is `Auto`.
    other_names : dict of str to str
        Names under which people know some of the plugins; an installed plugin of such a name comes first.
    beside : dict of str to dict of str to str
        For some of those names, values of parameters beside this leaf that go with them: ``{"slurm": {"dask.cluster": "slurm"}}``.
    elsewhere : bool
        The parameters of the chosen plugin are in the scope of a `ScopeOf` that is ``chosen_by`` this leaf, not beside it.
    unavailable : mapping of str to str
        Names that are understood and refused with their reason, as long as no installed plugin is called so. The default may be one:
        then nothing is chosen until somebody chooses.
    """

    kind = "plugin"

    def __init__(
        self,
        slot: str,
        default: Any = None,
        *,
        in_scope_if_auto: Sequence[str] = (),
        other_names: Mapping[str, str] | None = None,
        beside: Mapping[str, Mapping[str, str]] | None = None,
        elsewhere: bool = False,
        **options: Any,
    ) -> None:
        self.slot = slot
        self.elsewhere = elsewhere
        self._beside = {name: dict(values) for name, values in (beside or {}).items()}
        self.other_names = dict(other_names or {})
        self.in_scope_if_auto = tuple(in_scope_if_auto)
        super().__init__((), default, **options)

    def _is_lazy(self) -> bool:
        return True

    def choices(self) -> tuple[str, ...]:
        from spindle.plugins import registry

        return registry().names(self.slot)

    def _match(self, word: str) -> str:
        from spindle.plugins import registry

        choices = self.choices()
        if word not in choices and word not in self.unavailable_values:
            folded = [c for c in choices if c.lower() == word.lower()]
            if len(folded) == 1:
                return folded[0]
            if word.lower() in self.other_names:
                return self.other_names[word.lower()]
            registry().find(self.slot, word)  # raises with the remedy
        return word

    def beside(self, word: object) -> dict[str, str]:
        """Return the values of parameters beside this one that go with a name, unless an installed plugin has it."""
        name = str(word).strip().lower()
        return {} if name in map(str.lower, self.choices()) else self._beside.get(name, {})

    def _checked(self, value: Any) -> Any:
        if value == self.default_value and isinstance(value, str):
            return value  # a default that is not installed is reported when it is asked for
        return super()._checked(value)

    def chosen(self, value: Any) -> tuple[str, ...]:
        """Return the plugins whose parameters are in scope for ``value`` of this leaf."""
        if value is None or self.elsewhere:
            return ()
        if value is Auto:
            return tuple(n for n in ("Auto", *self.in_scope_if_auto) if n in self.choices())
        values = (value,) if isinstance(value, str) else tuple(value)
        return tuple(v for v in values if v not in self.unavailable_values)

    @property
    def unavailable_values(self) -> dict[str, str]:
        """Names that nobody has installed yet, and why."""
        return {name: why for name, why in self._unavailable_names.items() if name not in self.choices()}

    @unavailable_values.setter
    def unavailable_values(self, values: dict[str, str]) -> None:
        self._unavailable_names = values

    def describe(self) -> str:
        if not self.choices():
            return f"one of the installed plugins of the slot {self.slot}, of which there are none"
        extra = [str(v) for v, allowed in ((None, self.allows_none), (Auto, self.allows_auto)) if allowed]
        return "one of: " + ", ".join([*self.choices(), *extra])
