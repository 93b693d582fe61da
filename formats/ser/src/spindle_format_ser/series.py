"""The header of a series file of TIA (ES Vision), and the experimental conditions in the .emi file beside it.

Written from the description of the format by C. Boothroyd, "TIA .ser and .emi file formats"
(www.microscopy.cen.dtu.dk/~cbb/info/TIAformat). All numbers are little endian. A header of 30 (34) bytes is followed by
the dimensions of the series; at `offsets` is the place of each element, and each element is a calibration, a type, a
width, a height and the pixels.
"""

from __future__ import annotations

import re
import struct
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

# By the type of the pixels; 9 and 10 are complex.
TYPES = {1: "<u1", 2: "<u2", 3: "<u4", 4: "<i1", 5: "<i2", 6: "<i4", 7: "<f4", 8: "<f8"}
_IMAGES, _SPECTRA = 0x4122, 0x4120
_VERSIONS = (0x0210, 0x0220)
# Before the pixels of an element: offset, delta and element of the calibration of x and of y, type, width, height.
ELEMENT = struct.Struct("<ddiddiHii")


@dataclass(frozen=True, slots=True)
class SerHeader:
    """What is needed of the header.

    Attributes
    ----------
    n_elements : int
        Images that were written.
    offsets : int
        First byte of the list of their places.
    word : "u4" or "u8"
        Type of the places.
    """

    n_elements: int
    offsets: int
    word: str


def refusal(head: bytes) -> str:
    """Why a file is not a series of images; "" when it is."""
    if len(head) < 34 or head[:4] != b"II\x97\x01":
        return "does not begin like a series of TIA (II, 0x0197)"
    version, kind = struct.unpack_from("<HI", head, 4)
    if version not in _VERSIONS:
        return f"series of TIA of version {version:#06x}; 0x0210 and 0x0220 are read"
    if kind == _SPECTRA:
        return "series of TIA with spectra, not images"
    return "" if kind == _IMAGES else f"series of TIA with elements of type {kind:#06x}, not images"


def read_header(head: bytes) -> SerHeader:
    """The header of a file without a `refusal`."""
    version = struct.unpack_from("<H", head, 4)[0]
    word, kind = ("u4", "<I") if version == 0x0210 else ("u8", "<Q")
    valid = struct.unpack_from("<I", head, 18)[0]
    return SerHeader(n_elements=int(valid), offsets=int(struct.unpack_from(kind, head, 22)[0]), word="<" + word)


def emi_of(path: Path) -> tuple[Path, int] | None:
    """The .emi file of a series and which of its objects describes it; None when there is none.

    TIA writes name.emi with name_1.ser, name_2.ser ... beside it; a .emi of the same name is taken too.
    """
    name = path.name
    while name.lower().endswith((".gz", ".bz2")):
        name = name.rsplit(".", 1)[0]
    stem = re.sub(r"\.ser$", "", name, flags=re.IGNORECASE)
    numbered = re.fullmatch(r"(.+)_(\d+)", stem)
    candidates = [(stem, 0)] + ([(numbered[1], int(numbered[2]) - 1)] if numbered else [])
    for base, index in candidates:
        for ending in (".emi", ".EMI"):
            emi = path.with_name(base + ending)
            if emi.is_file():
                return emi, max(index, 0)
    return None


def conditions(content: bytes, index: int) -> dict[str, str]:
    """Texts of an object of a .emi file by their labels; empty when there is no such object.

    Parameters
    ----------
    content : bytes
    index : int
        Of the object, from 0; the last when there are fewer.

    Returns
    -------
    dict
        Labels of the description with their units, as "Camera length [m]"; "AcceleratingVoltage", "Binning",
        "CameraNamePath" and "AcquireDate" have none.
    """
    objects, end = [], 0
    while (begin := content.find(b"<ObjectInfo>", end)) >= 0 and (close := content.find(b"</ObjectInfo>", begin)) >= 0:
        end = close + len(b"</ObjectInfo>")
        objects.append(content[begin:end])
    if not objects:
        return {}
    try:
        root = ElementTree.fromstring(objects[min(index, len(objects) - 1)].decode("utf-8", "replace"))
    except ElementTree.ParseError:
        return {}
    found = {}
    for item in root.iterfind("ExperimentalDescription/Root/Data"):
        unit = item.findtext("Unit") or ""
        found[(item.findtext("Label") or "") + (f" [{unit}]" if unit else "")] = item.findtext("Value") or ""
    for place in ("ExperimentalConditions/MicroscopeConditions", "AcquireInfo"):
        found |= {item.tag: item.text or "" for item in root.iterfind(place + "/*")}
    return found | {"AcquireDate": root.findtext("AcquireDate") or ""}
