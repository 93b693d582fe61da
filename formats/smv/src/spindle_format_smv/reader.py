"""An SMV file opened for reading."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from spindle.contracts.format import ImageModels
from spindle.geometry import ELECTRONS_BELOW_A
from spindle.models import Beam, Detector, Goniometer, Panel, Scan
from spindle_lib_readers.single import SingleImageReader, epoch_of, no_axis_of_two_theta, no_beam_centre, no_rotation

from . import dialects
from .header import SmvHeader, parse_smv

SATURATION = 65535.0


class SmvReader(SingleImageReader):
    """One SMV image; see `SingleImageReader`."""

    format = "smv"

    @cached_property
    def header(self) -> SmvHeader:
        """The header."""
        return parse_smv(self.head, self.path)

    def make_models(self) -> ImageModels:
        """Models of the header."""
        notes: list[str] = []
        beam = self._beam()
        goniometer, scan = self._rotation(notes)
        return ImageModels(beam, self._detector(beam, notes), goniometer, scan, tuple(notes))

    def _beam(self) -> Beam:
        wavelength = self.wavelength(self.header.number("WAVELENGTH"), "WAVELENGTH=")
        if wavelength < ELECTRONS_BELOW_A:
            return Beam(np.array([0.0, 0.0, 1.0]), wavelength, polarization_fraction=0.5, probe="electron")
        return Beam(np.array([0.0, 0.0, 1.0]), wavelength)

    def _rotation(self, notes: list[str]) -> tuple[Goniometer, Scan]:
        header = self.header
        start, width = header.number("OSC_START", "PHI"), header.number("OSC_RANGE")
        if width is None:
            notes.append(no_rotation("OSC_RANGE="))
        elif width == 0 and header.number("PHI", "OSC_START") is not None:
            notes.append(no_rotation("OSC_RANGE=", "0"))
        start, width = start or 0.0, width or 0.0
        axis = np.array(dialects.rotation_axis(header))
        if width < 0:
            axis, start, width = -axis, -start, -width
        scan = Scan(
            image_range=(1, 1),
            oscillation_deg=(start, width),
            exposure_times=np.array([header.number("TIME") or 0.0]),
            epochs=np.array([epoch_of(header.text("DATE"))]),
        )
        return Goniometer(rotation_axis=axis), scan

    def _detector(self, beam: Beam, notes: list[str]) -> Detector:
        header = self.header
        pixel = header.number("PIXEL_SIZE")
        size = self.pixel_size(None if pixel is None else (pixel, pixel), "PIXEL_SIZE=")
        distance = self.distance(header.number("DISTANCE"), "DISTANCE=")
        slow, fast = header.shape(self.path)
        if header.number("TWOTHETA"):
            notes.append(no_axis_of_two_theta("TWOTHETA=", header.text("TWOTHETA")))
        if dialects.is_timepix(header):
            return dialects.timepix_detector(header, size[0], distance)
        centre = dialects.beam_centre(header)
        if centre is None:
            centre = (0.5 * fast * size[0], 0.5 * slow * size[1])
            notes.append(no_beam_centre("BEAM_CENTER_X= and BEAM_CENTER_Y="))
        pedestal = dialects.pedestal(header)
        saturation = header.number("CCD_IMAGE_SATURATION", "SATURATED_VALUE") or SATURATION
        return Detector(
            [
                Panel(
                    fast_axis=np.array([1.0, 0.0, 0.0]),
                    slow_axis=np.array([0.0, -1.0, 0.0]),
                    origin=np.array([-centre[0], centre[1], -distance]),
                    pixel_size=np.array(size),
                    image_size=(fast, slow),
                    type="SENSOR_CCD",
                    trusted_range=(0.0 - pedestal, saturation - 1.0 - pedestal),
                    gain=dialects.gain(header),
                )
            ]
        )

    def decode(self, data: np.ndarray) -> list[np.ndarray]:
        """Pixels, the pedestal taken off."""
        header = self.header
        image = self.stored(data, header.start, header.dtype(self.path), header.shape(self.path))
        if dialects.is_timepix(header) and image.shape == (512, 512):
            return [image[s : s + 254, f : f + 254] for s in (1, 257) for f in (1, 257)]
        pedestal = dialects.pedestal(header)
        return [image.astype(np.int32) - pedestal if pedestal else image]
