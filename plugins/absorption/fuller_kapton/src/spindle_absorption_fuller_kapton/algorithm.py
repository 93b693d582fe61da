"""The class `FullerKaptonAbsorption`."""

from __future__ import annotations

import numpy as np

from spindle.contracts import Algorithm, Citation, hookimpl
from spindle.contracts.absorption import AbsorptionFactors
from spindle.contracts.profile import ForegroundMasks
from spindle.models import Experiment
from spindle.table import ReflectionTable
from spindle_lib_attenuators import TapeParams, edge_tape_paths, tape_factors


class FullerKaptonAbsorption(Algorithm):
    """A flat tape along the beam that carries the crystal and ends behind it (Fuller et al. 2017)."""

    citations = (
        Citation(
            "Fuller, F. D. et al.",
            2017,
            "Drop-on-demand sample delivery for studying biocatalysts in action at X-ray free-electron lasers",
            "Nat. Methods",
            "14",
            "443-449",
            "10.1038/nmeth.4195",
        ),
    )

    Params = TapeParams

    @hookimpl
    def absorption_factors(
        self, experiment: Experiment, reflections: ReflectionTable, foreground: ForegroundMasks | None
    ) -> AbsorptionFactors:
        """See `spindle.contracts.absorption.AbsorptionSpec.absorption_factors`."""
        beam = experiment.beam.s0 / np.linalg.norm(experiment.beam.s0)

        def paths(u: np.ndarray, height: float, angle: float, half_width: float, thickness: float) -> np.ndarray:
            return edge_tape_paths(u, beam, height, angle, half_width, thickness)

        return tape_factors(paths, self.params, experiment, reflections, foreground)
