"""The reflection file: one MessagePack array of a signature, a version and the columns."""

from __future__ import annotations

import gzip
import os
import zlib
from pathlib import Path
from typing import Any

import numba
import numpy as np

from spindle.errors import FileFormatError
from spindle.models.arrays import shortened
from spindle.regular import refuse_special
from spindle.table import ReflectionTable, Shoeboxes

from .atomic import atomic_write

SIGNATURE = "dials::af::reflection_table"
HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
MAX_BIN = 2**32 - 1
MAX_ROWS = 2**31 - 1
MAX_EXPANSION = 200  # deflate reaches 1,000 for zeros; tables with all their columns stay below 20
# What wrong content can raise on its way into columns.
DAMAGE = (AttributeError, KeyError, IndexError, OverflowError, RecursionError, TypeError, ValueError)

_FROM_FILE: dict[str, tuple[str, tuple[int, ...]]] = {
    "bool": ("?", ()),
    "int": ("<i4", ()),
    "std::size_t": ("<u8", ()),
    "double": ("<f8", ()),
    "vec2<double>": ("<f8", (2,)),
    "vec3<double>": ("<f8", (3,)),
    "mat3<double>": ("<f8", (3, 3)),
    "int6": ("<i4", (6,)),
    "cctbx::miller::index<>": ("<i4", (3,)),
}
_TO_FILE = {
    ("b", ()): "bool",
    ("i", ()): "int",
    ("u", ()): "std::size_t",
    ("f", ()): "double",
    ("f", (2,)): "vec2<double>",
    ("f", (3,)): "vec3<double>",
    ("f", (3, 3)): "mat3<double>",
    ("i", (6,)): "int6",
    ("i", (3,)): "cctbx::miller::index<>",
}


