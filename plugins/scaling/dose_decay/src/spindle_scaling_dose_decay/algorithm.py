"""The dose-decay scaling model: g = S(phi) exp(B / (2 d^2)) exp(C x / d^2) A(directions)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from spindle.contracts import Algorithm, hookimpl
from spindle.contracts.scaling import (
    Computed,
    DatasetInfo,
    Penalty,
    ScaleTarget,
    ScaleTerm,
    ScalingModel,
    ScalingObservations,
)
from spindle.errors import ParameterError
from spindle.models import Experiment
from spindle.params import Bool, Choice, Float, Int, Strings
from spindle.params import Params as ParamsBase
from spindle_lib_harmonics.surface import n_coefficients, surface_weights
from spindle_lib_physical_scaling import fixed_corrections
from spindle_lib_smoothing.smoother import Smoother, n_samples

TERMS = ("scale", "relative_B", "decay", "absorption")
#: Weak restraints of relative B factors: 3.2 A^2.
B_RESTRAINT = 0.1
#: Weak restraint of the decay per degree: 1 A^2 (quadratic) or 1 A (linear) over ten degrees.
DECAY_RESTRAINT = 1e2


class DoseDecayScaling(Algorithm):
    """Decay that grows in proportion to the dose, the same for all crystals, with a scale along each scan and a B factor of each."""

    scope = "dose_decay"

    class Params(ParamsBase):
        """The dose-decay model, for many crystals that decay alike: decay grows with the angle that the crystal was turned."""

        scale_interval = Float(2.0, min=0.01, units="degrees", help="Distance of the samples of the scale.", level=1)
        relative_B_correction = Bool(
            True,
            help="A relative B factor of each data set; a single data set has one only against a reference.",
            level=1,
        )
        decay_correction = Bool(True, help="Decay in proportion to the dose.", level=1)
        resolution_dependence = Choice(
            ["quadratic", "linear"],
            default="quadratic",
            help="quadratic: intensities fall by exp(C x / d^2), x in degrees, a B factor that grows with dose. linear: by exp(C x / d), "
            "as of proteins at 100 K (Howells et al. 2009).",
            level=1,
        )
        absorption_correction = Bool(False, help="Correct for absorption in crystal and mount.", level=1)
        lmax = Int(4, min=2, max=30, help="Highest order of the spherical harmonics.", level=2)
        surface_weight = Float(1e6, min=0, help="Weight that draws the absorption surface to one.", level=2)
        fix_initial = Bool(True, help="Fix the overall scale when parameter errors are determined.", level=2)

        class share(ParamsBase):
            """What data sets have in common."""

            decay = Bool(True, help="One decay for all data sets.")

        class correction(ParamsBase):
            """Which corrections to leave as they are."""

            fix = Strings(
                None, help="Corrections (scale, relative_B, decay, absorption) whose parameters stay as they are."
            )

    @hookimpl
    def build_scaling_model(
        self,
        experiment: Experiment,
        observations: ScalingObservations,
        existing: dict[str, Any] | None,
        peers: Sequence[DatasetInfo],
        target: ScaleTarget | None = None,
    ) -> ScalingModel:
        """See `spindle.contracts.scaling.ScalingSpec`."""
        params = self.params
        if experiment.is_still:
            raise ParameterError("model=dose_decay describes a rotation scan; use model=KB for stills")
        if not params.fix_initial:
            raise ParameterError(
                "dose_decay.fix_initial=False: the overall scale of a data set cannot be determined; leave it True"
            )
        fixed = fixed_corrections(params.correction.fix, TERMS, self.scope)
        scan = experiment.known_scan
        start, width = scan.oscillation_deg
        first, last = scan.array_range
        angle = (np.clip(observations.image, first, last) - first) * abs(width)
        terms, setting = [], (existing or {}).get("configuration_parameters", {})
        scale, spacing = self._scale(angle, abs(width) * scan.n_images, existing, setting, "scale" in fixed)
        terms.append(scale)
        square = observations.d**-2.0
        one, column = np.zeros((1, 1), np.int32), np.ones((len(observations), 1))
        if params.relative_B_correction and (peers or target is not None):
            weak = (Penalty(np.eye(1), B_RESTRAINT, rank=1),)
            begin = _start(existing, "relative_B", 1, 0.0)
            terms.append(
                ScaleTerm("relative_B", begin, one, column, 0.0, 0.0, 0.5 * square, weak, "relative_B" in fixed)
            )
        if params.decay_correction:
            quadratic = params.resolution_dependence == "quadratic"
            coefficient = square if quadratic else np.sqrt(square)
            weak = (Penalty(np.eye(1), DECAY_RESTRAINT, rank=1),)
            begin = _start(existing, "decay", 1, 0.0)
            terms.append(ScaleTerm("decay", begin, one, angle[:, None], 0.0, 0.0, coefficient, weak, "decay" in fixed))
        if params.absorption_correction:
            p = n_coefficients(params.lmax)
            begin = _start(existing, "absorption", p, 0.0)
            weights = surface_weights(observations.source, observations.diffracted, params.lmax)
            weak = (Penalty(np.eye(p), float(params.surface_weight), rank=p),)
            indices = np.arange(p, dtype=np.int32)[None, :]
            terms.append(ScaleTerm("absorption", begin, indices, weights, 0.0, 1.0, None, weak, "absorption" in fixed))
        configuration = {
            "corrections": [t.name for t in terms], "s_norm_fac": 0.999 * abs(width) / spacing, "scale_rot_interval": spacing,
            "resolution_dependence": params.resolution_dependence, "dose_unit": "degree",
            "valid_osc_range": [start, start + width * scan.n_images], "valid_image_range": list(scan.image_range),
        }  # fmt: skip
        shared = ("decay",) if params.share.decay and params.decay_correction else ()
        return ScalingModel("dose_decay", tuple(terms), configuration, shared)

    def _scale(
        self, angle: np.ndarray, total: float, existing: dict[str, Any] | None, setting: dict[str, Any], fixed: bool
    ) -> tuple[ScaleTerm, float]:
        """The scale along the scan, and the distance of its samples in degrees."""
        n_intervals = max(1, round(total / self.params.scale_interval))
        known = (existing or {}).get("scale")
        if known:
            n = len(known["parameters"])
            n_intervals = n - 1 if n <= 3 else n - 2
        smoother = Smoother(0.0, total, n_intervals)
        parameters = np.array(known["parameters"], dtype=np.float64) if known else np.ones(n_samples(n_intervals))
        p = len(parameters)
        steps = np.diff(np.eye(p), axis=0)
        k = min(3, p)
        indices = Computed(lambda rows: smoother.weights(angle[rows])[0].astype(np.int32), len(angle), k)
        weights = Computed(lambda rows: smoother.weights(angle[rows])[1], len(angle), k)
        penalties = (Penalty(steps.T @ steps, None, 0.01, p - 1),)
        return ScaleTerm("scale", parameters, indices, weights, penalties=penalties, fixed=fixed), total / n_intervals


def _start(existing: dict[str, Any] | None, name: str, n: int, null: float) -> np.ndarray:
    known = (existing or {}).get(name)
    if known and len(known["parameters"]) == n:
        return np.array(known["parameters"], dtype=np.float64)
    return np.full(n, null)
