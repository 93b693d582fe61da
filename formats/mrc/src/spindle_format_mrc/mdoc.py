"""The .mdoc file that SerialEM writes beside an MRC file.

Lines "key = value"; after a line "[ZValue = i]" they are those of image i. "File formats and other documentation" of
SerialEM (bio3d.colorado.edu/SerialEM).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spindle.files import read_regular

# Nothing is tried twice (++, *+): a damaged text may be a megabyte of one character.
_LINE = re.compile(r"^[ \t\r]*+(\w++)\s*+=\s*+(\S++)", re.MULTILINE)
_SECTION = re.compile(r"^[ \t\r]*+\[ZValue\s*+=\s*+(\d++)\s*+\]", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Mdoc:
    """What is needed of the file.

    Attributes
    ----------
    voltage : float, V
        0 when it is not told.
    angles : (n,) float64, degrees
        Of the stage, for each image; NaN where it is not told.
    exposures : (n,) float64, s
    """

    voltage: float
    angles: np.ndarray
    exposures: np.ndarray


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return float("nan")


def read_mdoc(path: Path, n_images: int) -> Mdoc | None:
    """The .mdoc file of an MRC file; None without one.

    Parameters
    ----------
    path : Path
        The MRC file, perhaps compressed.
    n_images : int
    """
    name = re.sub(r"\.(gz|bz2)$", "", path.name)
    beside = path.with_name(name + ".mdoc")
    if not beside.is_file():
        return None
    text = read_regular(beside, 1 << 26, "an .mdoc file", "leave it out").decode("latin-1")
    head, *parts = _SECTION.split(text)
    voltage = _number(dict(_LINE.findall(head)).get("Voltage"))
    angles, exposures = np.full(n_images, np.nan), np.zeros(n_images)
    for number, part in zip(parts[::2], parts[1::2], strict=True):
        if len(number) > 9 or int(number) >= n_images:
            continue
        items = dict(_LINE.findall(part))
        angles[int(number)] = _number(items.get("TiltAngle"))
        exposures[int(number)] = np.nan_to_num(_number(items.get("ExposureTime")))
    return Mdoc(1000.0 * voltage if 1.0 < voltage < 1e4 else 0.0, angles, exposures)
