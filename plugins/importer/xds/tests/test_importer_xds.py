"""The importer passes the contract of its slot; what was exported for XDS comes back, and files of XDS itself are understood."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from spindle_importer_xds.inputs import pairs

import spindle
from spindle.errors import FileFormatError, UserError
from spindle.geometry import rotation_matrix
from spindle.models import Detector, Experiments, Goniometer
from spindle.prediction import predict_static
from spindle.table import Flag
from spindle.testing.exporter import integrated_data
from spindle.testing.importer import ImporterContract

CCTBX = Path("/usr/lib/python3/dist-packages/iotbx/xds/tests")


def exported(folder, experiments, table, **params):
    """Files that spindle writes, with their own names in a folder."""
    for name, writer in spindle.run("export", experiments, table, **params).files.items():
        writer(folder / Path(name).name)


def imported(path, **params):
    return spindle.run("import", files=[path], **params)


class TestXparm(ImporterContract):
    name = "xds"

    @pytest.fixture
    def result_file(self, tmp_path):
        exported(tmp_path, *integrated_data(), format="xds")
        return tmp_path / "XPARM.XDS"


class TestAscii(ImporterContract):
    name = "xds"

    @pytest.fixture
    def result_file(self, tmp_path):
        exported(tmp_path, *integrated_data(), format="xds_ascii")
        return tmp_path / "XDS_ASCII.HKL"


def turned(rotation, **changes):
    """The data of the kit with the whole laboratory turned, and other models."""
    experiments, _ = integrated_data()
    experiment = replace(experiments[0], **changes)
    panel, goniometer, beam = experiment.detector[0], experiment.goniometer, experiment.beam
    detector = Detector(
        [
            replace(
                panel,
                parallax="none",
                thickness=0.0,
                mu=0.0,
                fast_axis=rotation @ panel.fast_axis,
                slow_axis=rotation @ panel.slow_axis,
                origin=rotation @ panel.origin,
            )
        ]
    )
    # the datum frame turns, too: S' = R S R^T and so on
    moved = Goniometer(
        rotation @ goniometer.rotation_axis, rotation @ goniometer.fixed_rotation @ rotation.T,
        rotation @ goniometer.setting_rotation @ rotation.T,
    )  # fmt: skip
    crystal = experiment.crystal.with_A(rotation @ experiment.crystal.A)
    beam = replace(beam, direction=rotation @ beam.direction)
    experiment = replace(experiment, detector=detector, goniometer=moved, crystal=crystal, beam=beam)
    table = predict_static(experiment, d_min=4.0)
    _, source = integrated_data()
    n = len(table)
    table["xyzobs.px.value"], table["d"] = table["xyzcal.px"], 1 / np.linalg.norm(table["s1"] - beam.s0, axis=1)
    for kind, factor in (("sum", 1.0), ("prf", 1.5)):
        table[f"intensity.{kind}.value"] = factor * (100.0 + np.arange(n))
        table[f"intensity.{kind}.variance"] = table[f"intensity.{kind}.value"]
    from spindle.prediction import lorentz_polarisation

    table["lp"] = lorentz_polarisation(beam, moved, table["s1"])
    table["partiality"], table["partial_id"] = np.ones(n), np.arange(n)
    table.set_flags(np.arange(n), Flag.INTEGRATED_SUM | Flag.INTEGRATED_PRF | Flag.STRONG)
    assert len(source)
    return Experiments([experiment]), table


ROTATIONS = {
    "as it is": np.eye(3),
    "upside down": rotation_matrix(np.array([1.0, 0, 0]), np.pi),
    "any": rotation_matrix(np.array([0.36, 0.48, 0.8]), 1.1),
}
AXES = {
    "tilted": Goniometer([0.8, 0.6, 0.0]),
    "settings": Goniometer(
        [0.8, 0.6, 0.0], rotation_matrix(np.array([0.0, 1, 0]), 0.4), rotation_matrix(np.array([0.0, 0.6, 0.8]), 0.03)
    ),
    "vertical": Goniometer([0.0, -1.0, 0.0]),
}


def same_predictions(found, table, at, limit):
    """Reflections lie where they were: position on the panel and angle, whatever the laboratory frame."""
    again = predict_static(found, d_min=4.0)
    from scipy.spatial import cKDTree

    key = [np.column_stack([200.0 * t["miller_index"], t["xyzcal.px"]]) for t in (again, table)]
    distance, _ = cKDTree(key[0]).query(key[1])
    assert np.mean(distance < limit) > at, np.sort(distance)[-20:]


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("rotation", ROTATIONS)
def test_xparm_gives_back_the_geometry_in_any_frame(tmp_path, axis, rotation):
    experiments, table = turned(ROTATIONS[rotation], goniometer=AXES[axis])
    exported(tmp_path, experiments, table, format="xds")
    found = imported(tmp_path / "XPARM.XDS").experiments[0]
    np.testing.assert_allclose(found.goniometer.rotation_axis, [1, 0, 0])
    np.testing.assert_allclose(found.crystal.cell, experiments[0].crystal.cell, atol=2e-4)
    assert found.scan.image_range == (3, 32) and found.scan.oscillation_deg == (10.0, 0.5)
    assert found.imageset.template.endswith("data/x_####.cbf")
    same_predictions(found, table, 0.99, 0.02)  # ORGX has two decimals less than a pixel


@pytest.mark.parametrize("intensity", ["sum", "profile", "auto"])
def test_unscaled_ascii_gives_back_intensities_and_positions(tmp_path, intensity):
    experiments, table = turned(ROTATIONS["any"], goniometer=AXES["settings"])
    exported(tmp_path, experiments, table, format="xds_ascii", intensity=intensity)
    done = imported(tmp_path / "XDS_ASCII.HKL")
    found, kind = done.reflections, "sum" if intensity == "sum" else "prf"
    assert len(found) == len(table) and set(found.columns) >= {"s1", "lp", "xyzcal.mm", "d"}
    order = np.lexsort([found["xyzcal.px"][:, 0].round(1), *found["miller_index"].T])
    wanted = np.lexsort([table["xyzcal.px"][:, 0].round(1), *table["miller_index"].T])
    np.testing.assert_array_equal(found["miller_index"][order], table["miller_index"][wanted])
    np.testing.assert_allclose(
        found[f"intensity.{kind}.value"][order], table[f"intensity.{kind}.value"][wanted], rtol=2e-4
    )
    np.testing.assert_allclose(found["xyzcal.px"][order], table["xyzcal.px"][wanted], atol=6e-4)
    same_predictions(done.experiments[0], table, 0.95, 0.1)


def test_scaled_ascii_is_scaled_and_misfits_are_outliers(tmp_path):
    experiments, table = turned(np.eye(3))
    n = len(table)
    table["intensity.scale.value"], table["intensity.scale.variance"] = 10.0 + np.arange(n), np.full(n, 4.0)
    table["inverse_scale_factor"] = np.full(n, 2.0)
    table.set_flags(np.arange(n), Flag.SCALED)
    exported(tmp_path, experiments, table, format="xds_ascii")
    path = tmp_path / "XDS_ASCII.HKL"
    lines = path.read_text().splitlines()
    at = lines.index("!END_OF_HEADER") + 1
    words = lines[at].split()
    words[4] = "-" + words[4]
    lines[at] = " ".join(words)
    lines[1] = "!Generated by CORRECT   (VERSION Jun 30, 2023)"
    path.write_text("\n".join(lines) + "\n")
    found = imported(path).reflections
    assert found.has_flags(Flag.SCALED).all() and found.has_flags(Flag.OUTLIER_IN_SCALING).sum() == 1
    np.testing.assert_allclose(np.sort(found["intensity.scale.value"]), (10.0 + np.arange(n)) / 2, rtol=1e-5)
    np.testing.assert_allclose(found["intensity.scale.variance"], 1.0, rtol=1e-5)


def test_spots_come_back_with_their_models(tmp_path):
    experiments, table = turned(np.eye(3))
    exported(tmp_path, experiments, table, format="xds")
    done = imported(tmp_path / "SPOT.XDS")
    found = done.reflections
    assert len(found) == len(table) and found.has_flags(Flag.STRONG).all()
    order = np.argsort(-table["intensity.sum.value"])
    np.testing.assert_allclose(found["xyzobs.px.value"], table["xyzobs.px.value"][order], atol=0.006)
    assert imported(tmp_path / "SPOT.XDS", **{"importer.name": "xds", "pixel_shift": 0.5}).reflections[
        "xyzobs.px.value"
    ][0, 0] == pytest.approx(found["xyzobs.px.value"][0, 0] + 0.5)
    (tmp_path / "XPARM.XDS").unlink()
    with pytest.raises(FileFormatError, match=r"XPARM\.XDS"):
        imported(tmp_path / "SPOT.XDS")


def test_indices_that_do_not_fit_the_models_do_not_decide_how_pixels_are_counted(tmp_path):
    experiments, table = turned(np.eye(3))
    exported(tmp_path, experiments, table, format="xds")
    path = tmp_path / "SPOT.XDS"
    rows = np.loadtxt(path)
    rows[:, 4:7] = rows[::-1, 4:7]
    np.savetxt(path, rows, fmt=["%.2f"] * 4 + ["%d"] * 3)
    found = imported(path).reflections
    np.testing.assert_allclose(found["xyzobs.px.value"][:, :2], rows[:, :2] + 0.5)


INTEGRATE = """!OUTPUT_FILE=INTEGRATE.HKL    DATE= 8-Feb-2013
!Generated by INTEGRATE    (VERSION  September 26, 2012)
!SPACE_GROUP_NUMBER=    1
!NX=  {nx}  NY=  {ny}    QX=  0.172000  QY=  0.172000
!STARTING_FRAME=       3
!STARTING_ANGLE=    10.000
!OSCILLATION_RANGE=  0.500000
!ROTATION_AXIS=  {axis}
!X-RAY_WAVELENGTH=  1.000000
!INCIDENT_BEAM_DIRECTION= {beam}
!DIRECTION_OF_DETECTOR_X-AXIS=  1.000000  0.000000  0.000000
!DIRECTION_OF_DETECTOR_Y-AXIS=  0.000000  1.000000  0.000000
!ORGX=   {orgx}  ORGY=   {orgy}
!DETECTOR_DISTANCE=   {distance}
{axes}
!BEAM_DIVERGENCE_E.S.D.=     0.058
!REFLECTING_RANGE_E.S.D.=     0.157
!VARIANCE_MODEL=  4.000E+00  1.000E-02
!NUMBER_OF_ITEMS_IN_EACH_DATA_RECORD=20
!H,K,L,IOBS,SIGMA,XCAL,YCAL,ZCAL,RLP,PEAK,CORR,MAXC,
!             XOBS,YOBS,ZOBS,ALF0,BET0,ALF1,BET1,PSI
!END_OF_HEADER
"""


def integrate_hkl(folder, experiments, table):
    """INTEGRATE.HKL by XDS's rules: pixel centres at whole numbers from 1, IOBS = I RLP / PEAK, SIGMA^2 = a (V + b I^2)."""
    experiment, n = experiments[0], len(table)
    panel, gonio = experiment.detector[0], experiment.goniometer
    D = np.stack([panel.fast_axis, panel.slow_axis, panel.normal])
    cell = np.linalg.inv(D @ gonio.setting_rotation @ gonio.fixed_rotation @ experiment.crystal.A)
    origin = D @ panel.origin
    text = INTEGRATE.format(
        nx=panel.image_size[0], ny=panel.image_size[1], axis=" ".join(f"{v:.8f}" for v in D @ gonio.axis_lab),
        beam=" ".join(f"{v:.8f}" for v in D @ experiment.beam.s0), orgx=f"{-origin[0] / 0.172 + 0.5:.4f}",
        orgy=f"{-origin[1] / 0.172 + 0.5:.4f}", distance=f"{origin[2]:.5f}",
        axes="\n".join(f"!UNIT_CELL_{a}-AXIS= " + " ".join(f"{v:.6f}" for v in row) for a, row in zip("ABC", cell, strict=True)),
    )  # fmt: skip
    value, variance = 50.0 + np.arange(n), np.full(n, 25.0)
    rlp, peak = np.linspace(0.1, 1.2, n), np.linspace(80, 100, n)
    factor = rlp / (peak / 100)
    sigma = np.sqrt(4.0 * (variance + 0.01 * value**2)) * factor
    xyz = table["xyzcal.px"] + np.array([0.5, 0.5, 0.0])
    rows = []
    for i in range(n):
        seen = xyz[i] + 0.1 if i % 3 else np.zeros(3)
        numbers = [
            *table["miller_index"][i],
            value[i] * factor[i],
            sigma[i],
            *xyz[i],
            rlp[i],
            peak[i],
            95,
            1000,
            *seen,
            0,
            0,
            0,
            0,
            90,
        ]
        rows.append(" ".join(f"{v:.8g}" for v in numbers))
    path = folder / "INTEGRATE.HKL"
    path.write_text(text + "\n".join(rows) + "\n!END_OF_DATA\n")
    return path, value, variance, peak


