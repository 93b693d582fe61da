"""What every background model must do. Subclass `BackgroundContract` and name the model.

>>> class TestMine(BackgroundContract):
...     name = "mine"
...     parameters = {"min_pixels": 5}
"""

from __future__ import annotations

import contextlib
import pickle
from typing import Any, ClassVar

import numpy as np
import pytest

from spindle.contracts.background import BackgroundEstimate, usable_pixels
from spindle.errors import UserError
from spindle.models import Detector, Panel
from spindle.plugins.host import Handle
from spindle.table import MaskCode, Shoeboxes

from .background_images import boxes_of_images, ringed_background, ringed_experiment, ringed_images
from .calls import CallContract, Problem

__all__ = ["BackgroundContract", "flat_shoeboxes", "pixel_detector"]


def pixel_detector(gains: tuple[float, ...] = (1.0,)) -> Detector:
    """Photon-counting panels of 487 x 619 pixels, 100 mm from the crystal, one for each gain."""
    return Detector(tuple(_panel(i, gain) for i, gain in enumerate(gains)))


def _panel(number: int, gain: float) -> Panel:
    return Panel(
        name=f"Panel{number}",
        type="SENSOR_PAD",
        fast_axis=np.array([1.0, 0.0, 0.0]),
        slow_axis=np.array([0.0, -1.0, 0.0]),
        origin=np.array([-42.0 + 90.0 * number, 53.0, -100.0]),
        pixel_size=(0.172, 0.172),
        image_size=(487, 619),
        trusted_range=(0.0, 1e6),
        thickness=0.32,
        material="Si",
        mu=4.2,
        gain=gain,
    )


