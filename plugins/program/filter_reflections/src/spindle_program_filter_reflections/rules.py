"""Rules by which reflections are kept that are no expressions."""

from __future__ import annotations

from typing import Any

import numpy as np

from spindle.errors import ParameterError
from spindle.geometry import zeta_factor
from spindle.models import Experiments
from spindle.prediction import add_observed_geometry
from spindle.table import Flag, ReflectionTable
from spindle_lib_ice import in_intervals, ring_intervals

__all__ = ["d_spacings", "good_intensities", "in_dead_time", "in_rings", "integrated"]

#: A reflection that is not recorded to this fraction at least is no good intensity.
WHOLE = 0.99


def d_spacings(table: ReflectionTable, experiments: Experiments | None) -> np.ndarray:
    """(n,) float64, angstrom: the column ``d``; else of Miller indices and crystals; else of positions of spots.

    Raises
    ------
    ParameterError
        If the table tells none of these, or experiments are needed and there are none.
    """
    if "d" in table:
        return np.asarray(table["d"])
    n = len(table)
    found = np.full(n, np.nan)
    if experiments is not None and "miller_index" in table and all(e.crystal is not None for e in experiments):
        hkl, ids = table["miller_index"].astype(np.float64), table["id"]
        rows = np.flatnonzero((ids >= 0) & hkl.any(axis=1))
        A = np.array([e.known_crystal.A for e in experiments])
        found[rows] = 1.0 / np.linalg.norm(np.einsum("nij,nj->ni", A[ids[rows]], hkl[rows]), axis=1)
    left = np.isnan(found)
    if left.any() and "rlp" in table:
        found[left] = 1.0 / np.maximum(np.linalg.norm(table["rlp"][left], axis=1), 1e-9)
    elif left.any():
        if experiments is None or "xyzobs.px.value" not in table:
            raise ParameterError(
                "the resolution of these reflections is not known: they have no column d; give the experiments that belong to them"
            )
        some = table.select(left)
        view = some.view()
        if "xyzobs.px.variance" not in view:
            view["xyzobs.px.variance"] = np.zeros((len(view), 3))
        stray = view["id"] < 0
        if stray.any():
            view["id"] = np.where(stray, view.get("imageset_id", np.zeros(len(view), np.int32)), view["id"])
        rlp = add_observed_geometry(experiments, view)["rlp"]
        found[left] = 1.0 / np.maximum(np.linalg.norm(rlp, axis=1), 1e-9)
    return found


def integrated(table: ReflectionTable) -> np.ndarray:
    """(n,) bool: integrated by summation and, where any row is, by profile fitting."""
    fitted = table.has_flags(Flag.INTEGRATED_PRF)
    summed = table.has_flags(Flag.INTEGRATED_SUM)
    return summed & fitted if fitted.any() else summed


def good_intensities(table: ReflectionTable) -> np.ndarray:
    """(n,) bool: integrated by summation and profile with a variance, and recorded as a whole.

    Raises
    ------
    MissingColumn
        If the reflections are not integrated.
    """
    good = np.ones(len(table), np.bool_)
    for kind, flag in (("sum", Flag.INTEGRATED_SUM), ("prf", Flag.INTEGRATED_PRF)):
        if f"intensity.{kind}.variance" in table or kind == "sum":
            good &= table.has_flags(flag) & (table[f"intensity.{kind}.variance"] > 0)
    return good & (table["partiality"] >= WHOLE) if "partiality" in table else good


def in_rings(d: np.ndarray, ice_rings: Any) -> np.ndarray:
    """(n,) bool: whether the resolution is that of a powder ring.

    Parameters
    ----------
    d : (n,) float64, angstrom
    ice_rings : Params
        That scope.
    """
    known = d[np.isfinite(d)]
    if not len(known):
        return np.zeros(len(d), np.bool_)
    limit = max(float(known.min()) if ice_rings.d_min is None else ice_rings.d_min, 0.1)
    group = ice_rings.space_group if isinstance(ice_rings.space_group, str) else ice_rings.space_group.xhm()
    intervals = ring_intervals(limit, ice_rings.width, tuple(ice_rings.unit_cell), group)
    return in_intervals(1.0 / d**2, intervals)


def in_dead_time(
    table: ReflectionTable, experiments: Experiments, value_ms: float, fraction: float
) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Whether too much of each reflection falls into the time in which the detector does not count.

    Parameters
    ----------
    table : ReflectionTable
    experiments : Experiments
        One, with a scan that has exposure times, and a profile model that has the width along the rotation.
    value_ms : float, milliseconds
        Dead time at the end of each image.
    fraction : float
        Largest share of a reflection within the dead part of an image.

    Returns
    -------
    rejected : (n,) bool
    counts : list of (int, int)
        Image number, and how many are rejected because of it.

    Raises
    ------
    ParameterError
        If there is not what this needs.
    """
    if len(experiments) != 1:
        raise ParameterError(f"dead_time.value: give one experiment, there are {len(experiments)}")
    experiment = experiments[0]
    scan, profile, goniometer = experiment.known_scan, experiment.profile or {}, experiment.known_goniometer
    sigma, n_sigma = profile.get("sigma_m"), float(profile.get("n_sigma") or 3.0)
    if sigma is None:
        raise ParameterError(
            "dead_time.value: the experiment has no profile model with a width sigma_m; integrate first"
        )
    exposure = np.asarray(scan.exposure_times, np.float64)
    if scan.is_still or not (exposure > 0).all():
        raise ParameterError(
            "dead_time.value: the scan has no exposure times, or images that were not rotated; import with the headers of the images"
        )
    phi = table["xyzcal.mm"][:, 2]
    zeta = table.get("zeta")
    if zeta is None:
        zeta = zeta_factor(experiment.beam.s0, np.ascontiguousarray(table["s1"]), goniometer.axis_lab)
    sigma_of = np.full(len(table), float(np.mean(sigma)))
    if isinstance(sigma, list | tuple):
        index = np.clip(table["xyzcal.px"][:, 2].astype(np.int64) - scan.array_range[0], 0, len(sigma) - 1)
        sigma_of = np.asarray(sigma, np.float64)[index]
    reach = n_sigma * np.radians(sigma_of) / np.maximum(np.abs(zeta), 1e-3)
    width = scan.oscillation[1]
    rejected, counts = np.zeros(len(table), np.bool_), []
    order = np.argsort(phi, kind="stable")
    widest = float(reach.max(initial=0.0))
    for k in range(scan.n_images):
        end = scan.oscillation[0] + (k + 1) * width
        start = end - width * min(value_ms * 1e-3 / exposure[k], 1.0)
        near = order[slice(*np.searchsorted(phi[order], [start - widest, end + widest]))]
        low, high = np.maximum(phi[near] - reach[near], start), np.minimum(phi[near] + reach[near], end)
        share = np.maximum(high - low, 0.0) / (2.0 * reach[near])
        here = near[share > fraction]
        rejected[here] = True
        counts.append((scan.image_range[0] + k, len(here)))
    return rejected, counts
