"""The detector of a NeXus entry, image by image, and the pixels that the file declares bad."""

from __future__ import annotations

import h5py
import numpy as np

from spindle.contracts.format import FormatOptions
from spindle.errors import HeaderError, fault
from spindle.geometry import DENSITIES, sensor_depth
from spindle.models import Beam, Detector, Panel
from spindle_lib_readers.single import no_sensor

from .hdf import fault_at, find_class, get, kind_of, number, quantity, text, unpackable
from .layout import Entry
from .modules import Frame, Module, Region, read_modules
from .trusted import trusted_range

_MATERIALS = {"silicon": "Si", "si": "Si", "cdte": "CdTe", "cadmium telluride": "CdTe", "gaas": "GaAs"}
# Modules whose corners are that close to the grid of the first one are one panel, pixels.
_ON_GRID_PX = 1e-3
_PLACE_BY_DISTANCE = "set geometry.detector.distance=<mm> to place the detector by beam_center_x and beam_center_y"
_PLACED_BY_DISTANCE = (
    "placed by beam_center_x, beam_center_y and the geometry.detector.distance= that is given, across the beam"
)


class DetectorReader:
    """Detector of an entry.

    Parameters
    ----------
    entry : Entry
    shape : tuple of int
        Of an image: (slow, fast) or (module, slow, fast).
    dtype : dtype
        Of the stored pixels.
    options : FormatOptions
    notes : list of str
        Filled.

    Raises
    ------
    FileFormatError
        If the detector cannot be placed.
    """

    def __init__(
        self, entry: Entry, shape: tuple[int, ...], dtype: np.dtype, options: FormatOptions, notes: list[str]
    ) -> None:
        self.entry = entry
        self.shape = shape
        self.options = options
        self.trusted = trusted_range(entry.detector, dtype, notes)
        self.modules = self._modules(notes)
        if not self.modules:
            self.modules = [self._flat_module(notes)]
        self.is_one_panel = self._is_one_panel()
        self.moving = {a.path: a for m in self.modules for a in m.moving()}
        self.material, self.thickness = self._sensor(notes)
        self.parallax = options.parallax if self.material and self.thickness > 0 else "none"
        if self.parallax != options.parallax:
            notes.append(no_sensor(entry.detector.name))
        self.serial = self._serial()
        self._detectors: dict[tuple[float, ...], Detector] = {}
        self._upstream_noted = False
        self._check_distance(notes)

    # -- frames --------------------------------------------------------------------------------------------------------

    def _modules(self, notes: list[str]) -> list[Module]:
        try:
            modules = read_modules(self.entry, self.shape, notes)
        except HeaderError as error:
            if len(self.shape) != 2:
                raise
            if self.options.distance is None:
                remedy = f"{error.remedy}, or {_PLACE_BY_DISTANCE}"
                raise HeaderError(error.file, error.place, error.expected, error.found, remedy) from error
            notes.append(fault(error.place, error.expected, error.found, _PLACED_BY_DISTANCE))
            return []
        for module in modules:
            frame = module.frame(0)
            if abs(float(np.cross(frame.fast, frame.slow) @ frame.origin)) > 1e-3:
                continue
            stated = quantity(self.entry.detector, "distance", "length", "m")
            chain = " -> ".join(a.path for a in module.origin_chain) or "nothing"
            away = f" by {stated:g} mm" if stated else ""
            expected = f"a chain of depends_on that moves the detector away from the sample{away}"
            found = f"one that leaves it in the sample ({chain}): a depends_on is missing or wrong"
            if self.options.distance is not None and len(self.shape) == 2:
                notes.append(fault(module.name, expected, found, _PLACED_BY_DISTANCE))
                return []
            raise HeaderError(
                self.entry.group.file.filename, module.name, expected, found, f"correct it, or {_PLACE_BY_DISTANCE}"
            )
        return modules

    def _flat_module(self, notes: list[str]) -> Module:
        """A detector across the beam, fast to +x and slow to -y, as Dectris master files describe it."""
        detector = self.entry.detector
        if len(self.shape) != 2:
            expected = f"an NXdetector_module for each of the {self.shape[0]} modules of the images"
            raise fault_at(detector, expected, None, "add them as the definition NXmx says")
        sizes = self._pixel_size()
        if sizes is None:
            remedy = "set geometry.detector.panel.pixel_size=<fast mm>,<slow mm>"
            raise fault_at(detector, "NXdetector_module groups, or x_pixel_size and y_pixel_size", None, remedy)
        distance = quantity(detector, "detector_distance", "length", "m") or quantity(
            detector, "distance", "length", "m"
        )
        if self.options.distance is not None and not distance:
            distance = self.options.distance
        if not distance:
            remedy = "set geometry.detector.distance=<mm>"
            raise fault_at(detector, "NXdetector_module groups, or a detector_distance", None, remedy)
        x, y = (number(detector, f"beam_center_{axis}") for axis in "xy")
        if x is None or y is None:
            x, y = self.shape[1] / 2.0, self.shape[0] / 2.0
            remedy = "the centre of the detector is taken; set geometry.detector.fast_slow_beam_centre="
            notes.append(fault(detector.name, "beam_center_x and beam_center_y", None, remedy))
        if self.options.distance is not None:
            distance = self.options.distance
        return _FlatModule(detector.name, self.shape, (sizes[0], sizes[1]), (x, y), distance)

    def _pixel_size(self) -> tuple[float, float] | None:
        """Fast and slow size in mm, from the detector, from a module that is faulty otherwise, or from the user."""
        detector = self.entry.detector
        stated = [quantity(detector, f"{axis}_pixel_size", "length", "m") for axis in "xy"]
        if stated[0] and stated[1]:
            return stated[0], stated[1]
        if self.options.pixel_size:
            return self.options.pixel_size
        for module in find_class(detector, "NXdetector_module"):
            lengths = [quantity(module, f"{name}_pixel_direction", "length") for name in ("fast", "slow")]
            if lengths[0] and lengths[1]:
                return abs(lengths[0]), abs(lengths[1])
        return None

    def _is_one_panel(self) -> bool:
        """Whether all modules are parts of one plane on one grid of pixels, and the user wants no module alone."""
        first = self.modules[0]
        if len(self.modules) == 1:
            return False
        if self.options.multi_panel or len(self.shape) != 2:
            return False
        base = first.frame(0)
        step = np.array([base.fast * first.pixel_size[0], base.slow * first.pixel_size[1]])
        for module in self.modules[1:]:
            frame = module.frame(0)
            if module.pixel_size != first.pixel_size or module.moving() != first.moving():
                return False
            if np.abs(frame.fast - base.fast).max() > 1e-7 or np.abs(frame.slow - base.slow).max() > 1e-7:
                return False
            fast, slow = module.start[1] - first.start[1], module.start[0] - first.start[0]
            away = frame.origin - (base.origin + fast * step[0] + slow * step[1])
            if np.linalg.norm(away) > _ON_GRID_PX * min(first.pixel_size):
                return False
        return True

    def _check_distance(self, notes: list[str]) -> None:
        """Say when the stated distance is not that of the chain, or the detector stands before the sample."""
        frame = self.modules[0].frame(0)
        found = abs(float(np.cross(frame.fast, frame.slow) @ frame.origin))
        stated = quantity(self.entry.detector, "distance", "length", "m") or quantity(
            self.entry.detector, "detector_distance", "length", "m"
        )
        if stated and abs(stated - found) > 0.02 * found and not isinstance(self.modules[0], _FlatModule):
            remedy = "the transformations are taken; set geometry.detector.distance= if they are wrong"
            expected = f"transformations to the distance that the file gives, {stated:g} mm"
            notes.append(fault(self.entry.detector.name, expected, f"{found:g} mm", remedy))
        if self._is_upstream(frame):
            expected = "transformations that put the detector behind the sample (z along the beam, above zero)"
            remedy = "moved to the other side, same distance; set geometry.detector.panel.origin= if it stands there"
            notes.append(fault(self.entry.detector.name, expected, f"z = {-frame.origin[2]:g} mm", remedy))

    def _is_upstream(self, frame: Frame) -> bool:
        normal = np.cross(frame.fast, frame.slow)
        return len(self.modules) == 1 and abs(float(normal[2])) > 0.99 and float(frame.origin[2]) > 0

    # -- models --------------------------------------------------------------------------------------------------------

    def detector(self, image: int, beam: Beam) -> Detector:
        """Detector at an image (0-based); the same object for the same positions and wavelength."""
        key = (beam.wavelength, float(beam.probe == "x-ray"), *(a.value(image) for a in self.moving.values()))
        if key not in self._detectors:
            self._detectors[key] = self._build(image, beam)
        return self._detectors[key]

    def _build(self, image: int, beam: Beam) -> Detector:
        mu, parallax = sensor_depth(self.material, self.thickness, beam.wavelength, self.parallax, beam.probe)
        panels = []
        for module in self.modules[:1] if self.is_one_panel else self.modules:
            frame = module.frame(image)
            origin, size, offset = frame.origin, module.size[-2:], module.start[-2:]
            if self._is_upstream(frame):
                origin = origin * np.array([1.0, 1.0, -1.0])
            if self.is_one_panel:
                origin = (
                    origin
                    - module.start[1] * module.pixel_size[0] * frame.fast
                    - module.start[0] * module.pixel_size[1] * frame.slow
                )
                size, offset = (self.shape[0], self.shape[1]), (0, 0)
            panels.append(
                Panel(
                    fast_axis=frame.fast,
                    slow_axis=frame.slow,
                    origin=origin,
                    pixel_size=np.array(module.pixel_size),
                    image_size=(size[1], size[0]),
                    name=self.entry.detector.name if self.is_one_panel else module.name,
                    trusted_range=self.trusted,
                    thickness=self.thickness,
                    material=self.material,
                    mu=mu,
                    identifier=self.serial,
                    raw_image_offset=(offset[1], offset[0]) if len(self.shape) == 2 else (0, 0),
                    parallax=parallax,
                )
            )
        return Detector(panels)

    def _sensor(self, notes: list[str]) -> tuple[str, float]:
        """Material and thickness in mm; ("", 0) when unknown."""
        detector = self.entry.detector
        node = get(detector, "sensor_material")
        if node is None:
            return "", 0.0
        name = text(node)
        material = _MATERIALS.get(name.lower(), name)
        if material not in DENSITIES:
            remedy = "taken as unknown; set geometry.detector.panel.material= and thickness="
            notes.append(fault(node.name, f"a known material ({', '.join(DENSITIES)})", f"'{name}'", remedy))
            return "", 0.0
        return material, quantity(detector, "sensor_thickness", "length", "m") or 0.0

    def _serial(self) -> str:
        for name in ("detector_number", "serial_number", "local_name"):
            node = get(self.entry.detector, name)
            if isinstance(node, h5py.Dataset):
                return text(node)
        return ""

    # -- pixels --------------------------------------------------------------------------------------------------------

    def regions(self) -> list[Region]:
        """Index of each panel's pixels in the image."""
        if self.is_one_panel:
            return [(slice(0, self.shape[0]), slice(0, self.shape[1]))]
        return [m.region for m in self.modules]

    def map_of_image(self, name: str, notes: list[str]) -> np.ndarray | None:
        """A dataset of the detector with a number per pixel (pixel_mask, flatfield); None when there is none that fits."""
        node = self.find_map(name, notes)
        if node is None:
            return None
        values = np.asarray(unpackable(node)[()])
        return values[0] if values.ndim == len(self.shape) + 1 else values

    def find_map(self, name: str, notes: list[str]) -> h5py.Dataset | None:
        """The dataset of `map_of_image`, unread; one that does not fit the images is left out, which is noted."""
        node = get(self.entry.detector, name)
        if node is None:
            node = get(self.entry.detector, f"detectorSpecific/{name}")  # the first Eigers
        remedy = "; give a mask with lookup.mask=" if "mask" in name else "; give a gain map with lookup.gain="
        if not isinstance(node, h5py.Dataset):
            if node is not None or name in self.entry.detector:
                where = f"{self.entry.detector.name}/{name}"
                found = "a link that leads nowhere, or a dataset without values" if node is None else "a group"
                notes.append(fault(where, "a dataset", found, f"it is left out{remedy}"))
            return None
        if node.dtype.kind not in "biuf":
            notes.append(fault(node.name, "numbers", kind_of(node.dtype), f"it is left out{remedy}"))
            return None
        if node.shape in (self.shape, (1, *self.shape)):
            return node
        hint = " (slow and fast are swapped)" if node.shape == self.shape[::-1] else ""
        expected = f"the shape of the images, {' x '.join(map(str, self.shape))} (slow x fast)"
        found = f"{' x '.join(map(str, node.shape))}{hint}"
        notes.append(fault(node.name, expected, found, f"it is left out{remedy}"))
        return None

    def outside_modules(self) -> np.ndarray | None:
        """(slow, fast) bool, True outside all modules, of a detector that is one panel; None otherwise."""
        if not self.is_one_panel:
            return None
        outside = np.ones(self.shape, dtype=np.bool_)
        for module in self.modules:
            outside[module.region] = False
        return outside if outside.any() else None


class _FlatModule(Module):
    """A whole detector across the beam."""

    __slots__ = ("centre", "distance")
    centre: tuple[float, float]
    distance: float

    def __init__(
        self,
        name: str,
        shape: tuple[int, ...],
        pixel_size: tuple[float, float],
        centre: tuple[float, float],
        distance: float,
    ) -> None:
        fast, slow = np.array([-1.0, 0.0, 0.0]), np.array([0.0, -1.0, 0.0])
        super().__init__(name, (0, 0), shape, pixel_size, fast, slow, [], [], [])
        object.__setattr__(self, "centre", centre)
        object.__setattr__(self, "distance", distance)

    def frame(self, image: int) -> Frame:
        """Frame, the same for all images."""
        origin = np.array([-self.centre[0] * self.pixel_size[0], self.centre[1] * self.pixel_size[1], -self.distance])
        return Frame(np.array([1.0, 0.0, 0.0]), np.array([0.0, -1.0, 0.0]), origin)
