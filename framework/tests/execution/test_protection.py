"""No output replaces an image, an input of another kind, another output or a device; nothing is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from spindle.cli.main import main
from spindle.contracts import ProgramInputs
from spindle.errors import UserError
from spindle.execution import check_files
from spindle.files import atomic_write
from spindle.files.atomic import _host
from spindle.params import Params

pytestmark = pytest.mark.skipif(os.name == "nt", reason="links, devices and signals of Unix")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["simulate", "output.directory=.", "n_images=2", "prefix=im"]) == 0
        assert main(["import", *map(str, sorted(folder.glob("*.cbf")))]) == 0
    return folder


@pytest.fixture
def here(images, tmp_path, monkeypatch):
    """An empty folder with a file of another kind, a link to an image and imported experiments."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "imported.expt").write_bytes((images / "imported.expt").read_bytes())
    first = sorted(images.glob("*.cbf"))[0]
    (tmp_path / "link.cbf").symlink_to(first)
    (tmp_path / "sub").mkdir()
    return first


@pytest.mark.parametrize("parameter", ["output.reflections", "output.log", "run.record", "output.experiments"])
@pytest.mark.parametrize("given", ["images", "experiments"])
@pytest.mark.parametrize("through", ["name", "link", "dots"])
def test_an_image_is_never_replaced(here, capsys, parameter, given, through):
    content = here.read_bytes()
    name = {"name": str(here), "link": "link.cbf", "dots": f"{here.parent}/../{here.parent.name}/./{here.name}"}[
        through
    ]
    inputs = [str(here)] if given == "images" else ["imported.expt"]
    assert main(["find_spots", *inputs, f"{parameter}={name}"]) == 2
    assert here.read_bytes() == content
    assert Path(name).name in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["output.experiments=a", "output.reflections=sub/../a"],
        ["output.experiments=a", "output.log=./a"],
        ["output.reflections=spindle.find_spots.json"],
        ["output.reflections=a", "run.record=sub/../a"],
        ["run.record=a", "output.log=./a"],
    ],
)
def test_two_outputs_are_never_one_file(here, capsys, words):
    assert main(["find_spots", "imported.expt", *words]) == 2
    assert "are the same file" in capsys.readouterr().err and not Path("a").exists()


def test_a_report_never_replaces_the_record(here, capsys):

    assert main(["report", "imported.expt", "output.json=spindle.report.json"]) == 2
    assert "are the same file" in capsys.readouterr().err and not Path("spindle.report.json").exists()


def test_a_file_that_a_program_names_never_replaces_record_or_log(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in ("a.json", "a.log"):
        with pytest.raises(UserError, match="also the name of the run record or of the log"):
            check_files("merge", Params(), [Path(f"./{path}")], ProgramInputs(), None, (Path("a.json"), Path("a.log")))
    check_files("merge", Params(), [Path("b.json")], ProgramInputs(), None, (Path("a.json"), None))


def test_an_input_of_another_kind_is_never_replaced(here, capsys):
    content = Path("imported.expt").read_bytes()
    assert main(["find_spots", "imported.expt", "output.reflections=imported.expt"]) == 2
    assert Path("imported.expt").read_bytes() == content and "is the input" in capsys.readouterr().err


@pytest.mark.parametrize("program", ["index", "refine", "integrate", "symmetry", "scale", "merge"])
def test_files_that_a_program_does_not_read_are_named(here, capsys, program):
    Path("merged.mtz").write_bytes(b"MTZ ")
    assert main([program, "imported.expt", "merged.mtz"]) == 2
    assert "merged.mtz is neither" in capsys.readouterr().err


def test_process_takes_images_or_experiments(here, capsys):
    assert main(["process", "imported.expt", str(here)]) == 2
    assert here.name in capsys.readouterr().err


def test_a_device_is_written_to_and_stays_one():
    before = os.stat("/dev/null")
    with atomic_write("/dev/null") as temporary:
        temporary.write_bytes(b"content")
    after = os.stat("/dev/null")
    assert (before.st_mode, before.st_ino) == (after.st_mode, after.st_ino)


def test_a_pipe_gets_the_content(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    with atomic_write(tmp_path / "pipe") as temporary:
        temporary.write_bytes(b"content")
    assert os.read(reader, 100) == b"content"
    os.close(reader)


def test_a_link_is_followed_and_stays(tmp_path):
    (tmp_path / "there").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "there")
    with atomic_write(tmp_path / "link") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "there").read_text() == "new"


def test_a_file_is_on_the_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    done = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *words, name=name, real=real: (done.append(name), real(*words)))
    with atomic_write(tmp_path / "a.txt") as temporary:
        temporary.write_text("new")
    assert done == ["fsync", "replace"] and (tmp_path / "a.txt").read_text() == "new"


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match="is a folder"), atomic_write(tmp_path):
        pass


def test_what_dead_processes_left_goes_at_the_next_write_and_nothing_else(tmp_path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    stale = tmp_path / f".a.refl.{_host()}-{dead.pid}-x1.refl"
    living = tmp_path / f".a.refl.{_host()}-{os.getppid()}-x2.refl"
    other = tmp_path / f".b.refl.{_host()}-{dead.pid}-x3.refl"
    elsewhere = tmp_path / f".a.refl.00000000-{dead.pid}-x4.refl"
    for path in (stale, living, other, elsewhere):
        path.touch()
    with atomic_write(tmp_path / "a.refl") as temporary:
        temporary.write_text("x")
    assert {p.name for p in tmp_path.iterdir()} == {"a.refl", living.name, other.name, elsewhere.name}


def test_a_terminated_run_ends_in_order(tmp_path):
    """A program that waits for input, for a moment at which the signal surely comes."""
    code = (
        "import signal, sys, threading\n"
        "from spindle.cli import main as cli\n"
        "from spindle.files import atomic_write\n"
        "def wait(arguments):\n"
        "    with atomic_write('a.refl') as path:\n"
        "        print('ready', flush=True)\n"
        "        sys.stdin.readline()\n"
        "cli.dispatch = wait\n"
        "sys.exit(cli.main())\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143 and errors == b"terminated\n"
    assert list(tmp_path.iterdir()) == []
