"""What every threshold must do. Subclass `ThresholdContract` and name the plugin.

>>> class TestMyThreshold(ThresholdContract):
...     name = "mine"
"""

from __future__ import annotations

import threading
from typing import Any, ClassVar

import numpy as np
import pytest

from spindle.models import Beam, Panel

from .contract import PluginContract

__all__ = ["ThresholdContract", "image_with_spots", "threshold_beam", "threshold_panel"]


def threshold_panel(width: int = 300, height: int = 200) -> Panel:
    """A photon-counting panel 100 mm from the crystal, the beam in its middle."""
    return Panel(
        fast_axis=np.array([1.0, 0.0, 0.0]),
        slow_axis=np.array([0.0, -1.0, 0.0]),
        origin=np.array([-0.172 * width / 2, 0.172 * height / 2, -100.0]),
        pixel_size=np.array([0.172, 0.172]),
        image_size=(width, height),
        trusted_range=(0.0, 1e6),
    )


def threshold_beam() -> Beam:
    """A beam of 1 angstrom along -z."""
    return Beam(direction=np.array([0.0, 0.0, 1.0]), wavelength=1.0)


def image_with_spots(
    shape: tuple[int, int] = (200, 300), mean: float = 5.0, height: float = 200.0, n_spots: int = 20, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An image of Poisson counts with Gaussian spots (sigma 1 pixel).

    Parameters
    ----------
    shape : (slow, fast)
    mean : float, counts
        Background.
    height : float, counts
        Expected counts of the brightest pixel of a spot.
    n_spots, seed : int

    Returns
    -------
    image : (slow, fast) int32
    mask : (slow, fast) bool
        All good.
    centres : (n_spots, 2) int
        Pixel (y, x) of each spot, at least 15 pixels from the edges and 20 from each other.
    """
    rng = np.random.default_rng(seed)
    rows, columns = np.meshgrid(np.arange(15, shape[0] - 15, 20), np.arange(15, shape[1] - 15, 20), indexing="ij")
    places = np.stack([rows.ravel(), columns.ravel()], axis=1)
    centres = places[rng.choice(len(places), min(n_spots, len(places)), replace=False)]
    expected = np.full(shape, mean)
    y, x = np.ogrid[: shape[0], : shape[1]]
    for cy, cx in centres:
        expected += height * np.exp(-0.5 * ((y - cy) ** 2 + (x - cx) ** 2))
    return rng.poisson(expected).astype(np.int32), np.ones(shape, np.bool_), centres


class ThresholdContract(PluginContract):
    """Conformance tests of the ``threshold`` slot.

    Attributes
    ----------
    false_positives : float
        Largest fraction of background pixels that may be called strong.
    accepts_scale : bool
        False for a threshold that only makes sense for whole counts: float images are then not tried.
    """

    slot: ClassVar[str] = "threshold"
    false_positives: ClassVar[float] = 2e-3
    accepts_scale: ClassVar[bool] = True

    def find(self, plugin: Any, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Call the hook as the host does."""
        panel = threshold_panel(image.shape[1], image.shape[0])
        out = np.ones(image.shape, np.bool_)  # not cleared: an implementation must write every pixel
        strong = plugin.find_strong(
            image=image, mask=mask, gain=1.0, panel=panel, beam=threshold_beam(), corner=(0, 0), out=out
        )
        assert isinstance(strong, np.ndarray), "find_strong must return an array"
        return strong

    def test_result_is_a_bool_image(self, plugin: Any) -> None:
        image, mask, _ = image_with_spots()
        strong = self.find(plugin, image, mask)
        assert strong.shape == image.shape
        assert strong.dtype == np.bool_

    def test_bright_spots_are_found(self, plugin: Any) -> None:
        image, mask, centres = image_with_spots()
        strong = self.find(plugin, image, mask)
        assert strong[centres[:, 0], centres[:, 1]].all()

    def test_poisson_background_is_not_strong(self, plugin: Any) -> None:
        image, mask, _ = image_with_spots(n_spots=0)
        assert self.find(plugin, image, mask).mean() <= self.false_positives

    def test_masked_pixels_are_never_strong(self, plugin: Any) -> None:
        image, mask, centres = image_with_spots()
        mask[centres[:, 0], centres[:, 1]] = False
        mask[:, 100:107] = False
        image[:, 100:107] = -1
        strong = self.find(plugin, image, mask)
        assert not strong[~mask].any()

    def test_values_under_the_mask_do_not_matter(self, plugin: Any) -> None:
        image, mask, _ = image_with_spots()
        mask[50:60] = False
        changed = image.copy()
        changed[50:60] = 1_000_000
        assert np.array_equal(self.find(plugin, image, mask).copy(), self.find(plugin, changed, mask))

    def test_an_empty_image_has_no_strong_pixel(self, plugin: Any) -> None:
        image, mask = np.zeros((40, 60), np.int32), np.ones((40, 60), np.bool_)
        assert not self.find(plugin, image, mask).any()

    def test_a_fully_masked_image_has_no_strong_pixel(self, plugin: Any) -> None:
        image, mask, _ = image_with_spots()
        assert not self.find(plugin, image, np.zeros_like(mask)).any()

    def test_input_is_left_alone(self, plugin: Any) -> None:
        image, mask, _ = image_with_spots()
        before, mask_before = image.copy(), mask.copy()
        self.find(plugin, image, mask)
        assert np.array_equal(image, before)
        assert np.array_equal(mask, mask_before)

    def test_float_images_give_what_integers_give(self, plugin: Any) -> None:
        if not self.accepts_scale:
            pytest.skip("this threshold takes whole counts only")
        image, mask, _ = image_with_spots()
        assert np.array_equal(self.find(plugin, image, mask).copy(), self.find(plugin, image.astype(np.float32), mask))

    def test_images_of_different_sizes_may_alternate(self, plugin: Any) -> None:
        small, small_mask, _ = image_with_spots((60, 80), n_spots=3)
        large, large_mask, _ = image_with_spots()
        first = self.find(plugin, small, small_mask).copy()
        self.find(plugin, large, large_mask)
        assert np.array_equal(self.find(plugin, small, small_mask), first)

    def test_tiny_images_are_no_trouble(self, plugin: Any) -> None:
        for shape in ((1, 1), (1, 9), (9, 1), (3, 4)):
            assert self.find(plugin, np.full(shape, 7, np.int32), np.ones(shape, np.bool_)).shape == shape

    def test_threads_do_not_disturb_each_other(self, plugin: Any) -> None:
        images = [image_with_spots(seed=seed) for seed in range(4)]
        alone = [self.find(plugin, image, mask).copy() for image, mask, _ in images]
        wrong: list[int] = []

        def work(k: int) -> None:
            for _ in range(5):
                image, mask, _ = images[k]
                if not np.array_equal(self.find(plugin, image, mask), alone[k]):
                    wrong.append(k)

        threads = [threading.Thread(target=work, args=(k,)) for k in range(len(images))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not wrong
