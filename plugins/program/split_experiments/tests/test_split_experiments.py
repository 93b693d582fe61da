"""`spindle split_experiments`: which experiments and reflections go to which file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spindle.cli.main import main
from spindle.contracts import ProgramInputs
from spindle.files import read_experiments, read_reflections, write_experiments, write_reflections
from spindle.models import Detector, Experiments, ImageSet
from spindle.table import ReflectionTable
from spindle.testing.program import ProgramContract
from spindle.testing.refiner import rotation_experiment


def five():
    """Five sweeps, two of them on another detector, with three wavelengths of which two are nearly the same."""
    one = rotation_experiment(10)
    other = Detector(one.detector.panels)
    wavelengths = [1.3, 1.0, 1.00005, 1.3, 1.0]
    return Experiments(
        [
            replace(
                one, identifier=f"sweep {k}", imageset=ImageSet(template=f"s{k}_###.cbf"),
                detector=other if k in (1, 4) else one.detector, beam=replace(one.beam, wavelength=wavelengths[k]),
            )
            for k in range(5)
        ]
    )  # fmt: skip


def rows():
    ids = np.array([0, 1, 1, 2, 3, 4, 4, 4, -1])
    return ReflectionTable(
        {"id": ids, "imageset_id": np.maximum(ids, 0), "panel": np.zeros(9)}, {k: f"sweep {k}" for k in range(5)}
    )


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_experiments(five(), "all.expt")
    write_reflections(rows(), "all.refl")
    return ["split_experiments", "all.expt", "all.refl"]


def parts(prefix="split"):
    """Identifiers and number of reflections of each file."""
    found = sorted(Path().glob(f"{prefix}_*.expt"))
    return [
        ([e.identifier[-1] for e in read_experiments(p)], len(read_reflections(p.with_suffix(".refl")))) for p in found
    ]


class TestSplit(ProgramContract):
    name = "split_experiments"

    @pytest.fixture
    def inputs(self):
        return ProgramInputs(experiments=five(), reflections=[rows()])


def test_each_experiment_has_a_file(files, capsys):
    assert main(files) == 0
    assert parts() == [(["0"], 1), (["1"], 2), (["2"], 1), (["3"], 1), (["4"], 3)]
    last = read_reflections("split_4.refl")
    assert last["id"].tolist() == last["imageset_id"].tolist() == [0, 0, 0] and last.identifiers == {0: "sweep 4"}
    assert "1 reflections belong to no experiment" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["by_detector=True"], ["023", "14"]),
        (["by_wavelength=True"], ["124", "03"]),
        (["output.chunk_size=2"], ["01", "23", "4"]),
        (["output.chunk_size=9"], ["01234"]),
        (["output.chunk_sizes=1,4"], ["0", "1234"]),
    ],
)
def test_groups(files, words, expected):
    assert main([*files, *words]) == 0
    assert ["".join(names) for names, _ in parts()] == expected
    assert sum(n for _, n in parts()) == 8


def test_experiments_alone_are_split(files):
    assert main(files[:2]) == 0
    assert len(list(Path().glob("split_*.expt"))) == 5 and not list(Path().glob("split_*.refl"))


def test_names_are_as_wanted(files):
    words = [
        "output.experiments_prefix=e",
        "output.reflections_prefix=r",
        "output.template={prefix}-{index:03d}.{extension}",
    ]
    assert main([*files, *words]) == 0
    assert Path("e-004.expt").exists() and Path("r-004.refl").exists()
    many = Experiments([replace(e, identifier=f"{k} {e.identifier}") for k in range(3) for e in five()])
    write_experiments(many, "many.expt")
    assert main([files[0], "many.expt"]) == 0
    assert Path("split_00.expt").exists() and Path("split_14.expt").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["by_detector=True", "by_wavelength=True"], "two ways to split"),
        (["output.chunk_sizes=1,1"], "that is 2 experiments, there are 5"),
        (["output.template={prefix}.{extension}"], "two files would be called split.expt"),
        (["output.template={number}.{extension}"], "output.template={number}.{extension}"),
        (["output.template={prefix.__class__}.{extension}"], "alone can be filled in"),
        (["output.template={index:099999d}.{extension}"], "alone can be filled in"),
        (["output.template={index!}.{extension}"], "output.template="),
    ],
)
def test_what_cannot_be_is_refused_in_words(files, capsys, words, message):
    assert main([*files, *words]) == 2
    assert message in capsys.readouterr().err
