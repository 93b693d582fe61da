"""Reading frames of datasets: chunks decoded here, outside the lock of HDF5, and everything else by h5py."""

from __future__ import annotations

import threading
import zlib
from typing import Any

import h5py
import numpy as np

from spindle.contracts.format import Chunk
from spindle.errors import HeaderError
from spindle.images import thread_buffer

from . import kernels
from .chunks import ChunkSizes, tiles_of
from .hdf import MOST_OF_GZIP, UNSUSPECTED, fault_at, refuse_bomb, unpackable
from .virtual import Box, Mapping, mappings

BITSHUFFLE, LZ4, GZIP = 32008, 32004, 1
_BITSHUFFLE_LZ4 = 2
_FILTER_NAMES = {
    BITSHUFFLE: "bitshuffle", LZ4: "LZ4", GZIP: "gzip", 2: "shuffle", 3: "Fletcher checksum", 32015: "Zstandard",
    32001: "Blosc", 32000: "LZF", 32013: "ZFP", 32026: "Blosc2",
}  # fmt: skip
MOST_CHUNKS = 1 << 14
MOST_DEPTH = 8
LEAVE_OUT = "geometry.scan.image_range=<first>,<last>"


def _remedy(reason: str) -> str:
    """What to do when HDF5 cannot read an image."""
    if "plugin" in reason or "not registered" in reason or ("filter" in reason and "available" in reason):
        return "install the filter (HDF5_PLUGIN_PATH names the folder of further ones)"
    return "copy the file again"


def temporary(name: str, count: int, dtype: Any) -> np.ndarray:
    """(count,) array in a buffer of this thread."""
    dtype = np.dtype(dtype)
    return thread_buffer(f"nexus {name}", count * dtype.itemsize)[: count * dtype.itemsize].view(dtype)


