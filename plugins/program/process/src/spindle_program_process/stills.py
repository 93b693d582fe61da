"""Where the chain ends for stills, and what to run instead."""

from __future__ import annotations

from typing import Any

from spindle.models import Experiments

from .steps import REFINE, STEPS, SYMMETRY, Step


def end_of_stills(step: Step, experiments: Experiments | None, params: Any) -> str:
    """Why a step cannot be done with stills, what there is and what to run; "" when it can.

    Parameters
    ----------
    step : Step
        The next one.
    experiments : Experiments or None
        The newest.
    params : Params
        Those of `process`.
    """
    if experiments is None or STEPS.index(step) < STEPS.index(REFINE):
        return ""
    stills = [e for e in experiments if e.is_still]
    n, n_swept = len(stills), len(experiments) - len(stills)
    if not stills or (STEPS.index(step) < STEPS.index(SYMMETRY) and not n_swept):
        return ""
    done = STEPS[STEPS.index(step) - 1]
    files = " ".join(str(p) for p in done.outputs(params) if p is not None)
    said = f"process: ends after {done.name}: {n} of {len(experiments)} experiments are stills, and "
    if n_swept:
        swept = dict.fromkeys(e.imageset.template for e in experiments if not e.is_still and e.imageset is not None)
        names = " ".join(str(name) for name in swept if name)
        return (
            f"{said}stills and rotation data are not refined together. All are indexed, in {files}. Process the rotation images by "
            f"themselves, in another folder: spindle process {names or '<rotation images>'}; then the stills: spindle stills_process"
        )
    return (
        f"{said}what follows is for one crystal in a known setting. The stills are integrated, each a crystal of its own, in {files}; scale "
        f"and merge them with spindle scale_stills {files} where the space group was given, else begin with spindle cosym {files}. If "
        "the crystal was turned, give the rotation: spindle process <images> import.geometry.scan.oscillation=<start>,<width>"
    )
