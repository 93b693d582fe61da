"""MD5 of several messages side by side.

Each step of MD5 waits for the one before, so that a processor is idle most of the time with one message. Eight, one in each lane of its
vector registers, take little longer than one.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

__all__ = ["LANES", "PADDING", "digests"]

LANES = 8
# Bytes behind a message in which its padding has room.
PADDING = 128

_START = np.array([0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476], np.uint32)
_SINES = [int(abs(math.sin(i + 1)) * 2**32) for i in range(64)]
_SHIFTS = [(7, 12, 17, 22), (5, 9, 14, 20), (4, 11, 16, 23), (6, 10, 15, 21)]
_WORDS = [(1, 0), (5, 1), (3, 5), (7, 0)]


@intrinsic
def _add_block(typing_context: Any, state: Any, words: Any) -> Any:
    """Add a block of each lane to the state, (4, LANES) uint32; words: (16, LANES) uint32, both C contiguous."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        lanes = ir.VectorType(ir.IntType(32), LANES)

        def constant(value: int) -> Any:
            return ir.Constant(lanes, [value] * LANES)

        def rows(which: int, n: int) -> list[Any]:
            array = context.make_array(signature.args[which])(context, builder, arguments[which])
            first = builder.bitcast(array.data, lanes.as_pointer())
            return [builder.gep(first, [ir.Constant(ir.IntType(64), i)]) for i in range(n)]

        state_rows = rows(0, 4)
        before = [builder.load(row, align=4) for row in state_rows]
        block = [builder.load(row, align=4) for row in rows(1, 16)]
        a, b, c, d = before
        for step in range(64):
            stage = step // 16
            times, plus = _WORDS[stage]
            total = builder.add(a, builder.add(block[(times * step + plus) % 16], constant(_SINES[step])))
            # Parts that do not depend on b, the newest, are added first: they need not wait for it.
            if stage == 0:
                mixed = builder.xor(d, builder.and_(b, builder.xor(c, d)))
            elif stage == 1:
                total = builder.add(total, builder.and_(c, builder.not_(d)))
                mixed = builder.and_(b, d)
            elif stage == 2:
                mixed = builder.xor(b, builder.xor(c, d))
            else:
                mixed = builder.xor(c, builder.or_(b, builder.not_(d)))
            total = builder.add(total, mixed)
            shift = _SHIFTS[stage][step % 4]
            turned = builder.or_(builder.shl(total, constant(shift)), builder.lshr(total, constant(32 - shift)))
            a, b, c, d = d, builder.add(b, turned), b, c
        for row, old, new in zip(state_rows, before, (a, b, c, d), strict=True):
            builder.store(builder.add(old, new), row, align=4)
        return context.get_dummy_value()

    return types.void(state, words), generate


@njit(nogil=True, cache=True)
def _add_messages(messages, n_blocks, state, result):
    """Digest padded messages.

    Parameters
    ----------
    messages : (LANES, n) uint32
        Little-endian words.
    n_blocks : (LANES,) int64
        Blocks of 16 words of each message; 0 for none.
    state : (4, LANES) uint32
        Start of each.
    result : (4, LANES) uint32
        Digests; those of lanes without a message are left alone.
    """
    words = np.empty((16, LANES), np.uint32)
    for block in range(n_blocks.max()):
        for lane in range(LANES):
            # A message that has ended goes on with its last block, which nobody looks at.
            at = 16 * max(min(block, n_blocks[lane] - 1), 0)
            for k in range(16):
                words[k, lane] = messages[lane, at + k]
        _add_block(state, words)
        for lane in range(LANES):
            if n_blocks[lane] == block + 1:
                result[:, lane] = state[:, lane]


def digests(messages: np.ndarray, sizes: list[int]) -> list[bytes]:
    """MD5 of up to `LANES` messages.

    Parameters
    ----------
    messages : (LANES, n) int8, C contiguous, n a multiple of 64
        A message in each row; the `PADDING` bytes behind it are written over.
    sizes : list of int
        Bytes of each message, at most n - `PADDING`; for the first rows.

    Returns
    -------
    list of bytes
        16 of each message.

    Notes
    -----
    Rivest (1992), RFC 1321.
    """
    n_blocks = np.zeros(LANES, np.int64)
    for lane, size in enumerate(sizes):
        # A bit, zeros up to the last eight bytes of a block, and the number of bits.
        end = (size + 8) // 64 * 64 + 64
        messages[lane, size:end] = 0
        messages[lane, size] = -128
        messages[lane, end - 8 : end] = np.array([8 * size], "<u8").view(np.int8)
        n_blocks[lane] = end // 64
    result = np.zeros((4, LANES), np.uint32)
    _add_messages(messages.view("<u4"), n_blocks, np.repeat(_START[:, np.newaxis], LANES, axis=1), result)
    return [result[:, lane].astype("<u4").tobytes() for lane in range(len(sizes))]
