"""What the drift of crystals that was found tells of what their curves and constant models have in common."""

from __future__ import annotations

import numpy as np

from .problem import Problem

#: Of a curve, in independent observations of its size. With 1, two of a hundred orientations are beyond three errors.
WORTH = 0.5


def drift_information(problem: Problem, x: np.ndarray) -> np.ndarray:
    """Information on refined parameters from how far orientations sway during their scans.

    Parameters
    ----------
    problem : Problem
    x : (p,) float64
        Refined parameters.

    Returns
    -------
    (p, p) float64
        In units of chi-squared, to be added to the normal matrix over its variance. Zero for constant orientations.

    Notes
    -----
    A detector turned against the spindle looks like crystals that sway with the spindle's angle: spots alone tell that combination to half a
    degree, however still the crystal is. The samples of each curve are taken to scatter about their mean by what they were found
    to, s^2 for each of n. A sway is smooth, so that samples are one piece of evidence, not n, and less than a whole one, since their scatter is known
    from that piece alone: each deviation counts `WORTH` / (n s^2). Of simulated crystals (`benchmarks/drift.py`) 99 % are within three errors told so.
    """
    information = np.zeros((problem.n_parameters, problem.n_parameters))
    everything = problem.expand(x)
    for block in problem.blocks:
        n = block.n_samples
        if block.kind != "orientation" or n < 2:
            continue
        numbers = problem.number[block.offset : block.offset + block.size].reshape(-1, n)
        about_mean = np.eye(n) - 1.0 / n
        for samples, number in zip(block.values(everything), numbers, strict=True):
            variance = float(samples.var())
            if variance > 0 and (number >= 0).all():
                np.add.at(information, (number[:, None], number[None, :]), WORTH * about_mean / (n * variance))
    return information
