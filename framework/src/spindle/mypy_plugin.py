"""Types of parameters for mypy, from how they are declared.

``plugins = ["spindle.mypy_plugin"]`` in the settings of mypy makes ``params.d_min`` of ``d_min = Float(None)`` a ``float | None``, and
``params.filter`` of ``class filter(Params)`` an instance of that class, a tuple of them where it may be repeated.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from mypy.checker import TypeChecker
from mypy.maptype import map_instance_to_supertype
from mypy.nodes import Expression, IntExpr, NameExpr, RefExpr, TypeInfo
from mypy.plugin import AttributeContext, ClassDefContext, FunctionContext, Plugin
from mypy.types import AnyType, CallableType, Instance, NoneType, TupleType, Type, TypeOfAny, UnionType, get_proper_type

__all__ = ["ParameterTypes", "plugin"]

LEAF = "spindle.params.leaves.Leaf"
PARAMS = "spindle.params.tree.Params"
SCOPE_OF = "spindle.params.tree.ScopeOf"
AUTO = "spindle.params.leaves.Auto"
AUTO_TYPE = "spindle.params.leaves.AutoType"
CHOICE = "spindle.params.structured.Choice"
MULTIPLE = "spindle.params"
SEQUENCE = "spindle.params.structured._Sequence"


class ParameterTypes(Plugin):
    """The plugin of mypy."""

    def get_function_hook(self, fullname: str) -> Callable[[FunctionContext], Type] | None:
        """Return what types the calls of leaf classes."""
        info = self._class(fullname)
        auto = self._class(AUTO_TYPE)
        if info is None or auto is None or not info.has_base(LEAF):
            return None
        return partial(leaf_type, auto=Instance(auto, []))

    def get_attribute_hook(self, fullname: str) -> Callable[[AttributeContext], Type] | None:
        """Return what types the scopes of parameter trees."""
        info = self._class(fullname.rpartition(".")[0])
        return scope_type if info is not None and info.has_base(PARAMS) else None

    def get_base_class_hook(self, fullname: str) -> Callable[[ClassDefContext], None] | None:
        """Return what remembers of a class of parameters that it may be repeated."""
        info = self._class(fullname)
        return remember_multiple if info is not None and info.has_base(PARAMS) else None

    def _class(self, fullname: str) -> TypeInfo | None:
        symbol = self.lookup_fully_qualified(fullname) if "." in fullname else None
        return symbol.node if symbol is not None and isinstance(symbol.node, TypeInfo) else None


def remember_multiple(context: ClassDefContext) -> None:
    """Note ``multiple=True`` where mypy keeps it from run to run."""
    if _is_true(context.cls.keywords.get("multiple")):
        context.cls.info.metadata[MULTIPLE] = {"multiple": True}


def leaf_type(context: FunctionContext, auto: Instance) -> Type:
    """Return ``Leaf[...]`` of the values that a leaf may have, where it is declared."""
    made = get_proper_type(context.default_return_type)
    is_declaration = isinstance(context.api, TypeChecker) and context.api.scope.active_class() is not None
    if not isinstance(made, Instance) or not is_declaration:
        return context.default_return_type
    leaf = next(base for base in made.type.mro if base.fullname == LEAF)
    arguments = _arguments(context)
    default = arguments.get("default")
    is_auto = isinstance(default, RefExpr) and default.fullname == AUTO
    is_multiple = _is_true(arguments.get("multiple"))
    value = _value_type(context, made, arguments)
    if is_multiple:
        value = context.api.named_generic_type("builtins.tuple", [value])
    types = [value]
    is_none = default is None or _is_none(default)
    if _is_true(arguments["none"]) if "none" in arguments else is_none and not is_multiple:
        types.append(NoneType())
    if _is_true(arguments["auto"]) if "auto" in arguments else is_auto:
        types.append(auto)
    return Instance(leaf, [UnionType.make_union(types)])


def _value_type(context: FunctionContext, made: Instance, arguments: dict[str, Expression]) -> Type:
    """Return the type of one value: what the class says of itself, several words as a tuple, sequences with their size."""
    leaf = next(base for base in made.type.mro if base.fullname == LEAF)
    (value,) = map_instance_to_supertype(made, leaf).args
    if made.type.has_base(CHOICE) and _is_true(arguments.get("multi")):
        return context.api.named_generic_type("builtins.tuple", [value])
    size = arguments.get("size")
    proper = get_proper_type(value)
    if made.type.has_base(SEQUENCE) and isinstance(size, IntExpr) and isinstance(proper, Instance):
        return TupleType([proper.args[0]] * size.value, proper)
    return value


def scope_type(context: AttributeContext) -> Type:
    """Return the instance, or a tuple of instances, that a class inside a class of parameters stands for."""
    found = get_proper_type(context.default_attr_type)
    if isinstance(found, Instance) and found.type.fullname == SCOPE_OF:
        return AnyType(TypeOfAny.special_form)
    if not isinstance(get_proper_type(context.type), Instance) or not isinstance(found, CallableType):
        return context.default_attr_type
    made = get_proper_type(found.ret_type)
    if not found.is_type_obj() or not isinstance(made, Instance) or not made.type.has_base(PARAMS):
        return context.default_attr_type
    if made.type.metadata.get(MULTIPLE):
        return context.api.named_generic_type("builtins.tuple", [made])
    return made


def _arguments(context: FunctionContext) -> dict[str, Expression]:
    """Return the expressions of a call by the names of what they are given to."""
    found = {}
    for formal, names, expressions in zip(context.callee_arg_names, context.arg_names, context.args, strict=True):
        for name, expression in zip(names, expressions, strict=True):
            found[name or formal or ""] = expression
    return found


def _is_true(expression: Expression | None) -> bool:
    return isinstance(expression, NameExpr) and expression.fullname == "builtins.True"


def _is_none(expression: Expression | None) -> bool:
    return isinstance(expression, NameExpr) and expression.fullname == "builtins.None"


def plugin(version: str) -> type[Plugin]:
    """Entry point of mypy."""
    return ParameterTypes
