"""How quickly models may vary with the scan, where the user leaves that to the data."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np

from spindle.contracts.refiner import RefinementError
from spindle.models import Experiments
from spindle.params import Auto
from spindle_lib_refinement.flat_sphere import is_flat

from .problem import WIDEST_DEG, Problem

log = logging.getLogger(__name__)

#: 1 is what chance gains on average. At 2 (Akaike 1974, IEEE Trans. Autom. Control 19, 716-723) or more, curves are stiffer than their
#: errors say: simulated crystals that drift by 0.01 deg are then within three errors at 92 to 98 % of the images, with 1.2 at 99 %.
ORIENTATION_PRICE = 1.2
#: Residuals for each parameter of an orientation; where they are fewer, curves are kept stiff. With 600 a crystal of 4000 spots that drifts by
#: 0.02 deg was followed by parabolas over 45 deg, ten errors off.
PLENTY = 200
NARROWEST_DEG, NARROWEST_BEAM_DEG = 4.5, 1.0
#: By how much widths are narrowed. A beam may swing within a wide interval and come back: so many steps may be in vain.
STEP, IN_VAIN = {"beam": 2.0**0.5}, {"beam": 2, "cell": 1}


def choose_widths(
    experiments: Experiments, parameterisation: Any, criterion: Callable[[dict[str, float]], float]
) -> dict[str, float]:
    """Widths of intervals (degrees) of models for which ``interval_width_degrees`` is Auto.

    Parameters
    ----------
    experiments : Experiments
        Scans.
    parameterisation : Params
        The scope ``refinement.parameterisation``.
    criterion : callable
        What a refinement with certain widths costs.

    Returns
    -------
    dict of str to float
        By kind of model; infinity for one that is constant.

    Notes
    -----
    Orientations vary with intervals of 36 degrees at most; cells and beams of electrons start constant, and cells vary linearly
    next. Intervals are narrowed as long as n ln(sum of squares) + `price` falls, summed over the coordinates of n spots. Beams come
    first: where one drifts, crystals would take that up and bend. Orientations come before cells, and again where cells vary.
    Cells in beams of electrons stay constant: their size is the distance, and varies only to take up what else is wrong.
    """
    widths = _starting_widths(experiments, parameterisation)
    if not widths:
        return widths
    extent = max(abs(e.known_scan.oscillation_deg[1]) * e.known_scan.n_images for e in experiments)
    best = criterion(widths)

    def narrow(kind: str) -> bool:
        """Narrow the intervals of one kind while that is worth it; whether it was."""
        nonlocal best
        start = widths[kind]
        trial = extent if start == np.inf else min(start, extent) / STEP.get(kind, 2.0)
        in_vain = 0
        while trial >= (NARROWEST_BEAM_DEG if kind == "beam" else NARROWEST_DEG):
            try:
                value = criterion({**widths, kind: trial})
            except RefinementError:
                break
            in_vain = 0 if value < best else in_vain + 1
            if value < best:
                best, widths[kind] = value, trial
            if in_vain > IN_VAIN.get(kind, 0):
                break
            trial = min(trial, extent) / STEP.get(kind, 2.0)
        return widths[kind] < start

    electrons = any(is_flat(e) for e in experiments)
    kinds = [kind for kind in widths if kind != "cell" or not electrons]
    changed = {kind: narrow(kind) for kind in kinds}
    if changed.get("cell") and "orientation" in widths:
        # What constant cells did not fit hid what orientations did not.
        narrow("orientation")
    described = [f"{kind} {'constant' if width == np.inf else f'{width:.3g} deg'}" for kind, width in widths.items()]
    log.info("Width of intervals along the scan: %s", ", ".join(described))
    return widths


def price(problem: Problem, m: int) -> float:
    """What the parameters of a problem with m residuals cost.

    Whether cells and beams vary at all is a question for the Bayesian criterion, ln m for each parameter (Schwarz 1978, Ann.
    Statist. 6, 461-464). Orientations do vary: theirs cost little more than what chance gains on average, so that
    what is left out of the curve is small beside the errors of its values.
    """
    n = {b.kind: 0 for b in problem.blocks}
    for b in problem.blocks:
        n[b.kind] += int(np.count_nonzero(problem.number[b.offset : b.offset + b.size] >= 0))
    turns = n.get("orientation", 0)
    plenty = m >= PLENTY * turns
    return (sum(n.values()) - turns) * float(np.log(m)) + turns * (ORIENTATION_PRICE if plenty else float(np.log(m)))


def may_drift(experiments: Experiments, parameterisation: Any) -> bool:
    """Whether there is a beam of electrons that may vary with the scan."""
    beam = parameterisation.beam
    is_refined = beam.fix is Auto or "all" not in (beam.fix or ())
    return is_refined and beam.force_static is not True and any(is_flat(e) for e in experiments)


def _starting_widths(experiments: Experiments, parameterisation: Any) -> dict[str, float]:
    """The widest intervals of each kind whose width is to be chosen."""
    crystal, beam = parameterisation.crystal, parameterisation.beam
    candidates = [
        ("orientation", crystal.orientation, WIDEST_DEG, crystal.fix not in ("all", "orientation")),
        ("cell", crystal.unit_cell, np.inf, crystal.fix not in ("all", "cell")),
    ]
    if may_drift(experiments, parameterisation):
        start = np.inf if beam.force_static is Auto else WIDEST_DEG
        candidates.insert(0, ("beam", beam, start, True))
    widths: dict[str, float] = {}
    for kind, own, start, is_refined in candidates:
        smoother = own.smoother
        is_chosen = smoother.interval_width_degrees is Auto and smoother.absolute_num_intervals is None
        if is_chosen and is_refined and own.force_static is not True:
            widths[kind] = start
    return widths
