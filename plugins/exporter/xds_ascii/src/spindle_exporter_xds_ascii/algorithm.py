"""XDS_ASCII.HKL of integrated or scaled data."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from spindle.contracts import Algorithm, hookimpl
from spindle.contracts.exporter import Export
from spindle.errors import UserError
from spindle.geometry import rotate_about
from spindle.models import Experiment, Experiments, Panel
from spindle.params import Params as BaseParams
from spindle.params import PathParam
from spindle.prediction import FlatDetector, flat_detector
from spindle.symmetry import asu_indices
from spindle.table import ReflectionTable
from spindle_lib_merging import Intensities, in_reference_setting, prepare_intensities

ITEMS = ("H", "K", "L", "IOBS", "SIGMA(IOBS)", "XD", "YD", "ZD", "RLP", "PEAK", "CORR", "PSI")
FORMATS = ["%d"] * 3 + ["%.6g"] * 2 + ["%.3f"] * 3 + ["%.6f"] + ["%.1f"] * 2 + ["%.2f"]
HOLDS = {"scale": "scaled", "prf": "profile-fitted, not scaled", "sum": "summed, not scaled"}


class XdsAsciiExporter(Algorithm):
    """XDS_ASCII files, one per experiment."""

    several_panels = True

    class Params(BaseParams):
        hklout = PathParam(
            "XDS_ASCII.HKL", output=True, help="Output file; several experiments get this name with a number added."
        )

    @hookimpl
    def export(
        self, experiments: Experiments, reflections: ReflectionTable, intensity: str, path: str | None
    ) -> Export:
        """XDS_ASCII; see `spindle.contracts.exporter.ExporterSpec`."""
        target = Path(path or str(self.params.hklout))
        result = Export()
        for i, experiment in enumerate(experiments):
            self._check(i, experiment)
        experiments, table, notes = in_reference_setting(experiments, reflections)
        assert table is not None
        rows_of = table.rows_by_experiment()
        for i, experiment in enumerate(experiments):
            rows = table.select(rows_of.get(i, np.zeros(0, np.int64)))
            if not len(rows) and len(table):
                result.messages.append(f"experiment {i} has no reflections: no file is written for it")
                continue
            data = prepare_intensities(rows, intensity)
            name = str(target if len(experiments) == 1 else target.with_name(f"{target.stem}_{i + 1}{target.suffix}"))
            kind = data.best
            if intensity == "sum":
                kind = "sum"
            flat = flat_detector(experiment.detector, experiment.beam.s0)
            body = _rows(experiment, data, kind, flat)
            header = _header(experiment, HOLDS[kind], flat.panel)
            result.files[name] = _writer(header, body)
            result.messages.append(
                f"{name}: {len(data)} observations; IOBS = {HOLDS[kind]} intensity; XD, YD, ZD are calculated positions"
            )
            if len(experiment.detector) > 1:
                nx, ny = flat.panel.image_size
                result.messages.append(
                    f"{name}: {len(experiment.detector)} panels: XD, YD are positions on the flat detector of {nx} "
                    f"x {ny} pixels that the header describes, in the plane of panel {flat.from_panel}"
                )
            result.messages += [f"{n} reflections left out: {reason}" for reason, n in data.dropped.items()]
        result.messages += notes
        result.next_step = (
            f"spindle show {' '.join(result.files)}; XSCALE, XDSCONV and POINTLESS read it" if result.files else ""
        )
        return result

    def _check(self, i: int, experiment: Experiment) -> None:
        """Refuse what the format cannot say."""
        if experiment.crystal is None:
            raise UserError(f"export format=xds_ascii: experiment {i} has no crystal; run spindle index first")
        if experiment.is_still:
            raise UserError(f"export format=xds_ascii: experiment {i} is a still; the format is for rotation data")
        if flat_detector(experiment.detector, experiment.beam.s0).unrolled:
            raise UserError(
                f"export format=xds_ascii: the detector of experiment {i} reaches more than 80 degrees from the normal "
                "of the panel that the beam hits; the format describes one flat detector: use format=mtz"
            )


def _frame(experiment: Experiment, panel: Panel) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Turn into the detector's frame, and axis, beam and A at rotation angle 0 in it."""
    goniometer, crystal = experiment.goniometer, experiment.crystal
    assert goniometer is not None and crystal is not None
    turn = np.stack([panel.fast_axis, panel.slow_axis, panel.normal])
    A = turn @ goniometer.setting_rotation @ goniometer.fixed_rotation @ crystal.A
    return turn, turn @ goniometer.axis_lab, turn @ experiment.beam.s0, A


