"""Kernels: from the pixels of an image to voxels of reciprocal space, and to planes through it."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

__all__ = ["BRICK", "add_bricks", "add_to_bricks", "add_to_plane", "pixels_within"]

#: Edge of the cubes in which voxels are kept until a block of images is done.
BRICK = 16


@njit(nogil=True, cache=True)
def pixels_within(d, pixel_size, shape, s0, largest, out):
    """List the pixels of a panel whose centres scatter to a resolution; depth in the sensor is not thought of.

    Parameters
    ----------
    d : (3, 3) float64, mm
        Columns are the fast axis, the slow axis and the origin.
    pixel_size : (2,) float64, mm
    shape : (2,) int
        Pixels along slow and fast.
    s0 : (3,) float64, 1/angstrom
    largest : float, 1/angstrom
        Length of the longest scattering vector.
    out : (slow x fast,) int32
        Flat numbers of the pixels.

    Returns
    -------
    int
        How many there are.
    """
    wave = math.sqrt(s0[0] ** 2 + s0[1] ** 2 + s0[2] ** 2)
    count = 0
    for j in range(shape[0]):
        y = (j + 0.5) * pixel_size[1]
        for i in range(shape[1]):
            x = (i + 0.5) * pixel_size[0]
            u = d[0, 0] * x + d[0, 1] * y + d[0, 2]
            v = d[1, 0] * x + d[1, 1] * y + d[1, 2]
            w = d[2, 0] * x + d[2, 1] * y + d[2, 2]
            scale = wave / math.sqrt(u * u + v * v + w * w)
            a, b, c = u * scale - s0[0], v * scale - s0[1], w * scale - s0[2]
            if a * a + b * b + c * c <= largest * largest:
                out[count] = j * shape[1] + i
                count += 1
    return count


@njit(nogil=True, cache=True)
def add_to_bricks(values, good, pixel, q, factor, turn, scale, n, table, sums, counts, used, begin):
    """Add the pixels of an image to the voxels that they lie in.

    Parameters
    ----------
    values : (slow x fast,) float32
    good : (slow x fast,) uint8
        0 is left out.
    pixel : (m,) int32
        Flat numbers of the pixels that matter.
    q : (m, 3) float32, 1/angstrom
        Their scattering vectors in the laboratory.
    factor : (m,) float32, or (0,)
        What their values are divided by.
    turn : (3, 3) float64
        From the laboratory to the volume.
    scale : float, angstrom
        Voxels for each 1/angstrom.
    n : int
        Voxels along an edge; voxel n/2 is that of the origin.
    table : (b, b, b) int32
        Number of each brick, -1 of those without.
    sums : (k, BRICK**3) float64
    counts : (k, BRICK**3) int32
    used : (1,) int64
        How many bricks there are; changed.
    begin : int
        First of the pixels to add.

    Returns
    -------
    int
        Pixels that are done; fewer than m when no brick is left.
    """
    half = 0.5 * n + 0.5
    for k in range(begin, pixel.shape[0]):
        p = pixel[k]
        if good[p] == 0:
            continue
        a, b, c = q[k, 0], q[k, 1], q[k, 2]
        x = math.floor((turn[0, 0] * a + turn[0, 1] * b + turn[0, 2] * c) * scale + half)
        y = math.floor((turn[1, 0] * a + turn[1, 1] * b + turn[1, 2] * c) * scale + half)
        z = math.floor((turn[2, 0] * a + turn[2, 1] * b + turn[2, 2] * c) * scale + half)
        if x < 0 or y < 0 or z < 0 or x >= n or y >= n or z >= n:
            continue
        x, y, z = int(x), int(y), int(z)
        brick = table[x // BRICK, y // BRICK, z // BRICK]
        if brick < 0:
            if used[0] == sums.shape[0]:
                return k
            brick = used[0]
            table[x // BRICK, y // BRICK, z // BRICK] = brick
            sums[brick, :] = 0.0
            counts[brick, :] = 0
            used[0] += 1
        at = ((x % BRICK) * BRICK + y % BRICK) * BRICK + z % BRICK
        sums[brick, at] += values[p] if factor.shape[0] == 0 else values[p] / factor[k]
        counts[brick, at] += 1
    return pixel.shape[0]


@njit(nogil=True, cache=True)
def add_bricks(places, brick_sums, brick_counts, sums, counts):
    """Add bricks to the whole volume.

    Parameters
    ----------
    places : (k, 3) int32
        Where each brick is, in bricks.
    brick_sums : (k, BRICK**3) float64
    brick_counts : (k, BRICK**3) int32
    sums : (n, n, n) float64
        Changed.
    counts : (n, n, n) int32
        Changed.
    """
    n = sums.shape[0]
    for k in range(places.shape[0]):
        x0, y0, z0 = places[k, 0] * BRICK, places[k, 1] * BRICK, places[k, 2] * BRICK
        for i in range(min(BRICK, n - x0)):
            for j in range(min(BRICK, n - y0)):
                for m in range(min(BRICK, n - z0)):
                    at = (i * BRICK + j) * BRICK + m
                    sums[x0 + i, y0 + j, z0 + m] += brick_sums[k, at]
                    counts[x0 + i, y0 + j, z0 + m] += brick_counts[k, at]


@njit(nogil=True, cache=True)
def add_to_plane(values, good, pixel, q, factor, to_hkl, axis, level, half, to_plane, scale, sums, counts):
    """Add the pixels of an image that lie within a layer of the lattice to a picture of the layer.

    Parameters
    ----------
    values, good, pixel, q, factor
        As for `add_to_bricks`.
    to_hkl : (3, 3) float64, angstrom
        From scattering vectors to indices.
    axis : int
        Which index the layer holds fast.
    level : float
        Its value.
    half : float
        Half of the thickness of the layer, in the unit of the index.
    to_plane : (2, 3) float64, 1/angstrom
        From indices to places in the picture.
    scale : float, angstrom
        Points of the picture for each 1/angstrom.
    sums : (size, size) float64
        Changed; its middle is the origin.
    counts : (size, size) int32
        Changed.
    """
    size = sums.shape[0]
    middle = 0.5 * size
    u, v, w = to_hkl[axis, 0], to_hkl[axis, 1], to_hkl[axis, 2]
    place = np.dot(to_plane, to_hkl) * scale
    for k in range(pixel.shape[0]):
        a, b, c = q[k, 0], q[k, 1], q[k, 2]
        if abs(u * a + v * b + w * c - level) > half:
            continue
        p = pixel[k]
        if good[p] == 0:
            continue
        x = math.floor(place[0, 0] * a + place[0, 1] * b + place[0, 2] * c + middle)
        y = math.floor(place[1, 0] * a + place[1, 1] * b + place[1, 2] * c + middle)
        if 0 <= x < size and 0 <= y < size:
            sums[int(y), int(x)] += values[p] if factor.shape[0] == 0 else values[p] / factor[k]
            counts[int(y), int(x)] += 1
