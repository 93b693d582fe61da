"""What every profile model must do. Subclass `ProfileContract` and give it one fixture, and simulated spots to try it
on.

>>> class TestMyProfile(ProfileContract):
...     @pytest.fixture
...     def plugin(self):
...         return MyProfile()
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pytest

from spindle.contracts.profile import ForegroundMasks, check_predictions, check_summary
from spindle.geometry import kabsch_frame, zeta_factor
from spindle.models import Beam, Crystal, Detector, Experiment, Experiments, Goniometer, Panel, Scan
from spindle.plugins.host import Handle, PluginHost
from spindle.prediction import predict_static
from spindle.table import Flag, MaskCode, ReflectionTable, Shoeboxes

__all__ = ["ProfileContract", "SimulatedSpots", "crop_shoeboxes", "rotation_experiment", "simulate_spots"]

SIGMA_B_DEG, SIGMA_M_DEG = 0.05, 0.15


def rotation_experiment(
    n_images: int = 24, cell: tuple[float, ...] = (45.0, 55.0, 65.0, 90.0, 90.0, 90.0), turn_deg: float = 0.0
) -> Experiment:
    """A crystal turning about x before a panel of 280 x 300 pixels 100 mm behind it, 0.25 degrees per image.

    ``turn_deg`` turns the crystal about the beam.
    """
    panel = Panel(
        fast_axis=np.array([1.0, 0.0, 0.0]),
        slow_axis=np.array([0.0, -1.0, 0.0]),
        origin=np.array([-24.08, 25.8, -100.0]),
        pixel_size=(0.172, 0.172),
        image_size=(280, 300),
        trusted_range=(0.0, 1e6),
    )
    angles = np.deg2rad([20.0, 30.0, 40.0, turn_deg])
    rx, ry, rz, turn = (np.eye(3) for _ in range(4))
    for matrix, (a, b), angle in (
        (rx, (1, 2), angles[0]),
        (ry, (0, 2), angles[1]),
        (rz, (0, 1), angles[2]),
        (turn, (0, 1), angles[3]),
    ):
        matrix[a, a] = matrix[b, b] = np.cos(angle)
        matrix[a, b], matrix[b, a] = -np.sin(angle), np.sin(angle)
    return Experiment(
        beam=Beam(direction=np.array([0.0, 0.0, 1.0]), wavelength=1.0),
        detector=Detector((panel,)),
        goniometer=Goniometer(rotation_axis=np.array([1.0, 0.0, 0.0])),
        scan=Scan(image_range=(1, n_images), oscillation_deg=(0.0, 0.25)),
        crystal=Crystal.from_cell(cell, turn @ rx @ ry @ rz, "P 1"),
    )


@dataclass
class SimulatedSpots:
    """Images of Gaussian spots of known intensity.

    Attributes
    ----------
    experiments : Experiments
        One experiment, without a profile model.
    table : ReflectionTable
        Its predictions, with zeta, d, partiality 1 and flags.
    intensity : (n,) float64
        True mean counts of each spot.
    images : (n_images, slow, fast) float32
        Poisson counts.
    background : float
        True mean background per pixel.
    """

    experiments: Experiments
    table: ReflectionTable
    intensity: np.ndarray
    images: np.ndarray
    background: float


def simulate_spots(
    mean: float = 300.0,
    background: float = 0.5,
    seed: int = 1,
    n_images: int = 24,
    sigma_b_deg: float = SIGMA_B_DEG,
    sigma_m_deg: float = SIGMA_M_DEG,
    turn_deg: float = 0.0,
) -> SimulatedSpots:
    """Photons of Gaussian spots in Kabsch's frame, intensities distributed exponentially about ``mean``."""
    experiment = rotation_experiment(n_images, turn_deg=turn_deg)
    rng = np.random.default_rng(seed)
    table = predict_static(experiment, 0, 2.6)
    table["zeta"] = zeta_factor(experiment.beam.s0, table["s1"], experiment.goniometer.axis_lab)
    z = table["xyzcal.px"][:, 2]
    table = table.select((np.abs(table["zeta"]) > 0.2) & (z > 0) & (z < n_images))
    n = len(table)
    table["partiality"] = np.ones(n)
    table["d"] = 1.0 / np.linalg.norm(table["miller_index"] @ experiment.crystal.A.T, axis=1)
    intensity = rng.exponential(mean, n)
    photons = rng.poisson(intensity)
    owner = np.repeat(np.arange(n), photons)
    s1 = table["s1"]
    e1, e2, _ = kabsch_frame(s1, experiment.beam.s0)
    a, b = (rng.normal(0.0, np.deg2rad(sigma_b_deg), len(owner)) for _ in range(2))
    ray = s1[owner] + a[:, None] * e1[owner] + b[:, None] * e2[owner]
    v = ray @ experiment.detector.D[0].T
    xy = v[:, :2] / v[:, 2:] / 0.172
    width = experiment.scan.oscillation[1]
    image = (
        table["xyzcal.px"][owner, 2]
        + rng.normal(0.0, np.deg2rad(sigma_m_deg), len(owner)) / np.abs(table["zeta"][owner]) / width
    )
    images = rng.poisson(background, (n_images, 300, 280)).astype(np.float32)
    i, j, k = (np.floor(t).astype(int) for t in (xy[:, 0], xy[:, 1], image))
    good = (i >= 0) & (i < 280) & (j >= 0) & (j < 300) & (k >= 0) & (k < n_images)
    np.add.at(images, (k[good], j[good], i[good]), 1.0)
    return SimulatedSpots(Experiments([experiment]), table, intensity, images, background)


