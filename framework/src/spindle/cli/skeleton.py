"""The files of a new plugin: a package that passes the conformance tests of its slot as it is, to be changed from there.

Slots for which a few lines do something sensible have a text in ``skeletons/``. Everywhere else the new plugin asks an installed one of
its slot, hook by hook, with the signatures of the contract: it works at once, and its hooks are replaced one by one.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from spindle import __version__
from spindle.contracts import SLOTS
from spindle.errors import UserError
from spindle.plugins import registry, spec_of
from spindle.plugins.discovery import HOST
from spindle.plugins.loading import hooks_of, mandatory_hooks
from spindle.plugins.names import COMMANDS, RULE, VALUES, known

FOLDER = Path(__file__).parent / "skeletons"
WIDTH = 120
#: Libraries and packages that the texts in ``skeletons/`` import, beside numpy.
IMPORTS = {
    "threshold": ("scipy",),
    "exporter": ("spindle-lib-merging",),
    "executor": None,
    "observer": None,
    "library": None,
}


@dataclass(frozen=True)
class Skeleton:
    """What a new plugin is called.

    Attributes
    ----------
    slot, name : str
        ``exporter`` and ``csv``; the slot ``library`` is for shared code without entry points.
    summary : str
        One line; help and lists show it.
    like : str
        Installed plugin of the slot that hooks ask until they are replaced; empty takes the first, in slots that need one.
    """

    slot: str
    name: str
    summary: str = ""
    like: str = ""

    def __post_init__(self) -> None:
        if self.slot not in SLOTS and self.slot != "library":
            import difflib

            close = difflib.get_close_matches(self.slot, SLOTS, 1)
            hint = f" Did you mean {close[0]}?" if close else ""
            raise UserError(f"there is no slot {self.slot!r}.{hint} Slots are {', '.join(sorted(SLOTS))}, and library")
        if not RULE.fullmatch(self.name) or self.name in VALUES or (self.slot == "program" and self.name in COMMANDS):
            raise UserError(
                f"a {self.slot} cannot be called {self.name!r}: names are lower-case letters, digits and _, a letter first, and none of "
                f"{', '.join((*VALUES, *(COMMANDS if self.slot == 'program' else ())))}"
            )
        if self.name in known().get(self.slot, {}):
            raise UserError(f"there is a {self.slot} {self.name!r} already, in {known()[self.slot][self.name]}")
        if self.like and self.like not in registry().names(self.slot):
            raise UserError(
                f"like={self.like}: no such {self.slot} is installed; there are {', '.join(registry().names(self.slot))}"
            )

    @property
    def distribution(self) -> str:
        """``spindle-exporter-csv``."""
        return f"spindle-{'lib' if self.slot == 'library' else self.slot}-{self.name}".replace("_", "-")

    @property
    def package(self) -> str:
        """``spindle_exporter_csv``."""
        return self.distribution.replace("-", "_")

    @property
    def module(self) -> str:
        """The file with the class."""
        return "program" if self.slot == "program" else "algorithm"

    @property
    def class_name(self) -> str:
        """``CsvExporter``; a program has its own name only."""
        words = [self.name] if self.slot == "program" else [self.name, self.slot]
        return "".join(part.title() for part in "_".join(words).split("_"))

    @property
    def about(self) -> str:
        """The summary, or one that says what is to be done."""
        return self.summary.rstrip(".") or f"A new {self.slot.replace('_', ' ')}: say here what it does"

    def files(self) -> dict[str, str]:
        """Path below the new folder -> text."""
        code, needs = self._code()
        source = f"src/{self.package}"
        texts = {
            "README.md": f"# {self.distribution}\n\n{self.about}.\n",
            "pyproject.toml": self._pyproject(needs),
            f"{source}/py.typed": "",
            f"tests/test_{'lib' if self.slot == 'library' else self.slot}_{self.name}.py": self._tests(),
        }
        if self.slot == "library":
            return texts | {f"{source}/__init__.py": code}
        return texts | {
            f"{source}/__init__.py": (
                f'"""{self.about}."""\n\nfrom __future__ import annotations\n\nfrom .{self.module} import {self.class_name}\n\n'
                f'__all__ = ["{self.class_name}"]\n'
            ),
            f"{source}/{self.module}.py": code,
        }

    def _fill(self, template: str) -> str:
        names = {
            "name": self.name, "Class": self.class_name, "Reader": self.class_name.removesuffix("Format") + "Reader",
            "MAGIC": self.name.upper(), "slot": self.slot, "package": self.package, "summary": self.about,
        }  # fmt: skip
        return Template(template).safe_substitute(names)

    def _code(self) -> tuple[str, list[str]]:
        """The module with the class, and the distributions that it needs."""
        path = FOLDER / f"{self.slot}.txt"
        if path.exists() and not self.like:
            needs = IMPORTS.get(self.slot, ())
            return self._fill(path.read_text(encoding="utf-8")), [] if needs is None else [*needs, "numpy"]
        like = self.like or next(iter(registry().names(self.slot)), "")
        info = registry().find(self.slot, like) if like else None
        code = asking_code(self.slot, like, self.class_name)
        return code, [*([info.distribution] if info else []), *(["numpy"] if "import numpy" in code else [])]

    def _pyproject(self, needs: list[str]) -> str:
        host = f"{HOST}~={'.'.join(__version__.split('.')[:2])}"
        listed = ", ".join(f'"{n}"' for n in [*([] if self.slot == "library" else [host]), *needs])
        text = (
            f'[project]\nname = "{self.distribution}"\nversion = "0.1.0"\ndescription = "{self.about}"\nreadme = "README.md"\n'
            f'requires-python = ">=3.11"\ndependencies = [{listed}]\n\n'
            '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n\n'
            f'[tool.hatch.build.targets.wheel]\npackages = ["src/{self.package}"]\n'
        )
        if self.slot == "library":
            return text
        return (
            text + f'\n[project.entry-points."spindle.{self.slot}"]\n{self.name} = "{self.package}:{self.class_name}"\n'
        )

    def _tests(self) -> str:
        path = FOLDER / f"test_{self.slot}.txt"
        if path.exists():
            return self._fill(path.read_text(encoding="utf-8"))
        from spindle.testing import PluginContract

        contracts = contracts_of(self.slot, self.like or next(iter(registry().names(self.slot)), ""))
        lines = ['"""The plugin passes the contract of its slot."""', "", "from __future__ import annotations", ""]
        module = f"spindle.testing.{self.slot}" if contracts else "spindle.testing"
        names = contracts or ["PluginContract"]
        lines += [f"from {module} import {', '.join(sorted(names))}"]
        for name in names:
            lines += ["", "", f"class Test{self.class_name}({name}):"]
            lines += [] if contracts else [f'    slot = "{self.slot}"']
            lines += [f'    name = "{self.name}"']
            if not issubclass(getattr(importlib.import_module(module), name), PluginContract):
                make = f'        return make_context().algorithm("{self.slot}", self.name)'
                lines += ["", "    @pytest.fixture", "    def plugin(self):", make]
                lines[4:4] = ["import pytest", "", "from spindle.testing import make_context"]
        return "\n".join(lines) + "\n"


def contracts_of(slot: str, like: str) -> list[str]:
    """Names of the contract classes of the kit for a slot; where it has several, those that the plugin ``like`` would pass."""
    try:
        module = importlib.import_module(f"spindle.testing.{slot}")
    except ModuleNotFoundError as error:
        if error.name not in ("pytest", f"spindle.testing.{slot}"):
            raise
        if error.name == "pytest":
            raise UserError("the tests of a new plugin need pytest. Next: pip install pytest") from error
        return []
    plugin: Any = registry().load(slot, like) if like else None
    found = []
    for name, value in vars(module).items():
        if inspect.isclass(value) and value.__module__ == module.__name__ and re.fullmatch("[A-Z].*Contract", name):
            hook = getattr(value, "hook", "")
            if plugin is None or not hook or hasattr(plugin, hook):
                found.append(name)
    return found


def asking_code(slot: str, like: str, class_name: str) -> str:
    """A module with a class whose hooks ask another plugin of the slot, with the signatures of the contract."""
    spec = spec_of(slot)
    assert spec is not None
    plugin: Any = registry().load(slot, like) if like else None
    hooks = {
        name: function
        for name, function in hooks_of(spec).items()
        if name in mandatory_hooks(spec) or hasattr(plugin, name)
    }
    in_order = sorted(hooks, key=lambda name: hooks[name].__code__.co_firstlineno)
    names: set[str] = set()
    methods = []
    for name in in_order:
        signature = inspect.signature(hooks[name])
        parameters = [p for p in signature.parameters.values() if p.name != "self"]
        notes = [str(p.annotation) for p in parameters] + [str(signature.return_annotation)]
        names |= {n.id for note in notes for n in ast.walk(ast.parse(note)) if isinstance(n, ast.Name)}
        head = wrapped(
            f"    def {name}(", ["self", *(f"{p.name}: {p.annotation}" for p in parameters)], f") -> {notes[-1]}:"
        )
        call = wrapped(
            f"        result: {notes[-1]} = self._other.{name}(", [f"{p.name}={p.name}" for p in parameters], ")"
        )
        body = (
            f"{call}\n        return result" if like else '        raise NotImplementedError("write what it does here")'
        )
        where = f"{spec.__module__}.{spec.__name__}.{name}"
        methods.append(f'    @hookimpl\n{head}\n        """See `{where}`."""\n{body}\n')
    other = (
        f"    @property\n    def _other(self) -> Any:\n        return self.context.algorithm(\"{slot}\", \"{like}\")\n\n"
        if like else ""
    )  # fmt: skip
    about = f"Asks {like} for everything: replace its hooks one by one." if like else "To be written."
    return (
        f'"""The class `{class_name}`."""\n\nfrom __future__ import annotations\n\n{imports_of(spec.__module__, names | ({"Any"} if like else set()))}\n\n'
        f'class {class_name}(Algorithm):\n    """{about}"""\n\n{other}{chr(10).join(methods)}'
    )


def wrapped(start: str, parts: list[str], end: str) -> str:
    """Code in parentheses on one line, with its parts on the next, or with one part a line, whichever fits first."""
    indent = " " * (len(start) - len(start.lstrip()))
    line, inner = ", ".join(parts), f"{indent}    "
    if len(start + line + end) <= WIDTH:
        return start + line + end
    if len(inner + line) <= WIDTH:
        return f"{start}\n{inner}{line}\n{indent}{end}"
    return f"{start}\n" + "".join(f"{inner}{p},\n" for p in parts) + f"{indent}{end}"


def imports_of(module_name: str, names: set[str]) -> str:
    """Import statements for the types that a contract module uses in its signatures, sorted as linters want them."""
    module = importlib.import_module(module_name)
    source: dict[str, str] = {"Algorithm": "spindle.contracts", "hookimpl": "spindle.contracts"}
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.ImportFrom) and node.level < 2:
            base = f"{module_name.rpartition('.')[0]}.{node.module or ''}".rstrip(".") if node.level else node.module
            source |= {a.name: base or "" for a in node.names if a.name in names}
        elif isinstance(node, ast.ClassDef) and node.name in names:
            source[node.name] = module_name
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id in names:
            source[node.targets[0].id] = module_name
    source |= {"Any": "typing"} if "Any" in names else {}
    grouped: dict[str, list[str]] = {}
    for name, base in source.items():
        grouped.setdefault(base, []).append(name)
    lines = {base: f"from {base} import {', '.join(sorted(found, key=_case))}" for base, found in grouped.items()}
    ours = [lines[b] for b in sorted(lines) if b.startswith("spindle")]
    standard = [lines[b] for b in sorted(lines) if not b.startswith("spindle")]
    blocks = [standard, ["import numpy as np"] if "np" in names else [], ours]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def _case(name: str) -> tuple[bool, str]:
    """Classes before functions."""
    return name[0].islower(), name
