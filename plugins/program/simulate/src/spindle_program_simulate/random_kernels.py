"""Random numbers of streams that belong to a reflection or an image, for kernels."""

from __future__ import annotations

import math

import numba
import numpy as np

__all__ = ["MASK_16", "U16", "draw", "poisson", "start_stream", "uniform"]

_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_U11, U16, _U17, _U21, _U27, _U28, _U30, _U31, _U36, _U47, _U49, _U15, _U43 = (
    np.uint64(n) for n in (11, 16, 17, 21, 27, 28, 30, 31, 36, 47, 49, 15, 43)
)
MASK_16 = np.uint64(0xFFFF)
_TO_UNIT = 1.0 / 9007199254740992.0  # 2^-53


@numba.njit(nogil=True, cache=True)
def _mix(x):
    """One step of splitmix64."""
    x = (x ^ (x >> _U30)) * _MIX_1
    x = (x ^ (x >> _U27)) * _MIX_2
    return x ^ (x >> _U31)


@numba.njit(nogil=True, cache=True)
def start_stream(state, seed, kind, index):
    """Seed a xoroshiro128++ state (2,) uint64 for stream number ``index`` of one kind."""
    x = _mix(_mix(np.uint64(seed) + _GOLDEN) ^ _mix(np.uint64(kind) * _GOLDEN + np.uint64(1)))
    x = _mix(x ^ _mix(np.uint64(index) + _GOLDEN))
    state[0] = _mix(x + _GOLDEN)
    state[1] = _mix(x + _GOLDEN + _GOLDEN)


@numba.njit(nogil=True, cache=True)
def draw(state):
    """64 random bits (xoroshiro128++ of Blackman & Vigna)."""
    a = state[0]
    b = state[1]
    total = a + b
    result = ((total << _U17) | (total >> _U47)) + a
    b ^= a
    state[0] = ((a << _U49) | (a >> _U15)) ^ b ^ (b << _U21)
    state[1] = (b << _U28) | (b >> _U36)
    return result


@numba.njit(nogil=True, cache=True)
def uniform(state):
    """Uniform in (0, 1)."""
    return (np.float64(draw(state) >> _U11) + 0.5) * _TO_UNIT


@numba.njit(nogil=True, cache=True)
def poisson(state, mean):
    """A Poisson deviate: products of uniforms below 15, transformed rejection (Hoermann 1993) above."""
    if mean <= 0.0:
        return 0
    if mean < 15.0:
        limit = math.exp(-mean)
        product = uniform(state)
        k = 0
        while product > limit:
            product *= uniform(state)
            k += 1
        return k
    root = math.sqrt(mean)
    b = 0.931 + 2.53 * root
    a = -0.059 + 0.02483 * b
    inverse_alpha = 1.1239 + 1.1328 / (b - 3.4)
    v_r = 0.9277 - 3.6224 / (b - 2.0)
    log_mean = math.log(mean)
    while True:
        u = uniform(state) - 0.5
        v = uniform(state)
        us = 0.5 - abs(u)
        k = math.floor((2.0 * a / us + b) * u + mean + 0.43)
        if us >= 0.07 and v <= v_r:
            return k
        if k < 0 or (us < 0.013 and v > us):
            continue
        if math.log(v * inverse_alpha / (a / (us * us) + b)) <= k * log_mean - mean - math.lgamma(k + 1.0):
            return k
