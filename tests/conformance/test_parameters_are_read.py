"""No parameter is accepted and ignored: each is read, or refused, by code that can see it.

A parameter counts as read where its name is an attribute that is loaded, or (part of) a word that code looks up, in the package that
declares it, in that of the plugin whose tree holds it, or in that of a plugin which the tree can choose; the class that declares it
does not count. Names that a tree declares twice (``nproc``, ``value``) have to be read together with their scope.
"""

from __future__ import annotations

import ast
import importlib
from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import workspace

from spindle.execution.compile_cache import libraries_of
from spindle.params import Choice, FolderParam, HostParams, Params, Plugin, walk
from spindle.params.leaves import Leaf
from spindle.params.tree import fields_of, public_name
from spindle.plugins import PluginInfo, registry
from spindle.plugins.host import PluginHost

ROOT = Path(__file__).parent.parent.parent

#: (slot, name, path) of parameters that the search does not see being read, and where they are.
EXCEPTIONS = {
    ("program", "correlation_matrix", "minimization.engine"): "what is left to choose from is the same",
    ("program", "cosym", "minimization.engine"): "what is left to choose from is the same",
    ("program", "image_viewer", "load_models"): "what is left to choose from is the same",
    **{
        ("program", "image_viewer", f"masking.{name}"): "the library of masks is given the scope"
        for name in ("d_min", "d_max")
    },
    ("program", "index", "indexing.index_assignment.method"): "assignment.py is given the scope",
    ("program", "index", "refinement.algorithm"): "refinement.py is given the scope",
    ("program", "index", "refinement.reflections.outlier.block_width"): "the refiner's outliers.py is given the scope",
    ("program", "integrate", "absorption_correction.algorithm"): "an absorption object is made of each scope",
    ("program", "integrate", "significance_filter.d_min"): "the library of selections is given the scope",
    ("program", "refine", "refinement.reflections.outlier.block_width"): "the refiner's outliers.py is given the scope",
    (
        "program",
        "refine_bravais_settings",
        "refinement.algorithm",
    ): "short_refinement.py of a library is given the scope",
    ("program", "simulate", "support.anvils.attenuation"): "supports.py is given the scope",
    ("program", "simulate", "support.tape.attenuation"): "supports.py is given the scope",
    **{
        ("absorption", name, f"{length}.{part}"): "kapton.py of the library of attenuators is given the scope"
        for name in ("fuller_kapton", "kapton_2019")
        for length in (
            "xtal_height_above_kapton_mm",
            "rotation_angle_deg",
            "kapton_half_width_mm",
            "kapton_thickness_mm",
        )
        for part in ("value", "sigma")
    },
    ("program", "refine_bravais_settings", "refinement.reflections.outlier.block_width"): (
        "the refiner's outliers.py is given the scope"
    ),
}


def first_party() -> list[PluginInfo]:
    names = {d.name for d in workspace.distributions(ROOT)}
    return [info for info in registry().infos if info.distribution in names]


def leaves(cls: type[Params], prefix: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Leaf, str]]:
    """Yield (path of attribute names, leaf, package of the declaring class) of a tree, without those of chosen plugins."""
    for name, field in fields_of(cls).items():
        if isinstance(field, Leaf):
            declaring = next(c for c in cls.__mro__ if name in vars(c))
            yield (*prefix, name), field, declaring.__module__.split(".")[0]
        elif isinstance(field, type):
            yield from leaves(field, (*prefix, name))


class Readings:
    """What source files read.

    Parameters
    ----------
    *sources : str
        Their texts.

    Attributes
    ----------
    names : set of str
        Attributes that are loaded.
    pairs : set of (str, str)
        Attributes with the name of what they are loaded from; a variable counts as what was assigned to it.
    words : set of str
        Words in quotes, such as those given to getattr.
    """

    def __init__(self, *sources: str) -> None:
        self.names: set[str] = set()
        self.pairs: set[tuple[str | None, str]] = set()
        self.words: set[str] = set()
        for source in sources:
            self._add(source)

    def _add(self, source: str) -> None:
        pairs: set[tuple[str | None, str]] = set()
        meant = defaultdict(set)
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                self.names.add(node.attr)
                pairs.add((_name(node.value), node.attr))
            elif isinstance(node, ast.Call) and _name(node.func) == "chosen" and len(node.args) == 1:
                self.names.add("algorithm")  # `context.chosen(scope)` reads the leaf that chooses
                pairs.add((_name(node.args[0]), "algorithm"))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and " " not in node.value:
                self.words.add(node.value)
            elif isinstance(node, ast.For | ast.comprehension):
                iterated = node.iter.args[0] if isinstance(node.iter, ast.Call) and node.iter.args else node.iter
                for target in node.target.elts if isinstance(node.target, ast.Tuple) else [node.target]:
                    if isinstance(iterated, ast.Attribute):
                        meant[_name(target)].add(iterated.attr)
            elif isinstance(node, ast.Assign):
                for target, value in _assigned(node.targets[0], node.value):
                    if isinstance(value, ast.Attribute):
                        meant[_name(target)].add(value.attr)
        self.pairs |= pairs | {(scope, attribute) for base, attribute in pairs for scope in meant[base]}


