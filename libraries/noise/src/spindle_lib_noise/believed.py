"""How much the variance of an intensity may follow what was observed."""

from __future__ import annotations

import math

import numba

__all__ = ["BELIEVED", "USUAL", "counts_of_variance"]

# A variance that follows the value by the slope f makes the mean of (value - truth) / sigma about -f / (2 sigma), and weighted means too
# low. Where reflections of a resolution have so small sigmas that this matters the variance is made of the mean to be expected, elsewhere of
# what is believed of the spot, in between of a geometric mean of both, with the power of the square of this times sigma for the latter: the
# mean is -0.045 at a sigma of 11 counts, from which on variances follow the counts, and less the fewer counts there are. Sigmas of spots
# that are several times the mean of a weak shell are too small, up to a third.
BELIEVED = 0.09
USUAL = 2.2  # times the mean; what is believed to be more (11 % by Wilson's distribution) counts for more


@numba.njit(nogil=True, cache=True)
def counts_of_variance(mean, believed, variance):
    """Counts that the variance of a spot is made of.

    Parameters
    ----------
    mean : float, counts
        To be expected of such spots, > 0.
    believed : float, counts
        Posterior mean of this one, > 0.
    variance : float, counts^2
        Of its intensity, were it as expected.

    Notes
    -----
    mean^(1 - p) believed^p Gamma(2 - p): the mean of I / (mean^(1 - p) I^p) over Wilson's acentric distribution of I is Gamma(2 - p), so that
    the mean of squared errors over variances is 1 with that factor.
    """
    power = min(variance * (BELIEVED * max(believed / (USUAL * mean), 1.0)) ** 2, 1.0)
    return mean ** (1.0 - power) * believed**power * math.gamma(2.0 - power)
