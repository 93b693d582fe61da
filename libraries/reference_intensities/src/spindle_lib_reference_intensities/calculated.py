"""Intensities that a structure would give: squared structure factors of its atoms and of flat solvent between them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gemmi
import numpy as np

from spindle.errors import UserError
from spindle.symmetry import is_systematically_absent

__all__ = ["Structure", "calculated_intensities", "read_structure"]

#: Photon energy times wavelength, eV angstrom.
HC = 12398.419843320026
#: Points of the density grid per half of the finest spacing; blurred densities are exact to 0.1 % with it.
GRID_RATE = 2.0
#: Density of each probe; B added to atoms that are too sharp for the grid is taken out of the structure factors again.
PROBES: dict[str, Any] = {
    "x-ray": gemmi.DensityCalculatorX,
    "electron": gemmi.DensityCalculatorE,
    "neutron": gemmi.DensityCalculatorN,
}


@dataclass(frozen=True, slots=True)
class Structure:
    """Atoms of a crystal.

    Attributes
    ----------
    atoms : gemmi.Structure
        Occupancies count each atom of a special position as often as symmetry repeats it.
    group : gemmi.SpaceGroup
    has_solvent : bool
        Of a macromolecule: what lies between the molecules is solvent.
    """

    atoms: gemmi.Structure
    group: gemmi.SpaceGroup
    has_solvent: bool

    @property
    def cell(self) -> np.ndarray:
        """(6,) float64, angstrom and degrees."""
        return np.array(self.atoms.cell.parameters, dtype=np.float64)


def read_structure(path: Path, parameter: str) -> Structure:
    """Read coordinates: PDB, mmCIF, or a small-molecule CIF.

    Parameters
    ----------
    path : Path
    parameter : str
        That named the file, for messages.

    Raises
    ------
    UserError
        If the file has no atoms, no cell or no space group.
    """
    name = f"{parameter}={path}"
    try:
        small = None
        if path.suffix.lower() in (".cif", ".mmcif"):
            small = _small_structure(path)
        structure = gemmi.read_structure(str(path)) if small is None else small
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(f"{name}: it cannot be read as coordinates: {error}") from error
    if not len(structure) or not structure[0].count_atom_sites():
        raise UserError(
            f"{name}: there are no atoms in it; give a PDB, mmCIF or small-molecule CIF file of coordinates"
        )
    group = structure.find_spacegroup()
    if group is None or not structure.cell.is_crystal():
        raise UserError(f"{name}: it does not tell the cell and the space group of a crystal; give a file that does")
    structure.setup_cell_images()
    return Structure(structure, group, small is None)


def _small_structure(path: Path) -> gemmi.Structure | None:
    """Fractional coordinates of a small-molecule CIF as a structure; None where the file has none."""
    document = gemmi.cif.read(str(path))
    block = next((b for b in document if b.find_values("_atom_site_fract_x")), None)
    if block is None:
        return None
    small = gemmi.make_small_structure_from_block(block)
    small.change_occupancies_to_crystallographic()
    residue = gemmi.Residue()
    for site in small.sites:
        atom = gemmi.Atom()
        atom.name, atom.element, atom.charge, atom.occ = site.label[:4], site.element, site.charge, site.occ
        atom.pos = small.cell.orthogonalize(site.fract)
        atom.b_iso = 8.0 * np.pi**2 * site.u_iso
        if site.aniso.nonzero():
            atom.aniso = _cartesian(site.aniso, small.cell)
        residue.add_atom(atom)
    structure = gemmi.Structure()
    structure.cell = small.cell
    structure.spacegroup_hm = small.spacegroup.xhm() if small.spacegroup is not None else ""
    model, chain = gemmi.Model(1), gemmi.Chain("A")
    chain.add_residue(residue)
    model.add_chain(chain)
    structure.add_model(model)
    return structure


def _cartesian(u: gemmi.SMat33d, cell: gemmi.UnitCell) -> gemmi.SMat33f:
    """Displacements along the axes, as CIF has them, in the orthogonal frame."""
    lengths = np.diag(cell.reciprocal().parameters[:3])
    change = np.array(cell.orth.mat.tolist()) @ lengths
    turned = change @ np.array(u.as_mat33().tolist()) @ change.T
    return gemmi.SMat33f(turned[0, 0], turned[1, 1], turned[2, 2], turned[0, 1], turned[0, 2], turned[1, 2])


def calculated_intensities(
    structure: Structure,
    d_min: float,
    probe: str = "x-ray",
    wavelength: float | None = None,
    k_sol: float = 0.35,
    b_sol: float = 46.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Squared structure factors of all reflections.

    Parameters
    ----------
    structure : Structure
    d_min : float, angstrom
    probe : {"x-ray", "electron", "neutron"}
        What the atoms scatter.
    wavelength : float, optional, angstrom
        X-rays: with it, the real part of anomalous scattering counts; Friedel mates are equal.
    k_sol : float, electrons per cubic angstrom
        Density of the solvent of macromolecules; 0 for none.
    b_sol : float, angstrom squared
        B factor of its edge.

    Returns
    -------
    hkl : (n, 3) int32
        One of each set of equivalents; absences and 0 0 0 are left out.
    intensity : (n,) float64
        |F|^2; electrons squared for X-rays.
    """
    calculator = PROBES[probe]()
    calculator.d_min, calculator.rate = d_min, GRID_RATE
    model = structure.atoms[0]
    if probe == "x-ray" and wavelength:
        calculator.addends.add_cl_fprime(HC / wavelength)
    calculator.set_refmac_compatible_blur(model)
    calculator.set_grid_cell_and_spacegroup(structure.atoms)
    calculator.put_model_density_on_grid(model)
    found = gemmi.transform_map_to_f_phi(calculator.grid).prepare_asu_data(dmin=d_min, unblur=calculator.blur)
    hkl, amplitude = np.array(found.miller_array), np.array(found.value_array)
    s_squared = np.asarray(found.make_1_d2_array(), dtype=np.float64)
    if structure.has_solvent and k_sol > 0 and probe == "x-ray":
        mask = gemmi.FloatGrid()
        mask.setup_from(structure.atoms, spacing=min(0.6, d_min / 2.5))
        gemmi.SolventMasker(gemmi.AtomicRadiiSet.Cctbx).put_mask_on_float_grid(mask, model)
        solvent = gemmi.transform_map_to_f_phi(mask).prepare_asu_data(dmin=d_min)
        amplitude = amplitude + k_sol * np.exp(-0.25 * b_sol * s_squared) * _like(found, solvent)
    use = ~is_systematically_absent(hkl, structure.group) & np.any(hkl != 0, axis=1)
    return hkl[use].astype(np.int32), np.abs(amplitude[use]).astype(np.float64) ** 2


def _like(reference: gemmi.ComplexAsuData, data: gemmi.ComplexAsuData) -> np.ndarray:
    """Values of the same reflections in the same order."""
    mine, theirs = np.array(reference.miller_array), np.array(data.miller_array)
    if mine.shape == theirs.shape and np.array_equal(mine, theirs):
        return np.array(data.value_array)
    values = {tuple(h): v for h, v in zip(theirs.tolist(), data.value_array, strict=True)}
    return np.array([values.get(tuple(h), 0.0) for h in mine.tolist()])
