"""The merge program: columns, amplitudes, wavelengths."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import gemmi
import numpy as np
import pytest

import spindle
from spindle.errors import ModelError, ParameterError, UserError
from spindle.files import read_experiments, read_reflections
from spindle.models import Experiments
from spindle.symmetry import unique_indices
from spindle.table import Flag
from spindle.testing import shared_data
from spindle.testing.scaling import simulated_scan

INTENSITIES = ["IMEAN", "SIGIMEAN", "I(+)", "SIGI(+)", "I(-)", "SIGI(-)", "N(+)", "N(-)"]
AMPLITUDES = ["F", "SIGF", "F(+)", "SIGF(+)", "F(-)", "SIGF(-)", "DANO", "SIGDANO"]


@pytest.fixture(scope="module")
def scaled():
    experiment, table, _ = simulated_scan(scale=lambda z, d: 1 + 0.1 * np.sin(z / 20))
    result = spindle.run("scale", Experiments([experiment]), table)
    return result.experiments, result.reflections


def written(result, path: Path, name: str = "merged.mtz") -> gemmi.Mtz:
    result.files[name](path / name)
    return gemmi.read_mtz_file(str(path / name))


def column(mtz: gemmi.Mtz, label: str) -> np.ndarray:
    return np.array(mtz.column_with_label(label).array)


def test_columns_are_those_of_dials(scaled, tmp_path: Path) -> None:
    mtz = written(spindle.run("merge", *scaled), tmp_path)
    assert mtz.column_labels() == ["H", "K", "L", "FreeR_flag", *INTENSITIES, *AMPLITUDES]
    assert "".join(c.type for c in mtz.columns) == "HHHIJQKMKMIIFQGLGLDQ"


def test_without_anomalous_amplitudes_and_test_set(scaled, tmp_path: Path) -> None:
    options = {"anomalous": False, "truncate": False, "r_free_flags.generate": False}
    mtz = written(spindle.run("merge", *scaled, **options), tmp_path)
    assert mtz.column_labels() == ["H", "K", "L", "IMEAN", "SIGIMEAN"]


def test_mean_is_the_weighted_mean_of_the_mates(scaled, tmp_path: Path) -> None:
    mtz = written(spindle.run("merge", *scaled), tmp_path)
    plus, minus = column(mtz, "I(+)"), column(mtz, "I(-)")
    s_plus, s_minus = column(mtz, "SIGI(+)"), column(mtz, "SIGI(-)")
    both = np.isfinite(plus) & np.isfinite(minus) & (plus != minus)
    weights = s_plus[both] ** -2, s_minus[both] ** -2
    mean = (plus[both] * weights[0] + minus[both] * weights[1]) / (weights[0] + weights[1])
    np.testing.assert_allclose(column(mtz, "IMEAN")[both], mean, rtol=1e-4, atol=1e-2)


def test_every_observation_is_counted(scaled, tmp_path: Path) -> None:
    result = spindle.run("merge", *scaled)
    mtz = written(result, tmp_path)
    plus, minus = column(mtz, "N(+)"), column(mtz, "N(-)")
    centric = np.array(mtz.spacegroup.operations().centric_flag_array(mtz.make_miller_array()))
    total = np.nansum(plus) + np.nansum(minus[~centric])
    assert total == result.summary["n_observations"]


def test_strong_amplitudes_are_roots(scaled, tmp_path: Path) -> None:
    mtz = written(spindle.run("merge", *scaled), tmp_path)
    mean, sigma, f = column(mtz, "IMEAN"), column(mtz, "SIGIMEAN"), column(mtz, "F")
    strong = mean > 10 * sigma
    np.testing.assert_allclose(f[strong], np.sqrt(mean[strong]), rtol=0.02)
    assert np.nanmin(f) > 0


def test_file_is_in_the_ccp4_asymmetric_unit(scaled, tmp_path: Path) -> None:
    mtz = written(spindle.run("merge", *scaled), tmp_path)
    asu = gemmi.ReciprocalAsu(mtz.spacegroup)
    assert all(asu.is_in(list(h)) for h in mtz.make_miller_array())


def test_each_wavelength_has_its_own_columns(scaled, tmp_path: Path) -> None:
    experiments, table = scaled
    other = replace(experiments[0], beam=replace(experiments[0].beam, wavelength=1.1), identifier="other")
    second = table.copy()
    second["id"] = np.ones(len(second), np.int32)
    second["intensity.scale.value"] *= 3.0
    second["intensity.scale.variance"] *= 9.0
    table = table.view()
    table.identifiers, second.identifiers = {0: experiments[0].identifier}, {1: "other"}
    joined = type(table).concatenate([table, second])
    result = spindle.run("merge", Experiments([experiments[0], other]), joined, assess_space_group=False)
    mtz = written(result, tmp_path)
    assert {"IMEAN_WAVE1", "IMEAN_WAVE2", "F(+)_WAVE2"} <= set(mtz.column_labels())
    assert mtz.column_labels().count("FreeR_flag") == 1 and np.isfinite(column(mtz, "FreeR_flag")).all()
    assert [round(d.wavelength, 3) for d in mtz.datasets] == [1.0, 1.1]
    for label in ("IMEAN", "SIGIMEAN", "I(+)", "SIGI(-)", "N(+)"):
        first, other = (mtz.column_with_label(f"{label}_WAVE{k}", mtz.dataset(k)) for k in (1, 2))
        factor = 1.0 if label == "N(+)" else 3.0
        np.testing.assert_allclose(other.array, factor * first.array, rtol=1e-5)
    # other amplitudes than the roots of the intensities have are those of weak reflections
    f, g = (column(mtz, f"F_WAVE{k}") for k in (1, 2))
    strong = column(mtz, "IMEAN_WAVE1") > 10 * column(mtz, "SIGIMEAN_WAVE1")
    np.testing.assert_allclose(g[strong], np.sqrt(3.0) * f[strong], rtol=0.01)


def test_resolution_limits_are_kept(scaled, tmp_path: Path) -> None:
    mtz = written(spindle.run("merge", *scaled, d_min=3.0, d_max=10.0), tmp_path)
    d = np.array(mtz.make_d_array())
    assert d.min() >= 3.0 and d.max() <= 10.0


def test_unscaled_data_are_refused() -> None:
    experiment, table, _ = simulated_scan(n_unique=50)
    with pytest.raises(ModelError, match="run spindle scale first"):
        spindle.run("merge", Experiments([experiment]), table)


def test_cctbx_is_not_available(scaled) -> None:
    with pytest.raises(ParameterError, match="not available"):
        spindle.run("merge", *scaled, implementation="cctbx")


def test_few_reflections_take_the_flat_prior_or_none(scaled, tmp_path: Path) -> None:
    few = written(spindle.run("merge", *scaled, **{"french_wilson.min_reflections": 100000}), tmp_path)
    assert "F" in few.column_labels()
    none = spindle.run("merge", *scaled, **{"french_wilson.min_reflections": 100000, "fallback_to_flat_prior": False})
    assert "F" not in written(none, tmp_path).column_labels()


def test_scale_writes_the_same_merged_file(scaled, tmp_path: Path) -> None:
    experiment, table, _ = simulated_scan(scale=lambda z, d: 1 + 0.1 * np.sin(z / 20))
    result = spindle.run("scale", Experiments([experiment]), table, merged_mtz="m.mtz", unmerged_mtz="u.mtz")
    ours = written(result, tmp_path, "m.mtz")
    other = written(spindle.run("merge", *scaled), tmp_path)
    np.testing.assert_allclose(column(ours, "IMEAN"), column(other, "IMEAN"), rtol=1e-5)
    unmerged = written(result, tmp_path, "u.mtz")
    assert unmerged.nreflections == result.summary["n_observations"]


def test_scaled_files_of_dials_are_merged(tmp_path: Path) -> None:
    """Quartz: DIALS reports 1401 observations of 298 reflections."""
    folder = shared_data("dials_processed") / "quartz_processed"
    result = spindle.run(
        "merge", read_experiments(folder / "scaled.expt"), read_reflections(folder / "scaled.refl"),
        assess_space_group=False,
    )  # fmt: skip
    assert result.summary["n_observations"] == 1401
    assert written(result, tmp_path).nreflections == 298


def anisotropic():
    """A cubic crystal's observations whose signal falls faster along a: as a crystal of P 1 it is anisotropic."""
    experiment, table, truth = simulated_scan(n_unique=4000, multiplicity=4, background=400.0)
    crystal = experiment.known_crystal
    experiment = replace(experiment, crystal=crystal.with_space_group(gemmi.SpaceGroup("P 2 2 2")))
    q = table["miller_index"] / 60.0
    value = truth["intensity"] * np.exp(-25.0 * q[:, 0] ** 2)
    rng = np.random.default_rng(3)
    table["intensity.scale.value"] = value + 20.0 * rng.normal(size=len(value))
    table["intensity.scale.variance"] = np.full(len(value), 400.0)
    table["inverse_scale_factor"] = np.ones(len(value))
    table["flags"] = np.full(len(value), int(Flag.SCALED | Flag.INTEGRATED_SUM))
    return Experiments([experiment]), table


