"""Simulated spots, and what every indexing method must do: subclass `IndexingContract` and name your plugin.

>>> class TestMyMethod(IndexingContract):
...     name = "my_method"

A method that finds whole crystals has its contract in `spindle.testing.crystal_indexing`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pytest

from spindle.contracts.indexing import BasisVectors, IndexingError
from spindle.execution import Executor
from spindle.models import Beam, Crystal, Detector, Experiment, Experiments, Goniometer, Panel, Scan
from spindle.symmetry import niggli_cell, orthogonalisation
from spindle.table import Flag, ReflectionTable

from .calls import CallContract, Problem
from .data import make_context

__all__ = [
    "IndexingContract",
    "random_rotation",
    "reciprocal_points",
    "rotation_experiment",
    "spots_of",
]

TRICLINIC = (21.3, 27.9, 34.6, 84.0, 97.0, 103.0)


def random_rotation(seed: int = 0) -> np.ndarray:
    """A rotation matrix (3, 3), always the same for a seed."""
    q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return np.asarray(q * np.sign(np.linalg.det(q)))


def reciprocal_points(
    cell: Sequence[float] = TRICLINIC, d_min: float = 3.0, seed: int = 0, keep: float = 0.3, jitter: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Some points of a reciprocal lattice in a random orientation.

    Parameters
    ----------
    cell : (6,) floats, angstrom and degrees
    d_min : float, angstrom
    seed : int
    keep : float
        Fraction of the points that are seen.
    jitter : float, 1/angstrom
        Standard deviation of their positions.

    Returns
    -------
    rlp : (n, 3) float64, 1/angstrom
    basis : (3, 3) float64, angstrom
        Rows a, b, c of the true lattice.
    """
    rng = np.random.default_rng(seed)
    basis = orthogonalisation(cell).T @ random_rotation(seed).T
    limit = np.floor(np.linalg.norm(basis, axis=1) / d_min).astype(int)
    grid = np.stack(np.meshgrid(*[np.arange(-n, n + 1) for n in limit]), axis=-1).reshape(-1, 3)
    points = grid @ np.linalg.inv(basis).T
    length = np.linalg.norm(points, axis=1)
    points = points[(length > 0) & (length < 1 / d_min)]
    points = points[rng.random(len(points)) < keep]
    return points + rng.normal(0, jitter, points.shape), basis


def rotation_experiment(
    cell: Sequence[float] = (48.2, 57.4, 69.8, 90.0, 90.0, 90.0),
    space_group: str = "P 1",
    n_images: int = 60,
    width_deg: float = 1.0,
    seed: int = 0,
    distance: float = 180.0,
    axis: Sequence[float] = (1.0, 0.0, 0.0),
) -> Experiment:
    """One sweep of a crystal in a random orientation on a square detector of 1000 x 1000 pixels of 0.2 mm."""
    detector = Detector(
        (
            Panel(
                fast_axis=np.array([1.0, 0.0, 0.0]),
                slow_axis=np.array([0.0, -1.0, 0.0]),
                origin=np.array([-99.0, 101.0, -distance]),
                pixel_size=np.array([0.2, 0.2]),
                image_size=(1000, 1000),
            ),
        )
    )
    return Experiment(
        beam=Beam(direction=np.array([0.0, 0.0, 1.0]), wavelength=1.0),
        detector=detector,
        goniometer=Goniometer(rotation_axis=np.array(axis)),
        scan=Scan(image_range=(1, n_images), oscillation_deg=(0.0, width_deg)),
        crystal=Crystal.from_cell(cell, random_rotation(seed), space_group),
    )


