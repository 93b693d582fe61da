"""Small simulated data sets with known truth, for tests of programs and algorithms."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["SMALL", "SimulatedSweep", "simulate_sweep"]

# A quarter of a megapixel, a small cell and few images: half a second once the kernels are compiled.
SMALL: dict[str, Any] = {
    "crystal.unit_cell": (38.0, 46.0, 57.0, 90.0, 90.0, 90.0),
    "crystal.space_group": "P 21 21 21",
    "detector.model": "custom",
    "detector.image_size": (400, 420),
    "detector.distance": 70.0,
    "detector.dead_pixels": 5,
    "detector.hot_pixels": 0,
    "scan.n_images": 20,
    "scan.oscillation": 0.5,
    "structure.mean_counts": 150.0,
}


@dataclass(frozen=True)
class SimulatedSweep:
    """A simulated sweep on disk.

    Attributes
    ----------
    folder : Path
        With the images, truth.json and truth.npz.
    summary : dict
        What `spindle simulate` said.
    """

    folder: Path
    summary: dict[str, Any]

    @property
    def images(self) -> list[Path]:
        """The image files in order."""
        return sorted(self.folder.glob("*.cbf"))

    @cached_property
    def models(self) -> dict[str, Any]:
        """Content of truth.json."""
        return dict(json.loads((self.folder / "truth.json").read_text()))

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        """Content of truth.npz; its documentation is that of the program."""
        with np.load(self.folder / "truth.npz") as arrays:
            return {name: arrays[name] for name in arrays.files}


def simulate_sweep(folder: Path, **parameters: Any) -> SimulatedSweep:
    """Simulate one sweep into a folder, by the installed program `simulate`.

    Parameters
    ----------
    folder : Path
        Made when it does not exist.
    **parameters
        Parameters of `spindle simulate`, two underscores for a dot (``scan__n_images=5``); those of `SMALL` are the
        defaults.
    """
    import spindle

    given = {name.replace("__", "."): value for name, value in parameters.items()}
    result = spindle.run("simulate", **{**SMALL, "output.directory": str(folder), **given})
    return SimulatedSweep(Path(folder), result.summary)
