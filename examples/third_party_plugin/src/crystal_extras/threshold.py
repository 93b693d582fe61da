"""A spot-finding threshold: pixels far above the mean of the box around them."""

import numpy as np
from scipy.ndimage import uniform_filter

from spindle.contracts import Algorithm, hookimpl
from spindle.params import Float, Int, Params


class BoxMeanThreshold(Algorithm):
    """Strong is what exceeds the mean of its surroundings by several standard deviations of photon counting."""

    class Params(Params):
        size = Int(15, min=3, units="pixels", help="Width of the box around each pixel.")
        n_sigma = Float(6.0, min=0, help="How many standard deviations above the mean strong pixels are.")

    @hookimpl
    def find_strong(self, image, mask, gain):
        good = mask.astype(np.float64)
        share = uniform_filter(good, self.params.size, mode="constant")
        mean = uniform_filter(np.where(mask, image, 0.0), self.params.size, mode="constant")
        mean = np.divide(mean, share, out=np.zeros_like(mean), where=share > 1e-6)
        sigma = np.sqrt(gain * np.maximum(mean, 1.0))
        return mask & (image > mean + self.params.n_sigma * sigma)
