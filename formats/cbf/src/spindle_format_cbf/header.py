"""The `# key value` lines that Pilatus and Eiger detectors write into a miniCBF header."""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import datetime

# Nothing is tried twice (++, *+): a damaged line may be a megabyte of one character.
_NUMBER = r"([-+]?(?:\d++\.?\d*+|\.\d++)(?:[eE][-+]?\d++)?)"
_LINE = re.compile(rb"^[ \t]*+#[ \t]*+(\S.*)$", re.MULTILINE)
_PIXEL_SIZE = re.compile(rf"Pixel_size\s++{_NUMBER}\s*+m\s*+x\s*+{_NUMBER}\s*+m")
_SENSOR = re.compile(rf"(?<!\w)(\w++)\s++sensor,\s*+thickness\s++{_NUMBER}\s*+m", re.IGNORECASE)
_BEAM = re.compile(rf"Beam_xy\s*+\(?\s*+{_NUMBER}\s*+,\s*+{_NUMBER}")
_TIME = re.compile(r"^\d{4}[-/]\w{2,3}[-/]\d{2}[T ]\d{2}:\d{2}:\d{2}")
_KEY = re.compile(rf"^(\w++)[ :=]++{_NUMBER}")
_SERIAL = re.compile(r"S/?N:?\s*([\w-]+)|\b(E-\d+-\d+)")
_MATERIALS = {"silicon": "Si", "si": "Si", "cdte": "CdTe", "gaas": "GaAs"}


@dataclass(frozen=True, slots=True)
class MiniHeader:
    """Header lines of one image.

    Attributes
    ----------
    detector : str
        As the header names it, such as "PILATUS 2M, S/N 24-0107".
    numbers : dict of str to float
        First number of each ``# Key number`` line, by its key (``Wavelength``, ``Start_angle``, ``Omega`` ...).
    pixel_size : (float, float) or None, mm
        Fast, slow.
    material : str
        "Si", "CdTe", "GaAs", another name as written, or "".
    thickness : float, mm
        0 when unknown.
    beam_xy : (float, float) or None, pixels
        Fast, slow.
    epoch : float
        Seconds since 1970, the time of the header taken as UTC; 0 when unknown.
    oscillation_axis : str
    """

    detector: str
    numbers: dict[str, float]
    pixel_size: tuple[float, float] | None
    material: str
    thickness: float
    beam_xy: tuple[float, float] | None
    epoch: float
    oscillation_axis: str

    @property
    def serial(self) -> str:
        """Serial number of the detector, such as "60-0119"; "" when not given."""
        match = _SERIAL.search(self.detector)
        return (match.group(1) or match.group(2)) if match else ""

    @property
    def is_eiger(self) -> bool:
        """True for an Eiger, False for a Pilatus."""
        return "eiger" in self.detector.lower()


def parse_epoch(text: str) -> float:
    """Seconds since 1970 of a header time in either style, taken as UTC; 0 when it is neither."""
    text = text.strip().replace("/", "-").replace(" ", "T")
    whole, _, fraction = text.partition(".")
    for pattern in ("%Y-%m-%dT%H:%M:%S", "%Y-%b-%dT%H:%M:%S"):
        try:
            moment = datetime.strptime(whole[:20], pattern)
        except ValueError:
            continue
        digits = re.match(r"\d+", fraction)
        return calendar.timegm(moment.timetuple()) + (float(f"0.{digits.group()}") if digits else 0.0)
    return 0.0


def parse_mini_header(text: bytes) -> MiniHeader | None:
    """Read the comment lines of a header; None when it has no ``# Detector:`` line and no pixel size.

    Parameters
    ----------
    text : bytes
        The file up to its pixels.
    """
    detector = ""
    numbers: dict[str, float] = {}
    pixel_size = beam_xy = None
    material, thickness, epoch, axis = "", 0.0, 0.0, ""
    for raw in _LINE.findall(text):
        line = raw.decode("latin-1").rstrip(" \t\r")
        if line.startswith("Detector:"):
            detector = line[9:].strip()
        elif line.startswith("Pixel_size"):
            match = _PIXEL_SIZE.search(line)
            if match:
                pixel_size = (float(match.group(1)) * 1e3, float(match.group(2)) * 1e3)
        elif line.startswith("Beam_xy"):
            match = _BEAM.search(line)
            if match:
                beam_xy = (float(match.group(1)), float(match.group(2)))
        elif line.startswith("Oscillation_axis"):
            axis = line.partition(" ")[2].strip()
        elif "sensor, thickness" in line:
            match = _SENSOR.search(line)
            if match:
                material = _MATERIALS.get(match.group(1).lower(), match.group(1))
                thickness = float(match.group(2)) * 1e3
        elif not epoch and _TIME.match(line):
            epoch = parse_epoch(line)
        else:
            match = _KEY.match(line)
            if match:
                numbers.setdefault(match.group(1), float(match.group(2)))
    if not detector and pixel_size is None:
        return None
    return MiniHeader(detector, numbers, pixel_size, material, thickness, beam_xy, epoch, axis)