def spots_of(
    experiments: Sequence[Experiment], d_min: float = 2.5, keep: float = 0.5, jitter_px: float = 0.2, seed: int = 0
) -> ReflectionTable:
    """Strong spots as a spot finder would give them, from predictions; experiments that share a scan are one sweep.

    Returns
    -------
    ReflectionTable
        In random order, with true indices and lattice in the columns ``true_index`` and ``true_lattice``.
    """
    from spindle.prediction import predict_static

    rng = np.random.default_rng(seed)
    sweeps: list[int] = []
    tables = []
    for number, experiment in enumerate(experiments):
        if id(experiment.scan) not in sweeps:
            sweeps.append(id(experiment.scan))
        predicted = predict_static(experiment, 0, d_min)
        predicted = predicted.select(rng.random(len(predicted)) < keep)
        n = len(predicted)
        position = predicted["xyzcal.px"] + rng.normal(0, jitter_px, (n, 3)) * (1.0, 1.0, 0.3)
        assert experiment.scan is not None
        first, end = experiment.scan.array_range
        position[:, 2] = np.clip(position[:, 2], first + 0.01, end - 0.01)
        table = ReflectionTable.with_rows(n, ["id", "panel", "flags", "imageset_id"])
        table["panel"] = predicted["panel"]
        table["imageset_id"] = np.full(n, sweeps.index(id(experiment.scan)))
        table["flags"] = np.full(n, int(Flag.STRONG), dtype=np.uint64)
        table["xyzobs.px.value"] = position
        table["xyzobs.px.variance"] = np.full((n, 3), max(jitter_px, 0.1) ** 2)
        start = np.floor(position).astype(np.int32) - (1, 1, 0)
        table["bbox"] = np.stack([start, start + np.array([3, 3, 1])], axis=-1).reshape(n, 6)
        table["true_index"] = predicted["miller_index"]
        table["true_lattice"] = np.full(n, number, dtype=np.int32)
        tables.append(table)
    joined = ReflectionTable.concatenate(tables)
    return joined.select(rng.permutation(len(joined)))


def without_crystals(experiments: Sequence[Experiment]) -> Experiments:
    """The sweeps as import gives them: lattices of one scan become one experiment without crystal."""
    from dataclasses import replace

    sweeps = {id(e.scan): e for e in reversed(experiments)}
    return Experiments([replace(e, crystal=None) for e in reversed(sweeps.values())])


