"""The scale program on simulated data of known scale factors and errors, and on DIALS's files."""

from __future__ import annotations

import numpy as np
import pytest

import spindle
from spindle.errors import ModelError, ParameterError, UserError
from spindle.files import read_experiments, read_reflections
from spindle.models import Experiments
from spindle.table import Flag, ReflectionTable
from spindle.testing import shared_data
from spindle.testing.scaling import simulated_scan
from spindle_lib_merging import merging_statistics


def drifting(z: np.ndarray, d: np.ndarray) -> np.ndarray:
    """Illuminated volume and decay along 90 images."""
    return (1 + 0.15 * np.sin(z / 20.0)) * np.exp(-0.02 * z / (2 * d**2))


def scale_error(table: ReflectionTable, truth: dict[str, np.ndarray]) -> float:
    """Rms of ln(g / g_true), overall scale and B taken out."""
    good = table.has_flags(Flag.SCALED)
    difference = np.log(table["inverse_scale_factor"][good] / truth["scale"][good])
    x = 0.5 / table["d"][good] ** 2
    return float((difference - np.polyval(np.polyfit(x, difference, 1), x)).std())


@pytest.fixture(scope="module")
def drift():
    experiment, table, truth = simulated_scan(scale=drifting)
    return Experiments([experiment]), table, truth


@pytest.fixture(scope="module")
def scaled(drift):
    return spindle.run("scale", drift[0], drift[1])


def test_true_scale_factors_are_found(drift, scaled) -> None:
    _, _, truth = drift
    assert np.log(truth["scale"]).std() > 0.1
    assert scale_error(scaled.reflections, truth) < 0.01


def test_fixed_restraints_find_them_too(drift) -> None:
    experiments, table, truth = drift
    result = spindle.run("scale", experiments, table, **{"physical.restraint": "fixed"})
    assert scale_error(result.reflections, truth) < 0.015


def test_sigmas_after_scaling_are_right(drift, scaled) -> None:
    table, truth = scaled.reflections, drift[2]
    good = table.has_flags(Flag.SCALED)
    g = table["inverse_scale_factor"][good]
    value, sigma = table["intensity.scale.value"][good] / g, np.sqrt(table["intensity.scale.variance"][good]) / g
    true = truth["intensity"][good]
    k = np.exp(np.polyfit(0.5 / table["d"][good] ** 2, np.log(truth["scale"][good] / g), 1))
    x = 0.5 / table["d"][good] ** 2
    slope, intercept = np.polyfit(x, np.log(truth["scale"][good] / g), 1)
    z = (value - true * np.exp(intercept + slope * x)) / sigma
    assert k.shape == (2,)
    for part in np.array_split(np.argsort(true), 4):
        assert np.sqrt((z[part] ** 2).mean()) == pytest.approx(1.0, abs=0.1)


def test_error_model_of_the_data_is_found() -> None:
    experiment, table, _ = simulated_scan(scale=drifting, a=1.3, b=0.03, n_unique=2500)
    result = spindle.run("scale", Experiments([experiment]), table, **{"basic.c": 0})
    a, b = result.summary["error_models"][0]
    assert a == pytest.approx(1.3, rel=0.05)
    assert b == pytest.approx(0.03, rel=0.12)


def test_statistics_improve(drift, scaled) -> None:
    experiments, table, _ = drift
    raw = merging_statistics(
        table["miller_index"], table["intensity.prf.value"], table["intensity.prf.variance"],
        experiments[0].crystal.cell, experiments[0].crystal.space_group,
    ).overall  # fmt: skip
    assert scaled.summary["r_meas"] < 0.7 * raw.r_meas
    assert scaled.summary["cc_half"] > 0.99


def test_flat_data_stay_flat() -> None:
    experiment, table, truth = simulated_scan()
    result = spindle.run("scale", Experiments([experiment]), table)
    assert scale_error(result.reflections, truth) < 0.005


