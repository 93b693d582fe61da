"""The class `Kapton2019Absorption`."""

from __future__ import annotations

from spindle.contracts import Algorithm, hookimpl
from spindle.contracts.absorption import AbsorptionFactors
from spindle.contracts.profile import ForegroundMasks
from spindle.models import Experiment
from spindle.table import ReflectionTable
from spindle_lib_attenuators import TapeParams, tape_box_paths, tape_factors


class Kapton2019Absorption(Algorithm):
    """A tape of finite width that carries the crystal, traced as a box."""

    Params = TapeParams

    @hookimpl
    def absorption_factors(
        self, experiment: Experiment, reflections: ReflectionTable, foreground: ForegroundMasks | None
    ) -> AbsorptionFactors:
        """See `spindle.contracts.absorption.AbsorptionSpec.absorption_factors`."""
        return tape_factors(tape_box_paths, self.params, experiment, reflections, foreground)
