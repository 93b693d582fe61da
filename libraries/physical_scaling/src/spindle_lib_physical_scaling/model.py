"""Terms of scaling models with smooth scales along the scan: g = S(z) exp(B(z) / (2 d^2)) A(directions)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from spindle.contracts.scaling import Computed, DatasetInfo, Penalty, ScaleTerm, ScalingModel, ScalingObservations
from spindle.errors import ParameterError
from spindle.models import Experiment, Scan
from spindle.params import Auto
from spindle_lib_harmonics.surface import surface_weights
from spindle_lib_smoothing.smoother import Smoother, n_samples

from .corrections import fixed_corrections
from .params import PhysicalParams

__all__ = ["SmoothScales"]

#: Intervals in degrees of scale and decay by the width of the scan (upper limit of the width, scale, decay), for
#: fixed restraints.
INTERVALS = ((5.0, 1.0, 1.5), (10.0, 2.0, 3.0), (25.0, 4.0, 5.0), (90.0, 8.0, 10.0), (np.inf, 15.0, 20.0))
#: lmax and restraint of absorption by its expected strength.
ABSORPTION_LEVELS = {"low": (4, 5e5), "medium": (6, 5e4), "high": (6, 5e3)}
#: With adaptive restraints: observations a scale sample should have, and most samples of a data set.
OBSERVATIONS_PER_SAMPLE, MOST_SAMPLES = 60, 400
#: With many data sets: most samples of all together, and fewest of each.
MOST_SAMPLES_TOGETHER, FEWEST_SAMPLES = 800, 12
#: Scans whose images get a factor each: observations an image should have, fewest and most images, and most of all data sets together.
OBSERVATIONS_PER_IMAGE, FEWEST_IMAGES, MOST_IMAGES, MOST_IMAGES_TOGETHER = 10, 10, 400, 800
#: With adaptive restraints: decay changes over degrees, not over images.
DECAY_INTERVAL_DEG = 5.0
#: Below this number of observations absorption is left out by default.
ABSORPTION_OBSERVATIONS = 2500


class SmoothScales:
    """Scale and B factor along a scan, and an absorption surface, as the parameters say.

    Parameters
    ----------
    params : PhysicalParams
    scope : str
        Scope of the parameters, for messages.
    """

    def __init__(self, params: PhysicalParams, scope: str) -> None:
        self.params = params
        self.scope = scope

    def model(
        self,
        experiment: Experiment,
        observations: ScalingObservations,
        existing: dict[str, Any] | None,
        peers: Sequence[DatasetInfo],
    ) -> ScalingModel:
        """The terms scale, decay and absorption of a data set; arguments as those of `spindle.contracts.scaling.ScalingSpec`.

        Raises
        ------
        ParameterError
            For a still, or parameters that contradict each other.
        """
        params = self.params
        if experiment.is_still:
            raise ParameterError(f"model={self.scope} describes a rotation scan; use model=KB for stills")
        if not params.fix_initial:
            raise ParameterError(
                f"{self.scope}.fix_initial=False: the overall scale of a data set cannot be determined; leave it True"
            )
        scan = experiment.known_scan
        fixed = fixed_corrections(params.correction.fix, ("scale", "decay", "absorption"), self.scope)
        configuration, terms = _frame(experiment), []
        setting = existing["configuration_parameters"] if existing else None
        spacing, factor = self._sampling("scale", experiment, len(observations), 1 + len(peers), setting)
        configuration.update(s_norm_fac=factor, scale_rot_interval=spacing)
        terms.append(self._smooth("scale", observations, factor, spacing, existing, fixed, scan))
        if self._steps_at_images(experiment, len(observations), 1 + len(peers), existing):
            terms.append(_images(observations, existing, "scale" in fixed, scan))
        if self._uses("decay", observations, existing, scan):
            spacing, factor = self._sampling("decay", experiment, len(observations), 1 + len(peers), setting)
            configuration.update(d_norm_fac=factor, decay_rot_interval=spacing)
            terms.append(self._smooth("decay", observations, factor, spacing, existing, fixed, scan))
        if self._uses("absorption", observations, existing, scan):
            term, lmax, weight = self._absorption(observations, existing, fixed)
            configuration.update(lmax=lmax, abs_surface_weight=weight)
            terms.append(term)
        # what other programs know
        configuration["corrections"] = [t.name for t in terms if t.name != "image"]
        shared = ("absorption",) if params.share.absorption and "absorption" in configuration["corrections"] else ()
        return ScalingModel(self.scope, tuple(terms), configuration, shared)

    def _uses(self, name: str, observations: ScalingObservations, existing: dict[str, Any] | None, scan: Scan) -> bool:
        wanted = self.params.decay_correction if name == "decay" else self.params.absorption_correction
        if wanted is not Auto and not wanted:
            return False
        if existing:
            return name in existing
        if wanted is not Auto:
            return True
        if self.params.restraint == "fixed":
            return scan.oscillation_deg[1] * scan.n_images > 60.0
        return len(observations) >= ABSORPTION_OBSERVATIONS

    def _steps_at_images(
        self, experiment: Experiment, n_observations: int, n_datasets: int, existing: dict[str, Any] | None
    ) -> bool:
        wanted = self.params.image_correction
        if existing and wanted is Auto:
            return "image" in existing
        if wanted is not Auto or self.params.restraint == "fixed":
            return wanted is True
        n = experiment.known_scan.n_images
        most = min(MOST_IMAGES, MOST_IMAGES_TOGETHER // n_datasets)
        return FEWEST_IMAGES <= n <= most and n_observations >= OBSERVATIONS_PER_IMAGE * n

    def _sampling(
        self, name: str, experiment: Experiment, n_observations: int, n_datasets: int, setting: dict[str, Any] | None
    ) -> tuple[float, float]:
        """Spacing of the samples in degrees and the factor from image number to sample number."""
        scan = experiment.known_scan
        width = scan.oscillation_deg[1]
        total = width * scan.n_images
        short = name[0]
        if setting and f"{short}_norm_fac" in setting:
            return float(setting[f"{name}_rot_interval"]), float(setting[f"{short}_norm_fac"])
        interval = getattr(self.params, f"{name}_interval")
        if interval is Auto and self.params.restraint == "fixed":
            interval = next(row[1 if name == "scale" else 2] for row in INTERVALS if total < row[0])
        elif interval is Auto:
            images = np.ceil(OBSERVATIONS_PER_SAMPLE * scan.n_images / max(n_observations, 1))
            most = min(MOST_SAMPLES, max(FEWEST_SAMPLES, MOST_SAMPLES_TOGETHER // n_datasets))
            images = max(images, np.ceil(scan.n_images / most), 1)
            interval = images * width if name == "scale" else max(DECAY_INTERVAL_DEG, images * width, total / 50)
        interval += 1e-5
        if total > 2 * interval:
            interval = total / max(np.floor(total / interval) + 1, 3)
        elif total > interval:
            interval = total / 2
        else:
            interval = total
        return float(interval), float(0.999 * width / interval)

    def _smooth(
        self,
        name: str,
        observations: ScalingObservations,
        factor: float,
        spacing: float,
        existing: dict[str, Any] | None,
        fixed: set[str],
        scan: Scan,
    ) -> ScaleTerm:
        """The scale or the B factor as a Gaussian smoother of samples along the scan."""
        x = (
            np.clip(observations.image_observed, *scan.array_range) * factor
        )  # centroids of weak reflections can lie anywhere
        start, end = (float(x.min()), float(x.max())) if len(x) else (scan.array_range[0] * factor,) * 2
        stop = max(np.ceil(round(end - start, 10)), 1.0)
        image, n = observations.image, len(observations)  # one array for all smooth terms of a data set

        def u(rows: Any) -> np.ndarray:
            return np.asarray(np.clip(image[rows] * factor - start, 0.0, stop))

        null = 1.0 if name == "scale" else 0.0
        n_intervals = _n_intervals(stop, scan.oscillation_deg[1] * scan.n_images, spacing)
        if existing and name in existing:
            parameters = np.array(existing[name]["parameters"], dtype=np.float64)
            n_intervals = len(parameters) - 1 if len(parameters) <= 3 else len(parameters) - 2
        else:
            parameters = np.full(n_samples(n_intervals), null)
        smoother = Smoother(0.0, float(stop), n_intervals)
        p, k = len(parameters), smoother.weights(u(slice(1)))[1].shape[1]
        indices = Computed(lambda rows: smoother.weights(u(rows))[0].astype(np.int32), n, k)
        weights = Computed(lambda rows: smoother.weights(u(rows))[1], n, k)
        penalties: tuple[Penalty, ...]
        if self.params.restraint == "fixed":
            penalties = (Penalty(np.eye(p), self.params.decay_restraint, rank=p),) if name == "decay" else ()
        elif name == "scale":
            steps = np.diff(np.eye(p), axis=0)
            penalties = (Penalty(steps.T @ steps, None, 0.01, p - 1),)
        else:
            penalties = (Penalty(np.eye(p), self.params.decay_restraint, rank=p), *_smooth_decay(p))
        coefficient = None if name == "scale" else 0.5 / observations.d**2
        return ScaleTerm(
            name, parameters, indices, weights, null, 0.0, coefficient, penalties, name in fixed
        )  # fmt: skip

    def _absorption(
        self, observations: ScalingObservations, existing: dict[str, Any] | None, fixed: set[str]
    ) -> tuple[ScaleTerm, int, float]:
        params = self.params
        adaptive = params.restraint == "adaptive" and params.surface_weight is Auto and params.absorption_level is None
        lmax, weight = ABSORPTION_LEVELS[params.absorption_level or "low"]
        if params.lmax is not Auto:
            lmax = params.lmax
        if params.surface_weight is not Auto:
            weight = params.surface_weight
        if existing:
            parameters = np.array(existing["absorption"]["parameters"], dtype=np.float64)
            lmax = int(round(np.sqrt(len(parameters) + 1))) - 1
        else:
            parameters = np.zeros(lmax * (lmax + 2))
        p = len(parameters)
        weights = surface_weights(observations.source, observations.diffracted, lmax)
        order = np.repeat(np.arange(1, lmax + 1), 2 * np.arange(1, lmax + 1) + 1)
        if adaptive:
            # a physical absorption surface is smooth: the expected coefficients fall with the order
            penalties = (Penalty(np.diag(0.5 * order * (order + 1.0)), None, 0.01, p),)
        else:
            penalties = (Penalty(np.eye(p), float(weight), rank=p),)
        indices = np.arange(p, dtype=np.int32)[None, :]
        term = ScaleTerm("absorption", parameters, indices, weights, 0.0, 1.0, None, penalties, "absorption" in fixed)
        return term, lmax, float(weight)


def _images(observations: ScalingObservations, existing: dict[str, Any] | None, fixed: bool, scan: Scan) -> ScaleTerm:
    """A factor of each image, drawn to one by as much as the images of the scan let expect.

    A beam that flickers from image to image is no smooth function; factors at random about one, with a spread that the data choose, describe
    it with the least error (James & Stein 1961), and vanish where it does not flicker.
    """
    p, (first, _) = scan.n_images, scan.array_range
    n, at = len(observations), observations.image
    indices = Computed(lambda rows: np.clip(np.floor(at[rows] - first), 0, p - 1).astype(np.int32)[:, None], n, 1)
    weights = Computed(lambda rows: np.ones((len(at[rows]), 1)), n, 1)
    start = np.ones(p)
    if existing and "image" in existing and len(existing["image"]["parameters"]) == p:
        start = np.array(existing["image"]["parameters"], dtype=np.float64)
    penalty = Penalty(np.eye(p), None, 0.01, p)
    return ScaleTerm("image", start, indices, weights, 1.0, 0.0, None, (penalty,), fixed)


def _frame(experiment: Experiment) -> dict[str, Any]:
    scan = experiment.known_scan
    start, width = scan.oscillation_deg
    return {"valid_osc_range": [start, start + width * scan.n_images], "valid_image_range": list(scan.image_range)}


def _smooth_decay(p: int) -> tuple[Penalty, ...]:
    """Restraints whose weights the data choose: on the change of B over the scan and on its curvature."""
    x = np.arange(p) - 0.5 * (p - 1)
    slope = x * (p - 1) / (x @ x)
    change = Penalty(np.outer(slope, slope), None, 1.0, 1)
    if p < 3:
        return (change,)
    bends = np.diff(np.eye(p), n=2, axis=0)
    return change, Penalty(bends.T @ bends, None, 0.05, p - 2)


def _n_intervals(stop: float, total: float, spacing: float) -> int:
    """Intervals of the smoother: as many as spacings in the scan, or in the part of it that has observations."""
    return max(1, round(min(stop, total / spacing)))
