"""Data sets of one structure belong together; those of another do not."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import spindle
from spindle.errors import UserError
from spindle.models import Experiments
from spindle.symmetry import asu_indices
from spindle.testing import PluginContract
from spindle.testing.data_sets import incomplete_data_sets

CELL = (61.0, 61.0, 40.0, 90.0, 90.0, 90.0)


class TestCorrelationMatrix(PluginContract):
    slot = "program"
    name = "correlation_matrix"


def two_structures(n=(9, 7), alike=0.6, seed=1):
    """Sets of two structures whose intensities have much in common."""
    first = incomplete_data_sets("P 4 2 2", CELL, sum(n), seed, d_min=4.0, share=0.5)
    other = incomplete_data_sets("P 4 2 2", CELL, sum(n), seed + 1, d_min=4.0, share=0.5)
    rng = np.random.default_rng(seed)
    table = first.table.view()
    lookup = {tuple(h): v for h, v in zip(other.hkl.tolist(), other.intensity, strict=True)}
    mine = {tuple(h): v for h, v in zip(first.hkl.tolist(), first.intensity, strict=True)}
    asu = asu_indices(table["miller_index"], first.group)[0].tolist()
    ratio = np.array([(alike * mine[tuple(h)] + (1 - alike) * lookup[tuple(h)]) / mine[tuple(h)] for h in asu])
    second = table["id"] >= n[0]
    value = np.where(second, table["intensity.sum.value"] * ratio, table["intensity.sum.value"])
    table["intensity.sum.value"] = value + rng.normal(0, 1.0, len(value))
    return first.experiments, table


@pytest.fixture(scope="module")
def structures():
    return two_structures()


def test_two_structures_are_two_clusters(structures, tmp_path):
    result = spindle.run(
        "correlation_matrix", *structures, **{"output.json": "cc.json", "significant_clusters.output": True}
    )
    labels = np.array(result.summary["clusters"])
    assert result.summary["n_clusters"] == 2
    assert len(set(labels[:9])) == 1 and len(set(labels[9:])) == 1 and labels[0] != labels[9]
    for name, write in result.files.items():
        write(tmp_path / name)
    content = json.loads((tmp_path / "cc.json").read_text())
    for kind in ("correlation_matrix_clustering", "cos_matrix_clustering"):
        tree = content[kind]
        assert len(tree["15"]["datasets"]) == 16
        sides = [set(b["datasets"]) for b in list(tree.values())[:-1]]
        assert {f"set-{i}" for i in range(9)} in sides and {f"set-{i}" for i in range(9, 16)} in sides
    cluster = spindle.files.read_experiments(tmp_path / "cluster_0.expt")
    assert len(cluster) in (7, 9)
    page = (tmp_path / "spindle.correlation_matrix.html").read_text()
    assert page.count("Plotly.newPlot") >= 8


def test_the_matrix_is_that_of_the_merged_sets(structures, tmp_path):
    """Without weights the correlation of two sets is numpy's of their merged intensities."""
    experiments, table = structures
    result = spindle.run(
        "correlation_matrix", experiments, table, cc_weights="None", normalisation="quasi", d_min=None,
        **{"output.json": "cc.json"},
    )  # fmt: skip
    result.files["cc.json"](tmp_path / "cc.json")
    cc = np.array(json.loads((tmp_path / "cc.json").read_text())["correlation_matrix"], dtype=float)
    assert np.isnan(np.diag(cc)).all()
    np.testing.assert_allclose(cc, cc.T, atol=1e-12, equal_nan=True)
    within, between = cc[:9, :9], cc[:9, 9:]
    assert np.nanmin(within) > 0.9 and 0.3 < np.nanmean(between) < 0.9
    assert result.summary["mean_cc"] == pytest.approx(np.nanmean(cc), abs=1e-3)


def test_one_structure_is_one_cluster():
    sets = incomplete_data_sets("P 4 2 2", CELL, 12, 5, d_min=4.0, share=0.5)
    result = spindle.run("correlation_matrix", sets.experiments, sets.table)
    assert result.summary["n_clusters"] == 1 and result.summary["n_in_none"] <= 2


def test_noise_has_a_short_vector():
    sets = incomplete_data_sets("P 4 2 2", CELL, 8, 6, d_min=4.0, share=0.5)
    table = sets.table.view()
    value = np.array(table["intensity.sum.value"])
    noisy = table["id"] == 3
    value[noisy] = np.random.default_rng(0).permutation(value[noisy])
    table["intensity.sum.value"] = value
    result = spindle.run("correlation_matrix", sets.experiments, table)
    rows = next(t for t in result.tables if t.key == "data_sets").rows
    lengths = np.array([row[2] for row in rows])
    assert np.argmin(lengths) == 3 and lengths[3] < 0.7 * np.delete(lengths, 3).min()


@pytest.mark.parametrize("n", [2, 4])
def test_few_sets_run(n, tmp_path):
    sets = incomplete_data_sets("P 4 2 2", CELL, n, 7, d_min=4.5, share=0.5)
    result = spindle.run("correlation_matrix", sets.experiments, sets.table)
    assert result.summary["n_data_sets"] == n
    for name, write in result.files.items():
        write(tmp_path / name)


def test_what_cannot_be_compared_is_refused(structures):
    experiments, table = structures
    with pytest.raises(UserError, match="two are needed"):
        spindle.run("correlation_matrix", Experiments(experiments[:1]), table.select(table["id"] == 0))
    other = incomplete_data_sets("P 4", CELL, 1, 8).experiments[0]
    both = Experiments([experiments[0], replace(other, identifier="other")])
    few = table.select(table["id"] < 2)
    few.identifiers = {0: "set-0", 1: "other"}
    with pytest.raises(UserError, match="cosym"):
        spindle.run("correlation_matrix", both, few)
    with pytest.raises(UserError, match="empty"):
        spindle.run("correlation_matrix", experiments, table.select(np.zeros(len(table), bool)))


def test_chance_divides_no_sets_that_are_alike():
    """Points along a line, as the noise of one direction leaves them: OPTICS finds gaps in it, the correlations do not."""
    from types import SimpleNamespace

    from spindle_program_correlation_matrix.clusters import dense_clusters

    params = SimpleNamespace(
        min_points_buffer=0.5,
        min_points=5,
        xi=0.05,
        max_distance=0.5,
        optimise_input=True,
        noise_penalty=SimpleNamespace(alpha=1.0, gamma=1.5),
    )
    divided = 0
    for seed in (0, 2):
        rng = np.random.default_rng(seed)
        points = np.column_stack([rng.normal(0.997, 0.001, 25), rng.normal(0, 0.03, 25)])
        noise = rng.normal(0, 0.002, (25, 25))
        cc = np.clip(points @ points.T + noise + noise.T, -1, 0.9999)
        divided += dense_clusters(points, params).n_clusters > 1
        assert dense_clusters(points, params, cc).n_clusters <= 1
    assert divided > 0  # without the correlations it would
