"""Models that many stills share: put back after tasks, and refined with the best crystals of all images."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from spindle.models import Experiment, Experiments
from spindle.table import ReflectionTable

__all__ = ["choose_crystals", "with_geometry_of", "with_models_of"]


def choose_crystals(experiments: Experiments, table: ReflectionTable, most: int) -> np.ndarray:
    """Numbers of the crystals with the most spots, ascending."""
    counts = np.bincount(table["id"][table["id"] >= 0], minlength=len(experiments))
    best = np.argsort(-counts, kind="stable")[:most]
    return np.sort(best[counts[best] > 0])


def with_geometry_of(
    experiments: Experiments, chosen: Iterable[int], refined: Experiments, log: logging.Logger
) -> Experiments:
    """All experiments with the beams and detectors that some of them were refined to.

    Parameters
    ----------
    experiments : Experiments
    chosen : iterable of int
        Which were refined.
    refined : Experiments
        Those, in their order.
    log : logging.Logger
    """
    beams: dict[int, Any] = {}
    detectors: dict[int, Any] = {}
    for number, new in zip(chosen, refined, strict=True):
        old = experiments[number]
        if id(old.detector) not in detectors:
            moved = new.detector[0].origin - old.detector[0].origin
            log.info(
                " Panel 0 moved by %.3f %.3f %.3f mm, the beam by %.4f degrees", *moved,
                np.degrees(np.linalg.norm(np.cross(new.beam.s0, old.beam.s0)) / np.linalg.norm(old.beam.s0) ** 2),
            )  # fmt: skip
        detectors.setdefault(id(old.detector), new.detector)
        beams.setdefault(id(old.beam), new.beam)
    return Experiments(
        replace(e, beam=beams.get(id(e.beam), e.beam), detector=detectors.get(id(e.detector), e.detector))
        for e in experiments
    )


def with_models_of(experiments: Sequence[Experiment], sources: Sequence[Experiment]) -> Experiments:
    """Experiments that came back from workers, with the images, goniometers, and where they did not change beams and detectors of others."""
    out = []
    for e, source in zip(experiments, sources, strict=True):
        same_beam = np.array_equal(e.beam.s0, source.beam.s0)
        g, h = e.detector.geometry, source.detector.geometry
        same_detector = np.array_equal(g.d, h.d)
        beam, detector = source.beam if same_beam else e.beam, source.detector if same_detector else e.detector
        out.append(replace(e, imageset=source.imageset, goniometer=source.goniometer, beam=beam, detector=detector))
    return Experiments(out)
