"""Images are found again, whatever characters and numbers their folders and names have."""

from __future__ import annotations

import numpy as np
import pytest

import spindle
from spindle.cli.arguments import parse_arguments
from spindle.errors import FileFormatError
from spindle.files import files_of_template, read_experiments, write_experiments
from spindle.images import ImageSequence
from spindle.models import ImageSet, Template, split_template
from spindle_lib_readers.testing.mini_cbf import mini_cbf_header, write_mini_cbf
from spindle_lib_readers.testing.nexus import write_nxmx

PIXELS = np.arange(12, dtype=np.int32).reshape(3, 4)


def write_images(folder, names, start=0.0):
    """One sweep of 0.5 degrees an image; every pixel of image i has i added."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, name in enumerate(names):
        header = mini_cbf_header(Start_angle=f"{start + 0.5 * i} deg.", Angle_increment="0.5 deg.")
        write_mini_cbf(folder / name, PIXELS + i, header)
    return [str(folder / name) for name in names]


def read_back(experiment, tmp_path):
    """What is added to the pixels of each image, after the experiment went through a file."""
    from spindle.models import Experiments

    write_experiments(Experiments([experiment]), tmp_path / "again.expt")
    images = ImageSequence(read_experiments(tmp_path / "again.expt")[0])
    return [int(images.read(i)[0][0, 0]) for i in range(images.n_images)]


NAMES = {
    "# in a folder": ("25% DMSO#2", "x_{:04d}.cbf"),
    "## in a folder": ("a##/b#", "x_{:04d}.cbf"),
    "# in a name": ("d", "name#1_{:04d}.cbf"),
    "## in a name": ("d", "a##b_{:03d}.cbf.gz"),
    "# before the number": ("d", "DMSO#{:04d}.cbf"),
    "# after the number": ("d", "x_{:04d}#a.cbf"),
    "# on both sides": ("d#", "#{:02d}#.cbf"),
    "unpadded": ("d#1", "x#_{:d}.cbf"),
    "brackets": ("[1-3]", "x[a]_{:04d}.cbf"),
    "stars": ("a*b?", "x*_{:04d}.cbf"),
    "braces and dollars": ("$HOME ~{0}", "x{{y}}$a_{:04d}.cbf"),
    "percent": ("100%s", "%d_{:04d}.cbf"),
    "blanks and quotes": ("a 'b' \"c\"", " x y_{:04d}.cbf"),
    "letters of other scripts": ("Ünïcode-日本", "кристалл_٣_{:04d}.cbf"),
    "several numbers": ("2026-01-02", "x_2_7_{:04d}.cbf"),
    "number before text": ("d", "{:04d}_lys.cbf"),
    "number before another": ("d", "x_{:04d}_300K.cbf"),
    "number before a time stamp": ("d", "x_{:04d}_20181213155134902.cbf"),
    "number after a time stamp": ("d", "20181213155134902123_{:04d}.cbf"),
    "many zeros": ("d", "x_{:012d}.cbf"),
}


@pytest.mark.parametrize("case", NAMES)
def test_images_are_found_again(case, tmp_path):
    folder, name = NAMES[case]
    paths = write_images(tmp_path / folder, [name.format(i) for i in (8, 9, 10, 11)])
    (experiment,) = spindle.run("import", files=paths).experiments
    assert experiment.scan.image_range == (8, 11) and experiment.scan.oscillation_deg == (0.0, 0.5)
    assert read_back(experiment, tmp_path) == [0, 1, 2, 3]
    # The same from the template that the experiment has, as a parameter and as a word of a command line.
    (again,) = spindle.run("import", template=experiment.imageset.template).experiments
    assert read_back(again, tmp_path) == [0, 1, 2, 3]
    words = parse_arguments("import", [experiment.imageset.template])
    assert [str(p) for p in words.files] == paths


def test_only_the_last_run_of_a_name_is_the_number():
    assert split_template("/a##/n#1_####.cbf") == Template("/a##/n#1_", 4, ".cbf")
    assert split_template("/a##/x.cbf") is None
    assert split_template("t_##_###.cbf").name(7) == "t_##_007.cbf"
    assert ImageSet(template="/a#/n#1_####.cbf").file_of_image(12) == ("/a#/n#1_0012.cbf", 0)
    assert ImageSet(template="/a#/n#1.h5", single_file_indices=(0, 1)).file_of_image(2) == ("/a#/n#1.h5", 1)


def test_a_template_means_no_longer_numbers_that_begin_with_zero(tmp_path):
    for name in ("x_9.cbf", "x_10.cbf", "x_010.cbf", "x_a.cbf", "xx_11.cbf", "x_11.cbf.gz", "x_1²_5.cbf"):
        (tmp_path / name).touch()
    found = files_of_template(f"{tmp_path}/x_#.cbf")
    assert [number for number, _ in found.files] == [9, 10]
    assert files_of_template(f"{tmp_path}/y_#.cbf") is None and files_of_template("/no/such/x_#.cbf") is None


def test_a_name_without_number_keeps_its_hash(tmp_path):
    (path,) = write_images(tmp_path, ["lys#a.cbf"])
    (experiment,) = spindle.run("import", files=[path]).experiments
    assert read_back(experiment, tmp_path) == [0]
    container = write_nxmx(tmp_path / "a#b#.h5", np.zeros((3, 5, 6), np.uint16))
    (experiment,) = spindle.run("import", files=[container]).experiments
    assert read_back(experiment, tmp_path) == [0, 0, 0]
    (part,) = spindle.run("import", template=f"{container}:2:3").experiments
    assert part.scan.image_range == (2, 3)


def test_a_template_without_files_says_which_run_counts(tmp_path):
    with pytest.raises(FileFormatError, match=r"expected a#_0001\.cbf and so on \(the last run of #"):
        spindle.run("import", template=f"{tmp_path}/a#_####.cbf")


def test_time_stamps_are_said(tmp_path, caplog):
    stamps = [f"hit it-{20181213155134902000 + 137 * i}.cbf" for i in range(4)]
    paths = write_images(tmp_path, stamps)
    found = spindle.run("import", files=paths).experiments
    assert len(found) == 4
    (line,) = [m for m in caplog.messages if "time stamp" in m]
    assert "found 20 digits" in line and "each of the 4 images becomes a sweep of its own" in line
    # The remedy works as it is printed.
    import subprocess

    command = line.partition("give them numbers: ")[2]
    subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True)
    (experiment,) = spindle.run("import", template=f"{tmp_path}/image_#####.cbf").experiments
    assert experiment.scan.image_range == (1, 4)


def test_single_images_of_several_crystals_are_not_joined(tmp_path, caplog):
    paths = [*write_images(tmp_path, ["x_1_0001.cbf"]), *write_images(tmp_path, ["x_2_0001.cbf"], 90.0)]
    found = spindle.run("import", files=paths).experiments
    assert [e.scan.image_range for e in found] == [(1, 1), (1, 1)]
    assert not any("file name" in m for m in caplog.messages)


def test_a_template_says_which_digits_count(tmp_path, caplog):
    """Ten and more digits are a time stamp unless a template says otherwise; so is which of several numbers it is."""
    write_images(tmp_path / "ten", [f"x_{n}.cbf" for n in (2026010298, 2026010299, 2026010300)])
    for given in ({"template": f"{tmp_path}/ten/x_##########.cbf"}, {"files": [f"{tmp_path}/ten/x_##########.cbf"]}):
        (experiment,) = spindle.run("import", **given).experiments
        assert experiment.scan.image_range == (2026010298, 2026010300)
        assert read_back(experiment, tmp_path) == [0, 1, 2]
    part = f"{tmp_path}/ten/x_##########.cbf:2026010299:2026010300"
    (experiment,) = spindle.run("import", template=part, format__verify_checksum=True).experiments
    assert experiment.scan.image_range == (2026010299, 2026010300) and read_back(experiment, tmp_path) == [1, 2]
    # The last digits of a time stamp; and a number that is not the last one of the name.
    write_images(tmp_path / "last", [f"20260102{n:04d}.cbf" for n in (9, 10, 11)])
    (experiment,) = spindle.run("import", template=f"{tmp_path}/last/20260102####.cbf").experiments
    assert experiment.scan.image_range == (9, 11) and read_back(experiment, tmp_path) == [0, 1, 2]
    write_images(tmp_path / "first", [f"x_{n:03d}_{7 - n}.cbf" for n in (1, 2, 3)])
    (experiment,) = spindle.run("import", template=f"{tmp_path}/first/x_###_6.cbf").experiments
    assert experiment.scan.image_range == (1, 1) and read_back(experiment, tmp_path) == [0]
    assert not any("time stamp" in m for m in caplog.messages)


def test_numbers_beyond_those_of_a_scan_are_refused_by_name(tmp_path):
    (path,) = write_images(tmp_path, ["x_20260102030405.cbf"])
    with pytest.raises(FileFormatError) as raised:
        spindle.run("import", template=f"{tmp_path}/x_##############.cbf")
    for part in (path, "20260102030405", "2147483647", "in place of the first #"):
        assert part in str(raised.value)
