"""Models of electron diffraction: what the files of transmission electron microscopes leave to be worked out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from spindle.contracts.format import ImageModels
from spindle.geometry import unwrapped
from spindle.models import Beam, Detector, Goniometer, Panel

__all__ = [
    "NO_AXIS",
    "TILT_AXIS",
    "Camera",
    "TiltSeries",
    "calibrated_distance",
    "camera_named",
    "centred_panel",
    "electron_models",
    "electron_wavelength",
    "tilt_series",
]

# Planck constant, electron mass and charge, speed of light; CODATA 2018, SI.
_H, _M, _E, _C = 6.62607015e-34, 9.1093837015e-31, 1.602176634e-19, 299792458.0
# Images are corrected for the dark current, so that pixels without electrons scatter about zero; none is this negative.
LOWEST_VALUE = -1000.0
# The pixels of Ceta and Falcon cameras (mm), their full well in the units of the pixels, and the gain of a Ceta-D, as
# processing programs of electron diffraction take them (dxtbx names Thermo Fisher as the source).
_PHYSICAL_PIXEL, _FULL_WELL, _CETA_GAIN = 0.014, 8000.0, 26.0
# Down the image, where no file says how the tilt axis lies; that of DIALS for such files.
TILT_AXIS = (0.0, -1.0, 0.0)
NO_AXIS = (
    "the file does not say how the tilt axis lies: down the image is taken; set geometry.goniometer.axis=<x>,<y>,<z>"
)
# Largest step of a stage that answers with stairs, as a fraction of the whole rotation.
_STAIRS = 0.01
# Angles closer than this are the same angle, deg.
_RESOLUTION = 1e-3


def electron_wavelength(voltage: float) -> float:
    """Wavelength in angstrom of electrons accelerated by a voltage in V, relativistic; 0 where that is none."""
    energy = _E * voltage
    square = 2.0 * _M * energy * (1.0 + energy / (2.0 * _M * _C**2))
    return 1e10 * _H / math.sqrt(square) if voltage > 0.0 and square > 0.0 else 0.0


def calibrated_distance(pixel_mm: float, per_metre: float, wavelength: float) -> float:
    """Distance in mm at which a pixel subtends what the calibration of the image says.

    Parameters
    ----------
    pixel_mm : float
        Size of a pixel of the image.
    per_metre : float
        Its size in reciprocal space, 1/m, small angles.
    wavelength : float, angstrom
    """
    return pixel_mm / (per_metre * wavelength * 1e-10)


class Camera(NamedTuple):
    """What is known of a camera by its name.

    Attributes
    ----------
    pixel : float or None, mm
        Size of a pixel with its binning.
    trusted_range : (float, float)
    gain : float
        Counts per electron.
    notes : tuple of str
    """

    pixel: float | None
    trusted_range: tuple[float, float]
    gain: float
    notes: tuple[str, ...]


def camera_named(name: str, binning: float, kind: str) -> Camera:
    """What is known of a camera; of one without a name its limits, from the numpy type `kind` of its pixels."""
    known, dtype = name.lower(), np.dtype(kind)
    low = 0.0 if dtype.kind == "u" else LOWEST_VALUE
    if "ceta" not in known and "falcon" not in known:
        high = float(np.iinfo(dtype).max) - 1.0 if dtype.kind in "ui" else float(np.finfo(np.float32).max)
        return Camera(None, (low, high), 1.0, ())
    pixel, high = _PHYSICAL_PIXEL * binning, _FULL_WELL * binning**2
    gain = _CETA_GAIN if "ceta" in known else 1.0
    note = (
        f"camera {name}: taken as one with pixels of {pixel:g} mm (binning {binning:g}), {gain:g} counts per electron and "
        f"saturation at {high:g}; set geometry.detector.panel.pixel_size=, gain= and trusted_range= otherwise"
    )
    return Camera(pixel, (low, high), gain, (note,))


def electron_models(
    wavelength: float,
    detector: Detector | Panel,
    notes: tuple[str, ...] = (),
    sense: int = 1,
) -> ImageModels:
    """Models of an image of a microscope, without a scan.

    Parameters
    ----------
    wavelength : float, angstrom
        Of electrons that fly along -z.
    detector : Detector or Panel
    notes : tuple of str
    sense : 1 or -1
        Whether angles are counted about `TILT_AXIS` or the opposite axis; see `TiltSeries`.
    """
    beam = Beam(np.array([0.0, 0.0, 1.0]), wavelength, polarization_fraction=0.5, probe="electron")
    return ImageModels(
        beam,
        detector if isinstance(detector, Detector) else Detector([detector]),
        Goniometer(sense * np.array(TILT_AXIS)),
        None,
        notes,
    )


def centred_panel(
    size: tuple[int, int],
    pixel: tuple[float, float],
    distance: float,
    trusted_range: tuple[float, float],
    gain: float = 1.0,
) -> Panel:
    """A camera of (fast, slow) pixels that the beam meets in the middle, perpendicular to it; lengths in mm."""
    return Panel(
        fast_axis=np.array([1.0, 0.0, 0.0]),
        slow_axis=np.array([0.0, -1.0, 0.0]),
        origin=np.array([-0.5 * size[0] * pixel[0], 0.5 * size[1] * pixel[1], -distance]),
        pixel_size=np.array(pixel),
        image_size=size,
        type="SENSOR_PAD",
        trusted_range=trusted_range,
        gain=gain,
    )


@dataclass(frozen=True, slots=True)
class TiltSeries:
    """Angles of the images of a stack.

    Attributes
    ----------
    starts : (n,) float64, degrees
        About the axis, or about the opposite one when `sense` is -1.
    width : float, degrees
        Of an image, not negative; 0 for stills.
    sense : 1 or -1
        Which way the crystal turns about the tilt axis; the axis is to be turned round when it is -1.
    notes : tuple of str
    """

    starts: np.ndarray
    width: float
    sense: int = 1
    notes: tuple[str, ...] = ()


def tilt_series(angles: np.ndarray, per_image: float = 0.0, place: str = "header") -> TiltSeries:
    """A sweep or stills, as the tilt angles of the images say.

    Parameters
    ----------
    angles : (n,) float64, degrees
        Of the stage, one for each image.
    per_image : float, degrees
        Rotation during an image; 0 when the file does not say. Then it is the mean step of angles that advance
        evenly: no image is further from the straight line than half a step, or, when they go one way only, 1 % of the
        whole rotation.
    place : str
        Where the angles are, for the notes.
    """
    angles = np.asarray(angles, dtype=np.float64)
    n = len(angles)
    if not np.all(np.abs(angles) <= 360.0):  # some files have junk there
        angles = np.zeros(n)
    angles = unwrapped(angles)
    number = np.arange(n, dtype=np.float64)
    span = float(angles[-1] - angles[0])
    if abs(per_image) > _RESOLUTION:
        notes: tuple[str, ...] = ()
        step = math.copysign(per_image, span) if abs(span) > 0.5 * abs(per_image) else per_image
        expected = angles[0] + step * number
        if n > 1 and abs(span) > _RESOLUTION and abs(span - step * (n - 1)) > 0.5 * abs(step):
            notes = (
                f"{place}: {per_image:g} deg per image, but the stage goes from {angles[0]:g} to {angles[-1]:g} deg in "
                f"{n} images ({span / (n - 1):g} deg each); the first is taken, set geometry.scan.oscillation= "
                "otherwise",
            )
        return _turned(expected, step, notes)
    if n < 2 or abs(angles - angles[0]).max() < _RESOLUTION:
        return TiltSeries(angles, 0.0)
    step, first = (float(v) for v in np.polyfit(number, angles, 1))
    line = first + step * number
    # A stage that is asked less often than images are taken answers with stairs.
    is_monotonic = bool(np.all(np.diff(angles) * step >= 0))
    tolerance = max(0.5 * abs(step), _STAIRS * abs(span) if is_monotonic else 0.0)
    if abs(step) < _RESOLUTION or abs(angles - line).max() > tolerance:
        note = (
            f"{place}: the stage goes from {angles[0]:g} to {angles[-1]:g} deg, not evenly; taken as stills. If it is one "
            f"rotation, set geometry.scan.oscillation={math.copysign(1.0, step) * first:.4g},{abs(step):.4g} (the straight line through the angles)"
            + (" and geometry.goniometer.invert_rotation_axis=True" if step < 0 else "")
        )
        return TiltSeries(angles, 0.0, 1, (note,))
    note = (
        f"{place}: the stage goes from {angles[0]:g} to {angles[-1]:g} deg in {n} images; taken as a rotation of "
        f"{abs(step):.5g} deg per image, set geometry.scan.oscillation= otherwise"
    )
    return _turned(line, step, (note,))


def _turned(starts: np.ndarray, step: float, notes: tuple[str, ...]) -> TiltSeries:
    sense = 1 if step > 0 else -1
    return TiltSeries(starts * sense, abs(step), sense, notes)
