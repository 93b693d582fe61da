"""Which plugins a room needs at run time, read from its code.

A room needs the default of a `Plugin` parameter, the program of a `ScopeOf`, and what it asks the host for by name,
``context.algorithm("indexing", "fft1d")``. Names that it imports from the host or from libraries are followed to their definitions,
and from there to what these use.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from rooms import ROOT, Distribution, Packages, parsed

#: Methods of the context, the host and the registry that take a slot and a name.
ASKS = frozenset({"algorithm", "load"})
Need = tuple[str, str]


class Module:
    """One file: what it defines and what it imports, by name."""

    def __init__(self, name: str, path: Path) -> None:
        self.name, self.path = name, path
        self._uses: dict[ast.stmt, Uses] = {}

    @cached_property
    def tree(self) -> ast.Module:
        return parsed(self.path)

    @cached_property
    def definitions(self) -> dict[str, ast.stmt]:
        """Classes, functions and assignments of the outermost level."""
        found: dict[str, ast.stmt] = {}
        for node in self.tree.body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                found[node.name] = node
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                found |= {t.id: node for t in targets if isinstance(t, ast.Name)}
        return found

    @cached_property
    def imports(self) -> dict[str, tuple[str, str]]:
        """Name in this file -> module and name there, which is empty for the module itself; those for types only are left out."""
        found: dict[str, tuple[str, str]] = {}
        for node in run_time(self.tree):
            if isinstance(node, ast.Import):
                for a in node.names:
                    found[a.asname or a.name.partition(".")[0]] = (a.name if a.asname else a.name.partition(".")[0], "")
            elif isinstance(node, ast.ImportFrom):
                base = node.module or ""
                if node.level:
                    package = self.name if self.path.name == "__init__.py" else self.name.rpartition(".")[0]
                    parts = package.split(".")[: len(package.split(".")) - node.level + 1]
                    base = ".".join([*parts, *([base] if base else [])])
                found |= {a.asname or a.name: (base, a.name) for a in node.names}
        return found

    def uses(self, statement: ast.stmt) -> Uses:
        """What a statement of the outermost level uses."""
        if statement not in self._uses:
            self._uses[statement] = uses(self, statement)
        return self._uses[statement]


def run_time(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes of a piece of code but those that only type checkers see."""
    left = [node]
    while left:
        node = left.pop()
        yield node
        if isinstance(node, ast.If) and "TYPE_CHECKING" in (
            getattr(node.test, "id", ""),
            getattr(node.test, "attr", ""),
        ):
            left += node.orelse
        else:
            left += ast.iter_child_nodes(node)


def asked_for(call: ast.Call) -> set[Need]:
    """Slots and names that a call asks for."""
    function = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    words = list(call.args)
    more: list[ast.expr] = []
    if function == "Plugin":
        given = {k.arg: k.value for k in call.keywords}
        words += [given["default"]] if "default" in given else []
        more = list(getattr(given.get("in_scope_if_auto"), "elts", ()))
    elif function not in ASKS and function != "ScopeOf":
        return set()
    slot, *names = [text(w) for w in [*words[:2], *more]] or [""]
    return {(slot, name) for name in names if slot and name}


def text(node: ast.expr) -> str:
    """The text of a literal, else nothing."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


@dataclass(frozen=True)
class Uses:
    """What a piece of code asks the host for, and the names it uses: (module, name there)."""

    asks: frozenset[Need]
    names: frozenset[tuple[str, str]]


def uses(module: Module, node: ast.AST) -> Uses:
    """Look through one definition."""
    asks: set[Need] = set()
    names: set[tuple[str, str]] = set()
    for part in run_time(node):
        if isinstance(part, ast.Call):
            asks.update(asked_for(part))
        elif isinstance(part, ast.Attribute) and isinstance(part.value, ast.Name) and part.value.id in module.imports:
            base, inner = module.imports[part.value.id]
            names.add((f"{base}.{inner}".rstrip("."), part.attr))
        elif isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load):
            if part.id in module.definitions:
                names.add((module.name, part.id))
            elif part.id in module.imports:
                names.add(module.imports[part.id])
    return Uses(frozenset(asks), frozenset(names))


class Code:
    """The sources of all rooms."""

    def __init__(self, found: list[Distribution], root: Path = ROOT) -> None:
        self.modules: dict[str, Module] = {}
        self._uses: dict[tuple[str, str], Uses] = {}
        for d in found:
            source = root / d.folder / "src"
            for path in sorted(source.glob(f"{d.package}/**/*.py")):
                name = ".".join(path.relative_to(source).with_suffix("").parts).removesuffix(".__init__")
                self.modules[name] = Module(name, path)

    def needs_of(self, package: str) -> set[Need]:
        """What the files of a package need."""
        files = [m for n, m in self.modules.items() if n == package or n.startswith(f"{package}.")]
        found = [module.uses(statement) for module in files for statement in module.tree.body]
        return self._reached(set().union(*(u.names for u in found)), set().union(*(u.asks for u in found)))

    def needs_of_name(self, module: str, name: str) -> set[Need]:
        """What one definition needs."""
        return self._reached({(module, name)}, set())

    def _reached(self, names: set[tuple[str, str]], needs: set[Need]) -> set[Need]:
        """Everything that is asked for in the definitions of names, and of the names in these, and so on."""
        left, seen = list(names), set(names)
        while left:
            found = self._look_up(*left.pop())
            needs |= found.asks
            left += found.names - seen
            seen |= found.names
        return needs

    def _look_up(self, name: str, attribute: str) -> Uses:
        if (name, attribute) not in self._uses:
            found = Uses(frozenset(), frozenset())
            if (module := self.modules.get(name)) is not None:
                if attribute in module.definitions:
                    found = module.uses(module.definitions[attribute])
                elif attribute in module.imports:
                    found = Uses(frozenset(), frozenset({module.imports[attribute]}))
            self._uses[name, attribute] = found
        return self._uses[name, attribute]


def needs_of_rooms(found: list[Distribution], packages: Packages, root: Path = ROOT) -> dict[str, list[str]]:
    """Return folder -> distributions of this repository whose plugins the room needs, sorted.

    What the host's own parameters choose by default is needed by every program: the host depends on no plugin.
    """
    code = Code(found, root)
    provider = {plugin: d for d in found for plugin in d.plugins}
    of_programs = code.needs_of_name("spindle.params.host", "HostParams")
    result: dict[str, list[str]] = {}
    for d in found:
        needs = code.needs_of(d.package) if d.kind in ("plugins", "formats") else set()
        for slot, name in d.plugins:
            needs |= of_programs if slot == "program" else set()
            needs |= {pair(plugin) for plugin in packages.table("needs").get(f"{slot}:{name}", ())}
            needs -= {pair(plugin) for plugin in packages.table("can-do-without").get(f"{slot}:{name}", ())}
        unknown = sorted(":".join(n) for n in needs if n not in provider)
        if unknown:
            raise SystemExit(f"{d.folder} needs {', '.join(unknown)}, which no room provides")
        result[d.folder] = sorted({provider[n].name for n in needs} - {d.name})
    return result


def pair(plugin: str) -> Need:
    """Slot and name of ``slot:name``."""
    slot, _, name = plugin.partition(":")
    return slot, name
