"""What the machine does to a run is one message: no room, no memory, no permission, closed streams, odd names."""

from __future__ import annotations

import errno
import gc
import os
import subprocess
import sys
import threading

import gemmi
import h5py
import numpy as np
import pytest
from spindle_exporter_mtz.writing import write_mtz

from spindle.cli.machine import message_of, without_side_tracebacks
from spindle.cli.main import main
from spindle.errors import UserError
from spindle.files import read_experiments, read_reflections
from spindle.files.atomic import atomic_write
from spindle.files.maps import write_mask
from spindle_lib_readers.testing.mini_cbf import mini_cbf_header, write_mini_cbf

SPINDLE = [sys.executable, "-m", "spindle"]


def shell(command: str, folder) -> subprocess.CompletedProcess:
    """Run a command line in which $S is the command."""
    environment = {**os.environ, "S": f"{sys.executable} -P -m spindle"}
    return subprocess.run(
        ["bash", "-c", command], cwd=folder, env=environment, capture_output=True, check=False, errors="surrogateescape"
    )  # fmt: skip


def one_message(done: subprocess.CompletedProcess, *words: str) -> None:
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    lines = [line for line in done.stderr.splitlines() if line]
    assert len(lines) == 1 and lines[0].startswith("error: "), done.stderr
    assert all(word in lines[0] for word in words), lines[0]


@pytest.mark.parametrize("command", ["$S plugins >&-", "$S show -h >&-", "$S plugins <&- >&-"])
def test_a_closed_standard_output_is_said(tmp_path, command):
    one_message(shell(command, tmp_path), "standard output is closed", "> /dev/null")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_standard_output_is_said(tmp_path):
    one_message(shell("$S plugins > /dev/full", tmp_path), "No space left")


def test_closed_standard_error_and_input_do_no_harm(tmp_path):
    done = shell("$S plugins 2>&- <&-", tmp_path)
    assert done.returncode == 0 and "program" in done.stdout


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("$S show ~no-such-user/x.expt", ["~no-such-user", "neither an existing file"]),
        ("$S import ~no-such-user/x_####.cbf", ["~no-such-user"]),
        ("$S compare results=~no-such-user/x.refl", ["~no-such-user", "to compare"]),
        ("$S simulate output.directory=~no-such-user/x", ["~no-such-user", "no such user"]),
        ("$S merge r_free_flags.reference=~no-such-user/x.mtz", ["~no-such-user", "no such user"]),
        ("$S show " + "a" * 300, ["neither an existing file"]),
        ("$S simulate output.log=" + "a" * 300 + ".log", ["a" * 300]),
    ],
)
def test_names_that_cannot_be_are_said(tmp_path, command, words):
    one_message(shell(command, tmp_path), *words)


def test_names_that_are_not_utf8_are_names_as_any(tmp_path):
    folder = os.fsencode(tmp_path) + b"/f\xff"
    os.mkdir(folder)
    header = mini_cbf_header(Beam_xy="(60.5, 60.5) pixels", Detector_distance="0.03 m")
    write_mini_cbf(tmp_path / "x.cbf", np.ones((121, 121), np.int32), header)
    for i in (1, 2):
        os.link(tmp_path / "x.cbf", folder + b"/im\xfe_%04d.cbf" % i)
    done = shell("$S import im*.cbf output.experiments=$'e\\xfd.expt' && $S show $'e\\xfd.expt'", os.fsdecode(folder))
    assert done.returncode == 0, done.stderr
    assert "e\udcfd.expt" in done.stdout
    images = read_experiments(os.fsdecode(folder + b"/e\xfd.expt"))[0].imageset
    assert os.fsencode(images.template).endswith(b"/f\xff/im\xfe_####.cbf")
    assert b"im\xfe" in (tmp_path / os.fsdecode(b"f\xff") / "spindle.import.log").read_bytes()


def test_no_memory_is_said_with_what_to_do():
    with pytest.raises(MemoryError) as caught:
        np.ones(1 << 46)
    message = message_of(caught.value)
    assert message.startswith("out of memory: Unable to allocate") and "nproc=" in message
    assert message_of(ValueError("x")) == "" and message_of(FileNotFoundError(2, "x")) == ""


@pytest.mark.skipif(sys.platform != "linux", reason="the loader of another system says it otherwise")
def test_a_library_that_finds_no_room_is_no_bug():
    code = """
import glob, importlib.util, resource, scipy
from spindle.cli.machine import message_of
(path,) = glob.glob(scipy.__path__[0] + "/linalg/_flapack*.so")
spec = importlib.util.spec_from_file_location("_flapack", path)
with open("/proc/self/statm") as file:
    now = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (now + 2**19, now + 2**19))
try:
    importlib.util.module_from_spec(spec)
except (ImportError, MemoryError) as error:
    print(type(error).__name__, message_of(error))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("ImportError out of memory: ") and "nproc=" in done.stdout


def test_no_memory_for_a_thread_is_no_bug():
    """The stack of a thread, 8 MiB, does not fit; Python raises a RuntimeError."""
    code = """
