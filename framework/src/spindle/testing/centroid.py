"""What every centroid algorithm must do. Subclass `CentroidContract` and name the plugin.

>>> class TestMyCentroid(CentroidContract):
...     name = "mine"
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from spindle.contracts.centroid import Centroids
from spindle.table import MaskCode, Shoeboxes

from .contract import PluginContract

__all__ = ["CentroidContract", "gaussian_shoeboxes"]

_GOOD = MaskCode.VALID | MaskCode.FOREGROUND


def gaussian_shoeboxes(n: int = 300, counts: float = 2000.0, seed: int = 0) -> tuple[Shoeboxes, np.ndarray]:
    """Shoeboxes of 13 x 13 x 5 pixels with Poisson counts of a Gaussian spot, and its true centres.

    Parameters
    ----------
    n : int
        Number of shoeboxes.
    counts : float
        Photons of a spot.
    seed : int

    Returns
    -------
    Shoeboxes
    (n, 3) float64
        Centres x, y, z.
    """
    from scipy.special import ndtr

    rng = np.random.default_rng(seed)
    corner = rng.integers(0, 400, size=(n, 3))
    centres = corner + np.array([6.5, 6.5, 2.5]) + rng.uniform(-0.5, 0.5, size=(n, 3))
    sizes, sigmas = (13, 13, 5), (1.2, 1.2, 0.6)
    bbox = np.stack([corner, corner + sizes], axis=2).reshape(n, 6)
    boxes = Shoeboxes.empty(np.zeros(n, np.int64), bbox)
    share = []
    for axis in range(3):
        edges = corner[:, axis, None] + np.arange(sizes[axis] + 1)
        share.append(np.diff(ndtr((edges - centres[:, axis, None]) / sigmas[axis]), axis=1))
    expected = counts * np.einsum("nz,ny,nx->nzyx", share[2], share[1], share[0])
    boxes.data[:] = rng.poisson(expected).reshape(-1)
    boxes.mask[:] = _GOOD
    return boxes, centres


class CentroidContract(PluginContract):
    """Conformance tests of the ``centroid`` slot.

    Attributes
    ----------
    bias : float, pixels
        Largest mean deviation from the true centre.
    """

    slot: ClassVar[str] = "centroid"
    bias: ClassVar[float] = 0.01

    def compute(self, plugin: Any, shoeboxes: Shoeboxes) -> Centroids:
        """Call the hook as the host does."""
        result = plugin.compute_centroids(shoeboxes=shoeboxes)
        assert isinstance(result, Centroids), "compute_centroids must return Centroids"
        return result

    def test_arrays_have_the_declared_shapes_and_types(self, plugin: Any) -> None:
        boxes, _ = gaussian_shoeboxes(20)
        found = self.compute(plugin, boxes)
        assert found.position.shape == found.variance.shape == (20, 3)
        assert found.position.dtype == found.variance.dtype == np.float64
        assert found.success.shape == (20,) and found.success.dtype == np.bool_

    def test_no_shoeboxes_are_no_trouble(self, plugin: Any) -> None:
        found = self.compute(plugin, Shoeboxes.empty(np.zeros(0, np.int64), np.zeros((0, 6), np.int32)))
        assert len(found.position) == len(found.success) == 0

    def test_true_centres_are_recovered(self, plugin: Any) -> None:
        boxes, centres = gaussian_shoeboxes()
        found = self.compute(plugin, boxes)
        assert found.success.all()
        assert np.abs((found.position - centres).mean(axis=0)).max() < self.bias

    def test_variances_are_positive_and_not_too_small(self, plugin: Any) -> None:
        boxes, centres = gaussian_shoeboxes()
        found = self.compute(plugin, boxes)
        assert (found.variance > 0).all()
        # The stated error may allow for the size of a pixel, so that it is never below the scatter.
        assert (((found.position - centres) ** 2).mean(axis=0) <= 1.2 * found.variance.mean(axis=0)).all()

    def test_a_background_plane_changes_nothing_when_it_is_subtracted(self, plugin: Any) -> None:
        boxes, _ = gaussian_shoeboxes(50)
        plain = self.compute(plugin, boxes)
        boxes.data += 64
        boxes.background += 64
        raised = self.compute(plugin, boxes)
        assert np.allclose(plain.position, raised.position, atol=1e-5)

    def test_bad_pixels_do_not_matter(self, plugin: Any) -> None:
        boxes, _ = gaussian_shoeboxes(50)
        plain = self.compute(plugin, boxes)
        for i in range(50):
            data, mask, _ = boxes.pixels(i)
            assert data[0, 0, 0] == 0
            data[0, 0, 0], mask[0, 0, 0] = 1e6, MaskCode.FOREGROUND
            data[0, 0, 1], mask[0, 0, 1] = 1e6, _GOOD | MaskCode.OVERLAPPED
        assert np.allclose(plain.position, self.compute(plugin, boxes).position)

    def test_an_empty_shoebox_fails_alone(self, plugin: Any) -> None:
        boxes, _ = gaussian_shoeboxes(3)
        boxes.pixels(1)[0][:] = 0
        assert self.compute(plugin, boxes).success.tolist() == [True, False, True]

    def test_a_single_pixel_has_its_centre(self, plugin: Any) -> None:
        boxes = Shoeboxes.empty(np.zeros(1, np.int64), np.array([[10, 11, 20, 21, 3, 4]]))
        boxes.data[:], boxes.mask[:] = 5.0, _GOOD
        found = self.compute(plugin, boxes)
        assert np.allclose(found.position, [[10.5, 20.5, 3.5]])
        assert np.isfinite(found.variance).all() and (found.variance > 0).all()

    def test_order_of_shoeboxes_does_not_matter(self, plugin: Any) -> None:
        boxes, _ = gaussian_shoeboxes(30)
        order = np.random.default_rng(1).permutation(30)
        assert np.array_equal(
            self.compute(plugin, boxes).position[order], self.compute(plugin, boxes.select(order)).position
        )

    def test_input_is_left_alone(self, plugin: Any) -> None:
        boxes, _ = gaussian_shoeboxes(10)
        data, mask = boxes.data.copy(), boxes.mask.copy()
        self.compute(plugin, boxes)
        assert np.array_equal(boxes.data, data) and np.array_equal(boxes.mask, mask)
