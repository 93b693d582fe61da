"""The experiment file: JSON with lists of models and experiments that point into them."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from spindle.errors import FileFormatError, ModelError
from spindle.models import Experiment, Experiments, ImageSet
from spindle.models.arrays import shortened, whole_number
from spindle.printable import CONTROL
from spindle.regular import read_regular

from .atomic import atomic_write
from .maps import with_distortion
from .models import FROM_DICT, TO_DICT
from .strict_json import json_content

MODEL_KEYS = ("beam", "detector", "goniometer", "scan", "crystal", "profile", "scaling_model")
KINDS_OF_IMAGES = ("ImageSequence", "ImageSet", "ImageGrid", "MemImageSet")
SCAN_POINTS = (
    ("beam", "s0_at_scan_points"), ("goniometer", "setting_rotation_at_scan_points"), ("crystal", "A_at_scan_points"),
)  # fmt: skip
LONGEST_PATH = 4096
MOST_BYTES = 1 << 31  # 10,000 scan-varying crystals have a tenth of that
_MAYBE_CONTROL = re.compile(
    r"\\(?:u00[0189]|u202|u206|[bfnrt])"
)  # a control character in JSON, or a backslash before such a letter
# What wrong content can raise on its way into models.
DAMAGE = (AttributeError, IndexError, OverflowError, RecursionError, TypeError, ValueError, np.linalg.LinAlgError)


def read_experiments(path: str | os.PathLike[str]) -> Experiments:
    """Read an experiment file.

    Raises
    ------
    FileFormatError
        If the file is not JSON, not an experiment list, a Python pickle, or refers to models that it does not hold.
    """
    path = Path(path)
    content = read_regular(path, MOST_BYTES, "an experiment file", "check the name of the experiment file")
    if content[:1] == b"\x80":
        raise FileFormatError(
            f"{path}: this is a Python pickle of old DIALS; write it as .expt in DIALS and give that file"
        )
    if not content.strip():
        raise FileFormatError(f"{path}: the file is empty; run the step that wrote it again")
    try:
        data = json_content(content)
    except ValueError as error:
        raise FileFormatError(f"{path}: not an experiment file, or damaged: {error}") from error
    if not isinstance(data, dict) or data.get("__id__") != "ExperimentList":
        raise FileFormatError(f"{path}: a JSON file, but not an experiment list ('__id__' is not 'ExperimentList')")
    try:
        return experiments_from_dict(data, folder=path.parent)
    except ModelError as error:
        raise FileFormatError(
            f"{path}: {error}; mend it in the program that wrote the file, or write it again"
        ) from error


@contextmanager
def _at(place: str) -> Iterator[None]:
    """Name the place in the file in every error that wrong content can cause."""
    try:
        yield
    except FileFormatError:
        raise
    except ModelError as error:
        raise ModelError(f"{place}: {error}") from error
    except KeyError as error:
        raise ModelError(f"{place}: {error} is missing") from error
    except DAMAGE as error:
        raise ModelError(f"{place}: not understood ({type(error).__name__}: {shortened(str(error))})") from error


def experiments_from_dict(data: dict[str, Any], folder: Path | None = None) -> Experiments:
    """Experiments from the decoded JSON; models that share an index share the object.

    Raises
    ------
    ModelError
        If something is missing, of the wrong type, impossible or points to a model that is not there; the message begins with
        the place, ``beam[0]: ...``.
    """
    folder = folder or Path()
    check_finite(data)
    lists: dict[str, list[Any]] = {}
    for key in (*MODEL_KEYS, "imageset"):
        lists[key] = []
        for number, content in enumerate(_list_of(data, key)):
            with _at(f"{key}[{number}]"):
                lists[key].append(None if content is None else _model(key, content, folder))
    items: list[Experiment] = []
    known: dict[str, int] = {}
    for number, entry in enumerate(_list_of(data, "experiment")):
        with _at(f"experiment[{number}]"):
            item = _experiment(entry, lists, folder)
            if item.identifier and known.setdefault(item.identifier, number) != number:
                raise ModelError(
                    f"the identifier {item.identifier} is that of experiment[{known[item.identifier]}] too"
                )
            items.append(item)
    return with_distortion(Experiments(_with_image_ranges(items)))


def _list_of(data: dict[str, Any], key: str) -> list[Any]:
    found = data.get(key)
    if found is None:
        return []
    if not isinstance(found, list):
        raise ModelError(f"{key}: a list expected, found {shortened(found)}")
    return found


def _model(key: str, content: Any, folder: Path) -> Any:
    if not isinstance(content, dict):
        raise ModelError(f"a JSON object expected, found {shortened(content)}")
    if key == "imageset":
        return _imageset_from_dict(content, folder)
    build: Callable[[Any], Any] = FROM_DICT.get(key, lambda d: d)
    return build(content)


def _experiment(entry: Any, lists: dict[str, list[Any]], folder: Path) -> Experiment:
    if not isinstance(entry, dict):
        raise ModelError(f"a JSON object expected, found {shortened(entry)}")
    models: dict[str, Any] = {}
    for key in (*MODEL_KEYS, "imageset"):
        index = entry.get(key)
        if isinstance(index, str) and key != "imageset":
            models[key] = _model(key, _other_file(folder / index), folder)
        elif index is None:
            models[key] = None
        else:
            models[key] = lists[key][whole_number(index, f"its {key}", 0, len(lists[key]) - 1)]
    if models["beam"] is None or models["detector"] is None:
        raise ModelError("it has no beam or no detector")
    identifier = entry.get("identifier") or ""
    if not isinstance(identifier, str):
        raise ModelError(f"its identifier is {shortened(identifier)}: a text expected")
    scan = models["scan"]
    for key, points in SCAN_POINTS:
        values = None if models[key] is None else getattr(models[key], points)
        if values is not None and scan is not None and len(values) != scan.n_images + 1:
            raise ModelError(
                f"{points} of its {key} has {len(values)} values, its scan {scan.n_images} images (and one more edge)"
            )
    return Experiment(identifier=identifier, **models)


def _other_file(path: Path) -> Any:
    try:
        return json_content(read_regular(path, MOST_BYTES, "a model", "mend the name of the model's file"))
    except FileFormatError as error:
        raise ModelError(f"its model is in another file: {error}") from error


def _with_image_ranges(items: list[Experiment]) -> list[Experiment]:
    """Experiments whose image sequences know the images that all scans which share them need."""
    ranges: dict[int, tuple[int, int]] = {}
    for item in items:
        if item.scan is not None and item.imageset is not None and item.imageset.kind == "ImageSequence":
            first, last = item.scan.image_range
            found = ranges.get(id(item.imageset), (first, last))
            ranges[id(item.imageset)] = (min(found[0], first), max(found[1], last))
    changed: dict[int, ImageSet] = {}
    out = []
    for item in items:
        images = item.imageset
        if images is not None and id(images) in ranges:
            if id(images) not in changed:
                changed[id(images)] = replace(images, image_range=ranges[id(images)])
            item = replace(item, imageset=changed[id(images)])
        out.append(item)
    return out


def check_finite(data: Any) -> None:
    """Raise ModelError, naming the place, for NaN and infinities, which are no JSON, and for control characters."""
    stack: list[tuple[str, Any]] = [("", data)]
    while stack:
        place, value = stack.pop()
        if isinstance(value, dict):
            stack += [(f"{place}.{key}" if place else str(key), inner) for key, inner in value.items()]
        elif isinstance(value, list):
            stack += [(f"{place}[{i}]", v) for i, v in enumerate(value) if not isinstance(v, int)]
        elif isinstance(value, float) and not math.isfinite(value):
            raise ModelError(f"{place} is {value}: a finite number expected")
        elif isinstance(value, str) and not value.isprintable() and CONTROL.search(value):
            raise ModelError(f"{place} is {shortened(value)}: text without control characters expected")


def _imageset_from_dict(data: dict[str, Any], folder: Path) -> ImageSet:
    known = {"__id__", "template", "images", "single_file_indices", "mask", "gain", "pedestal", "dx", "dy", "params"}
    known.add("number_field")
    models = {"beam", "detector", "goniometer", "scan"}  # old files repeat the models here

    def place(name: str | None) -> str | None:
        if not name:
            return None
        if not isinstance(name, str) or "\0" in name:
            raise ModelError(f"{shortened(name)} is no file name")
        if len(name) > LONGEST_PATH:
            raise ModelError(f"a file name has {len(name)} characters: at most {LONGEST_PATH} expected")
        # A folder that is there may have $ or ~ in its name.
        is_there = os.path.isabs(name) and os.path.isdir(os.path.dirname(name))
        expanded = name if is_there else os.path.expandvars(os.path.expanduser(name))
        return expanded if os.path.isabs(expanded) else os.path.join(os.path.abspath(folder), expanded)

    kind = data.get("__id__", "ImageSequence")
    kind = "ImageSequence" if kind == "ImageSweep" else kind
    if kind not in KINDS_OF_IMAGES:
        raise ModelError(f"its kind is {shortened(kind)}: one of {', '.join(KINDS_OF_IMAGES)} expected")
    indices = data.get("single_file_indices")
    paths = data.get("images") or []
    if not isinstance(paths, list):
        raise ModelError(f"its images are {shortened(paths)}: a list of file names expected")
    return ImageSet(
        kind=kind,
        template=place(data.get("template")),
        paths=tuple(place(p) or "" for p in paths),
        single_file_indices=None if not indices else tuple(whole_number(i, "a frame", 0) for i in indices),
        **{key: place(data.get(key)) for key in ("mask", "gain", "pedestal", "dx", "dy")},  # type: ignore[arg-type]
        params=dict(data.get("params") or {}),
        extra={k: v for k, v in data.items() if k not in known | models},
        number_field=_number_field(data.get("number_field")),
    )


def _number_field(value: Any) -> tuple[int, int] | None:
    """Where the number is in a template whose names hold # themselves."""
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 2 or not all(type(v) is int and 0 <= v < 256 for v in value):
        raise FileFormatError(f"imageset, number_field: expected two numbers of characters, found {value!r}")
    return value[0], value[1]


