"""Kernels over images: paint foregrounds, find neighbours, copy pixels into shoeboxes."""

from __future__ import annotations

import numba
import numpy as np

#: Pixels along the edge of a square of the map of wanted boxes.
SQUARE = 8


@numba.njit(nogil=True, cache=True)
def mask_of_image(offsets, bbox, r, z):
    """Where the mask of spot r on image z begins: one for all images, or one for each; beyond the box that of its nearest image."""
    area = (bbox[r, 1] - bbox[r, 0]) * (bbox[r, 3] - bbox[r, 2])
    if offsets[r + 1] - offsets[r] == area:
        return offsets[r]
    return offsets[r] + (min(max(z, bbox[r, 4]), bbox[r, 5] - 1) - bbox[r, 4]) * area


@numba.njit(nogil=True, cache=True)
def painted_parts(bbox, offsets, inside):
    """The part of the box of each spot that its foreground and halo lie in, on any of its images.

    Returns
    -------
    (n, 4) int32
        x0, x1, y0, y1, half open, pixels of the panel; empty where there is nothing.
    """
    out = np.zeros((bbox.shape[0], 4), np.int32)
    for r in range(bbox.shape[0]):
        nx, ny = bbox[r, 1] - bbox[r, 0], bbox[r, 3] - bbox[r, 2]
        x0, x1, y0, y1 = nx, 0, ny, 0
        k = offsets[r]
        while k < offsets[r + 1]:
            for y in range(ny):
                # from both ends, up to what other rows have reached
                left, right = 0, nx
                while left < x0 and inside[k + left] == 0:
                    left += 1
                while right > x1 and inside[k + right - 1] == 0:
                    right -= 1
                reached = left < x0 or right > x1
                x0, x1 = min(x0, left), max(x1, right)
                if not reached and (y < y0 or y >= y1):
                    for x in range(x0, x1):
                        if inside[k + x] != 0:
                            reached = True
                            break
                if reached:
                    y0, y1 = min(y0, y), max(y1, y + 1)
                k += nx
        out[r, 0], out[r, 1] = bbox[r, 0] + x0, bbox[r, 0] + x1
        out[r, 2], out[r, 3] = bbox[r, 2] + y0, bbox[r, 2] + y1
    return out


@numba.njit(nogil=True, cache=True)
def _paint_row(inside, own_image, count):
    """Paint pixels of one spot, all (p,), see `paint_spots`; ``own_image`` is 1 on the images of its box. Without branches."""
    one = np.uint8(1)
    for k in range(count.shape[0]):
        code, c = inside[k], count[k]
        spot = np.uint8(code == one) & own_image
        halo = np.uint8(code != np.uint8(0)) & (spot ^ one)
        room = np.uint8((c & np.uint8(127)) < np.uint8(112))
        more = np.uint8((c & np.uint8(15)) < np.uint8(15))
        count[k] = c + ((spot & room) << np.uint8(4)) + (halo & more)


@numba.njit(nogil=True, cache=True)
def paint_spots(z, members, bbox, parts, offsets, inside, margin, count):
    """Count for every pixel of a panel on one image how many spots have it in their foreground and in their halo.

    Parameters
    ----------
    z : int
        Array index of the image.
    members : (m,) int64
        The spots of the panel, all or some.
    bbox : (n, 6) int32
    parts : (n, 4) int32
        Result of `painted_parts`.
    offsets : (n + 1,) int64; inside : (...) uint8
        See `spindle.contracts.profile.ForegroundMasks`: 1 foreground, 2 halo.
    margin : int
        Images before and after its box on which a spot still counts, with all its pixels as halo.
    count : (slow, fast) uint8
        Added to: 16 for each foreground, up to 7, and 1 for each halo, up to 15. Bit 128 stays as it is.
    """
    height, width = count.shape
    for r in members:
        if z < bbox[r, 4] - margin or z >= bbox[r, 5] + margin:
            continue
        own_image = np.uint8(z >= bbox[r, 4] and z < bbox[r, 5])
        nx = bbox[r, 1] - bbox[r, 0]
        first = mask_of_image(offsets, bbox, r, z)
        x0, x1 = max(parts[r, 0], 0), min(parts[r, 1], width)
        if x1 <= x0:
            continue
        for y in range(max(parts[r, 2], 0), min(parts[r, 3], height)):
            row = first + (y - bbox[r, 2]) * nx - bbox[r, 0]
            _paint_row(inside[row + x0 : row + x1], own_image, count[y, x0:x1])


