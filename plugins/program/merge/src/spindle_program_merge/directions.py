"""Data that end at different resolutions in different directions."""

from __future__ import annotations

from typing import Any

import gemmi
import numpy as np

from spindle.report import Table
from spindle_lib_merging import MergingStatistics, merge_equivalents, merging_statistics
from spindle_lib_merging.anisotropy import Ellipsoid, fit_ellipsoid

from .params import MergeParams

__all__ = ["inside"]


def inside(
    hkl: np.ndarray, intensity: np.ndarray, variance: np.ndarray, cell: np.ndarray, group: gemmi.SpaceGroup, params: MergeParams,
    context: Any,
) -> tuple[np.ndarray, dict[str, Any]]:  # fmt: skip
    """Which observations are merged, and what was found for the report.

    Parameters
    ----------
    hkl : (n, 3) int
    intensity, variance : (n,) float64
    cell : (6,) float64
    group : gemmi.SpaceGroup
    params : MergeParams
    context : RunContext
    """
    options, everything = params.anisotropy, np.ones(len(hkl), bool)
    if not (options.check or options.cut):
        return everything, {}
    merged = merge_equivalents(hkl, intensity, variance, group)
    found = fit_ellipsoid(merged.hkl, merged.intensity / merged.sigma, cell, group, options.i_over_sigma)
    if found is None:
        if options.cut:
            context.log.warning(
                "anisotropy.cut: the mean I/sigma does not fall to %g in every direction, or there are too few reflections; nothing is cut",
                options.i_over_sigma,
            )  # fmt: skip
        return everything, {}
    d = gemmi.UnitCell(*cell).calculate_d_array(merged.hkl)
    edge = float(d.min())
    report: dict[str, Any] = {
        "limits": found.limits.tolist(), "directions": found.directions.tolist(), "matrix": found.matrix.tolist(),
        "i_over_sigma": options.i_over_sigma,
    }  # fmt: skip
    uneven = found.is_anisotropic(edge)
    if not (uneven or options.cut):
        context.log.info("The data end at about the same resolution in all directions")
        return everything, report
    context.table(_limits(found, edge, options.i_over_sigma))
    keep = found.contains(hkl, cell)
    if keep.sum() < 2:
        context.log.warning("anisotropy: hardly any reflection lies inside the ellipsoid; nothing is cut")
        return everything, report
    n, internal = params.merging.n_bins, params.merging.use_internal_variance
    all_data = merging_statistics(hkl, intensity, variance, cell, group, n, internal)
    part = merging_statistics(hkl[keep], intensity[keep], variance[keep], cell, group, n, internal)
    possible = _possible(found, cell, group, edge)
    context.table(_both(all_data, part, possible))
    if not options.cut:
        context.log.info(
            "The data are anisotropic: signal ends at %.2f A in the best direction and at %.2f A in the worst. anisotropy.cut=True leaves "
            "out what lies beyond", max(found.limits.min(), edge), found.limits.max(),
        )  # fmt: skip
        return everything, report
    context.log.info("%d of %d observations lie beyond the ellipsoid and are left out", int((~keep).sum()), len(keep))
    return keep, report


def _limits(found: Ellipsoid, edge: float, ratio: float) -> Table:
    rows = []
    for limit, direction in zip(found.limits, found.directions, strict=True):
        rows.append(
            [round(float(limit), 2), _direction(direction), "beyond the edge of the data" if limit < edge else ""]
        )
    title = f"Resolution in the principal directions, where the mean I/sigma is {ratio:g}"
    return Table(title, ["d_min (A)", "Direction", ""], rows, "anisotropy")


def _direction(parts: np.ndarray) -> str:
    """A direction as parts of a*, b*, c*."""
    first = parts[int(np.argmax(np.abs(parts)))]
    parts = parts * np.sign(first)
    found = " ".join(f"{v:+.2f} {name}*" for v, name in zip(parts, "abc", strict=True) if abs(v) > 0.05)
    return found.removeprefix("+")


def _possible(found: Ellipsoid, cell: np.ndarray, group: gemmi.SpaceGroup, edge: float) -> int:
    """Number of unique reflections inside the ellipsoid and the edge of the data."""
    from spindle.symmetry import unique_indices

    return int(found.contains(unique_indices(cell, group, edge * (1 - 1e-7)), cell).sum())


def _both(whole: MergingStatistics, part: MergingStatistics, possible: int) -> Table:
    rows = [
        [name, s.overall.n_unique, 100 * complete, s.overall.i_over_sigma, s.overall.cc_half, s.overall.r_pim, s.shells[-1].i_over_sigma]
        for name, s, complete in (
            ("all", whole, whole.overall.completeness), ("ellipsoid", part, part.overall.n_unique / max(possible, 1)),
        )
    ]  # fmt: skip
    headers = ["Data", "Unique", "Completeness (%)", "I/sigma", "CC1/2", "Rpim", "I/sigma of the last shell"]
    return Table("Statistics of all data and of those inside the ellipsoid", headers, rows, "anisotropy_statistics")
