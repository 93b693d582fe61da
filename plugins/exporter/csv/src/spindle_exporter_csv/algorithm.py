"""The exporter of comma-separated values."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from spindle.contracts import Algorithm, hookimpl
from spindle.contracts.exporter import Export, MergedData
from spindle.models import Experiments
from spindle.params import Params as ParamsBase
from spindle.params import PathParam
from spindle.table import ReflectionTable
from spindle_lib_exchange import observation_table, observations, write_rows


class CsvExporter(Algorithm):
    """One observation a line with index, intensity, place and corrections, for spreadsheets and data frames."""

    several_panels = True

    class Params(ParamsBase):
        filename = PathParam("spindle.csv", output=True, help="Output file.")

    @hookimpl
    def export(
        self, experiments: Experiments, reflections: ReflectionTable, intensity: str, path: str | None
    ) -> Export:
        """One file; see `spindle.contracts.exporter.ExporterSpec.export`."""
        observed = observations(reflections, intensity)
        target = path or str(self.params.filename)
        columns = observation_table(experiments, observed)
        messages = [*observed.messages(target), "columns: " + ", ".join(columns)]
        return Export({target: _writer(columns)}, messages, {"observations": len(observed)})

    @hookimpl
    def export_merged(self, merged: MergedData, path: str) -> Export:
        """One file; see `spindle.contracts.exporter.ExporterSpec.export_merged`."""
        columns = dict(zip("hkl", merged.miller_index.T, strict=True))
        columns |= {c.label: np.asarray(c.values) for c in merged.columns}
        return Export({path: _writer(columns)}, [f"{path}: {len(merged.miller_index)} unique reflections, merged"])


def _writer(columns: dict[str, np.ndarray]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        form = ",".join("%d" if np.issubdtype(v.dtype, np.integer) else "%.9g" for v in columns.values())
        with Path(path).open("w", encoding="ascii", newline="\n") as file:
            file.write(",".join(columns) + "\n")
            write_rows(file, form, list(columns.values()))

    return write
