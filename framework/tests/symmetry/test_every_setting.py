"""Every setting of every space group keeps its operators through models, files, parameters and changes of basis."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest

from spindle.files.models import crystal_from_dict, crystal_to_dict
from spindle.models import Crystal
from spindle.models.crystal import space_group_from_symbol
from spindle.params import SpaceGroup
from spindle.symmetry import (
    ChangeOfBasis,
    change_crystal_basis,
    chiral_symmorphic_group,
    constrain_crystal,
    laue_class,
    patterson_group,
    sohncke_groups,
    space_group,
    symmetrise_cell,
)

SETTINGS = list(gemmi.spacegroup_table())

#: Their Patterson groups are in settings that the tables do not have.
UNNAMED_PATTERSON = {
    "B 1 2 1", "C 1 1 2", "B 1 21 1", "C 1 1 21", "C 4 2 2", "C 4 2 21", "C -4 2 m", "C -4 2 b",
}  # fmt: skip


def operators(group):
    return {op.triplet() for op in group.operations()}


def crystal_in(group):
    return Crystal.from_cell(symmetrise_cell((31.0, 37.0, 43.0, 81.0, 97.0, 103.0), group), space_group=group)


@pytest.mark.parametrize("system", sorted({g.crystal_system_str() for g in SETTINGS}))
def test_a_setting_keeps_its_operators_everywhere(system):
    for group in (g for g in SETTINGS if g.crystal_system_str() == system):
        expected = operators(group)
        crystal = crystal_in(group)
        ways = {
            "crystal": crystal.space_group,
            "by symbol": Crystal.from_cell((9, 9, 9, 90, 90, 90), space_group=group.xhm()).space_group,
            "with_space_group": Crystal.from_cell((9, 9, 9, 90, 90, 90)).with_space_group(group).space_group,
            "constrained": constrain_crystal(crystal, group).space_group,
            "changed basis": change_crystal_basis(crystal, ChangeOfBasis.identity()).space_group,
            "file": crystal_from_dict(crystal_to_dict(crystal)).space_group,
            "file of a writer that strips blanks": crystal_from_dict(
                crystal_to_dict(crystal) | {"space_group_hall_symbol": group.hall}
            ).space_group,
            "Hall symbol": space_group_from_symbol(" " + group.hall),
            "parameter": space_group(SpaceGroup(None).convert(group.xhm())),
            "parameter of a group": space_group(SpaceGroup(None).convert(group)),
        }
        for way, found in ways.items():
            assert operators(found) == expected, (group.xhm(), way, found.xhm())
        if group.xhm() not in UNNAMED_PATTERSON:
            assert laue_class(patterson_group(group)) == laue_class(group)
        assert laue_class(chiral_symmorphic_group(group)) == laue_class(group)


def test_known_is_said_in_the_file_and_lost_with_another_group():
    crystal = crystal_in(space_group("P 1 21/n 1")).with_space_group("P 1 21/n 1", known=True)
    assert crystal_from_dict(crystal_to_dict(crystal)).space_group_is_known
    assert not crystal.with_space_group("P 1 21 1").space_group_is_known
    assert crystal.with_A(crystal.A * 1.001).space_group_is_known


def test_a_text_is_a_hall_symbol_only_with_a_leading_blank():
    """Texts that are symbols of both kinds and mean different groups."""
    for text, as_hall in (("P 4 2", "P 4 2 2"), ("P 3 2", "P 3 1 2"), ("P 6 2", "P 6 2 2"), ("P 2", "P 1 1 2")):
        assert space_group(" " + text).xhm() == space_group_from_symbol(" " + text).xhm() == as_hall
        assert space_group(text).xhm() != as_hall


def test_names_of_sohncke_groups_are_those_groups():
    for laue in {g.laue_str() for g in SETTINGS}:
        groups = [space_group(name) for name in sohncke_groups(laue)]
        assert groups
        assert all(g.laue_str() == laue and g.is_sohncke() for g in groups)
        expected = {g.number for g in SETTINGS if g.laue_str() == laue and g.is_sohncke()}
        assert {g.number for g in groups} == expected


def test_cells_keep_the_symmetry_of_their_setting():
    for group in SETTINGS:
        crystal = crystal_in(group)
        np.testing.assert_allclose(constrain_crystal(crystal, group).cell, crystal.cell, rtol=1e-9)
