"""Convert masks and per-pixel maps between DIALS and Spindle. To be run by the Python of DIALS; it stands alone.

    dials.python dials_mask_to_npz.py pixels.mask pixels.npz     from DIALS to Spindle
    dials.python dials_mask_to_npz.py pixels.npz pixels.mask     from Spindle to DIALS

DIALS keeps the mask of a detector (and maps of gain, pedestal and distortion) as a pickled tuple of arrays, one per panel; Spindle as
a .npz or .h5 file with the arrays panel_0, panel_1, ... In a mask True is good, for both. Only convert pickles that you trust: reading a
pickle can run any program.
"""

from __future__ import annotations

import pickle
import re
import sys

import numpy
from dials.array_family import flex  # type: ignore[import-not-found]

HDF5 = (".h5", ".hdf5")


def number(name: str) -> int:
    """Number at the end of a name, for sorting."""
    found = re.search(r"(\d+)$", name)
    return int(found.group(1)) if found else -1


def read(path: str) -> list[numpy.ndarray]:
    """Arrays of all panels of a file of either kind, as numpy arrays."""
    if path.endswith(HDF5):
        import h5py

        with h5py.File(path, "r") as file:
            return [file[name][()] for name in sorted(file, key=number)]
    if path.endswith(".npz"):
        with numpy.load(path, allow_pickle=False) as archive:
            return [archive[name] for name in sorted(archive.files, key=number)]
    with open(path, "rb") as stream:
        panels = pickle.load(stream)
    if not isinstance(panels, (tuple, list)):
        panels = (panels,)
    return [panel.as_numpy_array() for panel in panels]


def write(path: str, arrays: list[numpy.ndarray]) -> None:
    """Write the arrays of all panels, as the name of the file tells."""
    named = {f"panel_{i}": array for i, array in enumerate(arrays)}
    if path.endswith(HDF5):
        import h5py

        with h5py.File(path, "w") as file:
            for name, array in named.items():
                file.create_dataset(name, data=array, compression="gzip", shuffle=True)
    elif path.endswith(".npz"):
        numpy.savez_compressed(path, **named)  # type: ignore[arg-type]
    else:
        kinds = {"b": (flex.bool, numpy.bool_), "f": (flex.double, numpy.float64), "i": (flex.int, numpy.int32)}
        panels = []
        for array in arrays:
            convert, dtype = kinds[array.dtype.kind]
            panels.append(convert(numpy.ascontiguousarray(array, dtype=dtype)))
        with open(path, "wb") as stream:
            pickle.dump(tuple(panels), stream, protocol=2)


def main(words: list[str]) -> None:
    """Convert the first file to the second."""
    ours = HDF5 + (".npz",)
    if len(words) != 2 or words[0].endswith(ours) == words[1].endswith(ours):
        sys.exit(__doc__)
    arrays = read(words[0])
    write(words[1], arrays)
    for i, array in enumerate(arrays):
        bad = f", {array.size - numpy.count_nonzero(array)} pixels masked" if array.dtype == bool else ""
        print(f"panel {i}: {array.shape[0]} x {array.shape[1]}{bad}")
    print(f"Wrote {words[1]}")


if __name__ == "__main__":
    main(sys.argv[1:])
