"""The profile fitter of a run: what a profile model that fits profiles returns, with working defaults."""

from __future__ import annotations

import builtins
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .checking import Checked, Fault, array, finite, instance, items, kind_of, read_only

if TYPE_CHECKING:
    from spindle.report import Table
    from spindle.table import ReflectionTable, Shoeboxes

__all__ = ["ProfileFit", "ProfileFitter", "check_fitter"]


@dataclass(frozen=True, slots=True)
class ProfileFit:
    """Profile-fitted intensities of n spots.

    Attributes
    ----------
    value, variance : (n,) float64, counts, counts^2
        Intensity of the whole spot, also where only part of it was recorded. 0 and -1 where the fit failed.
    correlation : (n,) float64
        Pearson correlation between pixels (or grid points) and the fitted model.
    success : (n,) bool
    profile : (p,) float32 or None
        Share of its spot in each pixel of the shoeboxes that is valid foreground, whatever elsewhere: what `expected_counts` says of an
        intensity of 1, which is not asked for these spots then. None where a fit does not know it.
    """

    value: np.ndarray
    variance: np.ndarray
    correlation: np.ndarray
    success: np.ndarray
    profile: np.ndarray | None = None


class ProfileFitter(ABC):
    """Reference profiles of a run: first all calls of `learn`, in order, then `finish`, then any number of `fit`.

    It travels to other processes with the blocks that it fits, so that it can be pickled at any time.

    Attributes
    ----------
    deconvolution : bool
        Overlapping spots are fitted together, with `expected_counts` of each in the pixels of the others.
    counts_expected : bool
        Variances of fits are made of the counts to be expected of such spots, as `spindle_lib_noise.believed.counts_of_variance` has them,
        and not of those observed. Scaling then puts those that equivalents let expect into their place.
    """

    deconvolution: bool = False
    counts_expected: bool = False

    def choose(self, reflections: ReflectionTable) -> np.ndarray:
        """Pick the strong spots that are worth learning from, before images are read; all, unless overridden.

        Parameters
        ----------
        reflections : ReflectionTable
            n rows, with ``intensity.sum.value`` of spot finding.

        Returns
        -------
        (n,) bool
        """
        return np.ones(len(reflections), np.bool_)

    @abstractmethod
    def learn(self, reflections: ReflectionTable, shoeboxes: Shoeboxes) -> np.ndarray:
        """Take in strong spots.

        Parameters
        ----------
        reflections : ReflectionTable
            m rows that are reference spots, fully recorded, without bad pixels, successfully summed.
        shoeboxes : Shoeboxes
            Their m shoeboxes with data, mask and background. The background is the variance of a pixel without signal,
            as for counted photons: where reading adds noise, data and background are both raised by its variance.

        Returns
        -------
        (m,) bool
            Rows that were used; they get the flag ``used_in_modelling``.
        """

    @abstractmethod
    def finish(self, map: Any = None) -> None:
        """Make the reference profiles; ``map(function, items)`` runs work on all cores, in order."""

    @abstractmethod
    def fit(
        self, reflections: ReflectionTable, shoeboxes: Shoeboxes, expected: np.ndarray, background_variance: np.ndarray
    ) -> ProfileFit:
        """Fit spots. Called from several threads.

        Parameters
        ----------
        reflections : ReflectionTable
            n rows.
        shoeboxes : Shoeboxes
            Their shoeboxes with data, mask and background, raised as in `learn`.
        expected : (n,) float64, counts
            Mean intensity of reflections of such resolution; negative where unknown.
        background_variance : (n,) float64, counts^2 per pixel^2
            Variance of the mean background.
        """

    def expected_counts(self, reflections: ReflectionTable, shoeboxes: Shoeboxes, intensity: np.ndarray) -> np.ndarray:
        """Mean counts of each spot in the pixels of a box, its own or a neighbour's; needed where `deconvolution` is True.

        Parameters
        ----------
        reflections : ReflectionTable
            n rows.
        shoeboxes : Shoeboxes
            Their n shoeboxes, of which only the boxes count.
        intensity : (n,) float64, counts

        Returns
        -------
        (p,) float32
            One number for each of the p pixels.
        """
        raise NotImplementedError(f"{type(self).__name__} separates no overlapping spots")

    def recorded_share(self, reflections: ReflectionTable) -> np.ndarray:
        """Part of the photons of each spot that sums and fits hold, which are divided by it; all, unless overridden.

        A foreground and a profile end somewhere; what the detector spreads further is in neither.

        Parameters
        ----------
        reflections : ReflectionTable
            n rows.

        Returns
        -------
        (n,) float64
        """
        return np.ones(len(reflections))

    @abstractmethod
    def models(self) -> list[dict[str, Any]]:
        """The models of the experiments as `finish` left them, which may have improved them; for the output."""

    def tables(self) -> list[Table]:
        """Tables about the reference profiles for the log; none, unless overridden."""
        return []

    def reference_profiles(self) -> list[dict[str, Any]]:
        """The profiles: dictionaries with ``experiment``, ``coord`` (3,), ``data`` (array), ``n_reflections``."""
        return []


