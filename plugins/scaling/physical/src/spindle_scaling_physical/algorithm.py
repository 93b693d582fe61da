"""The physical scaling model: g = S(z) exp(B(z) / (2 d^2)) A(directions)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from spindle.contracts import Algorithm, Citation, hookimpl
from spindle.contracts.scaling import DatasetInfo, ScalingModel, ScalingObservations
from spindle.models import Experiment
from spindle_lib_physical_scaling import PhysicalParams, SmoothScales


class PhysicalScaling(Algorithm):
    """Smooth scale and B factor along the scan, and an absorption surface of spherical harmonics."""

    citations = (
        Citation(
            "Evans, P.",
            2006,
            "Scaling and assessment of data quality",
            "Acta Cryst. D",
            "62",
            "72-82",
            "10.1107/S0907444905036693",
        ),
        Citation(
            "Beilsten-Edmands, J. & Winter, G. & Gildea, R. & Parkhurst, J. & Waterman, D. & Evans, G.",
            2020,
            "Scaling diffraction data in the DIALS software package: algorithms and new approaches for multi-crystal scaling",
            "Acta Cryst. D",
            "76",
            "385-399",
            "10.1107/S2059798320003198",
        ),
    )

    scope = "physical"

    Params = PhysicalParams

    @hookimpl
    def build_scaling_model(
        self,
        experiment: Experiment,
        observations: ScalingObservations,
        existing: dict[str, Any] | None,
        peers: Sequence[DatasetInfo],
    ) -> ScalingModel:
        """See `spindle.contracts.scaling.ScalingSpec`."""
        return SmoothScales(self.params, self.scope).model(experiment, observations, existing, peers)
