"""Read the headers of many files at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from spindle.contracts.format import FormatOptions, ImageModels, ImageReader
from spindle.errors import FileFormatError, HeaderError, fault
from spindle.images import format_parameters, open_image

from .files import NumberedFile, split_number

# Files per task: enough that threads do not wait for each other, few enough that a bar moves.
CHUNK = 8


@dataclass(frozen=True, slots=True)
class Header:
    """What was read of one image.

    Attributes
    ----------
    path : str
    format : str
    index : int
        0-based image in the file.
    n_images : int
        Images in the file.
    models : ImageModels
    """

    path: str
    format: str
    index: int
    n_images: int
    models: ImageModels


@dataclass(slots=True)
class Headers:
    """Headers in the order of the files, and the files that are none of ours with the reason."""

    items: list[Header] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    notes: dict[str, list[str]] = field(default_factory=dict)


def _models(reader: ImageReader, index: int, reference: ImageModels | None) -> ImageModels:
    """Models of an image: of its header, or of the reference where the header is at fault."""
    try:
        return reader.models(index)
    except HeaderError as error:
        if reference is None:
            raise
        remedy = "the reference geometry is taken; its rotation is that of geometry.scan.oscillation=<start>,<width>"
        return replace(reference, notes=(fault(error.place, error.expected, error.found, remedy),))


def _read_chunk(
    paths: list[tuple[str, int]],
    name: str | None,
    options: FormatOptions,
    numbers: tuple[int, int] | None,
    reference: ImageModels | None,
    read_pixels: bool,
    parameters: dict[str, Any] | None,
) -> list[list[Header] | tuple[str, str]]:
    out: list[list[Header] | tuple[str, str]] = []
    formats: dict[tuple[str, str], str] = {}  # of the series of the files before
    for path, number_in_name in paths:
        series = split_number(path).series
        try:
            reader = open_image(path, name, options, parameters=parameters, likely=formats.get(series))
            formats[series] = reader.format
            count = reader.n_images
            found = [Header(path, reader.format, i, count, _models(reader, i, reference)) for i in range(count)]
            if read_pixels:
                for i in range(count):
                    number = i + 1 if count > 1 else number_in_name
                    if numbers is None or numbers[0] <= number <= numbers[1]:
                        reader.read(i)
            out.append(found)
        except FileFormatError as error:
            out.append((path, str(error)))
    return out


@dataclass(frozen=True)
class _ReadChunk:
    """The task of reading some files; arguments as those of `read_headers`, and the parameters of the format."""

    name: str | None
    options: FormatOptions
    numbers: tuple[int, int] | None
    reference: ImageModels | None
    read_pixels: bool
    parameters: dict[str, Any] | None

    def __call__(self, paths: list[tuple[str, int]]) -> list[list[Header] | tuple[str, str]]:
        """The headers of each file, or the file and why it was refused."""
        return _read_chunk(
            paths, self.name, self.options, self.numbers, self.reference, self.read_pixels, self.parameters
        )


def read_headers(
    paths: list[str],
    name: str | None,
    options: FormatOptions,
    mapper: Callable[[Callable[[Any], Any], Iterable[Any]], Iterator[Any]],
    progressed: Callable[[int], None] = lambda n: None,
    numbers: tuple[int, int] | None = None,
    reference: ImageModels | None = None,
    read_pixels: bool = False,
    given: Mapping[str, NumberedFile] | None = None,
) -> Headers:
    """Open every file and read its models.

    Parameters
    ----------
    paths : list of str
    name : str or None
        Format that all files must have; None asks the installed formats.
    options : FormatOptions
    mapper : callable (function, items) -> iterator
        Ordered map, of an executor.
    progressed : callable (number of files)
        Told as files are done.
    numbers : (int, int), optional
        First and last image of those whose pixels are read too, with `read_pixels`.
    reference : ImageModels, optional
        Stands in for headers that are at fault.
    read_pixels : bool
        Read every image, to find damaged ones at once.
    given : mapping of path to NumberedFile, optional
        Files whose number is known from a template.

    Returns
    -------
    Headers
    """
    headers = Headers()
    given = given or {}
    numbered = [(path, int((given.get(path) or split_number(path)).digits or 1)) for path in paths]
    chunks = [numbered[i : i + CHUNK] for i in range(0, len(paths), CHUNK)]
    task = _ReadChunk(name, options, numbers, reference, read_pixels, format_parameters(name) or None)
    for chunk in mapper(task, chunks):
        for found in chunk:
            if isinstance(found, tuple):
                headers.refused.append(found)
                continue
            headers.items.extend(found)
            for header in found:
                for note in header.models.notes:
                    headers.notes.setdefault(note, []).append(header.path)
        progressed(len(chunk))
    return headers
