"""`spindle combine_experiments`: which experiments and reflections come out, with which models, in which files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from spindle_program_combine_experiments.groups import batches
from spindle_program_combine_experiments.reference import mean_detector

import spindle
from spindle.cli.main import main
from spindle.contracts import ProgramInputs
from spindle.errors import ModelError, ParameterError, UserError
from spindle.files import read_experiments, read_reflections, write_experiments, write_reflections
from spindle.models import Beam, Crystal, Detector, Experiments, ImageSet, Panel
from spindle.table import Flag, ReflectionTable, Shoeboxes
from spindle.testing.program import ProgramContract
from spindle.testing.refiner import rotation_experiment


def experiment(number, n_images=10):
    one = rotation_experiment(n_images)
    return replace(
        one, identifier=f"sweep {number}", imageset=ImageSet(template=f"s{number}_###.cbf"), beam=replace(one.beam),
        detector=Detector(one.detector.panels),
    )  # fmt: skip


def table(n, number=0, stray=0):
    """n reflections of experiment 0 of a file, and some that are not indexed."""
    rng = np.random.default_rng(number)
    bbox = np.tile([1, 3, 1, 3, 0, 1], (n + stray, 1))
    panel = np.zeros(n + stray, int)
    return ReflectionTable(
        {
            "id": np.concatenate([np.zeros(n), np.full(stray, -1)]),
            "imageset_id": np.zeros(n + stray),
            "panel": panel,
            "miller_index": rng.integers(1, 8, (n + stray, 3)),
            "xyzobs.px.value": rng.uniform(0, 10, (n + stray, 3)),
            "flags": np.full(n + stray, int(Flag.INDEXED)),
            "intensity.sum.value": rng.uniform(50, 100, n + stray),
            "intensity.sum.variance": np.full(n + stray, 50.0),
            "shoebox": Shoeboxes.empty(panel, bbox),
        },
        {0: f"sweep {number}"},
    )


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Three sweeps of 4, 6 and 5 reflections, the second with three spots that are not indexed; their names."""
    monkeypatch.chdir(tmp_path)
    for number, (n, stray) in enumerate([(4, 0), (6, 3), (5, 0)]):
        write_experiments(Experiments([experiment(number)]), f"{number}.expt")
        write_reflections(table(n, number, stray), f"{number}.refl")
    return ["0.expt", "1.expt", "2.expt", "0.refl", "1.refl", "2.refl"]


def combined():
    return read_experiments("combined.expt"), read_reflections("combined.refl")


class TestCombine(ProgramContract):
    name = "combine_experiments"

    @pytest.fixture
    def inputs(self):
        return ProgramInputs(experiments=Experiments([experiment(0)]), reflections=[table(20)])


def test_files_are_joined_in_their_order(files, capsys):
    assert main(["combine_experiments", *files]) == 0
    experiments, rows = combined()
    assert [e.identifier for e in experiments] == ["sweep 0", "sweep 1", "sweep 2"]
    assert rows["id"].tolist() == [0] * 4 + [1] * 6 + [-1] * 3 + [2] * 5
    assert rows["imageset_id"].tolist() == [0] * 4 + [1] * 9 + [2] * 5
    assert rows.identifiers == {0: "sweep 0", 1: "sweep 1", 2: "sweep 2"}
    assert "spindle refine combined.expt combined.refl" in capsys.readouterr().out


def test_identifiers_tell_what_belongs_together(files):
    assert main(["combine_experiments", *files[:3], "2.refl", "0.refl", "1.refl"]) == 0
    rows = combined()[1]
    assert np.bincount(rows["id"][rows["id"] >= 0]).tolist() == [4, 6, 5]


def test_experiments_without_reflections_are_named(files, caplog):
    assert main(["combine_experiments", "0.expt", "1.expt", "0.refl"]) == 0
    assert "1 of 2 experiments without reflections: 1 (" in caplog.text and "s1_###.cbf" in caplog.text


