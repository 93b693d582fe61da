"""The plugins of one run: exactly the algorithms that were chosen, plus observers."""

from __future__ import annotations

import atexit
import functools
import inspect
import logging
import pickle
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pluggy

from spindle.errors import Cancelled, PluginError

from .blame import Guard, Owner, blame_of, source_of
from .loading import hooks_of, spec_of, title
from .observers import takes_of, telling
from .registry import Registry, registry
from .single_file import PluginFile, add_plugin_files, plugin_files

log = logging.getLogger(__name__)


class Handle:
    """A plugin as its callers see it.

    Hooks are called through pluggy, so that an implementation may take fewer arguments than the specification and
    observers may wrap it; arguments may be given by position in the order of the specification. Arrays arrive read-only,
    what comes back is checked against the contract, and errors say whose they are. A hook that the plugin leaves out and
    the specification has a default for answers with that. All other attributes are the plugin's own.
    """

    def __init__(
        self,
        plugin: Any,
        slot: str,
        name: str,
        callers: dict[str, Any],
        guard: Guard | None = None,
        own: frozenset[str] = frozenset(),
    ) -> None:
        self.__dict__.update(callers)
        self._own = own
        self.plugin = plugin
        self.slot = slot
        self.name = name
        self._guard = guard or Guard(Owner(f"{slot} {name!r}", source_of(plugin)))

    def implements(self, hook: str) -> bool:
        """Whether the plugin has a hook of its own; a default of the specification is not one."""
        return hook in self._own

    def declared(self, name: str) -> Any:
        """What the plugin says of itself in a class attribute that its slot knows; else what the slot takes for granted."""
        return getattr(self.plugin, name, getattr(spec_of(self.slot), "declares", {})[name])

    def broken(self, hook: str, fault: str) -> PluginError:
        """The error of the plugin when it breaks its contract in a way that shows only later."""
        return self._guard.broken(hook, fault)

    def __getattr__(self, name: str) -> Any:
        if "plugin" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self.__dict__["plugin"], name)

    def __reduce__(self) -> tuple[Any, ...]:
        """To another process go the name, the parameters and the context; the plugin is made again there."""
        params = pickle.dumps(self.plugin.params)
        return _made_again, (self.slot, self.name, params, self.plugin.context, plugin_files())

    def __repr__(self) -> str:
        return f"<{self.slot} {self.name!r}: {type(self.plugin).__name__}>"


def _made_again(slot: str, name: str, params: bytes, context: Any, files: tuple[PluginFile, ...]) -> Handle:
    """A plugin of another process, here; made once for all tasks of a run."""
    add_plugin_files(files)
    context = current_context() if context is None else context
    made: dict[tuple[str, str, bytes], Handle] = context.__dict__.setdefault("_made_again", {})
    key = (slot, name, params)
    if key not in made:
        made[key] = context.host.make(slot, name, pickle.loads(params), context)
    return made[key]


class _HookCall:
    def __init__(self, caller: Any, function: Any, spec: type, guard: Guard) -> None:
        self.caller = caller
        self.name = function.__name__
        self.guard = guard
        self.check: Callable[[dict[str, Any], Any], Any] | None = getattr(spec, "checks", {}).get(self.name)
        self.changed: frozenset[str] = getattr(spec, "changed", frozenset())
        self.names = [p for p in inspect.signature(function).parameters if p != "self"]
        self.defaults = {
            n: p.default
            for n, p in inspect.signature(function).parameters.items()
            if p.default is not inspect.Parameter.empty
        } | getattr(spec, "added", {}).get(self.name, {})
        self.is_first = bool(function.spindle_spec.get("firstresult"))
        self.__doc__ = function.__doc__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if len(args) > len(self.names):
            raise TypeError(f"{self.name}() takes {', '.join(self.names)}; {len(args)} values were given")
        arguments = {**self.defaults, **dict(zip(self.names, args, strict=False)), **kwargs}
        unknown = arguments.keys() - set(self.names)
        missing = [n for n in self.names if n not in arguments]
        if unknown or missing:
            problem = f"does not take {', '.join(sorted(unknown))}" if unknown else f"needs {', '.join(missing)}"
            raise TypeError(f"{self.name}() {problem}; its arguments are {', '.join(self.names)}")
        from spindle.contracts.checking import Checked, read_only

        given = {n: v if n in self.changed else read_only(v) for n, v in arguments.items()}
        with self.guard(self.name):
            result = self.caller(**given)
            if not self.is_first:
                result = result[0] if isinstance(result, list) and result else None
            if self.check is not None:
                result = self.check(arguments, result)
        if isinstance(result, Checked):
            result.guard = self.guard
        return result


