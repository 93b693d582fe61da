"""The tables of the tutorial: by image, by resolution, overall, and of the reference profiles."""

from __future__ import annotations

from typing import Any

import numpy as np

from spindle.models import Experiments
from spindle.report import Table
from spindle.table import Flag, ReflectionTable

FULL = 0.997300203936740
N_SHELLS = 20
# Of more experiments the screen shows the worst, so many, in one table.
MOST_SUMMARIES, WORST = 3, 8
HEADERS = [
    "# full",
    "# part",
    "# over",
    "# ice",
    "# sum",
    "# prf",
    "Ibg",
    "I/sigI (sum)",
    "I/sigI (prf)",
    "CC prf",
    "RMSD XY",
]


class _Columns:
    """What the tables need of the rows of one experiment."""

    def __init__(self, table: ReflectionTable, rows: np.ndarray) -> None:
        flags = table["flags"][rows]

        def has(flag: Flag) -> np.ndarray:
            return (flags & np.uint64(int(flag))) != 0

        self.full = table["partiality"][rows] > FULL
        self.over, self.ice = has(Flag.OVERLOADED), has(Flag.IN_POWDER_RING)
        self.sum, self.prf = has(Flag.INTEGRATED_SUM), has(Flag.INTEGRATED_PRF)
        self.bad_bg, self.bad_fg = has(Flag.BACKGROUND_INCLUDES_BAD_PIXELS), has(Flag.FOREGROUND_INCLUDES_BAD_PIXELS)
        self.no_bg = has(Flag.FAILED_DURING_BACKGROUND_MODELLING)
        self.no_sum, self.no_prf = has(Flag.FAILED_DURING_SUMMATION), has(Flag.FAILED_DURING_PROFILE_FITTING)
        self.d = table["d"][rows]
        self.z = table["xyzcal.px"][rows, 2]
        self.sum_value, self.prf_value = table["intensity.sum.value"][rows], np.zeros(len(rows))
        sum_variance, prf_variance = table["intensity.sum.variance"][rows], np.zeros(len(rows))
        self.cc = np.zeros(len(rows))
        if "intensity.prf.value" in table:
            self.prf_value, prf_variance = table["intensity.prf.value"][rows], table["intensity.prf.variance"][rows]
            self.cc = table["profile.correlation"][rows]
        self.ios_sum = self.sum_value / np.sqrt(np.maximum(sum_variance, 1e-12))
        self.ios_prf = self.prf_value / np.sqrt(np.maximum(prf_variance, 1e-12))
        self.sum_ok, self.prf_ok = self.sum & (sum_variance > 0), self.prf & (prf_variance > 0)
        self.background = table["background.mean"][rows]
        offset = table["xyzobs.px.value"][rows, :2] - table["xyzcal.px"][rows, :2]
        self.shift2 = np.sum(offset**2, axis=1)
        self.strong = self.sum & (self.ios_sum > 1)

    def summary(self, rows: np.ndarray) -> list[Any]:
        """Cells of one line."""

        def mean(values: np.ndarray, of: np.ndarray) -> float | None:
            return round(float(values[rows & of].mean()), 2) if np.any(rows & of) else None

        count = [
            int(np.count_nonzero(rows & f)) for f in (self.full, ~self.full, self.over, self.ice, self.sum, self.prf)
        ]
        shift = mean(self.shift2, self.strong)
        exact = float(np.sqrt(self.shift2[rows & self.strong].mean())) if shift is not None else None
        return [
            *count,
            mean(self.background, self.sum | self.prf),
            mean(self.ios_sum, self.sum_ok),
            mean(self.ios_prf, self.prf_ok),
            mean(self.cc, self.prf_ok),
            None if exact is None else round(exact, 2),
        ]


def _correlation(a: np.ndarray, b: np.ndarray, ranks: bool) -> float | None:
    if len(a) < 3:
        return None
    if ranks:
        a, b = np.argsort(np.argsort(a)), np.argsort(np.argsort(b))
    if np.std(a) == 0 or np.std(b) == 0:
        return None
    return round(float(np.corrcoef(a, b)[0, 1]), 2)


def summary_tables(table: ReflectionTable, experiments: Experiments) -> list[Table]:
    """Tables by image, by resolution and overall, for each experiment in turn."""
    by_image, by_shell, overall = [], [], []
    rows_of = table.rows_by_experiment()
    for i, experiment in enumerate(experiments):
        rows = rows_of.get(i)
        if rows is None:
            continue
        c = _Columns(table, rows)
        image = np.floor(c.z).astype(np.int64)
        first, last = experiment.scan.array_range if experiment.scan else (0, 1)
        order = np.argsort(image, kind="stable")
        bounds = np.searchsorted(image[order], np.arange(first, last + 1))
        for k in range(last - first):
            mine = np.zeros(len(rows), bool)
            mine[order[bounds[k] : bounds[k + 1]]] = True
            if mine.any():
                by_image.append([i, first + k + 1, *c.summary(mine)])
        shells = _shells(c.d)
        for lower, mine in shells:
            by_shell.append([i, f"{lower:.2f}", *c.summary(mine)])
        overall.append(_overall(i, c, shells))
    return [
        Table("Summary vs image number", ["ID", "Image", *HEADERS], by_image, "integrate_by_image", True),
        Table("Summary vs resolution", ["ID", "d min", *HEADERS], by_shell, "integrate_by_resolution", True),
        *overall,
    ]


