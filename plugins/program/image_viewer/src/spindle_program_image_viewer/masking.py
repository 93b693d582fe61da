"""Masks that are drawn in the page: what they mask, why a pixel is masked, and the files and command that `spindle generate_mask` would make."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

import spindle
from spindle.errors import ParameterError
from spindle.execution import check_writable
from spindle.files import atomic_write
from spindle.models import Experiments
from spindle.params import Assignment, build, walk
from spindle_lib_masks.rules import MaskingParams, masked_by_rule

from .image_sets import OpenSet

__all__ = ["apply_rules", "command_of", "params_of", "reasons", "write_mask_files"]

_SHAPES = {"circle": 3, "rectangle": 4, "polygon": None, "pixel": 2}


def params_of(rules: dict[str, Any], shapes: list[dict[str, Any]]) -> Any:
    """`MaskingParams` of what the page says.

    Parameters
    ----------
    rules : dict
        Values by dotted name; None and empty text leave a rule out.
    shapes : list of dict
        Each with ``panel`` and one of circle, rectangle, polygon, pixel: whole numbers as for generate_mask.
    """
    assignments = [
        Assignment(name, tuple(value) if isinstance(value, list) else value, "page")
        for name, value in rules.items()
        if value not in (None, "", False)
    ]
    blocks = []
    for shape in shapes:
        kind = next((k for k in _SHAPES if k in shape), None)
        if kind is None or not all(isinstance(v, int) for v in (shape.get("panel", 0), *shape[kind])):
            raise ParameterError(
                f"shape {str(shape)[:100]}: a panel and one of {', '.join(_SHAPES)} in whole numbers expected"
            )
        blocks.append({"panel": shape.get("panel", 0), kind: tuple(shape[kind])})
    if blocks:
        assignments.append(Assignment("untrusted", blocks, "page"))
    return build(MaskingParams, assignments)


def apply_rules(one: OpenSet, params: Any) -> dict[str, Any]:
    """Mask by rules from now on in the page; say how many pixels each masks."""
    detector, beam = one.experiment.detector, one.experiment.beam
    masks = [np.ones(p.image_size[::-1], np.bool_) for p in detector]
    counts: dict[str, int] = {}
    for rule, panel, masked in masked_by_rule(params, detector, beam):
        masks[panel] &= ~masked
        counts[rule] = counts.get(rule, 0) + int(np.count_nonzero(masked))
    one.rules = params
    one.set_extra(masks if counts else None)
    return {"counts": counts, "n_masked": int(sum(np.count_nonzero(~m) for m in masks)), "command": command_of(params)}


def _words(params: Any) -> list[str]:
    words = []
    for entry in walk(params):
        if entry.is_modified and not entry.path.startswith("untrusted"):
            values = entry.value
            many = entry.path == "resolution_range"
            for value in values if many else [values]:
                text = ",".join(f"{v:g}" for v in value) if isinstance(value, list | tuple) else str(value)
                words.append(f"{entry.path}={text}")
    for shape in params.untrusted:
        if shape.panel is not None:
            words.append(f"untrusted.panel={shape.panel}")
        for kind in _SHAPES:
            if getattr(shape, kind) is not None:
                words.append(f"untrusted.{kind}={','.join(str(v) for v in getattr(shape, kind))}")
    return words


def command_of(params: Any, mask: Path | None = None) -> str:
    """The command that makes this mask."""
    more = [] if mask is None else [f"output.mask={mask}"]
    return " ".join(["spindle generate_mask imported.expt", *_words(params), *more])


def phil_of(params: Any) -> str:
    """The same as a parameter file in PHIL."""
    lines = []
    for entry in walk(params):
        if entry.is_modified and not entry.path.startswith("untrusted"):
            value = entry.value
            for one in value if entry.path == "resolution_range" else [value]:
                text = " ".join(f"{v:g}" for v in one) if isinstance(one, list | tuple) else str(one)
                lines.append(f"{entry.path} = {text}")
    for shape in params.untrusted:
        lines.append("untrusted {")
        if shape.panel is not None:
            lines.append(f"  panel = {shape.panel}")
        for kind in _SHAPES:
            if getattr(shape, kind) is not None:
                lines.append(f"  {kind} = {' '.join(str(v) for v in getattr(shape, kind))}")
        lines.append("}")
    return "\n".join(lines) + "\n"


def write_mask_files(one: OpenSet, params: Any, mask: Path, phil: Path, replace: bool) -> dict[str, Any]:
    """Write the mask file that `spindle generate_mask` makes of this, and its parameters.

    Raises
    ------
    ParameterError
        If nothing is masked, or a file is there and may not be replaced.
    """
    if not replace:
        for path in (mask, phil):
            if path.exists():
                raise ParameterError(f"{path} is there already; say that it may be replaced, or choose another name")
    check_writable(mask, "output.mask")
    check_writable(phil, "output.mask_params")
    experiment = one.experiment
    values: dict[str, Any] = {
        e.path: e.value for e in walk(params) if e.is_modified and not e.path.startswith("untrusted")
    }
    if params.untrusted:
        values["untrusted"] = [
            {n: v for n in ("panel", *_SHAPES) if (v := getattr(s, n)) is not None} for s in params.untrusted
        ]
    if not values:
        raise ParameterError("nothing is masked yet: draw a shape or give a rule")
    result = spindle.run("generate_mask", Experiments([experiment]), **{"output.mask": str(mask), **values})
    for name, writer in result.files.items():
        with atomic_write(Path(name)) as temporary:
            writer(temporary)
    with atomic_write(phil) as temporary:
        temporary.write_text(phil_of(params), encoding="utf-8")
    return {
        "written": [*result.files, str(phil)],
        "command": command_of(params, mask),
        "next": f"spindle apply_mask imported.expt {mask}",
        "n_masked": result.summary["n_masked"],
    }


def reasons(one: OpenSet, image: int, panel: int, x: int, y: int) -> list[str]:
    """Why a pixel is masked; empty for one that is used."""
    sequence, place = one.frames[image]
    experiment = sequence.experiment
    if not 0 <= panel < len(experiment.detector):
        raise ParameterError(f"panel {panel}: the detector has {len(experiment.detector)}")
    it = experiment.detector[panel]
    if not (0 <= x < it.image_size[0] and 0 <= y < it.image_size[1]):
        raise ParameterError(f"pixel {x}, {y}: panel {panel} has {it.image_size[0]} x {it.image_size[1]}")
    found = []
    declared = sequence.reader(place)[0].mask()
    if declared is not None and not declared[panel][y, x]:
        found.append("the image format declares it bad")
    for f0, s0, f1, s1 in it.mask:
        if f0 <= x < f1 and s0 <= y < s1:
            found.append(f"untrusted rectangle {f0},{f1},{s0},{s1} of the panel")
    imageset = experiment.imageset
    if imageset is not None and imageset.mask and not found and not one.frames[0][0].masks[panel][y, x]:
        found.append(f"mask file {imageset.mask}")
    if one.mask_file is not None and not one.mask_file[1][panel][y, x]:
        found.append(f"mask file {one.mask_file[0]}")
    if one.rules is not None:
        for rule, where, masked in masked_by_rule(one.rules, experiment.detector, experiment.beam):
            if where == panel and masked[y, x]:
                found.append(f"rule {rule}")
    value = float(sequence.read(place)[panel][y, x])
    low, high = it.trusted_range
    if not low <= value:
        found.append(f"its value {value:g} is below the trusted range, which begins at {low:g}")
    elif value > high:
        found.append(f"its value {value:g} is above the trusted range, which ends at {high:g}")
    return found
