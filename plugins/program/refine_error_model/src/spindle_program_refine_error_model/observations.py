"""Scaled observations with the variances that integration gave them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spindle.contracts.error_model import ErrorModelObservations
from spindle.errors import ModelError
from spindle.models import Experiments
from spindle.table import Flag, ReflectionTable
from spindle_lib_merging import Groups, believed_means, group_equivalents, resolution_of
from spindle_lib_noise.signal import KNOWN_SHARE, counts_in_variance, variance_of_equivalents

__all__ = ["Scaled", "scaled_observations"]


@dataclass(frozen=True, slots=True)
class Scaled:
    """Observations that are no outliers.

    Attributes
    ----------
    rows : (n,) int64
        Of the table.
    number : (n,) int64
        Data set.
    intensity, raw_variance, old_variance, scale, expected, counting, partiality : (n,) float64
        Not divided by the scale factor; `raw_variance` without an error model, `expected` is g <I>.
    fit_variance : (n,) float64
        The same, for the fit: with all the counts that equivalents let expect, where `raw_variance` has them drawn towards the mean.
    counted : (n,) bool
        Where those hold the counts that equivalents let expect.
    groups : Groups
    """

    rows: np.ndarray
    number: np.ndarray
    intensity: np.ndarray
    raw_variance: np.ndarray
    old_variance: np.ndarray
    scale: np.ndarray
    expected: np.ndarray
    counting: np.ndarray
    partiality: np.ndarray
    fit_variance: np.ndarray
    counted: np.ndarray
    groups: Groups

    def observations(self, rows: np.ndarray) -> ErrorModelObservations:
        """Those of reflections that were measured several times within some rows."""
        chosen = np.zeros(len(self.rows), bool)
        chosen[rows] = True
        order = self.groups.order[chosen[self.groups.order]]
        index = self.groups.index[order]
        n = np.bincount(index, minlength=self.groups.n_groups)
        order = order[n[index] > 1]
        offsets = np.concatenate([[0], np.cumsum(n[n > 1])]).astype(np.int64)
        return ErrorModelObservations(
            self.intensity[order], self.fit_variance[order], self.scale[order], self.counting[order], self.partiality[order],
            offsets, counted=bool(np.count_nonzero(self.counted[order]) > KNOWN_SHARE * len(order)),
        )  # fmt: skip


def scaled_observations(experiments: Experiments, table: ReflectionTable, anomalous: bool) -> Scaled:
    """Take the scaled observations out of a table.

    Raises
    ------
    ModelError
        If none is scaled, or the intensities of integration are not there any more.
    """
    rows = np.flatnonzero(table.has_flags(Flag.SCALED))
    if not len(rows):
        raise ModelError("refine_error_model: no reflection is flagged as scaled; run spindle scale first")
    intensity, g = (table[name][rows].astype(float) for name in ("intensity.scale.value", "inverse_scale_factor"))
    old = table["intensity.scale.variance"][rows].astype(float)
    factor = table["lp"][rows].astype(float) if "lp" in table else np.ones(len(rows))
    if "qe" in table:
        factor = factor / np.where(table["qe"][rows] > 0, table["qe"][rows], 1.0)
    partiality = table["partiality"][rows].astype(float) if "partiality" in table else np.ones(len(rows))
    kinds = {}
    for name, scale in (("prf", factor), ("sum", factor / np.where(partiality > 0, partiality, 1.0))):
        if f"intensity.{name}.value" in table:
            value, variance = (table[f"intensity.{name}.{what}"][rows].astype(float) for what in ("value", "variance"))
            good = np.isfinite(value) & (variance > 0)
            kinds[name] = np.where(good, value * scale, np.nan), np.where(good, variance * scale**2, np.nan)
    if not kinds:
        raise ModelError(
            "refine_error_model: the table has no intensities of integration (intensity.prf or intensity.sum), without whose sigmas no error "
            "model can be fitted; run spindle scale again"
        )
    raw = _raw_variance(intensity, kinds)
    if np.isnan(raw).any():
        raise ModelError(
            f"refine_error_model: the scaled intensities of {int(np.isnan(raw).sum())} reflections are not made of those of integration in the "
            "table; run spindle scale again"
        )
    groups = group_equivalents(table["miller_index"][rows], experiments[0].known_crystal.space_group, anomalous)
    index, m = groups.index, groups.n_groups
    weight = 1.0 / old
    mean = np.bincount(index, weight * g * intensity, m) / np.maximum(np.bincount(index, weight * g * g, m), 1e-300)
    expected = g * mean[index]
    number = table["id"][rows].astype(np.int64)
    counting = np.maximum(expected, 0.0) * factor
    fitted, counted = raw, np.zeros(len(rows), bool)
    if "expected_counts" in table and (table["expected_counts"][rows] > 0).any():
        made = counts_in_variance(intensity / factor, raw / factor**2, table["expected_counts"][rows])
        first = groups.order[groups.offsets[:-1]]
        d = resolution_of(table["miller_index"][rows], experiments[0].known_crystal.cell)[first]
        sigma = np.maximum(np.bincount(index, weight * g * g, m), 1e-300) ** -0.5
        believed, usual = (
            np.maximum(g * of[index] / factor, 0.0)
            for of in believed_means(mean, sigma, d, groups.epsilon, groups.centric)
        )
        number_of = np.bincount(index, minlength=m)[index]
        counted = (made >= 0) & (usual > 0)
        fitted, raw = (
            np.where(
                counted,
                variance_of_equivalents(raw / factor**2, made, usual, believed, number_of, drawn) * factor**2,
                raw,
            )
            for drawn in (False, True)
        )
        counting = np.where(counted, believed * factor**2, counting)
    return Scaled(rows, number, intensity, raw, old, g, expected, counting, partiality, fitted, counted, groups)


def _raw_variance(intensity: np.ndarray, kinds: dict[str, tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Variance of the mixture of profile-fitted and summed intensities that each value is; NaN where it is none."""
    if len(kinds) == 1:
        ((value, variance),) = kinds.values()
        close = np.isclose(value, intensity, rtol=1e-4, atol=1e-3)
        return np.where(close, variance, np.nan)
    (profile, profile_variance), (summed, summed_variance) = kinds["prf"], kinds["sum"]
    both = np.isfinite(profile) & np.isfinite(summed)
    difference = np.where(both, profile - summed, 0.0)
    part = np.divide(
        intensity - summed,
        difference,
        out=np.ones(len(intensity)),
        where=both & (np.abs(difference) > 1e-6 * np.abs(intensity) + 1e-9),
    )
    part = np.where(both, part, np.where(np.isfinite(profile), 1.0, 0.0))
    fitting = (part > -0.01) & (part < 1.01)
    part = np.clip(part, 0.0, 1.0)
    mixed = part * np.nan_to_num(profile_variance) + (1 - part) * np.nan_to_num(summed_variance)
    return np.where(fitting & (mixed > 0), mixed, np.nan)
