"""Scaling models: scale, decay and absorption, and the errors that scaling gives intensities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import ndtri

from spindle.models import Experiment, Experiments
from spindle.report import Section, Table
from spindle.table import BAD_FOR_SCALING, Flag, ReflectionTable
from spindle_lib_harmonics.surface import directional_surface
from spindle_lib_merging import group_equivalents, is_scaled
from spindle_lib_pages.figures import heat_map, lines
from spindle_lib_smoothing.smoother import Smoother
from spindle_lib_verdict import Facts, tells_errors

from .bins import means, thin
from .given import MOST_ROWS, Given, sampled
from .images import MOST_CURVES, MOST_POINTS
from .merged import MergedData

__all__ = ["model_curves", "normal_plot", "normalised_deviations", "per_image", "scaling_section"]

DEVIATIONS = 241  # points of a normal probability plot
MOST_SURFACES = 3
#: Error models whose relative error is less were not determined: nobody measures to a thousandth.
LEAST_ERROR = 1e-3


def per_image(table: ReflectionTable, rows: np.ndarray, experiment: Experiment | None = None) -> dict[str, list[float]]:
    """Mean scale factor and I / sigma of scaled reflections, and their number, for each image.

    Parameters
    ----------
    table : ReflectionTable
        Scaled.
    rows : (n,) int
        Those of one data set.
    experiment : Experiment, optional
        That of the data set: reflections centred beyond its scan were measured on the first or the last image.

    Returns
    -------
    dict
        ``image`` (from 1), ``scale``, ``i_over_sigma`` and ``n``, for images with reflections; empty for no rows.
    """
    z = np.floor(table.peek("xyzcal.px", rows)[:, 2]).astype(np.int64)
    if len(z) == 0:
        return {}
    if experiment is not None and experiment.scan is not None and not experiment.is_still:
        start, stop = experiment.scan.array_range
        z = np.clip(z, start, stop - 1)
    first = int(z.min())
    n = int(z.max()) - first + 1
    counts, scale = means(z - first, table["inverse_scale_factor"][rows], n)
    variance = table["intensity.scale.variance"][rows]
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where(variance > 0, table["intensity.scale.value"][rows] / np.sqrt(variance), np.nan)
    signal = means(z - first, ratio, n)[1]
    used = np.flatnonzero(counts)
    return {
        "image": (used + first + 1).tolist(), "scale": scale[used].tolist(), "i_over_sigma": signal[used].tolist(),
        "n": counts[used].tolist(),
    }  # fmt: skip


def normalised_deviations(table: ReflectionTable, experiments: Experiments, n: int = DEVIATIONS) -> np.ndarray:
    """Quantiles (n,) of the deviations of scaled intensities from the mean of their equivalents, in units of their errors.

    Parameters
    ----------
    table : ReflectionTable
        Scaled reflections.
    experiments : Experiments
        With the space group of the first crystal; Friedel mates are equivalent.

    Notes
    -----
    (I - <I>) / (sigma sqrt(1 - w / W)), with weights w = 1 / sigma^2 and their sum W: of variance 1 where the errors are right. Multiples of
    both signs are kept; observations without equivalents have none.
    """
    crystal = next((e.crystal for e in experiments if e.crystal is not None), None)
    if crystal is None or not len(table):
        return np.zeros(0)
    g = table["inverse_scale_factor"]
    value, variance = table["intensity.scale.value"] / g, table["intensity.scale.variance"] / g**2
    good = np.isfinite(value) & (variance > 0)
    groups = group_equivalents(table.peek("miller_index")[good], crystal.space_group)
    value, weight = value[good][groups.order], 1.0 / variance[good][groups.order]
    n_of = np.diff(groups.offsets)
    starts = groups.offsets[:-1]
    total = np.repeat(np.add.reduceat(weight, starts), n_of)
    mean = np.repeat(np.add.reduceat(weight * value, starts), n_of) / total
    several = np.repeat(n_of > 1, n_of)
    left = 1.0 - weight[several] / total[several]
    return _quantiles((value[several] - mean[several]) * np.sqrt(weight[several] / np.maximum(left, 1e-9)), n)


def _quantiles(values: np.ndarray, n: int) -> np.ndarray:
    """(n,) float64: equally probable values in rising order, those that are no numbers left out; fewer where there are fewer."""
    found = np.sort(values[np.isfinite(values)])
    if not len(found):
        return found
    places = (np.arange(min(n, len(found))) + 0.5) / min(n, len(found)) * len(found) - 0.5
    return np.interp(places, np.arange(len(found)), found)


def _deviations_of_merged(data: MergedData, n: int = DEVIATIONS) -> np.ndarray:
    """`normalised_deviations` of observations that were merged already; of many, those of every k-th reflection."""
    offsets = data.groups.offsets
    step = max(1, -(-len(data.intensity) // MOST_ROWS))
    chosen = np.flatnonzero(data.groups.multiplicity > 1)[::step]
    counts = np.diff(offsets)[chosen]
    if not len(chosen):
        return np.zeros(0)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    rows = data.groups.order[np.repeat(offsets[:-1][chosen], counts) + within]
    value, weight = data.intensity[rows], 1.0 / data.variance[rows]
    starts = np.cumsum(counts) - counts
    total = np.repeat(np.add.reduceat(weight, starts), counts)
    mean = np.repeat(np.add.reduceat(weight * value, starts), counts) / total
    return _quantiles((value - mean) * np.sqrt(weight / np.maximum(1.0 - weight / total, 1e-9)), n)


def normal_plot(
    deviations: Sequence[float] | np.ndarray, title: str = "Normal probability plot of errors"
) -> dict[str, Any]:
    """Sorted deviations against those of a normal distribution; on the line where the errors are right."""
    n = len(deviations)
    expected = ndtri((np.arange(n) + 0.5) / max(n, 1))
    limit = max(4.0, float(np.abs(expected).max())) if n else 4.0
    return lines(
        title, "expected of normal errors", "deviation / sigma",
        [("observed", expected, deviations), ("ideal", [-limit, limit], [-limit, limit])],
    )  # fmt: skip


def model_curves(experiment: Experiment) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Terms of the scaling model that vary along the scan: name -> rotation angles (degrees) and values.

    ``scale`` is the inverse scale factor g, ``decay`` the relative B factor (angstrom^2); models that hold one number each, or grids, have
    no curve.
    """
    model, scan = experiment.scaling_model or {}, experiment.scan
    settings = model.get("configuration_parameters", {})
    if scan is None or experiment.is_still:
        return {}
    first, last = (float(v) for v in scan.array_range)
    start, width = scan.oscillation_deg
    frames = np.linspace(first, last, min(scan.n_images, MOST_POINTS) + 1)
    found = {}
    for name, factor_name in (("scale", "s_norm_fac"), ("decay", "d_norm_fac")):
        values, factor = np.array(model.get(name, {}).get("parameters", []), np.float64), settings.get(factor_name)
        if factor is None or len(values) < 2:
            continue
        stop = max(float(np.ceil(round((last - first) * factor, 10))), 1.0)
        n_intervals = len(values) - 1 if len(values) <= 3 else len(values) - 2
        smoother = Smoother(0.0, stop, n_intervals)
        indices, weights = smoother.weights(np.clip((frames - first) * factor, 0.0, stop))
        found[name] = (start + width * (frames - first), (values[indices] * weights).sum(axis=1))
    return found


