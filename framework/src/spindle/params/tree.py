"""Parameter trees: classes whose nested classes are scopes and whose traits are leaves."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Iterator, Mapping
from dataclasses import FrozenInstanceError, dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import traitlets

from spindle.errors import ParameterError

from .leaves import Auto, Leaf
from .structured import Plugin

#: Least level of a parameter that nothing heeds: shown by ``-hhh``.
LEVEL_UNAVAILABLE = 2


class ScopeOf:
    """A scope holding the whole parameter tree of another plugin, for example of a program that this one runs.

    Parameters
    ----------
    slot, name : str
        The plugin.
    level : int
        Level of the scope, as for `Params`.
    chosen_by : str
        Name of a `Plugin` parameter of the same class, declared with ``elsewhere=True``, whose value is the plugin instead of ``name``.
    deeper : int
        Added to the level of every parameter inside: with 1, what the plugin's own help shows with ``-h`` is shown with ``-hh``.
    """

    def __init__(self, slot: str, name: str, level: int = 0, chosen_by: str = "", deeper: int = 0) -> None:
        self.slot, self.name, self.level, self.chosen_by, self.deeper = slot, name, level, chosen_by, deeper

    def plugin(self, owner: Params) -> str:
        """Return the name of the plugin whose parameters belong here, in an instance of the class that holds this."""
        return str(getattr(owner, self.chosen_by)) if self.chosen_by else self.name


class Params(traitlets.HasTraits):
    """A scope of parameters.

    Nested classes are scopes, their docstring is the help of the scope, and their instances are attributes of the same
    name. ``class untrusted(Params, multiple=True)`` makes a scope that may be given any number of times: the attribute
    is a tuple. ``level=2`` hides the scope from ``-h`` and ``-hh``. ``unavailable="why"`` says it of all parameters of the
    scope, and a mapping of dotted endings to reasons of those whose names end so; see `Leaf`.

    What is made does not change: assignment raises, and `changed` returns a copy with other values.
    """

    _multiple: ClassVar[bool] = False
    _level: ClassVar[int] = 0
    _unavailable: ClassVar[Mapping[str, str]] = {}
    if TYPE_CHECKING:
        _scopes: dict[str, Params]
        _attached: dict[str, Params]

    def __init_subclass__(
        cls, *, multiple: bool = False, level: int = 0, unavailable: str | Mapping[str, str] = "", **options: Any
    ) -> None:
        super().__init_subclass__(**options)
        cls._multiple = multiple
        cls._level = level
        if unavailable:
            cls._unavailable = {"": unavailable} if isinstance(unavailable, str) else unavailable

    def __init__(self, **values: Any) -> None:
        super().__init__()
        scopes: dict[str, Params] = {}
        self.__dict__["_scopes"] = scopes
        self.__dict__["_attached"] = {}
        for name, field in fields_of(type(self)).items():
            if isinstance(field, type):
                scopes[name] = scope = field()
                self.__dict__[name] = () if scope._multiple else scope
        for name, value in values.items():
            if isinstance(value, dict) and name in scopes and not scopes[name]._multiple:
                for inner, content in value.items():
                    assign(self.__dict__[name], inner, content)
            else:
                assign(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_"):
            raise FrozenInstanceError(
                f"{type(self).__qualname__}.{name}: parameters do not change once they are made; "
                f"params.changed({name}=...) returns a copy with other values"
            )
        super().__setattr__(name, value)

    def changed(self, values: Mapping[str, Any] | None = None, source: str = "call", /, **more: Any) -> Self:
        """Return a copy with other values, checked like any others.

        Parameters
        ----------
        values : mapping of dotted name to object, optional
        source : str
            Who gave them, for messages.
        **more
            The same by keyword, with two underscores for a dot: ``refinery__max_iterations=4``. A `Params`
            takes the place of a scope, a list of `Params` or mappings that of a scope which may be repeated.

        Returns
        -------
        Params
            Of the same class. Another plugin brings its own parameters.

        Raises
        ------
        ParameterError, PluginError
        """
        from .resolve import changed  # which resolves names in trees, and imports this module

        return changed(self, {**(values or {}), **{k.replace("__", "."): v for k, v in more.items()}}, source)

    def _no_parameter(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        raise AttributeError(f"no parameter {name!r} in {type(self).__qualname__}{_suggest(self, name)}")

    if not TYPE_CHECKING:  # to which it would say that every name is there
        __getattr__ = _no_parameter

    def __repr__(self) -> str:
        return f"<{type(self).__qualname__}: " + ", ".join(f"{e.path}={e.text}" for e in walk(self)) + ">"

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        mine = [(e.path, e.value) for e in walk(self)]
        return mine == [(e.path, e.value) for e in walk(other)]  # type: ignore[arg-type]

    __hash__ = object.__hash__

    def __getstate__(self) -> dict[str, Any]:
        leaves = {n: getattr(self, n) for n, f in fields_of(type(self)).items() if isinstance(f, Leaf)}
        scopes = {n: self.__dict__.get(n, s) for n, s in self._scopes.items() if n not in self._attached}
        return {
            "leaves": leaves,
            "scopes": scopes,
            "attached": dict(self._attached),
            "plugin": self.__dict__.get("_plugin"),
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        Params.__init__(self)
        for name, value in state["leaves"].items():
            assign(self, name, value)
        for name, scope in state["scopes"].items():
            if isinstance(scope, tuple):
                self.__dict__[name] = scope
            else:
                self.__dict__[name] = self._scopes[name] = scope
        for name, scope in state["attached"].items():
            attach(self, name, scope)
        if state["plugin"] is not None:
            self.__dict__["_plugin"] = state["plugin"]

    def __deepcopy__(self, memo: dict[int, Any]) -> Params:
        twin = type(self).__new__(type(self))
        memo[id(self)] = twin
        twin.__setstate__(copy.deepcopy(self.__getstate__(), memo))
        return twin


def assign(owner: Params, name: str, value: Any) -> None:
    """Set a leaf or a scope of ``owner`` while a tree is made.

    Raises
    ------
    ParameterError
    """
    if isinstance(fields_of(type(owner)).get(name), Leaf):
        traitlets.HasTraits.__setattr__(owner, name, value)
    elif name in owner._scopes:
        _replace_scope(owner, name, value)
    else:
        raise ParameterError(f"there is no parameter {name!r} in {type(owner).__qualname__}{_suggest(owner, name)}")


def _replace_scope(owner: Params, name: str, value: Any) -> None:
    template = owner._scopes[name]
    values = value if isinstance(value, list | tuple) else [value]
    for one in values:
        if not isinstance(one, type(template)):
            raise ParameterError(f"{name}: expected {type(template).__qualname__}, got {type(one).__qualname__}")
    if template._multiple:
        owner.__dict__[name] = tuple(values)
    else:
        owner.__dict__[name] = owner._scopes[name] = value


def _suggest(owner: Params, name: str) -> str:
    known = [*fields_of(type(owner)), *owner.__dict__.get("_scopes", {})]
    close = difflib.get_close_matches(name, known, 3)
    return "; did you mean " + " or ".join(close) + "?" if close else ""


def plugin_of(scope: Params) -> tuple[str, str] | None:
    """Return slot and name of the plugin whose parameters a scope holds; None for a scope of the tree around it."""
    return scope.__dict__.get("_plugin")


def public_name(attribute: str) -> str:
    """Return the parameter's name: a trailing underscore only dodges Python's keywords."""
    return attribute.removesuffix("_")


def fields_of(cls: type[Params]) -> dict[str, Any]:
    """Return the leaves, scope classes and `ScopeOf` of ``cls`` in the order they were written, base classes first."""
    cached: dict[str, Any] | None = cls.__dict__.get("_fields_cache")
    if cached is not None:
        return cached
    fields: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        if base is Params or not issubclass(base, Params):
            continue
        for name, value in vars(base).items():
            if name.startswith("_"):
                continue
            if isinstance(value, Leaf | ScopeOf) or (isinstance(value, type) and issubclass(value, Params)):
                fields[name] = value
    cls._fields_cache = fields  # type: ignore[attr-defined]
    return fields


def attach(owner: Params, name: str, scope: Params) -> None:
    """Make ``scope`` the scope ``name`` of the instance ``owner``."""
    if isinstance(fields_of(type(owner)).get(name), Leaf | type):
        raise ParameterError(f"the scope {name!r} of a plugin would hide a parameter of {type(owner).__qualname__}")
    owner._scopes[name] = scope
    owner._attached[name] = scope
    owner.__dict__[name] = scope


@dataclass(frozen=True, slots=True)
class Entry:
    """One leaf of one instance of a tree.

    Attributes
    ----------
    path : str
        Dotted public name; elements of multiple scopes carry an index, ``untrusted[0].circle``.
    owner : Params
    name : str
        Attribute name in the owner.
    leaf : Leaf
    level : int
        Largest level of the leaf and the scopes around it.
    unavailable : str
        Why it has no value but the default, in words of the leaf or of a scope around it; empty for most.
    """

    path: str
    owner: Params
    name: str
    leaf: Leaf[Any]
    level: int
    unavailable: str = ""

    @property
    def value(self) -> Any:
        return getattr(self.owner, self.name)

    @property
    def text(self) -> str:
        return self.leaf.render(self.value)

    @property
    def default(self) -> Any:
        return default_of(self.leaf, self.name)

    @property
    def is_modified(self) -> bool:
        return bool(self.value != self.default)

    @property
    def refusal(self) -> str:
        """Why the present value is refused, and what to do; empty for one that is heeded."""
        if self.unavailable and self.is_modified:
            return f"not available: {self.unavailable}. Leave it out"
        if not self.leaf.unavailable_values:
            return ""
        values = self.value if isinstance(self.value, list | tuple) else [self.value]
        for value, reason in self.leaf.unavailable_values.items():
            if value in values and self.is_modified:
                others = self.leaf.describe() if hasattr(self.leaf, "choices") else "another value"
                return f"not available: {reason}. Choose {others}"
        return ""


def default_of(leaf: Leaf[Any], name: str) -> Any:
    """Return the checked default of ``leaf``."""
    value = leaf.default_value
    return () if leaf.multiple and not value else leaf._checked(value)


def walk(params: Params, prefix: str = "", level: int = 0, templates: bool = False) -> Iterator[Entry]:
    """Yield every leaf in the order it was written, attached plugins after the leaf that chose them.

    Parameters
    ----------
    params : Params
    prefix : str
        Put before each path, with its final dot.
    level : int
        Least level of what is yielded.
    templates : bool
        Show a multiple scope once, whatever it holds, under its plain name.
    """
    yield from _walk(params, prefix, level, templates, {})


def _walk(params: Params, prefix: str, level: int, templates: bool, unavailable: Mapping[str, str]) -> Iterator[Entry]:
    """As `walk`; ``unavailable`` is what the scopes around say of the endings of names."""
    attached = dict(params._attached)
    unavailable = {**unavailable, **params._unavailable}
    for name, field in fields_of(type(params)).items():
        path = prefix + public_name(name)
        if isinstance(field, Leaf):
            why = field.unavailable or (_reason(path, unavailable) if unavailable else "")
            shown = max(level, field.level, LEVEL_UNAVAILABLE if why else 0)
            yield Entry(path, params, name, field, shown, why)
            if isinstance(field, Plugin):
                for chosen, scope in list(attached.items()):
                    if (plugin_of(scope) or ("",))[0] == field.slot:
                        del attached[chosen]
                        yield from _walk(scope, f"{prefix}{chosen}.", level, templates, unavailable)
        elif isinstance(field, type):
            inner_level = max(level, params._scopes[name]._level)
            if not params._scopes[name]._multiple:
                yield from _walk(params.__dict__[name], path + ".", inner_level, templates, unavailable)
            elif templates:
                yield from _walk(params._scopes[name], path + ".", inner_level, templates, unavailable)
            else:
                for i, scope in enumerate(params.__dict__[name]):
                    yield from _walk(scope, f"{path}[{i}].", inner_level, templates, unavailable)
        elif name in attached:
            inner = _walk(attached.pop(name), path + ".", max(level, field.level), templates, unavailable)
            yield from (replace(e, level=e.level + field.deeper) for e in inner) if field.deeper else inner
    for name, scope in attached.items():
        yield from _walk(scope, f"{prefix}{public_name(name)}.", max(level, scope._level), templates, unavailable)


def _reason(path: str, unavailable: Mapping[str, str]) -> str:
    """What the scopes around say of the leaf at ``path``."""
    return next((why for end, why in unavailable.items() if not end or f".{path}".endswith(f".{end}")), "")


def scopes_of(params: Params, prefix: str = "") -> Iterator[tuple[str, Params]]:
    """Yield (dotted name, instance) of every scope below ``params``, elements of multiple scopes included."""
    for name, template in params._scopes.items():
        path = prefix + public_name(name)
        current = params.__dict__[name]
        elements = (
            [(f"{path}[{i}]", s) for i, s in enumerate(current)] if isinstance(current, tuple) else [(path, current)]
        )
        if isinstance(current, tuple):
            elements.insert(0, (path, template))
        for inner_path, scope in elements:
            yield inner_path, scope
            yield from scopes_of(scope, inner_path + ".")


def to_dict(params: Params) -> dict[str, Any]:
    """Return dotted name -> plain value for every leaf, as it goes into run records."""
    return {e.path: e.leaf.plain(e.value) for e in walk(params)}


def find_scope(params: Params, dotted: str) -> Params | None:
    """Return the scope called ``dotted`` or None."""
    scope = params
    for part in dotted.split(".") if dotted else []:
        inner = scope.__dict__.get(part, scope.__dict__.get(part + "_"))
        if not isinstance(inner, Params):
            return None
        scope = inner
    return scope


__all__ = [
    "Auto",
    "Entry",
    "Params",
    "ScopeOf",
    "assign",
    "attach",
    "fields_of",
    "find_scope",
    "plugin_of",
    "scopes_of",
    "to_dict",
    "walk",
]