def _default(function: Any, handle: Handle) -> Callable[..., Any]:
    """What answers instead of a hook; like an implementation it may take fewer arguments, and the plugin as ``plugin``."""
    names = list(inspect.signature(function).parameters)

    def answer(**given: Any) -> Any:
        return function(**{n: handle if n == "plugin" else given[n] for n in names})

    return answer


def _returning(function: Any, hook: str, guard: Guard) -> Any:
    """The wrapper of an observer; one that forgets to return what the hook gave is named."""

    def wrapper(*args: Any) -> Any:
        generator = function(*args)
        try:
            next(generator)
        except StopIteration:
            raise guard.broken(hook, "the wrapper does not yield, which lets the hook run") from None
        try:
            given = yield
        except BaseException as error:
            try:
                generator.throw(error)
            except StopIteration as stop:
                return stop.value
            raise guard.broken(hook, "the wrapper yields twice") from None
        try:
            generator.send(given)
        except StopIteration as stop:
            if stop.value is None and given is not None:
                raise guard.broken(
                    hook, "the wrapper returns None; `result = yield` gives what the hook returned, return it"
                ) from None
            return stop.value
        raise guard.broken(hook, "the wrapper yields twice")

    return wrapper


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
        self._observer_names: dict[str, Any] = {}
        self._failed: set[str] = set()
        self._used: set[tuple[str, str]] = set()
        self._made: set[tuple[str, str]] = set()

    def load(self, slot: str, name: str, parameter: str = "") -> type:
        """Return the class of a plugin and remember it as part of the run."""
        plugin: Any = self.registry.load(slot, name, parameter)
        self._used.add((slot, name))
        for other_slot, other in plugin.asks_for:
            if other in self.registry.names(other_slot):
                self.registry.find(other_slot, other, parameter)  # now, and not in the middle of the run
        return plugin  # type: ignore[no-any-return]

    def make(self, slot: str, name: str, params: Any = None, context: Any = None, parameter: str = "") -> Handle:
        """Return a new instance of a plugin, with default parameters unless they are given.

        Raises
        ------
        PluginError
        """
        from spindle.params.resolve import build, check_available

        plugin: Any = self.load(slot, name, parameter)
        guard = self.guard(slot, name, plugin)
        with guard("unavailable"):
            reason = plugin.unavailable() if hasattr(plugin, "unavailable") else ""
        if reason:
            raise PluginError(f"the {slot} {name!r} cannot be used on this machine: {reason}")
        if params is None and getattr(plugin, "Params", None) is not None:
            params = build(plugin.Params)
        elif params is not None and slot != "program":
            check_available(params)
        with guard("__init__"):
            made = plugin.from_params(params, context)
        self._made.add((slot, name))
        return self.add(slot, name, made)

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
        defaults = getattr(spec, "defaults", {})
        guard = Guard(self.owner(slot, name, plugin), tuple(self._watcher(o) for o in self.observers))
        callers = {}
        for hook, function in hooks_of(spec).items():
            if hook in implemented:
                caller = getattr(manager.hook, hook)
                for implementation in caller.get_hookimpls():
                    if implementation.wrapper and hasattr(implementation.plugin, hook):
                        watcher = Guard(self._watcher(implementation.plugin))
                        implementation.function = _returning(implementation.function, hook, watcher)
                callers[hook] = _HookCall(caller, function, spec, guard)
        handle = Handle(plugin, slot, name, callers, guard, frozenset(implemented))
        for hook, function in hooks_of(spec).items():
            if hook in defaults and hook not in implemented:
                handle.__dict__[hook] = _HookCall(_default(defaults[hook], handle), function, spec, guard)
        return handle

    def guard(self, slot: str, name: str, plugin: Any) -> Guard:
        """Return what watches the calls of a plugin."""
        return Guard(self.owner(slot, name, plugin))

    def owner(self, slot: str, name: str, plugin: Any) -> Owner:
        """Return how errors name a plugin."""
        found = [i for i in self.registry.infos if (i.slot, i.name) == (slot, name)]
        whose = title(found[0]) if found else f"{slot} {name!r} ({type(plugin).__module__})"
        file = found[0].file if found else ""
        another = "" if slot == "program" else f"choose another {slot} (`spindle plugins {slot}` lists them) and "
        return Owner(
            whose,
            source_of(plugin),
            f". Next: {another}{f'mend {file}' if file else f'report it to the author of {found[0].distribution if found else name}'}",
        )

    def _watcher(self, observer: Any) -> Owner:
        name = next((n for n, o in self._observer_names.items() if o is observer), type(observer).__name__)
        return self.owner("observer", name, observer)

    def observe(self, name: str, observer: Any) -> None:
        """Let an observer watch the run."""
        self._observer_names[name] = observer
        self.observers = (*self.observers, observer)

    def notify(self, hook: str, arguments: dict[str, Any]) -> None:
        """Call a hook of the slot ``observer`` on all observers; one that fails is told of once, and the run goes on."""
        for observer in self.observers:
            try:
                telling(observer, hook)(**arguments)
            except Cancelled:
                raise
            except Exception as error:
                self._tell_of_failure(observer, hook, error)

    def collect(self, hook: str, arguments: dict[str, Any]) -> Iterator[tuple[str, Any]]:
        """Yield what each observer returns from a hook of the slot ``observer``, with its name; failures are as of `notify`."""
        from spindle.contracts.checking import read_only

        spec: Any = spec_of("observer")
        given = {n: read_only(v) for n, v in arguments.items()}
        for observer in self.observers:
            kind: Any = type(observer)
            if takes_of(kind, hook) is None:
                continue
            try:
                found = spec.checks[hook](arguments, telling(observer, hook)(**given))
            except Cancelled:
                raise
            except Exception as error:
                self._tell_of_failure(observer, hook, error)
                continue
            yield next((n for n, o in self._observer_names.items() if o is observer), type(observer).__name__), found

    def _tell_of_failure(self, observer: Any, hook: str, error: Exception) -> None:
        whose = self._watcher(observer)
        if whose.title in self._failed:
            return
        self._failed.add(whose.title)
        Guard(whose).blame(hook, error)
        log.warning(
            "Warning: the %s failed in %s and the run goes on without what it would have done: %s: %s (%s)",
            whose.title, hook, type(error).__name__, error, blame_of(error).rpartition(", ")[2],
        )  # fmt: skip

    @contextmanager
    def noting(self) -> Iterator[set[tuple[str, str]]]:
        """Inside, collect slot and name of every plugin that is loaded, for a part of the run."""
        outer, self._used = self._used, set()
        inner = self._used
        try:
            yield inner
        finally:
            self._used = outer | inner

    def used(self, which: set[tuple[str, str]] | None = None) -> list[dict[str, Any]]:
        """Return slot, name, distribution and version of ``which``, by default of every plugin that this run has loaded, where its
        code is if it was given as a file, and ``made`` of those that were not only looked at."""
        infos = [self.registry.find(slot, name) for slot, name in sorted(self._used if which is None else which)]
        return [
            {"slot": i.slot, "name": i.name, "distribution": i.distribution, "version": i.version}
            | ({"file": i.file, "class": i.target.partition(":")[2], "sha256": i.sha256} if i.file else {})
            | ({"made": True} if (i.slot, i.name) in self._made else {})
            for i in infos
        ]


