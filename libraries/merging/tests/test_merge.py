"""Weighted means of symmetry equivalents, against gemmi and by hand."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest

from spindle.errors import UserError
from spindle.table import Flag, ReflectionTable
from spindle.testing import shared_data
from spindle_lib_merging import (
    group_equivalents,
    half_means,
    merge_equivalents,
    merge_groups,
    merge_pairs,
    merging_statistics,
)
from spindle_lib_merging.intensities import prepare_intensities


def observations(group: str, n: int = 3000, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    hkl = rng.integers(-6, 7, (n, 3)).astype(np.int32)
    hkl = hkl[np.any(hkl != 0, axis=1)]
    absent = gemmi.SpaceGroup(group).operations().systematic_absences(hkl)
    hkl = hkl[~np.asarray(absent)]
    return hkl, rng.normal(100, 30, len(hkl)), rng.uniform(1, 20, len(hkl)) ** 2


@pytest.mark.parametrize("group", ["P 1", "C 1 2 1", "P 21 21 21", "P 43 21 2", "R 3 :H", "P 63 2 2", "F 4 3 2"])
@pytest.mark.parametrize("anomalous", [False, True])
def test_means_and_sigmas_are_those_of_gemmi(group: str, anomalous: bool) -> None:
    hkl, intensity, variance = observations(group)
    merged = merge_equivalents(hkl, intensity, variance, group, anomalous)
    other = gemmi.Intensities()
    other.set_data(gemmi.UnitCell(50, 50, 50, 90, 90, 90), gemmi.SpaceGroup(group), hkl, intensity, np.sqrt(variance))
    other.type = gemmi.DataType.Unmerged
    other.merge_in_place(gemmi.DataType.Anomalous if anomalous else gemmi.DataType.Mean)
    values = np.sort(np.asarray(other.value_array))
    assert len(merged) == len(values)
    np.testing.assert_allclose(np.sort(merged.intensity), values, rtol=1e-6)
    np.testing.assert_allclose(np.sort(merged.sigma), np.sort(np.asarray(other.sigma_array)), rtol=1e-6)


def test_mean_of_two_by_hand() -> None:
    merged = merge_equivalents([[1, 2, 3], [-1, -2, -3]], [10.0, 16.0], [1.0, 4.0], "P 1")
    assert merged.intensity[0] == pytest.approx((10 + 16 / 4) / (1 + 1 / 4))
    assert merged.sigma[0] == pytest.approx(1 / np.sqrt(1.25))
    assert merged.multiplicity[0] == 2


def test_internal_variance_covers_the_scatter() -> None:
    merged = merge_equivalents([[1, 2, 3]] * 2, [0.0, 100.0], [1.0, 1.0], "P 1", use_internal_variance=True)
    assert merged.sigma[0] == pytest.approx(50.0)


def test_single_observation_keeps_its_sigma() -> None:
    merged = merge_equivalents([[1, 2, 3]], [7.0], [9.0], "P 1", use_internal_variance=True)
    assert merged.intensity[0] == pytest.approx(7.0)
    assert merged.sigma[0] == 3.0


def test_friedel_mates_stay_apart_only_when_acentric() -> None:
    hkl = [[1, 2, 3], [-1, -2, -3], [1, 2, 0], [-1, -2, 0]]
    merged = merge_equivalents(hkl, [1.0, 2.0, 3.0, 5.0], [1.0] * 4, "P 1 2 1", anomalous=True)
    centric = merge_equivalents([[1, 0, 2], [-1, 0, -2]], [3.0, 5.0], [1.0, 1.0], "P 1 2 1", anomalous=True)
    assert len(merged) == 4
    assert len(centric) == 1 and centric.intensity[0] == 4.0


def test_pairs_bring_mates_together() -> None:
    hkl = [[1, 2, 3], [-1, -2, -3], [2, 2, 3]]
    pairs = merge_pairs(hkl, [10.0, 20.0, 5.0], [1.0, 1.0, 1.0], "P 1 2 1")
    row = int(np.flatnonzero(pairs.paired)[0])
    assert pairs.paired.sum() == 1
    assert sorted([pairs.plus[row], pairs.minus[row]]) == [10.0, 20.0]
    assert pairs.mean.intensity[row] == 15.0
    assert np.isnan(pairs.plus[1 - row]) or np.isnan(pairs.minus[1 - row])


def test_result_does_not_depend_on_the_order() -> None:
    hkl, intensity, variance = observations("P 41 21 2")
    order = np.random.default_rng(1).permutation(len(hkl))
    a = merge_equivalents(hkl, intensity, variance, "P 41 21 2")
    b = merge_equivalents(hkl[order], intensity[order], variance[order], "P 41 21 2")
    np.testing.assert_array_equal(a.hkl, b.hkl)
    np.testing.assert_allclose(a.intensity, b.intensity, rtol=1e-12)


def test_halves_average_to_the_whole_for_equal_weights() -> None:
    groups = group_equivalents([[1, 2, 3]] * 4 + [[2, 2, 3]], "P 1")
    first, second = half_means(groups, [1.0, 2.0, 3.0, 4.0, 9.0], [1.0] * 5)
    assert first[0] + second[0] == pytest.approx(5.0)
    assert np.isnan(first[1]) and np.isnan(second[1])


def test_zero_variance_is_refused() -> None:
    with pytest.raises(ValueError, match="positive"):
        merge_equivalents([[1, 2, 3]], [1.0], [0.0], "P 1")


def test_real_unmerged_data_merge_and_rate_as_gemmi_has_it() -> None:
    """i19_c2c_scaled_unmerged.mtz, real small-molecule data: means, Rmerge, Rmeas, Rpim, CC1/2 of gemmi."""
    path = shared_data("unmerged") / "i19_c2c_scaled_unmerged.mtz"
    mtz = gemmi.read_mtz_file(str(path))
    reader = gemmi.Intensities()
    reader.import_mtz(mtz, gemmi.DataType.Unmerged)
    reader.remove_systematic_absences()
    hkl = np.array(reader.miller_array, dtype=np.int32)
    value, sigma = np.array(reader.value_array), np.array(reader.sigma_array)
    group, cell = mtz.spacegroup.hm, mtz.cell.parameters
    ours = merge_equivalents(hkl, value, sigma**2, group)
    # gemmi divides by the sum of weighted means, Spindle and cctbx by the sum of the observations: compare without
    # weights
    stats = merging_statistics(hkl, value, np.ones(len(hkl)), cell, group, n_shells=1).overall
    reader.prepare_for_merging(gemmi.DataType.Mean)
    theirs = reader.calculate_merging_stats(None, "U")[0]
    assert stats.r_merge == pytest.approx(theirs.r_merge(), rel=1e-4)
    assert stats.r_meas == pytest.approx(theirs.r_meas(), rel=1e-4)
    assert stats.r_pim == pytest.approx(theirs.r_pim(), rel=1e-4)
    assert stats.cc_half_sigma_tau == pytest.approx(theirs.cc_half(), abs=0.01)
    reader.merge_in_place(gemmi.DataType.Mean)
    assert len(ours) == len(reader.value_array)
    np.testing.assert_allclose(np.sort(ours.intensity), np.sort(reader.value_array), rtol=1e-6, atol=1e-6)


def test_merge_groups_needs_matching_arrays() -> None:
    groups = group_equivalents([[1, 2, 3]], "P 1")
    with pytest.raises(ValueError, match="match"):
        merge_groups(groups, [1.0, 2.0], [1.0, 1.0])


@pytest.mark.parametrize(
    ("column", "value"),
    [("intensity.sum.variance", 0.0), ("intensity.sum.variance", 1e-300), ("intensity.sum.variance", 1e300),
     ("intensity.sum.value", -1e300), ("lp", 0.0), ("lp", 1e-300), ("lp", -1.0), ("qe", 1e-300), ("partiality", 0.0)],
)  # fmt: skip
def test_numbers_that_no_measurement_gives_are_left_out(column, value):
    n = 6
    names = [
        "id",
        "flags",
        "miller_index",
        "d",
        "lp",
        "qe",
        "partiality",
        "intensity.sum.value",
        "intensity.sum.variance",
    ]
    table = ReflectionTable.with_rows(n, names)
    table["flags"] = np.full(n, int(Flag.INTEGRATED_SUM))
    table["intensity.sum.value"], table["intensity.sum.variance"] = np.full(n, 100.0), np.full(n, 120.0)
    table["lp"], table["qe"], table["partiality"] = np.full(n, 0.5), np.full(n, 0.8), np.full(n, 0.9)
    spoilt = table.view()
    spoilt[column] = np.where(np.arange(n) == 2, value, table[column])
    found = prepare_intensities(spoilt, "sum")
    assert found.values["sum"] == pytest.approx(np.full(n - 1, 100 * 0.5 / 0.8 / 0.9))
    assert sum(found.dropped.values()) == 1
    spoilt[column] = np.full(n, value)
    with pytest.raises(UserError, match="no reflection"):
        prepare_intensities(spoilt, "sum")


@pytest.mark.parametrize("largest", [2, 40, 2000])
@pytest.mark.parametrize("n", [0, 1, 2, 4000])
def test_observations_are_in_the_order_of_their_indices_with_mates_apart_or_not(n: int, largest: int) -> None:
    """The order is that of numpy's lexsort by h, k, l and Friedel mate, whatever the box of indices."""
    rng = np.random.default_rng(n + largest)
    hkl = rng.integers(-largest, largest + 1, (n, 3)).astype(np.int32)
    for name in ("P 1", "P 21 21 21", "P 31 2 1"):
        whole = group_equivalents(hkl, name)
        asu = whole.hkl[whole.index] if n else hkl
        np.testing.assert_array_equal(whole.order, np.lexsort((asu[:, 2], asu[:, 1], asu[:, 0])))
        mates = group_equivalents(hkl, name, anomalous=True)
        minus = ~mates.positive
        np.testing.assert_array_equal(mates.order, np.lexsort((minus, asu[:, 2], asu[:, 1], asu[:, 0])))
        parted, of = whole.with_friedel_apart()
        for attribute in ("order", "offsets", "hkl", "centric", "epsilon"):
            np.testing.assert_array_equal(getattr(parted, attribute), getattr(mates, attribute))
        np.testing.assert_array_equal(whole.epsilon[of], parted.epsilon)


