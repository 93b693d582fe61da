"""The beam position of `spindle search_beam_position` against dials.search_beam_position. Skipped without DIALS."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

import spindle
from spindle.files import read_experiments, write_experiments, write_reflections
from spindle.models import ImageSet
from spindle.testing.beam_position import misplaced_sweep
from spindle.testing.dials import dials


def test_both_find_the_true_position_and_dials_reads_ours(tmp_path):
    """The spots scatter by 0.1 pixel; DIALS refines a histogram and is asked for half a pixel only."""
    sweeps, spots, _ = misplaced_sweep((2.0, 1.0), n_images=40)
    template = str(tmp_path / "none_####.cbf")
    sweeps = type(sweeps)([replace(sweeps[0], imageset=ImageSet(template=template, image_range=(1, 40)))])
    spots = spots.without(
        "true_index", "true_lattice", "xyzobs.mm.value", "xyzobs.mm.variance", "s1", "rlp", "entering"
    )
    write_experiments(sweeps, tmp_path / "wrong.expt")
    write_reflections(spots, tmp_path / "strong.refl")
    text = dials("dials.search_beam_position", "wrong.expt", "strong.refl", "nproc=1", cwd=tmp_path)
    found = re.search(r"New beam centre: .*\(([\d.]+), ([\d.]+) px\)", text)
    assert found, text
    ours = spindle.run("search_beam_position", sweeps, [spots])
    centre = ours.summary["detectors"][0]["new_px"]
    np.testing.assert_allclose(centre, (495.0, 505.0), atol=0.05)
    np.testing.assert_allclose(centre, [float(v) for v in found.groups()], atol=0.5)
    write_experiments(ours.experiments, tmp_path / "moved.expt")
    shown = dials("dials.show", "moved.expt", cwd=tmp_path)
    px = re.search(r"px: \(([\d.]+),([\d.]+)\)", shown)
    assert px, shown
    np.testing.assert_allclose([float(v) for v in px.groups()], centre, atol=0.01)
    assert len(read_experiments(tmp_path / "moved.expt")) == 1
