"""The reflection file: one MessagePack array of a signature, a version and the columns."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from spindle.errors import FileFormatError
from spindle.models.arrays import shortened
from spindle.regular import refuse_special, unreadable
from spindle.table import SCHEMA, Changed, Deferred, ReflectionTable, Selected, Shoeboxes

from .atomic import atomic_write
from .layout import Extent, Walker, once
from .shoebox_records import FileShoeboxes, bytes_of_shoeboxes, size_of_shoeboxes
from .source import Source, may_stay_open

SIGNATURE = "dials::af::reflection_table"
HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
MAX_BIN = 2**32 - 1
MAX_ROWS = 2**31 - 1
MAX_EXPANSION = 200  # deflate reaches 1,000 for zeros; tables with all their columns stay below 20
ROWS, PIXELS = 2**18, 2**22  # of a column and of shoeboxes that are encoded at a time
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


def _open(path: Path, mode: str) -> Any:
    return gzip.open(path, mode) if path.suffix == ".gz" else open(path, mode)


def read_reflections(path: str | os.PathLike[str]) -> ReflectionTable:
    """Read a reflection file.

    The columns of a large file are read when they are first asked for; the file stays open as long as the table needs it, so that
    it may be replaced meanwhile. Columns of unknown names are kept; columns of unknown types are an error, because they could not be written again.

    Raises
    ------
    FileFormatError
        If the file is a Python pickle, an HDF5 file, damaged, or something else.
    """
    path = Path(path)
    source = _source(path)
    start = source.read(0, 8)
    if start[:1] == b"\x80":
        raise FileFormatError(
            f"{path}: this is a Python pickle of old DIALS, which can run code and needs cctbx to read; convert it "
            "with DIALS once "
            "(flex.reflection_table.from_file(...).as_file(...)) and give the new file"
        )
    if start == HDF5_MAGIC:
        raise FileFormatError(
            f"{path}: this is an HDF5 file; write the table in DIALS as MessagePack (.refl) and give that file"
        )
    if not start:
        raise FileFormatError(f"{path}: the file is empty; run the step that wrote it again")
    place = "the head"
    try:
        version, table = _table_of(source)
        place = "nrows"
        n = _row_count(table)
        result = ReflectionTable.with_rows(n)
        place = "identifiers"
        result.identifiers = _identifiers_of(table)
        for raw_name, column in table[b"data"].items():
            name = raw_name.decode()
            place = f"column {name}"
            result[name] = _column(name, column, n, version, f"{path}, {place}")
    except FileFormatError:
        raise
    except DAMAGE as error:
        missing = f"{error} is missing" if isinstance(error, KeyError) else f"{type(error).__name__}: {error}"
        raise FileFormatError(
            f"{path}, {place}: not a reflection file, or damaged ({missing[:200]}); run the step that wrote it again"
        ) from error
    return result


def _source(path: Path) -> Source:
    """The bytes of a file; those of a large one stay in it, of a compressed one no more are taken than tables expand to."""
    try:
        refuse_special(path, "name a reflection file")
        if path.suffix != ".gz":
            if may_stay_open(path):
                return Source(path)
            with open(path, "rb") as file:
                return Source(path, file.read())
        limit = MAX_EXPANSION * path.stat().st_size + 2**20
        with gzip.open(path, "rb") as packed:
            content = bytes(packed.read(limit + 1))
    except PermissionError as error:
        raise unreadable(path, error, "name a reflection file") from error
    except (OSError, EOFError, zlib.error) as error:
        raise FileFormatError(f"{path}: cannot be read as a reflection file: {error}") from error
    if len(content) > limit:
        raise FileFormatError(
            f"{path}: expands to more than {MAX_EXPANSION} times its size, which no table does; decompress it yourself if you "
            "trust it, and give the .refl file"
        )
    return Source(path, content)


def _table_of(source: Source) -> tuple[int, dict[bytes, Any]]:
    """Version and table of the file; what columns hold is left where it is."""
    walker = Walker(source)
    if walker.array() != 3:
        raise ValueError("no list of signature, version and table")
    signature = walker.value()
    if signature != SIGNATURE.encode():
        raise FileFormatError(f"{source.path}: the file says it is {shortened(signature)}, '{SIGNATURE}' expected")
    version = walker.value()
    if version not in (1, 2):
        raise FileFormatError(f"{source.path}: the version of its layout is {shortened(version)}; 1 and 2 can be read")
    table = once(_parts_of(walker))
    if walker.left:
        raise ValueError(f"{walker.left} bytes are left over")
    return version, table


def _parts_of(walker: Walker) -> Iterator[tuple[bytes, Any]]:
    """Names and contents of the parts of a table."""
    for _ in range(walker.map()):
        key = walker.value()
        yield key, once(_columns_of(walker)) if key == b"data" else walker.value()


def _columns_of(walker: Walker) -> Iterator[tuple[bytes, Any]]:
    """Name, and type, length and payload, of each column."""
    for _ in range(walker.map()):
        name = walker.value()
        if walker.array() != 2:
            raise ValueError(f"column {shortened(name)} is no pair of type and values")
        kind = walker.value()
        if walker.array() != 2:
            raise ValueError(f"column {shortened(name)} has no pair of length and values")
        yield name, (kind, (walker.value(), walker.payload()))


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


def _column(name: str, column: Any, n: int, version: int, where: str) -> Any:
    """A column from its type and payload; of a large file only what stands for it."""
    raw_type, (length, payload) = column
    kind = raw_type.decode()
    if length != n:
        raise FileFormatError(f"{where}: {shortened(length)} rows, the table has {n}; the file is damaged")
    if kind == "std::string":
        if not isinstance(payload, list) or len(payload) != n:
            raise FileFormatError(f"{where}: {len(payload)} texts, the table has {n} rows; the file is damaged")
        return np.array([v.decode() for v in payload], dtype=object)
    found: Deferred
    if kind.startswith("Shoebox"):
        found = FileShoeboxes(_extent(payload), n, version, where)
    elif kind in _FROM_FILE:
        dtype, shape = _FROM_FILE[kind]
        expected = n * int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
        if len(payload) != expected:
            raise FileFormatError(f"{where}: {len(payload)} bytes found, {expected} expected; the file is damaged")
        spec = SCHEMA.get(name)
        if spec is not None and spec.shape != shape:
            raise ValueError(f"of the shape {shape}, {spec.shape} expected")
        found = FileColumn(_extent(payload), n, np.dtype(dtype), shape, None if spec is None else np.dtype(spec.dtype))
    else:
        raise FileFormatError(f"{where}: the type '{shortened(kind)}' is not known")
    return found.value() if found.payload.source.in_memory else found


def _extent(payload: Any) -> Extent:
    if not isinstance(payload, Extent):
        raise ValueError(f"binary data expected, found {shortened(payload)}")
    return payload


class FileColumn(Deferred):
    """Numbers in their file.

    Parameters
    ----------
    payload : Extent
    n : int
    dtype : dtype
        In the file.
    shape : tuple of int
        Of one row.
    wanted : dtype, optional
        In memory, when it differs.
    """

    def __init__(self, payload: Extent, n: int, dtype: np.dtype, shape: tuple[int, ...], wanted: Any = None) -> None:
        super().__init__(n)
        self.payload, self.dtype, self.shape, self.wanted = payload, dtype, shape, wanted or dtype

    def read(self, start: int, stop: int) -> np.ndarray:
        """Rows in memory of their own, aligned."""
        is_bool = self.dtype == np.bool_
        values = np.empty((stop - start, *self.shape), np.uint8 if is_bool else self.dtype)
        width = self.dtype.itemsize * int(np.prod(self.shape, dtype=np.int64))
        self.payload.source.read_into(self.payload.offset + start * width, values)
        if is_bool:
            values = values != 0
        return values.astype(self.wanted, copy=False)


def _file_type(name: str, values: np.ndarray) -> str:
    file_type = _TO_FILE.get((values.dtype.kind, values.shape[1:]))
    if file_type is None:
        raise FileFormatError(
            f"column {name} of type {values.dtype} and shape {values.shape} has no place in a reflection file"
        )
    return file_type


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
            file.write(packer.pack(name))
            file.write(packer.pack_array_header(2))
            _write_column(file, packer, table, name, path)


def _write_column(file: Any, packer: Any, table: ReflectionTable, name: str, path: Path) -> None:
    """Type and values of a column, block by block, so that no second copy of it is made."""
    n = len(table)
    first: Any = next(table.blocks(name, 1), None)
    if first is None:
        first = table[name]
    rows = ROWS
    encode: Any
    if isinstance(first, Shoeboxes):
        pixels = _pixels_of(table, name)
        file_type, size, encode = "Shoebox<>", size_of_shoeboxes(n, pixels), bytes_of_shoeboxes
        rows = max(min(ROWS, PIXELS * n // max(pixels, 1)), 1)
    elif first.dtype.kind in "OUS":
        file.write(packer.pack("std::string"))
        file.write(packer.pack([n, [str(v) for v in table.peek(name)]]))
        return
    else:
        file_type = _file_type(name, first)
        dtype = np.dtype(_FROM_FILE[file_type][0])
        size = n * dtype.itemsize * int(np.prod(first.shape[1:], dtype=np.int64))
        encode = partial(np.ascontiguousarray, dtype=dtype)
    if size > MAX_BIN:
        raise FileFormatError(
            f"{path}: column {name} needs {size / 2**30:.1f} GiB, the format holds 4; write it without shoeboxes "
            "(output.shoeboxes=False) or process fewer images at a time"
        )
    file.write(packer.pack(file_type))
    file.write(packer.pack_array_header(2))
    file.write(packer.pack(n))
    file.write(_bin_header(size))
    for block in table.blocks(name, rows):
        payload = encode(block)
        file.write(payload.data.cast("B") if payload.size else b"")


def _pixels_of(table: ReflectionTable, name: str) -> int:
    """Number of pixels of all shoeboxes of a column, of one in its file without reading them."""
    column = table.deferred(name)
    sizes = None if column is None else _sizes_of(column)
    if sizes is not None:
        return int(sizes.sum())
    return int(table[name].offsets[-1]) if len(table) else 0


def _sizes_of(column: Deferred) -> np.ndarray | None:
    """Pixels of each shoebox of a column in its file, of some rows of one, or of one as a function changes it."""
    if isinstance(column, FileShoeboxes):
        return column.sizes
    if not isinstance(column, Selected | Changed):
        return None
    sizes = _sizes_of(column.column)
    return sizes if sizes is None or isinstance(column, Changed) else sizes[column.rows]


def _bin_header(n: int) -> bytes:
    if n < 2**8:
        return b"\xc4" + n.to_bytes(1, "big")
    if n < 2**16:
        return b"\xc5" + n.to_bytes(2, "big")
    return b"\xc6" + n.to_bytes(4, "big")
