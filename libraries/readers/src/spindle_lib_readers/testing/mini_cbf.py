"""Small miniCBF images, the plainest input of programs, and byte-offset compression written independently of the readers'."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..cbf_writing import binary_section
from .images import write_bytes

__all__ = ["byte_offset", "mini_cbf_header", "write_mini_cbf", "write_sweep"]


def byte_offset(pixels: np.ndarray) -> bytes:
    """Encode int32 pixels with the CBF byte-offset compression.

    Each step from one pixel to the next takes 1 byte, else a mark and 2, 4 or 8 bytes, as few as hold it.
    """
    steps = np.diff(np.ravel(pixels).astype(np.int64), prepend=0)
    size = np.abs(steps)
    kind = (size > 127).astype(np.int64) + (size > 32767) + (size >= 2**31)
    marks = (b"", b"\x80", b"\x80\x00\x80", b"\x80\x00\x80\x00\x00\x00\x80")
    length = np.array([len(mark) + (1 << k) for k, mark in enumerate(marks)])[kind]
    start = np.cumsum(length) - length
    out = np.zeros(int(length.sum()), np.uint8)
    for k, mark in enumerate(marks):
        code = np.frombuffer(mark + bytes(1 << k), np.uint8)
        at = start[kind == k][:, None] + np.arange(len(code))
        out[at] = code
        number = steps[kind == k].astype(f"<i{1 << k}").view(np.uint8).reshape(-1, 1 << k)
        out[at[:, len(mark) :]] = number
    return out.tobytes()


def mini_cbf_header(**changes: str | None) -> list[str]:
    """Comment lines of a miniCBF by key; a change replaces the text after the key, None leaves the line out.

    Keys that are given and not among the usual ones are added.
    """
    lines: dict[str, str] = {
        "Detector:": "PILATUS 300K, S/N 3-0101",
        "2026-01-02T03:04:05.500": "",
        "Pixel_size": "172e-6 m x 172e-6 m",
        "Silicon": "sensor, thickness 0.000320 m",
        "Exposure_time": "0.0970000 s",
        "Exposure_period": "0.1000000 s",
        "Count_cutoff": "1048500 counts",
        "Wavelength": "1.00000 A",
        "Detector_distance": "0.10000 m",
        "Beam_xy": "(10.50, 8.25) pixels",
        "Start_angle": "0.0000 deg.",
        "Angle_increment": "0.5000 deg.",
        "Detector_2theta": "0.0000 deg.",
        "Polarization": "0.990",
    }
    for key, text in changes.items():
        key = "Detector:" if key == "Detector" else key
        if text is None:
            lines.pop(key, None)
        else:
            lines[key] = text
    return [f"# {key} {text}".rstrip() for key, text in lines.items()]


def write_mini_cbf(
    path: Path, pixels: np.ndarray, header: list[str] | None = None, cif: str = "", compress: bool = True
) -> Path:
    """Write a small CBF image.

    Parameters
    ----------
    path : Path
        A name ending in .gz or .bz2 compresses the file.
    pixels : (slow, fast) int
    header : list of str, optional
        Comment lines; those of `mini_cbf_header` by default.
    cif : str
        CIF categories for a full CBF.
    compress : bool
        Byte-offset compression of the pixels; otherwise stored as they are.

    Returns
    -------
    Path
        The file.
    """
    data = byte_offset(pixels) if compress else np.ascontiguousarray(pixels, "<i4").tobytes()
    text = "\r\n".join(
        [
            "###CBF: VERSION 1.5",
            "",
            "data_image",
            "",
            '_array_data.header_convention "PILATUS_1.2"',
            "_array_data.header_contents",
            ";",
            *(mini_cbf_header() if header is None else header),
            ";",
            "",
            cif,
            "_array_data.data",
            "",
        ]
    )
    section = binary_section(data, pixels.shape, "x-CBF_BYTE_OFFSET" if compress else "")
    return write_bytes(path, text.encode() + section)


def write_sweep(
    folder: Path,
    n: int = 5,
    name: str = "t_{:04d}.cbf",
    first: int = 1,
    start: float = 0.0,
    width: float = 0.5,
    pixels: np.ndarray | None = None,
    **changes: str | None,
) -> list[Path]:
    """Write a sweep of small CBF images, the same pixels in each.

    Parameters
    ----------
    folder : Path
    n, first : int
        How many, and the number of the first.
    name : str
        With a place for the number.
    start, width : float, degrees
        Angle of the first image, and of each.
    pixels : (slow, fast) int, optional
        0 to 11 in three rows by default.
    changes : as `mini_cbf_header` takes them

    Returns
    -------
    list of Path
    """
    pixels = np.arange(12, dtype=np.int32).reshape(3, 4) if pixels is None else pixels
    paths = []
    for i in range(first, first + n):
        angles = {"Start_angle": f"{start + (i - first) * width:.4f} deg.", "Angle_increment": f"{width:.4f} deg."}
        paths.append(write_mini_cbf(folder / name.format(i), pixels, mini_cbf_header(**{**angles, **changes})))
    return paths
