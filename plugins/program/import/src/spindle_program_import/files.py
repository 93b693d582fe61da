"""Which files are meant, and how their names are numbered."""

from __future__ import annotations

import glob
import os
import re
import stat
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from spindle.errors import FileFormatError, HeaderError
from spindle.files import files_of_template
from spindle.models import Template, split_template

MAX_NUMBER = 2**31 - 1  # bounding boxes have 32 bits
COMPRESSION_SUFFIXES = (".gz", ".bz2", ".xz", ".zst")


@dataclass(frozen=True, slots=True)
class NumberedFile:
    """A file and the number in its name.

    Attributes
    ----------
    path : str
        Absolute.
    prefix, digits, suffix : str
        The name in three parts; `digits` is empty when there is no number.
    """

    path: str
    prefix: str
    digits: str
    suffix: str

    @property
    def series(self) -> tuple[str, str]:
        """What files of one series have in common."""
        return self.prefix, self.suffix


def split_number(path: str) -> NumberedFile:
    """Find the image number in a file name.

    The number is the last run of digits of the stem (``t_1_0023.cbf.gz``: 23); failing that, an extension of digits
    (``t.0026.bz2``); failing that, the last run of digits anywhere before the extension (``t_0023_corr.cbf``). More
    than nine digits, zeros before them left aside, are a time stamp, not a number.
    """
    folder, slash, name = path.rpartition("/")
    stem, tail = name, ""
    for suffix in COMPRESSION_SUFFIXES:
        if stem.endswith(suffix):
            stem, tail = stem[: -len(suffix)], suffix
    dot = stem.rfind(".")
    base, extension = (stem[:dot], stem[dot:]) if dot > 0 else (stem, "")
    if re.fullmatch(r"\.[0-9]+", extension) and is_number(extension[1:]):
        return NumberedFile(path, folder + slash + base + ".", extension[1:], tail)
    match = re.search(r"([0-9]+)([^0-9]*)$", base)
    if match is None or not is_number(match.group(1)):
        return NumberedFile(path, path, "", "")
    return NumberedFile(path, folder + slash + base[: match.start()], match.group(1), match.group(2) + extension + tail)


def named_by_templates(templates: Iterable[str]) -> dict[str, NumberedFile]:
    """The files that templates mean, by path; what stands for ``#`` is the number, however long it is.

    Raises
    ------
    HeaderError
        If a number is more than a scan can hold.
    """
    found = {}
    for template in templates:
        name, numbers = split_range(template)
        path = str(Path(os.path.expanduser(name)).absolute())
        if "#" not in path or Path(path).is_file() or (matched := files_of_template(path)) is None:
            continue
        prefix, _, suffix = matched.template
        for number, file in matched.files:
            if numbers is not None and not numbers[0] <= number <= numbers[1]:
                continue
            if number > MAX_NUMBER:
                remedy = "rename the files, or write what all names have in common in place of the first #"
                raise HeaderError(file, "the number in the name", f"at most {MAX_NUMBER}", number, remedy)
            found[file] = NumberedFile(file, prefix, file[len(prefix) : len(file) - len(suffix)], suffix)
    return found


def is_number(digits: str) -> bool:
    """Whether digits may count images: longer ones are time stamps."""
    return len(digits.lstrip("0")) <= 9


def refuse_doubles(files: Iterable[NumberedFile]) -> None:
    """Raise FileFormatError when an image is there twice, once compressed and once not, say."""
    seen: dict[tuple[str, int, str], NumberedFile] = {}
    for file in files:
        if not file.digits:
            continue
        plain = file.suffix
        for suffix in COMPRESSION_SUFFIXES:
            plain = plain.removesuffix(suffix)
        other = seen.setdefault((file.prefix, int(file.digits), plain), file)
        if other is not file and other.suffix != file.suffix:
            one = f"template={file.prefix}{'#' * len(file.digits)}{file.suffix}"
            found = f"{Path(other.path).name} too"
            raise HeaderError(file.path, f"image {int(file.digits)}", "each image once", found, f"give one set: {one}")


def template_of(files: list[NumberedFile]) -> Template:
    """Template of a series; a width of one digit when numbers are not padded with zeros."""
    widths = {len(f.digits) for f in files}
    width = min(widths)
    unpadded = len(widths) > 1 and not all(len(f.digits) == width or not f.digits.startswith("0") for f in files)
    if len(widths) > 1 and not any(f.digits.startswith("0") for f in files):
        width = 1
    if unpadded:
        names = ", ".join(Path(next(f for f in files if len(f.digits) == w).path).name for w in sorted(widths))
        one = f"template={files[0].prefix}{'#' * width}{files[0].suffix}"
        raise HeaderError(
            f"{files[0].prefix}*{files[0].suffix}",
            "file names",
            "image numbers padded to one width",
            f"different widths ({names})",
            f"rename the files, or import each width on its own: {one}",
        )
    return Template(files[0].prefix, width, files[0].suffix)


