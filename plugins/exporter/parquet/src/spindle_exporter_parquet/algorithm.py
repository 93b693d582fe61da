"""The Parquet exporter."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from spindle.contracts import Algorithm, hookimpl
from spindle.contracts.exporter import Export, MergedData
from spindle.models import Experiments
from spindle.params import Choice, PathParam
from spindle.params import Params as ParamsBase
from spindle.table import ReflectionTable
from spindle_lib_exchange import observation_table, observations


class ParquetExporter(Algorithm):
    """One observation a row with index, intensity, place and corrections, as Parquet; needs the package pyarrow."""

    several_panels = True

    class Params(ParamsBase):
        filename = PathParam("spindle.parquet", output=True, help="Output file.")
        compression = Choice(["zstd", "snappy", "none"], default="zstd", help="How columns are compressed.")

    @classmethod
    def unavailable(cls) -> str:
        """Why this machine cannot write the format; empty when it can."""
        if find_spec("pyarrow") is None:
            return "the package pyarrow is not installed; pip install pyarrow, or use format=csv"
        return ""

    @hookimpl
    def export(
        self, experiments: Experiments, reflections: ReflectionTable, intensity: str, path: str | None
    ) -> Export:
        """One file; see `spindle.contracts.exporter.ExporterSpec.export`."""
        observed = observations(reflections, intensity)
        target = path or str(self.params.filename)
        columns = observation_table(experiments, observed)
        messages = [*observed.messages(target), "columns: " + ", ".join(columns)]
        said = {"intensity": observed.holds}
        return Export({target: self._writer(columns, said)}, messages, {"observations": len(observed)})

    @hookimpl
    def export_merged(self, merged: MergedData, path: str) -> Export:
        """One file; see `spindle.contracts.exporter.ExporterSpec.export_merged`."""
        columns = dict(zip("hkl", merged.miller_index.T, strict=True))
        columns |= {c.label: np.asarray(c.values) for c in merged.columns}
        messages = [f"{path}: {len(merged.miller_index)} unique reflections, merged"]
        return Export({path: self._writer(columns, {"intensity": "scaled, merged"})}, messages)

    def _writer(self, columns: dict[str, np.ndarray], said: dict[str, str]) -> Callable[[Path], None]:
        compression = self.params.compression

        def write(path: Path) -> None:
            import pyarrow
            from pyarrow import parquet

            table = pyarrow.table({name: np.ascontiguousarray(values) for name, values in columns.items()})
            parquet.write_table(table.replace_schema_metadata(said), str(path), compression=compression)

        return write
