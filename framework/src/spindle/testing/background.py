"""What every background model must do. Subclass `BackgroundContract` and name the model.

>>> class TestMine(BackgroundContract):
...     name = "mine"
...     parameters = {"min_pixels": 5}
"""

from __future__ import annotations

import threading
from typing import ClassVar

import numpy as np
import pytest

from spindle.contracts.background import BackgroundEstimate
from spindle.models import Detector, Panel
from spindle.plugins.host import Handle
from spindle.table import MaskCode, Shoeboxes

from .contract import PluginContract

__all__ = ["BackgroundContract", "flat_shoeboxes", "pixel_detector"]


def pixel_detector() -> Detector:
    """One photon-counting panel of 487 x 619 pixels, 100 mm from the crystal."""
    panel = Panel(
        name="Panel",
        type="SENSOR_PAD",
        fast_axis=np.array([1.0, 0.0, 0.0]),
        slow_axis=np.array([0.0, -1.0, 0.0]),
        origin=np.array([-42.0, 53.0, -100.0]),
        pixel_size=(0.172, 0.172),
        image_size=(487, 619),
        trusted_range=(0.0, 1e6),
        thickness=0.32,
        material="Si",
        mu=4.2,
        gain=1.0,
    )
    return Detector((panel,))


def flat_shoeboxes(
    n: int = 200, mean: float = 3.0, signal: float = 40.0, seed: int = 0, size: tuple[int, int, int] | None = None
) -> Shoeboxes:
    """Shoeboxes of Poisson counts about a flat background, with a spot in the middle.

    Parameters
    ----------
    n : int
        Number of shoeboxes.
    mean : float, counts
        Background per pixel.
    signal : float, counts
        Added to the mean of the foreground pixels.
    seed : int
        Of the random numbers.
    size : (nx, ny, nz), optional
        Size of each; random and ragged when not given.
    """
    rng = np.random.default_rng(seed)
    sizes = np.tile(size, (n, 1)) if size else rng.integers((7, 7, 1), (13, 13, 8), size=(n, 3))
    corner = rng.integers((20, 20, 0), (400, 500, 50), size=(n, 3))
    bbox = np.stack([corner, corner + sizes], axis=2).reshape(n, 6)
    shoeboxes = Shoeboxes.empty(np.zeros(n, np.int64), bbox)
    shoeboxes.data[:] = rng.poisson(mean, len(shoeboxes.data))
    shoeboxes.mask[:] = MaskCode.VALID | MaskCode.BACKGROUND
    for i in range(n):
        data, mask, _ = shoeboxes.pixels(i)
        middle = (slice(None), *(slice(size // 2 - 1, size // 2 + 2) for size in data.shape[1:]))
        mask[middle] = MaskCode.VALID | MaskCode.FOREGROUND
        data[middle] += rng.poisson(signal, data[middle].shape)
    return shoeboxes


class BackgroundContract(PluginContract):
    """Conformance tests of the ``background`` slot; see `PluginContract` for ``name`` and ``parameters``.

    Attributes
    ----------
    models_background : bool
        False for a model that does not try to estimate anything (``null``): the tests of values are then skipped.
    fewest_counts : float
        Counts per pixel from which on the model is meant to be right within a third. Most pixels of modern detectors count
        nothing; a model that is made for more says so here, and in its help.
    """

    slot = "background"
    models_background: ClassVar[bool] = True
    fewest_counts: ClassVar[float] = 0.3

    def estimate(self, plugin: Handle, shoeboxes: Shoeboxes) -> BackgroundEstimate:
        """Call the hook as programs do."""
        result = plugin.estimate_background(shoeboxes=shoeboxes, detector=pixel_detector())
        assert isinstance(result, BackgroundEstimate), "estimate_background must return a BackgroundEstimate"
        return result

    def need_values(self) -> None:
        """Skip a test of values for models that make none."""
        if not self.models_background:
            pytest.skip("this model does not estimate a background")

    def test_arrays_have_the_declared_shapes_and_types(self, plugin: Handle) -> None:
        shoeboxes = flat_shoeboxes()
        result = self.estimate(plugin, shoeboxes)
        n, n_pixels = len(shoeboxes), len(shoeboxes.data)
        assert result.background.shape == (n_pixels,) and result.background.dtype == np.float32
        assert result.used.shape == (n_pixels,) and result.used.dtype == np.bool_
        for name in ("mean", "mse", "dispersion"):
            column = getattr(result, name)
            assert column.shape == (n,) and column.dtype == np.float64, name
            assert np.isfinite(column).all(), name
        assert result.success.shape == (n,) and result.success.dtype == np.bool_
        if result.mean_variance is not None:
            assert result.mean_variance.shape == (n,)
            assert (result.mean_variance >= 0).all()

    def test_no_shoeboxes_are_no_trouble(self, plugin: Handle) -> None:
        result = self.estimate(plugin, Shoeboxes.empty(np.zeros(0, np.int64), np.zeros((0, 6), np.int32)))
        assert len(result.background) == len(result.success) == 0

    def test_input_is_left_alone(self, plugin: Handle) -> None:
        shoeboxes = flat_shoeboxes(50)
        data, mask = shoeboxes.data.copy(), shoeboxes.mask.copy()
        self.estimate(plugin, shoeboxes)
        assert np.array_equal(data, shoeboxes.data) and np.array_equal(mask, shoeboxes.mask)
        assert not shoeboxes.background.any()

    def test_flat_background_is_recovered(self, plugin: Handle) -> None:
        self.need_values()
        mean = 30.0  # 5 % of it is far more than the error of any sane estimator of 200 x 70 pixels
        result = self.estimate(plugin, flat_shoeboxes(mean=mean))
        assert result.success.all()
        assert result.background.mean() == pytest.approx(mean, rel=0.05)
        assert result.mean.mean() == pytest.approx(mean, rel=0.05)
        assert result.dispersion.mean() == pytest.approx(1.0, abs=0.3)

    def test_few_counts_are_recovered(self, plugin: Handle) -> None:
        """Most pixels of modern detectors count nothing: an estimate of a whole number, such as their median, is none."""
        self.need_values()
        mean = (
            self.fewest_counts
        )  # at 0.3, 3 % is its statistical error of 200 x 70 pixels; outlier rules may take some of the larger counts
        result = self.estimate(plugin, flat_shoeboxes(mean=mean))
        assert result.mean[result.success].mean() == pytest.approx(mean, rel=0.3)

    def test_only_usable_pixels_are_used(self, plugin: Handle) -> None:
        shoeboxes = flat_shoeboxes()
        rng = np.random.default_rng(5)
        shoeboxes.mask[rng.random(len(shoeboxes.mask)) < 0.1] &= 0xFF - MaskCode.VALID
        shoeboxes.mask[rng.random(len(shoeboxes.mask)) < 0.1] |= MaskCode.OVERLAPPED
        used = self.estimate(plugin, shoeboxes).used
        mask = shoeboxes.mask
        assert not (used & ((mask & MaskCode.VALID) == 0)).any(), "an invalid pixel was used"
        assert not (used & ((mask & MaskCode.BACKGROUND) == 0)).any(), "a foreground pixel was used"
        assert not (used & ((mask & MaskCode.OVERLAPPED) != 0)).any(), "a pixel under a neighbour was used"

    def test_values_of_unusable_pixels_do_not_matter(self, plugin: Handle) -> None:
        shoeboxes = flat_shoeboxes()
        rng = np.random.default_rng(6)
        bad = rng.random(len(shoeboxes.mask)) < 0.1
        shoeboxes.mask[bad] &= 0xFF - MaskCode.VALID
        before = self.estimate(plugin, shoeboxes)
        shoeboxes.data[bad] = 1e6
        shoeboxes.data[(shoeboxes.mask & MaskCode.FOREGROUND) != 0] += 1000
        after = self.estimate(plugin, shoeboxes)
        assert np.array_equal(before.background, after.background)
        assert np.array_equal(before.success, after.success)

    def test_too_few_pixels_are_a_failure_not_an_error(self, plugin: Handle) -> None:
        self.need_values()
        shoeboxes = flat_shoeboxes(20)
        shoeboxes.mask[shoeboxes.offsets[3] : shoeboxes.offsets[4]] = 0
        result = self.estimate(plugin, shoeboxes)
        assert not result.success[3] and result.success.sum() == 19
        part = slice(shoeboxes.offsets[3], shoeboxes.offsets[4])
        assert not result.background[part].any() and not result.used[part].any()

    def test_shoeboxes_do_not_influence_each_other(self, plugin: Handle) -> None:
        shoeboxes = flat_shoeboxes(60)
        order = np.random.default_rng(1).permutation(60)
        result = self.estimate(plugin, shoeboxes)
        shuffled = self.estimate(plugin, shoeboxes.select(order))
        assert np.array_equal(result.mean[order], shuffled.mean)
        assert np.array_equal(result.success[order], shuffled.success)

    def test_blocks_may_be_treated_by_several_threads(self, plugin: Handle) -> None:
        blocks = [flat_shoeboxes(40, seed=seed) for seed in range(4)]
        serial = [self.estimate(plugin, block).background for block in blocks]
        results: list[np.ndarray] = [np.empty(0)] * len(blocks)

        def work(i: int) -> None:
            results[i] = self.estimate(plugin, blocks[i]).background

        threads = [threading.Thread(target=work, args=(i,)) for i in range(len(blocks))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(np.array_equal(a, b) for a, b in zip(serial, results, strict=True))
