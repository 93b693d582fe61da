"""Tiny NeXus files to try things with; needs h5py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["add_axis", "change", "link_data", "write_nxmx"]


def add_axis(
    group: Any, name: str, value: Any, vector: Any, depends_on: str | None, units: str, kind: str, **extra: Any
) -> Any:
    """Add a transformation to an HDF5 group.

    Parameters
    ----------
    group : h5py.Group
    name : str
    value : float or (n,) float
    vector : (3,) float
        NeXus frame: z along the beam, y up.
    depends_on : str or None
        None leaves the attribute out.
    units : str
    kind : "rotation" or "translation"
    extra : further attributes

    Returns
    -------
    h5py.Dataset
    """
    node = group.create_dataset(name, data=np.asarray(value, dtype=np.float64))
    node.attrs.update({"vector": np.asarray(vector, dtype=np.float64), "units": units, "transformation_type": kind})
    if depends_on is not None:
        node.attrs["depends_on"] = depends_on
    node.attrs.update(extra)
    return node


def _group(parent: Any, name: str, nx_class: str) -> Any:
    group = parent.create_group(name)
    group.attrs["NX_class"] = nx_class
    return group


def write_nxmx(path: Path, pixels: np.ndarray | None, omega: Any = None, **dataset_options: Any) -> Path:
    """Write a small NXmx file: one flat module 100 mm behind the sample, omega about -x (NeXus), 1 angstrom.

    Parameters
    ----------
    path : Path
    pixels : (image, slow, fast) array or None
        None leaves the images out, for the caller to add.
    omega : (n,) float, deg, optional
        Start angles; 0, 0.5, 1, ... by default.
    dataset_options : how the images are stored, as h5py takes it
        Without chunks, one per image.

    Returns
    -------
    Path
        The file.
    """
    import h5py

    shape = (3, 60, 97) if pixels is None else pixels.shape
    with h5py.File(path, "w", libver=("v110", "v110")) as file:
        entry = _group(file, "entry", "NXentry")
        entry["definition"] = "NXmx"
        entry["start_time"] = "2026-01-02T03:04:05Z"
        data = _group(entry, "data", "NXdata")
        data.attrs["signal"] = "data"
        if pixels is not None:
            dataset_options.setdefault("chunks", (1, *shape[1:]))
            data.create_dataset("data", data=pixels, **dataset_options)
        instrument = _group(entry, "instrument", "NXinstrument")
        instrument["name"] = "nowhere"
        beam = _group(instrument, "beam", "NXbeam")
        beam["incident_wavelength"] = 1.0
        beam["incident_wavelength"].attrs["units"] = "angstrom"
        detector = _group(instrument, "detector", "NXdetector")
        detector["depends_on"] = "/entry/instrument/detector/transformations/det_z"
        moves = _group(detector, "transformations", "NXtransformations")
        add_axis(moves, "det_z", 100.0, (0, 0, 1), ".", "mm", "translation")
        for name, value, units in (
            ("sensor_thickness", 0.45, "mm"),
            ("frame_time", 0.1, "s"),
            ("count_time", 0.0999, "s"),
        ):
            detector[name] = value
            detector[name].attrs["units"] = units
        detector["sensor_material"] = "Si"
        detector["saturation_value"] = 30000
        detector["underload_value"] = 0
        mask = np.zeros(shape[-2:], dtype=np.uint32)
        mask[2, 3], mask[4, 5] = 1, 1 << 31
        detector["pixel_mask"] = mask
        module = _group(detector, "module", "NXdetector_module")
        module["data_origin"] = np.array([0, 0])
        module["data_size"] = np.array(shape[-2:])
        place = detector.name + "/module/"
        origin = {"offset": np.array([3.0, 2.0, 0.0]), "offset_units": "mm"}
        add_axis(module, "module_offset", 0.0, (1, 0, 0), moves.name + "/det_z", "mm", "translation", **origin)
        add_axis(module, "fast_pixel_direction", 75e-6, (-1, 0, 0), place + "module_offset", "m", "translation")
        add_axis(module, "slow_pixel_direction", 75e-6, (0, -1, 0), place + "module_offset", "m", "translation")
        sample = _group(entry, "sample", "NXsample")
        sample["depends_on"] = "/entry/sample/transformations/omega"
        angles = np.arange(shape[0]) * 0.5 if omega is None else omega
        turns = _group(sample, "transformations", "NXtransformations")
        add_axis(turns, "omega", angles, (-1, 0, 0), ".", "deg", "rotation")
    return Path(path)


def change(path: Path, **nodes: Any) -> Path:
    """Replace or delete datasets and attributes of an HDF5 file.

    Parameters
    ----------
    path : Path
    nodes : by path in the file
        ``/`` may be written ``__``; an attribute has ``@`` before its name (``entry/data@signal``). Attributes of
        replaced datasets stay; None deletes; h5py links are put in as they are.

    Returns
    -------
    Path
        `path`.
    """
    import h5py

    with h5py.File(path, "r+") as file:
        for name, value in nodes.items():
            place, _, attribute = name.replace("__", "/").partition("@")
            if attribute:
                if value is None:
                    del file[place].attrs[attribute]
                else:
                    file[place].attrs[attribute] = value
                continue
            attributes = dict(file[place].attrs) if place in file else {}
            if place in file:
                del file[place]
            if value is not None:
                file[place] = value
            if value is not None and not isinstance(value, h5py.SoftLink | h5py.ExternalLink):
                file[place].attrs.update(attributes)
    return path


def link_data(path: Path, pixels: np.ndarray, names: list[str], **attributes: Any) -> Path:
    """Take the images of a file of `write_nxmx` out into files of their own, linked as Dectris detectors do.

    Parameters
    ----------
    path : Path
    pixels : (image, slow, fast) array
    names : list of str
        Of the links, ``data_000001`` ...; each file, ``<stem of path>_<name>.h5``, gets as many images.
    attributes : one value per file
        Of the datasets.

    Returns
    -------
    Path
        `path`.
    """
    import h5py

    per_file = -(-len(pixels) // len(names))
    with h5py.File(path, "r+") as file:
        del file["entry/data/data"]
        file["entry/data"].attrs["signal"] = names[0]
        for k, name in enumerate(names):
            target = f"{path.stem}_{name}.h5"
            part = pixels[k * per_file : (k + 1) * per_file]
            with h5py.File(path.parent / target, "w") as other:
                data = other.create_dataset("entry/data/data", data=part, chunks=(1, *part.shape[1:]))
                data.attrs.update({key: value[k] for key, value in attributes.items()})
            file[f"entry/data/{name}"] = h5py.ExternalLink(target, "entry/data/data")
    return path
