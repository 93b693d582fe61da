"""One model of a refinement problem with its parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from spindle_lib_smoothing.smoother import Spline


@dataclass
class ModelBlock:
    """One model (or rigid group of panels) with its parameters.

    Attributes
    ----------
    kind : str
        One of `spindle_refiner_centroid.problem.KINDS`.
    label : str
        "Crystal1", "Beam1", ...
    model : object
        The model itself; for a detector the panels concerned are in `panels`.
    parameterisation : object
        See `parameterisations`.
    experiments : list of int
        Experiments that use the model.
    smoother : Spline or None
        Coefficients along the scan (array index) of a varying model.
    fixed : (k,) bool
        Parameters that are not refined.
    panels : (p,) int64 or None
        Panels moved, for detectors.
    offset : int
        First of its values in the vector of all values; parameter j, sample s is at ``offset + j * n_samples + s``.
    """

    kind: str
    label: str
    model: Any
    parameterisation: Any
    experiments: list[int]
    smoother: Spline | None
    fixed: np.ndarray
    panels: np.ndarray | None = None
    group: int = 0
    offset: int = 0

    @property
    def n_samples(self) -> int:
        """Values per parameter: 1, or the number of samples along the scan."""
        return 1 if self.smoother is None else self.smoother.n_values

    @property
    def size(self) -> int:
        """Number of values."""
        return len(self.parameterisation.initial) * self.n_samples

    def values(self, everything: np.ndarray) -> np.ndarray:
        """(k, n_samples) values of this block in the vector of all."""
        return everything[self.offset : self.offset + self.size].reshape(-1, self.n_samples)

    def at(self, everything: np.ndarray, z: np.ndarray) -> np.ndarray:
        """(m, k) values at array indices z (m,), or (1, k) for a constant model."""
        own = self.values(everything)
        return own.T if self.smoother is None else self.smoother.values(z, own.T)

    def change(self, everything: np.ndarray, z: np.ndarray) -> np.ndarray:
        """(m, k) derivatives of a varying model's values with respect to the array index at z (m,)."""
        assert self.smoother is not None
        index, _ = self.smoother.weights(z)
        return np.asarray(np.einsum("zm,zmk->zk", self.smoother.slopes(z), self.values(everything).T[index]))

    def names(self) -> list[str]:
        """Names of all values."""
        base = [f"{self.label}{name}" for name in self.parameterisation.names]
        if self.smoother is None:
            return base
        return [f"{name}_sample{s}" for name in base for s in range(self.n_samples)]
