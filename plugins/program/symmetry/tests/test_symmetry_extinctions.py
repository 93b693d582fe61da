"""Space groups of small molecules by what is absent, of simulated intensities and of real crystals."""

from __future__ import annotations

from dataclasses import replace

import gemmi
import numpy as np
import pytest

import spindle
from spindle.models import Crystal, Experiments
from spindle.symmetry import (
    asu_indices,
    chiral_symmorphic_group,
    is_centring_absent,
    is_systematically_absent,
    patterson_group,
    unique_indices,
)
from spindle.table import Flag, ReflectionTable
from spindle.testing import shared_data
from spindle.testing.scaling import scan_experiment
from spindle_lib_merging import merge_equivalents
from spindle_lib_symmetry_analysis.extinctions import best_extinction, candidates, chosen_group, extinctions
from spindle_lib_twinning.diagnosis import diagnose

CELLS = {
    "triclinic": (8, 9, 11, 80, 95, 102), "monoclinic": (12, 9, 14, 90, 105, 90), "orthorhombic": (9, 13, 17, 90, 90, 90),
    "tetragonal": (14, 14, 10, 90, 90, 90), "trigonal": (13, 13, 18, 90, 90, 120), "hexagonal": (13, 13, 18, 90, 90, 120),
    "cubic": (16, 16, 16, 90, 90, 90),
}  # fmt: skip


@pytest.mark.parametrize("symbol", [
    "P -1", "P 1 21/c 1", "P 1 21/n 1", "C 1 2/c 1", "I 1 2/a 1", "P b c a", "P n m a", "P 21 21 21", "F d d d:1", "I 41/a:1", "P 42/n:1",
    "R -3 c:H", "P 63/m m c", "F d -3 m:1", "P a -3",
])  # fmt: skip
def test_the_absences_of_a_group_are_recognised(symbol):
    group = gemmi.find_spacegroup_by_name(symbol)
    cell = CELLS[group.crystal_system_str()]
    laue = chiral_symmorphic_group(patterson_group(group))
    hkl = unique_indices(cell, laue, 0.9)
    rng = np.random.default_rng(1)
    intensity = rng.exponential(1000.0, len(hkl))
    intensity[is_systematically_absent(hkl, group)] = 0.0
    sigma = 0.02 * intensity + 5.0
    found = extinctions(laue, hkl, intensity + rng.normal(size=len(hkl)) * sigma, sigma)
    best = best_extinction(found)
    assert group.xhm() in [g.xhm() for g in best.groups] or group.hm in [g.hm for g in best.groups]
    chosen, centric = chosen_group(best, 0.97)
    assert centric
    if group.is_centrosymmetric():
        assert chosen.is_centrosymmetric()
        assert chosen.crystal_system_str() == group.crystal_system_str()


def test_a_few_strong_forbidden_reflections_decide_nothing():
    group = gemmi.SpaceGroup("P 1 21/c 1")
    hkl = unique_indices(CELLS["monoclinic"], "P 1 2 1", 0.9)
    rng = np.random.default_rng(2)
    intensity = rng.exponential(1000.0, len(hkl))
    absent = np.flatnonzero(is_systematically_absent(hkl, group))
    intensity[absent] = 0.0
    intensity[absent[::15]] = 100.0
    best = best_extinction(extinctions(gemmi.SpaceGroup("P 1 2 1"), hkl, intensity, np.full(len(hkl), 5.0)))
    assert "P 1 21/c 1" in best.names


def test_every_group_of_a_laue_group_is_a_candidate():
    names = {g.xhm() for g in candidates(gemmi.SpaceGroup("P 2 2 2"))}
    assert {"P n m a", "P 21 21 21", "P b c a", "P c a 21"} <= names
    assert not any(name.startswith(("C", "F", "I")) for name in names)


