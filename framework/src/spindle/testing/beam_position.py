"""What every way to find the beam must do: spots of a moved detector, images with a known centre, and the contracts.

Subclass the contract of the plugin's kind and name the plugin:

>>> class TestMySearch(SpotBeamPositionContract):
...     name = "my_search"
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import pytest

from spindle.contracts.beam_position import AxisCentre, BeamPositionError, DetectorShift, ImageSummary
from spindle.execution import Executor
from spindle.models import Experiments
from spindle.plugins import spec_of
from spindle.plugins.host import Handle
from spindle.prediction import add_observed_geometry
from spindle.table import ReflectionTable

from .calls import CallContract, Problem
from .data import make_context
from .indexing import rotation_experiment, spots_of, without_crystals

__all__ = [
    "ImageBeamPositionContract",
    "SpotBeamPositionContract",
    "diffuse_image",
    "misplaced_sweep",
    "summary_of",
]

PIXEL_MM = 0.2  # of `rotation_experiment`


def misplaced_sweep(
    offset_px: Sequence[float], n_images: int = 40, width_deg: float = 1.0, jitter_px: float = 0.1, seed: int = 0
) -> tuple[Experiments, ReflectionTable, np.ndarray]:
    """A sweep whose detector is thought to be elsewhere than it was when the spots were recorded.

    Parameters
    ----------
    offset_px : (float, float)
        Error of the detector's place along fast and slow.
    n_images, width_deg, jitter_px, seed
        See `spindle.testing.indexing`.

    Returns
    -------
    sweeps : Experiments
        One sweep without crystal, with the wrong detector.
    spots : ReflectionTable
        As `spindle.contracts.beam_position.BeamPositionSpec.find_detector_shift` takes them.
    shift : (3,) float64, mm
        What brings the detector to its true place.
    """
    truth = rotation_experiment((38.2, 44.9, 57.3, 90.0, 90.0, 90.0), "P 1", n_images, width_deg, seed)
    spots = spots_of([truth], keep=0.7, jitter_px=jitter_px, seed=seed)
    panel = truth.detector[0]
    shift = -PIXEL_MM * (offset_px[0] * panel.fast_axis + offset_px[1] * panel.slow_axis)
    wrong = truth.detector.replace_panels([replace(panel, origin=panel.origin - shift)])
    sweeps = without_crystals([replace(truth, detector=wrong)])
    return sweeps, add_observed_geometry(sweeps, spots, "imageset_id"), shift


def diffuse_image(
    centre: Sequence[float] = (312.4, 208.7),
    shape: tuple[int, int] = (420, 600),
    beam_stop: bool = True,
    direct_beam: float = 0.0,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """A diffraction image with a known centre: a falling background, two rings, Friedel pairs of spots, a gap.

    Parameters
    ----------
    centre : (x, y), pixels
    shape : (slow, fast)
    beam_stop : bool
        Shade the centre and an arm to one side.
    direct_beam : float, counts
        Height of the beam itself.
    seed : int

    Returns
    -------
    image : (slow, fast) float32
    good : (slow, fast) bool
        False in the gap between two modules.
    """
    image, good = _diffuse_image((float(centre[0]), float(centre[1])), shape, beam_stop, direct_beam, seed)
    return image.copy(), good.copy()


@lru_cache(maxsize=64)
def _diffuse_image(
    centre: tuple[float, float], shape: tuple[int, int], beam_stop: bool, direct_beam: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
    dx, dy = x - centre[0], y - centre[1]
    r = np.hypot(dx, dy)
    expected = 60.0 * np.exp(-r / 90.0) + 2.0
    for radius, height in ((70.0, 25.0), (120.0, 12.0)):
        expected += height * np.exp(-0.5 * ((r - radius) / 4.0) ** 2)
    angles, radii = rng.uniform(0, np.pi, 60), rng.uniform(30, 190, 60)
    for angle, radius, height in zip(angles, radii, rng.exponential(300.0, 60), strict=True):
        for sign in (-1.0, 1.0):
            px, py = sign * radius * np.cos(angle), sign * radius * np.sin(angle)
            left, top = max(int(centre[0] + px) - 11, 0), max(int(centre[1] + py) - 11, 0)
            near = slice(top, top + 23), slice(left, left + 23)  # nine widths away nothing is left
            expected[near] += height * np.exp(-0.5 * ((dx[near] - px) ** 2 + (dy[near] - py) ** 2) / 1.2**2)
    if beam_stop:
        expected[(r < 14) | ((np.abs(dx) < 3) & (dy > 0))] *= 0.02
    expected += direct_beam * np.exp(-0.5 * (r / 2.0) ** 2)
    good = np.ones(shape, np.bool_)
    good[:, 250:257] = False
    image = rng.poisson(expected).astype(np.float32)
    image[~good] = 0.0
    return image, good


def summary_of(image: np.ndarray, good: np.ndarray, expected: Sequence[float] | None = None) -> ImageSummary:
    """One image as image-based methods get it; the models know the middle unless `expected` says otherwise."""
    middle = np.array([image.shape[1] / 2, image.shape[0] / 2])
    return ImageSummary(image, image.copy(), good, middle if expected is None else np.asarray(expected, float), 1)


class _BeamPositionContract(CallContract):
    """What both kinds have in common."""

    slot: ClassVar[str] = "beam_position"
    hook: ClassVar[str] = ""

    def test_implements_the_hook_of_its_kind(self, plugin: Handle) -> None:
        assert plugin.implements(self.hook)
        others = set(spec_of(self.slot).optional) - {self.hook}  # type: ignore[union-attr]
        assert not any(plugin.implements(other) for other in others), "a plugin is of one kind"


class SpotBeamPositionContract(_BeamPositionContract):
    """Checks of a method that looks at spots.

    Attributes
    ----------
    tolerance_px : float
        Largest error along either axis with spots that scatter by 0.1 pixel.
    """

    hook: ClassVar[str] = "find_detector_shift"
    tolerance_px: ClassVar[float] = 0.1
    budget_us: ClassVar[float] = 20_000.0
    rtol: ClassVar[float] = 1e-6

    def problem(self, which: int) -> Problem:
        sweeps, spots, _ = misplaced_sweep(((1.0, -0.5), (-1.0, 2.0), (0.5, 0.5))[which], 20, seed=(0, 1, 2)[which])
        spots = spots.select(np.arange(len(spots) - 40 * which))
        return self.hook, {
            "sweeps": sweeps,
            "spots": spots,
            "executor": Executor(None, 1),
            "rng": np.random.default_rng(1),
        }

    def large_problem(self) -> tuple[Problem, int]:
        problem = self.problem(0)
        return problem, len(problem[1]["spots"])

    def find(
        self, plugin: Any, sweeps: Experiments, spots: ReflectionTable, n_workers: int = 1, seed: int = 1
    ) -> DetectorShift:
        """Call the method as the program does."""
        executor = Executor(None, n_workers)
        if n_workers > 1:
            executor = Executor(make_context().algorithm("executor", "threads"), n_workers)
        found: DetectorShift = plugin.find_detector_shift(
            sweeps=sweeps, spots=spots, executor=executor, rng=np.random.default_rng(seed)
        )
        return found

    @pytest.mark.parametrize("offset_px", [(0.0, 0.0), (0.5, -0.4), (3.0, 2.0)])
    def test_finds_a_wrong_position(self, plugin: Handle, offset_px: tuple[float, float]) -> None:
        sweeps, spots, shift = misplaced_sweep(offset_px)
        found = self.find(plugin, sweeps, spots)
        assert np.abs(found.shift - shift).max() < self.tolerance_px * PIXEL_MM
        assert abs(found.shift @ sweeps[0].beam.s0) < 1e-6, "the shift is normal to the beam"
        assert 0 <= found.quality_before <= found.quality + 1e-9 <= 1 + 1e-6
        assert len(found.rivals) == 0

    def test_same_result_for_any_number_of_workers(self, plugin: Handle) -> None:
        sweeps, spots, _ = misplaced_sweep((2.0, -1.0))
        one, two = self.find(plugin, sweeps, spots), self.find(plugin, sweeps, spots, n_workers=2)
        np.testing.assert_array_equal(one.shift, two.shift)

    def test_the_order_of_spots_does_not_matter(self, plugin: Handle) -> None:
        sweeps, spots, _ = misplaced_sweep((1.5, 0.5))
        order = np.random.default_rng(9).permutation(len(spots))
        one, two = self.find(plugin, sweeps, spots), self.find(plugin, sweeps, spots.select(order))
        assert np.abs(one.shift - two.shift).max() < self.tolerance_px * PIXEL_MM

    def test_several_sweeps_are_used_together(self, plugin: Handle) -> None:
        first, spots, shift = misplaced_sweep((1.0, -1.5), n_images=25)
        second, others, _ = misplaced_sweep((1.0, -1.5), n_images=25, seed=5)
        others = others.view()
        others["imageset_id"] = np.ones(len(others), np.int64)
        together = ReflectionTable.concatenate([spots, others])
        sweeps = Experiments([first[0], replace(second[0], detector=first[0].detector)])
        found = self.find(plugin, sweeps, together)
        assert np.abs(found.shift - shift).max() < 2 * self.tolerance_px * PIXEL_MM
        assert found.n_spots <= len(together)

    def test_a_handful_of_spots_is_refused(self, plugin: Handle) -> None:
        sweeps, spots, _ = misplaced_sweep((0.0, 0.0), n_images=20)
        with pytest.raises(BeamPositionError):
            self.find(plugin, sweeps, spots.select(np.arange(6)))

    def test_noise_is_refused(self, plugin: Handle) -> None:
        sweeps, spots, _ = misplaced_sweep((0.0, 0.0), n_images=20)
        spots = spots.select(np.arange(300))
        rng = np.random.default_rng(3)
        pixels = np.array(spots["xyzobs.px.value"])
        pixels[:, :2] = rng.uniform(0, 1000, (len(spots), 2))
        noise = spots.view()
        noise["xyzobs.px.value"] = pixels
        with pytest.raises(BeamPositionError):
            self.find(plugin, sweeps, add_observed_geometry(sweeps, noise, "imageset_id"))


class ImageBeamPositionContract(_BeamPositionContract):
    """Checks of a method that looks at images.

    Attributes
    ----------
    tolerance_px : float
        Largest error of the centre of `diffuse_image`.
    needs_direct_beam : bool
        The method looks for the beam itself, which must then be in the image.
    """

    hook: ClassVar[str] = "find_centre"
    tolerance_px: ClassVar[float] = 2.0
    needs_direct_beam: ClassVar[bool] = False
    budget_us: ClassVar[float] = 1.0

    def problem(self, which: int) -> Problem:
        image, good = self.image(((312.4, 208.7), (290.0, 215.5), (180.0, 120.0))[which], seed=10 + which)
        if which == 2:
            image, good = np.ascontiguousarray(image[:260, :400]), np.ascontiguousarray(good[:260, :400])
        return self.hook, {"image": summary_of(image, good), "axes": (0, 1)}

    def large_problem(self) -> tuple[Problem, int]:
        image, good = self.image(seed=13)
        return (self.hook, {"image": summary_of(image, good), "axes": (0, 1)}), image.size

    def image(self, centre: Sequence[float] = (312.4, 208.7), seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """An image that this kind of method can work with."""
        if self.needs_direct_beam:
            return diffuse_image(centre, beam_stop=False, direct_beam=1e5, seed=seed)
        return diffuse_image(centre, seed=seed)

    def find(self, plugin: Any, summary: ImageSummary) -> tuple[AxisCentre, AxisCentre]:
        """Both axes."""
        x, y = plugin.find_centre(image=summary, axes=(0, 1))
        return x, y

    @pytest.mark.parametrize("centre", [(312.4, 208.7), (290.0, 215.5), (331.3, 190.2)])
    def test_finds_the_centre(self, plugin: Handle, centre: tuple[float, float]) -> None:
        image, good = self.image(centre)
        for found, true in zip(self.find(plugin, summary_of(image, good)), centre, strict=True):
            assert abs(found.position - true) < self.tolerance_px
            assert 0 < found.quality <= 1

    def test_returns_what_the_contract_says(self, plugin: Handle) -> None:
        image, good = self.image()
        for axis, found in enumerate(self.find(plugin, summary_of(image, good))):
            assert isinstance(found, AxisCentre)
            assert found.profile.shape == (image.shape[1 - axis],)
            assert np.isnan(found.uncertainty) or found.uncertainty >= 0

    def test_one_axis_may_be_asked_for_alone(self, plugin: Handle) -> None:
        image, good = self.image()
        summary = summary_of(image, good)
        both = self.find(plugin, summary)
        for axis in (0, 1):
            (alone,) = plugin.find_centre(image=summary, axes=(axis,))
            assert alone.position == both[axis].position

    def test_axes_are_alike(self, plugin: Handle) -> None:
        image, good = self.image()
        x, y = self.find(plugin, summary_of(image, good))
        turned = summary_of(np.ascontiguousarray(image.T), np.ascontiguousarray(good.T))
        y_turned, x_turned = self.find(plugin, turned)
        assert (x.position, y.position) == pytest.approx((x_turned.position, y_turned.position), abs=0.01)

    def test_values_under_the_mask_do_not_matter(self, plugin: Handle) -> None:
        image, good = self.image()
        before = self.find(plugin, summary_of(image, good))
        image[~good] = 1e7
        for one, two in zip(before, self.find(plugin, summary_of(image, good)), strict=True):
            assert one.position == two.position

    @pytest.mark.parametrize("axis", [0, 1])
    def test_positions_are_counted_from_the_edge_of_the_image(self, plugin: Handle, axis: int) -> None:
        """In a mirrored image the centre is as far from the other edge: the middle of the first pixel is 0.5."""
        image, good = self.image(seed=1)
        usual = self.find(plugin, summary_of(image, good))[axis].position
        flip = np.fliplr if axis == 0 else np.flipud
        mirrored = summary_of(np.ascontiguousarray(flip(image)), np.ascontiguousarray(flip(good)))
        size = image.shape[1 - axis]
        assert self.find(plugin, mirrored)[axis].position == pytest.approx(size - usual, abs=0.2)

    def test_a_moved_image_has_a_moved_centre(self, plugin: Handle) -> None:
        image, good = self.image(seed=2)
        x, y = self.find(plugin, summary_of(image, good))
        whole = summary_of(np.ascontiguousarray(image[16:, 24:]), np.ascontiguousarray(good[16:, 24:]))
        x_cut, y_cut = self.find(plugin, whole)
        assert (x_cut.position + 24, y_cut.position + 16) == pytest.approx((x.position, y.position), abs=1.0)

    def test_counts_may_be_in_any_unit(self, plugin: Handle) -> None:
        image, good = self.image(seed=3)
        usual = self.find(plugin, summary_of(image, good))
        for factor in (8.0, 0.125):
            for one, other in zip(usual, self.find(plugin, summary_of(image * np.float32(factor), good)), strict=True):
                assert other.position == pytest.approx(one.position, abs=0.3)

    def test_the_models_need_not_say_where_the_beam_is(self, plugin: Handle) -> None:
        image, good = self.image(seed=4)
        for expected in ((np.nan, np.nan), (-500.0, 90.0)):
            with contextlib.suppress(BeamPositionError):
                for found, true in zip(
                    self.find(plugin, summary_of(image, good, expected)), (312.4, 208.7), strict=True
                ):
                    assert np.isfinite(found.position)
                    assert abs(found.position - true) < 3 * self.tolerance_px or found.quality < 0.9

    def test_nothing_under_the_mask_matters_not_even_nan(self, plugin: Handle) -> None:
        image, good = self.image(seed=5)
        before = self.find(plugin, summary_of(image, good))
        image[~good] = np.nan
        for one, two in zip(before, self.find(plugin, summary_of(image, good)), strict=True):
            assert one.position == two.position

    def test_an_image_of_a_row_is_taken_or_refused_in_words(self, plugin: Handle) -> None:
        for shape in ((1, 50), (50, 1), (1, 1), (3, 3)):
            image = np.arange(shape[0] * shape[1], dtype=np.float32).reshape(shape)
            with contextlib.suppress(BeamPositionError):
                self.find(plugin, summary_of(image, np.ones(shape, np.bool_)))

    def test_a_weak_image_is_enough_or_refused_in_words(self, plugin: Handle) -> None:
        image, good = self.image(seed=6)
        weak = np.random.default_rng(7).poisson(image / 50).astype(np.float32)
        with contextlib.suppress(BeamPositionError):
            for found, true in zip(self.find(plugin, summary_of(weak, good)), (312.4, 208.7), strict=True):
                assert abs(found.position - true) < 4 * self.tolerance_px + 3 or found.quality < 0.9

    def test_an_empty_image_is_refused(self, plugin: Handle) -> None:
        for good in (True, False):
            mask = np.full((80, 90), good)
            with pytest.raises(BeamPositionError):
                plugin.find_centre(image=summary_of(np.zeros((80, 90), np.float32), mask), axes=(0,))