def expand(files: Iterable[str | Path], templates: Iterable[str], folders: Iterable[str]) -> list[str]:
    """All files that the user means, absolute, without doubles, in the order given (folders and templates sorted by
    number).

    Parameters
    ----------
    files : iterable of path
        Files, folders, wildcards, and ``-`` for a list of names on standard input.
    templates : iterable of str
        File names with ``#`` for digits.
    folders : iterable of str

    Raises
    ------
    FileFormatError
        If something does not exist or matches nothing.
    """
    found: dict[str, None] = {}
    for item in files:
        for path in _one(str(item)):
            found.setdefault(path)
    for folder in folders:
        if not Path(folder).is_dir():
            raise FileFormatError(f"input.directory={folder}: no such folder")
        for path in _folder(Path(folder)):
            found.setdefault(path)
    for template in templates:
        for path in _template(template):
            found.setdefault(path)
    return list(found)


def piped_names() -> list[str]:
    """File names on standard input when it is a pipe or a file (``ls | spindle import``); [] otherwise."""
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
    except (OSError, ValueError, AttributeError):
        return []
    if not (stat.S_ISFIFO(mode) or stat.S_ISREG(mode)):
        return []
    return [line.strip() for line in sys.stdin if line.strip()]


def _one(item: str) -> list[str]:
    if item == "-":
        lines = [line.strip() for line in sys.stdin]
        return [path for line in lines if line for path in _one(line)]
    path = Path(os.path.expanduser(item))
    if path.is_dir():
        return _folder(path)
    if path.exists():
        return [str(path.absolute())]
    parts = split_template(str(path))
    if parts is not None and not any(c in parts.prefix for c in "*?["):
        return _template(item)
    if parts is not None or any(c in item for c in "*?["):
        matched = None if parts is None else files_of_template(str(path.absolute()))
        if matched is not None:
            return [name for _, name in matched.files]
        pattern = str(path) if parts is None else f"{parts.prefix}{'[0-9]' * parts.width}{parts.suffix}"
        names = sorted(glob.glob(pattern), key=_by_number)
        if not names:
            raise FileFormatError(f"{item}: no file matches this pattern in {path.parent.absolute()}")
        return [str(Path(n).absolute()) for n in names if Path(n).is_file()]
    raise FileFormatError(f"{item}: no such file or folder{_similar(path)}")


def _similar(path: Path) -> str:
    """A hint for a misspelt name."""
    import difflib

    if not path.parent.is_dir():
        return f" (the folder {path.parent} does not exist either)"
    close = difflib.get_close_matches(path.name, [p.name for p in path.parent.iterdir()], 1)
    return f"; did you mean {path.parent / close[0]}?" if close else ""


def _by_number(name: str) -> tuple[str, str, int, str]:
    parts = split_number(name)
    return parts.prefix, parts.suffix, int(parts.digits or 0), name


def _is_output(name: str) -> bool:
    """Whether a file beside the images is hidden, or what a program wrote."""
    return name.startswith((".", "spindle.", "dials.")) or name.endswith((".expt", ".refl"))


def _folder(folder: Path) -> list[str]:
    names = [str(p.absolute()) for p in folder.iterdir() if p.is_file() and not _is_output(p.name)]
    if not names:
        raise HeaderError(folder, "the folder", "image files", None, "name another folder, or files with template=")
    return sorted(names, key=_by_number)


def split_range(template: str) -> tuple[str, tuple[int, int] | None]:
    """A template and the first and last image number after it (``image_####.cbf:1:90``); None without them."""
    match = re.fullmatch(r"(.+):(\d+):(\d+)", template)
    if match is None:
        return template, None
    return match.group(1), (int(match.group(2)), int(match.group(3)))


def container_ranges(templates: Iterable[str]) -> dict[str, tuple[int, int]]:
    """First and last image of the files with many images that are given as ``template=x_master.h5:1:90``, by path."""
    found = {}
    for template in templates:
        name, numbers = split_range(template)
        path = str(Path(os.path.expanduser(name)).absolute())
        if numbers is not None and (split_template(path) is None or Path(path).is_file()):
            found[path] = numbers
    return found


def _template(template: str) -> list[str]:
    name, numbers = split_range(template)
    path = str(Path(os.path.expanduser(name)).absolute())
    parts = split_template(path)
    if Path(path).is_file() and (parts is None or files_of_template(path) is None):
        return [path]
    if parts is None:
        raise FileFormatError(f"template={template}: no # in it; write # in place of each digit, as in image_####.cbf")
    matched = files_of_template(path)
    found = [] if matched is None else matched.files
    there = [n for n, _ in found]
    if numbers is not None:
        found = [(n, file) for n, file in found if numbers[0] <= n <= numbers[1]]
    if not found:
        place = f"of {there[0]} to {there[-1]} is within {template}" if there else f"matches in {Path(path).parent}"
        example = Path(parts.name((numbers or (1, 1))[0])).name
        rule = " (the last run of # of the file name stands for the number)" if "#" in Path(parts.prefix).name else ""
        raise FileFormatError(f"template={template}: no file {place}; expected {example} and so on{rule}")
    return [file for _, file in found]
