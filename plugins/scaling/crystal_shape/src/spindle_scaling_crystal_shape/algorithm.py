"""The scaling model of a crystal of known shape: g = T(shape, directions) S(z) exp(B(z) / (2 d^2)) A(directions)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from spindle.contracts import Algorithm, Citation, hookimpl
from spindle.contracts.scaling import DatasetInfo, ScaleTerm, ScalingModel, ScalingObservations
from spindle.models import Experiment
from spindle_lib_physical_scaling import SmoothScales

from .bodies import body_of, coefficient_of, refuse_other_settings
from .params import CrystalShapeParams


class CrystalShapeScaling(Algorithm):
    """Absorption calculated from the shape of the crystal as a fixed factor, with smooth scales on top.

    The transmission of each reflection is the mean over the crystal of exp(-mu path), with the paths to the source and along the
    diffracted beam at the angle of the reflection. The beam is taken to be larger than the crystal. Scale, B factor and absorption
    surface of the model ``physical`` take up what is left.
    """

    citations = (
        Citation(
            "Coppens, P. & Leiserowitz, L. & Rabinovich, D.",
            1965,
            "Calculation of absorption corrections for camera and diffractometer data",
            "Acta Cryst.",
            "18",
            "1035-1038",
            "10.1107/S0365110X65002487",
        ),
    )

    scope = "crystal_shape"

    Params = CrystalShapeParams

    @hookimpl
    def build_scaling_model(
        self,
        experiment: Experiment,
        observations: ScalingObservations,
        existing: dict[str, Any] | None,
        peers: Sequence[DatasetInfo],
    ) -> ScalingModel:
        """See `spindle.contracts.scaling.ScalingSpec`."""
        params, crystal = self.params, experiment.known_crystal
        smooth = SmoothScales(params, self.scope).model(experiment, observations, existing, peers)
        mu = coefficient_of(params, experiment, self.scope)
        body = body_of(params, crystal, self.scope)
        refuse_other_settings(
            params, crystal, [p.experiment.crystal for p in peers if p.experiment.crystal is not None], self.scope
        )
        transmission = body.transmission(mu, observations.source, observations.diffracted)
        # scales are near one: what the crystal takes from all beams alike is left to the overall scale
        mean = float(np.exp(np.log(transmission).mean())) if len(transmission) else 1.0
        ends = [float(v) for v in np.quantile(transmission, (0.0, 1.0))] if len(transmission) else [1.0, 1.0]
        self.context.log.info(
            "absorption by the shape of the crystal: mu = %.4g / mm, transmission %.4f to %.4f", mu, *ends
        )
        start = np.array(existing["shape"]["parameters"], float) if existing and "shape" in existing else np.ones(1)
        shape = ScaleTerm(
            "shape", start, np.zeros((1, 1), np.int32), (transmission / mean - 1.0)[:, None], 0.0, 1.0, fixed=True
        )
        configuration = {
            **smooth.configuration,
            "corrections": [*smooth.configuration["corrections"], "shape"],
            "attenuation": mu, "transmission_range": ends, "transmission_mean": mean,
        }  # fmt: skip
        return replace(smooth, terms=(*smooth.terms, shape), configuration=configuration)
