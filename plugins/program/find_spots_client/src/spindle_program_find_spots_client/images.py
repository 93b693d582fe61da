"""From the words of a command line to the names of images."""

from __future__ import annotations

import glob
import os
import re

from spindle.errors import UserError
from spindle.files import files_of_template
from spindle.models import split_template

__all__ = ["image_names"]

_NUMBERED = re.compile(r"^(?P<file>.*?[^/:]):(?P<first>[0-9]{1,9})(:(?P<last>[0-9]{1,9}))?$")
_MOST = 1_000_000


def image_names(words: list[str]) -> list[str]:
    """Absolute names of the images that words of a command line mean.

    Parameters
    ----------
    words : list of str
        Files; patterns with ``*``, ``?``, ``[...]`` or ``####``; ``file:12`` for image 12 of a file of many and
        ``file:1:20`` for 1 to 20; ``name_####.cbf:1:20`` for files by their numbers. A file need not exist on this
        machine.

    Raises
    ------
    UserError
        If a pattern matches nothing or a range is empty.
    """
    return [os.path.abspath(name) for word in words for name in _names(os.path.expanduser(word))]


def _names(word: str) -> list[str]:
    if os.path.exists(word):
        return [word]
    match = _NUMBERED.match(word)
    if match is not None:
        path, first = match["file"], int(match["first"])
        last = first if match["last"] is None else int(match["last"])
        if not first <= last < first + _MOST:
            raise UserError(
                f"find_spots_client: {word}: the first image must not come after the last (file:first:last)"
            )
        numbers = range(first, last + 1)
        template = split_template(path)
        if template is not None and not os.path.exists(path):
            there = files_of_template(path)
            return [(template if there is None else there.template).name(n) for n in numbers]
        return [f"{path}:{n}" for n in numbers]
    numbered = files_of_template(word)
    if numbered is not None:
        return [path for _, path in numbered.files]
    if any(c in word for c in "*?[#"):
        parts = split_template(word)
        pattern = word if parts is None else f"{parts.prefix}{'[0-9]' * parts.width}{parts.suffix}"
        found = sorted(glob.glob(pattern))
        if not found:
            raise UserError(
                f"find_spots_client: no file matches {word!r} in {os.getcwd()}; for files that only the server sees, "
                "give their numbers, name_####.cbf:1:20"
            )
        return found
    return [word]
