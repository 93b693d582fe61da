"""What error models say about the data besides their errors."""

from __future__ import annotations

import numpy as np

from .rounds import Scaler

#: Equivalents of strong reflections that differ by more than this have another cause than errors of measurement.
LARGE_B = 0.09


def doubtful_error_models(scaler: Scaler) -> list[str]:
    """Sentences about error models that make strong reflections far less certain than counting does."""
    found = []
    for model, sets in zip(scaler.errors, scaler.error_groups, strict=True):
        if not scaler.use_error_model or len(model.parameters) < 2:
            continue
        relative = float(np.prod(model.parameters[:2]))
        where = "" if len(scaler.error_groups) == 1 else f" of data sets {', '.join(map(str, sets))}"
        if model.details.get("assumed"):
            if scaler.scale_error is not None:
                relative = float(np.hypot(relative, np.sqrt(scaler.scale_error.mean())))
            found.append(
                f"The error model{where} is mostly assumed, since only {model.details['n_deviations']} deviations of equivalents tell "
                f"errors: scales are taken to be wrong by {100 * relative:.1f} %, which limits I/sigma to {1 / relative:.0f}. Measure "
                "reflections several times, or give weighting.error_model.basic.b="
            )
        if relative < LARGE_B:
            continue
        found.append(
            f"The error model{where} lets equivalents of strong reflections differ by {100 * relative:.0f} % (I/sigma at most "
            f"{1 / relative:.1f}), far more than counting and scaling explain: the symmetry may be too high (a twin, a pseudo-symmetry), the "
            "crystals may differ, or images may be damaged. Look at the twin tests of spindle symmetry, at outliers and at the scales "
            "of the images"
        )
    return found