def test_anisotropic_data_are_told_of_and_cut_when_asked(tmp_path: Path) -> None:
    experiments, table = anisotropic()
    usual = spindle.run("merge", experiments, table, output__json="merged.json")
    cut = spindle.run("merge", experiments, table, anisotropy__cut=True)
    usual.files["merged.json"](tmp_path / "merged.json")
    found = json.loads((tmp_path / "merged.json").read_text())["wavelength_1"]["anisotropy"]
    assert abs(found["directions"][2][0]) == pytest.approx(1.0, abs=0.02), "the worst direction is a*"
    assert found["limits"][2] > 1.3 * found["limits"][0]
    assert [t.title for t in usual.tables if "ellipsoid" in t.title]
    assert cut.summary["n_unique"] < 0.95 * usual.summary["n_unique"]
    assert cut.summary["i_over_sigma"] > 1.1 * usual.summary["i_over_sigma"]
    mtz = written(cut, tmp_path)
    hkl, matrix = mtz.make_miller_array(), np.array(found["matrix"])
    known = np.isfinite(column(mtz, "IMEAN"))
    q = hkl[known] / 60.0
    assert np.einsum("ni,ij,nj->n", q, matrix, q).max() < 1.02
    off = spindle.run("merge", experiments, table, anisotropy__check=False)
    assert not [t.title for t in off.tables if "ellipsoid" in t.title]


