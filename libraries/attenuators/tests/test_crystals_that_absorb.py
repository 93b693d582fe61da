"""Transmissions of crystals: closed forms of spheres and plates, rays traced from random points, bad shapes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad

from spindle.errors import ModelError
from spindle_lib_attenuators import Ellipsoid, Material, Polyhedron

CUBE = np.concatenate([np.eye(3), -np.eye(3)])


def directions(n: int, seed: int = 0) -> np.ndarray:
    v = np.random.default_rng(seed).normal(size=(2, n, 3))
    return v / np.linalg.norm(v, axis=2, keepdims=True)


def traced(inside, mu, source, out, n=10_000, seed=1):
    """Transmission and its error by rays from random points in a body, in steps until they are outside: no formula of a surface."""
    rng = np.random.default_rng(seed)
    points = rng.uniform(-1, 1, (8 * n, 3))
    points = points[inside(points)][:n]
    paths = np.zeros(len(points))
    for v in (source, out):
        low, high = np.zeros(len(points)), np.full(len(points), 4.0)
        for _ in range(40):
            middle = 0.5 * (low + high)
            still = inside(points + middle[:, None] * v)
            low, high = np.where(still, middle, low), np.where(still, high, middle)
        paths += low
    values = np.exp(-mu * paths)
    return values.mean(), values.std() / np.sqrt(len(values))


@pytest.mark.parametrize(("mu_r", "expected"), [(0.5, 2.0755), (1.0, 4.1237), (2.0, 14.000)])
def test_a_sphere_straight_through_absorbs_as_the_closed_form_says(mu_r, expected):
    """A* = 1 / T with T = 3 / (4 x^3) (1 - exp(-2 x) (1 + 2 x + 2 x^2)); 2.0755 at x = 0.5 in International Tables C, 6.3.3."""
    x = mu_r
    exact = 3.0 / (4.0 * x**3) * (1.0 - np.exp(-2 * x) * (1.0 + 2 * x + 2 * x * x))
    assert 1.0 / exact == pytest.approx(expected, rel=2e-4)
    beam = np.array([[0.0, 0.6, 0.8]])
    found = Ellipsoid.of_axes([0.1, 0.1, 0.1]).transmission(10.0 * mu_r, -beam, beam)
    assert found[0] == pytest.approx(exact, rel=1e-3)


@pytest.mark.parametrize("mu_r", [0.5, 1.0, 2.0])
def test_a_sphere_seen_from_where_the_beam_comes_is_an_integral_over_chords(mu_r):
    exact = 3 / 8 * quad(lambda l: l * (1.0 - np.exp(-2 * mu_r * l)) / (2 * mu_r), 0, 2)[0]
    back = np.array([[1.0, 0.0, 0.0]])
    assert Ellipsoid.of_axes([1.0, 1.0, 1.0]).transmission(mu_r, back, back)[0] == pytest.approx(exact, rel=1e-3)


@pytest.mark.parametrize("mu", [0.7, 3.0])
def test_bodies_absorb_as_rays_from_random_points(mu):
    turn = np.linalg.qr(np.random.default_rng(4).normal(size=(3, 3)))[0]
    axes = np.array([0.9, 0.4, 0.25])
    ellipsoid = Ellipsoid.of_axes(axes, turn)
    normals = np.array([[1, 1, 0.2], [-1, 1, 0], [1, -1, 0.1], [-1, -1, 0.3], [0.1, 0, 1], [0, 0.2, -1], [1, 0, 1.0]])
    distances = np.array([0.3, 0.5, 0.4, 0.45, 0.35, 0.6, 0.4])
    crystal = Polyhedron.of_faces(normals, distances)
    unit = normals / np.linalg.norm(normals, axis=1)[:, None]
    source, out = directions(4)
    for body, inside in (
        (ellipsoid, lambda p: ((p @ turn.T / axes) ** 2).sum(axis=1) <= 1), (crystal, lambda p: (p @ unit.T <= distances).all(axis=1)),
    ):  # fmt: skip
        found = body.transmission(mu, source, out)
        for k in range(4):
            value, error = traced(inside, mu, source[k], out[k])
            assert abs(found[k] - value) < 4 * error + 1e-3 * value


def test_a_wide_plate_absorbs_as_the_formula_of_plates():
    """In symmetric transmission exp(-mu t / cos); in reflection cos / (2 mu t) (1 - exp(-2 mu t / cos))."""
    plate = Polyhedron.of_faces(CUBE, [500.0, 500.0, 0.1, 500.0, 500.0, 0.1])
    mu, angle = 5.0, np.radians(35)
    source = np.array([[np.sin(angle), 0, -np.cos(angle)]])
    path = mu * 0.2 / np.cos(angle)
    through = np.array([[np.sin(angle), 0, np.cos(angle)]])
    assert plate.transmission(mu, source, through, 12)[0] == pytest.approx(np.exp(-path), rel=2e-3)
    assert plate.transmission(mu, source, source * [-1, 1, 1], 12)[0] == pytest.approx(
        (1 - np.exp(-2 * path)) / (2 * path), rel=2e-3
    )


def test_a_crystal_without_absorption_lets_everything_through_and_none_has_none():
    source, out = directions(5)
    cube = Polyhedron.of_faces(3 * CUBE, np.full(6, 0.1))
    np.testing.assert_allclose(cube.transmission(0.0, source, out), 1.0, rtol=1e-12)
    assert len(cube.corners) == 8
    assert len(cube.transmission(1.0, source[:0], out[:0])) == 0


def test_where_the_origin_lies_and_how_the_crystal_is_turned_does_not_matter():
    turn = np.linalg.qr(np.random.default_rng(7).normal(size=(3, 3)))[0]
    source, out = directions(20)
    one = Polyhedron.of_faces(CUBE, np.full(6, 0.2)).transmission(4.0, source, out)
    other = Polyhedron.of_faces(CUBE @ turn.T, [0.3, 0.2, 0.25, 0.1, 0.2, 0.15]).transmission(
        4.0, source @ turn.T, out @ turn.T
    )
    np.testing.assert_allclose(other, one, rtol=3e-3)


@pytest.mark.parametrize(
    ("normals", "distances", "says"),
    [
        (CUBE[:5], np.ones(5), "no end in some direction"),
        (CUBE[:0], np.ones(0), "no end in some direction"),
        (CUBE * [1, 1, 0], np.ones(6), "face 3 of the crystal has no direction"),
        (CUBE, [1, 1, 1, 1, 0, 1], "face 5 of the crystal is 0 mm"),
    ],
)
def test_faces_that_are_no_body_are_refused(normals, distances, says):
    with pytest.raises(ModelError, match=says):
        Polyhedron.of_faces(normals, distances)


def test_ellipsoids_without_extent_or_with_slanted_axes_are_refused():
    with pytest.raises(ModelError, match="three positive numbers"):
        Ellipsoid.of_axes([0.1, 0.0, 0.2])
    with pytest.raises(ModelError, match="right angles"):
        Ellipsoid.of_axes([0.1, 0.1, 0.2], [[1, 0, 0], [1, 1, 0], [0, 0, 1]])


def test_the_mass_of_a_formula_is_that_of_its_atoms():
    assert Material("C6H12O6", 1.0).mass == pytest.approx(180.156, abs=0.01)