def test_files_without_identifiers_belong_together_in_their_order(files):
    for number in range(3):
        found = read_reflections(f"{number}.refl")
        found.identifiers = {}
        write_reflections(found, f"{number}.refl")
    assert main(["combine_experiments", *files]) == 0
    rows = combined()[1]
    assert np.bincount(rows["id"][rows["id"] >= 0]).tolist() == [4, 6, 5]
    assert rows.identifiers[2] == "sweep 2"


def test_experiments_alone_are_joined(files):
    assert main(["combine_experiments", *files[:3]]) == 0
    assert len(read_experiments("combined.expt")) == 3


def test_objects_in_memory_are_joined_by_identifiers():
    experiments = Experiments([experiment(0), experiment(1)])
    result = spindle.run("combine_experiments", experiments, [table(3, 1), table(2, 0)])
    assert result.reflections["id"].tolist() == [1, 1, 1, 0, 0]


@pytest.mark.parametrize("name", ["beam", "detector", "goniometer", "scan", "crystal"])
def test_a_model_of_reference_is_shared_by_all(files, name):
    assert main(["combine_experiments", *files, f"reference_from_experiment.{name}=1"]) == 0
    experiments = combined()[0]
    assert len(experiments.unique(name)) == 1
    assert len(experiments.unique("imageset")) == 3


def test_models_that_differ_are_not_replaced_unless_told(files, capsys):
    other = replace(experiment(2), beam=Beam([0, 0.01, 1], 1.0))
    write_experiments(Experiments([other]), "2.expt")
    assert main(["combine_experiments", *files, "reference_from_experiment.beam=0"]) == 2
    message = capsys.readouterr().err
    assert "the beam of experiment 2 (" in message and "beam direction" in message and "compare_models=False" in message
    words = ["reference_from_experiment.beam=0", "compare_models=False"]
    assert main(["combine_experiments", *files, *words]) == 0
    assert len(combined()[0].unique("beam")) == 1
    tolerant = [f"tolerance.beam.{n}=0.1" for n in ("direction", "polarization_normal", "polarization_fraction")]
    tolerant += ["tolerance.beam.wavelength=0.5", "overwrite=True"]
    assert main(["combine_experiments", *files, "reference_from_experiment.beam=0", *tolerant]) == 0


def test_scans_of_reference_have_as_many_images():
    experiments = Experiments([experiment(0), experiment(1, n_images=20)])
    with pytest.raises(ParameterError, match=r"the scan of experiment 1 .*images: 10 and 20"):
        spindle.run("combine_experiments", experiments, **{"reference_from_experiment.scan": 0})
    points = np.repeat(experiments[0].crystal.A[None], 11, axis=0)
    varying = experiments.replace(0, crystal=replace(experiments[0].crystal, A_at_scan_points=points))
    with pytest.raises(ModelError, match="the crystal of experiment 1 would vary over 10 images, its scan has 20"):
        spindle.run("combine_experiments", varying, **{"reference_from_experiment.crystal": 0})


def test_counts_choose_experiments(files):
    assert main(["combine_experiments", *files, "min_reflections_per_experiment=5"]) == 0
    experiments, rows = combined()
    assert [e.identifier for e in experiments] == ["sweep 1", "sweep 2"] and len(rows) == 14
    assert main(["combine_experiments", *files, "max_reflections_per_experiment=5"]) == 0
    experiments, rows = combined()
    assert [e.identifier for e in experiments] == ["sweep 0", "sweep 2"] and rows["imageset_id"].max() == 1
    assert main(["combine_experiments", *files, "min_reflections_per_experiment=50"]) == 2


def test_subsets(files):
    assert main(["combine_experiments", *files, "n_subset=2", "n_subset_method=n_refl"]) == 0
    assert [e.identifier for e in combined()[0]] == ["sweep 1", "sweep 2"]
    for seed in ("3", "3"):
        assert main(["combine_experiments", *files, "n_subset=1", f"run.seed={seed}"]) == 0
    assert len(combined()[0]) == 1
    assert main(["combine_experiments", *files, "n_subset=9"]) == 0
    assert len(combined()[0]) == 3