def test_isotropic_data_are_not_cut_without_being_asked(scaled) -> None:
    assert not [t.title for t in spindle.run("merge", *scaled).tables if "ellipsoid" in t.title]


def whole_sphere(scaled, measured):
    """All reflections to 2 A, each twice, in the place of those of a scan; of which those are measured that a function of d says."""
    experiments, table = scaled
    crystal = experiments[0].crystal
    unique = unique_indices(crystal.cell, crystal.space_group, 2.0)
    d = gemmi.UnitCell(*crystal.cell).calculate_d_array(unique)
    rng = np.random.default_rng(4)
    unique = unique[rng.random(len(unique)) < measured(d)]
    hkl = np.repeat(unique, 2, axis=0)
    some = table.select(np.resize(np.flatnonzero(table.has_flags(Flag.SCALED)), len(hkl)))
    some["miller_index"], some["d"] = hkl.astype(np.int32), gemmi.UnitCell(*crystal.cell).calculate_d_array(hkl)
    some["inverse_scale_factor"] = np.ones(len(hkl))
    some["intensity.scale.value"] = np.repeat(rng.exponential(100.0, len(unique)), 2) + rng.normal(0.0, 2.0, len(hkl))
    some["intensity.scale.variance"] = np.full(len(hkl), 4.0)
    return experiments, some


