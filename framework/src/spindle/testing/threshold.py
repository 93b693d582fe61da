"""What every threshold must do. Subclass `ThresholdContract` and name the plugin.

>>> class TestMyThreshold(ThresholdContract):
...     name = "mine"
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import pytest

from spindle.models import Beam, Panel

from .calls import CallContract, Problem

__all__ = ["ThresholdContract", "image_with_spots", "threshold_beam", "threshold_panel"]


def threshold_panel(width: int = 300, height: int = 200, origin_mm: tuple[float, float] | None = None) -> Panel:
    """A photon-counting panel 100 mm from the crystal, the beam in its middle unless its first corner is elsewhere."""
    x, y = origin_mm or (-0.172 * width / 2, 0.172 * height / 2)
    return Panel(
        fast_axis=np.array([1.0, 0.0, 0.0]),
        slow_axis=np.array([0.0, -1.0, 0.0]),
        origin=np.array([x, y, -100.0]),
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
        near = slice(max(cy - 9, 0), cy + 10), slice(max(cx - 9, 0), cx + 10)  # nine widths away nothing is left
        expected[near] += height * np.exp(-0.5 * ((y[near[0]] - cy) ** 2 + (x[:, near[1]] - cx) ** 2))
    return rng.poisson(expected).astype(np.int32), np.ones(shape, np.bool_), centres


def arguments_of(
    image: np.ndarray, mask: np.ndarray, gain: Any = 1.0, origin_mm: tuple[float, float] | None = None
) -> dict[str, Any]:
    """Arguments of ``find_strong``; `out` is full of True, so that an implementation must write every pixel."""
    panel = threshold_panel(image.shape[1], image.shape[0], origin_mm)
    return {
        "image": image, "mask": mask, "gain": gain, "panel": panel, "beam": threshold_beam(), "corner": (0, 0),
        "out": np.ones(image.shape, np.bool_),
    }  # fmt: skip


def far_from(shape: tuple[int, ...], centres: np.ndarray, pixels: int = 7) -> np.ndarray:
    """(slow, fast) bool: pixels that are farther than some from all centres (y, x)."""
    far = np.ones(shape, np.bool_)
    for y, x in centres:
        far[max(y - pixels, 0) : y + pixels + 1, max(x - pixels, 0) : x + pixels + 1] = False
    return far


class ThresholdContract(CallContract):
    """Conformance tests of the ``threshold`` slot.

    Attributes
    ----------
    false_positives : float
        Largest fraction of background pixels that may be called strong.
    accepts_scale : bool
        False for a threshold that only makes sense for whole counts: float images are then not tried.
    uses_gain : bool
        False for a threshold that by design takes no notice of the gain.
    fewest_counts : float
        Background per pixel from which on it is meant to tell spots from background.
    """

    slot: ClassVar[str] = "threshold"
    false_positives: ClassVar[float] = 2e-3
    accepts_scale: ClassVar[bool] = True
    uses_gain: ClassVar[bool] = True
    fewest_counts: ClassVar[float] = 0.02
    budget_us: ClassVar[float] = 0.5

    def find(self, plugin: Any, image: np.ndarray, mask: np.ndarray, gain: Any = 1.0, **changes: Any) -> np.ndarray:
        """Call the hook as the host does."""
        strong = plugin.find_strong(**{**arguments_of(image, mask, gain), **changes})
        assert isinstance(strong, np.ndarray), "find_strong must return an array"
        return strong

    def problem(self, which: int) -> Problem:
        image, mask, _ = image_with_spots((200, 300), mean=(5.0, 11.0, 3.0)[which], seed=which)
        mask[40:44, 150:] = False
        if which == 2:
            image, mask = np.ascontiguousarray(image[:80, :130]), np.ascontiguousarray(mask[:80, :130])
        return "find_strong", arguments_of(image, mask, origin_mm=(-10.0, 4.0) if which == 1 else None)

    def large_problem(self) -> tuple[Problem, int]:
        image, mask, _ = image_with_spots((400, 500), n_spots=100)
        return ("find_strong", arguments_of(image, mask)), image.size

    def telling_problems(self) -> list[Problem]:
        """A bright ring, spots that touch gaps, noise of few counts, a falling background: what options may be for."""
        image, mask, _ = image_with_spots((180, 240), mean=1.0, height=25.0, n_spots=60, seed=5)
        y, x = np.mgrid[:180, :240]
        r = np.hypot(x - 120, y - 90)
        image += (
            np.random.default_rng(6)
            .poisson(40 * np.exp(-r / 40) + 20 * np.exp(-0.5 * ((r - 60) / 3) ** 2))
            .astype(np.int32)
        )
        mask[:, 80:84] = mask[100:103] = False
        image[40:47, 84:93] += 150
        image[92:100, 150:160] += 150
        weak, good, _ = image_with_spots((120, 160), mean=0.1, height=8.0, n_spots=30, seed=7)
        return [("find_strong", arguments_of(image, mask)), ("find_strong", arguments_of(weak, good))]

    def test_result_is_a_bool_image(self, plugin: Any) -> None:
        image, mask, _ = image_with_spots()
        strong = self.find(plugin, image, mask)
        assert strong.shape == image.shape
        assert strong.dtype == np.bool_

    def test_bright_spots_are_found(self, plugin: Any) -> None:
        image, mask, centres = image_with_spots()
        strong = self.find(plugin, image, mask)
        assert strong[centres[:, 0], centres[:, 1]].all()

    @pytest.mark.parametrize("mean", [0.02, 0.3, 3.0, 100.0, 3000.0])
    def test_spots_are_told_from_any_background(self, plugin: Any, mean: float) -> None:
        if mean < self.fewest_counts:
            pytest.skip(f"this threshold is made for {self.fewest_counts} counts per pixel and more")
        image, mask, centres = image_with_spots(mean=mean, height=40.0 + 25.0 * np.sqrt(mean), seed=11)
        strong = self.find(plugin, image, mask)
        assert strong[centres[:, 0], centres[:, 1]].mean() > 0.9, "spots are missed"
        assert strong[far_from(image.shape, centres)].mean() <= self.false_positives, "background is strong"

    def test_strong_pixels_are_where_the_spots_are(self, plugin: Any) -> None:
        image, mask, centres = image_with_spots((150, 230), mean=2.0, height=500.0, n_spots=40, seed=12)
        strong = self.find(plugin, image, mask, panel=threshold_panel(230, 150, origin_mm=(10.0, -10.0)))
        moved = []
        for y, x in centres:
            near = strong[y - 4 : y + 5, x - 4 : x + 5]
            assert near.any(), f"the spot at {y}, {x} is missed"
            moved.append(np.argwhere(near).mean(axis=0) - 4)
        assert np.abs(np.mean(moved, axis=0)).max() < 0.2, f"strong pixels lie {np.mean(moved, axis=0)} from the spots"
        assert np.abs(moved).max() < 1.5

    def test_rows_and_columns_are_treated_alike(self, plugin: Any) -> None:
        """Spots near the edges are found as those in the middle, in an image that is turned and mirrored too."""
        image, mask, _ = image_with_spots((150, 150), mean=3.0, height=60.0, n_spots=36, seed=13)
        image[5:8, 70:73] += 300
        image[71:74, 4:7] += 300
        mask[100:104, 20:90] = False
        strong = self.find(plugin, image, mask).copy()
        assert strong[6, 71] and strong[72, 5], "a spot near an edge is missed"
        for turn in (np.flipud, np.fliplr, np.transpose):
            turned = self.find(plugin, np.ascontiguousarray(turn(image)), np.ascontiguousarray(turn(mask)))
            assert np.mean(turned != turn(strong)) < 0.02 * strong.mean() + 2e-4

    @pytest.mark.parametrize("gain", [0.25, 4.0])
    def test_gain_is_counts_per_photon(self, plugin: Any, gain: float) -> None:
        if not self.uses_gain:
            pytest.skip("this threshold takes no notice of the gain")
        photons, mask, centres = image_with_spots(mean=40.0, height=250.0, seed=14)
        counts = (photons * gain).astype(np.float32 if gain < 1 else np.int32)
        for value in (gain, np.full(photons.shape, gain)):
            strong = self.find(plugin, counts, mask, value)
            assert strong[far_from(photons.shape, centres)].mean() <= self.false_positives, "background is strong"
            usual = self.find(plugin, photons, mask)
            assert strong.sum() > 0.8 * usual.sum(), f"{strong.sum()} strong pixels instead of {usual.sum()}"

    def test_what_is_said_to_find_more_does(self, plugin: Any, another: Any) -> None:
        name, _, value = plugin.declared("finds_more_with").partition("=")
        if not name:
            pytest.skip("it declares nothing that finds more")
        image, mask, _ = image_with_spots(mean=5.0, height=30.0)
        few = np.count_nonzero(self.find(plugin, image, mask))
        assert np.count_nonzero(self.find(another(**{name: value}), image, mask)) > few

    def test_the_parameter_for_the_gain_does_what_a_gain_does(self, plugin: Any, another: Any) -> None:
        name = plugin.declared("gain_parameter")
        if not name:
            pytest.skip("it declares no parameter for the gain")
        image, mask, _ = image_with_spots(mean=5.0, height=60.0)
        loud = (4 * image).astype(np.int32)
        wrong, right = (np.count_nonzero(self.find(p, loud, mask)) for p in (plugin, another(**{name: 4.0})))
        assert wrong > right > 0

    def test_a_map_of_gains_holds_pixel_by_pixel(self, plugin: Any) -> None:
        if not self.uses_gain:
            pytest.skip("this threshold takes no notice of the gain")
        photons, mask, centres = image_with_spots(mean=40.0, height=250.0, seed=15)
        far = far_from(photons.shape, centres)
        gain = np.ones(photons.shape)
        gain[60:, 100:] = 4.0
        far[50:70] = far[:, 90:110] = False  # what lies on both sides is neither
        strong = self.find(plugin, (photons * gain).astype(np.int32), mask, gain)
        assert strong[far].mean() <= self.false_positives, "background is strong"
        found = strong[centres[:, 0], centres[:, 1]]
        assert found[far_from(photons.shape, np.array([[60, 100]]))[centres[:, 0], centres[:, 1]]].mean() > 0.9

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

    def test_background_beside_a_gap_is_not_strong(self, plugin: Any) -> None:
        image, mask, _ = image_with_spots(mean=60.0, n_spots=0, seed=16)
        mask[:, 100:120] = mask[90:104] = False
        image[~mask] = 0
        beside = np.zeros(mask.shape, np.bool_)
        beside[:, 97:123] = beside[87:107] = True
        strong = self.find(plugin, image, mask)
        assert strong[beside & mask].mean() <= 2 * self.false_positives, "masked pixels are part of the background"

    def test_values_under_the_mask_do_not_matter(self, plugin: Any) -> None:
        image, mask, _ = image_with_spots()
        mask[50:60] = False
        changed = image.copy()
        changed[50:60] = 1_000_000
        usual = self.find(plugin, image, mask).copy()
        assert np.array_equal(usual, self.find(plugin, changed, mask))
        changed[50:60] = -2
        assert np.array_equal(usual, self.find(plugin, changed, mask))
        if self.accepts_scale:
            holes = image.astype(np.float32)
            usual = self.find(plugin, holes, mask).copy()
            holes[50:60] = np.nan
            assert np.array_equal(usual, self.find(plugin, holes, mask)), "NaN under the mask"

    @pytest.mark.parametrize("counts", [70_000, 20_000_000, 2_000_000_000])
    def test_the_brightest_pixels_are_strong(self, plugin: Any, counts: int) -> None:
        image, mask, centres = image_with_spots(n_spots=8)
        image[centres[:, 0], centres[:, 1]] = counts
        strong = self.find(plugin, image, mask)
        assert strong[centres[:, 0], centres[:, 1]].all()
        assert strong[far_from(image.shape, centres)].mean() <= self.false_positives

    def test_a_part_of_an_image_has_the_strong_pixels_of_the_whole(self, plugin: Any) -> None:
        image, mask, _ = image_with_spots((240, 320), mean=1.0, seed=17)
        y, x = np.mgrid[:240, :320]
        falling = 150 * np.exp(-np.hypot(x - 200, y - 90) / 40)
        image += np.random.default_rng(18).poisson(falling).astype(np.int32)
        panel = threshold_panel(320, 240, origin_mm=(-34.4, 15.48))  # the beam in the middle of what falls
        whole = self.find(plugin, image, mask, panel=panel).copy()
        rows, columns = slice(70, 230), slice(90, 310)
        part = self.find(
            plugin,
            np.ascontiguousarray(image[rows, columns]),
            np.ascontiguousarray(mask[rows, columns]),
            panel=panel,
            corner=(90, 70),
        )
        inner = slice(25, -25)
        assert np.mean(part[inner, inner] != whole[rows, columns][inner, inner]) < 2e-3

    def test_an_empty_image_has_no_strong_pixel(self, plugin: Any) -> None:
        image, mask = np.zeros((40, 60), np.int32), np.ones((40, 60), np.bool_)
        assert not self.find(plugin, image, mask).any()

    def test_an_image_of_equal_pixels_has_no_strong_pixel(self, plugin: Any) -> None:
        for value in (1, 100):
            assert not self.find(plugin, np.full((40, 60), value, np.int32), np.ones((40, 60), np.bool_)).any()

    def test_a_fully_masked_image_has_no_strong_pixel(self, plugin: Any) -> None:
        image, mask, _ = image_with_spots()
        assert not self.find(plugin, image, np.zeros_like(mask)).any()

    def test_float_images_give_what_integers_give(self, plugin: Any) -> None:
        if not self.accepts_scale:
            pytest.skip("this threshold takes whole counts only")
        image, mask, _ = image_with_spots()
        assert np.array_equal(self.find(plugin, image, mask).copy(), self.find(plugin, image.astype(np.float32), mask))

    def test_fractions_of_counts_are_not_cut_off(self, plugin: Any) -> None:
        if not (self.accepts_scale and self.uses_gain):
            pytest.skip("this threshold takes whole counts only")
        photons, mask, centres = image_with_spots(mean=4.0, height=100.0, seed=19)
        strong = self.find(plugin, (photons * 0.125).astype(np.float32), mask, 0.125)
        assert strong[centres[:, 0], centres[:, 1]].mean() > 0.9
        assert strong[far_from(photons.shape, centres)].mean() <= self.false_positives

    def test_images_of_different_sizes_may_alternate(self, plugin: Any) -> None:
        small, small_mask, _ = image_with_spots((60, 80), n_spots=3)
        large, large_mask, _ = image_with_spots()
        first = self.find(plugin, small, small_mask).copy()
        self.find(plugin, large, large_mask)
        assert np.array_equal(self.find(plugin, small, small_mask), first)

    def test_tiny_images_are_no_trouble(self, plugin: Any) -> None:
        for shape in ((1, 1), (1, 9), (9, 1), (3, 4)):
            assert self.find(plugin, np.full(shape, 7, np.int32), np.ones(shape, np.bool_)).shape == shape
