"""The standard columns: type, shape, unit and meaning."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class ColumnSpec:
    """One standard column.

    Attributes
    ----------
    dtype : str
        As numpy takes it.
    shape : tuple of int
        Without the rows: (3,) for an (n, 3) column.
    unit : str
        Empty without one; several, apart by commas, where components differ.
    meaning : str
    """

    dtype: str
    shape: tuple[int, ...]
    unit: str
    meaning: str

    def zeros(self, n: int) -> np.ndarray:
        """A column of n rows filled with zeros."""
        return np.zeros((n, *self.shape), dtype=self.dtype)


def _c(dtype: str, unit: str, meaning: str, *shape: int) -> ColumnSpec:
    return ColumnSpec(dtype, shape, unit, meaning)


SCHEMA: dict[str, ColumnSpec] = {
    "flags": _c("u8", "", "bits of spindle.table.Flag"),
    "id": _c("i4", "", "position of the experiment, -1 when unindexed"),
    "imageset_id": _c("i4", "", "position of the image set"),
    "panel": _c("u8", "", "panel number"),
    "miller_index": _c("i4", "", "h, k, l", 3),
    "miller_index_asu": _c("i4", "", "h, k, l in the asymmetric unit", 3),
    "entering": _c("?", "", "true when the point enters the Ewald sphere"),
    "s1": _c("f8", "1/angstrom", "diffracted beam", 3),
    "rlp": _c("f8", "1/angstrom", "reciprocal lattice point in the crystal's frame at zero angles", 3),
    "d": _c("f8", "angstrom", "resolution"),
    "xyzobs.px.value": _c("f8", "px, px, image", "observed centroid; array index in z", 3),
    "xyzobs.px.variance": _c("f8", "px^2, px^2, image^2", "variance of the observed centroid", 3),
    "xyzobs.mm.value": _c("f8", "mm, mm, rad", "observed centroid", 3),
    "xyzobs.mm.variance": _c("f8", "mm^2, mm^2, rad^2", "variance of the observed centroid", 3),
    "xyzcal.px": _c("f8", "px, px, image", "calculated position", 3),
    "xyzcal.mm": _c("f8", "mm, mm, rad", "calculated position", 3),
    "delpsical.rad": _c("f8", "rad", "angle to the Ewald sphere (stills)"),
    "bbox": _c("i4", "px, px, image", "x0, x1, y0, y1, z0, z1, half open", 6),
    "intensity.sum.value": _c("f8", "counts", "summed intensity"),
    "intensity.sum.variance": _c("f8", "counts^2", "its variance"),
    "intensity.prf.value": _c("f8", "counts", "profile-fitted intensity"),
    "intensity.prf.variance": _c("f8", "counts^2", "its variance"),
    "intensity.scale.value": _c("f8", "counts", "intensity used in scaling, corrected, not divided by the scale"),
    "intensity.scale.variance": _c("f8", "counts^2", "its variance after the error model"),
    "inverse_scale_factor": _c("f8", "", "divide the intensity by it"),
    "inverse_scale_factor_variance": _c("f8", "", "its variance"),
    "expected_counts": _c(
        "f8", "counts", "mean of such spots, of which variances of integration are made; 0 or less where unknown"
    ),
    "background.mean": _c("f8", "counts", "mean background per pixel"),
    "background.mse": _c("f8", "counts^2", "mean squared residual of background pixels"),
    "background.dispersion": _c("f8", "", "variance over mean of background pixels"),
    "background.sum.value": _c("f8", "counts", "background below the foreground"),
    "background.sum.variance": _c("f8", "counts^2", "its variance"),
    "n_signal": _c("i4", "px", "strong pixels"),
    "num_pixels.valid": _c("i4", "px", "valid pixels of the shoebox"),
    "num_pixels.background": _c("i4", "px", "valid background pixels"),
    "num_pixels.background_used": _c("i4", "px", "background pixels used"),
    "num_pixels.foreground": _c("i4", "px", "valid foreground pixels"),
    "partial_id": _c("u8", "", "number shared by the parts of a reflection"),
    "partiality": _c("f8", "", "recorded fraction of the reflection"),
    "profile.correlation": _c("f8", "", "correlation of observed and fitted profile"),
    "profile.rmsd": _c("f8", "", "deviation of observed and fitted profile"),
    "lp": _c("f8", "", "Lorentz-polarisation correction (multiply)"),
    "qe": _c("f8", "", "efficiency of the sensor (divide)"),
    "zeta": _c("f8", "", "rotation axis . e1"),
}
