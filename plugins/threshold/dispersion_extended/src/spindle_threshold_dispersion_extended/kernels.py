"""The extended dispersion threshold, with the work done only where a spot can be.

The first step of the algorithm keeps a pixel only if the dispersion test holds in the whole square of ``2 e + 1``
pixels around it, e = min(kernel) - 1. If the image is divided into blocks of that size, the square around any pixel
of a block contains the block's centre: where the test fails at the centre, the block holds no such pixel. So the test
is evaluated at one pixel in 25 (kernel 3), and only blocks whose centre passes, few on a normal diffraction image,
are looked at closely.

Three kernels are called one after the other: `find_blocks` of blocks.py, `mark_cores`, `mark_strong`. Sums of integers
are exact, so windows may slide (``exact``); sums of floats are made afresh for each pixel.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from spindle_lib_dispersion.windows import CEILING

__all__ = ["mark_cores", "mark_strong"]

_CORE = np.uint8(2)
_STRONG = np.uint8(1)


@njit(nogil=True, cache=True)
def _spans(flags, other, gap, size, margin, width, spans):
    """Column ranges of the flagged blocks of one or two rows of blocks, widened by ``margin``; returns their number."""
    n = 0
    for k in range(flags.shape[0]):
        if flags[k] | other[k]:
            start = max(0, k * size - margin)
            stop = min(width, (k + 1) * size + margin)
            if n > 0 and start <= spans[n - 1, 1] + gap:
                spans[n - 1, 1] = stop
            else:
                spans[n, 0] = start
                spans[n, 1] = stop
                n += 1
    return n


@njit(nogil=True, cache=True)
def _sum_near(image, mask, i, half, low, high, exact, summed_row, sums_x, sums_y, sums_m):
    """Sums of columns ``low`` to ``high`` over the rows around row i, from those around the row before where they are exact."""
    height = image.shape[0]
    zero = sums_y.dtype.type(0)
    enters = i + half
    leaves = i - half - 1
    # For rows outside the image others stand in, of which no pixel counts.
    has_entering = np.uint8(enters < height)
    has_leaving = np.uint8(leaves >= 0)
    row_in = image[min(enters, height - 1)]
    mask_in = mask[min(enters, height - 1)]
    row_out = image[max(leaves, 0)]
    mask_out = mask[max(leaves, 0)]
    for k in range(low, high):
        c = np.uint64(k)
        if exact and summed_row[c] == i - 1:
            good = has_entering & (mask_in[c] != 0) & (row_in[c] < CEILING)
            value = zero + row_in[c] if good else zero
            was_good = has_leaving & (mask_out[c] != 0) & (row_out[c] < CEILING)
            old = zero + row_out[c] if was_good else zero
            sums_x[c] += value - old
            sums_y[c] += value * value - old * old
            sums_m[c] += np.int32(good) - np.int32(was_good)
        else:
            x = zero
            y = zero
            m = 0
            for row in range(max(0, i - half), min(height, enters + 1)):
                if mask[np.uint64(row), c] != 0 and image[np.uint64(row), c] < CEILING:
                    value = zero + image[np.uint64(row), c]
                    x += value
                    y += value * value
                    m += 1
            sums_x[c] = x
            sums_y[c] = y
            sums_m[c] = m
        summed_row[c] = i


@njit(nogil=True, cache=True)
def mark_cores(
    image,
    mask,
    gain,
    kernel,
    limits,
    legacy_erosion,
    exact,
    blocks,
    spans,
    sums_x,
    sums_y,
    sums_m,
    summed_row,
    eroded,
    out,
):
    """Mark the core pixels: the dispersion test passes in the whole square of half size min(kernel) - 1 around them.

    Parameters
    ----------
    image, mask, gain, kernel, limits, legacy_erosion, blocks
        As for `spindle_threshold_dispersion_extended.blocks.find_blocks`.
    exact : bool
        The sums are exact (integers), so windows may slide.
    spans : (2, fast, 2) int64
        Workspace.
    sums_x, sums_y, sums_m : (fast,) int32 or float64, int64 or float64, int32
        Workspace: sums of columns.
    summed_row : (fast,) int64
        Workspace.
    eroded : (size, fast) uint8
        Workspace.
    out : (slow, fast) uint8
        2 at core pixels, else 0; every pixel is written.
    """
    height, width = image.shape
    kernel_y, kernel_x = kernel
    reach = min(kernel_y, kernel_x) - 1
    size = 2 * reach + 1
    gain_step = 0 if gain.shape[0] == 1 else 1
    zero = sums_y.dtype.type(0)
    near = spans[0]
    own = spans[1]
    n_near = 0
    n_own = 0
    out[:] = 0
    summed_row[:] = -2
    eroded[:] = 1
    # Row i of the test completes the core row i - reach.
    for i in range(height + reach):
        b = i // size
        offset = i - b * size
        tested = eroded[i % size]
        if i >= height:
            tested[:] = 1
        else:
            # A row of the test serves the blocks of its own row and of the next or the one before, if these are in
            # reach.
            if (offset == 0 and b == 0) or offset == reach or offset == reach + 1:
                other = min(b + 1, blocks.shape[0] - 1) if offset > reach else b
                n_near = _spans(blocks[b], blocks[other], 2 * kernel_x, size, reach, width, near)
            for s in range(n_near):
                start = near[s, 0]
                stop = near[s, 1]
                _sum_near(
                    image, mask, i, kernel_y, max(0, start - kernel_x), min(width, stop + kernel_x), exact, summed_row,
                    sums_x, sums_y, sums_m,
                )  # fmt: skip
                # `run` counts the pixels that have passed in a row; outside the image they count as passed.
                run = reach if start == 0 else 0
                x = zero
                y = zero
                m = 0
                row_mask = mask[i]
                row_gain = gain[i * gain_step]
                for j in range(start, stop):
                    low = j - kernel_x
                    high = j + kernel_x
                    if exact and j > start:
                        if high < width:
                            x += sums_x[np.uint64(high)]
                            y += sums_y[np.uint64(high)]
                            m += sums_m[np.uint64(high)]
                        if low > 0:
                            x -= sums_x[np.uint64(low - 1)]
                            y -= sums_y[np.uint64(low - 1)]
                            m -= sums_m[np.uint64(low - 1)]
                    else:
                        x = zero
                        y = zero
                        m = 0
                        for c in range(max(0, low), min(width, high + 1)):
                            x += sums_x[c]
                            y += sums_y[c]
                            m += sums_m[c]
                    fx = np.float64(x)
                    g = row_gain[np.uint64(j * gain_step)]
                    wild = (x >= 0) & (np.float64(m) * np.float64(y) - fx * fx > g * fx * limits[np.uint64(m)])
                    masked = row_mask[np.uint64(j)] == 0
                    run = (run + 1) * np.int64((wild & (not masked)) | (masked & (not legacy_erosion)))
                    if j - reach >= start:
                        tested[np.uint64(j - reach)] = run >= size
                if stop == width:
                    for j in range(max(width, start + reach), width + reach):
                        tested[j - reach] = run > 0 and run + j + 1 - width >= size
        r = i - reach
        if r >= 0:
            if r % size == 0:
                flags = blocks[r // size]
                n_own = _spans(flags, flags, 0, size, 0, width, own)
            for s in range(n_own):
                for j in range(own[s, 0], own[s, 1]):
                    core = mask[r, j]
                    for k in range(size):
                        core &= eroded[k, j]
                    out[r, j] = core << 1


@njit(nogil=True, cache=True)
def mark_strong(
    image, mask, gain, kernel, sigma_strong, global_threshold, exact, blocks, spans, sums_x, sums_m, summed_row, out
):
    """Turn core pixels into strong pixels where they stand out from the background around them.

    The background of a core pixel is the mean of the good pixels outside all cores in a window that is two pixels
    larger on each side than that of the dispersion test; a strong pixel has at least mean + n_s sqrt(g mean).

    Parameters
    ----------
    image, mask, gain, kernel, exact, blocks, spans, sums_x, sums_m, summed_row
        As for `mark_cores`.
    sigma_strong : float
        n_s.
    global_threshold : float, counts
        A strong pixel is above it.
    out : (slow, fast) uint8
        Core pixels; changed to 1 at strong pixels, else 0.
    """
    height, width = image.shape
    half_y = kernel[0] + 2
    half_x = kernel[1] + 2
    size = 2 * min(kernel[0], kernel[1]) - 1
    gain_step = 0 if gain.shape[0] == 1 else 1
    zero = sums_x.dtype.type(0)
    own = spans[1]
    n_own = 0
    summed_row[:] = -2
    for r in range(height + half_y + 1):
        if r < height and r % size == 0:
            flags = blocks[r // size]
            n_own = _spans(flags, flags, 0, size, 0, width, own)
        if r >= height:
            n_own = 0
        enters = r + half_y
        leaves = r - half_y - 1
        x = zero
        m = 0
        window_low = 0
        window_high = 0
        own_row = image[min(r, height - 1)]
        own_core = out[min(r, height - 1)]
        row_in = image[min(enters, height - 1)]
        mask_in = mask[min(enters, height - 1)]
        core_in = out[min(enters, height - 1)]
        row_out = image[max(leaves, 0)]
        mask_out = mask[max(leaves, 0)]
        core_out = out[max(leaves, 0)]
        for s in range(n_own):
            for at in range(own[s, 0], own[s, 1]):
                j = np.uint64(at)
                if own_core[j] == 0 or own_row[j] <= global_threshold:
                    continue
                low = max(0, at - half_x)
                high = min(width, at + half_x + 1)
                if not exact or low >= window_high:
                    x = zero
                    m = 0
                    window_low = low
                    window_high = low
                for c in range(window_low, low):
                    x -= sums_x[np.uint64(c)]
                    m -= sums_m[np.uint64(c)]
                for k in range(window_high, high):
                    c = np.uint64(k)
                    if exact and summed_row[c] == r - 1:
                        if enters < height and (mask_in[c] != 0) & (core_in[c] == 0) & (row_in[c] < CEILING):
                            sums_x[c] += row_in[c]
                            sums_m[c] += 1
                        if leaves >= 0 and (mask_out[c] != 0) & (core_out[c] == 0) & (row_out[c] < CEILING):
                            sums_x[c] -= row_out[c]
                            sums_m[c] -= 1
                    elif summed_row[c] != r:
                        column_x = zero
                        column_m = 0
                        for near in range(max(0, r - half_y), min(height, enters + 1)):
                            row = np.uint64(near)
                            good = (mask[row, c] != 0) & (out[row, c] == 0) & (image[row, c] < CEILING)
                            column_x += image[row, c] if good else zero
                            column_m += np.int64(good)
                        sums_x[c] = column_x
                        sums_m[c] = column_m
                    summed_row[c] = r
                    x += sums_x[c]
                    m += sums_m[c]
                window_low = low
                window_high = high
                if x >= 0:
                    mean = np.float64(x) / m if m >= 2 else 0.0
                    g = gain[r * gain_step, at * gain_step]
                    if own_row[j] >= mean + sigma_strong * np.sqrt(g * mean):
                        own_core[j] = _CORE | _STRONG
        # Rows that no window will see again.
        if leaves >= 0:
            for j in range(width):
                core_out[j] &= _STRONG
