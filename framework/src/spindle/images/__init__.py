"""Opening image files through the installed formats, and reading the images of an experiment one by one."""

from __future__ import annotations

from .opening import choose_format, format_parameters, open_image
from .sequence import ImageSequence

__all__ = ["ImageSequence", "choose_format", "format_parameters", "open_image"]
