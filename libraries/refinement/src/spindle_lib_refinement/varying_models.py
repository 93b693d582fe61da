"""Which parameters of refinement act only on models that vary with the scan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spindle.params import Entry, walk

if TYPE_CHECKING:
    from .params import RefinementParams

__all__ = ["OF_VARYING_MODELS", "changed_for_varying_models"]

#: Ends of the names of parameters of the scope ``parameterisation`` that act only on models which vary with the scan.
OF_VARYING_MODELS = (
    "compose_model_per",
    "parameterisation.block_width",
    "set_scan_varying_errors",
    "trim_scan_to_observations",
    "force_static",
    "smoother.interval_width_degrees",
    "smoother.absolute_num_intervals",
)


def changed_for_varying_models(refinement: RefinementParams) -> list[Entry]:
    """Return the parameters that were changed and act only on models which vary with the scan.

    Parameters
    ----------
    refinement : RefinementParams
        The scope ``refinement``. A program that keeps models constant refuses what this returns.

    Returns
    -------
    list of Entry
        Their paths begin with ``refinement.``.
    """
    entries = walk(refinement.parameterisation, "refinement.parameterisation.")
    return [e for e in entries if e.path.endswith(OF_VARYING_MODELS) and e.is_modified]
