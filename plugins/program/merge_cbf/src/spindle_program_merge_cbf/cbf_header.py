"""The header of a CBF image, changed to that of the sum of several."""

from __future__ import annotations

import re
from pathlib import Path

from spindle.errors import FileFormatError
from spindle.images import read_head
from spindle_lib_readers.cbf_writing import block_heading

__all__ = ["header_text", "is_cbf", "merged_header"]

_MAGIC = b"###CBF"
_START = b"\x0c\x1a\x04\xd5"
_LONG_HEAD = 1 << 21
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
# Lines of a miniCBF that grow with the number of images: times, angles and the largest count.
_LINE = re.compile(rf"^(\s*#\s*(?:Exposure_time|Exposure_period|Count_cutoff|\w+_increment)[ \t:=]+)({_NUMBER})", re.M)
# Items of an imgCIF header that do.
_ITEMS = {
    "_diffrn_scan_axis.": ("angle_range", "angle_increment", "displacement_range", "displacement_increment"),
    "_diffrn_scan_frame.": ("integration_time", "exposure_time"),
    "_diffrn_scan_frame_axis.": ("angle_increment", "displacement_increment"),
    "_array_intensities.": ("overload",),
}


def is_cbf(path: str | Path) -> bool:
    """Whether a file is a CBF."""
    return read_head(path, 512).lstrip().startswith(_MAGIC)


def header_text(path: str | Path) -> str:
    """A CBF file up to its pixels.

    Raises
    ------
    FileFormatError
        If the pixels are not found, or are divided into several arrays.
    """
    head = read_head(path)
    if _START not in head:
        head = read_head(path, _LONG_HEAD)
    end = head.find(_START)
    place = head.rfind(b"_array_data.data", 0, max(end, 0))
    if end < 0 or place < 0:
        raise FileFormatError(f"{path}: no category _array_data with pixels; the file is cut short or damaged")
    # In a loop the tags of the category precede the pixels.
    text = head[:place].rstrip()
    while (last := text.rpartition(b"\n")[2].strip()) in (b"_array_data.array_id", b"_array_data.binary_id", b"loop_"):
        text = text[: -len(last)].rstrip()
    return text.decode("latin-1").replace("\r\n", "\n")


def _times(number: str, n: int) -> str:
    """A number times n, with as many decimals as it has."""
    if "e" in number.lower():
        return f"{float(number) * n:g}"
    decimals = len(number.partition(".")[2])
    return f"{float(number) * n:.{decimals}f}"


def merged_header(text: str, n: int, name: str, path: str | Path) -> str:
    """The header of the sum of n successive images.

    Exposure, width of the rotation and the largest trusted count are n times those of one image; the start is that of the
    first.

    Parameters
    ----------
    text : str
        Header of the first image, see `header_text`.
    n : int
    name : str
        Of the data block.
    path : path
        Of the first image, for messages.
    """
    text = _LINE.sub(lambda m: m.group(1) + _times(m.group(2), n), text)
    if "_diffrn_scan_axis." in text or "_array_intensities." in text:
        text = _merged_categories(text, n, path)
    return re.sub(r"^data_\S*", lambda _: block_heading(name), text, count=1, flags=re.M)


def _merged_categories(text: str, n: int, path: str | Path) -> str:
    """The same for the categories of an imgCIF header."""
    from gemmi import cif

    try:
        document = cif.read_string(text)
        block = document[0]
    except (ValueError, RuntimeError, IndexError) as error:
        raise FileFormatError(f"{path}: the CIF header cannot be read: {error}") from error
    for category, items in _ITEMS.items():
        table = block.find_mmcif_category(category)
        columns = [i for i, tag in enumerate(table.tags) if tag[len(category) :] in items]
        for row in table:
            for i in columns:
                if re.fullmatch(_NUMBER, row[i]):
                    row[i] = _times(row[i], n)
    first = text[: text.index("data_")].rstrip()
    return f"{first}\n\n{document.as_string()}"