def _imageset_to_dict(imageset: ImageSet) -> dict[str, Any]:
    out: dict[str, Any] = {"__id__": imageset.kind if imageset.arrays is None else "MemImageSet"}
    if imageset.template is not None:
        out["template"] = imageset.template
    if imageset.number_field is not None:
        out["number_field"] = list(imageset.number_field)
    if imageset.kind != "ImageSequence" or imageset.template is None:
        out["images"] = list(imageset.paths)
    for key in ("mask", "gain", "pedestal", "dx", "dy"):
        out[key] = getattr(imageset, key)
    if imageset.single_file_indices is not None:
        out["single_file_indices"] = list(imageset.single_file_indices)
    out["params"] = dict(imageset.params)
    out.update(imageset.extra)
    return out


def experiments_to_dict(experiments: Experiments) -> dict[str, Any]:
    """The JSON structure; each distinct model (by identity) is written once."""
    out: dict[str, Any] = {"__id__": "ExperimentList", "experiment": [], "imageset": []}
    out.update({key: [] for key in MODEL_KEYS})
    places: dict[str, dict[int, int]] = {key: {} for key in (*MODEL_KEYS, "imageset")}
    for item in experiments:
        entry: dict[str, Any] = {"__id__": "Experiment", "identifier": item.identifier}
        for key in (*MODEL_KEYS, "imageset"):
            model = getattr(item, key)
            if model is None:
                continue
            if id(model) not in places[key]:
                places[key][id(model)] = len(out[key])
                encode: Any = _imageset_to_dict if key == "imageset" else TO_DICT.get(key, lambda d: d)
                out[key].append(encode(model))
            entry[key] = places[key][id(model)]
        out["experiment"].append(entry)
    return out


def write_experiments(experiments: Experiments, path: str | os.PathLike[str], compact: bool = False) -> None:
    """Write an experiment file, atomically.

    Raises
    ------
    ModelError
        If a model holds something that is not finite, or a name with control characters.
    """
    content = experiments_to_dict(experiments)
    indent = None if compact else 2
    try:
        text = json.dumps(content, indent=indent, default=_plain, allow_nan=False)
    except ValueError as error:
        check_finite(json.loads(json.dumps(content, default=_plain)))
        raise ModelError(f"{path} cannot be written: {error}") from error
    if _MAYBE_CONTROL.search(text):  # what would not be read again
        check_finite(json.loads(text))
    with atomic_write(path) as temporary:
        temporary.write_text(text)


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be written to an experiment file")
