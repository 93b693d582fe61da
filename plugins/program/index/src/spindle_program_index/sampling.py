"""Very many spots: lattices are found and refined with a part of them, and all get their indices afterwards."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from spindle.models import Experiments
from spindle.prediction import predict_for_indexed
from spindle.table import Flag, ReflectionTable, rows_by_value
from spindle_lib_spots.sweeps import strong_spots

from .index_assignment import assign
from .indexed import Indexed, Sample
from .preparation import place_in_reciprocal_space

#: Tiles of a panel along each edge, and their extent in rotation. Neighbours in the lattice are in one tile, so that distances
#: between them, and boxes that overlap, are those of all spots.
TILES, TILE_DEG = 24, 15.0
#: Of each sweep at least so many.
FEWEST = 2000
#: Spots that are worked on at a time.
ROWS = 2**17
_NEEDED = (
    "id", "imageset_id", "panel", "flags", "bbox", "xyzobs.px.value", "xyzobs.px.variance",
)  # fmt: skip
_PLACES = ("xyzobs.mm.value", "xyzobs.mm.variance", "xyzcal.mm", "xyzcal.px", "s1")
#: What refinement says of the spots that it was given.
_OF_REFINEMENT = Flag.USED_IN_REFINEMENT | Flag.CENTROID_OUTLIER | Flag.EXCLUDED_FOR_REFINEMENT


def sample(sweeps: Experiments, spots: ReflectionTable, most: int) -> np.ndarray:
    """Which spots to take: whole tiles of detector and rotation, drawn at random but always the same ones.

    Parameters
    ----------
    sweeps : Experiments
        Scans.
    spots : ReflectionTable
        Columns imageset_id, panel, xyzobs.px.value.
    most : int
        About so many in all; more where sweeps are so many that each would have too few.

    Returns
    -------
    (m,) int64
        Rows in rising order.
    """
    rng = np.random.default_rng(42)
    keep = np.zeros(len(spots), np.bool_)
    panels, xyz = spots.peek("panel"), spots.peek("xyzobs.px.value")
    for number, rows in rows_by_value(spots["imageset_id"]).items():
        part = max(most / len(spots), FEWEST / len(rows))
        if not 0 <= number < len(sweeps) or part >= 1:
            keep[rows] = True
            continue
        sweep = sweeps[number]
        step = TILE_DEG / abs(sweep.known_scan.oscillation_deg[1])
        turn = np.floor((xyz[rows, 2] - sweep.known_scan.array_range[0]) / step).astype(np.int64)
        turn -= turn.min()
        panel = np.minimum(panels[rows].astype(np.int64), len(sweep.detector) - 1)
        place = [
            np.clip((TILES * xyz[rows, i] / sizes[panel]).astype(np.int64), 0, TILES - 1)
            for i, sizes in enumerate(np.array([p.image_size for p in sweep.detector]).T)
        ]
        tile = ((turn * len(sweep.detector) + panel) * TILES + place[0]) * TILES + place[1]
        keep[rows] = rng.random(int(tile.max()) + 1)[tile] < part
    return np.flatnonzero(keep)


def part_of(sweeps: Experiments, spots: ReflectionTable, params: Any) -> tuple[ReflectionTable, Sample | None]:
    """The spots, or a part of them where they are more than ``most_spots``; spots of stills are taken as they are.

    Parameters
    ----------
    sweeps : Experiments
    spots : ReflectionTable
    params : Params
        The scope ``indexing``.
    """
    most = params.most_spots
    if most is None or len(spots) <= most or any(s.is_still or s.scan is None for s in sweeps):
        return spots, None
    every = strong_spots(spots, params.image_range)
    rows = sample(sweeps, every, most)
    if len(rows) > 0.8 * len(every):
        return spots, None
    lean = every.without(*[name for name in every if name not in _NEEDED])
    return lean.select(rows), Sample(every, rows)


def completed(part: Indexed, taken: Sample, params: Any) -> Indexed:
    """The index of all spots with the lattices that a part of them has.

    Parameters
    ----------
    part : Indexed
        What was made of the spots taken.
    taken : Sample
    params : Params
        The scope ``indexing``.
    """
    spots = taken.every
    n, n_sweeps = len(spots), part.n_sweeps
    sweeps = Experiments([replace(e, crystal=None) for e in list(part.experiments)[:n_sweeps]])
    table = spots.view()
    observed = table.without(*[name for name in table if name not in _NEEDED])
    blocks = [np.arange(start, min(start + ROWS, n)) for start in range(0, n, ROWS)]

    def placed(rows: np.ndarray) -> ReflectionTable:
        return place_in_reciprocal_space(observed.select(rows), sweeps, params)

    rlp, phi = np.zeros((n, 3)), np.zeros(n)
    for rows in blocks:
        here = placed(rows)
        rlp[rows], phi[rows] = here["rlp"], here["xyzobs.mm.value"][:, 2]
    lattices = [e.known_crystal.A for e in list(part.experiments)[::n_sweeps]]
    limit = params.refinement_protocol.d_min_final
    within = np.flatnonzero(np.linalg.norm(rlp, axis=1) <= 1 / limit) if limit else slice(None)
    sweep = table["imageset_id"][within]
    found = assign(rlp[within], phi[within], sweep, lattices, params.index_assignment)
    number, hkl = np.full(n, -1, np.int32), np.zeros((n, 3), np.int32)
    number[within] = np.where(found.lattice >= 0, found.lattice * n_sweeps + sweep, -1)
    hkl[within] = found.hkl
    del found, within, phi
    # Columns are filled block by block: all of them together are what is written, and nothing as long as the table is beside them.
    new: dict[str, Any] = {
        "id": number,
        "miller_index": hkl,
        "rlp": rlp,
        "entering": np.zeros(n, np.bool_),
        "flags": np.zeros(n, np.uint64),
    }
    new |= {name: np.zeros((n, 3)) for name in _PLACES}
    for rows in blocks:
        here = placed(rows)
        here["id"], here["miller_index"] = number[rows], hkl[rows]
        here = predict_for_indexed(part.experiments, here)
        here.set_flags(here["id"] >= 0, Flag.INDEXED)
        for name in (*_PLACES, "entering", "flags"):
            new[name][rows] = here[name]
    new["flags"][taken.rows] |= part.reflections["flags"] & np.uint64(int(_OF_REFINEMENT))
    for name in part.reflections:  # in their usual order
        if name in new:
            table[name] = new[name]
    table.identifiers = dict(part.reflections.identifiers)
    return replace(part, reflections=table)
