"""Scale factors where equivalents tell none: by the distribution of intensities, which is that of random atoms.

A reflection of a shell with the mean intensity S is as good as a measurement of S with the error S (Wilson 1949, Acta Cryst. 2, 318-321): many
of them together tell how the scale changes along a scan, and how well that is known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spindle.contracts.scaling import ScaleTarget

from .target import Target, TargetOfGroups

if TYPE_CHECKING:
    from .rounds import Scaler

__all__ = ["WilsonExpectation", "scale_by_distribution"]

#: Fewer observations tell nothing.
FEWEST = 300
#: The estimate of a scale from n intensities by least squares has the variance 13 / 9 / n where they fall off as exp(-I / S).
SPREAD = 13.0 / 9.0
#: Reflections of a shell, and most shells.
GROUPS_PER_SHELL, MOST_SHELLS = 100, 20
#: Weights of restraints in terms of the first guess: between the steps of a usual crystal and three times those.
WEIGHT_RANGE = (0.1, 1.0)


class WilsonExpectation(TargetOfGroups):
    """What the mean intensities of shells let expect of each reflection, as a reference to scale against."""

    def judge(self, mean: np.ndarray, weight: np.ndarray) -> None:  # type: ignore[override]
        """Take the means of the shells from the intensities as they are scaled now; arguments as those of `TargetOfGroups.place`."""
        known = np.flatnonzero(np.isfinite(mean))
        known = known[np.argsort(self.d[known], kind="stable")]
        shells = np.array_split(known, int(np.clip(len(known) // GROUPS_PER_SHELL, 1, MOST_SHELLS)))
        x = [float((self.d[rows] ** -2.0).mean()) for rows in shells]
        level = [max(float((mean[rows] / self.epsilon[rows]).mean()), 1e-30) for rows in shells]
        order = np.argsort(x)
        self.value = self.epsilon * np.exp(np.interp(self.d**-2.0, np.asarray(x)[order], np.log(level)[order]))
        self.variance = SPREAD * np.where(self.centric, 2.0, 1.0) * self.value**2

    @property
    def centric(self) -> np.ndarray:
        """(m,) bool."""
        return self.raw_variance > 0


def scale_by_distribution(scaler: Scaler) -> None:
    """Let intensities tell the course of the scale where there are hardly any equivalents, and how uncertain it is.

    The scale factors and ``scaler.scale_error`` (n,) are changed: the relative variances of the scale factors, which the variances of the
    observations are to hold.
    """
    obs = scaler.obs
    assumed = scaler.use_error_model and all(e.details.get("assumed") for e in scaler.errors)
    if not assumed or scaler.anchored or int((~obs.outlier).sum()) < FEWEST:
        return
    first = obs.groups.order[obs.groups.offsets[:-1]]
    nothing = np.zeros((0, 3), np.int64), np.zeros(0), np.zeros(0)
    target = Target(ScaleTarget(*nothing, "Wilson's distribution"), False, False)
    ones = np.ones(obs.groups.n_groups)
    scaler.target = WilsonExpectation(
        target, ones, obs.groups.centric.astype(float), obs.d[first], obs.groups.epsilon, 1.0, 0.0, ones, ones
    )
    scaler.target.judge(*scaler.group_means())
    usual, scaler.layout.weight_range = scaler.layout.weight_range, WEIGHT_RANGE
    for places in scaler.layout.slices:
        if "image" in places:  # the few intensities of an image tell nothing of it
            scaler.parameters[places["image"]] = 1.0
            scaler.layout.free[places["image"]] = False
    for restraint in scaler.layout.restraints:
        if restraint.adaptive:
            restraint.weight = restraint.penalty.typical**-2.0
    try:
        scaler.refine("by the distribution of intensities", final=True)
    finally:
        scaler.target, scaler.layout.weight_range = None, usual
    if scaler.fit is None:
        return
    scaler.fit.variance_factor = max(scaler.fit.variance_factor, 1.0)
    scaler.scale_error = scaler.scale_variances() / obs.g**2
    scaler.context.log.info(
        "Equivalents are too few to tell scale factors: their course is that which makes mean intensities alike (Wilson 1949), and uncertain by "
        "%.1f %% rms, which the sigmas hold", 100 * float(np.sqrt(scaler.scale_error.mean())),
    )  # fmt: skip
