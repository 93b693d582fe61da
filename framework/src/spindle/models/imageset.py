"""Where the images of an experiment are; a description, without any reading."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from spindle.errors import ModelError

from .templates import Template, split_template


class NoSuchImage(ModelError, IndexError):
    """An image that an image set does not name: files of experiments, which are given, may promise more images than they name."""


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images of one or several experiments.

    Attributes
    ----------
    kind : "ImageSequence", "ImageSet", "ImageGrid" or "MemImageSet"
    template : str
        File name with ``#`` in place of the image number, or one file with many images (sequences only). The last run
        of ``#`` of the name stands for the number; with `single_file_indices` none does.
    paths : tuple of str
        File names of a plain image set.
    image_range : (int, int) or None
        Image numbers (inclusive) that `template` stands for; the union of the scans of the experiments that share it.
    single_file_indices : tuple of int or None
        0-based frames of a file with many images.
    mask, gain, pedestal, dx, dy : str or None
        Lookup files.
    params : dict
        Options of the format.
    format : str or None
        Name of the format plugin, when forced.
    extra : dict
        Unknown keys of the file.
    number_field : (int, int) or None
        Digits of the number in `template` and characters after it, where names hold ``#`` themselves.
    arrays : tuple of tuple of (slow, fast) arrays, or None
        The images themselves, panel by panel, where they are in memory and in no file; see `spindle.images.ImageSequence.from_arrays`.
        Files do not hold them.
    """

    kind: str = "ImageSequence"
    template: str | None = None
    paths: tuple[str, ...] = ()
    image_range: tuple[int, int] | None = None
    single_file_indices: tuple[int, ...] | None = None
    mask: str | None = None
    gain: str | None = None
    pedestal: str | None = None
    dx: str | None = None
    dy: str | None = None
    params: dict[str, Any] = field(default_factory=dict)
    format: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    number_field: tuple[int, int] | None = None
    arrays: tuple[tuple[np.ndarray, ...], ...] | None = field(default=None, repr=False)

    @property
    def numbered(self) -> Template | None:
        """The parts of the template; None when the images are not numbered by file name."""
        if self.template is None or self.single_file_indices is not None:
            return None
        return split_template(self.template, self.number_field)

    def file_of_image(self, number: int) -> tuple[str, int]:
        """File and 0-based frame in it of an image number (sequences) or 1-based position (image sets).

        Raises
        ------
        NoSuchImage
            A ModelError and IndexError, if there is no template and fewer files, or frames, are named.
        """
        if self.arrays is not None:
            return "memory", number - (self.image_range or (1,))[0]
        parts = self.numbered
        if parts is not None:
            return parts.name(number), 0
        if self.template is not None:
            return self.template, number - 1
        position = number - 1
        named = min(len(self.paths), len(self.single_file_indices or self.paths))
        if not 0 <= position < named:
            raise NoSuchImage(
                f"image {number} is asked for, and the image set names {named} and no template; run spindle import again"
            )
        frame = self.single_file_indices[position] if self.single_file_indices else 0
        return self.paths[position], frame
