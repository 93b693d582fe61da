"""Lattice symmetries, their settings and angles between orientations against cctbx, for random cells of all lattices. Skipped without DIALS."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import gemmi
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from spindle_program_index.orientation import misorientation_deg

import spindle
from spindle.errors import UserError
from spindle.models import Crystal, Experiments
from spindle.params import SpaceGroup
from spindle.symmetry import (
    ChangeOfBasis,
    bravais_type,
    cell_parameters,
    lattice_subgroups,
    niggli_cell,
    orthogonalisation,
    patterson_group,
    primitive_operator,
    space_group,
    symmetrise_cell,
)
from spindle.testing.indexing import rotation_experiment

LATTICES = ("aP", "mP", "mC", "oP", "oC", "oF", "oI", "tP", "tI", "hR", "hP", "cP", "cF", "cI")
CELLS_EACH = 5
SUBGROUPS = """
import json, sys
from cctbx import crystal
from cctbx.sgtbx import bravais_types, lattice_symmetry
found = []
for cell in json.load(open(sys.argv[1])):
    given = crystal.symmetry(unit_cell=cell, space_group_symbol="P1")
    minimum = given.minimum_cell().unit_cell()
    groups = lattice_symmetry.metric_subgroups(given, max_delta=5.0, bravais_types_only=True).result_groups
    found.append([
        [str(bravais_types.bravais_lattice(group=g["best_subsym"].space_group())),
         lattice_symmetry.find_max_delta(minimum, g["subsym"].space_group().build_derived_acentric_group()),
         g["best_subsym"].unit_cell().parameters(), g["best_subsym"].unit_cell().volume()] for g in groups])
json.dump(found, open(sys.argv[2], "w"))
"""
ALL_SUBGROUPS = """
import json, sys
from cctbx import crystal
from cctbx.sgtbx import lattice_symmetry
found = []
for cell in json.load(open(sys.argv[1])):
    given = crystal.symmetry(unit_cell=cell, space_group_symbol="P1")
    groups = lattice_symmetry.metric_subgroups(given, max_delta=5.0, bravais_types_only=False).result_groups
    found.append([[g["best_subsym"].space_group().type().number(), float(g["max_angular_difference"])] for g in groups])
json.dump(found, open(sys.argv[2], "w"))
"""
ORIENTATIONS = """
import json, sys
from dials.algorithms.indexing.compare_orientation_matrices import difference_rotation_matrix_axis_angle
from dxtbx.model import Crystal
angles = []
for first, second, group in json.load(open(sys.argv[1])):
    one, two = (Crystal(*rows, space_group_symbol=group) for rows in (first, second))
    angles.append(abs(difference_rotation_matrix_axis_angle(one, two)[2]))
json.dump(angles, open(sys.argv[2], "w"))
"""
CHANGES = """
import json, sys
from cctbx import sgtbx
from dxtbx.model import Crystal
changed = []
for rows, hall, text in json.load(open(sys.argv[1])):
    crystal = Crystal(*rows, space_group=sgtbx.space_group(hall)).change_basis(sgtbx.change_of_basis_op(text))
    changed.append([crystal.get_A(), crystal.get_U(), crystal.get_B(), crystal.get_unit_cell().parameters()])
