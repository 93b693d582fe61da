"""The ``Auto`` background: picks a model by the kind of detector."""

from __future__ import annotations

import logging
from typing import Any

from spindle.contracts import Algorithm, hookimpl
from spindle.contracts.background import BackgroundEstimate
from spindle.errors import UserError
from spindle.models import Detector
from spindle.table import Shoeboxes

__all__ = ["AutoBackground", "choose_background"]

log = logging.getLogger(__name__)


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
    """Use ``glm`` for photon-counting pixel detectors with gain 1, else ``simple``, each with its defaults.

    To set a parameter of the chosen model, choose it by name.
    """

    asks_for = (("background", "glm"), ("background", "simple"))

    def __init__(self, params: object = None, context: object = None) -> None:
        super().__init__(params, context)
        self._models: dict[str, Any] = {}

    @hookimpl
    def estimate_background(self, shoeboxes: Shoeboxes, detector: Detector) -> BackgroundEstimate:
        """See `spindle.contracts.background.BackgroundSpec`."""
        if detector is None:
            raise UserError(
                "background.algorithm=Auto chooses by the detector, and none was given: name a model, e.g. glm"
            )
        name, reason = choose_background(detector)
        return self._model(name, reason).estimate_background(shoeboxes=shoeboxes, detector=detector)

    def _model(self, name: str, reason: str) -> Any:
        """The chosen model; said once in the log, however many threads ask."""
        if name not in self._models:
            if self.context is None:
                raise UserError(
                    f"background.algorithm=Auto needs the context of a run to ask for {name!r}: name a model instead"
                )
            model = self.context.algorithm("background", name)
            if self._models.setdefault(name, model) is model:
                log.info("Background: Auto chose %s because %s", name, reason)
        return self._models[name]
