"""How well each crystal or sweep agrees with the others: which to leave out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spindle.report import Section, Table
from spindle_lib_verdict import Facts

from .given import MOST_ROWS
from .merged import MergedData
from .shells import FEWEST_PAIRS

__all__ = ["Agreement", "add_data_sets", "agreement"]

#: Data sets in the table, and in a sentence.
MOST_SETS, MOST_NAMED = 60, 8
#: A set is unlike the others when both its R and its deviations over sigma exceed so many times those of the middle one: a weak set has
#: a large R alone, one of strong reflections large deviations alone.
UNLIKE = 1.5


#: Rounds of looking for the set that is least like the others.
MOST_ROUNDS = 20


@dataclass(frozen=True)
class Agreement:
    """Of each data set with the others; NaN for fewer than 20 reflections that others have, too.

    Attributes
    ----------
    numbers : (k,) int64
        Experiments.
    n, n_common : (k,) int64
        Reflections, and those of them that others have measured, too.
    i_over_sigma : (k,) float64
    r : (k,) float64
        Sum of \\|I - J\\| over the sum of J, where I is the mean of the set and J that of all others that are alike.
    cc : (k,) float64
        Correlation of I and J.
    deviation : (k,) float64
        Root mean square of (I - J) / sigma; 1 where sets differ by their errors alone.
    unlike : (m,) int64
        Places of sets that differ from the others by far more than these do, the worst first.
    """

    numbers: np.ndarray
    n: np.ndarray
    n_common: np.ndarray
    i_over_sigma: np.ndarray
    r: np.ndarray
    cc: np.ndarray
    deviation: np.ndarray
    unlike: np.ndarray


def agreement(data: MergedData) -> Agreement:
    """Compare each data set with all others; of many observations, at those of every k-th reflection.

    Notes
    -----
    A set that is unlike the others spoils the means that these are compared with. So none weighs more in the mean of a reflection than
    the middle one there: a wrong set of strong reflections would else be the mean, and all others be unlike it. The worst is taken from
    the means, and all are compared again, until there is none.
    """
    groups = data.groups
    step = max(1, -(-len(data.intensity) // (4 * MOST_ROWS)))
    counts = groups.multiplicity
    taken = np.repeat(np.arange(len(counts)) % step == 0, counts)
    rows = groups.order[taken]
    group = np.repeat(np.arange(len(counts)), counts)[taken]
    own = np.asarray(data.table["id"], np.int64)[rows]
    numbers, place = np.unique(own, return_inverse=True)
    k = len(numbers)
    # one entry for each reflection of each set
    pair, entry = np.unique(group * k + place, return_inverse=True)
    weight = 1.0 / data.variance[rows]
    of_set = np.bincount(entry, weight)
    mean = np.bincount(entry, weight * data.intensity[rows]) / of_set
    reflection, which = pair // k, pair % k
    n = np.bincount(which, minlength=k)
    signal = np.bincount(which, mean * np.sqrt(of_set), k) / np.maximum(n, 1)
    alike = np.ones(k, bool)
    unlike: list[int] = []
    capped = np.minimum(of_set, _middle(reflection, of_set))
    while True:
        n_common, r, cc, deviation = _compared(reflection, which, mean, of_set, capped, alike)
        known = alike & np.isfinite(r) & np.isfinite(deviation)
        if known.sum() < 3 or len(unlike) == MOST_ROUNDS:  # of two nobody tells which is wrong
            break
        far = (
            known
            & (r > UNLIKE * np.median(r[known]))
            & (deviation > UNLIKE * max(float(np.median(deviation[known])), 1.0))
        )
        if not far.any():
            break
        worst = int(np.argmax(np.where(far, deviation, -np.inf)))
        alike[worst] = False
        unlike.append(worst)
    order = sorted(unlike, key=lambda i: -deviation[i])
    return Agreement(numbers, n * step, n_common * step, signal, r, cc, deviation, np.array(order, np.int64))


def _middle(reflection: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Of each entry the middle weight of its reflection, the lower of two."""
    order = np.lexsort((weight, reflection))
    _, first, which, count = np.unique(reflection[order], return_index=True, return_inverse=True, return_counts=True)
    found = np.empty(len(weight))
    found[order] = weight[order][first + (count - 1) // 2][which]
    return found


def _compared(
    reflection: np.ndarray,
    which: np.ndarray,
    mean: np.ndarray,
    weight: np.ndarray,
    capped: np.ndarray,
    alike: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Reflections in common, R, CC and deviation of each set against the means, with capped weights, of others that are alike."""
    k = len(alike)
    taken = np.where(alike[which], capped, 0.0)
    squares = taken**2 / weight
    others = np.bincount(reflection, alike[which])[reflection] - alike[which] > 0
    rest = np.bincount(reflection, taken)[reflection] - taken
    with np.errstate(invalid="ignore", divide="ignore"):
        other = (np.bincount(reflection, taken * mean)[reflection] - taken * mean) / rest
        error = (np.bincount(reflection, squares)[reflection] - squares) / rest**2
    which, mean, weight, error, other = (v[others] for v in (which, mean, weight, error, other))
    n = np.bincount(which, minlength=k)
    enough = np.where(n >= FEWEST_PAIRS, 1.0, np.nan)

    def average(values: np.ndarray) -> np.ndarray:
        return np.asarray(np.bincount(which, values, k) / np.maximum(n, 1) * enough)

    difference = mean - other
    x, y = average(mean), average(other)
    dx, dy = mean - x[which], other - y[which]
    with np.errstate(invalid="ignore", divide="ignore"):
        r = np.where(y > 0, average(np.abs(difference)) / y, np.nan)
        cc = average(dx * dy) / np.sqrt(average(dx**2) * average(dy**2))
        deviation = np.sqrt(average(difference**2 / (1.0 / weight + error)))
    return n, r, cc, deviation


def add_data_sets(section: Section, data: MergedData) -> None:
    """Add a table of the data sets to the section of merged intensities, and name those that are unlike the others; nothing for one set."""
    if not len(data.table) or np.ptp(np.asarray(data.table["id"])) == 0:
        return
    found = agreement(data)
    order = np.argsort(-np.nan_to_num(found.r, nan=-1.0), kind="stable")[:MOST_SETS]
    rows = [
        [int(found.numbers[i]), int(found.n[i]), int(found.n_common[i]), f"{found.i_over_sigma[i]:.1f}",
         *(f"{v[i]:.{d}f}" if np.isfinite(v[i]) else None for v, d in ((found.r, 3), (found.cc, 3), (found.deviation, 2)))]
        for i in order
    ]  # fmt: skip
    title = "Data sets against the mean of all others, the largest R first"
    if len(found.numbers) > len(rows):
        title += f" ({len(rows)} of {len(found.numbers)})"
    headers = ["Experiment", "Reflections", "In others, too", "I/sigma", "R", "CC", "rms (I - J) / sigma"]
    section.tables.append(Table(title, headers, rows, "data_sets"))
    unlike = found.unlike
    numbers = tuple(int(found.numbers[i]) for i in unlike)
    if data.is_scaled:
        section.values["facts"] = section.values.get("facts", {}) | Facts(unlike_sets=numbers).as_dict()
    if not len(unlike):
        return
    named = ", ".join(f"{found.numbers[i]} (R {found.r[i]:.2f})" for i in unlike[:MOST_NAMED])
    more = f" and {len(unlike) - MOST_NAMED} more" if len(unlike) > MOST_NAMED else ""
    section.remarks.append(
        (
            "doubtful",
            f"Unlike the others, whose R is {np.nanmedian(found.r):.2f} in the middle: experiment{'s' * (len(unlike) > 1)} {named}{more}. Indexed "
            "in another way, or of another crystal form? spindle cosym and spindle compute_delta_cchalf tell; spindle scale with "
            f"exclude_datasets={','.join(map(str, sorted(numbers)))} leaves them out.",
        )
    )
