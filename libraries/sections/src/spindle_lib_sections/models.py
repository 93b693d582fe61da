"""Crystals and geometry, and how they change along the scan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from spindle.errors import UserError
from spindle.models import Experiments
from spindle.report import Section, Table
from spindle_lib_model_curves.curves import CELL, Curves, beam_curves, cell_curves, turn_curves
from spindle_lib_pages.figures import lines

from .bins import thin
from .images import MOST_CURVES, MOST_POINTS

__all__ = ["geometry_section", "scan_varying_section"]

MOST_ROWS = 60
#: Changes of the cell (angstrom, degrees) below this are rounding.
STATIC = 1e-6


def geometry_section(experiments: Experiments) -> Section:
    """Tables of crystals and of the experiment."""
    title, key = "Crystals and experiment", "models"
    if not len(experiments):
        return Section.missing(
            title, key, "No experiments were given; add the .expt file that belongs to the reflections."
        )
    section = Section(title, key)
    crystals = [(i, e.crystal) for i, e in enumerate(experiments) if e.crystal is not None]
    rows: list[list[Any]] = []
    for i, crystal in crystals[:MOST_ROWS]:
        cell = crystal.cell
        lengths, angles = (f"{v:.3f}" for v in cell[:3]), (f"{v:.2f}" for v in cell[3:])
        width = experiments[i].profile
        mosaic = _mosaicity(width)
        rows.append([i, crystal.space_group.xhm(), *lengths, *angles, round(crystal.volume), mosaic])
    if rows:
        headers = [
            "Experiment",
            "Space group",
            "a (A)",
            "b (A)",
            "c (A)",
            "alpha",
            "beta",
            "gamma (deg)",
            "Volume (A^3)",
            "Mosaicity (deg)",
        ]
        more = f", {len(crystals) - MOST_ROWS} more are not listed" if len(crystals) > MOST_ROWS else ""
        section.tables.append(Table(f"Crystals{more}", headers, rows, "crystals"))
        cells = np.array([c.cell for _, c in crystals])
        if len(crystals) > 1:
            spread_ = cells.std(axis=0)
        if len(crystals) > 1 and spread_[:3].max() >= 5e-4:
            section.text.append(
                "The cells differ by (one standard deviation) "
                + ", ".join(f"{n} {s:.3f}" for n, s in zip(("a", "b", "c"), spread_[:3], strict=True)) + " A."
            )  # fmt: skip
    else:
        section.text.append("There is no crystal yet; spindle index finds it.")
    section.tables.append(_geometry(experiments))
    return section


def _mosaicity(profile: Any) -> float | None:
    value = profile.get("sigma_m") if isinstance(profile, dict) else getattr(profile, "sigma_m", None)
    return _first(value)


def _first(value: Any) -> float | None:
    values = np.ravel(np.asarray(value if value is not None else [], dtype=np.float64))
    values = values[np.isfinite(values)]
    return round(float(values.mean()), 4) if len(values) else None


def _geometry(experiments: Experiments) -> Table:
    """One row for each distinct set of beam, detector and scan."""
    rows: list[list[Any]] = []
    sharing: dict[tuple[int, ...], list[int]] = {}
    for i, e in enumerate(experiments):
        sharing.setdefault((id(e.beam), id(e.detector), id(e.scan), id(e.goniometer)), []).append(i)
    for numbers in list(sharing.values())[:MOST_ROWS]:
        e = experiments[numbers[0]]
        panel = e.detector[0]
        hit = e.detector.beam_centre(e.beam.s0)
        centre = "--"
        if hit is not None:
            x, y = e.detector.mm_to_pixel(hit[0], hit[1][None])[0]
            centre = f"{x:.2f}, {y:.2f}" + (f" (panel {hit[0]})" if len(e.detector) > 1 else "")
        scan = "still"
        if e.scan is not None and not e.is_still:
            start, width = e.scan.oscillation_deg
            scan = f"{e.scan.image_range[0]}-{e.scan.image_range[1]}, {start:g} + {width:g} deg"
        rows.append(
            [_numbers(numbers), round(e.beam.wavelength, 5), f"{panel.distance:.2f}", centre, len(e.detector), f"{panel.image_size[0]} x {panel.image_size[1]}",
             f"{panel.pixel_size[0]:.4f}", f"{e.detector.max_resolution(e.beam.s0):.2f}", scan]
        )  # fmt: skip
    headers = [
        "Experiment", "Wavelength (A)", "Distance (mm)", "Beam centre (px)", "Panels", "Panel (px)", "Pixel (mm)", "Corner (A)", "Images and angles",
    ]  # fmt: skip
    more = f", {len(sharing) - MOST_ROWS} more are not listed" if len(sharing) > MOST_ROWS else ""
    return Table(f"Experiments{more}", headers, rows, "geometry")


def _numbers(values: Sequence[int]) -> str:
    """Rising numbers in short: 0, 2-5."""
    parts: list[list[int]] = []
    for v in values:
        if parts and v == parts[-1][1] + 1:
            parts[-1][1] = v
        else:
            parts.append([v, v])
    shown = [f"{a}" if a == b else f"{a}, {b}" if b == a + 1 else f"{a}-{b}" for a, b in parts]
    return ", ".join(shown[:6]) + (" ..." if len(shown) > 6 else "")


def scan_varying_section(experiments: Experiments, axes: np.ndarray | None = None, relative: bool = True) -> Section:
    """Cell, orientation and beam along the scan.

    Parameters
    ----------
    experiments : Experiments
    axes : (3, 3) float64, optional
        Unit vectors of the three turns; x, y, z of the laboratory.
    relative : bool
        Turns from the static orientation.
    """
    title, key = "Models along the scan", "scan_varying"
    axes = np.eye(3) if axes is None else axes
    cells: list[Curves] = []
    turns: list[Curves] = []
    beams: list[Curves] = []
    trouble = ""
    for i, experiment in enumerate(experiments):
        try:
            for found, curves in (
                (cells, cell_curves(experiment, i)),
                (turns, turn_curves(experiment, i, axes, relative)),
                (beams, beam_curves(experiment, i)),
            ):
                if curves is not None:
                    found.append(curves)
        except (UserError, ValueError) as error:
            trouble = str(error)
    if not cells and not beams:
        reason = trouble or "No model varies with the scan; spindle refine lets the crystal vary unless told otherwise."
        return Section.missing(title, key, reason if len(experiments) else "No experiments were given.")
    section = Section(title, key)
    if trouble:
        section.remarks.append(("doubtful", trouble))
    moving = [c for c in cells if np.ptp(c.values[:, :6], axis=0).max() > STATIC]
    if cells and not moving:
        section.text.append("The cell was refined as one for the whole scan; the orientation varies.")
    if moving:
        section.figures["scan_varying_cell_lengths"] = _changes(
            "Cell lengths and volume", moving, [(0, "a"), (1, "b"), (2, "c"), (6, "V")], "change (%)", relative=True
        )
        free = [(i, CELL[i]) for i in (3, 4, 5) if any(np.ptp(c.values[:, i]) > STATIC for c in moving)]
        if free:
            section.figures["scan_varying_cell_angles"] = _changes("Cell angles", moving, free, "change (deg)")
    if turns:
        section.figures["scan_varying_orientation"] = _changes(
            "Orientation: turns about three axes", turns, [(0, "phi1"), (1, "phi2"), (2, "phi3")], "deg", absolute=True
        )
    if beams:
        section.figures["scan_varying_beam"] = _changes("Beam centre", beams, [(0, "x"), (1, "y")], "change (px)")
    _ranges(section, cells, turns, beams)
    return section


def _changes(
    title: str,
    found: list[Curves],
    columns: list[tuple[int, str]],
    unit: str,
    relative: bool = False,
    absolute: bool = False,
) -> dict[str, Any]:
    """Curves of each experiment, from the mean of each unless `absolute`."""
    curves = []
    for c in found[: max(1, MOST_CURVES // len(columns))]:
        keep = thin(len(c.phi), MOST_POINTS)
        for i, name in columns:
            values = c.values[:, i]
            middle = values.mean()
            shown = values if absolute else (100 * (values / middle - 1) if relative else values - middle)
            label = f"{name} = {middle:.2f}" if not absolute else name
            curves.append((label if len(found) == 1 else f"{label}, experiment {c.number}", c.phi[keep], shown[keep]))
    figure = lines(title, "rotation angle (deg)", unit, curves)
    for entry in figure["data"]:
        entry["mode"] = "lines"
    return figure


def _ranges(section: Section, cells: list[Curves], turns: list[Curves], beams: list[Curves]) -> None:
    rows: list[list[Any]] = []
    largest_cell = largest_turn = 0.0
    beam_of = {b.number: b for b in beams}
    for c, t in list(zip(cells, turns, strict=True))[:MOST_ROWS]:
        change = 100 * np.ptp(c.values, axis=0) / np.abs(c.values.mean(axis=0))
        turn = np.ptp(t.values, axis=0)
        largest_cell, largest_turn = max(largest_cell, float(change[6])), max(largest_turn, float(turn.max()))
        beam = beam_of.get(c.number)
        rows.append(
            [c.number, *(round(float(v), 3) for v in change[:3]), round(float(change[6]), 3), *(round(float(v), 3) for v in turn),
             None if beam is None else round(float(np.ptp(beam.values, axis=0).max()), 3)]
        )  # fmt: skip
    if rows:
        headers = [
            "Experiment",
            "a (%)",
            "b (%)",
            "c (%)",
            "Volume (%)",
            "phi1 (deg)",
            "phi2 (deg)",
            "phi3 (deg)",
            "Beam (px)",
        ]
        section.tables.append(Table("Largest less smallest value along the scan", headers, rows, "model_ranges"))
    section.values |= {"volume_change_percent": round(largest_cell, 4), "largest_turn_deg": round(largest_turn, 4)}
