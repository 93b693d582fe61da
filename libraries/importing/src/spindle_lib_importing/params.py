"""Parameters of the import of images, for the programs that take images and import them on the way."""

from __future__ import annotations

from typing import Any

from spindle.params import Float, Params, to_dict

__all__ = ["Tolerances", "tolerances_of"]


class Tolerances(Params, level=2):
    """How much the models of two images may differ and still be the same model."""

    class beam(Params):
        """Beams."""

        wavelength = Float(1e-6, min=0, none=True, help="Wavelength, as a fraction of it.")
        direction = Float(1e-6, min=0, none=True, units="rad", help="Angle between beam directions.")
        polarization_normal = Float(1e-6, min=0, none=True, units="rad", help="Angle between polarisation normals.")
        polarization_fraction = Float(1e-6, min=0, none=True, help="Polarised fraction.")

    class detector(Params):
        """Panels."""

        fast_axis = Float(1e-6, min=0, none=True, units="rad", help="Angle between fast axes.")
        slow_axis = Float(1e-6, min=0, none=True, units="rad", help="Angle between slow axes.")
        origin = Float(5e-2, min=0, none=True, units="mm", help="Distance between origins.")

    class goniometer(Params):
        """Goniometers."""

        rotation_axis = Float(1e-6, min=0, none=True, units="rad", help="Angle between rotation axes.")
        fixed_rotation = Float(
            1e-6, min=0, none=True, help="Largest difference of the elements of the fixed rotations."
        )
        setting_rotation = Float(
            1e-6, min=0, none=True, help="Largest difference of the elements of the setting rotations."
        )

    class scan(Params):
        """Scans."""

        oscillation = Float(0.03, min=0, none=True, help="Step from image to image, as a fraction of the image width.")


def tolerances_of(params: Any) -> dict[str, Any]:
    """The scope ``input.tolerance`` of a program, as parameters for ``context.run_program("import", ...)``."""
    return {f"input.tolerance.{name}": value for name, value in to_dict(params.input.tolerance).items()}
