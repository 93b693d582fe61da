"""Names of experiments that follow from what they are: a repeated import gives the same bytes."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

from spindle.files import experiments_to_dict
from spindle.models import Experiment, Experiments, derived_identifier

from .grouping import Frame

END_BYTES = 1 << 16


def content_of(frame: Frame) -> str:
    """What tells an image from all others wherever it lies: name and size of its file, hash of both ends, number in it."""
    path = Path(frame.header.path)
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        for start in (0, max(size - END_BYTES, END_BYTES)):
            stream.seek(start)
            digest.update(stream.read(END_BYTES))
    return f"{path.name} {size} {digest.hexdigest()} {frame.header.index}"


def named_by_content(items: list[Experiment]) -> Experiments:
    """The experiments with identifiers from what they are called now and from their models."""
    content = experiments_to_dict(Experiments(items))
    digests = {
        key: [hashlib.sha256(json.dumps(model, default=str).encode()).hexdigest() for model in content[key]]
        for key in ("beam", "detector", "goniometer", "scan")
    }
    named, used = [], set()
    for item, entry in zip(items, content["experiment"], strict=True):
        models = [digests[key][entry[key]] for key in digests if key in entry]
        name = derived_identifier(item.identifier, *models)
        while name in used:  # the same image given twice
            name = derived_identifier(name, "again")
        used.add(name)
        named.append(replace(item, identifier=name))
    return Experiments(named)
