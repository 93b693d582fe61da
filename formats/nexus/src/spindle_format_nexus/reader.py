"""A NeXus file opened for reading: models from its groups, pixels from its datasets."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from itertools import accumulate
from pathlib import Path

import h5py
import numpy as np

from spindle.contracts.format import Chunk, FormatOptions, ImageModels, ImageReader
from spindle.errors import FileFormatError, HeaderError, fault
from spindle.geometry import ELECTRONS_BELOW_A
from spindle_lib_readers.single import refuse_giants

from .beam import BeamReader
from .detector import DetectorReader
from .hdf import fault_at, get, number, open_file
from .layout import Entry, find_entries, image_datasets
from .rotation import RotationReader
from .stored import Frames, StoredFrames, open_frames

# Bits of pixel_mask that tell of a pixel not to be used; the upper half are properties (NXdetector, NeXus).
_BAD_BITS = 0x0000FFFF
# Images of one file: no measurement has as many.
MOST_IMAGES = 1_000_000


@dataclass(slots=True, eq=False)
class _Measurement:
    """One entry: its images and models."""

    entry: Entry
    stacks: list[Frames]
    detector: DetectorReader
    beam: BeamReader
    rotation: RotationReader
    flatfield: np.ndarray | None
    notes: list[str] = field(default_factory=list)

    def counts(self) -> list[int]:
        """Images in each dataset now."""
        return [stack.count() for stack in self.stacks]


class NexusReader(ImageReader):
    """All images of a NeXus file.

    Parameters
    ----------
    path : Path
    options : FormatOptions

    Raises
    ------
    FileFormatError
        If the file, or a file that it refers to, cannot be used.
    """

    format = "nexus"

    def __init__(self, path: Path, options: FormatOptions | None = None) -> None:
        self.path = Path(path)
        self.options = options or FormatOptions()
        self._lock = threading.Lock()
        self._file = open_file(self.path)
        try:
            self._measurements = [self._open(entry) for entry in find_entries(self._file)]
        except FileFormatError:
            self._file.close()
            raise
        except (OSError, RuntimeError, KeyError) as error:
            self._file.close()
            raise HeaderError(self.path, "HDF5", "a whole file", error, "copy the file again") from error
        self._is_growing = self._file.swmr_mode or any(
            stack.dataset.file.swmr_mode for m in self._measurements for stack in m.stacks
        )
        self._counts = [m.counts() for m in self._measurements]

    def _open(self, entry: Entry) -> _Measurement:
        notes: list[str] = []
        datasets = image_datasets(entry, self.options.is_growing)
        for dataset in datasets:
            self._check_shape(dataset, datasets[0])
        stacks = [open_frames(d) for d in datasets]
        count = sum(stack.count() for stack in stacks)
        if not count:
            raise fault_at(datasets[0], "images", "none yet", "import again when the first is written")
        shape = stacks[0].shape
        beam = BeamReader(entry, count, self.options, notes)
        is_photon = beam.probe == "x-ray" and float(beam.wavelengths.min()) >= ELECTRONS_BELOW_A
        options = self.options if is_photon else replace(self.options, parallax="none")
        detector = DetectorReader(entry, shape, stacks[0].dtype, options, notes)
        rotation = RotationReader(entry, count, notes)
        if not self.options.is_growing:
            self._check_count(entry, count, notes)
            self._check_written(stacks, notes)
        flatfield = self._flatfield(entry, detector, notes)
        known = [n for n in ("pixel_mask", "detectorSpecific/pixel_mask") if n in entry.detector]
        if detector.find_map("pixel_mask", notes) is None and not known:
            remedy = "all pixels are taken as good; give a mask with lookup.mask="
            notes.append(fault(entry.detector.name, "a pixel_mask", None, remedy))
        return _Measurement(entry, stacks, detector, beam, rotation, flatfield, notes)

    @staticmethod
    def _check_shape(dataset: h5py.Dataset, first: h5py.Dataset) -> None:
        if dataset.ndim not in (2, 3, 4) or dataset.dtype.kind not in "iuf":
            found = f"{dataset.dtype} of {' x '.join(map(str, dataset.shape)) or 'no axes'}"
            expected = "images, numbers with the axes (image, slow, fast) or (image, module, slow, fast)"
            raise fault_at(dataset, expected, found, "name the right dataset in the attribute 'signal' of its group")
        frame = dataset.shape[-2:] if dataset.ndim == 2 else dataset.shape[1:]
        if dataset.ndim > 2 and dataset.shape[0] > MOST_IMAGES:
            found = f"{dataset.shape[0]}"
            raise fault_at(dataset, f"at most {MOST_IMAGES} images", found, "the file is damaged: copy it again")
        refuse_giants(Path(dataset.file.filename), dataset.name, int(np.prod([int(n) for n in frame], dtype=object)))
        if dataset.shape[-2:] != first.shape[-2:] or dataset.dtype != first.dtype:
            expected = f"images as in {first.name}, {first.dtype} of {' x '.join(map(str, first.shape[1:]))}"
            found = f"{dataset.dtype} of {' x '.join(map(str, dataset.shape[1:]))}"
            raise fault_at(dataset, expected, found, "copy it again; this may be the file of another measurement")

    @staticmethod
    def _check_count(entry: Entry, count: int, notes: list[str]) -> None:
        """Say when a Dectris file was to have another number of images."""
        special = get(entry.detector, "detectorSpecific")
        if not isinstance(special, h5py.Group):
            return
        images, triggers = number(special, "nimages"), number(special, "ntrigger") or 1.0
        if images and round(images * triggers) != count:
            remedy = "those that are there are imported; copy missing files, or choose with geometry.scan.image_range="
            notes.append(fault(f"{special.name}/nimages", f"{count} images", f"{round(images * triggers)}", remedy))

    @staticmethod
    def _check_written(stacks: list[Frames], notes: list[str]) -> None:
        """Say when a measurement was stopped before all images were written."""
        for stack in stacks:
            if not isinstance(stack, StoredFrames) or stack.dataset.file.swmr_mode:
                continue
            count, written = stack.count(), stack.written()
            if written < count:
                remedy = (
                    "the others were never written: leave them out with geometry.scan.image_range=<first>,<last>, or "
                    "copy the file again"
                )
                notes.append(fault(stack.dataset.name, f"chunks of {count} images", f"those of {written}", remedy))

    @staticmethod
    def _flatfield(entry: Entry, detector: DetectorReader, notes: list[str]) -> np.ndarray | None:
        """Factors of the pixels when they are not yet applied; float32 of the shape of an image."""
        applied = number(entry.detector, "flatfield_applied", "flatfield_correction_applied")
        if applied is None or applied:
            return None
        values = detector.map_of_image("flatfield", notes)
        if values is None or np.all(values == 1):
            return None
        with np.errstate(over="ignore"):
            factors = np.ascontiguousarray(values, dtype=np.float32)
        bad = ~np.isfinite(factors) | (factors < 0)
        if bad.any():
            where, remedy = f"{entry.detector.name}/flatfield", "it is left out; give a gain map with lookup.gain="
            found = f"{np.count_nonzero(bad)} that are none, e.g. {values[bad][0]:g}"
            notes.append(fault(where, "finite factors of 0 or more", found, remedy))
            return None
        return factors

    # -- images --------------------------------------------------------------------------------------------------------

    @property
    def n_images(self) -> int:
        """Number of images; of a file that is being written, as many as there are now."""
        if self._is_growing:
            with self._lock:
                self._counts = [m.counts() for m in self._measurements]
        return sum(map(sum, self._counts))

    @property
    def follows_file(self) -> bool:
        """Whether another program writes the file in SWMR mode."""
        return self._is_growing

    def _locate(self, index: int) -> tuple[_Measurement, int]:
        """Entry of an image and the image in it."""
        for _ in range(2):
            left = index
            for measurement, counts in zip(self._measurements, self._counts, strict=True):
                if 0 <= left < sum(counts):
                    return measurement, left
                left -= sum(counts)
            if not self._is_growing or index < self.n_images:
                break
        raise IndexError(f"{self.path} holds {sum(map(sum, self._counts))} images; image {index} was asked for")

    def models(self, index: int = 0) -> ImageModels:
        """Models of an image; see `ImageReader.models`."""
        measurement, image = self._locate(index)
        if image >= measurement.rotation.n_images:
            self._look_again(measurement)
        beam = measurement.beam.beam(image)
        goniometer, scan = measurement.rotation.models(image)
        notes = tuple(measurement.notes) if image == 0 else ()
        return ImageModels(beam, measurement.detector.detector(image, beam), goniometer, scan, notes)

    def _look_again(self, measurement: _Measurement) -> None:
        """Read angles and wavelengths of a file that has grown."""
        count = sum(measurement.counts())
        measurement.beam = BeamReader(measurement.entry, count, self.options, [])
        measurement.rotation = RotationReader(measurement.entry, count, [])

    def read(self, index: int = 0, out: list[np.ndarray] | None = None) -> list[np.ndarray]:
        """Pixels; see `ImageReader.read`."""
        measurement, image = self._locate(index)
        stack, frame = self._frame(measurement, image)
        is_float = stack.dtype.kind == "f" or measurement.flatfield is not None
        pixels = _base_image(out, stack.shape, np.dtype(np.float32 if is_float else np.int32))
        stack.read(frame, pixels)
        if measurement.flatfield is not None:
            low, high = measurement.detector.trusted
            np.multiply(pixels, measurement.flatfield, out=pixels, where=(pixels >= low) & (pixels <= high))
        return [pixels[region] for region in measurement.detector.regions()]

    def read_chunk(self, index: int = 0) -> Chunk | None:
        """The compressed pixels; see `ImageReader.read_chunk`."""
        measurement, image = self._locate(index)
        if measurement.flatfield is not None:
            return None
        stack, frame = self._frame(measurement, image)
        return stack.chunk(frame)

    def _frame(self, measurement: _Measurement, image: int) -> tuple[Frames, int]:
        counts = self._counts[self._measurements.index(measurement)]
        for stack, last in zip(measurement.stacks, accumulate(counts), strict=True):
            if image < last:
                return stack, image - (last - counts[measurement.stacks.index(stack)])
        raise IndexError(f"{self.path}: image {image} was asked for")

    def mask(self) -> list[np.ndarray] | None:
        """Good pixels; see `ImageReader.mask`."""
        detector = self._measurements[0].detector
        values = detector.map_of_image("pixel_mask", [])
        outside = detector.outside_modules()
        if values is None and outside is None:
            return None
        good = np.ones(detector.shape, dtype=np.bool_)
        if values is not None:
            good = values == 0 if values.dtype.kind not in "iu" else (values & _BAD_BITS) == 0
        if outside is not None:
            good &= ~outside
        return [np.ascontiguousarray(good[region]) for region in detector.regions()]


def _base_image(out: list[np.ndarray] | None, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """The whole image behind the arrays of an earlier call when it fits, else fresh memory."""
    base = out[0] if out else None
    while isinstance(base, np.ndarray):
        if base.shape == shape and base.dtype == dtype and base.flags.c_contiguous and base.flags.writeable:
            return base
        base = base.base
    return np.empty(shape, dtype=dtype)
