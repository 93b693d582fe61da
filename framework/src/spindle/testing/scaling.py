"""What every scaling model must do. Subclass `ScalingContract` and name the model.

>>> class TestMine(ScalingContract):
...     name = "mine"
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any, ClassVar

import numpy as np
import pytest

from spindle.contracts.scaling import ScalingModel, ScalingObservations
from spindle.models import Beam, Crystal, Detector, Experiment, Goniometer, Panel, Scan
from spindle.plugins.host import Handle
from spindle.symmetry import rotations
from spindle.table import Flag, ReflectionTable

from .contract import PluginContract

__all__ = ["ScalingContract", "scan_experiment", "scan_observations", "simulated_scan"]

CELL = (60.0, 60.0, 60.0, 90.0, 90.0, 90.0)


def scan_experiment(n_images: int = 90, width_deg: float = 1.0) -> Experiment:
    """A cubic crystal (P 4 3 2) turned about x in front of a detector."""
    panel = Panel(
        name="Panel", type="SENSOR_PAD", fast_axis=np.array([1.0, 0.0, 0.0]), slow_axis=np.array([0.0, -1.0, 0.0]),
        origin=np.array([-100.0, 100.0, -100.0]), pixel_size=(0.2, 0.2), image_size=(1000, 1000),
        trusted_range=(0.0, 1e6), thickness=0.3, material="Si", mu=4.0, gain=1.0,
    )  # fmt: skip
    return Experiment(
        beam=Beam(direction=np.array([0.0, 0.0, 1.0]), wavelength=1.0),
        detector=Detector((panel,)),
        goniometer=Goniometer(np.array([1.0, 0.0, 0.0])),
        scan=Scan((1, n_images), (0.0, width_deg)),
        crystal=Crystal.from_cell(CELL, np.eye(3), "P 4 3 2"),
    )


def scan_observations(experiment: Experiment, n: int = 500, seed: int = 0) -> ScalingObservations:
    """Observations scattered over resolution, scan and detector."""
    rng = np.random.default_rng(seed)
    scan = experiment.scan
    assert scan is not None
    image = np.sort(rng.uniform(*scan.array_range, n))
    directions = rng.normal(size=(2, n, 3))
    source, diffracted = directions / np.linalg.norm(directions, axis=2, keepdims=True)
    return ScalingObservations(
        rng.uniform(1.5, 10.0, n), image, image + rng.normal(0, 0.05, n).clip(-0.1, 0.1), source, diffracted,
        rng.uniform(0, 1000, (n, 2)), np.zeros(n, dtype=np.int64),
    )  # fmt: skip


def simulated_scan(
    n_unique: int = 1500,
    multiplicity: int = 8,
    n_images: int = 90,
    width_deg: float = 1.0,
    seed: int = 0,
    scale: Any = None,
    a: float = 1.0,
    b: float = 0.0,
    background: float = 25.0,
) -> tuple[Experiment, ReflectionTable, dict[str, np.ndarray]]:
    """Integrated reflections of known intensity and scale, with errors of known size.

    Parameters
    ----------
    n_unique, multiplicity : int
        Unique reflections, and about how many observations each has.
    n_images, width_deg
        The scan.
    seed : int
        Of the random numbers.
    scale : callable (image (n,), d (n,)) -> (n,), optional
        True inverse scale factor.
    a, b : float
        True sigma = a sqrt(I + background + (b I)^2); the table has sqrt(I + background).
    background : float
        Variance of zero intensity.

    Returns
    -------
    Experiment
    ReflectionTable
    dict
        True ``intensity`` and ``scale`` of every row.
    """
    rng = np.random.default_rng(seed)
    experiment = scan_experiment(n_images, width_deg)
    assert experiment.crystal is not None and experiment.scan is not None
    h = rng.integers(1, 30, (6 * n_unique, 3))
    h = h[(h[:, 0] > h[:, 1]) & (h[:, 1] > h[:, 2])]
    h = np.unique(h, axis=0)
    h = h[rng.permutation(len(h))[:n_unique]]
    turn = rotations(experiment.crystal.space_group)
    n = len(h) * multiplicity
    which = np.repeat(np.arange(len(h)), multiplicity)
    signs = rng.choice([-1, 1], n)
    hkl = np.einsum("ni,nij->nj", h[which], turn[rng.integers(0, len(turn), n)]) * signs[:, None]
    d = CELL[0] / np.linalg.norm(hkl, axis=1)
    mean = 2000.0 * np.exp(-20.0 / (2 * d**2))
    true = rng.exponential(1.0, len(h))[which] * mean
    z = rng.uniform(*experiment.scan.array_range, n)
    g = np.ones(n) if scale is None else scale(z, d)
    expected = true * g
    sigma = np.sqrt(expected + background)
    measured = expected + a * np.sqrt(sigma**2 + (b * expected) ** 2) * rng.normal(size=n)
    directions = rng.normal(size=(n, 3)) + [0, 0, -3.0]
    s1 = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    table = ReflectionTable.with_rows(n, identifiers={0: experiment.identifier})
    position = np.column_stack([rng.uniform(0, 1000, (n, 2)), z])
    for name, values in {
        "id": np.zeros(n), "panel": np.zeros(n), "miller_index": hkl, "d": d, "s1": s1, "xyzcal.px": position,
        "xyzobs.px.value": position, "xyzcal.mm": position * [0.2, 0.2, np.radians(width_deg)],
        "flags": np.full(n, int(Flag.INTEGRATED_PRF | Flag.INTEGRATED_SUM | Flag.PREDICTED)),
        "intensity.prf.value": measured, "intensity.prf.variance": sigma**2,
        "intensity.sum.value": measured, "intensity.sum.variance": sigma**2,
        "partiality": np.ones(n), "lp": np.ones(n), "qe": np.ones(n), "partial_id": np.arange(n),
        "zeta": np.full(n, 0.8),
    }.items():  # fmt: skip
        table[name] = values
    return experiment, table, {"intensity": true, "scale": g}


class ScalingContract(PluginContract):
    """Checks of a scaling model."""

    slot: ClassVar[str] = "scaling"
    n_images: ClassVar[int] = 90

    @pytest.fixture
    def experiment(self) -> Experiment:
        """The scan that the model is built for."""
        return scan_experiment(self.n_images)

    @pytest.fixture
    def observations(self, experiment: Experiment) -> ScalingObservations:
        """What the model gets."""
        return scan_observations(experiment)

    @pytest.fixture
    def model(self, plugin: Handle, experiment: Experiment, observations: ScalingObservations) -> ScalingModel:
        """The model at its start."""
        built: ScalingModel = plugin.build_scaling_model(
            experiment=experiment, observations=observations, existing=None
        )
        return built

    def test_has_terms_of_different_names(self, model: ScalingModel) -> None:
        names = [t.name for t in model.terms]
        assert names and len(set(names)) == len(names)

    def test_describes_every_observation(self, model: ScalingModel, observations: ScalingObservations) -> None:
        for term in model.terms:
            assert len(term.weights) == len(observations)

    def test_starts_without_effect(self, model: ScalingModel) -> None:
        for term in model.terms:
            np.testing.assert_allclose(term.values(term.parameters), 1.0, atol=1e-9)

    @pytest.mark.parametrize("n", [0, 1, 2, 5])
    def test_takes_any_number_of_observations(self, plugin: Handle, experiment: Experiment, n: int) -> None:
        model = plugin.build_scaling_model(
            experiment=experiment, observations=scan_observations(experiment, n), existing=None
        )
        for term in model.terms:
            assert term.values(term.parameters).shape == (n,)
            assert term.log_slopes(term.parameters).shape == (n, term.weights.shape[1])
            assert np.isfinite(term.parameters).all()
            assert np.isfinite(term.values(term.parameters)).all()

    def test_takes_observations_that_all_are_alike(self, plugin: Handle, experiment: Experiment) -> None:
        one = scan_observations(experiment, 1)
        rows = {f.name: np.repeat(getattr(one, f.name), 100, axis=0) for f in fields(one) if f.name != "n_datasets"}
        model = plugin.build_scaling_model(
            experiment=experiment, observations=ScalingObservations(**rows), existing=None
        )
        for term in model.terms:
            values = term.values(term.parameters)
            assert np.isfinite(values).all() and np.ptp(values) < 1e-9

    def test_null_values_do_nothing(self, model: ScalingModel) -> None:
        for term in model.terms:
            np.testing.assert_allclose(term.values(np.full(len(term.parameters), term.null_value)), 1.0, atol=1e-9)

    def test_slopes_are_derivatives(self, model: ScalingModel) -> None:
        rng = np.random.default_rng(1)
        for term in model.terms:
            x = term.parameters + rng.normal(0, 0.02, len(term.parameters))
            direction = rng.normal(size=len(x))
            step = 1e-6
            numeric = (
                np.log(term.values(x + step * direction)) - np.log(term.values(x - step * direction))
            ) / (2 * step)  # fmt: skip
            n = len(term.weights)
            indices = np.broadcast_to(term.indices, term.weights.shape) if len(term.indices) == 1 else term.indices
            analytic = (term.log_slopes(x) * direction[indices]).sum(axis=1)
            assert analytic.shape == (n,)
            np.testing.assert_allclose(analytic, numeric, rtol=1e-5, atol=1e-7)

    def test_rows_can_be_chosen(self, model: ScalingModel) -> None:
        rows = np.array([3, 1, 4])
        for term in model.terms:
            x = term.parameters + 0.01
            np.testing.assert_allclose(term.values(x, rows), term.values(x)[rows])

    def test_restraints_are_positive(self, model: ScalingModel) -> None:
        for term in model.terms:
            for penalty in term.penalties:
                assert np.linalg.eigvalsh(penalty.matrix).min() > -1e-9
                np.testing.assert_allclose(penalty.matrix, penalty.matrix.T)
                assert penalty.rank in (None, np.linalg.matrix_rank(penalty.matrix))

    def test_starts_from_an_existing_model(
        self, plugin: Handle, experiment: Experiment, observations: ScalingObservations, model: ScalingModel
    ) -> None:
        existing: dict[str, Any] = {"__id__": model.kind, "configuration_parameters": model.configuration}
        for term in model.terms:
            values = term.parameters + 0.01
            existing[term.name] = {"n_parameters": len(values), "parameters": values.tolist()}
        again = plugin.build_scaling_model(experiment=experiment, observations=observations, existing=existing)
        for old, new in zip(model.terms, again.terms, strict=True):
            np.testing.assert_allclose(new.parameters, old.parameters + 0.01)
            np.testing.assert_allclose(new.values(new.parameters), old.values(new.parameters), rtol=1e-9)

    def test_configuration_can_be_written(self, model: ScalingModel) -> None:
        import json

        json.dumps(model.configuration)
