"""The refiner as the host sees it."""

from __future__ import annotations

from spindle.contracts import Algorithm, hookimpl
from spindle.contracts.refinement_params import RefinementParams
from spindle.contracts.refiner import RefinementResult
from spindle.models import Experiments
from spindle.table import ReflectionTable

from .macrocycle import Macrocycle


class CentroidRefiner(Algorithm):
    """Refinement of crystal, beam, detector and goniometer against observed spot centroids."""

    @hookimpl
    def refine(
        self, experiments: Experiments, reflections: ReflectionTable, settings: RefinementParams, scan_varying: bool
    ) -> RefinementResult:
        """Refine; see `spindle.contracts.refiner.RefinerSpec.refine`."""
        return Macrocycle(self.context, experiments, reflections, settings, bool(scan_varying)).run()
