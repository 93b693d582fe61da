"""Decoders of HDF5 chunks: LZ4 blocks and bitshuffle.

Formats: the LZ4 block format (github.com/lz4/lz4, doc/lz4_Block_format.md), the HDF5 filter 32004 (LZ4) and the HDF5
filter 32008 (bitshuffle; Masui et al. (2015), Astronomy and Computing 12, 181-190).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

# What a decoder returns besides the byte where it stopped.
OK, WRONG_SIZE, CUT_SHORT, DAMAGED = 0, 1, 2, 3

# Bytes of an uncompressed bitshuffle block that are expected at most; Dectris and h5py use 8192.
LARGEST_BLOCK = 1 << 20

# What copies of eight bytes may write beyond the end of a block.
SLACK = 16


@intrinsic
def _copy8(typingctx: Any, dst: Any, d: Any, src: Any, s: Any) -> Any:
    """Copy eight bytes from src[s:] to dst[d:], which may lie anywhere; numba has no unaligned loads."""

    def codegen(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word = ir.IntType(64)
        places = []
        for kind, array, index in zip(signature.args[::2], arguments[::2], arguments[1::2], strict=True):
            data = context.make_array(kind)(context, builder, array).data
            places.append(builder.bitcast(builder.gep(data, [index]), word.as_pointer()))
        value = builder.load(places[1])
        value.align = 1
        builder.store(value, places[0]).align = 1
        return context.get_dummy_value()

    return types.void(dst, types.int64, src, types.int64), codegen


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
        if d + n + 8 <= dst.size and s + n + 8 <= src.size:
            k = np.int64(0)
            while k < n:
                _copy8(dst, d + k, src, s + k)
                k += 8
        else:
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
        k = np.int64(0)
        if d + n + 8 <= dst.size:
            # Periodic: what is written becomes source. Any multiple of the period is one, and from 8 on words can be
            # copied.
            reach = offset
            if offset < 8:
                reach = offset * ((7 + offset) // offset)
                while k < reach - offset and k < n:
                    dst[d + k] = dst[m + k]
                    k += 1
            m = d - reach
            while k < n:
                _copy8(dst, d + k, dst, m + k)
                k += 8
        else:
            while k < n:
                dst[d + k] = dst[m + k]
                k += 1
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
def _sort_bytes(words, first, n, sorted_words):
    """Bytes of elements, in their order, from eight rows of n words each that hold one bit of every element per row.

    Returns whether any bit is set; `sorted_words` (8 n,) is filled only then. Two transpositions of eight by eight by
    exchanging halves, quarters and eighths: of bits between rows, then of bytes between words.
    """
    m4, m2, m1 = np.uint64(0x0F0F0F0F0F0F0F0F), np.uint64(0x3333333333333333), np.uint64(0x5555555555555555)
    m32, m16, m8 = np.uint64(0x00000000FFFFFFFF), np.uint64(0x0000FFFF0000FFFF), np.uint64(0x00FF00FF00FF00FF)
    s4, s2, s1 = np.uint64(4), np.uint64(2), np.uint64(1)
    s32, s16, s8 = np.uint64(32), np.uint64(16), np.uint64(8)
    seen = np.uint64(0)
    for i in range(first, first + 8 * n):
        seen |= words[i]
    if seen == 0:
        return False
    for i in range(n):
        k = first + i
        a, b, c, d = words[k], words[k + n], words[k + 2 * n], words[k + 3 * n]
        e, f, g, h = words[k + 4 * n], words[k + 5 * n], words[k + 6 * n], words[k + 7 * n]
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
        t = ((a >> s32) ^ e) & m32
        e ^= t
        a ^= t << s32
        t = ((b >> s32) ^ f) & m32
        f ^= t
        b ^= t << s32
        t = ((c >> s32) ^ g) & m32
        g ^= t
        c ^= t << s32
        t = ((d >> s32) ^ h) & m32
        h ^= t
        d ^= t << s32
        t = ((a >> s16) ^ c) & m16
        c ^= t
        a ^= t << s16
        t = ((b >> s16) ^ d) & m16
        d ^= t
        b ^= t << s16
        t = ((e >> s16) ^ g) & m16
        g ^= t
        e ^= t << s16
        t = ((f >> s16) ^ h) & m16
        h ^= t
        f ^= t << s16
        t = ((a >> s8) ^ b) & m8
        b ^= t
        a ^= t << s8
        t = ((c >> s8) ^ d) & m8
        d ^= t
        c ^= t << s8
        t = ((e >> s8) ^ f) & m8
        f ^= t
        e ^= t << s8
        t = ((g >> s8) ^ h) & m8
        h ^= t
        g ^= t << s8
        k = 8 * i
        sorted_words[k], sorted_words[k + 1], sorted_words[k + 2], sorted_words[k + 3] = a, b, c, d
        sorted_words[k + 4], sorted_words[k + 5], sorted_words[k + 6], sorted_words[k + 7] = e, f, g, h
    return True


@njit(nogil=True, cache=True)
def _unshuffle(words, rows, sorted_words, sorted_bytes, element, out):
    """All elements of `out` (n,) int32 from a bitshuffled block; n is a multiple of 8.

    `rows` are the bytes of `words`, `sorted_bytes` those of `sorted_words`.
    """
    n = out.size
    length = n // 8
    if length % 8 == 0:
        for plane in range(element):
            is_set = _sort_bytes(words, plane * length, length // 8, sorted_words)
            if plane == 0:
                if is_set:
                    for i in range(n):
                        out[i] = np.int32(sorted_bytes[i])
                else:
                    out[:] = 0
            elif is_set:
                shift = np.int32(8 * plane)
                for i in range(n):
                    out[i] |= np.int32(sorted_bytes[i]) << shift
        return
    for i in range(n):
        value = np.int64(0)
        for bit in range(8 * element):
            value |= np.int64((rows[bit * length + i // 8] >> np.uint8(i % 8)) & np.uint8(1)) << np.int64(bit)
        out[i] = np.int32(value)


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
    words = np.empty((block + SLACK) // 8, dtype=np.uint64)
    rows = words.view(np.uint8)
    per_block = block // element
    sorted_words = np.empty(per_block // 8, dtype=np.uint64)
    sorted_bytes = sorted_words.view(np.uint8)
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
        _unshuffle(words, rows, sorted_words, sorted_bytes, element, out[at : at + n])
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
