"""What headers of any format can have wrong, seen from the models."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from spindle.errors import fault
from spindle.models import Beam, Detector, Experiments

# Cosine between beam and detector normal from which on a detector faces the beam.
_FACING = np.cos(np.radians(3.0))
# A beam centre within this fraction of the half size from the middle is near it; beyond the other it is far off.
_NEAR, _FAR = 0.06, 0.5


#: The parameter of the beam centre.
_PARAMETER = "geometry.detector.fast_slow_beam_centre"


def centre_faults(experiments: Experiments, is_given: bool = False) -> Iterator[str]:
    """Faults of beam centres: beside a detector that faces the beam, or written in mm and taken for pixels.

    Parameters
    ----------
    experiments : Experiments
    is_given : bool
        Whether the user has given the beam centre; else it is that of the headers.

    Yields
    ------
    str
        One line per detector, with the images that it belongs to.
    """
    seen = set()
    for experiment in experiments:
        key = (id(experiment.detector), id(experiment.beam))
        if key in seen:
            continue
        seen.add(key)
        text = _centre_fault(experiment.detector, experiment.beam, is_given)
        if text:
            images = experiment.imageset
            name = "" if images is None else images.template or images.paths[0]
            yield f"{name}: {text}"


def detectors_text(experiments: Experiments) -> str:
    """What to tell of images of detectors of several kinds; "" where all have the same panels and pixels.

    Parameters
    ----------
    experiments : Experiments
    """
    kinds: dict[tuple[object, ...], str] = {}
    for experiment in experiments:
        panel, images = experiment.detector[0], experiment.imageset
        size, pixel = tuple(int(n) for n in panel.image_size), tuple(round(float(v), 6) for v in panel.pixel_size)
        key = (len(experiment.detector), size, pixel)
        if key not in kinds:
            several = f"{key[0]} panels of " if key[0] > 1 else ""
            name = "" if images is None else f" ({images.template or images.paths[0]})"
            kinds[key] = f"{several}{size[0]} x {size[1]} pixels of {pixel[0]:g} mm{name}"
    if len(kinds) < 2:
        return ""
    return (
        f"the images are of {len(kinds)} different detectors, and are processed together: {'; '.join(list(kinds.values())[:4])}. "
        "If they are not of one crystal, import the images of each detector alone, or give their folders to spindle batch"
    )


def _centre_fault(detector: Detector, beam: Beam, is_given: bool) -> str:
    """The fault of a detector's beam centre; "" when there is none or the detector has several panels."""
    panel = detector[0]
    if len(detector) > 1 or abs(float(panel.normal @ beam.direction)) < _FACING:
        return ""
    centre = detector.beam_centre_px(beam.s0, 0)
    if centre is None:
        return ""
    size = np.array(panel.image_size)
    off = np.abs(centre / (0.5 * size) - 1.0)
    # What stands in the header as pixels is in mm when it would be the middle then.
    in_mm = np.abs(centre / panel.pixel_size / (0.5 * size) - 1.0)
    where = "the beam centre that was given" if is_given else "header, the beam centre"
    if off.max() > _FAR and in_mm.max() < _NEAR:
        middle, likely = 0.5 * size, centre / panel.pixel_size
        found = f"({centre[0]:g}, {centre[1]:g}) px, which would be near it in mm: {centre[0]:g} mm, {centre[1]:g} mm"
        remedy = (
            f"taken as it is; if it is mm, {likely[0]:.6g},{likely[1]:.6g} is what it must be"
            if is_given
            else f"taken as it is; if it is mm set {_PARAMETER}={likely[0]:.6g},{likely[1]:.6g}"
        )
        return fault(where, f"one near the middle of the detector ({middle[0]:g}, {middle[1]:g}) px", found, remedy)
    if off.max() > 1.0:
        found = f"({centre[0]:g}, {centre[1]:g}) px"
        remedy = "taken as it is"
        if not is_given:
            remedy += f"; if it is wrong set {_PARAMETER}=<fast px>,<slow px>"
        return fault(where, f"one within {size[0]} x {size[1]} px, for a detector that faces the beam", found, remedy)
    return ""
