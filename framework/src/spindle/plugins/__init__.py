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
from .registry import Registry, given_infos, is_strict, refresh, registry
from .single_file import PluginFile, add_plugin_files, plugin_files, using_plugin_files

__all__ = [
    "BrokenPlugin",
    "ContractError",
    "DuplicatePlugin",
    "IncompatiblePlugin",
    "MisnamedPlugin",
    "PluginFile",
    "PluginInfo",
    "Registry",
    "UnknownPlugin",
    "add_plugin_files",
    "given_infos",
    "is_strict",
    "load",
    "mandatory_hooks",
    "plugin_files",
    "refresh",
    "registry",
    "scan",
    "spec_of",
    "using_plugin_files",
]
