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

from .listing import read_listing

#: Endings of what SAINT prints for people, and of summaries that nothing public describes.
LISTING, SUMMARY = "._ls", ".sum"
DUMMIES = "the file knows no detector and no images: both are dummies"
FRAME = "the orientation is in the frame of the file, that of the diffractometer at zero"


class BrukerImporter(Algorithm):
    """Parameter files of SAINT and APEX (.p4p) and listings of SAINT (._ls): cell with standard deviations, wavelength, orientation."""

    class Params(ParamsBase):
        space_group = SpaceGroup("P1", help="Space group, which the file does not say.")

    @hookimpl
    def understand(self, path: Path, head: bytes) -> bool:
        """Whether it has lines CELL and SOURCE, or begins as a listing; see `spindle.contracts.importer.ImporterSpec.understand`."""
        if path.name.lower().endswith(SUMMARY):  # which is refused with its reason
            return b"\x00" not in head
        if path.name.lower().endswith(LISTING):
            return head.startswith(b"SAINT")
        words = [line.split(None, 1)[0] for line in head.splitlines() if line.strip()]
        return b"CELL" in words and b"SOURCE" in words and b"\x00" not in head

    @hookimpl
    def refusal(self, path: Path, head: bytes) -> str:
        """See `spindle.contracts.importer.ImporterSpec.refusal`."""
        return "no lines CELL and SOURCE, and it does not begin as a listing of SAINT"

    @hookimpl
    def import_results(self, path: Path) -> Imported:
        """One crystal; see `spindle.contracts.importer.ImporterSpec.import_results`."""
        if path.name.lower().endswith(SUMMARY):
            if b"Begin of measurement" in path.read_bytes():
                raise FileFormatError(
                    f"{path}: this is a summary of STOE's X-Area, a list of runs with their angles; it holds neither the orientation of a crystal "
                    "nor reflections. Give the images themselves to spindle import"
                )
            raise FileFormatError(
                f"{path}: summaries (.sum) are not read: neither a description of their layout nor a program that reads it is public, and a number "
                "taken from a wrong place would go unnoticed; give the .p4p file of the same run (SAINT, APEX and CrysAlisPro write one), or the "
                "listing of SAINT (._ls)"
            )
        if path.name.lower().endswith(LISTING):
            return self._listing(path)
        words: dict[str, list[str]] = {}
        repeated = 0
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, rest = line.partition(" ")
            repeated += key == "ORT1" and key in words
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
            notes.append(FRAME)
        else:
            notes.append("the file has no orientation: a is along x")
        crystal = crystal.with_space_group(self.params.space_group)
        if "CELLSD" in words:
            crystal = _with_cell(crystal, cell, _numbers(path, words, "CELLSD", 6))
        if repeated:
            notes.append(
                f"the file has {repeated + 1} orientations; the first was taken, the listing of SAINT (._ls) gives all components"
            )
        notes.append(DUMMIES)
        return Imported(Experiments([experiment_without_images(crystal, wavelength)]), None, tuple(notes))

    def _listing(self, path: Path) -> Imported:
        """One experiment for each component, with its last refinement."""
        components = read_listing(path)
        experiments = [
            experiment_without_images(
                _with_cell(Crystal(c.UB).with_space_group(self.params.space_group), c.cell, c.cell_sd), c.wavelength
            )
            for c in components
        ]
        names = ", ".join(c.name for c in components)
        return Imported(
            Experiments(experiments),
            None,
            (f"the last refinement of each component was taken: {names}", FRAME, DUMMIES),
        )


def _with_cell(crystal: Crystal, cell: np.ndarray, sd: np.ndarray) -> Crystal:
    return replace(crystal, cell_sd=sd, extra=crystal.extra | {"recalculated_unit_cell": cell.tolist()})


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