def test_planted_outliers_are_flagged(drift) -> None:
    experiments, table, _ = drift
    table = table.copy()
    strong = np.flatnonzero(table["intensity.prf.value"] > 500)[::50]
    for name in ("intensity.prf.value", "intensity.sum.value"):
        column = table[name].copy()
        column[strong] *= 3.0
        table[name] = column
    result = spindle.run("scale", experiments, table)
    assert result.reflections.has_flags(Flag.OUTLIER_IN_SCALING)[strong].mean() > 0.97
    others = np.setdiff1d(np.arange(len(table)), strong)
    assert result.reflections.has_flags(Flag.OUTLIER_IN_SCALING)[others].mean() < 0.005


@pytest.mark.parametrize("rejection", ["standard", "simple"])
def test_both_rejections_work(drift, rejection: str) -> None:
    result = spindle.run("scale", drift[0], drift[1], outlier_rejection=rejection)
    assert result.summary["n_outliers"] < 0.005 * len(drift[1])


def test_columns_and_flags_are_complete(scaled) -> None:
    table = scaled.reflections
    good = table.has_flags(Flag.SCALED)
    bad = table.has_flags(
        Flag.OUTLIER_IN_SCALING | Flag.EXCLUDED_FOR_SCALING | Flag.USER_EXCLUDED_IN_SCALING, all=False
    )
    assert np.all(good ^ bad)
    assert np.all(table["inverse_scale_factor"][good] > 0)
    assert np.all(table["intensity.scale.variance"][good] > 0)
    assert np.all(table["inverse_scale_factor_variance"][good] >= 0)
    assert table["inverse_scale_factor_variance"][good].max() < 0.01


def test_model_is_written_as_dials_has_it(scaled) -> None:
    model = scaled.experiments[0].scaling_model
    assert model["__id__"] == "physical"
    settings = model["configuration_parameters"]
    assert settings["corrections"] == ["scale", "decay", "absorption"]
    for name in settings["corrections"]:
        term = model[name]
        assert term["n_parameters"] == len(term["parameters"]) == len(term["est_standard_devs"])
    assert settings["error_model_type"] == "BasicErrorModel"
    assert len(settings["error_model_parameters"]) == 2
    assert {"s_norm_fac", "d_norm_fac", "lmax", "valid_osc_range", "Imid"} <= set(settings)


def test_scaling_again_changes_little(scaled) -> None:
    again = spindle.run("scale", scaled.experiments, scaled.reflections)
    good = scaled.reflections.has_flags(Flag.SCALED) & again.reflections.has_flags(Flag.SCALED)
    ratio = again.reflections["inverse_scale_factor"][good] / scaled.reflections["inverse_scale_factor"][good]
    assert np.log(ratio).std() < 0.003


def test_factor_on_all_intensities_changes_no_scale(drift, scaled) -> None:
    experiments, table, _ = drift
    table = table.copy()
    for name in ("intensity.prf", "intensity.sum"):
        table[f"{name}.value"] = 10 * table[f"{name}.value"]
        table[f"{name}.variance"] = 100 * table[f"{name}.variance"]
    again = spindle.run("scale", experiments, table, **{"basic.c": 0})
    once = spindle.run("scale", experiments, drift[1], **{"basic.c": 0})
    ratio = again.reflections["inverse_scale_factor"] / once.reflections["inverse_scale_factor"]
    np.testing.assert_allclose(ratio, 1.0, atol=2e-3)
    assert scaled.summary["n_unique"] == again.summary["n_unique"]


def test_excluded_images_and_resolution_are_flagged(drift) -> None:
    experiments, table, _ = drift
    result = spindle.run("scale", experiments, table, exclude_images=["0:11:20"], d_min=3.0)
    z = table["xyzobs.px.value"][:, 2]
    expected = ((z >= 10) & (z < 20)) | (table["d"] < 3.0)
    np.testing.assert_array_equal(result.reflections.has_flags(Flag.USER_EXCLUDED_IN_SCALING), expected)
    assert not np.any(result.reflections.has_flags(Flag.SCALED) & expected)