class HostContext:
    """What a plugin gets as its context outside of a run: the other plugins.

    Parameters
    ----------
    host : PluginHost

    Attributes
    ----------
    log : logging.Logger
    """

    def __init__(self, host: PluginHost) -> None:
        self.host = host
        self.log = logging.getLogger("spindle")

    def algorithm(self, slot: str, name: str, params: Any = None) -> Handle:
        """Return a plugin, ready to be called; see `spindle.execution.RunContext.algorithm`."""
        return self.host.make(slot, str(name), params, self)

    def params_of(self, slot: str, name: str) -> None:
        """Outside of a run there are only defaults."""

    def enter(self, manager: Any) -> Any:
        """Enter a context manager that is left when Python ends; see `spindle.execution.RunContext.enter`."""
        return _until_the_end().enter_context(manager)

    def __reduce__(self) -> tuple[Any, ...]:
        return current_context, ()


_running: list[Any] = []


@contextmanager
def running(context: Any) -> Iterator[None]:
    """While a run goes on, files are opened by its host."""
    _running.append(context)
    try:
        yield
    finally:
        _running.remove(context)


def current_context() -> Any:
    """The context of the innermost run of this process, or one that only knows what is installed."""
    if _running:
        return _running[-1]
    return _outside(registry())


@functools.cache
def _until_the_end() -> ExitStack:
    stack = ExitStack()
    atexit.register(stack.close)
    return stack


@functools.lru_cache(maxsize=4)
def _outside(plugins: Registry) -> HostContext:
    return HostContext(PluginHost(plugins=plugins))
