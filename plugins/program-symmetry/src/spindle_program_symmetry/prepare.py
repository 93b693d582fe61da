"""Intensities for symmetry tests: filtered, in the minimum cell, normalised, to a resolution at which they still tell
something.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from spindle.errors import UserError
from spindle.merging import group_equivalents, merge_groups
from spindle.merging.intensities import is_scaled, prepare_intensities
from spindle.models import Experiments
from spindle.params import Auto
from spindle.symmetry import (
    ChangeOfBasis,
    LatticeSubgroup,
    lattice_group,
    lattice_subgroups,
    niggli_reduce,
    primitive_operator,
)
from spindle.table import ReflectionTable

from . import normalisation as norm
from .resolution import resolution_limits

OUTLIER_Z = 12.0
SIGMA_FLOOR = 0.03


@dataclass(slots=True)
class Prepared:
    """Observations ready for symmetry tests.

    Attributes
    ----------
    experiment : (n,) int64
    original_hkl : (n, 3) int32
        In the setting of the input.
    intensity, variance : (n,) float64
        Corrected, not normalised.
    hkl : (n, 3) int32
        In the minimum cell.
    normalised, normalised_sigma : (n,) float64
    d : (n,) float64, angstrom
    keep : (n,) bool
        Rows for the Laue analysis: no Wilson outliers.
    to_minimum : list of ChangeOfBasis
        From each experiment's cell to its minimum cell.
    basis : (3, 3) float64
        Rows a, b, c of the mean minimum cell.
    subgroups : list of LatticeSubgroup
    rotations : list of (3, 3) int64
        The lattice group in the minimum cell.
    d_min : float, angstrom
    """

    experiment: np.ndarray
    original_hkl: np.ndarray
    intensity: np.ndarray
    variance: np.ndarray
    hkl: np.ndarray
    normalised: np.ndarray
    normalised_sigma: np.ndarray
    d: np.ndarray
    keep: np.ndarray
    to_minimum: list[ChangeOfBasis]
    basis: np.ndarray
    subgroups: list[LatticeSubgroup]
    rotations: list[np.ndarray]
    d_min: float


def prepare(experiments: Experiments, table: ReflectionTable, params: Any, context: Any) -> Prepared:
    """Filter, reduce, normalise and cut; see `Prepared`."""
    log = context.log
    to_minimum, bases = _minimum_cells(experiments, params)
    table = _without_excluded(experiments, table, params.exclude_images)
    data = prepare_intensities(table, "auto", partiality_threshold=params.partiality_threshold)
    log.info("%d reflections with %s intensities", len(data), data.kind)
    for reason, n in data.dropped.items():
        log.info("  %d left out: %s", n, reason)
    kind = data.best
    rows = data.table
    experiment = rows["id"].astype(np.int64)
    scaled = is_scaled(table) and data.kind == "scale"
    keep = np.ones(len(rows), dtype=np.bool_) if scaled else _first_turn(experiments, rows)
    hkl = np.empty_like(rows["miller_index"])
    integral = np.ones(len(rows), dtype=np.bool_)
    for i, operator in enumerate(to_minimum):
        mine = experiment == i
        hkl[mine], integral[mine] = operator.apply_to_indices(rows["miller_index"][mine])
    keep &= integral
    intensity, variance = data.values[kind], data.variances[kind]
    if not scaled:
        outliers = _simple_outliers(hkl, intensity, variance)
        log.info("%d outliers left out", np.count_nonzero(outliers & keep))
        keep &= ~outliers
    select = np.flatnonzero(keep)
    experiment, hkl, intensity, variance = experiment[select], hkl[select], intensity[select], variance[select]
    original, d = rows["miller_index"][select], rows["d"][select]
    # Sigmas of unscaled data know nothing of the errors between observations.
    cautious = variance if scaled else 4.0 * (variance + (SIGMA_FLOOR * intensity) ** 2)
    basis = np.mean(bases, axis=0)
    subgroups = lattice_subgroups(
        basis, "P 1", params.lattice_symmetry_max_delta, params.best_monoclinic_beta, holohedries_only=False
    )
    rotations = lattice_group(basis, params.lattice_symmetry_max_delta)
    if params.lattice_group is not None:
        subgroups, rotations = _restrict(basis, subgroups, params)
    normalised, sigma = _normalise(experiment, hkl, intensity, cautious, basis, len(experiments), params, log)
    good = np.abs(normalised) < norm.WILSON_OUTLIER
    log.info("%d Wilson outliers with E^2 >= %g left out", np.count_nonzero(~good), norm.WILSON_OUTLIER)
    d_min = _resolution(hkl, intensity, cautious, d, params, log)
    select = np.flatnonzero(d >= d_min - 1e-6)
    log.info("High resolution limit of the analysis: %.2f A (%d observations)", d_min, len(select))
    return Prepared(
        experiment[select], original[select], intensity[select], variance[select], hkl[select], normalised[select],
        sigma[select],
        d[select], good[select], to_minimum, basis, subgroups, rotations, d_min,
    )  # fmt: skip


def _minimum_cells(experiments: Experiments, params: Any) -> tuple[list[ChangeOfBasis], np.ndarray]:
    """Operator to the minimum cell of each experiment, and the cells' basis vectors in a standard orientation."""
    from spindle.models.crystal import cell_from_real_space

    operators, bases = [], []
    for i, experiment in enumerate(experiments):
        crystal = experiment.crystal
        if crystal is None:
            raise UserError(f"symmetry: experiment {i} has no crystal; run spindle index and spindle integrate first")
        primitive = primitive_operator(crystal.space_group)
        reduced, transform = niggli_reduce(primitive.matrix @ crystal.real_space)
        operators.append(ChangeOfBasis(transform) @ primitive)
        bases.append(np.linalg.cholesky(reduced @ reduced.T))
    cells = cell_from_real_space(np.array(bases))
    median = np.median(cells, axis=0)
    for i, cell in enumerate(cells):
        lengths = params.relative_length_tolerance
        angles = params.absolute_angle_tolerance
        far = (lengths is not None and np.any(np.abs(cell[:3] / median[:3] - 1.0) > lengths)) or (
            angles is not None and np.any(np.abs(cell[3:] - median[3:]) > angles)
        )
        if far:
            raise UserError(
                f"symmetry: the minimum cell of experiment {i}, {np.array2string(cell, precision=2)}, differs from the "
                "median cell "
                f"{np.array2string(median, precision=2)} by more than relative_length_tolerance={lengths} or "
                f"absolute_angle_tolerance={angles}; leave it out or widen the tolerances"
            )
    return operators, np.array(bases)