def scaling_section(
    given: Given, data: MergedData | str, deviations: Sequence[tuple[str, Sequence[float]]] | None = None
) -> Section:
    """Scaling models, and what they do to intensities.

    Parameters
    ----------
    given : Given
    data : MergedData or str
        The observations merged, or why they are not.
    deviations : sequence of (str, (n,) float64), optional
        Names and sorted normalised deviations of error models, where scaling itself tells them; else they are found from the data.
    """
    title, key = "Scaling", "scaling_model"
    models = [(i, e) for i, e in enumerate(given.experiments) if e.scaling_model]
    table = given.tables.get("scaled")
    if not models and table is None:
        return Section.missing(title, key, "The data are not scaled; run spindle scale.")
    section = Section(title, key)
    _terms(section, models)
    if table is not None and is_scaled(table):
        _images(section, table, given.experiments)
        if deviations is None:
            _errors(section, data, models)
        for k, (name, values) in enumerate(deviations or ()):
            section.figures[f"normal_distribution_plot_{k}"] = normal_plot(values, f"Normal probability plot of {name}")
    elif models:
        section.text.append("Scaled reflections were not given: the figures show the models alone.")
    return section


def _terms(section: Section, models: list[tuple[int, Experiment]]) -> None:
    rows: list[list[Any]] = []
    scales: list[Any] = []
    decays: list[Any] = []
    for i, experiment in models:
        model = experiment.scaling_model or {}
        terms = {
            n: np.array(v["parameters"], np.float64)
            for n, v in model.items()
            if isinstance(v, dict) and "parameters" in v
        }
        settings = model.get("configuration_parameters", {})
        errors = settings.get("error_model_parameters")
        if len(rows) < 60:
            rows.append(
                [i, str(model.get("__id__", "--")), ", ".join(f"{n} ({len(v)})" for n, v in terms.items()),
                 "--" if not errors else ", ".join(f"{v:.3f}" for v in errors)]
            )  # fmt: skip
        curves = model_curves(experiment)
        name = "" if len(models) == 1 else f"experiment {i}"
        for kind, into in (("scale", scales), ("decay", decays)):
            if kind in curves and len(into) < MOST_CURVES:
                into.append((name, *curves[kind]))
        if "absorption" in terms and settings.get("lmax") and len(section.figures) < MOST_SURFACES:
            section.figures[f"absorption_surface_{i}"] = _surface(
                terms["absorption"], int(settings["lmax"]), i, len(models)
            )
        if model.get("__id__") == "array" and "decay" in terms:
            _grid(section, terms["decay"], settings, i)
    if rows:
        section.tables.append(
            Table(
                "Scaling models",
                ["Experiment", "Model", "Terms (number of parameters)", "Error model a, b"],
                rows,
                "scaling_models",
            )
        )
    for key, title, y_title, curves_ in (
        ("smooth_scale_model", "Scale term of the models", "inverse scale factor", scales),
        ("smooth_decay_model", "Decay term of the models", "relative B (A<sup>2</sup>)", decays),
    ):
        if curves_:
            if len(models) > len(curves_) == MOST_CURVES:
                title += f" (the first {MOST_CURVES} of {len(models)})"
            x_title = "rotation angle (deg)"
            if len({float(x[0]) for _, x, _ in curves_}) > 1:  # sweeps far apart would be dots
                x_title = "rotation from the first image (deg)"
                curves_ = [(name, x - x[0], y) for name, x, y in curves_]
            figure = lines(title, x_title, y_title, curves_)
            for entry in figure["data"]:
                entry["mode"] = "lines"
            section.figures[key] = figure
            section.values[f"{key}_range"] = [round(float(f([f(c[2]) for c in curves_])), 4) for f in (min, max)]


