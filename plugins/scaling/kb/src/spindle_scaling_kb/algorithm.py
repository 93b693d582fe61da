"""The KB scaling model: g = K exp(B / (2 d^2))."""

from __future__ import annotations

from typing import Any

import numpy as np

from spindle.contracts import Algorithm, hookimpl
from spindle.contracts.scaling import Penalty, ScaleTerm, ScalingModel, ScalingObservations
from spindle.models import Experiment
from spindle.params import Bool, Strings
from spindle.params import Params as ParamsBase
from spindle_lib_physical_scaling import fixed_corrections

#: Weak restraints for data sets that share too few reflections with the others: standard deviations of 1 and 3.2 A^2.
SCALE_RESTRAINT, DECAY_RESTRAINT = 1.0, 0.1


class KBScaling(Algorithm):
    """One overall scale K and one relative B factor per data set, for stills and very narrow scans."""

    scope = "KB"

    class Params(ParamsBase):
        """The KB model: one scale and one B factor for the whole data set."""

        decay_correction = Bool(True, help="Refine the relative B factor.", level=1)

        class correction(ParamsBase):
            """Which corrections to leave as they are."""

            fix = Strings(None, help="Corrections (scale, decay) whose parameters stay as they are.")

    @hookimpl
    def build_scaling_model(
        self, experiment: Experiment, observations: ScalingObservations, existing: dict[str, Any] | None
    ) -> ScalingModel:
        """See `spindle.contracts.scaling.ScalingSpec`."""
        n = len(observations)
        fixed = fixed_corrections(self.params.correction.fix, ("scale", "decay"), self.scope)
        index, ones = np.zeros((1, 1), dtype=np.int32), np.ones((n, 1))
        weak = (Penalty(np.eye(1), SCALE_RESTRAINT, rank=1),)
        start = _start(existing, "scale", 1.0)
        terms = [ScaleTerm("scale", start, index, ones, 1.0, penalties=weak, fixed="scale" in fixed)]
        if self.params.decay_correction:
            coefficient = 0.5 / observations.d**2
            start = _start(existing, "decay", 0.0)
            weak = (Penalty(np.eye(1), DECAY_RESTRAINT, rank=1),)
            terms.append(ScaleTerm("decay", start, index, ones, 0.0, 0.0, coefficient, weak, "decay" in fixed))
        configuration: dict[str, Any] = {"corrections": [t.name for t in terms]}
        if experiment.scan is not None:
            configuration["valid_image_range"] = list(experiment.scan.image_range)
        return ScalingModel("KB", tuple(terms), configuration)


def _start(existing: dict[str, Any] | None, name: str, null: float) -> np.ndarray:
    if existing and name in existing:
        return np.array(existing[name]["parameters"], dtype=np.float64)
    return np.full(1, null)
