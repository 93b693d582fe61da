"""Intensities of known symmetry, indexed rightly and wrongly."""

from __future__ import annotations

from dataclasses import replace

import gemmi
import numpy as np
import pytest
from spindle_program_check_indexing_symmetry.operators import check_operators
from spindle_program_check_indexing_symmetry.origin import Shift, about_origin, best_shift

import spindle
from spindle.contracts import ProgramInputs
from spindle.errors import ParameterError, UserError
from spindle.files import write_reflections
from spindle.models import Crystal, Experiments
from spindle.symmetry import asu_indices, space_group
from spindle.table import Flag, ReflectionTable
from spindle.testing.indexing import random_rotation, rotation_experiment
from spindle.testing.program import ProgramContract
from spindle_lib_symmetry_analysis.operator_correlations import MeanValues

CELL = (31.0, 31.0, 44.0, 90.0, 90.0, 90.0)


def measured(group="P 4", described_as=None, offset=(0, 0, 0), keep=0.6, repeats=1, seed=1, noise=0.05, d_min=3.0):
    """An experiment and reflections with the symmetry of a group, whose indices lack an offset."""
    experiment = replace(rotation_experiment(CELL, described_as or group, seed=4), identifier="sweep")
    hkl = gemmi.make_miller_array(gemmi.UnitCell(*CELL), gemmi.SpaceGroup("P 1"), d_min, 30.0)
    hkl = np.concatenate([hkl, -hkl]).astype(np.int32)
    asu, _ = asu_indices(hkl, group)
    _, number = np.unique(asu, axis=0, return_inverse=True)
    true = np.random.default_rng(7).exponential(1000.0, number.max() + 1)[number.ravel()]
    rng = np.random.default_rng(seed)
    chosen = np.concatenate([np.flatnonzero(rng.random(len(hkl)) < keep) for _ in range(repeats)])
    true, hkl = true[chosen] + 20.0, hkl[chosen]
    n = len(hkl)
    table = ReflectionTable(
        {
            "miller_index": hkl - np.array(offset), "id": np.zeros(n, int),
            "flags": np.full(n, int(Flag.INTEGRATED_SUM)),
            "intensity.sum.value": true * rng.normal(1.0, noise, n), "intensity.sum.variance": true,
        },
        {0: "sweep"},
    )  # fmt: skip
    return Experiments([experiment]), table


def check(data, **parameters):
    """The first experiment's results, and the whole result."""
    result = spindle.run("check_indexing_symmetry", *data, **parameters)
    return result.summary["experiments"][0], result


class TestContract(ProgramContract):
    name = "check_indexing_symmetry"
    parameters = {"grid": 1}

    @pytest.fixture
    def inputs(self):
        experiments, table = measured(d_min=5.0)
        return ProgramInputs(experiments=experiments, reflections=[table])


def test_true_symmetry_is_accepted_and_its_group_derived():
    found, result = check(measured())
    assert found["derived_group"] == "P 4"
    assert all(o["accepted"] and o["cc"] > 0.95 for o in found["operators"][1:])
    assert "problem" not in result.summary
    assert "origin" not in found


def test_a_symmetry_that_is_not_there_is_told():
    found, result = check(measured("P 1 1 2", "P 4"))
    assert found["derived_group"] == "P 1 1 2"
    accepted = {o["symop"]: o["accepted"] for o in found["operators"]}
    assert accepted == {"x,y,z": True, "-x,-y,z": True, "-y,x,z": False, "y,-x,z": False}
    assert "do not show" in result.summary["problem"]


@pytest.mark.parametrize("offset", [(0, 0, 1), (-1, 1, 0)])
def test_indices_that_are_off_are_found_with_the_remedy(offset):
    found, result = check(measured("P 1", offset=offset), grid=1)
    assert tuple(found["offset"]) == offset
    assert result.next_step.endswith(f"hkl_offset={','.join(map(str, offset))}")
    best = max(found["origin"], key=lambda s: s["cc"])
    assert tuple(best["offset"]) == offset and best["cc"] > 0.9
    mended = spindle.run("reindex", reflections=measured("P 1", offset=offset)[1], hkl_offset=list(offset))
    again, _ = check((measured("P 1")[0], mended.reflections), grid=1)
    assert again["offset"] == [0, 0, 0]


def test_each_index_has_its_own_range_of_shifts():
    found, _ = check(measured("P 1"), grid_l=2)
    assert {tuple(s["offset"]) for s in found["origin"]} == {(0, 0, k) for k in range(-2, 3)}


def test_equivalents_tell_the_origin_without_friedel_mates():
    experiments, table = measured("P 4", offset=(0, 1, 0))
    half = table.select(table["miller_index"][:, 2] > 0)
    found, _ = check((experiments, half), grid=1)
    assert "offset" not in found  # no Friedel mates
    found, _ = check((experiments, half), grid=1, asu=True)
    assert found["offset"] == [0, 1, 0]