def _name(node: ast.expr) -> str | None:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else None


def _assigned(target: ast.expr, value: ast.expr) -> list[tuple[ast.expr, ast.expr]]:
    both = isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple)
    return list(zip(target.elts, value.elts, strict=False)) if both else [(target, value)]


@cache
def readings(package: str) -> Readings:
    """What the files of an installed package read, and those of the libraries that it uses."""
    folder = Path(importlib.import_module(package).__file__ or "").parent
    both = Readings()
    for one in map(_readings_of, (folder, *libraries_of(folder).values())):
        both.names |= one.names
        both.pairs |= one.pairs
        both.words |= one.words
    return both


@cache
def _readings_of(folder: Path) -> Readings:
    return Readings(*(path.read_text(encoding="utf-8") for path in sorted(folder.rglob("*.py"))))


def is_read(path: tuple[str, ...], twice: bool, source: Readings) -> bool:
    """Whether the parameter is read; one whose name the tree has twice only together with its scope."""
    name, parts = path[-1], [public_name(p) for p in path]
    dotted = ".".join(parts)
    words = {".".join(parts[i:]) for i in range(len(parts) - 1)}
    if "." in dotted:
        cuts = [i for i, letter in enumerate(dotted) if letter in "._" and "." in dotted[: i + 1]]
        words |= {dotted[:i] for i in cuts if "." in dotted[:i]} | {dotted[: i + 1] for i in cuts}
    words |= {name[i:] for i, letter in enumerate(name) if letter == "_" and i > 0}  # of f"{kind}_interval"
    if not twice:
        words |= {name, parts[-1]}
    if words & source.words:
        return True
    return (path[-2], name) in source.pairs if twice and len(path) > 1 else name in source.names


def unread(cls: type[Params], packages: set[str]) -> list[str]:
    """Return the paths of a tree that nothing reads."""
    found = list(leaves(cls))
    times = Counter(path[-1] for path, _, _ in found)
    for _, leaf, _ in found:
        if isinstance(leaf, Plugin):
            packages = packages | {_package(i) for i in first_party() if i.slot == leaf.slot}
    refused = {e.path for e in walk(cls(), templates=True) if e.unavailable}
    missing = []
    for path, leaf, declared in found:
        if ".".join(public_name(p) for p in path) in refused:
            continue  # the host refuses it, with the reason
        if isinstance(leaf, Choice) and not isinstance(leaf, Plugin) and len(leaf.choices()) == 1:
            continue  # there is nothing to choose
        if _belongs_to_the_host(path) or (isinstance(leaf, FolderParam) and leaf.working):
            continue
        if not any(is_read(path, times[path[-1]] > 1, readings(p)) for p in packages | {declared}):
            missing.append(".".join(public_name(p) for p in path))
    return missing


def _belongs_to_the_host(path: tuple[str, ...]) -> bool:
    """Whether the host reads the parameter in any program: where the work is done, the run record, the log."""
    by_the_host = {("mp", "nproc"), ("mp", "njobs"), ("mp", "method"), ("output", "log"), ("output", "compact")}
    return path[-2:] in by_the_host or path[0] == "run"


def _package(info: PluginInfo) -> str:
    return info.target.split(":")[0].split(".")[0]


@pytest.mark.parametrize("info", first_party(), ids=lambda i: f"{i.slot}-{i.name}")
def test_every_parameter_of_a_plugin_is_read(info: PluginInfo) -> None:
    cls = PluginHost().load(info.slot, info.name).Params
    missing = set(unread(cls, {_package(info)})) if cls else set()
    excused = {path for slot, name, path in EXCEPTIONS if (slot, name) == (info.slot, info.name)}
    assert missing - excused == set(), "accepted and ignored: let them act, or refuse them with the reason"
    assert excused - missing == set(), "these are seen now: take them out of the exceptions"


def test_what_belongs_to_the_host_is_read_by_it() -> None:
    """mp, run.seed, ... of all programs: these names the test above leaves out."""
    paths = [("mp", "method"), ("mp", "nproc"), ("output", "log"), ("output", "compact")]
    paths += [(*e.path.split("."),) for e in walk(HostParams())]
    for path in paths:
        assert _belongs_to_the_host(path)
        assert is_read(path, False, readings("spindle")), path


SOURCE = """
class Params:
    class block(Params):
        units = Choice(["a", "b"])
        size = Float(1.0)
        nproc = Int(1)
def run(self, params):
    block = params.block
    size, other = block.size, 1
    return getattr(params, f"{size}_interval"), params.mp.nproc
"""


@pytest.mark.parametrize(
    ("path", "twice", "read"),
    [
        (("block", "units"), False, False),
        (("block", "size"), False, True),
        (("block", "size"), True, True),
        (("other", "size"), True, False),
        (("block", "nproc"), True, False),
        (("mp", "nproc"), True, True),
        (("scale_interval",), False, True),
        (("scale_width",), False, False),
    ],
)
def test_the_search_tells_what_is_read_from_what_is_declared(path, twice, read) -> None:
    assert is_read(path, twice, Readings(SOURCE)) is read
