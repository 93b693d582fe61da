"""The extended dispersion threshold, with the work done only where a spot can be.

The first step of the algorithm keeps a pixel only if the dispersion test holds in the whole square of ``2 e + 1`` pixels around it,
e = min(kernel) - 1. If the image is divided into blocks of that size, the square around any pixel of a block contains the block's
centre: where the test fails at the centre, the block holds no such pixel. So the test is evaluated at one pixel in 25 (kernel 3),
and only blocks whose centre passes, few on a normal diffraction image, are looked at closely.
"""

from __future__ import annotations

import numpy as np
from numba import njit

__all__ = ["dispersion_extended"]

# Pixels at or above this value take no part in window sums (2^24, as in DIALS: counts stay exact in float32).
_CEILING = 16777216
_CORE = np.uint8(2)
_STRONG = np.uint8(1)


@njit(nogil=True, cache=True)
def _add_row(pixels, mask, column_x, column_y, column_m):
    """Add the good pixels of a row to the sums of the columns."""
    zero = column_x.dtype.type(0)
    for j in range(pixels.shape[0]):
        good = (mask[j] != 0) & (pixels[j] < _CEILING)
        value = column_x.dtype.type(pixels[j]) if good else zero
        column_x[j] += value
        column_y[j] += value * value
        column_m[j] += np.int32(good)


@njit(nogil=True, cache=True)
def _dispersed(m, x, y, gain, sigma_background, min_local):
    """m y - x^2 > g x (m - 1 + n_b sqrt(2 (m - 1))), with enough pixels and no negative sum."""
    if m < min_local or x < 0:
        return False
    m = np.float64(m)
    x = np.float64(x)
    return m * np.float64(y) - x * x > gain * x * (m - 1.0 + sigma_background * np.sqrt(2.0 * (m - 1.0)))


@njit(nogil=True, cache=True)
def _dispersed_at(image, mask, i, j, kernel_y, kernel_x, gain, sigma_background, min_local, zero):
    """The dispersion test of one pixel, summed directly."""
    height, width = image.shape
    m = 0
    x = zero * zero
    y = zero * zero
    for row in range(max(0, i - kernel_y), min(height, i + kernel_y + 1)):
        for c in range(max(0, j - kernel_x), min(width, j + kernel_x + 1)):
            if mask[row, c] != 0 and image[row, c] < _CEILING:
                value = zero + image[row, c]
                x += value
                y += value * value
                m += 1
    return _dispersed(m, x, y, gain, sigma_background, min_local)


@njit(nogil=True, cache=True)
def _find_blocks(
    image, mask, gain, kernel_y, kernel_x, sigma_background, min_local, legacy_erosion, reach, sums_x, sums_y, sums_m, blocks
):
    """Set ``blocks`` to 1 where the dispersion test passes at the centre of a block, so that it may hold a core pixel."""
    height, width = image.shape
    size = 2 * reach + 1
    gain_step = 0 if gain.shape[0] == 1 else 1
    zero = sums_y.dtype.type(0)
    column_x = sums_x[kernel_x : kernel_x + width]
    column_y = sums_y[kernel_x : kernel_x + width]
    column_m = sums_m[kernel_x : kernel_x + width]
    for b in range(blocks.shape[0]):
        top = b * size
        i = min(top + reach, height - 1)
        sums_x[:] = 0
        sums_y[:] = 0
        sums_m[:] = 0
        for row in range(max(0, i - kernel_y), min(height, i + kernel_y + 1)):
            _add_row(image[row], mask[row], column_x, column_y, column_m)
        for k in range(blocks.shape[1]):
            left = k * size
            j = min(left + reach, width - 1)
            blocks[b, k] = 0
            if mask[i, j] != 0:
                x = zero
                y = zero
                m = 0
                for c in range(j, j + 2 * kernel_x + 1):
                    x += sums_x[c]
                    y += sums_y[c]
                    m += sums_m[c]
                g = gain[i * gain_step, j * gain_step]
                if _dispersed(m, x, y, g, sigma_background, min_local):
                    blocks[b, k] = 1
            elif not legacy_erosion:
                # A masked centre counts as passed. The square around a good pixel also holds the centre of the good pixels' box.
                first_row = height
                last_row = -1
                first_column = width
                last_column = -1
                for row in range(top, min(top + size, height)):
                    for c in range(left, min(left + size, width)):
                        if mask[row, c] != 0:
                            first_row = min(first_row, row)
                            last_row = max(last_row, row)
                            first_column = min(first_column, c)
                            last_column = max(last_column, c)
                if last_row >= 0:
                    p = (first_row + last_row) // 2
                    q = (first_column + last_column) // 2
                    g = gain[p * gain_step, q * gain_step]
                    if mask[p, q] == 0 or _dispersed_at(
                        image, mask, p, q, kernel_y, kernel_x, g, sigma_background, min_local, zero
                    ):
                        blocks[b, k] = 1


