"""Thresholds tried on one image: their parameters, the pixels they find, and the command that uses them."""

from __future__ import annotations

from typing import Any

import numpy as np

import spindle
from spindle.errors import ParameterError
from spindle.images import trusted_mask
from spindle.models import Experiments, sliced
from spindle.params import Auto, Bool, Choice, Float, Int, Ints, Plugin, walk

from .image_sets import OpenSet
from .views import message

__all__ = ["fields_of_thresholds", "find_spots", "strong_pixels"]

_SCOPE = "spotfinder.threshold"


def fields_of_thresholds() -> list[dict[str, Any]]:
    """Every threshold that is installed and loads, with its parameters as fields of a form."""
    found: list[dict[str, Any]] = []
    for name in sorted(Plugin("threshold").choices()):
        try:
            handle = spindle.algorithm("threshold", name)
        except spindle.errors.UserError as error:
            found.append({"name": name, "problem": str(error), "fields": []})
            continue
        fields = []
        for entry in walk(handle.params):
            leaf: Any = entry.leaf
            kind = next((k for k, c in _FIELDS.items() if isinstance(leaf, c)), "text")
            value = entry.value
            fields.append({
                "name": entry.path,
                "kind": kind,
                "value": "Auto" if value is Auto else list(value) if isinstance(value, tuple) else value,
                "choices": [str(c) for c in leaf.choices()] if kind == "choice" else None,
                "help": leaf.help,
            })  # fmt: skip
        found.append({"name": name, "scope": _scope(name), "fields": fields})
    return found


_FIELDS: dict[str, Any] = {"bool": Bool, "choice": Choice, "number": (Float, Int), "numbers": Ints}


def _scope(name: str) -> str:
    handle = spindle.algorithm("threshold", name)
    return str(getattr(handle.plugin, "scope", "") or name)


def _assignments(algorithm: str, values: dict[str, Any]) -> dict[str, Any]:
    if algorithm not in Plugin("threshold").choices():
        raise ParameterError(f"threshold {algorithm}: installed are {', '.join(sorted(Plugin('threshold').choices()))}")
    return {name: None if value == "" else value for name, value in values.items()}


def strong_pixels(one: OpenSet, image: int, algorithm: str, values: dict[str, Any]) -> bytes:
    """The strong pixels of an image: header with their number, and x, y (int32) of each in the picture."""
    given = _assignments(algorithm, values)
    threshold = spindle.algorithm("threshold", algorithm, **{k.replace(".", "__"): v for k, v in given.items()})
    sequence, place = one.frames[image]
    experiment = sequence.experiment
    panels = sequence.read(place)
    places, n_strong, n_good = [], 0, 0
    for k, (pixels, static, panel) in enumerate(zip(panels, one.masks, experiment.detector, strict=True)):
        good = trusted_mask(pixels, static, *panel.trusted_range, np.empty(pixels.shape, np.bool_))
        correction = sequence.corrections[k]
        values_of = pixels
        if correction.is_needed:
            values_of = correction.apply(pixels, np.empty(pixels.shape, np.float32))
        strong = threshold.find_strong(
            image=values_of, mask=good, gain=1.0, panel=panel, beam=experiment.beam, corner=(0, 0),
            out=np.empty(pixels.shape, np.bool_),
        )  # fmt: skip
        y, x = np.nonzero(strong)
        n_strong += len(x)
        n_good += int(np.count_nonzero(good))
        centres = (
            np.column_stack([x + 0.5, y + 0.5]) @ one.canvas.placements[k][:, :2].T + one.canvas.placements[k][:, 2]
        )
        places.append(np.floor(centres).astype("<i4"))
    header = {"n_strong": n_strong, "n_good": n_good, "command": command_of(one, algorithm, given)}
    return message(header, np.concatenate(places)[:400_000])


def command_of(one: OpenSet, algorithm: str, values: dict[str, Any]) -> str:
    """The command line of find_spots that uses a threshold with these parameters."""
    defaults = {e.path: e.value for e in walk(spindle.algorithm("threshold", algorithm).params)}
    words = []
    for name, value in values.items():
        default = defaults.get(name)
        default = list(default) if isinstance(default, tuple) else "Auto" if default is Auto else default
        if value != default:
            text = ",".join(str(v) for v in value) if isinstance(value, list) else str(value)
            words.append(f"{_SCOPE}.{_scope(algorithm)}.{name}={text}")
    return " ".join(["spindle find_spots imported.expt", f"{_SCOPE}.algorithm={algorithm}", *words])


def find_spots(one: OpenSet, image: int, algorithm: str, values: dict[str, Any]) -> dict[str, Any]:
    """The spots of one image, as `spindle find_spots` finds them with these parameters."""
    given = _assignments(algorithm, values)
    sequence, place = one.frames[image]
    experiment = sequence.experiment
    scan = experiment.scan
    if scan is not None:
        number = scan.image_range[0] + place
        experiment = sliced([experiment], [(number, number)])[0]
    scope = _scope(algorithm)
    words = {f"{_SCOPE}.{scope}.{name}": value for name, value in given.items()}
    result = spindle.run(
        "find_spots", Experiments([experiment]), **{f"{_SCOPE}.algorithm": algorithm, "mp.nproc": 1, **words}
    )
    table = result.reflections
    n = 0 if table is None else len(table)
    spots = []
    if table is not None and n:
        for panel, (x, y, _) in zip(table["panel"].tolist(), table["xyzobs.px.value"].tolist(), strict=True):
            at = one.canvas.placements[panel] @ (x, y, 1.0)
            spots.append(np.round(at, 2).tolist())
    return {"n_spots": n, "spots": spots[:20_000], "command": command_of(one, algorithm, given)}
