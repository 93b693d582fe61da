"""Simulated SMV images, as ADSC detectors write them: 16 bits, counts above zero."""

from __future__ import annotations

import numpy as np

from spindle.files import atomic_write

from .names import SweepFiles
from .params import SimulateParams
from .scene import Sweep
from .writing import ImageWriter, refuse_beyond_flat

__all__ = ["SmvWriter"]

HIGHEST = 65535  # also what pixels hold that do not count
PEDESTAL = 40  # added to the counts of integrating detectors; ADSC's own


class SmvWriter(ImageWriter):
    """One SMV file an image.

    Counts beyond 65534 are cut. Pixels that do not count hold 65535, as saturated ones do: the format has no other
    mark.
    """

    @classmethod
    def check(cls, sweep: Sweep) -> None:
        """Refuse all but one flat panel and one axis."""
        refuse_beyond_flat(sweep, "SMV")

    def __init__(self, sweep: Sweep, files: SweepFiles, params: SimulateParams) -> None:
        super().__init__(sweep, files, params)
        response = sweep.instrument.response
        # enough for the noise to stay above zero
        self.pedestal = 0 if response.is_counting else max(PEDESTAL, 10 * -(response.lowest // 10))

    def write(self, i: int, image: np.ndarray) -> int:
        """Write one image; the file appears whole or not at all."""
        path, instrument = self.image_path(i), self.sweep.instrument
        if path is None:
            return 0
        start, width = self.angles(i)
        pixel = instrument.panels.pixel_size
        fast, slow = instrument.header_beam_centre * pixel
        items = {
            "HEADER_BYTES": "  512",
            "DIM": 2,
            "BYTE_ORDER": "little_endian",
            "TYPE": "unsigned_short",
            "SIZE1": image.shape[1],
            "SIZE2": image.shape[0],
            "PIXEL_SIZE": f"{pixel:.6f}",
            "BIN": "none",
            "DETECTOR_SN": 0,
            "BEAMLINE": "SPINDLE",
            "DATE": "Thu Jan  1 00:00:00 2026",
            "TIME": f"{self.params.scan.exposure_time:.6f}",
            "DISTANCE": f"{instrument.header_distance:.4f}",
            "TWOTHETA": "0.000",
            "PHI": f"{start:.6f}",
            "OSC_START": f"{start:.6f}",
            "OSC_RANGE": f"{width:.6f}",
            "WAVELENGTH": f"{instrument.wavelength:.6f}",
            "BEAM_CENTER_X": f"{slow:.5f}",
            "BEAM_CENTER_Y": f"{fast:.5f}",
            "CCD_IMAGE_SATURATION": HIGHEST,
        }
        if self.pedestal:
            items["IMAGE_PEDESTAL"] = self.pedestal
        header = "{\n" + "".join(f"{name}={value};\n" for name, value in items.items()) + "}\n"
        stored = np.clip(image.astype(np.int64) + self.pedestal, 0, HIGHEST - 1)
        stored[instrument.dead] = HIGHEST
        content = header.encode().ljust(512) + stored.astype("<u2").tobytes()
        with atomic_write(path) as temporary:
            temporary.write_bytes(content)
        return len(content)