def _without_excluded(experiments: Experiments, table: ReflectionTable, ranges: Any) -> ReflectionTable:
    """Rows outside the images that `exclude_images` names."""
    words = [w for item in ranges or [] for w in (item if isinstance(item, list | tuple) else [item])]
    keep = np.ones(len(table), dtype=np.bool_)
    for word in words:
        parts = str(word).split(":")
        try:
            numbers = [int(p) for p in parts]
            experiment, first, last = numbers if len(numbers) == 3 else [0, *numbers]
        except ValueError as error:
            raise UserError(f"symmetry: exclude_images={word}: write experiment:first:last, such as 0:1:20") from error
        if len(parts) == 2 and len(experiments) > 1:
            raise UserError(f"symmetry: exclude_images={word}: say of which experiment, such as 0:{word}")
        z = table["xyzcal.px"][:, 2]
        keep &= ~((table["id"] == experiment) & (z >= first - 1) & (z < last))
    return table.select(keep) if not keep.all() else table


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


def _normalise(
    experiment: np.ndarray, hkl: np.ndarray, intensity: np.ndarray, variance: np.ndarray, basis: np.ndarray, n: int,
    params: Any,
    log: Any,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Intensities and sigmas over their expectation, experiment by experiment."""
    q = hkl @ np.linalg.inv(basis).T
    x = np.einsum("ij,ij->i", q, q)
    expected = np.ones(len(intensity))
    for i in range(n):
        mine = np.flatnonzero(experiment == i)
        if not len(mine):
            continue
        one = np.ones(len(mine))
        if params.normalisation == "quasi":
            expected[mine] = norm.quasi(intensity[mine], x[mine], one)
        elif params.normalisation == "kernel":
            expected[mine] = norm.kernel(intensity[mine], x[mine], one)
        else:
            aniso = params.normalisation == "ml_aniso"
            expected[mine], _, B = norm.maximum_likelihood(intensity[mine], q[mine], one, aniso)
            log.info(
                "Experiment %d: B of the fall-off (A^2) %s", i, " ".join(f"{v:.2f}" for v in B[np.triu_indices(3)])
            )
    if params.normalisation == "quasi":
        intensity = np.maximum(intensity, 0.0)
    return intensity / expected, np.sqrt(variance) / expected


def _resolution(
    hkl: np.ndarray, intensity: np.ndarray, variance: np.ndarray, d: np.ndarray, params: Any, log: Any
) -> float:
    """Resolution limit of the analysis, angstrom."""
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
            log.info("Resolution limit by %s: %.2f A", what, limit)
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
            f"symmetry: the lattice does not have lattice_group={wanted.hm} within lattice_symmetry_max_delta="
            f"{params.lattice_symmetry_max_delta} deg; raise the tolerance or choose another group"
        )
    allowed = {r.tobytes() for r in tops[0].rotations}
    return [s for s in subgroups if all(r.tobytes() in allowed for r in s.rotations)], list(tops[0].rotations)
