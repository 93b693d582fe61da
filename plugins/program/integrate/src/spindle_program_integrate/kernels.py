"""Kernels of integration: paint foregrounds, copy pixels into shoeboxes, sum, find neighbours."""

from __future__ import annotations

import numba
import numpy as np

VALID, BACKGROUND, FOREGROUND, BACKGROUND_USED, OVERLAPPED = 1, 2, 4, 16, 32


@numba.njit(nogil=True, cache=True)
def mask_of_image(offsets, bbox, r, z):
    """Where the mask of spot r on image z begins: one for all images, or one for each; beyond the box that of its nearest image."""
    area = (bbox[r, 1] - bbox[r, 0]) * (bbox[r, 3] - bbox[r, 2])
    if offsets[r + 1] - offsets[r] == area:
        return offsets[r]
    return offsets[r] + (min(max(z, bbox[r, 4]), bbox[r, 5] - 1) - bbox[r, 4]) * area


@numba.njit(nogil=True, cache=True)
def paint_spots(panel_index, z, panel, bbox, offsets, inside, margin, count):
    """Count for every pixel of one image how many spots have it in their foreground and in their halo.

    Parameters
    ----------
    panel_index, z : int
        Panel and array index of the image.
    panel : (n,) int64; bbox : (n, 6) int32
    offsets : (n + 1,) int64; inside : (...) uint8
        See `spindle.contracts.profile.ForegroundMasks`: 1 foreground, 2 halo.
    margin : int
        Images before and after its box on which a spot still counts, with all its pixels as halo.
    count : (slow, fast) uint8
        Added to: 16 for each foreground, 1 for each halo, each up to 15.
    """
    height, width = count.shape
    for r in range(panel.shape[0]):
        if panel[r] != panel_index or z < bbox[r, 4] - margin or z >= bbox[r, 5] + margin:
            continue
        own_image = z >= bbox[r, 4] and z < bbox[r, 5]
        x0, x1, y0, y1 = bbox[r, 0], bbox[r, 1], bbox[r, 2], bbox[r, 3]
        nx = x1 - x0
        first = mask_of_image(offsets, bbox, r, z)
        for y in range(max(y0, 0), min(y1, height)):
            row = first + (y - y0) * nx - x0
            for x in range(max(x0, 0), min(x1, width)):
                code = inside[row + x]
                if code == 0:
                    continue
                if code == 1 and own_image:
                    if count[y, x] < 240:
                        count[y, x] += 16
                elif count[y, x] & 15 < 15:
                    count[y, x] += 1


@numba.njit(nogil=True, cache=True)
def extract_pixels(
    image, good, low, high, panel_index, z, panel, bbox, offsets, inside, count, starts, data, mask, marks
):
    """Copy one image into the shoeboxes of a block.

    Parameters
    ----------
    image : (slow, fast) int32 or float32
    good : (slow, fast) bool
        Pixels that the static mask allows.
    low, high : float
        Trusted range, inclusive.
    panel_index, z, panel, bbox, offsets, inside
        As in `paint_spots`.
    count : (slow, fast) uint8
        Result of `paint_spots` over all spots of this image.
    starts : (n + 1,) int64
        First pixel of each shoebox in ``data`` (z, y, x); a spot of size 0 is not extracted.
    data : (m,) float32; mask : (m,) uint8
        Filled. Pixels of a spot's own halo are neither foreground nor background.
    marks : (n,) uint8
        Bit 1 is set where a pixel that the mask allows exceeds the trusted range, bit 2 where the foreground of another
        spot reaches into the background.
    """
    height, width = image.shape
    for r in range(panel.shape[0]):
        if panel[r] != panel_index or z < bbox[r, 4] or z >= bbox[r, 5] or starts[r + 1] == starts[r]:
            continue
        x0, x1, y0, y1 = bbox[r, 0], bbox[r, 1], bbox[r, 2], bbox[r, 3]
        nx = x1 - x0
        base = starts[r] + (z - bbox[r, 4]) * nx * (y1 - y0)
        first = mask_of_image(offsets, bbox, r, z)
        for y in range(y0, y1):
            row = (y - y0) * nx
            for x in range(x0, x1):
                i = row + x - x0
                own = inside[first + i]
                bits = FOREGROUND if own == 1 else (BACKGROUND if own == 0 else 0)
                if x >= 0 and y >= 0 and x < width and y < height:
                    value = image[y, x]
                    data[base + i] = value
                    others = count[y, x] >> 4
                    if own == 1:
                        others -= 1
                    elif own == 0:
                        if others > 0:
                            marks[r] |= 2
                        others += count[y, x] & 15
                    if others > 0:
                        bits |= OVERLAPPED
                    if good[y, x]:
                        if value > high:
                            marks[r] |= 1
                        elif value >= low:
                            bits |= VALID
                mask[base + i] = bits


@numba.njit(nogil=True, cache=True)
def paint_model(panel_index, z, panel, bbox, starts, model, total):
    """Add the modelled counts of the extracted spots of a block on one image to ``total`` (slow, fast) float64."""
    height, width = total.shape
    for r in range(panel.shape[0]):
        if panel[r] != panel_index or z < bbox[r, 4] or z >= bbox[r, 5] or starts[r + 1] == starts[r]:
            continue
        x0, x1, y0, y1 = bbox[r, 0], bbox[r, 1], bbox[r, 2], bbox[r, 3]
        nx = x1 - x0
        base = starts[r] + (z - bbox[r, 4]) * nx * (y1 - y0)
        for y in range(max(y0, 0), min(y1, height)):
            for x in range(max(x0, 0), min(x1, width)):
                total[y, x] += model[base + (y - y0) * nx + x - x0]


