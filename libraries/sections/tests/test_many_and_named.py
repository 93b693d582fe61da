"""Many sweeps on one page, sets that are unlike the others, too few equivalents, and commands with the names of given files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from spindle.models import Experiments
from spindle.symmetry import asu_indices
from spindle.table import Flag, ReflectionTable
from spindle.testing.data_sets import rotation_data_sets
from spindle_lib_sections.damage import damage_section
from spindle_lib_sections.data_sets import add_data_sets, agreement
from spindle_lib_sections.given import Given
from spindle_lib_sections.images import MOST_CURVES, ByImage
from spindle_lib_sections.merged import merged_data, merging_section
from spindle_lib_sections.names import FileNames
from spindle_lib_sections.scaling import scaling_section
from spindle_lib_verdict import Facts, judge


def made(n, change=None):
    """Sets of one crystal form on one scale; `change` alters the intensities of experiment 2."""
    sets = rotation_data_sets("P 3", [(61.0, 61.0, 40.0, 90.0, 90.0, 120.0)] * n, 3, ways=())
    asu = {tuple(h): v for h, v in zip(sets.hkl.tolist(), sets.intensity, strict=True)}
    table, group = sets.table, sets.group
    true = np.array([asu[tuple(h)] for h in asu_indices(table["miller_index"], group)[0].tolist()])
    rng = np.random.default_rng(5)
    sigma = 0.03 * true + 1.0
    table["intensity.scale.value"] = true + rng.normal(0, sigma)
    third = np.flatnonzero(table["id"] == 2)
    if change is not None:
        table["intensity.scale.value"][third] = change(rng, true[third])
    table["intensity.scale.variance"], table["inverse_scale_factor"] = sigma**2, np.ones(len(true))
    table["flags"] = table["flags"] | np.uint64(int(Flag.SCALED))
    return Given.of(sets.experiments, [table])


def test_a_set_unlike_the_others_is_named():
    good, bad = merged_data(made(5)), merged_data(made(5, lambda rng, true: rng.permutation(true)))
    assert not len(agreement(good).unlike)
    found = agreement(bad)
    assert [found.numbers[i] for i in found.unlike] == [2]
    assert abs(found.cc[2]) < 0.3 < 0.9 < found.cc[[0, 1, 3, 4]].min()
    np.testing.assert_allclose(agreement(good).deviation, 1.0, atol=0.1)
    section = merging_section(bad, Experiments())
    add_data_sets(section, bad)
    (remark,) = [text for mood, text in section.remarks if mood == "doubtful" and "exclude_datasets" in text]
    assert "experiment 2 (R" in remark and "exclude_datasets=2 " in remark
    assert section.tables[-1].rows[0][0] == 2  # the worst first
    (line,) = [line for line in judge(Facts.from_dict(section.values["facts"])).lines if "differs" in line.said]
    assert line.colour == "amber" and line.next_step.endswith("exclude_datasets=2")


def observed(seed, n_sets, wrong, n=250):
    """Sets of lognormal strength, with right sigmas, all of the same reflections; those that are wrong have intensities of other crystals."""
    rng = np.random.default_rng(seed)
    true, other = rng.exponential(size=(2, n))
    strength = 10 * np.exp(0.5 * rng.normal(size=n_sets))
    strength[list(wrong)] = 30.0  # heavier in every mean than the others
    expected = np.where(np.isin(np.arange(n_sets), wrong)[:, None], other, true)
    variance = (0.3 + expected) / strength[:, None] ** 2 + (0.03 * expected) ** 2
    intensity = rng.normal(expected, np.sqrt(variance))
    groups = SimpleNamespace(multiplicity=np.full(n, n_sets), order=np.arange(n * n_sets))
    ids = {"id": np.tile(np.arange(n_sets), n)}
    return SimpleNamespace(groups=groups, table=ids, intensity=intensity.T.ravel(), variance=variance.T.ravel())


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(("n_sets", "wrong"), [(4, ()), (4, (1,)), (12, ()), (12, (0, 3))])
def test_wrong_sets_are_found_though_they_are_the_strongest(seed, n_sets, wrong):
    """Of any seed; none of the right ones is named."""
    found = agreement(observed(seed, n_sets, wrong))
    assert sorted(found.numbers[i] for i in found.unlike) == list(wrong)


def test_a_weak_set_is_not_unlike_the_others():
    """Its R is large, but no larger than its errors."""
    given = made(5)
    (table,) = given.tables.values()
    weak = np.flatnonzero(table["id"] == 2)
    error = 0.5 * np.abs(table["intensity.scale.value"][weak]).mean()
    table["intensity.scale.value"][weak] += np.random.default_rng(1).normal(0, error, len(weak))
    table["intensity.scale.variance"][weak] += error**2
    found = agreement(merged_data(given))
    assert found.r[2] > 3 * np.median(found.r) and not len(found.unlike)


def test_each_of_many_sweeps_is_a_point():
    n = MOST_CURVES + 3
    given = made(n)
    (table,) = given.tables.values()
    images = ByImage(given.experiments, table)
    assert images.axis == "sweep" and images.along == "by sweep"
    ((name, x, y),) = images.count_curves()
    assert name == "" and x.tolist() == list(range(n)) and y.tolist() == np.bincount(table["id"]).tolist()
    figure = scaling_section(given, merged_data(given)).figures["scaled_i_over_sigma_vs_image"]["data"]
    ratio = table["intensity.scale.value"] / np.sqrt(table["intensity.scale.variance"])
    expected = [ratio[table["id"] == i].mean() for i in range(n)]
    assert len(figure) == 1 and figure[0]["y"] == pytest.approx(expected)


def test_models_of_reflections_without_equivalents_are_not_judged():
    """What scaling has assumed is no finding: neither the largest I/sigma, nor that nothing decays."""
    given = made(2)
    (table,) = given.tables.values()
    _, first = np.unique(table["miller_index"], axis=0, return_index=True)
    model = {
        "__id__": "physical", "decay": {"parameters": [0.0, 0.0]},
        "configuration_parameters": {"decay_rot_interval": 1.5, "error_model_parameters": [1.0, 0.03]},
    }  # fmt: skip
    experiments = Experiments([replace(e, scaling_model=model) for e in given.experiments])
    for chosen, is_known in ((np.arange(len(table)), True), (np.sort(first)[::20], False)):
        some = Given.of(experiments, [table.select(chosen)])
        data = merged_data(some)
        sections = scaling_section(some, data), damage_section(some, data)
        assert [bool(s.values.get("facts")) for s in sections] == [is_known, is_known]
        assert ("normal_distribution_plot" in sections[0].figures) == is_known


def names(folder, files):
    of = {"integrated": Flag.INTEGRATED_SUM, "strong": Flag.STRONG}
    tables = [
        ReflectionTable({"flags": np.full(1, int(of["strong" if "strong" in f else "integrated"]), np.uint64)})
        for f in files
        if f.endswith(".refl")
    ]
    crystals = rotation_data_sets("P 1", [(20.0, 21.0, 22.0, 80.0, 90.0, 90.0)], 1).experiments
    return FileNames([folder / f for f in files], crystals, tables)


def test_commands_name_the_files_that_were_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    here = Path()
    command = "spindle symmetry integrated.expt integrated.refl laue_group=Auto"
    assert (
        names(here, ["my one.expt", "two.refl"]).in_text(command)
        == "spindle symmetry 'my one.expt' two.refl laue_group=Auto"
    )
    several = names(here, ["a/integrated.expt", "b/integrated.expt", "a/integrated.refl", "b/integrated.refl"])
    assert several.in_text(command).split()[2:6] == [
        "a/integrated.expt",
        "b/integrated.expt",
        "a/integrated.refl",
        "b/integrated.refl",
    ]
    # models with a crystal are no images that were imported, and spots that were not given keep their usual name
    index = "spindle index imported.expt strong.refl max_lattices=2"
    assert names(here, ["x.expt", "x.refl"]).in_text(index) == index
    assert (
        names(here, ["x.expt", "my_strong.refl"]).in_text(index)
        == "spindle index imported.expt my_strong.refl max_lattices=2"
    )
    # what lies beside the given files, in their folder
    (tmp_path / "run").mkdir()
    for name in ("integrated.expt", "integrated.refl", "refined.expt"):
        (tmp_path / "run" / name).touch()
    run = names(Path("run"), ["scaled.expt", "integrated.refl"])
    assert run.in_text(command) == "spindle symmetry run/integrated.expt run/integrated.refl laue_group=Auto"
    assert (
        run.in_text("spindle plot_scan_varying_model refined.expt")
        == "spindle plot_scan_varying_model run/refined.expt"
    )
