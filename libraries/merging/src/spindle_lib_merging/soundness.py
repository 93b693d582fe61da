"""Whether merged data tell anything: what is wrong with data that nobody should solve a structure from."""

from __future__ import annotations

import numpy as np

from .statistics import MergingStatistics

#: The best shell of data that tell anything has at least this mean I / sigma.
MIN_I_OVER_SIGMA = 1.5
#: Shells with fewer reflections, and correlations of fewer pairs, decide nothing.
MIN_REFLECTIONS = 10
#: Error models that multiply the sigmas of weak reflections by more are not of counting errors.
MAX_SIGMA_FACTOR = 10.0


def problems_of(statistics: MergingStatistics, sigma_factor: float = 1.0) -> list[str]:
    """What makes data worthless, in words with numbers; empty for data that may be used.

    Parameters
    ----------
    statistics : MergingStatistics
    sigma_factor : float
        By what an error model multiplies the sigmas of weak reflections.

    Returns
    -------
    list of str
        The gravest first.
    """
    found = []
    overall = statistics.overall
    ratios = [s.i_over_sigma for s in statistics.shells if s.n_unique >= MIN_REFLECTIONS]
    best = max(ratios, default=overall.i_over_sigma)
    if np.isfinite(best) and best < MIN_I_OVER_SIGMA:
        found.append(f"the mean I/sigma is {overall.i_over_sigma:.1f} ({best:.1f} in the best shell)")
    known = overall.n_half >= 2 * MIN_REFLECTIONS and np.isfinite(overall.cc_half)
    if known and not overall.cc_half_significant:
        found.append(f"CC1/2 is {overall.cc_half:.2f}, no more than noise gives (up to {overall.cc_half_critical:.2f})")
    if overall.multiplicity > 1 and np.isnan(overall.r_merge) and overall.n_observations > overall.n_unique:
        found.append("the intensities of equivalents add up to nothing, so that R factors have no meaning")
    if sigma_factor > MAX_SIGMA_FACTOR:
        found.append(f"the error model makes the sigmas of weak reflections {sigma_factor:.0f} times larger")
    return found
