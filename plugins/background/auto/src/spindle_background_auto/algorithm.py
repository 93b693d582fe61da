"""The ``Auto`` background: picks a model by the kind of detector, and by how well models predict what they have not seen."""

from __future__ import annotations

import logging
from typing import Any

from spindle.contracts import Algorithm, hookimpl
from spindle.contracts.background import BackgroundEstimate, BackgroundLearner
from spindle.errors import UserError
from spindle.models import Detector, Experiment
from spindle.table import Shoeboxes

from .trial import AutoLearner, Choice

__all__ = ["AutoBackground", "choose_background"]

log = logging.getLogger(__name__)

LEARNING = "radial"


def choose_background(detector: Detector) -> tuple[str, str]:
    """Name of the background model for a detector, and the reason in words.

    Photon-counting pixel detectors (panel type with ``PAD``, gain 1) record Poisson counts, which ``glm`` is made for;
    the values of all others are not counts.
    """
    other = [panel for panel in detector if "PAD" not in panel.type or panel.gain != 1.0]
    if not other:
        return "glm", "every panel is a pixel-array detector with gain 1"
    panel = other[0]
    return "simple", f"panel {panel.name!r} is of type {panel.type} with gain {panel.gain:g}"


class AutoBackground(Algorithm):
    """Use ``glm`` for photon-counting pixel detectors with gain 1, else ``simple``, and ``radial`` where rings are in the way.

    Boxes without spots are taken from the images; the models predict the counts in the middle of each from those around it. Where
    ``radial``, which learns from whole images first, comes significantly closer in any range of resolution, it is taken. Each has its
    defaults: to set a parameter of the chosen model, choose it by name.
    """

    asks_for = (("background", "glm"), ("background", "simple"), ("background", "radial"))

    def __init__(self, params: object = None, context: object = None) -> None:
        super().__init__(params, context)
        self._models: dict[str, Any] = {}
        self._said: set[str] = set()

    @hookimpl
    def make_background_learner(self, experiment: Experiment) -> BackgroundLearner | None:
        """See `spindle.contracts.background.BackgroundSpec`."""
        if self.context is None:
            return None
        usual, reason = choose_background(experiment.detector)
        models = {name: self._model(name) for name in (usual, LEARNING)}
        learner = models[LEARNING].make_background_learner(experiment=experiment)
        if learner is None:
            return None
        return AutoLearner(experiment, usual, LEARNING, models, learner, reason, self._said)

    @hookimpl
    def estimate_background(
        self, shoeboxes: Shoeboxes, detector: Detector | None = None, learned: Choice | None = None
    ) -> BackgroundEstimate:
        """See `spindle.contracts.background.BackgroundSpec`."""
        if learned is not None:
            return self._model(learned.name).estimate_background(
                shoeboxes=shoeboxes, detector=detector, learned=learned.learned
            )
        if detector is None:
            raise UserError(
                "background.algorithm=Auto chooses by the detector, and none was given: name a model, e.g. glm"
            )
        name, reason = choose_background(detector)
        return self._model(name, reason).estimate_background(shoeboxes=shoeboxes, detector=detector)

    def _model(self, name: str, reason: str = "") -> Any:
        """A model; why it was chosen is said once in the log, however many threads ask."""
        if name not in self._models:
            if self.context is None:
                raise UserError(
                    f"background.algorithm=Auto needs the context of a run to ask for {name!r}: name a model instead"
                )
            model = self.context.algorithm("background", name)
            if self._models.setdefault(name, model) is model and reason:
                log.info("Background: Auto chose %s because %s", name, reason)
        return self._models[name]
