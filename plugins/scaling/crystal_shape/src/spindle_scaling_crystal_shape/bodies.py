"""The crystal as a body in the frame that its orientation matrix refers to, and what it is made of."""

from __future__ import annotations

import numpy as np

from spindle.errors import ModelError, ParameterError
from spindle.models import Crystal, Experiment
from spindle.symmetry import ChangeOfBasis, rotations
from spindle_lib_attenuators import Ellipsoid, Material, Polyhedron

from .params import CrystalShapeParams

__all__ = ["body_of", "coefficient_of", "refuse_other_settings"]

# Dalton per cubic angstrom in g / cm^3, CODATA 2018.
DALTON_PER_CUBIC_A = 1.66053906660
#: Orientations closer than this are those of one crystal.
SAME_ORIENTATION_DEG = 3.0
#: Crystals of one shape reach equally far in all directions within this part.
SAME_SHAPE = 0.02
#: Other data sets that an orientation is compared with.
MOST_COMPARED = 50


def _directions(params: CrystalShapeParams, crystal: Crystal, vectors: np.ndarray) -> np.ndarray:
    """(n, 3): vectors of the parameters in the frame of the orientation matrix."""
    if params.frame == "goniometer":
        return vectors
    if params.change_of_basis_op is not None:
        op = ChangeOfBasis.from_string(params.change_of_basis_op)
        vectors = vectors @ op.matrix.T
    return np.asarray(vectors @ np.asarray(crystal.A).T)


def body_of(params: CrystalShapeParams, crystal: Crystal, scope: str) -> Polyhedron | Ellipsoid:
    """The body that the parameters describe.

    Parameters
    ----------
    params : CrystalShapeParams
    crystal : Crystal
    scope : str
        Of the parameters, for messages.

    Raises
    ------
    ParameterError
        If they describe none, or two.
    """
    faces, half_axes = list(params.face or []), params.ellipsoid.half_axes
    if bool(faces) == (half_axes is not None):
        raise ParameterError(
            f"model={scope} needs the shape of the crystal: {scope}.face=h,k,l,distance for each face, or {scope}.ellipsoid.half_axes=, "
            + ("not both" if faces else "in mm")
        )
    try:
        if faces:
            table = np.asarray(faces, float)
            return Polyhedron.of_faces(_directions(params, crystal, table[:, :3]), table[:, 3])
        return Ellipsoid.of_axes(np.asarray(half_axes, float), _axes(params, crystal, scope))
    except ModelError as error:
        raise ParameterError(f"{scope}: {error}") from error


def _axes(params: CrystalShapeParams, crystal: Crystal, scope: str) -> np.ndarray:
    """(3, 3): unit vectors along the half axes."""
    found: list[np.ndarray] = []
    for name, usual in (("first_axis", [1.0, 0.0, 0.0]), ("second_axis", [0.0, 1.0, 0.0])):
        given = getattr(params.ellipsoid, name)
        vector = np.asarray(usual) if given is None else _directions(params, crystal, np.asarray([given], float))[0]
        for other in found:
            vector = vector - (vector @ other) * other
        length = float(np.linalg.norm(vector))
        if length < 1e-6 * (1.0 if given is None else float(np.linalg.norm(given))) or not np.isfinite(length):
            raise ParameterError(
                f"{scope}.ellipsoid.{name} has no direction{' across the first' if found else ''}; give both axes"
            )
        found.append(vector / length)
    return np.array([*found, np.cross(found[0], found[1])])


