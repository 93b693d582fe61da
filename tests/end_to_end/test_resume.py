"""Runs that are taken up give what an uninterrupted run gives, to the byte, and know what has to be done again."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest

from spindle.cli.main import main

SET = [
    "prefix=sm",
    "wavelength=0.7",
    "distance=55",
    "beam_centre=243,310",
    "oscillation=1",
    "mosaic_spread=0.08",
    "b_factor=3",
    "mean_counts=800",
    "unit_cell=9.4,11.2,12.6,90,90,90",
    "n_images=40",
]
DATA = ("expt", "refl", "mtz")
STEPS = ["import", "find_spots", "index", "refine", "integrate", "symmetry", "refine_in_symmetry", "scale", "merge"]
FIRST_FILE = dict(zip(STEPS, ["imported.expt", "strong.refl", "indexed.expt", "refined.refl", "integrated.refl",
                              "symmetrized.expt", "refined_in_symmetry.expt", "scaled.refl", "merged.mtz"],
                      strict=True))  # fmt: skip


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["simulate", "output.directory=.", "space_group=P 21 21 21", *SET]) == 0
    return sorted(folder.glob("*.cbf"))


@pytest.fixture(scope="module")
def processed(images, tmp_path_factory):
    folder = tmp_path_factory.mktemp("processed")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["process", *map(str, images)]) == 0
    return folder


@pytest.fixture
def copied(processed, tmp_path, monkeypatch):
    """A copy of the finished run, as the current folder."""
    folder = tmp_path / "copy"
    shutil.copytree(processed, folder)
    monkeypatch.chdir(folder)
    return folder


def bytes_of(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.suffix[1:] in DATA}


def killed_after(folder, step):
    """Leave what a run leaves that is killed in the middle of the step after ``step``."""
    later = STEPS[STEPS.index(step) + 1 :]
    for name in later:
        (folder / f"spindle.{name}.json").unlink()
    (folder / FIRST_FILE[later[0]]).unlink()


def took_up(capsys):
    """Name of the first step that was done, and the reason."""
    text = capsys.readouterr().out
    line = next(line for line in text.splitlines() if line.startswith(("Taking up", "Every step")))
    return line, text


@pytest.mark.parametrize("step", ["index", "symmetry", "refine_in_symmetry", "scale"])
@pytest.mark.sampled(2)
def test_a_run_that_is_killed_between_two_steps_ends_like_one_that_is_not(processed, copied, capsys, step):
    killed_after(copied, step)
    assert main(["process", "resume=True"]) == 0
    line, text = took_up(capsys)
    following = STEPS[STEPS.index(step) + 1]
    assert line == f"Taking up after {step}, at {following}: {following} has not been finished"
    now, before = bytes_of(copied), bytes_of(processed)
    assert now.keys() == before.keys()
    assert [n for n in now if now[n] != before[n]] == []
    report = json.loads((copied / "process.json").read_text())
    assert list(report["steps"]) == STEPS
    named = next(line for line in text.splitlines() if line.startswith("Files of the steps: ")).split()[4:]
    assert {"merged.mtz", "merged_all.mtz"} <= set(named) and all((copied / name).exists() for name in named)
    assert ("  refine_in_symmetry has taken" in text) == (step in ("index", "symmetry"))


@pytest.mark.parametrize("step", ["symmetry", "scale"])
@pytest.mark.sampled(2)
def test_a_run_that_starts_late_ends_like_one_that_starts_early(processed, copied, step):
    assert main(["process", f"start_at={step}"]) == 0
    assert bytes_of(copied) == bytes_of(processed)
    shown = [re.findall(r"spots \(\d+\)", (folder / "report.html").read_text()) for folder in (copied, processed)]
    assert shown[0] == shown[1] != []  # circles about the spots on the images of the page


def test_the_lines_next_lead_to_what_process_gives(images, processed, tmp_path, monkeypatch, capsys):
    """Types what is printed after "Next:", from import to merge, and nothing else; a second run in another folder gives the same bytes."""
    monkeypatch.chdir(tmp_path)
    words, done = ["import", *map(str, images)], []
    while words:
        assert main(words) == 0
        done.append(words[0])
        assert len(done) < 12, done
        lines = [x for x in capsys.readouterr().out.splitlines() if x.startswith("Next: spindle ")]
        words = lines[-1].split()[2:] if lines else []
    assert done == ["import", "find_spots", "index", "refine", "integrate", "symmetry", "refine", "scale", "merge"]
    now, before = bytes_of(tmp_path), bytes_of(processed)
    both = now.keys() & before.keys()
    assert {
        f"{name}.{end}"
        for name in ("indexed", "refined", "integrated", "symmetrized", "scaled")
        for end in ("expt", "refl")
    } <= both
    assert {"imported.expt", "strong.refl", "refined_in_symmetry.expt", "merged.mtz"} <= both
    assert [name for name in sorted(both) if now[name] != before[name]] == []


def test_nothing_is_done_twice(processed, copied, capsys):
    before = bytes_of(copied)
    assert main(["process", "resume=True", "nproc=1", "details=True"]) == 0
    assert took_up(capsys)[0] == "Every step up to merge is finished and nothing has changed since"
    assert bytes_of(copied) == before


@pytest.mark.parametrize(
    ("words", "step", "reason"),
    [
        (["spotfinder.filter.d_min=1"], "find_spots", "spotfinder.filter.d_min was None and is 1.0 now"),
        (["d_min=1"], "find_spots", "spotfinder.filter.d_min was None and is 1.0 now"),
        (["background.algorithm=simple"], "integrate", "integration.background.algorithm was Auto and is simple now"),
        (["scale.anomalous=True"], "scale", "anomalous was Auto and is True now"),
        (["output.merged_mtz=other.mtz"], "merge", "output.mtz was merged.mtz and is other.mtz now"),
        (["run.seed=3"], "import", "run.seed was 42 and is 3 now"),
    ],
)
@pytest.mark.sampled(3)
def test_the_first_step_with_other_parameters_is_named_and_done_again(copied, capsys, words, step, reason):
    assert main(["process", "resume=True", f"stop_after={step}", *words]) == 0
    assert took_up(capsys)[0].endswith(f"at {step}: {step}: {reason}")


def test_all_steps_after_one_that_differs_are_done_again(copied, capsys):
    assert main(["process", "resume=True", "systematic_absences.check=False"]) == 0
    line, text = took_up(capsys)
    assert "at symmetry: symmetry: systematic_absences.check was True and is False now" in line
    done = [line.removesuffix(" ...") for line in text.splitlines() if line.endswith(" ...")]
    assert done == STEPS[STEPS.index("symmetry") :]


def test_other_images_are_imported_though_a_run_is_there(images, copied, capsys):
    assert main(["process", *map(str, images[:30]), "resume=True", "stop_after=find_spots"]) == 0
    line, _ = took_up(capsys)
    assert "at import: import: other files are given" in line
    experiments = json.loads((copied / "imported.expt").read_text())
    assert experiments["scan"][0]["image_range"] == [1, 30]


def test_images_that_were_written_anew_are_noticed(images, copied, capsys, tmp_path):
    """Also without naming them: the record of import does."""
    kept = images[3].read_bytes()
    try:
        images[3].write_bytes(kept + b"\0")
        assert main(["process", "resume=True", "stop_after=import"]) == 0
        line, _ = took_up(capsys)
        assert "at import: import: its input" in line and images[3].name in line
    finally:
        images[3].write_bytes(kept)


def test_a_record_of_a_run_that_was_taken_up_can_be_replayed(images, copied, capsys):
    """The replay decides by the records, as the run did."""
    killed_after(copied, "scale")
    assert main(["process", "resume=True"]) == 0
    capsys.readouterr()
    assert main(["replay", "spindle.process.json"]) == 0
    assert took_up(capsys)[0].startswith("Every step up to merge is finished")
    (copied / "scaled.refl").write_bytes(b"damaged")
    assert main(["replay", "spindle.process.json"]) == 0
    assert "scale: its output scaled.refl is no longer what it wrote" in took_up(capsys)[0]


def test_other_code_and_versions_are_a_reason(copied, capsys):
    path = copied / "spindle.symmetry.json"
    for change, reason in (
        ({"code": {"spindle_program_symmetry": "0"}}, "the code of spindle_program_symmetry has changed"),
        ({"versions": {"numpy": "0.1"}}, f"numpy was 0.1 and is {np.__version__} now"),
    ):
        record = json.loads(path.read_text())
        path.write_text(json.dumps(record | change))
        assert main(["process", "resume=True", "stop_after=symmetry"]) == 0
        assert took_up(capsys)[0].endswith(f"at symmetry: symmetry: {reason}")


def test_a_damaged_record_counts_as_none(copied, capsys):
    (copied / "spindle.scale.json").write_text("{")
    assert main(["process", "resume=True"]) == 0
    assert took_up(capsys)[0].endswith("at scale: scale has not been finished")
