"""Every parameter comes to the step that it is for."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest

import spindle
from spindle.files import read_experiments
from spindle.testing.data_sets import rotation_data_sets
from spindle_lib_many_crystals import Steps

CELL = (45.0, 45.0, 36.0, 90.0, 90.0, 120.0)

#: Scope: the step whose parameters it holds, the same names below another scope, and their values.
SAME_NAMES = {
    "symmetry.cosym.": ("cosym", "", {
        "d_min": 4.5, "normalisation": "kernel", "min_i_mean_over_sigma_mean": 3.0, "min_cc_half": 0.5, "dimensions": 3,
        "weights": "standard_error", "cc_weights": "sigma", "min_pairs": 4, "minimization.max_iterations": 50, "minimization.max_calls": 60,
        "min_reflections": 5, "seed": 7, "lattice_symmetry_max_delta": 3.0, "best_monoclinic_beta": True,
        "relative_length_tolerance": 0.06, "absolute_angle_tolerance": 3.0,
    }),
    "resolution.": ("estimate_resolution", "resolution.", {
        "rmerge": 9.0, "completeness": 0.01, "cc_half": 0.2, "cc_half_method": "half_dataset", "cc_half_significance_level": 0.2,
        "cc_half_fit": "polynomial", "isigma": 0.1, "misigma": 0.2, "i_mean_over_sigma_mean": 0.3, "nbins": 20, "reflections_per_bin": 12,
        "binning_method": "volume", "anomalous": True, "emax": 5.0,
    }),
    "significant_clusters.": ("correlation_matrix", "significant_clusters.", {
        "min_points_buffer": 0.4, "min_points": 2, "xi": 0.06, "max_distance": 0.6, "optimise_input": False, "noise_penalty.alpha": 0.9,
        "noise_penalty.gamma": 1.4,
    }),
    "r_free_flags.": ("merge", "r_free_flags.", {
        "fraction": 0.2, "max_free": 500, "lattice_symmetry_max_delta": 4.0, "use_lattice_symmetry": False, "use_dataman_shells": True,
        "n_shells": 3, "d_max": 30.0, "d_min": 3.0, "relative_to_complete_set": True,
    }),
}  # fmt: skip
#: Parameter: value, step, name there, and value there where it is another one.
OTHER_NAMES = {
    "unit_cell_clustering.threshold": (4000.0, "cluster_unit_cell", "threshold"),
    "unit_cell_clustering.log": (True, "cluster_unit_cell", "plot.log"),
    "scaling.anomalous": (True, "scale", "anomalous"),
    "scaling.model": ("physical", "scale", "model"),
    "scaling.rotation.spacing": (4.0, "scale", "physical.scale_interval"),
    "scaling.brotation.spacing": (5.0, "scale", "physical.decay_interval"),
    "scaling.secondary.lmax": (2, "scale", "physical.lmax"),
    "scaling.secondary.share.absorption": (True, "scale", "physical.share.absorption"),
    "scaling.outlier_rejection": ("simple", "scale", "scaling_options.outlier_rejection"),
    "scaling.min_partiality": (0.5, "scale", "reflection_selection.min_partiality"),
    "scaling.partiality_cutoff": (0.3, "scale", "cut_data.partiality_cutoff"),
    "scaling.reflection_selection.method": ("use_all", "scale", "reflection_selection.method"),
    "scaling.reflection_selection.Isigma_range": ((-3.0, 0.0), "scale", "reflection_selection.Isigma_range"),
    "resolution.d_max": (40.0, "scale", "cut_data.d_max"),
    "multi_crystal_analysis.n_bins": (8, "merge", "merging.n_bins"),
    "multi_crystal_analysis.d_min": (5.2, "damage_analysis", "d_min"),
    "multi_crystal_analysis.unit_cell": ((45.1, 45.1, 36.0, 90.0, 90.0, 120.0), "merge", "best_unit_cell"),
    "small_molecule": (True, "symmetry", "systematic_absences.small_molecule"),
    "wavelength_tolerance": (1e-3, "merge", "wavelength_tolerance"),
    "seed": (3, "correlation_matrix", "seed"),
}  # fmt: skip


def plain(value):
    return tuple(value) if isinstance(value, list | tuple) else getattr(value, "parameters", value)


@pytest.fixture(scope="module")
def told():
    """What each step was given, by its name."""
    found = {}
    run = Steps.run

    def listen(self, program, experiments, reflections, settings, of=""):
        found.setdefault(program, dict(settings))
        return run(self, program, experiments, reflections, settings, of)

    sets = rotation_data_sets("P 3", [CELL] * 3, 5, degrees=(14.0, 14.0), d_min=5.0, image_width=1.0)
    options = {scope + k: v for scope, (_, _, values) in SAME_NAMES.items() for k, v in values.items()}
    options |= {name: value for name, (value, *_) in OTHER_NAMES.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Steps, "run", listen)
        spindle.run("multiplex", sets.experiments, sets.table, refine=None, **options, **{"output.html": None})
    return found


def test_parameters_of_the_same_name_come_to_their_step(told):
    for program, prefix, values in SAME_NAMES.values():
        assert {k: plain(told[program][prefix + k]) for k in values} == values


@pytest.mark.parametrize("name", list(OTHER_NAMES))
def test_parameters_of_other_names_come_to_their_step(told, name):
    value, program, there = OTHER_NAMES[name]
    assert plain(told[program][there]) == value


def test_what_the_symmetry_of_the_lattice_allows_holds_for_absences_too(told):
    assert told["symmetry"]["best_monoclinic_beta"] is True and told["symmetry"]["lattice_symmetry_max_delta"] == 3.0
    assert told["scale"]["physical.absorption_correction"] is True


def test_no_test_set_is_drawn_where_none_is_wanted():
    sets = rotation_data_sets("P 3", [CELL] * 2, 5, degrees=(10.0, 10.0), d_min=6.0, image_width=1.0)
    result = spindle.run(
        "multiplex", sets.experiments, sets.table, refine=None, space_group="P3", **{"r_free_flags.generate": False}
    )
    assert "DataFiles/scaled.mtz" in result.files


@pytest.fixture(scope="module")
def few():
    return rotation_data_sets("P 3", [CELL] * 3, 5, degrees=(14.0, 14.0), d_min=5.0, image_width=1.0, spread=0.001)


@pytest.fixture(scope="module")
def merged(few, tmp_path_factory):
    """What a run writes with these parameters; each is run once."""
    done = {}

    def run(**options):
        key = repr(sorted(options.items()))
        if key not in done:
            folder = tmp_path_factory.mktemp("multiplex")
            result = spindle.run(
                "multiplex", few.experiments, few.table, **{"space_group": "P3", "output.html": None} | options
            )
            for name in ("scaled.mtz", "scaled.expt"):
                result.files[f"DataFiles/{name}"](folder / name)
            done[key] = gemmi.read_mtz_file(str(folder / "scaled.mtz")), read_experiments(folder / "scaled.expt")
        return done[key]

    return run


LIMIT = {"resolution.cc_half": None, "resolution.isigma": 16.0, "resolution.d_max": 10.0}


@pytest.mark.parametrize(
    ("usual", "option"),
    [
        ({}, {"scaling.absorption_level": "low"}),
        ({"scaling.absorption_level": "low"}, {"scaling.absorption_level": "high"}),
        (LIMIT, {"rescale_after_resolution_cutoff": True}),
        (LIMIT, {"resolution.isigma": 19.0}),
        ({}, {"scaling.rotation.spacing": 2.0}),
        ({}, {"scaling.model": "KB"}),
    ],
)
@pytest.mark.sampled(2)
def test_each_parameter_changes_the_merged_data(merged, usual, option):
    before, after = (np.array(merged(refine=None, **o)[0]) for o in (usual, usual | option))
    assert before.shape != after.shape or not np.array_equal(before, after, equal_nan=True)


def test_the_cell_refined_against_two_theta_is_that_of_the_files(merged):
    """It is refined before the space group is looked for, which is not to lose it."""
    mtz, experiments = merged(space_group=None, **{"symmetry.laue_group": "P -3"})
    refined = experiments[0].crystal.extra["recalculated_unit_cell"]
    assert mtz.cell.parameters == pytest.approx(refined, abs=2e-4)
    mean = np.mean([e.crystal.cell for e in experiments], axis=0)
    assert np.abs(mean - refined).max() > 1e-3, "the plain mean of the crystals is another cell"
    assert experiments[0].crystal.cell_sd[0] > 0
