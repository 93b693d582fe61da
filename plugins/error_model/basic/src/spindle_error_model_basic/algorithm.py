"""The error model plugin: parameters, choice of fit, tables."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from spindle.contracts import Algorithm, Citation, hookimpl
from spindle.contracts.error_model import ErrorModelFit, ErrorModelObservations
from spindle.params import Auto, Choice, Float, Int
from spindle.params import Params as ParamsBase
from spindle.report import Table

from .fit import bin_variances, fit_individually, fit_regression, intensity_bins, means, select
from .likelihood import fit_few, fit_likelihood

DEFAULT_A, DEFAULT_B = 1.0, 0.02
#: Where no equivalents tell, scales are as wrong as illuminated volumes, decay and absorption vary along a scan: several per cent.
ASSUMED_B = 0.03
#: What is left of it where the scale is told by other means: it flickers, and absorption is not smooth.
LEAST_ASSUMED_B = 0.01
#: Least partiality of observations that count as fully recorded.
FULL_ENOUGH = 0.95
#: Observations that the table of deviations is made of, of whole reflections throughout the data.
MOST_JUDGED = 500_000


class BasicErrorModel(Algorithm):
    """sigma'^2 = a^2 (sigma^2 + c N + (b I)^2), where N is the variance of the reflection's own photon counts.

    I is the intensity that the equivalents let expect, not the observed one: errors that grow with the observed intensity make
    the weights follow the noise, and weighted means too low.
    """

    citations = (
        Citation(
            "Evans, P. R. & Murshudov, G. N.",
            2013,
            "How good are my data and what is the resolution?",
            "Acta Cryst. D",
            "69",
            "1204-1214",
            "10.1107/S0907444913000061",
        ),
        Citation(
            "Beilsten-Edmands, J. & Winter, G. & Gildea, R. & Parkhurst, J. & Waterman, D. & Evans, G.",
            2020,
            "Scaling diffraction data in the DIALS software package: algorithms and new approaches for multi-crystal scaling",
            "Acta Cryst. D",
            "76",
            "385-399",
            "10.1107/S2059798320003198",
        ),
    )

    class Params(ParamsBase):
        """The basic error model, sigma'^2 = a^2 (sigma^2 + c N + (b I)^2)."""

        a = Float(None, min=1e-3, help="Keep a at this value.", level=2)
        b = Float(None, min=0, help="Keep b at this value.", level=2)
        c = Float(
            Auto,
            min=0,
            help="Weight of the variance of the reflection's own counts; Auto fits it (minimisation=likelihood) or "
            "leaves it 0. "
            "It mends integration errors that are right for strong and too large for weak reflections.",
            level=2,
        )
        minimisation = Choice(
            ["likelihood", "individual", "regression", "None"],
            default="likelihood",
            help="likelihood: all parameters together from the squared deviations of equivalents. individual: a from "
            "the normal "
            "probability plot and b from intensity ranges, in turns, as DIALS does. regression: a straight line. None: "
            "no fit.",
            level=3,
        )
        min_Ih = Float(25.0, help="Least expected intensity of reflections used by individual and regression.", level=2)
        n_bins = Int(10, min=1, max=10_000, help="Number of intensity ranges.", level=2)

    @hookimpl
    def default_error_model(self) -> ErrorModelFit:
        """See `spindle.contracts.error_model.ErrorModelSpec`."""
        params = self.params
        a = DEFAULT_A if params.a is None else params.a
        b = DEFAULT_B if params.b is None else params.b
        c = 0.0 if params.c is Auto else params.c
        return _describe(a, b, c, (), {})

    @hookimpl
    def corrected_variance(
        self,
        intensity: np.ndarray,
        variance: np.ndarray,
        expected: np.ndarray,
        counting: np.ndarray,
        model: ErrorModelFit,
    ) -> np.ndarray:
        """See `spindle.contracts.error_model.ErrorModelSpec`."""
        a, b = model.parameters[:2]
        c = model.details.get("c", 0.0)
        return np.asarray(a * a * (variance + c * counting + (b * np.maximum(expected, 0.0)) ** 2))

    @hookimpl
    def fit_error_model(self, observations: ErrorModelObservations, start: ErrorModelFit | None) -> ErrorModelFit:
        """See `spindle.contracts.error_model.ErrorModelSpec`."""
        params = self.params
        default = self.default_error_model()
        if params.minimisation == "None":
            return default
        variance = observations.variance
        c = 0.0 if params.c is Auto else params.c
        found: tuple[float, ...] | None
        if params.minimisation == "likelihood":
            fixed_c = params.c if params.c is not Auto else (0.0 if not observations.counting.any() else None)
            found = self._most_likely(observations, params.a, fixed_c)
        else:
            rows, offsets, _ = _complete(observations)
            sample = select(
                observations.intensity[rows], variance[rows] + c * observations.counting[rows],
                observations.scale[rows],
                offsets, params.min_Ih,
            )  # fmt: skip
            found = None
            if sample is not None and params.minimisation == "individual":
                found = fit_individually(sample, params.n_bins, params.a, params.b)
                if found is None:  # a did not settle: only b is worth fitting
                    found = fit_individually(sample, params.n_bins, DEFAULT_A, params.b)
            elif sample is not None:
                found = fit_regression(sample)
            found = None if found is None else (*found, c)
        if found is None and params.minimisation == "likelihood":
            return self._assumed(observations, c)
        if found is None:
            return ErrorModelFit(
                default.kind, default.parameters, "too few observations for an error model; " + default.description,
                (), default.details,
            )  # fmt: skip
        a, b, c = found
        tables, details = self._judge(observations, a, b, c)
        return _describe(a, b, c, tables, details)

    def _most_likely(
        self, observations: ErrorModelObservations, a: float | None, c: float | None
    ) -> tuple[float, ...] | None:
        """The likeliest a, b and c, some of them kept. Where variances hold all counts a below 1 is no excuse for c."""
        run: Any = map if self.context is None else self.context.executor.here.map

        def fit(a: float | None, c: float | None) -> tuple[float, float, float] | None:
            return fit_likelihood(
                observations.intensity, observations.variance, observations.scale, observations.counting,
                observations.offsets, (a, self.params.b, c), run,
            )  # fmt: skip

        found = fit(a, c)
        if found is None or not observations.counted or a is not None or c is not None:
            return found
        if found[0] < 1.0 and found[2] > 0.0:
            # what is taken from the background is given to the counts: the likeliest that does not so lies on one border or on the other
            found = fit(None, 0.0)
            if found is not None and found[0] > 1.0:
                found = fit(1.0, None)
        return found

    def _assumed(self, observations: ErrorModelObservations, c: float) -> ErrorModelFit:
        """With too few equivalents: a and c as they are given, and b by what they say and what is usual."""
        a = DEFAULT_A if self.params.a is None else self.params.a
        b, n = self.params.b, 0
        if b is None:
            rest = max(ASSUMED_B**2 - observations.scale_error**2, LEAST_ASSUMED_B**2) ** 0.5
            b, n = fit_few(
                observations.intensity, observations.variance, observations.scale, observations.offsets, rest, a,
                c * observations.counting,
            )  # fmt: skip
        described = _describe(a, b, c, (), {"assumed": self.params.b is None, "n_deviations": n})
        text = f"{n} deviations of equivalents are too few for an error model; {described.description}"
        return replace(described, description=text)

    def _judge(
        self, observations: ErrorModelObservations, a: float, b: float, c: float
    ) -> tuple[tuple[Table, ...], dict[str, Any]]:
        """Variances of the normalised deviations per intensity range, before and after."""
        rows, offsets, step = _complete(observations, MOST_JUDGED)
        intensity, scale = observations.intensity[rows], observations.scale[rows]
        before = select(intensity, observations.variance[rows], scale, offsets, self.params.min_Ih)
        if before is None:
            return (), {}
        counting = observations.counting[rows][before.rows]
        after = replace(before, variance=before.variance + c * counting)
        weighted = after.sigma(a, b) ** 2
        after.mean = means(after.intensity, weighted, after.scale, after.group, int(after.group[-1]) + 1)[after.group]
        bins = intensity_bins(before.expected, self.params.n_bins)
        deviations = after.deviations(a, b)
        uncorrected, corrected = bin_variances(before.deviations(1.0, 0.0), bins), bin_variances(deviations, bins)
        table_rows = []
        for k in range(bins.max() + 1):
            values = before.expected[bins == k]
            table_rows.append(
                [f"{values.max():.2f} - {values.min():.2f}", len(values), float(uncorrected[k]), float(corrected[k])]
            )
        title = "Variances of the normalised deviations of equivalents per intensity range: 1 when the sigmas are right"
        table = Table(
            title if step == 1 else f"{title} (of one reflection in {step})",
            ["Intensity range (<Ih>)", "n_refl", "Uncorrected variance", "Corrected variance"],
            table_rows,
            "error_model",
        )
        return (table,), {"deviations": np.sort(deviations)[:: max(1, len(deviations) // 1000)].tolist()}


def _complete(observations: ErrorModelObservations, most: int | None = None) -> tuple[np.ndarray, np.ndarray, int]:
    """Rows of fully recorded observations, the offsets of their reflections, and k where every k-th reflection gives at most so many."""
    offsets = observations.offsets
    step = 1 if most is None else max(1, -(-int(offsets[-1]) // most))
    sizes = np.diff(offsets)
    group = np.repeat(np.arange(len(sizes)), sizes)
    keep = observations.partiality > FULL_ENOUGH
    if step > 1:
        keep &= group % step == 0
    n = np.bincount(group[keep], minlength=len(sizes))[::step]
    return np.flatnonzero(keep), np.concatenate([[0], np.cumsum(n)]), step


def _describe(a: float, b: float, c: float, tables: tuple[Table, ...], details: dict[str, Any]) -> ErrorModelFit:
    limit = f"{1.0 / (a * b):.3f}" if a * b > 0 else "infinite"
    text = f"a = {a:.5f}, b = {b:.5f}, c = {c:.5f}; sigma'^2 = a^2 (sigma^2 + c N + (b I)^2); I/sigma at most {limit}"
    return ErrorModelFit("BasicErrorModel", (float(a), float(b)), text, tables, {"c": float(c), **details})