def _surface(coefficients: np.ndarray, lmax: int, number: int, n_models: int) -> dict[str, Any]:
    """The absorption surface in all directions of the crystal."""
    azimuth, polar = np.arange(0.0, 361.0, 6.0), np.arange(0.0, 181.0, 6.0)
    values = directional_surface(coefficients, lmax, np.radians(polar)[:, None], np.radians(azimuth)[None, :])
    title = "Absorption of the crystal by direction" + ("" if n_models == 1 else f", experiment {number}")
    spread_ = float(np.abs(values - 1).max()) or 0.01
    figure = heat_map(
        title,
        "azimuth (deg)",
        "polar angle (deg)",
        values,
        azimuth,
        polar,
        low=1 - spread_,
        high=1 + spread_,
        colours="RdBu",
    )
    figure["data"][0]["colorbar"] = {"title": {"text": "factor of g", "side": "right"}, "thickness": 14}
    return figure


def _grid(section: Section, values: np.ndarray, settings: dict[str, Any], number: int) -> None:
    """The decay of the array model: by resolution and time."""
    n_time, n_resolution = settings.get("n_time_param", 0), settings.get("n_res_param", 0)
    if n_time * n_resolution != len(values) or number >= MOST_SURFACES:
        return
    z = values.reshape(n_time, n_resolution).T
    y = settings.get("resmin", 0.0) + np.arange(n_resolution) * settings.get("res_bin_width", 1.0)
    x = np.arange(n_time) * settings.get("time_rot_interval", 1.0)
    figure = heat_map(f"Decay of experiment {number}", "rotation (deg)", "1/d<sup>2</sup> (1/A<sup>2</sup>)", z, x, y)
    section.figures[f"array_decay_{number}"] = figure


