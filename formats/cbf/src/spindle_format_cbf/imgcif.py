"""Detector elements and settings from the CIF categories of a full CBF; see `axes` for the geometry."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from spindle.errors import HeaderError

from .axes import REFERENCE, Axis, chain, direction, locate, make_axis, number_of

if TYPE_CHECKING:
    import gemmi

Rows = list[dict[str, str]]
Tables = dict[str, Rows]
_CATEGORIES = (
    "_array_intensities.", "_array_structure_list.", "_array_structure_list_axis.", "_array_structure_list_section.",
    "_axis.", "_diffrn_data_frame.", "_diffrn_detector.", "_diffrn_radiation_wavelength.", "_diffrn_scan_axis.",
    "_diffrn_scan_frame.", "_diffrn_scan_frame_axis.",
)  # fmt: skip
_KINDS = {
    "SENSOR_CCD": ("ccd", "rayonix", "adsc", "quantum", "saturn"),
    "SENSOR_PAD": ("pilatus", "eiger", "jungfrau", "pad", "medipix", "timepix", "epix", "agipd"),
    "SENSOR_IMAGE_PLATE": ("plate", "mar345", "raxis", "r-axis"),
}


@dataclass(frozen=True, slots=True)
class Element:
    """A flat part of the detector: an array, or a section of one.

    Attributes
    ----------
    name : str
    array_id : str
    box : (f0, s0, f1, s1)
        Pixels of the array, half open.
    layer : int
        Of an array with three dimensions.
    fast, slow : (float, float, float)
        Unit vectors in the laboratory.
    origin : (float, float, float), mm
    pixel_size : (float, float), mm
    mount : tuple of str
        Axes on which it stands, from the base on, without the two of its own pixels.
    """

    name: str
    array_id: str
    box: tuple[int, int, int, int]
    layer: int
    fast: tuple[float, float, float]
    slow: tuple[float, float, float]
    origin: tuple[float, float, float]
    pixel_size: tuple[float, float]
    mount: tuple[str, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """Pixels, fast and slow."""
        return self.box[2] - self.box[0], self.box[3] - self.box[1]


@dataclass(frozen=True, slots=True)
class Array:
    """What the header says of one array of pixels.

    Attributes
    ----------
    size : (int, int, int)
        Pixels along the fast, the slow and the third dimension.
    number : int
        Of its binary section; 0 when the header gives none.
    gain : float
    overload, undefined : float or None
        Value of saturated and of unknown pixels.
    """

    size: tuple[int, int, int]
    number: int
    gain: float
    overload: float | None
    undefined: float | None


@dataclass(frozen=True, slots=True)
class ImgCif:
    """What the CIF part says.

    Attributes
    ----------
    axes : dict of str to Axis
    arrays : dict of str to Array
        In the order of the header, which is that of the binary sections unless they have numbers.
    elements : tuple of Element
    wavelength : float or None, angstrom
    kind : str
        "SENSOR_CCD" and so on; "" when the header does not tell.
    exposure_time : float or None, seconds
    date : str
    """

    axes: dict[str, Axis]
    arrays: dict[str, Array]
    elements: tuple[Element, ...]
    wavelength: float | None
    kind: str
    exposure_time: float | None
    date: str


def has_geometry(text: bytes) -> bool:
    """Whether a header has the categories that place a detector."""
    return b"_axis.id" in text and b"_array_structure_list" in text


def begins_with_geometry(head: bytes) -> bool:
    """Whether the beginning of a file, perhaps not of all categories, is that of a header which places a detector."""
    return has_geometry(head) or b"_diffrn_detector_axis." in head or b"_diffrn_detector_element." in head


def has_one_array(text: bytes) -> bool:
    """Whether a header describes no more than one array of two dimensions; much quicker than reading it as CIF."""
    start = text.find(b"_array_structure_list.")
    if start < 0:
        return True
    words = text[start:].split(b"loop_", 1)[0].split()
    tags = [i for i, word in enumerate(words) if word.startswith(b"_array_structure_list.")]
    values = next((i for i, word in enumerate(words) if i > tags[-1] and word[:1] in b"_#;"), len(words)) - tags[-1] - 1
    return values <= 2 * len(tags)


def _rows(block: gemmi.cif.Block, category: str) -> Rows:
    """Rows of a category as dictionaries from item name (without the category) to string."""
    from gemmi import cif

    table = block.find_mmcif_category(category)
    tags = [tag[len(category) :] for tag in table.tags]
    return [{tag: cif.as_string(value) for tag, value in zip(tags, row, strict=True)} for row in table]


def _first(rows: Rows, name: str) -> str:
    return rows[0].get(name, "") if rows else ""


def parse_imgcif(text: bytes, path: Path) -> ImgCif:
    """Read the CIF part of a full CBF.

    Parameters
    ----------
    text : bytes
        The file up to its first binary section.
    path : Path
        For messages.

    Raises
    ------
    FileFormatError
        If it is no CIF, describes several frames, or lacks what a detector needs.
    """
    from gemmi import cif

    # The category of the pixels is left out: it is not finished here.
    end = text.rfind(b"_array_data.")
    while end >= 0 and (before := text[:end].rstrip()).rpartition(b"\n")[2].strip().startswith(b"_array_data."):
        end = before.rfind(b"_array_data.")
    if end >= 0:
        text = text[:end].rstrip().removesuffix(b"loop_")
    try:
        block = cif.read_string(text.decode("latin-1"))[0]
        tables = {category: _rows(block, category) for category in _CATEGORIES}
    except (ValueError, RuntimeError, IndexError) as error:
        raise HeaderError(path, "CIF header", "categories of a CIF", f"'{error}'", "copy the file again") from error
    scan = {row.get("axis_id", ""): row for row in tables["_diffrn_scan_axis."]}
    frame = {row.get("axis_id", ""): row for row in tables["_diffrn_scan_frame_axis."]}
    axes: dict[str, Axis] = {}
    for row in tables["_axis."]:
        name = row.get("id", "")
        axes[name] = make_axis(row, scan.get(name, {}), frame.get(name, {}), path)
    arrays = _arrays(tables, path)
    scan_frames = tables["_diffrn_scan_frame."]
    described = " ".join(_first(tables["_diffrn_detector."], name).lower() for name in ("detector", "type", "details"))
    return ImgCif(
        axes=axes,
        arrays=arrays,
        elements=_elements(tables, axes, arrays, path),
        wavelength=number_of(_first(tables["_diffrn_radiation_wavelength."], "wavelength")),
        kind=next((kind for kind, words in _KINDS.items() if any(word in described for word in words)), ""),
        exposure_time=number_of(_first(scan_frames, "integration_time")),
        date=_first(scan_frames, "date"),
    )


def _dimensions(rows: Rows, what: str, path: Path) -> dict[int, dict[str, str]]:
    """Rows of one array or section by precedence: 1 is the fast dimension."""
    found: dict[int, dict[str, str]] = {}
    for row in rows:
        place, size = number_of(row.get("precedence", row.get("index"))), number_of(row.get("dimension"))
        if place is None or int(place) in found or size is None or size < 1:
            raise HeaderError(
                path, f"_array_structure_list of '{what}'", "a precedence and a dimension for each index",
                f"precedence {row.get('precedence')}, dimension {row.get('dimension')} for index {row.get('index')}", REFERENCE,
            )  # fmt: skip
        if row.get("direction", "increasing") == "decreasing":
            raise HeaderError(
                path, f"_array_structure_list.direction of '{what}'", "increasing", "decreasing", REFERENCE
            )
        found[int(place)] = row
    if sorted(found) not in ([1, 2], [1, 2, 3]):
        raise HeaderError(
            path, f"_array_structure_list of '{what}'", "the precedences 1 and 2 of an image", sorted(found), REFERENCE
        )
    return found


def _arrays(tables: Tables, path: Path) -> dict[str, Array]:
    """The arrays of pixels in the order of the header."""
    frames = tables["_diffrn_data_frame."]
    names = {row.get("id", "") for row in frames}
    if len(names) > 1:
        raise HeaderError(
            path, "_diffrn_data_frame.id", "one frame", f"{len(names)} frames", "write one file per frame"
        )
    numbers = {row.get("array_id", ""): number_of(row.get("binary_id")) for row in frames}
    intensities = {row.get("array_id", ""): row for row in tables["_array_intensities."]}
    by_array: dict[str, Rows] = {}
    for row in tables["_array_structure_list."]:
        if not row.get("array_section_id", "").strip(".?"):
            by_array.setdefault(row.get("array_id", ""), []).append(row)
    if not by_array:
        raise HeaderError(path, "_array_structure_list", "the dimensions of an array of pixels", None, REFERENCE)
    arrays = {}
    for name, rows in by_array.items():
        sizes = {place: int(float(row["dimension"])) for place, row in _dimensions(rows, name, path).items()}
        said = intensities.get(name, {})
        arrays[name] = Array(
            size=(sizes[1], sizes[2], sizes.get(3, 1)),
            number=int(numbers.get(name) or 0),
            gain=number_of(said.get("gain")) or 1.0,
            overload=number_of(said.get("overload")),
            undefined=number_of(said.get("undefined_value")),
        )
    return arrays


def _elements(tables: Tables, axes: dict[str, Axis], arrays: dict[str, Array], path: Path) -> tuple[Element, ...]:
    """Sections of the arrays where there are any, else the arrays themselves."""
    steps = {row.get("axis_set_id") or row.get("axis_id", ""): row for row in tables["_array_structure_list_axis."]}
    whole: dict[str, dict[str, str]] = {}  # index of an array to its precedence
    parts: dict[tuple[str, str], Rows] = {}
    for row in tables["_array_structure_list."]:
        array = row.get("array_id", "")
        section = row.get("array_section_id", "").strip(".?")
        if section:
            parts.setdefault((array, section), []).append(row)
        else:
            index = row.get("index", "")
            whole.setdefault(array, {})[index] = row.get("precedence", index)
            parts.setdefault((array, ""), []).append(row)
    with_sections = {array for array, section in parts if section}
    limits: dict[tuple[str, str], dict[int, tuple[int, int]]] = {}
    for row in tables["_array_structure_list_section."]:
        array, section = row.get("array_id", ""), row.get("id", "")
        start, end = number_of(row.get("start")), number_of(row.get("end"))
        place = number_of(whole.get(array, {}).get(row.get("index", "")))
        stride = number_of(row.get("stride"))
        if start is None or end is None or place is None or end < start or start < 1 or (stride or 1) != 1:
            raise HeaderError(
                path, f"_array_structure_list_section of '{section}'", "start and end of an index of its array, ascending",
                f"index {row.get('index')} from {row.get('start')} to {row.get('end')}, stride {stride or 1:g}", REFERENCE,
            )  # fmt: skip
        limits.setdefault((array, section), {})[int(place)] = (int(start) - 1, int(end))
    elements = []
    for (array, section), rows in parts.items():
        if array not in arrays:
            raise HeaderError(
                path, f"_array_structure_list of '{section}'", "rows of its array", f"none for '{array}'", REFERENCE
            )
        if section or array not in with_sections:
            limit = limits.get((array, section), {})
            elements.append(_element(array, section, rows, arrays[array].size, limit, axes, steps, path))
    return tuple(elements)


def _element(
    array: str,
    section: str,
    rows: Rows,
    size: tuple[int, int, int],
    limits: dict[int, tuple[int, int]],
    axes: dict[str, Axis],
    steps: dict[str, dict[str, str]],
    path: Path,
) -> Element:
    """One element with its place in the laboratory and in its array."""
    name = section or array
    frames = _dimensions(rows, name, path)
    found: list[Axis] = []
    increments: list[float] = []
    starts: dict[str, float] = {}
    for place in (1, 2):
        row = frames[place]
        given = row.get("axis_set_id", "")
        step = steps.get(given, {})
        axis = axes.get(step.get("axis_id", given))
        increment = number_of(step.get("displacement_increment"))
        if axis is None or not increment:
            raise HeaderError(
                path, f"array dimension {row.get('index')} of '{name}', axis set '{given}'",
                "an axis of _axis with a displacement_increment in _array_structure_list_axis",
                f"axis '{step.get('axis_id', given)}' {'that is not in _axis' if axis is None else 'without increment'}", REFERENCE,
            )  # fmt: skip
        found.append(axis)
        increments.append(increment)
        starts[axis.name] = number_of(step.get("displacement")) or 0.0
    fast, slow = found
    deepest = fast if slow.name in chain(axes, fast.name, path) else slow
    ranges = [limits.get(place, (0, size[place - 1])) for place in (1, 2, 3)]
    box = (ranges[0][0], ranges[1][0], ranges[0][1], ranges[1][1])
    expected = tuple(int(float(frames[place]["dimension"])) for place in (1, 2))
    if box[2] > size[0] or box[3] > size[1] or ranges[2][1] > size[2] or (box[2] - box[0], box[3] - box[1]) != expected:
        raise HeaderError(
            path, f"section '{name}'", f"{expected[0]} x {expected[1]} pixels of an array of {' x '.join(map(str, size))}",
            f"pixels {box[0] + 1} to {box[2]} and {box[1] + 1} to {box[3]} of layer {ranges[2][0] + 1}", REFERENCE,
        )  # fmt: skip
    if ranges[2][1] - ranges[2][0] != 1:
        raise HeaderError(
            path, f"array '{name}'", "an image of two dimensions", f"{ranges[2][1] - ranges[2][0]} layers without sections",
            REFERENCE,
        )  # fmt: skip
    vectors = [np.sign(i) * direction(axes, a.name, path) for i, a in zip(increments, found, strict=True)]
    first, second = (tuple(v.tolist()) for v in vectors)
    origin = tuple(locate(axes, deepest.name, starts, path).tolist())
    mount = tuple(key for key in reversed(chain(axes, deepest.name, path)) if key not in (fast.name, slow.name))
    pixel_size = (abs(increments[0]), abs(increments[1]))
    return Element(name, array, box, ranges[2][0], first, second, origin, pixel_size, mount)
