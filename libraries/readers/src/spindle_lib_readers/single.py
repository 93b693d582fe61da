"""What readers of image files have in common; the stacks among them are in `spindle_lib_readers.stack`."""

from __future__ import annotations

import calendar
from abc import abstractmethod
from datetime import datetime
from functools import cached_property
from pathlib import Path

import numpy as np

from spindle.contracts.format import HEAD_SIZE, FormatOptions, ImageModels, ImageReader
from spindle.errors import HeaderError, SpindleError, fault
from spindle.images import read_all, read_head

__all__ = ["MOST_PIXELS", "HeaderReader", "SingleImageReader", "epoch_of", "fill", "refuse_giants"]

# The largest cameras have a tenth of that.
MOST_PIXELS = 1 << 28
_MOST_PER_PIXEL, _MOST_HEADER = 8, 1 << 24

_DATES = (
    "%a %b %d %H:%M:%S %Y", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y:%m:%d %H:%M:%S", "%m/%d/%y %H:%M:%S",
    "%d-%b-%Y %H:%M:%S",
)  # fmt: skip


def epoch_of(text: str) -> float:
    """Seconds since 1970 of a date in one of the usual styles, taken as UTC; 0 when it is none of them."""
    words = " ".join(text.split())
    for pattern in _DATES:
        try:
            return float(max(calendar.timegm(datetime.strptime(words, pattern).timetuple()), 0))
        except ValueError:
            continue
    return 0.0


def refuse_giants(path: Path, place: str, n_pixels: int) -> None:
    """Raise a `HeaderError` for images that are larger than any detector's, and than what memory holds."""
    if n_pixels > MOST_PIXELS:
        raise HeaderError(
            path,
            place,
            f"at most {MOST_PIXELS} pixels in an image",
            f"{n_pixels}",
            "the file is damaged: copy it again",
        )


def fill(pixels: list[np.ndarray], out: list[np.ndarray] | None = None) -> list[np.ndarray]:
    """Pixels as a format has to give them: int32 or float32, in the memory of an earlier call when it fits.

    Parameters
    ----------
    pixels : list of (slow, fast) arrays
        Any integer or floating type; integers beyond 32 bits become the largest or smallest that fits.
    out : list of arrays, optional
        As `ImageReader.read` takes it.

    Returns
    -------
    list of (slow, fast) int32 or float32 arrays
    """
    kinds = [np.float32 if p.dtype.kind == "f" else np.int32 for p in pixels]
    if (
        out is None
        or len(out) != len(pixels)
        or any(o.shape != p.shape or o.dtype != k for o, p, k in zip(out, pixels, kinds, strict=True))
    ):
        out = [np.empty(p.shape, k) for p, k in zip(pixels, kinds, strict=True)]
    limits = np.iinfo(np.int32)
    for target, source in zip(out, pixels, strict=True):
        if source.dtype.kind in "ui" and not np.can_cast(source.dtype, np.int32):
            source = np.clip(source, limits.min if source.dtype.kind == "i" else 0, limits.max)
        target[...] = source
    return out


# Parameters that give what a header lacks, by their name in `FormatOptions`.
_REMEDIES = {
    "wavelength": "geometry.beam.wavelength=<angstrom>",
    "distance": "geometry.detector.distance=<mm>",
    "pixel_size": "geometry.detector.panel.pixel_size=<fast mm>,<slow mm>",
}


def no_beam_centre(item: str) -> str:
    """Note of a header without a beam centre; `item` is what holds it in such headers."""
    remedy = "the centre of the detector is taken; set geometry.detector.fast_slow_beam_centre=<fast px>,<slow px>"
    return fault(f"header, {item}", "the beam centre", None, remedy)


def no_rotation(item: str, found: object = None) -> str:
    """Note of a header without the rotation during the image, or with one of zero; `item` as `no_beam_centre`."""
    remedy = "taken as a still; if the crystal was turned set geometry.scan.oscillation=<start>,<width>"
    return fault(f"header, {item}", "the rotation during the image", found, remedy)


def no_sensor(place: str) -> str:
    """Note of a file that does not tell enough of the sensor for the depth at which photons stop."""
    remedy = (
        "positions are not corrected for depth in the sensor; set geometry.detector.panel.material= and "
        "geometry.detector.panel.thickness="
    )
    return fault(place, "sensor material and thickness", None, remedy)


def no_axis_of_two_theta(item: str, found: object) -> str:
    """Note of a header with a detector angle but without its axis; `item` as `no_beam_centre`."""
    remedy = (
        "left perpendicular to the beam; set geometry.detector.panel.fast_axis=, geometry.detector.panel.slow_axis= and "
        "geometry.detector.panel.origin="
    )
    return fault(f"header, {item}", "the axis that the detector is turned about", f"its angle alone, {found}", remedy)


