"""Typed parameter trees with dotted names, levels, files and help."""

from __future__ import annotations

from .chosen import Chosen, chosen, plugin_scope
from .host import HostParams, Multiprocessing, UnrecordedParams
from .leaves import Auto, AutoType, Bool, Float, FolderParam, Int, Leaf, PathParam, Str
from .resolve import build, make
from .short_names import Preset, ShortName
from .structured import Choice, Floats, Ints, Plugin, SpaceGroup, Strings, UnitCell
from .text import Assignment, parse_phil, read_parameter_file
from .toml_text import parse_toml, read_toml
from .tree import Entry, Params, ScopeOf, fields_of, find_scope, plugin_of, scopes_of, to_dict, walk

__all__ = [
    "Assignment",
    "Auto",
    "AutoType",
    "Bool",
    "Choice",
    "Chosen",
    "Entry",
    "Float",
    "Floats",
    "FolderParam",
    "HostParams",
    "Int",
    "Ints",
    "Leaf",
    "Multiprocessing",
    "Params",
    "PathParam",
    "Plugin",
    "Preset",
    "ScopeOf",
    "ShortName",
    "SpaceGroup",
    "Str",
    "Strings",
    "UnitCell",
    "UnrecordedParams",
    "build",
    "chosen",
    "fields_of",
    "find_scope",
    "make",
    "parse_phil",
    "parse_toml",
    "plugin_of",
    "plugin_scope",
    "read_parameter_file",
    "read_toml",
    "scopes_of",
    "to_dict",
    "walk",
]
