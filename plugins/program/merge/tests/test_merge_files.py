"""What the program merge writes when it is asked for more: test sets, half data sets, mmCIF, recalculated cells."""

from __future__ import annotations

from dataclasses import replace

import gemmi
import numpy as np
import pytest

import spindle
from spindle.errors import FileFormatError, ModelError, ParameterError
from spindle.models import Experiments
from spindle.symmetry import unique_indices
from spindle.testing.exporter import telling_data
from spindle_lib_merging import free_flags


@pytest.fixture(scope="module")
def data():
    return telling_data()


def merged(folder, data, **params):
    result = spindle.run("merge", *data, assess_space_group=False, truncate=False, **params)
    for name, writer in result.files.items():
        if str(name).endswith((".mtz", ".cif")):
            writer(folder / name)
    return gemmi.read_mtz_file(str(folder / "merged.mtz"))


def column(mtz, label):
    return np.array(mtz.column_with_label(label), dtype=float)


def test_half_data_sets_add_up(data, tmp_path):
    mtz = merged(tmp_path, data, **{"output.additional_stats": True})
    n, first, second = (column(mtz, c) for c in ("N", "NHALF1", "NHALF2"))
    np.testing.assert_array_equal(n, first + second)
    assert np.abs(first - second).max() <= 1
    weights = [np.where(np.isfinite(s := column(mtz, f"SIGIHALF{i}")), s, np.inf) ** -2.0 for i in (1, 2)]
    values = [np.nan_to_num(column(mtz, f"IHALF{i}")) for i in (1, 2)]
    mean = (weights[0] * values[0] + weights[1] * values[1]) / (weights[0] + weights[1])
    np.testing.assert_allclose(mean, column(mtz, "IMEAN"), rtol=1e-5)
    np.testing.assert_allclose((weights[0] + weights[1]) ** -0.5, column(mtz, "SIGIMEAN"), rtol=1e-5)


def test_a_test_set_is_drawn_alike_for_what_the_lattice_makes_equivalent(data, tmp_path):
    """P 4 in a tetragonal lattice: h k l and k h l are not equivalent, but have one flag."""
    mtz = merged(tmp_path, data, **{"r_free_flags.generate": True, "fraction": 0.1, "max_free": None})
    flags = dict(zip(map(tuple, mtz.make_miller_array().tolist()), column(mtz, "FreeR_flag"), strict=True))
    asu = gemmi.ReciprocalAsu(gemmi.find_spacegroup_by_name("P 4"))
    ops = gemmi.find_spacegroup_by_name("P 4").operations()
    pairs = 0
    for (h, k, l), flag in flags.items():
        other = tuple(asu.to_asu((k, h, -l), ops)[0])
        if other in flags and other != (h, k, l):
            pairs += 1
            assert flags[other] == flag
    assert pairs > 20 and set(flags.values()) <= set(range(10))
    share = np.mean(np.array(list(flags.values())) == 0)
    assert 0.03 < share < 0.2
    apart = merged(tmp_path, data, **{"r_free_flags.generate": True, "use_lattice_symmetry": False})
    assert mtz.nreflections == apart.nreflections
    assert not np.array_equal(column(apart, "FreeR_flag"), column(mtz, "FreeR_flag"))


def test_a_reflection_has_its_flag_whatever_else_is_there():
    """Of an eighth of the reflections, of a cell with its edges the other way round, and of the double share."""
    cell = (60.0, 60.01, 40.0, 90.0, 90.0, 90.0)
    hkl = unique_indices(cell, "P 2 2 2", 1.5)
    whole = free_flags(hkl, cell, "P 2 2 2", max_free=None)
    assert np.bincount(whole.flag) == pytest.approx(np.full(20, len(hkl) / 20), rel=0.35)
    np.testing.assert_array_equal(free_flags(hkl[::8], cell, "P 2 2 2").flag, whole.flag[::8])
    turned = (60.01, 60.0, 40.0, 90.0, 90.0, 90.0)
    np.testing.assert_array_equal(free_flags(hkl, turned, "P 2 2 2", max_free=None).flag, whole.flag)
    double = free_flags(hkl, cell, "P 2 2 2", fraction=0.1, max_free=None).flag == 0
    assert double[whole.flag == 0].all() and double.mean() == pytest.approx(0.1, rel=0.3)


