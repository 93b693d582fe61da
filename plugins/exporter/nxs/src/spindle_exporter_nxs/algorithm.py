"""The NXmx exporter."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from spindle.contracts import Algorithm, hookimpl
from spindle.contracts.exporter import Export
from spindle.errors import UserError
from spindle.models import Experiments
from spindle.params import Params as ParamsBase
from spindle.params import PathParam, Str
from spindle.table import ReflectionTable

from .columns import intensity_words
from .writing import write_file


class NxsExporter(Algorithm):
    """Models and all reflections as NXmx with NXreflections, in HDF5: everything there is, nothing left out."""

    several_panels = True

    class Params(ParamsBase):
        hklout = PathParam("integrated.nxs", output=True, help="Output file.")
        instrument_name = Str("Unknown", help="Name of the instrument.")
        instrument_short_name = Str("Unknown", help="Short name of the instrument.")
        source_name = Str("Unknown", help="Name of the source.")
        source_short_name = Str("Unknown", help="Short name of the source.")

    @hookimpl
    def export(
        self, experiments: Experiments, reflections: ReflectionTable, intensity: str, path: str | None
    ) -> Export:
        """One file; see `spindle.contracts.exporter.ExporterSpec.export`."""
        words = intensity_words(reflections)
        wanted = {"scale": ["scale"], "profile": ["prf"], "sum": ["sum"], "profile+sum": ["prf", "sum"], "auto": []}[
            intensity
        ]
        missing = [k for k in wanted if f"intensity.{k}.value" not in reflections]
        if missing or not words:
            raise UserError(
                f"export format=nxs: the reflections have no intensity.{(missing or ['sum'])[0]}.value; run spindle "
                f"{'scale' if missing == ['scale'] else 'integrate'} first"
            )
        p = self.params
        names = (p.instrument_name, p.instrument_short_name, p.source_name, p.source_short_name)
        target = path or str(p.hklout)
        messages = [
            f"{target}: {len(reflections)} reflections, all there are, with flags; {' and '.join(words)} intensities as they "
            "were measured, without corrections (column lp has the Lorentz-polarisation factor)"
        ]
        if wanted:
            messages.append(
                f"intensity={intensity}: this format holds every kind there is, the one asked for among them"
            )
        return Export({target: _writer(experiments, reflections, names)}, messages, {"reflections": len(reflections)})


def _writer(
    experiments: Experiments, reflections: ReflectionTable, names: tuple[str, str, str, str]
) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        write_file(Path(path), experiments, reflections, *names)

    return write
