"""The experiment file: JSON with lists of models and experiments that point into them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from spindle.errors import FileFormatError, ModelError
from spindle.models import Experiment, Experiments, ImageSet

from .atomic import atomic_write
from .maps import with_distortion
from .models import FROM_DICT, TO_DICT

MODEL_KEYS = ("beam", "detector", "goniometer", "scan", "crystal", "profile", "scaling_model")


def read_experiments(path: str | os.PathLike[str]) -> Experiments:
    """Read an experiment file.

    Raises
    ------
    FileFormatError
        If the file is not JSON, not an experiment list, a Python pickle, or refers to models that it does not hold.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise FileFormatError(f"{path}: cannot be read: {error.strerror}") from error
    if content[:1] == b"\x80":
        raise FileFormatError(
            f"{path}: this is a Python pickle of old DIALS; write it as .expt in DIALS and give that file"
        )
    try:
        data = json.loads(content)
    except (ValueError, UnicodeDecodeError) as error:
        raise FileFormatError(f"{path}: not an experiment file, or damaged: {error}") from error
    if not isinstance(data, dict) or data.get("__id__") != "ExperimentList":
        raise FileFormatError(f"{path}: a JSON file, but not an experiment list ('__id__' is not 'ExperimentList')")
    try:
        return experiments_from_dict(data, folder=path.parent)
    except (KeyError, IndexError, TypeError, ValueError, ModelError) as error:
        detail = f"missing {error}" if isinstance(error, KeyError) else str(error)
        raise FileFormatError(f"{path}: {detail}; the file is damaged or of another kind") from error


def experiments_from_dict(data: dict[str, Any], folder: Path | None = None) -> Experiments:
    """Experiments from the decoded JSON; models that share an index share the object."""
    folder = folder or Path()
    lists: dict[str, list[Any]] = {}
    for key in MODEL_KEYS:
        build: Callable[[Any], Any] = FROM_DICT.get(key, lambda d: d)
        lists[key] = [None if d is None else build(d) for d in data.get(key, [])]
    imagesets = [_imageset_from_dict(d, folder) for d in data.get("imageset", [])]
    entries = data.get("experiment", [])
    for number, imageset in enumerate(imagesets):
        scans = [lists["scan"][e["scan"]] for e in entries if e.get("imageset") == number and e.get("scan") is not None]
        if scans and imageset.kind == "ImageSequence":
            union = (min(s.image_range[0] for s in scans), max(s.image_range[1] for s in scans))
            imagesets[number] = replace(imageset, image_range=union)
    items = []
    for number, entry in enumerate(entries):
        models: dict[str, Any] = {}
        for key in MODEL_KEYS:
            index = entry.get(key)
            if isinstance(index, str):
                other = json.loads((folder / index).read_text())
                models[key] = FROM_DICT.get(key, lambda d: d)(other)
            else:
                models[key] = None if index is None else lists[key][index]
        index = entry.get("imageset")
        models["imageset"] = None if index is None else imagesets[index]
        if models["beam"] is None or models["detector"] is None:
            raise ModelError(f"experiment {number} has no beam or no detector")
        identifier = entry.get("identifier") or ""
        items.append(Experiment(identifier=identifier, **models))
    return with_distortion(Experiments(items))


def _imageset_from_dict(data: dict[str, Any], folder: Path) -> ImageSet:
    known = {"__id__", "template", "images", "single_file_indices", "mask", "gain", "pedestal", "dx", "dy", "params"}
    known.add("number_field")
    models = {"beam", "detector", "goniometer", "scan"}  # old files repeat the models here

    def place(name: str | None) -> str | None:
        if not name:
            return None
        # A folder that is there may have $ or ~ in its name.
        is_there = os.path.isabs(name) and os.path.isdir(os.path.dirname(name))
        expanded = name if is_there else os.path.expandvars(os.path.expanduser(name))
        return expanded if os.path.isabs(expanded) else os.path.join(os.path.abspath(folder), expanded)

    kind = data.get("__id__", "ImageSequence")
    indices = data.get("single_file_indices")
    return ImageSet(
        kind="ImageSequence" if kind == "ImageSweep" else kind,
        template=place(data.get("template")),
        paths=tuple(place(p) or "" for p in data.get("images", [])),
        single_file_indices=None if not indices else tuple(int(i) for i in indices),
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
    out: dict[str, Any] = {"__id__": imageset.kind}
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
    """Write an experiment file, atomically."""
    text = json.dumps(experiments_to_dict(experiments), indent=None if compact else 2, default=_plain)
    with atomic_write(path) as temporary:
        temporary.write_text(text)


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} cannot be written to an experiment file")
