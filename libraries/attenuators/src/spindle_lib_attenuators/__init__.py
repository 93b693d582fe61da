"""Attenuation of X-rays by the crystal and what holds it: tapes, windows, anvils."""

from .correction import averaged_over_spots, shifted_spread, spot_correction
from .crystals import Ellipsoid, Polyhedron
from .kapton import KAPTON, TapeParams, tape_coefficient, tape_factors
from .materials import Material
from .paths import edge_tape_paths, plate_paths, tape_box_paths
from .plates import plate_normals

__all__ = [
    "KAPTON",
    "Ellipsoid",
    "Material",
    "Polyhedron",
    "TapeParams",
    "averaged_over_spots",
    "edge_tape_paths",
    "plate_normals",
    "plate_paths",
    "shifted_spread",
    "spot_correction",
    "tape_box_paths",
    "tape_coefficient",
    "tape_factors",
]