@numba.njit(nogil=True, cache=True)
def take_neighbours(panel_index, z, panel, bbox, starts, model, total, neighbours):
    """What the other spots of ``total`` add to each pixel of the shoeboxes: total less the spot's own model."""
    height, width = total.shape
    for r in range(panel.shape[0]):
        if panel[r] != panel_index or z < bbox[r, 4] or z >= bbox[r, 5] or starts[r + 1] == starts[r]:
            continue
        x0, x1, y0, y1 = bbox[r, 0], bbox[r, 1], bbox[r, 2], bbox[r, 3]
        nx = x1 - x0
        base = starts[r] + (z - bbox[r, 4]) * nx * (y1 - y0)
        for y in range(max(y0, 0), min(y1, height)):
            for x in range(max(x0, 0), min(x1, width)):
                i = base + (y - y0) * nx + x - x0
                neighbours[i] = max(total[y, x] - model[i], 0.0)


@numba.njit(nogil=True, cache=True)
def free_crowded(starts, mask, least):
    """Give a spot whose surroundings are all under neighbours its background pixels back.

    Where fewer than ``least`` usable background pixels remain the bit OVERLAPPED is taken off all of its background
    pixels.
    """
    for r in range(starts.shape[0] - 1):
        free = 0
        for k in range(starts[r], starts[r + 1]):
            if (mask[k] & (VALID | BACKGROUND | OVERLAPPED)) == (VALID | BACKGROUND):
                free += 1
        if free < least:
            for k in range(starts[r], starts[r + 1]):
                if mask[k] & BACKGROUND:
                    mask[k] &= ~np.uint8(OVERLAPPED)


@numba.njit(nogil=True, cache=True)
def background_scatter(starts, data, mask, background, pixels, lowest, scatter, level):
    """How the background pixels of each shoebox scatter about their background.

    Parameters
    ----------
    starts : (n + 1,) int64; data, background : (m,) float32; mask : (m,) uint8
    pixels : (n,) int64, output
        Pixels that the background was made from or, where it was made from none, could have been.
    lowest : (n,) float64, output
        The smallest value among them, or 0 when all are larger.
    scatter : (n,) float64, output
        Their variance about the background; the mean was taken from them, hence n - 1.
    level : (n,) float64, output
        Mean background of the foreground.
    """
    for r in range(starts.shape[0] - 1):
        n_used, n_usable, n_fg = 0, 0, 0
        used, usable, total = 0.0, 0.0, 0.0
        low_used, low_usable = 0.0, 0.0
        for k in range(starts[r], starts[r + 1]):
            bits = mask[k]
            if bits & FOREGROUND:
                n_fg += 1
                total += background[k]
            difference = np.float64(data[k]) - background[k]
            if (bits & (VALID | BACKGROUND | OVERLAPPED)) == (VALID | BACKGROUND):
                n_usable += 1
                usable += difference * difference
                low_usable = min(low_usable, data[k])
            if bits & BACKGROUND_USED:
                n_used += 1
                used += difference * difference
                low_used = min(low_used, data[k])
        made = n_used > 0
        pixels[r] = n_used if made else n_usable
        lowest[r] = low_used if made else low_usable
        scatter[r] = (used if made else usable) / max(pixels[r] - 1, 1)
        level[r] = total / max(n_fg, 1)


@numba.njit(nogil=True, cache=True)
def sum_pixels(starts, data, mask, background, counts, sums):
    """Counts of pixels and sums over the foreground of each shoebox.

    Parameters
    ----------
    starts : (n + 1,) int64; data, background : (m,) float32; mask : (m,) uint8
    counts : (n, 8) int64, output
        Valid, valid foreground, valid background, background used, all foreground, invalid foreground, invalid
        background, overlapped (bit 1: foreground, bit 2: background).
    sums : (n, 2) float64, output
        Data and background summed over the valid foreground.
    """
    for r in range(starts.shape[0] - 1):
        n_valid, n_fg, n_bg, n_used, all_fg, bad_fg, bad_bg, over = 0, 0, 0, 0, 0, 0, 0, 0
        s, b = 0.0, 0.0
        for k in range(starts[r], starts[r + 1]):
            bits = mask[k]
            valid = (bits & VALID) != 0
            if valid:
                n_valid += 1
            if bits & FOREGROUND:
                all_fg += 1
                if valid:
                    n_fg += 1
                    s += data[k]
                    b += background[k]
                else:
                    bad_fg += 1
                if bits & OVERLAPPED:
                    over |= 1
            elif bits & BACKGROUND:
                if valid:
                    n_bg += 1
                else:
                    bad_bg += 1
                if bits & OVERLAPPED:
                    over |= 2
            if bits & BACKGROUND_USED:
                n_used += 1
        counts[r, 0] = n_valid
        counts[r, 1] = n_fg
        counts[r, 2] = n_bg
        counts[r, 3] = n_used
        counts[r, 4] = all_fg
        counts[r, 5] = bad_fg
        counts[r, 6] = bad_bg
        counts[r, 7] = over
        sums[r, 0] = s
        sums[r, 1] = b
