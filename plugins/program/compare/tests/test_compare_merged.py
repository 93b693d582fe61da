"""Merged results are compared by index, whatever their axes and symmetry; odd results are told in words."""

from __future__ import annotations

from types import SimpleNamespace

import gemmi
import numpy as np
import pytest
from spindle_program_compare.measures import error_model
from spindle_program_compare.merged import same_indices
from spindle_program_compare.observations import Observations

import spindle
from spindle.files import write_experiments, write_reflections
from spindle.testing.exporter import integrated_data

CELL = (60.0, 60.0, 40.0, 90.0, 90.0, 90.0)


def merged_mtz(path, hkl, value, group="P 4", cell=CELL):
    mtz = gemmi.Mtz(with_base=True)
    mtz.spacegroup = gemmi.SpaceGroup(group)
    mtz.set_cell_for_all(gemmi.UnitCell(*cell))
    mtz.add_dataset("d").wavelength = 1.0
    for label, kind in (("IMEAN", "J"), ("SIGIMEAN", "Q")):
        mtz.add_column(label, kind)
    mtz.set_data(np.column_stack([hkl, value, 0.02 * value + 1]).astype(np.float32))
    mtz.write_to_file(str(path))
    return path


@pytest.fixture(scope="module")
def unique():
    """Reflections of P 4 in its asymmetric unit, with intensities that no other symmetry has."""
    from spindle.symmetry import asu_indices, unique_indices

    hkl = np.asarray(asu_indices(unique_indices(np.array(CELL), gemmi.SpaceGroup("P 4"), 4.0), "P 4")[0])
    rng = np.random.default_rng(5)
    return hkl, rng.exponential(100.0, len(hkl)) + 5.0


def compared(*files, **params):
    return spindle.run("compare", results=[str(f) for f in files], use_truth=False, n_bootstrap=20, **params)


def test_two_merged_files_agree_whatever_their_axes_and_scale(unique, tmp_path):
    hkl, value = unique
    first = merged_mtz(tmp_path / "a.mtz", hkl, value)
    second = merged_mtz(tmp_path / "b.mtz", hkl[:, [1, 0, 2]] * [1, 1, -1], 3.0 * value)  # the other of two indexings
    result = compared(first, second)
    (pair,) = result.summary["pairs"]["merged"]
    assert pair["n"] == len(hkl) and pair["slope"] == pytest.approx(3.0, rel=1e-3) and pair["cc"] > 0.9999
    assert any("another choice of axes" in note for note in result.summary["notes"])
    assert result.summary["pairs"]["counts"] == [] and result.summary["ranking"]["order"] == []
    assert set(pair["along"]) == {"signal", "inverse_d_squared"}
    for name, writer in result.files.items():
        writer(tmp_path / name)
    assert "Merged intensities, pair by pair" in (tmp_path / "compare.html").read_text()


def test_a_file_that_is_not_there_is_a_contestant_that_failed(unique, tmp_path):
    """Whatever its ending; the others are compared."""
    hkl, value = unique
    there = merged_mtz(tmp_path / "a.mtz", hkl, value)
    again = merged_mtz(tmp_path / "b.mtz", hkl, value)
    result = compared(
        there, again, f"mtz={tmp_path / 'none.mtz'}", f"xds={tmp_path / 'NONE.HKL'}", f"refl={tmp_path / 'none.refl'}"
    )
    reasons = {c["name"]: c["reason"] for c in result.summary["contestants"] if c["reason"]}
    assert set(reasons) == {"mtz", "xds", "refl"} and all("no such file" in reason for reason in reasons.values())
    assert len(result.summary["pairs"]["merged"]) == 1


@pytest.mark.parametrize(("b", "largest"), [(0.05, 10.0), (1e-15, None), (0.0, None)])
def test_a_b_of_zero_limits_no_signal(b, largest):
    """ISa of Diederichs (2010) is 1 / (a b)."""
    experiment = SimpleNamespace(scaling_model={"configuration_parameters": {"error_model_parameters": [2.0, b]}})
    assert error_model(SimpleNamespace(experiments=[experiment]))["isa"] == largest


def test_a_merged_file_is_compared_with_what_observations_merge_to(unique, tmp_path):
    from spindle.symmetry import asu_indices
    from spindle.table import Flag

    hkl, value = unique
    experiments, table = integrated_data()
    known = {tuple(h): v for h, v in zip(hkl.tolist(), value, strict=True)}
    asu = asu_indices(table["miller_index"], "P 4")[0]
    rows = np.array([tuple(h) in known for h in asu.tolist()])
    table = table.select(rows)
    scaled = np.array([known[tuple(h)] for h in asu[rows].tolist()])
    table["intensity.scale.value"], table["intensity.scale.variance"] = 2.0 * scaled, np.full(len(scaled), 4.0)
    table["inverse_scale_factor"] = np.full(len(scaled), 2.0)
    table.set_flags(np.arange(len(table)), Flag.SCALED)
    write_experiments(experiments, tmp_path / "s.expt")
    write_reflections(table, tmp_path / "s.refl")
    result = compared(tmp_path / "s.refl", merged_mtz(tmp_path / "m.mtz", hkl, 0.5 * value))
    (pair,) = result.summary["pairs"]["merged"]
    assert pair["slope"] == pytest.approx(0.5, rel=1e-3) and pair["n"] == len(np.unique(asu[rows], axis=0))


def test_what_cannot_be_compared_is_told(unique, tmp_path):
    hkl, value = unique
    whole = merged_mtz(tmp_path / "a.mtz", hkl, value)
    even = hkl.sum(axis=1) % 2 == 0
    apart = [merged_mtz(tmp_path / f"{n}.mtz", hkl[p], value[p]) for n, p in (("even", even), ("odd", ~even))]
    for second, message in (
        (None, "share no reflections"),
        (merged_mtz(tmp_path / "c.mtz", hkl[:1], value[:1]), ""),
        (merged_mtz(tmp_path / "d.mtz", hkl, value, "P 2 2 2", (60.0, 60.0, 40.0, 90, 90, 90)), "neither point group"),
        (merged_mtz(tmp_path / "e.mtz", hkl, value, "P 4", (91.0, 91.0, 20.0, 90, 90, 90)), ""),
    ):
        result = compared(*(apart if second is None else (whole, second)))
        notes = " ".join(result.summary["notes"])
        assert message in notes and (message == "" or result.summary["pairs"]["merged"] == [])
        assert result.summary["ranking"]["rests_on"].startswith("nothing")
    (tmp_path / "empty.mtz").write_bytes(b"")
    result = compared(whole, tmp_path / "empty.mtz", tmp_path / "even.mtz")
    assert {c["name"].split("/")[-1] for c in result.summary["contestants"] if c["reason"]} == {"empty.mtz"}
    assert len(result.summary["pairs"]["merged"]) == 1


def test_mates_of_a_lower_symmetry_are_pairs_of_one_reflection(unique):
    hkl, value = unique
    zeros = np.zeros(len(hkl), np.int64)

    def data(index, intensity, group):
        return Observations(
            "merged", np.arange(len(index)), index.astype(np.int64), zeros, zeros, zeros, np.zeros((len(index), 3)), np.ones(len(index)),
            intensity, np.ones(len(index)), [""], 1.0, gemmi.SpaceGroup(group), np.array(CELL),
        )  # fmt: skip

    low, high = data(hkl, value, "P 4"), data(hkl, value, "P 4 2 2")
    same = same_indices(low, high, ("low", "high"))
    assert len(same.first) == len(hkl) and "compared in 422" in " ".join(same.notes)
