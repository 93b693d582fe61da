"""Parameters that all corrections of tapes have in common, and the factors of a tape of any shape."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from spindle.contracts.absorption import AbsorptionFactors
from spindle.contracts.profile import ForegroundMasks
from spindle.models import Beam, Experiment
from spindle.params import Auto, Bool, Float
from spindle.params import Params as ParamsBase
from spindle.table import ReflectionTable

from .correction import spot_correction
from .materials import Material

__all__ = ["KAPTON", "TapeParams", "tape_coefficient", "tape_factors"]

KAPTON = Material("C22H10N2O5", 1.42)

SHAPE = ("xtal_height_above_kapton_mm", "rotation_angle_deg", "kapton_half_width_mm", "kapton_thickness_mm")
LEAST = 1e-3  # of a parameter that is made smaller by its uncertainty

#: From directions, height (mm), angle (rad), half width and thickness (mm) to ways in the tape (mm).
Paths = Callable[[np.ndarray, float, float, float, float], np.ndarray]


class TapeParams(ParamsBase):
    """Where the tape is, and which uncertainties count."""

    class xtal_height_above_kapton_mm(ParamsBase):
        """Distance of the crystal from the near face of the tape."""

        value = Float(0.02, min=0, units="mm", help="Distance.")
        sigma = Float(0.01, min=0, units="mm", help="Its uncertainty, for smart_sigmas.")

    class rotation_angle_deg(ParamsBase):
        """Turn of the tape about the beam."""

        value = Float(1.15, units="deg", help="Angle.")
        sigma = Float(0.1, min=0, units="deg", help="Its uncertainty, for smart_sigmas.")

    class kapton_half_width_mm(ParamsBase):
        """From the crystal to the edge of the tape behind it."""

        value = Float(1.5875, min=0, units="mm", help="Half the width of the tape.")
        sigma = Float(0.5, min=0, units="mm", help="Its uncertainty, for smart_sigmas.")

    class kapton_thickness_mm(ParamsBase):
        """Thickness of the tape."""

        value = Float(0.05, min=0, units="mm", help="Thickness.")
        sigma = Float(0.005, min=0, units="mm", help="Its uncertainty, for smart_sigmas.")

    smart_sigmas = Bool(
        False,
        help="Uncertainties of the factors are at least what a change of any of the four numbers by its sigma makes.",
    )
    within_spot_sigmas = Bool(
        True,
        help="Factors are means over the pixels of a spot, and vary by as much as there; False takes the factor of its middle.",
    )
    attenuation = Float(
        Auto,
        auto=True,
        min=0,
        units="1/mm",
        help="Attenuation coefficient of the tape. Auto: total attenuation, scattering included, of Kapton (C22H10N2O5, 1.42 g/cm^3) at "
        "the wavelength, 0.229 at 12.8 keV; DIALS takes absorption without scattering, 0.204 there.",
        level=1,
    )


def tape_coefficient(params: Any, beam: Beam) -> float:
    """Attenuation coefficient (1/mm) that the parameters mean."""
    return KAPTON.coefficient(beam.wavelength) if params.attenuation is Auto else float(params.attenuation)


def tape_factors(
    paths: Paths, params: Any, experiment: Experiment, reflections: ReflectionTable, foreground: ForegroundMasks | None
) -> AbsorptionFactors:
    """Factors of a tape.

    Parameters
    ----------
    paths
        Ways of rays in the tape.
    params : TapeParams
    experiment : Experiment
    reflections : ReflectionTable
    foreground : ForegroundMasks or None

    Returns
    -------
    AbsorptionFactors
    """
    coefficient = tape_coefficient(params, experiment.beam)
    usual = [float(getattr(params, name).value) for name in SHAPE]

    def factors(shape: list[float]) -> Callable[[np.ndarray], np.ndarray]:
        height, angle, half_width, thickness = shape
        return lambda u: np.exp(coefficient * paths(u, height, np.radians(angle), half_width, thickness))

    def shifted() -> Iterator[Callable[[np.ndarray], np.ndarray]]:
        for k, name in enumerate(SHAPE):
            for sign in (-1.0, 1.0):
                changed = list(usual)
                changed[k] = max(usual[k] + sign * float(getattr(params, name).sigma), LEAST)
                yield factors(changed)

    return spot_correction(
        factors(usual), experiment.detector, reflections, foreground if params.within_spot_sigmas else None,
        shifted() if params.smart_sigmas else (),
    )  # fmt: skip
