"""Compressed pixels of EDF blocks."""

from __future__ import annotations

import numpy as np

from .header import EdfBlock

PACKINGS = ("GzipCompression", "ZCompression", "Bzip2Compression", "ByteOffsetCompression")


def unpacked(packed: bytes, block: EdfBlock) -> np.ndarray | None:
    """Pixels of a compressed block.

    Parameters
    ----------
    packed : bytes
        The compressed pixels, perhaps with padding behind them.
    block : EdfBlock

    Returns
    -------
    (slow, fast) array, or None for a compression that is not known

    Raises
    ------
    ValueError, OSError, EOFError, zlib.error
        If they do not decompress to the size of the image.
    """
    name = block.compression
    if "offset" in name:
        from fabio.compression import decByteOffset

        values = np.asarray(decByteOffset(packed, size=block.shape[0] * block.shape[1], dtype=np.int32))
        if values.size != block.shape[0] * block.shape[1]:
            raise ValueError(f"{values.size} pixels")
        return values.reshape(block.shape)
    if "gzip" in name or name.startswith("z"):
        import zlib

        # 47: a gzip or a zlib header, whichever there is.
        content = zlib.decompressobj(47).decompress(packed)
    elif "bz" in name:
        import bz2

        content = bz2.BZ2Decompressor().decompress(packed)
    else:
        return None
    if len(content) < block.n_pixel_bytes:
        raise ValueError(f"{len(content)} bytes")
    return np.frombuffer(content[: block.n_pixel_bytes], block.dtype).reshape(block.shape)
