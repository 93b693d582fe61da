"""Time of the background models on 100,000 shoeboxes, beside DIALS on the same pixels where DIALS is installed.

    python benchmarks/background.py [number of shoeboxes] [python that can import dials]

Both run on one thread, warm; the largest relative difference of the background is printed with the ratio of the times.
"""

from __future__ import annotations

import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
from timing import CommandError, best_of, dials_python, run_in_dials

from spindle.table import Shoeboxes
from spindle.testing import make_context
from spindle.testing.background import flat_shoeboxes, pixel_detector

MODELS = [
    ("simple", {"model.algorithm": "constant3d"}, "S.Creator(S.Constant3dModeller(), 10)"),
    ("simple", {"model.algorithm": "constant2d"}, "S.Creator(S.Constant2dModeller(), 10)"),
    ("simple", {"model.algorithm": "linear2d"}, "S.Creator(S.Linear2dModeller(), 10)"),
    ("simple", {"model.algorithm": "linear3d"}, "S.Creator(S.Linear3dModeller(), 10)"),
    ("simple", {"outlier.algorithm": "nsigma"}, "S.Creator(S.Constant3dModeller(), S.NSigmaOutlierRejector(3, 3), 10)"),
    ("simple", {"outlier.algorithm": "normal"}, "S.Creator(S.Constant3dModeller(), S.NormalOutlierRejector(10), 10)"),
    (
        "simple",
        {"outlier.algorithm": "tukey"},
        "S.Creator(S.Constant3dModeller(), S.TukeyOutlierRejector(1.5, 1.5), 10)",
    ),
    ("glm", {"model.algorithm": "constant3d"}, "G.Creator(G.Creator.model.constant3d, 1.345, 100, 10)"),
    ("glm", {"model.algorithm": "constant2d"}, "G.Creator(G.Creator.model.constant2d, 1.345, 100, 10)"),
    ("median", {}, None),
]
N_LOGLINEAR = 5000  # of the much slower models
LOGLINEAR = [
    ("glm", {"model.algorithm": "loglinear2d"}, "G.Creator(G.Creator.model.loglinear2d, 1.345, 100, 10)"),
    ("glm", {"model.algorithm": "loglinear3d"}, None),  # fails for every shoebox in DIALS 3.12
]

DIALS_SCRIPT = """
import json, sys, time
import numpy as np
import dials.algorithms.background.simple as S, dials.algorithms.background.glm as G
from dials.array_family import flex
from dials.model.data import Shoebox
d = np.load(sys.argv[1]); data, mask, bbox, offsets = d["data"], d["mask"].astype(np.int32), d["bbox"], d["offsets"]
def boxes():
    out = flex.shoebox(len(bbox))
    for i, b in enumerate(bbox):
        s = Shoebox(0, tuple(int(v) for v in b)); s.allocate()
        shape = (b[5] - b[4], b[3] - b[2], b[1] - b[0])
        part = slice(offsets[i], offsets[i + 1])
        s.data = flex.float(np.ascontiguousarray(data[part].reshape(shape)))
        s.mask = flex.int(np.ascontiguousarray(mask[part].reshape(shape)))
        out[i] = s
    return out
result = []
for k, text in enumerate(eval(sys.argv[3])):
    creator = eval(text); work = boxes()
    extra = (flex.double(len(bbox), 0), flex.double(len(bbox), 0)) if text[0] == "S" else ()
    start = time.perf_counter(); creator(work, *extra); seconds = time.perf_counter() - start
    np.save(sys.argv[2] + f"/{k}.npy", np.array([b.background[0] for b in work]))
    result.append(seconds)
print("RESULT", json.dumps(result))
"""


def make_shoeboxes(n: int) -> Shoeboxes:
    """Ragged shoeboxes like those of a fine-sliced data set: 49 to 144 pixels on 1 to 7 images, 0.5 % outliers."""
    block = flat_shoeboxes(min(n, 5000), mean=1.5, seed=1)
    shoeboxes = block.select(np.arange(n) % len(block))
    rng = np.random.default_rng(2)
    shoeboxes.data[rng.random(len(shoeboxes.data)) < 0.005] += 50
    return shoeboxes


def dials_times(python: str | None, shoeboxes: Shoeboxes, texts: list[str]) -> list[tuple[float, np.ndarray]]:
    """Seconds and background of the first pixel of each shoebox, by creator; empty without DIALS."""
    if python is None:
        return []
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "shoeboxes.npz"
        np.savez(source, data=shoeboxes.data, mask=shoeboxes.mask, bbox=shoeboxes.bbox, offsets=shoeboxes.offsets)
        try:
            seconds = run_in_dials(python, DIALS_SCRIPT, str(source), folder, repr(texts))
        except CommandError as error:
            print("DIALS did not run:", str(error).strip().splitlines()[-1:])
            return []
        return [(s, np.load(Path(folder) / f"{k}.npy")) for k, s in enumerate(seconds)]


def measure(models: list, shoeboxes: Shoeboxes, python: str | None) -> None:
    """Print one line per model."""
    theirs = iter(dials_times(python, shoeboxes, [text for _, _, text in models if text]))
    context = make_context()
    for name, values, text in models:
        plugin_class = context.host.load("background", name)
        params = plugin_class.Params().changed(values)
        plugin = context.algorithm("background", name, params)
        plugin.estimate_background(shoeboxes.select(np.arange(10)), pixel_detector())  # compiles
        seconds, result = best_of(partial(plugin.estimate_background, shoeboxes, pixel_detector()), 3)
        line = f"{name:8s}{next(iter(values.values()), ''):14s}{seconds:8.3f} s"
        dials = next(theirs, None) if text else None
        if dials is not None:
            ours = result.background[shoeboxes.offsets[:-1]]
            both = (dials[1] != 0) & result.success
            difference = np.abs(ours - dials[1])[both] / np.maximum(np.abs(dials[1][both]), 1e-3)
            line += f"   DIALS{dials[0]:8.3f} s   ratio{dials[0] / seconds:6.1f}"
            line += f"   largest difference {difference.max():.1e}"
        print(line, flush=True)


def main() -> None:
    """Measure all models."""
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    python = sys.argv[2] if len(sys.argv) > 2 else dials_python()
    shoeboxes = make_shoeboxes(n)
    print(f"{n} shoeboxes, {len(shoeboxes.data) / 1e6:.1f} million pixels")
    measure(MODELS, shoeboxes, python)
    few = shoeboxes.select(np.arange(min(n, N_LOGLINEAR)))
    print(f"{len(few)} shoeboxes")
    measure(LOGLINEAR, few, python)


if __name__ == "__main__":
    main()