import resource, threading
from spindle.cli.machine import message_of
with open("/proc/self/statm") as file:
    now = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (now + 2**20, now + 2**20))
threading.stack_size(2**23)
try:
    threading.Thread(target=print).start()
except RuntimeError as error:
    print(message_of(error))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("out of memory; ")
    assert not message_of(RuntimeError("can't start"))


def test_no_memory_for_a_call_is_no_bug():
    """What Python 3.11 raises where the stack of calls cannot grow."""
    assert message_of(TypeError("'frame' object is not callable")).startswith("out of memory; ")
    assert not message_of(TypeError("'str' object is not callable"))
    assert message_of(OSError(errno.ENOMEM, "Cannot allocate memory")).startswith("out of memory; ")
    error = OSError("Could not load 'liba.so'. This could mean much")  # as llvmlite says it
    assert not message_of(error)
    error.__cause__ = OSError("liba.so: failed to map segment from shared object")
    assert message_of(error).startswith("out of memory: a library could not be loaded (Could not load 'liba.so'); ")


def test_a_plugin_that_finds_no_memory_is_not_called_broken(monkeypatch, capfd):
    from spindle.cli.main import main
    from spindle.plugins import loading

    def no_memory(name):
        raise MemoryError

    loading._load.cache_clear()
    monkeypatch.setattr(loading, "import_module", no_memory)
    assert main(["show", "-h"]) == 2
    shown = capfd.readouterr().err
    assert shown.startswith("error: out of memory; ") and "broken" not in shown


def test_no_memory_for_the_message_is_said_too(tmp_path, monkeypatch, capfd):
    def no_memory(error):
        raise MemoryError

    monkeypatch.setattr("spindle.cli.main.dispatch", lambda words: no_memory(None))
    monkeypatch.setattr("spindle.cli.machine.message_of", no_memory)
    assert main(["show"]) == 2
    assert capfd.readouterr().err.startswith("error: out of memory; ")


@pytest.fixture
def limited():
    """Files may have 50 kB only: what a full disk does, anywhere."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def _mtz(path, rows):
    mtz = gemmi.Mtz(with_base=True)
    mtz.spacegroup = gemmi.SpaceGroup("P 1")
    mtz.set_cell_for_all(gemmi.UnitCell(10, 10, 10, 90, 90, 90))
    mtz.add_dataset("x")
    mtz.add_column("I", "J")
    mtz.set_data(np.ones((rows, 4), np.float32))
    write_mtz(mtz, path)


def _hdf5(path):
    with h5py.File(path, "w") as file:
        file["a"] = np.random.default_rng(1).random((200, 200))


WRITERS = {
    "text": lambda path: path.write_text("x" * 100_000),
    "mtz": lambda path: _mtz(path, 20_000),
    "mtz whose last bytes find no room": lambda path: _mtz(path, 3_110),
    "npz": lambda path: write_mask(path, [np.random.default_rng(1).random((2000, 2000)) > 0.5]),
    "hdf5": _hdf5,
}


@pytest.mark.parametrize("kind", WRITERS)
def test_no_room_names_the_output_and_leaves_nothing(tmp_path, limited, kind):
    target = tmp_path / "output.dat"
    target.write_text("before")
    with pytest.raises(UserError) as caught, atomic_write(target) as temporary:
        WRITERS[kind](temporary)
    message = str(caught.value)
    assert message.startswith(f"cannot write {target}: ") and temporary.name not in message and "\n" not in message
    assert [p.name for p in tmp_path.iterdir()] == ["output.dat"] and target.read_text() == "before"


@pytest.mark.skipif(not hasattr(os, "seteuid") or os.getuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize(
    ("name", "read"), [("x.expt", read_experiments), ("x.refl", read_reflections), ("x.refl.gz", read_reflections)]
)
def test_a_file_that_may_not_be_read_is_said(tmp_path, name, read):
    path = tmp_path / name
    path.write_text("{}")
    path.chmod(0)
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    os.seteuid(65534)
    try:
        with pytest.raises(UserError, match=rf"permissions: .*chmod u\+r {name}"):
            read(path)
    finally:
        os.seteuid(0)


@pytest.mark.parametrize(("kind", "printed"), [(MemoryError, 0), (ValueError, 2)])
def test_generators_and_threads_without_memory_print_no_traceback(monkeypatch, kind, printed):
    def work():
        raise kind("beside")

    def yields():
        try:
            yield
        finally:
            work()

    shown = []
    monkeypatch.setattr(sys, "unraisablehook", lambda found: shown.append(found.exc_type))
    monkeypatch.setattr(threading, "excepthook", lambda found: shown.append(found.exc_type))
    with without_side_tracebacks():
        generator = yields()
        next(generator)
        del generator
        gc.collect()
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert shown == [kind] * printed
