"""Forty crystals of P 3, 5 to 20 degrees of each, indexed at random in two ways, in three groups of cells: everything is put right."""

from __future__ import annotations

import json
from collections import Counter

import gemmi
import numpy as np
import pytest

import spindle
from spindle.symmetry import ChangeOfBasis, asu_indices
from spindle.testing.data_sets import rotation_data_sets

FIRST, LONGER, WIDER = ((61.0, 61.0, 40.0), (61.0, 61.0, 43.0), (64.0, 64.0, 40.0))
SIZES = {FIRST: 25, LONGER: 10, WIDER: 5}
WAY = "b,a,-c"


@pytest.fixture(scope="module")
def forty():
    lengths = [cell for cell, n in SIZES.items() for _ in range(n)]
    order = np.random.default_rng(1).permutation(len(lengths))
    lengths = [lengths[i] for i in order]
    sets = rotation_data_sets("P 3", [(*c, 90.0, 90.0, 120.0) for c in lengths], 7, ways=(WAY,), spread=0.002)
    return sets, lengths


def run(sets, folder, **options):
    """Of `spindle multiplex`: its record and its merged file."""
    options = {"unit_cell_clustering.threshold": 100.0, "output.html": None} | options
    result = spindle.run("multiplex", sets.experiments, sets.table, **options)
    for name in ("multiplex.json", "DataFiles/scaled.mtz"):
        result.files[name](folder / name.rpartition("/")[2])
    return json.loads((folder / "multiplex.json").read_text()), gemmi.read_mtz_file(str(folder / "scaled.mtz"))


def deviations(sets, mtz):
    """(n,) float64: (merged - true) / sigma after the scale and B that nobody can know; and (merged - true) / true of the strong half."""
    hkl = np.array(mtz.make_miller_array(), dtype=np.int32)
    value, sigma = (np.array(mtz.column_with_label(name), dtype=float) for name in ("IMEAN", "SIGIMEAN"))
    d = np.asarray(mtz.cell.calculate_d_array(hkl))
    lookup = {tuple(h): v for h, v in zip(sets.hkl.tolist(), sets.intensity, strict=True)}
    found = []
    for way in ("a,b,c", WAY, "-a,-b,c", "-b,-a,-c"):
        asu = asu_indices(ChangeOfBasis.from_string(way).apply_to_indices(hkl)[0].astype(np.int32), sets.group)[0]
        found.append(np.array([lookup.get(tuple(h), np.nan) for h in asu.tolist()]) * np.exp(-15.0 / d**2))
    true = max(found, key=lambda t: np.corrcoef(t[np.isfinite(t)], value[np.isfinite(t)])[0, 1])
    use = np.isfinite(true) & np.isfinite(value)
    true, value, sigma, x = true[use], value[use], sigma[use], d[use] ** -2.0
    p = np.array([np.log((value * true).sum() / (true**2).sum()), 0.0])
    for _ in range(20):
        model = np.exp(p[0] + p[1] * x) * true
        p += np.linalg.lstsq(np.column_stack([model, model * x]) / sigma[:, None], (value - model) / sigma, rcond=None)[
            0
        ]
    model = np.exp(p[0] + p[1] * x) * true
    strong = model > np.median(model)
    return (value - model) / sigma, x, ((value - model) / model)[strong]


def test_forty_crystals_find_one_indexing(forty, tmp_path):
    sets, lengths = forty
    record, _ = run(sets, tmp_path)
    groups = record["unit_cell_groups"]["groups"]
    assert sorted(len(g) for g in groups) == sorted(SIZES.values())
    assert all(len({lengths[i] for i in g}) == 1 for g in groups)
    right = 0
    for members in groups:
        names = tuple(sets.experiments[i].identifier for i in members)
        record, _ = run(sets, tmp_path, identifiers=names)
        used = [e for e in record["data_sets"] if e["used"] == "yes"]
        pairs = Counter((e["change_of_basis"], sets.chosen[e["data_set"]]) for e in used)
        # each operator belongs to the choice that most of its sets have; two choices need different ones
        best = {operator: max((n, way) for (o, way), n in pairs.items() if o == operator) for operator, _ in pairs}
        assert len({way for _, way in best.values()}) == len(best)
        right += sum(n for n, _ in best.values())
    assert right >= 39


def test_merged_intensities_have_honest_errors(forty, tmp_path):
    sets, _ = forty
    _, mtz = run(sets, tmp_path, space_group="P3", refine=None)
    z, x, residual = deviations(sets, mtz)
    assert 0.95 < np.sqrt(np.mean(z**2)) < 1.05
    for low, high in zip(*(np.quantile(x, q) for q in ([0, 0.25, 0.5, 0.75], [0.25, 0.5, 0.75, 1.0])), strict=True):
        inside = (x >= low) & (x <= high)
        assert 0.92 < np.sqrt(np.mean(z[inside] ** 2)) < 1.08  # 840 of them know it to 0.025
    assert np.sqrt(np.mean(residual**2)) < 0.03  # each observation has an error of 3 %, and of counting


def test_damage_is_cut_where_it_began(tmp_path):
    cells = [(*FIRST, 90.0, 90.0, 120.0)] * 20
    sets = rotation_data_sets("P 3", cells, 4, degrees=(20.0, 20.0), d_min=3.5, damage=0.8, damage_from=20)
    result = spindle.run(
        "multiplex", sets.experiments, sets.table, space_group="P3", refine=None, **{"output.html": None}
    )
    last = int(result.next_step.rsplit("dose=1,", 1)[1])
    assert 15 <= last <= 26
    before = deviations(sets, _mtz(result, tmp_path))[2]
    cut = spindle.run(
        "multiplex",
        sets.experiments,
        sets.table,
        space_group="P3",
        refine=None,
        dose=(1, last),
        **{"output.html": None},
    )
    assert "dose=" not in cut.next_step
    after = deviations(sets, _mtz(cut, tmp_path))[2]
    assert np.sqrt(np.mean(after**2)) < 0.7 * np.sqrt(np.mean(before**2))


def _mtz(result, folder):
    result.files["DataFiles/scaled.mtz"](folder / "x.mtz")
    return gemmi.read_mtz_file(str(folder / "x.mtz"))
