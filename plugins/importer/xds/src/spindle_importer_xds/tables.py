"""Reflection tables from rows of XDS."""

from __future__ import annotations

import numpy as np

from spindle.geometry import rotate_about
from spindle.models import Detector, Experiment
from spindle.prediction import lorentz_polarisation
from spindle.table import Flag, ReflectionTable

from .reading import HklFile

__all__ = ["ascii_table", "integrate_table", "on_panels", "pixel_shift", "spot_table"]

SHIFTS = (0.0, 0.5, -0.5)
WORST_FIT = 1.0  # pixels: beyond it positions tell nothing about how pixels are counted
USUAL_SHIFT = {"spots": 0.5}  # SPOT.XDS has pixel centres at whole numbers from 0


def _start(experiment: Experiment, hkl: np.ndarray) -> ReflectionTable:
    n = len(hkl)
    table = ReflectionTable.with_rows(n, ["id", "flags", "miller_index"])
    table["id"] = np.zeros(n, np.int64)
    table["panel"] = np.zeros(n, np.uint64)
    table["miller_index"] = hkl.astype(np.int32)
    return table


def _predicted(experiment: Experiment, table: ReflectionTable, frames: np.ndarray) -> None:
    """Add diffracted beams, resolution, corrections and calculated places in the scan."""
    phi = np.asarray(experiment.known_scan.angle_from_array_index(frames))
    q = table["miller_index"] @ experiment.known_crystal.A.T
    turned = rotate_about(np.ascontiguousarray(q, dtype=np.float64), experiment.known_goniometer.axis_lab, phi)
    s0 = experiment.beam.s0
    s1 = turned + s0
    s1 *= np.linalg.norm(s0) / np.maximum(np.linalg.norm(s1, axis=1, keepdims=True), 1e-12)
    table["s1"] = s1
    table["d"] = 1.0 / np.maximum(np.linalg.norm(q, axis=1), 1e-12)
    table["entering"] = s1 @ np.cross(s0, experiment.known_goniometer.axis_lab) < 0.0
    table["lp"] = lorentz_polarisation(experiment.beam, experiment.known_goniometer, s1)


def _places(experiment: Experiment, items: dict[str, np.ndarray], names: str) -> np.ndarray:
    """(n, 3) float64: columns of a position; the third as array index of the experiment's scan."""
    xyz = np.stack([items[name] for name in names.split()], axis=1)
    return np.asarray(xyz)


def integrate_table(experiment: Experiment, file: HklFile, notes: list[str]) -> ReflectionTable:
    """Reflections of INTEGRATE.HKL: profile-fitted intensities as they were measured.

    Notes
    -----
    IOBS is the fitted intensity times RLP over the recorded fraction PEAK / 100; SIGMA has the variance model of the header in it:
    SIGMA^2 = a (V + b I^2).
    """
    items = file.items
    table = _start(experiment, np.stack([items[c] for c in "HKL"], axis=1))
    part = items["PEAK"] / 100.0
    factor = part / np.where(items["RLP"] > 0, items["RLP"], np.inf)
    value, variance = items["IOBS"] * factor, (items["SIGMA"] * factor) ** 2
    a, b = file.variance_model
    plain = variance / (a if a > 0 else 1.0) - b * value**2
    variance = np.where(plain > 0, plain, variance)
    for kind in ("prf", "sum"):  # programs ask for sums, too
        table[f"intensity.{kind}.value"], table[f"intensity.{kind}.variance"] = value, variance
    table["intensity.cor.value"], table["intensity.cor.variance"] = items["IOBS"].copy(), items["SIGMA"] ** 2
    table["partiality"] = part
    table["partial_id"] = np.arange(len(part), dtype=np.uint64)
    table["profile.correlation"] = items["CORR"] / 100.0
    calculated = _places(experiment, items, "XCAL YCAL ZCAL")
    observed = _places(experiment, items, "XOBS YOBS ZOBS")
    seen = np.any(observed != 0, axis=1)
    table["xyzcal.px"], table["xyzobs.px.value"] = calculated, np.where(seen[:, None], observed, calculated)
    table["xyzobs.px.variance"] = np.full((len(part), 3), 1.0 / 12.0)
    _predicted(experiment, table, calculated[:, 2])
    flags = np.full(len(part), int(Flag.PREDICTED | Flag.INTEGRATED_PRF | Flag.INTEGRATED_SUM), np.uint64)
    flags |= np.where(seen, int(Flag.STRONG | Flag.OBSERVED), int(Flag.NOT_SUITABLE_FOR_REFINEMENT)).astype(np.uint64)
    flags[~(variance > 0)] = int(Flag.PREDICTED)
    table["flags"] = flags
    notes.append(
        "intensities are profile-fitted; the summed ones hold the same numbers, since XDS writes no sums. Lorentz and polarisation "
        "factors are calculated anew"
    )
    return table


