"""What every centroid algorithm must do. Subclass `CentroidContract` and name the plugin.

>>> class TestMyCentroid(CentroidContract):
...     name = "mine"
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest

from spindle.contracts.centroid import Centroids
from spindle.table import MaskCode, Shoeboxes

from .calls import CallContract, Problem

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


def ragged_spots(
    n: int = 200, counts: float = 3000.0, seed: int = 0, plane: float = 0.0
) -> tuple[Shoeboxes, np.ndarray]:
    """Shoeboxes of all sizes, no two sides alike, with a spot off their middle in an ellipse of foreground, and its true centres.

    The pixels around the ellipse are background and hold what must not count.
    """
    from scipy.special import ndtr

    rng = np.random.default_rng(seed)
    corner = rng.integers(0, 400, size=(n, 3))
    sizes = np.stack([rng.integers(15, 22, n), rng.integers(11, 15, n), rng.integers(6, 9, n)], axis=1)
    centres = corner + sizes / 2 + rng.uniform(-0.6, 0.6, (n, 3))
    boxes = Shoeboxes.empty(np.zeros(n, np.int64), np.stack([corner, corner + sizes], axis=2).reshape(n, 6))
    sigmas, reach = (1.6, 1.1, 0.6), (6.0, 4.5, 2.6)
    for i in range(n):
        data, mask, background = boxes.pixels(i)
        shares, distances = [], []
        for axis in range(3):
            edges = corner[i, axis] + np.arange(sizes[i, axis] + 1)
            shares.append(np.diff(ndtr((edges - centres[i, axis]) / sigmas[axis])))
            distances.append(((edges[:-1] + 0.5 - centres[i, axis]) / reach[axis]) ** 2)
        expected = counts * np.einsum("z,y,x->zyx", shares[2], shares[1], shares[0]) + plane
        inside = distances[2][:, None, None] + distances[1][None, :, None] + distances[0] < 1
        data[:] = rng.poisson(expected)
        data[~inside] = rng.integers(0, 50, (~inside).sum())
        background[:] = plane
        mask[:] = np.where(inside, _GOOD, MaskCode.VALID | MaskCode.BACKGROUND)
    return boxes, centres


class CentroidContract(CallContract):
    """Conformance tests of the ``centroid`` slot.

    Attributes
    ----------
    bias : float, pixels
        Largest mean deviation from the true centre.
    """

    slot: ClassVar[str] = "centroid"
    bias: ClassVar[float] = 0.01
    budget_us: ClassVar[float] = 4.0
    rtol: ClassVar[float] = 1e-9

    def problem(self, which: int) -> Problem:
        boxes, _ = ragged_spots((40, 40, 11)[which], seed=3 if which < 2 else 4)
        if which == 1:
            boxes.data[:] = np.random.default_rng(5).poisson(boxes.data * 2.0 + 1.0)
        return "compute_centroids", {"shoeboxes": boxes}

    def large_problem(self) -> tuple[Problem, int]:
        rng = np.random.default_rng(6)
        corner = rng.integers(0, 400, (4000, 3))
        boxes = Shoeboxes.empty(
            np.zeros(4000, np.int64), np.stack([corner, corner + (4, 3, 1)], axis=2).reshape(4000, 6)
        )
        boxes.data[:], boxes.mask[:] = rng.poisson(9.0, len(boxes.data)), _GOOD
        return ("compute_centroids", {"shoeboxes": boxes}), len(boxes)

    def telling_problems(self) -> list[Problem]:
        """Weak spots on a background."""
        return [("compute_centroids", {"shoeboxes": ragged_spots(30, 60.0, seed=7, plane=3.0)[0]})]

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

    @pytest.mark.parametrize("counts", [100.0, 3000.0, 1e7])
    def test_boxes_of_any_shape_have_their_centres(self, plugin: Any, counts: float) -> None:
        boxes, centres = ragged_spots(counts=counts, seed=8)
        found = self.compute(plugin, boxes)
        assert found.success.all()
        error = found.position - centres
        scatter = np.array([1.6, 1.1, 0.65]) / np.sqrt(counts * len(centres))
        assert (np.abs(error.mean(axis=0)) < self.bias + 4 * scatter).all(), f"off by {error.mean(axis=0)}"
        assert (error.std(axis=0) < 0.1 + 3 * scatter * np.sqrt(len(centres))).all()

    def test_background_is_subtracted_pixel_by_pixel(self, plugin: Any) -> None:
        boxes, centres = ragged_spots(seed=9, plane=20.0)
        for i in range(len(boxes)):
            data, _, background = boxes.pixels(i)
            slope = np.arange(data.shape[2]) * 10.0 + np.arange(data.shape[1])[:, None] * 3.0
            data += slope
            background += slope.astype(np.float32)
        error = self.compute(plugin, boxes).position - centres
        assert np.abs(error.mean(axis=0)).max() < 0.05

    def test_pixels_around_the_spot_do_not_matter(self, plugin: Any) -> None:
        boxes, _ = ragged_spots(60, seed=10)
        plain = self.compute(plugin, boxes)
        for code, value in ((MaskCode.VALID | MaskCode.BACKGROUND, 5000.0), (MaskCode.FOREGROUND, np.nan), (0, np.nan)):
            outside = (boxes.mask & _GOOD) != _GOOD
            boxes.data[outside], boxes.mask[outside] = value, code
            found = self.compute(plugin, boxes)
            assert np.array_equal(plain.position, found.position) and np.array_equal(plain.variance, found.variance)

    def test_variances_are_those_of_a_mean(self, plugin: Any) -> None:
        """Four times the counts, a quarter of the variance; not the variance of the spot, nor a standard deviation."""
        weak = self.compute(plugin, ragged_spots(300, 500.0, seed=11)[0]).variance.mean(axis=0)
        strong = self.compute(plugin, ragged_spots(300, 8000.0, seed=11)[0]).variance.mean(axis=0)
        expected = np.array([1.6, 1.1, 0.65]) ** 2 * (1 / 500 - 1 / 8000)
        ratio = (weak - strong) / expected
        assert (ratio > 0.4).all() and (ratio < 2.5).all(), (
            f"variances fall with the counts by {ratio} of what they should"
        )
        assert (strong < 0.2).all(), "more than a mean with the size of a pixel can have"

    def test_what_fails_is_zero(self, plugin: Any) -> None:
        boxes, _ = ragged_spots(6, seed=12)
        boxes.pixels(1)[0][:] = 0
        boxes.pixels(2)[1][:] = 0
        boxes.pixels(4)[2][:] = 1e5
        found = self.compute(plugin, boxes)
        assert found.success.tolist() == [True, False, False, True, False, True]
        assert not found.position[~found.success].any() and not found.variance[~found.success].any(), (
            "0 where it failed"
        )

    def test_pixels_below_the_background_make_no_negative_variance(self, plugin: Any) -> None:
        boxes, _ = ragged_spots(300, 15.0, seed=13, plane=8.0)
        found = self.compute(plugin, boxes)
        assert (found.variance[found.success] > 0).all() and np.isfinite(found.position).all()
        inside = (found.position >= boxes.bbox[:, ::2]) & (found.position <= boxes.bbox[:, 1::2])
        assert inside[found.success].all(), "a spot outside its box"

    @pytest.mark.parametrize("at", [0, 3, 5])
    def test_a_shoebox_without_pixels_fails_alone(self, plugin: Any, at: int) -> None:
        bbox = np.tile([[10, 13, 20, 25, 3, 5]], (6, 1))
        bbox[at, 1::2] = bbox[at, ::2]
        boxes = Shoeboxes.empty(np.zeros(6, np.int64), bbox)
        boxes.data[:], boxes.mask[:] = 5.0, _GOOD
        found = self.compute(plugin, boxes)
        assert np.flatnonzero(~found.success).tolist() == [at]
        assert np.allclose(found.position[found.success], [11.5, 22.5, 4.0])