@njit(nogil=True, cache=True)
def _spans(flags, other, gap, size, margin, width, spans):
    """Column ranges covered by flagged blocks of one or two rows of blocks, widened by ``margin``; returns their number."""
    n = 0
    for k in range(flags.shape[0]):
        if flags[k] != 0 or other[k] != 0:
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
def _erode_row(
    image, mask, gain, i, spans, n_spans, kernel_y, kernel_x, sigma_background, min_local, legacy_erosion, reach, exact,
    sums_x, sums_y, sums_m, summed_row, eroded
):  # fmt: skip
    """Dispersion test of row i in the given column ranges, and its erosion along the row, as 0 and 1 in ``eroded``."""
    height, width = image.shape
    gain_step = 0 if gain.shape[0] == 1 else 1
    zero = sums_y.dtype.type(0)
    enters = i + kernel_y
    leaves = i - kernel_y - 1
    for s in range(n_spans):
        start = spans[s, 0]
        stop = spans[s, 1]
        for c in range(max(0, start - kernel_x), min(width, stop + kernel_x)):
            at = c + kernel_x
            if exact and summed_row[c] == i - 1:
                if enters < height and mask[enters, c] != 0 and image[enters, c] < _CEILING:
                    value = zero + image[enters, c]
                    sums_x[at] += value
                    sums_y[at] += value * value
                    sums_m[at] += 1
                if leaves >= 0 and mask[leaves, c] != 0 and image[leaves, c] < _CEILING:
                    value = zero + image[leaves, c]
                    sums_x[at] -= value
                    sums_y[at] -= value * value
                    sums_m[at] -= 1
            elif summed_row[c] != i:
                x = zero
                y = zero
                m = 0
                for row in range(max(0, i - kernel_y), min(height, i + kernel_y + 1)):
                    if mask[row, c] != 0 and image[row, c] < _CEILING:
                        value = zero + image[row, c]
                        x += value
                        y += value * value
                        m += 1
                sums_x[at] = x
                sums_y[at] = y
                sums_m[at] = m
            summed_row[c] = i
        run = reach if start == 0 else 0
        for j in range(start, stop):
            if mask[i, j] == 0:
                passed = not legacy_erosion
            else:
                x = zero
                y = zero
                m = 0
                for c in range(max(j, kernel_x), min(j + 2 * kernel_x + 1, width + kernel_x)):
                    x += sums_x[c]
                    y += sums_y[c]
                    m += sums_m[c]
                g = gain[i * gain_step, j * gain_step]
                passed = _dispersed(m, x, y, g, sigma_background, min_local)
            # eroded[j - reach] looks back over the 2 reach + 1 pixels that end at j; outside the image counts as passed.
            run = run + 1 if passed else 0
            if j - reach >= start:
                eroded[j - reach] = 1 if run >= 2 * reach + 1 else 0
        if stop == width:
            for j in range(max(width - reach, start), width):
                run = run + 1 if run > 0 else 0
                eroded[j] = 1 if run >= 2 * reach + 1 else 0


@njit(nogil=True, cache=True)
def _strong_row(image, mask, gain, r, spans, n_spans, half_y, half_x, sigma_strong, global_threshold, exact, sums_x, sums_m, summed_row, out):
    """Compare the core pixels of row r with the mean of the good pixels around them that are in no core."""
    height, width = image.shape
    gain_step = 0 if gain.shape[0] == 1 else 1
    zero = sums_x.dtype.type(0)
    enters = r + half_y
    leaves = r - half_y - 1
    for s in range(n_spans):
        for j in range(spans[s, 0], spans[s, 1]):
            if out[r, j] == 0 or mask[r, j] == 0 or image[r, j] <= global_threshold:
                continue
            x = zero
            m = 0
            for c in range(max(0, j - half_x), min(width, j + half_x + 1)):
                if summed_row[c] != r:
                    if exact and summed_row[c] == r - 1:
                        if enters < height and mask[enters, c] != 0 and out[enters, c] == 0 and image[enters, c] < _CEILING:
                            sums_x[c] += image[enters, c]
                            sums_m[c] += 1
                        if leaves >= 0 and mask[leaves, c] != 0 and out[leaves, c] == 0 and image[leaves, c] < _CEILING:
                            sums_x[c] -= image[leaves, c]
                            sums_m[c] -= 1
                    else:
                        column_x = zero
                        column_m = 0
                        for row in range(max(0, r - half_y), min(height, r + half_y + 1)):
                            if mask[row, c] != 0 and out[row, c] == 0 and image[row, c] < _CEILING:
                                column_x += image[row, c]
                                column_m += 1
                        sums_x[c] = column_x
                        sums_m[c] = column_m
                    summed_row[c] = r
                x += sums_x[c]
                m += sums_m[c]
            if x < 0:
                continue
            mean = np.float64(x) / m if m >= 2 else 0.0
            g = gain[r * gain_step, j * gain_step]
            if image[r, j] >= mean + sigma_strong * np.sqrt(g * mean):
                out[r, j] = _CORE | _STRONG


