"""XDS.INP, XPARM.XDS and SPOT.XDS."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from spindle.contracts import Algorithm, hookimpl
from spindle.contracts.exporter import Export
from spindle.errors import UserError
from spindle.models import Experiment, Experiments
from spindle.params import FolderParam
from spindle.params import Params as BaseParams
from spindle.table import ReflectionTable
from spindle_lib_merging import in_reference_setting
from spindle_lib_spots.sweeps import sweep_numbers

from .frame import XdsFrame, offsets_of, reason_against_segments
from .spots import spot_text, spots_of


def xparm_text(experiment: Experiment) -> str:
    """Content of XPARM.XDS; needs crystal and scan."""
    frame, scan, panel = XdsFrame(experiment), experiment.scan, experiment.detector[0]
    crystal = experiment.crystal
    assert scan is not None and crystal is not None and frame.real_space is not None
    start, width = scan.oscillation_deg
    nx, ny = frame.size
    beam = frame.s0
    lines = [
        " XPARM.XDS    VERSION written by spindle",
        f"{scan.image_range[0]:6d} {start:13.4f} {width:9.4f} " + _row(frame.axis, 9),
        f"{experiment.beam.wavelength:15.6f} " + _row(beam, 14),
        f"{crystal.space_group.number:6d} " + " ".join(f"{v:11.4f}" for v in crystal.cell[:3]) + " "
        + " ".join(f"{v:7.3f}" for v in crystal.cell[3:]),
        *(_row(v, 15) for v in frame.real_space),
        f"{len(frame.segments):9d} {nx:9d} {ny:9d} {panel.pixel_size[0]:11.6f} {panel.pixel_size[1]:11.6f}",
        f"{frame.origin_px[0] + 0.5:15.6f} {frame.origin_px[1] + 0.5:15.6f} {frame.distance:15.6f}",
        _row((1, 0, 0), 15), _row((0, 1, 0), 15), _row((0, 0, 1), 15),
    ]  # fmt: skip
    for i, segment in enumerate(frame.segments):
        x1, x2, y1, y2 = segment.limits
        lines.append(f"{i + 1:10d} {x1:9d} {x2:9d} {y1:9d} {y2:9d}")
        place = (*segment.origin_px, segment.distance)
        if len(frame.segments) == 1:
            lines.append(
                "".join(f"{v + 0.0:8.2f}" for v in np.round(place, 2))
                + "".join(f"{v + 0.0:9.5f}" for v in np.round([*segment.x, *segment.y], 5))
            )
        else:  # two decimals of a pixel are not enough
            lines.append("".join(f"{v:12.4f}" for v in place) + "".join(f"{v:11.7f}" for v in (*segment.x, *segment.y)))
    return "\n".join(lines) + "\n"


def _row(values: object, width: int) -> str:
    return " ".join(f"{float(v):{width}.6f}" for v in values)  # type: ignore[attr-defined]


def xds_inp_text(experiment: Experiment, folder: str) -> str:
    """Content of XDS.INP, ready for the jobs from XYCORR to CORRECT."""
    frame, scan, panel, beam = XdsFrame(experiment), experiment.scan, experiment.detector[0], experiment.beam
    assert scan is not None
    low, high = panel.trusted_range
    nx, ny = frame.size
    is_pilatus = panel.type == "SENSOR_PAD" and abs(panel.pixel_size[0] - 0.172) < 1e-6
    is_eiger = panel.type == "SENSOR_PAD" and abs(panel.pixel_size[0] - 0.075) < 1e-6
    name = "PILATUS" if is_pilatus else "EIGER" if is_eiger else "ADSC"
    lines = [f"DETECTOR={name} MINIMUM_VALID_PIXEL_VALUE={max(int(low), 0)} OVERLOAD={int(high)}"]
    if panel.thickness > 0:
        lines.append(f"SENSOR_THICKNESS= {panel.thickness:.3f}")
        lines.append(f"!SENSOR_MATERIAL / THICKNESS {panel.material} {panel.thickness:.3f}")
        if panel.mu > 0:
            lines.append(f"!SILICON= {panel.mu:.6f}" if panel.material != "Si" else f"SILICON= {panel.mu:.6f}")
    for each, (dx, dy) in zip(experiment.detector, offsets_of(experiment.detector).astype(int), strict=True):
        lines += [
            f"UNTRUSTED_RECTANGLE= {f0 + dx} {f1 + 1 + dx} {s0 + dy} {s1 + 1 + dy}" for f0, s0, f1, s1 in each.mask
        ]
    normal = frame.turn @ beam.polarization_normal
    template = _template(experiment, folder)
    start, width = scan.oscillation_deg
    lines += [
        "DIRECTION_OF_DETECTOR_X-AXIS= 1.00000 0.00000 0.00000",
        "DIRECTION_OF_DETECTOR_Y-AXIS= 0.00000 1.00000 0.00000",
        f"NX={nx} NY={ny} QX={panel.pixel_size[0]:.4f} QY={panel.pixel_size[1]:.4f}",
        f"DETECTOR_DISTANCE= {frame.distance:.6f}",
        f"ORGX= {frame.origin_px[0] + 0.5:.2f} ORGY= {frame.origin_px[1] + 0.5:.2f}",
        "ROTATION_AXIS= " + " ".join(f"{v:.5f}" for v in frame.axis),
        f"STARTING_ANGLE= {start:.3f}",
        f"STARTING_FRAME= {scan.image_range[0]}",
        f"OSCILLATION_RANGE= {width:.4f}",
        f"X-RAY_WAVELENGTH= {beam.wavelength:.5f}",
        "INCIDENT_BEAM_DIRECTION= " + " ".join(f"{v:.6f}" for v in frame.s0),
        f"FRACTION_OF_POLARIZATION= {beam.polarization_fraction:.3f}",
        "POLARIZATION_PLANE_NORMAL= " + " ".join(f"{v:.3f}" for v in normal),
        f"NAME_TEMPLATE_OF_DATA_FRAMES= {template}",
        "TRUSTED_REGION= 0.0 1.41",
        f"DATA_RANGE= {scan.image_range[0]} {scan.image_range[1]}",
        "JOB= XYCORR INIT DEFPIX INTEGRATE CORRECT",
    ]
    for segment in frame.segments if len(frame.segments) > 1 else ():
        lines += [
            "SEGMENT= " + " ".join(map(str, segment.limits)),
            "DIRECTION_OF_SEGMENT_X-AXIS= " + " ".join(f"{v:.7f}" for v in segment.x),
            "DIRECTION_OF_SEGMENT_Y-AXIS= " + " ".join(f"{v:.7f}" for v in segment.y),
            f"SEGMENT_DISTANCE= {segment.distance:.4f}",
            f"SEGMENT_ORGX= {segment.origin_px[0]:.4f} SEGMENT_ORGY= {segment.origin_px[1]:.4f}",
        ]
    if experiment.crystal is not None and frame.real_space is not None:
        lines.append(f"SPACE_GROUP_NUMBER= {experiment.crystal.space_group.number}")
        lines.append("UNIT_CELL_CONSTANTS= " + " ".join(f"{v:.4f}" for v in experiment.crystal.cell))
        lines += [
            f"UNIT_CELL_{n}-AXIS= " + " ".join(f"{v:.6f}" for v in row)
            for n, row in zip("ABC", frame.real_space, strict=True)
        ]
    else:
        lines.append("SPACE_GROUP_NUMBER= 0")
    return "\n".join(lines) + "\n"


def _template(experiment: Experiment, folder: str) -> str:
    imageset = experiment.imageset
    if imageset is None or not imageset.template:
        raise UserError(
            "export format=xds: the experiment has no file name template; XDS reads images that are numbered by file "
            "name"
        )
    name = os.path.relpath(imageset.template, folder)
    parts = imageset.numbered
    return (
        name
        if parts is None
        else f"{name[: len(name) - len(parts.suffix) - parts.width]}{'?' * parts.width}{parts.suffix}"
    )


class XdsExporter(Algorithm):
    """Input files for XDS from indexed or refined experiments."""

    needs = frozenset({"experiments"})
    several_panels = True

    class Params(BaseParams):
        directory = FolderParam(
            "xds", output=True, help="Folder for the files; several experiments get this name with a number added."
        )

    @hookimpl
    def export(
        self, experiments: Experiments, reflections: ReflectionTable | None, intensity: str, path: str | None
    ) -> Export:
        """Files per experiment; see `spindle.contracts.exporter.ExporterSpec`."""
        base = path or str(self.params.directory)
        result = Export()
        for i, experiment in enumerate(experiments):
            self._check(i, experiment)
        experiments, reflections, notes = in_reference_setting(experiments, reflections)
        folders = [base] if len(experiments) == 1 else [f"{base}_{i + 1}" for i in range(len(experiments))]
        sweeps = sweep_numbers(experiments)
        for i, (experiment, folder) in enumerate(zip(experiments, folders, strict=True)):
            texts = {"XDS.INP": xds_inp_text(experiment, folder)}
            if experiment.crystal is not None:
                texts["XPARM.XDS"] = xparm_text(experiment)
            if reflections is not None and {"xyzobs.px.value", "intensity.sum.value"} <= set(reflections.columns):
                text, said = spot_text(spots_of(reflections, i, sweeps[i]), offsets_of(experiment.detector))
                if text:
                    texts["SPOT.XDS"] = text
                result.messages.append(f"{folder}/SPOT.XDS: {said}")
            for name, text in texts.items():
                result.files[str(Path(folder) / name)] = _writer(text)
        result.messages += notes
        result.next_step = "; ".join(f"(cd {folder} && xds)" for folder in folders)
        return result

    def _check(self, i: int, experiment: Experiment) -> None:
        """Refuse what XDS cannot be told."""
        if experiment.scan is None or experiment.is_still:
            raise UserError(f"export format=xds: experiment {i} is a still; XDS processes rotation data only")
        reason = reason_against_segments(experiment.detector)
        if reason:
            raise UserError(
                f"export format=xds: the detector of experiment {i} has {reason}; use format=mtz or xds_ascii after integration"
            )


def _writer(text: str):  # type: ignore[no-untyped-def]
    def write(path: Path) -> None:
        path.write_text(text)

    return write
