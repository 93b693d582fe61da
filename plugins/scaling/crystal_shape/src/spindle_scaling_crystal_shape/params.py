"""Parameters of the scaling model `crystal_shape`."""

from __future__ import annotations

from spindle.params import Choice, Float, Floats, Params, Str
from spindle_lib_physical_scaling import PhysicalParams

__all__ = ["CrystalShapeParams"]


class CrystalShapeParams(PhysicalParams):
    """Absorption calculated from the shape of the crystal, with the smooth scales of the physical model on top."""

    face = Floats(
        None,
        size=4,
        multiple=True,
        help="A face of the crystal: h, k, l (with frame=goniometer its normal x, y, z) and its distance in mm from a point in the crystal. "
        "Once for each face.",
    )
    frame = Choice(
        ["crystal", "goniometer"],
        default="crystal",
        help="crystal: faces and axes are indices h, k, l. goniometer: they are directions in the laboratory with all axes of the "
        "goniometer at zero, the same whatever setting each data set of a crystal is indexed in.",
        level=1,
    )
    change_of_basis_op = Str(
        None,
        help="From the setting in which the faces were indexed to that of the data (such as b,c,a), where they differ.",
        level=1,
    )
    attenuation = Float(None, min=0, max=1e4, units="1/mm", help="Linear absorption coefficient of the crystal.")
    formula = Str(
        None,
        help="What the crystal is made of (such as C6H12O6, without brackets): gives the coefficient with density= or "
        "formula_units=.",
    )
    density = Float(None, min=1e-3, max=30, units="g/cm^3", help="Density of the crystal.")
    formula_units = Float(
        None, min=0.01, max=1e6, help="How many times the unit cell holds the formula: gives the density.", level=1
    )

    class ellipsoid(Params):
        """A crystal without faces."""

        half_axes = Floats(None, size=3, units="mm", help="Half axes of the ellipsoid; three equal ones for a sphere.")
        first_axis = Floats(
            None, size=3, help="Direction of the first half axis, see frame; by default x of the goniometer.", level=1
        )
        second_axis = Floats(
            None,
            size=3,
            help="Direction of the second, as far as it is across the first; by default y of the goniometer.",
            level=1,
        )
