"""Compare what the code imports with what each distribution declares, and find what only some systems have.

`tools/workspace.py --check` runs this.
"""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from rooms import HOST, name_of, normalised, parsed

#: Where the name that is imported is not that of the distribution.
DISTRIBUTION_OF = {"PIL": "pillow", "sklearn": "scikit-learn", "spindle": HOST}
#: Distributions that are used through a module of another.
EXTENDS = {"numba-cuda": "numba"}
#: Folders whose files run under another program's Python.
FOREIGN = frozenset({"for_dials"})
#: Modules of the standard library that some systems are without.
NOT_EVERYWHERE = frozenset({
    "crypt", "curses", "fcntl", "grp", "msvcrt", "nis", "ossaudiodev", "posix", "pty", "pwd", "readline", "resource",
    "spwd", "syslog", "termios", "tty", "winreg", "winsound",
})  # fmt: skip
#: Attributes of `os` and `signal` that Windows is without.
POSIX_ATTRIBUTES = frozenset({
    "os.chown", "os.fchmod", "os.fchown", "os.fork", "os.forkpty", "os.getegid", "os.geteuid", "os.getgid",
    "os.getgroups", "os.getloadavg", "os.getpgid", "os.getpgrp", "os.getpriority", "os.getuid", "os.killpg",
    "os.lchown", "os.mkfifo", "os.nice", "os.openpty", "os.posix_fadvise", "os.posix_fallocate", "os.pread",
    "os.preadv", "os.pwrite", "os.sched_getaffinity", "os.sched_setaffinity", "os.setpgid", "os.setsid", "os.setuid",
    "os.statvfs", "os.sysconf", "os.uname", "os.wait4", "signal.SIGALRM", "signal.SIGHUP", "signal.SIGKILL",
    "signal.SIGUSR1", "signal.SIGUSR2", "signal.alarm", "signal.setitimer",
})  # fmt: skip
LAST_NAMES = frozenset(name.rpartition(".")[2] for name in POSIX_ATTRIBUTES)
GUARDS = ("os.name", "sys.platform", "platform.system", "hasattr", "TYPE_CHECKING")


def declared(project: dict[str, object]) -> tuple[set[str], set[str]]:
    """Distributions that a project needs, and those that its extras name."""

    def names(requirements: object) -> set[str]:
        return {name_of(str(r)) for r in requirements}  # type: ignore[attr-defined]

    extras = project.get("optional-dependencies", {})
    return names(project.get("dependencies", [])), set().union(*(names(e) for e in extras.values()))  # type: ignore[attr-defined]


class Usage(ast.NodeVisitor):
    """What one file uses.

    Attributes
    ----------
    imports : list of (line, module, guarded)
        Top-level names; `guarded` inside a try that catches ImportError or a test of the system. Imports for type
        checkers only are left out.
    attributes : list of (line, name)
        Of `POSIX_ATTRIBUTES`, outside such guards.
    """

    def __init__(self) -> None:
        self.imports: list[tuple[int, str, bool]] = []
        self.attributes: list[tuple[int, str]] = []
        self._guarded = 0
        self._only_types = 0

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._add(node.lineno, alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.level == 0 and node.module:
            self._add(node.lineno, node.module)

    def _add(self, line: int, module: str) -> None:
        if not self._only_types:
            self.imports.append((line, module.partition(".")[0], bool(self._guarded)))

    def visit_Call(self, node: ast.Call) -> None:
        plain = isinstance(node.func, ast.Name | ast.Attribute)
        named = plain and ast.unparse(node.func) in ("importlib.import_module", "import_module", "find_spec")
        if named and node.args:
            first = node.args[0]
            if isinstance(first, ast.JoinedStr) and first.values:  # f"fabio.{name}"
                first = first.values[0]  # type: ignore[assignment]
            if isinstance(first, ast.Constant) and isinstance(first.value, str) and not first.value.startswith("."):
                self._add(node.lineno, first.value)
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if not self._guarded and node.attr in LAST_NAMES and (name := ast.unparse(node)) in POSIX_ATTRIBUTES:
            self.attributes.append((node.lineno, name))
        self.generic_visit(node)

    def visit_Try(self, node: ast.Try) -> None:
        caught = " ".join(ast.unparse(h.type) for h in node.handlers if h.type is not None)
        guard = any(word in caught for word in ("ImportError", "ModuleNotFoundError", "AttributeError"))
        self._guarded += guard
        for child in node.body:
            self.visit(child)
        self._guarded -= guard
        for child in (*node.handlers, *node.orelse, *node.finalbody):
            self.visit(child)

    def visit_If(self, node: ast.If) -> None:
        self._conditional(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self._conditional(node)

    def _conditional(self, node: ast.If | ast.IfExp) -> None:
        test = ast.unparse(node.test)
        guard, types = any(word in test for word in GUARDS), "TYPE_CHECKING" in test
        self._guarded += guard
        self.visit(node.test)
        self._only_types += types
        for child in node.body if isinstance(node.body, list) else [node.body]:
            self.visit(child)
        self._only_types -= types
        for child in node.orelse if isinstance(node.orelse, list) else [node.orelse]:
            self.visit(child)
        self._guarded -= guard


def usages(source: Path) -> Iterator[tuple[Path, Usage]]:
    """Every Python file below a folder and what it uses."""
    for file in sorted(source.rglob("*.py")):
        if FOREIGN & set(file.relative_to(source).parts):
            continue
        usage = Usage()
        usage.visit(parsed(file))
        yield file, usage


def problems_of_dependencies(folder: Path, root: Path, plugins: frozenset[str] = frozenset()) -> list[str]:
    """Where imports and declarations of the distribution in `folder` differ, and unguarded use of one system only.

    Plugins of this repository, ``plugins``, are asked for by name and never imported.
    """
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed, extras = declared(project)
    own = {p.name for p in (folder / "src").iterdir() if p.is_dir()}
    found, used = [], set()
    for file, usage in usages(folder / "src"):
        place = file.relative_to(root).as_posix()
        for line, module, guarded in usage.imports:
            if module in NOT_EVERYWHERE and not guarded:
                found.append(f"{place}:{line}: {module} is not on every system: catch ImportError or test os.name")
            if module in sys.stdlib_module_names or module in own:
                continue
            distribution = normalised(DISTRIBUTION_OF.get(module, module))
            used.add(distribution)
            if distribution not in needed | extras:
                found.append(f"{place}:{line}: {module} is imported, but {project['name']} does not declare it")
        found += [f"{place}:{line}: {name} is not on every system: test os.name" for line, name in usage.attributes]
    listed = (folder / "pyproject.toml").relative_to(root).as_posix()
    unused = {name for name in (needed | extras) - used - plugins if EXTENDS.get(name) not in used}
    found += [f"{listed}: {name} is declared, but not imported" for name in sorted(unused)]
    return found
