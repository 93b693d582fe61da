"""Local axes of many spots are worked out some at a time."""

from __future__ import annotations

import numpy as np
from spindle_program_index import spot_frames as module

from spindle.testing.indexing import rotation_experiment, spots_of, without_crystals


def test_axes_of_blocks_are_those_of_all(monkeypatch):
    truth = [rotation_experiment(seed=3, n_images=5)]
    table = spots_of(truth, seed=1, d_min=3.0)
    n = len(table)
    rng = np.random.default_rng(2)
    table["xyzobs.mm.value"] = np.column_stack([rng.uniform(5, 190, (n, 2)), rng.uniform(0, 0.1, n)])
    table["rlp"] = rng.normal(0, 0.1, (n, 3))
    table["imageset_id"] = np.where(np.arange(n) % 7 == 0, 3, 0)  # of no sweep
    sweeps = without_crystals(truth)
    whole = module.spot_frames(sweeps, table)
    asked = []
    steps = module._steps
    monkeypatch.setattr(
        module, "_steps", lambda sweep, table, rows: (asked.append(len(rows)), steps(sweep, table, rows))[1]
    )
    monkeypatch.setattr(module, "ROWS", 50)
    blocks = module.spot_frames(sweeps, table)
    assert len(asked) > 3 and max(asked) == 50
    np.testing.assert_allclose(blocks.to_pixels, whole.to_pixels, rtol=1e-9)
    np.testing.assert_allclose(blocks.cell, whole.cell, rtol=1e-9)
    assert np.isinf(whole.cell[::7]).all() and (whole.to_pixels[::7] == 0).all() and np.isfinite(whole.cell[1::7]).all()
