"""What every refiner must do. Subclass `RefinerContract` and name the refiner.

>>> class TestMine(RefinerContract):
...     name = "mine"
...
...     @pytest.fixture
...     def settings(self):
...         return spindle_lib_refinement.testing.plain_settings()
"""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np
import pytest

from spindle.contracts.refiner import RefinementError
from spindle.geometry import rotation_matrix
from spindle.models import Beam, Crystal, Detector, Experiment, Experiments, Goniometer, Panel, Scan
from spindle.params import Params
from spindle.plugins.host import Handle
from spindle.table import Flag, ReflectionTable

from .contract import PluginContract

__all__ = ["RefinerContract", "rotation_experiment", "spots_of"]


def rotation_experiment(n_images: int = 90, width_deg: float = 1.0, space_group: str = "P 4") -> Experiment:
    """A tetragonal crystal on one panel of 600 x 600 pixels of 0.2 mm at 110 mm, rotated about x."""
    panel = Panel(
        fast_axis=np.array([1.0, 0.0, 0.0]),
        slow_axis=np.array([0.0, -1.0, 0.0]),
        origin=np.array([-61.0, 59.0, -110.0]),
        pixel_size=np.array([0.2, 0.2]),
        image_size=(600, 600),
        trusted_range=(0.0, 1e6),
    )
    U = rotation_matrix(np.array([0.6, 0.0, 0.8]), 0.7)
    return Experiment(
        beam=Beam(direction=np.array([0.0, 0.0, 1.0]), wavelength=1.0),
        detector=Detector((panel,)),
        goniometer=Goniometer(rotation_axis=np.array([1.0, 0.0, 0.0])),
        scan=Scan(image_range=(1, n_images), oscillation_deg=(0.0, width_deg)),
        crystal=Crystal.from_cell((58.0, 58.0, 41.0, 90, 90, 90), U, space_group),
    )


def spots_of(experiment: Experiment, d_min: float = 2.6, index: int = 0) -> ReflectionTable:
    """Noise-free indexed spots of a static scan, straight from the Laue equation.

    Each index is turned about the spindle on to the sphere by solving a cos(phi) + b sin(phi) = c, an independent
    route from the one that refiners take.

    """
    crystal, beam, scan, goniometer = experiment.crystal, experiment.beam, experiment.scan, experiment.goniometer
    assert crystal is not None and scan is not None and goniometer is not None
    limits = np.floor(crystal.cell[:3] / d_min).astype(int) + 1
    grid = np.stack(np.meshgrid(*[np.arange(-m, m + 1) for m in limits], indexing="ij"), axis=-1).reshape(-1, 3)
    grid = grid[(grid != 0).any(axis=1)]
    A = goniometer.fixed_rotation @ crystal.A
    p = grid @ A.T
    keep = np.linalg.norm(p, axis=1) < 1.0 / d_min
    grid, p = grid[keep], p[keep]
    e = goniometer.rotation_axis
    s = goniometer.setting_rotation.T @ beam.s0
    along = p @ e
    p_sq = (p * p).sum(axis=1)
    a = p @ s - along * (e @ s)
    b = np.cross(e, p) @ s
    c = -0.5 * p_sq - along * (e @ s)
    amplitude = np.hypot(a, b)
    possible = amplitude > np.abs(c)
    middle, half = np.arctan2(b, a), np.arccos(np.clip(c / np.maximum(amplitude, 1e-12), -1, 1))
    rows = []
    low, high = scan.oscillation_range
    for sign in (-1.0, 1.0):
        phi = np.mod(middle + sign * half - low, 2 * np.pi) + low
        ok = possible & (phi < high)
        cosine, sine = np.cos(phi[ok])[:, None], np.sin(phi[ok])[:, None]
        r = p[ok] * cosine + np.cross(e, p[ok]) * sine + np.outer(along[ok], e) * (1.0 - cosine)
        s1 = beam.s0 + r @ goniometer.setting_rotation.T
        rows.append((grid[ok], phi[ok], s1))
    hkl, phi, s1 = (np.concatenate(part) for part in zip(*rows, strict=True))
    panels = np.full(len(hkl), -1)
    xy = np.zeros((len(hkl), 2))
    for k, (panel, D) in enumerate(zip(experiment.detector, experiment.detector.D, strict=True)):
        v = s1 @ D.T
        hit = (panels < 0) & (v[:, 2] > 0)
        point = v[:, :2] / np.where(v[:, 2:] > 0, v[:, 2:], 1.0)
        hit &= (point > 0).all(axis=1) & (point < panel.size_mm).all(axis=1)
        panels[hit], xy[hit] = k, point[hit]
    axis = goniometer.axis_lab
    seen = (panels >= 0) & (np.abs(s1 @ np.cross(beam.s0, axis)) > 0.03)
    hkl, phi, s1, panels, xy = hkl[seen], phi[seen], s1[seen], panels[seen], xy[seen]
    n = len(hkl)
    position = np.column_stack([experiment.detector.mm_to_pixel(panels, xy), scan.array_index_from_angle(phi)])
    return ReflectionTable(
        {
            "id": np.full(n, index),
            "panel": panels,
            "miller_index": hkl,
            "xyzobs.px.value": position,
            "xyzobs.px.variance": np.full((n, 3), 0.1),
            "flags": np.full(n, int(Flag.INDEXED | Flag.STRONG)),
            "s1": s1,
            "entering": s1 @ np.cross(beam.s0, axis) < 0,
        },
        {index: experiment.identifier},
    )


def crystal_of(experiment: Experiment) -> Crystal:
    """The experiment's crystal, which must be there."""
    assert experiment.crystal is not None
    return experiment.crystal


def disturbed(experiment: Experiment) -> Experiment:
    """The experiment with crystal and detector a little off: 0.2 degrees, 0.3 % in the cell, 0.5 mm, 2 mrad."""
    crystal, panel = experiment.crystal, experiment.detector[0]
    assert crystal is not None
    turn = rotation_matrix(np.array([0.0, 0.6, 0.8]), 0.0035)
    tilt = rotation_matrix(np.array([0.0, 1.0, 0.0]), 0.002)
    stretch = np.diag([0.997, 0.997, 1.002])
    moved = replace(
        panel,
        fast_axis=tilt @ panel.fast_axis,
        slow_axis=tilt @ panel.slow_axis,
        origin=panel.origin + np.array([0.3, -0.2, -0.5]),
    )
    others = experiment.detector[1:]
    return replace(
        experiment,
        crystal=crystal.with_A(turn @ crystal.U @ crystal.B @ stretch),
        detector=Detector((moved, *others), experiment.detector.hierarchy),
    )


class RefinerContract(PluginContract):
    """Checks of one refiner for rotation scans."""

    slot: ClassVar[str] = "refiner"

    @pytest.fixture
    def settings(self) -> Params:
        """The scope ``refinement`` of the programs that call the refiner, without rejection of outliers."""
        raise NotImplementedError("give the parameters of refinement, of spindle_lib_refinement.testing for ours")

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

    def test_arguments_are_not_changed(self, plugin: Handle, truth: Experiment, settings: Params) -> None:
        spots, experiments = spots_of(truth), Experiments([disturbed(truth)])
        before = {name: np.array(column, copy=True) for name, column in spots.columns.items()}
        A = crystal_of(experiments[0]).A.copy()
        plugin.refine(experiments=experiments, reflections=spots, settings=settings, scan_varying=False)
        assert set(before) == set(spots.columns)
        assert all(np.array_equal(before[name], spots[name]) for name in before)
        assert np.array_equal(crystal_of(experiments[0]).A, A)

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
