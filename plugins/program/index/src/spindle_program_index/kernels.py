"""Loops over spots: index assignment."""

from __future__ import annotations

import math

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def nearest_indices(rlp, A_inverse, hkl, distance):
    """Nearest lattice point of each spot, over several lattices.

    Parameters
    ----------
    rlp : (n, 3) float64, 1/angstrom
    A_inverse : (m, 3, 3) float64
        One per lattice.
    hkl : (n, 3) int32
        Output: index in the lattice that fits best.
    distance : (n,) float64
        Output: squared distance from it, in indices.

    Returns
    -------
    (n,) int32
        The lattice.
    """
    n = rlp.shape[0]
    lattice = np.zeros(n, np.int32)
    for i in range(n):
        best = 1e300
        x, y, z = rlp[i, 0], rlp[i, 1], rlp[i, 2]
        for m in range(A_inverse.shape[0]):
            a = A_inverse[m]
            h = a[0, 0] * x + a[0, 1] * y + a[0, 2] * z
            k = a[1, 0] * x + a[1, 1] * y + a[1, 2] * z
            l = a[2, 0] * x + a[2, 1] * y + a[2, 2] * z
            rh, rk, rl = math.floor(h + 0.5), math.floor(k + 0.5), math.floor(l + 0.5)
            e = (h - rh) ** 2 + (k - rk) ** 2 + (l - rl) ** 2
            if e < best:
                best = e
                lattice[i] = m
                hkl[i, 0], hkl[i, 1], hkl[i, 2] = np.int32(rh), np.int32(rk), np.int32(rl)
        distance[i] = best
    return lattice


@njit(nogil=True, cache=True)
def drop_duplicates(order, starts, phi, distance, accepted):
    """Where spots share an index within 45 degrees of rotation, only the nearest to the lattice point keeps it.

    Parameters
    ----------
    order : (n,) int64
        Accepted spots, those with the same lattice and index next to each other.
    starts : (m + 1,) int64
        Where each such group begins in `order`.
    phi : (n_all,) float64, radians
    distance : (n_all,) float64
    accepted : (n_all,) bool
        Changed in place.
    """
    limit = math.pi / 4
    for g in range(len(starts) - 1):
        for i in range(starts[g], starts[g + 1] - 1):
            a = order[i]
            if not accepted[a]:
                continue
            for j in range(i + 1, starts[g + 1]):
                b = order[j]
                if not accepted[b] or abs(phi[a] - phi[b]) > limit:
                    continue
                if distance[b] < distance[a]:
                    accepted[a] = False
                    break
                accepted[b] = False


