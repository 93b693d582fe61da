"""What a worker does: find the spots of one image with the very programs of the command line, and judge them."""

from __future__ import annotations

import logging
import os
import time
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from spindle.errors import FileFormatError, ParameterError, PluginError, UserError
from spindle.execution import HeardWarnings, Session
from spindle_lib_serving.allowed import AllowedFolders, ImageName
from spindle_lib_serving.refusal import Refusal

if TYPE_CHECKING:
    from spindle.contracts import ProgramResult
    from spindle.models import Experiments
    from spindle.params import Params
    from spindle.table import ReflectionTable

__all__ = ["Analyst"]

log = logging.getLogger(__name__)

# Parameters of the two programs that mean nothing here, with the reason.
_WRITES = "this server writes nothing"
_WORKERS = "the server decides how the work is shared; leave it out"
_ONE_IMAGE = "a request is about one image, which its address names; leave it out"
_REFUSED = {
    "output.": _WRITES,
    "index.output.": _WRITES,
    "spotfinder.write_hot_mask": _WRITES,
    "spotfinder.hot_mask_prefix": _WRITES,
    "spotfinder.mp.": _WORKERS,
    "index.indexing.nproc": _WORKERS,
    "index.refinement.mp.": _WORKERS,
    "spotfinder.scan_range": _ONE_IMAGE,
    "spotfinder.exclude_images": _ONE_IMAGE,
    "per_image_statistics": "the answer is just that; leave it out",
    "spotfinder.compute_mean_background": "it changes no number of the answer; leave it out",
}

_OF_IMPORT = ("import.geometry.", "import.format.")

_MANY = 8
"""How many parameter trees and opened series are kept."""


