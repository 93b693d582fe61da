"""Simulated full CBF (imgCIF) images: all axes of goniometer and detector, and any number of panels.

Frames of imgCIF are those of the laboratory here: x along the horizontal axis, z from the crystal to the source.
International Tables for Crystallography G, 3.7 and 4.6.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spindle_lib_readers.cbf_writing import block_heading, write_cbf

from .names import SweepFiles
from .params import SimulateParams
from .scene import Sweep
from .settings import rotation
from .writing import ImageWriter

__all__ = ["FullCbfWriter"]


class FullCbfWriter(ImageWriter):
    """One imgCIF file an image; each panel is an array with a binary section of its own."""

    def __init__(self, sweep: Sweep, files: SweepFiles, params: SimulateParams) -> None:
        super().__init__(sweep, files, params)
        self.arrays = [f"ARRAY{k + 1}" for k in range(len(sweep.instrument.header_panels))]
        self.constant = self._constant()

    def write(self, i: int, image: np.ndarray) -> int:
        """Write one image; the file appears whole or not at all."""
        path, instrument = self.image_path(i), self.sweep.instrument
        if path is None:
            return 0
        image = np.minimum(image, instrument.response.cutoff + 1)
        parts = {}
        for name, (x, y), (w, h) in zip(
            self.arrays, instrument.header_panels.offset, instrument.header_panels.size, strict=True
        ):
            parts[name] = np.ascontiguousarray(image[y : y + h, x : x + w])
        # imgCIF has no word for the sensor: comments as in the headers of Pilatus detectors
        comments = (
            f"# Detector: {instrument.canvas.name}\n# Silicon sensor, thickness {instrument.thickness * 1e-3:.6f} m"
        )
        text = f"###CBF: VERSION 1.5\n{comments}\n\n{block_heading(path.stem)}\n\n" + self.constant + self._frame(i)
        return write_cbf(path, text, parts)

    def _constant(self) -> str:
        """What all images of the sweep have in common."""
        instrument = self.sweep.instrument
        elements = [f"ELEMENT{k + 1}" for k in range(len(self.arrays))]
        axes = self._goniometer_axes()
        response = instrument.response
        fraction = self.polarization_fraction
        pixel = instrument.panels.pixel_size
        detector_axes = ["TWOTHETA", "DETECTOR_Z"]  # the axes of the pixels do not count as settings
        structure, steps = [], []
        for k, (name, (w, h)) in enumerate(zip(self.arrays, instrument.header_panels.size, strict=True), start=1):
            structure += [
                [name, 1, w, 1, "increasing", f"ELEMENT{k}_FAST"],
                [name, 2, h, 2, "increasing", f"ELEMENT{k}_SLOW"],
            ]
            steps += [[f"ELEMENT{k}_{way}", f"ELEMENT{k}_{way}", "0.0", f"{pixel:.6f}"] for way in ("FAST", "SLOW")]
        numbered = list(enumerate(self.arrays, start=1))
        parts = [
            "_diffrn.id DS1\n_diffrn.crystal_id CRYSTAL\n",
            _loop("_diffrn_source", ["diffrn_id", "source"], [["DS1", "simulated"]]),
            _loop(
                "_diffrn_radiation",
                ["diffrn_id", "wavelength_id", "monochromator", "polarizn_source_ratio", "polarizn_source_norm"],
                [["DS1", "WAVELENGTH1", "unknown", f"{2 * fraction - 1:.6f}", "0.0"]],
            ),
            _loop(
                "_diffrn_radiation_wavelength",
                ["id", "wavelength", "wt"],
                [["WAVELENGTH1", f"{instrument.wavelength:.6f}", "1.0"]],
            ),
            _loop(
                "_diffrn_detector",
                ["diffrn_id", "id", "type", "number_of_axes"],
                [["DS1", "DETECTOR", f"'{instrument.canvas.name}'", len(detector_axes)]],
            ),
            _loop("_diffrn_detector_axis", ["detector_id", "axis_id"], [["DETECTOR", a] for a in detector_axes]),
            _loop("_diffrn_detector_element", ["id", "detector_id"], [[e, "DETECTOR"] for e in elements]),
            _loop(
                "_diffrn_data_frame",
                ["id", "detector_element_id", "array_id", "binary_id"],
                [["FRAME1", f"ELEMENT{k}", name, k] for k, name in numbered],
            ),
            _loop(
                "_diffrn_measurement",
                ["diffrn_id", "id", "number_of_axes", "method"],
                [["DS1", "GONIOMETER", len(axes), "rotation"]],
            ),
            _loop("_diffrn_measurement_axis", ["measurement_id", "axis_id"], [["GONIOMETER", a[0]] for a in axes]),
            _loop(
                "_axis",
                ["id", "type", "equipment", "depends_on", *(f"vector[{i}]" for i in (1, 2, 3)),
                 *(f"offset[{i}]" for i in (1, 2, 3))],
                [*axes, *self._detector_axes()],
            ),
            _loop(
                "_array_structure_list",
                ["array_id", "index", "dimension", "precedence", "direction", "axis_set_id"],
                structure,
            ),
            _loop(
                "_array_structure_list_axis",
                ["axis_set_id", "axis_id", "displacement", "displacement_increment"],
                steps,
            ),
            _loop(
                "_array_intensities",
                ["array_id", "binary_id", "linearity", "gain", "gain_esd", "overload", "undefined_value"],
                [
                    [name, k, "linear", f"{response.gain:.6g}", "0.0", response.cutoff + 1, int(response.lowest) - 1]
                    for k, name in numbered
                ],
            ),
            _loop(
                "_array_structure",
                ["id", "encoding_type", "compression_type", "byte_order"],
                [[name, '"signed 32-bit integer"', "byte_offset", "little_endian"] for name in self.arrays],
            ),
        ]  # fmt: skip
        return "\n".join(parts) + "\n"

    def _frame(self, i: int) -> str:
        """Settings of one image."""
        instrument, rotating = self.sweep.instrument, self.sweep.settings.rotation
        start, width = self.angles(i)
        exposure = self.params.scan.exposure_time
        scan, frame = [], []
        for k, name in enumerate(rotating.names):
            turns = k == rotating.scan_axis
            angle, step = (start, width) if turns else (float(rotating.angles[k]), 0.0)
            scan.append([name.upper(), f"{angle:.6f}", f"{step:.6f}", f"{step:.6f}", "0.0", "0.0", "0.0"])
            frame.append([name.upper(), f"{angle:.6f}", "0.0"])
        for name, angle, shift in (
            ("TWOTHETA", instrument.two_theta, 0.0),
            ("DETECTOR_Z", 0.0, instrument.header_distance),
            *((f"ELEMENT{k + 1}_{way}", 0.0, 0.0) for k in range(len(self.arrays)) for way in ("SLOW", "FAST")),
        ):
            scan.append([name, f"{angle:.6f}", "0.0", "0.0", f"{shift:.6f}", "0.0", "0.0"])
            frame.append([name, f"{angle:.6f}", f"{shift:.6f}"])
        return "\n".join(
            [
                _loop("_diffrn_scan", ["id", "frame_id_start", "frame_id_end", "frames"], [["SCAN1", "FRAME1", "FRAME1", 1]]),
                _loop(
                    "_diffrn_scan_axis",
                    ["scan_id", "axis_id", "angle_start", "angle_range", "angle_increment", "displacement_start",
                     "displacement_range", "displacement_increment"],
                    [["SCAN1", *row] for row in scan],
                ),
                _loop(
                    "_diffrn_scan_frame",
                    ["frame_id", "frame_number", "integration_time", "scan_id", "date"],
                    [["FRAME1", 1, f"{exposure:.6f}", "SCAN1", "2026-01-01T00:00:00"]],
                ),
                _loop(
                    "_diffrn_scan_frame_axis",
                    ["frame_id", "axis_id", "angle", "displacement"],
                    [["FRAME1", *row] for row in frame],
                ),
            ]
        )  # fmt: skip

    def _goniometer_axes(self) -> list[list[object]]:
        """Rows of _axis, from the crystal to the base: each depends on the next."""
        rotating = self.sweep.settings.rotation
        below = [*(name.upper() for name in rotating.names[1:]), "."]
        return [
            [name.upper(), "rotation", "goniometer", parent, *_numbers(axis), *_numbers(np.zeros(3))]
            for name, parent, axis in zip(rotating.names, below, rotating.axes, strict=True)
        ]

    def _detector_axes(self) -> list[list[object]]:
        """Rows of _axis: two_theta, the distance, and two axes for each panel."""
        instrument = self.sweep.instrument
        still = instrument.header_panels.turned(rotation(instrument.two_theta_axis, -np.radians(instrument.two_theta)))
        zero, back = np.zeros(3), np.array([0.0, 0.0, -1.0])
        rows: list[list[object]] = [
            ["TWOTHETA", "rotation", "detector", ".", *_numbers(instrument.two_theta_axis), *_numbers(zero)],
            ["DETECTOR_Z", "translation", "detector", "TWOTHETA", *_numbers(back), *_numbers(zero)],
            ["SOURCE", "general", "source", ".", 0, 0, 1, ".", ".", "."],
            ["GRAVITY", "general", "gravity", ".", 0, -1, 0, ".", ".", "."],
        ]
        for k, (fast, slow, origin) in enumerate(still.frames, start=1):
            offset = origin - instrument.header_distance * back
            rows += [
                [f"ELEMENT{k}_SLOW", "translation", "detector", "DETECTOR_Z", *_numbers(slow), *_numbers(offset)],
                [f"ELEMENT{k}_FAST", "translation", "detector", f"ELEMENT{k}_SLOW", *_numbers(fast), *_numbers(zero)],
            ]
        return rows


def _numbers(vector: np.ndarray) -> list[str]:
    return [f"{v + 0.0:.10f}" for v in vector]


def _loop(category: str, names: list[str], rows: Sequence[Sequence[object]]) -> str:
    """A CIF loop."""
    lines = ["loop_", *(f"{category}.{name}" for name in names), *(" ".join(map(str, row)) for row in rows), ""]
    return "\n".join(lines)
