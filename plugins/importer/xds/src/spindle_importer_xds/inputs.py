"""XDS.INP: keywords and values."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from spindle.errors import FileFormatError

from .segments import Segment, segments_in

__all__ = ["XdsInp", "read_inp"]

# Looked for at beginnings of words, and each word once: damage may be one word of a megabyte.
KEYWORD = re.compile(r"(?<![A-Z_0-9'.\-/])([A-Z_0-9'.\-]++(?:/[A-Z_]++)*+)\s*+=")


@dataclass(slots=True)
class XdsInp:
    """What XDS.INP says beyond the models; defaults where there is no such file.

    Attributes
    ----------
    template : str or None
        With # for digits.
    data_range : (int, int) or None
    detector : str
    thickness, silicon : float
        mm and 1/mm; 0 where not given.
    trusted : (float, float)
    masked : tuple of (f0, s0, f1, s1)
    polarization_fraction : float
    polarization_normal : (3,) float64
        In the frame of the file.
    segments : tuple of Segment
        Empty where there are none.
    """

    template: str | None = None
    data_range: tuple[int, int] | None = None
    detector: str = ""
    thickness: float = 0.0
    silicon: float = 0.0
    trusted: tuple[float, float] = (0.0, 65535.0)
    masked: tuple[tuple[int, int, int, int], ...] = ()
    polarization_fraction: float = 0.5
    polarization_normal: np.ndarray = field(default_factory=lambda: np.array([0.0, 1.0, 0.0]))
    segments: tuple[Segment, ...] = ()


def keywords(text: str) -> list[tuple[str, str]]:
    """Keyword and value, in the order of the file; several may be in one line, ``!`` begins a comment."""
    found = []
    for line in text.splitlines():
        found += pairs(line.partition("!")[0])
    return found


def pairs(line: str) -> list[tuple[str, str]]:
    """Keyword and value of each ``KEYWORD= value`` of a line, in time that grows with its length."""
    matches = list(KEYWORD.finditer(line))
    ends = [match.start() for match in matches[1:]] + [len(line)]
    return [(match.group(1), line[match.end() : ends[i]].strip()) for i, match in enumerate(matches)]


def read_inp(path: Path) -> XdsInp:
    """Read XDS.INP.

    Raises
    ------
    FileFormatError
        If a value is not what its keyword needs.
    """
    inp = XdsInp()
    low, high = inp.trusted
    masked = []
    text = path.read_text(encoding="utf-8", errors="replace")
    for key, value in keywords(text):
        words = value.split()
        try:
            if key == "NAME_TEMPLATE_OF_DATA_FRAMES" and words:
                inp.template = str((path.parent / words[0]).absolute()).replace("?", "#")
            elif key == "DATA_RANGE":
                inp.data_range = (int(words[0]), int(words[1]))
            elif key == "DETECTOR":
                inp.detector = words[0].upper() if words else ""
            elif key == "SENSOR_THICKNESS":
                inp.thickness = float(words[0])
            elif key == "SILICON":
                inp.silicon = max(float(words[0]), 0.0)
            elif key == "MINIMUM_VALID_PIXEL_VALUE":
                low = float(words[0])
            elif key == "OVERLOAD":
                high = float(words[0])
            elif key == "UNTRUSTED_RECTANGLE":
                x1, x2, y1, y2 = (int(w) for w in words[:4])
                masked.append((max(x1, 0), max(y1, 0), x2 - 1, y2 - 1))  # XDS leaves the edges themselves out
            elif key == "FRACTION_OF_POLARIZATION":
                inp.polarization_fraction = float(words[0])
            elif key == "POLARIZATION_PLANE_NORMAL":
                inp.polarization_normal = np.array([float(w) for w in words[:3]])
        except (ValueError, IndexError) as error:
            raise FileFormatError(f"{path}: {key}= {value}: a value that XDS would not take; mend the line") from error
    inp.trusted, inp.masked = (low, high), tuple(masked)
    try:
        inp.segments = segments_in(keywords(text))
    except (ValueError, IndexError) as error:
        raise FileFormatError(f"{path}: SEGMENT=: {error}; mend the lines of the segments") from error
    return inp
