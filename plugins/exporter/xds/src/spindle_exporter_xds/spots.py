"""SPOT.XDS: strong spots as COLSPOT would write them."""

from __future__ import annotations

import io

import numpy as np

from spindle.table import INTEGRATED, Flag, ReflectionTable

SMALLEST_INTENSITY = 1.0
"""XDS takes a smaller intensity for the end of the list."""


def spots_of(table: ReflectionTable, experiment: int, sweep: int) -> ReflectionTable:
    """Rows that were found in the images of an experiment, whether it explains them or none does.

    Spots with the flag STRONG; where no row has it, all rows that are not predictions.
    """
    number = table["id"] if "id" in table else np.zeros(len(table), dtype=np.int64)
    mine = number == experiment
    if "imageset_id" in table:
        mine |= (number < 0) & (table["imageset_id"] == sweep)
    if "flags" in table:
        strong = table.has_flags(Flag.STRONG)
        mine &= strong if strong.any() else ~table.has_flags(Flag.PREDICTED | INTEGRATED, all=False)
    return table.select(mine & np.any(table["xyzobs.px.value"][:, :2] != 0, axis=1))


def spot_text(table: ReflectionTable, offsets: np.ndarray) -> tuple[str, str]:
    """Content of SPOT.XDS and what to say about it; `offsets` (n_panels, 2) has the pixels of the image before each panel.

    x, y, image, intensity, and h k l when any spot is indexed (0 0 0 for those that are not); the strongest spots
    first; none with an intensity below 1, at which XDS stops reading.
    """
    intensity = table["intensity.sum.value"]
    usable = intensity >= SMALLEST_INTENSITY
    weak = int(np.count_nonzero(~usable))
    table, intensity = table.select(usable), intensity[usable]
    if not len(table):
        return "", "not written, no strong spot was observed (predictions are no spots)" + _weak(weak)
    order = np.argsort(-intensity, kind="stable")
    place = np.array(table["xyzobs.px.value"])
    if "panel" in table:
        place[:, :2] += offsets[table["panel"].astype(np.int64)]
    columns = [place, intensity[:, None]]
    formats = [" %.2f", "%.2f", "%.2f", "%.2f"]
    said = f"{len(table)} strong spots, observed centroids, summed intensities, the strongest first"
    if "miller_index" in table and np.any(table["miller_index"]):
        columns.append(np.where(table["id"][:, None] >= 0, table["miller_index"], 0))
        formats += [" %d", "%d", "%d"]
        said += f"; {int(np.any(columns[-1], axis=1).sum())} are indexed"
    text = io.StringIO()
    np.savetxt(text, np.concatenate(columns, axis=1)[order], fmt=formats)
    return text.getvalue(), said + _weak(weak)


def _weak(count: int) -> str:
    return f"; {count} with an intensity below 1 left out" if count else ""
