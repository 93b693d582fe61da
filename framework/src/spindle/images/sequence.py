"""The images of one experiment, in order, as raw pixel arrays."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary, WeakValueDictionary

import numpy as np

from spindle.contracts.format import FormatOptions, ImageReader
from spindle.errors import FileFormatError, ModelError
from spindle.files.maps import read_mask
from spindle.models import Experiment, ImageSet

from .correction import Correction, corrections_of
from .memory import ArrayReader, panels_of
from .opening import open_image, reopen_image

# Open files with many images, for as long as their image set lives: whoever looks at it again need not open them again.
# Each with the time of change and the size that it had.
_Opened = tuple[tuple[int, int], ImageReader]
# Images depend on `multi_panel`, `verify_checksum` and `is_growing` alone of the options: stills of one file share its
# reader whatever their wavelengths.
_open_files: WeakKeyDictionary[ImageSet, dict[tuple[str, bool, bool, bool], _Opened]] = WeakKeyDictionary()
_open_files_lock = threading.Lock()
_arrived: WeakValueDictionary[bytes, ImageSet] = WeakValueDictionary()


class ImageSequence:
    """Reads the images of an experiment; may be used by several threads at once.

    Images are counted by *array index within the image set*: 0 is the first image of the experiment's scan, or of its
    still.

    Parameters
    ----------
    experiment : Experiment
        Its image set says where the images are, its scan which of them belong to it, its detector how large they must
        be.

    Raises
    ------
    ModelError
        If the experiment has no images.

    See Also
    --------
    from_arrays : images in memory.
    """

    def __init__(self, experiment: Experiment) -> None:
        imageset = experiment.imageset
        if imageset is None or (imageset.kind == "MemImageSet" and imageset.arrays is None):
            raise ModelError("the experiment has no images on disk; give an experiment file written by spindle import")
        self.experiment = experiment
        self.imageset: ImageSet = imageset
        first = experiment.detector[0]
        # What the importer was told in place of a header's is told again to readers that cannot open a file without.
        self.options = FormatOptions(
            multi_panel=bool(imageset.params.get("multi_panel") or False),
            parallax=first.parallax,
            verify_checksum=imageset.params.get("verify_checksum") is not False,
            wavelength=experiment.beam.wavelength,
            distance=first.distance,
            pixel_size=(float(first.pixel_size[0]), float(first.pixel_size[1])),
        )
        self._which = (self.options.multi_panel, self.options.verify_checksum, False)
        self._format = imageset.format or imageset.params.get("format")
        # Set at import, and only for a format that was asked for; None takes those of the run, which are the defaults.
        self._parameters: dict[str, Any] | None = imageset.params.get("format_parameters") or None
        self._lock = threading.Lock()
        self._open: dict[str, ImageReader] = {}
        self._memory = ArrayReader(experiment) if imageset.arrays is not None else None
        if experiment.scan is not None and imageset.kind == "ImageSequence":
            self._first, self.n_images = experiment.scan.image_range[0], experiment.scan.n_images
        elif imageset.arrays is not None:
            self._first, self.n_images = 1, len(imageset.arrays)
        elif imageset.paths:
            self._first, self.n_images = 1, len(imageset.paths)
        else:
            self._first, self.n_images = (imageset.image_range or (1, 1))[0], 1

    @classmethod
    def from_arrays(
        cls, experiment: Experiment, arrays: Sequence[np.ndarray] | Sequence[Sequence[np.ndarray]]
    ) -> ImageSequence:
        """Images in memory, for notebooks and tests; programs run on its ``experiment`` as if they were read from files.

        Parameters
        ----------
        experiment : Experiment
            Lookup files of its image set are used as ever; its file names are not.
        arrays : (n, slow, fast) array, sequence of (slow, fast) arrays, or sequence of sequences of them
            Of each image the pixels, panel by panel where there are several: integers, or floating numbers. As many as the scan has
            images.

        Raises
        ------
        ShapeError
            If sizes are not those of the detector.
        ModelError
            If there are more or fewer images than the scan has.
        """
        panels = panels_of(arrays, experiment.detector)
        scan = experiment.scan
        if scan is not None and len(panels) != scan.n_images:
            raise ModelError(f"there are {len(panels)} images in memory, the scan has {scan.n_images}")
        changes: dict[str, Any] = {"template": None, "paths": (), "single_file_indices": None, "number_field": None}
        changes["kind"] = "ImageSet" if scan is None else "ImageSequence"
        changes["image_range"] = None if scan is None else tuple(scan.image_range)
        imageset = replace(experiment.imageset or ImageSet(), arrays=panels, **changes)
        return cls(replace(experiment, imageset=imageset))

    def __len__(self) -> int:
        return self.n_images

    def __reduce__(self) -> tuple[Any, ...]:
        """To another process go the models; files are opened there."""
        return _opened_again, (self._packed,)

    @cached_property
    def _packed(self) -> bytes:
        return pickle.dumps(self.experiment)

    def file_of(self, index: int) -> tuple[str, int]:
        """File and 0-based frame in it of image `index` (0-based within this experiment)."""
        return self.imageset.file_of_image(self._first + index)

    def reader(self, index: int) -> tuple[ImageReader, int]:
        """Open reader of the file that holds image `index`, and the frame in it."""
        path, frame = self.file_of(index)
        if self._memory is not None:
            return self._memory, frame
        with self._lock:
            if path in self._open:
                return self._open[path], frame
            known = self._format
        if not Path(path).exists():
            raise FileFormatError(
                f"{path}: no such file (image {self._first + index} of the experiment); were the images moved? run "
                "spindle import again"
            )
        reader = self._open_file(path, known)
        with self._lock:
            self._format = reader.format
            if reader.n_images > 1 or not self._open:
                # Files with many images stay open; of single-image files only the first, whose header is asked for the
                # mask.
                self._open[path] = reader
        return reader, frame

    def _open_file(self, path: str, known: str | None) -> ImageReader:
        state = Path(path).stat()
        version = (state.st_mtime_ns, state.st_size)
        with _open_files_lock:
            shared = _open_files.setdefault(self.imageset, {})
            found = shared.get((path, *self._which))
        if found is not None and found[0] == version:
            return found[1]
        reader = (
            reopen_image(path, known, self.options, self._parameters)
            if known
            else open_image(path, options=self.options, likely=self.imageset.params.get("read_as"))
        )
        if reader.n_images > 1:
            with _open_files_lock:
                shared[path, *self._which] = (version, reader)
        return reader

    def forget(self, path: str) -> None:
        """Open a file anew when it is read next: what it holds may have changed."""
        with self._lock:
            self._open.pop(path, None)
        with _open_files_lock:
            _open_files.get(self.imageset, {}).pop((path, *self._which), None)

    def read(self, index: int, out: list[np.ndarray] | None = None) -> list[np.ndarray]:
        """Raw pixels of image `index` (0-based within this experiment), one (slow, fast) int32 or float32 array per
        panel.

        Parameters
        ----------
        index : int
        out : list of arrays, optional
            What an earlier call of the same thread returned; its memory is used again when it fits.

        Raises
        ------
        FileFormatError
            If the file is missing, cut short or damaged, or its size is not that of the detector model.
        """
        return self._panels(index, *self.reader(index), out)

    @property
    def images_at_once(self) -> int:
        """How many images are best given to `read_in_turn` at once; 1 where each is as well read alone."""
        reader, _ = self.reader(0)
        return reader.images_at_once if reader.n_images == 1 else 1

    def _panels(self, index: int, reader: ImageReader, frame: int, out: list[np.ndarray] | None) -> list[np.ndarray]:
        """Pixels of an image, of the right number and sizes."""
        panels = reader.read(frame, out)
        detector = self.experiment.detector
        if len(panels) != len(detector):
            raise FileFormatError(
                f"{reader.path}: the image has {len(panels)} panels, the detector model {len(detector)}; run spindle "
                "import again"
            )
        for i, (pixels, panel) in enumerate(zip(panels, detector, strict=True)):
            if pixels.shape != (panel.image_size[1], panel.image_size[0]):
                raise FileFormatError(
                    f"{reader.path}: panel {i} of image {self._first + index} is {pixels.shape[1]}x{pixels.shape[0]}, "
                    "the detector "
                    f"model says {panel.image_size[0]}x{panel.image_size[1]}; run spindle import again"
                )
        return panels

    @cached_property
    def masks(self) -> list[np.ndarray]:
        """Static mask of each panel, (slow, fast) bool, True is good.

        Joins the pixels that the format declares bad, the panels' untrusted rectangles, the image set's mask file and
        the pixels without a number in its gain and pedestal maps. The trusted range is not in it.
        """
        detector = self.experiment.detector
        reader, _ = self.reader(0)
        declared = reader.mask()
        masks = []
        for i, panel in enumerate(detector):
            good = np.ones((panel.image_size[1], panel.image_size[0]), dtype=np.bool_)
            if declared is not None:
                good &= declared[i]
            for f0, s0, f1, s1 in panel.mask:
                good[max(s0, 0) : max(s1, 0), max(f0, 0) : max(f1, 0)] = False
            masks.append(good)
        if self.imageset.mask:
            for good, extra in zip(masks, read_mask(self.imageset.mask, detector), strict=True):
                good &= extra
        if self.imageset.gain or self.imageset.pedestal:
            for good, correction in zip(masks, self.corrections, strict=True):
                good &= correction.usable(good.shape)
        return masks

    @cached_property
    def corrections(self) -> list[Correction]:
        """How raw values of each panel become counts."""
        return corrections_of(self.imageset, self.experiment.detector)

    def mask(self, panel: int = 0) -> np.ndarray:
        """Static mask of one panel; see `masks`."""
        return self.masks[panel]


def read_in_turn(
    wanted: Sequence[tuple[ImageSequence, int]], out: list[np.ndarray] | None = None
) -> Iterator[list[np.ndarray]]:
    """Raw pixels of several images, one after the other; what is quicker for all of them at once is done first.

    Parameters
    ----------
    wanted : sequence of (ImageSequence, int)
        Sequence and number in it of each; as many as its `images_at_once`.
    out : list of arrays, optional
        As for `ImageSequence.read`. What is given for an image holds until the next one is asked for.

    Raises
    ------
    FileFormatError
        When the turn of an image comes that `ImageSequence.read` would raise it for.
    """
    opened: list[tuple[ImageReader, int] | None] = []
    for images, index in wanted if len(wanted) > 1 else ():
        try:
            opened.append(images.reader(index))
        except FileFormatError:  # it is opened, and refused, once more in its turn
            opened.append(None)
    single = [found[0] for found in opened if found is not None and found[0].n_images == 1]
    if len(single) > 1:
        single[0].prepare(single[1:])
    for (images, index), found in zip(wanted, opened or [None] * len(wanted), strict=True):
        out = images.read(index, out) if found is None else images._panels(index, *found, out)
        yield out


@lru_cache(maxsize=8)
def _opened_again(packed: bytes) -> ImageSequence:
    """The images of an experiment of another process; its files stay open for all tasks of a run.

    Stills of one image set have one here too, and so share its open files.
    """
    experiment: Experiment = pickle.loads(packed)
    if experiment.imageset is not None and experiment.imageset.arrays is None:
        with _open_files_lock:
            known = _arrived.setdefault(pickle.dumps(experiment.imageset), experiment.imageset)
        experiment = replace(experiment, imageset=known)
    return ImageSequence(experiment)