def all_together(table: ReflectionTable) -> Table:
    """The reflections of all experiments by resolution."""
    c = _Columns(table, np.arange(len(table)))
    rows = [[f"{lower:.2f}", *c.summary(mine)] for lower, mine in _shells(c.d) if mine.any()]
    return Table("Summary vs resolution", ["d min", *HEADERS], rows, "integrate_by_resolution")


def _shells(d: np.ndarray) -> list[tuple[float, np.ndarray]]:
    """20 shells of equal volume of reciprocal space, highest resolution first: lower limit and rows."""
    edges = np.linspace(1 / d.max() ** 3, 1 / d.min() ** 3, N_SHELLS + 1)
    where = np.clip(np.searchsorted(edges, 1 / d**3, "right") - 1, 0, N_SHELLS - 1)
    return [(float(np.cbrt(1 / edges[k + 1])), where == k) for k in range(N_SHELLS - 1, -1, -1)]


def _overall(index: int, c: _Columns, shells: list[tuple[float, np.ndarray]]) -> Table:
    everything = np.ones(len(c.d), bool)
    sets = [everything, shells[-1][1], shells[0][1]]

    def counts(flag: np.ndarray) -> list[int]:
        return [int(np.count_nonzero(s & flag)) for s in sets]

    def means(values: np.ndarray, of: np.ndarray) -> list[float | None]:
        return [round(float(values[s & of].mean()), 2) if np.any(s & of) else None for s in sets]

    both = [s & c.sum_ok & c.prf_ok for s in sets]
    rows: list[list[Any]] = [
        ["dmin", *[round(float(c.d[s].min()), 2) if s.any() else None for s in sets]],
        ["dmax", *[round(float(c.d[s].max()), 2) if s.any() else None for s in sets]],
        ["number fully recorded", *counts(c.full)],
        ["number partially recorded", *counts(~c.full)],
        ["number with invalid background pixels", *counts(c.bad_bg)],
        ["number with invalid foreground pixels", *counts(c.bad_fg)],
        ["number with overloaded pixels", *counts(c.over)],
        ["number in powder rings", *counts(c.ice)],
        ["number processed with summation", *counts(c.sum)],
        ["number processed with profile fitting", *counts(c.prf)],
        ["number failed in background modelling", *counts(c.no_bg)],
        ["number failed in summation", *counts(c.no_sum)],
        ["number failed in profile fitting", *counts(c.no_prf)],
        ["ibg", *means(c.background, c.sum | c.prf)],
        ["i/sigi (summation)", *means(c.ios_sum, c.sum_ok)],
        ["i/sigi (profile fitting)", *means(c.ios_prf, c.prf_ok)],
        ["cc prf", *means(c.cc, c.prf_ok)],
        ["cc_pearson sum/prf", *[_correlation(c.sum_value[b], c.prf_value[b], False) for b in both]],
        ["cc_spearman sum/prf", *[_correlation(c.sum_value[b], c.prf_value[b], True) for b in both]],
    ]
    return Table(
        f"Summary for experiment {index}", ["Item", "Overall", "Low", "High"], rows, f"integrate_summary_{index}"
    )


def overviewed(tables: list[Table]) -> list[Table]:
    """Tables as the screen shows them: with many experiments their summaries are details, and the worst stand in one table."""
    summaries = [t for t in tables if t.key.startswith("integrate_summary_")]
    if len(summaries) <= MOST_SUMMARIES:
        return tables
    wanted = {
        "summed": "number processed with summation",
        "profile-fitted": "number processed with profile fitting",
        "failed": "number failed in summation",
        "I/sigma (summation)": "i/sigi (summation)",
        "I/sigma (profiles)": "i/sigi (profile fitting)",
        "cc of profiles": "cc prf",
    }
    rows = []
    for table in summaries:
        overall = {row[0]: row[1] for row in table.rows}
        rows.append([int(table.key.rpartition("_")[2]), *[overall[item] for item in wanted.values()]])

    def quality(row: list[Any]) -> tuple[float, float]:
        cc, strength = (v if isinstance(v, int | float) and v == v else -1.0 for v in (row[-1], row[-3]))
        return cc, strength

    worst = sorted(rows, key=quality)[:WORST]
    title = f"The worst of {len(rows)} experiments, by the correlation of spots with their profiles"
    overview = Table(title, ["Experiment", *wanted], worst, "integrate_worst")
    return [*[t.as_detail() if t in summaries else t for t in tables], overview]
