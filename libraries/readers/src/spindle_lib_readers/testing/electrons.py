"""Small files of electron cameras, written from the published descriptions of their formats."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Literal

import numpy as np

from .images import write_bytes

__all__ = ["write_emi", "write_mib", "write_mrc", "write_ser", "write_tvips"]

_MODES = {"i1": 0, "i2": 1, "f4": 2, "u2": 6, "f2": 12}
# Thermo Fisher's extended header: byte and type of the fields that tests set; a record of FEI1 has 768 bytes, of FEI2 888.
_FEI = {
    "metadata_size": (0, "i"), "metadata_version": (4, "i"), "bitmask_1": (8, "I"), "timestamp": (12, "d"),
    "ht": (84, "d"), "alpha_tilt": (100, "d"), "tilt_axis_angle": (140, "d"), "pixel_size_x": (156, "d"),
    "pixel_size_y": (164, "d"), "camera_length": (301, "d"), "integration_time": (419, "d"),
    "binning_width": (427, "i"), "binning_height": (431, "i"), "camera_name": (435, "16s"),
    "start_tilt_angle": (820, "d"), "end_tilt_angle": (828, "d"), "tilt_per_image": (836, "d"),
}  # fmt: skip
_SER_TYPES = {"u1": 1, "u2": 2, "u4": 3, "i1": 4, "i2": 5, "i4": 6, "f4": 7, "f8": 8}


def write_mrc(
    path: Path,
    pixels: np.ndarray,
    order: Literal["<", ">"] = "<",
    fei: list[dict[str, float | bytes]] | None = None,
    kind: str = "FEI2",
    **changes: int,
) -> Path:
    """Write an MRC file.

    Parameters
    ----------
    path : Path
        A name ending in .gz or .bz2 compresses the file.
    pixels : (n, slow, fast) or (slow, fast) of int8, int16, uint16, float16 or float32
    order : "<" or ">"
        Byte order of the whole file.
    fei : list of dict, optional
        Fields of the extended header, one dict for each record.
    kind : "FEI1" or "FEI2"
    **changes : int
        Items of the header: nz, mode, nsymbt, imod_stamp, imod_flags.
    """
    stack = pixels if pixels.ndim == 3 else pixels[None]
    n, slow, fast = stack.shape
    size = 768 if kind == "FEI1" else 888
    extended = bytearray()
    for record in fei or []:
        block = bytearray(size)
        items = {
            "metadata_size": size,
            "metadata_version": 0 if kind == "FEI1" else 2,
            "bitmask_1": 0xFFFFFFFF,
        } | record
        for name, value in items.items():
            place, code = _FEI[name]
            if place >= size:  # FEI1 ends before the fields of FEI2
                continue
            struct.pack_into(("<" if name == "bitmask_1" else order) + code, block, place, value)
        extended += block
    mode = changes.get("mode", _MODES[stack.dtype.str[1:]])
    head = bytearray(1024)
    struct.pack_into(order + "10i", head, 0, fast, slow, changes.get("nz", n), mode, 0, 0, 0, fast, slow, n)
    struct.pack_into(order + "3f3f3i", head, 40, float(fast), float(slow), float(n), 90.0, 90.0, 90.0, 1, 2, 3)
    struct.pack_into(order + "3f", head, 76, float(stack.min()), float(stack.max()), float(stack.mean()))
    struct.pack_into(order + "2i", head, 88, 0, changes.get("nsymbt", len(extended)))
    struct.pack_into("4s", head, 104, kind.encode() if fei else b"")
    struct.pack_into(order + "i", head, 108, 20140)
    struct.pack_into(order + "2i", head, 152, changes.get("imod_stamp", 0), changes.get("imod_flags", 0))
    struct.pack_into("4s4B", head, 208, b"MAP ", *((0x44, 0x44, 0, 0) if order == "<" else (0x11, 0x11, 0, 0)))
    data = stack.astype(stack.dtype.newbyteorder(order)).tobytes()
    return write_bytes(path, bytes(head) + bytes(extended) + data)


def write_ser(
    path: Path, pixels: np.ndarray, version: int = 0x0210, delta: float = 4.0e7, valid: int | None = None
) -> Path:
    """Write a series of TIA.

    Parameters
    ----------
    path : Path
        A name ending in .gz or .bz2 compresses the file.
    pixels : (n, slow, fast) or (slow, fast)
        Unsigned or signed integers, float32 or float64.
    version : 0x0210 or 0x0220
        With places of 32 or 64 bits.
    delta : float, 1/m
        Calibrated size of a pixel.
    valid : int, optional
        Elements that are said to be written; all by default.
    """
    stack = pixels if pixels.ndim == 3 else pixels[None]
    n, slow, fast = stack.shape
    word = "<I" if version == 0x0210 else "<Q"
    wide = struct.calcsize(word)
    dimension = struct.pack("<IddI", n, 0.0, 1.0, 0) + struct.pack("<I", 6) + b"Number" + struct.pack("<I", 0)
    offsets = 22 + wide + 4 + len(dimension)
    first = offsets + 2 * n * wide
    element = struct.pack("<ddiddi", -delta * fast / 2, delta, 0, -delta * slow / 2, delta, 0)
    element += struct.pack("<Hii", _SER_TYPES[stack.dtype.str[1:]], fast, slow)
    tag = struct.pack("<HHI", 0x4152, 0, 1456077075)
    pitch = len(element) + stack[0].nbytes + len(tag)
    head = struct.pack("<2sHHIIII", b"II", 0x0197, version, 0x4122, 0x4152, n, n if valid is None else valid)
    head += struct.pack(word, offsets) + struct.pack("<I", 1) + dimension
    places = [first + i * pitch for i in range(n)] + [first + (i + 1) * pitch - len(tag) for i in range(n)]
    head += b"".join(struct.pack(word, place) for place in places)
    content = b"".join(element + image.astype(image.dtype.newbyteorder("<")).tobytes() + tag for image in stack)
    return write_bytes(path, head + content)


def write_emi(path: Path, **items: str) -> Path:
    """Write the text of a .emi file; `items` are AcceleratingVoltage, CameraNamePath, Binning, camera_length, stage_a."""
    values = {
        "AcceleratingVoltage": "200000", "CameraNamePath": "BM-Ceta", "Binning": "2", "camera_length": "1.1",
        "stage_a": "-10.0",
    } | items  # fmt: skip
    text = (
        "<ObjectInfo><Uuid>0</Uuid><ExperimentalConditions><MicroscopeConditions><AcceleratingVoltage>"
        f"{values['AcceleratingVoltage']}</AcceleratingVoltage></MicroscopeConditions></ExperimentalConditions>"
        "<ExperimentalDescription><Root>"
        f"<Data><Label>Camera length</Label><Value>{values['camera_length']}</Value><Unit>m</Unit></Data>"
        f"<Data><Label>Stage A</Label><Value>{values['stage_a']}</Value><Unit>deg</Unit></Data>"
        "</Root></ExperimentalDescription><AcquireDate>Sun Feb 21 17:51:15 2016</AcquireDate><AcquireInfo>"
        f"<CameraNamePath>{values['CameraNamePath']}</CameraNamePath><Binning>{values['Binning']}</Binning>"
        "<DwellTimePath>0.5</DwellTimePath></AcquireInfo><Manufacturer>FEI</Manufacturer>"
        "<DetectorPixelHeight>4096</DetectorPixelHeight><DetectorPixelWidth>4096</DetectorPixelWidth>"
        "<DetectorRange><StartX>0</StartX><EndX>4096</EndX></DetectorRange></ObjectInfo>"
    )
    path.write_bytes(b"JL\x00\x02\x05binary" + text.encode() + b"\x00\xffmore")
    return path


def write_tvips(
    path: Path,
    pixels: np.ndarray,
    alpha: np.ndarray | None = None,
    per_file: int | None = None,
    version: int = 2,
    **changes: int,
) -> Path:
    """Write a TVIPS series.

    Parameters
    ----------
    path : Path
        name_000.tvips; the other files lie beside it.
    pixels : (n, slow, fast) uint8 or uint16
    alpha : (n,) degrees, optional
        Angles of the stage.
    per_file : int, optional
        Images in a file.
    version : 1 or 2
    **changes : int
        Items of the header: pixel_nm, kilovolt, binning, bits, mode.
    """
    n, slow, fast = pixels.shape
    extra = 12 if version == 1 else 108
    binning = changes.get("binning", 1)
    head = struct.pack(
        "<13I", 256, version, fast, slow, changes.get("bits", 8 * pixels.dtype.itemsize), 0, 0, binning, binning,
        changes.get("pixel_nm", 15500), changes.get("kilovolt", 200), 80, extra,
    ) + (b"TVIPS " * 34)  # fmt: skip
    frames = []
    for i, image in enumerate(pixels):
        record = bytearray(extra)
        struct.pack_into("<3I", record, 0, i, 1700000000 + i, 250)
        if version == 2:
            struct.pack_into("<II", record, 20, 800, changes.get("mode", 2))
            struct.pack_into("<f", record, 40, 0.0 if alpha is None else alpha[i])
        frames.append(bytes(record) + image.astype(image.dtype.newbyteorder("<")).tobytes())
    per_file = per_file or n
    for number, start in enumerate(range(0, n, per_file)):
        content = b"".join(frames[start : start + per_file])
        write_bytes(path.with_name(path.name.replace("_000.", f"_{number:03d}.")), (b"" if number else head) + content)
    return path


def _words(pixels: np.ndarray, width: int) -> bytes:
    """Rows as words of 64 bits, each pixel `width` bits wide, the first in the lowest bits; big endian."""
    groups = pixels.reshape(-1, 64 // width).astype(np.uint64)
    shifts = np.arange(64 // width, dtype=np.uint64) * np.uint64(width)
    return bytes((groups << shifts).sum(axis=1, dtype=np.uint64).astype(">u8").tobytes())


def _raw(image: np.ndarray, bits: int) -> bytes:
    if bits == 24:
        return _words(image >> 12, 16) + _words(image & 0xFFF, 16)
    return _words(image, {1: 1, 6: 8, 12: 16}[bits])


def write_mib(
    path: Path, pixels: np.ndarray, bits: int = 12, layout: str = "1x1", raw: bool = False, has_bits: bool = True
) -> Path:
    """Write a .mib file of Merlin.

    Parameters
    ----------
    path : Path
        A name ending in .gz or .bz2 compresses the file.
    pixels : (n, slow, fast) int
        As they are to be seen; those of a raw quad are taken apart into the rows of its chips.
    bits : 1, 6, 12 or 24
    layout : "1x1", "2x2", "2x2G", "Nx1"
    raw : bool
        As the chips send them ("R64").
    has_bits : bool
        The header ends with MQ1A and the bits of the counters, as new ones do.
    """
    chips = {"1x1": 1, "Nx1": pixels.shape[2] // 256}.get(layout, 4)
    size = 384 if chips == 1 else 768
    kind = "R64" if raw else {1: "U08", 6: "U08", 12: "U16", 24: "U32"}[bits]
    content = []
    for i, image in enumerate(pixels):
        if raw and chips == 4:
            half, wide = image.shape[0] // 2, image.shape[1] // 2
            upper, lower = image[:half], image[half:][::-1, ::-1]
            # Of a row: chip 4 (lower right), 3 (lower left), 2 (upper right), 1; the lower ones are upside down.
            image = np.hstack([lower[:, :wide], lower[:, wide:], upper[:, wide:], upper[:, :wide]])
        slow, fast = image.shape
        text = (
            f"MQ1,{i + 1:06d},{size:05d},{chips:02d},{fast:04d},{slow:04d},{kind},{layout:>6},01,"
            f"2021-04-15 14:44:{i:02d}.862206,0.001000,0,0,0," + "1.0E+1," * 8 + "3RX," + "511," * 27
        )
        text += f"MQ1A,2021-04-15T13:44:{i:02d}.862206301Z,1000000ns,{bits}," if has_bits else ""
        data = _raw(image, bits) if raw else image.astype({"U08": ">u1", "U16": ">u2", "U32": ">u4"}[kind]).tobytes()
        content.append(text.encode().ljust(size, b"\0") + data)
    return write_bytes(path, b"".join(content))
