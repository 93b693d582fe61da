"""References of files and structures, against direct summation over atoms by gemmi and against known settings."""

from __future__ import annotations

from pathlib import Path

import gemmi
import numpy as np
import pytest

from spindle.errors import UserError
from spindle.models import Crystal
from spindle.symmetry import asu_indices
from spindle_lib_reference_intensities import (
    Indexings,
    calculated_intensities,
    clear_choice,
    in_basis_of,
    read_reference,
    read_structure,
)

SMALL = """data_small
_cell_length_a 7.1
_cell_length_b 9.3
_cell_length_c 8.2
_cell_angle_alpha 90
_cell_angle_beta 104.5
_cell_angle_gamma 90
_space_group_name_H-M_alt 'P 21/c'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_U_iso_or_equiv
_atom_site_adp_type
_atom_site_occupancy
Fe1 Fe 0.0 0.0 0.0 0.02 Uiso 1
O1 O 0.2113 0.1415 0.3317 0.03 Uani 1
C1 C 0.3713 0.6111 0.2171 0.04 Uiso 0.5
loop_
_atom_site_aniso_label
_atom_site_aniso_U_11
_atom_site_aniso_U_22
_atom_site_aniso_U_33
_atom_site_aniso_U_12
_atom_site_aniso_U_13
_atom_site_aniso_U_23
O1 0.02 0.04 0.03 0.005 0.008 -0.004
"""


def random_protein(path: Path, group: str = "P 21 21 21", n: int = 60) -> Path:
    """Atoms anywhere in the asymmetric unit, as a PDB file."""
    rng = np.random.default_rng(5)
    structure = gemmi.Structure()
    structure.cell, structure.spacegroup_hm = gemmi.UnitCell(31.0, 34.0, 41.0, 90, 90, 90), group
    model, chain, residue = gemmi.Model(1), gemmi.Chain("A"), gemmi.Residue()
    residue.name, residue.seqid = "ALA", gemmi.SeqId("1")
    for k in range(n):
        atom = gemmi.Atom()
        atom.name, atom.element = "CA", gemmi.Element(["C", "N", "O", "S"][k % 4])
        atom.pos = structure.cell.orthogonalize(gemmi.Fractional(*rng.uniform(0.0, 0.5, 3)))
        atom.b_iso, atom.occ = float(rng.uniform(5, 30)), 1.0
        residue.add_atom(atom)
    chain.add_residue(residue)
    model.add_chain(chain)
    structure.add_model(model)
    structure.write_pdb(str(path))
    return path


def test_small_molecules_are_the_sum_over_their_atoms(tmp_path):
    """Anisotropic displacements, a special position, a partly occupied site, a monoclinic cell, with anomalous scattering."""
    path = tmp_path / "small.cif"
    path.write_text(SMALL)
    hkl, intensity = calculated_intensities(read_structure(path, "reference"), 0.9, wavelength=1.0)
    small = gemmi.read_small_structure(str(path))
    small.change_occupancies_to_crystallographic()
    direct = gemmi.StructureFactorCalculatorX(small.cell)
    direct.addends.add_cl_fprime(12398.42)
    expected = np.array([abs(direct.calculate_sf_from_small_structure(small, h)) ** 2 for h in hkl.tolist()])
    np.testing.assert_allclose(intensity, expected, rtol=2e-3, atol=1e-3 * expected.mean())
    absent = (hkl[:, 1] == 0) & (hkl[:, 2] % 2 == 1)  # the glide plane
    assert len(hkl) > 300 and not absent.any()
    np.testing.assert_array_equal(asu_indices(hkl, "P 21/c")[0], hkl)


@pytest.mark.parametrize(("probe", "direct"), [("x-ray", gemmi.StructureFactorCalculatorX), ("electron", gemmi.StructureFactorCalculatorE),
                                              ("neutron", gemmi.StructureFactorCalculatorN)])  # fmt: skip
def test_macromolecules_are_the_sum_over_their_atoms(tmp_path, probe, direct):
    structure = read_structure(random_protein(tmp_path / "p.pdb"), "reference")
    hkl, intensity = calculated_intensities(structure, 2.5, probe, k_sol=0)
    some = np.random.default_rng(1).choice(len(hkl), 60, replace=False)
    sums = direct(structure.atoms.cell)
    expected = np.array([abs(sums.calculate_sf_from_model(structure.atoms[0], h)) ** 2 for h in hkl[some].tolist()])
    np.testing.assert_allclose(intensity[some], expected, rtol=5e-3, atol=1e-3 * expected.mean())


def test_solvent_weakens_low_resolution_only(tmp_path):
    structure = read_structure(random_protein(tmp_path / "p.pdb"), "reference")
    hkl, without = calculated_intensities(structure, 2.0, k_sol=0)
    same, solvent = calculated_intensities(structure, 2.0)
    np.testing.assert_array_equal(hkl, same)
    d = 1 / np.linalg.norm(hkl / structure.cell[:3], axis=1)
    assert solvent[d > 10].sum() < 0.7 * without[d > 10].sum()
    assert solvent[d < 2.5].sum() == pytest.approx(without[d < 2.5].sum(), rel=0.05)


def write_mtz(path: Path, hkl, value, cell, group):
    mtz = gemmi.Mtz(with_base=True)
    mtz.spacegroup, mtz.cell = gemmi.SpaceGroup(group), gemmi.UnitCell(*cell)
    mtz.add_dataset("x")
    for label, kind in (("I", "J"), ("SIGI", "Q")):
        mtz.add_column(label, kind)
    mtz.set_data(np.column_stack([hkl, value, 0.1 * value]).astype(np.float32))
    mtz.write_to_file(str(path))
    return path


