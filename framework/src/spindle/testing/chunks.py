"""Decoders of images as they are stored, by other means than the formats'."""

from __future__ import annotations

import zlib

import numpy as np

from spindle.contracts.format import Chunk

__all__ = ["decode_chunk"]

_FILTERS = {"bitshuffle_lz4": (32008, (0, 2)), "lz4": (32004, (0,))}


def decode_chunk(chunk: Chunk) -> np.ndarray | None:
    """(slow, fast) pixels of a chunk as they are stored; None for a codec that is not known here, or whose filter HDF5 lacks."""
    if chunk.codec == "none":
        return np.frombuffer(chunk.data, chunk.dtype).reshape(chunk.shape)
    if chunk.codec == "gzip":
        return np.frombuffer(zlib.decompress(chunk.data), chunk.dtype).reshape(chunk.shape)
    if chunk.codec == "cbf_byte_offset":
        return _byte_offset(chunk)
    return _by_hdf5(chunk) if chunk.codec in _FILTERS else None


def _byte_offset(chunk: Chunk) -> np.ndarray:
    """CBF's differences to the pixel before, in one byte or, behind a mark, in two, four or eight."""
    out: list[int] = []
    value, at = 0, 0
    data = chunk.data
    while len(out) < chunk.shape[0] * chunk.shape[1]:
        for size, mark in ((1, 0x80), (2, 0x8000), (4, 0x80000000), (8, None)):
            piece = data[at : at + size]
            at += size
            if mark is None or int.from_bytes(piece, "little") != mark:
                value += int.from_bytes(piece, "little", signed=True)
                break
        out.append(value)
    return np.array(out).astype(chunk.dtype).reshape(chunk.shape)


def _by_hdf5(chunk: Chunk) -> np.ndarray | None:
    """HDF5 reads what its own filter has written."""
    import h5py

    number, options = _FILTERS[chunk.codec]
    if not h5py.h5z.filter_avail(number):  # `import hdf5plugin` brings it
        return None
    with h5py.File("chunk", "w", driver="core", backing_store=False) as file:
        data = file.create_dataset(
            "data", shape=(1, *chunk.shape), chunks=(1, *chunk.shape), dtype=chunk.dtype, compression=number,
            compression_opts=options,
        )  # fmt: skip
        data.id.write_direct_chunk((0, 0, 0), chunk.data)
        return np.asarray(data[0])
