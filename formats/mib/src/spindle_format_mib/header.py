"""The header before each image of a .mib file, and the .hdr file beside it.

The header is a line of comma-separated text: MQ1, number of the image, bytes of the header, number of chips, width,
height, type of the pixels, arrangement of the chips, which of them are on, time, exposure in s, counter, colour mode,
gain mode, thresholds and the settings of each chip; newer ones end with MQ1A, time, exposure in ns and the bits of the
counters. "Merlin for EM: software and user manual", Quantum Detectors; the order of raw pixels as LiberTEM documents it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from spindle.files import read_regular

_START = re.compile(rb"MQ1,(\d+),(\d+),(\d+),(\d+),(\d+),([A-Z]\d\d),\s*([0-9N]+)x(\d+)(G?),")
_TYPES = {"U08": ">u1", "U16": ">u2", "U32": ">u4", "R64": ""}
# Bits of the counters of headers that do not tell them.
_USUAL_BITS = {"U08": 6, "U16": 12, "U32": 24}
_LARGEST = 1 << 16
_LONGEST = 65536
CHIP = 256


@dataclass(frozen=True, slots=True)
class MibHeader:
    """What is needed of the header.

    Attributes
    ----------
    size : int
        Bytes of the header.
    chips : int
    stored : (slow, fast)
        Size of the image as the header has it.
    kind : "U08", "U16", "U32" or "R64"
    layout : (int, int)
        Chips across and down.
    has_filled_gaps : bool
        The software has added pixels between the chips.
    bits : int
        Of the counters; 0 when the header does not say.
    exposure_time : float, s
    time : str
    is_colour : bool
    """

    size: int
    chips: int
    stored: tuple[int, int]
    kind: str
    layout: tuple[int, int]
    has_filled_gaps: bool
    bits: int
    exposure_time: float
    time: str
    is_colour: bool

    @property
    def dtype(self) -> str:
        """numpy's name of the pixels; "" for raw ones."""
        return _TYPES[self.kind]

    @property
    def most(self) -> int:
        """Largest count of a pixel."""
        return 2 ** (self.bits or _USUAL_BITS.get(self.kind, 24)) - 1


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def read_header(head: bytes) -> MibHeader | None:
    """The header at the beginning of an image; None when it is none."""
    found = _START.match(head)
    if found is None:
        return None
    size, chips, fast, slow = (int(found[i]) for i in (2, 3, 4, 5))
    kind, across, down = found[6].decode(), found[7].decode(), int(found[8])
    is_sane = 0 < chips <= 64 and 0 < fast < _LARGEST and 0 < slow < _LARGEST and len(found[0]) < size <= _LONGEST
    if not is_sane or kind not in _TYPES or not (across.isdigit() or across == "N") or down == 0:
        return None
    fields = head[:size].split(b"\0")[0].decode("latin-1").split(",")
    bits, exposure, time = 0, _number(fields[10]) if len(fields) > 10 else 0.0, fields[9] if len(fields) > 9 else ""
    if "MQ1A" in fields:
        place = fields.index("MQ1A")
        time, text, depth = ([*fields[place + 1 : place + 4], "", "", ""])[:3]
        exposure = _number(text.removesuffix("ns")) * 1e-9
        bits = int(_number(depth)) if depth in ("1", "6", "12", "24") else 0
    return MibHeader(
        size=size,
        chips=chips,
        stored=(slow, fast),
        kind=kind,
        layout=(chips // down if across == "N" else int(across), down),
        has_filled_gaps=bool(found[9]),
        bits=bits,
        exposure_time=exposure,
        time=time,
        is_colour=len(fields) > 12 and fields[12] not in ("0", ""),
    )


def read_hdr(path: Path) -> dict[str, str]:
    """Items of the .hdr file beside an image; empty without one."""
    name = re.sub(r"\.mib(\.gz|\.bz2)?$", "", path.name, flags=re.IGNORECASE)
    for ending in (".hdr", ".HDR"):
        beside = path.with_name(name + ending)
        if not beside.is_file():
            continue
        text = read_regular(beside, 1 << 20, "a .hdr file", "leave it out").decode("latin-1")
        lines = [line.split("\t", 1) for line in text.splitlines() if ":\t" in line]
        return {key.rstrip(":"): value.strip() for key, value in lines}
    return {}