@njit(nogil=True, cache=True)
def dispersion_extended(
    image, mask, gain, kernel, sigma_background, sigma_strong, min_local, global_threshold, legacy_erosion, exact,
    blocks, spans, sums_x, sums_y, sums_m, summed_row, eroded, out
):  # fmt: skip
    """Mark the strong pixels of one image.

    1. The dispersion test of Winter et al. (2018), Acta Cryst. D74, 85, in a window of half sizes ``kernel``. 2. Its result is eroded
    to the *core* pixels. 3. Good pixels outside the cores are background; a core pixel is strong if it is at least n_s standard
    deviations above the mean background of a window that is two pixels larger on each side.

    Parameters
    ----------
    image : (slow, fast) int32 or float32, counts
        Pixel values.
    mask : (slow, fast) uint8
        1 = good, 0 = bad.
    gain : (1, 1) or (slow, fast) float64
        Counts per photon, one for all pixels or one each.
    kernel : (int, int)
        Half sizes of the window, slow and fast; at least 1.
    sigma_background, sigma_strong : float
        n_b and n_s.
    min_local : int
        Fewest good pixels of a window.
    global_threshold : float, counts
        A strong pixel is above it.
    legacy_erosion : bool
        True: masked pixels start an erosion (DIALS to 3.12). False: they do not.
    exact : bool
        Sums are exact (integers), so rows may be added and subtracted; otherwise columns are summed afresh.
    blocks : (ceil(slow / size), ceil(fast / size)) uint8, size = 2 min(kernel) - 1
        Workspace.
    spans : (fast, 2) int64
        Workspace.
    sums_x : (fast + 2 kernel_x) int32, or float64 for float images
        Workspace; int32 serves windows of at most 127 pixels.
    sums_y : (fast + 2 kernel_x) int64, or float64 for float images
        Workspace.
    sums_m : (fast + 2 kernel_x) int32
        Workspace.
    summed_row : (fast,) int64
        Workspace.
    eroded : (size, fast) uint8
        Workspace.
    out : (slow, fast) uint8
        Result, 0 or 1; every pixel is written.
    """
    height, width = image.shape
    kernel_y, kernel_x = kernel
    reach = min(kernel_y, kernel_x) - 1
    size = 2 * reach + 1
    out[:] = 0
    _find_blocks(
        image, mask, gain, kernel_y, kernel_x, sigma_background, min_local, legacy_erosion, reach, sums_x, sums_y, sums_m, blocks
    )
    # Rows of cores: row i of the test completes the core row i - reach.
    summed_row[:] = -2
    eroded[:] = 1
    for i in range(height + reach):
        b = i // size
        offset = i - b * size
        slot = i % size
        if i < height:
            other = b
            if offset < reach and b > 0:
                other = b - 1
            elif offset > reach and b + 1 < blocks.shape[0]:
                other = b + 1
            n = _spans(blocks[b], blocks[other], 2 * kernel_x, size, reach, width, spans)
            _erode_row(
                image, mask, gain, i, spans, n, kernel_y, kernel_x, sigma_background, min_local, legacy_erosion, reach, exact,
                sums_x, sums_y, sums_m, summed_row, eroded[slot]
            )  # fmt: skip
        else:
            eroded[slot] = 1
        r = i - reach
        if r >= 0:
            flags = blocks[r // size]
            n = _spans(flags, flags, 0, size, 0, width, spans)
            for s in range(n):
                for j in range(spans[s, 0], spans[s, 1]):
                    core = np.uint8(1)
                    for k in range(size):
                        core &= eroded[k, j]
                    if core != 0 and mask[r, j] != 0:
                        out[r, j] = _CORE
    half_y = kernel_y + 2
    half_x = kernel_x + 2
    summed_row[:] = -2
    for r in range(height):
        flags = blocks[r // size]
        n = _spans(flags, flags, 0, size, 0, width, spans)
        if n > 0:
            _strong_row(
                image, mask, gain, r, spans, n, half_y, half_x, sigma_strong, global_threshold, exact, sums_x, sums_m, summed_row, out
            )
        done = r - half_y - 1
        if done >= 0:
            for j in range(width):
                out[done, j] &= _STRONG
    for r in range(max(0, height - half_y - 1), height):
        for j in range(width):
            out[r, j] &= _STRONG