json.dump(changed, open(sys.argv[2], "w"))
"""


def random_cells(seed):
    """(lattice, group, exact cell of it) of all lattices."""
    rng = np.random.default_rng(seed)
    for lattice in LATTICES:
        groups = [
            g
            for g in map(gemmi.get_spacegroup_reference_setting, range(1, 231))
            if g.is_sohncke() and bravais_type(g) == lattice
        ]
        for _ in range(CELLS_EACH):
            group = groups[rng.integers(len(groups))]
            yield (
                lattice,
                group,
                symmetrise_cell([*np.exp(rng.uniform(np.log(5), np.log(80), 3)), *rng.uniform(75, 105, 3)], group),
            )


def distorted_cells(seed):
    """Reduced primitive cells distorted by some tenths of a degree, of all lattices."""
    rng = np.random.default_rng(3)
    cells = []
    for _, group, cell in random_cells(seed):
        primitive = primitive_operator(group).matrix @ orthogonalisation(cell).T
        turned = primitive @ (np.eye(3) + rng.normal(0, 0.004, (3, 3)))
        cells.append([float(v) for v in niggli_cell(cell_parameters(turned))])
    return cells


def test_symmetries_and_settings_of_distorted_lattices_are_those_of_cctbx(ask_cctbx):
    """The same lattices with the same deviations, and in each the same cell."""
    cells = distorted_cells(1)
    theirs = ask_cctbx(SUBGROUPS, cells)
    n_settings = 0
    for cell, expected in zip(cells, theirs, strict=True):
        ours = lattice_subgroups(cell, "P 1", 5.0)
        assert Counter((s.bravais, round(s.max_angular_difference, 3)) for s in ours) == Counter(
            (b, round(d, 3)) for b, d, _, _ in expected
        )
        for bravais, deviation, their_cell, volume in expected:
            same = [s for s in ours if s.bravais == bravais and abs(s.max_angular_difference - deviation) < 1e-3]
            nearest = min(np.abs(np.sort(s.best_cell[:3]) - np.sort(their_cell[:3])).max() for s in same)
            assert nearest < 2e-2 * max(their_cell[:3])
            assert gemmi.UnitCell(*same[0].best_cell).volume == pytest.approx(volume, rel=0.02)
            n_settings += 1
    assert n_settings > 3 * len(cells)


def test_all_subgroups_of_distorted_lattices_are_those_of_cctbx(ask_cctbx):
    """With those that are not the full symmetry of a lattice: P 4, P 3 1 2, R 3, P 2 3 and the like."""
    cells = distorted_cells(5)[::CELLS_EACH]
    for cell, expected in zip(cells, ask_cctbx(ALL_SUBGROUPS, cells), strict=True):
        ours = lattice_subgroups(cell, "P 1", 5.0, holohedries_only=False)
        assert Counter((patterson_group(s.group).number, round(s.max_angular_difference, 3)) for s in ours) == Counter(
            (number, round(delta, 3)) for number, delta in expected
        )


def test_angles_between_orientations_are_those_of_dials(ask_cctbx):
    pairs, ours = [], []
    for seed, (_, group, cell) in enumerate(random_cells(2)):
        first, second = (
            Crystal.from_cell(cell, Rotation.random(random_state=10 * seed + i).as_matrix(), group) for i in range(2)
        )
        pairs.append([first.real_space.tolist(), second.real_space.tolist(), group.xhm()])
        bases = [primitive_operator(group).matrix @ c.real_space for c in (first, second)]
        ours.append(misorientation_deg(*bases, max_delta=1e-3))
    theirs = ask_cctbx(ORIENTATIONS, pairs)
    # DIALS turns by the symmetry of the space group, ours by that of the lattice: where these differ ours may be smaller.
    difference = np.array(theirs) - ours
    assert difference.min() > -1e-3
    holohedral = [
        bravais_type(p[2])[0] in "am" or gemmi.SpaceGroup(p[2]).point_group_hm() in ("222", "422", "622", "432")
        for p in pairs
    ]
    np.testing.assert_allclose(difference[np.array(holohedral)], 0.0, atol=1e-3)


def test_crystals_in_other_bases_are_those_of_cctbx(ask_cctbx):
    operators = ("b,c,a", "a+b,-a+b,c", "-a,-c,-b", "a,b,a+c", "1/2*a+1/2*b,-1/2*a+1/2*b,c")
    asked, ours = [], []
    for seed, (_, group, cell) in enumerate(random_cells(4)):
        text = operators[seed % (5 if group.centring_type() == "C" else 4)]
        crystal = Crystal.from_cell(cell, Rotation.random(random_state=seed).as_matrix(), group)
        operator = ChangeOfBasis.from_string(text)
        experiment = replace(rotation_experiment(n_images=2), crystal=crystal)
        try:
            changed = spindle.run("reindex", Experiments([experiment]), change_of_basis_op=text).experiments[0].crystal
        except UserError:  # the group has no name in the new basis
            crystal = crystal.with_space_group("P 1")
            experiment = replace(experiment, crystal=crystal)
            changed = spindle.run("reindex", Experiments([experiment]), change_of_basis_op=text).experiments[0].crystal
        asked.append([crystal.real_space.tolist(), crystal.hall.strip(), operator.as_xyz()])
        ours.append(changed)
    for crystal, (A, U, B, cell) in zip(ours, ask_cctbx(CHANGES, asked), strict=True):
        np.testing.assert_allclose(crystal.A.ravel(), A, atol=1e-9)
        np.testing.assert_allclose(crystal.U.ravel(), U, atol=1e-9)
        np.testing.assert_allclose(crystal.B.ravel(), B, atol=1e-9)
        np.testing.assert_allclose(crystal.cell, cell, atol=1e-6)


SYMBOLS = """
import json, sys
from cctbx import sgtbx
all = [[s.universal_hermann_mauguin(), s.hall(), [o.as_xyz() for o in sgtbx.space_group(s.hall())]] for s in sgtbx.space_group_symbol_iterator()]
json.dump(all, open(sys.argv[2], "w"))
"""


def test_all_settings_of_cctbx_are_known_by_all_their_names(ask_cctbx):
    settings = ask_cctbx(SYMBOLS, [])
    assert len(settings) == 530
    for hermann, hall, operators in settings:
        expected = {gemmi.Op(text).wrap().triplet() for text in operators}
        for symbol in (hermann, hall, f"Hall:{hall}"):
            found = space_group(SpaceGroup(None).convert(symbol))
            assert {op.triplet() for op in found.operations()} == expected, symbol