def _header(experiment: Experiment, holds: str, panel: Panel) -> list[str]:
    turn, axis, s0, A = _frame(experiment, panel)
    scan, crystal = experiment.scan, experiment.crystal
    assert scan is not None and crystal is not None
    origin = turn @ panel.origin
    real = np.linalg.inv(A)
    start, width = scan.oscillation_deg
    nx, ny = panel.image_size
    lines = [
        "!FORMAT=XDS_ASCII    MERGE=FALSE    FRIEDEL'S_LAW=TRUE",
        # Readers take the word after 'by' for the layout of the columns.
        f"!Generated by CORRECT   (this layout, written by spindle export; IOBS is the {holds} intensity)",
        f"!DATA_RANGE= {scan.image_range[0]} {scan.image_range[1]}",
        "!ROTATION_AXIS= " + _numbers(axis, "9.6f"),
        f"!OSCILLATION_RANGE= {width:.6f}",
        f"!STARTING_ANGLE= {start:.6f}",
        f"!STARTING_FRAME= {scan.image_range[0]}",
        f"!SPACE_GROUP_NUMBER= {crystal.space_group.number}",
        "!UNIT_CELL_CONSTANTS= " + _numbers(crystal.cell, "9.3f"),
        *(f"!UNIT_CELL_{name}-AXIS= " + _numbers(row, "9.3f") for name, row in zip("ABC", real, strict=True)),
        f"!X-RAY_WAVELENGTH= {experiment.beam.wavelength:.6f}",
        "!INCIDENT_BEAM_DIRECTION= " + _numbers(s0, "9.6f"),
        f"!NX= {nx} NY= {ny} QX= {panel.pixel_size[0]:.6f} QY= {panel.pixel_size[1]:.6f}",
        f"!ORGX= {-origin[0] / panel.pixel_size[0]:9.2f} ORGY= {-origin[1] / panel.pixel_size[1]:9.2f}",
        f"!DETECTOR_DISTANCE= {origin[2]:9.3f}",
        "!DIRECTION_OF_DETECTOR_X-AXIS=   1.00000   0.00000   0.00000",
        "!DIRECTION_OF_DETECTOR_Y-AXIS=   0.00000   1.00000   0.00000",
        "!VARIANCE_MODEL= 1.000e+00 0.000e+00",
        f"!NUMBER_OF_ITEMS_IN_EACH_DATA_RECORD={len(ITEMS)}",
        *(f"!ITEM_{item}={i + 1}" for i, item in enumerate(ITEMS)),
        "!END_OF_HEADER",
    ]
    return lines


def _numbers(values: np.ndarray, form: str) -> str:
    return " ".join(f"{v:{form}}" for v in values)


def _rows(experiment: Experiment, data: Intensities, kind: str, flat: FlatDetector) -> np.ndarray:
    """(n, 12) float64, sorted by the index in the asymmetric unit."""
    table = data.table
    n = len(table)
    crystal = experiment.crystal
    assert crystal is not None
    position = table["xyzcal.px"]
    xy = flat.positions(table.get("panel", np.zeros(n, dtype=np.int64)), position[:, :2])
    lp = table.get("lp", np.ones(n)) / table.get("qe", np.ones(n))
    columns = [
        table["miller_index"], data.values[kind][:, None], np.sqrt(data.variances[kind])[:, None], xy,
        position[:, 2:], lp[:, None], 100.0 * table.get("partiality", np.ones(n))[:, None],
        100.0 * table.get("profile.correlation", np.ones(n))[:, None], _psi(experiment, table, flat.panel)[:, None],
    ]  # fmt: skip
    asu, _ = asu_indices(table["miller_index"], crystal.space_group)
    order = np.lexsort([position[:, 2], asu[:, 2], asu[:, 1], asu[:, 0]])
    return np.concatenate(columns, axis=1)[order]


def _psi(experiment: Experiment, table: ReflectionTable, panel: Panel) -> np.ndarray:
    """(n,) degrees: azimuth of the reference vector about the scattering vector, as XDS defines PSI."""
    _, axis, s0, A = _frame(experiment, panel)
    hkl = table["miller_index"].astype(np.float64)
    phi = table["xyzcal.mm"][:, 2]
    x = rotate_about(np.ascontiguousarray(hkl @ A.T), axis, phi)
    s = s0 + x
    g = _unit(np.cross(s, s0))
    e = -_unit(s + s0)
    h, k, l = hkl.T
    u = np.stack([k - l, l - h, h - k], axis=1)
    same = np.all(u == 0, axis=1)
    u[same] = np.stack([h, -h, np.zeros_like(h)], axis=1)[same]
    q = rotate_about(np.ascontiguousarray(_unit(u @ np.linalg.inv(A))), axis, phi)
    psi = np.rad2deg(np.arccos(np.clip(np.einsum("ij,ij->i", q, g), -1.0, 1.0)))
    return np.asarray(np.where(np.einsum("ij,ij->i", q, e) < 0, -psi, psi))


def _unit(v: np.ndarray) -> np.ndarray:
    return np.asarray(v / np.maximum(np.linalg.norm(v, axis=1, keepdims=True), 1e-300))


def _writer(header: list[str], body: np.ndarray):  # type: ignore[no-untyped-def]
    def write(path: Path) -> None:
        with path.open("w") as file:
            file.write("\n".join(header) + "\n")
            np.savetxt(file, body, fmt=FORMATS)
            file.write("!END_OF_DATA\n")

    return write