def _images(section: Section, table: ReflectionTable, experiments: Experiments) -> None:
    """Means of scale and signal over the reflections of each image, of many experiments over those of each."""
    if "xyzcal.px" not in table:
        return
    good = table.has_flags(Flag.SCALED) & ~table.has_flags(BAD_FOR_SCALING, all=False)
    outliers = table.has_flags(Flag.OUTLIER_IN_SCALING)
    needed = ("id", "xyzcal.px", "inverse_scale_factor", "intensity.scale.value", "intensity.scale.variance")
    some, _ = sampled(table.without(*[n for n in table if n not in needed]), good)
    sets = []
    rows_of = some.rows_by_experiment()
    for k, rows in rows_of.items():
        found = per_image(some, rows, experiments[k] if 0 <= k < len(experiments) else None)
        if found:
            sets.append((f"experiment {k}" if len(rows_of) > 1 else "", found))
    ranges = [np.percentile(f["scale"], [2, 98]) for _, f in sets]
    axis = "image"
    if len(sets) > MOST_CURVES:
        axis = "experiment"
        whole = {
            name: [float(np.average(f[name], weights=f["n"])) for _, f in sets] for name in ("scale", "i_over_sigma")
        }
        sets = [("", {"image": [float(k) for k in rows_of], **whole})]
    for key, title, y_title, name in (
        ("scale_vs_image", "Scale factors", "mean inverse scale factor", "scale"),
        ("scaled_i_over_sigma_vs_image", "Signal after scaling", "mean I/sigma", "i_over_sigma"),
    ):
        curves = []
        for label, found in sets:
            keep = thin(len(found["image"]), MOST_POINTS)
            curves.append((label, np.array(found["image"])[keep], np.array(found[name])[keep]))
        if curves:
            section.figures[key] = lines(title, axis, y_title, curves, yaxis={"rangemode": "tozero"})
    if ranges:
        section.values["scale_ratio_within_sets"] = round(float(max(h / l if l > 0 else np.inf for l, h in ranges)), 3)
    section.values |= {"n_scaled": int(good.sum()), "n_outliers": int(outliers.sum())}
    section.text.append(
        f"{int(good.sum())} reflections are scaled; {int(outliers.sum())} ({100 * outliers.sum() / max(good.sum() + outliers.sum(), 1):.2f} %) "
        "were outliers."
    )


def _errors(section: Section, data: MergedData | str, models: list[tuple[int, Experiment]]) -> None:
    deviations = np.zeros(0) if isinstance(data, str) or not data.is_scaled else _deviations_of_merged(data)
    if isinstance(data, str) or not tells_errors(data.statistics.overall):
        section.text.append("There are too few equivalents to judge the errors by, or no crystal.")
        return
    section.figures["normal_distribution_plot"] = normal_plot(deviations)
    expected = ndtri((np.arange(len(deviations)) + 0.5) / max(len(deviations), 1))
    central = np.abs(expected) < 1.5
    slope = float(np.polyfit(expected[central], deviations[central], 1)[0]) if central.sum() > 3 else float("nan")
    section.values["normal_slope"] = round(slope, 4)
    factors = [
        (e.scaling_model or {}).get("configuration_parameters", {}).get("error_model_parameters") for _, e in models
    ]
    known = [f for f in factors if f and len(f) >= 2 and f[0] * f[1] > LEAST_ERROR]
    if known:
        best = float(np.mean([1.0 / (f[0] * f[1]) for f in known]))
        section.values["i_over_sigma_asymptotic"] = round(best, 2)
        section.values["facts"] = Facts(largest_i_over_sigma=min(1.0 / (f[0] * f[1]) for f in known)).as_dict()
        section.text.append(
            f"The error model limits I/sigma of single strong reflections to {best:.1f} (ISa); above 15 is good, below 5 is poor."
        )
