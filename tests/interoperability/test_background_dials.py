"""Background models against those of DIALS on the same shoeboxes. Skipped without DIALS."""

from __future__ import annotations

import numpy as np
import pytest

from spindle.params import Assignment, build
from spindle.testing import make_context
from spindle.testing.background import flat_shoeboxes, pixel_detector
from spindle.testing.dials import dials_python

DIALS = """
import sys
import numpy as np
import dials.algorithms.background.simple as S, dials.algorithms.background.glm as G
from dials.array_family import flex
from dials.model.data import Shoebox
d = np.load(sys.argv[1])
data, mask, bbox, offsets = d["data"], d["mask"].astype(np.int32), d["bbox"], d["offsets"]
boxes = flex.shoebox(len(bbox))
for i, b in enumerate(bbox):
    s = Shoebox(0, tuple(int(v) for v in b)); s.allocate()
    shape = (b[5] - b[4], b[3] - b[2], b[1] - b[0])
    part = slice(offsets[i], offsets[i + 1])
    s.data = flex.float(np.ascontiguousarray(data[part].reshape(shape)))
    s.mask = flex.int(np.ascontiguousarray(mask[part].reshape(shape)))
    boxes[i] = s
creator = eval(sys.argv[3])
extra = (flex.double(len(bbox), 0), flex.double(len(bbox), 0)) if sys.argv[3][0] == "S" else ()
success = np.array(creator(boxes, *extra))
flat = lambda name: np.concatenate([getattr(s, name).as_numpy_array().ravel() for s in boxes])
columns = dict(zip(("mse", "dispersion"), map(np.array, extra)))
np.savez(sys.argv[2], success=success, background=flat("background"), used=(flat("mask") & 16) != 0, **columns)
"""


@pytest.fixture(scope="module")
def shoeboxes():
    boxes = flat_shoeboxes(300, mean=2.0, seed=11)
    rng = np.random.default_rng(12)
    boxes.data[rng.random(len(boxes.data)) < 0.01] += 40
    boxes.mask[rng.random(len(boxes.mask)) < 0.02] &= 0xFE
    return boxes


def dials_background(shoeboxes, creator, folder):
    names = ("data", "mask", "bbox", "offsets")
    np.savez(folder / "in.npz", **{name: getattr(shoeboxes, name) for name in names})
    dials_python("-c", DIALS, "in.npz", "out.npz", creator, cwd=folder)
    with np.load(folder / "out.npz") as arrays:
        return {name: arrays[name] for name in arrays.files}


@pytest.mark.parametrize(
    ("name", "parameters", "creator", "tolerance"),
    [
        ("simple", {}, "S.Creator(S.Constant3dModeller(), 10)", 1e-7),
        ("simple", {"model.algorithm": "constant2d"}, "S.Creator(S.Constant2dModeller(), 10)", 1e-7),
        ("simple", {"model.algorithm": "linear2d"}, "S.Creator(S.Linear2dModeller(), 10)", 1e-6),
        (
            "simple",
            {"outlier.algorithm": "nsigma"},
            "S.Creator(S.Constant3dModeller(), S.NSigmaOutlierRejector(3, 3), 10)",
            1e-7,
        ),
        (
            "simple",
            {"outlier.algorithm": "normal"},
            "S.Creator(S.Constant3dModeller(), S.NormalOutlierRejector(10), 10)",
            1e-7,
        ),
        (
            "simple",
            {"outlier.algorithm": "tukey"},
            "S.Creator(S.Constant3dModeller(), S.TukeyOutlierRejector(1.5, 1.5), 10)",
            1e-7,
        ),
        (
            "simple",
            {"outlier.algorithm": "plane", "model.algorithm": "linear2d"},
            "S.Creator(S.Linear2dModeller(), S.MosflmOutlierRejector(1.0, 4.0), 10)",
            1e-6,
        ),
        ("simple", {"model.algorithm": "linear3d"}, "S.Creator(S.Linear3dModeller(), 10)", 1e-5),
        (
            "simple",
            {"outlier.algorithm": "truncated"},
            "S.Creator(S.Constant3dModeller(), S.TruncatedOutlierRejector(0.01, 0.01), 10)",
            1e-6,
        ),
        # both stop when a step is below 1e-3 of log mu; rounding may decide that one step earlier or later
        ("glm", {}, "G.Creator(G.Creator.model.constant3d, 1.345, 100, 10)", 1e-4),
        ("glm", {"model.algorithm": "constant2d"}, "G.Creator(G.Creator.model.constant2d, 1.345, 100, 10)", 1e-4),
        ("glm", {"model.algorithm": "loglinear2d"}, "G.Creator(G.Creator.model.loglinear2d, 1.345, 100, 10)", 1e-3),
    ],
    ids=lambda v: "-".join(v.values()) if isinstance(v, dict) else None,
)
def test_background_is_that_of_dials(shoeboxes, tmp_path, name, parameters, creator, tolerance):
    theirs = dials_background(shoeboxes, creator, tmp_path)
    context = make_context()
    params = build(
        context.host.load("background", name).Params, [Assignment(k, v, "test") for k, v in parameters.items()]
    )
    ours = context.algorithm("background", name, params).estimate_background(shoeboxes, pixel_detector())
    both = ours.success & theirs["success"]
    # DIALS fails where one image of a box has fewer than min_pixels; ours asks that of the whole box
    assert (both | ~theirs["success"]).all()
    if parameters.get("model.algorithm") == "linear3d":
        # boxes of one image have no slope along the images; DIALS fails, or keeps one that rounding makes
        both &= shoeboxes.bbox[:, 5] - shoeboxes.bbox[:, 4] > 1
    assert both.sum() > (220 if "linear" in parameters.get("model.algorithm", "") else 290)
    pixels = np.repeat(both, np.diff(shoeboxes.offsets))
    away = np.abs(ours.background[pixels] - theirs["background"][pixels]) / (np.abs(theirs["background"][pixels]) + 1)
    # slopes are in other units in DIALS, so that its iterations end elsewhere; few pixels at corners feel it
    assert np.quantile(away, 0.99 if "loglinear" in creator else 1.0) < tolerance
    if parameters.get("outlier.algorithm") != "truncated":  # which of equal counts are dropped is left to the sort
        assert np.array_equal(ours.used[pixels], theirs["used"][pixels])
    if "mse" in theirs:
        assert np.allclose(ours.mse[both], theirs["mse"][both], rtol=1e-5)
        assert np.allclose(ours.dispersion[both], theirs["dispersion"][both], rtol=1e-5)
