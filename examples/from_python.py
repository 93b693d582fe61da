"""Find spots, index and refine from Python, and look at what came of it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import spindle


def main(images: Sequence[str]) -> dict[str, float]:
    """Process images as far as refinement; return the cell edge a, and the part of the spots that is indexed."""
    imported = spindle.run("import", files=[Path(image) for image in images])
    spots = spindle.run("find_spots", imported.experiments)
    indexed = spindle.run("index", imported.experiments, spots.reflections)
    refined = spindle.run("refine", indexed.experiments, indexed.reflections)
    crystal = refined.experiments[0].known_crystal
    table = refined.reflections
    residual = table["xyzcal.px"][:, :2] - table["xyzobs.px.value"][:, :2]
    used = np.flatnonzero(table["id"] >= 0)
    print(
        "cell",
        np.round(crystal.cell, 3),
        "median distance from the prediction",
        np.median(np.abs(residual[used])),
        "px",
    )
    return {"a": float(crystal.cell[0]), "indexed": len(used) / len(table)}


if __name__ == "__main__":
    main(sys.argv[1:])