@pytest.mark.parametrize(
    "parameters",
    [
        {"engine": "LevMar"}, {"scaling_refinery.engine": "SimpleLBFGS"}, {"refinement_order": "consecutive"}, {"intensity_choice": "sum"}, {"use_free_set": True},
        {"reflection_selection.method": "intensity_ranges"}, {"error_model": None}, {"full_matrix": False},
        {"weighting.scale_error": "dials"}, {"physical.correction.fix": ["decay"]}, {"absorption_level": "high"},
        {"basic.minimisation": "individual"}, {"basic.minimisation": "regression"}, {"basic.minimisation": "None"},
        {"anomalous": True}, {"min_reflections": 3000, "min_groups": 300}, {"share.absorption": True},
    ],
)  # fmt: skip
@pytest.mark.sampled(3)
def test_choices_run_and_scale(drift, parameters) -> None:
    experiments, table, truth = drift
    result = spindle.run("scale", experiments, table, **parameters)
    limit = 0.08 if "physical.correction.fix" in parameters else 0.015
    assert scale_error(result.reflections, truth) < limit


def test_what_is_not_available_says_so(drift) -> None:
    with pytest.raises(ParameterError, match="not available: "):
        spindle.run("scale", drift[0], drift[1], **{"scaling_options.nproc": 2})


def test_wrong_input_is_explained(drift) -> None:
    experiments, table, _ = drift
    with pytest.raises(UserError, match="give experiments and reflections"):
        spindle.run("scale", experiments)
    with pytest.raises(ModelError, match="no column s1"):
        spindle.run("scale", experiments, table.without("s1"))
    with pytest.raises(ParameterError, match="exclude_images"):
        spindle.run("scale", experiments, table, exclude_images=["1:2:3:4"])
    nothing = table.copy()
    nothing["flags"] = np.zeros(len(table), np.uint64)
    with pytest.raises(ModelError, match=rf"none of the {len(table)} reflections can be scaled \(.* not integrated"):
        spindle.run("scale", experiments, nothing)


def test_single_observations_keep_the_scale_one(caplog) -> None:
    experiment, table, _ = simulated_scan(n_unique=300, multiplicity=1)
    with caplog.at_level("WARNING"):
        result = spindle.run("scale", Experiments([experiment]), table)
    assert "measured more than once" in caplog.text
    np.testing.assert_allclose(result.reflections["inverse_scale_factor"], 1.0, rtol=1e-12)
    assert result.summary["n_observations"] == result.summary["n_unique"]


def test_quartz_scales_no_worse_than_dials() -> None:
    """Electron diffraction of quartz, from the same integrated reflections: CC1/2 as good, and more of them kept."""
    folder = shared_data("dials_processed") / "quartz_processed"
    experiments = read_experiments(folder / "integrated.expt")
    result = spindle.run("scale", experiments, read_reflections(folder / "integrated.refl"))
    theirs = read_reflections(folder / "scaled.refl")
    good = theirs.has_flags(Flag.SCALED)
    g = theirs["inverse_scale_factor"][good]
    crystal = experiments[0].crystal
    dials = merging_statistics(
        theirs["miller_index"][good], theirs["intensity.scale.value"][good] / g,
        theirs["intensity.scale.variance"][good] / g**2, crystal.cell, crystal.space_group,
    ).overall  # fmt: skip
    assert result.summary["cc_half"] > dials.cc_half - 0.002
    assert result.summary["n_observations"] > dials.n_observations
    assert result.summary["n_unique"] == dials.n_unique


def test_scale_factors_of_a_dials_model_are_reproduced() -> None:
    """The physical terms built from DIALS's scaling model give the inverse scale factors of its reflection file."""
    from dataclasses import replace

    from spindle_program_scale.data import scaling_observations

    from spindle.testing import make_context

    folder = shared_data("dials_processed") / "quartz_processed"
    experiment = read_experiments(folder / "scaled.expt")[0]
    table = read_reflections(folder / "scaled.refl")
    table = table.select(~table.has_flags(Flag.EXCLUDED_FOR_SCALING) & (table["inverse_scale_factor"] != 1.0))
    view = table.view()
    view["xyzcal.px"] = table["xyzobs.px.value"]
    observations = scaling_observations(experiment, view, np.arange(len(table)), table["d"])
    observations = replace(observations, image=observations.image_observed)
    model = (
        make_context()
        .algorithm("scaling", "physical")
        .build_scaling_model(experiment=experiment, observations=observations, existing=experiment.scaling_model)
    )
    g = np.prod([t.values(t.parameters) for t in model.terms], axis=0)
    np.testing.assert_allclose(g, table["inverse_scale_factor"], rtol=1e-9)


