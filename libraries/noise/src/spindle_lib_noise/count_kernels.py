"""Kernels of Huber's function of Poisson counts."""

from __future__ import annotations

import math

import numba

__all__ = ["fill_table", "huber_poisson_moments"]

LARGE_MEAN = 1e6  # from here on Poisson's distribution is the normal one with its skewness


@numba.njit(nogil=True, cache=True)
def huber_poisson_moments(mu, c):
    """Moments of Huber's psi of the standardised Poisson residual r = (Y - mu) / sqrt(mu).

    Parameters
    ----------
    mu : float
        Poisson mean, > 0.
    c : float
        Tuning constant; psi(r) = r clipped to -c .. c.

    Returns
    -------
    first : float
        E[psi].
    information : float
        E[psi (Y - mu) / mu].
    variance : float
        E[psi^2] - E[psi]^2.

    Notes
    -----
    Between the clipping points the sums run over the counts themselves; beyond them sum_{k > j} (k - mu) p_k = mu p_j.
    Their number grows as sqrt(mu). Above `LARGE_MEAN` the density of r is that of the normal distribution with the first
    term of Edgeworth's series, (1 + (r^3 - 3 r) / (6 s)) exp(-r^2 / 2) / sqrt(2 pi), s^2 = mu; the next terms are of 1 / mu.
    """
    s = math.sqrt(mu)
    if mu > LARGE_MEAN:
        inside = math.erf(c / math.sqrt(2.0))
        edge = math.exp(-0.5 * c * c) / math.sqrt(2.0 * math.pi)
        e1 = -c * edge / (3.0 * s)
        return e1, inside / s, inside - 2.0 * c * edge + c * c * (1.0 - inside) - e1 * e1
    j1 = math.floor(mu - c * s)
    j2 = math.floor(mu + c * s)
    k = max(j1 + 1, 0)
    p = math.exp(k * math.log(mu) - mu - math.lgamma(k + 1.0))
    p_j1 = 0.0
    below = 0.0
    if j1 >= 0:
        p_j1 = p * k / mu
        term = p_j1
        j = j1
        while j >= 0 and term > 1e-18 * (below + 1e-300):
            below += term
            term *= j / mu
            j -= 1
    middle = first = second = p_j2 = 0.0
    while k <= j2:
        r = (k - mu) / s
        middle += p
        first += r * p
        second += r * r * p
        p_j2 = p
        k += 1
        p *= mu / k
    above = max(1.0 - below - middle, 0.0)
    e1 = first + c * (above - below)
    information = second / s + c * (p_j1 + p_j2)
    variance = second + c * c * (above + below) - e1 * e1
    return e1, information, variance


@numba.njit(nogil=True, cache=True)
def fill_table(means, c, out):
    """`huber_poisson_moments` of many means (n,) into out (n, 3)."""
    for i in range(means.shape[0]):
        out[i, 0], out[i, 1], out[i, 2] = huber_poisson_moments(means[i], c)