@numba.njit(nogil=True, cache=True)
def clear_parts(z, members, bbox, parts, margin, count):
    """Leave nothing but bit 128 of what `paint_spots` painted."""
    height, width = count.shape
    for r in members:
        if z < bbox[r, 4] - margin or z >= bbox[r, 5] + margin:
            continue
        x0, x1 = max(parts[r, 0], 0), min(parts[r, 1], width)
        if x1 <= x0:
            continue
        for y in range(max(parts[r, 2], 0), min(parts[r, 3], height)):
            row = count[y, x0:x1]
            for k in range(row.shape[0]):
                row[k] &= np.uint8(128)


@numba.njit(nogil=True, cache=True)
def mark_pixels(values, painted, inside, low, high, data, mask):
    """Data and mask bits of the pixels of one spot on one image, all (p,); returns its marks, see `extract_pixels`."""
    one, zero = np.uint8(1), np.uint8(0)
    overloaded, touched, near = zero, zero, zero
    for k in range(values.shape[0]):
        value, own, count = values[k], inside[k], painted[k] & np.uint8(127)
        usable = np.uint8(painted[k] < np.uint8(128))
        spot, background = np.uint8(own == one), np.uint8(own == zero)
        # its own foreground is one of those that were counted
        foreign = np.uint8(count >= np.uint8(16) + (spot << np.uint8(4)))
        covered = foreign | (background & np.uint8(count > zero))
        touched |= background & foreign
        near |= spot & np.uint8(count > np.uint8(16))
        overloaded |= usable & np.uint8(value > high)
        trusted = usable & np.uint8(value >= low) & np.uint8(value <= high)
        data[k] = value
        mask[k] = trusted | (background << np.uint8(1)) | (spot << np.uint8(2)) | (covered << np.uint8(5))
        mask[k] |= (covered & (foreign ^ one)) << np.uint8(6)
    return overloaded | (touched << one) | (near << np.uint8(2))


