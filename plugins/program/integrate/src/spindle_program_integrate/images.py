"""Which images: ranges, exclusions, groups of experiments on the same images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from spindle.errors import UserError
from spindle.models import Experiments, named_by_images, sliced
from spindle.table import ReflectionTable


def restrict_scan(
    experiments: Experiments, ranges: Sequence[Sequence[int]], reference: ReflectionTable | None
) -> tuple[Experiments, ReflectionTable | None]:
    """Experiments cut to ranges of array indices, one per experiment and range, and the reference spots within.

    Parameters
    ----------
    experiments : Experiments
    ranges : sequence of (int, int)
        Half-open ranges of array indices.
    reference : ReflectionTable or None
    """
    items, parts = [], []
    rows_of = {} if reference is None else reference.rows_by_experiment()
    wanted = [(i, int(a), int(b)) for i in range(len(experiments)) for a, b in ranges]
    for i, a, b in wanted:
        scan = experiments[i].scan
        if scan is None:
            raise UserError("integrate: scan_range needs experiments with a scan")
        r0, r1 = scan.array_range
        if not r0 <= a < b <= r1:
            raise UserError(f"integrate: scan_range={a},{b} is not within the array range {r0},{r1} of experiment {i}")
    cut = sliced([experiments[i] for i, _, _ in wanted], [(a + 1, b) for _, a, b in wanted])
    numbers = [i for i, _, _ in wanted]
    cut = named_by_images(cut, [experiments[i] for i in numbers], numbers)
    for (i, a, b), experiment in zip(wanted, cut, strict=True):
        items.append(experiment)
        if reference is not None:
            rows = rows_of.get(i, np.zeros(0, np.int64))
            z = reference["xyzobs.px.value"][rows, 2]
            part = reference.select(rows[(z >= a) & (z < b)])
            part["id"] = np.full(len(part), len(items) - 1, np.int32)
            part.identifiers = {len(items) - 1: items[-1].identifier}
            parts.append(part)
    joined = ReflectionTable.concatenate(parts) if parts else reference
    return Experiments(items), joined


def image_groups(experiments: Experiments) -> list[list[int]]:
    """Indices of experiments that are on the same images, so that their spots are treated together."""
    groups: dict[tuple[Any, ...], list[int]] = {}
    for i, experiment in enumerate(experiments):
        images = experiment.imageset
        key: tuple[Any, ...] = (
            (images.template, images.paths, experiment.scan.array_range if experiment.scan else None)
            if images
            else (i,)
        )
        groups.setdefault(key, []).append(i)
    return list(groups.values())