class HeaderReader(ImageReader):
    """A file whose header is turned into models, with the options of the user where it lacks something.

    Parameters
    ----------
    path : Path
    head : bytes
        First bytes of the decompressed file; empty for a further file of a series.
    options : FormatOptions, optional
    """

    def __init__(self, path: Path, head: bytes = b"", options: FormatOptions | None = None) -> None:
        self.path = Path(path)
        self.options = options or FormatOptions()
        self._head = head

    @property
    def head(self) -> bytes:
        """First bytes of the decompressed file."""
        if not self._head:
            self._head = read_head(self.path)
        return self._head

    @abstractmethod
    def make_models(self) -> ImageModels:
        """Models from the header."""

    @cached_property
    def _models(self) -> ImageModels:
        models = self.make_models()
        sizes = [p.image_size for p in models.detector]
        refuse_giants(self.path, "header, size of the image", sum(fast * slow for fast, slow in sizes))
        return models

    def _check(self, index: int) -> None:
        if index != 0 and not 0 <= index < self.n_images:
            raise IndexError(
                f"{self.path}: image {index} was asked for, the file holds {self.n_images}, counted from 0"
            )

    def models(self, index: int = 0) -> ImageModels:
        """Models of the image; see `ImageReader.models`."""
        self._check(index)
        return self._models

    def stored(self, data: np.ndarray, start: int, dtype: str, shape: tuple[int, int]) -> np.ndarray:
        """(slow, fast) view of pixels that are stored as they are.

        Parameters
        ----------
        data : (n_bytes,) int8
        start : int
            First byte of the pixels.
        dtype : str
            numpy's name with the byte order, "<u2".
        shape : (slow, fast)

        Raises
        ------
        HeaderError
            If the file ends before the pixels do.
        """
        size = np.dtype(dtype).itemsize * shape[0] * shape[1]
        if data.size < start + size:
            raise self.cut_short(data.size, start + size, shape)
        return data[start : start + size].view(dtype).reshape(shape)

    def wavelength(self, found: float | None, item: str) -> float:
        """Wavelength of the header, else of the options, in angstrom.

        Parameters
        ----------
        found : float or None
        item : str
            The header's name for it, for the error.
        """
        if found is not None and found > 0:
            return found
        if self.options.wavelength:
            return self.options.wavelength
        raise self.missing("wavelength", item, found, _REMEDIES["wavelength"])

    def distance(self, found: float | None, item: str) -> float:
        """Distance of the header, else of the options, in mm; as `wavelength`."""
        if found is not None and found > 0:
            return found
        if self.options.distance:
            return self.options.distance
        raise self.missing("detector distance", item, found, _REMEDIES["distance"])

    def pixel_size(self, found: tuple[float, float] | None, item: str) -> tuple[float, float]:
        """Pixel size (fast, slow) of the header, else of the options, in mm; as `wavelength`."""
        if found is not None and min(found) > 0:
            return found
        if self.options.pixel_size:
            return self.options.pixel_size
        raise self.missing("pixel size", item, found, _REMEDIES["pixel_size"])

    def missing(self, what: str, item: str, found: object, remedy: str) -> HeaderError:
        """The error of a header without something that is needed."""
        return HeaderError(self.path, f"header, {item}", f"the {what}", found, f"set {remedy}")

    def require(self, item: str, **found: object) -> None:
        """Raise one error for all that a header without geometry lacks and the user has not given.

        Parameters
        ----------
        item : str
            Where such headers would have it.
        found : object
            What the header has of wavelength, distance and pixel_size; None or zero for nothing.
        """
        lacking = [name for name in _REMEDIES if not found.get(name) and not getattr(self.options, name)]
        if lacking:
            what = " and ".join(f"the {name.replace('_', ' ')}" for name in lacking)
            raise HeaderError(self.path, item, what, None, f"set {' '.join(_REMEDIES[name] for name in lacking)}")

    def cut_short(self, size: int, needed: int, shape: tuple[int, int]) -> HeaderError:
        """The error of a file of `size` bytes that should have `needed` for its (slow, fast) pixels."""
        pixels = f"{needed} bytes to hold {shape[1]} x {shape[0]} pixels"
        return HeaderError(
            self.path, "end of the file", pixels, f"{size} bytes", "the file is cut short: copy it again"
        )


class SingleImageReader(HeaderReader):
    """A file with one image; a format adds `make_models` and `decode`; see `HeaderReader`."""

    @abstractmethod
    def decode(self, data: np.ndarray) -> list[np.ndarray]:
        """Pixels of each panel, (slow, fast), of any integer or floating type.

        Parameters
        ----------
        data : (n_bytes,) int8
            The whole file, decompressed; it lies in a buffer that the next file overwrites.
        """

    def announced(self) -> int:
        """Bytes of the decompressed file at most, by the size of the image in its header."""
        n_pixels = sum(p.image_size[0] * p.image_size[1] for p in self._models.detector)
        return _MOST_HEADER + _MOST_PER_PIXEL * n_pixels

    def read(self, index: int = 0, out: list[np.ndarray] | None = None) -> list[np.ndarray]:
        """Pixels; see `ImageReader.read`."""
        self._check(index)
        data = read_all(self.path, self.announced)
        if not self._head:
            self._head = data[:HEAD_SIZE].tobytes()
        try:
            pixels = self.decode(data)
        except SpindleError:
            raise
        except Exception as error:  # the decoders of other libraries raise whatever they like on damaged files
            found = f"what cannot be decoded ({type(error).__name__}: {error}) in {data.size} bytes"
            raise HeaderError(
                self.path, "pixels", "as many as the header says", found, "the file is damaged: copy it again"
            ) from error
        return fill(pixels, out)
