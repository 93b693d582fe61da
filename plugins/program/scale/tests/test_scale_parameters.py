"""Parameters that act only in some situations: weights, and what ends the removal of data."""

from __future__ import annotations

import json

import numpy as np
import pytest
from spindle_program_scale.select import choose_groups

import spindle
from spindle.models import Experiments
from spindle.testing.scaling import simulated_scan


@pytest.fixture(scope="module")
def sets():
    """Six narrow sets of the same reflections; the intensities of the third belong to others, those of the fifth to some extent."""
    parts = []
    for seed in range(6):
        experiment, table, truth = simulated_scan(n_unique=300, multiplicity=4, n_images=20)
        rng = np.random.default_rng(seed)
        value = truth["intensity"] + np.sqrt(table["intensity.prf.variance"]) * rng.normal(size=len(table))
        mixed = {2: 1.0, 4: 0.6}.get(seed, 0.0)
        value = (1 - mixed) * value + mixed * rng.permutation(value)
        for name in ("intensity.prf.value", "intensity.sum.value"):
            table[name] = value
        parts.append((experiment, table))
    return Experiments(p[0] for p in parts), [p[1] for p in parts]


@pytest.fixture(scope="module")
def filtered(sets, tmp_path_factory):
    def run(**options):
        result = spindle.run(
            "scale", *sets, model="KB", error_model=None, outlier_zmax=1000, emax=None,
            **{"filtering.method": "deltacchalf"}, **{f"filtering.deltacchalf.{k}": v for k, v in options.items()},
        )  # fmt: skip
        path = tmp_path_factory.mktemp("filter") / "filter.json"
        result.files["scale_and_filter_results.json"](path)
        record = json.loads(path.read_text())
        return len(result.experiments), len(record["cycles"]), record["termination_reason"]

    return run


@pytest.mark.parametrize(
    ("options", "left", "cycles", "reason"),
    [
        ({}, 4, 2, "max_cycles"),
        ({"max_cycles": 1}, 5, 1, "max_cycles"),
        ({"max_percent_removed": 10}, 6, 1, "max_percent_removed"),
        ({"min_completeness": 99.9}, 5, 1, "below_completeness_limit"),
        ({"stdcutoff": 4.0}, 6, 1, "no_more_removed"),
    ],
)
def test_what_ends_the_filter(filtered, options, left, cycles, reason):
    usual = {"max_cycles": 2, "max_percent_removed": 50, "stdcutoff": 1.2}
    assert filtered(**(usual | options)) == (left, cycles, reason)


def test_observations_weigh_alike_with_unity(sets):
    """A strong reflection that is wrong in one set pulls its scale, whose sigma says how little it is to be believed."""
    experiments, tables = sets[0][:2], [t.view() for t in sets[1][:2]]
    value, variance = np.array(tables[1]["intensity.prf.value"]), np.array(tables[1]["intensity.prf.variance"])
    wrong = value > np.percentile(value, 90)
    for name in ("prf", "sum"):
        tables[1][f"intensity.{name}.value"] = np.where(wrong, 1.3 * value, value)
        tables[1][f"intensity.{name}.variance"] = np.where(wrong, (0.3 * value) ** 2, variance)
    scales = {}
    for scheme in ("invvar", "unity"):
        result = spindle.run(
            "scale", experiments, tables, model="KB", error_model=None, outlier_zmax=1000, emax=None,
            weighting_scheme=scheme, **{"KB.decay_correction": False},
        )  # fmt: skip
        g = [e.scaling_model["scale"]["parameters"][0] for e in result.experiments]
        scales[scheme] = g[1] / g[0]
    assert scales["invvar"] == pytest.approx(1.0, abs=0.03)
    assert scales["unity"] > scales["invvar"] + 0.05


def test_sets_are_joined_by_reflections_above_the_cutoff():
    from types import SimpleNamespace

    from spindle_lib_merging import group_equivalents

    n, rng = 400, np.random.default_rng(1)
    hkl = np.column_stack([np.repeat(np.arange(1, n + 1), 4), np.ones(4 * n), np.ones(4 * n)]).astype(np.int32)
    intensity = np.repeat(rng.uniform(0.1, 10, n), 4)
    obs = SimpleNamespace(
        groups=group_equivalents(hkl, "P 1"), intensity=intensity, d=1 / np.repeat(rng.uniform(0.1, 0.5, n), 4),
        n_sets=2, number=np.tile([0, 0, 1, 1], n),
    )  # fmt: skip
    chosen = []
    for cutoff in (None, 8.0, 100.0):
        sizes = SimpleNamespace(min_groups=40, min_reflections=100, multi_dataset=SimpleNamespace(Isigma_cutoff=cutoff))
        params = SimpleNamespace(reflection_selection=SimpleNamespace(method="quasi_random", random=sizes))
        all_of = np.ones(4 * n, bool)
        picked = choose_groups(obs, all_of, np.ones(4 * n), params, np.random.default_rng(0))
        chosen.append(picked)
    by_chance = chosen[2]
    strength = np.bincount(obs.groups.index, intensity) / 4
    more = [c & ~by_chance for c in chosen]
    assert more[0].any() and strength[more[0]].min() < 8 and more[1].any() and strength[more[1]].min() > 8
