"""What is told of scale factors by more than equivalents: a reference, or data sets that were scaled before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spindle.errors import ParameterError
from spindle.table import rows_by_value

from . import combine
from .derivatives import FitData
from .select import choose_groups, preselect
from .target import TargetOfGroups, interleaved
from .wilson import WilsonExpectation

if TYPE_CHECKING:
    from .data import Observations
    from .params import ScaleParams
    from .rounds import Scaler

__all__ = ["begin_near_one", "fit_data", "hold", "no_equivalents", "place_target", "report_target", "with_target"]

#: Median scale factors of an earlier scaling that are further than this from 1, as a logarithm, are brought near 1 first.
FAR_FROM_ONE = 0.5
#: Observations further than this from their equivalents, in sigma, pull no more than those at this limit (Huber 1964).
ROBUST_LIMIT = 2.5


def begin_near_one(scaler: Scaler) -> None:
    """Multiply all scale factors of an earlier scaling, which may be those to a reference, so that they are near 1."""
    middle = float(np.median(scaler.obs.g)) if len(scaler.obs) else 1.0
    if middle > 0 and abs(np.log(middle)) > FAR_FROM_ONE:
        scaler.parameters = scaler.layout.changed(scaler.parameters, 1.0 / middle)
        scaler.expand()


def hold(scaler: Scaler) -> None:
    """Fix the scale factors of data sets that others are scaled against, and begin with the others near them."""
    if not scaler.held:
        return
    obs = scaler.obs
    index, m = obs.groups.index, obs.groups.n_groups
    fixed = np.isin(obs.number, scaler.held)
    weight = fixed / np.maximum(obs.variance, 1e-30)
    bottom = np.bincount(index, weight * obs.g**2, m)
    mean = np.bincount(index, weight * obs.g * obs.intensity, m) / np.where(bottom > 0, bottom, 1.0)
    for k in range(obs.n_sets):
        if k in scaler.held:
            for where in scaler.layout.slices[k].values():
                scaler.layout.free[where] = False
            continue
        rows = np.flatnonzero((obs.number == k) & (bottom[index] > 0))
        theirs, mine = float((obs.g * mean[index])[rows].sum()), float(obs.intensity[rows].sum())
        if theirs > 0 and mine > 0:
            scaler.parameters = scaler.layout.changed(scaler.parameters, mine / theirs, sets=[k])
        else:
            scaler.context.log.warning(
                "data set %d has no reflection in common with those that were scaled before: its scale is its own",
                k,
            )
    scaler.expand()


def place_target(scaler: Scaler, target: TargetOfGroups) -> None:
    """Bring the reference to the scale of the data, which scaling models take up at the end."""
    trial = scaler.layout.changed(scaler.parameters, 2.0, 1.0)
    takes_factor, takes_b = True, True
    for k in range(scaler.obs.n_sets):
        here = slice(scaler.obs.bounds[k], min(scaler.obs.bounds[k] + 200, scaler.obs.bounds[k + 1]))
        rows = np.arange(here.stop - here.start)
        change = np.log(scaler.layout.scales(k, trial, rows) / scaler.layout.scales(k, scaler.parameters, rows))
        b_part = 0.5 / scaler.obs.d[here] ** 2
        takes_b &= bool(np.allclose(change, np.log(2.0) + b_part, atol=1e-6))
        takes_factor &= takes_b or bool(np.allclose(change, np.log(2.0), atol=1e-6))
    if not takes_factor:
        raise ParameterError(
            "reference: a scaling model has no factor that could take up the scale of the reference; leave scale out of correction.fix, "
            "or choose another model"
        )
    target.place(*scaler.group_means(), takes_b)


def report_target(scaler: Scaler, target: TargetOfGroups) -> None:
    """How the data fit the reference, and how well their scale is known."""
    means = scaler.group_means()
    scaler.context.table(target.judge(*means))
    error, b_error = target.uncertainty(*means)
    n = int((target.known & np.isfinite(means[0])).sum())
    scaler.context.log.info(
        "The data are on the scale of the reference (%s): factor %.5g +- %.2g %%, B %.2f +- %.2f A^2, by %d reflections in common",
        target.target.values.source, target.factor, 100 * error, target.b, b_error, n,
    )  # fmt: skip


def with_target(
    scaler: Scaler, offsets: np.ndarray, groups: np.ndarray, intensity: np.ndarray, weight: np.ndarray, g: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Observations of some groups and, as one more for each, the reference: offsets, places of the observations, intensities, weights, g."""
    if scaler.target is None:
        return offsets, np.arange(len(intensity)), intensity, weight, g
    target = scaler.target
    known = target.known[groups]
    longer, old, new = interleaved(offsets, known)
    found = []
    for values, more in (
        (intensity, target.value[groups][known]), (weight, 1.0 / target.variance[groups][known]),
        (g, np.ones(int(known.sum()))),
    ):  # fmt: skip
        whole = np.empty(int(longer[-1]))
        whole[old], whole[new] = values, more
        found.append(whole)
    return longer, old, found[0], found[1], found[2]


