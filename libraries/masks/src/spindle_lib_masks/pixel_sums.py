"""Kernels that sum pixels over images, and judge them by their sums."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

__all__ = ["add_counts", "add_image", "find_dark", "judge"]

EQUAL = 1.0 + 1e-12
# Reflections spread over pixels and pass by: a pixel that they light up is at rest more often than a steady source of as many counts
# would leave it, by so many standard deviations, and one beside it that has this part of its excess at least is so with certainty.
LIT_SIGMAS, BESIDE_SIGMAS, BESIDE_SHARE = 0.5, 2.0, 0.3
BOX = 5  # shadows are looked for in squares of this size, as single pixels may have seen too few photons


@njit(nogil=True, cache=True)
def _add_row(image, static, low, high, limit, rest, total, count, full, calm):
    """One row of `add_counts`, all (n,), with what counts in full and what is rest in each pixel. Without branches."""
    for j in range(image.shape[0]):
        value = image[j]
        good = np.uint8(static[j]) & np.uint8(value >= low) & np.uint8(value <= high)
        total[j] += min(value, limit[j]) * np.int32(good)
        count[j] += good
        full[j] += good & np.uint8(value >= limit[j])
        calm[j] += good & np.uint8(value <= rest[j])


@njit(nogil=True, cache=True)
def add_counts(image, second, static, low, high, ring, cap, level, total, count, full, calm):
    """Add one image of whole counts, or two, to sums over images.

    Row after row, so that sums of a row that the first image was added to are at hand for the second.

    Parameters
    ----------
    image : (slow, fast) int32
    second : (slow, fast) int32
        Another, or one without rows.
    static : (slow, fast) bool
        Pixels that may be good.
    low, high : int32
        Trusted range, inclusive.
    ring : (slow, fast) int32
        Number of the ring of each pixel.
    cap : (n_rings,) int32
        Largest value that counts in full, per ring.
    level : (n_rings,) int32
        What a pixel at rest does not exceed, per ring.
    total : (slow, fast) int32
        Sum of the values up to the cap.
    count, full, calm : (slow, fast) uint8
        Images in which the pixel was good, those in which it reached the cap, and those in which it was at rest.
    """
    width = image.shape[1]
    limit, rest = np.empty(width, np.int32), np.empty(width, np.int32)
    both = np.empty(cap.shape[0], np.int64)  # so that there is one place to look for what is known of a ring
    for k in range(both.shape[0]):
        both[k] = (np.int64(level[k]) << np.int64(32)) | (np.int64(cap[k]) & np.int64(0xFFFFFFFF))
    for i in range(image.shape[0]):
        rings = ring[i]
        for j in range(width):
            known = both[np.uint32(rings[j])]
            limit[j], rest[j] = np.int32(known & np.int64(0xFFFFFFFF)), np.int32(known >> np.int64(32))
        _add_row(image[i], static[i], low, high, limit, rest, total[i], count[i], full[i], calm[i])
        if i < second.shape[0]:
            _add_row(second[i], static[i], low, high, limit, rest, total[i], count[i], full[i], calm[i])


@njit(nogil=True, cache=True)
def add_image(image, good, ring, cap, level, total, count, full, calm):
    """Add one image to sums over images.

    Parameters
    ----------
    image : (slow, fast) float32
    good : (slow, fast) bool
    ring : (slow, fast) int32
        Number of the ring of each pixel.
    cap : (n_rings,) float64
        Largest value that counts in full, per ring.
    level : (n_rings,) float64
        What a pixel at rest does not exceed, per ring.
    total : (slow, fast) float64
        Sum of the values up to the cap.
    count, full, calm : (slow, fast) uint8
        Images in which the pixel was good, those in which it reached the cap, and those in which it was at rest.
    """
    for i in range(image.shape[0]):
        for j in range(image.shape[1]):
            if good[i, j]:
                limit = cap[ring[i, j]]
                # In 256ths of a count, so that sums of images with fractions are exact in any order, too.
                value = np.rint(np.float64(image[i, j]) * 256.0) / 256.0
                total[i, j] += min(value, limit)
                count[i, j] += 1
                if value >= limit:
                    full[i, j] += 1
                if value <= level[ring[i, j]]:
                    calm[i, j] += 1


@njit(nogil=True, cache=True)
def find_dark(ring, total, count, least, profile, low, sigma, dark):
    """Pixels whose surroundings, a square of ``BOX``, have seen much less than the level of their rings.

    Parameters
    ----------
    ring : (slow, fast) int32
    total : (slow, fast) float64 or int32, counts
    count : (slow, fast) uint8
        Images that are in the total.
    least : float
        Pixels with fewer are not judged, and do not count.
    profile : (n_rings,) float64, counts
        Level of each ring in one image.
    low : float
        Fraction of the level.
    sigma : float
        Standard deviations that the counts must be below the level.
    dark : (slow, fast) bool
        Filled.
    """
    height, width = ring.shape
    half = BOX // 2
    have, want = np.zeros(width + 2 * BOX), np.zeros(width + 2 * BOX)  # column sums, with a border of nothing
    for y in range(height):
        for x in range(width):
            a = b = 0.0
            for j in range(max(y - half, 0), min(y + half + 1, height)):
                if count[j, x] >= least:
                    a += total[j, x]
                    # images that are no counts (a pedestal that was not taken off) may lie below zero: nothing to compare with
                    b += max(profile[ring[j, x]] * count[j, x], 0.0)
            have[x + BOX], want[x + BOX] = a, b
        for x in range(width):
            a = b = 0.0
            for i in range(x + BOX - half, x + BOX + half + 1):
                a += have[i]
                b += want[i]
            a = max(a, 0.0)
            # whole counts are often equal to the limit: equal is dark, however numbers are rounded
            dark[y, x] = count[y, x] >= least and a <= low * b * EQUAL and a < b - sigma * math.sqrt(b)


@njit(nogil=True, cache=True)
def _at_rest(mean, level):
    """Part of the images in which a steady source of ``mean`` counts an image gives no more than ``level``."""
    term = math.exp(-mean)
    part = term
    for k in range(1, int(level) + 1):
        term *= mean / k
        part += term
    return part


@njit(nogil=True, cache=True)
def _rests(seen, count, calm, level, sigmas):
    """Whether a pixel is at rest more often than a steady source of as many counts."""
    steady = _at_rest(seen / count, level) * count
    return calm > 0 and calm >= steady + sigmas * math.sqrt(steady + 1.0)


@njit(nogil=True, cache=True)
def _lit(ring, total, count, calm, least, profile, level, y, x):
    """Whether a bright pixel is one that reflections pass over."""
    seen = np.float64(total[y, x])
    if not _rests(seen, count[y, x], calm[y, x], level[ring[y, x]], LIT_SIGMAS):
        return False
    enough = BESIDE_SHARE * (seen - profile[ring[y, x]] * count[y, x])
    for j in range(max(y - 1, 0), min(y + 2, ring.shape[0])):
        for i in range(max(x - 1, 0), min(x + 2, ring.shape[1])):
            beside = np.float64(total[j, i])
            own = j == y and i == x
            bright = count[j, i] >= least and beside - profile[ring[j, i]] * count[j, i] > enough
            if not own and bright and _rests(beside, count[j, i], calm[j, i], level[ring[j, i]], BESIDE_SIGMAS):
                return True
    return False


@njit(nogil=True, cache=True)
def judge(ring, total, count, full, calm, least, profile, level, low, sigma, dark, find_hot, good):
    """Tell shadowed, dead and hot pixels from good ones.

    Parameters
    ----------
    ring, total, count, least, profile, low, sigma
        As in `find_dark`.
    full, calm : (slow, fast) uint8
        Images in which the pixel reached the cap, and those in which it was at rest.
    level : (n_rings,) float64
        What a pixel at rest does not exceed, per ring.
    dark : (slow, fast) bool
        What `find_dark` found.
    find_hot : bool
    good : (slow, fast) bool
        Filled.

    Returns
    -------
    int, int, int
        Pixels in shadow, dead and hot.
    """
    height, width = ring.shape
    reach = BOX // 2
    n_shadowed, n_dead, n_hot = 0, 0, 0
    for y in range(height):
        for x in range(width):
            good[y, x] = True
            if count[y, x] < least:
                continue
            # the middle of a square in shadow is up to half its size away from the edge of the shadow
            shadowed = False
            for j in range(max(y - reach, 0), min(y + reach + 1, height)):
                rest = reach - abs(j - y)
                for i in range(max(x - rest, 0), min(x + rest + 1, width)):
                    shadowed |= dark[j, i]
            expected = max(profile[ring[y, x]] * count[y, x], 0.0)
            noise = sigma * math.sqrt(expected)
            seen = np.float64(total[y, x])
            dead = seen < low * expected and seen < expected - noise
            hot = find_hot and seen > sigma * sigma and (full[y, x] * 2 >= count[y, x] or seen > expected / low + noise)
            if hot and not (shadowed or dead):
                hot = not _lit(ring, total, count, calm, least, profile, level, y, x)
            good[y, x] = not (shadowed or dead or hot)
            if shadowed:
                n_shadowed += 1
            else:
                n_dead += dead
                n_hot += hot
    return n_shadowed, n_dead, n_hot
