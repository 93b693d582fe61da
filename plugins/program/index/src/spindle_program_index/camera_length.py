"""The distance that a known cell tells, in electron diffraction."""

from __future__ import annotations

from spindle_lib_refinement.flat_sphere import is_flat
from spindle_lib_refinement.geometry_drift import place_of

from .indexed import Indexed


def camera_length_text(part: Indexed) -> str:
    """What the known cell says of the camera length; "" where the distance was not refined or there are no electrons.

    Parameters
    ----------
    part : Indexed
    """
    given, refined = part.given[0], part.experiments[0]
    was_refined = part.last is not None and any(name.endswith("Dist") for name in part.last.parameter_names)
    if not was_refined or not is_flat(refined):
        return ""
    place = place_of(given)
    old, new = place.distance, place_of(refined, place.panel).distance
    return (
        f"The cell that is known makes the distance {new:.2f} mm; it was {old:.2f} mm ({100 * (new / old - 1):+.2f} %). For other "
        f"crystals at the same camera length, import with geometry.detector.distance={new:.2f}"
    )
