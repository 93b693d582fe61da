"""The refiner as the host sees it."""

from __future__ import annotations

from typing import Any

from spindle.contracts import Algorithm, Citation, hookimpl
from spindle.contracts.refiner import Purpose, RefinementError, RefinementResult
from spindle.models import Experiments
from spindle.table import ReflectionTable
from spindle_lib_refinement.params import RefinementParams

from .macrocycle import Macrocycle


class CentroidRefiner(Algorithm):
    """Refinement of crystal, beam, detector and goniometer against observed spot centroids."""

    citations = (
        Citation(
            "Waterman, D. G. & Winter, G. & Gildea, R. J. & Parkhurst, J. M. & Brewster, A. S. & Sauter, N. K. & Evans, G.",
            2016,
            "Diffraction-geometry refinement in the DIALS framework",
            "Acta Cryst. D",
            "72",
            "558-575",
            "10.1107/S2059798316002187",
        ),
    )

    @hookimpl
    def refine(
        self,
        experiments: Experiments,
        reflections: ReflectionTable,
        settings: RefinementParams,
        scan_varying: bool,
        purpose: Purpose,
    ) -> RefinementResult:
        """Refine; see `spindle.contracts.refiner.RefinerSpec.refine`."""
        return Macrocycle(
            self._outlier_algorithm, experiments, reflections, settings, bool(scan_varying), purpose
        ).run()

    def _outlier_algorithm(self, name: str, params: Any) -> Any:
        """The plugin of the slot ``outlier``, made once: refinement is called very often while indexing."""
        if self.context is None:
            raise RefinementError(
                f"refinement.reflections.outlier.algorithm={name}: the refiner was made without a run context; use null"
            )
        known = self.__dict__.setdefault("_outlier_algorithms", {})
        if (name, id(params)) not in known:
            known[name, id(params)] = (self.context.algorithm("outlier", name, params), params)
        return known[name, id(params)][0]
