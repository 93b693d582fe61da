"""SHELX instructions: cell, wavelength, lattice, symmetry, composition."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from spindle.errors import ParameterError

if TYPE_CHECKING:
    import gemmi

LATTICES = {"P": 1, "I": 2, "R": 3, "F": 4, "A": 5, "B": 6, "C": 7}
PART = re.compile(r"([A-Z][a-z]?)([0-9]*\.?[0-9]*)")


def read_composition(formula: str) -> dict[str, float]:
    """Elements and how many atoms of each a formula has.

    Raises
    ------
    ParameterError
        If a part of the formula is no element with a number.
    """
    import gemmi

    text = formula.replace(" ", "")
    found: dict[str, float] = {}
    end = 0
    for match in PART.finditer(text):
        name, count = match.groups()
        if match.start() != end or gemmi.Element(name).atomic_number == 0:
            break
        if re.match("0[0-9]", count):
            raise ParameterError(
                f"shelx.composition={formula}: no number begins with 0, as that of {name} does; is {name}O{count[1:]} meant?"
            )
        found[name] = found.get(name, 0.0) + float(count or 1)
        end = match.end()
    if end != len(text) or not found:
        raise ParameterError(f"shelx.composition={formula}: a formula such as C6H12O6 is expected")
    return found


def lattice_and_symmetry(group: gemmi.SpaceGroup) -> tuple[int, list[str]]:
    """LATT number (negative without inversion at the origin) and SYMM texts, as SHELX completes them.

    Notes
    -----
    SHELX adds the identity, the inversion for a positive LATT, and the translations of the centring. An inversion that is not at the
    origin is an operator like others.
    """
    import gemmi

    operations = group.operations()
    triplets = [op.wrap() for op in operations.sym_ops]
    inversion = gemmi.Op("-x,-y,-z")
    lattice = LATTICES["R" if group.xhm().endswith(":H") else "P" if group.xhm().endswith(":R") else group.hm[0]]
    has_inversion = any(op.triplet() == "-x,-y,-z" for op in triplets)
    kept: list[gemmi.Op] = []
    known = {"x,y,z"}
    for op in triplets:
        if op.triplet() in known:
            continue
        kept.append(op)
        known.add(op.triplet())
        if has_inversion:
            known.add((inversion * op).wrap().triplet())
    if has_inversion:
        kept = [op for op in kept if op.triplet() != "-x,-y,-z"]
    return lattice if has_inversion else -lattice, [op.triplet().upper() for op in kept]


def instructions(
    group: gemmi.SpaceGroup, cell: np.ndarray, sd: np.ndarray | None, wavelength: float, elements: dict[str, float],
    hkl: str,
) -> str:  # fmt: skip
    """Content of the .ins file.

    Parameters
    ----------
    group : gemmi.SpaceGroup
    cell, sd : (6,) float64, angstrom and degrees
    wavelength : float, angstrom
    elements : dict of element to number in the asymmetric unit
    hkl : str
        Name of the file of reflections.
    """
    z = len(group.operations())
    deviations = np.zeros(6) if sd is None else sd
    lattice, operators = lattice_and_symmetry(group)
    lines = [
        f"TITL {group.number} in {group.hm.replace(' ', '')}",
        f"CELL {wavelength:8.5f} " + " ".join(f"{v:9.4f}" for v in cell[:3]) + " " + " ".join(f"{v:8.3f}" for v in cell[3:]),
        f"ZERR {z:8.3f} " + " ".join(f"{v:9.4f}" for v in deviations[:3]) + " "
        + " ".join(f"{v:8.3f}" for v in deviations[3:]),
        f"LATT {lattice}",
        *(f"SYMM {operator}" for operator in operators),
        "SFAC " + " ".join(elements),
        "UNIT " + " ".join(f"{count * z:g}" for count in elements.values()),
        f"REM reflections: {hkl}",
        "HKLF 4",
        "END",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"