class TestIntegrate(ImporterContract):
    name = "xds"

    @pytest.fixture
    def result_file(self, tmp_path):
        return integrate_hkl(tmp_path, *turned(np.eye(3)))[0]


def test_integrate_hkl_gives_measured_intensities_and_shifts_pixels(tmp_path):
    experiments, table = turned(np.eye(3), goniometer=AXES["settings"])
    path, value, variance, peak = integrate_hkl(tmp_path, experiments, table)
    done = imported(path)
    found, experiment = done.reflections, done.experiments[0]
    np.testing.assert_allclose(found["intensity.prf.value"], value, rtol=1e-6)
    np.testing.assert_allclose(found["intensity.prf.variance"], variance, rtol=1e-4)
    np.testing.assert_allclose(found["partiality"], peak / 100)
    np.testing.assert_allclose(found["xyzcal.px"], table["xyzcal.px"], atol=1e-4)
    np.testing.assert_allclose(found["d"], table["d"], rtol=1e-5)
    np.testing.assert_allclose(found["lp"], table["lp"], rtol=0.06)  # the file does not tell the polarisation
    assert found.has_flags(Flag.STRONG).sum() == np.count_nonzero(np.arange(len(table)) % 3)
    assert experiment.profile["sigma_m"] == 0.157 and experiment.scan.image_range[0] == 3
    same_predictions(experiment, table, 0.9, 0.05)


