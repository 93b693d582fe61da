"""Models from the numbers that XDS writes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from spindle.errors import FileFormatError
from spindle.geometry import attenuation_coefficient
from spindle.models import Beam, Crystal, Detector, Experiment, Goniometer, ImageSet, Panel, Scan

from .inputs import XdsInp

__all__ = ["XdsGeometry", "experiment_of"]

COUNTING = ("PILATUS", "EIGER")


@dataclass(slots=True)
class XdsGeometry:
    """What a header or XPARM.XDS says, in the frame of the file.

    Attributes
    ----------
    frame, angle, width : int, float and float
        First frame, its angle and the rotation of a frame, degrees.
    axis, beam : (3,) float64
        Rotation axis; direction of the incident beam from the source to the sample.
    wavelength : float
    group : int
        Number of the space group.
    cell_axes : (3, 3) float64 or None
        Rows a, b, c at angle zero.
    size, pixel : (2,)
    origin_px : (2,) float64
        ORGX, ORGY.
    distance : float, mm
    x, y : (3,) float64
        Axes of the detector.
    corner : float
        Number that the outer edge of the first pixel has: 0.5 in files of XDS, 0 in those that were exported by spindle or dials.
    sigma_b, sigma_m : float or None, degrees
    """

    frame: int
    angle: float
    width: float
    axis: np.ndarray
    beam: np.ndarray
    wavelength: float
    group: int
    cell_axes: np.ndarray | None
    size: tuple[int, int]
    pixel: np.ndarray
    origin_px: np.ndarray
    distance: float
    x: np.ndarray = field(default_factory=lambda: np.array([1.0, 0, 0]))
    y: np.ndarray = field(default_factory=lambda: np.array([0.0, 1, 0]))
    corner: float = 0.5
    data_range: tuple[int, int] | None = None
    sigma_b: float | None = None
    sigma_m: float | None = None


def laboratory(axis: np.ndarray, beam: np.ndarray) -> np.ndarray:
    """(3, 3) turn that takes the rotation axis to +x and the direction of the source as nearly as possible to +z."""
    x = axis / np.linalg.norm(axis)
    z = -beam + (beam @ x) * x
    z = z / np.linalg.norm(z)
    return np.stack([x, np.cross(z, x), z])


def experiment_of(geometry: XdsGeometry, inp: XdsInp, path: Path, last_frame: int | None = None) -> Experiment:
    """One experiment in the laboratory frame of images: axis along +x, source as nearly as possible along +z.

    Parameters
    ----------
    geometry : XdsGeometry
    inp : XdsInp
        What XDS.INP beside the file adds.
    path : Path
        Of the file, for messages.
    last_frame : int, optional
        Of the scan, where neither XDS.INP nor the header says it.
    """
    g = geometry
    for name, vector in (("rotation axis", g.axis), ("beam", g.beam)):
        if not np.linalg.norm(vector) > 0:
            raise FileFormatError(f"{path}: the {name} is a vector of length zero; the file is damaged, run XDS again")
    R = laboratory(g.axis, g.beam)
    x, y = (R @ (v / np.linalg.norm(v)) for v in (g.x, g.y))
    normal = np.cross(x, y)
    corner = (g.corner - g.origin_px) * g.pixel
    low, high = inp.trusted
    panel = Panel(
        fast_axis=x, slow_axis=y, origin=g.distance * normal + corner[0] * x + corner[1] * y, pixel_size=g.pixel,
        image_size=g.size, trusted_range=(low, high), mask=inp.masked, name="Panel",
        type="SENSOR_PAD" if inp.detector.startswith(COUNTING) else "Unknown", **_sensor(inp, g.wavelength),
    )  # fmt: skip
    beam = Beam(
        -(R @ g.beam) / np.linalg.norm(g.beam), g.wavelength,
        polarization_normal=R @ inp.polarization_normal, polarization_fraction=inp.polarization_fraction,
    )  # fmt: skip
    first, last = inp.data_range or g.data_range or (g.frame, last_frame or g.frame)
    start = g.angle + (first - g.frame) * g.width
    crystal = None
    if g.cell_axes is not None:
        crystal = Crystal(np.linalg.inv(g.cell_axes @ R.T), hall=_hall(g.group), mosaicity_deg=g.sigma_m)
    profile = None
    if g.sigma_b and g.sigma_m:
        profile = {"__id__": "gaussian_rs", "n_sigma": 3.0, "sigma_b": g.sigma_b, "sigma_m": g.sigma_m}
    return Experiment(
        beam, Detector([panel]), Goniometer(np.array([1.0, 0.0, 0.0])), Scan((first, last), (start, g.width)), crystal, profile,
        imageset=ImageSet(template=inp.template) if inp.template else None,
    )  # fmt: skip


def _hall(number: int) -> str:
    import gemmi

    return " " + gemmi.get_spacegroup_reference_setting(max(number, 1)).hall


def _sensor(inp: XdsInp, wavelength: float) -> dict[str, Any]:
    """Thickness, material and attenuation of the sensor, where the depth in it is allowed for."""
    if inp.thickness <= 0 or not (inp.silicon or inp.detector.startswith(COUNTING)):
        return {}
    mu = inp.silicon or attenuation_coefficient("Si", wavelength)
    return {"thickness": inp.thickness, "material": "Si", "mu": mu, "parallax": "normalised"}
