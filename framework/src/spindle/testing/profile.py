"""What every profile model must do. Subclass `ProfileContract` and name the model, and simulated spots to try it on.

>>> class TestMyProfile(ProfileContract):
...     name = "my_profile"
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import pytest
from scipy.special import ndtr

from spindle.contracts.profile import ForegroundMasks, check_lorentz, check_predictions, check_summary
from spindle.models import Experiments
from spindle.table import Flag, MaskCode, ReflectionTable, Shoeboxes

from .comparing import difference, snapshot
from .contract import PluginContract
from .data import as_called_by_host
from .simulated_spots import (
    SIGMA_M_DEG,
    SimulatedSpots,
    crop_shoeboxes,
    rotation_experiment,
    simulate_spots,
    strong_spots,
)

__all__ = ["ProfileContract", "SimulatedSpots", "crop_shoeboxes", "rotation_experiment", "simulate_spots"]


@lru_cache(maxsize=1)
def _default_spots() -> SimulatedSpots:
    return simulate_spots()


@lru_cache(maxsize=1)
def _wide_spots() -> SimulatedSpots:
    return simulate_spots(sigma_b_deg=0.09, sigma_m_deg=0.35, turn_deg=35.0, seed=2)


class ProfileContract(PluginContract):
    """Checks of a profile model."""

    slot: ClassVar[str] = "profile"

    @pytest.fixture
    def spots(self) -> SimulatedSpots:
        return _default_spots()

    @pytest.fixture
    def modelled(self, plugin, spots: SimulatedSpots) -> SimulatedSpots:
        """The spots with the plugin's model estimated from their pixels above the background."""
        models = plugin.estimate_profiles(experiments=spots.experiments, reflections=strong_spots(spots))
        assert len(models) == 1
        experiments = spots.experiments.replace(0, profile=models[0])
        return SimulatedSpots(experiments, spots.table, spots.intensity, spots.images, spots.background)

    @pytest.fixture
    def two(self, plugin) -> tuple[Experiments, ReflectionTable, list[SimulatedSpots]]:
        """Two crystals whose spots have different widths, modelled together, their predictions in one table, and each alone."""
        each = [_default_spots(), _wide_spots()]
        strong: list[ReflectionTable] = []
        predicted: list[ReflectionTable] = []
        for number, one in enumerate(each):
            for table, kept in ((strong_spots(one), strong), (one.table.view(), predicted)):
                table["id"] = np.full(len(table), number)
                table.identifiers = {number: one.experiments[0].identifier}
                kept.append(table)
        experiments = Experiments([one.experiments[0] for one in each])
        models = plugin.estimate_profiles(experiments=experiments, reflections=ReflectionTable.concatenate(strong))
        assert len(models) == 2
        for number, model in enumerate(models):
            experiments = experiments.replace(number, profile=model)
            each[number] = replace(each[number], experiments=each[number].experiments.replace(0, profile=model))
        return experiments, ReflectionTable.concatenate(predicted), each

    def boxes(self, plugin, spots: SimulatedSpots) -> np.ndarray:
        """Boxes of all spots."""
        return plugin.bounding_boxes(experiments=spots.experiments, reflections=spots.table, border=2.0)

    def test_model_can_be_written_to_a_file(self, modelled: SimulatedSpots) -> None:
        model = modelled.experiments[0].profile
        assert "__id__" in model
        assert json.loads(json.dumps(model)) == model

    def test_boxes_hold_the_predicted_positions_within_the_scan(self, plugin, modelled: SimulatedSpots) -> None:
        bbox = self.boxes(plugin, modelled)
        assert bbox.shape == (len(modelled.table), 6)
        assert bbox.dtype == np.int32
        xyz = modelled.table["xyzcal.px"]
        for k in range(3):
            assert np.all(bbox[:, 2 * k] <= xyz[:, k])
            assert np.all(xyz[:, k] <= bbox[:, 2 * k + 1])
        assert bbox[:, 4].min() >= 0
        assert bbox[:, 5].max() <= len(modelled.images)

    def test_foreground_holds_the_predicted_pixel_and_leaves_background(self, plugin, modelled: SimulatedSpots) -> None:
        bbox = self.boxes(plugin, modelled)
        masks = plugin.foreground(experiments=modelled.experiments, reflections=modelled.table, bbox=bbox)
        flat, deep = np.diff(ForegroundMasks.offsets_of(bbox)), np.diff(ForegroundMasks.offsets_of(bbox, True))
        assert np.all((np.diff(masks.offsets) == flat) | (np.diff(masks.offsets) == deep))
        assert masks.inside.dtype == np.uint8
        assert set(np.unique(masks.inside)) <= {0, 1, 2}
        codes = masks.of_pixels(bbox)
        starts = np.concatenate([[0], np.cumsum(deep)])[:-1]
        x, y, z = np.floor(modelled.table["xyzcal.px"]).astype(int).T
        image = np.clip(z, bbox[:, 4], bbox[:, 5] - 1) - bbox[:, 4]
        centre = starts + image * flat + (y - bbox[:, 2]) * (bbox[:, 1] - bbox[:, 0]) + x - bbox[:, 0]
        assert np.all(codes[centre] == 1)
        assert np.all(np.add.reduceat(codes == 0, starts) > 0)

    def test_boxes_and_masks_do_not_depend_on_the_order(self, plugin, modelled: SimulatedSpots) -> None:
        bbox = self.boxes(plugin, modelled)
        order = np.random.default_rng(0).permutation(len(modelled.table))
        shuffled = modelled.table.select(order)
        assert np.array_equal(
            plugin.bounding_boxes(experiments=modelled.experiments, reflections=shuffled, border=2.0), bbox[order]
        )

    def test_a_summary_tells_of_the_model(self, plugin, modelled: SimulatedSpots) -> None:
        summary = check_summary(
            {}, as_called_by_host("profile", plugin).describe_model(model=modelled.experiments[0].profile)
        )
        assert not summary.fault, "perfect spots are no fault"
        assert set(summary.widths_deg) <= set(summary.numbers)
        if summary.table is not None:
            assert all(len(row) == 2 for row in summary.table.rows)

    def test_predictions_are_those_of_the_models(self, plugin, modelled: SimulatedSpots) -> None:
        arguments = {"experiments": modelled.experiments, "d_min": 2.6, "d_max": None, "padding": 0.0}
        table = as_called_by_host("profile", plugin).predict_reflections(**arguments, force_static=False)
        check_predictions(arguments, table)
        assert len(table) > 0.5 * len(modelled.table)
        experiment = modelled.experiments[0]
        away = np.linalg.norm(table["s1"], axis=1) * experiment.beam.wavelength - 1.0
        assert np.all(np.abs(away) < 1e-6), "s1 has the length 1 / wavelength"

    def test_partiality_is_a_fraction_and_whole_spots_are_whole(self, plugin, modelled: SimulatedSpots) -> None:
        bbox = self.boxes(plugin, modelled)
        partiality = plugin.partiality(experiments=modelled.experiments, reflections=modelled.table, bbox=bbox)
        assert np.all((partiality >= 0) & (partiality <= 1))
        z = modelled.table["xyzcal.px"][:, 2]
        middle = np.abs(z - 0.5 * len(modelled.images)) < 5
        assert np.all(partiality[middle] > 0.98)

    def test_lorentz_factors_of_stills_are_positive_and_each_its_own(self, plugin, modelled: SimulatedSpots) -> None:
        """The factor of a reflection depends neither on the others nor on their order."""
        table = modelled.table.view()
        table["delpsical.rad"] = np.zeros(len(table))
        still = replace(modelled.experiments[0], scan=None, goniometer=None)
        plugin, arguments = as_called_by_host("profile", plugin), {"experiments": Experiments([still])}
        factor = plugin.still_lorentz(**arguments, reflections=table)
        check_lorentz({"reflections": table}, factor)
        order = np.random.default_rng(0).permutation(len(table))[: len(table) // 2]
        np.testing.assert_allclose(
            plugin.still_lorentz(**arguments, reflections=table.select(order)), factor[order], rtol=1e-12
        )
        assert len(plugin.still_lorentz(**arguments, reflections=table.select(order[:0]))) == 0

    def _fit(self, plugin, spots: SimulatedSpots, pieces: int, background_variance: float = 0.0, invalid: float = 0.0):
        bbox = self.boxes(plugin, spots)
        masks = plugin.foreground(experiments=spots.experiments, reflections=spots.table, bbox=bbox)
        boxes = crop_shoeboxes(spots, bbox, masks)
        boxes.data[(boxes.mask & MaskCode.VALID) == 0] = invalid
        fitter = plugin.make_fitter(experiments=spots.experiments)
        if fitter is None:
            pytest.skip("this model has no profile fitting")
        whole = self.whole(spots, boxes)
        strong = np.flatnonzero(whole & (spots.intensity > 200))
        table = spots.table.view()
        table["flags"] = table["flags"] | np.uint64(int(Flag.REFERENCE_SPOT))
        used = fitter.learn(table.select(strong), boxes.select(strong))
        assert used.shape == (len(strong),)
        fitter.finish()
        parts = []
        for rows in np.array_split(np.arange(len(table)), pieces):
            expected = np.full(len(rows), float(spots.intensity.mean()))
            parts.append(
                fitter.fit(table.select(rows), boxes.select(rows), expected, np.full(len(rows), background_variance))
            )
        joined = {
            n: np.concatenate([getattr(p, n) for p in parts]) for n in ("value", "variance", "correlation", "success")
        }
        return joined, whole

    def test_fitted_intensities_are_unbiased_and_sigmas_honest(self, plugin, modelled: SimulatedSpots) -> None:
        fit, whole = self._fit(plugin, modelled, 1)
        good = whole & fit["success"]
        assert good.sum() > 0.95 * whole.sum()
        error = fit["value"][good] - modelled.intensity[good]
        z = error / np.sqrt(fit["variance"][good])
        assert abs(error.mean()) < 0.02 * modelled.intensity[good].mean()
        assert abs(z.mean()) < 0.15
        # 0.1: what a learned profile may still miss of spots of some hundred counts
        assert 0.9 < np.sqrt(np.mean(np.clip(z, -6, 6) ** 2)) < 1.12

    def test_fits_do_not_depend_on_how_spots_are_cut_into_blocks(self, plugin, modelled: SimulatedSpots) -> None:
        one, _ = self._fit(plugin, modelled, 1)
        five, _ = self._fit(plugin, modelled, 5)
        for name in one:
            assert np.array_equal(one[name], five[name])

    def test_models_are_those_of_the_simulated_widths(self, plugin, two: Any) -> None:
        """Wide spots have wide boxes, narrow ones narrow boxes, also when both are treated together."""
        experiments, table, each = two
        together = plugin.bounding_boxes(experiments=experiments, reflections=table, border=2.0)
        size = np.diff(together.reshape(-1, 3, 2), axis=2)[..., 0].astype(float)
        first = table["id"] == 0
        assert (size[~first].mean(axis=0) > 1.2 * size[first].mean(axis=0)).all(), "one model for all experiments"
        for number, one in enumerate(each):
            rows = table["id"] == number
            assert np.array_equal(together[rows], self.boxes(plugin, one)), f"experiment {number}"
            masks = plugin.foreground(experiments=one.experiments, reflections=one.table, bbox=together[rows])
            assert masks.inside.sum() > 0

    def test_partialities_are_those_of_each_experiment(self, plugin, two: Any) -> None:
        experiments, table, each = two
        bbox = plugin.bounding_boxes(experiments=experiments, reflections=table, border=2.0)
        together = plugin.partiality(experiments=experiments, reflections=table, bbox=bbox)
        for number, one in enumerate(each):
            rows = table["id"] == number
            alone = plugin.partiality(experiments=one.experiments, reflections=one.table, bbox=bbox[rows])
            np.testing.assert_allclose(together[rows], alone, atol=1e-12)

    def test_the_border_is_room_for_background_not_for_the_spot(self, plugin, modelled: SimulatedSpots) -> None:
        sizes, inside = [], []
        for border in (1.0, 3.0, 5.0):
            arguments = {"experiments": modelled.experiments, "reflections": modelled.table}
            bbox = plugin.bounding_boxes(**arguments, border=border)
            sizes.append(np.diff(bbox.reshape(-1, 3, 2), axis=2)[..., 0].astype(float).mean(axis=0))
            inside.append((plugin.foreground(**arguments, bbox=bbox).inside == 1).sum())
        assert (np.diff(np.array(sizes)[:, :2], axis=0) > 0.5).all(), f"border is not heeded: boxes of {sizes}"
        assert inside[2] == pytest.approx(inside[1], rel=0.01), "the foreground grows with the border"

    def test_the_foreground_holds_the_photons(self, plugin, modelled: SimulatedSpots) -> None:
        bbox = self.boxes(plugin, modelled)
        masks = plugin.foreground(experiments=modelled.experiments, reflections=modelled.table, bbox=bbox)
        boxes = crop_shoeboxes(modelled, bbox, masks)
        box = np.repeat(np.arange(len(boxes)), np.diff(boxes.offsets))
        spot = ((boxes.mask & MaskCode.FOREGROUND) != 0) & ((boxes.mask & MaskCode.VALID) != 0)
        above = np.bincount(box, (boxes.data - modelled.background) * spot, len(boxes))
        rows = self.whole(modelled, boxes) & (modelled.intensity > 200)
        assert above[rows].sum() > 0.9 * modelled.intensity[rows].sum(), "the foreground misses photons"
        assert masks.inside.mean() < 0.8, "the foreground is nearly all of the boxes"

    def whole(self, spots: SimulatedSpots, boxes: Shoeboxes) -> np.ndarray:
        """(n,) bool: spots far from the ends of the scan, without pixels beyond the panel."""
        z = spots.table["xyzcal.px"][:, 2]
        beyond = (boxes.mask & MaskCode.VALID) == 0
        return (np.abs(z - 0.5 * len(spots.images)) < 0.5 * len(spots.images) - 4) & (
            np.add.reduceat(beyond, boxes.offsets[:-1]) == 0
        )

    def test_spots_at_the_ends_of_the_scan_are_partial(self, plugin, modelled: SimulatedSpots) -> None:
        """The fraction is that of the photons which fall on the images of the scan."""
        bbox = self.boxes(plugin, modelled)
        partiality = plugin.partiality(experiments=modelled.experiments, reflections=modelled.table, bbox=bbox)
        z, zeta = modelled.table["xyzcal.px"][:, 2], np.abs(modelled.table["zeta"])
        sigma = SIGMA_M_DEG / zeta / 0.25
        seen = ndtr((len(modelled.images) - z) / sigma) - ndtr((0 - z) / sigma)
        cut = seen < 0.9
        assert cut.sum() > 10
        assert np.abs(partiality[cut] - seen[cut]).mean() < 0.12, "partiality is not the fraction that was recorded"

    def test_no_reflections_are_no_trouble(self, plugin, modelled: SimulatedSpots) -> None:
        arguments = {"experiments": modelled.experiments, "reflections": modelled.table.select(np.arange(0))}
        bbox = plugin.bounding_boxes(**arguments, border=2.0)
        assert bbox.shape == (0, 6)
        assert len(plugin.foreground(**arguments, bbox=bbox).inside) == 0
        assert len(plugin.partiality(**arguments, bbox=bbox)) == 0

    def test_what_it_is_given_stays_as_it_was(self, plugin, spots: SimulatedSpots, modelled: SimulatedSpots) -> None:
        strong = strong_spots(spots)
        given = [strong, spots.experiments, modelled.experiments, modelled.table]
        before = snapshot(given)
        plugin.estimate_profiles(experiments=spots.experiments, reflections=strong)
        bbox = self.boxes(plugin, modelled)
        plugin.foreground(experiments=modelled.experiments, reflections=modelled.table, bbox=bbox)
        plugin.partiality(experiments=modelled.experiments, reflections=modelled.table, bbox=bbox)
        assert not difference(before, snapshot(given))

    def test_nothing_is_kept_from_one_call_to_the_next(self, plugin, spots: SimulatedSpots) -> None:
        once = plugin.estimate_profiles(experiments=spots.experiments, reflections=strong_spots(spots))
        wide = _wide_spots()
        plugin.estimate_profiles(experiments=wide.experiments, reflections=strong_spots(wide))
        again = plugin.estimate_profiles(experiments=spots.experiments, reflections=strong_spots(spots))
        assert not difference(snapshot(once), snapshot(again), rtol=1e-9)

    def test_weak_spots_are_fitted_without_bias(self, plugin, modelled: SimulatedSpots) -> None:
        fit, whole = self._fit(plugin, modelled, 1)
        weak = whole & fit["success"] & (modelled.intensity < 60)
        error = fit["value"][weak] - modelled.intensity[weak]
        assert abs(error.mean()) < 4 * error.std() / np.sqrt(weak.sum()), "weak spots are biased"
        assert (fit["value"][weak] < 0).any() or modelled.intensity[weak].min() > 10, "negative intensities are cut off"

    def test_correlations_are_those_of_good_fits(self, plugin, modelled: SimulatedSpots) -> None:
        fit, whole = self._fit(plugin, modelled, 1)
        good = whole & fit["success"] & (modelled.intensity > 500)
        assert np.abs(fit["correlation"][fit["success"]]).max() <= 1 + 1e-6
        assert fit["correlation"][good].mean() > 0.7

    def test_pixels_that_are_no_good_do_not_matter(self, plugin, modelled: SimulatedSpots) -> None:
        usual, _ = self._fit(plugin, modelled, 1)
        wild, _ = self._fit(plugin, modelled, 1, invalid=1e6)
        ok = usual["success"] & wild["success"]
        assert np.array_equal(usual["success"], wild["success"])
        np.testing.assert_allclose(usual["value"][ok], wild["value"][ok], rtol=1e-6)

    def test_an_uncertain_background_makes_larger_variances(self, plugin, modelled: SimulatedSpots) -> None:
        usual, whole = self._fit(plugin, modelled, 1)
        unsure, _ = self._fit(plugin, modelled, 1, background_variance=0.05)
        ok = whole & usual["success"] & unsure["success"]
        assert np.median(unsure["variance"][ok] - usual["variance"][ok]) > 0, "background_variance is not heeded"
