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
def paint_spots(z, members, bbox, offsets, inside, margin, count):
    """Count for every pixel of a panel on one image how many spots have it in their foreground and in their halo.

    Parameters
    ----------
    z : int
        Array index of the image.
    members : (m,) int64
        The spots of the panel, all or some.
    bbox : (n, 6) int32
    offsets : (n + 1,) int64; inside : (...) uint8
        See `spindle.contracts.profile.ForegroundMasks`: 1 foreground, 2 halo.
    margin : int
        Images before and after its box on which a spot still counts, with all its pixels as halo.
    count : (slow, fast) uint8
        Added to: 16 for each foreground, 1 for each halo, each up to 15.
    """
    height, width = count.shape
    for r in members:
        if z < bbox[r, 4] - margin or z >= bbox[r, 5] + margin:
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
def clear_boxes(z, members, bbox, margin, values):
    """Set the pixels of a panel (slow, fast) to 0 wherever spots may have painted them on one image."""
    height, width = values.shape
    for r in members:
        if z < bbox[r, 4] - margin or z >= bbox[r, 5] + margin:
            continue
        for y in range(max(bbox[r, 2], 0), min(bbox[r, 3], height)):
            for x in range(max(bbox[r, 0], 0), min(bbox[r, 1], width)):
                values[y, x] = 0


@numba.njit(nogil=True, cache=True)
def extract_pixels(image, good, low, high, z, members, bbox, held, offsets, inside, count, starts, data, mask, marks):
    """Copy one image of a panel into the shoeboxes of a block.

    Parameters
    ----------
    image : (slow, fast) int32 or float32
    good : (slow, fast) bool
        Pixels that the static mask allows.
    low, high : number of the type of the image
        Trusted range, inclusive.
    z, members, bbox, offsets, inside
        As in `paint_spots`.
    held : (n, 2) int32
        Array indices of the images, half open, that the shoebox of each spot holds; none of a spot that is not extracted.
    count : (slow, fast) uint8
        Result of `paint_spots` over all spots of this image.
    starts : (n + 1,) int64
        First pixel of each shoebox in ``data`` (z, y, x).
    data : (m,) float32; mask : (m,) uint8
        Filled. Pixels of a spot's own halo are neither foreground nor background.
    marks : (n,) uint8
        Bit 1 is set where a pixel that the mask allows exceeds the trusted range, bit 2 where the foreground of another
        spot reaches into the background.
    """
    height, width = image.shape
    for r in members:
        if z < held[r, 0] or z >= held[r, 1]:
            continue
        x0, x1, y0, y1 = bbox[r, 0], bbox[r, 1], bbox[r, 2], bbox[r, 3]
        nx = x1 - x0
        base = starts[r] + (z - held[r, 0]) * nx * (y1 - y0)
        first = mask_of_image(offsets, bbox, r, z)
        xa, xb = max(x0, 0), min(x1, width)
        overloaded, touched = False, False
        for y in range(y0, y1):
            row = (y - y0) * nx - x0
            if y < 0 or y >= height:
                for x in range(x0, x1):
                    own = inside[first + row + x]
                    mask[base + row + x] = FOREGROUND if own == 1 else (BACKGROUND if own == 0 else 0)
                continue
            for x in range(x0, xa):
                own = inside[first + row + x]
                mask[base + row + x] = FOREGROUND if own == 1 else (BACKGROUND if own == 0 else 0)
            for x in range(xa, xb):
                value, own, painted, usable = image[y, x], inside[first + row + x], count[y, x], good[y, x]
                is_spot, is_background = own == 1, own == 0
                # its own foreground is one of those that were counted
                foreign = painted >= (32 if is_spot else 16)
                covered = foreign | (is_background & (painted > 0))
                touched |= is_background & foreign
                overloaded |= usable & (value > high)
                trusted = usable & (value >= low) & (value <= high)
                bits = FOREGROUND if is_spot else (BACKGROUND if is_background else 0)
                data[base + row + x] = value
                mask[base + row + x] = bits | (OVERLAPPED if covered else 0) | (VALID if trusted else 0)
            for x in range(max(xb, x0), x1):
                own = inside[first + row + x]
                mask[base + row + x] = FOREGROUND if own == 1 else (BACKGROUND if own == 0 else 0)
        marks[r] |= (1 if overloaded else 0) | (2 if touched else 0)


