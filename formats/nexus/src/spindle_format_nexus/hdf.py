"""Opening HDF5 files and reading text, numbers, units and links from them, with errors that name the place."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from spindle.errors import FileFormatError, HeaderError

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


def open_file(path: Path | str) -> h5py.File:
    """Open an HDF5 file for reading, also one that another process is writing in SWMR mode.

    Raises
    ------
    FileFormatError
        If it does not exist, is no HDF5 file, is cut short, or is being written without SWMR.
    """
    path = Path(path)
    if not path.exists():
        raise FileFormatError(f"{path}: no such file")
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
        value = value[()]
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
        node = group.get(path)
    except (OSError, KeyError, ValueError):
        return None
    return None if isinstance(node, h5py.Dataset) and node.shape is None else node


def numbers(node: h5py.Dataset) -> np.ndarray:
    """All numbers of a small dataset, (n,) float64.

    Raises
    ------
    FileFormatError
        If they are not numbers.
    """
    try:
        return np.atleast_1d(np.asarray(node[()], dtype=np.float64)).ravel()
    except (TypeError, ValueError) as error:
        raise fault_at(node, "numbers", repr(text(node)), "write numbers there") from error


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
    value = node.attrs[name]
    try:
        vector = np.asarray(value, dtype=np.float64).ravel()
    except (TypeError, ValueError):
        vector = np.zeros(0)
    if vector.shape != (3,) or not np.all(np.isfinite(vector)):
        found = vector.tolist() if vector.size else repr(text(value))
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
    return float(numbers(node)[0]) * factor(node, kind, default=default)
