"""Intensities of all reflections to a resolution: random, from coordinates, or from a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import gemmi
import numpy as np

from spindle.errors import FileFormatError, ParameterError, UserError
from spindle.files import refuse_holes
from spindle.symmetry import ChangeOfBasis, asu_indices, epsilon_factors, is_centric, is_systematically_absent
from spindle_lib_merging import mtz_indices, read_mtz, whole_indices, wilson_plot

__all__ = ["Structure", "random_structure", "structure_from_coordinates", "structure_from_intensities", "twinned"]


@dataclass(frozen=True, slots=True)
class Structure:
    """True intensities.

    Attributes
    ----------
    cell : (6,) float64, angstrom and deg
    group : gemmi.SpaceGroup
    hkl : (n, 3) int32
        All indices of the sphere with d >= d_min, systematic absences included (their intensity is 0).
    intensity : (n,) float64
        |F|^2 on any scale.
    source : str
        In words.
    """

    cell: np.ndarray
    group: gemmi.SpaceGroup
    hkl: np.ndarray
    intensity: np.ndarray
    source: str

    def wilson_b(self) -> float | None:
        """Slope of the Wilson plot of the true intensities, angstrom^2, as `spindle merge` finds it from measured ones.

        None with too few reflections. The plot divides by the scattering of protein atoms, which falls with resolution too: a
        random structure whose intensities fall by exp(-B / (2 d^2)) has a Wilson B below B, by 9 A^2 between 4 and 2.2 A.
        """
        unique, number, _ = _unique(self.hkl, self.group)
        first = np.unique(number, return_index=True)[1]
        present = ~is_systematically_absent(unique, self.group)
        d = gemmi.UnitCell(*self.cell).calculate_d_array(unique[present])
        plot = wilson_plot(self.intensity[first[present]], d, epsilon_factors(unique[present], self.group))
        return None if plot is None else plot.b_factor

    def scaled(self, factor: float) -> Structure:
        """The same intensities on another scale."""
        return Structure(self.cell, self.group, self.hkl, self.intensity * factor, self.source)


def twinned(structure: Structure, law: ChangeOfBasis, fraction: float) -> Structure:
    """The intensities of a twin: (1 - fraction) I(h) + fraction I(h'), h' what the law makes of h.

    Mates beyond the resolution of the structure count as 0; the law is a symmetry of the lattice, so that hardly any are.

    Raises
    ------
    ParameterError
        If the law does not take the lattice to itself.
    """
    metric = gemmi.UnitCell(*structure.cell).reciprocal_metric_tensor().as_mat33().tolist()
    turned_metric = law.matrix.T @ np.array(metric) @ law.matrix
    if np.abs(turned_metric - metric).max() > 0.1 * np.abs(metric).max():
        raise ParameterError(
            f"structure.twin_law={law.as_hkl()}: no symmetry of the lattice with cell "
            f"{' '.join(f'{v:g}' for v in structure.cell)}; give one, such as k,h,-l of a tetragonal cell"
        )
    mates, whole = law.apply_to_indices(structure.hkl)
    keys = _keys(structure.hkl)
    order = np.argsort(keys)
    wanted = _keys(mates)
    place = order[np.minimum(np.searchsorted(keys[order], wanted), len(keys) - 1)]
    mate = np.where(whole & (keys[place] == wanted), structure.intensity[place], 0.0)
    intensity = (1.0 - fraction) * structure.intensity + fraction * mate
    source = f"{structure.source}; {100 * fraction:g} % twinned by {law.as_hkl()}"
    return Structure(structure.cell, structure.group, structure.hkl, intensity, source)


def _sphere(cell: np.ndarray, d_min: float) -> tuple[np.ndarray, np.ndarray]:
    """All indices (n, 3) int32 of the sphere but 0 0 0, and 1 / d^2 (n,)."""
    unit_cell = gemmi.UnitCell(*cell)
    half = np.asarray(gemmi.make_miller_array(unit_cell, gemmi.SpaceGroup("P 1"), d_min, 0.0, True), dtype=np.int32)
    hkl = np.concatenate([half, -half])
    return hkl, np.asarray(unit_cell.calculate_1_d2_array(hkl))


def _unique(hkl: np.ndarray, group: gemmi.SpaceGroup) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unique indices of the asymmetric unit, the number of each in that list, and which are I(-)."""
    mapped, isym = asu_indices(hkl, group)
    _, first, number = np.unique(_keys(mapped), return_index=True, return_inverse=True)
    return mapped[first], number, isym % 2 == 0


def _keys(hkl: np.ndarray) -> np.ndarray:
    """One int64 per index (n, 3): sorting whole rows is ten times slower."""
    h, k, l = (hkl.astype(np.int64) + (1 << 15)).T
    return (h << 32) + (k << 16) + l


def random_structure(
    cell: np.ndarray, group: gemmi.SpaceGroup, d_min: float, b_factor: float, anomalous: float, rng: np.random.Generator
) -> Structure:
    """Intensities with Wilson's statistics that obey the symmetry.

    Acentric intensities are exponential, centric ones chi^2 with one degree of freedom, times epsilon and exp(-B / (2
    d^2)).

    Parameters
    ----------
    cell : (6,) float64
    group : gemmi.SpaceGroup
    d_min : float, angstrom
    b_factor : float, angstrom^2
        All of the fall with resolution, that of the scattering factors of atoms included.
    anomalous : float
        Rms relative difference between acentric Friedel mates.
    rng : numpy.random.Generator
    """
    hkl, inverse_d2 = _sphere(cell, d_min)
    unique, number, minus = _unique(hkl, group)
    centric = is_centric(unique, group)
    normalised = np.where(centric, rng.standard_normal(len(unique)) ** 2, rng.exponential(size=len(unique)))
    normalised *= epsilon_factors(unique, group)
    normalised[is_systematically_absent(unique, group)] = 0.0
    difference = np.where(centric, 0.0, rng.standard_normal(len(unique)) * 0.5 * anomalous)
    mate = 1.0 + np.clip(difference, -0.9, 0.9)[number] * np.where(minus, -1.0, 1.0)
    intensity = normalised[number] * mate * np.exp(-0.5 * b_factor * inverse_d2)
    return Structure(
        np.asarray(cell, float), group, hkl, intensity, f"random, falling by exp(-{b_factor:g} A^2 / (2 d^2))"
    )


def structure_from_coordinates(
    path: Path, cell: np.ndarray | None, group: gemmi.SpaceGroup | None, d_min: float, b_added: float
) -> Structure:
    """|F|^2 of a coordinate file: electron density of the model on a grid, and its Fourier transform.

    The bulk solvent is left out, so low-resolution intensities are larger than in a crystal.
    """
    if not path.is_file():
        raise FileFormatError(f"structure.coordinates={path}: no such file; give a PDB or mmCIF file")
    try:
        model = gemmi.read_structure(str(path))
    except (RuntimeError, ValueError) as error:
        raise FileFormatError(f"structure.coordinates={path}: gemmi cannot read it: {error}") from error
    if len(model) == 0 or model[0].count_atom_sites() == 0:
        raise FileFormatError(f"structure.coordinates={path}: holds no atoms")
    if cell is not None:
        model.cell = gemmi.UnitCell(*cell)
    if group is not None:
        model.spacegroup_hm = group.xhm()
    model.setup_cell_images()
    group = model.find_spacegroup()
    if group is None or not model.cell.is_crystal():
        raise UserError(
            f"structure.coordinates={path}: names no cell or space group; set crystal.unit_cell= and "
            "crystal.space_group="
        )
    calculator = gemmi.DensityCalculatorX()
    calculator.d_min = d_min
    calculator.rate = 1.5
    calculator.set_refmac_compatible_blur(model[0])
    calculator.set_grid_cell_and_spacegroup(model)
    calculator.put_model_density_on_grid(model[0])
    factors = gemmi.transform_map_to_f_phi(calculator.grid).prepare_asu_data(dmin=d_min, unblur=calculator.blur)
    known_hkl, known = np.asarray(factors.miller_array, dtype=np.int32), np.abs(np.asarray(factors.value_array)) ** 2
    cell = np.array(model.cell.parameters)
    hkl, inverse_d2 = _sphere(cell, d_min)
    intensity = _expand(hkl, group, known_hkl, known)
    return Structure(
        cell,
        group,
        hkl,
        intensity * np.exp(-0.5 * b_added * inverse_d2),
        f"{model[0].count_atom_sites()} atoms of {path.name}",
    )


def structure_from_intensities(
    path: Path, cell: np.ndarray | None, group: gemmi.SpaceGroup | None, d_min: float, b_added: float
) -> Structure:
    """|F|^2 from an MTZ file (a column of type J, else F squared) or from a text file of h k l I.

    Friedel mates get their mean.
    """
    if not path.is_file():
        raise FileFormatError(f"structure.intensities={path}: no such file; give an MTZ or a text file of h k l I")
    refuse_holes(path)
    if path.suffix.lower() == ".mtz":
        try:
            mtz = read_mtz(path)
        except (RuntimeError, ValueError) as error:
            raise FileFormatError(f"structure.intensities={path}: gemmi cannot read it: {error}") from error
        columns = mtz.columns_with_type("J") or mtz.columns_with_type("F")
        if not columns:
            raise FileFormatError(f"structure.intensities={path}: has no column of type J (intensity) or F (amplitude)")
        values = np.array(columns[0], dtype=float)
        known = values if columns[0].type == "J" else values**2
        known_hkl = mtz_indices(mtz, f"structure.intensities={path}")
        cell = np.array(mtz.cell.parameters) if cell is None else cell
        group = mtz.spacegroup if group is None else group
    else:
        try:
            rows = np.loadtxt(path, usecols=(0, 1, 2, 3), ndmin=2)
        except (ValueError, IndexError) as error:
            raise FileFormatError(f"structure.intensities={path}: expected lines of h k l I: {error}") from error
        known_hkl, known = whole_indices(rows[:, :3], f"structure.intensities={path}"), rows[:, 3]
    if cell is None or group is None:
        raise UserError(
            f"structure.intensities={path}: names no cell or space group; set crystal.unit_cell= and space_group="
        )
    good = np.isfinite(known)
    hkl, inverse_d2 = _sphere(cell, d_min)
    intensity = _expand(hkl, group, known_hkl[good], np.maximum(known[good], 0.0)) * np.exp(-0.5 * b_added * inverse_d2)
    return Structure(np.asarray(cell, float), group, hkl, intensity, f"{good.sum()} intensities of {path.name}")


def _expand(hkl: np.ndarray, group: gemmi.SpaceGroup, known_hkl: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Intensities (n,) of ``hkl`` from a list of symmetry-unique or redundant ones; 0 where nothing is known."""
    known_asu, _ = asu_indices(known_hkl, group)
    asu, _ = asu_indices(hkl, group)
    unique, number = np.unique(_keys(np.concatenate([known_asu, asu])), return_inverse=True)
    total = np.bincount(number[: len(known)], weights=known, minlength=len(unique))
    count = np.bincount(number[: len(known)], minlength=len(unique))
    mean = total / np.maximum(count, 1)
    return mean[number[len(known) :]]