@pytest.mark.parametrize("kind", ["refl", "mtz"])
def test_a_reference_tells_the_origin(tmp_path, kind):
    _, right = measured("P 4", seed=3)
    path = tmp_path / f"right.{kind}"
    if kind == "refl":
        write_reflections(right, path)
    else:
        mtz = gemmi.Mtz(with_base=True)
        mtz.spacegroup, mtz.cell = gemmi.SpaceGroup("P 4"), gemmi.UnitCell(*CELL)
        mtz.add_dataset("x")
        mtz.add_column("IMEAN", "J")
        mtz.set_data(np.column_stack([right["miller_index"], right["intensity.sum.value"]]).astype(np.float32))
        mtz.write_to_file(str(path))
    found, _ = check(measured("P 4", offset=(1, 0, 0)), grid=1, reference=path)
    assert found["offset"] == [1, 0, 0]


def test_repeated_measurements_are_averaged_and_compared():
    experiments, table = measured("P 1", repeats=2)
    found, _ = check((experiments, table))
    (identity,) = found["operators"]
    assert identity["cc"] > 0.95
    unique, n = np.unique(table["miller_index"], axis=0, return_counts=True)
    assert identity["n"] == np.count_nonzero(n > 1) < len(unique)


def test_correlations_are_those_of_plain_numpy():
    experiments, table = measured("P 4", noise=0.3)
    found, _ = check((experiments, table))
    hkl, value = table["miller_index"], table["intensity.sum.value"]
    good = value > 0
    quotient = dict(
        zip(map(tuple, hkl[good].tolist()), value[good] / np.sqrt(table["intensity.sum.variance"][good]), strict=True)
    )
    pairs = np.array(
        [(q, quotient[(-h, -k, m)]) for (h, k, m), q in quotient.items() if (-h, -k, m) in quotient and (h or k)]
    )
    operator = next(o for o in found["operators"] if o["symop"] == "-x,-y,z")
    assert operator["cc"] == pytest.approx(np.corrcoef(pairs.T)[0, 1], abs=1e-9)
    assert operator["n"] == len(pairs) // 2


def test_normalisation_takes_the_fall_off_out_of_correlations():
    experiments, table = measured("P 1", described_as="P 4")
    d = 1 / np.linalg.norm(table["miller_index"] @ experiments[0].crystal.A.T, axis=1)
    table["intensity.sum.value"] = table["intensity.sum.value"] * np.exp(-60 / d**2)
    table["intensity.sum.variance"] = np.ones(len(table))

    def highest(**parameters):
        found, _ = check((experiments, table), symop_threshold=0.3, **parameters)
        return max(o["cc"] for o in found["operators"][1:])

    assert highest() > 0.15 > highest(normalise=True)


def test_limits_of_resolution_apply_to_symmetry():
    experiments, table = measured()
    all_pairs = check((experiments, table))[0]["operators"][1]["n"]
    fewer = check((experiments, table), d_min=4.0, d_max=8.0)[0]["operators"][1]["n"]
    assert 0 < fewer < 0.6 * all_pairs
    with pytest.raises(UserError, match="limits of resolution"):
        check((experiments, table), d_max=1.0)


def test_each_experiment_is_checked_by_itself():
    experiments, table = measured("P 1")
    other = Crystal.from_cell(CELL, random_rotation(9), "P 1")
    both = Experiments([experiments[0], replace(experiments[0], crystal=other, identifier="second")])
    shifted = measured("P 1", offset=(0, 0, 1))[1]
    shifted["id"] = np.ones(len(shifted), int)
    shifted.identifiers = {1: "second"}
    result = spindle.run("check_indexing_symmetry", both, ReflectionTable.concatenate([table, shifted]), grid=1)
    assert [e["offset"] for e in result.summary["experiments"]] == [[0, 0, 0], [0, 0, 1]]
    assert result.summary["problem"].startswith("Experiment 1: ")


def test_what_cannot_be_checked_is_said(tmp_path):
    experiments, table = measured("P 1")
    with pytest.raises(UserError, match="give experiments and reflections"):
        spindle.run("check_indexing_symmetry", experiments)
    with pytest.raises(UserError, match="nothing to compare"):
        check((experiments, table.select([])))
    with pytest.raises(ParameterError, match="grid=1 too"):
        check((experiments, table), reference="x.refl")
    (tmp_path / "x.txt").write_text("nothing")
    with pytest.raises(UserError, match=r"give reflections \(.refl\)"):
        check((experiments, table), grid=1, reference=tmp_path / "x.txt")
    (tmp_path / "x.mtz").write_text("nothing")
    with pytest.raises(UserError, match="cannot be read as an MTZ"):
        check((experiments, table), grid=1, reference=tmp_path / "x.mtz")


def test_a_correlation_of_few_pairs_is_not_believed():
    hkl = np.array([[1, 2, 3], [-1, -2, 3], [2, 1, 3], [-2, -1, 3]])
    checks = check_operators(hkl, np.array([1.0, 1.1, 9.0, 8.8]), space_group("P 1 1 2"), 0.0)
    assert checks[1].n == 2 and not checks[1].accepted


def test_intensities_that_are_all_alike_speak_for_no_shift():
    hkl = np.array([[h, k, m] for h in range(-4, 5) for k in range(-4, 5) for m in range(-4, 5)], np.int32)
    shift = about_origin(MeanValues.of(hkl, np.ones(len(hkl)), friedel=False), (0, 0, 0))
    assert shift.n > 100 and shift.cc == 0.0
    assert best_shift([shift, Shift((1, 0, 0), 0.0, 500)])[1] is False
