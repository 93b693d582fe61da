"""Opening HDF5 files and reading text, numbers, units and links from them, with errors that name the place."""

from __future__ import annotations

import re
import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from spindle.errors import FileFormatError, HeaderError
from spindle.images import refuse_special

# Factors to mm, degrees, seconds, angstrom and electronvolts.
_LENGTHS_MM = {
    "m": 1e3, "metre": 1e3, "meter": 1e3, "metres": 1e3, "meters": 1e3, "cm": 10.0, "mm": 1.0, "millimetre": 1.0,
    "millimeter": 1.0, "millimetres": 1.0, "millimeters": 1.0, "um": 1e-3, "µm": 1e-3, "μm": 1e-3, "micron": 1e-3,
    "microns": 1e-3, "micrometre": 1e-3, "micrometer": 1e-3, "nm": 1e-6, "angstrom": 1e-7, "inch": 25.4,
}  # fmt: skip
_ANGLES_DEG = {
    "deg": 1.0, "degree": 1.0, "degrees": 1.0, "°": 1.0, "rad": 180.0 / np.pi, "radian": 180.0 / np.pi,
    "radians": 180.0 / np.pi, "mrad": 0.18 / np.pi,
}  # fmt: skip
_TIMES_S = {"s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_WAVELENGTHS_A = {"angstrom": 1.0, "angstroms": 1.0, "a": 1.0, "å": 1.0, "nm": 10.0, "pm": 0.01, "m": 1e10}
_ENERGIES_EV = {"ev": 1.0, "kev": 1e3, "mev": 1e6, "j": 1.0 / 1.602176634e-19}
UNITS = {
    "length": (_LENGTHS_MM, "mm"),
    "angle": (_ANGLES_DEG, "deg"),
    "time": (_TIMES_S, "s"),
    "wavelength": (_WAVELENGTHS_A, "angstrom"),
    "energy": (_ENERGIES_EV, "eV"),
}


# Values of a dataset that is no image; there are at most a million images.
MOST_VALUES = 1 << 22
GZIP, _FLETCHER = 1, 3
# Deflate packs zeros 1032 times.
MOST_OF_GZIP = 1032
# Bytes that may be unpacked without looking.
UNSUSPECTED = 1 << 26
_PIECE = 1 << 20
_MOST_LINKS = 16


def open_file(path: Path | str) -> h5py.File:
    """Open an HDF5 file for reading, also one that another process is writing in SWMR mode.

    Raises
    ------
    FileFormatError
        If it does not exist, is no HDF5 file, is cut short, or is being written without SWMR.
    """
    path = Path(path)
    refuse_special(path)
    try:
        return h5py.File(path, "r", locking="best-effort")
    except OSError as error:
        reason = str(error)
    if "already open for write" in reason or "unable to lock" in reason or "consistency flags" in reason:
        try:
            return h5py.File(path, "r", swmr=True, locking="best-effort")
        except OSError as error:
            remedy = f"wait until it is closed, or, when its writer died: h5clear -s {path.name}"
            found = f"one that another program has open for writing, not in SWMR mode ({error})"
            raise HeaderError(path, "flags of the superblock", "a file that can be shared", found, remedy) from error
    cut = re.search(r"eof = (\d+).*stored_eof = (\d+)", reason)
    if cut:
        remedy = "the file is cut short: copy it again"
        raise HeaderError(path, "end of the file", f"{cut.group(2)} bytes", f"{cut.group(1)} bytes", remedy)
    if "signature not found" in reason:
        raise HeaderError(path, "first bytes", "the signature of HDF5", None, "copy the file again, or leave it out")
    raise FileFormatError(f"{path}: {reason}")


def place(node: Any) -> str:
    """File and path inside it, for messages."""
    return f"{node.file.filename}: {node.name}"


def fault_at(node: Any, expected: str, found: object, remedy: str) -> HeaderError:
    """The error of a group or dataset that is not what it should be."""
    return HeaderError(node.file.filename, node.name, expected, found, remedy)


def line_to_set(node: Any, name: str, value: str) -> str:
    """Python that writes an attribute, for messages."""
    return f"add it with Python: h5py.File('{Path(node.file.filename).name}', 'r+')['{node.name}'].attrs['{name}'] = {value}"


def text(value: Any) -> str:
    """A string however HDF5 stores it: fixed or variable length, bytes, array of one."""
    if isinstance(value, h5py.Dataset):
        value = small(value)[()]
    if isinstance(value, np.ndarray):
        value = value.ravel()[0] if value.size else ""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace").strip().rstrip("\x00")
    return str(value).strip()


def attribute(node: Any, name: str) -> str | None:
    """A text attribute; None when there is none."""
    return text(node.attrs[name]) if name in node.attrs else None


def find_class(group: h5py.Group, name: str) -> list[h5py.Group]:
    """Child groups of a NeXus class, in the order of the file."""
    found = []
    for key in group:
        child = get(group, key)
        if isinstance(child, h5py.Group) and attribute(child, "NX_class") == name:
            found.append(child)
    return found


def get(group: h5py.Group, path: str) -> Any:
    """A member of a group; None when it is not there, its link leads nowhere, or it is a dataset without any value."""
    try:
        if not _leads_to_regular_files(group, path):
            return None
        node = group.get(path)
    except (OSError, KeyError, ValueError, RuntimeError, RecursionError):
        return None
    return None if isinstance(node, h5py.Dataset) and node.shape is None else node


def _leads_to_regular_files(group: h5py.Group, path: str, depth: int = 0) -> bool:
    """Whether a path can be followed: HDF5 waits for a writer when a link leads to a pipe."""
    if depth > _MOST_LINKS:
        return False
    here = group.file if path.startswith("/") else group
    names = [n for n in path.split("/") if n and n != "."]
    for i, name in enumerate(names):
        link = here.get(name, getlink=True)
        if isinstance(link, h5py.SoftLink) and not _leads_to_regular_files(here, link.path, depth + 1):
            return False
        if isinstance(link, h5py.ExternalLink):
            folder = Path(here.file.filename).absolute().parent
            for target in (folder / link.filename, folder / Path(link.filename).name, Path(link.filename)):
                if target.exists() and not target.is_file():
                    return False
        if i + 1 < len(names):
            below = here.get(name)
            if not isinstance(below, h5py.Group):
                return below is not None
            here = below
    return True


def small(node: h5py.Dataset) -> h5py.Dataset:
    """A dataset that is no image, when it can be read: no larger than such ones are.

    Raises
    ------
    FileFormatError
        If it is larger, in the file or unpacked, or its values are in files of another kind.
    """
    if node.size and (node.size > MOST_VALUES or node.size * node.dtype.itemsize > 8 * MOST_VALUES):
        found = f"{' x '.join(map(str, node.shape))} of {node.dtype}"
        raise fault_at(node, f"at most {MOST_VALUES} values", found, "the file is damaged: copy it again")
    return unpackable(node)


def unpackable(node: h5py.Dataset) -> h5py.Dataset:
    """A dataset whose chunks hold no more than they should, and whose external files are regular ones."""
    plist = node.id.get_create_plist()
    for i in range(plist.get_external_count()):
        name = plist.get_external(i)[0].decode("utf-8", "surrogateescape")
        folder = Path(node.file.filename).absolute().parent
        for target in (Path(name), folder / name):
            if target.exists() and not target.is_file():
                raise fault_at(node, "values in a regular file", f"{name}, which is none", "copy the file again")
    if node.chunks is None or node.is_virtual:
        return node
    filters = [plist.get_filter(i)[0] for i in range(plist.get_nfilters())]
    if GZIP not in filters:
        return node
    room = int(np.prod(node.chunks)) * node.dtype.itemsize
    suspects: list[tuple[int, ...]] = []

    def look(info: Any) -> None:
        if info.size * MOST_OF_GZIP > room + UNSUSPECTED and not info.filter_mask:
            suspects.append(tuple(info.chunk_offset))

    node.id.chunk_iter(look)
    for at in suspects:
        refuse_bomb(node, at, room, filters)
    return node


def refuse_bomb(node: h5py.Dataset, at: tuple[int, ...], room: int, filters: list[int]) -> None:
    """Raise FileFormatError when the gzip of a chunk holds more than the chunk, before HDF5 makes room for all of it."""
    if filters[-1] not in (GZIP, _FLETCHER):
        return
    _, stored = node.id.read_direct_chunk(at)
    inflater, found = zlib.decompressobj(), 0
    part = inflater.decompress(stored, _PIECE)
    while part:
        found += len(part)
        if found > room + 4:
            raise fault_at(node, f"{room} bytes in the chunk at {at}", "more", "the file is damaged: copy it again")
        part = inflater.decompress(inflater.unconsumed_tail, _PIECE)


def numbers(node: h5py.Dataset) -> np.ndarray:
    """All numbers of a small dataset, (n,) float64.

    Raises
    ------
    FileFormatError
        If they are not numbers, nor texts of numbers.
    """
    if not may_be_numbers(node.dtype):
        raise fault_at(node, "numbers", kind_of(node.dtype), "write numbers there")
    try:
        return np.atleast_1d(np.asarray(small(node)[()], dtype=np.float64)).ravel()
    except (TypeError, ValueError) as error:
        raise fault_at(node, "numbers", repr(text(node)), "write numbers there") from error


def finite_numbers(node: h5py.Dataset) -> np.ndarray:
    """As `numbers`; those that are infinite, or no numbers, are an error as well."""
    values = numbers(node)
    if not np.all(np.isfinite(values)):
        raise fault_at(node, "finite numbers", f"{values[~np.isfinite(values)][0]:g}", "write numbers there")
    return values


def may_be_numbers(dtype: np.dtype) -> bool:
    """Whether values of a kind are numbers or texts; records, lists, references, complex numbers and plain bytes are not."""
    return dtype.kind in "biufSU" or h5py.check_string_dtype(dtype) is not None


def kind_of(dtype: np.dtype) -> str:
    """What values of a kind are, for messages."""
    if dtype.names:
        return f"records of {', '.join(dtype.names[:4])}"
    if dtype.subdtype is not None:
        return "arrays in the place of each number"
    if h5py.check_vlen_dtype(dtype) is not None:
        return "lists of varying length"
    if h5py.check_ref_dtype(dtype) is not None:
        return "references"
    if h5py.check_string_dtype(dtype) is not None:
        return "texts"
    return (
        "complex numbers"
        if dtype.kind == "c"
        else f"bytes without a meaning ({dtype})"
        if dtype.kind == "V"
        else f"{dtype}"
    )


def number(group: h5py.Group, *names: str) -> float | None:
    """The first number of the first of these datasets that exists and has a finite one; None otherwise."""
    for name in names:
        node = get(group, name)
        if isinstance(node, h5py.Dataset) and node.size:
            value = float(numbers(node)[0])
            if np.isfinite(value):
                return value
    return None


def three_numbers(node: h5py.Dataset, name: str) -> np.ndarray:
    """(3,) float64: an attribute that is a vector.

    Raises
    ------
    HeaderError
        If it is something else.
    """
    value, dtype = node.attrs[name], node.attrs.get_id(name).dtype
    try:
        vector = np.asarray(value, dtype=np.float64).ravel() if may_be_numbers(dtype) else np.zeros(0)
    except (TypeError, ValueError):
        vector = np.zeros(0)
    if vector.shape != (3,) or not np.all(np.isfinite(vector)):
        found = vector.tolist() if vector.size else repr(text(value)) if may_be_numbers(dtype) else kind_of(dtype)
        raise fault_at(node, f"an attribute '{name}' of three numbers", found, f"correct the attribute '{name}'")
    return vector


def factor(node: Any, kind: str, attribute_name: str = "units", default: str | None = None) -> float:
    """What the numbers of a dataset are to be multiplied with to have Spindle's unit.

    Parameters
    ----------
    node : Dataset
    kind : "length", "angle", "time", "wavelength" or "energy"
        To mm, degrees, seconds, angstrom, eV.
    attribute_name : str
    default : str, optional
        Unit without the attribute.

    Raises
    ------
    FileFormatError
        If the attribute is missing and there is no default, or the unit is not known.
    """
    table, standard = UNITS[kind]
    unit = attribute(node, attribute_name) or default
    known = ", ".join(table)
    if not unit:
        remedy = line_to_set(node, attribute_name, f"'{standard}'")
        raise fault_at(node, f"an attribute '{attribute_name}' with a unit of {kind} ({known})", None, remedy)
    value = table.get(unit) or table.get(unit.lower())
    if value is None:
        remedy = f"correct the attribute '{attribute_name}'"
        raise fault_at(node, f"a unit of {kind} ({known})", f"'{unit}'", remedy)
    return value


def is_angle(node: Any) -> bool:
    """Whether the unit of a dataset is one of angles."""
    unit = attribute(node, "units") or ""
    return unit.lower() in _ANGLES_DEG


def quantity(group: h5py.Group, name: str, kind: str, default: str | None = None) -> float | None:
    """One number with its unit in Spindle's unit; None when the dataset does not exist."""
    node = get(group, name)
    if not isinstance(node, h5py.Dataset) or not node.size:
        return None
    return float(finite_numbers(node)[0]) * factor(node, kind, default=default)