def test_the_crystal_of_blocks_is_taken_when_asked_for(tmp_path):
    experiments, table = turned(np.eye(3), goniometer=AXES["vertical"])
    path, *_ = integrate_hkl(tmp_path, experiments, table)
    (tmp_path / "XDS.INP").write_text("DATA_RANGE= 3 32\n")
    with pytest.raises(FileFormatError, match=r"INTEGRATE\.LP"):
        imported(path, **{"importer.name": "xds", "read_varying_crystal": True})
    header = path.read_text()
    axes = [line.split("=")[1] for line in header.splitlines() if line.startswith("!UNIT_CELL_")]
    words = {
        line[1:].split("=")[0]: line.split("=")[1]
        for line in header.splitlines()
        if line.startswith("!") and "=" in line
    }
    blocks = []
    for first, last, scale in ((3, 20, 1.0), (21, 32, 1.01)):
        blocks.append(f" ***** PROCESSING OF IMAGES {first:8d} ... {last:8d} *****\n")
        blocks.append(f" DIRECTION COSINES OF ROTATION AXIS {words['ROTATION_AXIS']}\n")
        blocks.append(f" DIRECT BEAM COORDINATES (REC. ANGSTROEM) {words['INCIDENT_BEAM_DIRECTION']}\n")
        for letter, row in zip("ABC", axes, strict=True):
            blocks.append(
                f" COORDINATES OF UNIT CELL {letter}-AXIS "
                + " ".join(f"{scale * float(v):.6f}" for v in row.split())
                + "\n"
            )
    (tmp_path / "INTEGRATE.LP").write_text("".join(blocks))
    crystal = imported(path, **{"importer.name": "xds", "read_varying_crystal": True}).experiments[0].crystal
    cells = crystal.cells_at_scan_points
    np.testing.assert_allclose(cells[[0, 17, 18, 30], 0], [60, 60, 60.6, 60.6], rtol=1e-5)


