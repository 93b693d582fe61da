"""How detectors with an SMV header stand and count, where the header does not say.

The ADSC header gives the beam centre in the frame of mosflm: X along the slow, Y along the fast pixels, mm from the
corner of the first pixel. Pixels run fast to +x, slow to -y; the spindle is +x.
"""

from __future__ import annotations

import numpy as np

from spindle.models import Detector, Panel

from .header import SmvHeader

# Counts per photon of ADSC detectors by serial number: Quantum 4 (unbinned, slow) and Quantum 210, 270, 315.
_QUANTUM_4 = {401, 402, 414, 423, 428, 429}
_QUANTUM_2XX = {
    441, 442, 443, 444, 445, 446, 447, 448, 457, 458, 901, 905, 907, 913, 914, 917, 923, 925, 926, 928, 931, 933,
}  # fmt: skip
# Offsets that headers keep quiet about, by serial number.
_PEDESTALS = {442: 40}
# Detectors whose beam centre DENZO_X_BEAM gives better than BEAM_CENTER_X.
_DENZO_X = {907, 926}

# Rotation axes of the Timepix cameras of Stockholm University, by image width; calibrated there.
_TIMEPIX_AXES = {
    512: (-0.7548637593860367, -0.6558816240493246, 0.0),
    516: (0.7825634081905295, -0.6225708892658111, 0.0),
}
_TIMEPIX_GAP = 4


def serial_number(header: SmvHeader) -> int:
    """DETECTOR_SN as a number; -1 when it is none."""
    text = header.text("DETECTOR_SN")
    return int(text) if text.isdigit() else -1


def gain(header: SmvHeader) -> float:
    """Counts per photon; 1 when not known."""
    serial = serial_number(header)
    return 1.25 if serial in _QUANTUM_4 else 2.4 if serial in _QUANTUM_2XX else 1.0


def pedestal(header: SmvHeader) -> int:
    """Offset that was added to the pixels before they were written."""
    return int(header.number("IMAGE_PEDESTAL") or _PEDESTALS.get(serial_number(header), 0))


def beam_centre(header: SmvHeader) -> tuple[float, float] | None:
    """(fast, slow) beam centre in mm from the corner of the first pixel; None when the header has none."""
    slow = header.number("BEAM_CENTER_X")
    if serial_number(header) in _DENZO_X:
        slow = header.number("DENZO_X_BEAM", "DENZO_XBEAM") or slow
    fast = header.number("BEAM_CENTER_Y")
    origin = header.text("DIALS_ORIGIN").split(",")
    if len(origin) == 3:
        # Simulators of the nanoBragg family write where they put the corner.
        try:
            return -float(origin[0]), float(origin[1])
        except ValueError:
            pass
    return None if slow is None or fast is None else (fast, slow)


def is_timepix(header: SmvHeader) -> bool:
    """Whether this is one of the Timepix cameras with pixels in their beam centre."""
    return header.text("BEAMLINE").upper() == "TIMEPIX_SU"


def rotation_axis(header: SmvHeader) -> tuple[float, float, float]:
    """Direction of the spindle."""
    if is_timepix(header):
        return _TIMEPIX_AXES.get(int(header.number("SIZE1") or 0), (1.0, 0.0, 0.0))
    return (1.0, 0.0, 0.0)


def timepix_detector(header: SmvHeader, pixel: float, distance: float) -> Detector:
    """A camera of four Timepix chips; beam centre in pixels, not turned.

    Images of 516 pixels have the gap of four pixels between the chips filled, and are one panel. Images of 512 pixels
    leave it out: each chip is a panel, without its outer pixels, which are larger than the others.
    """
    centre = (header.number("BEAM_CENTER_X") or 0.0, header.number("BEAM_CENTER_Y") or 0.0)
    common = {
        "fast_axis": (1.0, 0.0, 0.0), "slow_axis": (0.0, -1.0, 0.0), "pixel_size": (pixel, pixel),
        "trusted_range": (0.0, 65534.0), "thickness": 0.3, "material": "Si",
    }  # fmt: skip
    width = int(header.number("SIZE1") or 0)
    if width != 512:
        height = int(header.number("SIZE2") or 0)
        origin = (-centre[0] * pixel, centre[1] * pixel, -distance)
        return Detector([Panel(origin=origin, image_size=(width, height), **common)])  # type: ignore[arg-type]
    panels = []
    for number, (s0, f0) in enumerate([(1, 1), (1, 257), (257, 1), (257, 257)]):
        fast = f0 + (_TIMEPIX_GAP if f0 > 256 else 0) - centre[0]
        slow = s0 + (_TIMEPIX_GAP if s0 > 256 else 0) - centre[1]
        panels.append(
            Panel(
                name=f"Panel{number}", origin=np.array([fast * pixel, -slow * pixel, -distance]), image_size=(254, 254),
                raw_image_offset=(f0, s0), **common,  # type: ignore[arg-type]
            )
        )  # fmt: skip
    return Detector(panels)