def test_bad_images_at_the_end_are_filtered_out(drift) -> None:
    experiments, table, _ = drift
    table = table.copy()
    late = np.flatnonzero(table["xyzobs.px.value"][:, 2] >= 80)
    rng = np.random.default_rng(0)
    for name in ("intensity.prf.value", "intensity.sum.value"):
        column = table[name].copy()
        column[late] = rng.permutation(column[late])
        table[name] = column
    result = spindle.run(
        "scale", experiments, table, error_model=None, outlier_zmax=1000, emax=None,
        **{"filtering.method": "deltacchalf", "mode": "image_group", "stdcutoff": 2.0, "max_percent_removed": 30},
    )  # fmt: skip
    excluded = result.reflections.has_flags(Flag.USER_EXCLUDED_IN_SCALING)
    assert excluded[late].all()
    assert not excluded[table["xyzobs.px.value"][:, 2] < 70].any()


def test_cross_validation_prefers_the_model_that_the_data_need(drift) -> None:
    experiments, table, _ = drift
    result = spindle.run(
        "scale", experiments, table, cross_validation_mode="multi", **{"cross_validation.parameter": "physical.decay_correction"},
        nfolds=2,
    )  # fmt: skip
    found = next(t for t in result.tables if t.key == "cross_validation")
    rmsd = {row[0]: row[3] for row in found.rows if row[1] == "mean"}
    r_meas = {row[0]: row[5] for row in found.rows if row[1] == "mean"}
    assert set(rmsd) == {"True", "False"}
    assert r_meas["True"] < r_meas["False"]


def test_strong_absorption_is_followed_by_itself() -> None:
    """Absorption of 25 % without a hint; restraints of a fixed strength are too tight for it."""
    from spindle_program_scale.data import scaling_observations

    from spindle_lib_harmonics.surface import surface_weights

    experiment, table, truth = simulated_scan(multiplicity=10)
    observations = scaling_observations(experiment, table, np.arange(len(table)), table["d"])
    surface = surface_weights(observations.source, observations.diffracted, 3)[:]
    rng = np.random.default_rng(1)
    g = np.exp(surface @ rng.normal(0, 0.3, 15))
    expected = truth["intensity"] * g
    for name in ("intensity.prf", "intensity.sum"):
        table[f"{name}.value"] = expected + np.sqrt(expected + 25) * np.random.default_rng(2).normal(size=len(g))
        table[f"{name}.variance"] = expected + 25
    assert np.log(g).std() > 0.1
    result = spindle.run("scale", Experiments([experiment]), table)
    assert scale_error(result.reflections, {"scale": g}) < 0.012


def test_narrow_sweeps_do_not_invent_decay() -> None:
    """Without decay, in 10 degrees: the B factor of the fixed restraints wanders, that of the adaptive ones stays flat."""
    experiment, table, _ = simulated_scan(n_unique=400, multiplicity=4, n_images=20, width_deg=0.5)
    ranges = {}
    for restraint in ("adaptive", "fixed"):
        result = spindle.run("scale", Experiments([experiment]), table, **{"physical.restraint": restraint})
        ranges[restraint] = np.ptp(result.experiments[0].scaling_model["decay"]["parameters"])
    assert ranges["adaptive"] < 0.5 * ranges["fixed"]
    assert ranges["adaptive"] < 0.5


def test_flicker_of_single_images_is_followed() -> None:
    """The beam changes by 5 % from image to image: samples of the scale go down to single images where the data allow."""
    flicker = 1 + 0.05 * np.random.default_rng(3).normal(size=60)
    experiment, table, truth = simulated_scan(
        n_unique=1600, multiplicity=8, n_images=60, scale=lambda z, d: flicker[z.astype(int)]
    )
    errors = {}
    for restraint in ("adaptive", "fixed"):
        result = spindle.run("scale", Experiments([experiment]), table, **{"physical.restraint": restraint})
        errors[restraint] = scale_error(result.reflections, truth)
    assert errors["adaptive"] < 0.5 * errors["fixed"]


