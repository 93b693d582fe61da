"""Public kit for testing plugins: conformance contracts, shared data, serial executor.

Subclass the contract of a slot, give it the name of your plugin, and pytest does the rest::

    from spindle.testing.background import BackgroundContract

    class TestMine(BackgroundContract):
        name = "mine"
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .contract import PluginContract
    from .data import as_called_by_host, make_context, repository_root, shared_data

_LAZY = {
    "PluginContract": "contract",
    "as_called_by_host": "data",
    "make_context": "data",
    "repository_root": "data",
    "shared_data": "data",
}

__all__ = ["PluginContract", "as_called_by_host", "make_context", "repository_root", "shared_data"]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        from importlib import import_module

        return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'spindle.testing' has no attribute {name!r}")
