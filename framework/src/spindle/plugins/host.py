"""The plugins of one run: exactly the algorithms that were chosen, plus observers."""

from __future__ import annotations

import inspect
from typing import Any

import pluggy

from .loading import hooks_of, load, spec_of
from .registry import Registry, registry


class Handle:
    """A plugin as its callers see it.

    Hooks are called through pluggy, so that an implementation may take fewer arguments than the specification and
    observers may wrap it; arguments may be given by position in the order of the specification. All other attributes
    are the plugin's own.
    """

    def __init__(self, plugin: Any, slot: str, name: str, callers: dict[str, Any]) -> None:
        self.__dict__.update(callers)
        self.plugin = plugin
        self.slot = slot
        self.name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["plugin"], name)

    def __repr__(self) -> str:
        return f"<{self.slot} {self.name!r}: {type(self.plugin).__name__}>"


class _HookCall:
    def __init__(self, caller: Any, function: Any) -> None:
        self.caller = caller
        self.names = [p for p in inspect.signature(function).parameters if p != "self"]
        self.defaults = {
            n: p.default
            for n, p in inspect.signature(function).parameters.items()
            if p.default is not inspect.Parameter.empty
        }
        self.is_first = bool(function.spindle_spec.get("firstresult"))
        self.__doc__ = function.__doc__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if len(args) > len(self.names):
            raise TypeError(f"{self.caller.name}() takes {', '.join(self.names)}; {len(args)} values were given")
        arguments = {**self.defaults, **dict(zip(self.names, args, strict=False)), **kwargs}
        unknown = arguments.keys() - set(self.names)
        missing = [n for n in self.names if n not in arguments]
        if unknown or missing:
            problem = f"does not take {', '.join(sorted(unknown))}" if unknown else f"needs {', '.join(missing)}"
            raise TypeError(f"{self.caller.name}() {problem}; its arguments are {', '.join(self.names)}")
        result = self.caller(**arguments)
        return result if self.is_first else (result[0] if result else None)


class PluginHost:
    """Holds the plugin instances of a run, each behind a pluggy manager of its own together with the observers.

    Parameters
    ----------
    observers : sequence of object
        Instances whose wrappers surround the hooks of every plugin.
    plugins : Registry, optional
        What is installed.
    """

    def __init__(self, observers: tuple[Any, ...] = (), plugins: Registry | None = None) -> None:
        self.registry = plugins or registry()
        self.observers = observers
        self._used: set[tuple[str, str]] = set()

    def load(self, slot: str, name: str, parameter: str = "") -> type:
        """Return the class of a plugin and remember it as part of the run."""
        plugin = load(self.registry.find(slot, name, parameter), parameter)
        self._used.add((slot, name))
        return plugin

    def add(self, slot: str, name: str, plugin: Any) -> Handle:
        """Register an instance and return the handle through which it is called."""
        spec = spec_of(slot)
        if spec is None:
            return Handle(plugin, slot, name, {})
        manager = pluggy.PluginManager("spindle")
        manager.add_hookspecs(spec)
        for observer in self.observers:
            manager.register(observer)
        manager.register(plugin)
        implemented = {caller.name for caller in manager.get_hookcallers(plugin) or ()}
        callers = {
            hook: _HookCall(getattr(manager.hook, hook), function)
            for hook, function in hooks_of(spec).items()
            if hook in implemented
        }
        return Handle(plugin, slot, name, callers)

    def notify(self, hook: str, arguments: dict[str, Any]) -> None:
        """Call a hook of the slot ``observer`` on all observers."""
        if not self.observers:
            return
        manager = pluggy.PluginManager("spindle")
        spec = spec_of("observer")
        assert spec is not None
        manager.add_hookspecs(spec)
        for observer in self.observers:
            manager.register(observer)
        getattr(manager.hook, hook)(**arguments)

    def used(self) -> list[dict[str, str]]:
        """Return slot, name, distribution and version of every plugin that this run has loaded."""
        infos = [self.registry.find(slot, name) for slot, name in sorted(self._used)]
        return [{"slot": i.slot, "name": i.name, "distribution": i.distribution, "version": i.version} for i in infos]