def test_a_subset_by_significance_counts_what_is_significant(files):
    weak = read_reflections("1.refl")
    weak["intensity.sum.value"] = np.full(len(weak), 1.0)
    write_reflections(weak, "1.refl")
    assert main(["combine_experiments", *files, "n_subset=2", "n_subset_method=significance_filter"]) == 0
    experiments, rows = combined()
    assert [e.identifier for e in experiments] == ["sweep 0", "sweep 2"] and len(rows) == 9


def test_panels_count_apart():
    one = replace(experiment(0), detector=Detector([experiment(0).detector[0]] * 2))
    two = replace(experiment(1), detector=one.detector)
    first, second = table(6, 0), table(4, 1)
    second["panel"] = np.ones(4)
    params = {"n_subset": 1, "n_subset_method": "n_refl", "n_refl_panel_list": (1,)}
    result = spindle.run("combine_experiments", Experiments([one, two]), [first, second], **params)
    assert [e.identifier for e in result.experiments] == ["sweep 1"]


def test_excluded_images_lose_their_reflections(files):
    assert main(["combine_experiments", *files, "exclude_images=0:1:5"]) == 0
    rows = combined()[1]
    assert rows["xyzobs.px.value"][rows["id"] == 0, 2].min(initial=9) >= 5
    assert np.count_nonzero(rows["id"] == 1) == 6


def test_shoeboxes_are_deleted_when_told(files):
    assert "shoebox" in read_reflections("0.refl")
    assert main(["combine_experiments", *files, "delete_shoeboxes=True"]) == 0
    assert "shoebox" not in combined()[1]


def test_batches_have_files_of_their_own(files):
    assert main(["combine_experiments", *files, "max_batch_size=2"]) == 0
    assert [len(read_experiments(f"combined_00{k}.expt")) for k in range(2)] == [1, 2]
    assert read_reflections("combined_001.refl").identifiers == {0: "sweep 1", 1: "sweep 2"}
    assert batches([1, 2, 3, 4], 2) == [[1, 2], [3, 4]] and batches([1, 2, 3], None) == [[1, 2, 3]]


def test_crystals_of_one_cell_are_written_together(files, capsys):
    for number, cell in enumerate([(50, 60, 70, 90, 90, 90), (70, 60.01, 50, 90, 90, 90), (80, 80, 80, 90, 90, 90)]):
        one = replace(experiment(number), crystal=Crystal.from_cell(cell))
        write_experiments(Experiments([one]), f"{number}.expt")
    assert main(["combine_experiments", *files, "clustering.use=True", "clustering.dendrogram=True"]) == 0
    assert [e.identifier for e in read_experiments("combined_cluster2.expt")] == ["sweep 0", "sweep 1"]
    assert not Path("combined_cluster1.expt").exists()
    assert Path("combined_dendrogram.png").stat().st_size > 5000
    assert "Groups of similar unit cells" in capsys.readouterr().out
    words = ["clustering.use=True", "exclude_single_crystal_clusters=False", "max_batch_size=1"]
    assert main(["combine_experiments", *files, *words, "overwrite=True"]) == 0
    assert (
        len(read_experiments("combined_cluster2_001.expt")) == len(read_experiments("combined_cluster1_000.expt")) == 1
    )


def test_images_give_the_order():
    experiments = Experiments([experiment(2), experiment(0), experiment(1)])
    result = spindle.run("combine_experiments", experiments, sort_by_imageset_path_and_image_index=True)
    assert [e.identifier for e in result.experiments] == ["sweep 0", "sweep 1", "sweep 2"]


def detector(tilt_deg=0.0, shift=0.0, skew=0.0, groups=False):
    angle = np.radians(tilt_deg)
    fast = [np.cos(angle), np.sin(angle), 0.0]
    slow = [np.sin(angle + skew), -np.cos(angle + skew), 0.0]
    panels = [
        Panel(
            fast_axis=fast,
            slow_axis=slow,
            origin=[-10 + shift, 8 + 20 * k, -100],
            pixel_size=[0.1, 0.1],
            image_size=(100, 100),
        )
        for k in range(2)
    ]
    tree = {
        "fast_axis": [1, 0, 0],
        "slow_axis": [0, 1, 0],
        "origin": [0, 0, shift],
        "children": [{"panel": 0}, {"panel": 1}],
    }
    return Detector(panels, tree if groups else None)


