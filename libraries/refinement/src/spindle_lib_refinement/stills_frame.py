"""Stills have no rotation axis: beam, detector and crystals can turn together without moving a spot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from spindle.params import Auto

__all__ = ["keeps_turn_of_detector", "kept_of_beam", "stills_frame_text"]


def _turns(parameterisation: Any) -> tuple[bool, bool]:
    """Whether crystals can follow a turn of the laboratory, and whether the detector can."""
    return (
        parameterisation.crystal.fix not in ("all", "orientation"),
        parameterisation.detector.fix not in ("all", "position"),
    )


def kept_of_beam(parameterisation: Any) -> Sequence[str]:
    """What ``beam.fix=Auto`` fixes for stills, in words of that parameter.

    Parameters
    ----------
    parameterisation : Params
        The scope ``refinement.parameterisation``.
    """
    return ("all",) if all(_turns(parameterisation)) else ("wavelength",)


def keeps_turn_of_detector(parameterisation: Any) -> bool:
    """Whether ``detector.fix=Auto`` fixes the turn of the detector about its normal for stills, which crystals can do as well."""
    return _turns(parameterisation)[0]


def stills_frame_text(parameterisation: Any) -> str:
    """What the user should know of the parameters of stills that cannot be refined together; "" where there are none."""
    beam, detector = parameterisation.beam.fix, parameterisation.detector.fix
    if not all(_turns(parameterisation)):
        return ""
    if beam is Auto:
        turn = ", and so does the turn of the detector about its normal (detector.fix=Auto)" if detector is Auto else ""
        return (
            "Stills: beam, detector and crystals can turn together without moving a spot. The direction of the beam stays "
            f"as it is (beam.fix=Auto){turn}; detector.fix=position refines the beam instead"
        )
    words = set(beam or ())
    if words & {"all"} or {"in_spindle_plane", "out_spindle_plane"} <= words:
        return ""
    return (
        "WARNING: stills: the direction of the beam cannot be told from the place of the detector and the orientations of the crystals, and all are "
        "refined: their values and errors mean little, only what they are together. Leave beam.fix to Auto, or set detector.fix=position"
    )
