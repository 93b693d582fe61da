"""Values that stand for many: dictionaries and `Params` given for a scope become assignments of its parameters."""

from __future__ import annotations

from typing import Any

from .leaves import Leaf
from .structured import Plugin
from .text import Assignment, block_numbers
from .tree import Params, walk


def expand(given: Assignment) -> list[Assignment]:
    """Split a dict or a `Params` given as a value into assignments of its leaves; a list of them makes as many scopes."""
    if isinstance(given.value, list | tuple) and given.value and all(isinstance(v, dict | Params) for v in given.value):
        return [a for value in given.value for a in element(given, value)]
    if isinstance(given.value, dict):
        inner = [(k, v) for k, v in given.value.items()]
    elif isinstance(given.value, Params):
        inner = [(e.path, e.value) for e in walk(given.value) if e.is_modified]
    else:
        return [given]
    return [a for k, v in inner for a in expand(Assignment(f"{given.key}.{k}", v, given.source, given.blocks))]


def element(given: Assignment, value: dict[str, Any] | Params) -> list[Assignment]:
    """The assignments of one element of a scope that may be repeated."""
    block = next(block_numbers)
    inner = value.items() if isinstance(value, dict) else [(e.path, e.value) for e in walk(value)]
    return [Assignment(f"{given.key}.{k}", v, given.source, (block, *[0] * str(k).count("."))) for k, v in inner]


def is_plugin(leaf: Leaf[Any], value: Any) -> bool:
    """Whether a value is the name of a plugin that a leaf can choose."""
    from spindle.plugins import registry

    return isinstance(leaf, Plugin) and str(value).strip() in registry().names(leaf.slot)
