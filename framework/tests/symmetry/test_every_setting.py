"""Every setting of every space group keeps its operators through models, files, parameters and changes of basis."""

from __future__ import annotations

import re

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
            "parameter, by Hall symbol": space_group(SpaceGroup(None).convert("Hall: " + group.hall)),
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


#: As cctbx 2022.11 writes settings, and their operators by it.
OF_CCTBX = {
    " P 2yb (z,x,y)": ("P 1 1 21", "-x,-y,z+1/2"),
    "P 2yb (z,x,y)": ("P 1 1 21", "-x,-y,z+1/2"),
    "Hall: C 2y (x,y,-x+z)": ("I 1 2 1", "-x,y,-z"),
    "P 1 21 1 (z,x,y)": ("P 1 1 21", "-x,-y,z+1/2"),
    "P 1 2 1 (c,a,b)": ("P 1 1 2", "-x,-y,z"),
    "P 21 21 2 (a-1/4,b-1/4,c)": ("P 21212(a)", "-x+1/2,-y+1/2,z"),
    " R 3 (-y+z,x+z,-x+y+z)": ("R 3:R", "z,x,y"),
    "-P 2ab 2bc (x-1/4,y-1/4,z-1/4)": ("P n n n:1", "-x,-y,z"),
    "H 3 2": ("R 3 2:H", "-y,x-y,z"),
    "P121": ("P 1 2 1", "-x,y,-z"),
}


@pytest.mark.parametrize("text", OF_CCTBX)
def test_changes_of_basis_are_read_as_cctbx_writes_them(text):
    name, operator = OF_CCTBX[text]
    found = SpaceGroup(None).convert(text)
    assert found == name
    assert operator in operators(space_group(found))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("P 1 21 1 (a,b,c-1/4)", "give 'P 1 21 1'"),
        (" P 6 2 (x,y,z+5/12)", "P 6 2 2 with its origin elsewhere"),
        ("P 4 (a+b,-a+b,c)", "a setting that has no name"),
        ("C 1 2 1 (2*x,x+y,z)", "a setting that has no name"),
        ("P 4 (a+b,a+b,c)", "no known symbol"),
        ("Hall: P 9", "no known symbol"),
    ],
)
def test_settings_without_a_name_are_refused_with_what_to_do(text, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        SpaceGroup(None).convert(text)


def test_a_file_may_have_the_origin_elsewhere():
    """Its symbol stays, and what intensities tell is that of the tabulated setting."""
    crystal = crystal_from_dict(
        crystal_to_dict(crystal_in(space_group("P 1 21 1"))) | {"space_group_hall_symbol": " P 2yb (x,y,z+1/4)"}
    )
    assert crystal.space_group.xhm() == "P 1 21 1"
    assert crystal_to_dict(crystal)["space_group_hall_symbol"] == " P 2yb (x,y,z+1/4)"