def test_flags_are_taken_over_from_a_file(data, tmp_path):
    full = {"r_free_flags.generate": True, "relative_to_complete_set": True, "r_free_flags.d_min": 3.5}
    first = merged(tmp_path, data, **full)
    assert first.nreflections > merged(tmp_path, data, **{"r_free_flags.generate": False}).nreflections
    path = tmp_path / "reference.mtz"
    first.write_to_file(str(path))
    known = dict(zip(map(tuple, first.make_miller_array().tolist()), column(first, "FreeR_flag"), strict=True))
    second = merged(tmp_path, data, reference=str(path))
    for hkl, flag in zip(second.make_miller_array().tolist(), column(second, "FreeR_flag"), strict=True):
        assert known[tuple(hkl)] == flag
    half = gemmi.read_mtz_file(str(path))
    half.set_data(np.array(half)[::2])
    half.write_to_file(str(path))
    third = merged(tmp_path, data, reference=str(path), extend=False)
    assert 0 < np.count_nonzero(np.isnan(column(third, "FreeR_flag"))) < third.nreflections
    fourth = merged(tmp_path, data, reference=str(path))
    assert np.isfinite(column(fourth, "FreeR_flag")).all()
    (tmp_path / "no.mtz").write_bytes(b"nothing")
    with pytest.raises(FileFormatError, match=r"no\.mtz"):
        merged(tmp_path, data, reference=str(tmp_path / "no.mtz"))
    half.spacegroup = gemmi.find_spacegroup_by_name("P 2 2 2")
    half.write_to_file(str(path))
    with pytest.raises(ModelError, match="Laue group"):
        merged(tmp_path, data, reference=str(path))


def test_mmcif_holds_the_same_with_flags(data, tmp_path):
    mtz = merged(tmp_path, data, **{"output.mmcif": "merged.cif", "r_free_flags.generate": True})
    (block,) = gemmi.as_refln_blocks(gemmi.cif.read(str(tmp_path / "merged.cif")))
    np.testing.assert_array_equal(block.make_miller_array(), mtz.make_miller_array())
    np.testing.assert_allclose(block.make_float_array("intensity_meas"), column(mtz, "IMEAN"), rtol=1e-5)
    np.testing.assert_array_equal(block.make_float_array("pdbx_r_free_flag"), column(mtz, "FreeR_flag"))


def test_the_recalculated_cell_is_that_of_the_file(data, tmp_path):
    experiments, table = data
    crystal = replace(experiments[0].crystal, extra={"recalculated_unit_cell": [61.0, 61.0, 41.0, 90, 90, 90]})
    changed = Experiments([replace(e, crystal=crystal) for e in experiments])
    assert merged(tmp_path, (changed, table)).cell.a == pytest.approx(61.0)
    (writer,) = spindle.run("export", changed, table).files.values()
    writer(tmp_path / "scaled.mtz")
    assert gemmi.read_mtz_file(str(tmp_path / "scaled.mtz")).datasets[0].cell.c == pytest.approx(41.0)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"fraction": 0.2}, lambda flags, d: flags.max() == 4),
        ({"max_free": 20}, lambda flags, d: 0 < np.count_nonzero(flags == 0) < 30),
        ({"d_max": 6.0}, lambda flags, d: np.array_equal(np.isnan(flags), d > 6.0)),
        ({"d_min": 5.0}, lambda flags, d: np.array_equal(np.isnan(flags), d < 5.0)),
        ({"use_dataman_shells": True, "n_shells": 1}, lambda flags, d: np.ptp(d[flags == 0]) < 0.2 * np.ptp(d)),
    ],
)
def test_each_parameter_of_a_test_set_acts(data, tmp_path, options, said):
    mtz = merged(tmp_path, data, **{f"r_free_flags.{k}": v for k, v in ({"generate": True} | options).items()})
    assert said(column(mtz, "FreeR_flag"), np.array(mtz.make_d_array()))


def test_a_lattice_that_deviates_too_much_has_no_mates():
    hkl = unique_indices(cell := (60.0, 61.0, 40.0, 90.0, 90.0, 90.0), "P 2 2 2", 4.0)
    place = {tuple(h): i for i, h in enumerate(hkl.tolist())}
    mates = np.array([(i, place[k, h, l]) for (h, k, l), i in place.items() if (k, h, l) in place])
    same = [free_flags(hkl, cell, "P 2 2 2", max_delta=delta).flag[mates] for delta in (5.0, 0.1)]
    assert (same[0][:, 0] == same[0][:, 1]).all()
    assert np.mean(same[1][:, 0] == same[1][:, 1]) < 0.3


@pytest.mark.parametrize("option", [{"extend": True}, {"extend": False}, {"old_test_flag_value": 1}])
@pytest.mark.parametrize("generate", [False, True])
def test_what_is_said_of_a_reference_needs_one(data, tmp_path, option, generate):
    options = {f"r_free_flags.{k}": v for k, v in option.items()} | {"r_free_flags.generate": generate}
    with pytest.raises(ParameterError, match=r"needs r_free_flags\.reference="):
        merged(tmp_path, data, **options)


