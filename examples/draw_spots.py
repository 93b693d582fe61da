"""Find spots from Python, and draw where on the detector they are and when they were seen."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

import spindle


def main(images: Sequence[str], picture: str = "spots.png") -> int:
    """Find the spots of images of one sweep, draw them; return how many there are."""
    imported = spindle.run("import", files=[Path(image) for image in images])
    spots = spindle.run("find_spots", imported.experiments, d_min=5.0).reflections
    x, y, z = spots["xyzobs.px.value"].T  # fast, slow, image
    figure = Figure(figsize=(5.6, 6.0), layout="constrained")
    axes = figure.add_subplot(aspect="equal", xlabel="fast (pixels)", ylabel="slow (pixels)")
    axes.invert_yaxis()
    drawn = axes.scatter(x, y, s=3, c=z, cmap="viridis")
    figure.colorbar(drawn, label="image", shrink=0.7)
    figure.savefig(picture)
    return len(spots)


if __name__ == "__main__":
    main(sys.argv[1:])