@numba.njit(nogil=True, cache=True)
def _scan_shoeboxes(stream, n, version, starts, sizes, headers):
    """Find the records of a shoebox stream.

    Returns the number of bytes used, -1 - i when the stream ends within record i, -1 - n - i when record i has a box without
    pixels or of more than can follow.
    """
    position = 0
    total = stream.shape[0]
    mask_bytes = 4 if version == 1 else 1
    for i in range(n):
        if position + 29 > total:
            return -1 - i
        for j in range(7):
            value = np.int64(0)
            for k in range(4):
                value |= np.int64(stream[position + 4 * j + k]) << (8 * k)
            if value >= 2147483648:
                value -= 4294967296
            headers[i, j] = value
        flag = stream[position + 28]
        position += 29
        starts[i] = position
        size = np.int64(0)
        if flag != 0:
            left = (total - position) // (8 + mask_bytes)  # pixels that can follow; extents below 2**32 each
            size = np.int64(1)
            for j in range(3):
                extent = headers[i, 2 * j + 2] - headers[i, 2 * j + 1]
                if extent < 0 or (size > 0 and extent > left // size):
                    return -1 - n - i
                size *= extent
        sizes[i] = size
        position += size * (8 + mask_bytes)
    return position


@numba.njit(nogil=True, cache=True)
def _read_shoeboxes(stream, starts, offsets, version, data, mask, background):
    """Copy the pixels of all records; floats are copied byte by byte into uint8 views of the outputs."""
    mask_bytes = 4 if version == 1 else 1
    for i in range(starts.shape[0]):
        size = offsets[i + 1] - offsets[i]
        first = offsets[i]
        position = starts[i]
        for j in range(4 * size):
            data[4 * first + j] = stream[position + j]
        position += 4 * size
        for j in range(size):
            mask[first + j] = stream[position + j * mask_bytes]
        position += mask_bytes * size
        for j in range(4 * size):
            background[4 * first + j] = stream[position + j]


@numba.njit(nogil=True, cache=True)
def _write_shoeboxes(panel, bbox, offsets, data, mask, background, out):
    position = 0
    for i in range(panel.shape[0]):
        for j in range(7):
            value = np.int64(panel[i]) if j == 0 else np.int64(bbox[i, j - 1])
            for k in range(4):
                out[position] = (value >> (8 * k)) & 255
                position += 1
        size = offsets[i + 1] - offsets[i]
        out[position] = 1 if size > 0 else 0
        position += 1
        first = offsets[i]
        for j in range(4 * size):
            out[position + j] = data[4 * first + j]
        position += 4 * size
        for j in range(size):  # int32, little endian
            out[position + 4 * j] = mask[first + j]
            out[position + 4 * j + 1] = 0
            out[position + 4 * j + 2] = 0
            out[position + 4 * j + 3] = 0
        position += 4 * size
        for j in range(4 * size):
            out[position + j] = background[4 * first + j]
        position += 4 * size
    return position


def _decode_shoeboxes(payload: bytes, n: int, version: int, where: str) -> Shoeboxes:
    stream = np.frombuffer(payload, dtype=np.uint8).copy()
    starts, sizes = np.empty(n, np.int64), np.empty(n, np.int64)
    headers = np.empty((n, 7), np.int64)
    if n > len(stream) // 29:
        raise FileFormatError(f"{where}: {len(stream)} bytes for {n} shoeboxes; the file is damaged or truncated")
    used = _scan_shoeboxes(stream, n, version, starts, sizes, headers)
    if used < -n:
        box = headers[-1 - n - used, 1:].tolist()
        raise FileFormatError(f"{where}: row {-1 - n - used} has the impossible box {box}; the file is damaged")
    if used < 0:
        raise FileFormatError(f"{where}: the pixels end within row {-1 - used}; the file is damaged or truncated")
    if used != len(stream):
        raise FileFormatError(
            f"{where}: {len(stream) - used} bytes are left over after {n} shoeboxes; the file is damaged"
        )
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    m = int(offsets[-1])
    data, mask, background = np.empty(m, np.float32), np.empty(m, np.uint8), np.empty(m, np.float32)
    _read_shoeboxes(stream, starts, offsets, version, data.view(np.uint8), mask, background.view(np.uint8))
    bbox = np.ascontiguousarray(headers[:, 1:], dtype=np.int32)
    return Shoeboxes(np.ascontiguousarray(headers[:, 0]), bbox, offsets, data, mask, background)


def _encode_shoeboxes(shoeboxes: Shoeboxes) -> np.ndarray:
    out = np.empty(29 * len(shoeboxes) + 12 * len(shoeboxes.data), np.uint8)
    _write_shoeboxes(
        np.ascontiguousarray(shoeboxes.panel, dtype=np.int64), np.ascontiguousarray(shoeboxes.bbox, dtype=np.int32),
        shoeboxes.offsets, np.ascontiguousarray(shoeboxes.data, np.float32).view(np.uint8), shoeboxes.mask,
        np.ascontiguousarray(shoeboxes.background, np.float32).view(np.uint8), out,
    )  # fmt: skip
    return out


def _open(path: Path, mode: str) -> Any:
    return gzip.open(path, mode) if path.suffix == ".gz" else open(path, mode)


def read_reflections(path: str | os.PathLike[str]) -> ReflectionTable:
    """Read a reflection file.

    Columns of unknown names are kept; columns of unknown types are an error, because they could not be written again.

    Raises
    ------
    FileFormatError
        If the file is a Python pickle, an HDF5 file, damaged, or something else.
    """
    path = Path(path)
    content = _content(path)
    if content[:1] == b"\x80":
        raise FileFormatError(
            f"{path}: this is a Python pickle of old DIALS, which can run code and needs cctbx to read; convert it "
            "with DIALS once "
            "(flex.reflection_table.from_file(...).as_file(...)) and give the new file"
        )
    if content[:8] == HDF5_MAGIC:
        raise FileFormatError(
            f"{path}: this is an HDF5 file; write the table in DIALS as MessagePack (.refl) and give that file"
        )
    if len(content) == 0:
        raise FileFormatError(f"{path}: the file is empty; run the step that wrote it again")
    place = "the head"
    try:
        version, table = _table_of(content, path)
        place = "nrows"
        n = _row_count(table)
        result = ReflectionTable.with_rows(n)
        place = "identifiers"
        result.identifiers = _identifiers_of(table)
        for raw_name, column in table[b"data"].items():
            place = f"column {raw_name.decode()}"
            result[raw_name.decode()] = _column(column, n, version, f"{path}, {place}")
    except FileFormatError:
        raise
    except DAMAGE as error:
        missing = f"{error} is missing" if isinstance(error, KeyError) else f"{type(error).__name__}: {error}"
        raise FileFormatError(
            f"{path}, {place}: not a reflection file, or damaged ({missing[:200]}); run the step that wrote it again"
        ) from error
    return result


def _content(path: Path) -> bytes:
    """All bytes of a file, of a compressed one no more than tables expand to."""
    try:
        refuse_special(path, "name a reflection file")
        with _open(path, "rb") as file:
            if path.suffix != ".gz":
                return bytes(file.read())
            limit = MAX_EXPANSION * path.stat().st_size + 2**20
            content = bytes(file.read(limit + 1))
    except (OSError, EOFError, zlib.error) as error:
        raise FileFormatError(f"{path}: cannot be read as a reflection file: {error}") from error
    if len(content) > limit:
        raise FileFormatError(
            f"{path}: expands to more than {MAX_EXPANSION} times its size, which no table does; decompress it yourself if you "
            "trust it, and give the .refl file"
        )
    return content


def _table_of(content: bytes, path: Path) -> tuple[int, dict[bytes, Any]]:
    """Version and table of the file."""
    import msgpack

    try:
        top = msgpack.unpackb(content, raw=True, strict_map_key=False, max_bin_len=MAX_BIN)
    except msgpack.exceptions.UnpackException as error:
        raise ValueError(str(error)) from error
    if not isinstance(top, list) or len(top) != 3:
        raise ValueError("no list of signature, version and table")
    signature, version, table = top
    if signature != SIGNATURE.encode():
        raise FileFormatError(f"{path}: the file says it is {shortened(signature)}, '{SIGNATURE}' expected")
    if version not in (1, 2):
        raise FileFormatError(f"{path}: the version of its layout is {shortened(version)}; 1 and 2 can be read")
    return version, table


def _row_count(table: dict[bytes, Any]) -> int:
    n = table[b"nrows"]
    if not isinstance(n, int) or not 0 <= n <= MAX_ROWS:
        raise ValueError(f"{shortened(n)} rows")
    return n


def _identifiers_of(table: dict[bytes, Any]) -> dict[int, str]:
    found = {}
    for key, value in (table.get(b"identifiers") or {}).items():
        if not isinstance(key, int) or isinstance(key, bool) or not -(2**31) <= key < 2**31:
            raise ValueError(f"{shortened(key)} is no number of an experiment")
        found[key] = value.decode()
    return found


def _column(column: Any, n: int, version: int, where: str) -> Any:
    """Values of a column from its type and payload."""
    raw_type, (length, payload) = column
    kind = raw_type.decode()
    if length != n:
        raise FileFormatError(f"{where}: {length} rows, the table has {n}; the file is damaged")
    if kind == "std::string":
        if len(payload) != n:
            raise FileFormatError(f"{where}: {len(payload)} texts, the table has {n} rows; the file is damaged")
        return np.array([v.decode() for v in payload], dtype=object)
    if kind.startswith("Shoebox"):
        return _decode_shoeboxes(payload, n, version, where)
    if kind not in _FROM_FILE:
        raise FileFormatError(f"{where}: the type '{shortened(kind)}' is not known")
    dtype, shape = _FROM_FILE[kind]
    expected = n * int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    if len(payload) != expected:
        raise FileFormatError(f"{where}: {len(payload)} bytes found, {expected} expected; the file is damaged")
    values = np.frombuffer(payload, dtype=np.uint8 if kind == "bool" else dtype)
    return values != 0 if kind == "bool" else values.reshape((n, *shape)).copy()


def _typed(name: str, values: np.ndarray) -> tuple[str, np.ndarray]:
    kind, shape = values.dtype.kind, values.shape[1:]
    file_type = _TO_FILE.get((kind, shape))
    if file_type is None:
        raise FileFormatError(
            f"column {name} of type {values.dtype} and shape {values.shape} has no place in a reflection file"
        )
    dtype = _FROM_FILE[file_type][0]
    return file_type, np.ascontiguousarray(values, dtype=dtype)


def write_reflections(table: ReflectionTable, path: str | os.PathLike[str]) -> None:
    """Write a reflection file (columns sorted by name), atomically; ``.gz`` is compressed.

    The file has version 1 of the layout, which every DIALS reads; those before 3.13 refuse version 2 (smaller shoebox
    masks).

    Raises
    ------
    FileFormatError
        If a column is too large for the format (4 GiB) or of a type that it does not know.
    """
    import msgpack

    path = Path(path)
    n = len(table)
    packer = msgpack.Packer(use_bin_type=True)
    with atomic_write(path) as temporary, _open(temporary, "wb") as file:
        file.write(packer.pack_array_header(3))
        file.write(packer.pack(SIGNATURE))
        file.write(packer.pack(1))
        file.write(packer.pack_map_header(3))
        file.write(packer.pack("identifiers"))
        file.write(packer.pack({int(k): v for k, v in sorted(table.identifiers.items())}))
        file.write(packer.pack("nrows"))
        file.write(packer.pack(n))
        file.write(packer.pack("data"))
        file.write(packer.pack_map_header(len(table.columns)))
        for name in sorted(table.columns):
            values = table[name]
            file.write(packer.pack(name))
            file.write(packer.pack_array_header(2))
            if isinstance(values, Shoeboxes):
                file_type, payload = "Shoebox<>", _encode_shoeboxes(values)
            elif values.dtype.kind in "OUS":
                file.write(packer.pack("std::string"))
                file.write(packer.pack([n, [str(v) for v in values]]))
                continue
            else:
                file_type, payload = _typed(name, values)
            if payload.nbytes > MAX_BIN:
                raise FileFormatError(
                    f"{path}: column {name} needs {payload.nbytes / 2**30:.1f} GiB, the format holds 4; write it "
                    "without shoeboxes "
                    "(output.shoeboxes=False) or process fewer images at a time"
                )
            file.write(packer.pack(file_type))
            file.write(packer.pack_array_header(2))
            file.write(packer.pack(n))
            file.write(_bin_header(payload.nbytes))
            file.write(payload.data.cast("B") if payload.size else b"")


def _bin_header(n: int) -> bytes:
    if n < 2**8:
        return b"\xc4" + n.to_bytes(1, "big")
    if n < 2**16:
        return b"\xc5" + n.to_bytes(2, "big")
    return b"\xc6" + n.to_bytes(4, "big")
