"""A background model: the trimmed mean of each shoebox."""

import numpy as np

from spindle.contracts import Algorithm, hookimpl
from spindle.contracts.background import BackgroundEstimate, usable_pixels
from spindle.params import Float, Int, Params


class TrimmedMeanBackground(Algorithm):
    """Mean of the background pixels of each shoebox without the weakest and the strongest of them."""

    class Params(Params):
        fraction = Float(0.05, min=0, max=0.45, help="Part of the pixels to leave out at either end.")
        min_pixels = Int(10, min=1, help="Fewest pixels that a shoebox needs.", level=1)

    @hookimpl
    def estimate_background(self, shoeboxes):
        used = usable_pixels(shoeboxes.mask)
        n, sizes = len(shoeboxes), np.diff(shoeboxes.offsets)
        box = np.repeat(np.arange(n), sizes)[used]
        values = shoeboxes.data[used]
        order = np.lexsort((values, box))  # by shoebox, and within each by value
        count = np.bincount(box, minlength=n)
        first = np.cumsum(count) - count
        rank = (np.arange(len(box)) - first[box] + 0.5) / count[box]  # 0 to 1 within each shoebox
        kept = order[np.abs(rank - 0.5) <= 0.5 - self.params.fraction]
        number = np.bincount(box[kept], minlength=n)
        total = np.bincount(box[kept], values[kept], minlength=n)
        success = number >= self.params.min_pixels
        mean = np.divide(total, number, out=np.zeros(n), where=success)
        background = np.repeat(mean, sizes).astype(np.float32)
        return BackgroundEstimate.from_pixels(shoeboxes, background, used, success, mean=mean)
