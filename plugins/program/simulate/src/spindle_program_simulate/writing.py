"""What a file format must do to hold a simulated sweep."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np

from spindle.errors import ParameterError

from .names import SweepFiles
from .params import SimulateParams
from .scene import Sweep

__all__ = ["ImageWriter", "refuse_beyond_flat"]


class ImageWriter(ABC):
    """Writes the images of one sweep; `write` is called by several threads.

    Parameters
    ----------
    sweep : Sweep
    files : SweepFiles
    params : SimulateParams
    """

    def __init__(self, sweep: Sweep, files: SweepFiles, params: SimulateParams) -> None:
        self.sweep = sweep
        self.files = files
        self.params = params

    @classmethod  # noqa: B027
    def check(cls, sweep: Sweep) -> None:
        """Refuse a sweep that the format cannot describe, before anything is drawn.

        Raises
        ------
        ParameterError
        """

    @abstractmethod
    def write(self, i: int, image: np.ndarray) -> int:
        """Write image i (from 0), (ny, nx) int32, and return its size in bytes; 0 for one that is missing."""

    def close(self) -> None:  # noqa: B027  (most formats have nothing to do)
        """Called after the last image."""

    def abort(self) -> None:  # noqa: B027
        """Called instead of `close` when something went wrong."""

    @property
    def polarization_fraction(self) -> float:
        """What headers say of the polarisation: 0.5, none, where the beam is not of X-rays."""
        return self.params.beam.polarization_fraction if self.sweep.instrument.is_polarised else 0.5

    def image_path(self, i: int) -> Path | None:
        """Where image i goes; None for one that is missing."""
        return self.files.images[i]

    def angles(self, i: int) -> tuple[float, float]:
        """Start and width of image i in deg, as the goniometer turns."""
        settings = self.sweep.settings
        return settings.start + i * settings.oscillation, settings.oscillation


def refuse_beyond_flat(sweep: Sweep, what: str, takes_panels: bool = False, exception: str = "") -> None:
    """Refuse what a header with one distance, one beam centre and one axis cannot say.

    Parameters
    ----------
    sweep : Sweep
    what : str
        Name of the format.
    takes_panels : bool
        Whether readers of the format know the panels of this sweep where there are several.
    exception : str
        The several panels that they know, for the message.

    Raises
    ------
    ParameterError
    """
    panels, settings, p = sweep.instrument.header_panels, sweep.settings, sweep.instrument
    remedy = "use output.format=nexus or full_cbf"
    if not settings.two_theta and not panels.are_one_grid():
        raise ParameterError(
            f"detector: the header of {what} has no place for panels that lie in several planes; {remedy}"
        )
    if len(panels) > 1 and not takes_panels:
        raise ParameterError(
            f"detector: readers of {what} see one panel{exception}, not the {len(panels)} of this detector; {remedy}, or "
            "leave it one (detector.panels=whole)"
        )
    if settings.two_theta:
        raise ParameterError(
            f"detector.two_theta={p.two_theta:g}: readers of {what} do not take it into account; {remedy}"
        )
    if len(settings.rotation.names) > 1 or abs(settings.rotation.axes[0] @ np.array([1.0, 0, 0]) - 1) > 1e-9:
        raise ParameterError(
            f"goniometer: readers of {what} know one axis along x, and no settings of others; {remedy}"
        )
