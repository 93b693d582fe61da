"""A Bruker frame opened for reading."""

from __future__ import annotations

import io
import math
from functools import cached_property
from typing import Any

import numpy as np

from spindle.contracts.format import ImageModels
from spindle.errors import HeaderError, fault
from spindle.models import Beam, Detector, Goniometer, Panel, Scan
from spindle_lib_readers.single import SingleImageReader, epoch_of, no_beam_centre

from .header import BrukerHeader, parse_bruker

# Angles of ANGLES and ENDING are two-theta, omega, phi, chi; AXIS counts them from 1.
_AXIS_NAMES = {2: "OMEGA", 3: "PHI", 4: "CHI"}
# From crystal to base, with the beam along -z and omega and two-theta about the vertical.
_NAMES = ("PHI", "CHI", "OMEGA")
_AXES = ((0.0, -1.0, 0.0), (0.0, 0.0, 1.0), (0.0, 1.0, 0.0))
_PLACES = {"OMEGA": 1, "PHI": 2, "CHI": 3}
# DETTYPE counts pixels per cm on a frame of this many rows.
_NOMINAL = 512.0
# Counts per photon of the Photon II times wavelength: the light of a photon grows with its energy.
_PHOTON_II_GAIN = 5.0471015


class BrukerReader(SingleImageReader):
    """One frame; see `SingleImageReader`."""

    format = "bruker"

    @cached_property
    def header(self) -> BrukerHeader:
        """The header."""
        return parse_bruker(self.head)

    def _size(self) -> tuple[int, int]:
        """(fast, slow) pixels."""
        slow, fast = self.header.number("NROWS"), self.header.number("NCOLS")
        if not slow or not fast or not (0 < slow < 1e5 and 0 < fast < 1e5):
            found = f"NROWS:{self.header.text('NROWS')} and NCOLS:{self.header.text('NCOLS')}"
            raise HeaderError(self.path, "header, NROWS: and NCOLS:", "the size of the image", found, "copy it again")
        return int(fast), int(slow)

    def make_models(self) -> ImageModels:
        """Models of the header."""
        notes: list[str] = []
        beam = self._beam()
        goniometer, scan = self._rotation(notes)
        return ImageModels(beam, self._detector(beam, notes), goniometer, scan, tuple(notes))

    def _beam(self) -> Beam:
        wavelength = self.wavelength(self.header.number("WAVELEN"), "WAVELEN")
        # Synchrotron light is polarised; that of an anode is not.
        fraction = 0.999 if self.header.text("TARGET").lower().startswith("syn") else 0.5
        return Beam(np.array([0.0, 0.0, 1.0]), wavelength, polarization_fraction=fraction)

    def _rotation(self, notes: list[str]) -> tuple[Goniometer, Scan]:
        header = self.header
        angles = [*header.numbers("ANGLES"), 0.0, 0.0, 0.0, 0.0][:4]
        moved = int(header.number("AXIS") or 2)
        if moved not in _AXIS_NAMES:
            remedy = "taken as a still; if the crystal was turned set geometry.scan.oscillation=<start>,<width>"
            expected = "the number of the axis that was turned (2 omega, 3 phi, 4 chi)"
            notes.append(fault("header, AXIS:", expected, moved, remedy))
        name = _AXIS_NAMES.get(moved, "OMEGA")
        start = header.number("START")
        if start is None:
            start = angles[_PLACES[name]]
        width = header.number("INCREME") or 0.0
        if moved not in _AXIS_NAMES:
            start, width = angles[_PLACES[name]], 0.0
        axes, values = np.array(_AXES), [angles[_PLACES[n]] for n in _NAMES]
        scan_axis = _NAMES.index(name)
        if width < 0:
            axes[scan_axis] = 0.0 - axes[scan_axis]
            start, width = -start, -width
        values[scan_axis] = start
        scan = Scan(
            image_range=(1, 1),
            oscillation_deg=(start, width),
            exposure_times=np.array([header.number("CUMULAT") or 0.0]),
            epochs=np.array([epoch_of(header.text("CREATED"))]),
        )
        return Goniometer.multi_axis(axes, values, _NAMES, scan_axis), scan

    def _detector(self, beam: Beam, notes: list[str]) -> Detector:
        header = self.header
        fast, slow = self._size()
        words = header.text("DETTYPE").split()
        per_cm, to_window = (_number(words, 1), _number(words, 2))
        pixel = self.pixel_size(
            (10.0 / per_cm * _NOMINAL / slow,) * 2 if per_cm else None, "pixels per cm in DETTYPE"
        )  # fmt: skip
        cm = header.numbers("DISTANC")
        found = (cm[1] if len(cm) > 1 else cm[0] + to_window) * 10.0 if cm else None
        distance = self.distance(found, "DISTANC")
        centre = header.numbers("CENTER")
        if len(centre) < 2:
            centre = [0.5 * fast, 0.5 * slow]
            notes.append(no_beam_centre("CENTER:"))
        # CENTER counts from the bottom; files of this format begin at the top
        down = -1.0 if self.header.number("FORMAT") == 86 else 1.0
        if down < 0:
            centre = [centre[0], slow - centre[1]]
        two_theta = math.radians((header.numbers("ANGLES") or [0.0])[0])
        s, c = math.sin(two_theta), math.cos(two_theta)
        rotation = np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])
        full = header.number("AUTORNG", 4) or 0.0
        if full <= 0:
            full = (header.number("CCDPARM", 4) or 65536.0) - 1.0
        extra: dict[str, Any] = {}
        if "PHOTONII" in header.text("DETTYPE").upper():
            extra["gain"] = _PHOTON_II_GAIN / beam.wavelength
        return Detector(
            [
                Panel(
                    fast_axis=rotation @ np.array([1.0, 0.0, 0.0]),
                    slow_axis=np.array([0.0, down, 0.0]),
                    origin=rotation @ np.array([-centre[0] * pixel[0], -down * centre[1] * pixel[1], -distance]),
                    pixel_size=np.array(pixel),
                    image_size=(fast, slow),
                    type="SENSOR_CCD",
                    trusted_range=(0.0, full),
                    **extra,
                )
            ]
        )

    def decode(self, data: np.ndarray) -> list[np.ndarray]:
        """Pixels, decoded by fabio: bytes with their underflows and overflows put in."""
        from fabio.bruker100image import Bruker100Image
        from fabio.brukerimage import BrukerImage

        fast, slow = self._size()
        numbers = self.header.numbers("NPIXELB")
        needed = 15 * 512 + int((numbers or [1])[0]) * fast * slow
        if data.size < needed:
            raise self.cut_short(data.size, needed, (slow, fast))
        is_new = self.header.number("FORMAT") == 100
        image = (Bruker100Image if is_new else BrukerImage)().read(io.BytesIO(data.tobytes()))
        return [image.data]


def _number(words: list[str], place: int) -> float:
    """A number among words; 0 when there is none."""
    try:
        return float(words[place])
    except (IndexError, ValueError):
        return 0.0
