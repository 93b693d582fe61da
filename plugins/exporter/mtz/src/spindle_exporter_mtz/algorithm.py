"""The MTZ exporter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from spindle.contracts import Algorithm, hookimpl
from spindle.contracts.exporter import Export, MergedData
from spindle.models import Experiments, space_group_from_symbol
from spindle.params import Auto, Bool, Float, PathParam, Str, UnitCell
from spindle.params import Params as BaseParams
from spindle.prediction import FlatDetector, flat_detector
from spindle.symmetry import asu_indices
from spindle.table import ReflectionTable
from spindle_lib_exchange import cell_for_export, the_space_group
from spindle_lib_merging.intensities import Intensities, prepare_intensities

from .frames import batch_headers, batch_integers, batch_offsets
from .summary import batch_table, column_table, flat_messages, header_lines
from .writing import write_mtz

if TYPE_CHECKING:
    import gemmi

Column = np.ndarray | Callable[[], np.ndarray]
WAVELENGTH_TOLERANCE = 1e-4
SORT_ORDER = [1, 2, 3, 4, 5]


class MtzExporter(Algorithm):
    """Unmerged and merged MTZ files, written with gemmi."""

    several_panels = True

    class Params(BaseParams):
        combine_partials = Bool(True, help="Add the parts of a reflection that was integrated in pieces.")
        partiality_threshold = Float(0.4, none=True, help="Leave out reflections recorded to a smaller fraction.")
        min_isigi = Float(-5.0, none=True, help="Leave out reflections with a smaller I / sigma.")
        force_static_model = Bool(False, help="Write the same orientation for all images of a scan-varying crystal.")
        filter_ice_rings = Bool(False, help="Leave out reflections at the resolutions of ice rings.")
        d_min = Float(None, none=True, units="angstrom", help="Highest resolution to write.")
        hklout = PathParam(
            Auto, output=True, help="Output file; Auto is scaled.mtz for scaled data, else integrated.mtz."
        )
        crystal_name = Str("XTAL", help="Name of the crystal in the file.")
        project_name = Str("SPINDLE", help="Name of the project in the file.")
        best_unit_cell = UnitCell(
            None,
            none=True,
            help="Cell for the file, also for the resolution limit; else the median of the cells, recalculated where they are.",
        )

    @hookimpl
    def export(
        self, experiments: Experiments, reflections: ReflectionTable, intensity: str, path: str | None
    ) -> Export:
        """Unmerged MTZ; see `spindle.contracts.exporter.ExporterSpec`."""
        p = self.params
        space_group = the_space_group(experiments, "mtz")
        cell, _ = cell_for_export(experiments, p.best_unit_cell)
        data = prepare_intensities(
            _with_resolution(reflections,
            cell) if p.best_unit_cell is not None or "d" not in reflections else reflections,
            intensity, combine_partials=p.combine_partials, partiality_threshold=p.partiality_threshold,
            min_isigi=p.min_isigi,
            d_min=p.d_min, filter_ice_rings=p.filter_ice_rings,
        )  # fmt: skip
        target = path or (
            ("scaled.mtz" if data.kind == "scale" else "integrated.mtz") if p.hklout is Auto else str(p.hklout)
        )
        flat = [flat_detector(e.detector, e.beam.s0) for e in experiments]
        offsets = batch_offsets(experiments)
        mtz = self._unmerged(experiments, data, space_group, cell, flat, offsets)
        holds = {
            "scale": "I = scaled intensity (already divided by SCALEUSED)",
            "profile+sum": "IPR = profile-fitted intensity, I = summed intensity, not scaled",
            "profile": "I = profile-fitted intensity, not scaled",
            "sum": "I = summed intensity, not scaled",
        }[data.kind]
        messages = [f"{target}: {len(data)} observations; {holds}; XDET, YDET, ROT are calculated positions"]
        messages += [f"{n} reflections left out: {reason}" for reason, n in data.dropped.items()]
        messages += flat_messages(flat) + header_lines(mtz)
        summary = {"observations": len(data), "intensity": data.kind, "n_batches": len(mtz.batches)}
        tables = [batch_table(experiments, offsets, mtz), column_table(mtz)]
        return Export(
            files={target: lambda file: write_mtz(mtz, file)}, messages=messages, summary=summary, tables=tables,
            next_step=f"spindle show {target}; POINTLESS, AIMLESS and other programs of CCP4 read it",
        )  # fmt: skip

    def _unmerged(
        self, experiments: Experiments, data: Intensities, space_group: Any, cell: np.ndarray,
        flat: list[FlatDetector], offsets: list[int],
    ) -> gemmi.Mtz:  # fmt: skip
        import gemmi

        mtz = gemmi.Mtz(with_base=False)
        mtz.title = "From spindle"
        mtz.history = [f"From spindle {_version()}: {data.kind} intensities"]
        mtz.spacegroup = space_group
        mtz.set_cell_for_all(gemmi.UnitCell(*cell))
        dataset_of = self._datasets(mtz, experiments, cell)
        table = data.table
        n = len(table)
        peek = table.peek  # columns of a large file are looked at one by one and not kept
        z = peek("xyzcal.px")[:, 2]
        which = table["id"]
        first = np.array([e.scan.array_range[0] if e.scan is not None else i for i, e in enumerate(experiments)])
        last = np.array([e.scan.array_range[1] - 1 if e.scan is not None else i for i, e in enumerate(experiments)])
        image = np.clip(np.floor(z), first[which], last[which]) + 1
        batch = image + np.array(offsets)[which]
        hkl, isym = asu_indices(peek("miller_index"), space_group)
        columns: list[tuple[str, str, Column]] = [("M/ISYM", "Y", isym), ("BATCH", "B", batch.astype(np.int32))]
        if data.kind == "profile+sum":
            columns += _pair(data, "prf", "IPR") + _pair(data, "sum", "I")
        else:
            columns += _pair(data, data.best, "I")
        if data.kind == "scale":
            g_variance = "inverse_scale_factor_variance"
            columns += [("SCALEUSED", "R", lambda: peek("inverse_scale_factor"))]
            columns += [("SIGSCALEUSED", "R", lambda: _sigma(peek(g_variance)) if g_variance in table else np.zeros(n))]
        if "background.sum.value" in table:
            columns += [("BG", "R", lambda: peek("background.sum.value"))]
            columns += [("SIGBG", "R", lambda: _sigma(peek("background.sum.variance")))]
        columns.append(("FRACTIONCALC", "R", lambda: peek("partiality") if "partiality" in table else np.ones(n)))
        place = _flat_positions(table, flat)
        columns += [("XDET", "R", place[:, 0]), ("YDET", "R", place[:, 1])]
        columns.append(("ROT", "R", lambda: np.rad2deg(peek("xyzcal.mm")[:, 2])))
        if "lp" in table:
            columns.append(("LP", "R", lambda: peek("lp")))
        columns.append(("QE", "R", lambda: peek("qe") if "qe" in table else np.ones(n)))
        _fill(mtz, hkl, [(label, kind, values, mtz.datasets[0].id) for label, kind, values in columns], unmerged=True)
        mtz.sort_order = SORT_ORDER
        batches = []
        for i, experiment in enumerate(experiments):
            headers = batch_headers(experiment, self.params.force_static_model, flat[i].panel)
            ints = batch_integers(dataset_of[i], self.params.force_static_model)
            number = experiment.scan.image_range[0] if experiment.scan is not None else i + 1
            for row, floats in enumerate(headers):
                batches.append(_batch(number + row + offsets[i], floats, ints))
        for batch in sorted(batches, key=lambda b: b.number):
            mtz.batches.append(batch)
        return mtz

    def _datasets(self, mtz: gemmi.Mtz, experiments: Experiments, cell: np.ndarray) -> list[int]:
        """One data set per wavelength; returns that of each experiment."""
        import gemmi

        wavelengths: list[float] = []
        positions = []
        for experiment in experiments:
            wavelength = experiment.beam.wavelength
            near = [i for i, w in enumerate(wavelengths) if abs(w - wavelength) < WAVELENGTH_TOLERANCE]
            if not near:
                wavelengths.append(wavelength)
            positions.append(near[0] if near else len(wavelengths) - 1)
        for i, wavelength in enumerate(wavelengths):
            dataset = mtz.add_dataset("FROMSPINDLE" if len(wavelengths) == 1 else f"FROMSPINDLE_{i + 1}")
            dataset.id = i + 1
            dataset.project_name = self.params.project_name
            dataset.crystal_name = self.params.crystal_name
            dataset.wavelength = wavelength
            dataset.cell = gemmi.UnitCell(*cell)
        return [p + 1 for p in positions]

    @hookimpl
    def export_merged(self, merged: MergedData, path: str) -> Export:
        """Merged MTZ; see `spindle.contracts.exporter.ExporterSpec`."""
        import gemmi

        mtz = gemmi.Mtz(with_base=False)
        mtz.title = merged.title
        mtz.history = [f"From spindle {_version()}: merged"]
        mtz.spacegroup = space_group_from_symbol(merged.space_group)
        mtz.set_cell_for_all(gemmi.UnitCell(*merged.datasets[0].cell))
        for i, source in enumerate(merged.datasets):
            dataset = mtz.add_dataset(source.name)
            dataset.id = i + 1
            dataset.crystal_name, dataset.project_name = source.crystal, source.project
            dataset.wavelength, dataset.cell = source.wavelength, gemmi.UnitCell(*source.cell)
        _fill(
            mtz,
            merged.miller_index,
            [(c.label, c.type, c.values, c.dataset + 1) for c in merged.columns],
            unmerged=False,
        )
        mtz.sort_order = [1, 2, 3, 0, 0]
        labels = " ".join(c.label for c in merged.columns)
        messages = [f"{path}: {len(merged.miller_index)} unique reflections, merged; columns {labels}"]
        messages += header_lines(mtz)
        return Export(files={path: lambda file: write_mtz(mtz, file)}, messages=messages, tables=[column_table(mtz)])


def _pair(data: Intensities, kind: str, label: str) -> list[tuple[str, str, Column]]:
    return [(label, "J", data.values[kind]), (f"SIG{label}", "Q", lambda: np.sqrt(data.variances[kind]))]


def _sigma(variance: np.ndarray) -> np.ndarray:
    return np.sqrt(np.maximum(variance, 0.0))


def _flat_positions(table: ReflectionTable, flat: list[FlatDetector]) -> np.ndarray:
    """(n, 2) float32: calculated positions on the flat detector of each experiment, in pixels."""
    place = np.empty((len(table), 2), dtype=np.float32)
    pixels = table.peek("xyzcal.px")
    panel = table.peek("panel") if "panel" in table else np.zeros(len(table), dtype=np.int64)
    for i, rows in table.rows_by_experiment().items():
        place[rows] = flat[i].positions(panel[rows], pixels[rows, :2])
    return place


def _with_resolution(table: ReflectionTable, cell: np.ndarray) -> ReflectionTable:
    import gemmi

    result = table.view()
    inverse = gemmi.UnitCell(*cell).calculate_1_d2_array(np.ascontiguousarray(table["miller_index"]))
    result["d"] = 1.0 / np.sqrt(np.maximum(inverse, 1e-12))
    return result


def _fill(mtz: gemmi.Mtz, hkl: np.ndarray, columns: Sequence[tuple[str, str, Column, int]], unmerged: bool) -> None:
    """Add H, K, L and the columns, sorted by H, K, L (and M/ISYM, BATCH, the first two columns)."""
    dataset = mtz.datasets[0].id
    for label in "HKL":
        mtz.add_column(label, "H", dataset_id=dataset, expand_data=False)
    for label, kind, _, owner in columns:
        mtz.add_column(label, kind, dataset_id=owner, expand_data=False)
    keys = [hkl[:, 2], hkl[:, 1], hkl[:, 0]]
    if unmerged:
        keys = [_values_of(columns[1][2]), _values_of(columns[0][2]), *keys]
    order = np.lexsort(keys)
    mtz.set_data(np.zeros((len(hkl), 3 + len(columns)), dtype=np.float32))
    data = mtz.array
    data[:, :3] = hkl[order]
    for i, (_, _, values, _) in enumerate(columns):
        data[:, 3 + i] = _values_of(values)[order]
    mtz.update_reso()


def _values_of(column: Column) -> np.ndarray:
    """The values of a column, made now when they are wanted only once."""
    return np.asarray(column() if callable(column) else column)


def _batch(number: int, floats: np.ndarray, ints: list[int]) -> gemmi.Mtz.Batch:
    import gemmi

    batch = gemmi.Mtz.Batch()
    batch.number = number
    batch.title = f"Batch {number}"
    for i, value in enumerate(ints):
        batch.ints[i] = value
    for at in np.flatnonzero(floats):
        batch.floats[int(at)] = float(floats[at])
    batch.axes = ["AXIS"]
    return batch


def _version() -> str:
    from importlib.metadata import version

    return version("spindle-exporter-mtz")
