"""Data for MTZ files."""

from __future__ import annotations

from typing import Any

import numpy as np

from spindle.contracts.exporter import MergedColumn, MergedData, MergedDataset
from spindle.models import Experiments
from spindle.table import Flag, ReflectionTable
from spindle_lib_merging import (
    amplitude_columns,
    expected_intensity,
    french_wilson,
    intensity_columns,
    merge_pairs,
    resolution_of,
)


def unmerged_table(table: ReflectionTable) -> ReflectionTable:
    """The reflections that were scaled."""
    return table.select(table.has_flags(Flag.SCALED))


def merged_data(experiments: Experiments, table: ReflectionTable, params: Any) -> MergedData:
    """Merged intensities and amplitudes of all scaled reflections."""
    good = table.has_flags(Flag.SCALED)
    g = table["inverse_scale_factor"][good]
    crystal, output = experiments[0].known_crystal, params.output
    pairs = merge_pairs(
        table.peek("miller_index")[good], table["intensity.scale.value"][good] / g,
        table["intensity.scale.variance"][good] / g**2, crystal.space_group, output.use_internal_variance,
    )  # fmt: skip
    cell = np.mean([e.crystal.cell for e in experiments if e.crystal is not None], axis=0)
    mean = pairs.mean
    expected = expected_intensity(mean.intensity, resolution_of(mean.hkl, cell), mean.epsilon, mean.centric)
    of_all, of_plus, of_minus = (
        french_wilson(values, sigmas, mean.centric, expected)
        for values, sigmas in (
            (mean.intensity, mean.sigma), (pairs.plus, pairs.sigma_plus), (pairs.minus, pairs.sigma_minus)
        )
    )  # fmt: skip
    columns = intensity_columns(pairs) + amplitude_columns(pairs, of_all, of_plus, of_minus)
    wavelength = float(np.mean([e.beam.wavelength for e in experiments]))
    dataset = MergedDataset("NATIVE", output.crystal_name, output.project_name, cell, wavelength)
    return MergedData(
        mean.hkl, [MergedColumn(label, kind, values) for label, kind, values in columns], [dataset],
        crystal.space_group.xhm(), "Scaled by spindle",
    )  # fmt: skip
