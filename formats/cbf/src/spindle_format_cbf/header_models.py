"""What the header of a CBF image says: beam, detector, goniometer and scan."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np

from spindle.contracts.format import FormatOptions, ImageModels, ImageReader
from spindle.errors import FileFormatError, HeaderError, fault
from spindle.geometry import ELECTRONS_BELOW_A, sensor_depth
from spindle.images import (
    is_compressed,
    read_head,
)
from spindle.models import Beam, Detector, Goniometer, Scan
from spindle_lib_readers.single import no_axis_of_two_theta, no_beam_centre, no_rotation, no_sensor

from .axes import beam_direction, goniometer_of
from .beamlines import P12M_SERIAL, P12M_SIZE, goniometer_for, p12m_detector
from .binary import START, BinaryHeader, cut_short, find_binary
from .decoding import check_readable
from .detectors import Frame, Sensor, flat_detector, tiled_detector
from .groups import group_elements
from .header import MiniHeader, parse_epoch, parse_mini_header
from .imgcif import Array, ImgCif, has_geometry, parse_imgcif

# Headers of detectors with hundreds of elements are longer than the head that formats are asked with.
LONG_HEAD = 1 << 21


class CbfModels(ImageReader):
    """The models of one CBF image; its pixels are read by `CbfReader`.

    Parameters
    ----------
    path : Path
    head : bytes
        First bytes of the decompressed file.
    options : FormatOptions
    """

    format = "cbf"

    def __init__(self, path: Path, head: bytes = b"", options: FormatOptions | None = None) -> None:
        self.path = Path(path)
        self.options = options or FormatOptions()
        self._head = head
        if head:
            check_readable(self.binary, self.path)
            self._check_length()

    @cached_property
    def _text(self) -> bytes:
        """The file up to its pixels."""
        head = self._head or read_head(self.path)
        if START not in head:
            head = read_head(self.path, LONG_HEAD)
        return head[: head.find(START) + len(START)] if START in head else head

    @cached_property
    def binary(self) -> BinaryHeader:
        """Where and how the pixels are stored."""
        return find_binary(self._text, self.path)

    def _check_length(self) -> None:
        """Raise for a plain file that ends before its pixels do, which costs no reading."""
        try:
            length = self.path.stat().st_size
        except OSError as error:
            raise FileFormatError(f"{self.path}: {error.strerror or error}") from error
        if length < self.binary.start + self.binary.size and not is_compressed(self.path):
            raise cut_short(self.path, length, self.binary)

    @cached_property
    def header(self) -> MiniHeader | None:
        """The miniCBF lines, or None."""
        return parse_mini_header(self._text)

    @cached_property
    def cif(self) -> ImgCif | None:
        """The CIF part, or None when it places no detector."""
        return parse_imgcif(self._text, self.path) if has_geometry(self._text) else None

    @cached_property
    def _models(self) -> ImageModels:
        notes: list[str] = []
        beam = self._beam(notes)
        goniometer, scan = self._rotation(notes)
        detector = self._detector(beam, notes)
        return ImageModels(beam, detector, goniometer, scan, tuple(notes))

    def models(self, index: int = 0) -> ImageModels:
        """Models of the image; see `ImageReader.models`."""
        if index != 0:
            raise IndexError(f"{self.path} holds one image; image {index} was asked for")
        return self._models

    def _missing(self, what: str, line: str, remedy: str, found: object = None) -> HeaderError:
        return HeaderError(self.path, f"header, line '{line}'", f"the {what}", found, f"set {remedy}")

    def _number(self, key: str) -> float | None:
        return self.header.numbers.get(key) if self.header else None

    def _beam(self, notes: list[str]) -> Beam:
        wavelength = self.cif.wavelength if self.cif else None
        stated = self._number("Wavelength")
        if not wavelength:
            wavelength = stated
        if not wavelength or wavelength <= 0:
            wavelength = self.options.wavelength
        if not wavelength:
            line = "_diffrn_radiation_wavelength.wavelength 1.0" if self.cif else "# Wavelength 1.0 A"
            raise self._missing("wavelength", line, "geometry.beam.wavelength=<angstrom>", stated)
        fraction = self._number("Polarization")
        if fraction is None or not 0.5 <= fraction <= 1.0:
            if fraction is not None:
                remedy = "0.999 is taken; set geometry.beam.polarization_fraction="
                notes.append(fault("header, line '# Polarization'", "0.5 to 1", fraction, remedy))
            fraction = 0.999
        direction = beam_direction(self.cif.axes) if self.cif else np.array([0.0, 0.0, 1.0])
        return Beam(
            direction=direction,
            wavelength=wavelength,
            polarization_fraction=fraction,
            flux=self._number("Flux") or 0.0,
        )

    def _rotation(self, notes: list[str]) -> tuple[Goniometer | None, Scan | None]:
        goniometer: Goniometer | None = None
        oscillation: tuple[float, float] | None = None
        if self.cif is not None:
            goniometer, oscillation = goniometer_of(self.cif.axes, self.path)
        elif self.header is not None:
            start, width = self._number("Start_angle"), self._number("Angle_increment")
            if start is None:
                start = self._number("Omega")
            if width is None:
                width = self._number("Omega_increment")
            if start is None or width is None:
                missing = "Start_angle" if start is None else "Angle_increment"
                notes.append(no_rotation(f"line '# {missing} 0.1 deg.'"))
                start, width = start or 0.0, width or 0.0
            goniometer = goniometer_for(self.header, reverse=width < 0)
            oscillation = (-start, -width) if width < 0 else (start, width)
        if oscillation is None:
            return goniometer, None
        exposure = self.cif.exposure_time if self.cif else None
        if exposure is None:
            exposure = self._number("Exposure_period") or self._number("Exposure_time") or 0.0
        epoch = parse_epoch(self.cif.date) if self.cif else 0.0
        if not epoch and self.header:
            epoch = self.header.epoch
        return goniometer, Scan(
            image_range=(1, 1),
            oscillation_deg=oscillation,
            exposure_times=np.array([exposure]),
            epochs=np.array([epoch]),
        )

    def _sensor(self, beam: Beam, notes: list[str], array: Array | None = None) -> Sensor:
        """What the header says of the sensor and its counting, for one array of an imgCIF header."""
        header = self.header
        cutoff = array.overload if array else None
        if cutoff is None:
            cutoff = self._number("Count_cutoff")
        elif header is None:
            # The dictionary's overload is the value of saturated pixels; Dectris puts the highest good count there.
            cutoff -= 1.0
        if cutoff is None:
            cutoff = 1048575.0
            remedy = "counts up to 1048575 are trusted; set geometry.detector.panel.trusted_range="
            _note(notes, fault("header, line '# Count_cutoff 1048575 counts'", "the highest good count", None, remedy))
        # Detectors without counts below 0 mark pixels that know nothing by a negative value, others by one far below.
        lowest = array.undefined + 1.0 if array and array.undefined is not None and array.undefined < 0 else 0.0
        material = header.material if header else ""
        thickness = header.thickness if header else 0.0
        mu, parallax = sensor_depth(material, thickness, beam.wavelength, self.options.parallax, beam.probe)
        is_photon = beam.probe == "x-ray" and beam.wavelength >= ELECTRONS_BELOW_A
        if self.options.parallax != "none" and is_photon and not (material and thickness > 0):
            _note(notes, no_sensor("header, line '# Silicon sensor, thickness 0.00032 m'"))
        return Sensor(
            trusted_range=(lowest, float(cutoff)),
            thickness=thickness,
            material=material,
            mu=mu,
            parallax=parallax,
            identifier=header.detector if header else "",
            type=(self.cif.kind if self.cif else "") or ("SENSOR_PAD" if header else "SENSOR_UNKNOWN"),
            gain=array.gain if array else 1.0,
        )

    def _detector(self, beam: Beam, notes: list[str]) -> Detector:
        size = (self.binary.fast, self.binary.slow)
        if self.cif is not None:
            self._check_sizes(self.cif, [self.binary])
        if self.cif is not None and (len(self.cif.elements) > 1 or self.cif.elements[0].layer):
            sensors = {name: self._sensor(beam, notes, array) for name, array in self.cif.arrays.items()}
            elements = self.cif.elements
            root = group_elements(elements, self.cif.axes, self.path)
            return tiled_detector(elements, tuple(sensors[e.array_id] for e in elements), root)
        array = next(iter(self.cif.arrays.values())) if self.cif else None
        sensor = self._sensor(beam, notes, array)
        if self.header is not None and self.cif is None and self.header.serial == P12M_SERIAL and size == P12M_SIZE:
            return p12m_detector(self.header, self._distance(), **sensor._asdict())
        if self.cif is None:
            frame = self._flat_frame(size, notes)
        else:
            element = self.cif.elements[0]
            frame = Frame(element.fast, element.slow, element.origin, element.pixel_size)
            size = element.size
        is_eiger = self.header is not None and self.header.is_eiger
        return flat_detector(frame, size, sensor, is_eiger, self.options.multi_panel)

    def _check_sizes(self, cif: ImgCif, sections: list[BinaryHeader]) -> None:
        """Raise when the binary sections, or the first of them, do not fit the arrays of the header."""
        for name, array, section in zip(cif.arrays, cif.arrays.values(), sections, strict=False):
            found = (section.fast, section.slow, section.layers)
            if found != array.size:
                described, has = (
                    " x ".join(str(n) for n in sizes[: 2 if array.size[2] == found[2] == 1 else 3])
                    for sizes in (array.size, found)
                )
                where = f"array '{name}', binary section at byte {section.start}"
                raise HeaderError(
                    self.path, where, f"{described} pixels as the CIF header says", has, "copy the file again"
                )

    def _distance(self) -> float:
        """Detector distance in mm."""
        distance = self._number("Detector_distance")
        if distance and distance > 0:
            return distance * 1e3
        if self.options.distance:
            return self.options.distance
        remedy = "geometry.detector.distance=<mm>"
        raise self._missing("detector distance", "# Detector_distance 0.1 m", remedy, distance)

    def _flat_frame(self, size: tuple[int, int], notes: list[str]) -> Frame:
        """Frame of a plain miniCBF: fast to +x, slow to -y, the beam along -z through the header's beam centre."""
        header = self.header
        pixel = header.pixel_size if header is not None else None
        if pixel is None or min(pixel) <= 0:
            pixel = self.options.pixel_size
        if pixel is None:
            remedy = (
                "set geometry.detector.panel.pixel_size=<fast mm>,<slow mm>, or give an experiment list with the geometry "
                "as reference_geometry="
            )
            line = "header, line '# Pixel_size 172e-6 m x 172e-6 m' or the categories _axis and _array_structure_list"
            raise HeaderError(self.path, line, "the pixel size", None, remedy)
        beam_xy = header.beam_xy if header is not None else None
        if beam_xy is None:
            beam_xy = (size[0] / 2.0, size[1] / 2.0)
            notes.append(no_beam_centre("line '# Beam_xy (1.0, 1.0) pixels'"))
        two_theta = self._number("Detector_2theta")
        if two_theta:
            notes.append(no_axis_of_two_theta("line '# Detector_2theta'", f"{two_theta} deg"))
        origin = (-beam_xy[0] * pixel[0], beam_xy[1] * pixel[1], -self._distance())
        return Frame((1.0, 0.0, 0.0), (0.0, -1.0, 0.0), origin, pixel)


def _note(notes: list[str], text: str) -> None:
    """Add a note that is not there yet."""
    if text not in notes:
        notes.append(text)