def flat_shoeboxes(
    n: int = 200,
    mean: float | np.ndarray = 3.0,
    signal: float = 40.0,
    seed: int = 0,
    size: tuple[int, int, int] | None = None,
) -> Shoeboxes:
    """Shoeboxes of Poisson counts about a flat background, with a spot in the middle.

    Parameters
    ----------
    n : int
        Number of shoeboxes.
    mean : float or (n,) float64, counts
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
    each = np.repeat(np.broadcast_to(mean, n), np.diff(shoeboxes.offsets))
    shoeboxes.data[:] = rng.poisson(each)
    shoeboxes.mask[:] = MaskCode.VALID | MaskCode.BACKGROUND
    for i in range(n):
        data, mask, _ = shoeboxes.pixels(i)
        middle = (slice(None), *(slice(size // 2 - 1, size // 2 + 2) for size in data.shape[1:]))
        mask[middle] = MaskCode.VALID | MaskCode.FOREGROUND
        data[middle] += rng.poisson(signal, data[middle].shape)
    return shoeboxes


def turned(shoeboxes: Shoeboxes, way: str) -> tuple[Shoeboxes, np.ndarray]:
    """Shoeboxes with x and y exchanged (``"swap"``) or mirrored along x (``"mirror"``), and where each of their pixels was."""
    bbox = shoeboxes.bbox.copy()
    if way == "swap":
        bbox = bbox[:, [2, 3, 0, 1, 4, 5]]
    other = Shoeboxes.empty(shoeboxes.panel, bbox)
    where = np.empty(len(other.data), np.int64)
    number = np.arange(len(where))
    for i in range(len(shoeboxes)):
        part = slice(shoeboxes.offsets[i], shoeboxes.offsets[i + 1])
        old = number[part].reshape(shoeboxes.pixels(i)[0].shape)
        where[part] = (old.swapaxes(1, 2) if way == "swap" else old[:, :, ::-1]).ravel()
    other.data[:], other.mask[:] = shoeboxes.data[where], shoeboxes.mask[where]
    return other, where


class BackgroundContract(CallContract):
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
    fewest_counts: ClassVar[float] = 0.02
    budget_us: ClassVar[float] = 8.0
    rtol: ClassVar[float] = 1e-6

    def problem(self, which: int) -> Problem:
        sizes = (None, None, (6, 11, 2))[which]
        boxes = flat_shoeboxes((60, 60, 17)[which], mean=(3.0, 40.0, 8.0)[which], seed=20, size=sizes)
        if which == 1:  # as in problem 0, but for the counts
            boxes.data[:] = np.random.default_rng(21).poisson(40.0, len(boxes.data))
        return "estimate_background", {"shoeboxes": boxes, "detector": pixel_detector()}

    def large_problem(self) -> tuple[Problem, int]:
        boxes = flat_shoeboxes(4000, size=(6, 5, 1))
        return ("estimate_background", {"shoeboxes": boxes, "detector": pixel_detector()}), len(boxes)

    def telling_problems(self) -> list[Problem]:
        """Slopes along x, y and z, and pixels far above the others: what options may be for."""
        boxes = flat_shoeboxes(40, mean=30.0, seed=22, size=(11, 9, 6))
        rng = np.random.default_rng(23)
        z, y, x = np.mgrid[:6, :9, :11]
        slope = np.tile((10 + 3 * x + 5 * y + 8 * z).ravel(), 40)
        boxes.data += rng.poisson(slope).astype(np.float32)
        few = flat_shoeboxes(40, mean=4.0, seed=24, size=(11, 9, 6))
        few.data[rng.random(len(few.data)) < 0.01] += 60
        return [("estimate_background", {"shoeboxes": b, "detector": pixel_detector()}) for b in (boxes, few)]

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

    def test_flat_background_is_recovered(self, plugin: Handle) -> None:
        self.need_values()
        mean = 30.0  # 5 % of it is far more than the error of any sane estimator of 200 x 70 pixels
        result = self.estimate(plugin, flat_shoeboxes(mean=mean))
        assert result.success.all()
        assert result.background.mean() == pytest.approx(mean, rel=0.05)
        assert result.mean.mean() == pytest.approx(mean, rel=0.05)
        assert result.dispersion.mean() == pytest.approx(1.0, abs=0.3)

    @pytest.mark.parametrize("mean", [0.02, 0.1, 0.3, 1.0, 3.0, 12.0, 400.0])
    def test_any_counts_are_recovered(self, plugin: Handle, mean: float) -> None:
        """Most pixels of modern detectors count nothing: an estimate of a whole number, such as their median, is none."""
        self.need_values()
        if mean < self.fewest_counts:
            pytest.skip(f"this model is made for {self.fewest_counts} counts per pixel and more")
        boxes = flat_shoeboxes(300, mean=mean, size=(11, 10, 5), seed=31)
        result = self.estimate(plugin, boxes)
        usable = usable_pixels(boxes.mask)
        true = boxes.data[usable].mean()  # its statistical error is that of the estimate
        # outlier rules may take some of the larger counts, and more of them where there are few
        found, allowed = result.mean[result.success].mean(), 0.25 if mean < 0.5 else 0.1 if mean < 5 else 0.03
        assert found == pytest.approx(true, rel=allowed), "biased"
        assert (result.mean >= 0).all(), "a mean of counts below 0"

    def test_each_shoebox_has_its_own_background(self, plugin: Handle) -> None:
        self.need_values()
        true = np.geomspace(max(1.0, self.fewest_counts), 300.0, 120)[np.random.default_rng(32).permutation(120)]
        boxes = flat_shoeboxes(120, mean=true, size=(11, 10, 3), seed=33)
        result = self.estimate(plugin, boxes)
        assert result.success.all()
        assert np.abs(result.mean / true - 1).mean() < 0.1, "shoeboxes with different backgrounds disturb each other"
        first = np.repeat(np.arange(120), np.diff(boxes.offsets))
        pixels = np.bincount(first, result.background) / np.diff(boxes.offsets)
        assert np.abs(pixels / true - 1).mean() < 0.1, "pixels have the background of another shoebox"

    def test_one_shoebox_alone_has_the_background_that_it_has_among_others(self, plugin: Handle) -> None:
        boxes = flat_shoeboxes(30, mean=np.geomspace(0.5, 200, 30), seed=34)
        together = self.estimate(plugin, boxes)
        for i in (0, 7, 29):
            alone = self.estimate(plugin, boxes.select(np.array([i])))
            part = slice(boxes.offsets[i], boxes.offsets[i + 1])
            np.testing.assert_allclose(alone.background, together.background[part], rtol=1e-5, atol=1e-6)
            assert np.array_equal(alone.used, together.used[part])

    def test_the_mean_under_the_spot_is_the_background_of_its_pixels(self, plugin: Handle) -> None:
        self.need_values()
        boxes = flat_shoeboxes(300, mean=20.0, seed=35)
        result = self.estimate(plugin, boxes)
        foreground = (boxes.mask & MaskCode.FOREGROUND) != 0
        assert result.background[foreground].mean() == pytest.approx(20.0, rel=0.05)
        assert result.background[~foreground].mean() == pytest.approx(20.0, rel=0.05)

    def test_statistics_are_those_of_the_pixels_that_were_used(self, plugin: Handle) -> None:
        self.need_values()
        boxes = flat_shoeboxes(60, mean=25.0, seed=36)
        result = self.estimate(plugin, boxes)
        assert np.add.reduceat(result.used, boxes.offsets[:-1]).mean() > 0.4 * usable_pixels(boxes.mask).sum() / 60
        for i in range(60):
            part = slice(boxes.offsets[i], boxes.offsets[i + 1])
            used = result.used[part]
            data, background = boxes.data[part][used].astype(float), result.background[part][used]
            assert result.mse[i] == pytest.approx(np.mean((data - background) ** 2), rel=0.02), "mse"
            assert result.dispersion[i] == pytest.approx(data.var(ddof=1) / data.mean(), rel=0.05), "dispersion"

    def test_the_variance_of_the_mean_is_honest(self, plugin: Handle) -> None:
        self.need_values()
        boxes = flat_shoeboxes(500, mean=30.0, seed=37)
        result = self.estimate(plugin, boxes)
        if result.mean_variance is None:
            pytest.skip("this model leaves it to the integrator")
        foreground = ((boxes.mask & MaskCode.FOREGROUND) != 0).astype(float)
        box = np.repeat(np.arange(500), np.diff(boxes.offsets))
        under = np.bincount(box, result.background * foreground) / np.bincount(box, foreground)
        z = (under - 30.0) / np.sqrt(result.mean_variance)
        assert 0.75 < np.sqrt(np.mean(z**2)) < 1.35, "mean_variance is not that of the mean background per pixel"

    @pytest.mark.parametrize("way", ["swap", "mirror"])
    def test_rows_and_columns_are_treated_alike(self, plugin: Handle, way: str) -> None:
        self.need_values()
        hook, arguments = self.telling_problems()[0]
        boxes = arguments["shoeboxes"]
        other, where = turned(boxes, way)
        straight, result = self.estimate(plugin, boxes), self.estimate(plugin, other)
        ok = np.repeat(straight.success & result.success, np.diff(boxes.offsets))
        assert ok.mean() > 0.9
        np.testing.assert_allclose(result.background[ok], straight.background[where][ok], rtol=0.02, err_msg=hook)

    def test_a_slope_is_right_under_the_spot(self, plugin: Handle) -> None:
        self.need_values()
        boxes = self.telling_problems()[0][1]["shoeboxes"]
        z, y, x = np.mgrid[:6, :9, :11]
        true = np.tile((40.0 + 3 * x + 5 * y + 8 * z).ravel(), len(boxes))
        foreground = (boxes.mask & MaskCode.FOREGROUND) != 0
        found = self.estimate(plugin, boxes).background[foreground].mean()
        assert found == pytest.approx(true[foreground].mean(), rel=0.1)

    def test_panels_are_told_apart_by_their_numbers(self, plugin: Handle) -> None:
        boxes = flat_shoeboxes(60, mean=10.0, seed=38)
        panel = np.arange(60) % 2
        boxes.panel[:] = panel
        result = plugin.estimate_background(shoeboxes=boxes, detector=pixel_detector((1.0, 6.0)))
        other = boxes.select(np.arange(60))
        other.panel[:] = 1 - panel
        renamed = plugin.estimate_background(shoeboxes=other, detector=pixel_detector((6.0, 1.0)))
        np.testing.assert_allclose(result.background, renamed.background, rtol=1e-6)
        if self.models_background:
            for number in (0, 1):
                assert result.mean[panel == number].mean() == pytest.approx(10.0, rel=0.2), f"panel {number}"

    def test_the_detector_may_be_unknown(self, plugin: Handle) -> None:
        boxes = flat_shoeboxes(5)
        with contextlib.suppress(UserError):  # a model that depends on it says so
            assert len(plugin.estimate_background(shoeboxes=boxes, detector=None).success) == 5

    @pytest.mark.parametrize("at", [[0], [10], [19], [0, 1, 10, 18, 19], list(range(20))], ids=str)
    def test_shoeboxes_without_pixels_fail_alone(self, plugin: Handle, at: list[int]) -> None:
        boxes = flat_shoeboxes(20, mean=8.0, seed=39)
        bbox = boxes.bbox.copy()
        bbox[at, 1::2] = bbox[at, ::2]
        kept = np.delete(np.arange(20), at)
        sparse = Shoeboxes.empty(boxes.panel, bbox)
        sparse.data[:] = np.concatenate(
            [boxes.data[boxes.offsets[i] : boxes.offsets[i + 1]] for i in kept] or [np.empty(0)]
        )
        sparse.mask[:] = np.concatenate(
            [boxes.mask[boxes.offsets[i] : boxes.offsets[i + 1]] for i in kept] or [np.empty(0)]
        )
        result = self.estimate(plugin, sparse)
        if self.models_background:
            assert np.array_equal(np.flatnonzero(~result.success), at)
        usual = self.estimate(plugin, boxes)
        np.testing.assert_allclose(result.mean[kept], usual.mean[kept], rtol=1e-6)

    def test_empty_and_odd_counts_are_taken(self, plugin: Handle) -> None:
        boxes = flat_shoeboxes(30, seed=40)
        for counts in (np.zeros(len(boxes.data)), boxes.data - 3.5, boxes.data * 1e5, np.full(len(boxes.data), 7.0)):
            boxes.data[:] = counts
            self.estimate(plugin, boxes)  # the host looks at what comes back

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
        shoeboxes.data[(shoeboxes.mask & MaskCode.FOREGROUND) != 0] += 1000
        for value in (1e6, np.nan, np.inf, -1e6):
            shoeboxes.data[bad] = value
            after = self.estimate(plugin, shoeboxes)
            assert np.array_equal(before.background, after.background), f"invalid pixels of {value} matter"
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

    def test_images_in_parts_teach_what_they_teach_together(self, plugin: Handle) -> None:
        experiment = ringed_experiment(pixel_detector())
        images = ringed_images(experiment, ringed_background(experiment))
        free = np.random.default_rng(41).random(images.shape) > 0.05
        boxes = boxes_of_images(images, 60)

        def learner(part: range) -> Any:
            made = plugin.make_background_learner(experiment=experiment)
            if made is None:
                pytest.skip("this model does not learn from images")
            for z in part:
                made.add_image(z, [images[z]], [free[z]])
            return pickle.loads(pickle.dumps(made))  # as it comes from another process

        whole, begin, end = learner(range(6)), learner(range(2)), learner(range(2, 6))
        begin.join(end)
        found = []
        for one in (whole, begin):
            learned = pickle.loads(pickle.dumps(one.finish()))
            assert isinstance(one.tables(), list)
            found.append(
                plugin.estimate_background(shoeboxes=boxes, detector=experiment.detector, learned=learned).background
            )
        np.testing.assert_allclose(found[0], found[1], rtol=1e-4, atol=1e-6)

    @pytest.mark.parametrize("counts", [0.0, 3.0], ids=["no photons", "no free pixel"])
    def test_images_that_teach_nothing_are_no_error(self, plugin: Handle, counts: float) -> None:
        experiment = ringed_experiment(pixel_detector())
        learner = plugin.make_background_learner(experiment=experiment)
        if learner is None:
            pytest.skip("this model does not learn from images")
        shape = experiment.detector[0].image_size[::-1]
        learner.add_image(0, [np.full(shape, counts, np.float32)], [np.full(shape, counts == 0.0)])
        learned = learner.finish()
        boxes = flat_shoeboxes(20, mean=3.0)
        result = plugin.estimate_background(shoeboxes=boxes, detector=experiment.detector, learned=learned)
        if self.models_background:
            assert result.success.all()