def ascii_table(experiment: Experiment, file: HklFile, notes: list[str]) -> ReflectionTable:
    """Reflections of XDS_ASCII.HKL: scaled by CORRECT, or as a program exported them."""
    items = file.items
    table = _start(experiment, np.stack([items[c] for c in "HKL"], axis=1))
    n = len(table)
    calculated = _places(experiment, items, "XD YD ZD")
    table["xyzcal.px"], table["xyzobs.px.value"] = calculated, calculated.copy()
    table["xyzobs.px.variance"] = np.full((n, 3), 1.0 / 12.0)
    _predicted(experiment, table, calculated[:, 2])
    value, variance = items["IOBS"].copy(), items["SIGMA"] ** 2
    table["partiality"] = np.minimum(items["PEAK"] / 100.0, 1.0) if "PEAK" in items else np.ones(n)
    table["partial_id"] = np.arange(n, dtype=np.uint64)
    if "CORR" in items:
        table["profile.correlation"] = items["CORR"] / 100.0
    rejected = items["SIGMA"] <= 0
    if file.holds in ("prf", "sum"):
        factor = np.where(items["RLP"] > 0, items["RLP"], 1.0)
        table["lp"] = factor
        recorded = table["partiality"] if file.holds == "sum" else 1.0
        table[f"intensity.{file.holds}.value"] = value / factor * recorded
        table[f"intensity.{file.holds}.variance"] = variance / (factor / recorded) ** 2
        kind = Flag.INTEGRATED_PRF if file.holds == "prf" else Flag.INTEGRATED_SUM
        flags = np.full(n, int(Flag.PREDICTED | kind), np.uint64)
        notes.append(
            f"intensities are {'profile-fitted' if file.holds == 'prf' else 'summed'}, not scaled, as the header says"
        )
    else:
        table["intensity.scale.value"], table["intensity.scale.variance"] = value, variance
        table["inverse_scale_factor"] = np.ones(n)
        table["inverse_scale_factor_variance"] = np.zeros(n)
        for name in ("prf", "sum"):
            table[f"intensity.{name}.value"], table[f"intensity.{name}.variance"] = value.copy(), variance.copy()
        table["lp"] = np.ones(n)
        flags = np.full(n, int(Flag.PREDICTED | Flag.INTEGRATED_PRF | Flag.INTEGRATED_SUM | Flag.SCALED), np.uint64)
        notes.append(
            "intensities are corrected and scaled by CORRECT: scale factors are 1, further corrections would be applied twice"
        )
    flags[rejected] |= np.uint64(int(Flag.OUTLIER_IN_SCALING))
    if rejected.any():
        notes.append(f"{int(rejected.sum())} observations are misfits of CORRECT and are marked as outliers")
    table["flags"] = flags
    return table


