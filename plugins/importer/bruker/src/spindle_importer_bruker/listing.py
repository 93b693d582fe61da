"""The refined crystals in a listing of SAINT."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spindle.errors import FileFormatError

#: Lengths and angles as a matrix of seven decimals gives them, against those printed: angstrom per angstrom, and degrees.
LENGTH, ANGLE = 1e-3, 0.05

_TITLE = re.compile(r"Orientation \('UB'\) matrix(?: \(Component (\S+)\))?:")
_COMPONENT = re.compile(r"\d+\.\d+\(\d+\)")


@dataclass(frozen=True)
class Component:
    """A lattice that SAINT refined: ``UB`` (3, 3) float64, 1/angstrom; ``cell`` and ``cell_sd`` (6,), angstrom and degrees."""

    name: str
    UB: np.ndarray
    cell: np.ndarray
    cell_sd: np.ndarray
    wavelength: float


def read_listing(path: Path) -> list[Component]:
    """The last refinement of each component in a listing (``._ls``) of SAINT, which prints matrix, cell and deviations.

    A matrix stands on the three lines below its title, the cell on the line below its own, and deviations corrected for the goodness of fit
    below theirs. Whatever the version of SAINT, the cell of the matrix must be the printed one: else the lines are not what they were
    taken for.

    Raises
    ------
    FileFormatError
        If there is no refinement, or if a matrix and its cell disagree.
    """
    lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    found: dict[str, Component] = {}
    wavelength, name = 0.0, "1.1(1)"
    waiting: list[tuple[str, np.ndarray]] = []
    for k, line in enumerate(lines):
        if line.startswith("Wavelength, relative uncertainty:"):
            wavelength = float(_numbers(path, k, line.partition(":")[2], 1)[0])
        elif line.startswith(" Component") and "Used" in line:
            first = _at(lines, k + 1).split()
            name = first[0] if first and _COMPONENT.fullmatch(first[0]) else "1.1(1)"
        elif title := _TITLE.match(line):
            UB = np.array([_numbers(path, k + i, _at(lines, k + i), 3) for i in (1, 2, 3)])
            waiting.append((title[1] or name, UB))
        elif waiting and line.split()[:6] == ["A", "B", "C", "Alpha", "Beta", "Gamma"]:
            cell = _numbers(path, k + 1, _at(lines, k + 1), 6)
            corrected = _at(lines, k + 3).startswith("Corrected for goodness")
            sd = (
                _numbers(path, k + 4, _at(lines, k + 4), 6)
                if corrected
                else _numbers(path, k + 2, _at(lines, k + 2), 6)
            )
            for which, UB in waiting:
                _check(path, k + 2, UB, cell)
                found[which] = Component(which, UB, cell, sd, wavelength)
            waiting = []
    if not found:
        raise FileFormatError(
            f"{path}: no refined orientation with its cell is in this listing; give that of an integration with refinement, or the .p4p file of the run"
        )
    if not wavelength > 0:
        raise FileFormatError(
            f"{path}: the listing has no line 'Wavelength, relative uncertainty'; give the .p4p file of the same run"
        )
    return list(found.values())


def _at(lines: list[str], k: int) -> str:
    return lines[k] if k < len(lines) else ""


def _numbers(path: Path, k: int, text: str, n: int) -> np.ndarray:
    words = text.replace(",", " ").split()[:n]
    try:
        values = np.array([float(w) for w in words])
    except ValueError:
        values = np.zeros(0)
    if len(values) < n:
        raise FileFormatError(
            f"{path}, line {k + 1}: {n} numbers should be here, not '{text.strip()}'; the file is damaged or not complete"
        )
    return values


def _check(path: Path, line: int, UB: np.ndarray, cell: np.ndarray) -> None:
    """Compare the cell of a matrix with the one printed."""
    if not np.linalg.det(UB) > 0:
        raise FileFormatError(f"{path}, line {line}: the matrix above is of no crystal")
    a, b, c = np.linalg.inv(UB)
    lengths = [float(np.linalg.norm(v)) for v in (a, b, c)]
    angles = [
        float(np.rad2deg(np.arccos(np.dot(u, v) / np.linalg.norm(u) / np.linalg.norm(v))))
        for u, v in ((b, c), (a, c), (a, b))
    ]
    if np.any(np.abs(np.array(lengths) / cell[:3] - 1) > LENGTH) or np.any(np.abs(np.array(angles) - cell[3:]) > ANGLE):
        raise FileFormatError(
            f"{path}, line {line}: the cell {' '.join(f'{v:g}' for v in cell)} is not that of the matrix above it "
            f"({' '.join(f'{v:.4g}' for v in (*lengths, *angles))}), so that the listing is of another layout than expected; give the .p4p file of the same run"
        )
