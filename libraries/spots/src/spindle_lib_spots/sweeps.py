"""Sweeps without crystals, and the spots of all of them in one table."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from spindle.contracts.indexing import IndexingError
from spindle.models import Experiments
from spindle.table import Flag, ReflectionTable

_RESET = (
    Flag.PREDICTED | Flag.INDEXED | Flag.USED_IN_REFINEMENT | Flag.CENTROID_OUTLIER | Flag.EXCLUDED_FOR_REFINEMENT
)  # fmt: skip
#: Difference from which numbers that describe models are not the same, in their own units (1/angstrom, mm ...).
ABSOLUTE = 1e-6
#: The same of attenuation in the sensor, relative: less moves no spot by more than 0.002 pixels.
SAME_ABSORPTION = 1e-3
_OUTDATED = ("xyzcal.px", "xyzcal.mm", "delpsical.rad")


def sweep_numbers(experiments: Experiments) -> list[int]:
    """Which sweep each experiment belongs to; experiments that share imageset and scan are lattices of one sweep."""
    seen: dict[tuple[int, int], int] = {}
    numbers = []
    for number, experiment in enumerate(experiments):
        key = (id(experiment.imageset) if experiment.imageset is not None else -number - 1, id(experiment.scan))
        numbers.append(seen.setdefault(key, len(seen)))
    return numbers


def sweeps_of(experiments: Experiments) -> tuple[Experiments, list[Any]]:
    """One experiment without crystal per sweep, and the crystals that the input has."""
    _, first = np.unique(sweep_numbers(experiments), return_index=True)
    sweeps = [replace(experiments[int(i)], crystal=None, profile=None, scaling_model=None) for i in first]
    return share_similar_models(Experiments(sweeps)), experiments.unique("crystal")


def share_similar_models(experiments: Experiments) -> Experiments:
    """Beams, detectors and goniometers that are equal within the tolerances of file comparison become one model."""
    shared: dict[str, dict[int, Any]] = {}
    for name, describe in (
        ("beam", _describe_beam),
        ("detector", _describe_detector),
        ("goniometer", _describe_goniometer),
    ):
        models = experiments.unique(name)
        earlier = _first_alike([describe(model) for model in models])
        shared[name] = {id(m): models[k] for i, (m, k) in enumerate(zip(models, earlier, strict=True)) if k != i}
    items = []
    for e in experiments:
        changes = {name: known[id(getattr(e, name))] for name, known in shared.items() if id(getattr(e, name)) in known}
        items.append(replace(e, **changes) if changes else e)
    return Experiments(items)


def _first_alike(described: Sequence[np.ndarray], tolerance: float = ABSOLUTE) -> list[int]:
    """For each list of numbers the first that differs from it by no more than the tolerance anywhere; thousands are few comparisons."""
    first = list(range(len(described)))
    by_size: dict[int, list[int]] = {}
    for i, numbers in enumerate(described):
        by_size.setdefault(len(numbers), []).append(i)
    for size, members in by_size.items():
        values = np.array([described[i] for i in members]).reshape(len(members), size)
        # What is alike is next to each other along any direction.
        direction = np.random.default_rng(42).normal(size=size)
        along = values @ direction
        order = np.argsort(along, kind="stable")
        reach = tolerance * np.abs(direction).sum() * (1 + 1e-6) + 1e-12 * np.abs(along).max(initial=0.0)
        low = np.searchsorted(along[order], along - reach, "left")
        high = np.searchsorted(along[order], along + reach, "right")
        for k in range(len(members)):
            near = np.sort(order[low[k] : high[k]])
            near = near[near < k]
            alike = near[np.all(np.abs(values[near] - values[k]) <= tolerance, axis=1)]
            if len(alike):
                first[members[k]] = members[alike[0]]
    return first


def with_common_scans(experiments: Experiments) -> Experiments:
    """Scans of equal images and angles become one: that of several detectors in the same rotation."""
    scans = experiments.unique("scan")
    for i, scan in enumerate(scans):
        for earlier in scans[:i]:
            if scan is not None and earlier is not None and _describe_scan(scan) == _describe_scan(earlier):
                experiments = experiments.with_model(scan, earlier)
                break
    return experiments


def _describe_scan(scan: Any) -> tuple[Any, ...]:
    return (*scan.image_range, *(round(float(v), 6) for v in scan.oscillation_deg))


def _describe_beam(beam: Any) -> np.ndarray:
    return np.concatenate([beam.direction, [beam.wavelength], beam.polarization_normal, [beam.polarization_fraction]])


def _describe_detector(detector: Any) -> np.ndarray:
    """Where panels are, and all that positions and counts on them depend on: the depth in the sensor is that of one wavelength."""
    geometry = detector.geometry
    panels = [
        (
            np.log(p.mu) * ABSOLUTE / SAME_ABSORPTION if p.mu > 0 else 0.0,
            p.thickness, p.gain, p.pedestal, *p.trusted_range,
            _number((p.parallax, p.mask, None if p.distortion is None else p.distortion.name)),
        )
        for p in detector
    ]  # fmt: skip
    return np.concatenate(
        [geometry.d.ravel(), geometry.pixel_size.ravel(), geometry.image_size.ravel().astype(float), np.ravel(panels)]
    )


def _number(described: Any) -> float:
    return float(zlib.crc32(repr(described).encode("utf-8", "backslashreplace")))


def _describe_goniometer(goniometer: Any) -> np.ndarray:
    return np.concatenate(
        [goniometer.rotation_axis, goniometer.fixed_rotation.ravel(), goniometer.setting_rotation.ravel()]
    )


def join_tables(tables: Sequence[ReflectionTable], experiments: Experiments) -> ReflectionTable:
    """All spots in one table whose column imageset_id numbers the sweeps.

    Raises
    ------
    IndexingError
        If the tables do not belong to the experiments.
    """
    numbers = np.array(sweep_numbers(experiments))
    known = {experiment.identifier: sweep for experiment, sweep in zip(experiments, numbers, strict=True)}
    joined = []
    offset = 0
    for table in tables:
        view = table.view()
        view["imageset_id"] = _sweeps_of_rows(view, known, numbers, offset)
        offset = int(view["imageset_id"].max(initial=-1)) + 1
        view.identifiers = {}
        joined.append(view)
    if not joined:
        raise IndexingError("no reflections were given; run spindle find_spots and give its strong.refl")
    result = ReflectionTable.concatenate(joined)
    for name in ("xyzobs.px.value", "xyzobs.px.variance", "panel"):
        if name not in result:
            raise IndexingError(f"the reflections have no column {name}; give a file of spindle find_spots")
    n_found, n_sweeps = int(result["imageset_id"].max(initial=-1)) + 1, int(numbers.max()) + 1
    if n_found > n_sweeps:
        raise IndexingError(
            f"the spots come from {n_found} sweeps, the experiments describe {n_sweeps}; give the experiments that "
            "the spots were found with"
        )
    return result


def _sweeps_of_rows(table: ReflectionTable, known: dict[str, int], numbers: np.ndarray, offset: int) -> np.ndarray:
    """The sweep of each spot: by the identifiers of the table where they tell, else by its own numbers plus `offset`."""
    ids = table.get("id")
    identified = bool(table.identifiers) and all(i in known for i in table.identifiers.values())
    if ids is not None and identified and np.isin(ids, list(table.identifiers)).all():
        lookup = np.full(max(table.identifiers) + 1, -1)
        for number, identifier in table.identifiers.items():
            lookup[number] = known[identifier]
        return np.asarray(lookup[ids], dtype=np.int32)
    if "imageset_id" in table:
        for row in np.flatnonzero(table["imageset_id"] < 0)[:1]:
            raise IndexingError(
                f"row {row} of the spots has the imageset_id {table['imageset_id'][row]}, which is no sweep's; give the spots as "
                "spindle find_spots wrote them"
            )
        return np.asarray(table["imageset_id"] + offset, dtype=np.int32)
    if ids is None:
        return np.full(len(table), offset, dtype=np.int32)
    experiment = np.maximum(ids, 0)
    if len(ids) and experiment.max() < len(numbers) and offset == 0:
        return np.asarray(numbers[experiment], dtype=np.int32)
    return np.asarray(experiment + offset, dtype=np.int32)


def strong_spots(table: ReflectionTable, image_range: Sequence[tuple[int, int]] | None = None) -> ReflectionTable:
    """The strong spots of some images, without what an earlier indexing said about them.

    Parameters
    ----------
    table : ReflectionTable
        When no row has the flag STRONG, all rows are taken.
    image_range : sequence of (first, last), optional
        Image numbers, both ends included; all images when empty.

    Raises
    ------
    IndexingError
        If no spot is left.
    """
    result = table.view()
    if "flags" not in result:
        result["flags"] = np.full(len(result), int(Flag.STRONG), dtype=np.uint64)
    strong = result.has_flags(Flag.STRONG)
    if strong.any() and not strong.all():
        result = result.select(strong)
    if image_range:
        z = result["xyzobs.px.value"][:, 2]
        inside = np.zeros(len(result), dtype=bool)
        for first, last in image_range:
            inside |= (z >= first - 1) & (z < last)
        if len(z) and not inside.any():
            ranges = " ".join(f"{first},{last}" for first, last in image_range)
            raise IndexingError(
                f"image_range={ranges}: there are no strong spots on these images; the spots lie on images "
                f"{int(z.min()) + 1} to {int(z.max()) + 1}"
            )
        result = result.select(inside)
    if len(result) == 0:
        raise IndexingError(
            "there are no strong spots to work with; look at the images, and at the spot finder's threshold"
        )
    result = result.without(*_OUTDATED)
    result["flags"] = result["flags"] & ~np.uint64(int(_RESET))
    result["id"] = np.full(len(result), -1, dtype=np.int32)
    result["miller_index"] = np.zeros((len(result), 3), dtype=np.int32)
    return result
