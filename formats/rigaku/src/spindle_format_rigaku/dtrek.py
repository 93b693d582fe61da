"""d*TREK images (.img): an SMV header with the detector, the source and the goniometer described in full."""

from __future__ import annotations

import re
from functools import cached_property

import numpy as np

from spindle.contracts.format import ImageModels
from spindle.errors import HeaderError
from spindle.geometry import image_width, rotation_matrix
from spindle.models import Beam, Detector, Goniometer, Panel, Scan
from spindle_lib_readers.single import SingleImageReader, epoch_of

_START = re.compile(rb"\s*\{\s*HEADER_BYTES\s*=\s*(\d{1,8})\s*;")
# Looked for where words begin, each word once: damage may be one word of a megabyte.
_ITEM = re.compile(r"(?<![\w.])[\d.]*+([A-Za-z_][\w.]*+)\s*+=\s*([^;\n]*)")
_TYPES = {
    "unsigned_short": "u2", "unsigned short int": "u2", "signed_short": "i2", "short int": "i2", "long int": "i4",
    "signed_long": "i4", "unsigned long int": "u4", "unsigned_long": "u4", "float ieee": "f4", "float": "f4",
    "unsigned char": "u1", "signed char": "i1",
}  # fmt: skip


def is_dtrek(head: bytes) -> bool:
    """Whether a file begins like a d*TREK image."""
    if not _START.match(head):
        return False
    return b"DETECTOR_NAMES=" in head[:16384] and b"SIZE1=" in head[:16384]


class DtrekReader(SingleImageReader):
    """One d*TREK image; see `SingleImageReader`."""

    format = "rigaku"

    @cached_property
    def items(self) -> dict[str, str]:
        """Items of the header."""
        match = _START.match(self.head)
        if not match:
            raise HeaderError(self.path, "header", "a d*TREK header, HEADER_BYTES=", None, "copy the file again")
        text = self.head[: int(match.group(1))].decode("latin-1").partition("}")[0]
        return {k: v.strip() for k, v in _ITEM.findall(text.partition("{")[2])}

    def _numbers(self, name: str, n: int) -> list[float] | None:
        """The first `n` numbers of an item; None when there are fewer."""
        try:
            found = [float(v) for v in self.items.get(name, "").split()[:n]]
        except ValueError:
            return None
        return found if len(found) == n else None

    def _needed(self, name: str, n: int) -> list[float]:
        numbers = self._numbers(name, n)
        if numbers is None:
            raise HeaderError(
                self.path,
                f"header, {name}=",
                f"{n} numbers",
                self.items.get(name),
                "mend the header, or give an experiment list with the geometry as reference_geometry=",
            )
        return numbers

    def make_models(self) -> ImageModels:
        """Models of the header."""
        name = (self.items.get("DETECTOR_NAMES", "").split() or [""])[0]
        found = self._numbers("SCAN_WAVELENGTH", 1) or (self._numbers("SOURCE_WAVELENGTH", 2) or [0.0, 0.0])[1:]
        polarization = self._numbers("SOURCE_POLARZ", 1)
        beam = Beam(
            np.array([0.0, 0.0, 1.0]),
            self.wavelength(found[0] or None, "SOURCE_WAVELENGTH="),
            polarization_fraction=polarization[0] if polarization and 0 <= polarization[0] <= 1 else 0.5,
        )
        goniometer, scan = self._rotation()
        return ImageModels(beam, self._detector(name), goniometer, scan)

    def _detector(self, name: str) -> Detector:
        fast, slow = (int(v) for v in self._needed("SIZE1", 1) + self._needed("SIZE2", 1))
        beam_x, beam_y, pixel_x, pixel_y = self._needed(f"{name}SPATIAL_DISTORTION_INFO", 4)
        pixel = self.pixel_size((pixel_x, pixel_y), f"{name}SPATIAL_DISTORTION_INFO=")
        v = self._numbers(f"{name}SPATIAL_DISTORTION_VECTORS", 4) or [1.0, 0.0, 0.0, -1.0]
        fast_axis, slow_axis = np.array([v[0], v[1], 0.0]), np.array([v[2], v[3], 0.0])
        values = self._needed(f"{name}GONIO_VALUES", 6)
        vectors = np.reshape(self._needed(f"{name}GONIO_VECTORS", 18), (6, 3))
        distance = self.distance(abs(values[5]), f"{name}GONIO_VALUES=")
        origin = -beam_x * pixel[0] * fast_axis - beam_y * pixel[1] * slow_axis
        turn = np.eye(3)
        for axis, angle in zip(vectors[:3], values[:3], strict=True):
            if np.any(axis):
                turn = turn @ rotation_matrix(axis / np.linalg.norm(axis), np.deg2rad(angle))
        shift = values[3] * vectors[3] + values[4] * vectors[4] + np.copysign(distance, values[5]) * vectors[5]
        saturated = (self._numbers("SATURATED_VALUE", 1) or [65535.0])[0]
        panel = Panel(
            fast_axis=turn @ fast_axis,
            slow_axis=turn @ slow_axis,
            origin=turn @ (origin + shift),
            pixel_size=np.array(pixel),
            image_size=(fast, slow),
            type="SENSOR_UNKNOWN",
            trusted_range=(0.0, saturated - 1.0),
        )
        return Detector([panel])

    def _rotation(self) -> tuple[Goniometer | None, Scan | None]:
        rotation = self._numbers("ROTATION", 4) or self._numbers("SCAN_ROTATION", 4)
        vector = self._numbers("ROTATION_VECTOR", 3) or self._numbers("SCAN_ROTATION_VECTOR", 3)
        if rotation is None or vector is None or not any(vector):
            return None, None
        start, width = rotation[0], image_width(rotation[0], rotation[1])
        sign = -1.0 if width < 0 else 1.0
        scan = Scan(
            image_range=(1, 1),
            oscillation_deg=(sign * start, sign * width),
            exposure_times=np.array([max(rotation[3], 0.0)]),
            epochs=np.array([epoch_of(self.items.get("DTREK_DATE_TIME", ""))]),
        )
        return Goniometer(sign * np.array(vector)), scan

    def decode(self, data: np.ndarray) -> list[np.ndarray]:
        """Pixels."""
        kind = self.items.get("Data_type", self.items.get("TYPE", "unsigned_short")).lower()
        if kind not in _TYPES:
            raise HeaderError(self.path, "header, Data_type=", f"one of {', '.join(_TYPES)}", kind, "convert the file")
        packing = self.items.get("COMPRESSION", "none").lower()
        if packing not in ("none", ""):
            remedy = "write the image without compression"
            raise HeaderError(self.path, "header, COMPRESSION=", "plain pixels (None)", packing, remedy)
        order = ">" if self.items.get("BYTE_ORDER", "").lower().startswith("big") else "<"
        fast, slow = (int(v) for v in self._needed("SIZE1", 1) + self._needed("SIZE2", 1))
        match = _START.match(self.head)
        image = self.stored(data, int(match.group(1)) if match else 512, order + _TYPES[kind], (slow, fast))
        ratio = (self._numbers("RAXIS_COMPRESSION_RATIO", 1) or [0.0])[0]
        if ratio > 1 and _TYPES[kind] == "u2":
            # Image plates: the highest bit says that a value is to be multiplied.
            wide = image.astype(np.int32)
            return [np.where(wide >= 32768, ((wide - 32768) * ratio).astype(np.int32), wide)]
        return [image]
