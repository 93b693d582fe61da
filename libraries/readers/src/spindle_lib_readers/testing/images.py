"""Small image files of many kinds, for tests."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

__all__ = [
    "write_bruker",
    "write_bytes",
    "write_dm",
    "write_dtrek",
    "write_edf",
    "write_ge",
    "write_marccd",
    "write_raxis",
    "write_smv",
]


def write_bytes(path: Path, content: bytes) -> Path:
    """Write a file, compressed when its name ends in .gz or .bz2; return its path."""
    if path.suffix == ".gz":
        import gzip

        content = gzip.compress(content)
    elif path.suffix == ".bz2":
        import bz2

        content = bz2.compress(content)
    path.write_bytes(content)
    return path


def write_smv(path: Path, pixels: np.ndarray, **changes: object) -> Path:
    """Write an SMV image of unsigned 16-bit pixels.

    Parameters
    ----------
    path : Path
    pixels : (slow, fast) int
    changes : values of header items
        Items are replaced or added; None leaves one out.
    """
    items: dict[str, object] = {
        "DIM": 2,
        "BYTE_ORDER": "little_endian",
        "TYPE": "unsigned_short",
        "PIXEL_SIZE": 0.1,
        "DETECTOR_SN": 10,
        "DATE": "Thu May 15 13:17:42 2008",
        "TIME": 2.5,
        "DISTANCE": 80.5,
        "OSC_RANGE": 0.5,
        "PHI": 10,
        "OSC_START": 10,
        "WAVELENGTH": 0.9,
        "BEAM_CENTER_X": 3.0,
        "BEAM_CENTER_Y": 4.5,
        "SIZE1": pixels.shape[1],
        "SIZE2": pixels.shape[0],
    } | changes
    text = "{\nHEADER_BYTES= 1024;\n" + "".join(f"{k}={v};\n" for k, v in items.items() if v is not None) + "}"
    order = ">" if str(items["BYTE_ORDER"]).startswith("big") else "<"
    return write_bytes(path, text.encode().ljust(1024) + pixels.astype(f"{order}u2").tobytes())


def write_marccd(path: Path, pixels: np.ndarray, **changes: int) -> Path:
    """Write a marCCD image of unsigned 16-bit pixels.

    Parameters
    ----------
    path : Path
    pixels : (slow, fast) int
    changes : int
        Integers of the frame header, by "at" and their place: ``at640=120000``.
    """
    frame = bytearray(3072)
    numbers = {
        28: 1234, 32: 1234, 80: pixels.shape[1], 84: pixels.shape[0], 88: 2, 104: 65535, 640: 120000, 644: 50000,
        648: 52000, 656: 1500, 684: 10000, 716: 11000, 732: 4, 772: 79000, 776: 79000, 780: 10000, 908: 97900,
    } | {int(k[2:]): v for k, v in changes.items()}  # fmt: skip
    for place, value in numbers.items():
        struct.pack_into("<i", frame, place, value)
    frame[1344:1359] = b"041621332005.17"
    tags = [(256, 4, pixels.shape[1]), (257, 4, pixels.shape[0]), (258, 3, 16), (259, 3, 1), (273, 4, 4096)]
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", t, k, 1, v) for t, k, v in tags) + bytes(4)
    head = (b"II*\0" + struct.pack("<I", 8) + directory).ljust(1024, b"\0")
    return write_bytes(path, head + bytes(frame) + pixels.astype("<u2").tobytes())


def write_bruker(path: Path, pixels: np.ndarray, **changes: str) -> Path:
    """Write a Bruker frame of format 86 with unsigned 16-bit pixels.

    Parameters
    ----------
    path : Path
    pixels : (slow, fast) int
        Both sizes multiples of 16.
    changes : str
        Values of header lines.
    """
    items = {
        "FORMAT": "86", "VERSION": "9", "HDRBLKS": "15", "CREATED": "12/12/03   11:45:47", "CUMULAT": "5.5",
        "INCREME": "0.5", "START": "12.0", "ANGLES": "30.0 12.0 40.0 54.7", "NOVERFL": "0", "NPIXELB": "2",
        "NROWS": str(pixels.shape[0]), "NCOLS": str(pixels.shape[1]), "WORDORD": "0", "LONGORD": "0", "TARGET": "Mo",
        "CENTER": "8.0 20.0", "DISTANC": "5.0", "LINEAR": "1.0 0.0", "WAVELEN": "0.71073 0.0 0.0", "AXIS": "2",
        "DETTYPE": "CCD-PXL 32.0 1.5 0.0", "CCDPARM": "0.0 0.0 0.0 0.0 65535.0",
    } | changes  # fmt: skip
    text = "".join(f"{k:<7}:{v}".ljust(80)[:80] for k, v in items.items())
    return write_bytes(path, text.encode().ljust(7680, b".") + pixels.astype("<u2").tobytes())


def write_edf(path: Path, pixels: np.ndarray, frames: int = 1, **items: object) -> Path:
    """Write an EDF file.

    Parameters
    ----------
    path : Path
    pixels : (slow, fast) uint16, int32 or float32
    frames : int
        Number of images; image i (from 0) has `i` added to its pixels.
    items : values of further header items
    """
    kinds = {"u2": "UnsignedShort", "i4": "SignedInteger", "f4": "FloatValue"}
    content = b""
    for i in range(frames):
        header: dict[str, object] = {
            "EDF_DataBlockID": f"{i + 1}.Image.Psd",
            "ByteOrder": "LowByteFirst",
            "DataType": kinds[pixels.dtype.str[1:]],
            "Dim_1": pixels.shape[1],
            "Dim_2": pixels.shape[0],
            "Size": pixels.nbytes,
        }
        text = "{\n" + "".join(f"{k} = {v} ;\n" for k, v in (header | items).items())
        content += text.encode().ljust(1022) + b"}\n" + (pixels + pixels.dtype.type(i)).tobytes()
    return write_bytes(path, content)


def write_dtrek(path: Path, pixels: np.ndarray, **changes: str) -> Path:
    """Write a d*TREK image of unsigned 16-bit pixels, as of a Saturn CCD.

    Parameters
    ----------
    path : Path
    pixels : (slow, fast) int
    changes : str
        Values of header items.
    """
    items = {
        "DIM": "2", "BYTE_ORDER": "little_endian", "Data_type": "unsigned short int", "COMPRESSION": "None",
        "SIZE1": str(pixels.shape[1]), "SIZE2": str(pixels.shape[0]), "SATURATED_VALUE": "65535",
        "DETECTOR_NAMES": "CCD_", "CCD_GONIO_VALUES": "0 20 0 0 0 45",
        "CCD_GONIO_VECTORS": "0 0 1 1 0 0 0 1 0 1 0 0 0 1 0 0 0 -1",
        "CCD_SPATIAL_DISTORTION_INFO": "10 12 0.09 0.09", "CCD_SPATIAL_DISTORTION_VECTORS": "1 0 0 -1",
        "DTREK_DATE_TIME": "01-Feb-2010 10:11:12", "ROTATION": "20 20.5 0.5 10 0 0 0 0 0 0",
        "ROTATION_VECTOR": "1 0 0", "SCAN_WAVELENGTH": "0.71", "SOURCE_POLARZ": "0.5 1 0 0",
        "SOURCE_WAVELENGTH": "1 0.71073",
    } | changes  # fmt: skip
    text = "{\nHEADER_BYTES= 4096;\n" + "".join(f"{k}={v};\n" for k, v in items.items()) + "}"
    return write_bytes(path, text.encode().ljust(4096) + pixels.astype("<u2").tobytes())


def write_raxis(path: Path, raw: np.ndarray, order: str = ">", padding: int = 0, **changes: float) -> Path:
    """Write an R-AXIS image.

    Parameters
    ----------
    path : Path
    raw : (slow, fast) int
        As stored: values from 32768 on are (value - 32768) times 8.
    order : ">" or "<"
    padding : int
        Bytes at the end of each line.
    changes : float
        Floats of the header, by "at" and their place: ``at344=120``.
    """
    record = 2 * raw.shape[1] + padding
    head = bytearray(-(-1400 // record) * record)
    head[:5], head[256:268], head[812:822] = b"RAXIS", b"2005-01-12  ", (b"SGI" if order == ">" else b"PC").ljust(10)
    floats = {292: 1.5418, 344: 100, 524: 10, 528: 10.5, 536: 2, 540: 10, 544: 12, 776: 0.1, 780: 0.15, 800: 8}
    for place, value in (floats | {int(k[2:]): v for k, v in changes.items()}).items():
        struct.pack_into(f"{order}f", head, place, value)
    for place, number in {768: raw.shape[1], 772: raw.shape[0], 784: record, 788: raw.shape[0]}.items():
        struct.pack_into(f"{order}i", head, place, number)
    lines = [row.astype(f"{order}u2").tobytes().ljust(record, b"\0") for row in raw]
    return write_bytes(path, bytes(head) + b"".join(lines))


def write_ge(path: Path, pixels: np.ndarray, frames: int = 1) -> Path:
    """Write a file of a GE detector with unsigned 16-bit pixels; image i (from 0) has `i` added to its pixels."""
    head = bytearray(8192)
    slow, fast = pixels.shape
    struct.pack_into("<10sHIHI4H", head, 0, b"ADEPT", 8001, 6144, 0, 2048, frames, slow, fast, 16)
    return write_bytes(path, bytes(head) + b"".join((pixels + i).astype("<u2").tobytes() for i in range(frames)))


def write_dm(
    path: Path,
    pixels: np.ndarray,
    version: int = 4,
    voltage: float = 200000.0,
    per_nm: float | None = None,
    alpha: float = 0.0,
    thumbnail: int = 2,
) -> Path:
    """Write a Digital Micrograph file.

    Parameters
    ----------
    path : Path
    pixels : (slow, fast) or (n, slow, fast) int32, uint16 or float32
    version : 3 or 4
    voltage : float, V
    per_nm : float, 1/nm, optional
        Calibrated size of a pixel.
    alpha : float, degrees
        Angle of the stage.
    thumbnail : int
        Width of the colour picture before the image.
    """
    kinds = {"i4": 3, "u2": 4, "f4": 6, "f8": 7, "u4": 5, "i2": 2}
    word = ">I" if version == 3 else ">Q"

    def words(*values: int) -> bytes:
        return b"".join(struct.pack(word, v) for v in values)

    def directory(tags: dict[str, object]) -> bytes:
        content = b"\1\0" + words(len(tags))
        for name, value in tags.items():
            body = directory(value) if isinstance(value, dict) else data(value)
            label = b"" if name.isdigit() else name.encode()
            size = words(len(body)) if version == 4 else b""
            content += (
                bytes([20 if isinstance(value, dict) else 21]) + struct.pack(">H", len(label)) + label + size + body
            )
        return content

    def data(value: object) -> bytes:
        if isinstance(value, np.ndarray):
            return b"%%%%" + words(3, 20, kinds[value.dtype.str[1:]], value.size) + value.tobytes()
        if isinstance(value, float):
            return b"%%%%" + words(1, 7) + struct.pack("<d", value)
        return b"%%%%" + words(1, 5) + struct.pack("<I", value)

    sizes = {str(i): n for i, n in enumerate(reversed(pixels.shape))}
    tags = {
        "Microscope Info": {"Voltage": voltage, "Stage Position": {"Stage Alpha": alpha}},
        "Acquisition": {"Device": {"CCD": {"Pixel Size (um)": np.array([15.0, 15.0])}}},
    }
    dots = {"Data": np.full(thumbnail**2, 77, np.int32), "DataType": 23, "Dimensions": {"0": thumbnail, "1": thumbnail}}
    units = np.frombuffer("1/nm".encode("utf-16-le"), np.uint16)
    axes = {} if per_nm is None else {"Dimension": {"0": {"Scale": per_nm, "Units": units}}}
    image = {"ImageData": {"Calibrations": axes, "Data": pixels, "Dimensions": sizes}, "ImageTags": tags}
    root = directory({"ImageList": {"0": {"ImageData": dots}, "1": image}, "Thumbnails": {"0": {"ImageIndex": 0}}})
    return write_bytes(path, struct.pack(">I", version) + words(len(root)) + struct.pack(">I", 1) + root)
