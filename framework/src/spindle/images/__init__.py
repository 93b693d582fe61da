"""Opening image files through the installed formats, and reading the images of an experiment one by one."""

from __future__ import annotations

from .arrival import ArrivingImages, SeriesEnded, of_length, to_come
from .compressed import (
    MOST,
    compression_of,
    is_compressed,
    map_file,
    open_regular,
    read_all,
    read_head,
    refuse_special,
    thread_buffer,
)
from .correction import Correction, correct_shoeboxes
from .opening import choose_format, format_parameters, open_image
from .sequence import ImageSequence, read_in_turn
from .trusted import trusted_mask

__all__ = [
    "MOST",
    "ArrivingImages",
    "Correction",
    "ImageSequence",
    "SeriesEnded",
    "choose_format",
    "compression_of",
    "correct_shoeboxes",
    "format_parameters",
    "is_compressed",
    "map_file",
    "of_length",
    "open_image",
    "open_regular",
    "read_all",
    "read_head",
    "read_in_turn",
    "refuse_special",
    "thread_buffer",
    "to_come",
    "trusted_mask",
]
