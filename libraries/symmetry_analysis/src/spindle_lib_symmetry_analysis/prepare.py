"""Intensities for symmetry tests: filtered, in the minimum cell, normalised, to a resolution at which they still tell
something.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from spindle.errors import UserError
from spindle.models import Experiments
from spindle.params import Auto
from spindle.report import DETAIL
from spindle.symmetry import (
    ChangeOfBasis,
    LatticeSubgroup,
    lattice_group,
    lattice_subgroups,
)
from spindle.table import ReflectionTable, rows_by_value
from spindle_lib_image_ranges import excluded_images, on_excluded_images
from spindle_lib_merging import group_equivalents, merge_groups, pack_indices
from spindle_lib_merging.intensities import is_scaled, prepare_intensities

from . import normalisation as norm
from .common_basis import common_basis
from .resolution import resolution_limits

OUTLIER_Z = 12.0
SIGMA_FLOOR = 0.03
#: A normalisation that makes a larger fraction Wilson outliers has failed.
MAX_WILD = 0.2


@dataclass(slots=True)
class Prepared:
    """Observations ready for symmetry tests.

    Attributes
    ----------
    experiment : (n,) int64
    image : (n,) float64
        Where in the scan, array index.
    original_hkl : (n, 3) int32
        In the setting of the input.
    intensity, variance : (n,) float64
        Corrected, not normalised.
    cautious : (n,) float64
        Variances that allow for the errors between observations.
    hkl : (n, 3) int32
        In the common reduced cell.
    normalised, normalised_sigma : (n,) float64
    fall_off : (n_experiments, 3, 3) float64, angstrom^2
        What the normalisation of each experiment took for its fall-off with resolution and direction, exp(-q B q / 2), in the
        Cartesian frame of the reduced cell; zeros where it has no such tensor.
    n_unique : (n_experiments,) int64
        Reflections of each experiment, Friedel mates as one, from which it was found.
    d : (n,) float64, angstrom
    keep : (n,) bool
        Rows for the Laue analysis: no Wilson outliers.
    to_minimum : list of ChangeOfBasis
        From each experiment's cell to the common reduced cell.
    frames : (n_experiments,) int64
        Experiments whose bases agree share a number.
    basis : (3, 3) float64
        Rows a, b, c of the mean reduced cell.
    subgroups : list of LatticeSubgroup
    rotations : list of (3, 3) int64
        The symmetries to test, in the reduced cell.
    lattice : list of (3, 3) int64
        All rotations of the lattice, in the reduced cell.
    d_min : float, angstrom
    """

    experiment: np.ndarray
    image: np.ndarray
    original_hkl: np.ndarray
    intensity: np.ndarray
    variance: np.ndarray
    cautious: np.ndarray
    hkl: np.ndarray
    normalised: np.ndarray
    normalised_sigma: np.ndarray
    fall_off: np.ndarray
    n_unique: np.ndarray
    d: np.ndarray
    keep: np.ndarray
    to_minimum: list[ChangeOfBasis]
    frames: np.ndarray
    basis: np.ndarray
    subgroups: list[LatticeSubgroup]
    rotations: list[np.ndarray]
    lattice: list[np.ndarray]
    d_min: float

    @property
    def n_experiments(self) -> int:
        """Number of experiments, with and without observations."""
        return len(self.to_minimum)

    def select(self, rows: np.ndarray) -> Prepared:
        """Some of the observations."""
        names = ("experiment", "image", "original_hkl", "intensity", "variance", "cautious", "hkl", "normalised",
                 "normalised_sigma", "d", "keep")  # fmt: skip
        return replace(self, **{name: getattr(self, name)[rows] for name in names})

    def turned(self, rotations: list[np.ndarray]) -> Prepared:
        """Each experiment's indices (and operator) after one of the lattice's rotations: h R."""
        hkl = self.hkl.copy()
        operators = list(self.to_minimum)
        fall_off = self.fall_off.copy()
        for i, rotation in enumerate(rotations):
            if not np.array_equal(rotation, np.eye(3)):
                mine = self.experiment == i
                hkl[mine] = self.hkl[mine] @ rotation
                operators[i] = ChangeOfBasis(rotation.T) @ operators[i]
                back = np.linalg.inv(_on_vectors(rotation, self.basis))
                fall_off[i] = back @ self.fall_off[i] @ back.T
        return replace(self, hkl=hkl, to_minimum=operators, fall_off=fall_off)

    def obeying(self, rotations: Sequence[np.ndarray]) -> Prepared:
        """Normalised by fall-offs that have the symmetry of a group, where those of the experiments do not tell that they have less.

        A tensor of six free components, found from few reflections, differs between those that the group makes equal. It is averaged
        over the group where the likelihood gains less from its additional components than by chance (Akaike 1974, IEEE Trans. Autom.
        Control 19, 716): scales that are uneven (decay, absorption, a plate) make a true difference, which stays taken out.

        Parameters
        ----------
        rotations : sequence of (3, 3) int
            All of the group, in the reduced cell.

        Notes
        -----
        Logarithms of the expectation that differ by delta from those of greatest likelihood cost half the sum of squares of
        delta - <delta> of independent reflections, whose intensities are distributed exponentially.
        """
        turns = np.array([_on_vectors(r, self.basis) for r in rotations])
        change = np.einsum("rij,ejk,rlk->eil", turns, self.fall_off, turns) / len(turns) - self.fall_off
        if not np.abs(change).max(initial=0.0) > 1e-9:
            return self
        # traces of the projection on symmetric tensors: (tr^2 M + tr M^2) / 2 of each rotation M (any text on representations)
        kept = np.mean([(np.trace(m) ** 2 + np.trace(m @ m)) / 2 for m in turns])
        q = self.hkl @ np.linalg.inv(self.basis).T
        factor = np.ones(len(q))
        for i, mine in rows_by_value(self.experiment).items():
            delta = 0.5 * np.einsum("ni,ij,nj->n", q[mine], change[i], q[mine])
            if self.n_unique[i] * float(np.var(delta)) < 2.0 * (6.0 - kept):
                factor[mine] = np.exp(delta)
        return replace(self, normalised=self.normalised * factor, normalised_sigma=self.normalised_sigma * factor)


def _on_vectors(rotation: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """(3, 3) M with q(h R) = q(h) M for the reciprocal vectors, as rows, of a cell with rows a, b, c."""
    return np.asarray(basis.T @ rotation @ np.linalg.inv(basis).T)


def prepare(experiments: Experiments, table: ReflectionTable, params: Any, context: Any) -> Prepared:
    """Filter, reduce and normalise; see `Prepared`. The resolution is not cut yet."""
    log = context.log
    common = common_basis(experiments, params.relative_length_tolerance, params.absolute_angle_tolerance)
    table = _without_excluded(experiments, table, params.exclude_images)
    data = prepare_intensities(table, "auto", partiality_threshold=params.partiality_threshold)
    log.info("%d reflections with %s intensities", len(data), data.kind)
    for reason, n in data.dropped.items():
        log.info("  %d left out: %s", n, reason, extra=DETAIL)
    kind = data.best
    rows = data.table
    experiment = rows["id"].astype(np.int64)
    scaled = is_scaled(table) and data.kind == "scale"
    keep = np.ones(len(rows), dtype=np.bool_) if scaled else _first_turn(experiments, rows)
    hkl = np.empty_like(rows["miller_index"])
    integral = np.ones(len(rows), dtype=np.bool_)
    of_each = rows_by_value(experiment)
    for i, operator in enumerate(common.operators):
        mine = of_each.get(i, np.zeros(0, np.int64))
        hkl[mine], integral[mine] = operator.apply_to_indices(rows["miller_index"][mine])
    keep &= integral
    intensity, variance = data.values[kind], data.variances[kind]
    if not scaled:
        outliers = np.zeros(len(rows), dtype=np.bool_)
        for mine in of_each.values():  # each by itself: they may not be in one indexing or on one scale yet
            outliers[mine] = _simple_outliers(hkl[mine], intensity[mine], variance[mine])
        log.info("%d outliers left out", np.count_nonzero(outliers & keep), extra=DETAIL)
        keep &= ~outliers
    select = np.flatnonzero(keep)
    experiment, hkl, intensity, variance = experiment[select], hkl[select], intensity[select], variance[select]
    original, d = rows["miller_index"][select], rows["d"][select]
    image = np.asarray(rows["xyzcal.px"][select, 2], np.float64) if "xyzcal.px" in rows else np.zeros(len(select))
    # Sigmas of unscaled data know nothing of the errors between observations.
    cautious = variance if scaled else 4.0 * (variance + (SIGMA_FLOOR * intensity) ** 2)
    basis = common.basis
    subgroups = lattice_subgroups(
        basis, "P 1", params.lattice_symmetry_max_delta, params.best_monoclinic_beta, holohedries_only=False
    )
    rotations = lattice = lattice_group(basis, params.lattice_symmetry_max_delta)
    if params.lattice_group is not None:
        subgroups, rotations = _restrict(basis, subgroups, params)
    normalised, sigma, found = normalise(experiment, hkl, intensity, cautious, basis, params, log)
    fall_off = np.zeros((len(experiments), 3, 3))
    fall_off[: len(found)] = found  # the last may have no observations
    n_unique = np.zeros(len(experiments), np.int64)
    for i, mine in rows_by_value(experiment).items():
        n_unique[i] = len(np.unique(np.maximum(pack_indices(hkl[mine]), pack_indices(-hkl[mine]))))
    good = np.abs(normalised) < norm.WILSON_OUTLIER
    n_wild = np.count_nonzero(~good)
    log.info("%d Wilson outliers with E^2 >= %g left out", n_wild, norm.WILSON_OUTLIER, extra=DETAIL)
    return Prepared(
        experiment, image, original, intensity, variance, cautious, hkl, normalised, sigma, fall_off, n_unique,
        d, good, common.operators, common.frames, basis, subgroups, rotations, lattice, float(d.min()) if len(d) else 0.0,
    )  # fmt: skip


def cut(data: Prepared, params: Any, log: Any) -> Prepared:
    """The observations to the resolution at which they still tell something."""
    if not len(data.d):
        return data
    d_min = resolution_of_analysis(data.hkl, data.intensity, data.cautious, data.d, params, log)
    select = np.flatnonzero(data.d >= d_min - 1e-6)
    log.info("High resolution limit of the analysis: %.2f A (%d observations)", d_min, len(select))
    return replace(data.select(select), d_min=d_min)


def _without_excluded(experiments: Experiments, table: ReflectionTable, ranges: Any) -> ReflectionTable:
    """Rows outside the images that `exclude_images` names."""
    out = on_excluded_images(table, excluded_images(ranges, len(experiments)), "xyzcal.px")
    return table.select(~out) if out.any() else table


def _first_turn(experiments: Experiments, rows: ReflectionTable) -> np.ndarray:
    """Rows within the first full turn of their sweep."""
    keep = np.ones(len(rows), dtype=np.bool_)
    for i, experiment in enumerate(experiments):
        if experiment.scan is not None and not experiment.is_still:
            start, _ = experiment.scan.oscillation_range
            keep &= (rows["id"] != i) | (rows["xyzcal.mm"][:, 2] <= start + 2 * np.pi)
    return keep


def _simple_outliers(hkl: np.ndarray, intensity: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Observations further than 12 sigma from the mean of their group (P -1), in groups of more than two."""
    groups = group_equivalents(hkl, "P -1")
    merged = merge_groups(groups, intensity, variance)
    number = groups.index
    z = np.abs(intensity - merged.intensity[number]) / np.sqrt(variance)
    return np.asarray((z > OUTLIER_Z) & (merged.multiplicity[number] > 2))


