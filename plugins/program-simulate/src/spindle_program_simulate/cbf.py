"""Writing miniCBF images with byte-offset compression, as Pilatus detectors do."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import numba
import numpy as np

from spindle.files import atomic_write

__all__ = ["encode_byte_offset", "mini_cbf_header", "write_mini_cbf"]

PADDING = 4095
BINARY_START = b"\x0c\x1a\x04\xd5"


@numba.njit(nogil=True, cache=True)
def _encode(values, out):
    """Byte-offset code of int32 values into ``out`` (uint8, 7 bytes per value suffice); returns the number of bytes."""
    n = 0
    previous = np.int64(0)
    for i in range(values.shape[0]):
        difference = np.int64(values[i]) - previous
        previous = np.int64(values[i])
        if -127 <= difference <= 127:
            out[n] = np.uint8(difference & 0xFF)
            n += 1
        elif -32767 <= difference <= 32767:
            out[n] = 0x80
            out[n + 1] = np.uint8(difference & 0xFF)
            out[n + 2] = np.uint8((difference >> 8) & 0xFF)
            n += 3
        else:
            out[n] = 0x80
            out[n + 1] = 0x00
            out[n + 2] = 0x80
            for k in range(4):
                out[n + 3 + k] = np.uint8((difference >> (8 * k)) & 0xFF)
            n += 7
    return n


def encode_byte_offset(image: np.ndarray) -> bytes:
    """Compress an image (ny, nx) int32 with values within +-2^30."""
    out = np.empty(7 * image.size, np.uint8)
    return out[: _encode(np.ascontiguousarray(image).reshape(-1), out)].tobytes()


def mini_cbf_header(
    *,
    detector: str,
    pixel_size_mm: float,
    thickness_mm: float,
    exposure_time: float,
    n_dead: int,
    wavelength: float,
    distance_mm: float,
    beam_centre_px: tuple[float, float],
    start_deg: float,
    width_deg: float,
    polarization: float,
    cutoff: int,
    path: str,
) -> str:
    """The lines of a Pilatus header, with all that is needed to process the image without an option."""
    pixel = f"{pixel_size_mm * 1e3:g}e-6 m"
    return "\n".join(
        [
            f"# Detector: {detector}, S/N SPINDLE-0001",
            "# 2026-01-01T00:00:00.000",
            f"# Pixel_size {pixel} x {pixel}",
            f"# Silicon sensor, thickness {thickness_mm * 1e-3:.6f} m",
            f"# Exposure_time {exposure_time:.7f} s",
            f"# Exposure_period {exposure_time:.7f} s",
            "# Tau = 0 s",
            f"# Count_cutoff {cutoff} counts",
            f"# Threshold_setting: {12398.42 / wavelength / 2:.0f} eV",
            "# Gain_setting: autog (vrf = 1.000)",
            f"# N_excluded_pixels = {n_dead}",
            "# Excluded_pixels: badpix_mask.tif",
            "# Flat_field: (nil)",
            "# Trim_file: simulated.bin",
            f"# Image_path: {path}",
            f"# Wavelength {wavelength:.6f} A",
            "# Energy_range (0, 0) eV",
            f"# Detector_distance {distance_mm * 1e-3:.6f} m",
            "# Detector_Voffset 0.00000 m",
            f"# Beam_xy ({beam_centre_px[0]:.3f}, {beam_centre_px[1]:.3f}) pixels",
            "# Flux 0.000000",
            "# Filter_transmission 1.0000",
            f"# Start_angle {start_deg:.6f} deg.",
            f"# Angle_increment {width_deg:.6f} deg.",
            "# Detector_2theta 0.0000 deg.",
            f"# Polarization {polarization:.4f}",
            "# Alpha 0.0000 deg.",
            "# Kappa 0.0000 deg.",
            "# Phi 0.0000 deg.",
            "# Phi_increment 0.0000 deg.",
            f"# Omega {start_deg:.6f} deg.",
            f"# Omega_increment {width_deg:.6f} deg.",
            "# Chi 0.0000 deg.",
            "# Chi_increment 0.0000 deg.",
            "# Oscillation_axis X.CW",
            "# N_oscillations 1",
        ]
    )


def write_mini_cbf(path: Path, name: str, header: str, image: np.ndarray) -> int:
    """Write one image (ny, nx) int32 and return the size of the file in bytes; the file appears whole or not at all."""
    data = encode_byte_offset(image)
    checksum = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
    text = "\n".join(
        [
            "###CBF: VERSION 1.5, CBFlib v0.7.8 - PILATUS detectors",
            "",
            f"data_{name}",
            "",
            '_array_data.header_convention "PILATUS_1.2"',
            "_array_data.header_contents",
            ";",
            header,
            ";",
            "",
            "_array_data.data",
            ";",
            "--CIF-BINARY-FORMAT-SECTION--",
            "Content-Type: application/octet-stream;",
            '     conversions="x-CBF_BYTE_OFFSET"',
            "Content-Transfer-Encoding: BINARY",
            f"X-Binary-Size: {len(data)}",
            "X-Binary-ID: 1",
            'X-Binary-Element-Type: "signed 32-bit integer"',
            "X-Binary-Element-Byte-Order: LITTLE_ENDIAN",
            f"Content-MD5: {checksum}",
            f"X-Binary-Number-of-Elements: {image.size}",
            f"X-Binary-Size-Fastest-Dimension: {image.shape[1]}",
            f"X-Binary-Size-Second-Dimension: {image.shape[0]}",
            f"X-Binary-Size-Padding: {PADDING}",
            "",
            "",
        ]
    )
    end = b"\r\n--CIF-BINARY-FORMAT-SECTION----\r\n;\r\n\r\n"
    content = text.replace("\n", "\r\n").encode("ascii") + BINARY_START + data + bytes(PADDING) + end
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)
    return len(content)
