"""Making an instance of a plugin and calling it once, to see whether it can work at all."""

from __future__ import annotations

from typing import Any

from .blame import blame_of, source_of
from .discovery import PluginInfo
from .loading import BrokenPlugin, place_of, repair, title


def try_plugin(plugins: Any, info: PluginInfo, plugin: Any, call: bool) -> str:
    """Make an instance and, if asked to, call its hooks with the smallest input of the kit.

    Returns
    -------
    str
        Why this machine cannot run it; empty when it can.

    Raises
    ------
    PluginError
        If it cannot be made, fails, or breaks its contract.
    """
    from spindle.errors import PluginError, UserError, is_out_of_memory
    from spindle.params.resolve import build

    from .host import HostContext, PluginHost

    step = "unavailable"
    try:
        reason = plugin.unavailable()
        if reason:
            return str(reason)
        step = "Params"
        params = build(plugin.Params) if plugin.Params is not None else None
        step = "from_params(params, context)"
        host = PluginHost(plugins=plugins)
        made = plugin.from_params(params, HostContext(host))
        step = "instance"
        if not isinstance(made, plugin):
            raise TypeError(f"from_params returns {made!r}, an instance of {plugin.__name__} expected")
        if call:
            from spindle.contracts.smallest import smallest_calls

            handle = host.add(info.slot, info.name, made)
            results: dict[str, Any] = {}
            for hook, arguments, look in smallest_calls(info.slot):
                if hook not in handle.__dict__:
                    continue
                step = hook
                try:
                    results[hook] = handle.__dict__[hook](**arguments(results))
                    with host.guard(info.slot, info.name, made)(hook):
                        look(results[hook])
                except PluginError:
                    raise
                except UserError:
                    continue  # it may refuse so small an input
    except PluginError:
        raise
    except (Exception, SystemExit) as error:
        if is_out_of_memory(error):
            raise
        whose = blame_of(error)
        place = whose.rpartition(", ")[2] if whose else place_of(error)
        own = source_of(plugin)
        if not place.startswith(own) and (code := getattr(getattr(plugin, "__init__", None), "__code__", None)):
            place = f"{code.co_filename}:{code.co_firstlineno}"  # the call itself does not fit
        raise BrokenPlugin(
            f"{title(info)} is broken: {step} failed with {type(error).__name__}: {error} ({place}). Next: {repair(info, place)}"
        ) from error
    return ""
