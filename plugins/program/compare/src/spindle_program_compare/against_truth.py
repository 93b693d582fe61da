"""Contestants against the truth of a simulated set."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from spindle.errors import UserError
from spindle_lib_comparison import (
    Agreement,
    Truth,
    best_match,
    compare_intensities,
    find_truths,
    least_variance,
    observed_intensities,
    read_truths,
    spot_widths,
)

from .contestant import Contestant

__all__ = ["AgainstTruth", "TruthRow", "compare_with_truth", "truth_beside"]

#: A single wild value must not make a mean of squares: as many standard deviations of the bound.
MOST = 10.0
GROUPS = 1000


@dataclass(frozen=True)
class TruthRow:
    """One contestant against the truth.

    Attributes
    ----------
    found : float
        Fraction of the true reflections on live pixels that it has.
    place_rms : (3,) list of float
        Predicted less true place, px, px, images.
    kind : str
        "prf" or "sum".
    counts : Agreement or None
        Counts by resolution.
    scaled : Agreement or None
        Scaled intensities against true |F|^2.
    efficiency, low, high : float
        Bound of the variance over the mean square of the error, on the reflections that all have, with its 95 % interval.
    alike : list of str
        Contestants whose efficiency these data do not tell from its own: the 95 % interval of the difference includes none.
    by_counts : dict of arrays
        "counts" (mean true), "n", "bias" (relative), "bias_error", "rms_z", "efficiency".
    n_correct : int
        Reflections with the right index.
    """

    found: float
    place_rms: list[float]
    n_correct: int
    kind: str = ""
    counts: Agreement | None = None
    scaled: Agreement | None = None
    efficiency: float = float("nan")
    low: float = float("nan")
    high: float = float("nan")
    alike: list[str] = field(default_factory=list)
    by_counts: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class AgainstTruth:
    """All of them.

    Attributes
    ----------
    folder : Path
    rows : dict of str to TruthRow
    n_common : int
        Reflections that the efficiencies are of.
    notes : list of str
    """

    folder: Path
    rows: dict[str, TruthRow]
    n_common: int
    notes: list[str]


@dataclass
class _Matched:
    """What a contestant has of the truth: keys (m,) of true reflections, counts found and true, sigmas and bounds."""

    keys: np.ndarray
    found: np.ndarray
    sigma: np.ndarray
    true: np.ndarray
    bound: np.ndarray
    d: np.ndarray
    scale: float = 1.0


def truth_beside(places: list[Path]) -> Path | None:
    """The folder of a truth beside the images."""
    for place in dict.fromkeys(p if p.is_dir() else p.parent for p in places):
        if (place / "truth.json").is_file():
            return place
    return None


def compare_with_truth(
    contestants: list[Contestant], folder: Path, n_shells: int, n_bootstrap: int, seed: int
) -> AgainstTruth:
    """Compare all that got anywhere with the truth of a folder.

    Raises
    ------
    UserError
        If the folder has none.
    """
    find_truths(folder)
    truths = read_truths([], folder, None)
    widths = [spot_widths(truth) for truth in truths]
    offsets = np.concatenate([[0], np.cumsum([len(t.hkl) for t in truths])])
    rows: dict[str, TruthRow] = {}
    matched: dict[str, _Matched] = {}
    notes: list[str] = []
    for contestant in contestants:
        try:
            row, pairs = _one(contestant, truths, widths, offsets, n_shells)
        except UserError as error:
            notes.append(f"{contestant.name} cannot be compared with the truth: {error}")
            continue
        if row is not None:
            rows[contestant.name] = row
        if pairs is not None:
            matched[contestant.name] = pairs
    n_common = _efficiencies(rows, matched, n_shells, n_bootstrap, seed)
    return AgainstTruth(folder, rows, n_common, notes)


def _one(
    contestant: Contestant, truths: list[Truth], widths: list[Any], offsets: np.ndarray, n_shells: int
) -> tuple[TruthRow | None, _Matched | None]:
    stage = contestant.integrated or contestant.last
    if stage is None:
        return None, None
    table, experiments = stage.reflections, stage.experiments
    numbers = [int(k) for k in np.unique(table["id"]) if k >= 0]
    matches = [best_match(table, k, truths, experiments) for k in numbers]
    which = [next(i for i, t in enumerate(truths) if t is m.truth) for m in matches]
    observable: dict[int, np.ndarray] = {}
    for k, w in zip(numbers, which, strict=True):
        scan = experiments[k].scan if k < len(experiments) else None
        mine = truths[w].observable(None if scan is None else scan.image_range)
        observable[w] = mine | observable.get(w, False)
    seen = {
        w: np.unique(np.concatenate([m.truth_rows for m, v in zip(matches, which, strict=True) if v == w]))
        for w in observable
    }
    n_seen = sum(int(observable[w][rows].sum()) for w, rows in seen.items())
    difference = np.concatenate([m.difference for m in matches])
    row = TruthRow(
        found=n_seen / max(sum(int(o.sum()) for o in observable.values()), 1),
        place_rms=[float(v) for v in np.sqrt(np.mean(difference**2, axis=0))],
        n_correct=sum(len(m.rows) for m in matches),
    )
    if contestant.integrated is None:
        return row, None
    kind, observed = "", None
    for kind in ("prf", "sum"):
        observed = observed_intensities(table, kind)
        if observed is not None and observed[2].any():
            break
        observed = None
    if observed is None:
        return row, None
    intensity, sigma, usable = observed
    parts = []
    for m, w in zip(matches, which, strict=True):
        keep = usable[m.rows] & m.truth.at(m.truth.clean, m.truth_rows)
        own, true = m.rows[keep], m.truth_rows[keep]
        bound = least_variance(m.truth.counts, widths[w])
        parts.append(
            (true + offsets[w], intensity[own], sigma[own], m.truth.counts[true], bound[true], m.truth.d[true])
        )
    keys, *values = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    pairs = _Matched(keys, values[0], values[1], values[2], values[3], values[4])
    counts = None
    if len(pairs.keys) >= 10 * n_shells:
        counts = compare_intensities(pairs.found, pairs.sigma, pairs.true, pairs.d, n_shells, fit_b=False)
        pairs.scale = counts.scale
    scaled = _scaled(contestant, truths, n_shells)
    row = TruthRow(row.found, row.place_rms, row.n_correct, kind, counts, scaled)
    return row, pairs if counts is not None else None


def _scaled(contestant: Contestant, truths: list[Truth], n_shells: int) -> Agreement | None:
    stage = contestant.scaled
    if stage is None:
        return None
    table = stage.reflections
    observed = observed_intensities(table, "scale")
    if observed is None:
        return None
    parts = []
    for k in np.unique(table["id"]):
        if k < 0:
            continue
        m = best_match(table, int(k), truths, stage.experiments)
        keep = observed[2][m.rows] & m.truth.at(m.truth.clean, m.truth_rows)
        own, true = m.rows[keep], m.truth_rows[keep]
        parts.append((observed[0][own], observed[1][own], m.truth.intensity[true], m.truth.d[true]))
    found, sigma, true, d = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return compare_intensities(found, sigma, true, d, n_shells, fit_b=True) if len(found) >= 10 * n_shells else None


def _efficiencies(
    rows: dict[str, TruthRow], matched: dict[str, _Matched], n_bins: int, n_bootstrap: int, seed: int
) -> int:
    """Efficiencies on the true reflections that all have, with intervals; the number of those reflections."""
    if not matched:
        return 0
    common = None
    for pairs in matched.values():
        keys = np.unique(pairs.keys)
        common = keys if common is None else np.intersect1d(common, keys, assume_unique=True)
    assert common is not None
    if len(common) < 20:
        return len(common)
    losses, chosen = {}, {}
    for name, pairs in matched.items():
        order = np.argsort(pairs.keys, kind="stable")
        chosen[name] = order[np.searchsorted(pairs.keys[order], common)]
        own = chosen[name]
        error = pairs.found[own] / pairs.scale - pairs.true[own]
        losses[name] = np.minimum(error**2 / pairs.bound[own], MOST**2)
    names = list(matched)
    loss = np.stack([losses[name] for name in names])
    rng = np.random.default_rng(seed)
    groups = min(len(common), GROUPS)
    group = rng.permutation(len(common)) * groups // len(common)
    sums = np.stack([np.bincount(group, column, groups) for column in loss])
    sizes = np.bincount(group, minlength=groups)
    drawn = rng.multinomial(groups, np.full(groups, 1 / groups), max(n_bootstrap, 1))
    mean = loss.mean(axis=1)
    spread = (drawn @ sums.T) / (drawn @ sizes)[:, None]
    for i, name in enumerate(names):
        pairs, own = matched[name], chosen[name]
        low, high = np.percentile(1 / spread[:, i], [2.5, 97.5]) if n_bootstrap else (np.nan, np.nan)
        down, up = np.percentile(spread - spread[:, [i]], [2.5, 97.5], axis=0)
        alike = (mean == mean[i]) | ((n_bootstrap > 0) & (down <= 0) & (up >= 0))
        old = rows[name]
        rows[name] = TruthRow(
            old.found, old.place_rms, old.n_correct, old.kind, old.counts, old.scaled, float(1 / mean[i]), float(low), float(high),
            [other for k, other in enumerate(names) if k != i and alike[k]], _by_counts(pairs, own, loss[i], n_bins),
        )  # fmt: skip
    return len(common)


def _by_counts(pairs: _Matched, own: np.ndarray, loss: np.ndarray, n_bins: int) -> dict[str, np.ndarray]:
    true, found, sigma = pairs.true[own], pairs.found[own] / pairs.scale, pairs.sigma[own] / pairs.scale
    parts = np.array_split(np.argsort(true, kind="stable"), max(1, min(n_bins, len(own) // 20)))
    error = found - true
    z = np.clip(error / sigma, -MOST, MOST)
    return {
        "counts": np.array([true[p].mean() for p in parts]),
        "n": np.array([len(p) for p in parts]),
        "bias": np.array([error[p].mean() / max(true[p].mean(), 1e-9) for p in parts]),
        "bias_error": np.array([error[p].std() / np.sqrt(len(p)) / max(true[p].mean(), 1e-9) for p in parts]),
        "rms_z": np.array([np.sqrt(np.mean(z[p] ** 2)) for p in parts]),
        "efficiency": np.array([1 / max(loss[p].mean(), 1e-9) for p in parts]),
    }
