"""Images of a series that is still being written: each is waited for."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from spindle.errors import Cancelled, FileFormatError, UserError
from spindle.models import Experiment, Experiments, Scan

from .sequence import ImageSequence

__all__ = ["ArrivingImages", "SeriesEnded", "of_length", "to_come"]

#: Seconds between two looks at the files, at first and at most.
SHORTEST_PAUSE, LONGEST_PAUSE = 0.01, 0.2
#: The newest image of a file that another program writes is whole once the next one is begun, or after so many seconds.
SETTLED = 1.0
#: Images that a series may have whose number nobody has said.
MOST_IMAGES = 100_000
#: How many images before the one that is waited for may still be missing.
LOOK_BACK = 1000


class SeriesEnded(UserError):
    """No further image was written for too long.

    Attributes
    ----------
    index : int
        The image that did not come, 0-based within the experiment.
    """

    def __init__(self, index: int, path: str, timeout: float) -> None:
        super().__init__(index, path, timeout)
        self.index, self.path, self.timeout = index, path, timeout

    def __str__(self) -> str:
        return f"{self.path}: image {self.index + 1} of the series was not written within {self.timeout:g} s"


class ArrivingImages(ImageSequence):
    """An image sequence whose files, or whose images in a file, may not be there yet; `read` waits for them.

    Parameters
    ----------
    experiment : Experiment
        Its scan says which images will be there.
    timeout : float, seconds
        The series is over when no image has come for so long.
    """

    def __init__(self, experiment: Experiment, timeout: float) -> None:
        super().__init__(experiment)
        self.options = replace(self.options, is_growing=True)
        self._which = (*self._which[:2], True)
        self.timeout = timeout
        self.stopped = threading.Event()

    def __reduce__(self) -> tuple[Any, ...]:
        return ArrivingImages, (self.experiment, self.timeout)

    def is_written(self, index: int) -> bool:
        """Whether image `index` (0-based within this experiment) has come; it may not be whole yet."""
        path, frame = self.file_of(index)
        if not Path(path).exists():
            return False
        if frame == 0:
            return True
        try:
            reader, frame = self.reader(index)
            if frame >= reader.n_images and not reader.follows_file:
                self.forget(path)  # a file that refers to others shows new ones when it is opened again
                reader, frame = self.reader(index)
            return frame < reader.n_images
        except (FileFormatError, OSError):
            return False

    @property
    def images_at_once(self) -> int:
        """One: each is read when it comes."""
        return 1

    def n_written(self) -> int:
        """Number of images that have come, counted up to the first that has not."""
        low, high = 0, self.n_images
        while low < high:  # images come in their order
            middle = (low + high) // 2
            low, high = (middle + 1, high) if self.is_written(middle) else (low, middle)
        return low

    def _is_settled(self, index: int, since: float) -> bool:
        """Whether an image that has come is whole, as far as can be told before it is read."""
        reader, frame = self.reader(index)
        if not reader.follows_file or frame + 1 < reader.n_images:
            return True
        return time.monotonic() - since > SETTLED

    def _look_again(self, index: int) -> None:
        """See to it that a file that could not be read is opened again, unless its reader sees what changes."""
        path, _ = self.file_of(index)
        with self._lock:
            reader = self._open.get(path)
        if reader is None or not reader.follows_file:
            self.forget(path)

    def read(self, index: int, out: list[np.ndarray] | None = None) -> list[np.ndarray]:
        """As `ImageSequence.read`, once the image is there and whole.

        Raises
        ------
        SeriesEnded
            If neither this image nor one before it came for `timeout` seconds.
        FileFormatError
            If the image came and could not be read for as long, or is missing while later ones are there.
        Cancelled
            When `stopped` is set.
        """
        since, pause, fault = time.monotonic(), SHORTEST_PAUSE, None
        earlier = max(0, index - LOOK_BACK)
        while True:
            try:
                if self.is_written(index) and self._is_settled(index, since):
                    return super().read(index, out)
            except (FileFormatError, OSError, IndexError) as error:
                fault = error
                self._look_again(index)
            while earlier < index and self.is_written(earlier):
                earlier, since = earlier + 1, time.monotonic()
            if self.stopped.is_set():
                raise Cancelled("the images are no longer waited for")
            if time.monotonic() - since > self.timeout:
                break
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
        if fault is not None:
            raise fault
        if index + 1 < self.n_images and self.is_written(index + 1):
            return super().read(index, out)  # says that the file is missing
        raise SeriesEnded(index, self.file_of(index)[0], self.timeout)


def to_come(experiments: Experiments, n_images: int | None) -> Experiments:
    """The experiments with scans that reach to the end of their series, or far beyond it when nobody knows its end."""
    for scan in experiments.unique("scan"):
        experiment = experiments[experiments.indices_with("scan", scan)[0]]
        if experiment.is_still or experiment.imageset is None or experiment.imageset.kind != "ImageSequence":
            continue
        number = MOST_IMAGES if n_images is None else n_images
        if number > scan.n_images:
            experiments = experiments.with_model(scan, of_length(scan, number))
    return experiments


def of_length(scan: Scan, n_images: int) -> Scan:
    """The scan with so many images, the first ones or further ones of which no time is known."""
    first = scan.image_range[0]
    more = np.zeros(max(n_images - scan.n_images, 0))
    assert scan.exposure_times is not None
    assert scan.epochs is not None
    return replace(
        scan,
        image_range=(first, first + n_images - 1),
        exposure_times=np.concatenate([scan.exposure_times, more])[:n_images],
        epochs=np.concatenate([scan.epochs, more])[:n_images],
    )
