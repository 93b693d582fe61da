"""The typed leaves of parameter trees.

Each leaf is a traitlets trait with a textual form: ``parse`` reads what a user types, ``render`` writes it back, and ``convert``
checks a Python value. `None` and `Auto` are values only where the leaf says so.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import traitlets

from spindle.errors import ParameterError


class AutoType:
    """The type of `Auto`: the program chooses the value from the data."""

    _instance: AutoType | None = None

    def __new__(cls) -> AutoType:
        if cls._instance is None:
            cls._instance = super().__new__(cls)
        return cls._instance

    def __repr__(self) -> str:
        return "Auto"

    def __reduce__(self) -> str:
        return "Auto"


Auto = AutoType()


def split_words(text: str) -> list[str]:
    """Split ``text`` at blanks and commas; quotes protect both."""
    return [a or b or c for a, b, c in re.findall(r"\"([^\"]*)\"|'([^']*)'|([^\s,\"']+)", text)]


def unquote(text: str) -> str:
    """Remove one pair of quotes around ``text``."""
    text = text.strip()
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1]
    return text


class Leaf(traitlets.TraitType[Any, Any]):
    """One parameter.

    Parameters
    ----------
    default : object
        Default value, checked like any other.
    help : str
        One or two sentences in our own words.
    level : int
        0 shown by ``-h``, 1 by ``-hh``, 2 by ``-hhh``, 3 only by ``-hhhh``.
    units : str
        Unit of the value, shown in the help.
    none, auto : bool, optional
        Whether `None` and `Auto` are values; by default when the default is.
    multiple : bool
        The value is a list; a parameter given again adds an element.
    """

    kind = "value"

    def __init__(
        self,
        default: Any = None,
        *,
        help: str = "",
        level: int = 0,
        units: str = "",
        none: bool | None = None,
        auto: bool | None = None,
        multiple: bool = False,
    ) -> None:
        self.level = level
        self.units = units
        self.multiple = multiple
        self.allows_none = (default is None and not multiple) if none is None else none
        self.allows_auto = default is Auto if auto is None else auto
        if multiple and default is None:
            default = []
        super().__init__(default_value=default, allow_none=self.allows_none, help=help)
        if not self._is_lazy():
            self._checked(default)

    def _is_lazy(self) -> bool:
        """Whether checking the default would import something heavy."""
        return False

    # -- values -----------------------------------------------------------------------------------------------------------

    def convert(self, value: Any) -> Any:
        """Return ``value`` as this leaf stores it; raise ValueError with the reason when it cannot."""
        return value

    def parse_one(self, text: str) -> Any:
        """Return the value that ``text`` stands for; raise ValueError with the reason when there is none."""
        return self.convert(text)

    def render_one(self, value: Any) -> str:
        """Return the text that `parse_one` reads back."""
        return str(value)

    def describe(self) -> str:
        """Return the type in words, for the help."""
        return self.kind

    def _checked(self, value: Any) -> Any:
        if value is None:
            if self.allows_none:
                return None
            raise ValueError("None is not a value of this parameter")
        if value is Auto:
            if self.allows_auto:
                return Auto
            raise ValueError("Auto is not a value of this parameter")
        if self.multiple:
            return [self.convert(v) for v in self._elements(value)]
        if isinstance(value, str):
            return self.parse(value)
        return self.convert(value)

    def _elements(self, value: Any) -> list[Any]:
        if isinstance(value, str):
            return [self.parse_one(value)]
        if not isinstance(value, Sequence):
            raise ValueError(f"expected a list of {self.describe()}, got {value!r}")
        return [self.parse_one(v) if isinstance(v, str) else v for v in value]

    def parse(self, text: str) -> Any:
        """Return the value of one element for ``text``, which may be ``None`` or ``Auto`` where allowed."""
        stripped = text.strip()
        special = self._special(stripped)
        if special is not Leaf:
            return special
        return self.parse_one(stripped)

    def _special(self, text: str) -> Any:
        """Return None or Auto when ``text`` is their name and they are allowed, else the class `Leaf` as 'neither'."""
        lowered = text.lower()
        if lowered == "none" and self.allows_none:
            return None
        if lowered == "auto" and self.allows_auto:
            return Auto
        return Leaf

    def render(self, value: Any) -> str:
        """Return ``value`` as a user would type it; a list is joined by blanks."""
        if value is None or value is Auto:
            return str(value)
        if self.multiple:
            return " ".join(self.render_one(v) for v in value) if value else "None"
        return self.render_one(value)

    def plain(self, value: Any) -> Any:
        """Return ``value`` for JSON or TOML."""
        if value is Auto:
            return "Auto"
        if isinstance(value, list | tuple):
            return [self.plain(v) for v in value]
        return str(value) if isinstance(value, Path) else value

    # -- traitlets --------------------------------------------------------------------------------------------------------

    def validate(self, obj: Any, value: Any) -> Any:
        try:
            return self._checked(value)
        except ValueError as error:
            raise ParameterError(f"{self.name}={_shown(value)}: {error}") from error


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)


def check_range(value: float, low: float | None, high: float | None) -> None:
    """Raise ValueError when ``value`` is outside [low, high]."""
    if low is not None and value < low:
        raise ValueError(f"must be at least {low:g}")
    if high is not None and value > high:
        raise ValueError(f"must be at most {high:g}")


def to_float(value: Any) -> float:
    """Return a finite or infinite float; raise ValueError in words."""
    if isinstance(value, bool):
        raise ValueError("expected a number, not a truth value")
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise ValueError("expected a number") from error
    if math.isnan(number):
        raise ValueError("NaN is not a number")
    return number


def to_int(value: Any) -> int:
    """Return an int; raise ValueError in words."""
    if isinstance(value, bool):
        raise ValueError("expected a whole number, not a truth value")
    try:
        return int(value) if isinstance(value, str) else operator.index(value)
    except (TypeError, ValueError) as error:
        raise ValueError("expected a whole number") from error


class Float(Leaf):
    """A real number within [min, max]."""

    kind = "float"

    def __init__(
        self, default: Any = None, *, min: float | None = None, max: float | None = None, **options: Any
    ) -> None:
        self.min, self.max = min, max
        super().__init__(default, **options)

    def convert(self, value: Any) -> float:
        number = to_float(value)
        check_range(number, self.min, self.max)
        return number

    def render_one(self, value: Any) -> str:
        return repr(float(value)).removesuffix(".0")

    def describe(self) -> str:
        return self.kind + _range_text(self.min, self.max)


class Int(Leaf):
    """A whole number within [min, max]."""

    kind = "int"

    def __init__(self, default: Any = None, *, min: int | None = None, max: int | None = None, **options: Any) -> None:
        self.min, self.max = min, max
        super().__init__(default, **options)

    def convert(self, value: Any) -> int:
        number = to_int(value)
        check_range(number, self.min, self.max)
        return number

    def describe(self) -> str:
        return self.kind + _range_text(self.min, self.max)


def _range_text(low: float | None, high: float | None) -> str:
    if low is None and high is None:
        return ""
    if high is None:
        return f" >= {low:g}"
    if low is None:
        return f" <= {high:g}"
    return f" in [{low:g}, {high:g}]"


class Bool(Leaf):
    """A truth value: true, yes, on, 1 or false, no, off, 0."""

    kind = "bool"
    _words = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}

    def convert(self, value: Any) -> bool:
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.lower() in self._words:
            return self._words[value.lower()]
        if type(value).__name__ == "bool":  # numpy.bool without importing numpy
            return bool(value)
        raise ValueError("expected true or false")


class Str(Leaf):
    """Any text."""

    kind = "str"

    def convert(self, value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError("expected text")
        return value

    def parse_one(self, text: str) -> str:
        return unquote(text)

    def render_one(self, value: Any) -> str:
        return f'"{value}"' if not value or re.search(r"[\s#;{}]", value) else str(value)


class PathParam(Leaf):
    """A file or folder; ``~`` is expanded."""

    kind = "path"

    def convert(self, value: Any) -> Path:
        if not isinstance(value, str | Path):
            raise ValueError("expected a path")
        return Path(value).expanduser()

    def parse_one(self, text: str) -> Path:
        return self.convert(unquote(text))

    def render_one(self, value: Any) -> str:
        return f'"{value}"' if re.search(r"[\s#;{}]", str(value)) else str(value)


class Choice(Leaf):
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
        raise ValueError("choose from " + ", ".join(choices))

    def convert(self, value: Any) -> Any:
        if self.multi:
            words = [value] if isinstance(value, str) else list(value)
            return tuple(self._match(str(w)) for w in words)
        if not isinstance(value, str):
            raise ValueError("choose from " + ", ".join(self.choices()))
        return self._match(value)

    def parse_one(self, text: str) -> Any:
        words = [w for w in re.split(r"[\s,+]+", text) if w]
        starred = [w[1:] for w in words if w.startswith("*")]
        if self.multi:
            return self.convert(starred or words)
        if len(starred) == 1:
            return self.convert(starred[0])
        return self.convert(unquote(text))

    def render_one(self, value: Any) -> str:
        return "+".join(value) if self.multi else str(value)

    def describe(self) -> str:
        return ("any of: " if self.multi else "one of: ") + ", ".join(self.choices())


class _Sequence(Leaf):
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
        if not isinstance(value, str) and value and not hasattr(next(iter(value)), "__iter__"):
            return [tuple(value)]
        return super()._elements(value)

    def render_one(self, value: Any) -> str:
        return ",".join(repr(v).removesuffix(".0") for v in value)

    def describe(self) -> str:
        count = f"{self.size} " if self.size is not None else ""
        return count + self.kind + _range_text(self.min, self.max)


class Floats(_Sequence):
    """A tuple of real numbers, ``size`` of them if given."""

    kind = "floats"

    def element(self, value: Any) -> float:
        return to_float(value)


class Ints(_Sequence):
    """A tuple of whole numbers, ``size`` of them if given."""

    kind = "ints"

    def element(self, value: Any) -> int:
        return to_int(value)

    def convert(self, value: Any) -> tuple[Any, ...]:
        if isinstance(value, str) and re.fullmatch(r"\s*\d+\s*[-:]\s*\d+\s*", value) and self.size == 2:
            value = re.findall(r"\d+", value)
        return super().convert(value)


class Strings(Leaf):
    """A tuple of words."""

    kind = "strings"

    def convert(self, value: Any) -> tuple[str, ...]:
        if isinstance(value, str):
            return tuple(split_words(value))
        return tuple(str(v) for v in value)

    def render_one(self, value: Any) -> str:
        return ",".join(f'"{v}"' if re.search(r"[\s,]", v) else v for v in value)


class UnitCell(Leaf):
    """Six numbers: a b c in angstrom, alpha beta gamma in degrees (a tuple of floats)."""

    kind = "unit cell"

    def convert(self, value: Any) -> tuple[float, ...]:
        if hasattr(value, "parameters"):
            value = value.parameters
        cell = tuple(to_float(v) for v in (split_words(value) if isinstance(value, str) else value))
        if len(cell) != 6:
            raise ValueError(f"expected a b c alpha beta gamma, got {len(cell)} values")
        if min(cell) <= 0 or max(cell[3:]) >= 180:
            raise ValueError("lengths must be positive and angles between 0 and 180 degrees")
        return cell

    def render_one(self, value: Any) -> str:
        return ",".join(repr(v).removesuffix(".0") for v in value)


class SpaceGroup(Leaf):
    """A space group, given by number or symbol; the value is its extended Hermann-Mauguin symbol (text)."""

    kind = "space group"

    def _is_lazy(self) -> bool:
        return True

    def convert(self, value: Any) -> str:
        import gemmi

        if isinstance(value, gemmi.SpaceGroup):
            return value.xhm()
        text = str(value).strip()
        if text.isdigit():
            if not 1 <= int(text) <= 230:
                raise ValueError("space group numbers run from 1 to 230")
            found: gemmi.SpaceGroup | None = gemmi.find_spacegroup_by_number(int(text))
        else:
            found = gemmi.find_spacegroup_by_name(text)
        if found is None:
            raise ValueError("not a space group number or symbol, try for example P212121, 'P 21 21 21' or 19")
        return found.xhm()

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
    """

    kind = "plugin"

    def __init__(
        self, slot: str, default: Any = None, *, in_scope_if_auto: Sequence[str] = (), **options: Any
    ) -> None:
        self.slot = slot
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
        if word not in choices:
            folded = [c for c in choices if c.lower() == word.lower()]
            if len(folded) == 1:
                return folded[0]
            registry().find(self.slot, word)  # raises with the remedy
        return word

    def _checked(self, value: Any) -> Any:
        if value == self.default_value and isinstance(value, str):
            return value  # a default that is not installed is reported when it is asked for
        return super()._checked(value)

    def chosen(self, value: Any) -> tuple[str, ...]:
        """Return the plugins whose parameters are in scope for ``value`` of this leaf."""
        if value is None:
            return ()
        if value is Auto:
            return tuple(n for n in ("Auto", *self.in_scope_if_auto) if n in self.choices())
        if isinstance(value, str):
            return (value,)
        return tuple(value)

    def describe(self) -> str:
        extra = [str(v) for v, allowed in ((None, self.allows_none), (Auto, self.allows_auto)) if allowed]
        return "one of: " + ", ".join([*self.choices(), *extra])