class Analyst:
    """Answers questions about images, one after the other.

    Parameters
    ----------
    allowed : AllowedFolders
        What may be read.
    """

    def __init__(self, allowed: AllowedFolders) -> None:
        self.allowed = allowed
        self._trees: OrderedDict[Hashable, Params] = OrderedDict()
        self._series: OrderedDict[Hashable, Experiments] = OrderedDict()

    def answer(self, question: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Answer one question.

        Parameters
        ----------
        question : dict
            `Question.to_dict`.

        Returns
        -------
        status : int
            HTTP status.
        content : dict
            The analysis, or ``error``.
        """
        try:
            return 200, self._analyse(question)
        except Refusal as refusal:
            return refusal.status, {"image": question["image"], "error": refusal.reason}
        except (ParameterError, PluginError) as error:
            return 400, {"image": question["image"], "error": _message(error)}
        except UserError as error:
            return 422, {"image": question["image"], "error": _message(error)}
        except PermissionError as error:
            return 403, {"image": question["image"], "error": f"{error.filename}: {error.strerror}"}
        except MemoryError as error:
            reason = f"needs more memory than a worker may take ({error}); the server's memory= sets the limit"
            return 422, {"image": question["image"], "error": f"the image, with these parameters, {reason}"}
        except Exception as error:
            log.exception("%s", question["image"])
            return 500, {
                "image": question["image"],
                "error": f"{type(error).__name__}: {error}. This is a bug; the server's output has the traceback",
            }

    def _analyse(self, question: dict[str, Any]) -> dict[str, Any]:
        from spindle_lib_spots.image_quality import analyse_image

        start = time.perf_counter()
        params = self._params(question["parameters"], question["index"])
        image = self.allowed.image(question["image"])
        timings: dict[str, float] = {}
        with HeardWarnings() as heard:
            session = Session("find_spots", params)
            found, number = self._find_spots(image, session)
            timings["find_spots"] = time.perf_counter() - start
            lap = time.perf_counter()
            assert found.experiments is not None and found.reflections is not None
            spots = found.reflections
            content: dict[str, Any] = {"image": question["image"]}
            content |= analyse_image(found.experiments[number], spots)
            timings["analysis"] = time.perf_counter() - lap
            if question["index"]:
                lap = time.perf_counter()
                content |= _indexed(found.experiments, number, image, spots, session)
                timings["index"] = time.perf_counter() - lap
        if heard.messages:
            content["warnings"] = [text for _, text in heard.messages]
        timings["total"] = time.perf_counter() - start
        content["timings"] = {name: round(seconds, 6) for name, seconds in timings.items()}
        return content

    def _find_spots(self, image: ImageName, session: Session) -> tuple[ProgramResult, int]:
        """Result of find_spots, and position of the experiment that holds the image."""
        experiments = self._experiments(image, session)
        position = _position(experiments, image)
        if image.number is not None:
            session = session.changed(spotfinder__scan_range=[(image.number, image.number)])
        return session.run(experiments), position

    def _experiments(self, image: ImageName, session: Session) -> Experiments:
        """Experiments of a file; those of a file of many images are kept.

        Raises
        ------
        Refusal
            If the file has many images and none was named.
        """
        from spindle.params import plugin_scope, to_dict

        state = os.stat(image.path)
        scope = plugin_scope(session.params, "program", "import")
        geometry = repr(to_dict(scope)) if scope is not None else ""
        key = (os.path.realpath(image.path), state.st_mtime_ns, state.st_size, geometry)
        experiments = self._series.get(key)
        if experiments is None or _find(experiments, image) is None:  # the series may have grown meanwhile
            self.allowed.linked_files(image.path)
            experiments = session.run_program("import", files=[image.path]).experiments
            assert experiments is not None
        n = sum(e.scan.n_images if e.scan is not None else 1 for e in experiments)
        if n > 1:
            _remember(self._series, key, experiments)
        if n > 1 and image.number is None:
            raise Refusal(
                400, f"image {image.path}: holds {n} images; say which one, {image.path}:1 to {image.path}:{n}"
            )
        return experiments

    def _params(self, given: list[list[Any]], index: bool) -> Params:
        """Effective parameters of a question; those of find_spots come before those of index.

        Raises
        ------
        ParameterError, PluginError, Refusal
        """
        key = repr((given, index))
        tree = self._trees.get(key)
        if tree is None:
            tree = _effective(given, index)
        _remember(self._trees, key, tree)
        self._check_files(tree)
        return tree

    def _check_files(self, tree: Params) -> None:
        """Raise `Refusal` when a parameter names a file that may not be read."""
        from spindle.params import PathParam, walk

        for entry in walk(tree):
            if entry.is_modified and (isinstance(entry.leaf, PathParam) or ".lookup." in f".{entry.path}"):
                if not str(entry.value).startswith("/"):
                    raise Refusal(400, f"{entry.path}={entry.value}: must be an absolute path")
                self.allowed.file(str(entry.value), f"{entry.path}=")


def _effective(given: list[list[Any]], index: bool) -> Params:
    """Parameters of find_spots, with those of import (if any is given) and index (if asked for) in scopes of these names."""
    from spindle.params import Assignment, ScopeOf, build, plugin_scope, walk

    others = {"index": ScopeOf("program", "index")} if index else {}
    cls = type("RequestParams", (type(Session("find_spots").params),), others)
    assignments = [Assignment("spotfinder.mp.nproc", 1, "server")]
    if given:
        with_import = type("RequestParams", (cls,), {"import_": ScopeOf("program", "import")})
        known = [e.path for e in walk(build(with_import), templates=True)]
        assignments += [Assignment(_meant(known, name), value, "request") for name, value in given]
        tree = build(with_import, assignments)
        elsewhere = [f".{path}" for path in known if not path.startswith("import.")]
        if not all(any(path.endswith(f".{name}") for path in elsewhere) for name, _ in given) or any(
            e.is_modified for e in walk(plugin_scope(tree, "program", "import") or tree)
        ):
            cls = with_import  # otherwise it stays out: each import would copy it
    tree = build(cls, assignments)
    for entry in walk(tree):
        is_ours = entry.path == "spotfinder.mp.nproc" and entry.value == 1
        if entry.is_modified and not is_ours and (reason := _refusal(entry.path)):
            raise ParameterError(f"{entry.path}={entry.text}: {reason}")
    return tree


def _refusal(path: str) -> str:
    """Why a parameter may not be given; empty for one that may."""
    if path.startswith("import.") and not path.startswith(_OF_IMPORT):
        return "of the parameters of spindle import only geometry.* and format.* may be given"
    return next((reason for start, reason in _REFUSED.items() if f"{path}.".startswith(start)), "")


def _meant(known: list[str], name: str) -> str:
    """The path that is meant by a name that fits several: the outermost, and of find_spots before others.

    ``d_min`` is spotfinder.filter.d_min rather than that of the ice rings inside, as clients of DIALS expect;
    ``unit_cell`` that of the crystal when it is indexed.
    """
    found = [p for p in known if p.endswith("." + name)]
    if len(found) < 2 or name in known:
        return name
    found = [p for p in found if not p.startswith("import.") or p.startswith(_OF_IMPORT)] or found
    depths = [p.count(".") - p.startswith(("import.", "index.")) for p in found]
    outermost = [p for p, depth in zip(found, depths, strict=True) if depth == min(depths)]
    best = [p for p in outermost if not p.startswith(("import.", "index."))] or outermost
    return best[0] if len(best) == 1 else name


def _ranges(experiments: Experiments) -> list[tuple[int, int]]:
    """First and last image number of each experiment."""
    return [e.scan.image_range if e.scan is not None else (i + 1, i + 1) for i, e in enumerate(experiments)]


def _find(experiments: Experiments, image: ImageName) -> int | None:
    """Position of the experiment that holds the image."""
    if image.number is None:
        return 0
    return next((i for i, (a, b) in enumerate(_ranges(experiments)) if a <= image.number <= b), None)


def _position(experiments: Experiments, image: ImageName) -> int:
    """As `_find`; raises `Refusal` when no experiment holds the image."""
    found = _find(experiments, image)
    if found is None:
        ranges = _ranges(experiments)
        first, last = min(r[0] for r in ranges), max(r[1] for r in ranges)
        raise Refusal(404, f"image {image.path}:{image.number}: there is no such image; the file has {first} to {last}")
    return found


def _indexed(
    experiments: Experiments, number: int, image: ImageName, spots: ReflectionTable, session: Session
) -> dict[str, Any]:
    """Lattices of the spots of an image, with what could not be indexed said in ``indexing_error``."""
    from spindle.files import crystal_to_dict
    from spindle.models import Experiments
    from spindle.table import Flag, rows_by_value

    nothing = {"n_indexed": 0, "fraction_indexed": 0.0, "lattices": []}
    if not len(spots):
        return {**nothing, "indexing_error": "there are no spots"}
    experiment = experiments[number]
    if experiment.scan is not None and image.number is not None:
        scan = experiment.scan
        experiment = replace(experiment, scan=scan.slice(image.number, image.number))
    table = spots.copy()
    table["id"] = table["id"] * 0
    table.identifiers = {}
    try:
        result = session.run_program("index", experiments=Experiments([experiment]), reflections=table)
    except (ParameterError, PluginError, FileFormatError):
        raise
    except UserError as error:
        return {**nothing, "indexing_error": _message(error)}
    assert result.experiments is not None and result.reflections is not None
    is_indexed = (result.reflections["flags"] & int(Flag.INDEXED)) != 0
    rows_of = rows_by_value(result.reflections["id"][is_indexed])
    lattices = []
    for i, found in enumerate(result.experiments):
        n = len(rows_of.get(i, ()))
        assert found.crystal is not None
        lattices.append(
            {
                "crystal": crystal_to_dict(found.crystal),
                "unit_cell": found.crystal.cell.tolist(),
                "space_group": found.crystal.space_group.hm,
                "n_indexed": n,
                "fraction_indexed": n / len(spots),
            }
        )
    total = int(is_indexed.sum())
    return {"n_indexed": total, "fraction_indexed": total / len(spots), "lattices": lattices}


def _message(error: BaseException) -> str:
    notes = "".join(f" ({note})" for note in getattr(error, "__notes__", ()))
    return f"{error}{notes}"


def _remember(store: OrderedDict[Hashable, Any], key: Hashable, value: Any) -> None:
    store[key] = value
    store.move_to_end(key)
    while len(store) > _MANY:
        store.popitem(last=False)
