"""`spindle detect_blanks`: known gaps in a scan are found."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from spindle_program_detect_blanks import DetectBlanks
from spindle_program_detect_blanks.analysis import analyse, edges_of

import spindle
from spindle.cli.main import main
from spindle.contracts import ProgramInputs
from spindle.errors import UserError
from spindle.files import write_experiments, write_reflections
from spindle.models import Experiments, Scan
from spindle.params import make
from spindle.table import Flag, ReflectionTable
from spindle.testing.program import ProgramContract
from spindle.testing.refiner import rotation_experiment


def sweep(identifier="a"):
    """Images 11 to 50 of one degree."""
    return replace(rotation_experiment(40), identifier=identifier, scan=Scan((11, 50), (0.0, 1.0)))


def rows(blank=(20, 26), number=0, integrated=True):
    """Five strong, indexed, integrated reflections on each image but some (image numbers, half open), which have none."""
    z = np.repeat(np.arange(10, 50) + 0.5, 5)
    z = z[(z < blank[0] - 1) | (z > blank[1] - 1)]
    flags = int(Flag.STRONG | Flag.INDEXED | (Flag.INTEGRATED_SUM if integrated else 0))
    strength = np.where(z < 40, 100.0, 2.0)  # the last images are weak
    return ReflectionTable(
        {
            "id": np.full(len(z), number), "xyzobs.px.value": np.stack([z * 0, z * 0, z], axis=1), "flags": np.full(len(z), flags),
            "intensity.sum.value": strength, "intensity.sum.variance": np.ones(len(z)),
        }
    )  # fmt: skip


def test_gaps_and_weak_images_are_found():
    params = make(DetectBlanks.Params)
    strong, indexed, integrated = analyse(rows(), sweep().scan, params)
    assert strong.regions == indexed.regions == [(20, 24)]  # of steps of two images those that are quite empty
    assert integrated.regions == [(20, 24), (40, 50)]
    assert np.array_equal(strong.edges, np.arange(10, 51, 2))


def test_steps_are_of_whole_images_or_parts_of_them():
    scan = sweep().scan
    assert len(edges_of(scan, 0.0)) == 41 and len(edges_of(scan, 1e9)) == 2 and len(edges_of(scan, 0.01)) == 41
    assert edges_of(scan, 7.0)[1] == pytest.approx(10 + 40 / 6)
    assert len(edges_of(Scan((1, 5), (0.0, 0.0)), 2.0)) == 6


class TestBlanks(ProgramContract):
    name = "detect_blanks"

    @pytest.fixture
    def inputs(self):
        return ProgramInputs(experiments=Experiments([sweep()]), reflections=[rows()])


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_experiments(Experiments([sweep()]), "x.expt")
    write_reflections(rows(), "x.refl")
    return ["detect_blanks", "x.expt", "x.refl"]


def test_the_command_names_images_and_what_to_keep(files, capsys):
    assert main([*files, "phi_step=1", "plot=True"]) == 0
    text = capsys.readouterr().out
    assert "Potential blank images: 20 -> 25" in text and "Potential blank images: 41 -> 50" in text
    assert "spindle slice_sequence x.expt x.refl image_range=26,40" in text
    content = json.loads(Path("blanks.json").read_text())
    assert content["strong"]["blank_regions"] == [[19, 25]] and content["strong"]["data"][0]["y"][0] == 5
    assert content["integrated"]["layout"]["yaxis"]["title"] == "<I/sigma>"
    assert Path("blanks.png").stat().st_size > 5000


def test_a_scan_without_gaps(files, capsys):
    write_reflections(rows((60, 60), integrated=False), "x.refl")
    assert main(files) == 0
    assert "No image looks blank" in capsys.readouterr().out
    assert "integrated" not in json.loads(Path("blanks.json").read_text())


def test_lattices_on_one_scan_count_together_and_sweeps_apart():
    one = sweep("a")
    lattices = Experiments([one, replace(one, identifier="b")])
    tables = [rows((20, 30), 0, False), rows((40, 45), 1, False)]
    together = spindle.run("detect_blanks", lattices, tables)
    assert together.summary["n_blank_images"] == 0
    apart = spindle.run("detect_blanks", Experiments([one, replace(sweep("b"))]), tables)
    assert apart.summary["n_regions"] == 4


def test_nothing_at_all_is_blank():
    none = rows().select(np.zeros(0, int))
    assert spindle.run("detect_blanks", Experiments([sweep()]), none).summary["n_blank_images"] == 40


def test_stills_and_missing_files_are_refused():
    with pytest.raises(UserError, match="stills without a scan"):
        spindle.run("detect_blanks", Experiments([replace(sweep(), scan=None)]), rows())
    with pytest.raises(UserError, match=r"imported\.expt strong\.refl"):
        spindle.run("detect_blanks", Experiments([sweep()]))


def test_a_single_step_is_compared_with_nothing(caplog):
    with pytest.raises(UserError, match="one step of all 40 images"):
        spindle.run("detect_blanks", Experiments([sweep()]), rows(), phi_step=1000.0)
    one = replace(sweep("b"), scan=Scan((1, 1), (0.0, 1.0)))
    with pytest.raises(UserError, match="each scan is one image"):
        spindle.run("detect_blanks", Experiments([one]), rows())
    spindle.run("detect_blanks", Experiments([sweep(), one]), rows())
    assert "scan(s) 1 are one step" in caplog.text
