"""What an MTZ file holds, for the screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spindle.models import Experiments
from spindle.prediction import FlatDetector
from spindle.report import Table

if TYPE_CHECKING:
    import gemmi


def header_lines(mtz: gemmi.Mtz) -> list[str]:
    """Space group, cell, resolution and wavelengths."""
    group = mtz.spacegroup
    cell = mtz.cell
    lines = [
        f"Space group: {group.xhm()} (number {group.number}, {len(group.operations())} operators)",
        f"Unit cell: {cell.a:.3f}, {cell.b:.3f}, {cell.c:.3f}, {cell.alpha:.2f}, {cell.beta:.2f}, {cell.gamma:.2f}",
        f"Resolution: {mtz.resolution_low():.2f} - {mtz.resolution_high():.2f} A",
    ]
    lines += [
        f"Dataset {d.id}: {d.project_name}/{d.crystal_name}/{d.dataset_name}, wavelength {d.wavelength:.5f} A"
        for d in mtz.datasets
    ]
    return lines


def batch_table(experiments: Experiments, offsets: list[int], mtz: gemmi.Mtz) -> Table:
    """Which batches belong to which images; batch = image + offset."""
    numbers = np.sort(np.array(mtz.column_with_label("BATCH")).astype(np.int32))
    datasets = {b.number: b.dataset_id for b in mtz.batches}
    rows = []
    for i, experiment in enumerate(experiments):
        first, last = experiment.scan.image_range if experiment.scan is not None else (i + 1, i + 1)
        begin, end = first + offsets[i], last + offsets[i]
        count = int(np.diff(np.searchsorted(numbers, [begin, end + 1]))[0])
        rows.append([i, f"{first}-{last}", f"{begin}-{end}", offsets[i], datasets[begin], count])
    headers = ["experiment", "images", "batches", "batch - image", "dataset", "observations"]
    return Table(f"Batches: {len(mtz.batches)}", headers, rows, "mtz_batches")


def column_table(mtz: gemmi.Mtz) -> Table:
    """Label, type, how many values and their range."""
    rows = []
    for column in mtz.columns:
        values = np.array(column)
        values = values[np.isfinite(values)]
        span = [f"{values.min():.6g}", f"{values.max():.6g}"] if len(values) else [None, None]
        valid = f"{100 * len(values) / max(mtz.nreflections, 1):.1f} %"
        rows.append([column.label, column.type, len(values), valid, *span])
    return Table(
        f"Columns: {len(mtz.columns)}, reflections: {mtz.nreflections}",
        ["label", "type", "values", "present", "min", "max"], rows, "mtz_columns",
    )  # fmt: skip


def flat_messages(flat: list[FlatDetector]) -> list[str]:
    """How positions on several panels were brought into one frame, once for each way."""
    said = []
    for one in flat:
        if len(one.detector) > 1:
            columns, rows = one.panel.image_size
            how = (
                "unrolled about the normal of the plane (distance x angle), since the detector reaches further than 80 "
                "degrees from it"
                if one.unrolled
                else "projected from the sample"
            )
            text = (
                f"{len(one.detector)} panels: XDET, YDET are positions on one flat detector of {columns} x {rows} "
                f"pixels in the plane of panel {one.from_panel}, {how}"
            )
            if text not in said:
                said.append(text)
    return said
