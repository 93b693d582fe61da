"""Classes and functions as Markdown: fields with type, shape and unit from numpydoc docstrings, methods, constants."""

from __future__ import annotations

import dataclasses
import enum
import inspect
import re
from types import ModuleType
from typing import Any

SECTION = re.compile(r"^(\w[\w ]*)\n-{3,}$", re.MULTILINE)
ENTRY = re.compile(r"^(\S.*?)(?: : (.*))?$")


def sections(text: str) -> tuple[str, dict[str, str]]:
    """Return what a numpydoc docstring says first, and its sections by title."""
    pieces = SECTION.split(text)
    return pieces[0].strip(), {title: body.strip("\n") for title, body in zip(pieces[1::2], pieces[2::2])}


def entries(body: str) -> list[tuple[list[str], str, str]]:
    """Return names, type and meaning of each entry of a section such as Attributes."""
    found: list[tuple[list[str], str, list[str]]] = []
    for line in body.splitlines():
        match = ENTRY.match(line)
        if match:
            found.append(([n.strip() for n in match[1].split(",")], match[2] or "", []))
        elif line.strip() and found:
            found[-1][2].append(line.strip())
    return [(names, kind, " ".join(words)) for names, kind, words in found]


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table."""
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(c.replace("|", "\\|").replace("\n", " ") for c in row) + " |" for row in rows]
    return "\n".join(lines)


def documentation(thing: Any) -> str:
    """Return the own docstring of a class or function; that which dataclass makes for a class without one is none."""
    text = inspect.cleandoc(thing.__dict__.get("__doc__") if isinstance(thing, type) else thing.__doc__ or "")
    return "" if text.startswith(f"{getattr(thing, '__name__', '')}(") else text


def arguments_of(function: Any) -> str:
    """Return the arguments of a function as its source has them, without ``self`` and types."""
    parameters = [p for p in inspect.signature(function).parameters.values() if p.name not in ("self", "cls")]
    shown, named_only = [], False
    for p in parameters:
        if p.kind is p.KEYWORD_ONLY and not named_only and not any(q.kind is q.VAR_POSITIONAL for q in parameters):
            shown.append("*")
        named_only |= p.kind is p.KEYWORD_ONLY
        stars = {p.VAR_POSITIONAL: "*", p.VAR_KEYWORD: "**"}.get(p.kind, "")
        shown.append(stars + p.name + ("" if p.default is p.empty else f"={plain(p.default)}"))
    return ", ".join(shown)


def plain(value: Any) -> str:
    """Return a value as text that is the same in every process: no addresses."""
    if isinstance(value, type) or inspect.isroutine(value):
        return value.__name__
    return "..." if re.search(r"0x[0-9a-f]+", repr(value)) else repr(value)


def fields(thing: type) -> str:
    """Return the table of the fields of a dataclass, or of what the section Attributes names; empty without any.

    Fields that the docstring describes together are one row.
    """
    _, parts = sections(documentation(thing))
    told = entries(parts.get("Attributes", ""))
    made = {f.name: f for f in dataclasses.fields(thing)} if dataclasses.is_dataclass(thing) else {}
    known = {name for names, _, _ in told for name in names}
    told += [([name], f"`{f.type}`", "") for name, f in made.items() if name not in known and not name.startswith("_")]
    rows = []
    for names, kind, words in told:
        defaults = [default_of(made[name]) for name in names if name in made]
        default = ", ".join(dict.fromkeys(f"`{d}`" for d in defaults if d))
        rows.append([", ".join(f"`{n}`" for n in names), kind, default, words])
    return table(["field", "type, shape, units", "default", "meaning"], rows) if rows else ""


def default_of(field: dataclasses.Field[Any]) -> str:
    """Return the default of a field as text, empty where there is none."""
    if field.default_factory is not dataclasses.MISSING:
        return plain(field.default_factory()) if isinstance(field.default_factory, type) else "a new one"
    return "" if field.default is dataclasses.MISSING else plain(field.default)


def methods(thing: type) -> list[str]:
    """Return the public methods and properties that a class itself defines, each with its docstring."""
    made = {f.name for f in dataclasses.fields(thing)} if dataclasses.is_dataclass(thing) else set()
    parts = []
    for name, value in vars(thing).items():
        if name.startswith("_") or name in made:
            continue
        if isinstance(value, property):
            parts.append(f"`.{name}`: {documentation(value.fget)}")
        elif inspect.isfunction(inspect.unwrap(getattr(value, "__func__", value))):
            function = getattr(value, "__func__", value)
            kind = " (to be written)" if getattr(function, "__isabstractmethod__", False) else ""
            text = documentation(function)
            parts.append(f"`.{name}({arguments_of(function)})`{kind}" + text_or_block(text))
    return parts


def text_or_block(text: str) -> str:
    """Return a docstring after what it describes: a sentence in the line, sections as a block."""
    if not text:
        return ""
    return f"\n\n```text\n{text}\n```" if SECTION.search(text) else f": {text}"


def describe(name: str, thing: Any, heading: str = "###") -> str:
    """Return the Markdown of a class, a function or a constant."""
    if isinstance(thing, enum.EnumMeta):
        rows = [[f"`{member}`", f"{value.value}"] for member, value in thing.__members__.items()]
        return f"{heading} {name}\n\n{documentation(thing)}\n\n{table(['name', 'value'], rows)}"
    if isinstance(thing, type):
        first, parts = sections(documentation(thing))
        others = "\n\n".join(f"{title}\n{'-' * len(title)}\n{b}" for title, b in parts.items() if title != "Attributes")
        constants = [
            [f"`{n}`", f"`{v!r}`"] for n, v in vars(thing).items() if n.isupper() and isinstance(v, int | float | str)
        ]
        pieces = [f"{heading} {name}", first, fields(thing), table(["name", "value"], constants) if constants else ""]
        pieces += [f"```text\n{others}\n```" if others else "", *methods(thing)]
        return "\n\n".join(p for p in pieces if p)
    if callable(thing) and hasattr(thing, "__name__"):
        function = getattr(thing, "py_func", thing)  # a kernel
        return f"{heading} {name}({arguments_of(function)})\n\n```text\n{documentation(function)}\n```"
    return f"{heading} {name}\n\n`{plain(thing)}`"


def public_names(module: ModuleType) -> list[str]:
    """Return what a module offers: classes first, then functions, then constants, each in the order of the source.

    A module without ``__all__`` offers the documented classes and functions that it defines.
    """
    own = [
        n
        for n, v in vars(module).items()
        if getattr(v, "__module__", "") == module.__name__ and callable(v) and v.__doc__
    ]
    names = [n for n in getattr(module, "__all__", own) if not n.startswith("_")]

    def rank(name: str) -> tuple[int, str, int]:
        thing = getattr(module, name)
        if not (isinstance(thing, type) or callable(thing)):
            return 2, name, 0
        code = getattr(getattr(thing, "py_func", thing), "__code__", None)
        return (0 if isinstance(thing, type) else 1), thing.__module__, code.co_firstlineno if code else 0

    return sorted(sorted(names), key=rank)