def test_flags_that_a_reference_lacks_are_alike_for_what_the_lattice_makes_equivalent(data, tmp_path):
    first = merged(tmp_path, data, **{"r_free_flags.generate": True, "fraction": 0.1})
    path = tmp_path / "reference.mtz"
    hkl = first.make_miller_array()
    first.set_data(np.array(first)[hkl[:, 2] == hkl[:, 2].max()])
    first.write_to_file(str(path))
    mtz = merged(tmp_path, data, reference=str(path))
    flags = dict(zip(map(tuple, mtz.make_miller_array().tolist()), column(mtz, "FreeR_flag"), strict=True))
    group = gemmi.find_spacegroup_by_name("P 4")
    asu = gemmi.ReciprocalAsu(group)
    mates = [(f, flags.get(tuple(asu.to_asu((k, h, -l), group.operations())[0]))) for (h, k, l), f in flags.items()]
    known = np.array([m for m in mates if m[1] is not None])
    assert np.mean(known[:, 0] == known[:, 1]) > 0.9


def test_of_several_columns_of_flags_the_test_set_is_taken(data, tmp_path):
    first = merged(tmp_path, data, **{"r_free_flags.generate": True, "fraction": 0.1})
    hkl, flag = first.make_miller_array(), column(first, "FreeR_flag")
    path = tmp_path / "several.mtz"

    def write(**columns: np.ndarray) -> None:
        mtz = gemmi.Mtz(with_base=True)
        mtz.spacegroup, mtz.cell = first.spacegroup, first.cell
        mtz.add_dataset("x")
        for label in columns:
            mtz.add_column(label, "I")
        mtz.set_data(np.column_stack([hkl, *columns.values()]).astype(np.float32))
        mtz.write_to_file(str(path))

    def taken(**options) -> list[bool]:
        mtz = merged(tmp_path, data, reference=str(path), **options)
        np.testing.assert_array_equal(mtz.make_miller_array(), hkl)
        return (column(mtz, "FreeR_flag") == 0).tolist()

    test, nothing = flag == 0, np.zeros(len(flag))
    write(FreeR_flag=nothing, **{"R-free-flags": test * 1.0}, Batch=np.arange(len(flag)))
    assert taken() == test.tolist(), "a column that sets everything aside is no test set"
    write(FREE=flag, **{"R-free-flags(+)": test * 1.0, "R-free-flags(-)": np.where(test, np.nan, 0.0)})
    assert taken() == test.tolist(), "the same test set several times"
    other = flag == 1
    write(FREE=flag, RFREE=other * 1.0, mine=other * 1.0)
    with pytest.raises(ParameterError, match=r"FREE and RFREE hold different test sets .*r_free_flags\.column=RFREE"):
        taken()
    assert taken(column="mine") == other.tolist()
    with pytest.raises(ParameterError, match=r"column=yours: .* only H K L FREE RFREE mine"):
        taken(column="yours")
    write(FREE=nothing)
    with pytest.raises(FileFormatError, match="FREE sets no part of the reflections aside"):
        taken()


def test_flags_are_taken_over_from_mmcif(data, tmp_path):
    flags = {"r_free_flags.generate": True, "fraction": 0.1}
    mtz = merged(tmp_path, data, **{"output.mmcif": "merged.cif"}, **flags)
    again = merged(tmp_path, data, reference=str(tmp_path / "merged.cif"))
    np.testing.assert_array_equal(column(again, "FreeR_flag"), column(mtz, "FreeR_flag"))
    rows = "".join(
        f"{h} {k} {l} {'f' if flag == 3 else 'o'} 1\n"
        for (h, k, l), flag in zip(mtz.make_miller_array().tolist(), column(mtz, "FreeR_flag"), strict=True)
    )
    cell = "".join(
        f"_cell.{name} {value}\n"
        for name, value in zip(
            ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma"),
            mtz.cell.parameters,
            strict=True,
        )
    )
    tags = "".join(f"_refln.{t}\n" for t in ("index_h", "index_k", "index_l", "status", "pdbx_r_free_flag"))
    path = tmp_path / "status.cif"
    path.write_text(f"data_r\n{cell}_symmetry.space_group_name_H-M '{mtz.spacegroup.hm}'\nloop_\n{tags}{rows}")
    again = merged(tmp_path, data, reference=str(path))
    np.testing.assert_array_equal(column(again, "FreeR_flag") == 0, column(mtz, "FreeR_flag") == 3)
