"""A CBF file opened for reading: models from the header, pixels from the binary section."""

from __future__ import annotations

import base64
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from io import FileIO
from os import fstat

import numpy as np

from spindle.contracts.format import HEAD_SIZE, Chunk, ImageReader
from spindle.errors import FileFormatError
from spindle.images import (
    MOST,
    compression_of,
    open_regular,
    read_all,
    thread_buffer,
)

from .beamlines import P12M_SERIAL, P12M_SIZE
from .binary import START, cut_short, find_sections
from .decoding import check_readable, decode, decode_checked, decode_stream, stored_chunk
from .digests import LANES, PADDING, digests
from .header_models import CbfModels
from .imgcif import has_one_array
from .modules import module_layout

# Bytes read and decoded at a time, about the size of a core's cache.
PIECE = 1 << 19

_thread = threading.local()


class CbfReader(CbfModels):
    """One CBF image; see `CbfModels`."""

    # Pixels that `prepare` has read, and what tells whether they still lie there: they do in the thread of that very call.
    _prepared: tuple[object, np.ndarray] | None = None

    @property
    def images_at_once(self) -> int:
        """As many as checksums are made at once, where there are any; see `ImageReader.images_at_once`."""
        return LANES if self.options.verify_checksum and self.binary.md5 else 1

    def prepare(self, others: Sequence[ImageReader]) -> None:
        """Read the compressed pixels of several files, and compare their checksums side by side; see `ImageReader.prepare`."""
        readers: list[CbfReader] = []
        _thread.call = call = object()
        with ExitStack() as stack:
            streams = []
            for reader in (self, *others)[:LANES]:
                assert isinstance(reader, CbfReader)
                try:
                    stream = stack.enter_context(open_regular(reader.path))
                    is_plain = reader._begin(stream, thread_buffer("piece", PIECE)[:PIECE])
                except (OSError, FileFormatError):
                    continue
                if is_plain and reader.binary.md5 and reader.options.verify_checksum:
                    readers.append(reader)
                    streams.append(stream)
            if len(readers) < 2:
                return
            sizes = [reader.binary.size for reader in readers]
            room = (max(sizes) + PADDING + 63) // 64 * 64
            rows = thread_buffer("together", LANES * room)[: LANES * room].reshape(LANES, room)
            for reader, stream, row, size in zip(readers, streams, rows, sizes, strict=False):
                stream.seek(reader.binary.start)
                _fill(stream, row[:size])
        for reader, row, size, digest in zip(readers, rows, sizes, digests(rows, sizes), strict=False):
            if base64.b64encode(digest).decode() == reader.binary.md5:
                reader._prepared = call, row[:size]

    def read(self, index: int = 0, out: list[np.ndarray] | None = None) -> list[np.ndarray]:
        """Pixels; see `ImageReader.read`."""
        if index != 0:
            raise IndexError(f"{self.path} holds one image; image {index} was asked for")
        image = self._take_prepared(out)
        if image is None:
            image = self._read_plain(out)
        if image is None:
            data = self._whole_file()
            if self._is_tiled:
                return self._read_elements(data, out)
            image = _base_image(out, (self.binary.slow, self.binary.fast), self.binary.out_type)
            if self.binary.layers > 1:
                raise FileFormatError(
                    f"{self.path}: the pixels have a third dimension of {self.binary.layers} that the header does not "
                    "divide into elements (category _array_structure_list); write one file per image"
                )
            decode(data, self.binary, image, self.path, self.options.verify_checksum)
        rectangles = self._rectangles()
        if rectangles is None:
            return [image]
        return [image[s0:s1, f0:f1] for f0, s0, f1, s1 in rectangles]

    def read_chunk(self, index: int = 0) -> Chunk | None:
        """The compressed pixels; see `ImageReader.read_chunk`."""
        if index != 0:
            raise IndexError(f"{self.path} holds one image; image {index} was asked for")
        data = self._whole_file()
        return None if self._is_tiled else stored_chunk(data, self.binary)

    def _whole_file(self) -> np.ndarray:
        """All bytes, decompressed; enough for the pixels that the header announces."""
        data = read_all(self.path, self._announced)
        self._take_head(data[:HEAD_SIZE])
        check_readable(self.binary, self.path)
        if data.size < self.binary.start + self.binary.size:
            raise cut_short(self.path, data.size, self.binary)
        return data

    def _announced(self) -> int:
        """Bytes of the decompressed file, by its header; as many as any file may have where it has several arrays."""
        return MOST if self._is_tiled else self.binary.start + self.binary.size + HEAD_SIZE

    @property
    def _is_tiled(self) -> bool:
        """Whether the image is put together from elements of an imgCIF header; asked for every image."""
        if self.binary.layers == 1 and has_one_array(self._text):
            return False
        cif = self.cif
        return cif is not None and (len(cif.elements) > 1 or cif.elements[0].layer > 0)

    def _read_elements(self, data: np.ndarray, out: list[np.ndarray] | None) -> list[np.ndarray]:
        """Pixels of all elements, which are views of one block of memory."""
        cif = self.cif
        if cif is None:
            raise FileFormatError(f"{self.path}: no imgCIF header; copy the file again")
        sections = find_sections(data, self.binary, len(cif.arrays), self.path)
        by_number = {section.number: section for section in sections}
        wanted = [array.number for array in cif.arrays.values()]
        if len(by_number) == len(sections) and set(wanted) == set(by_number):
            sections = [by_number[number] for number in wanted]
        for section in sections:
            if data.size < section.start + section.size:
                raise cut_short(self.path, data.size, section)
        self._check_sizes(cif, sections)
        block = _base_image(out, (sum(section.n_elements for section in sections),), self.binary.out_type)
        arrays: dict[str, np.ndarray] = {}
        at = 0
        for name, section in zip(cif.arrays, sections, strict=True):
            check_readable(section, self.path)
            if section.out_type is not self.binary.out_type:
                raise FileFormatError(
                    f"{self.path}: array '{name}' holds '{section.element_type}', the first one "
                    f"'{self.binary.element_type}'; one type of pixels is expected"
                )
            pixels = block[at : at + section.n_elements]
            decode(data, section, pixels, self.path, self.options.verify_checksum)
            arrays[name] = pixels.reshape(section.layers, section.slow, section.fast)
            at += section.n_elements
        return [
            arrays[element.array_id][element.layer, element.box[1] : element.box[3], element.box[0] : element.box[2]]
            for element in cif.elements
        ]

    def _take_head(self, data: np.ndarray) -> None:
        """Use the beginning of a further file of a series, which was read together with its pixels."""
        if not self._head and "_text" not in self.__dict__:
            self._head = data.tobytes()

    def _take_prepared(self, out: list[np.ndarray] | None) -> np.ndarray | None:
        """Pixels that this thread prepared; None if there are none, or they are damaged although the checksum is right."""
        prepared, self._prepared = self._prepared, None
        if prepared is None or prepared[0] is not getattr(_thread, "call", None):
            return None
        image = _base_image(out, (self.binary.slow, self.binary.fast), np.int32)
        return image if decode_checked(prepared[1], self.binary, image) else None

    def _begin(self, stream: FileIO, buffer: np.ndarray) -> int:
        """Read the beginning of the file into a buffer (n,) int8; bytes read, 0 if it is no plain byte-offset image."""
        filled = stream.readinto(buffer.data) or 0
        head = buffer[: min(filled, HEAD_SIZE)]
        if compression_of(head[:4].tobytes()) or START not in head.tobytes():
            return 0
        self._take_head(head)
        if self.binary.packing != "BYTE_OFFSET" or not self.binary.stored_type or self._is_tiled:
            return 0
        return filled if fstat(stream.fileno()).st_size >= self.binary.start + self.binary.size else 0

    def _read_plain(self, out: list[np.ndarray] | None) -> np.ndarray | None:
        """Pixels of a plain byte-offset file, decoded while reading; None if it is of another kind or damaged."""
        try:
            with open_regular(self.path) as stream:
                buffer = thread_buffer("piece", PIECE)[:PIECE]
                filled = self._begin(stream, buffer)
                if not filled:
                    return None
                image = _base_image(out, (self.binary.slow, self.binary.fast), np.int32)
                is_whole = decode_stream(stream, buffer, filled, self.binary, image, self.options.verify_checksum)
        except OSError as error:
            raise FileFormatError(f"{self.path}: {error.strerror or error}") from error
        return image if is_whole else None

    def _rectangles(self) -> list[tuple[int, int, int, int]] | None:
        """Parts of the image that are panels; None when the image is one panel."""
        # The header is parsed only where it can matter: this runs for every image.
        size = (self.binary.fast, self.binary.slow)
        if size == P12M_SIZE and self.cif is None and self.header is not None and self.header.serial == P12M_SERIAL:
            return [(0, 212 * row, 2463, 212 * row + 195) for row in range(24)]
        if not self.options.multi_panel:
            return None
        layout = module_layout(size, self.header is not None and self.header.is_eiger)
        return layout.modules() if layout else None


def _fill(stream: FileIO, room: np.ndarray) -> None:
    """Read bytes from where a file stands, as many as there are up to the size of `room` (n,) int8."""
    got = 0
    while got < room.size and (n := stream.readinto(room.data[got:])):
        got += n


def _base_image(out: list[np.ndarray] | None, shape: tuple[int, ...], dtype: type) -> np.ndarray:
    """The whole image behind the arrays of an earlier call when it fits, else fresh memory."""
    if out:
        base = out[0]
        while isinstance(base.base, np.ndarray) and base.shape != shape:
            base = base.base
        if base.shape == shape and base.dtype == dtype and base.flags.c_contiguous and base.flags.writeable:
            return base
    return np.empty(shape, dtype=dtype)
