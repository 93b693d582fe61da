"""`spindle assign_experiment_identifiers`: every experiment has a name, and its reflections know it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import spindle
from spindle.cli.main import main
from spindle.contracts import ProgramInputs
from spindle.errors import ParameterError
from spindle.files import read_experiments, read_reflections, write_experiments, write_reflections
from spindle.models import Experiments, ImageSet
from spindle.table import ReflectionTable
from spindle.testing.program import ProgramContract
from spindle.testing.refiner import rotation_experiment


def nameless(number, identifier=""):
    one = rotation_experiment(10)
    scan = replace(one.scan, valid_image_ranges={identifier: [[1, 5]]} if identifier else {})
    return replace(one, identifier=identifier, imageset=ImageSet(template=f"s{number}_###.cbf"), scan=scan)


def rows(n):
    return ReflectionTable({"id": np.append(np.zeros(n), -1), "imageset_id": np.zeros(n + 1), "panel": np.zeros(n + 1)})


class TestAssign(ProgramContract):
    name = "assign_experiment_identifiers"

    @pytest.fixture
    def inputs(self):
        return ProgramInputs(experiments=Experiments([nameless(0)]), reflections=[rows(9)])


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in range(2):
        write_experiments(Experiments([nameless(number)]), f"{number}.expt")
        write_reflections(rows(3 + number), f"{number}.refl")
    return ["assign_experiment_identifiers", "0.expt", "1.expt", "0.refl", "1.refl"]


def test_nameless_experiments_get_names_that_a_second_run_gives_too(files):
    found = []
    for _ in range(2):
        assert main(files) == 0
        found.append([e.identifier for e in read_experiments("assigned.expt")])
    table = read_reflections("assigned.refl")
    assert found[0] == found[1] and len(set(found[0])) == 2 and all(found[0])
    assert table["id"].tolist() == [0, 0, 0, -1, 1, 1, 1, 1, -1] and table["imageset_id"].tolist() == [0] * 4 + [1] * 5
    assert table.identifiers == dict(enumerate(found[0]))


def test_names_are_kept_or_replaced():
    experiments = Experiments([nameless(0, "kept"), nameless(1)])
    result = spindle.run("assign_experiment_identifiers", experiments)
    assert result.experiments[0].identifier == "kept" and result.summary["n_new"] == 1
    result = spindle.run("assign_experiment_identifiers", experiments, identifiers=["a", "b"])
    assert [e.identifier for e in result.experiments] == ["a", "b"]
    assert result.experiments[0].scan.valid_image_ranges == {"a": [[1, 5]]}


def test_names_on_the_command_line(files, capsys):
    assert main([*files, "identifiers=crystal_1 crystal_2"]) == 0
    assert read_reflections("assigned.refl").identifiers == {0: "crystal_1", 1: "crystal_2"}
    assert "2 of 2 identifiers are new" in capsys.readouterr().out


def test_two_crystals_on_the_same_images_are_told_apart(files, capsys):
    for number in range(2):
        write_experiments(Experiments([nameless(0, "same")]), f"{number}.expt")
        table = rows(3 + number)
        table.identifiers = {0: "same"}
        write_reflections(table, f"{number}.refl")
    assert main(["combine_experiments", *files[1:]]) == 2
    assert "spindle assign_experiment_identifiers" in capsys.readouterr().err
    assert main(files) == 0
    first, second = read_experiments("assigned.expt")
    assert first.identifier == "same" != second.identifier
    assert second.scan.valid_image_ranges == {second.identifier: [[1, 5]]}
    assert np.bincount(read_reflections("assigned.refl")["id"] + 1).tolist() == [2, 3, 4]
    assert main(files[:-1]) == 2  # which experiments the one table belongs to nobody knows


@pytest.mark.parametrize(
    ("names", "message"), [(["a"], "1 are given for 2"), (["a", "a"], "is given twice"), (["a", ""], "is empty")]
)
def test_names_that_cannot_be_are_refused(names, message):
    with pytest.raises(ParameterError, match=message):
        spindle.run("assign_experiment_identifiers", Experiments([nameless(0), nameless(1)]), identifiers=names)
