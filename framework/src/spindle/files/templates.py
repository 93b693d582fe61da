"""Which files a template of numbered names means."""

from __future__ import annotations

import os
from typing import NamedTuple

from spindle.models.templates import Template, possible_templates

__all__ = ["NumberedFiles", "files_of_template"]


class NumberedFiles(NamedTuple):
    """Files of a template.

    Attributes
    ----------
    template : Template
    files : list of (int, str)
        Image numbers and paths, in the order of the numbers.
    """

    template: Template
    files: list[tuple[int, str]]


def files_of_template(text: str) -> NumberedFiles | None:
    """The files that a template stands for.

    The last run of ``#`` of the file name stands for the number; where no file is of that name, and names hold ``#``
    themselves, a part of it or an earlier run.

    Parameters
    ----------
    text : str
        Path with ``#`` for each digit; numbers may be longer when they do not begin with 0.

    Returns
    -------
    NumberedFiles or None
        None when no file matches.
    """
    folder, slash, _ = text.rpartition("/")
    try:
        with os.scandir(folder + slash or ".") as entries:
            names = [e.name for e in entries if not e.is_dir()]
    except OSError:
        return None
    for template in possible_templates(text):
        found = []
        for name in names:
            path = folder + slash + name
            number = template.number(path)
            if number is not None:
                found.append((number, path))
        if found:
            return NumberedFiles(template, sorted(found))
    return None