def test_data_are_cut_where_they_end_and_all_of_them_kept_beside(scaled, tmp_path: Path) -> None:
    """Four in five unique reflections beyond 2.5 A are missing."""
    experiments, some = whole_sphere(scaled, lambda d: np.where(d > 2.5, 1.0, 0.2))
    edge = 2.5
    found = spindle.run("merge", experiments, some, d_min="Auto")
    assert set(found.files) >= {"merged.mtz", "merged_all.mtz"}
    mtz, whole = (written(found, tmp_path, name) for name in ("merged.mtz", "merged_all.mtz"))
    assert whole.resolution_high() == pytest.approx(float(some["d"].min()), abs=1e-3)
    assert mtz.resolution_high() == pytest.approx(edge, rel=0.08)
    assert found.summary["suggested_d_min"] == pytest.approx(mtz.resolution_high(), rel=0.01)
    assert any(t.key == "data_end" for t in found.tables)
    flags = [
        dict(zip(map(tuple, m.make_miller_array().tolist()), column(m, "FreeR_flag"), strict=True))
        for m in (mtz, whole)
    ]
    assert flags[0].items() <= flags[1].items(), "one test set"
    # the file of all data is what merging without a limit writes
    plain = written(spindle.run("merge", experiments, some), tmp_path)
    np.testing.assert_array_equal(np.array(plain, copy=False), np.array(whole, copy=False))


def test_data_that_go_to_their_end_are_not_cut(scaled) -> None:
    found = spindle.run("merge", *whole_sphere(scaled, np.ones_like), d_min="Auto")
    assert "merged_all.mtz" not in found.files


def test_the_test_set_may_be_thin_layers_of_resolution(scaled, tmp_path: Path) -> None:
    experiments, table = whole_sphere(scaled, lambda d: np.ones(len(d)))
    options = {"generate": True, "use_dataman_shells": True, "n_shells": 4, "fraction": 0.1, "max_free": None}
    mtz = written(
        spindle.run("merge", experiments, table, **{f"r_free_flags.{k}": v for k, v in options.items()}), tmp_path
    )
    flag, d = column(mtz, "FreeR_flag"), mtz.make_d_array()
    assert np.mean(flag == 0) == pytest.approx(0.1, abs=0.01)
    free = np.sort(d[flag == 0] ** -2.0)
    gaps = np.sort(np.diff(free))[::-1]
    assert gaps[2] > 8 * gaps[3], "four layers, between which there are three gaps"
    # reflections of one resolution are in one set, but for those at an edge of a layer
    exact = np.round(d**-2.0 * 3600).astype(int)
    split = [n for n in np.unique(exact) if 0 < np.mean(flag[exact == n] == 0) < 1]
    assert len(split) <= 8


def test_images_are_left_out(scaled, tmp_path: Path) -> None:
    experiments, table = scaled
    image = np.floor(table["xyzobs.px.value"][:, 2]).astype(int) + 1
    first, last = experiments[0].scan.image_range
    middle = (first + last) // 2
    words = {"exclude_images": [f"0:{first}:{middle}"], "exclude_images_multiple": 5}
    result = spindle.run("merge", experiments, table, **words)
    kept = table.select((image > middle) & (image % 5 != 0))
    expected = spindle.run("merge", experiments, kept)
    assert result.summary["n_observations"] == expected.summary["n_observations"] < len(table)
    with pytest.raises(UserError, match="leave no reflection"):
        spindle.run("merge", experiments, table, exclude_images=[f"{first}:{last}"])