class IndexingContract(CallContract):
    """Checks of an indexing method."""

    slot: ClassVar[str] = "indexing"
    budget_us: ClassVar[float] = 50_000.0
    rtol: ClassVar[float] = 1e-6

    def problem(self, which: int) -> Problem:
        rlp, _ = reciprocal_points(d_min=(3.5, 3.5, 4.0)[which], seed=10 + which, jitter=2e-4)
        return "find_basis_vectors", self.asked(rlp)

    def large_problem(self) -> tuple[Problem, int]:
        rlp, _ = reciprocal_points(seed=13)
        return ("find_basis_vectors", self.asked(rlp)), len(rlp)

    def asked(self, rlp: np.ndarray) -> dict[str, Any]:
        """Arguments of the hook."""
        return {
            "rlp": rlp, "min_cell": 3.0, "max_cell": 60.0, "target_cell": niggli_cell(TRICLINIC), "executor": Executor(None, 1),
        }  # fmt: skip

    def test_the_resolution_limit_is_that_of_the_points_that_were_used(self, plugin: Any) -> None:
        rlp, _ = reciprocal_points(seed=14)
        found = self.find(plugin, rlp)
        d = 1 / np.linalg.norm(rlp, axis=1)
        assert d.min() * 0.999 <= found.d_min < d.max(), (
            f"d_min is {found.d_min:.3g}, the points are from {d.max():.3g} to {d.min():.3g}"
        )
        assert found.n_points <= (d >= found.d_min * 0.999).sum() + 1

    def test_the_order_of_points_does_not_matter(self, plugin: Any) -> None:
        rlp, basis = reciprocal_points(seed=15, jitter=2e-4)
        for seed in (1, 2):
            shuffled = rlp[np.random.default_rng(seed).permutation(len(rlp))]
            assert_spans(self.find(plugin, shuffled).vectors, basis)

    def test_vectors_are_those_of_a_turned_crystal(self, plugin: Any) -> None:
        """No axis is special: the lattice of turned points is the turned lattice."""
        rlp, basis = reciprocal_points(seed=16)
        for turn in (random_rotation(3), np.roll(np.eye(3), 1, axis=0)):
            assert_spans(self.find(plugin, np.ascontiguousarray(rlp @ turn.T)).vectors, basis @ turn.T)

    def test_a_larger_cell_is_found_at_its_own_scale(self, plugin: Any) -> None:
        rlp, basis = reciprocal_points(seed=17)
        target = niggli_cell(TRICLINIC) * [1.6, 1.6, 1.6, 1, 1, 1]
        found = plugin.find_basis_vectors(
            rlp=rlp / 1.6, min_cell=5.0, max_cell=96.0, target_cell=target, executor=Executor(None, 1)
        )
        assert_spans(found.vectors, 1.6 * basis)
        assert found.d_min >= 1.6 * (1 / np.linalg.norm(rlp, axis=1)).min() * 0.999

    def test_the_strongest_of_two_lattices_is_found(self, plugin: Any) -> None:
        rlp, basis = reciprocal_points(seed=18, keep=0.4)
        other, _ = reciprocal_points(seed=19, keep=0.12)
        assert_spans(self.find(plugin, np.concatenate([other, rlp])).vectors, basis)

    def test_without_a_known_cell_it_works_or_says_so(self, plugin: Any) -> None:
        rlp, basis = reciprocal_points(seed=20)
        with contextlib.suppress(IndexingError):
            found = plugin.find_basis_vectors(
                rlp=rlp, min_cell=3.0, max_cell=60.0, target_cell=None, executor=Executor(None, 1)
            )
            assert_spans(found.vectors, basis)

    def find(self, plugin: Any, rlp: np.ndarray, max_cell: float = 60.0, n_workers: int = 1) -> BasisVectors:
        """Call the method with what it may ask for."""
        executor = Executor(None, n_workers)
        if n_workers > 1:
            executor = Executor(make_context().algorithm("executor", "threads"), n_workers)
        found: BasisVectors = plugin.find_basis_vectors(
            rlp=rlp, min_cell=3.0, max_cell=max_cell, target_cell=niggli_cell(TRICLINIC), executor=executor
        )
        return found

    @pytest.mark.parametrize("seed", [1, 2, 3])
    def test_finds_the_lattice_of_perfect_points(self, plugin: Any, seed: int) -> None:
        rlp, basis = reciprocal_points(seed=seed)
        assert_spans(self.find(plugin, rlp).vectors, basis)

    def test_finds_the_lattice_among_noise(self, plugin: Any) -> None:
        rlp, basis = reciprocal_points(seed=4, jitter=2e-4)
        noise = np.random.default_rng(5).uniform(-0.2, 0.2, (len(rlp) // 4, 3))
        assert_spans(self.find(plugin, np.concatenate([rlp, noise])).vectors, basis)

    def test_returns_what_the_contract_says(self, plugin: Any) -> None:
        rlp, _ = reciprocal_points(seed=6)
        found = self.find(plugin, rlp)
        assert isinstance(found, BasisVectors)
        m = len(found.vectors)
        assert found.vectors.shape == (m, 3)
        assert found.weights.shape == (m,)
        assert np.all(np.isfinite(found.vectors))
        assert np.all(np.diff(found.weights) <= 0), "most trustworthy first"
        assert 0 < found.n_points <= len(rlp)
        assert found.d_min > 0
        for i, v in enumerate(found.vectors):
            close = np.linalg.norm(found.vectors[:i] + v, axis=1) < 0.02 * np.linalg.norm(v)
            assert not close.any(), "a vector and its opposite"

    def test_same_result_for_any_number_of_workers(self, plugin: Any) -> None:
        rlp, _ = reciprocal_points(seed=7, jitter=2e-4)
        one, two = self.find(plugin, rlp), self.find(plugin, rlp, n_workers=2)
        np.testing.assert_array_equal(one.vectors, two.vectors)
        np.testing.assert_array_equal(one.weights, two.weights)

    @pytest.mark.parametrize("n", [0, 1, 2, 3])
    def test_hardly_any_points_are_no_lattice(self, plugin: Any, n: int) -> None:
        rlp, _ = reciprocal_points(seed=9)
        with contextlib.suppress(IndexingError):  # an error that says so is as good as no vectors
            assert isinstance(self.find(plugin, rlp[:n]), BasisVectors)


def assert_spans(vectors: np.ndarray, basis: np.ndarray, tolerance: float = 0.12) -> None:
    """The first vectors are lattice vectors, and some three of them are a primitive basis.

    Parameters
    ----------
    vectors : (m, 3) float64, angstrom
    basis : (3, 3) float64, angstrom
        Rows a, b, c of the true lattice.
    tolerance
        Largest deviation from whole numbers, in multiples of the basis vectors.
    """
    assert len(vectors) >= 3, f"only {len(vectors)} vectors"
    coordinates = vectors @ np.linalg.inv(basis)
    whole = np.rint(coordinates)
    good = np.abs(coordinates - whole).max(axis=1) < tolerance
    assert good[:3].all(), f"not lattice vectors: {vectors[:3][~good[:3]]}"
    whole = whole[good][:20]
    determinants = {
        abs(round(np.linalg.det(whole[[i, j, k]]))) for i in range(len(whole)) for j in range(i) for k in range(j)
    }
    assert 1 in determinants, "no three of the vectors are a primitive basis"
