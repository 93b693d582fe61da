"""What an earlier run made from other images is replaced only with overwrite=True."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from spindle.cli.main import main


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, seed in (("a", 1), ("b", 2)):
            words = ["simulate", f"output.directory={name}", "n_images=4", "prefix=im", f"run.seed={seed}"]
            assert main([*words, "run.record=None", f"output.log={name}.log"]) == 0
    return folder


@pytest.fixture(scope="module")
def found(images, tmp_path_factory):
    """A folder in which the spots of all images of the first set were found."""
    folder = tmp_path_factory.mktemp("found")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["import", *all_of(images, "a")]) == 0
        assert main(["find_spots", "imported.expt"]) == 0
    return folder


@pytest.fixture
def here(found, tmp_path, monkeypatch):
    folder = tmp_path / "copy"
    shutil.copytree(found, folder)
    monkeypatch.chdir(folder)
    return folder


def all_of(images, name):
    return [str(p) for p in sorted((images / name).glob("*.cbf"))]


def refused(words, capsys):
    """Whether a command asks for overwrite=True and leaves all files as they are."""
    before = {p: p.read_bytes() for p in Path().iterdir()}
    code = main(words)
    error = capsys.readouterr().err
    if code == 0:
        return False
    assert code == 2 and "overwrite=True" in error and "was made by spindle" in error and "202" in error, error
    assert all(p.read_bytes() == content for p, content in before.items() if p.suffix != ".log")
    return True


OTHER = {
    "one of the images": lambda images: all_of(images, "a")[:1],
    "images of the same names": lambda images: all_of(images, "b"),
    "the last images": lambda images: all_of(images, "a")[2:],
}


@pytest.mark.parametrize("program", ["import", "find_spots", "process"])
@pytest.mark.parametrize("given", OTHER)
def test_other_images_ask(images, here, capsys, program, given):
    words = [program, *OTHER[given](images)]
    assert refused([*words, *(["stop_after=find_spots"] if program == "process" else [])], capsys)


def test_the_folder_of_other_images_asks(images, here, capsys):
    """What a folder holds is known when it has been imported."""
    assert refused(["import", str(images / "b")], capsys)


def test_experiments_of_other_images_ask(images, here, capsys):
    assert main(["import", *all_of(images, "b"), "output.experiments=other.expt", "run.record=o.json"]) == 0
    assert refused(["find_spots", "other.expt"], capsys)
    assert not refused(["find_spots", "other.expt", "overwrite=True"], capsys)
    assert refused(["find_spots", "imported.expt"], capsys)


@pytest.mark.parametrize(
    "words",
    [
        ["find_spots", "imported.expt", "d_min=3"],
        ["find_spots", "imported.expt", "scan_range=1,2"],
        ["find_spots", "{a}"],
        ["import", "{a}", "image_range=1,2"],
        ["import", "{folder}"],
        ["process", "imported.expt", "stop_after=find_spots"],
        ["process", "{a}", "stop_after=find_spots"],
        ["process", "{b}", "stop_after=find_spots", "resume=True"],
    ],
)
def test_the_same_images_do_not_ask(images, here, capsys, words):
    replaced = {"{a}": all_of(images, "a"), "{b}": all_of(images, "b"), "{folder}": [str(images / "a")]}
    assert not refused([w for word in words for w in replaced.get(word, [word])], capsys)


def test_more_images_do_not_ask(images, here, capsys):
    assert not refused(["find_spots", *all_of(images, "a")[:2], "output.reflections=few.refl"], capsys)
    assert not refused(["find_spots", *all_of(images, "a"), "output.reflections=few.refl"], capsys)


def test_images_that_were_moved_are_known(images, here, capsys, tmp_path):
    shutil.copytree(images / "a", tmp_path / "moved")
    assert not refused(["find_spots", *[str(p) for p in sorted((tmp_path / "moved").glob("*.cbf"))]], capsys)


@pytest.mark.parametrize("record", ["none", "foreign", "damaged", "of an older version", "of another file"])
def test_without_a_record_nothing_is_asked(images, here, capsys, record):
    path = Path("spindle.find_spots.json")
    content = json.loads(path.read_text())
    if record == "none":
        path.unlink()
    elif record == "of an older version":
        del content["data"]
        path.write_text(json.dumps(content))
    elif record == "of another file":
        Path("strong.refl").write_bytes(b"something else")
    else:
        path.write_text({"foreign": '{"a": 1}', "damaged": path.read_text()[:200]}[record])
    words = ["find_spots", all_of(images, "a")[0]]
    assert not refused([*words, *(["run.record=mine.json"] if record in ("foreign", "damaged") else [])], capsys)


def test_fewer_experiments_ask(images, here, capsys):
    """Of two sweeps that were found together one alone would replace the spots of both."""
    both = ["imported.expt", "other.expt"]
    assert main(["import", *all_of(images, "b"), "output.experiments=other.expt", "run.record=o.json"]) == 0
    assert not refused(["find_spots", *both, "output.reflections=both.refl"], capsys)
    assert refused(["find_spots", "imported.expt", "output.reflections=both.refl"], capsys)


@pytest.mark.skipif(os.name == "nt", reason="links")
@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["export_bitmaps", "imported.expt", "output.directory=.", "output.prefix=p_"], "p_0001.png"),
        (["generate_mask", "imported.expt", "other.expt", "border=2", "output.mask=m.mask"], "m_2.mask"),
    ],
)
def test_files_that_a_program_names_itself_replace_no_image(images, here, capsys, words, name):
    assert main(["import", *all_of(images, "b"), "output.experiments=other.expt", "run.record=o.json"]) == 0
    image = Path(all_of(images, "b" if "other.expt" in words else "a")[0])
    content = image.read_bytes()
    Path(name).symlink_to(image)
    assert main(words) == 2
    assert "would replace" in capsys.readouterr().err and image.read_bytes() == content


def test_a_file_that_a_parameter_names_is_an_input(here, capsys):
    assert main(["generate_mask", "imported.expt", "border=2", "output.mask=pixels.mask"]) == 0
    content = Path("pixels.mask").read_bytes()
    capsys.readouterr()
    assert main(["find_spots", "imported.expt", "lookup.mask=pixels.mask", "output.reflections=pixels.mask"]) == 2
    assert "pixels.mask" in capsys.readouterr().err and Path("pixels.mask").read_bytes() == content


@pytest.mark.parametrize(
    "words",
    [
        ["index.output.experiments=a.expt", "refine.output.experiments=a.expt"],
        ["find_spots.output.reflections=symmetrized.refl"],
        ["output.unmerged_mtz=merged.mtz"],
        ["output.refined_in_symmetry=scaled.expt"],
    ],
)
def test_two_steps_never_write_one_file(here, capsys, words):
    assert main(["process", "imported.expt", "stop_after=find_spots", *words]) == 2
    assert "are the same file" in capsys.readouterr().err
