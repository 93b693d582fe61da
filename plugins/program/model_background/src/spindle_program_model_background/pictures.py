"""Pictures of images of the background."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

__all__ = ["picture_writer"]

INCHES = 7.0


def picture_writer(image: np.ndarray, title: str, unit: str) -> Callable[[Path], None]:
    """What writes a picture of an image (m, n) with a scale of its values, from 0 to what 99.5 % of its pixels are below."""

    def write(path: Path) -> None:
        from spindle_lib_pictures.figures import new_figure, save_figure

        height = INCHES * float(np.clip(image.shape[0] / max(image.shape[1], 1), 0.4, 2.5))
        figure, (plot,) = new_figure(1, 1, INCHES + 1.0, height)
        finite = np.where(np.isfinite(image), image, 0.0)
        top = float(np.quantile(finite, 0.995)) if finite.size else 1.0
        shown = plot.imshow(
            finite, cmap="viridis", vmin=0.0, vmax=max(top, 1e-6), aspect="auto", interpolation="nearest"
        )
        plot.grid(False)
        plot.set_title(title)
        figure.colorbar(shown, ax=plot, label=unit)
        save_figure(figure, path, ".png")

    return write
