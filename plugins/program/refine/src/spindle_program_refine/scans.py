"""Preparation of experiments for models that vary with the scan."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from spindle.errors import UserError
from spindle.models import Experiments, sliced
from spindle.table import ReflectionTable
from spindle_lib_refinement.flat_sphere import is_flat

MARGIN_DEG = 0.5


def all_scans(experiments: Experiments, single_image_is_still: bool) -> bool:
    """True when no experiment is a still."""
    return not any(
        e.is_still or (single_image_is_still and e.scan is not None and e.scan.n_images == 1) for e in experiments
    )


def without_shared_models(experiments: Experiments, beams: bool) -> Experiments:
    """Every scan gets crystals of its own: a crystal shared by several scans cannot vary with each of them.

    Parameters
    ----------
    experiments : Experiments
    beams : bool
        Whether beams of electrons, which drift, may vary and are given to scans in the same way.
    """
    own: dict[tuple[int, int], Any] = {}
    first: dict[int, Any] = {}

    def of_scan(model: Any, scan: Any) -> Any:
        """The model itself for the first scan that has it, a copy for each further one."""
        if first.setdefault(id(model), scan) is scan:
            return model
        return own.setdefault((id(model), id(scan)), replace(model))

    items = []
    for experiment in experiments:
        changes = {"crystal": of_scan(experiment.known_crystal, experiment.scan)}
        if beams and is_flat(experiment):
            changes["beam"] = of_scan(experiment.beam, experiment.scan)
        items.append(replace(experiment, **changes))
    return Experiments(items)


def trimmed(experiments: Experiments, table: ReflectionTable, log: Any) -> Experiments:
    """Experiments whose scans end where their indexed spots do.

    The extent of spots is that of their bounding boxes, else of their centroids widened by half a degree.

    Raises
    ------
    UserError
        If an experiment has no spots.

    """
    exchange: dict[int, tuple[int, int]] = {}
    indexed = (table["miller_index"] != 0).any(axis=1)
    for scan in experiments.unique("scan"):
        users = experiments.indices_with("scan", scan)
        own = indexed & np.isin(table["id"], users)
        if not own.any():
            raise UserError(f"refine: experiment {users[0]} has no indexed spots; leave it out or index again")
        z0, z1 = scan.array_range
        z = table["xyzobs.px.value"][own, 2]
        boxes = table["bbox"][own] if "bbox" in table else np.zeros((1, 6), dtype=np.int32)
        if (boxes[:, 5] > boxes[:, 4]).all():
            low, high = float(boxes[:, 4].min()), float(boxes[:, 5].max())
        else:
            margin = MARGIN_DEG / scan.oscillation_deg[1]
            low, high = float(z.min() - margin), float(z.max() + margin)
        first = max(int(np.floor(low + 1e-6)), z0)
        last = min(int(np.ceil(high - 1e-6)), z1)
        if (first, last) != (z0, z1) and last > first:
            log.info(
                "Images %d to %d have no indexed spots beyond %d to %d: the scan is trimmed",
                z0 + 1,
                z1,
                first + 1,
                last,
            )
            exchange[id(scan)] = (first + 1, last)
    if not exchange:
        return experiments
    return sliced(experiments, [exchange.get(id(e.scan)) for e in experiments])