def spot_table(
    experiment: Experiment, places: np.ndarray, intensity: np.ndarray, hkl: np.ndarray | None
) -> ReflectionTable:
    """Strong spots of SPOT.XDS; those without index belong to no crystal."""
    n = len(places)
    index = np.zeros((n, 3), np.int32) if hkl is None else hkl
    table = _start(experiment, index)
    if hkl is not None:
        table["id"] = np.where(np.any(index != 0, axis=1), 0, -1)
    table["imageset_id"] = np.zeros(n, np.int64)
    table["xyzobs.px.value"] = places
    table["xyzobs.px.variance"] = np.full((n, 3), 1.0 / 12.0)
    table["intensity.sum.value"] = intensity
    table["intensity.sum.variance"] = np.maximum(intensity, 1.0)
    flags = np.full(n, int(Flag.STRONG), np.uint64)
    if hkl is not None:
        flags[np.any(index != 0, axis=1)] |= np.uint64(int(Flag.INDEXED))
    table["flags"] = flags
    return table


def pixel_shift(experiment: Experiment, table: ReflectionTable, kind: str) -> tuple[float, str]:
    """Which of 0, 0.5 and -0.5 pixels brings positions nearest to where the models predict the reflections, and why.

    The median over the reflections of the larger deviation in x or y decides, of calculated positions where there are some.
    """
    usual = USUAL_SHIFT.get(kind, -0.5)
    rows = np.flatnonzero(table["id"] >= 0) if experiment.crystal is not None else np.zeros(0, np.int64)
    rows = rows[np.any(table["miller_index"][rows] != 0, axis=1)]
    if len(rows) < 3:
        return usual, "as XDS counts pixels; there are no indices to compare with the models"
    part = table.select(rows[:: max(1, len(rows) // 5000)])
    name = "xyzcal.px" if "xyzcal.px" in part else "xyzobs.px.value"
    place = part[name]
    _predicted(experiment, part, place[:, 2])
    panel = part["panel"].astype(np.int64)
    v = np.einsum("nij,nj->ni", np.asarray(experiment.detector.D)[panel], part["s1"])
    mm = v[:, :2] / np.where(np.abs(v[:, 2:]) > 1e-12, v[:, 2:], 1e-12)
    difference = experiment.detector.mm_to_pixel(panel, mm) - place[:, :2]
    sizes = [float(np.median(np.abs(difference - shift).max(axis=1))) for shift in SHIFTS]
    best = int(np.argmin(sizes))
    if sizes[best] > WORST_FIT:
        return usual, (
            f"as XDS counts pixels; the positions are {sizes[best]:.1f} px from the models' in the median, so that their indices "
            "or the models belong to something else: look at both before going on"
        )
    return SHIFTS[best], f"then {len(part)} positions are within {sizes[best]:.2f} px of the models' in the median"


def on_panels(detector: Detector, table: ReflectionTable, numbers: np.ndarray | None) -> None:
    """Tell each row its panel, and take the place of the panel in the image from its positions.

    Parameters
    ----------
    detector : Detector
    table : ReflectionTable
        With positions in pixels of the image, from 0.
    numbers : (n,) float64 or None
        ISEG of the file, from 1; without it the panel is the one that the position is on, or is nearest to.
    """
    offsets = np.array([p.raw_image_offset for p in detector], float)
    if len(detector) == 1 and not offsets.any():
        return
    if numbers is None:
        name = "xyzcal.px" if "xyzcal.px" in table else "xyzobs.px.value"
        xy = table[name][:, :2]
        sizes = [p.image_size for p in detector]
        beyond = [
            np.maximum(np.maximum(o - xy, xy - o - n), 0.0).sum(axis=1) for o, n in zip(offsets, sizes, strict=True)
        ]
        panel = np.argmin(beyond, axis=0)
    else:
        panel = np.clip(numbers.astype(np.int64) - 1, 0, len(detector) - 1)
    table["panel"] = panel.astype(np.uint64)
    for name in ("xyzcal.px", "xyzobs.px.value"):
        if name in table:
            table[name] = table[name] - np.column_stack([offsets[panel], np.zeros(len(table))])
