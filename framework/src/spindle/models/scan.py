"""The scan: which images, at which angles."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from spindle.errors import ModelError

from .arrays import fixed_array, number, whole_number
from .descriptions import Described

STILL_WIDTH_DEG = 1e-7
SMALLEST_WIDTH_DEG = 1e-4  # a turn would take 3.6 million images: a number in other units
MAX_IMAGES = 1_000_000


def _pair(value: Any, name: str) -> tuple[Any, Any]:
    try:
        first, second = value
    except (TypeError, ValueError) as error:
        raise ModelError(f"scan: {name} is {value!r}: two numbers expected") from error
    return first, second


@dataclass(frozen=True, eq=False)
class Scan(Described):
    """A series of images.

    Image numbers count from 1 (`image_range` is inclusive). The array index z is real and 0-based: image number i
    covers z in [i - 1, i), its centre is i - 0.5.

    Attributes
    ----------
    image_range : (int, int)
    oscillation_deg : (float, float), degrees
        Start angle of the first image and width of an image; the width is never negative.
    exposure_times, epochs : (n_images,) float64
    batch_offset : int
    valid_image_ranges : dict of experiment identifier to list of [first, last]
    extra : dict
    """

    image_range: tuple[int, int]
    oscillation_deg: tuple[float, float]
    exposure_times: np.ndarray | None = None
    epochs: np.ndarray | None = None
    batch_offset: int = 0
    valid_image_ranges: dict[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        first, last = (whole_number(v, "scan: an image number") for v in _pair(self.image_range, "image range"))
        if last < first:
            raise ModelError(f"scan: image range {first} to {last} is empty")
        if last - first >= MAX_IMAGES:
            raise ModelError(f"scan: image range {first} to {last} has more than {MAX_IMAGES:,} images")
        start, width = _pair(self.oscillation_deg, "oscillation")
        start = number(start, "scan: the start angle", -1e6, 1e6, "deg")
        width = number(width, "scan: the oscillation width", unit="deg")
        if width < 0:
            raise ModelError(f"scan: the oscillation width is {width} deg; turn the rotation axis round instead")
        if STILL_WIDTH_DEG <= width < SMALLEST_WIDTH_DEG or width > 360.0:
            raise ModelError(
                f"scan: the oscillation width is {width:g} deg: 0 (stills) or {SMALLEST_WIDTH_DEG:g} to 360 deg expected; set "
                "geometry.scan.oscillation="
            )
        object.__setattr__(self, "image_range", (first, last))
        object.__setattr__(self, "oscillation_deg", (start, width))
        for name in ("exposure_times", "epochs"):
            value = getattr(self, name)
            n = self.n_images
            value = fixed_array(np.zeros(n) if value is None else value, (-1,), f"scan: {name}")
            if len(value) != n:
                raise ModelError(f"scan: {name} has {len(value)} values for {n} images")
            object.__setattr__(self, name, value)
        object.__setattr__(self, "batch_offset", whole_number(self.batch_offset, "scan: batch_offset"))

    def described(self) -> tuple[str, list[tuple[str, str]]]:
        """Images and angles; see `Described`."""
        (first, last), (start, width) = self.image_range, self.oscillation_deg
        n = last - first + 1
        rows = [
            ("images", f"{first} to {last}"),
            ("rotation", f"{start:g} to {start + n * width:g} deg, {width:g} deg each"),
        ]
        if self.exposure_times is not None and len(self.exposure_times):
            rows.append(("exposure", f"{float(self.exposure_times[0]):g} s"))
        return "Scan", rows

    @property
    def n_images(self) -> int:
        """Number of images."""
        return self.image_range[1] - self.image_range[0] + 1

    @property
    def array_range(self) -> tuple[int, int]:
        """Half-open range of array indices, (first image - 1, last image)."""
        return self.image_range[0] - 1, self.image_range[1]

    @property
    def is_still(self) -> bool:
        """True when the images were not rotated."""
        return abs(self.oscillation_deg[1]) < STILL_WIDTH_DEG

    @property
    def oscillation(self) -> tuple[float, float]:
        """Start and width in radians."""
        return float(np.deg2rad(self.oscillation_deg[0])), float(np.deg2rad(self.oscillation_deg[1]))

    @property
    def oscillation_range(self) -> tuple[float, float]:
        """First and last angle of the whole scan, radians."""
        start, width = self.oscillation
        return start, start + width * self.n_images

    def angle_from_array_index(self, z: Any) -> Any:
        """Angle in radians at array index z (scalar or array)."""
        start, width = self.oscillation
        return start + (np.asarray(z, dtype=np.float64) - self.array_range[0]) * width

    def array_index_from_angle(self, phi: Any) -> Any:
        """Array index at an angle in radians, without any turn added. Raises ModelError for stills."""
        start, width = self.oscillation
        if self.is_still:
            raise ModelError("a still has no array index for an angle")
        return self.array_range[0] + (np.asarray(phi, dtype=np.float64) - start) / width

    def slice(self, first: int, last: int) -> Scan:
        """The scan of image numbers first to last (inclusive).

        Raises
        ------
        ModelError
            If the images asked for lie outside the scan.
        """
        if first < self.image_range[0] or last > self.image_range[1] or last < first:
            raise ModelError(
                f"images {first} to {last} are not within the scan's {self.image_range[0]} to {self.image_range[1]}"
            )
        from dataclasses import replace

        begin, end = first - self.image_range[0], last - self.image_range[0] + 1
        start = self.oscillation_deg[0] + begin * self.oscillation_deg[1]
        assert self.exposure_times is not None and self.epochs is not None
        return replace(
            self, image_range=(first, last), oscillation_deg=(start, self.oscillation_deg[1]),
            exposure_times=self.exposure_times[begin:end], epochs=self.epochs[begin:end],
            valid_image_ranges={k: _within(v, first, last) for k, v in self.valid_image_ranges.items()},
            extra=self._extra_of(begin, end),
        )  # fmt: skip

    def _extra_of(self, begin: int, end: int) -> dict[str, Any]:
        """Other values of the file, those with one number for each image cut."""
        properties = self.extra.get("properties")
        if not isinstance(properties, dict):
            return self.extra
        cut = {k: v[begin:end] if isinstance(v, list) and len(v) == self.n_images else v for k, v in properties.items()}
        return self.extra | {"properties": cut}


def _within(ranges: Any, first: int, last: int) -> Any:
    """Ranges of images cut to those from first to last; none remain where they do not meet."""
    if not isinstance(ranges, list | tuple):
        return ranges
    cut = [[max(int(a), first), min(int(b), last)] for a, b in ranges]
    return [pair for pair in cut if pair[0] <= pair[1]]
