"""The mmCIF exporter."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import IO

from spindle.contracts import Algorithm, hookimpl
from spindle.contracts.exporter import Export, MergedData
from spindle.models import Experiments
from spindle.params import Auto, Choice, PathParam, UnitCell
from spindle.params import Params as ParamsBase
from spindle.table import ReflectionTable
from spindle_lib_exchange import cell_for_export, observations, the_space_group

from .merged import write_merged
from .unmerged import Writer

ENDINGS = {"gz": ".gz", "bz2": ".bz2", "xz": ".xz"}


class MmcifExporter(Algorithm):
    """Unmerged observations and merged reflections as mmCIF, to be deposited with a structure."""

    several_panels = True

    class Params(ParamsBase):
        hklout = PathParam(
            Auto, output=True, help="Output file; Auto is scaled.cif for scaled data, else integrated.cif."
        )
        compress = Choice(
            ["gz", "bz2", "xz"],
            default=None,
            none=True,
            help="Compress the file; its ending is added to its name.",
        )
        pdb_version = Choice(
            ["v5", "v5_next"],
            default="v5",
            help="Dictionary of the Protein Data Bank whose items are used: v5 writes diffrn_refln, v5_next the "
            "categories for unmerged data, which hold both kinds of unscaled intensities.",
        )
        best_unit_cell = UnitCell(
            None, none=True, help="Cell for the file; else the median of the cells, recalculated where they are."
        )

    @hookimpl
    def export(
        self, experiments: Experiments, reflections: ReflectionTable, intensity: str, path: str | None
    ) -> Export:
        """Unmerged data; see `spindle.contracts.exporter.ExporterSpec.export`."""
        p = self.params
        group = the_space_group(experiments, "mmcif")
        observed = observations(reflections, intensity)
        target = path or (
            ("scaled.cif" if observed.kind == "scale" else "integrated.cif") if p.hklout is Auto else str(p.hklout)
        )
        target += ENDINGS.get(p.compress or "", "")
        cell, _ = cell_for_export(experiments, p.best_unit_cell)
        writer = Writer(experiments, observed, group, cell, next_version=p.pdb_version == "v5_next")
        messages = observed.messages(target)
        if p.pdb_version == "v5_next" and observed.data.kind == "profile+sum":
            messages[0] = f"{target}: {len(observed)} observations of profile-fitted and summed intensities, not scaled"
        if any(len(e.detector) > 1 for e in experiments) and p.pdb_version == "v5":
            messages.append(
                "positions are on one flat detector per experiment, in the plane of the panel that the beam hits"
            )
        return Export({target: _compressed(writer.write, p.compress)}, messages, {"observations": len(observed)})

    @hookimpl
    def export_merged(self, merged: MergedData, path: str) -> Export:
        """Merged data; see `spindle.contracts.exporter.ExporterSpec.export_merged`."""
        target = path + ENDINGS.get(self.params.compress or "", "")
        count = len(merged.datasets)
        said = f"{target}: {len(merged.miller_index)} unique reflections, merged"
        if count > 1:
            said += f"; {count} data blocks, one for each wavelength"
        return Export({target: _compressed(lambda file: write_merged(file, merged), self.params.compress)}, [said])


def _compressed(write: Callable[[IO[str]], None], how: str | None) -> Callable[[Path], None]:
    """What writes to a path, with nothing in the file that depends on name or time."""

    def writer(path: Path) -> None:
        if how is None:
            with Path(path).open("w", encoding="ascii", newline="\n") as plain:
                write(plain)
            return
        text = io.StringIO()
        write(text)
        content = text.getvalue().encode("ascii")
        packed = {
            "gz": lambda: gzip.compress(content, 6, mtime=0),
            "bz2": lambda: bz2.compress(content),
            "xz": lambda: lzma.compress(content),
        }
        Path(path).write_bytes(packed[how]())

    return writer