@numba.njit(nogil=True, cache=True)
def extract_pixels(image, low, high, z, members, bbox, held, offsets, inside, count, starts, data, mask, marks):
    """Copy one image of a panel into the shoeboxes of a block.

    Parameters
    ----------
    image : (slow, fast) int32 or float32
    low, high : number
        Trusted range, inclusive.
    z, members, bbox, offsets, inside
        As in `paint_spots`.
    held : (n, 2) int32
        Array indices of the images, half open, that the shoebox of each spot holds; none of a spot that is not extracted.
    count : (slow, fast) uint8
        Result of `paint_spots` over all spots of this image; bit 128 is set in pixels that the static mask forbids.
    starts : (n + 1,) int64
        First pixel of each shoebox in ``data`` (z, y, x).
    data : (m,) float32; mask : (m,) uint8
        Filled. Pixels of a spot's own halo are neither foreground nor background; those beyond the panel are 0, and not valid. Bit 64
        is set for `free_crowded` where pixels of the background are in halos of other spots, and in no foreground.
    marks : (n,) uint8
        Bit 1 is set where a pixel that the mask allows exceeds the trusted range, bit 2 where the foreground of another
        spot reaches into the background, bit 4 where its foreground or halo reaches into the foreground.
    """
    height, width = image.shape
    values, painted = image.reshape(-1), count.reshape(-1)
    largest = 1
    for r in members:
        largest = max(largest, (bbox[r, 1] - bbox[r, 0]) * (bbox[r, 3] - bbox[r, 2]))
    # the pixels of a spot beside each other, so that marking them is one loop without a branch
    some, counts = np.empty(largest, image.dtype), np.empty(largest, np.uint8)
    for r in members:
        if z < held[r, 0] or z >= held[r, 1]:
            continue
        x0, x1, y0, y1 = bbox[r, 0], bbox[r, 1], bbox[r, 2], bbox[r, 3]
        nx = x1 - x0
        area = nx * (y1 - y0)
        base = starts[r] + (z - held[r, 0]) * area
        first = mask_of_image(offsets, bbox, r, z)
        xa, xb, ya, yb = max(x0, 0), min(x1, width), max(y0, 0), min(y1, height)
        if x0 < 0 or y0 < 0 or x1 > width or y1 > height:
            some[:area] = 0
            counts[:area] = 128
        for y in range(ya, yb):
            source, target = np.uint64(y * width + xa), np.uint64((y - y0) * nx + xa - x0)
            for i in range(max(xb - xa, 0)):
                k = np.uint64(i)
                some[target + k] = values[source + k]
                counts[target + k] = painted[source + k]
        marks[r] |= mark_pixels(
            some[:area],
            counts[:area],
            inside[first : first + area],
            low,
            high,
            data[base : base + area],
            mask[base : base + area],
        )


@numba.njit(nogil=True, cache=True)
def touch_others(panel, bbox, wanted, others, margin):
    """Which of some spots have a box that may share pixels with that of a wanted spot; none that does is left out.

    The wanted boxes are noted in a coarse map, squares of pixels with one bit for each of up to 64 ranges of images.

    Parameters
    ----------
    panel : (n,) int64; bbox : (n, 6) int32
    wanted, others : (w,) int64, (m,) int64
        Rows.
    margin : int
        Images before and after its box on which a spot still counts.

    Returns
    -------
    (m,) bool
    """
    touching = np.zeros(others.shape[0], np.bool_)
    if wanted.shape[0] == 0 or others.shape[0] == 0:
        return touching
    low, high = np.full(3, 2**31, np.int64), np.full(3, -(2**31), np.int64)
    panels = 0
    for r in wanted:
        panels = max(panels, panel[r] + 1)
        for axis in range(3):
            low[axis] = min(low[axis], bbox[r, 2 * axis])
            high[axis] = max(high[axis], bbox[r, 2 * axis + 1])
    depth = (high[2] - low[2] + 63) // 64
    noted = np.zeros((panels, (high[1] - low[1]) // SQUARE + 1, (high[0] - low[0]) // SQUARE + 1), np.uint64)
    for turn in range(2):
        rows = wanted if turn == 0 else others
        more = 0 if turn == 0 else margin
        for k in range(rows.shape[0]):
            r = rows[k]
            z0, z1 = max(bbox[r, 4] - more, low[2]), min(bbox[r, 5] + more, high[2])
            x0, x1 = max(bbox[r, 0], low[0]), min(bbox[r, 1], high[0])
            y0, y1 = max(bbox[r, 2], low[1]), min(bbox[r, 3], high[1])
            if x0 >= x1 or y0 >= y1 or z0 >= z1 or panel[r] >= panels:
                continue
            bits = np.uint64(0)
            for z in range((z0 - low[2]) // depth, (z1 - 1 - low[2]) // depth + 1):
                bits |= np.uint64(1) << np.uint64(z)
            for y in range((y0 - low[1]) // SQUARE, (y1 - 1 - low[1]) // SQUARE + 1):
                for x in range((x0 - low[0]) // SQUARE, (x1 - 1 - low[0]) // SQUARE + 1):
                    if turn == 0:
                        noted[panel[r], y, x] |= bits
                    elif noted[panel[r], y, x] & bits:
                        touching[k] = True
    return touching
