"""Contract of the ``format`` slot: recognise an image file, give its models, read its pixels.

Chosen by looking at the file (every installed format is asked) or by ``format=``; entry-point group ``spindle.format``.
A format holds no state; the `ImageReader` that it opens may be used by several threads at once.

A variant of another format, such as a beamline's own header in CBF, names that one in the class attribute ``specialises``
(``specialises = "cbf"``): where both understand a file, the variant reads it. Variants of variants are more special still.

What a user may think that a format reads can be said in the class attributes ``endings`` (extensions without dot, beside the format's
name) and ``signatures`` (first bytes): when no format reads a file, those that may be meant say why not.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from . import hookspec
from .checking import Checked, Checks, Fault, instance, integer, items

if TYPE_CHECKING:
    from spindle.models import Beam, Detector, Goniometer, Scan

__all__ = ["HEAD_SIZE", "Chunk", "FormatOptions", "FormatSpec", "ImageModels", "ImageReader"]

# Bytes of the decompressed file that a format sees when it is asked whether it understands it.
HEAD_SIZE = 65536


@dataclass(frozen=True, slots=True)
class FormatOptions:
    """What a user may ask of any format.

    Attributes
    ----------
    multi_panel : bool
        One panel per detector module instead of one per detector, where the format knows the modules.
    parallax : "normalised", "dials" or "none"
        Mean depth in the sensor that the panels allow for; see `spindle.models.Panel`.
    verify_checksum : bool
        Compare the checksum that the file carries, if it does, with its pixels whenever they are read.
    wavelength : float or None, angstrom
    distance : float or None, mm
    pixel_size : (float, float) or None, mm
        Taken where the header gives none, so that a user can mend such files.
    is_growing : bool
        The series is still being written: what belongs to its end may be missing, and `ImageReader.n_images` tells of what is there.
    """

    multi_panel: bool = False
    parallax: str = "normalised"
    verify_checksum: bool = True
    wavelength: float | None = None
    distance: float | None = None
    pixel_size: tuple[float, float] | None = None
    is_growing: bool = False


@dataclass(frozen=True, slots=True)
class ImageModels:
    """What the header of one image says about the experiment.

    Attributes
    ----------
    beam, detector : models
    goniometer : Goniometer or None
        None when the file knows nothing of a rotation.
    scan : Scan or None
        Of this single image. Formats with one image per file use image number 1; the importer numbers images by file
        name.
    notes : tuple of str
        What the user should know about the reading: defaults taken, header lines that contradict each other. Each is
        shown once.
    """

    beam: Beam
    detector: Detector
    goniometer: Goniometer | None = None
    scan: Scan | None = None
    notes: tuple[str, ...] = field(default_factory=tuple)

    @property
    def exposure_time(self) -> float:
        """Exposure time of the image, seconds; 0 when unknown."""
        return 0.0 if self.scan is None or self.scan.exposure_times is None else float(self.scan.exposure_times[0])

    @property
    def epoch(self) -> float:
        """Start of the exposure, seconds since 1970 (UTC); 0 when unknown."""
        return 0.0 if self.scan is None or self.scan.epochs is None else float(self.scan.epochs[0])


@dataclass(frozen=True, slots=True)
class Chunk:
    """One image as it is stored.

    Attributes
    ----------
    data : bytes
    codec : str
        ``cbf_byte_offset``, ``cbf_packed`` and so on (CBF's x-CBF_BYTE_OFFSET ...), ``bitshuffle_lz4`` (HDF5 filter 32008 with its header
        of 12 bytes), ``lz4`` (HDF5 filter 32004), ``gzip`` (HDF5's deflate) or ``none`` (the pixels, little-endian).
    shape : (int, int)
        (slow, fast) of the whole image, of which panels may be parts.
    dtype : numpy.dtype
        Of the pixels as stored. `ImageReader.read` gives them as int32 or float32, and with what a format does to values that stand for
        no counts.
    """

    data: bytes
    codec: str
    shape: tuple[int, int]
    dtype: np.dtype


class ImageReader(ABC):
    """An open image file with one or several images.

    Opening reads no more than the header. All methods may be called from several threads at once.

    Attributes
    ----------
    path : Path
    format : str
        Name of the format, as ``format=`` takes it.
    """

    path: Path
    format: str

    @property
    def n_images(self) -> int:
        """Number of images in the file."""
        return 1

    @property
    def follows_file(self) -> bool:
        """Whether `n_images` and `read` see what is written into the file after it was opened; False, unless overridden.

        Any other reader of a series that is still being written is made anew to see more.
        """
        return False

    @abstractmethod
    def models(self, index: int = 0) -> ImageModels:
        """Models of image `index` (0-based).

        Raises
        ------
        FileFormatError
            If the header lacks something or contradicts itself: file, item, value found, remedy.
        """

    @abstractmethod
    def read(self, index: int = 0, out: list[np.ndarray] | None = None) -> list[np.ndarray]:
        """Raw pixels of image `index` (0-based).

        Parameters
        ----------
        index : int
        out : list of (slow, fast) arrays, optional
            What an earlier call returned; written over and returned when it fits, which spares the page faults of fresh
            memory.

        Returns
        -------
        list of (slow, fast) int32 or float32 arrays
            One per panel of the detector, C order (rows may be strided when panels are parts of one image).

        Raises
        ------
        FileFormatError
            If the file is truncated or corrupt: file, byte, expected, found.
        """

    @property
    def images_at_once(self) -> int:
        """How many files with one image each are best prepared together, see `prepare`; 1, unless overridden."""
        return 1

    def prepare(self, others: Sequence[ImageReader]) -> None:
        """Do what is quicker for the images of several files at once, such as comparing checksums; nothing, unless overridden.

        The thread that calls this reads them next, one after the other, this one first. What is wrong with a file is said when it is read.

        Parameters
        ----------
        others : sequence of ImageReader
            Of the same class, each of a file with one image.
        """
        return None

    def read_chunk(self, index: int = 0) -> Chunk | None:
        """Image `index` as it is stored, for those who decode it themselves, on a graphics processor for example; None, unless overridden.

        Returns
        -------
        Chunk or None
            None also where an image is stored in several pieces, or differs from its pixels by more than a codec.

        Raises
        ------
        FileFormatError
            If the file is truncated.
        """
        return None

    def mask(self) -> list[np.ndarray] | None:
        """Pixels that the file itself declares bad: one (slow, fast) bool array per panel, True is good; None if it
        says nothing.

        Untrusted rectangles of the panels and the trusted range are not in it.
        """
        return None


class CheckedReader(Checked, ImageReader):
    """A reader as its callers see it: what the format's own returns is checked."""

    @property
    def n_images(self) -> int:
        """Number of images in the file."""
        with self.guard("n_images"):
            count = self.inner.n_images
            integer(count, "the result", least=1)
            return int(count)

    @property
    def follows_file(self) -> bool:
        """Whether more is seen than there was; see `ImageReader.follows_file`."""
        with self.guard("follows_file"):
            return bool(instance(self.inner.follows_file, (bool, np.bool_), "the result"))

    def models(self, index: int = 0) -> ImageModels:
        """Models of an image; see `ImageReader.models`."""
        with self.guard("models"):
            found: ImageModels = instance(self.inner.models(index), ImageModels, "the result")
            return found

    def read(self, index: int = 0, out: list[np.ndarray] | None = None) -> list[np.ndarray]:
        """Pixels of an image; see `ImageReader.read`."""
        with self.guard("read"):
            panels = items(self.inner.read(index, out), np.ndarray, "the result")
            for i, pixels in enumerate(panels):
                if pixels.ndim != 2 or pixels.dtype not in (np.int32, np.float32):
                    raise Fault(
                        f"the result[{i}] is an array {pixels.shape} of {pixels.dtype}, (slow, fast) of int32 or float32 expected"
                    )
            return list(panels)

    @property
    def images_at_once(self) -> int:
        """How many images are best prepared together; see `ImageReader.images_at_once`."""
        with self.guard("images_at_once"):
            count = self.inner.images_at_once
            integer(count, "the result", least=1)
            return int(count)

    def prepare(self, others: Sequence[ImageReader]) -> None:
        """Prepare images together with those of the same class; see `ImageReader.prepare`."""
        inner = [getattr(other, "inner", other) for other in others]
        with self.guard("prepare"):
            self.inner.prepare([other for other in inner if type(other) is type(self.inner)])

    def read_chunk(self, index: int = 0) -> Chunk | None:
        """An image as it is stored; see `ImageReader.read_chunk`."""
        with self.guard("read_chunk"):
            chunk = self.inner.read_chunk(index)
            return None if chunk is None else instance(chunk, Chunk, "the result")  # type: ignore[no-any-return]

    def mask(self) -> list[np.ndarray] | None:
        """Pixels that the file declares bad; see `ImageReader.mask`."""
        with self.guard("mask"):
            masks = self.inner.mask()
            if masks is None:
                return None
            for i, good in enumerate(items(masks, np.ndarray, "the result")):
                if good.ndim != 2 or good.dtype != np.bool_:
                    raise Fault(
                        f"the result[{i}] is an array {good.shape} of {good.dtype}, (slow, fast) of bool expected"
                    )
            return list(masks)


def check_answer(arguments: dict[str, Any], result: Any) -> bool:
    """Refuse anything but yes or no."""
    return bool(instance(result, (bool, np.bool_), "the result"))


def check_reason(arguments: dict[str, Any], result: Any) -> str:
    """Refuse anything but text."""
    return str(instance(result, str, "the result"))


def check_reader(arguments: dict[str, Any], result: Any) -> ImageReader:
    """Refuse what is no reader."""
    return CheckedReader(instance(result, ImageReader, "the result"))


def no_reason() -> str:
    """What a format says that gives no reason."""
    return ""


class FormatSpec:
    """Hooks of a format plugin."""

    optional: ClassVar[frozenset[str]] = frozenset({"refusal"})
    defaults: ClassVar[dict[str, Any]] = {"refusal": no_reason}
    declares: ClassVar[dict[str, Any]] = {"specialises": ""}
    checks: ClassVar[Checks] = {"understand": check_answer, "refusal": check_reason, "open_image": check_reader}

    @hookspec(firstresult=True)
    def understand(  # type: ignore[empty-body]
        self, path: Path, head: bytes
    ) -> bool:
        """Whether this format reads the file. Must not raise, must be quick, must look at `head` and not only at the
        name.

        Parameters
        ----------
        path : Path
            The file as the user gave it, perhaps ending in .gz or .bz2.
        head : bytes
            The first `HEAD_SIZE` bytes, already decompressed; the whole file when it is shorter.
        """

    @hookspec(firstresult=True)
    def refusal(self, path: Path, head: bytes) -> str:
        """Why `understand` said no, in a few words ("no '# Detector:' line in the header"); optional."""

    @hookspec(firstresult=True)
    def open_image(self, path: Path, head: bytes, options: FormatOptions) -> ImageReader:
        """Open a file that `understand` accepted.

        Parameters
        ----------
        path : Path
        head : bytes
            As for `understand`; saves a second reading. Empty when a further file of a series is opened, whose first
            file this format understood: the reader then takes what it needs from the file itself, best together with
            the pixels.
        options : FormatOptions

        Raises
        ------
        FileFormatError
            If the file cannot be used: file, what is wrong, remedy.
        """
