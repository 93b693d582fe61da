"""Models as files hold them."""

from __future__ import annotations

import reprlib
from typing import Any

import numpy as np

from spindle.errors import ModelError

from .geometry import Model
from .mosaicity import MODELS

__all__ = ["model_of", "written"]


def written(model: Model) -> dict[str, Any]:
    """The dictionary of a model, with the keys of DIALS, and ``blur`` and ``beam_share``, which DIALS does not know and passes over."""
    w = model.widths
    # models of one kind have that as their sigma, as in DIALS; mixed ones that of small blocks
    sigma = w.shaped if w.shaped.any() else w.fixed
    return {
        "__id__": "ellipsoid",
        "parameterisation": model.mosaicity.name,
        "parameters": [float(v) for v in model.parameters],
        "sigma": sigma.tolist(),
        "blur": float(model.blur),
        "beam_share": float(model.beam_share),
    }


def model_of(profile: dict[str, Any]) -> Model:
    """The model of a dictionary, also of one that DIALS wrote.

    Raises
    ------
    ModelError
    """
    name, values = profile.get("parameterisation"), profile.get("parameters")
    if name not in MODELS:
        raise ModelError(
            f"the ellipsoid profile has the parameterisation {name!r}, expected is one of {', '.join(MODELS)}; make the model again with "
            "create_profile_model=True"
        )
    mosaicity = MODELS[name]
    try:
        parameters, blur = np.asarray(values, np.float64), float(profile.get("blur") or 0.0)
        share = float(profile.get("beam_share") or 0.0)
        good = parameters.shape == (mosaicity.n_parameters,) and bool(np.isfinite(parameters).all())
        good = good and 0 <= blur < 1 and -1 <= share <= 1
    except (TypeError, ValueError):
        good = False
    if not good:
        raise ModelError(
            f"the ellipsoid profile {name} has the parameters {reprlib.repr(values)} the blur {profile.get('blur')!r} and the "
            f"beam_share {profile.get('beam_share')!r}; "
            f"{mosaicity.n_parameters} numbers, one from 0 to 1 per angstrom and one from -1 to 1 are expected: make the model again with "
            "create_profile_model=True"
        )
    w = mosaicity.widths(parameters)
    if np.linalg.eigvalsh(w.fixed)[0] <= 0 and np.linalg.eigvalsh(w.turning[:2, :2] + w.shaped[:2, :2])[0] <= 0:
        raise ModelError(
            f"the ellipsoid profile {name} with the parameters {reprlib.repr(values)} has no width in some direction; make the model "
            "again with create_profile_model=True"
        )
    return Model(mosaicity, parameters, blur, share)