def test_blocks_of_observations_make_no_difference(monkeypatch):
    from spindle_lib_merging import grouping, merge

    rng = np.random.default_rng(4)
    hkl, value, variance = rng.integers(-3, 4, (900, 3)), rng.normal(9, 3, 900), rng.uniform(0.5, 2, 900)
    groups = group_equivalents(hkl, gemmi.SpaceGroup("P 2 2 2"))
    whole = merge.merge_groups(groups, value, variance), *merge.half_means(groups, value, variance)
    apart = groups.with_friedel_apart()[0]
    np.testing.assert_array_equal(apart.order, group_equivalents(hkl, gemmi.SpaceGroup("P 2 2 2"), True).order)
    for block in (1, 40):
        monkeypatch.setattr(grouping, "BLOCK", block)
        merged, *halves = merge.merge_groups(groups, value, variance), *merge.half_means(groups, value, variance)
        for name in ("intensity", "sigma", "deviation", "total", "spread", "plain_mean"):
            np.testing.assert_array_equal(getattr(merged, name), getattr(whole[0], name))
        np.testing.assert_array_equal(halves, whole[1:])
        for name in ("order", "offsets", "hkl"):
            np.testing.assert_array_equal(getattr(groups.with_friedel_apart()[0], name), getattr(apart, name))
    np.testing.assert_allclose(whole[0].plain_mean[0], value[groups.order[: groups.offsets[1]]].mean())
