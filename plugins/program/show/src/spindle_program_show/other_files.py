"""Files that are neither experiments nor reflections: MTZ, XDS_ASCII, masks, CIF of cells and structures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gemmi
import numpy as np

from spindle.errors import FileFormatError
from spindle.files import is_map_file, read_mask, refuse_holes
from spindle.report import Table

_XDS_ASCII = b"!FORMAT=XDS_ASCII"
_CIF = (".cif", ".mmcif", ".fcf")
#: What import makes experiments of: reflections and images.
_IMPORTED = ("_refln.", "_diffrn_refln.", "_pdbx_diffrn_unmerged_refln.", "_array_data.")
_CELL = [f"_cell_{name}" for name in ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")]
_GROUP = ("_space_group_name_H-M_alt", "_symmetry_space_group_name_H-M", "_symmetry.space_group_name_H-M")


def kind_of(path: Path) -> str:
    """``mtz``, ``xds_ascii``, ``cif``, ``mask`` or nothing, for what is an image, is imported, or is unknown."""
    if not path.is_file():
        return ""
    try:
        with path.open("rb") as stream:
            start = stream.read(len(_XDS_ASCII))
    except OSError:
        return ""
    if start.startswith(b"MTZ "):
        return "mtz"
    if start == _XDS_ASCII:
        return "xds_ascii"
    if path.suffix.lower() in _CIF:
        return "cif" if _is_described(path) else ""
    return "mask" if is_map_file(path) else ""


def _is_described(path: Path) -> bool:
    """Whether a CIF file holds neither reflections nor images that import reads."""
    try:
        blocks = list(gemmi.cif.read(str(path)))
    except (RuntimeError, ValueError, OSError):
        return False
    return bool(blocks) and not any(block.find_mmcif_category(name) for block in blocks for name in _IMPORTED)


def describe(path: Path) -> tuple[str, list[Table]]:
    """Return what a file holds: lines of text, and tables of which all but the first are details.

    Raises
    ------
    FileFormatError
        If it cannot be read.
    """
    kind = kind_of(path)
    if kind == "mask":
        return _mask(path)
    refuse_holes(path)
    try:
        return {"mtz": _mtz, "xds_ascii": _xds_ascii, "cif": _cif}[kind](path)
    except (RuntimeError, ValueError, IndexError, UnicodeDecodeError) as error:  # what gemmi raises for a damaged file
        raise FileFormatError(f"show: {path} cannot be read: {error}; write it again") from error


def _cell_text(cell: gemmi.UnitCell) -> str:
    return ", ".join(
        [*(f"{v:.3f}" for v in (cell.a, cell.b, cell.c)), *(f"{v:.2f}" for v in (cell.alpha, cell.beta, cell.gamma))]
    )


def _mtz(path: Path) -> tuple[str, list[Table]]:
    from spindle_lib_merging import read_mtz  # which most questions do without

    mtz = read_mtz(path)
    group = mtz.spacegroup
    merged = "unmerged, " + f"{len(mtz.batches)} batches" if mtz.batches else "merged"
    lines = [
        f"{path}: MTZ, {merged}, {mtz.nreflections} reflections, {len(mtz.columns)} columns",
        f"    Title: {mtz.title.strip()}" if mtz.title.strip() else "",
        f"    Space group: {group.xhm() if group else 'none'}",
        f"    Unit cell: {_cell_text(mtz.cell)}",
        f"    Resolution: {mtz.resolution_low():.2f} - {mtz.resolution_high():.2f} A" if mtz.nreflections else "",
        *(
            f"    Dataset {d.id}: {d.project_name}/{d.crystal_name}/{d.dataset_name}, wavelength {d.wavelength:.5f} A"
            for d in mtz.datasets
        ),
    ]
    columns = [[c.label, c.type, *_range(np.array(c))] for c in mtz.columns]
    tables = [Table("Columns", ["label", "type", "values", "present", "min", "max"], columns, "mtz_columns")]
    if mtz.history:
        tables.append(Table("History", ["line"], [[line] for line in mtz.history], "mtz_history", detail=True))
    return "\n".join(line for line in lines if line), tables


def _cif(path: Path) -> tuple[str, list[Table]]:
    """Cell, group and how many rows of what, of each block."""
    lines, rows = [], []
    for block in gemmi.cif.read(str(path)):
        found = [block.find_value(name) for name in _CELL]
        if any(found):
            known = [gemmi.cif.as_string(v) if v else "?" for v in found]
            lines.append(f"    Unit cell of {block.name}: {', '.join(known)}")
        symbols = [block.find_value(name) for name in _GROUP]
        if symbol := next((gemmi.cif.as_string(v) for v in symbols if v and v not in "?."), ""):
            lines.append(f"    Space group of {block.name}: {symbol}")
        for item in block:
            if item.loop is not None:
                rows.append([block.name, item.loop.tags[0], len(item.loop.tags), item.loop.length()])
        rows.append([block.name, "single values", sum(item.pair is not None for item in block), 1])
    return "\n".join([f"{path}: CIF, {len({r[0] for r in rows})} block(s)", *lines]), [
        Table("What it holds", ["block", "from", "names", "rows"], rows, "cif_content")
    ]


def _range(values: np.ndarray) -> list[Any]:
    """Number of values, their part of all, the smallest and the largest."""
    finite = values[np.isfinite(values)]
    span = [f"{finite.min():.6g}", f"{finite.max():.6g}"] if len(finite) else [None, None]
    return [len(finite), f"{100 * len(finite) / max(len(values), 1):.1f} %", *span]


def _xds_ascii(path: Path) -> tuple[str, list[Table]]:
    xds = gemmi.read_xds_ascii(str(path))
    cell = gemmi.UnitCell(*xds.cell_constants)
    n = xds.data_size
    group = gemmi.find_spacegroup_by_number(xds.spacegroup_number)
    lines = [
        f"{path}: XDS_ASCII of {xds.generated_by or 'an unknown program'}, {n} reflections",
        f"    Space group: {group.xhm() if group else xds.spacegroup_number}",
        f"    Unit cell: {_cell_text(cell)}",
        f"    Wavelength: {xds.wavelength:.5f} A" if xds.wavelength else "",
        f"    Friedel's law: {xds.friedels_law in ('T', 'TRUE')}" if xds.friedels_law else "",
    ]
    if not n:
        return "\n".join(line for line in lines if line), []
    hkl, intensity, sigma = np.asarray(xds.miller_array), np.asarray(xds.iobs_array), np.asarray(xds.sigma_array)
    d = cell.calculate_d_array(hkl)
    lines.append(f"    Resolution: {d.max():.2f} - {d.min():.2f} A")
    bad = int((sigma < 0).sum())
    if bad:
        lines.append(f"    {bad} reflections are misfits (negative sigma)")
    named = {
        "H": hkl[:, 0],
        "K": hkl[:, 1],
        "L": hkl[:, 2],
        "IOBS": intensity,
        "SIGMA": sigma,
        "ZD": np.asarray(xds.zd_array),
    }
    rows = [[name, *_range(np.asarray(values, np.float64))] for name, values in named.items()]
    return "\n".join(line for line in lines if line), [
        Table("Columns", ["label", "values", "present", "min", "max"], rows, "xds_columns")
    ]


def _mask(path: Path) -> tuple[str, list[Table]]:
    masks = read_mask(path, None)
    rows = [
        [i, f"{m.shape[1]} x {m.shape[0]}", int((~m).sum()), f"{100 * (1 - m.mean()) if m.size else 0:.2f} %"]
        for i, m in enumerate(masks)
    ]
    total = sum(int((~m).sum()) for m in masks)
    text = f"{path}: mask of {len(masks)} panel{'s' if len(masks) > 1 else ''}, {total} pixels are masked out"
    return text, [Table("Panels", ["panel", "pixels (fast x slow)", "masked out", "part"], rows, "mask_panels")]