def reflections(group: str, cell, d_min=3.0, seed=2):
    """Indices of the asymmetric unit and intensities of a random structure."""
    hkl = gemmi.make_miller_array(gemmi.UnitCell(*cell), gemmi.SpaceGroup(group), d_min)
    value = np.random.default_rng(seed).exponential(1000.0, len(hkl)) + 10
    return np.asarray(hkl), value


def test_a_file_in_another_setting_is_brought_to_that_of_the_crystal(tmp_path):
    """C 1 2 1 and I 1 2 1 are one lattice, described twice."""
    cell = (90.0, 40.0, 50.0, 90.0, 110.0, 90.0)
    hkl, value = reflections("C 1 2 1", cell)
    reference = read_reference(write_mtz(tmp_path / "c2.mtz", hkl, value, cell, "C 1 2 1"), "reference", 3.0)
    a, c, beta = cell[0], cell[2], np.radians(cell[4])
    long = np.sqrt(a * a + c * c + 2 * a * c * np.cos(beta))
    angle = np.degrees(np.arccos((c * c + a * c * np.cos(beta)) / (c * long)))
    crystal = Crystal.from_cell((long, cell[1], c, 90.0, angle, 90.0), space_group="I 1 2 1")
    seen = np.column_stack([hkl[:, 0] + hkl[:, 2], hkl[:, 1], hkl[:, 2]])  # of the axes a + c, b, c
    moved, operator = in_basis_of(crystal, reference, seen, value, 0.05 * value, "reference")
    assert not operator.is_identity()
    lookup = {tuple(h): v for h, v in zip(moved.hkl.tolist(), moved.value, strict=True)}
    asu = asu_indices(seen, "I 1 2 1")[0]
    np.testing.assert_allclose([lookup[tuple(h)] for h in asu.tolist()], value, rtol=1e-4)


def test_a_reference_of_higher_symmetry_serves_a_crystal_of_lower_and_the_reverse(tmp_path):
    cell = (60.0, 60.0, 80.0, 90.0, 90.0, 90.0)
    hkl, value = reflections("P 4 2 2", cell)
    reference = read_reference(write_mtz(tmp_path / "p422.mtz", hkl, value, cell, "P 4 2 2"), "reference", 3.0)
    low = Crystal.from_cell(cell, space_group="P 4")
    moved, _ = in_basis_of(low, reference, hkl, value, value, "reference")
    mates = hkl[:, [1, 0, 2]]  # k h l is equivalent in P 4 2 2, not in P 4
    of = {tuple(h): v for h, v in zip(moved.hkl.tolist(), moved.value, strict=True)}
    np.testing.assert_allclose([of[tuple(h)] for h in asu_indices(mates, "P 4")[0].tolist()], value, rtol=1e-4)
    back, _ = in_basis_of(Crystal.from_cell(cell, space_group="P 4 2 2"), moved, hkl, value, value, "reference")
    of = {tuple(h): v for h, v in zip(back.hkl.tolist(), back.value, strict=True)}
    np.testing.assert_allclose([of[tuple(h)] for h in asu_indices(hkl, "P 4 2 2")[0].tolist()], value, rtol=1e-4)


def test_the_indexing_that_agrees_is_found_and_is_clear():
    cell = (60.0, 60.0, 80.0, 90.0, 90.0, 120.0)
    crystal = Crystal.from_cell(cell, space_group="P 3")
    hkl, value = reflections("P 3", cell)
    indexings = Indexings(crystal)
    assert indexings.ambiguous and not Indexings(Crystal.from_cell(cell, space_group="P 6 2 2")).ambiguous
    reference = indexings.normalised(hkl, value, 0.05 * value, crystal)
    turned = np.column_stack([hkl[:, 1], hkl[:, 0], -hkl[:, 2]])
    choices = indexings.choices(reference, indexings.normalised(turned, value, 0.05 * value, crystal))
    best, clear = clear_choice([c for _, c in choices])
    assert len(choices) == 4 and clear and choices[best][1].cc > 0.99
    back, whole = choices[best][0].apply_to_indices(turned)
    assert whole.all()
    np.testing.assert_array_equal(asu_indices(back, "P 3")[0], asu_indices(hkl, "P 3")[0])
    noise = indexings.normalised(turned, np.random.default_rng(8).permutation(value), 0.05 * value, crystal)
    assert not clear_choice([c for _, c in indexings.choices(reference, noise)])[1]


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("none.pdb", "REMARK nothing\n", "no atoms in it"),
        ("bad.mtz", "not an MTZ", "cannot be read as an MTZ"),
        ("nothing.cif", "data_x\n_cell_length_a 5\n", "no atoms in it"),
        (
            "nowhere.pdb",
            "ATOM      1  CA  ALA A   1      11.104   6.134  -6.504  1.00 10.00           C\n",
            "space group",
        ),
    ],
)
def test_files_that_hold_no_reference_are_refused(tmp_path, name, text, says):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(UserError, match=says):
        read_reference(path, "reference", 2.0)
    with pytest.raises(UserError, match="no such file"):
        read_reference(tmp_path / "absent.mtz", "reference", 2.0)


def test_another_crystal_form_is_refused(tmp_path):
    cell = (60.0, 60.0, 80.0, 90.0, 90.0, 90.0)
    hkl, value = reflections("P 4 2 2", cell)
    reference = read_reference(write_mtz(tmp_path / "r.mtz", hkl, value, cell, "P 4 2 2"), "reference", 3.0)
    with pytest.raises(UserError, match=r"reference: .*another crystal form"):
        in_basis_of(
            Crystal.from_cell((50.0, 50.0, 50.0, 90, 90, 90), space_group="P 4"),
            reference,
            hkl,
            value,
            value,
            "reference",
        )