@njit(nogil=True, cache=True)
def membership(rlp, to_pixels, cell, A, A_inverse, offset, width, weight, d_star_max, hkl, shift, ratio, sharp):
    """How much more likely each spot is as a point of a lattice than anywhere else.

    Parameters
    ----------
    rlp : (n, 3) float64, 1/angstrom
    to_pixels : (n, 3, 3) float64
        See `SpotFrames`.
    cell : (n,) float64
    A, A_inverse : (3, 3) float64
    offset : (2,) float64, pixels
        Where spots are seen from where the lattice has them, along fast and slow.
    width : (3,) float64
        Standard deviations, pixels, pixels and images.
    weight : float
        Part of the spots that belong to the lattice.
    d_star_max : float, 1/angstrom
        Spots at higher resolution are left out.
    hkl : (n, 3) int32
        Output: the nearest lattice point.
    shift : (n, 3) float64
        Output: from that point to the spot, pixels, pixels and images.
    ratio : (n,) float64
        Output: probability density over that of an even distribution over the cells of the lattice; 0 when left out.
    sharp : (n,) float64
        Output: by what the square of `shift` counts for the width: 1 in the core, 1/9 in the tail.

    Returns
    -------
    float
        Sum of the logarithms of 1 - weight + weight ratio over the spots taken.

    Notes
    -----
    Gaussian, with a fifth of the spots three times as wide.
    """
    total = 0.0
    volume = abs(A[0, 0] * (A[1, 1] * A[2, 2] - A[1, 2] * A[2, 1]) - A[0, 1] * (A[1, 0] * A[2, 2] - A[1, 2] * A[2, 0])
                 + A[0, 2] * (A[1, 0] * A[2, 1] - A[1, 1] * A[2, 0]))  # fmt: skip
    peak = volume / ((2 * math.pi) ** 1.5 * width[0] * width[1] * width[2])
    limit = d_star_max * d_star_max
    for i in range(rlp.shape[0]):
        x, y, z = rlp[i, 0], rlp[i, 1], rlp[i, 2]
        ratio[i] = sharp[i] = 0.0
        if x * x + y * y + z * z > limit:
            continue
        h = math.floor(A_inverse[0, 0] * x + A_inverse[0, 1] * y + A_inverse[0, 2] * z + 0.5)
        k = math.floor(A_inverse[1, 0] * x + A_inverse[1, 1] * y + A_inverse[1, 2] * z + 0.5)
        l = math.floor(A_inverse[2, 0] * x + A_inverse[2, 1] * y + A_inverse[2, 2] * z + 0.5)
        hkl[i, 0], hkl[i, 1], hkl[i, 2] = np.int32(h), np.int32(k), np.int32(l)
        x -= A[0, 0] * h + A[0, 1] * k + A[0, 2] * l
        y -= A[1, 0] * h + A[1, 1] * k + A[1, 2] * l
        z -= A[2, 0] * h + A[2, 1] * k + A[2, 2] * l
        chi = 0.0
        for c in range(3):
            s = to_pixels[i, c, 0] * x + to_pixels[i, c, 1] * y + to_pixels[i, c, 2] * z
            if c < 2:
                s -= offset[c]
            shift[i, c] = s
            chi += (s / width[c]) ** 2
        if (h != 0 or k != 0 or l != 0) and cell[i] < 1e300:
            core, tail = 0.8 * math.exp(-0.5 * chi), 0.2 / 27.0 * math.exp(-chi / 18.0)
            ratio[i] = peak / cell[i] * (core + tail)
            sharp[i] = (core + tail / 9.0) / max(core + tail, 1e-300)
        total += math.log(1.0 - weight + weight * ratio[i])
    return total


@njit(nogil=True, cache=True)
def lattice_normal_equations(to_pixels, hkl, shift, posterior, width, matrix, vector):
    """Weighted least squares for changes of the matrix A and of the offset.

    Parameters
    ----------
    to_pixels, hkl, shift, width
        As for `membership`.
    posterior : (n,) float64
        Probability that a spot belongs to the lattice.
    matrix : (11, 11) float64
        Output; parameters are the rows of A and the offset.
    vector : (11,) float64
        Output.
    """
    matrix[:] = 0.0
    vector[:] = 0.0
    row = np.empty(11)
    for i in range(hkl.shape[0]):
        if posterior[i] < 1e-3:
            continue
        for c in range(3):
            p = posterior[i] / (width[c] * width[c])
            for a in range(3):
                for b in range(3):
                    row[3 * a + b] = to_pixels[i, c, a] * hkl[i, b]
            row[9] = 1.0 if c == 0 else 0.0
            row[10] = 1.0 if c == 1 else 0.0
            for a in range(11):
                t = p * row[a]
                vector[a] += t * shift[i, c]
                for b in range(a + 1):
                    matrix[a, b] += t * row[b]
    for a in range(11):
        for b in range(a):
            matrix[b, a] = matrix[a, b]


@njit(nogil=True, cache=True)
def common_bits(bits, triples):
    """How many bits are set in all three rows of each triple.

    Parameters
    ----------
    bits : (m, words) uint64
    triples : (t, 3) int64

    Returns
    -------
    (t,) int64
    """
    count = np.zeros(len(triples), np.int64)
    m1, m2, m4 = np.uint64(0x5555555555555555), np.uint64(0x3333333333333333), np.uint64(0x0F0F0F0F0F0F0F0F)
    h01 = np.uint64(0x0101010101010101)
    one, two, four, high = np.uint64(1), np.uint64(2), np.uint64(4), np.uint64(56)
    for t in range(len(triples)):
        i, j, k = triples[t]
        total = 0
        for w in range(bits.shape[1]):
            v = bits[i, w] & bits[j, w] & bits[k, w]
            v = v - ((v >> one) & m1)
            v = (v & m2) + ((v >> two) & m2)
            v = (v + (v >> four)) & m4
            total += np.int64((v * h01) >> high)
        count[t] = total
    return count