@numba.njit(nogil=True, cache=True)
def paint_model(z, members, bbox, model_starts, model, total):
    """Add the modelled counts of spots on one image of a panel to ``total`` (slow, fast) float64.

    Those of spot r begin at ``model_starts[r]`` in ``model`` and are of its whole box; -1 stands for a spot without.
    """
    height, width = total.shape
    for r in members:
        if model_starts[r] < 0 or z < bbox[r, 4] or z >= bbox[r, 5]:
            continue
        x0, x1, y0, y1 = bbox[r, 0], bbox[r, 1], bbox[r, 2], bbox[r, 3]
        nx = x1 - x0
        base = model_starts[r] + (z - bbox[r, 4]) * nx * (y1 - y0)
        for y in range(max(y0, 0), min(y1, height)):
            for x in range(max(x0, 0), min(x1, width)):
                total[y, x] += model[base + (y - y0) * nx + x - x0]


@numba.njit(nogil=True, cache=True)
def take_neighbours(z, members, bbox, held, model_starts, model, total, starts, neighbours):
    """What the other spots of ``total`` add to each pixel of the shoeboxes: total less the spot's own model."""
    height, width = total.shape
    for r in members:
        if z < held[r, 0] or z >= held[r, 1]:
            continue
        x0, x1, y0, y1 = bbox[r, 0], bbox[r, 1], bbox[r, 2], bbox[r, 3]
        nx = x1 - x0
        area = nx * (y1 - y0)
        base = starts[r] + (z - held[r, 0]) * area
        own = model_starts[r] + (z - bbox[r, 4]) * area
        for y in range(max(y0, 0), min(y1, height)):
            for x in range(max(x0, 0), min(x1, width)):
                i = (y - y0) * nx + x - x0
                neighbours[base + i] = max(total[y, x] - model[own + i], 0.0)


@numba.njit(nogil=True, cache=True)
def touch_others(panel, bbox, wanted, others, margin, cell):
    """Which of some spots have a box that shares pixels with that of a wanted spot.

    Parameters
    ----------
    panel : (n,) int64; bbox : (n, 6) int32
    wanted, others : (w,) int64, (m,) int64
        Rows.
    margin : int
        Images before and after its box on which a spot still counts.
    cell : int
        Width of the largest box, pixels.

    Returns
    -------
    (m,) bool
    """
    touching = np.zeros(others.shape[0], np.bool_)
    if wanted.shape[0] == 0 or others.shape[0] == 0:
        return touching
    # boxes that share a pixel have their corners in cells that are neighbours
    low_x, low_y, high_x = bbox[wanted[0], 0], bbox[wanted[0], 2], bbox[wanted[0], 0]
    for r in wanted:
        low_x, low_y, high_x = min(low_x, bbox[r, 0]), min(low_y, bbox[r, 2]), max(high_x, bbox[r, 0])
    columns = (high_x - low_x) // cell + 3
    keys = np.empty(wanted.shape[0], np.int64)
    span = np.int64(0)
    for r in wanted:
        span = max(span, (bbox[r, 2] - low_y) // cell + 3)
    for k in range(wanted.shape[0]):
        r = wanted[k]
        keys[k] = (panel[r] * span + (bbox[r, 2] - low_y) // cell + 1) * columns + (bbox[r, 0] - low_x) // cell + 1
    order = np.argsort(keys)
    keys = keys[order]
    for k in range(others.shape[0]):
        o = others[k]
        cx, cy = (bbox[o, 0] - low_x) // cell + 1, (bbox[o, 2] - low_y) // cell + 1
        if cx < 0 or cx >= columns or cy < 0 or cy >= span:
            continue
        for y in range(max(cy - 1, 0), min(cy + 2, span)):
            line = (panel[o] * span + y) * columns
            i = np.searchsorted(keys, line + max(cx - 1, 0))
            while i < keys.shape[0] and keys[i] <= line + min(cx + 1, columns - 1):
                r = wanted[order[i]]
                i += 1
                if (
                    bbox[o, 0] < bbox[r, 1]
                    and bbox[r, 0] < bbox[o, 1]
                    and bbox[o, 2] < bbox[r, 3]
                    and bbox[r, 2] < bbox[o, 3]
                    and bbox[o, 4] - margin < bbox[r, 5]
                    and bbox[r, 4] < bbox[o, 5] + margin
                ):
                    touching[k] = True
                    break
            if touching[k]:
                break
    return touching


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
def has_negative(data, mask):
    """Whether a valid pixel has a value below zero."""
    found = False
    for k in range(data.shape[0]):
        found |= (data[k] < 0.0) & ((mask[k] & VALID) != 0)
    return found


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
