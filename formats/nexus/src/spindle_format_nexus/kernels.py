"""Decoders of HDF5 chunks: LZ4 blocks and bitshuffle.

Formats: the LZ4 block format (github.com/lz4/lz4, doc/lz4_Block_format.md), the HDF5 filter 32004 (LZ4) and the HDF5
filter 32008 (bitshuffle; Masui et al. (2015), Astronomy and Computing 12, 181-190).
"""

from __future__ import annotations

import numpy as np
from numba import njit

# What a decoder returns besides the byte where it stopped.
OK, WRONG_SIZE, CUT_SHORT, DAMAGED = 0, 1, 2, 3

# Bytes of an uncompressed bitshuffle block that are expected at most; Dectris and h5py use 8192.
LARGEST_BLOCK = 1 << 20


@njit(nogil=True, cache=True)
def _lz4_block(src, s, end, dst, d, stop):
    """Decode one LZ4 block from src[s:end] to dst[d:stop]; where the output ends, or -1 when the block is damaged."""
    begin = d
    while s < end:
        token = np.int64(src[s])
        s += 1
        n = token >> 4
        if n == 15:
            more = np.int64(255)
            while more == 255:
                if s >= end:
                    return np.int64(-1)
                more = np.int64(src[s])
                s += 1
                n += more
        if s + n > end or d + n > stop:
            return np.int64(-1)
        for k in range(n):
            dst[d + k] = src[s + k]
        d += n
        s += n
        if s == end:
            return d
        if s + 2 > end:
            return np.int64(-1)
        offset = np.int64(src[s]) | (np.int64(src[s + 1]) << 8)
        s += 2
        if offset == 0 or offset > d - begin:
            return np.int64(-1)
        n = token & 15
        if n == 15:
            more = np.int64(255)
            while more == 255:
                if s >= end:
                    return np.int64(-1)
                more = np.int64(src[s])
                s += 1
                n += more
        n += 4
        if d + n > stop:
            return np.int64(-1)
        m = d - offset
        if offset == 1:
            value = dst[m]
            for k in range(n):
                dst[d + k] = value
        else:
            # Periodic: what is written becomes source, as the format demands.
            for k in range(n):
                dst[d + k] = dst[m + k]
        d += n
    return np.int64(-1)


@njit(nogil=True, cache=True)
def _big_endian(src, s, n):
    """Unsigned integer of n bytes, most significant first."""
    value = np.int64(0)
    for k in range(n):
        value = (value << 8) | np.int64(src[s + k])
    return value


@njit(nogil=True, cache=True)
def decode_lz4(chunk, n_stored, out):
    """Decode a chunk of the HDF5 filter LZ4.

    Parameters
    ----------
    chunk : (>= n_stored,) uint8
    n_stored : int
        Bytes of the chunk in the file.
    out : (n_bytes,) uint8
        Filled.

    Returns
    -------
    (int, int)
        `OK`, `WRONG_SIZE`, `CUT_SHORT` or `DAMAGED`, and the byte of the chunk where decoding stopped.
    """
    if n_stored < 12:
        return CUT_SHORT, np.int64(0)
    total = _big_endian(chunk, 0, 8)
    block = _big_endian(chunk, 8, 4)
    if total != out.size or block <= 0:
        return WRONG_SIZE, np.int64(0)
    s, d = np.int64(12), np.int64(0)
    while d < total:
        size = min(block, total - d)
        if s + 4 > n_stored:
            return CUT_SHORT, s
        stored = _big_endian(chunk, s, 4)
        s += 4
        if s + stored > n_stored:
            return CUT_SHORT, s
        if stored == size:
            for k in range(size):
                out[d + k] = chunk[s + k]
        elif _lz4_block(chunk, s, s + stored, out, d, d + size) != d + size:
            return DAMAGED, s
        s += stored
        d += size
    return OK, s


