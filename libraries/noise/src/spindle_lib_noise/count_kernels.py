"""Kernels of Huber's function of Poisson counts."""

from __future__ import annotations

import math

import numba

__all__ = ["LOG_LOWEST", "PER_LOG", "fill_table", "huber_poisson_moments", "interpolated_moments"]

LOG_LOWEST = math.log(1e-7)  # of the means of a grid, of which there are `PER_LOG` for each factor of e
PER_LOG = 32.0
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


@numba.njit(nogil=True, cache=True)
def interpolated_moments(table, mu):
    """`huber_poisson_moments` of a mean, between those of ``moments_grid`` (n, 3): good to 1 part in 1000."""
    at = (math.log(mu) - LOG_LOWEST) * PER_LOG
    at = min(max(at, 0.0), table.shape[0] - 1.001)
    i = int(at)
    f = at - i
    return (
        table[i, 0] + f * (table[i + 1, 0] - table[i, 0]),
        table[i, 1] + f * (table[i + 1, 1] - table[i, 1]),
        table[i, 2] + f * (table[i + 1, 2] - table[i, 2]),
    )
