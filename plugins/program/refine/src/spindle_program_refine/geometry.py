"""Warnings about geometry that ran away: against what was known before indexing, or against the input."""

from __future__ import annotations

from typing import Any

import numpy as np

from spindle.contracts.refiner import RefinementResult
from spindle.errors import UserError
from spindle.models import Experiments
from spindle.table import ReflectionTable
from spindle_lib_refinement.geometry_drift import Place, drift_warning, drifts, given_places, place_of
from spindle_lib_refinement.index_offset import OffsetTest, compare_origins
from spindle_lib_refinement.short_refinement import Refinement, quiet, thin


class GeometryWatch:
    """Compares detectors after refinement with where they were.

    Parameters
    ----------
    experiments : Experiments
        The input of the program.
    """

    def __init__(self, experiments: Experiments) -> None:
        #: Models with a profile were refined and integrated before; what was known before indexing was compared then.
        self.is_first = all(e.profile is None for e in experiments)
        self.before: list[Place] = given_places(experiments) if self.is_first else [place_of(e) for e in experiments]

    def warnings(
        self, experiments: Experiments, table: ReflectionTable, result: RefinementResult, settings: Any, context: Any
    ) -> list[str]:
        """What the user should know; empty when the geometry is where it was.

        Parameters
        ----------
        experiments : Experiments
            Refined, in the order of the input.
        table : ReflectionTable
            Indexed spots.
        result : RefinementResult
            The last refinement.
        settings : Params
            The scope ``refinement``.
        context : RunContext
        """
        if any(e.is_still for e in experiments) or len(experiments) != len(self.before):
            return []
        test = self._other_origins(experiments, table, settings, context)
        confirmed = all(p.is_confirmed for p in self.before) or (test is not None and test.is_confirmed)
        texts = []
        found = drifts(self.before, experiments, result)
        for drift in found:
            own = drift.texts(beam_centre=not confirmed or self.before[drift.sweeps[0]].is_confirmed)
            if own:
                which = "" if len(found) == 1 else f" of experiment {', '.join(map(str, drift.sweeps))}"
                texts.append(f"{'; '.join(own)}{which}")
        reference = "the images' headers" if self.before[0].is_of_headers else "the input"
        warnings = [drift_warning(texts, reference)] if texts else []
        if test is not None and test.is_refuted:
            warnings.append(_origin_text(test))
        return warnings

    def _other_origins(
        self, experiments: Experiments, table: ReflectionTable, settings: Any, context: Any
    ) -> OffsetTest | None:
        """The test of other origins of the indices, unless index has made it."""
        if not self.is_first or all(p.is_confirmed for p in self.before):
            return None
        number = np.where(np.any(table["miller_index"] != 0, axis=1), table["id"], -1)
        rows = thin(experiments, number)
        refinement = Refinement(settings, context, stills=False)
        try:
            with quiet():
                return compare_origins(experiments, table.select(rows), refinement.refine_candidate)
        except UserError as error:
            context.log.debug("Other origins of the indices could not be compared: %s", error)
            return None


def _origin_text(test: OffsetTest) -> str:
    """The warning about indices of another row."""
    assert test.rival is not None
    x, y = place_of(test.rival.result.experiments[0]).centre or (np.nan, np.nan)
    return (
        f"WARNING: the indices are probably those of another row of spots: with {','.join(map(str, test.rival.offset))} added to all of them and the "
        f"beam centre at {x:.1f}, {y:.1f} px (fast, slow) the misfit (chi squared) is {test.rival.misfit:.2f} instead of "
        f"{test.here.misfit:.2f}. The cell is then wrong by some percent, and no intensity has its index. Import again with "
        f"geometry.detector.fast_slow_beam_centre={x:.1f},{y:.1f}, or run spindle search_beam_position, and index again"
    )