class CheckedFitter(Checked, ProfileFitter):
    """A fitter as its callers see it: what the model's own returns is checked."""

    def __init__(self, inner: ProfileFitter) -> None:
        super().__init__(inner)
        self.deconvolution = bool(inner.deconvolution)
        self.counts_expected = bool(inner.counts_expected)

    def choose(self, reflections: ReflectionTable) -> np.ndarray:
        """See `ProfileFitter.choose`."""
        with self.guard("choose"):
            return array(self.inner.choose(read_only(reflections)), (len(reflections),), np.bool_, "the result")

    def learn(self, reflections: ReflectionTable, shoeboxes: Shoeboxes) -> np.ndarray:
        """See `ProfileFitter.learn`."""
        with self.guard("learn"):
            used = self.inner.learn(read_only(reflections), read_only(shoeboxes))
            return array(used, (len(reflections),), np.bool_, "the result")

    def finish(self, map: Any = None) -> None:
        """See `ProfileFitter.finish`."""
        with self.guard("finish"):
            self.inner.finish(builtins.map if map is None else map)

    def fit(
        self, reflections: ReflectionTable, shoeboxes: Shoeboxes, expected: np.ndarray, background_variance: np.ndarray
    ) -> ProfileFit:
        """See `ProfileFitter.fit`."""
        n = len(reflections)
        with self.guard("fit"):
            found: ProfileFit = instance(
                self.inner.fit(
                    read_only(reflections), read_only(shoeboxes), read_only(expected), read_only(background_variance)
                ),
                ProfileFit,
                "the result",
            )
            success = array(found.success, (n,), np.bool_, "success")
            finite(array(found.value, (n,), np.float64, "value"), "value", success)
            finite(array(found.variance, (n,), np.float64, "variance"), "variance", success, least=0.0)
            finite(array(found.correlation, (n,), np.float64, "correlation"), "correlation", success)
            if found.profile is not None:
                array(found.profile, (int(shoeboxes.offsets[-1]),), np.float32, "profile")
            return found

    def expected_counts(self, reflections: ReflectionTable, shoeboxes: Shoeboxes, intensity: np.ndarray) -> np.ndarray:
        """(p,) float32: counts of the spots in their pixels."""
        with self.guard("expected_counts"):
            counts = self.inner.expected_counts(read_only(reflections), read_only(shoeboxes), read_only(intensity))
            finite(array(counts, (int(shoeboxes.offsets[-1]),), np.float32, "the result"), "the result")
            return np.asarray(counts)

    def recorded_share(self, reflections: ReflectionTable) -> np.ndarray:
        """See `ProfileFitter.recorded_share`."""
        with self.guard("recorded_share"):
            share = array(
                self.inner.recorded_share(read_only(reflections)), (len(reflections),), np.float64, "the result"
            )
            finite(share, "the result", least=0.1)
            return share

    def models(self) -> list[dict[str, Any]]:
        """See `ProfileFitter.models`."""
        with self.guard("models"):
            return list(items(self.inner.models(), dict, "the result"))

    def tables(self) -> list[Table]:
        """See `ProfileFitter.tables`."""
        with self.guard("tables"):
            return list(instance(self.inner.tables(), (list, tuple), "the result"))

    def reference_profiles(self) -> list[dict[str, Any]]:
        """See `ProfileFitter.reference_profiles`."""
        with self.guard("reference_profiles"):
            return list(items(self.inner.reference_profiles(), dict, "the result"))


def check_fitter(arguments: dict[str, Any], result: Any) -> CheckedFitter | None:
    """Refuse what cannot learn and fit."""
    if result is None:
        return None
    fitter: ProfileFitter = instance(result, ProfileFitter, "the result")
    if fitter.deconvolution and type(fitter).expected_counts is ProfileFitter.expected_counts:
        raise Fault(f"the result is {kind_of(result)}, which says deconvolution and has no expected_counts")
    return CheckedFitter(fitter)
