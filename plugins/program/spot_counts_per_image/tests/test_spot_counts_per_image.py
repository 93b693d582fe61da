"""`spindle spot_counts_per_image`: table, JSON files and plots of spots with known places."""

from __future__ import annotations

import json

import numpy as np
import pytest

import spindle
from spindle.errors import ModelError, ParameterError
from spindle.files import read_experiments, read_reflections
from spindle.models import Beam, Detector, Experiment, Experiments, Goniometer, ImageSet, Panel, Scan
from spindle.table import ReflectionTable
from spindle.testing import shared_data


def two_sweeps() -> Experiments:
    """Two sweeps of three and two images."""
    detector = Detector([Panel((1, 0, 0), (0, -1, 0), (-100, 100, -100), (0.1, 0.1), (2000, 2000))])

    def sweep(name: str, n_images: int) -> Experiment:
        return Experiment(
            beam=Beam(direction=(0, 0, 1), wavelength=1.0),
            detector=detector,
            goniometer=Goniometer(rotation_axis=(1, 0, 0)),
            scan=Scan((1, n_images), (0.0, 1.0)),
            imageset=ImageSet(template=f"{name}_##.cbf", image_range=(1, n_images)),
            identifier=name,
        )

    return Experiments([sweep("a", 3), sweep("b", 2)])


def spots(number: list[int], z: list[float], resolution: float = 5.0) -> ReflectionTable:
    """Spots of experiments `number` on images z, all at one resolution outside of the rings of ice."""
    n = len(z)
    radius = 1000.0 * np.tan(2 * np.arcsin(0.5 / resolution))
    xyz = np.column_stack([np.full(n, 1000.0 + radius), np.full(n, 1000.0), z])
    return ReflectionTable(
        {
            "id": np.array(number, np.int32),
            "panel": np.zeros(n, np.uint64),
            "xyzobs.px.value": xyz,
            "intensity.sum.value": np.full(n, 10.0),
            "intensity.sum.variance": np.full(n, 10.0),
        },
        {0: "a", 1: "b"},
    )


def run(table: ReflectionTable, **parameters):
    return spindle.run("spot_counts_per_image", two_sweeps(), table, **parameters)


def test_one_row_per_image_of_all_sweeps():
    rows = run(spots([0, 0, 0, 1], [0.5, 2.1, 2.9, 1.5])).tables[0].rows
    assert [row[:6] for row in rows] == [
        [1, "a_01.cbf", 1, 1, 1, "10"],
        [2, "a_02.cbf", 0, 0, 0, "0"],
        [3, "a_03.cbf", 2, 2, 2, "20"],
        [4, "b_01.cbf", 0, 0, 0, "0"],
        [5, "b_02.cbf", 1, 1, 1, "10"],
    ]


def test_one_experiment_alone():
    rows = run(spots([0, 1, 1], [0.5, 0.5, 1.5]), id=1).tables[0].rows
    assert [row[:3] for row in rows] == [[1, "b_01.cbf", 1], [2, "b_02.cbf", 1]]


def test_limits_appear_where_there_are_any():
    rng = np.random.default_rng(1)
    table = spots([0] * 300, [1.5] * 300)
    radius = 1000.0 * np.tan(2 * np.arcsin(0.5 * rng.uniform(20.0**-3, 2.0**-3, 300) ** (1 / 3)))
    table["xyzobs.px.value"][:, 0] = 1000.0 + radius
    result = run(table)
    images, overall = result.tables
    assert "--" not in str(images.rows[1][6:]) and images.rows[0][6:] == [None, None, None]
    assert float(images.rows[1][8].split()[0]) == pytest.approx(2.0, abs=0.05)
    assert dict(overall.rows)["d_min (distl method 2)"] == images.rows[1][8]
    assert len(run(table, resolution_analysis=False).tables[0].headers) == 6


@pytest.mark.parametrize(
    ("joint", "split", "files"),
    [(True, False, {"s.json"}), (False, True, {"s_n_spots_total.json"}), (True, True, {"s.json", "s_n_spots_4A.json"})],
)
def test_json_files_hold_one_value_per_image(tmp_path, joint, split, files):
    name = tmp_path / "s.json"
    result = run(spots([0, 0], [0.5, 0.6]), json=str(name), joint_json=joint, split_json=split)
    assert len(result.files) == joint + 9 * split and files <= {f.rsplit("/", 1)[-1] for f in result.files}
    for path, write in result.files.items():
        write(tmp_path / path)
        content = json.loads((tmp_path / path).read_text())
        if isinstance(content, dict):
            assert content["n_spots_total"] == [2, 0, 0, 0, 0]
            assert content["estimated_d_min"] == [-1.0] * 5
        else:
            assert len(content) == 5


@pytest.mark.parametrize(
    ("kind", "start"), [("html", b"<!doctype html>"), ("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")]
)
def test_plots_are_drawn(tmp_path, kind, start):
    path = tmp_path / f"p.{kind}"
    result = run(spots([0, 1], [0.5, 0.6]), plot=str(path))
    result.files[str(path)](path)
    assert path.read_bytes().startswith(start)


def test_spots_outside_of_all_images_are_said(caplog):
    run(spots([0, 0, -1], [0.5, 7.5, 0.5]))
    assert "1 spots lie outside the images" in caplog.text and "1 spots belong to none" in caplog.text


def test_empty_table_is_a_table_of_zeros():
    assert [row[2] for row in run(spots([], [])).tables[0].rows] == [0] * 5


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"plot": "p.gif"}, r"plot=p\.gif: plots of the kind .*choose \.html"),
        ({"id": 2}, "id=2: there are 2 experiments"),
        ({"json": "a.json", "joint_json": False}, "leave nothing to write"),
        ({"split_json": True}, "set json= too"),
    ],
)
def test_parameters_without_sense_are_refused(parameters, message):
    with pytest.raises(ParameterError, match=message):
        run(spots([0], [0.5]), **parameters)


def test_missing_and_foreign_input():
    with pytest.raises(ParameterError, match="exactly one"):
        spindle.run("spot_counts_per_image", two_sweeps())
    with pytest.raises(ParameterError, match="no experiments"):
        spindle.run("spot_counts_per_image", None, spots([0], [0.5]))
    with pytest.raises(ModelError, match="lack panel"):
        run(spots([0], [0.5]).without("panel"))


def test_counts_are_those_of_dials_on_real_spots():
    # Measured with dials.spot_counts_per_image 3.12.1 on the same files.
    folder = shared_data("dials_processed") / "quartz_processed"
    result = spindle.run(
        "spot_counts_per_image",
        read_experiments(folder / "imported.expt"),
        read_reflections(folder / "strong.refl"),
    )
    rows = result.tables[0].rows
    assert result.summary["n_spots_total"] == 505 and result.summary["n_spots_no_ice"] == 432
    assert [(r[2], r[3], r[5]) for r in rows[94:]] == [
        (8, 8, "29858"), (3, 3, "64253"), (7, 6, "57316"), (4, 4, "27395"), (3, 2, "38810"), (4, 4, "13315"),
    ]  # fmt: skip
