"""Names of numbered files, written as templates with ``#`` for each digit of the number."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["Template", "possible_templates", "split_template"]

_RUN = re.compile("#+")


class Template(NamedTuple):
    """A template in three parts.

    Attributes
    ----------
    prefix : str
        Folder and name before the number.
    width : int
        Digits that the number has at least.
    suffix : str
        Name after the number.
    """

    prefix: str
    width: int
    suffix: str

    def name(self, number: int) -> str:
        """The file of an image number."""
        return f"{self.prefix}{number:0{self.width}d}{self.suffix}"

    def number(self, path: str) -> int | None:
        """Image number of a file; None of one that the template does not mean."""
        digits = path[len(self.prefix) : len(path) - len(self.suffix)]
        if not (path.startswith(self.prefix) and path.endswith(self.suffix) and digits.isascii() and digits.isdigit()):
            return None
        is_wide = len(digits) == self.width or (len(digits) > self.width and digits[0] != "0")
        return int(digits) if is_wide else None

    @property
    def text(self) -> str:
        """The template as one word."""
        return f"{self.prefix}{'#' * self.width}{self.suffix}"

    @property
    def field(self) -> tuple[int, int] | None:
        """Width and characters after the number where the text alone means another number; None where it does not."""
        return None if split_template(self.text) == self else (self.width, len(self.suffix))


def split_template(text: str, field: tuple[int, int] | None = None) -> Template | None:
    """The parts of a template: the last run of ``#`` of the file name, not of its folders, stands for the number.

    Parameters
    ----------
    text : str
    field : (int, int), optional
        Width of the number and characters after it, for files whose names hold ``#`` themselves.

    Returns
    -------
    Template or None
        None for a name without a number.
    """
    if field is not None:
        end = len(text) - field[1]
        return Template(text[: end - field[0]], field[0], text[end:])
    start = text.rfind("/") + 1
    runs = list(_RUN.finditer(text, start))
    if not runs:
        return None
    return Template(text[: runs[-1].start()], len(runs[-1].group()), text[runs[-1].end() :])


def possible_templates(text: str) -> Iterator[Template]:
    """What a template may mean where names hold ``#`` themselves: the most likely first, that of `split_template`."""
    start = text.rfind("/") + 1
    for run in reversed(list(_RUN.finditer(text, start))):
        for width in range(len(run.group()), 0, -1):
            for first in range(run.end() - width, run.start() - 1, -1):
                yield Template(text[:first], width, text[first + width :])
