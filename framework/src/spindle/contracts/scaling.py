"""Contract of the ``scaling`` slot: the form of the inverse scale factor of a data set.

Chosen by ``model``; entry-point group ``spindle.scaling``. A plugin describes the form, g = product of terms, each a
sparse linear combination of its parameters (or the exponential of one); the scale program finds the parameters. An
implementation is asked once per data set and gets all its observations as arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from spindle.errors import ShapeError

from . import hookspec
from .checking import Checks, Fault, finite, instance, items

if TYPE_CHECKING:
    from spindle.models import Experiment

__all__ = [
    "Computed",
    "DatasetInfo",
    "Penalty",
    "ScaleTarget",
    "ScaleTerm",
    "ScalingModel",
    "ScalingObservations",
    "ScalingSpec",
]


@dataclass(frozen=True, slots=True)
class ScalingObservations:
    """The observations of one data set, as scaling models see them; every array has one row per observation.

    Attributes
    ----------
    d : (n,) float64, angstrom
        Resolution.
    image : (n,) float64
        Where the reflection was in the scan: calculated array index (image number i covers i - 1 to i); 0 for stills.
    image_observed : (n,) float64
        The same from the observed centroid.
    source : (n, 3) float64
        Unit vectors from the crystal to the source, in the frame of the crystal.
    diffracted : (n, 3) float64
        Unit vectors along the diffracted beams, in the frame of the crystal.
    position : (n, 2) float64, pixels
        Calculated position on the detector.
    panel : (n,) int64
    """

    d: np.ndarray
    image: np.ndarray
    image_observed: np.ndarray
    source: np.ndarray
    diffracted: np.ndarray
    position: np.ndarray
    panel: np.ndarray

    def __len__(self) -> int:
        return len(self.d)


@dataclass(frozen=True, slots=True)
class DatasetInfo:
    """Another data set that is scaled together with one.

    Attributes
    ----------
    experiment : Experiment
    n_observations : int
        Observations of it that get a scale factor.
    """

    experiment: Experiment
    n_observations: int


@dataclass(frozen=True, slots=True)
class ScaleTarget:
    """Intensities on the scale that data sets are to be brought to, from a structure or from earlier data.

    Attributes
    ----------
    miller_index : (n, 3) int
        In the asymmetric unit of the crystals' space group, each once.
    intensity, variance : (n,) float64
        The variance is 0 for intensities that count as exact.
    source : str
        Where they are from, for the user.
    """

    miller_index: np.ndarray
    intensity: np.ndarray
    variance: np.ndarray
    source: str

    def __post_init__(self) -> None:
        n = len(self.miller_index)
        if self.miller_index.shape != (n, 3) or self.intensity.shape != (n,) or self.variance.shape != (n,):
            raise ShapeError(
                f"target {self.source}: indices {self.miller_index.shape}, intensities {self.intensity.shape} and variances "
                f"{self.variance.shape} do not belong together; (n, 3), (n,) and (n,) expected"
            )


@dataclass(frozen=True, slots=True)
class Penalty:
    """A quadratic restraint (x - target)' K (x - target) on the parameters of a term.

    Attributes
    ----------
    matrix : (p, p) float64
        K, symmetric and positive semidefinite.
    weight : float or None
        Factor of K in the target function. None: found from the data, as the weight that makes the data most probable
        when the parameters vary by as much as the restraint then expects.
    typical : float
        Where the weight is found from the data: a first guess of the size of the restrained quantity.
    rank : int or None
        Rank of the matrix, where it is known.
    """

    matrix: np.ndarray
    weight: float | None
    typical: float = 0.01
    rank: int | None = None


#: Rows of computed arrays that are looked at together.
ROWS = 2**17


class Computed:
    """An array (n, k) whose rows are computed when they are asked for: what many observations would take much memory for.

    Parameters
    ----------
    function : callable
        Gives the rows of a slice, or of indices, as an array (m, k): each row the same whichever others are asked for.
    n, k : int

    Examples
    --------
    >>> squares = Computed(lambda rows: np.arange(5.0)[rows, None] ** 2, 5, 1)
    >>> squares[1:3].tolist(), squares[-1].tolist(), squares.shape
    ([[1.0], [4.0]], [16.0], (5, 1))
    """

    __slots__ = ("_function", "shape")

    def __init__(self, function: Callable[[Any], np.ndarray], n: int, k: int) -> None:
        self._function, self.shape = function, (n, k)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> np.ndarray:
        if isinstance(rows, int | np.integer):
            start = range(len(self))[rows]
            return np.asarray(self._function(slice(start, start + 1))[0])
        return self._function(rows)

    def blocks(self) -> Iterator[np.ndarray]:
        """All rows, some at a time."""
        for start in range(0, len(self), ROWS):
            yield self[start : start + ROWS]

    def of(self, rows: np.ndarray) -> Computed:
        """Some of the rows (indices), still to be computed."""
        return Computed(lambda some: self[rows[some]], len(rows), self.shape[1])


@dataclass(frozen=True, slots=True)
class ScaleTerm:
    """One factor of g: ``offset + sum_k weights[:, k] parameters[indices[:, k]]``, or exp of a multiple of it.

    Attributes
    ----------
    name : str
        Key of the term in the scaling model of the ``.expt`` file.
    parameters : (p,) float64
        Start values.
    indices : (n, k) or (1, k) int32, or Computed
        Parameters that an observation depends on; one row where all depend on the same.
    weights : (n, k) float64, or Computed
        Their weights.
    null_value : float
        Value of a parameter that does nothing.
    offset : float
        Added to the sum.
    coefficient : (n,) float64 or None
        None: the term is the sum itself. Otherwise the term is exp(coefficient * sum).
    penalties : tuple of Penalty
        Restraints on the deviations from ``null_value``.
    fixed : bool
        Keep the parameters as they are.
    """

    name: str
    parameters: np.ndarray
    indices: np.ndarray | Computed
    weights: np.ndarray | Computed
    null_value: float = 1.0
    offset: float = 0.0
    coefficient: np.ndarray | None = None
    penalties: tuple[Penalty, ...] = ()
    fixed: bool = False

    def __post_init__(self) -> None:
        n, k = self.weights.shape
        if self.indices.shape not in ((n, k), (1, k)):
            raise ShapeError(
                f"scaling term {self.name}: indices {self.indices.shape} do not fit weights {self.weights.shape}"
            )
        if self.coefficient is not None and self.coefficient.shape != (n,):
            raise ShapeError(
                f"scaling term {self.name}: coefficient {self.coefficient.shape} does not fit {n} observations"
            )
        p = len(self.parameters)
        for indices in _parts(self.indices):
            if indices.size and not (indices.min() >= 0 and indices.max() < p):
                raise ShapeError(
                    f"scaling term {self.name}: indices {indices.min()} to {indices.max()} of {p} parameters"
                )
        for penalty in self.penalties:
            if penalty.matrix.shape != (p, p):
                raise ShapeError(f"scaling term {self.name}: a penalty is {penalty.matrix.shape}, {(p, p)} expected")

    def values(self, parameters: np.ndarray, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        """(n,) float64: the factor of some observations."""
        total = self._sum(parameters, rows, self.weights[rows])
        return np.exp(self.coefficient[rows] * total) if self.coefficient is not None else total

    def log_slopes(self, parameters: np.ndarray, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        """(n, k) float64: derivatives of the logarithm of the factor with respect to ``parameters[indices]``."""
        weights = self.weights[rows]
        if self.coefficient is not None:
            return np.asarray(weights * self.coefficient[rows][:, None])
        return np.asarray(weights / self._sum(parameters, rows, weights)[:, None])

    def _sum(self, parameters: np.ndarray, rows: np.ndarray | slice, weights: np.ndarray) -> np.ndarray:
        if len(self.indices) == 1 and len(self.weights) != 1:
            return np.asarray(self.offset + np.einsum("nk,k->n", weights, parameters[self.indices[0]]))
        return np.asarray(self.offset + np.einsum("nk,nk->n", weights, parameters[self.indices[rows]]))


def _parts(values: np.ndarray | Computed) -> Iterator[np.ndarray]:
    """An array, or the rows of a computed one in turn."""
    if isinstance(values, Computed):
        yield from values.blocks()
    else:
        yield values


@dataclass(frozen=True, slots=True)
class ScalingModel:
    """The form of g of one data set.

    Attributes
    ----------
    kind : str
        ``__id__`` of the model in the ``.expt`` file.
    terms : tuple of ScaleTerm
        Factors of g.
    configuration : dict
        What a reader needs to rebuild the terms; becomes ``configuration_parameters``.
    shared : tuple of str
        Terms whose parameters all data sets have in common.
    """

    kind: str
    terms: tuple[ScaleTerm, ...]
    configuration: dict[str, Any] = field(default_factory=dict)
    shared: tuple[str, ...] = ()


def check_scaling_model(arguments: dict[str, Any], result: Any) -> ScalingModel:
    """Refuse a model whose terms do not fit the observations, or hold no numbers."""
    model: ScalingModel = instance(result, ScalingModel, "the result")
    n = len(arguments["observations"])
    instance(model.kind, str, "kind")
    terms = items(model.terms, ScaleTerm, "terms")
    names = [term.name for term in terms]
    if len(set(names)) != len(names):
        raise Fault(f"terms have the names {', '.join(names)}, each once expected")
    for term in terms:
        if len(term.weights) not in (1, n):
            raise Fault(f"weights of the term {term.name} have {len(term.weights)} rows, {n} observations expected")
        finite(np.asarray(term.parameters), f"parameters of the term {term.name}")
        for weights in _parts(term.weights):
            finite(weights, f"weights of the term {term.name}")
        if term.coefficient is not None:
            finite(term.coefficient, f"coefficient of the term {term.name}")
        for penalty in term.penalties:
            finite(penalty.matrix, f"a penalty of the term {term.name}")
    instance(model.configuration, dict, "configuration")
    if unknown := sorted(set(model.shared) - set(names)):
        raise Fault(f"shared names {', '.join(unknown)}, but the terms are {', '.join(names)}")
    return model


class ScalingSpec:
    """Hooks of a scaling model."""

    checks: ClassVar[Checks] = {"build_scaling_model": check_scaling_model}
    added: ClassVar[dict[str, dict[str, Any]]] = {"build_scaling_model": {"peers": (), "target": None}}

    @hookspec(firstresult=True)
    def build_scaling_model(
        self,
        experiment: Experiment,
        observations: ScalingObservations,
        existing: dict[str, Any] | None,
        peers: Sequence[DatasetInfo],
        target: ScaleTarget | None,
    ) -> ScalingModel:
        """Describe the inverse scale factor of one data set.

        Parameters
        ----------
        experiment : Experiment
            Beam, goniometer, scan, crystal ... of the data set.
        observations : ScalingObservations
            Every observation that gets a scale factor.
        existing : dict or None
            The data set's model of an earlier run, as in the ``.expt`` file, when it is of this kind: start from its
            parameters.
        peers : sequence of DatasetInfo
            The other data sets that are scaled together with this one: with many, each can afford fewer parameters.
        target : ScaleTarget or None
            What the data set is scaled against, for models that depend on it; the program compares the observations with it.

        Returns
        -------
        ScalingModel
        """
        raise NotImplementedError
