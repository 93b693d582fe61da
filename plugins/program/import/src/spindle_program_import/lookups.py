"""Files with a value for each pixel that the experiment list names."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from spindle.errors import HeaderError, ParameterError
from spindle.files import MAPS, read_map, read_mask, with_distortion
from spindle.models import Detector, Experiments

__all__ = ["check_lookups", "lookup_files", "number_of", "with_numbers"]


def lookup_files(params: Any) -> dict[str, str | None]:
    """Absolute paths of the files that ``lookup.*`` names, by the attribute of the image set; None where none is given.

    Raises
    ------
    ParameterError
        If a file does not exist.
    """
    paths: dict[str, str | None] = {}
    for name in ("mask", *MAPS):
        given = getattr(params.lookup, name)
        path = Path(os.path.expanduser(given)) if given else None
        if path is not None and not path.exists():
            if number_of(name, given) is not None:
                paths[name] = None
                continue
            raise ParameterError(f"lookup.{name}={given}: no such file")
        paths[name] = str(path.absolute()) if path is not None else None
    return paths


def number_of(name: str, given: str | None) -> float | None:
    """The number that stands where a map of gain or pedestal could: one value for all pixels; None for a file's name."""
    if name not in ("gain", "pedestal") or given is None or Path(os.path.expanduser(given)).exists():
        return None
    try:
        value = float(given)
    except ValueError:
        return None
    if not np.isfinite(value) or (name == "gain" and value <= 0):
        raise ParameterError(
            f"lookup.{name}={given}: a {name} is a{' positive' if name == 'gain' else ''} number or a file"
        )
    return value


def with_numbers(detector: Detector, lookup: Any) -> Detector:
    """Detector whose panels all have the gain and pedestal that ``lookup`` gives as numbers (``gain=4``)."""
    gain, pedestal = number_of("gain", lookup.gain), number_of("pedestal", lookup.pedestal)
    if gain is not None:
        detector = detector.replace_panels([replace(p, gain=gain) for p in detector])
    if pedestal is not None:
        detector = detector.replace_panels([replace(p, pedestal=pedestal) for p in detector])
    return detector


def check_lookups(experiments: Experiments) -> Experiments:
    """Read the files once, so that one that does not fit the detector is found now and not in the middle of the work.

    Returns
    -------
    Experiments
        With the distortion maps, if there are any, in the detectors.

    Raises
    ------
    FileFormatError
        If a file is no mask or map, or does not fit its detector.
    """
    seen = set()
    for experiment in experiments:
        for name in ("mask", *MAPS):
            path = getattr(experiment.imageset, name, None)
            key = (name, path, id(experiment.detector))
            if path and key not in seen:
                seen.add(key)
                if name == "mask":
                    masks = read_mask(path, experiment.detector)
                    if not any(mask.any() for mask in masks):
                        remedy = "give a mask that is True where pixels are good as lookup.mask="
                        raise HeaderError(path, "all panels", "some good pixels", "none: all are False", remedy)
                else:
                    read_map(path, experiment.detector, name)
    return with_distortion(experiments)