def coefficient_of(params: CrystalShapeParams, experiment: Experiment, scope: str) -> float:
    """Linear absorption coefficient at the wavelength of an experiment, 1/mm.

    Raises
    ------
    ParameterError
        If the parameters do not tell it, or tell it twice.
    """
    formula, density, units = params.formula, params.density, params.formula_units
    if (params.attenuation is None) == (formula is None):
        raise ParameterError(
            f"model={scope} needs what the crystal absorbs: {scope}.attenuation= in 1/mm, or {scope}.formula= with density= or "
            "formula_units=" + ("" if formula is None else ", not both")
        )
    if formula is None:
        return float(params.attenuation or 0.0)
    if (density is None) == (units is None):
        raise ParameterError(
            f"{scope}.formula={formula} needs {scope}.density= in g/cm^3, or {scope}.formula_units=, one of them"
        )
    if experiment.beam.probe != "x-ray":
        raise ParameterError(
            f"{scope}.formula= gives the absorption of X-rays; for {experiment.beam.probe} give {scope}.attenuation="
        )
    try:
        if units is not None:
            a, b, c = experiment.known_crystal.real_space
            volume = abs(float(np.dot(a, np.cross(b, c))))
            density = Material(formula, 1.0).mass * units * DALTON_PER_CUBIC_A / volume
        return Material(formula, density or 0.0).coefficient(experiment.beam.wavelength)
    except ModelError as error:
        raise ParameterError(f"{scope}.formula: {error}") from error


def refuse_other_settings(params: CrystalShapeParams, crystal: Crystal, others: list[Crystal], scope: str) -> None:
    """Refuse indices of faces where data sets of one crystal are indexed in different, equivalent ways.

    Raises
    ------
    ParameterError
        If the same indices are other faces of the same crystal in another data set.
    """
    if params.frame != "crystal":
        return
    own = np.asarray(crystal.A)
    reach = _reach(body_of(params, crystal, scope))
    turns = [np.asarray(r, float) for r in rotations(crystal.space_group) if not np.array_equal(r, np.eye(3))]
    for other in others[:MOST_COMPARED]:
        theirs = np.asarray(other.A)
        if _misorientation(theirs, own) < SAME_ORIENTATION_DEG:
            continue
        if any(_misorientation(theirs @ r.T, own) < SAME_ORIENTATION_DEG for r in turns):
            difference = np.abs(_reach(body_of(params, other, scope)) / reach - 1.0)
            if difference.max() > SAME_SHAPE:
                words = " ".join(
                    f"{scope}.face={','.join(f'{v:.4f}' for v in row)}" for row in _in_goniometer(params, crystal)
                )
                raise ParameterError(
                    f"{scope}.frame=crystal: data sets of one crystal are indexed in different, equivalent ways, so that the same indices are "
                    f"other faces in each. Give directions with {scope}.frame=goniometer"
                    + (f"; for the setting of the first of them that is {words}" if words else "")
                )


def _in_goniometer(params: CrystalShapeParams, crystal: Crystal) -> np.ndarray:
    faces = np.asarray(list(params.face or []), float).reshape(-1, 4)
    normals = _directions(params, crystal, faces[:, :3])
    normals = np.round(normals / np.linalg.norm(normals, axis=1)[:, None], 4) + 0.0  # no -0
    return np.column_stack([normals, faces[:, 3]])


def _misorientation(a: np.ndarray, b: np.ndarray) -> float:
    """Angle in degrees of the rotation nearest to what takes one orientation matrix to another; 180 where that is far from a rotation."""
    change = a @ np.linalg.inv(b)
    u, sizes, v = np.linalg.svd(change)
    if np.abs(sizes - 1.0).max() > 0.1 or np.linalg.det(u @ v) < 0:
        return 180.0
    return float(np.degrees(np.arccos(np.clip(0.5 * (np.trace(u @ v) - 1.0), -1.0, 1.0))))


def _reach(body: Polyhedron | Ellipsoid) -> np.ndarray:
    """(n,) float64, mm: how far the body reaches from its middle in many directions."""
    k = np.arange(200) + 0.5
    z, turn = 1.0 - k / 100.0, np.pi * (1.0 + np.sqrt(5.0)) * k
    ring = np.sqrt(1.0 - z * z)
    u = np.column_stack([ring * np.cos(turn), ring * np.sin(turn), z])
    if isinstance(body, Ellipsoid):
        return np.asarray(1.0 / np.linalg.norm(u @ body.shape.T, axis=1))
    with np.errstate(divide="ignore"):
        ends = body.distances / (u @ body.normals.T)
    return np.asarray(np.where(ends > 0, ends, np.inf).min(axis=1))
