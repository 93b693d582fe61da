"""Detectors, whole, module by module or element by element; images of one sweep share the object."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from spindle.models import Detector, Panel

from .groups import Group
from .imgcif import Element
from .modules import module_layout

Vector = tuple[float, float, float]


class Sensor(NamedTuple):
    """Fields of a panel that do not concern its frame; see `spindle.models.Panel`."""

    trusted_range: tuple[float, float]
    thickness: float
    material: str
    mu: float
    parallax: str
    identifier: str
    type: str = "SENSOR_PAD"
    gain: float = 1.0


class Frame(NamedTuple):
    """Where the first pixel is and which way the pixels run: unit vectors, mm."""

    fast: Vector
    slow: Vector
    origin: Vector
    pixel_size: tuple[float, float]


# A series of images has a handful of detectors (one per two-theta or distance) and thousands of headers.
@lru_cache(maxsize=64)
def flat_detector(
    frame: Frame, image_size: tuple[int, int], sensor: Sensor, is_eiger: bool, by_module: bool
) -> Detector:
    """Detector with one panel, or one per module where the image is a whole number of modules.

    Parameters
    ----------
    frame : Frame
    image_size : (int, int)
        Pixels, fast and slow.
    sensor : Sensor
    is_eiger : bool
        Modules are those of an Eiger, else of a Pilatus.
    by_module : bool
    """
    fields = sensor._asdict()
    layout = module_layout(image_size, is_eiger)
    whole = Panel(
        fast_axis=np.array(frame.fast),
        slow_axis=np.array(frame.slow),
        origin=np.array(frame.origin),
        pixel_size=np.array(frame.pixel_size),
        image_size=image_size,
        mask=layout.gaps() if layout else (),
        **fields,
    )
    if not by_module or layout is None:
        return Detector([whole])
    fast, slow = whole.fast_axis * frame.pixel_size[0], whole.slow_axis * frame.pixel_size[1]
    return Detector(
        [
            Panel(
                fast_axis=whole.fast_axis,
                slow_axis=whole.slow_axis,
                origin=whole.origin + f0 * fast + s0 * slow,
                pixel_size=whole.pixel_size,
                image_size=(f1 - f0, s1 - s0),
                raw_image_offset=(f0, s0),
                name=f"Panel{i}",
                **fields,
            )
            for i, (f0, s0, f1, s1) in enumerate(layout.modules())
        ]
    )


@lru_cache(maxsize=64)
def tiled_detector(elements: tuple[Element, ...], sensors: tuple[Sensor, ...], root: Group) -> Detector:
    """Detector with a panel for each element of an imgCIF header.

    Parameters
    ----------
    elements : tuple of Element
    sensors : tuple of Sensor
        One for each element.
    root : Group
        The tree of the elements.
    """
    return Detector(
        [
            Panel(
                fast_axis=np.array(element.fast),
                slow_axis=np.array(element.slow),
                origin=np.array(element.origin),
                pixel_size=np.array(element.pixel_size),
                image_size=element.size,
                name=element.name,
                **sensor._asdict(),
            )
            for element, sensor in zip(elements, sensors, strict=True)
        ],
        root.to_dict(),
    )
