"""Files with a value for each pixel that the experiment list names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from spindle.errors import HeaderError, ParameterError
from spindle.files.maps import MAPS, read_map, read_mask, with_distortion
from spindle.models import Experiments

__all__ = ["check_lookups", "lookup_files"]


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
        path = Path(given).expanduser() if given else None
        if path is not None and not path.exists():
            raise ParameterError(f"lookup.{name}={given}: no such file")
        paths[name] = str(path.absolute()) if path is not None else None
    return paths


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
