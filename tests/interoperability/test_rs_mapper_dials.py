"""The volume of `dials.rs_mapper` 3.12 of the same images. Skipped without DIALS."""

from __future__ import annotations

from dataclasses import replace

import gemmi
import numpy as np

import spindle
from spindle.models import Detector, Experiments
from spindle.testing import shared_data
from spindle.testing.dials import dials


def test_volumes_are_the_same_but_for_half_a_pixel_and_the_edge(tmp_path):
    n = 64
    images = [shared_data("lyso_small") / f"lyso_small_{k:04d}.cbf.bz2" for k in range(1, 7)]
    dials("dials.import", *images, cwd=tmp_path)
    dials(
        "dials.rs_mapper",
        "imported.expt",
        f"grid_size={n}",
        "ignore_mask=True",
        "nproc=1",
        "map_file=theirs.mrc",
        cwd=tmp_path,
    )
    # Theirs has a voxel more along each edge, z is fastest, and the corner of a pixel stands for it, at the front of the sensor.
    theirs = np.array(gemmi.read_ccp4_map(str(tmp_path / "theirs.mrc")).grid).transpose(2, 1, 0)[:n, :n, :n]
    (experiment,) = spindle.run("import", files=images).experiments
    (panel,) = experiment.detector
    corner = panel.origin - 0.5 * (panel.pixel_size[0] * panel.fast_axis + panel.pixel_size[1] * panel.slow_axis)
    moved = replace(experiment, detector=Detector([replace(panel, origin=corner, parallax="none")]))
    result = spindle.run("rs_mapper", Experiments([moved]), grid_size=n, ignore_mask=True)
    path = tmp_path / "ours.mrc"
    result.files["rs_mapper_output.mrc"](path)
    ours = np.array(gemmi.read_ccp4_map(str(path)).grid)
    inside = np.linalg.norm(np.argwhere(np.ones_like(ours)) - n / 2, axis=1).reshape(ours.shape) < n / 2 - 1
    used = inside & ((ours != 0) | (theirs != 0))
    assert used.sum() > 3000
    np.testing.assert_allclose(ours[used], theirs[used], rtol=1e-5, atol=1e-5)