def crystal(symbol, cell, seed=1):
    """Integrated reflections of a small molecule in P 1."""
    group = gemmi.find_spacegroup_by_name(symbol)
    rng = np.random.default_rng(seed)
    hkl = gemmi.make_miller_array(gemmi.UnitCell(*cell), gemmi.SpaceGroup("P 1"), 0.75, 0.0).astype(np.int32)
    hkl = np.concatenate([hkl, -hkl])
    hkl = hkl[~is_centring_absent(hkl, group)]
    unique, number = np.unique(asu_indices(hkl, group)[0], axis=0, return_inverse=True)
    z = rng.normal(size=len(unique)) ** 2 if group.is_centrosymmetric() else rng.exponential(size=len(unique))
    z[is_systematically_absent(unique, group)] = 0.0
    n = len(hkl)
    value = 1000.0 * z[number.ravel()]
    sigma = 0.02 * value + 3.0
    place = np.column_stack([rng.uniform(0, 500, (n, 2)), rng.uniform(0, 90, n)])
    table = ReflectionTable({
        "miller_index": hkl, "id": np.zeros(n, int), "flags": np.full(n, int(Flag.INTEGRATED_SUM)),
        "d": np.asarray(gemmi.UnitCell(*cell).calculate_d_array(hkl)), "intensity.sum.value": value + rng.normal(size=n) * sigma,
        "intensity.sum.variance": sigma**2, "partiality": np.ones(n), "partial_id": np.arange(n), "xyzcal.px": place,
        "xyzcal.mm": np.radians(place),
    })  # fmt: skip
    experiment = replace(scan_experiment(90), crystal=Crystal.from_cell(cell, np.eye(3), "P 1"))
    return Experiments([experiment]), table


@pytest.mark.parametrize(("symbol", "cell"), [
    ("P 1 21/c 1", (8, 11, 13, 90, 101, 90)), ("P b c a", (8, 11, 13, 90, 90, 90)), ("P 21 21 21", (8, 11, 13, 90, 90, 90)),
    ("P -1", (8, 9, 11, 80, 95, 102)),
])  # fmt: skip
def test_the_program_finds_glide_planes_and_inversion_when_asked(symbol, cell):
    experiments, table = crystal(symbol, cell)
    result = spindle.run("symmetry", experiments, table, systematic_absences__small_molecule=True)
    found = result.experiments[0].crystal.space_group
    assert found.number == gemmi.find_spacegroup_by_name(symbol).number
    usual = spindle.run("symmetry", experiments, table)
    assert usual.experiments[0].crystal.space_group.is_sohncke()


@pytest.mark.parametrize(("name", "columns", "expected"), [
    ("HEWL_unmerged", ("I", "SIGI"), "P 41 21 2"), ("i19_c2c_scaled_unmerged", ("I", "SIGI"), "C 1 2/c 1"),
    ("i19_cc_scaled_unmerged", ("I", "SIGI"), "C 1 c 1"),
])  # fmt: skip
def test_real_crystals(name, columns, expected):
    mtz = gemmi.read_mtz_file(str(shared_data("unmerged") / f"{name}.mtz"))
    group = mtz.spacegroup
    mtz.switch_to_original_hkl()
    value, sigma = (np.array(mtz.column_with_label(c), dtype=float) for c in columns)
    good = np.isfinite(value) & (sigma > 0)
    laue = chiral_symmorphic_group(patterson_group(group))
    hkl = np.array(mtz.make_miller_array(), dtype=np.int32)
    merged = merge_equivalents(hkl[good], value[good], sigma[good] ** 2, laue)
    statistics = diagnose(merged.hkl, merged.intensity, merged.sigma, mtz.cell.parameters, laue)
    found = best_extinction(extinctions(laue, merged.hkl, merged.intensity, merged.sigma))
    chosen, centric = chosen_group(found, statistics.acentric.deviation)
    assert chosen.xhm() == expected
    assert centric == group.is_centrosymmetric()
