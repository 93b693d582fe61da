"""The report of a scaling run: a page with the tables and plots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from spindle.report import Table
from spindle.table import Flag
from spindle_lib_merging import MergingStatistics
from spindle_lib_pages import Page
from spindle_lib_pages.figures import lines
from spindle_lib_sections.given import Given
from spindle_lib_sections.images import MOST_CURVES
from spindle_lib_sections.merged import diagnosis_section
from spindle_lib_sections.scaling import per_image, scaling_section
from spindle_lib_sections.shells import shell_figures
from spindle_lib_twinning.diagnosis import Diagnosis

from .course import Scaled


def report_data(scaled: Scaled, statistics: MergingStatistics, diagnosis: Diagnosis) -> dict[str, Any]:
    """Plain values of all plots."""
    scaler, table, experiments = scaled.scaler, scaled.table, scaled.experiments
    sets = []
    good, rows_of = table.has_flags(Flag.SCALED), table.rows_by_experiment()
    for k, experiment in enumerate(experiments):
        model = experiment.scaling_model or {}
        rows = rows_of.get(k, np.zeros(0, np.int64))
        rows = rows[good[rows]]
        sets.append(
            {
                "terms": {n: v["parameters"] for n, v in model.items() if isinstance(v, dict) and "parameters" in v},
                "configuration": model.get("configuration_parameters", {}),
                "per_image": per_image(table, rows, experiment),
            }
        )
    return {
        "merging_statistics": statistics.as_dict(),
        "datasets": sets,
        "error_models": [{"parameters": list(e.parameters), **e.details} for e in scaler.errors],
        "n_outliers": int(scaler.obs.outlier.sum()),
        "intensity_statistics": diagnosis.as_dict(),
        "image_scales": [
            {
                "dataset": s.number,
                "image": s.image.tolist(),
                "relative_to_neighbours": (s.scale / s.neighbours).tolist(),
                "odd": s.image[s.odd].tolist(),
            }
            for s in scaled.image_scales
        ],
    }


def html_report(
    data: dict[str, Any], tables: Sequence[Table], scaled: Scaled, statistics: MergingStatistics, diagnosis: Diagnosis
) -> str:
    """A self-contained page with the tables and plots."""
    page = Page("Scaling")
    page.section("Statistics")
    below = {t.key for t in diagnosis.tables()} if diagnosis.n else set()
    page.tables(t for t in tables if t.key not in below)
    page.section("By resolution")
    page.plots(shell_figures(statistics).values())
    errors = [(f"error model {k}", e["deviations"]) for k, e in enumerate(data["error_models"]) if e.get("deviations")]
    section = scaling_section(Given(scaled.experiments, {"scaled": scaled.table}), "", errors)
    curves: list[Any] = [
        (f"experiment {s['dataset']}", s["image"], s["relative_to_neighbours"])
        for s in data["image_scales"][:MOST_CURVES]
    ]
    if curves:
        title = "Scale of each image relative to its neighbours"
        section.figures["relative_to_neighbours"] = lines(title, "image", "ratio", curves)
    page.add(section)
    if diagnosis.n:
        page.add(diagnosis_section(diagnosis))
    return page.html()
