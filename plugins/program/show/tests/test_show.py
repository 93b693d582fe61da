"""`spindle show`: text about models, tables about reflections and images."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from spindle_program_show.images import image_format
from spindle_program_show.models import describe_experiment
from spindle_program_show.resolution import inscribed_resolution

import spindle
from spindle.errors import ParameterError
from spindle.files import read_experiments, read_reflections
from spindle.models import Beam, Crystal, Detector, Experiment, Experiments, Goniometer, Panel, Scan
from spindle.table import Flag, ReflectionTable
from spindle.testing import shared_data
from spindle_lib_readers.testing.mini_cbf import mini_cbf_header, write_mini_cbf


def flat_detector(**changes) -> Detector:
    fields = {
        "fast_axis": (1, 0, 0),
        "slow_axis": (0, -1, 0),
        "origin": (-50, 40, -100),
        "pixel_size": (0.1, 0.1),
        "image_size": (1000, 800),
        **changes,
    }
    return Detector([Panel(**fields)])


def an_experiment(**changes) -> Experiment:
    models = {
        "beam": Beam(direction=(0, 0, 1), wavelength=1.0),
        "detector": flat_detector(),
        "goniometer": Goniometer(rotation_axis=(1, 0, 0)),
        "scan": Scan((1, 10), (0.0, 0.5)),
        **changes,
    }
    return Experiment(**models)


def a_table(n: int = 20) -> ReflectionTable:
    table = ReflectionTable(
        {
            "id": np.zeros(n, np.int32),
            "panel": np.zeros(n, np.uint64),
            "flags": np.full(n, int(Flag.STRONG | Flag.INDEXED), np.uint64),
            "miller_index": np.arange(3 * n, dtype=np.int32).reshape(n, 3),
            "d": np.linspace(1.0, 3.0, n),
            "intensity.sum.value": np.arange(n) * 10.0,
            "xyzobs.px.value": np.arange(3.0 * n).reshape(n, 3),
        },
        {0: "abc"},
    )
    table.set_flags(np.arange(n) < 5, Flag.INTEGRATED_SUM)
    return table


def tables_of(result):
    return {t.key: t for t in result.tables}


def test_beam_centre_distance_and_angles_are_printed():
    text = describe_experiment(an_experiment(), False)
    for line in (
        "px: (500.00,400.00)",
        "mm: (50.00,40.00)",
        "distance: 100",
        "oscillation:   {0,0.5}",
        "wavelength: 1",
    ):
        assert line in text


def test_beam_that_misses_the_detector_is_said():
    text = describe_experiment(an_experiment(detector=flat_detector(origin=(50, 40, -100))), False)
    assert "the beam hits no panel" in text


def test_inscribed_resolution_of_a_centred_square():
    # 2 theta = atan(40 / 100) at the nearer edge.
    experiment = an_experiment()
    expected = 1.0 / (2 * np.sin(0.5 * np.arctan(0.4)))
    assert inscribed_resolution(experiment.detector, experiment.beam) == pytest.approx(expected)


def test_inscribed_resolution_of_quarters_is_nearly_that_of_the_whole():
    # Edges between corners are straight in the stereographic projection of several panels: 0.1 % off for these.
    whole = an_experiment()
    panel = whole.detector[0]
    quarters = Detector(
        [replace(panel, origin=(x, y, -100), image_size=(500, 400)) for x, y in ((-50, 40), (0, 40), (-50, 0), (0, 0))]
    )
    assert inscribed_resolution(quarters, whole.beam) == pytest.approx(
        inscribed_resolution(whole.detector, whole.beam), rel=2e-3
    )


def test_crystal_and_scan_points_are_printed():
    crystal = Crystal.from_cell((10, 20, 30, 90, 90, 90), np.eye(3), "P 21 21 21")
    crystal = replace(crystal, A_at_scan_points=np.stack([crystal.A, 1.01 * crystal.A]))
    text = describe_experiment(an_experiment(crystal=crystal), False)
    assert "Unit cell: 10.0000, 20.0000, 30.0000, 90.000, 90.000, 90.000" in text and "P 21 21 21" in text
    assert "A sampled at 2 scan points" in text and "Scan point #2" not in text
    lines = describe_experiment(an_experiment(crystal=crystal), True).splitlines()
    at = lines.index("  Scan point #2:")
    assert lines[at + 1].startswith("    Unit cell: 9.9010, 19.8020") and lines[at + 2].startswith("    U matrix:")


def test_what_crystals_of_stills_have_in_addition_is_printed():
    crystal = Crystal.from_cell((10, 20, 30, 90, 90, 90), np.eye(3), "P 1")
    crystal = replace(crystal, extra={"ML_half_mosaicity_deg": 0.15, "ML_domain_size_ang": 5000.0})
    text = describe_experiment(an_experiment(crystal=crystal), False)
    assert "Half mosaic angle (degrees):  0.150000" in text and "Domain size (Angstroms):  5000.000000" in text


def test_scans_say_when_they_started_and_which_images_are_valid():
    scan = Scan((1, 2), (0.0, 0.5), epochs=np.array([1767323045.5, 0]), valid_image_ranges={"abc": [[1, 1]]})
    text = describe_experiment(an_experiment(scan=scan), False)
    assert "started:       2026-01-02T03:04:05.500 UTC" in text and "valid images of abc: 1 to 1" in text


def test_the_beam_centre_in_pixels_allows_for_the_depth_in_the_sensor():
    # dials.show 3.12.1 of a detector turned by 30 degrees.
    folder = shared_data("dials_processed") / "l_cysteine_narrow_wedge"
    assert "px: (190.20,866.05)" in describe_experiment(read_experiments(folder / "11_integrated.expt")[0], False)


def test_standard_deviations_of_the_cell():
    crystal = replace(
        Crystal.from_cell((10, 20, 30, 90, 90, 90), np.eye(3), "P 1"), cell_sd=np.array([0.0012, 0.05, 0.3, 0.02, 0, 0])
    )
    text = describe_experiment(an_experiment(crystal=crystal), False)
    assert "10.0000(12), 20.00(5), 30.0(3), 90.00(2), 90.0, 90.0" in text


def test_column_table_holds_minimum_maximum_and_mean(caplog):
    columns = tables_of(spindle.run("show", reflections=a_table()))["columns"]
    rows = {row[0]: row[1:] for row in columns.rows}
    assert rows["intensity.sum.value"] == ["0.0", "190.0", "95.0"]
    assert rows["d"] == ["1.00", "3.00", "2.00"]
    assert rows["miller_index"][1] == "57, 58, 59"


def test_flag_table_counts_reflections():
    flags = tables_of(spindle.run("show", reflections=a_table(), show_flags=True))["flags"]
    rows = {row[0]: row[1:] for row in flags.rows}
    assert rows["strong"] == [20, 100.0] and rows["integrated_sum"] == [5, 25.0] and rows["integrated"] == [5, 25.0]
    assert rows["integrated_prf"] == [0, 0.0]


def test_single_reflections_and_identifiers():
    result = tables_of(
        spindle.run("show", reflections=a_table(), show_intensities=True, show_identifiers=True, max_reflections=3)
    )
    assert len(result["reflections"].rows) == 3
    assert "intensity.sum.value" in result["reflections"].headers
    assert "xyzobs.px.value" not in result["reflections"].headers
    assert result["identifiers"].rows == [[0, "abc"]]
    everything = tables_of(spindle.run("show", reflections=a_table(), show_all_reflection_data=True, max_reflections=1))
    assert everything["reflections"].headers[:4] == ["d", "flags", "id", "miller_index"]
    assert set(everything["reflections"].headers) == set(a_table().columns)


def test_empty_table_is_no_trouble():
    result = tables_of(
        spindle.run("show", reflections=a_table().select(np.zeros(20, bool)), show_flags=True, max_reflections=2)
    )
    assert result["columns"].rows and result["reflections"].rows == []


@pytest.mark.parametrize(("n", "most", "whole"), [(3, None, 3), (5, None, 1), (5, 2, 2), (2, 0, 0)])
def test_of_many_experiments_the_first_are_described_and_all_are_in_a_table(n, most, whole, caplog):
    experiments = Experiments([an_experiment(identifier=f"e{i}") for i in range(n)])
    with caplog.at_level("INFO"):
        spindle.run("show", experiments, **({} if most is None else {"max_experiments": most}))
    text = caplog.text
    assert text.count("Experiment identifier:") == whole
    assert (f"All {n} experiments" in text) == (whole < n) and text.count("| 1-10 ") == (n if whole < n else 0)


def test_shared_models():
    one = an_experiment()
    two = replace(one, detector=flat_detector(), scan=None, identifier="b")
    shared = tables_of(spindle.run("show", experiments=Experiments([one, two]), show_shared_models=True))[
        "shared_models"
    ]
    assert (
        shared.column("detector") == [0, 1] and shared.column("beam") == [0, 0] and shared.column("scan") == [0, None]
    )


@pytest.mark.parametrize(("name", "gain"), [("show_raw", 1.0), ("show_corrected", 2.0)])
def test_image_statistics(tmp_path, name, gain):
    pixels = np.arange(12, dtype=np.int32).reshape(3, 4)
    write_mini_cbf(tmp_path / "t_0001.cbf", pixels, mini_cbf_header())
    write_mini_cbf(tmp_path / "t_0002.cbf", 100 * pixels, mini_cbf_header(Start_angle="0.5 deg."))
    experiments = spindle.run("import", files=[tmp_path], **{"panel.gain": gain}).experiments
    table = tables_of(spindle.run("show", experiments=experiments, **{name: True}))["image_statistics"]
    assert [row[0] for row in table.rows] == ["t_0001.cbf", "t_0002.cbf"]
    assert table.rows[0][1:] == [0.0, 2.0 / gain, 5.0 / gain, 8.0 / gain, 11.0 / gain]
    assert table.rows[1][5] == 1100.0 / gain


def test_images_are_imported_on_the_fly(tmp_path, caplog):
    write_mini_cbf(tmp_path / "t_0001.cbf", np.zeros((3, 4), dtype=np.int32))
    result = spindle.run("show", files=[tmp_path / "t_0001.cbf"])
    assert result.summary["n_experiments"] == 1 and result.experiments is None


def test_the_format_of_images_is_named(tmp_path):
    write_mini_cbf(tmp_path / "t_0001.cbf", np.zeros((3, 4), dtype=np.int32))
    (experiment,) = spindle.run("import", files=[tmp_path / "t_0001.cbf"]).experiments
    assert "Image format: cbf" in describe_experiment(experiment, False, image_format(experiment))


def test_tolerances_decide_which_images_are_one_sweep(tmp_path):
    for i, distance in enumerate(("0.1", "0.1001"), 1):
        header = mini_cbf_header(Start_angle=f"{0.5 * i} deg.", Detector_distance=f"{distance} m")
        write_mini_cbf(tmp_path / f"t_{i}.cbf", np.zeros((3, 4), dtype=np.int32), header)
    assert spindle.run("show", files=[tmp_path]).summary["n_experiments"] == 2
    result = spindle.run("show", files=[tmp_path], **{"input.tolerance.detector.origin": 0.2})
    assert result.summary["n_experiments"] == 1


def test_nothing_to_show_is_an_error():
    with pytest.raises(ParameterError, match="nothing to show"):
        spindle.run("show")
    with pytest.raises(ParameterError, match="image_statistics needs"):
        spindle.run("show", reflections=a_table(), show_raw=True)


def test_quartz_as_dials_shows_it():
    # dials.show 3.12.1 of the same files.
    folder = shared_data("dials_processed") / "quartz_processed"
    experiments = read_experiments(folder / "integrated.expt")
    experiment = experiments[0]
    assert inscribed_resolution(experiment.detector, experiment.beam) == pytest.approx(0.534272, abs=1e-6)
    text = describe_experiment(experiment, False)
    for line in (
        "Max resolution (at corners): 0.369837",
        "px: (507.44,505.95)",
        "Unit cell: 4.92489(10), 4.92489(10), 5.40137(9), 90.0, 90.0, 120.0",
        "Space group: P 31 2 1",
        "sigma_b: 0.012437",
        "Rotation axis:   {0.999957,0.00926757,0}",
    ):
        assert line in text
    rows = {
        r[0]: r[1:]
        for r in tables_of(spindle.run("show", reflections=read_reflections(folder / "integrated.refl")))[
            "columns"
        ].rows
    }
    assert rows["intensity.prf.value"] == ["-3164.0", "211249.9", "3301.8"]
    assert rows["background.mse"] == ["17.2", "11498.2", "53.9"]
    assert rows["flags"] == ["769", "1048941", "42642"]
    assert rows["s1"] == ["-1.7009, -1.7891, -39.8721", "1.7960, 1.7894, -39.8309", "0.0340, 0.0020, -39.8478"]
    assert rows["zeta"] == ["-1.000", "1.000", "-0.001"]