def test_the_mean_of_detectors_lies_between_them():
    mean = mean_detector([detector(0.0, 0.0), detector(0.2, 0.3)])
    assert np.allclose(mean[1].origin, [-9.85, 28, -100])
    half = np.radians(0.1)
    assert np.allclose(mean[0].fast_axis, [np.cos(half), np.sin(half), 0], atol=1e-12)
    skewed = mean_detector([detector(skew=1e-4)])
    assert abs(skewed[0].fast_axis @ skewed[0].slow_axis) < 1e-15
    assert np.allclose(skewed[0].fast_axis, [np.cos(5e-5), np.sin(5e-5), 0], atol=1e-12)


def test_the_mean_at_one_level_leaves_the_others_to_the_first():
    both = [detector(0.0, 0.0, groups=True), detector(0.0, 0.4, groups=True)]
    root = mean_detector(both, 0)
    assert np.allclose(root.hierarchy["origin"], [0, 0, 0.2])
    assert np.allclose(root[0].origin, [-10, 8, -99.8])  # the panels stay where they were in the group
    leaves = mean_detector(both, 1)
    assert np.allclose(leaves.hierarchy["origin"], [0, 0, 0]) and np.allclose(leaves[0].origin, [-9.8, 8, -100.2])
    with pytest.raises(ParameterError, match="levels 0 to 1"):
        mean_detector(both, 7)
    with pytest.raises(ParameterError, match="built alike"):
        mean_detector([both[0], detector()])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["reference_from_experiment.beam=3"], "there are 3 experiments"),
        (["average_detector=True", "reference_from_experiment.detector=0"], "contradict"),
        (["average_hierarchy_level=0"], "average_detector=True"),
        (["clustering.dendrogram=True"], "clustering.use=True"),
        (["clustering.use=True", "clustering.threshold=0"], "no two of the 3 crystals"),
        (["n_refl_panel_list=0"], "n_subset"),
        (["exclude_images=7:1:2"], "no experiment 7"),
    ],
)
def test_what_cannot_be_is_refused_in_words(files, capsys, words, message):
    for number, size in enumerate((50, 51, 52)):
        one = replace(experiment(number), crystal=Crystal.from_cell((size, size, size, 90, 90, 90)))
        write_experiments(Experiments([one]), f"{number}.expt")
    assert main(["combine_experiments", *files, *words]) == 2
    assert message in capsys.readouterr().err


def test_a_mean_detector_sees_each_sweep_as_its_own_does():
    """Sweeps of two wavelengths are stopped at different depths of the sensor, at the same place."""
    sweeps = []
    for number, (mu, height) in enumerate([(2.0, 0.0), (4.0, 0.2), (4.0, 0.4)]):
        one = experiment(number)
        panel = one.detector[0]
        moved = replace(panel, thickness=0.3, mu=mu, origin=panel.origin + np.array([0, height, 0]))
        sweeps.append(replace(one, detector=Detector([moved])))
    found = spindle.run("combine_experiments", experiments=Experiments(sweeps), average_detector=True).experiments
    assert [e.detector[0].mu for e in found] == [2.0, 4.0, 4.0] and found[1].detector is found[2].detector
    for e in found:
        np.testing.assert_allclose(e.detector[0].origin, sweeps[1].detector[0].origin, atol=1e-9)


def test_a_choice_by_reflections_needs_them(files, capsys):
    assert main(["combine_experiments", *files[:3], "n_subset=1", "n_subset_method=n_refl"]) == 2
    assert "give the reflections too" in capsys.readouterr().err
    with pytest.raises(UserError, match="no experiments"):
        spindle.run("combine_experiments")
