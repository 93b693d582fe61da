"""What every scaling model must do. Subclass `ScalingContract` and name the model.

>>> class TestMine(ScalingContract):
...     name = "mine"
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, ClassVar

import numpy as np
import pytest

from spindle.contracts.scaling import ScalingModel, ScalingObservations
from spindle.errors import UserError
from spindle.models import Beam, Crystal, Detector, Experiment, Goniometer, Panel, Scan
from spindle.models.experiment import new_identifier
from spindle.plugins.host import Handle
from spindle.symmetry import rotations
from spindle.table import Flag, ReflectionTable

from .calls import CallContract, Problem

__all__ = ["ScalingContract", "scan_experiment", "scan_observations", "simulated_scan"]

CELL = (60.0, 60.0, 60.0, 90.0, 90.0, 90.0)


def scan_experiment(n_images: int = 90, width_deg: float = 1.0, first: int = 1) -> Experiment:
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
        scan=Scan((first, first + n_images - 1), (0.0, width_deg)),
        identifier="scan",
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
    anomalous: float = 0.0,
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
    anomalous : float
        Rms difference of Friedel mates over their mean.

    Returns
    -------
    Experiment
    ReflectionTable
    dict
        True ``intensity`` and ``scale`` of every row.
    """
    rng = np.random.default_rng(seed)
    experiment = replace(
        scan_experiment(n_images, width_deg), identifier=new_identifier()
    )  # several scans are told apart
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
    if anomalous:
        halves = 0.5 * anomalous * np.random.default_rng(seed + 1).normal(size=len(h))
        true = true * np.maximum(1.0 + signs * halves[which], 0.0)
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


def fitted_scale(model: ScalingModel, log_scale: np.ndarray, rounds: int = 6) -> np.ndarray:
    """(n,) float64: the logarithm of the model's scale factor that comes nearest to a given one, by least squares."""
    n = len(log_scale)
    parameters = [np.array(t.parameters, dtype=np.float64) for t in model.terms]
    log_g = np.zeros(n)
    for step in range(rounds + 1):
        values = [np.maximum(t.values(x), 1e-3) for t, x in zip(model.terms, parameters, strict=True)]
        log_g = sum((np.log(v) for v in values), np.zeros(n))
        if step == rounds:
            break
        blocks = []
        for term, x in zip(model.terms, parameters, strict=True):
            design = np.zeros((n, len(x)))
            indices = np.broadcast_to(term.indices[:], term.weights.shape)
            np.add.at(design, (np.arange(n)[:, None], indices), term.log_slopes(x))
            blocks.append(design if not term.fixed else 0 * design)
        whole = np.concatenate(blocks, axis=1)
        normal = whole.T @ whole
        normal[np.diag_indices_from(normal)] += 1e-6 * (np.trace(normal) / len(normal) + 1e-12)
        change = np.linalg.solve(normal, whole.T @ (log_scale - log_g))
        for x, part in zip(parameters, np.split(change, np.cumsum([len(x) for x in parameters])[:-1]), strict=True):
            x += np.clip(part, -1.0, 1.0)
    return log_g


