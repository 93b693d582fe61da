"""Which plugins a scope has chosen, and with which parameters."""

from __future__ import annotations

from dataclasses import dataclass

from spindle.errors import ParameterError

from .structured import Plugin
from .tree import Params, fields_of, plugin_of, scopes_of

__all__ = ["Chosen", "chosen", "plugin_scope"]


@dataclass(frozen=True, slots=True)
class Chosen:
    """A plugin that a parameter names.

    Attributes
    ----------
    slot, name : str
    params : Params or None
        The scope beside the parameter that holds the plugin's own parameters; None for one that has none there, which is
        made with its defaults.
    """

    slot: str
    name: str
    params: Params | None


def chosen(scope: Params, leaf: str = "") -> tuple[Chosen, ...]:
    """Return the plugins that a parameter of a scope names.

    Parameters
    ----------
    scope : Params
        For example ``params.integration.background``.
    leaf : str
        Name of the parameter; not needed where the scope has one `Plugin`.

    Returns
    -------
    tuple of Chosen
        One, but none for None and several for a parameter with ``multi=True``. The value `Auto` means the plugin that is
        called so.

    Raises
    ------
    ParameterError
        If the scope has no such parameter, or several and none was named.
    """
    leaves = {n: f for n, f in fields_of(type(scope)).items() if isinstance(f, Plugin) and leaf in ("", n)}
    if len(leaves) != 1:
        have = ", ".join(n for n, f in fields_of(type(scope)).items() if isinstance(f, Plugin)) or "none"
        raise ParameterError(f"{type(scope).__qualname__}: name one parameter that chooses a plugin; there are: {have}")
    ((name, field),) = leaves.items()
    value = getattr(scope, name)
    names = () if value is None else tuple(value) if isinstance(value, tuple) else (str(value),)
    attached = {plugin_of(inner): inner for inner in scope._attached.values()}
    return tuple(Chosen(field.slot, n, attached.get((field.slot, n))) for n in names)


def plugin_scope(params: Params, slot: str, name: str) -> Params | None:
    """Return the first scope of a tree that holds the parameters of a plugin; None when none does."""
    return next((scope for _, scope in scopes_of(params) if plugin_of(scope) == (slot, name)), None)
