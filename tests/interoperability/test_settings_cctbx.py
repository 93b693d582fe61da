"""What a setting of a space group means for cells and indices, against cctbx in all 530 settings of its table. Skipped without DIALS."""

from __future__ import annotations

import numpy as np
import pytest

from spindle.models import Crystal
from spindle.symmetry import (
    bravais_type,
    cell_parameters,
    epsilon_factors,
    is_centric,
    is_systematically_absent,
    laue_class,
    laue_group_ops,
    niggli_reduce,
    orthogonalisation,
    primitive_operator,
    reference_operator,
    space_group,
    symmetrise_cell,
)

RNG = np.random.default_rng(11)
#: A cell without symmetry for each setting: edges of 5 to 200 A, angles of 70 to 110 degrees.
CELLS = [[*np.exp(RNG.uniform(np.log(5), np.log(200), 3)), *RNG.uniform(70, 110, 3)] for _ in range(530)]
#: Axes, planes and general indices.
HKL = np.array([*np.ndindex(4, 3, 3)])[1:] * RNG.choice([-1, 1], (35, 3))
SETTINGS = """
import json, sys
from cctbx import crystal, miller, sgtbx, uctbx
from cctbx.array_family import flex
from cctbx.sgtbx import bravais_types
cells, hkl = json.load(open(sys.argv[1]))
hkl = flex.miller_index([tuple(h) for h in hkl])
found = []
for symbol, cell in zip(sgtbx.space_group_symbol_iterator(), cells):
    group = sgtbx.space_group(symbol.hall())
    cell = group.average_unit_cell(uctbx.unit_cell(cell))
    found.append({
        "hall": symbol.hall(), "laue": group.laue_group_type(),
        "lattice": str(bravais_types.bravais_lattice(number=group.type().number())),
        "cell": cell.parameters(), "frac": cell.fractionalization_matrix(), "d": list(cell.d(hkl)),
        "niggli": crystal.symmetry(cell, space_group=group).niggli_cell().unit_cell().parameters(),
        "absent": list(group.is_sys_absent(hkl)), "centric": list(group.is_centric(hkl)), "epsilon": list(group.epsilon(hkl)),
        "equivalents": [[e.h() for e in miller.sym_equiv_indices(group, h).indices()] for h in hkl],
    })
json.dump(found, open(sys.argv[2], "w"))
"""
REFERENCES = """
import json, sys
from cctbx import sgtbx, uctbx
found = []
for hall, cell, text in json.load(open(sys.argv[1])):
    group, change = sgtbx.space_group(hall), sgtbx.change_of_basis_op(text)
    reference = sgtbx.space_group_info(number=group.type().number()).group()
    found.append([group.change_basis(change) == reference, uctbx.unit_cell(cell).change_basis(change).parameters()])
json.dump(found, open(sys.argv[2], "w"))
"""


@pytest.fixture(scope="module")
def settings(ask_cctbx):
    """(space group, what cctbx says of it) of each setting."""
    told = ask_cctbx(SETTINGS, [CELLS, HKL.tolist()])
    assert len(told) == 530
    return [(space_group(" " + setting["hall"]), setting) for setting in told]


def test_lattices_and_laue_classes_are_those_of_cctbx(settings):
    for group, setting in settings:
        assert bravais_type(group) == setting["lattice"].replace("oA", "oC"), group.xhm()
        assert laue_class(group).replace("-31m", "-3m").replace("-3m1", "-3m") == setting["laue"], group.xhm()


def test_cells_with_the_symmetry_of_a_setting_are_those_of_cctbx(settings):
    """Averaged over the group, as matrices and as lengths, and reduced whatever the centring."""
    for cell, (group, setting) in zip(CELLS, settings, strict=True):
        average = symmetrise_cell(cell, group)
        np.testing.assert_allclose(average, setting["cell"], rtol=1e-9, err_msg=group.xhm())
        crystal = Crystal.from_cell(average, space_group=group)
        np.testing.assert_allclose(crystal.B.T.ravel(), setting["frac"], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(1 / np.linalg.norm(HKL @ crystal.A.T, axis=1), setting["d"], rtol=1e-9)
        primitive = primitive_operator(group).matrix @ orthogonalisation(average).T
        reduced = cell_parameters(niggli_reduce(primitive)[0])
        np.testing.assert_allclose(reduced, setting["niggli"], rtol=1e-5, atol=1e-3, err_msg=group.xhm())


def test_what_a_setting_says_of_indices_is_what_cctbx_says(settings):
    for group, setting in settings:
        assert is_systematically_absent(HKL, group).tolist() == setting["absent"], group.xhm()
        assert is_centric(HKL, group).tolist() == setting["centric"], group.xhm()
        assert epsilon_factors(HKL, group).tolist() == setting["epsilon"], group.xhm()
        turn = laue_group_ops(group)
        for index, equivalents in zip(HKL, setting["equivalents"], strict=True):
            there = {tuple(h) for h in (sign * np.array(e) for e in equivalents for sign in (1, -1))}
            assert {tuple(h) for h in index @ turn} == there, group.xhm()


def test_reference_settings_and_their_cells_are_those_of_cctbx(settings, ask_cctbx):
    asked, cells = [], []
    for group, setting in settings:
        for cell in (None, setting["cell"])[: 1 + (group.crystal_system_str() == "monoclinic")]:
            operator = reference_operator(group, cell)
            asked.append([setting["hall"], setting["cell"], operator.as_xyz()])
            cells.append(operator.apply_to_cell(setting["cell"]))
    for (hall, *_), cell, (same, there) in zip(asked, cells, ask_cctbx(REFERENCES, asked), strict=True):
        assert same, hall
        np.testing.assert_allclose(cell, there, rtol=1e-6, err_msg=hall)
