"""What every refiner must do. Subclass `RefinerContract` and name the refiner.

>>> class TestMine(RefinerContract):
...     name = "mine"
...
...     def make_settings(self, **changes):
...         return spindle_lib_refinement.testing.plain_settings(**changes)
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest

from spindle.contracts.refiner import RefinementError, RefinementResult
from spindle.errors import UserError
from spindle.models import Detector, Experiment, Experiments, Scan
from spindle.params import Params
from spindle.plugins.host import Handle
from spindle.table import Flag, ReflectionTable

from .calls import CallContract, Problem
from .refinement_problems import NOISE, crystal_of, disturbed, rotation_experiment, spots_of, two_sweeps, with_noise

__all__ = ["RefinerContract", "rotation_experiment", "spots_of"]


class RefinerContract(CallContract):
    """Checks of one refiner for rotation scans."""

    slot: ClassVar[str] = "refiner"
    budget_us: ClassVar[float] = 5000.0
    rtol: ClassVar[float] = 1e-9

    def problem(self, which: int) -> Problem:
        if which == 2:
            _, start, spots = two_sweeps()
            spots = spots.select(np.arange(0, len(spots), 2))
        else:
            truth = rotation_experiment(40)
            start, spots = Experiments([disturbed(truth)]), with_noise(spots_of(truth, 3.2), seed=which)
        return "refine", self.asked(start, spots)

    def large_problem(self) -> tuple[Problem, int]:
        truth = rotation_experiment()
        spots = with_noise(spots_of(truth, 2.6))
        return ("refine", self.asked(Experiments([disturbed(truth)]), spots)), len(spots)

    def make_settings(self, **changes: Any) -> Params:
        """The scope ``refinement`` without rejection of outliers, changed by dotted names with double underscores for dots.

        Raises
        ------
        NotImplementedError
            Until a subclass defines it.
        """
        raise NotImplementedError(
            f"{type(self).__name__} has to define make_settings(self, **changes), the parameters of refinement: "
            "return spindle_lib_refinement.testing.plain_settings(**changes) for those of our programs"
        )

    def asked(self, experiments: Experiments, spots: ReflectionTable, **settings: Any) -> dict[str, Any]:
        """Arguments of the hook; settings as for `make_settings`."""
        return {
            "experiments": experiments, "reflections": spots, "settings": self.make_settings(**settings), "scan_varying": False,
        }  # fmt: skip

    def refined(
        self, plugin: Handle, experiments: Experiments, spots: ReflectionTable, **settings: Any
    ) -> RefinementResult:
        """Call the hook as programs do."""
        found: RefinementResult = plugin.refine(**self.asked(experiments, spots, **settings))
        return found

    def test_rmsds_are_those_of_the_errors_in_pixels_and_images(self, plugin: Handle) -> None:
        truth = rotation_experiment()
        panel = replace(truth.detector[0], pixel_size=np.array([0.2, 0.1]), image_size=(600, 1200))
        truth = replace(truth, detector=Detector((panel,)), scan=Scan((1, 180), (0.0, 0.5)))
        spots = with_noise(spots_of(truth, 2.8), seed=1)
        result = self.refined(plugin, Experiments([disturbed(truth)]), spots)
        np.testing.assert_allclose(result.rmsd_px[0], NOISE, rtol=0.12, err_msg="rmsd_px: pixels, pixels, images")
        expected = NOISE * [0.2, 0.1, np.radians(0.5)]
        np.testing.assert_allclose(
            result.steps[-1].rmsd, expected, rtol=0.12, err_msg="rmsd of a step: mm, mm, radians"
        )
        assert result.steps[-1].n_reflections == result.n_reflections.sum()
        assert result.steps[-1].objective <= result.steps[0].objective
        assert result.reduced_chi_squared == pytest.approx(1.0, abs=0.25)

    def test_esds_are_the_scatter_of_parameters(self, plugin: Handle) -> None:
        truth = rotation_experiment(60)
        clean, values, esds = spots_of(truth, 3.2), [], []
        for seed in range(6):
            result = self.refined(plugin, Experiments([disturbed(truth)]), with_noise(clean, seed))
            values.append(result.parameter_values)
            esds.append(result.parameter_esds)
            np.testing.assert_allclose(np.diag(result.covariance), result.parameter_esds**2, rtol=1e-6, atol=1e-300)
        mean_square = np.mean(np.square(esds), axis=0)
        moving = mean_square > 0
        assert moving.any(), "no parameter has an esd"
        ratio = np.sqrt(np.var(values, axis=0, ddof=1)[moving] / mean_square[moving])
        assert 0.5 < np.median(ratio) < 2.0, f"parameters scatter by {np.median(ratio):.2g} of their esds"

    @pytest.mark.parametrize(
        ("scope", "what"),
        [("crystal", "all"), ("crystal", "cell"), ("crystal", "orientation"), ("detector", "all"), ("beam", "all")],
    )
    def test_what_is_fixed_stays(self, plugin: Handle, scope: str, what: str) -> None:
        truth = rotation_experiment(60)
        spots, start = with_noise(spots_of(truth, 3.2)), disturbed(truth)
        value: Any = (what,) if scope == "beam" else what
        result = self.refined(plugin, Experiments([start]), spots, **{f"parameterisation__{scope}__fix": value})
        after = result.experiments[0]
        old, new = crystal_of(start), crystal_of(after)
        same = {
            "crystal": {"all": np.allclose(old.A, new.A, atol=1e-12), "cell": np.allclose(old.cell, new.cell, rtol=1e-9),
                        "orientation": np.allclose(old.U, new.U, atol=1e-9)},
            "detector": {"all": np.allclose(start.detector.geometry.d, after.detector.geometry.d, atol=1e-12)},
            "beam": {"all": np.allclose(start.beam.s0, after.beam.s0, atol=1e-12)},
        }[scope][what]  # fmt: skip
        assert same, f"parameterisation.{scope}.fix={what} is not heeded"
        usual = self.refined(plugin, Experiments([start]), spots)
        assert len(result.parameter_names) < len(usual.parameter_names) or (scope, what) == ("beam", "all")

    def test_symmetry_is_kept(self, plugin: Handle) -> None:
        truth = rotation_experiment(60)
        cell = crystal_of(
            self.refined(plugin, Experiments([disturbed(truth)]), with_noise(spots_of(truth, 3.2))).experiments[0]
        ).cell
        assert cell[0] == pytest.approx(cell[1], rel=1e-9)
        assert cell[3:] == pytest.approx([90.0, 90.0, 90.0], abs=1e-7)

    def test_outliers_are_left_out(self, plugin: Handle) -> None:
        truth = rotation_experiment(60)
        spots = with_noise(spots_of(truth, 3.0), seed=2)
        position = spots["xyzobs.px.value"].copy()
        bad = np.arange(len(spots)) % 30 == 0
        position[bad, :2] += [9.0, -7.0]
        spots["xyzobs.px.value"] = position
        result = self.refined(plugin, Experiments([disturbed(truth)]), spots, reflections__outlier__algorithm="tukey")
        table = result.reflections
        assert table.has_flags(Flag.CENTROID_OUTLIER)[bad].mean() > 0.9, "outliers are not rejected"
        assert not (table.has_flags(Flag.USED_IN_REFINEMENT) & table.has_flags(Flag.CENTROID_OUTLIER)).any()
        assert crystal_of(result.experiments[0]).cell == pytest.approx(crystal_of(truth).cell, rel=1e-3)

    def test_uncertain_positions_count_for_little(self, plugin: Handle) -> None:
        truth = rotation_experiment(60)
        spots = with_noise(spots_of(truth, 3.0), seed=3)
        position, variance = spots["xyzobs.px.value"].copy(), spots["xyzobs.px.variance"].copy()
        position[::5, 0] += 3.0
        variance[::5] = 1e4
        spots["xyzobs.px.value"], spots["xyzobs.px.variance"] = position, variance
        result = self.refined(plugin, Experiments([disturbed(truth)]), spots)
        error = (result.reflections["xyzcal.px"] - spots_of(truth, 3.0)["xyzobs.px.value"])[:, 0]
        assert abs(error.mean()) < 0.1, "variances of positions are not heeded"

    def test_every_experiment_is_refined(self, plugin: Handle) -> None:
        truth, start, spots = two_sweeps()
        result = self.refined(plugin, start, spots)
        assert result.rmsd_px.max() < 5e-3
        for i in (0, 1):
            assert crystal_of(result.experiments[i]).cell == pytest.approx(crystal_of(truth[i]).cell, rel=1e-4), (
                f"experiment {i}"
            )
            assert result.n_reflections[i] == (spots["id"] == i).sum()
        assert result.experiments[0].detector is result.experiments[1].detector, "shared models stay shared"

    def test_several_panels_are_predicted_each_on_its_own(self, plugin: Handle) -> None:
        truth = rotation_experiment(60)
        panel = truth.detector[0]
        halves = [
            replace(
                panel, name=f"half {k}", image_size=(600, 300), origin=panel.origin + 300 * k * 0.2 * panel.slow_axis
            )
            for k in range(2)
        ]
        truth = replace(truth, detector=Detector(tuple(halves)))
        spots = spots_of(truth, 3.0)
        assert set(np.unique(spots["panel"])) == {0, 1}
        shift = [replace(p, origin=p.origin + np.array([0.2, -0.2, -0.4])) for p in halves]
        start = replace(disturbed(truth), detector=Detector(tuple(shift)))
        result = self.refined(plugin, Experiments([start]), spots)
        assert result.rmsd_px.max() < 0.02
        assert np.abs(result.reflections["xyzcal.px"] - spots["xyzobs.px.value"]).max() < 0.1

    def test_columns_of_predictions_agree(self, plugin: Handle, truth: Experiment) -> None:
        result = self.refined(plugin, Experiments([disturbed(truth)]), spots_of(truth, 3.0))
        table, experiment = result.reflections, result.experiments[0]
        used = table.has_flags(Flag.USED_IN_REFINEMENT)
        px, mm, s1 = table["xyzcal.px"][used], table["xyzcal.mm"][used], table["s1"][used]
        np.testing.assert_allclose(mm[:, :2], px[:, :2] * 0.2, atol=1e-6)
        np.testing.assert_allclose(mm[:, 2], np.radians(px[:, 2]), atol=1e-6)
        panel = experiment.detector[0]
        lab = panel.origin + mm[:, :1] * panel.fast_axis + mm[:, 1:2] * panel.slow_axis
        way = lab / np.linalg.norm(lab, axis=1, keepdims=True) / experiment.beam.wavelength
        np.testing.assert_allclose(s1, way, atol=1e-5)

    @pytest.mark.parametrize("n", [0, 1, 3])
    def test_a_handful_of_spots_is_refined_or_refused_in_words(self, plugin: Handle, truth: Experiment, n: int) -> None:
        with contextlib.suppress(UserError):
            self.refined(plugin, Experiments([truth]), spots_of(truth, 3.0).select(np.arange(n)))

    @pytest.fixture
    def settings(self) -> Params:
        """The scope ``refinement`` of the programs that call the refiner, without rejection of outliers."""
        return self.make_settings()

    @pytest.fixture
    def truth(self) -> Experiment:
        """Models behind the spots."""
        return rotation_experiment()

    def test_recovers_disturbed_models(self, plugin: Handle, truth: Experiment, settings: Params) -> None:
        spots = spots_of(truth)
        start = Experiments([disturbed(truth)])
        result = plugin.refine(experiments=start, reflections=spots, settings=settings, scan_varying=False)
        assert result.rmsd_px.max() < 2e-3
        assert result.experiments[0].crystal.cell == pytest.approx(crystal_of(truth).cell, rel=2e-5)
        assert result.n_reflections.sum() == len(spots)

    def test_predictions_are_those_of_the_refined_models(
        self, plugin: Handle, truth: Experiment, settings: Params
    ) -> None:
        spots = spots_of(truth)
        result = plugin.refine(
            experiments=Experiments([disturbed(truth)]),
            reflections=spots,
            settings=settings,
            scan_varying=False,
        )
        table = result.reflections
        assert np.array_equal(table["miller_index"], spots["miller_index"])
        assert np.abs(table["xyzcal.px"] - spots["xyzobs.px.value"]).max() < 0.02
        used = table.has_flags(Flag.USED_IN_REFINEMENT)
        assert used.sum() == result.n_reflections.sum()
        assert table.has_flags(Flag.PREDICTED)[used].all()

    def test_order_of_reflections_does_not_matter(self, plugin: Handle, truth: Experiment, settings: Params) -> None:
        spots, experiments = spots_of(truth), Experiments([disturbed(truth)])
        order = np.random.default_rng(1).permutation(len(spots))
        one = plugin.refine(experiments=experiments, reflections=spots, settings=settings, scan_varying=False)
        two = plugin.refine(
            experiments=experiments, reflections=spots.select(order), settings=settings, scan_varying=False
        )
        assert pytest.approx(one.experiments[0].crystal.A, abs=1e-9) == two.experiments[0].crystal.A

    def test_rows_that_are_not_indexed_pass_through(self, plugin: Handle, truth: Experiment, settings: Params) -> None:
        spots = spots_of(truth)
        owner = spots["id"].copy()
        owner[::10] = -1
        spots["id"] = owner
        result = plugin.refine(
            experiments=Experiments([disturbed(truth)]),
            reflections=spots,
            settings=settings,
            scan_varying=False,
        )
        assert len(result.reflections) == len(spots)
        assert not result.reflections.has_flags(Flag.USED_IN_REFINEMENT)[::10].any()

    def test_scan_varying_crystals_have_a_state_at_every_image_edge(
        self, plugin: Handle, truth: Experiment, settings: Params
    ) -> None:
        spots = spots_of(truth)
        result = plugin.refine(
            experiments=Experiments([truth]), reflections=spots, settings=settings, scan_varying=True
        )
        points = result.experiments[0].crystal.A_at_scan_points
        assert points.shape == (91, 3, 3)
        assert np.abs(points - crystal_of(truth).A).max() < 1e-6

    def test_nothing_indexed_is_said(self, plugin: Handle, truth: Experiment, settings: Params) -> None:
        spots = spots_of(truth)
        spots["id"] = np.full(len(spots), -1)
        with pytest.raises(RefinementError):
            plugin.refine(experiments=Experiments([truth]), reflections=spots, settings=settings, scan_varying=False)