def test_scale_error_of_the_fitted_model_is_not_counted_twice(drift) -> None:
    experiments, table, _ = drift
    variances = {}
    for way in ("fitted", "exact"):
        result = spindle.run("scale", experiments, table, **{"weighting.scale_error": way})
        variances[way] = result.reflections["intensity.scale.variance"]
    good = result.reflections.has_flags(Flag.SCALED)
    assert np.all(variances["exact"][good] >= variances["fitted"][good])
    assert np.any(variances["exact"][good] > 1.001 * variances["fitted"][good])


@pytest.mark.parametrize(("better", "imid"), [("prf", 0.0), ("sum", 1.0)])
def test_the_more_precise_intensities_are_taken_on_weak_data(better: str, imid: float) -> None:
    experiment, table, truth = simulated_scan(n_unique=1200, multiplicity=6, seed=7)
    rng = np.random.default_rng(3)
    signal = 0.02 * truth["intensity"]
    table = table.view()
    for kind in ("prf", "sum"):
        # both see the same photons; one has twice the variance of the other from the background
        variance = signal + (10.0 if kind == better else 60.0)
        table[f"intensity.{kind}.value"] = signal + np.sqrt(variance) * rng.normal(size=len(signal))
        table[f"intensity.{kind}.variance"] = variance
    result = spindle.run("scale", Experiments([experiment]), table)
    assert result.experiments[0].scaling_model["configuration_parameters"]["Imid"] == imid
    good = result.reflections.has_flags(Flag.SCALED)
    found = result.reflections["intensity.scale.value"][good] / result.reflections["inverse_scale_factor"][good]
    direct = table[f"intensity.{better}.value"][good]
    true = truth["intensity"][good]
    assert np.corrcoef(found, true)[0, 1] > np.corrcoef(direct, true)[0, 1] - 0.002


def test_sigmas_of_few_equivalents_do_not_follow_the_noise_of_few_photons() -> None:
    """Five photons on a background of four, measured twice; variances of integration are those to be expected of such reflections."""
    experiment, table, truth = simulated_scan(n_unique=2500, multiplicity=2, seed=11)
    rng = np.random.default_rng(5)
    signal = truth["intensity"] * truth["scale"] * (5.0 / truth["intensity"].mean())
    table = table.view()
    counts = rng.poisson(signal + 4.0) - 4.0
    for kind in ("prf", "sum"):
        table[f"intensity.{kind}.value"] = counts
        table[f"intensity.{kind}.variance"] = np.full(len(counts), 9.0)
    result = spindle.run("scale", Experiments([experiment]), table, model="KB")
    found = result.reflections
    good = found.has_flags(Flag.SCALED)
    z = (counts - signal)[good] / np.sqrt(found["intensity.scale.variance"][good])
    assert abs(z.mean()) < 0.08  # -0.094 where the mean of two observations is believed as it is
    assert np.sqrt(np.mean(z**2)) == pytest.approx(1.0, abs=0.06)
    weak = signal[good] < 1.5
    assert np.sqrt(np.mean(z[weak] ** 2)) == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize("n_images", [60, 180])
def test_a_drift_of_b_comes_out_as_it_is(n_images) -> None:
    """6 A^2 along the scan, with a beam that varies."""
    experiment, table, _ = simulated_scan(
        multiplicity=6, n_images=n_images, seed=1,
        scale=lambda z, d: np.exp(-6 * z / n_images / (2 * d**2)) * (1 + 0.1 * np.sin(z / 9)),
    )  # fmt: skip
    found = spindle.run("scale", Experiments([experiment]), table).reflections
    good = found.has_flags(Flag.SCALED)
    part, x = found["xyzcal.px"][good, 2] / n_images, 0.5 / found["d"][good] ** 2
    design = [np.cos(np.pi * k * part) for k in range(25)] + [x, x * (part - 0.5)]
    drift = np.linalg.lstsq(np.stack(design, axis=1), np.log(found["inverse_scale_factor"][good]), rcond=None)[0][-1]
    assert drift == pytest.approx(-6.0, rel=0.03)
