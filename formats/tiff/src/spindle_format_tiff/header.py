"""What TIFF files say of themselves: kind of file, and the comment lines that Dectris detectors leave."""

from __future__ import annotations

import re
import struct

# Nothing is tried twice (++, *+): a damaged text may be a megabyte of one character.
_KEY = re.compile(r"^#?[ \t\r]*+([A-Z][A-Za-z0-9_]++)\s++\(?([-+]?\d[\d.]*+(?:[eE][-+]?\d++)?)", re.MULTILINE)
_PIXEL = re.compile(r"Pixel_size\s++([\d.eE+-]++)\s*+m?\s*+x\s*+([\d.eE+-]++)")
_BEAM = re.compile(r"Beam_xy\s++\(?\s*+([\d.eE+-]++)\s*+,\s*+([\d.eE+-]++)")
_SENSOR = re.compile(r"(?<!\w)(\w++)\s++sensor,\s*+thickness\s++([\d.eE+-]++)")
_MARCCD = 1234


def is_tiff(head: bytes) -> bool:
    """Whether a file begins like a TIFF or BigTIFF with a first directory."""
    if len(head) < 16:
        return False
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None:
        return False
    version, offset = struct.unpack_from(f"{order}HI", head, 2)
    return (version == 42 and offset >= 8) or (version == 43 and offset == 8)


def is_marccd(head: bytes) -> bool:
    """Whether a TIFF file has the frame header of a marCCD at byte 1024."""
    if len(head) < 4096:
        return False
    for order in "<>":
        if _MARCCD in struct.unpack_from(f"{order}2i", head, 1024 + 28):
            fast, slow, depth = struct.unpack_from(f"{order}3i", head, 1024 + 80)
            if 0 < fast < 100000 and 0 < slow < 100000 and depth in (1, 2, 4):
                return True
    return False


class Description:
    """Numbers in an image description, as Dectris detectors write them ("# Wavelength 1.0 A").

    Attributes
    ----------
    numbers : dict of str to float
    pixel_size : (float, float) or None, mm
    beam : (float, float) or None, pixels
    material : str; thickness : float, mm
    """

    def __init__(self, text: str) -> None:
        self.numbers: dict[str, float] = {}
        for key, value in _KEY.findall(text):
            try:
                self.numbers.setdefault(key, float(value))
            except ValueError:
                continue
        self.pixel_size = self._pair(_PIXEL, text, 1e3)
        self.beam = self._pair(_BEAM, text, 1.0)
        self.material, self.thickness = "", 0.0
        sensor = _SENSOR.search(text)
        if sensor:
            names = {"silicon": "Si", "cdte": "CdTe", "gaas": "GaAs"}
            self.material = names.get(sensor.group(1).lower(), "")
            self.thickness = float(sensor.group(2)) * 1e3 if self.material else 0.0

    @staticmethod
    def _pair(pattern: re.Pattern[str], text: str, factor: float) -> tuple[float, float] | None:
        match = pattern.search(text)
        try:
            return (float(match.group(1)) * factor, float(match.group(2)) * factor) if match else None
        except ValueError:
            return None
