"""Which element of a scope that may be repeated an assignment belongs to."""

from __future__ import annotations

from .text import Assignment
from .tree import Params, attach, fields_of

__all__ = ["MultipleScopes"]


class MultipleScopes:
    """Finds, or makes, the element of a multiple scope that an assignment belongs to."""

    def __init__(self) -> None:
        self.by_block: dict[tuple[int, str, int], Params] = {}
        self.open: dict[tuple[int, str], Params] = {}
        self.touched: set[tuple[int, str]] = set()
        self.keep: list[Params] = []

    def first_time(self, owner: Params, name: str) -> bool:
        """Return whether the leaf ``name`` of ``owner`` is set for the first time (its default is then replaced)."""
        key = (id(owner), name)
        if key in self.touched:
            return False
        self.touched.add(key)
        return True

    def owner_of(self, root: Params, path: str, given: Assignment) -> tuple[Params, str]:
        parts = path.split(".")
        owner = root
        for depth, part in enumerate(parts[:-1]):
            name = part if part in owner._scopes else part + "_"
            current = owner.__dict__[name]
            if not isinstance(current, tuple):
                owner = current
                continue
            offset = len(parts) - 1 - len(given.blocks)
            block = given.blocks[depth - offset] if 0 <= depth - offset < len(given.blocks) else 0
            owner = self._element(owner, name, block, current, tuple(parts[depth + 1 :]))
        name = parts[-1]
        return owner, name if name in fields_of(type(owner)) else name + "_"

    def _element(
        self, owner: Params, name: str, block: int, elements: tuple[Params, ...], rest: tuple[str, ...]
    ) -> Params:
        key = (id(owner), name, block)
        found = self.by_block.get(key) if block else self.open.get((id(owner), name))
        if found is not None and not block and (id(found), ".".join(rest)) in self.touched:
            found = None
        if found is None:
            template = owner._scopes[name]
            found = type(template)()
            for scope, inner in template._attached.items():  # of the plugins that are chosen in such elements
                own = type(inner)()
                own.__dict__["_plugin"] = inner.__dict__["_plugin"]
                attach(found, scope, own)
            owner.__dict__[name] = (*elements, found)
            self.keep.append(found)
            if block:
                self.by_block[key] = found
            else:
                self.open[id(owner), name] = found
        self.touched.add((id(found), ".".join(rest)))
        return found
