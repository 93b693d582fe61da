"""Discovery, guarded loading and selection of plugins."""

from __future__ import annotations

from .blame import ContractError
from .discovery import PluginInfo, scan
from .loading import (
    BrokenPlugin,
    DuplicatePlugin,
    IncompatiblePlugin,
    MisnamedPlugin,
    UnknownPlugin,
    load,
    mandatory_hooks,
    spec_of,
)
from .registry import Registry, is_strict, refresh, registry

__all__ = [
    "BrokenPlugin",
    "ContractError",
    "DuplicatePlugin",
    "IncompatiblePlugin",
    "MisnamedPlugin",
    "PluginInfo",
    "Registry",
    "UnknownPlugin",
    "is_strict",
    "load",
    "mandatory_hooks",
    "refresh",
    "registry",
    "scan",
    "spec_of",
]
