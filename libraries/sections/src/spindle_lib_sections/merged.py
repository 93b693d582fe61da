"""Merged intensities: statistics by resolution and image, anomalous signal, twinning, completeness."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gemmi
import numpy as np

from spindle.errors import UserError
from spindle.models import Experiments
from spindle.report import Section
from spindle.symmetry import asu_indices, is_systematically_absent, unique_indices
from spindle.table import ReflectionTable
from spindle_lib_merging import (
    Groups,
    Merged,
    MergingStatistics,
    data_end,
    group_equivalents,
    is_scaled,
    merge_groups,
    pack_indices,
    prepare_intensities,
    resolution_of,
    shell_table,
    statistics_in_shells,
    summary_table,
)
from spindle_lib_pages.figures import bars, heat_map, lines, resolution_ticks
from spindle_lib_twinning.diagnosis import Diagnosis, diagnose
from spindle_lib_verdict import facts_of_diagnosis, facts_of_statistics

from .bins import means
from .given import Given, only
from .images import ByImage
from .shells import FEWEST_PAIRS, shell_figures

__all__ = [
    "MergedData",
    "completeness_section",
    "diagnosis_section",
    "merged_data",
    "merging_section",
    "twinning_section",
]

N_SHELLS, FEWEST = 20, 50  # shells, fewer where there are few reflections
TWINNING = "Twinning and pseudo-translation"
MOST_INDEX = 160  # largest index of a slice that is drawn
_NEEDED = (
    "flags",
    "id",
    "imageset_id",
    "miller_index",
    "xyzcal.px",
    "partiality",
    "partial_id",
    "qe",
    "inverse_scale_factor",
)
_SCALED, _UNSCALED = (
    tuple(f"intensity.{kind}.{what}" for kind in kinds for what in ("value", "variance")) for kinds in (("scale",), ("sum", "prf"))
)  # fmt: skip


@dataclass(frozen=True)
class MergedData:
    """Observations that are merged, and what comes of it.

    Attributes
    ----------
    table : ReflectionTable
        The observations that passed, one row each.
    intensity, variance : (n,) float64
    cell : (6,) float64
    group : gemmi.SpaceGroup
    groups : Groups
    merged : Merged
    statistics, ten : MergingStatistics
        In as many shells as there are reflections for, and in ten.
    diagnosis : Diagnosis
    is_scaled : bool
    left_out : dict of str to int
        Reasons, and how many rows.
    """

    table: ReflectionTable
    intensity: np.ndarray
    variance: np.ndarray
    cell: np.ndarray
    group: gemmi.SpaceGroup
    groups: Groups
    merged: Merged
    statistics: MergingStatistics
    ten: MergingStatistics
    diagnosis: Diagnosis
    is_scaled: bool
    left_out: dict[str, int]


def merged_data(given: Given) -> MergedData | str:
    """Merge the scaled reflections, else the integrated ones; a sentence when that cannot be done."""
    table = given.first("scaled", "integrated")
    if table is None:
        return "No integrated or scaled reflections were given."
    crystals = [e.crystal for e in given.experiments if e.crystal is not None]
    if not crystals:
        return "Merging needs the crystals: add the .expt file that belongs to the reflections."
    symbols = {c.space_group.xhm() for c in crystals}
    if len(symbols) > 1:
        return f"The crystals are in different space groups ({', '.join(sorted(symbols))}); spindle symmetry or cosym brings them to one."
    if "miller_index" not in table:
        return "The reflections have no indices (column miller_index)."
    try:
        needed = (*_NEEDED, *_SCALED) if is_scaled(table) else (*_NEEDED, "lp", *_SCALED, *_UNSCALED)
        data = prepare_intensities(only(table, needed))
    except UserError as error:
        return f"{str(error)[0].upper()}{str(error)[1:]}."
    group, cell = crystals[0].space_group, np.mean([c.cell for c in crystals], axis=0)
    hkl = data.table["miller_index"]
    intensity, variance = data.values[data.best], data.variances[data.best]
    inside = np.any(hkl != 0, axis=1) & ~is_systematically_absent(hkl, group)
    if not inside.any():
        return "No reflection is allowed in the space group."
    # corrections and filters are done: only what tells rows apart is needed from here on
    kept = data.table.without(*[n for n in data.table if n not in ("id", "imageset_id", "miller_index", "xyzcal.px")])
    if not inside.all():
        kept, intensity, variance = kept.select(inside), intensity[inside], variance[inside]
    is_scale, left_out = data.kind == "scale", dict(data.dropped)
    del data
    hkl = kept["miller_index"]
    groups = group_equivalents(hkl, group)
    merged = merge_groups(groups, intensity, variance)
    n_shells = int(np.clip(len(merged) // FEWEST, 5, N_SHELLS))
    statistics, ten = statistics_in_shells(hkl, intensity, variance, cell, group, [n_shells, 10], groups)
    diagnosis = diagnose(merged.hkl, merged.intensity, merged.sigma, cell, group)
    return MergedData(
        kept, intensity, variance, cell, group, groups, merged, statistics, ten, diagnosis, is_scale, left_out
    )


def merging_section(data: MergedData | str, experiments: Experiments) -> Section:
    """Statistics of merged intensities."""
    title, key = "Merged intensities", "merging"
    if isinstance(data, str):
        return Section.missing(title, key, data)
    section = Section(title if data.is_scaled else f"{title}, before scaling", key)
    statistics = data.statistics
    overall = statistics.overall
    end = data_end(statistics)
    limit = end.d_min
    section.text.append(
        f"{overall.n_observations} observations of {overall.n_unique} unique reflections in {data.group.xhm()}, {overall.d_max:.2f} to "
        f"{overall.d_min:.2f} A."
    )
    if not data.is_scaled:
        section.remarks.append(
            ("doubtful", "These intensities are not scaled: R factors and CC1/2 are those before spindle scale.")
        )
    if not any(s.n_half >= FEWEST_PAIRS for s in statistics.shells):
        section.text.append("Too few reflections were measured twice for CC1/2 to tell where the data end.")
    elif limit is None:
        section.text.append("CC1/2 and completeness hold to the edge of the data.")
    else:
        section.text.append(
            f"CC1/2 or completeness end the data at {limit:.2f} A: spindle merge with d_min={limit:.2f} leaves out what lies beyond."
        )
    section.tables += [summary_table(overall, data.ten.shells[0], data.ten.shells[-1]), shell_table(statistics)]
    section.figures |= shell_figures(statistics)
    _images(section, data, experiments)
    _multiplicities(section, data)
    _wilson(section, data)
    section.values |= {
        "statistics": statistics.as_dict(), "suggested_d_min": limit, "left_out": data.left_out, "is_scaled": data.is_scaled,
        "space_group": data.group.xhm(),
    }  # fmt: skip
    if data.is_scaled:
        section.values["facts"] = facts_of_statistics(statistics, data.group.xhm()).as_dict()
    return section


def _images(section: Section, data: MergedData, experiments: Experiments) -> None:
    """R of each image against the merged intensities, and the signal."""
    images = ByImage(experiments, data.table)
    if not images.groups:
        return
    deviation, total = _deviations(data)
    curves = []
    for (name, x, up), (_, _, down) in zip(images.mean_curves(deviation), images.mean_curves(total), strict=True):
        with np.errstate(invalid="ignore", divide="ignore"):
            curves.append((name, x, np.where(down > 0, up / down, np.nan)))
    section.figures["rmerge_vs_image"] = lines(
        f"R of each {images.axis} against all", images.axis, "Rmerge", curves, yaxis={"rangemode": "tozero"}
    )
    ratio = data.intensity / np.sqrt(data.variance)
    section.figures["i_over_sig_i_vs_image"] = lines(
        f"Signal of each {images.axis}",
        images.axis,
        "mean I/sigma",
        images.mean_curves(ratio),
        yaxis={"rangemode": "tozero"},
    )
    worst = [
        float(np.nanmax(c[2]) / np.nanmedian(c[2]))
        for c in curves
        if np.isfinite(c[2]).any() and np.nanmedian(c[2]) > 0
    ]
    section.values["worst_image_r_over_median"] = round(max(worst), 3) if worst else None


def _deviations(data: MergedData) -> tuple[np.ndarray, np.ndarray]:
    """|I - <I>| and I of each observation (n,); NaN for those without equivalents."""
    groups = data.groups
    counts = np.diff(groups.offsets)
    mean = np.repeat(data.merged.intensity, counts)
    deviation, total = np.full((2, len(data.intensity)), np.nan)
    several = np.repeat(counts > 1, counts)
    rows = groups.order[several]
    deviation[rows] = np.abs(data.intensity[rows] - mean[several])
    total[rows] = data.intensity[rows]
    return deviation, total


def _multiplicities(section: Section, data: MergedData) -> None:
    n = np.minimum(data.merged.multiplicity, 60)
    possible = len(_complete(data))
    counts = np.bincount(n, minlength=2)
    counts[0] = max(possible - len(n), 0)
    section.figures["multiplicities"] = bars(
        "How often reflections were measured", "observations (60: or more)" if n.max(initial=0) == 60 else "observations", "unique reflections",
        [("", np.arange(len(counts)), counts)], bargap=0.05,
    )  # fmt: skip


def _complete(data: MergedData) -> np.ndarray:
    return np.asarray(
        unique_indices(
            data.cell,
            data.group,
            data.statistics.overall.d_min * (1 - 1e-7),
            data.statistics.overall.d_max * (1 + 1e-7),
        )
    )


def _wilson(section: Section, data: MergedData) -> None:
    """Mean intensity by resolution: peaks are ice, dips are rings that were left out."""
    d = resolution_of(data.merged.hkl, data.cell)
    square = d**-2.0
    n = int(np.clip(len(square) // 30, 5, 100))
    places = np.clip(((square - square.min()) / max(np.ptp(square), 1e-12) * n).astype(np.int64), 0, n - 1)
    counts, mean = means(places, data.merged.intensity / data.merged.epsilon, n)
    x = square.min() + (np.arange(n) + 0.5) * np.ptp(square) / n
    with np.errstate(invalid="ignore", divide="ignore"):
        y = np.where((counts >= 5) & (mean > 0), np.log(mean), np.nan)
    section.figures["wilson_intensity_plot"] = lines(
        "Wilson plot", "", "ln of the mean intensity", [("", x, y)], xaxis=resolution_ticks(x)
    )


def twinning_section(data: MergedData | str) -> Section:
    """Twinning, pseudo-translation and moments of intensities."""
    if isinstance(data, str):
        return Section.missing(TWINNING, "intensity_statistics", data)
    return diagnosis_section(data.diagnosis, data.is_scaled)


def diagnosis_section(diagnosis: Diagnosis, is_scaled: bool = True) -> Section:
    """The same of a diagnosis that was made already.

    Parameters
    ----------
    diagnosis : Diagnosis
    is_scaled : bool
        Whether its intensities are scaled.
    """
    title, key = TWINNING, "intensity_statistics"
    if not diagnosis.n:
        return Section.missing(title, key, "There are too few reflections for statistics of intensities.")
    section = Section(title, key, tables=diagnosis.tables(), values=diagnosis.as_dict())
    section.values["facts"] = facts_of_diagnosis(diagnosis).as_dict()
    if not is_scaled:
        section.text.append("The intensities are not scaled, which makes them look less twinned than they are.")
    warnings = diagnosis.warnings()
    section.remarks += [("doubtful", w + ".") for w in warnings]
    if not warnings:
        section.remarks.append(
            (
                "good",
                f"The intensities are those of a single crystal without pseudo-translation: neighbouring reflections differ as they do in one, "
                f"<|L|> = {diagnosis.l_test.mean_abs:.3f} (single 0.5, perfect twin 0.375).",
            )
        )
    for key_, curve in zip(("l_test", "cumulative_intensity_distribution", "h_test"), diagnosis.curves(), strict=False):
        figure = lines(*curve)
        for entry in figure["data"]:
            entry["mode"] = "lines"
        section.figures[key_] = figure
    return section


def completeness_section(data: MergedData | str) -> Section:
    """What was measured in slices of reciprocal space."""
    title, key = "Completeness in reciprocal space", "completeness_map"
    if isinstance(data, str):
        return Section.missing(title, key, data)
    section = Section(title, key)
    keys = pack_indices(data.merged.hkl)
    order = np.argsort(keys)
    d_min = data.statistics.overall.d_min
    for name, fixed in (("hk0", 2), ("h0l", 1), ("0kl", 0)):
        figure, complete = _slice(data, keys[order], order, fixed, d_min, name)
        if figure is not None:
            section.figures[f"multiplicity_{name}"] = figure
            section.values[f"completeness_{name}"] = complete
    missing = _missing(data, keys[order])
    section.values["largest_missing_direction"] = missing
    if (
        missing["completeness"] is not None
        and missing["completeness"] < 0.5
        and data.statistics.overall.completeness < 0.95
    ):
        section.remarks.append(
            ("doubtful", f"In one direction of the unique part of reciprocal space only {100 * missing['completeness']:.0f} % are measured: a "
             "wedge was not turned through, or something shades the detector. spindle missing_reflections lists what is missing.")
        )  # fmt: skip
    section.text.append(
        "White points of the slices are missing, those outside the limit of resolution and absent ones are not drawn."
    )
    return section


def _slice(
    data: MergedData, keys: np.ndarray, order: np.ndarray, fixed: int, d_min: float, name: str
) -> tuple[dict[str, Any] | None, float | None]:
    """Multiplicity of the reflections of a plane through the origin, and its completeness."""
    free = [i for i in range(3) if i != fixed]
    limits = np.minimum(np.floor(np.asarray(data.cell[:3]) / d_min).astype(int) + 1, MOST_INDEX)
    axes = [np.arange(-limits[i], limits[i] + 1) for i in free]
    hkl = np.zeros((len(axes[1]), len(axes[0]), 3), np.int32)
    hkl[..., free[0]] = axes[0][None, :]
    hkl[..., free[1]] = axes[1][:, None]
    flat = hkl.reshape(-1, 3)
    possible = np.any(flat != 0, axis=1) & ~is_systematically_absent(flat, data.group)
    possible[possible] = resolution_of(flat[possible], data.cell) >= d_min
    if possible.sum() < 10:
        return None, None
    asu = pack_indices(asu_indices(flat[possible], data.group)[0])
    place = np.minimum(np.searchsorted(keys, asu), len(keys) - 1)
    found = keys[place] == asu
    values = np.where(found, data.merged.multiplicity[order[place]], 0).astype(np.float64)
    z = np.full(len(flat), np.nan)
    z[possible] = values
    complete = float(found.mean())
    rows, columns = ("hkl"[free[1]], "hkl"[free[0]])
    top = float(np.percentile(values, 98)) or 1.0
    figure = heat_map(
        f"{name}: {100 * complete:.1f} % complete", columns, rows, z.reshape(hkl.shape[:2]), axes[0], axes[1], low=0.0, high=max(top, 1.0),
        colours=[[0, "#ffffff"], [1e-6, "#fde0a8"], [0.5, "#e69f00"], [1, "#7a2d00"]], plot_bgcolor="#e8edf2",
        yaxis={"constrain": "domain", "showgrid": False}, xaxis={"constrain": "domain", "showgrid": False},
    )  # fmt: skip
    figure["data"][0]["colorbar"] = {"title": {"text": "observations", "side": "right"}, "thickness": 14}
    return figure, round(complete, 4)


def _missing(data: MergedData, keys: np.ndarray, n: int = 24) -> dict[str, Any]:
    """Completeness by direction of the unique reflections: the poorest of about `n` equal parts of the sphere."""
    complete = _complete(data)
    found = np.isin(pack_indices(complete), keys)
    if len(complete) < 20 * n:
        return {"completeness": None, "direction": None}
    orthogonal = np.asarray(gemmi.UnitCell(*data.cell).frac.mat.tolist()).T
    q = complete @ orthogonal.T
    q /= np.linalg.norm(q, axis=1)[:, None]
    golden = np.pi * (3.0 - np.sqrt(5.0))
    height = 1 - (np.arange(8 * n) + 0.5) / (4 * n)
    radius = np.sqrt(1 - height**2)
    centres = np.stack(
        [radius * np.cos(golden * np.arange(8 * n)), radius * np.sin(golden * np.arange(8 * n)), height], axis=1
    )
    nearest = np.concatenate(
        [np.argmax(part @ centres.T, axis=1) for part in np.array_split(q, max(1, len(q) // 20000))]
    )
    counts, mean = means(nearest, found.astype(np.float64), 8 * n)
    use = counts >= max(20, len(complete) // (16 * n))
    if not use.any():
        return {"completeness": None, "direction": None}
    worst = int(np.flatnonzero(use)[np.argmin(mean[use])])
    return {"completeness": round(float(mean[worst]), 4), "direction": [round(float(v), 3) for v in centres[worst]]}
