"""Simulated NXmx files: a sweep in one HDF5 file, with all axes and panels."""

from __future__ import annotations

import threading
import zlib
from typing import Any

import h5py
import numpy as np

from spindle.errors import ParameterError

from .names import SweepFiles
from .params import SimulateParams
from .scene import Sweep
from .settings import rotation
from .writing import ImageWriter

__all__ = ["NexusWriter"]

# NeXus has z along the beam and y up: half a turn about y from the laboratory.
TO_NEXUS = np.diag([-1.0, 1.0, -1.0])


class NexusWriter(ImageWriter):
    """One file a sweep; images are compressed by the threads that draw them (shuffle and deflate)."""

    @classmethod
    def check(cls, sweep: Sweep) -> None:
        """Refuse numbers of images that the format does not have."""
        settings = sweep.settings
        if settings.first_image != 1 or settings.missing:
            raise ParameterError(
                f"scan.first_image={settings.first_image}, missing={','.join(map(str, sorted(settings.missing)))}: images "
                "in a NeXus file are counted from 1 without gaps; use another output.format"
            )

    def __init__(self, sweep: Sweep, files: SweepFiles, params: SimulateParams) -> None:
        super().__init__(sweep, files, params)
        path = files.images[0]
        assert path is not None
        self.path = path
        self.temporary = path.with_name(f".{path.name}.part")
        self.lock = threading.Lock()
        self.file = h5py.File(self.temporary, "w", libver=("v110", "v110"))
        self.data = self._describe()

    def write(self, i: int, image: np.ndarray) -> int:
        """Add one image."""
        stored = np.minimum(image, self.sweep.instrument.response.cutoff + 1).astype("<i4")
        shuffled = np.ascontiguousarray(stored.reshape(-1).view(np.uint8).reshape(-1, 4).T)
        chunk = zlib.compress(shuffled.tobytes(), 1)
        with self.lock:
            self.data.id.write_direct_chunk((i, 0, 0), chunk)
        return len(chunk)

    def close(self) -> None:
        """Finish the file; only now does it appear under its name."""
        self.file.close()
        self.temporary.replace(self.path)

    def abort(self) -> None:
        """Remove the unfinished file."""
        self.file.close()
        self.temporary.unlink(missing_ok=True)

    def _describe(self) -> h5py.Dataset:
        """Write all but the pixels; returns the dataset of the pixels."""
        instrument, settings = self.sweep.instrument, self.sweep.settings
        nx, ny = instrument.image_size
        file = self.file
        file.attrs["default"] = "entry"
        entry = _group(file, "entry", "NXentry")
        entry.attrs["default"] = "data"
        entry["definition"] = "NXmx"
        entry["start_time"] = "2026-01-01T00:00:00Z"
        source = _group(entry, "source", "NXsource")
        source["name"] = "simulated"
        source["probe"] = self.sweep.settings.probe
        nx_instrument = _group(entry, "instrument", "NXinstrument")
        nx_instrument["name"] = "simulated"
        beam = _group(nx_instrument, "beam", "NXbeam")
        _quantity(beam, "incident_wavelength", instrument.wavelength, "angstrom")
        linear = 2 * self.polarization_fraction - 1
        beam["incident_polarization_stokes"] = np.array([1.0, linear, 0.0, 0.0])
        self._goniometer(entry, settings.n_images)
        self._detector(nx_instrument)
        data = _group(entry, "data", "NXdata")
        data.attrs["signal"] = "data"
        dataset = data.create_dataset(
            "data", shape=(settings.n_images, ny, nx), dtype="<i4", chunks=(1, ny, nx), shuffle=True, compression=1
        )
        return dataset

    def _goniometer(self, entry: h5py.Group, n_images: int) -> None:
        """The sample on its axes, from the crystal to the base."""
        rotating = self.sweep.settings.rotation
        sample = _group(entry, "sample", "NXsample")
        sample["name"] = "simulated"
        turns = _group(sample, "transformations", "NXtransformations")
        sample["depends_on"] = f"{turns.name}/{rotating.names[0]}"
        below = [*(f"{turns.name}/{name}" for name in rotating.names[1:]), "."]
        for k, (name, parent) in enumerate(zip(rotating.names, below, strict=True)):
            value: Any = float(rotating.angles[k])
            if k == rotating.scan_axis:
                starts = np.array([self.angles(i) for i in range(n_images)])
                value = starts[:, 0]
                _quantity(turns, f"{name}_end", starts.sum(axis=1), "deg")
                _quantity(turns, f"{name}_increment_set", starts[:, 1], "deg")
            _axis(turns, name, value, rotating.axes[k], parent, "deg", "rotation")

    def _detector(self, nx_instrument: h5py.Group) -> None:
        instrument = self.sweep.instrument
        panels = instrument.header_panels.turned(rotation(instrument.two_theta_axis, -np.radians(instrument.two_theta)))
        detector = _group(nx_instrument, "detector", "NXdetector")
        detector["description"] = instrument.canvas.name
        detector["sensor_material"] = "Si"
        _quantity(detector, "sensor_thickness", instrument.thickness, "mm")
        _quantity(detector, "count_time", self.params.scan.exposure_time, "s")
        _quantity(detector, "frame_time", self.params.scan.exposure_time, "s")
        detector["saturation_value"] = instrument.response.cutoff
        detector["underload_value"] = instrument.response.lowest
        if (panels.size[:, 0] == instrument.image_size[0]).all():
            # dxtbx up to 3.12 cannot take its panels from a mask where two are side by side; the marks in the images,
            # below the underload_value, say the same
            mask = np.zeros(instrument.dead.shape, np.uint32)
            mask[instrument.dead] = 2
            mask[instrument.canvas.gaps()] = 1
            detector.create_dataset("pixel_mask", data=mask, compression=1)
        moves = _group(detector, "transformations", "NXtransformations")
        back = np.array([0.0, 0.0, -1.0])
        detector["depends_on"] = f"{moves.name}/det_z"
        _axis(moves, "two_theta", instrument.two_theta, instrument.two_theta_axis, ".", "deg", "rotation")
        _axis(moves, "det_z", instrument.header_distance, back, f"{moves.name}/two_theta", "mm", "translation")
        for k, (fast, slow, origin) in enumerate(panels.frames):
            module = _group(detector, f"module_{k:03d}" if len(panels) > 1 else "module", "NXdetector_module")
            (x, y), (w, h) = panels.offset[k], panels.size[k]
            module["data_origin"], module["data_size"] = np.array([y, x]), np.array([h, w])
            node = _axis(module, "module_offset", 0.0, fast, f"{moves.name}/det_z", "mm", "translation")
            node.attrs["offset"] = TO_NEXUS @ (origin - instrument.header_distance * back) + 0.0
            node.attrs["offset_units"] = "mm"
            for name, vector in (("fast", fast), ("slow", slow)):
                _axis(
                    module, f"{name}_pixel_direction", panels.pixel_size, vector, node.name, "mm", "translation"
                )  # fmt: skip


def _group(parent: Any, name: str, nx_class: str) -> h5py.Group:
    group = parent.create_group(name)
    group.attrs["NX_class"] = nx_class
    return group


def _quantity(group: h5py.Group, name: str, value: Any, units: str) -> h5py.Dataset:
    group[name] = value
    group[name].attrs["units"] = units
    return group[name]


def _axis(
    group: h5py.Group, name: str, value: Any, vector: np.ndarray, depends_on: str, units: str, kind: str
) -> h5py.Dataset:
    """A transformation about or along a vector of the laboratory."""
    node = _quantity(group, name, np.asarray(value, dtype=np.float64), units)
    node.attrs["vector"] = TO_NEXUS @ vector + 0.0
    node.attrs["transformation_type"] = kind
    node.attrs["depends_on"] = depends_on
    return node