class StoredFrames:
    """Frames of a dataset that is stored in its file.

    Parameters
    ----------
    dataset : Dataset
        Axis 0 counts frames; a dataset of two axes is one frame.
    """

    def __init__(self, dataset: h5py.Dataset) -> None:
        self.dataset = dataset
        self.is_single = dataset.ndim == 2
        self.shape: tuple[int, ...] = dataset.shape if self.is_single else dataset.shape[1:]
        self.dtype = dataset.dtype
        self.codec = self._codec()
        self._is_safe: bool | None = None
        if dataset.chunks is not None:
            self._refuse_tiny_chunks()
        else:
            unpackable(dataset)
        if self.codec != "hdf5":
            self._tiles = tiles_of(dataset.chunks[1:], self.shape)
            self._chunks = ChunkSizes(dataset, len(self._tiles))

    def _refuse_tiny_chunks(self) -> None:
        """Raise for images in more pieces than can be handled one by one."""
        chunks = self.dataset.chunks if self.is_single else self.dataset.chunks[1:]
        n = int(np.prod([-(-n // c) for n, c in zip(self.shape, chunks, strict=True)]))
        if n > MOST_CHUNKS:
            found = f"{n} chunks of {' x '.join(map(str, chunks))}"
            remedy = f"h5repack -l {self.dataset.name}:CHUNK=1x{'x'.join(map(str, self.shape))} makes one of each"
            raise fault_at(self.dataset, f"at most {MOST_CHUNKS} chunks in an image", found, remedy)

    def count(self) -> int:
        """Number of frames now; a growing dataset is looked at again."""
        if self.is_single:
            return 1
        if self.dataset.file.swmr_mode:
            self.dataset.refresh()  # h5py remembers the shape beside HDF5
        return int(self.dataset.shape[0])

    def written(self) -> int:
        """Number of frames that have their chunks, of those that are stored one per chunk; else all of them."""
        count, dataset = self.count(), self.dataset
        if self.is_single or dataset.chunks is None or dataset.chunks[0] != 1:
            return count
        per_frame = int(np.prod([-(-n // c) for n, c in zip(self.shape, dataset.chunks[1:], strict=True)]))
        return min(count, int(dataset.id.get_num_chunks()) // per_frame)

    def _filters(self) -> list[tuple[int, tuple[int, ...]]]:
        plist = self.dataset.id.get_create_plist()
        return [(f[0], f[2]) for f in (plist.get_filter(i) for i in range(plist.get_nfilters()))]

    def _codec(self) -> str:
        """How chunks are decoded: "bitshuffle", "lz4", "gzip", "plain", or "hdf5" when that must do it."""
        dataset = self.dataset
        is_ours = (
            dataset.chunks is not None
            and not self.is_single
            and dataset.chunks[0] == 1
            and dataset.dtype.kind in "iu"
            and dataset.dtype.itemsize in (1, 2, 4)
            and (dataset.dtype.byteorder in "=|<" and np.little_endian)
        )
        if not is_ours:
            return "hdf5"
        filters = self._filters()
        if not filters:
            return "plain"
        if len(filters) > 1:
            return "hdf5"
        identifier, values = filters[0]
        if identifier == BITSHUFFLE and len(values) > 4 and values[4] == _BITSHUFFLE_LZ4:
            return "bitshuffle"
        return {LZ4: "lz4", GZIP: "gzip"}.get(identifier, "hdf5")

    def read(self, frame: int, out: np.ndarray) -> None:
        """Fill `out` with a frame.

        Parameters
        ----------
        frame : int
        out : int32 or float32 array of the shape of a frame, C order

        Raises
        ------
        FileFormatError
            If a chunk is missing, cut short or damaged.
        """
        if self.codec == "hdf5" or out.dtype != np.int32:
            self._read_by_hdf5(frame, out)
            return
        chunk = self.dataset.chunks[1:]
        for number, (start, used, flat) in enumerate(self._tiles):
            if flat is not None:
                is_done = self._decode(frame, number, start, out.reshape(-1)[flat[0] : flat[1]])
            else:
                tile = temporary("tile", int(np.prod(chunk)), np.int32)
                is_done = self._decode(frame, number, start, tile)
                inside = tile.reshape(chunk)[tuple(slice(0, u) for u in used)]
                out[tuple(slice(s, s + u) for s, u in zip(start, used, strict=True))] = inside
            if not is_done:
                self._read_by_hdf5(frame, out)
                return

    def chunk(self, frame: int) -> Chunk | None:
        """A frame as it is stored, where it is stored in one chunk that a single known filter made."""
        if self.codec == "hdf5" or self.dataset.chunks[1:] != self.shape:
            return None
        start = (0,) * len(self.shape)
        try:
            size, left_out = self._chunks.of(frame, 0)
            if not size:
                raise self._unwritten(frame)
            if left_out:
                return None
            _, stored = self.dataset.id.read_direct_chunk((frame, *start))
        except (OSError, RuntimeError, ValueError) as error:
            raise self._broken(frame, start, "a chunk that HDF5 can read", str(error)) from error
        rows = int(np.prod(self.shape[:-1]))
        codec = {"bitshuffle": "bitshuffle_lz4", "plain": "none"}.get(self.codec, self.codec)
        return Chunk(bytes(stored), codec, (rows, self.shape[-1]), self.dtype)

    def _decode(self, frame: int, number: int, start: tuple[int, ...], out: np.ndarray) -> bool:
        """Decode one chunk into `out` (n,) int32; False when a filter was left out for it and HDF5 must read it."""
        kind = self.dtype
        n_bytes = out.size * kind.itemsize
        where = (frame, *start)
        try:
            size, left_out = self._chunks.of(frame, number)
            if not size:
                raise self._unwritten(frame)
            if left_out:
                return False
            stored = temporary("chunk", size, np.uint8)
            self.dataset.id.read_direct_chunk(where, out=stored)
        except (OSError, RuntimeError, ValueError) as error:
            raise self._broken(frame, start, "a chunk that HDF5 can read", str(error)) from error
        sign = 0 if kind.kind == "u" or kind.itemsize == 4 else 1 << (8 * kind.itemsize - 1)
        if self.codec == "bitshuffle":
            status, at = kernels.decode_bitshuffle_lz4(stored, size, kind.itemsize, sign, out)
            self._check(status, at, frame, start, size, n_bytes, stored)
            return True
        content = stored
        if self.codec == "lz4":
            content = temporary("content", n_bytes, np.uint8)
            status, at = kernels.decode_lz4(stored, size, content)
            self._check(status, at, frame, start, size, n_bytes, stored)
        elif self.codec == "gzip":
            try:
                inflater = zlib.decompressobj()
                content = np.frombuffer(inflater.decompress(stored.data, n_bytes + 1), dtype=np.uint8)
            except zlib.error as error:
                raise self._broken(frame, start, f"{n_bytes} bytes of pixels", f"damaged gzip ({error})") from error
            if content.size >= n_bytes and not inflater.eof:
                found = "more" if content.size > n_bytes else "damaged gzip (no end)"
                raise self._broken(frame, start, f"{n_bytes} bytes of pixels", found)
        if content.size != n_bytes:
            raise self._broken(frame, start, f"{n_bytes} bytes of pixels", f"{content.size}")
        np.copyto(out, content.view(kind), casting="unsafe")
        return True

    def _check(
        self, status: int, at: int, frame: int, start: tuple[int, ...], size: int, n_bytes: int, stored: np.ndarray
    ) -> None:
        """Raise for what a decoder found."""
        if status == kernels.OK:
            return
        if status == kernels.WRONG_SIZE:
            announced = int.from_bytes(stored[:8].tobytes(), "big")
            raise self._broken(frame, start, f"{n_bytes} bytes of pixels", f"a header that announces {announced}")
        if status == kernels.CUT_SHORT:
            found = f"its end at byte {size}, inside the block that begins at byte {at}"
            raise self._broken(frame, start, f"{n_bytes} bytes of pixels", found)
        raise self._broken(frame, start, "blocks of LZ4", f"a damaged one at its byte {at} of {size}")

    def _fault(self, where: str, expected: str, found: str, remedy: str) -> HeaderError:
        error = fault_at(self.dataset, expected, found, f"{remedy}, or leave the image out with {LEAVE_OUT}")
        return HeaderError(error.file, f"{error.place}, {where}", error.expected, error.found, error.remedy)

    def _broken(self, frame: int, start: tuple[int, ...], expected: str, found: str) -> HeaderError:
        where = f"chunk of image {frame + 1} at {', '.join(map(str, start))}"
        return self._fault(where, expected, found, "copy the file again")

    def _unwritten(self, frame: int) -> HeaderError:
        return self._fault(
            f"image {frame + 1} of {self.dataset.shape[0]}",
            "a chunk with its pixels",
            "none: it was never written",
            "wait if the file is still being written",
        )

    def _refuse_bombs(self, frame: int) -> None:
        """Look into the chunks of a frame that gzip could have made far larger than they are, once for each."""
        if self._is_safe is None:
            filters = [f for f, _ in self._filters()]
            self._is_safe = GZIP not in filters or self.dataset.chunks is None
            self._looked: set[int] = set()
        if self._is_safe:
            return
        dataset = self.dataset
        layer = 0 if self.is_single else frame // dataset.chunks[0]
        if layer in self._looked:
            return
        room = int(np.prod(dataset.chunks)) * self.dtype.itemsize
        filters = [f for f, _ in self._filters()]
        edges = dataset.chunks if self.is_single else dataset.chunks[1:]
        for start, _, _ in tiles_of(edges, self.shape):
            at = start if self.is_single else (layer * dataset.chunks[0], *start)
            info = dataset.id.get_chunk_info_by_coord(at)
            if info.size * MOST_OF_GZIP > room + UNSUSPECTED and not info.filter_mask:
                refuse_bomb(dataset, at, room, filters)
        self._looked.add(layer)

    def _read_by_hdf5(self, frame: int, out: np.ndarray) -> None:
        import hdf5plugin  # noqa: F401 (registers its filters)

        dataset = self.dataset
        self._refuse_bombs(frame)
        raw = temporary("hdf5", int(np.prod(self.shape)), self.dtype).reshape(self.shape)
        try:
            if self.is_single:
                dataset.read_direct(raw)
            else:
                dataset.read_direct(raw, np.s_[frame])
        except (OSError, RuntimeError, ValueError) as error:
            filters = " + ".join(_FILTER_NAMES.get(f, f"filter {f}") for f, _ in self._filters()) or "none"
            what = "a filter that is installed, and whole chunks" if filters != "none" else "whole chunks"
            raise self._fault(
                f"image {frame + 1} (compression: {filters})", what, str(error), _remedy(str(error))
            ) from error
        if self.dtype.kind in "iu" and self.dtype.itemsize == 8:
            limits = np.iinfo(np.int32)
            np.clip(raw, 0 if self.dtype.kind == "u" else limits.min, limits.max, out=raw)
        np.copyto(out, raw, casting="unsafe")


class VirtualFrames:
    """Frames of a virtual dataset, put together from their sources.

    Parameters
    ----------
    dataset : Dataset
    depth : int
        Virtual datasets that this one is a source of, one inside the other.
    """

    def __init__(self, dataset: h5py.Dataset, depth: int = 0) -> None:
        self.dataset = dataset
        self.shape: tuple[int, ...] = dataset.shape[1:]
        self.dtype = dataset.dtype
        self._depth = depth
        self._sources: dict[tuple[str, str], Frames] = {}
        self._lock = threading.Lock()
        self._pieces: dict[int, list[tuple[Frames, int, Box, Box]]] = {}
        found = mappings(dataset) if dataset.ndim > 2 else None
        self._plain = None if found is not None else StoredFrames(dataset)
        self._arrange(found or [])

    def _arrange(self, found: list[Mapping]) -> None:
        """Sort the mappings by frame."""
        pieces: dict[int, list[tuple[Frames, int, Box, Box]]] = {}
        for mapping in found:
            key = (mapping.source.file.filename, mapping.source.name)
            if key not in self._sources:
                self._sources[key] = open_frames(mapping.source, self._depth + 1)
            source = self._sources[key]
            for frame, inner in zip(mapping.frames.tolist(), mapping.source_frames.tolist(), strict=True):
                pieces.setdefault(frame, []).append((source, inner, mapping.box, mapping.source_box))
        self._pieces = pieces

    def count(self) -> int:
        """Number of frames now."""
        if self.dataset.file.swmr_mode:
            self.dataset.refresh()  # h5py remembers the shape beside HDF5
            with self._lock:
                if self._plain is None and self.dataset.shape[0] > max(self._pieces, default=-1) + 1:
                    self._arrange(mappings(self.dataset) or [])
        return int(self.dataset.shape[0])

    def chunk(self, frame: int) -> Chunk | None:
        """See `StoredFrames.chunk`; of frames that are one of a source."""
        if self._plain is not None:
            return self._plain.chunk(frame)
        pieces = self._pieces.get(frame, [])
        whole = tuple(slice(0, n) for n in self.shape)
        if len(pieces) != 1 or pieces[0][2] != whole or pieces[0][0].shape != self.shape:
            return None
        return pieces[0][0].chunk(pieces[0][1])

    def read(self, frame: int, out: np.ndarray) -> None:
        """Fill `out` with a frame; see `StoredFrames.read`."""
        if self._plain is not None:
            self._plain.read(frame, out)
            return
        pieces = self._pieces.get(frame, [])
        if not pieces:
            raise HeaderError(
                self.dataset.file.filename,
                f"{self.dataset.name}, image {frame + 1} of {self.dataset.shape[0]}",
                "a source in the virtual dataset",
                None,
                f"leave the image out with {LEAVE_OUT}",
            )
        covered = 0
        for source, inner, box, _ in pieces:
            whole = tuple(slice(0, n) for n in self.shape)
            if box == whole and source.shape == self.shape:
                source.read(inner, out)
                return
            covered += int(np.prod([b.stop - b.start for b in box]))
        if covered < out.size:
            out[...] = np.asarray(self.dataset.fillvalue).astype(out.dtype)
        for source, inner, box, source_box in pieces:
            part = temporary(f"part {self._depth} {out.dtype}", int(np.prod(source.shape)), out.dtype).reshape(
                source.shape
            )
            source.read(inner, part)
            out[box] = part[source_box]


Frames = StoredFrames | VirtualFrames


def open_frames(dataset: h5py.Dataset, depth: int = 0) -> Frames:
    """Frames of a dataset of any layout; virtual ones that lead back to themselves are refused."""
    if depth > MOST_DEPTH:
        expected = f"virtual datasets at most {MOST_DEPTH} deep"
        raise fault_at(dataset, expected, "deeper ones, or a circle", "copy the file again")
    return VirtualFrames(dataset, depth) if dataset.is_virtual else StoredFrames(dataset)
