"""What scaling holds in memory of many observations."""

from __future__ import annotations

import numpy as np
from spindle_program_scale import layout, rounds

import spindle
from spindle.files import read_reflections, source, write_reflections
from spindle.models import Experiments
from spindle.testing.scaling import simulated_scan


def test_columns_stay_in_their_file_and_kinds_of_intensity_are_forgotten(tmp_path, monkeypatch):
    experiment, table, _ = simulated_scan(n_unique=150, multiplicity=6, n_images=30)
    monkeypatch.setattr(source, "LARGE", 0)
    write_reflections(table, tmp_path / "x.refl")
    stays = read_reflections(tmp_path / "x.refl")
    scalers = []
    run = rounds.Scaler.run
    monkeypatch.setattr(rounds.Scaler, "run", lambda self: (scalers.append(self), run(self))[1])
    result = spindle.run("scale", Experiments([experiment]), stays)
    held = {name for name in stays if stays.deferred(name) is None}
    assert not held & {"s1", "xyzcal.px", "xyzobs.px.value", "miller_index", "intensity.prf.value", "lp", "d", "panel"}
    assert not held & {"partial_id", "flags"}, "what is written instead is in memory, and so would be both"
    assert all(len(values) == 0 for values in (scalers[0].obs.profile, scalers[0].obs.summed, scalers[0].obs.raw_sum))
    whole = spindle.run("scale", Experiments([experiment]), table)
    for name in ("inverse_scale_factor", "intensity.scale.value", "intensity.scale.variance", "flags"):
        np.testing.assert_array_equal(result.reflections[name], whole.reflections[name])


def test_computed_rows_of_a_fit_are_computed_again_or_kept(monkeypatch):
    from spindle.contracts.scaling import Computed, ScaleTerm, ScalingModel

    rng = np.random.default_rng(8)
    indices, weights = rng.integers(0, 5, (400, 2)).astype(np.int32), rng.uniform(0.1, 1, (400, 2))
    as_arrays = ScaleTerm("scale", np.ones(5), indices, weights)
    computed = ScaleTerm(
        "scale", np.ones(5), Computed(indices.__getitem__, 400, 2), Computed(weights.__getitem__, 400, 2)
    )
    rows, x = rng.permutation(400)[:300], rng.uniform(0.5, 2, 5)
    for kept in (0, 10**9):
        monkeypatch.setattr(layout, "KEPT", kept)
        found = []
        for term in (as_arrays, computed):
            part = layout.Layout([ScalingModel("test", (term,))]).restricted([rows])
            assert isinstance(part.models[0].terms[0].weights, Computed) == (term is computed and kept == 0)
            found.append([part.scales(0, x), *part.slopes(0, x, np.arange(7, 19)), part.scales(0, x, slice(3, 9))])
        for a, b in zip(*found, strict=True):
            np.testing.assert_array_equal(a, b)


def test_kept_indices_take_a_byte_each_whatever_their_place_among_all_parameters():
    """Of 3,000 data sets the parameters are numbered to tens of thousands, those of each to some dozens."""
    from spindle.contracts.scaling import Computed, ScaleTerm, ScalingModel

    rng = np.random.default_rng(9)
    models = []
    for _ in range(200):
        indices, weights = rng.integers(0, 5, (30, 2)).astype(np.int32), rng.uniform(0.1, 1, (30, 2))
        of_term = Computed(indices.__getitem__, 30, 2), Computed(weights.__getitem__, 30, 2)
        models.append(ScalingModel("test", (ScaleTerm("scale", np.ones(5), *of_term),)))
    whole, x = layout.Layout(models), rng.uniform(0.5, 2, 1000)
    rows = np.sort(rng.permutation(30)[:20])
    part = whole.restricted([rows] * 200)
    assert part.models[150].terms[0].indices.dtype == np.uint8
    for found, expected in zip(part.slopes(150, x), whole.slopes(150, x, rows), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert part.slopes(150, x)[0].min() >= 750
    np.testing.assert_array_equal(part.scales(150, x), whole.scales(150, x, rows))


def test_the_choice_of_intensities_holds_few_copies_of_them():
    """Of ten million observations each array of numbers takes 80 MB; here there were seventeen, and are nine."""
    import tracemalloc
    from types import SimpleNamespace

    from spindle_program_scale.combine import choose

    from spindle_lib_merging import group_equivalents

    class Sized(SimpleNamespace):
        def __len__(self):
            return len(self.g)

    n, rng = 400_000, np.random.default_rng(10)
    hkl = np.stack([rng.integers(1, 20, n) for _ in range(3)], axis=1).astype(np.int32)
    true = 50.0 * hkl[:, 0]
    obs = Sized(
        groups=group_equivalents(hkl, spindle.symmetry.space_group("P 1")), g=np.ones(n), raw_sum=true,
        profile=true + rng.normal(size=n), profile_variance=np.ones(n), summed=true + 2 * rng.normal(size=n), summed_variance=np.full(n, 4.0),
    )  # fmt: skip
    tracemalloc.start()
    best, results = choose(obs, np.ones(n, bool), None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert best == 0.0
    assert abs(results[1][3] - 4.0) < 0.05, "summation has four times the variance"
    assert peak < 80 * n
