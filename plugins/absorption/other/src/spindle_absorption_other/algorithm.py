"""The class `OtherAbsorption`."""

from __future__ import annotations

from typing import Any

import numpy as np

from spindle.contracts import Algorithm, hookimpl
from spindle.contracts.absorption import AbsorptionFactors
from spindle.errors import UserError
from spindle.models import Experiment
from spindle.params import Auto, Bool, Choice, Float, Floats, Str
from spindle.params import Params as ParamsBase
from spindle.table import ReflectionTable
from spindle_lib_attenuators import Material, plate_normals, plate_paths

LEAST_COSINE = 0.01  # beams nearly along a plate: they come through its rim, if at all


class OtherAbsorption(Algorithm):
    """Plates before and behind the crystal, of any material, that turn with it or stand still: windows, anvils, slides."""

    class Params(ParamsBase):
        """The plates. The crystal lies between two equal ones, or has one on one side."""

        material = Str("C22H10N2O5", help="Formula of what the plates are made of, e.g. C for diamond, Si3N4.")
        density = Float(1.42, min=0, units="g/cm^3", help="Density of the material.")
        attenuation = Float(
            Auto,
            auto=True,
            min=0,
            units="1/mm",
            help="Attenuation coefficient. Auto: total attenuation of the material at the wavelength.",
            level=1,
        )
        thickness = Float(0.05, min=0, units="mm", help="Thickness of a plate.")
        thickness_sigma = Float(
            0.0, min=0, units="mm", help="Its uncertainty, which becomes one of the factors.", level=1
        )
        normal = Floats(
            (0.0, 0.0, 1.0),
            size=3,
            help="Normal of the plates with all axes of the goniometer at 0. A plate on one side is on the side of +normal.",
        )
        turns = Bool(True, help="The plates turn with the crystal; False: they stand still in the laboratory.")
        sides = Choice(
            ["both", "one"],
            "both",
            help="both: the incident beam passes one plate and each reflection one; one: there is one.",
        )

    @hookimpl
    def absorption_factors(self, experiment: Experiment, reflections: ReflectionTable) -> AbsorptionFactors:
        """See `spindle.contracts.absorption.AbsorptionSpec.absorption_factors`."""
        p: Any = self.params
        wavelength = experiment.beam.wavelength
        coefficient = (
            Material(p.material, p.density).coefficient(wavelength) if p.attenuation is Auto else float(p.attenuation)
        )
        goniometer = experiment.goniometer if p.turns else None
        normals = plate_normals(
            np.array(p.normal), goniometer, reflections["xyzcal.mm"][:, 2], "absorption_correction.other.normal"
        )
        beam = experiment.beam.s0 / np.linalg.norm(experiment.beam.s0)
        s1 = reflections["s1"] / np.linalg.norm(reflections["s1"], axis=1)[:, None]
        in_side, out_side = normals @ beam, np.sum(normals * s1, axis=1)
        paths = np.zeros(len(s1))
        # a wave comes in from -beam: through the plate at +normal where that looks towards the source
        incident = np.abs(in_side) > LEAST_COSINE if p.sides == "both" else in_side < -LEAST_COSINE
        diffracted = np.abs(out_side) > LEAST_COSINE if p.sides == "both" else out_side > LEAST_COSINE
        paths[incident] += plate_paths(beam, normals[incident], 1.0)
        paths[diffracted] += plate_paths(s1[diffracted], normals[diffracted], 1.0)
        with np.errstate(over="ignore"):
            factor = np.exp(coefficient * p.thickness * paths)
        if not np.isfinite(factor).all():
            raise UserError(
                f"absorption_correction.other: plates of {p.thickness:g} mm with {coefficient:g} /mm let nothing through; check thickness (mm), "
                "material and density (g/cm^3)"
            )
        return AbsorptionFactors(factor, factor * coefficient * paths * p.thickness_sigma)
