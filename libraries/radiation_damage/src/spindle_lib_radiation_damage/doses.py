"""The doses of images."""

from __future__ import annotations

import numpy as np

from spindle.errors import ParameterError, UserError
from spindle.models import Experiments
from spindle.params import Bool, Floats, Params

__all__ = ["ImageDoses", "doses_of_sweeps"]


class ImageDoses(Params):
    """The dose of each image of experiments."""

    dose_per_image = Floats(
        (1.0,), min=0, help="Dose of an image, in any unit: one for all experiments, or one for each that is given."
    )
    starting_doses = Floats(
        None, none=True, min=0, help="Dose at the beginning of each sweep: one for all, or one for each."
    )
    shared_crystal = Bool(False, help="All sweeps are of one crystal: the dose goes on from sweep to sweep.")


def doses_of_sweeps(
    experiments: Experiments, options: ImageDoses, scope: str, program: str
) -> tuple[np.ndarray, np.ndarray]:
    """What an image of each sweep adds to the dose, and where each sweep begins.

    Parameters
    ----------
    experiments : Experiments
    options : ImageDoses
    scope, program : str
        Of the options, for messages.

    Returns
    -------
    per_image, start : (n,) float64
        The dose after the array index z is ``z per_image + start``.

    Raises
    ------
    UserError
        For stills, numbers of values that do not fit, or no dose at all.
    """
    n = len(experiments)
    for i, experiment in enumerate(experiments):
        if experiment.is_still:
            raise UserError(
                f"{program}: experiment {i} has no scan, so its dose does not grow with the image; leave stills out"
            )
    per_image = _per_experiment(options.dose_per_image, n, f"{scope}.dose_per_image")
    if not per_image.max(initial=0.0) > 0:
        raise ParameterError(f"{scope}.dose_per_image: is 0 for all experiments; there is nothing to compare")
    start = np.zeros(n)
    if options.starting_doses is not None:
        start = _per_experiment(options.starting_doses, n, f"{scope}.starting_doses")
    if options.shared_crystal:
        if options.starting_doses is not None:
            raise ParameterError(
                f"{scope}.shared_crystal=True: the doses at which sweeps start follow; leave starting_doses away"
            )
        taken = per_image * [e.known_scan.n_images for e in experiments]
        start = np.concatenate([[0.0], np.cumsum(taken)[:-1]])
    return per_image, start


def _per_experiment(values: object, n: int, name: str) -> np.ndarray:
    """(n,) float64: one value for all, or one for each."""
    given = np.asarray(list(values), dtype=np.float64)  # type: ignore[call-overload]
    if len(given) not in (1, n):
        raise ParameterError(f"{name}: {len(given)} values for {n} experiment(s); give one, or one for each")
    return np.broadcast_to(given, n).astype(np.float64)