class ScalingContract(CallContract):
    """Checks of a scaling model.

    Attributes
    ----------
    corrects : tuple of str
        What the model can correct for, of ``"scale"`` (one factor), ``"image"`` (along the scan), ``"resolution"`` (B factor), ``"direction"``
        (absorption): it is then tried on data that need it.
    takes_stills : bool
        False for a model that by design refuses stills.
    """

    slot: ClassVar[str] = "scaling"
    n_images: ClassVar[int] = 90
    corrects: ClassVar[tuple[str, ...]] = ("scale",)
    takes_stills: ClassVar[bool] = True
    budget_us: ClassVar[float] = 20.0
    rtol: ClassVar[float] = 1e-9

    def problem(self, which: int) -> Problem:
        experiment = scan_experiment(self.n_images + (0, 0, 40)[which], (1.0, 0.5, 1.0)[which])
        observations = scan_observations(experiment, (500, 500, 130)[which], seed=60 + which)
        return "build_scaling_model", {"experiment": experiment, "observations": observations, "existing": None}

    def large_problem(self) -> tuple[Problem, int]:
        experiment = scan_experiment(self.n_images)
        observations = scan_observations(experiment, 20_000, seed=63)
        arguments = {"experiment": experiment, "observations": observations, "existing": None}
        return ("build_scaling_model", arguments), len(observations)

    def telling_problems(self) -> list[Problem]:
        """Many observations on a wide scan."""
        experiment = scan_experiment(360)
        observations = scan_observations(experiment, 6000, seed=64)
        return [("build_scaling_model", {"experiment": experiment, "observations": observations, "existing": None})]

    def build(self, plugin: Handle, experiment: Experiment, observations: ScalingObservations) -> ScalingModel:
        """Call the hook as the program does."""
        made: ScalingModel = plugin.build_scaling_model(experiment=experiment, observations=observations, existing=None)
        return made

    @pytest.mark.parametrize("effect", ["scale", "image", "resolution", "direction"])
    def test_what_it_corrects_for_is_corrected(self, plugin: Handle, effect: str) -> None:
        if effect not in self.corrects:
            pytest.skip(f"`corrects` of this test does not name {effect!r}; if the model corrects for it, say so there")
        experiment = scan_experiment(self.n_images)
        observations = scan_observations(experiment, 3000, seed=65)
        part = observations.image / self.n_images
        z = observations.source[:, 2], observations.diffracted[:, 2]
        true = {
            "scale": np.full(3000, np.log(1.7)),
            "image": np.log(1 + 0.3 * np.sin(5 * part) + 0.2 * part),
            "resolution": 6.0 / (2 * observations.d**2),
            "direction": 0.1 * (z[0] + z[1]) + 0.05 * (observations.source[:, 0] + observations.diffracted[:, 0]),
        }[effect]
        left = true - fitted_scale(self.build(plugin, experiment, observations), true)
        size = np.sqrt(np.mean(true**2)) if effect == "scale" else true.std()
        assert np.sqrt(np.mean(left**2)) < 0.25 * size, (
            f"{effect}: {np.sqrt(np.mean(left**2)) / size:.0%} of it are left"
        )

    def test_images_may_be_cut_finer(self, plugin: Handle) -> None:
        """The same scan in ten times as many images, at the same angles: the same model."""
        coarse, fine = scan_experiment(self.n_images, 1.0), scan_experiment(10 * self.n_images, 0.1)
        seen = scan_observations(coarse, 400, seed=66)
        finer = replace(seen, image=10 * seen.image, image_observed=10 * seen.image_observed)
        one, other = self.build(plugin, coarse, seen), self.build(plugin, fine, finer)
        for a, b in zip(one.terms, other.terms, strict=True):
            assert a.parameters.shape == b.parameters.shape, (
                f"{a.name}: {len(a.parameters)} and {len(b.parameters)} parameters"
            )
            x = a.parameters + 0.2 * np.sin(2.0 * np.arange(len(a.parameters)))
            np.testing.assert_allclose(a.values(x), b.values(x), rtol=1e-3)

    def test_images_may_begin_at_any_number(self, plugin: Handle) -> None:
        here, there = scan_experiment(self.n_images), scan_experiment(self.n_images, first=1001)
        seen = scan_observations(here, 400, seed=67)
        moved = replace(seen, image=seen.image + 1000, image_observed=seen.image_observed + 1000)
        one, other = self.build(plugin, here, seen), self.build(plugin, there, moved)
        for a, b in zip(one.terms, other.terms, strict=True):
            assert a.parameters.shape == b.parameters.shape
            np.testing.assert_array_equal(a.indices[:], b.indices[:])
            np.testing.assert_allclose(a.weights[:], b.weights[:], rtol=1e-6, atol=1e-6)

    @pytest.mark.parametrize(("low", "high"), [(0.0, 0.3), (0.45, 0.5), (0.8, 1.0)])
    def test_observations_may_be_in_a_part_of_the_scan(self, plugin: Handle, low: float, high: float) -> None:
        experiment = scan_experiment(self.n_images)
        seen = scan_observations(experiment, 200, seed=68)
        image = self.n_images * (low + (high - low) * seen.image / self.n_images)
        for term in self.build(plugin, experiment, replace(seen, image=image, image_observed=image)).terms:
            x = term.parameters + 0.02 * np.sin(np.arange(len(term.parameters)))
            assert np.isfinite(term.values(x)).all() and (term.values(x) > 0.5).all()

    def test_the_ends_of_the_scan_belong_to_it(self, plugin: Handle) -> None:
        experiment = scan_experiment(self.n_images)
        seen = scan_observations(experiment, 300, seed=69)
        image = seen.image.copy()
        image[:2], image[-2:] = [0.0, -0.3], [self.n_images, self.n_images + 0.3]
        model = self.build(plugin, experiment, replace(seen, image=image, image_observed=image))
        for term in model.terms:
            x = term.parameters + 0.02 * np.sin(np.arange(len(term.parameters)))
            assert np.isfinite(term.values(x)).all() and (term.values(x) > 0.5).all()

    def test_stills_are_taken_or_refused_in_words(self, plugin: Handle) -> None:
        experiment = replace(scan_experiment(1), scan=None, goniometer=None)
        seen = scan_observations(scan_experiment(1), 50, seed=70)
        seen = replace(seen, image=np.zeros(50), image_observed=np.zeros(50))
        if not self.takes_stills:
            with pytest.raises(UserError):
                self.build(plugin, experiment, seen)
            return
        for term in self.build(plugin, experiment, seen).terms:
            np.testing.assert_allclose(term.values(term.parameters), 1.0, atol=1e-9)

    def test_a_scan_of_one_image_is_scaled(self, plugin: Handle) -> None:
        experiment = scan_experiment(1, 0.1)
        for term in self.build(plugin, experiment, scan_observations(experiment, 60, seed=71)).terms:
            assert np.isfinite(term.values(term.parameters + 0.01)).all()

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
        rows = {f.name: np.repeat(getattr(one, f.name), 100, axis=0) for f in fields(one)}
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
            indices = (
                np.broadcast_to(term.indices[:], term.weights.shape) if len(term.indices) == 1 else term.indices[:]
            )
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
