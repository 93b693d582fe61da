"""The importer of parameter files of Bruker's programs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from spindle.contracts import Algorithm, hookimpl
from spindle.contracts.importer import Imported
from spindle.errors import FileFormatError
from spindle.models import Crystal, Experiments
from spindle.params import Params as ParamsBase
from spindle.params import SpaceGroup
from spindle_lib_exchange import experiment_without_images

#: Endings of what SAINT prints for people.
LISTINGS = (".sum", "._ls")


class BrukerImporter(Algorithm):
    """Parameter files of SAINT and APEX (.p4p): cell with standard deviations, wavelength, orientation."""

    class Params(ParamsBase):
        space_group = SpaceGroup("P1", help="Space group, which the file does not say.")

    @hookimpl
    def understand(self, path: Path, head: bytes) -> bool:
        """Whether it has lines CELL and SOURCE, or is a listing; see `spindle.contracts.importer.ImporterSpec.understand`."""
        if _is_listing(path):  # which is refused with its reason
            return b"\x00" not in head
        words = [line.split(None, 1)[0] for line in head.splitlines() if line.strip()]
        return b"CELL" in words and b"SOURCE" in words and b"\x00" not in head

    @hookimpl
    def refusal(self, path: Path, head: bytes) -> str:
        """See `spindle.contracts.importer.ImporterSpec.refusal`."""
        return "no lines CELL and SOURCE"

    @hookimpl
    def import_results(self, path: Path) -> Imported:
        """One crystal; see `spindle.contracts.importer.ImporterSpec.import_results`."""
        if _is_listing(path):
            raise FileFormatError(
                f"{path}: listings of SAINT (.sum, ._ls) are not read: no description of their layout is public and it differs between versions, "
                "so that a number taken from a wrong place would go unnoticed; give the .p4p file of the same run, which has the cell with "
                "its standard deviations, the orientation and the wavelength"
            )
        words: dict[str, list[str]] = {}
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, rest = line.partition(" ")
            words.setdefault(key, rest.split())
        cell = _numbers(path, words, "CELL", 6)
        wavelength = next((float(w) for w in words.get("SOURCE", []) if _is_number(w)), 0.0)
        if not wavelength > 0:
            raise FileFormatError(f"{path}: the line SOURCE has no wavelength; the file is damaged or not complete")
        crystal = Crystal.from_cell(cell)
        notes: list[str] = []
        if "ORT1" in words:
            A = np.array([_numbers(path, words, f"ORT{i}", 3) for i in (1, 2, 3)])
            if not np.linalg.det(A) > 0:
                raise FileFormatError(f"{path}: the matrix of ORT1 to ORT3 is of no crystal")
            crystal = Crystal(A)
            notes.append("the orientation is in the frame of the file, that of the diffractometer at zero")
        else:
            notes.append("the file has no orientation: a is along x")
        crystal = crystal.with_space_group(self.params.space_group)
        if "CELLSD" in words:
            sd = _numbers(path, words, "CELLSD", 6)
            crystal = replace(crystal, cell_sd=sd, extra=crystal.extra | {"recalculated_unit_cell": cell.tolist()})
        notes.append("the file knows no detector and no images: both are dummies")
        return Imported(Experiments([experiment_without_images(crystal, wavelength)]), None, tuple(notes))


def _is_listing(path: Path) -> bool:
    return path.name.lower().endswith(LISTINGS)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _numbers(path: Path, words: dict[str, list[str]], key: str, n: int) -> np.ndarray:
    found = words.get(key, [])[:n]
    if len(found) < n or not all(map(_is_number, found)):
        raise FileFormatError(
            f"{path}: the line {key} has not {n} numbers: {' '.join(found) or 'nothing'}; the file is damaged or not complete"
        )
    return np.array([float(w) for w in found])
