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
from .segments import Segment, several

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
    segments : tuple of Segment
        Empty where the detector is one flat area.
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
    segments: tuple[Segment, ...] = ()


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
    detector = _detector(g, inp, np.stack([x, y, np.cross(x, y)], axis=1))
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
        beam, detector, Goniometer(np.array([1.0, 0.0, 0.0])), Scan((first, last), (start, g.width)), crystal, profile,
        imageset=ImageSet(template=inp.template) if inp.template else None,
    )  # fmt: skip


def _detector(g: XdsGeometry, inp: XdsInp, frame: np.ndarray) -> Detector:
    """A panel for each segment.

    Notes
    -----
    Pixel (ix, iy) of a segment is (ix - ORGXS) QX along its x, (iy - ORGYS) QY along its y, FS along its normal in the detector's frame, whose
    origin is -ORGX QX, -ORGY QY, F from the sample. A detector without segments is one with ORGXS = ORGYS = FS = 0.
    """
    low, high = inp.trusted
    shared: dict[str, Any] = {
        "pixel_size": g.pixel, "trusted_range": (low, high),
        "type": "SENSOR_PAD" if inp.detector.startswith(COUNTING) else "Unknown", **_sensor(inp, g.wavelength),
    }  # fmt: skip
    whole = Segment((1, g.size[0], 1, g.size[1]), np.zeros(2), 0.0, np.array([1.0, 0, 0]), np.array([0.0, 1, 0]))
    segments = g.segments or (inp.segments if several(inp.segments, g.size) else (whole,))
    origin = np.append(-g.origin_px * g.pixel, g.distance)
    panels = []
    for i, s in enumerate(segments):
        corner = (np.array(s.offset) + g.corner - s.origin_px) * g.pixel
        place = origin + corner[0] * s.x + corner[1] * s.y + s.distance * np.cross(s.x, s.y)
        across = s.y - (s.y @ s.x) * s.x  # axes are written with few digits
        panels.append(
            Panel(
                fast_axis=frame @ s.x, slow_axis=frame @ (across / np.linalg.norm(across)), origin=frame @ place, image_size=s.size,
                mask=_masked(inp, s), raw_image_offset=s.offset, name=f"Segment {i + 1}" if len(segments) > 1 else "Panel", **shared,
            )
        )  # fmt: skip
    return Detector(panels)


def _masked(inp: XdsInp, segment: Segment) -> tuple[tuple[int, int, int, int], ...]:
    """Untrusted rectangles, as far as they are on a segment, in its own pixels."""
    (dx, dy), (nx, ny) = segment.offset, segment.size
    found = []
    for f0, s0, f1, s1 in inp.masked:
        part = (max(f0 - dx, 0), max(s0 - dy, 0), min(f1 - dx, nx), min(s1 - dy, ny))
        if part[2] > part[0] and part[3] > part[1]:
            found.append(part)
    return tuple(found)


def _hall(number: int) -> str:
    import gemmi

    return " " + gemmi.get_spacegroup_reference_setting(max(number, 1)).hall


def _sensor(inp: XdsInp, wavelength: float) -> dict[str, Any]:
    """Thickness, material and attenuation of the sensor, where the depth in it is allowed for."""
    if inp.thickness <= 0 or not (inp.silicon or inp.detector.startswith(COUNTING)):
        return {}
    mu = inp.silicon or attenuation_coefficient("Si", wavelength)
    return {"thickness": inp.thickness, "material": "Si", "mu": mu, "parallax": "normalised"}
