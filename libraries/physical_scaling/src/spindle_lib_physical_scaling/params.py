"""Parameters of models with smooth scales along the scan and an absorption surface."""

from __future__ import annotations

from spindle.params import Auto, Bool, Choice, Float, Int, Params, Strings

__all__ = ["PhysicalParams"]


class PhysicalParams(Params):
    """The physical model: a scale and a relative B factor that vary along the scan, and absorption."""

    restraint = Choice(
        ["adaptive", "fixed"],
        default="adaptive",
        help="adaptive: fine sampling, and the data decide how smooth scale, decay and absorption are. "
        "fixed: coarse sampling and the given restraints, as DIALS does.",
        level=1,
    )
    scale_interval = Float(
        Auto,
        min=0.01,
        units="degrees",
        help="Distance of the samples of the scale; Auto follows from the scan.",
        level=1,
    )
    image_correction = Bool(
        Auto,
        auto=True,
        help="A factor of each image besides the smooth scale, for a beam that flickers; the data choose how far it may be from one. Auto: where "
        "images have enough observations.",
        level=1,
    )
    decay_correction = Bool(True, help="Correct for decay by a relative B factor.", level=1)
    decay_interval = Float(
        Auto,
        min=0.01,
        units="degrees",
        help="Distance of the samples of the B factor; Auto follows from the scan.",
        level=1,
    )
    decay_restraint = Float(0.1, min=0, help="Weight that draws each relative B factor to zero.", level=2)
    absorption_correction = Bool(
        Auto, help="Correct for absorption in crystal and mount; Auto: when the data can tell.", level=1
    )
    absorption_level = Choice(
        ["low", "medium", "high"],
        default=None,
        help="Expected absorption: up to 1 %, 5 % or 25 %; sets lmax and surface_weight.",
        level=1,
    )
    lmax = Int(Auto, min=2, max=30, help="Highest order of the spherical harmonics.", level=1)
    surface_weight = Float(
        Auto,
        min=0,
        help="Weight that draws the absorption surface to one (a number makes its restraint fixed).",
        level=1,
    )
    fix_initial = Bool(True, help="Fix the overall scale when parameter errors are determined.", level=2)

    class share(Params):
        """What data sets have in common."""

        absorption = Bool(False, help="One absorption surface for all data sets.")

    class correction(Params):
        """Which corrections to leave as they are."""

        fix = Strings(None, help="Corrections (scale, decay, absorption) whose parameters stay as they are.")
