"""Columns of merged files: intensities, Friedel mates, amplitudes."""

from __future__ import annotations

import numpy as np

from .merge import AnomalousPairs
from .truncation import Amplitudes

Column = tuple[str, str, np.ndarray]


def intensity_columns(pairs: AnomalousPairs, anomalous: bool = True, suffix: str = "") -> list[Column]:
    """IMEAN SIGIMEAN, and I(+) SIGI(+) I(-) SIGI(-) N(+) N(-) with `anomalous`: (label, MTZ type, values)."""
    columns: list[Column] = [("IMEAN", "J", pairs.mean.intensity), ("SIGIMEAN", "Q", pairs.mean.sigma)]
    if anomalous:
        plus, minus = (np.where(n > 0, n, np.nan).astype(float) for n in (pairs.n_plus, pairs.n_minus))
        minus = np.where(pairs.mean.centric, plus, minus)
        columns += [
            ("I(+)", "K", pairs.plus),
            ("SIGI(+)", "M", pairs.sigma_plus),
            ("I(-)", "K", pairs.minus),
            ("SIGI(-)", "M", pairs.sigma_minus),
            ("N(+)", "I", plus),
            ("N(-)", "I", minus),
        ]
    return _labelled(columns, suffix)


def amplitude_columns(
    pairs: AnomalousPairs,
    mean: Amplitudes,
    plus: Amplitudes | None = None,
    minus: Amplitudes | None = None,
    suffix: str = "",
) -> list[Column]:
    """F SIGF, and F(+) SIGF(+) F(-) SIGF(-) DANO SIGDANO where the mates' amplitudes are given."""
    columns: list[Column] = [("F", "F", mean.amplitude), ("SIGF", "Q", mean.sigma_amplitude)]
    if plus is not None and minus is not None:
        difference = np.where(pairs.mean.centric, np.nan, plus.amplitude - minus.amplitude)
        sigma = np.where(np.isfinite(difference), np.hypot(plus.sigma_amplitude, minus.sigma_amplitude), np.nan)
        columns += [
            ("F(+)", "G", plus.amplitude),
            ("SIGF(+)", "L", plus.sigma_amplitude),
            ("F(-)", "G", minus.amplitude),
            ("SIGF(-)", "L", minus.sigma_amplitude),
            ("DANO", "D", difference),
            ("SIGDANO", "Q", sigma),
        ]
    return _labelled(columns, suffix)


def _labelled(columns: list[Column], suffix: str) -> list[Column]:
    return [(label + suffix, kind, np.asarray(values, dtype=np.float64)) for label, kind, values in columns]
