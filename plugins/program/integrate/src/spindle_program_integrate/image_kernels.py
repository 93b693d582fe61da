"""Kernels over images: paint foregrounds and models, find neighbours, copy pixels into shoeboxes."""

from __future__ import annotations

import numba
import numpy as np


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
                for x in range(nx):
                    if inside[k] != 0:
                        x0, x1, y0, y1 = min(x0, x), max(x1, x + 1), min(y0, y), max(y1, y + 1)
                    k += 1
        out[r, 0], out[r, 1] = bbox[r, 0] + x0, bbox[r, 0] + x1
        out[r, 2], out[r, 3] = bbox[r, 2] + y0, bbox[r, 2] + y1
    return out


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
        own_image = z >= bbox[r, 4] and z < bbox[r, 5]
        nx = bbox[r, 1] - bbox[r, 0]
        first = mask_of_image(offsets, bbox, r, z)
        for y in range(max(parts[r, 2], 0), min(parts[r, 3], height)):
            row = first + (y - bbox[r, 2]) * nx - bbox[r, 0]
            for x in range(max(parts[r, 0], 0), min(parts[r, 1], width)):
                code = inside[row + x]
                if code == 0:
                    continue
                if code == 1 and own_image:
                    if count[y, x] & 127 < 112:
                        count[y, x] += 16
                elif count[y, x] & 15 < 15:
                    count[y, x] += 1


@numba.njit(nogil=True, cache=True)
def clear_parts(z, members, bbox, parts, margin, count):
    """Leave nothing but bit 128 of what `paint_spots` painted."""
    height, width = count.shape
    for r in members:
        if z < bbox[r, 4] - margin or z >= bbox[r, 5] + margin:
            continue
        for y in range(max(parts[r, 2], 0), min(parts[r, 3], height)):
            for x in range(max(parts[r, 0], 0), min(parts[r, 1], width)):
                count[y, x] &= 128


@numba.njit(nogil=True, cache=True)
def clear_boxes(z, members, bbox, values):
    """Set the pixels of a panel (slow, fast) to 0 that lie in the boxes of spots on one image."""
    height, width = values.shape
    for r in members:
        if z < bbox[r, 4] or z >= bbox[r, 5]:
            continue
        for y in range(max(bbox[r, 2], 0), min(bbox[r, 3], height)):
            for x in range(max(bbox[r, 0], 0), min(bbox[r, 1], width)):
                values[y, x] = 0


@numba.njit(nogil=True, cache=True)
def mark_pixels(values, painted, inside, low, high, data, mask):
    """Data and mask bits of the pixels of one spot on one image, all (p,); returns its marks, see `extract_pixels`."""
    one, zero = np.uint8(1), np.uint8(0)
    overloaded, touched = zero, zero
    for k in range(values.shape[0]):
        value, own, count = values[k], inside[k], painted[k] & np.uint8(127)
        usable = np.uint8(painted[k] < np.uint8(128))
        spot, background = np.uint8(own == one), np.uint8(own == zero)
        # its own foreground is one of those that were counted
        foreign = np.uint8(count >= np.uint8(16) + (spot << np.uint8(4)))
        covered = foreign | (background & np.uint8(count > zero))
        touched |= background & foreign
        overloaded |= usable & np.uint8(value > high)
        trusted = usable & np.uint8(value >= low) & np.uint8(value <= high)
        data[k] = value
        mask[k] = trusted | (background << np.uint8(1)) | (spot << np.uint8(2)) | (covered << np.uint8(5))
    return overloaded | (touched << one)


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
        Filled. Pixels of a spot's own halo are neither foreground nor background; those beyond the panel are 0, and not valid.
    marks : (n,) uint8
        Bit 1 is set where a pixel that the mask allows exceeds the trusted range, bit 2 where the foreground of another
        spot reaches into the background.
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
