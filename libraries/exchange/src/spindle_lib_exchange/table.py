"""One row per observation with all that programs for tables need."""

from __future__ import annotations

import numpy as np

from spindle.models import Experiments

from .observations import Observations

__all__ = ["observation_table"]

MORE = {
    "d": "d", "partiality": "partiality", "lp": "lp", "qe": "qe", "background.mean": "background_mean",
    "profile.correlation": "profile_correlation", "inverse_scale_factor": "inverse_scale_factor", "flags": "flags",
}  # fmt: skip


def observation_table(experiments: Experiments, observed: Observations) -> dict[str, np.ndarray]:
    """Columns by name, each (n,).

    Parameters
    ----------
    experiments : Experiments
    observed : Observations

    Returns
    -------
    dict of str to (n,) array
        h, k, l; intensity and sigma, corrected; experiment and panel from 0; image from 1; x, y, z (pixels and images from 0) and phi_deg,
        calculated; x_obs, y_obs, z_obs; wavelength; summed and profile-fitted intensities where both were taken; and some columns of
        the table.
    """
    table = observed.table
    n = len(table)
    number = np.asarray(table["id"], np.int64)
    position = table["xyzcal.px"]
    columns = dict(zip("hkl", table["miller_index"].T, strict=True))
    columns |= {"intensity": observed.value, "sigma": observed.sigma, "experiment": number}
    columns["panel"] = np.asarray(table.get("panel", np.zeros(n, np.int64)), np.int64)
    # a reflection that was measured at an end of the scan may be centred beyond it, where there is no image
    first, last = np.array(
        [
            (e.scan.array_range[0], e.scan.array_range[1] - 1) if e.scan is not None else (-np.inf, np.inf)
            for e in experiments
        ]
    )[number].T
    columns["image"] = np.clip(np.floor(position[:, 2]), first, last).astype(np.int64) + 1
    columns |= dict(zip(("x", "y", "z"), position.T, strict=True))
    columns["phi_deg"] = np.rad2deg(table["xyzcal.mm"][:, 2])
    if "xyzobs.px.value" in table:
        columns |= dict(zip(("x_obs", "y_obs", "z_obs"), table["xyzobs.px.value"].T, strict=True))
    columns["wavelength"] = np.array([e.beam.wavelength for e in experiments])[number]
    for kind, values in observed.data.values.items():
        if len(observed.data.values) > 1:
            columns[f"intensity_{kind}"], columns[f"sigma_{kind}"] = values, np.sqrt(observed.data.variances[kind])
    columns |= {name: np.asarray(table[column]) for column, name in MORE.items() if column in table}
    return columns