@njit(nogil=True, cache=True)
def _transpose_bits(words, first, n):
    """Turn eight rows of n words each, one bit of every element per row, into eight rows of bytes, in place.

    Row j afterwards holds, byte by byte, one byte of the elements j, 8 + j, 16 + j, ... Whether any bit is set is
    returned.
    """
    m4, m2, m1 = np.uint64(0x0F0F0F0F0F0F0F0F), np.uint64(0x3333333333333333), np.uint64(0x5555555555555555)
    s4, s2, s1 = np.uint64(4), np.uint64(2), np.uint64(1)
    seen = np.uint64(0)
    for i in range(first, first + 8 * n):
        seen |= words[i]
    if seen == 0:
        return False
    for i in range(first, first + n):
        a, b, c, d = words[i], words[i + n], words[i + 2 * n], words[i + 3 * n]
        e, f, g, h = words[i + 4 * n], words[i + 5 * n], words[i + 6 * n], words[i + 7 * n]
        t = ((a >> s4) ^ e) & m4
        e ^= t
        a ^= t << s4
        t = ((b >> s4) ^ f) & m4
        f ^= t
        b ^= t << s4
        t = ((c >> s4) ^ g) & m4
        g ^= t
        c ^= t << s4
        t = ((d >> s4) ^ h) & m4
        h ^= t
        d ^= t << s4
        t = ((a >> s2) ^ c) & m2
        c ^= t
        a ^= t << s2
        t = ((b >> s2) ^ d) & m2
        d ^= t
        b ^= t << s2
        t = ((e >> s2) ^ g) & m2
        g ^= t
        e ^= t << s2
        t = ((f >> s2) ^ h) & m2
        h ^= t
        f ^= t << s2
        t = ((a >> s1) ^ b) & m1
        b ^= t
        a ^= t << s1
        t = ((c >> s1) ^ d) & m1
        d ^= t
        c ^= t << s1
        t = ((e >> s1) ^ f) & m1
        f ^= t
        e ^= t << s1
        t = ((g >> s1) ^ h) & m1
        h ^= t
        g ^= t << s1
        words[i], words[i + n], words[i + 2 * n], words[i + 3 * n] = a, b, c, d
        words[i + 4 * n], words[i + 5 * n], words[i + 6 * n], words[i + 7 * n] = e, f, g, h
    return True


@njit(nogil=True, cache=True)
def _join_bytes(rows, base, n, out, at):
    """Elements at 8 i + j of `out` from byte i of row j; whole rows are one byte of the elements."""
    for i in range(n):
        for j in range(8):
            out[at + 8 * i + j] = np.int32(rows[base + j * n + i])


@njit(nogil=True, cache=True)
def _add_bytes(rows, base, n, shift, out, at):
    """Like `_join_bytes`, for a higher byte."""
    for i in range(n):
        for j in range(8):
            out[at + 8 * i + j] |= np.int32(rows[base + j * n + i]) << shift


@njit(nogil=True, cache=True)
def _unshuffle(words, rows, element, n, out, at):
    """Elements at:at + n of `out` from a bitshuffled block, which is overwritten; n is a multiple of 8."""
    length = n // 8
    if length % 8 == 0:
        for plane in range(element):
            is_set = _transpose_bits(words, plane * length, length // 8)
            if plane == 0:
                if is_set:
                    _join_bytes(rows, 0, length, out, at)
                else:
                    out[at : at + n] = 0
            elif is_set:
                _add_bytes(rows, plane * 8 * length, length, np.int32(8 * plane), out, at)
        return
    for i in range(n):
        value = np.int64(0)
        for bit in range(8 * element):
            value |= np.int64((rows[bit * length + i // 8] >> np.uint8(i % 8)) & np.uint8(1)) << np.int64(bit)
        out[at + i] = np.int32(value)


@njit(nogil=True, cache=True)
def decode_bitshuffle_lz4(chunk, n_stored, element, sign, out):
    """Decode a chunk of the HDF5 filter bitshuffle with LZ4.

    Parameters
    ----------
    chunk : (>= n_stored,) uint8
    n_stored : int
        Bytes of the chunk in the file.
    element : int
        Bytes of a stored number: 1, 2 or 4.
    sign : int
        Value of the sign bit of numbers that are to be extended, 0 for unsigned and 4-byte numbers.
    out : (n,) int32
        Filled; unsigned 4-byte numbers keep their bits.

    Returns
    -------
    (int, int)
        `OK`, `WRONG_SIZE`, `CUT_SHORT` or `DAMAGED`, and the byte of the chunk where decoding stopped.
    """
    if n_stored < 12:
        return CUT_SHORT, np.int64(0)
    block = _big_endian(chunk, 8, 4)
    if _big_endian(chunk, 0, 8) != out.size * element:
        return WRONG_SIZE, np.int64(0)
    if block <= 0 or block > LARGEST_BLOCK or block % (8 * element):
        return DAMAGED, np.int64(8)
    words = np.empty(block // 8 + 1, dtype=np.uint64)
    rows = words.view(np.uint8)
    per_block = block // element
    s, at = np.int64(12), np.int64(0)
    whole = out.size - out.size % 8
    while at < whole:
        n = min(per_block, whole - at)
        if s + 4 > n_stored:
            return CUT_SHORT, s
        stored = _big_endian(chunk, s, 4)
        s += 4
        if s + stored > n_stored:
            return CUT_SHORT, s
        size = n * element
        if _lz4_block(chunk, s, s + stored, rows, np.int64(0), size) != size:
            return DAMAGED, s
        _unshuffle(words, rows, element, n, out, at)
        s += stored
        at += n
    # Less than eight numbers at the end are stored as they are.
    if s + (out.size - at) * element > n_stored:
        return CUT_SHORT, s
    while at < out.size:
        value = np.int64(0)
        for k in range(element):
            value |= np.int64(chunk[s + k]) << np.int64(8 * k)
        out[at] = np.int32(value)
        s += element
        at += 1
    if sign:
        for i in range(out.size):
            out[i] = (out[i] ^ np.int32(sign)) - np.int32(sign)
    return OK, s
