"""R-AXIS image plates (.osc): a binary header of fixed places, then lines of 16-bit pixels."""

from __future__ import annotations

import struct
from functools import cached_property

import numpy as np

from spindle.contracts.format import ImageModels
from spindle.errors import HeaderError
from spindle.geometry import image_width
from spindle.models import Beam, Detector, Goniometer, Panel, Scan
from spindle_lib_readers.single import SingleImageReader, no_axis_of_two_theta

# Places of numbers in the header (Rigaku's header of 1400 bytes).
_FLOATS = {
    "wavelength": 292, "distance": 344, "phi_start": 524, "phi_end": 528, "exposure": 536, "beam_x": 540, "beam_y": 544,
    "two_theta": 556, "pixel_x": 776, "pixel_y": 780, "ratio": 800,
}  # fmt: skip
_INTEGERS = {"shape": 448, "fast": 768, "slow": 772, "record": 784}
_MINUTE = 60.0
_HEADER = 1400


def _values(head: bytes, order: str) -> dict[str, float]:
    values: dict[str, float] = {k: struct.unpack_from(f"{order}f", head, at)[0] for k, at in _FLOATS.items()}
    values.update({k: struct.unpack_from(f"{order}i", head, at)[0] for k, at in _INTEGERS.items()})
    return values


def _order(head: bytes) -> str:
    """Byte order in which the header makes sense; "" for none."""
    if len(head) < _HEADER or not head.startswith((b"RAXIS", b"R-AXIS")):
        return ""
    for order in "><":
        v = _values(head, order)
        if 0 < v["fast"] < 20000 and 0 < v["slow"] < 20000 and 2 * v["fast"] <= v["record"] < 200000:
            return order
    return ""


def is_raxis(head: bytes) -> bool:
    """Whether a file begins like an R-AXIS image."""
    return bool(_order(head))


class RaxisReader(SingleImageReader):
    """One R-AXIS image; see `SingleImageReader`."""

    format = "rigaku"

    @cached_property
    def order(self) -> str:
        """Byte order, "<" or ">"."""
        order = _order(self.head)
        if not order:
            raise HeaderError(
                self.path, "bytes 768 to 788", "the size of the image and of its lines", "none", "copy the file again"
            )
        return order

    @cached_property
    def header(self) -> dict[str, float]:
        """Numbers of the header."""
        return _values(self.head, self.order)

    def make_models(self) -> ImageModels:
        """Models of the header."""
        h = self.header
        if int(h["shape"]) == 1:
            remedy = "convert the image, and give an experiment list with the geometry as reference_geometry="
            raise HeaderError(self.path, "byte 448", "0, a flat image plate", "1, a cylinder", remedy)
        notes: list[str] = []
        beam = Beam(
            np.array([0.0, 0.0, 1.0]),
            self.wavelength(h["wavelength"], "wavelength at byte 292"),
            polarization_fraction=0.5,
        )
        distance = self.distance(h["distance"], "distance at byte 344")
        pixel = self.pixel_size((h["pixel_x"], h["pixel_y"]), "pixel size at byte 776")
        if h["two_theta"]:
            notes.append(no_axis_of_two_theta("byte 556", f"{h['two_theta']:g} deg"))
        start, width = h["phi_start"], image_width(h["phi_start"], h["phi_end"])
        sign = -1.0 if width < 0 else 1.0
        scan = Scan(
            image_range=(1, 1),
            oscillation_deg=(sign * start, sign * width),
            exposure_times=np.array([max(h["exposure"], 0.0) * _MINUTE]),
        )
        panel = Panel(
            # The laser reads along the spindle line by line: lines run across it, and the next line is further to -x.
            fast_axis=np.array([0.0, 1.0, 0.0]),
            slow_axis=np.array([-1.0, 0.0, 0.0]),
            origin=np.array([h["beam_y"] * pixel[1], -h["beam_x"] * pixel[0], -distance]),
            pixel_size=np.array(pixel),
            image_size=(int(h["fast"]), int(h["slow"])),
            type="SENSOR_IMAGE_PLATE",
            trusted_range=(0.0, 32767.0 * max(h["ratio"], 1.0) - 1.0),
        )
        return ImageModels(beam, Detector([panel]), Goniometer(np.array([sign, 0.0, 0.0])), scan, tuple(notes))

    def decode(self, data: np.ndarray) -> list[np.ndarray]:
        """Pixels; the highest bit says that a value is to be multiplied by the ratio of the photomultipliers."""
        h = self.header
        fast, slow, record = int(h["fast"]), int(h["slow"]), int(h["record"])
        # The header takes whole lines.
        lines = self.stored(data, -(-_HEADER // record) * record, "u1", (slow, record))
        raw = np.ascontiguousarray(lines[:, : 2 * fast]).view(f"{self.order}u2").astype(np.int32)
        high = raw >= 32768
        raw[high] = ((raw[high] - 32768) * max(h["ratio"], 1.0)).astype(np.int32)
        return [raw]