@pytest.mark.skipif(not CCTBX.is_dir(), reason="the test files of iotbx are not installed")
def test_files_that_xds_wrote_are_read_and_agree_with_each_other(tmp_path):
    for name in ("INTEGRATE.HKL", "XPARM.XDS"):
        (tmp_path / name).write_text((CCTBX / name).read_text())
    done = imported(tmp_path / "INTEGRATE.HKL")
    found, other = done.experiments[0], imported(tmp_path / "XPARM.XDS").experiments[0]
    assert len(done.reflections) == 11
    np.testing.assert_allclose(found.crystal.cell, other.crystal.cell, atol=2e-3)
    np.testing.assert_allclose(found.detector[0].origin, other.detector[0].origin, atol=2e-3)
    predicted = found.crystal.A @ done.reflections["miller_index"].T
    np.testing.assert_allclose(1 / np.linalg.norm(predicted, axis=0), done.reflections["d"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.replace("        1       600", "        2       600"), "segments"),
        (
            lambda t: t.replace("1.000000        0.000000        0.000000\n", "1.000000 0.000000\n", 1),
            "numbers expected",
        ),
        (lambda t: t.replace("10.0000", "ten"), "could not convert"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, change, message):
    exported(tmp_path, *integrated_data(), format="xds")
    path = tmp_path / "XPARM.XDS"
    text = change(path.read_text())
    path.write_text(text)
    with pytest.raises(FileFormatError, match=message):
        imported(path, **{"importer.name": "xds"})


def segmented():
    """The data of the kit on a detector of three panels, each tilted its own way, with gaps between them in the image."""
    experiments, _ = integrated_data()
    base = experiments[0]
    flat = replace(base.detector[0], parallax="none", thickness=0.0, mu=0.0)
    panels = []
    for i, (offset, size) in enumerate((((0, 0), (600, 200)), ((0, 217), (290, 393)), ((307, 217), (293, 393)))):
        tilt = rotation_matrix(np.array([0.6, 0.8, 0.0]), 0.01 * (i - 1))
        corner = flat.origin + 0.172 * (offset[0] * flat.fast_axis + offset[1] * flat.slow_axis)
        panels.append(
            replace(
                flat, origin=corner + [0.05 * i, -0.03, 0.4 * i], fast_axis=tilt @ flat.fast_axis, slow_axis=tilt @ flat.slow_axis,
                image_size=size, raw_image_offset=offset, mask=((10, 20, 30, 40),) if i == 2 else (),
            )
        )  # fmt: skip
    experiment = replace(base, detector=Detector(panels))
    table = predict_static(experiment, d_min=4.0)
    n = len(table)
    table["xyzobs.px.value"] = table["xyzcal.px"]
    table["intensity.sum.value"] = table["intensity.sum.variance"] = 100.0 + np.arange(n)
    table.set_flags(np.arange(n), Flag.STRONG)
    return Experiments([experiment]), table


@pytest.mark.parametrize("source", ["XPARM.XDS", "XDS.INP"])
def test_segments_become_panels_and_positions_are_theirs(tmp_path, source):
    experiments, table = segmented()
    exported(tmp_path, experiments, table, format="xds")
    if source == "XDS.INP":  # a detector that only XDS.INP cuts
        path = tmp_path / "XPARM.XDS"
        lines = path.read_text().splitlines()
        detector = lines[7].split()
        whole = [f"1 1 {detector[1]} 1 {detector[2]}", "0 0 0 1 0 0 0 1 0"]
        path.write_text("\n".join([*lines[:7], " ".join(["1", *detector[1:]]), *lines[8:12], *whole]) + "\n")
    done = imported(tmp_path / "SPOT.XDS")
    found, (experiment,) = done.reflections, done.experiments
    old = experiments[0].detector
    assert [p.image_size for p in experiment.detector] == [p.image_size for p in old]
    assert [p.raw_image_offset for p in experiment.detector] == [p.raw_image_offset for p in old]
    assert experiment.detector[2].mask == ((10, 20, 30, 40),) and not experiment.detector[0].mask
    order = np.argsort(-table["intensity.sum.value"])
    np.testing.assert_array_equal(found["panel"], table["panel"][order])
    np.testing.assert_allclose(found["xyzobs.px.value"], table["xyzobs.px.value"][order], atol=0.006)
    again = predict_static(experiment, d_min=4.0)
    from scipy.spatial import cKDTree

    key = [np.column_stack([200.0 * t["miller_index"], 1000.0 * t["panel"], t["xyzcal.px"]]) for t in (again, table)]
    distance, _ = cKDTree(key[0]).query(key[1])
    assert np.mean(distance < 0.02) > 0.99


def test_segments_that_overlap_or_have_other_pixels_are_refused(tmp_path):
    experiments, table = segmented()
    panels = list(experiments[0].detector)
    for changed, message in (
        (replace(panels[1], raw_image_offset=(0, 100)), "panels 0 and 1 at the same place"),
        (replace(panels[1], pixel_size=(0.1, 0.1)), "different sizes"),
    ):
        wrong = Experiments([replace(experiments[0], detector=Detector([panels[0], changed, panels[2]]))])
        with pytest.raises(UserError, match=message):
            exported(tmp_path, wrong, table, format="xds")


def test_rows_of_integrate_hkl_are_on_the_segment_that_iseg_says(tmp_path):
    experiments, table = segmented()
    exported(tmp_path, experiments, table, format="xds")
    raw = table.view()
    offsets = np.array([p.raw_image_offset for p in experiments[0].detector], float)[table["panel"].astype(int)]
    raw["xyzcal.px"] = table["xyzcal.px"] + np.column_stack([offsets, np.zeros(len(table))])
    path, *_ = integrate_hkl(tmp_path, experiments, raw)
    head, mark, body = path.read_text().partition("!END_OF_HEADER\n")
    nx, ny = re.search(r"NX= +(\d+) +NY= +(\d+)", head).groups()
    head = (
        head.replace(f"NX=  {nx}  NY=  {ny}", "NX=  600  NY=  610")
        .replace("RECORD=20", "RECORD=21")
        .replace("PSI\n", "PSI,ISEG\n")
    )
    rows = body.splitlines()
    for i, panel in enumerate(table["panel"].astype(int)):
        rows[i] += f" {panel + 1}"
    path.write_text(head + mark + "\n".join(rows) + "\n")
    done = imported(path)
    np.testing.assert_array_equal(done.reflections["panel"], table["panel"])
    np.testing.assert_allclose(done.reflections["xyzcal.px"], table["xyzcal.px"], atol=2e-3)


def _with_word(text, row, column, word):
    """A file of rows with another word in one place."""
    head, mark, body = text.partition("!END_OF_HEADER\n")
    lines = body.splitlines()
    words = lines[row].split()
    words[column] = word
    lines[row] = " ".join(words)
    return head + mark + "\n".join(lines) + "\n"


@pytest.mark.parametrize("word", ["9", "A", "A/", "A ", " "])
def test_keywords_of_a_damaged_line_are_found_in_time_that_grows_with_its_length(word):
    line = 100_000 * word + " NX= 5 NY=6 " + word
    began = time.process_time()
    found = pairs(line)
    assert time.process_time() - began < 1.0  # minutes where each place of the line is a beginning
    assert [key for key, _ in found] == ["NX", "NY"] and found[0][1] == "5"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: _with_word(t, 2, 0, "nan"), "row 3: expected finite numbers and whole indices"),
        (lambda t: _with_word(t, 0, 3, "inf"), "row 1: expected finite"),
        (lambda t: _with_word(t, 1, 2, "1.5"), "row 2: "),
        (lambda t: _with_word(t, 1, 1, "99999999999999999999"), "at most 4096"),
        (lambda t: re.sub(r"(!X-RAY_WAVELENGTH=)\s*\S+", r"\1 nan", t), "X-RAY_WAVELENGTH= nan: 1 numbers expected"),
        (lambda t: t.replace("!ITEM_H=1", "!ITEM_H=2"), "H, K, L expected"),
    ],
)
def test_numbers_that_cannot_be_are_refused_with_their_place(tmp_path, change, message):
    exported(tmp_path, *integrated_data(), format="xds_ascii", intensity="sum")
    path = next(tmp_path.glob("*.HKL"))
    path.write_text(change(path.read_text()))
    with pytest.raises(FileFormatError, match=message):
        imported(path, **{"importer.name": "xds"})
