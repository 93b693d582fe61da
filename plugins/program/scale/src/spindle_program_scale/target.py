"""Reference intensities that data are scaled against: where they come from, how they fit the data, and how far they are to be trusted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import nnls

from spindle.contracts.scaling import ScaleTarget
from spindle.errors import ParameterError, UserError
from spindle.models import Experiments
from spindle.report import Table
from spindle.table import ReflectionTable
from spindle_lib_merging import Groups, pack_indices
from spindle_lib_reference_intensities import ReferenceIntensities, in_basis_of, read_reference

from .indexing import observed_intensities
from .params import ScaleParams

__all__ = ["Target", "TargetOfGroups", "read_target"]

#: Fewest reflections that data and a reference have in common.
FEWEST_COMMON = 20
#: Reflections of a shell in which the errors of a reference are found, and most shells.
GROUPS_PER_SHELL, MOST_SHELLS = 50, 20
#: Before anything is known, this part of the mean intensity is not explained by a reference.
FIRST_PART = 0.1
#: No reference is better than this.
LEAST_PART = 1e-4
#: Squared differences count as at most so many times their median.
LARGEST_SQUARE = 25.0


@dataclass(frozen=True, slots=True)
class Target:
    """A reference in the setting of the data.

    Attributes
    ----------
    values : ScaleTarget
    calculated : bool
        From coordinates.
    only : bool
        Scale factors follow the reference alone; equivalents are not compared with each other.
    """

    values: ScaleTarget
    calculated: bool
    only: bool


def read_target(experiments: Experiments, table: ReflectionTable, params: ScaleParams, context: Any) -> Target | None:
    """The reference that the parameters name, or None.

    Raises
    ------
    UserError
        If several are named, it cannot be read, is of another crystal, or has hardly a reflection in common with the data.
    """
    options = params.scaling_options
    given = {
        name: value
        for name in ("reference", "target_model", "target_mtz")
        if (value := getattr(options, name)) is not None
    }
    if not given:
        return None
    if len(given) > 1:
        raise ParameterError(f"scaling_options: {' and '.join(given)} name two references; give one")
    name, path = next(iter(given.items()))
    beam, crystal = experiments[0].beam, experiments[0].known_crystal
    d_min = float(table["d"].min()) if len(table) else 1.0
    if params.cut_data.d_min is not None:
        d_min = max(d_min, params.cut_data.d_min)
    wavelength = float(np.mean([e.beam.wavelength for e in experiments]))
    model = options.reference_model
    reference = read_reference(
        Path(path), name, 0.999 * d_min, probe=beam.probe, wavelength=wavelength, k_sol=model.k_sol, b_sol=model.b_sol,
        only_model=name == "target_model",
    )  # fmt: skip
    hkl, value, sigma = observed_intensities(table)
    moved, operator = in_basis_of(crystal, reference, hkl, value, sigma, name)
    if not operator.is_identity():
        context.log.info(
            "The reference is brought to the setting of the data by the change of basis %s", operator.as_abc()
        )
    _tell(moved, context)
    return Target(
        ScaleTarget(moved.hkl, moved.value, moved.sigma**2, moved.source), moved.calculated, options.only_target
    )


def _tell(reference: ReferenceIntensities, context: Any) -> None:
    context.log.info("%d reference intensities: %s", len(reference.hkl), reference.source)


@dataclass(slots=True)
class TargetOfGroups:
    """The reference intensities of the unique reflections of the observations, on the scale of the observations.

    Attributes
    ----------
    target : Target
    raw, raw_variance : (m,) float64
        As they are; NaN where there is none.
    d : (m,) float64, angstrom
    epsilon : (m,) float64
        Factor of the mean intensity from symmetry.
    factor, b : float
        The observations are factor exp(b / (2 d^2)) times the reference.
    value, variance : (m,) float64
        What the reference lets expect, on the scale of the observations.
    doubt : (m,) float64, or 1
        Part of the variance by which the truth scatters about that; the rest is error of the reference, which scatters about the truth.
    """

    target: Target
    raw: np.ndarray
    raw_variance: np.ndarray
    d: np.ndarray
    epsilon: np.ndarray
    factor: float
    b: float
    value: np.ndarray
    variance: np.ndarray
    doubt: np.ndarray | float = 1.0

    @classmethod
    def of(cls, target: Target, groups: Groups, d: np.ndarray) -> TargetOfGroups:
        """Look up the reflections of some groups; `d` is the resolution of each observation."""
        keys = pack_indices(target.values.miller_index)
        order = np.argsort(keys)
        mine = pack_indices(groups.hkl)
        place = np.searchsorted(keys[order], mine).clip(0, max(len(keys) - 1, 0))
        raw, variance = np.full(groups.n_groups, np.nan), np.full(groups.n_groups, np.nan)
        if len(keys):
            found = keys[order][place] == mine
            if not found.all():  # mates that are kept apart have the negated index
                other = pack_indices(-groups.hkl)
                second = np.searchsorted(keys[order], other).clip(0, len(keys) - 1)
                negated = ~found & (keys[order][second] == other)
                place, found = np.where(negated, second, place), found | negated
            raw[found] = target.values.intensity[order][place[found]]
            variance[found] = target.values.variance[order][place[found]]
        if int(np.isfinite(raw).sum()) < FEWEST_COMMON:
            raise UserError(
                f"scale: the reference ({target.values.source}) has {int(np.isfinite(raw).sum())} of the {groups.n_groups} measured "
                f"reflections, at least {FEWEST_COMMON} are needed: it ends at lower resolution, or is of another crystal"
            )
        unknown = np.where(np.isfinite(raw), np.inf, np.nan)  # until it is at its place it says nothing
        first = groups.order[groups.offsets[:-1]]
        return cls(target, raw, variance, d[first], groups.epsilon, 1.0, 0.0, raw, unknown)

    @property
    def known(self) -> np.ndarray:
        """(m,) bool: reflections that the reference has."""
        return np.isfinite(self.value)

    def parted(self, whole: np.ndarray) -> TargetOfGroups:
        """For groups that are parts of these: `whole` (k,) tells of which."""
        return TargetOfGroups(
            self.target, self.raw[whole], self.raw_variance[whole], self.d[whole], self.epsilon[whole], self.factor, self.b,
            self.value[whole], self.variance[whole], self.doubt if isinstance(self.doubt, float) else self.doubt[whole],
        )  # fmt: skip

    def scale_of(self, d: np.ndarray) -> np.ndarray:
        """(n,) float64: what brings reference intensities to the scale of the observations."""
        return self.factor * np.exp(0.5 * self.b / d**2)

    def place(self, mean: np.ndarray, weight: np.ndarray, with_b: bool) -> None:
        """Bring the reference to the scale of the observations, by sums of shells.

        Parameters
        ----------
        mean : (m,) float64
            Of the observations of each reflection; NaN without any.
        weight : (m,) float64
            1 / variance of the mean.
        with_b : bool
            Whether the scaling models have a B factor that can take up a common one.
        """
        shells = self._shells(np.isfinite(mean))
        x, y, w = [], [], []
        for rows in shells:
            top, bottom = float(mean[rows].sum()), float(self.raw[rows].sum())
            if top > 0 and bottom > 0:
                x.append(float((0.5 / self.d[rows] ** 2).mean()))
                y.append(np.log(top / bottom))
                w.append(np.sqrt(len(rows)))
        if not x:
            raise UserError(
                f"scale: the intensities that the data and the reference ({self.target.values.source}) have in common are not positive on "
                "average, so that there is no scale between them"
            )
        if with_b and len(x) > 2:
            slope, intercept = np.polyfit(x, y, 1, w=w)
            self.b, self.factor = float(slope), float(np.exp(intercept))
        else:
            self.b, self.factor = 0.0, float(np.exp(np.average(y, weights=np.square(w))))
        parts = [FIRST_PART] * len(shells)
        self._expect(shells, parts, self._own_variance(mean, weight))

    def _own_variance(self, mean: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """(m,) float64: of the reference, as it is at the intensity that it and the observations make probable; arguments as those of `place`.

        Errors that grow with intensities are told smaller where an intensity came out too small, and larger where it came out too large:
        weights that follow them favour what is too small, and no scale between the two is right (Deming 1943).
        """
        scale = self.scale_of(self.d)
        raw, told = np.abs(self.raw), self.raw_variance
        use = np.isfinite(raw) & (told > 0)
        if not use.any():
            return np.asarray(told * scale**2)
        size = max(float(raw[use].mean()), 1e-300)
        powers = np.stack([np.ones(len(raw)), raw / size, (raw / size) ** 2], axis=1)
        course, _ = nnls(powers[use] / told[use, None], np.ones(int(use.sum())))
        found = told
        for _ in range(2):
            data_weight = np.where(np.isfinite(mean), weight, 0.0) * scale**2
            own_weight = 1.0 / np.maximum(found, 1e-30)
            likely = (np.where(data_weight > 0, mean / scale, 0.0) * data_weight + self.raw * own_weight) / (
                data_weight + own_weight
            )
            x = np.abs(likely) / size
            there = powers @ course
            found = told * np.divide(
                course[0] + course[1] * x + course[2] * x * x, there, out=np.ones(len(raw)), where=there > 0
            )
        return np.asarray(found * scale**2)

    def _expect(self, shells: list[np.ndarray], parts: list[float], own: np.ndarray) -> None:
        """What a reference that leaves a part of the mean intensity of each shell unexplained, and has errors, lets expect."""
        scale = self.scale_of(self.d)
        value = self.raw * scale
        x = [float((self.d[rows] ** -2).mean()) for rows in shells]
        middle = [max(float((value[rows] / self.epsilon[rows]).mean()), 1e-30) for rows in shells]
        part = np.interp(self.d**-2.0, x, parts)
        lost = part * self.epsilon * np.exp(np.interp(self.d**-2.0, x, np.log(middle)))
        kept = (1.0 - part) * value
        self.value = kept + lost
        unknown = lost * (2.0 * np.maximum(kept, 0.0) + lost)
        self.variance = unknown + own
        self.doubt = np.divide(unknown, self.variance, out=np.ones(len(unknown)), where=self.variance > 0)

    def _shells(self, measured: np.ndarray) -> list[np.ndarray]:
        rows = np.flatnonzero(measured & np.isfinite(self.raw))
        rows = rows[np.argsort(-self.d[rows], kind="stable")]
        return [p for p in np.array_split(rows, int(np.clip(len(rows) // GROUPS_PER_SHELL, 1, MOST_SHELLS))) if len(p)]

    def judge(self, mean: np.ndarray, weight: np.ndarray) -> Table:
        """Find how far the truth is from the reference, from the deviations of the observed means.

        Notes
        -----
        Of a structure with missing and wrong parts, that has the mean intensity <I> of a shell, F = D F_ref + E with <|E|^2> = q <I> and
        D^2 = 1 - q: the intensity that |F_ref|^2 = T lets expect is (1 - q) T + q <I>, with the variance q <I> (2 (1 - q) T + q <I>), and
        the mean squared deviation from T is q^2 (var T - <I>^2) + 2 q <I>^2 (Srinivasan & Ramachandran 1965, Acta Cryst. 19, 1008).
        From that, without the errors of observation, follows q of each shell (arguments as those of `place`).
        """
        shells = self._shells(np.isfinite(mean))
        parts, table = [], []
        scale = self.scale_of(self.d)
        own_variance = self._own_variance(mean, weight)
        for rows in shells:
            value, observed = self.raw[rows] * scale[rows], mean[rows]
            squares = (observed - value) ** 2
            squares = np.minimum(squares, LARGEST_SQUARE * np.median(squares))
            own = own_variance[rows]
            excess = max(float((squares - 1.0 / weight[rows] - own).mean()), 0.0)
            square = max(float(value.mean()), 1e-30) ** 2
            bend = float(value.var()) - square
            # the smaller root of bend q^2 + 2 square q - excess
            inside = square * square + bend * excess
            part = excess / (square + np.sqrt(inside)) if inside > 0 else 1.0
            parts.append(float(np.clip(part, LEAST_PART, 1.0)))
            cc = float(np.corrcoef(value, observed)[0, 1]) if len(rows) > 2 and value.std() > 0 else float("nan")
            r = float(np.abs(observed - value).sum() / max(np.abs(observed).sum(), 1e-30))
            edges = f"{self.d[rows].max():.2f} - {self.d[rows].min():.2f}"
            table.append([edges, len(rows), round(cc, 4), round(r, 4), round(parts[-1], 4)])
        self._expect(shells, parts, own_variance)
        return Table(
            "Agreement with the reference: CC and R of intensities, and the part of the mean intensity that it does not explain",
            ["Resolution (A)", "Reflections", "CC", "R", "Unexplained"], table, "reference_agreement",
        )  # fmt: skip

    def uncertainty(self, mean: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
        """Standard deviations of ln factor and of b, from the errors of observations and reference and from how much they differ.

        Notes
        -----
        A reference may be wrong by more, or otherwise, than it says (in proportion to the intensities, say): errors follow from the deviations
        themselves where these are larger than the weights make them (White 1980, Econometrica 48, 817-838).
        """
        use = np.isfinite(mean) & np.isfinite(self.value) & (self.value > 0)
        x = 0.5 / self.d[use] ** 2
        w = self.value[use] ** 2 / (1.0 / weight[use] + self.variance[use])
        design = np.column_stack([np.ones(len(x)), x])
        found = np.linalg.pinv(design.T @ (w[:, None] * design))
        deviation = mean[use] / self.value[use] - 1.0
        deviation -= design @ (found @ (design.T @ (w * deviation)))
        seen = found @ (design.T @ ((w * deviation)[:, None] ** 2 * design)) @ found
        variance = np.maximum(np.maximum(np.diag(found), np.diag(seen)), 0.0)
        return float(np.sqrt(variance[0])), float(np.sqrt(variance[1]))


def interleaved(offsets: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places for one more value at the end of some groups.

    Parameters
    ----------
    offsets : (m + 1,) int64
    known : (m,) bool
        Groups that get one.

    Returns
    -------
    offsets : (m + 1,) int64
        Of the longer groups.
    old : (n,) int64
        New places of what was there.
    new : (k,) int64
        Places of the added values.
    """
    added = np.concatenate([[0], np.cumsum(known)]).astype(np.int64)
    longer = offsets + added
    old = np.arange(int(offsets[-1])) + np.repeat(added[:-1], np.diff(offsets))
    return longer, old, longer[1:][known] - 1