def _spread(variance: np.ndarray, params: ScaleParams) -> np.ndarray:
    """(n,) float64: what weights are the inverse of. Alike, they still sum up to what restraints of parameters expect."""
    if params.weighting.weighting_scheme == "unity" and len(variance):
        return np.full(len(variance), variance.mean())
    return variance


def fit_data(scaler: Scaler) -> tuple[FitData, np.ndarray | None]:
    """The selected observations, and the rows of the free set."""
    obs = scaler.obs
    variance = scaler.corrected_variance()
    sigma = np.sqrt(variance)
    usable = preselect(obs, sigma, scaler.params) & ~obs.outlier
    index = obs.groups.index
    free_rows = None
    if scaler.free.any():
        free_rows = np.flatnonzero(usable & scaler.free[index])
        usable &= ~scaler.free[index]
    rng = np.random.default_rng(scaler.context.seed)
    known = None if scaler.target is None else scaler.target.known
    chosen = choose_groups(obs, usable, sigma, scaler.params, rng, known)
    groups = combine.several_of(obs.groups, usable & chosen[index], more=known)
    rows = groups.order
    deviation = np.abs(obs.intensity - scaler.expected())[rows] / sigma[rows]
    of_group = index[rows]
    weight = np.minimum(1.0, ROBUST_LIMIT / np.maximum(deviation, 1e-30)) / _spread(variance[rows], scaler.params)
    target = scaler.target
    shares = None
    if target is not None and target.target.only:
        # each observation beside the reference, and no other
        beside = target.known[of_group]
        rows, weight, of_group = rows[beside], weight[beside], of_group[beside]
        offsets, place = 2 * np.arange(len(rows) + 1), 2 * np.arange(len(rows))
        intensity = np.stack([obs.intensity[rows], target.value[of_group]], axis=1).ravel()
        weight = np.stack([weight, 1.0 / target.variance[of_group]], axis=1).ravel()
        g = np.stack([obs.g[rows], np.ones(len(rows))], axis=1).ravel()
        which = of_group
    else:
        which = of_group[groups.offsets[:-1]] if len(rows) else np.zeros(0, np.int64)
        offsets, place, intensity, weight, g = with_target(
            scaler, groups.offsets, which, obs.intensity[rows], weight, obs.g[rows]
        )
    if target is not None:
        shares = np.zeros(len(intensity))
        told = weight * g**2
        total = np.add.reduceat(told, offsets[:-1]) if len(told) else told
        # of errors of the reference, and without one, intensities are what makes the observations most probable; an intensity that is drawn
        # from a distribution about the reference is averaged over that
        doubt = np.where(target.known, target.doubt, 0.0)[which]
        shares[place] = (np.repeat(doubt / total, np.diff(offsets)) * told)[place]
    rows_of = rows_by_value(obs.number[rows])
    inner = [rows_of.get(k, np.zeros(0, np.int64)) for k in range(obs.n_sets)]
    local = [(rows[p] - obs.bounds[k]).astype(np.int32) for k, p in enumerate(inner)]
    places = [place[p].astype(np.int32) for p in inner]
    anchored = scaler.anchored and not isinstance(scaler.target, WilsonExpectation)
    return FitData(offsets, intensity, weight, places, local, anchored, shares), free_rows


def no_equivalents(obs: Observations) -> str:
    """Why there are none that could tell scale factors."""
    n = int((np.diff(obs.groups.offsets) > 1).sum())
    if n == 0:
        return "no reflection was measured more than once"
    return f"the {n} reflection(s) that were measured more than once are too weak, partial or outliers"
