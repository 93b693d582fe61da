"""Whether the crystal changed while it was measured."""

from __future__ import annotations

import numpy as np

from spindle.report import Section
from spindle_lib_pages.figures import lines
from spindle_lib_radiation_damage import pair_sums
from spindle_lib_verdict import COLOURS, LIMITS, Facts, decay_of, tells_errors

from .given import Given
from .merged import MergedData

__all__ = ["MOST_OF_ONE", "damage_section", "differences_by_distance"]

N_BINS, FEWEST_PAIRS, MOST_OF_ONE = 20, 50, 60


def differences_by_distance(data: MergedData, n: int = N_BINS) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """R of pairs of equivalents against the number of images between them.

    Returns
    -------
    distance : (n,) float64, images
        Mean distances, in steps of a n-th of the scan.
    r : (n,) float64
        Sum of |I_i - I_j| over the sum of (I_i + I_j) / 2, of pairs in the same sweep; NaN for fewer than 50 pairs. Diederichs (2006), Acta
        Cryst. D62, 96-101: flat without damage, rising with it.
    pairs : (n,) int64
    """
    z = np.asarray(data.table.peek("xyzcal.px"))[:, 2]
    groups = data.groups
    known = z[np.isfinite(z)]
    first, span = (float(known.min()), float(np.ptp(known))) if len(known) else (0.0, 0.0)
    width = max(span / n, 1e-6) * (1 + 1e-9)
    order, sweep = groups.order, np.asarray(data.table["id"], np.int64)
    # equivalents of one sweep stand together, and are compared only with each other
    number = np.repeat(np.arange(groups.n_groups), groups.multiplicity)
    if len(sweep) and sweep.min() != sweep.max():
        place = np.lexsort((sweep[order], number))
        order, number = order[place], number[place]
    seen = np.isfinite(z[order])
    order, number = order[seen], number[seen]
    step = np.clip(((z[order] - first) / width).astype(np.int64), 0, n - 1)
    changes = (np.diff(number) != 0) | (np.diff(sweep[order]) != 0)
    offsets = np.concatenate([[0], np.flatnonzero(changes) + 1, [len(order)]]) if len(order) else np.zeros(1, np.int64)
    value = data.intensity[order]
    sums = pair_sums(
        offsets, np.zeros(len(offsets) - 1, np.int64), step, value, np.zeros(len(value)), 1, n, MOST_OF_ONE
    )
    difference, total, pairs = sums.apart, sums.apart_total, sums.apart_count
    with np.errstate(invalid="ignore", divide="ignore"):
        r = np.where((pairs >= FEWEST_PAIRS) & (total > 0), difference / total, np.nan)
    return np.maximum(np.arange(n), 0.25) * width, r, pairs


def damage_section(given: Given, data: MergedData | str) -> Section:
    """Signs of radiation damage: equivalents far apart in time, and the relative B factor of scaling."""
    title, key = "Radiation damage", "damage"
    if isinstance(data, str):
        return Section.missing(title, key, data)
    if "xyzcal.px" not in data.table or all(e.is_still for e in given.experiments):
        return Section.missing(title, key, "Stills have no course of time.")
    if not data.is_scaled:
        return Section.missing(title, key, "The data are not scaled; spindle scale tells decay from all else.")
    section = Section(title, key)
    distance, r, pairs = differences_by_distance(data)
    known = np.isfinite(r)
    rise = None
    if known.sum() >= 4:
        section.figures["rd_vs_batch_difference"] = lines(
            "Equivalents by the images between them",
            "images between them",
            "R of pairs (Rd)",
            [("", distance, r)],
            yaxis={"rangemode": "tozero"},
        )
        third = max(1, int(known.sum()) // 3)
        early, late = r[known][:third].mean(), r[known][-third:].mean()
        rise = float(late / early) if early > 0 else None
    falls = [fall for e in given.experiments if (fall := decay_of(e.scaling_model)) is not None]
    largest = max(falls, default=None) if tells_errors(data.statistics.overall) else None
    if largest is not None:
        section.values["facts"] = Facts(decay_b=largest).as_dict()
        mood = ("good", "doubtful", "bad")[COLOURS.index(LIMITS["decay_b"].colour(largest))]
        section.remarks.append(
            (
                mood,
                f"The B factor of the crystal rises by {largest:.1f} A^2 along the sweep where it rises most: the relative B factor of scaling, "
                "which follows the intensities, falls by as much.",
            )
        )
    section.values |= {"rd_rise": None if rise is None else round(rise, 3), "n_pairs": int(pairs.sum())}
    if rise is not None:
        section.text.append(
            f"Equivalents far apart in the scan differ {rise:.2f} times as much as near ones. Chance and absorption give up to about 1.3; a rise "
            "along the curve is damage: spindle damage_analysis scaled.expt scaled.refl says at which dose it sets in."
        )
    if not section.figures:
        section.text.append("Too few equivalents lie far apart in the scan to compare them.")
    return section