def crop_shoeboxes(spots: SimulatedSpots, bbox: np.ndarray, masks: ForegroundMasks) -> Shoeboxes:
    """Shoeboxes cut from the images, with the true background in them."""
    boxes = Shoeboxes.empty(spots.table["panel"].astype(np.int64), bbox)
    owner = np.repeat(np.arange(len(boxes)), np.diff(boxes.offsets))
    wide = bbox.astype(np.int64)[owner]
    nx, ny = wide[:, 1] - wide[:, 0], wide[:, 3] - wide[:, 2]
    k = np.arange(len(owner)) - boxes.offsets[owner]
    x, y, z = wide[:, 0] + k % nx, wide[:, 2] + k // nx % ny, wide[:, 4] + k // (nx * ny)
    _, height, width = spots.images.shape
    valid = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    boxes.data[valid] = spots.images[z[valid], y[valid], x[valid]]
    code = masks.of_pixels(bbox)
    boxes.mask[:] = np.where(code == 1, MaskCode.FOREGROUND, np.where(code == 0, MaskCode.BACKGROUND, 0)) | valid
    boxes.background[:] = spots.background
    return boxes


@lru_cache(maxsize=1)
def _default_spots() -> SimulatedSpots:
    return simulate_spots()


def _behind_a_handle(plugin) -> Handle:
    """The plugin with the defaults of the hooks that it leaves out."""
    return plugin if isinstance(plugin, Handle) else PluginHost().add("profile", type(plugin).__name__, plugin)


class ProfileContract:
    """Checks of a profile model."""

    @pytest.fixture
    def spots(self) -> SimulatedSpots:
        return _default_spots()

    @pytest.fixture
    def modelled(self, plugin, spots: SimulatedSpots) -> SimulatedSpots:
        """The spots with the plugin's model estimated from their pixels above the background."""
        table = spots.table.select(spots.intensity > 50)
        x, y, z = table["xyzcal.px"].T
        bbox = np.stack(
            [np.floor(x) - 4, np.floor(x) + 5, np.floor(y) - 4, np.floor(y) + 5, np.floor(z) - 3, np.floor(z) + 4],
            axis=1,
        )
        bbox[:, 4:] = np.clip(bbox[:, 4:], 0, len(spots.images))
        bbox = bbox.astype(np.int32)
        offsets = ForegroundMasks.offsets_of(bbox)
        seen = SimulatedSpots(spots.experiments, table, spots.intensity, spots.images, spots.background)
        boxes = crop_shoeboxes(seen, bbox, ForegroundMasks(offsets, np.ones(int(offsets[-1]), np.uint8)))
        boxes.mask[boxes.data < 3] = 0  # what spot finding leaves of a spot
        table["bbox"], table["shoebox"], table["xyzobs.px.value"] = bbox, boxes, table["xyzcal.px"]
        models = plugin.estimate_profiles(experiments=spots.experiments, reflections=table)
        assert len(models) == 1
        experiments = spots.experiments.replace(0, profile=models[0])
        return SimulatedSpots(experiments, spots.table, spots.intensity, spots.images, spots.background)

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
        summary = check_summary({}, _behind_a_handle(plugin).describe_model(model=modelled.experiments[0].profile))
        assert not summary.fault, "perfect spots are no fault"
        assert set(summary.widths_deg) <= set(summary.numbers)
        if summary.table is not None:
            assert all(len(row) == 2 for row in summary.table.rows)

    def test_predictions_are_those_of_the_models(self, plugin, modelled: SimulatedSpots) -> None:
        arguments = {"experiments": modelled.experiments, "d_min": 2.6, "d_max": None, "padding": 0.0}
        table = _behind_a_handle(plugin).predict_reflections(**arguments, force_static=False)
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

    def _fit(self, plugin, spots: SimulatedSpots, pieces: int):
        bbox = self.boxes(plugin, spots)
        masks = plugin.foreground(experiments=spots.experiments, reflections=spots.table, bbox=bbox)
        boxes = crop_shoeboxes(spots, bbox, masks)
        fitter = plugin.make_fitter(experiments=spots.experiments)
        if fitter is None:
            pytest.skip("this model has no profile fitting")
        z = spots.table["xyzcal.px"][:, 2]
        whole = (np.abs(z - 0.5 * len(spots.images)) < 0.5 * len(spots.images) - 4) & (
            np.add.reduceat(
                (boxes.mask & (MaskCode.VALID | MaskCode.FOREGROUND)) == MaskCode.FOREGROUND, boxes.offsets[:-1]
            )
            == 0
        )
        strong = np.flatnonzero(whole & (spots.intensity > 200))
        table = spots.table.view()
        table["flags"] = table["flags"] | np.uint64(int(Flag.REFERENCE_SPOT))
        used = fitter.learn(table.select(strong), boxes.select(strong))
        assert used.shape == (len(strong),)
        fitter.finish()
        parts = []
        for rows in np.array_split(np.arange(len(table)), pieces):
            expected = np.full(len(rows), float(spots.intensity.mean()))
            parts.append(fitter.fit(table.select(rows), boxes.select(rows), expected, np.zeros(len(rows))))
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
