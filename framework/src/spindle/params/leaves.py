"""The typed leaves of parameter trees.

Each leaf is a traitlets trait with a textual form: ``parse`` reads what a user types, ``render`` writes it back, and
``convert`` checks a Python value. `None` and `Auto` are values only where the leaf says so.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import traitlets

from spindle.errors import ParameterError
from spindle.printable import CONTROL, printable

T_co = TypeVar("T_co", covariant=True)


class AutoType(Enum):
    """The type of `Auto`: the program chooses the value from the data."""

    Auto = "Auto"

    def __repr__(self) -> str:
        return "Auto"

    __str__ = __repr__


Auto: Final = AutoType.Auto


def split_words(text: str) -> list[str]:
    """Split ``text`` at blanks and commas; quotes protect both."""
    return [a or b or c for a, b, c in re.findall(r"\"([^\"]*)\"|'([^']*)'|([^\s,\"']+)", text)]


def unquote(text: str) -> str:
    """Remove one pair of quotes around ``text``."""
    text = text.strip()
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1]
    return text


class Leaf(traitlets.TraitType[T_co, Any], Generic[T_co]):  # type: ignore[type-var]
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
        The value is a tuple; a parameter given again adds an element.
    qualified : bool
        The name counts only together with that of its scope: the space group of ice is ``ice_rings.space_group``.
    unavailable : str or mapping of value to str
        Why nothing heeds the parameter yet, or some of its values: the host refuses all values but the default, or those
        values, with these words. The help shows a parameter without any other value from ``-hhh`` on.
    """

    kind = "value"

    if TYPE_CHECKING:

        def __get__(self, scope: Any, kind: Any = None) -> T_co:  # type: ignore[override]
            """The value in a scope; see `spindle.mypy_plugin`, which adds None and Auto to the types."""

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
        qualified: bool = False,
        unavailable: str | Mapping[Any, str] = "",
    ) -> None:
        self.level = level
        self.qualified = qualified
        self.unavailable = unavailable if isinstance(unavailable, str) else ""
        self.unavailable_values: dict[Any, str] = {} if isinstance(unavailable, str) else dict(unavailable)
        self.units = units
        self.multiple = multiple
        self.allows_none = (default is None and not multiple) if none is None else none
        self.allows_auto = default is Auto if auto is None else auto
        if multiple and default is None:
            default = ()
        super().__init__(default_value=default, allow_none=self.allows_none, help=help)
        if not self._is_lazy():
            try:
                self._checked(default)
            except ValueError as error:
                raise ValueError(
                    f"the default {default!r} of a parameter ({help or 'without help'}): {error}"
                ) from error

    def _is_lazy(self) -> bool:
        """Whether checking the default would import something heavy."""
        return False

    # -- values
    # -----------------------------------------------------------------------------------------------------------

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
            return tuple(self.convert(v) for v in self._elements(value))
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

    # -- traitlets
    # --------------------------------------------------------------------------------------------------------

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
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError("expected a number") from error
    if math.isnan(number):
        raise ValueError("NaN is not a number")
    if math.isinf(number) and isinstance(value, str) and "inf" not in value.lower():
        raise ValueError("it is too large for a number")
    return number


def to_int(value: Any) -> int:
    """Return an int; raise ValueError in words."""
    if isinstance(value, bool):
        raise ValueError("expected a whole number, not a truth value")
    try:
        return int(value) if isinstance(value, str) else operator.index(value)
    except (TypeError, ValueError) as error:
        raise ValueError("expected a whole number") from error


class Float(Leaf[float]):
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
        return self.kind + range_text(self.min, self.max)


class Int(Leaf[int]):
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
        return self.kind + range_text(self.min, self.max)


def range_text(low: float | None, high: float | None) -> str:
    if low is None and high is None:
        return ""
    if high is None:
        return f" >= {low:g}"
    if low is None:
        return f" <= {high:g}"
    return f" in [{low:g}, {high:g}]"


class Bool(Leaf[bool]):
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


def _plain_text(value: str, allowed: str = "") -> str:
    """The text itself, which has no control characters: no file is named so, and a terminal takes them for commands."""
    if not value.isprintable() and any(character not in allowed for character in CONTROL.findall(value)):
        raise ValueError(f"expected text without control characters, not {printable(value)!r}")
    return value


class Str(Leaf[str]):
    """Any text."""

    kind = "str"

    def convert(self, value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError("expected text")
        return _plain_text(value, "\t\n\r")

    def parse_one(self, text: str) -> str:
        return unquote(text)

    def render_one(self, value: Any) -> str:
        return f'"{value}"' if not value or re.search(r"[\s#;{}]", value) else str(value)


class PathParam(Leaf[Path]):
    """A file or folder; ``~`` is expanded.

    Parameters
    ----------
    default : object
    output : bool
        The file is written; whether it can be is checked before the run, as for all files in a scope ``output``.
    **options
        Those of `Leaf`.
    """

    kind = "path"

    def __init__(self, default: Any = None, *, output: bool = False, **options: Any) -> None:
        self.output = output
        super().__init__(default, **options)

    def convert(self, value: Any) -> Path:
        if not isinstance(value, str | Path):
            raise ValueError("expected a path")
        _plain_text(str(value))
        try:
            return Path(value).expanduser()
        except RuntimeError as error:
            raise ValueError("there is no such user; write the whole path") from error

    def parse_one(self, text: str) -> Path:
        return self.convert(unquote(text))

    def render_one(self, value: Any) -> str:
        return f'"{value}"' if re.search(r"[\s#;{}]", str(value)) else str(value)


class FolderParam(PathParam):
    """A folder; in a scope ``output`` it may be there already or is made.

    Parameters
    ----------
    default : object
    working : bool
        The whole run works in it: all its outputs are there, its log and its record too; files that it reads are named from outside.
    **options
        Those of `PathParam`.
    """

    kind = "folder"

    def __init__(self, default: Any = None, *, working: bool = False, **options: Any) -> None:
        self.working = working
        super().__init__(default, **options)


def given_value(leaf: Leaf[Any], value: Any) -> Any:
    """Return a value as ``leaf`` holds it: texts are read, lists made tuples."""
    if isinstance(value, str) and not leaf.multiple:
        return leaf.parse(value)
    if isinstance(value, list) and not leaf.multiple:
        value = tuple(value)
    return leaf._checked(value)
