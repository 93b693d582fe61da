"""Advice in the notes of headers, less what the user has done already."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from spindle.params import Auto

_VALUE = r"(?:<[^<>]*>(?:,<[^<>]*>)*|-?\d[\d.,e+-]*\d|True|False)?"
_ITEM = rf"[a-z_]+(?:\.[a-z_]+)*={_VALUE}"
_LIST = re.compile(rf"{_ITEM}(?:(?:, (?:and |or )?| and | or ){_ITEM})*")
_NAME = re.compile(rf"({_ITEM})")
#: Scopes whose values a reference geometry brings.
_OF_REFERENCE = {
    "geometry.beam": "use_beam_reference",
    "geometry.detector": "use_detector_reference",
    "geometry.goniometer": "use_gonio_reference",
}


def given_parameters(params: Any) -> Callable[[str], bool]:
    """Whether a parameter of import, by its whole name, was given or stands in a reference geometry that was given."""

    def is_given(name: str) -> bool:
        for scope, use in _OF_REFERENCE.items():
            if name.startswith(scope + ".") and params.input.reference_geometry is not None:
                return bool(getattr(params.input, use))
        values = [params]
        for part in name.split("."):
            values = [getattr(v, part, None) for v in values]
            values = [x for v in values for x in (v if isinstance(v, tuple) else [v])]
        return any(v is not None and v is not Auto and v is not False and v != () for v in values)

    return is_given


def still_to_do(note: str, is_given: Callable[[str], bool]) -> str:
    """A note without advice to set what was set; "" when nothing is left to do.

    Parameters
    ----------
    note : str
        What was noticed, and after its last semicolon or colon the parameters that mend it, as in ``set a.b=, a.c= and
        d.e=<value>``; a name without a scope belongs to that of the one before it. Names joined by ``or`` are
        alternatives: one of them is enough.
    is_given : callable
        Tells of a whole name whether the user has set it.
    """
    changed = note
    for found in reversed(list(_LIST.finditer(note))):
        items, scope = [], ""
        for item in _NAME.findall(found.group()):
            name = item.partition("=")[0]
            full = name if "." in name else f"{scope}.{name}"
            scope = full.rpartition(".")[0]
            items.append((item if name == full else full + item[len(name) :], full))
        if not scope:
            continue
        left = [item for item, full in items if not is_given(full)]
        if not left or (" or " in found.group() and len(left) < len(items)):
            return ""
        if len(left) < len(items):
            text = left[0] if len(left) == 1 else f"{', '.join(left[:-1])} and {left[-1]}"
            changed = changed[: found.start()] + text + changed[found.end() :]
    return changed