def normalise(
    experiment: np.ndarray, hkl: np.ndarray, intensity: np.ndarray, variance: np.ndarray, basis: np.ndarray,
    params: Any,
    log: Any,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """Intensities and sigmas over their expectation, experiment by experiment, each (n,) float64, and `Prepared.fall_off`.

    Parameters
    ----------
    experiment : (n,) int64
    hkl : (n, 3) int
    intensity, variance : (n,) float64
    basis : (3, 3) float64, angstrom
        Rows a, b, c.
    params
        ``normalisation``.
    log
    """
    q = hkl @ np.linalg.inv(basis).T
    x = np.einsum("ij,ij->i", q, q)
    expected = np.ones(len(intensity))
    fall_off = np.zeros((int(experiment.max(initial=-1)) + 1, 3, 3))
    for i, mine in rows_by_value(experiment).items():
        one = np.ones(len(mine))
        if params.normalisation == "quasi":
            expected[mine] = norm.quasi(intensity[mine], x[mine], one)
        elif params.normalisation == "kernel":
            expected[mine] = norm.kernel(intensity[mine], x[mine], one)
        else:
            aniso = params.normalisation == "ml_aniso"
            signal = norm.within_signal(intensity[mine], np.sqrt(variance[mine]), x[mine])
            expected[mine], _, fall_off[i] = norm.maximum_likelihood(intensity[mine], q[mine], one, aniso, signal)
            log.info(
                "Experiment %d: B of the fall-off (A^2) %s", i,
                " ".join(f"{v:.2f}" for v in fall_off[i][np.triu_indices(3)]), extra=DETAIL,
            )  # fmt: skip
        limit = norm.WILSON_OUTLIER * expected[mine]
        wild = np.count_nonzero(~(np.abs(intensity[mine]) < limit))
        if wild > MAX_WILD * len(mine):
            # acentric reflections: <I^2> = 2 <I>^2
            expected[mine] = max(np.sqrt(np.mean(intensity[mine] ** 2) / 2.0), 1e-30)
            fall_off[i] = 0.0
            log.warning(
                "Experiment %d: the fall-off of its intensities with resolution cannot be found (%d of %d reflections "
                "would be Wilson outliers): they are noise, or wrongly indexed. They are tested without normalisation",
                i, wild, len(mine),
            )  # fmt: skip
    if params.normalisation == "quasi":
        intensity = np.maximum(intensity, 0.0)
    return intensity / expected, np.sqrt(variance) / expected, fall_off


def resolution_of_analysis(
    hkl: np.ndarray, intensity: np.ndarray, variance: np.ndarray, d: np.ndarray, params: Any, log: Any
) -> float:
    """Resolution limit of the analysis, angstrom, from ``d_min``, ``min_i_mean_over_sigma_mean`` and ``min_cc_half``."""
    end = float(d.min())
    if params.d_min is None:
        return end
    if params.d_min is not Auto:
        return float(params.d_min)
    by_ratio, by_cc = resolution_limits(
        hkl, intensity, variance, d, params.min_i_mean_over_sigma_mean, params.min_cc_half
    )
    found = []
    for limit, what in ((by_ratio, "<I>/<sigma>"), (by_cc, "CC1/2")):
        if limit is not None:
            log.info("Resolution limit by %s: %.2f A", what, limit, extra=DETAIL)
            found.append(limit)
    return max(min(found), end) if found else end


def _restrict(
    basis: np.ndarray, subgroups: list[LatticeSubgroup], params: Any
) -> tuple[list[LatticeSubgroup], list[np.ndarray]]:
    """The subgroups below a lattice group that the user asks for."""
    from spindle.symmetry import laue_class, space_group

    wanted = space_group(str(params.lattice_group))
    tops = [
        s
        for s in subgroups
        if laue_class(s.group) == laue_class(wanted) and s.group.centring_type() == wanted.centring_type()
    ]
    if not tops:
        raise UserError(
            f"the lattice does not have lattice_group={wanted.hm} within lattice_symmetry_max_delta="
            f"{params.lattice_symmetry_max_delta} deg; raise the tolerance or choose another group"
        )
    allowed = {r.tobytes() for r in tops[0].rotations}
    return [s for s in subgroups if all(r.tobytes() in allowed for r in s.rotations)], list(tops[0].rotations)
