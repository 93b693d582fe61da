"""Removal of data sets, or of groups of images, that lower CC1/2."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from spindle.errors import UserError
from spindle.models import Experiment, Experiments
from spindle.report import Table
from spindle.table import Flag, ReflectionTable
from spindle_lib_image_ranges import ImageRange
from spindle_lib_merging import merging_statistics
from spindle_lib_merging.delta_cc_half import (
    Units,
    delta_cc_half,
    from_the_ends,
    image_groups,
    shells_of_equal_steps,
    whole_sets,
)

from .course import Scaled, scale_once
from .doses import kept_doses
from .params import ScaleParams
from .target import Target

RESOLUTION_BINS = 10


def scale_and_filter(
    experiments: Experiments,
    table: ReflectionTable,
    params: ScaleParams,
    context: Any,
    exclusions: Sequence[ImageRange],
    target: Target | None = None,
) -> tuple[Scaled, dict[str, Any]]:
    """Scale, remove what lowers CC1/2, scale again, until nothing more is to be removed.

    Returns
    -------
    Scaled
    dict
        What happened in each cycle.
    """
    options = params.filtering.deltacchalf
    images = options.mode == "image_group"
    if not images and len(experiments) < 2:
        raise UserError("filtering.method=deltacchalf: one data set cannot be judged as a whole; use mode=image_group")
    excluded = list(exclusions)
    gone: set[ImageRange] = set()
    cycles: list[dict[str, Any]] = []
    names = [e.identifier for e in experiments]
    given = np.arange(len(experiments))  # which of the experiments that were given those are that are left
    start = [(e.identifier, _images_of(e)) for e in experiments]
    scaled = scale_once(experiments, table, params, context, excluded, target=target)
    n_start = int(scaled.table.has_flags(Flag.SCALED).sum())
    initial, completeness = _statistics(scaled)
    removed_so_far, reason = 0, "max_cycles"
    for cycle in range(1, options.max_cycles + 1):
        scaler = scaled.scaler
        units = (
            _image_groups(scaled, options.group_size) if images else whole_sets(scaled.experiments, scaler.obs.number)
        )
        mean_cc, delta = _judge(scaled, units)
        present = np.array([r not in gone for r in units.ranges])
        spread = delta[present].std()
        bad = present & (delta < delta[present].mean() - options.stdcutoff * spread)
        if images:
            bad = from_the_ends(bad, units.ranges, gone)
        rows = [
            [*r, 100 * float(x), "removed" if b else ""] for r, x, b in zip(units.ranges, delta, bad) if r not in gone
        ]
        context.table(
            Table(
                f"Cycle {cycle}: CC1/2 {100 * mean_cc:.3f} % and what each part adds",
                ["Data set", "First image", "Last image", "Delta CC1/2 (%)", ""], rows, f"delta_cc_half_{cycle}",
            )
        )  # fmt: skip
        n_removed = int((bad[units.unit] & ~scaler.obs.outlier).sum())
        percent = 100.0 * (removed_so_far + n_removed) / max(n_start, 1)
        record: dict[str, Any] = {
            "cycle": cycle, "n_removed": n_removed, "cumul_percent_removed": percent, "mean_cc_half": 100 * mean_cc,
            "delta_cc_half_values": (100 * delta[present]).tolist(),
        }  # fmt: skip
        if not bad.any():
            reason = "no_more_removed"
            cycles.append(record)
            break
        if percent > options.max_percent_removed:
            reason = "max_percent_removed"
            cycles.append({**record, "n_removed": 0, "cumul_percent_removed": 100.0 * removed_so_far / max(n_start, 1)})
            break
        record["removed_delta_cc_half"] = (100 * delta[bad]).tolist()
        if images:
            chosen = [units.ranges[i] for i in np.flatnonzero(bad)]
            gone.update(chosen)
            excluded += chosen
            record["removed_ranges"] = [[int(given[k]), first, last] for k, first, last in chosen]
            kept = np.array(
                [k for k in range(len(experiments)) if any(r.experiment == k and r not in gone for r in units.ranges)]
            )
            if not len(kept):
                raise UserError(
                    "filtering.method=deltacchalf: no image is left; use a larger stdcutoff or less max_percent_removed"
                )
            if len(kept) < len(experiments):
                experiments, table, excluded = without_sets(experiments, table, excluded, kept)
                params = kept_doses(params, kept)
                gone = set(renumbered(gone, kept, len(given)))
                given = given[kept]
        else:
            kept = np.flatnonzero(~bad)
            record["removed_datasets"] = [names[i] for i in np.flatnonzero(bad)]
            experiments, table, excluded = without_sets(experiments, table, excluded, kept)
            params = kept_doses(params, kept)
            names = [names[i] for i in kept]
        removed_so_far += n_removed
        scaled = scale_once(experiments, table, params, context, excluded, target=target)
        record["merging_stats"], completeness = _statistics(scaled)
        cycles.append(record)
        if options.min_completeness is not None and 100 * completeness < options.min_completeness:
            reason = "below_completeness_limit"
            break
    context.log.info("filtering ended: %s", reason.replace("_", " "))
    done = {
        "termination_reason": reason, "initial_n_reflections": n_start, "initial_expids_and_image_ranges": start,
        "initial_merging_stats": initial, "cycles": cycles,
    }  # fmt: skip
    return scaled, done


def _images_of(experiment: Experiment) -> tuple[int, int]:
    return (1, 1) if experiment.is_still else experiment.known_scan.image_range


def _image_groups(scaled: Scaled, size: int) -> Units:
    obs = scaled.scaler.obs
    rows = [slice(obs.bounds[k], obs.bounds[k + 1]) for k in range(len(scaled.experiments))]
    return image_groups(scaled.experiments, rows, scaled.table.peek("xyzobs.px.value")[obs.rows, 2], size)


def _judge(scaled: Scaled, units: Units) -> tuple[float, np.ndarray]:
    obs = scaled.scaler.obs
    good = ~obs.outlier
    first = obs.groups.order[obs.groups.offsets[:-1]]
    d = obs.d[first]
    shell = shells_of_equal_steps(d, RESOLUTION_BINS)
    group = obs.groups.index[good]
    return delta_cc_half(
        (obs.intensity / obs.g)[good], group, shell[group], units.unit[good], len(units.ranges), RESOLUTION_BINS
    )


def without_sets(
    experiments: Experiments, table: ReflectionTable, excluded: list[ImageRange], kept: np.ndarray
) -> tuple[Experiments, ReflectionTable, list[ImageRange]]:
    """Only the data sets `kept`, renumbered."""
    new = np.full(len(experiments), -1, dtype=np.int32)
    new[kept] = np.arange(len(kept))
    ids = new[table["id"]]
    smaller = table.select(ids >= 0)
    smaller["id"] = ids[ids >= 0]
    experiments = Experiments(experiments[int(k)] for k in kept)
    smaller.identifiers = dict(experiments.identifiers)
    return experiments, smaller, renumbered(excluded, kept, len(new))


def renumbered(ranges: Iterable[ImageRange], kept: np.ndarray, n_sets: int) -> list[ImageRange]:
    """Ranges of images of the data sets `kept`, with their new numbers."""
    new = np.full(n_sets, -1)
    new[kept] = np.arange(len(kept))
    return [ImageRange(int(new[k]), a, b) for k, a, b in ranges if new[k] >= 0]


def _statistics(scaled: Scaled) -> tuple[dict[str, Any], float]:
    table = scaled.table
    good = table.has_flags(Flag.SCALED)
    g = table["inverse_scale_factor"][good]
    crystal = scaled.experiments[0].crystal
    assert crystal is not None
    found = merging_statistics(
        table.peek("miller_index")[good], table["intensity.scale.value"][good] / g,
        table["intensity.scale.variance"][good] / g**2, crystal.cell, crystal.space_group, 10,
    )  # fmt: skip
    as_dict = {"overall": found.overall.as_dict(), "shells": [s.as_dict() for s in found.shells]}
    return as_dict, found.overall.completeness
