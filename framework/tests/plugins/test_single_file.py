"""Plugins in plain files: ``--plugin file.py:Class``."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import pickle
import re
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest

import spindle
from spindle.errors import PluginError
from spindle.models import Beam, Panel
from spindle.params import HostParams
from spindle.params.resolve import build
from spindle.plugins import PluginFile, add_plugin_files, plugin_files, registry, using_plugin_files
from spindle.plugins.single_file import name_of

THRESHOLD = '''"""A threshold of my own."""

import numba
import numpy as np

from spindle.contracts import Algorithm, hookimpl
from spindle.params import Float, Params


@numba.njit(nogil=True, cache=True)
def above(image, limit, out):
    for i in range(image.shape[0]):
        for j in range(image.shape[1]):
            out[i, j] = image[i, j] > limit


class BrightThreshold(Algorithm):
    """Pixels above a limit."""

    class Params(Params):
        limit = Float(50.0, min=0, help="Counts above which a pixel is strong.")

    @hookimpl
    def find_strong(self, image, mask):
        out = np.zeros(image.shape, bool)
        above(image.astype(np.float64), self.params.limit, out)
        return out & mask
'''

PROGRAM = '''from spindle.contracts import Program, ProgramResult, hookimpl
from spindle.params import Int, Params


class CountFiles(Program):
    """Count files."""

    class Params(Params):
        extra = Int(0, help="To add.")

    @hookimpl
    def run(self, inputs, params, context):
        context.log.info("%d files", len(inputs.files) + params.extra)
        return ProgramResult()
'''


@pytest.fixture
def threshold(tmp_path):
    """The file of the threshold, in a folder of its own."""
    folder = tmp_path / "my plugins"
    folder.mkdir()
    (folder / "bright.py").write_text(THRESHOLD)
    return folder / "bright.py"


@pytest.fixture(autouse=True)
def nothing_is_left():
    """No test leaves a plugin behind."""
    yield
    assert plugin_files() == ()


IMAGE = np.arange(12.0).reshape(3, 4) * 10
PANEL = Panel(fast_axis=[1, 0, 0], slow_axis=[0, -1, 0], origin=[0, 0, -100], pixel_size=[0.1, 0.1], image_size=(4, 3))


def strong_pixels(threshold) -> np.ndarray:
    """(3, 4) bool: what a threshold finds in the image."""
    beam = Beam(direction=[0, 0, 1], wavelength=1.0)
    return threshold.find_strong(IMAGE, np.ones((3, 4), bool), 1.0, PANEL, beam, (0, 0), np.zeros((3, 4), bool))


# -- what a class is


def test_slot_and_name_follow_from_the_class(threshold):
    with using_plugin_files([f"{threshold}:BrightThreshold"]) as (info,):
        assert (info.slot, info.name, info.summary) == ("threshold", "bright", "Pixels above a limit.")
        assert "bright" in registry().names("threshold")
        chosen = spindle.algorithm("threshold", "bright", limit=75)
        strong = strong_pixels(chosen)
        assert np.array_equal(strong, IMAGE > 75)
    assert "bright" not in registry().names("threshold")


@pytest.mark.parametrize(
    ("class_name", "slot", "name"),
    [
        ("TrimmedMeanBackground", "background", "trimmed_mean"),
        ("FFT3dIndexing", "indexing", "fft3d"),
        ("MCDOutlier", "outlier", "mcd"),
        ("Wilson", "program", "wilson"),
        ("MyErrorModel", "error_model", "my"),
        ("Threshold", "threshold", "threshold"),
    ],
)
def test_the_name_is_that_of_the_class_without_the_slot(class_name, slot, name):
    assert name_of(class_name, slot) == name


def test_a_class_of_wrappers_is_an_observer(tmp_path):
    (tmp_path / "watch.py").write_text(
        "from spindle.contracts import Algorithm, hookimpl\n\n"
        "class Watch(Algorithm):\n    @hookimpl(wrapper=True)\n    def estimate_background(self):\n        return (yield)\n"
    )
    with using_plugin_files([f"{tmp_path / 'watch.py'}:Watch"]) as (info,):
        assert (info.slot, info.name) == ("observer", "watch")


def test_the_code_that_runs_is_the_code_that_was_hashed_and_nothing_is_left_beside_it(threshold):
    with using_plugin_files([f"{threshold}:BrightThreshold"]) as (info,):
        assert info.sha256 == hashlib.sha256(threshold.read_bytes()).hexdigest()
    assert [p.name for p in threshold.parent.iterdir()] == ["bright.py"]


def test_a_changed_file_is_loaded_anew(threshold):
    with using_plugin_files([f"{threshold}:BrightThreshold"]):
        first = strong_pixels(spindle.algorithm("threshold", "bright"))
    threshold.write_text(THRESHOLD.replace("50.0", "90.0"))
    with using_plugin_files([f"{threshold}:BrightThreshold"]):
        second = strong_pixels(spindle.algorithm("threshold", "bright"))
    assert (int(first.sum()), int(second.sum())) == (6, 2)


# -- what is wrong is said


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", "give a file and the class in it, for example --plugin {}:BrightThreshold"),
        ("BrightThreshold", "give a file and the class in it"),
        ("{}x:BrightThreshold", "there is no file {}x. Did you mean {}?"),
        ("{}:Bright", "there is no class 'Bright' in the file; its classes are BrightThreshold"),
        ("{}:above", "is not a class derived from spindle.contracts.Algorithm"),
        ("{}:Params", "fits no slot|is not a class derived from spindle.contracts.Algorithm"),
    ],
)
def test_what_cannot_be_taken_is_refused_with_a_remedy(threshold, text, expected):
    with pytest.raises(PluginError) as caught, using_plugin_files([text.format(threshold)]):
        pass
    pattern = "|".join(re.escape(part) for part in expected.replace("{}", str(threshold)).split("|"))
    assert re.search(pattern, str(caught.value)), str(caught.value)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("class Mine(:\n", "running the file failed with SyntaxError.*mine.py:1"),
        ("import no_such_module\nclass Mine: pass\n", "ModuleNotFoundError: No module named 'no_such_module'.*mine.py:1"),
        ("import sys\nsys.exit('licence expired')\n", "it ends the process .licence expired.*mine.py:2"),
        ("class Mine: pass\n", "Mine is not a class derived from spindle.contracts.Algorithm"),
        ("from spindle.contracts import Algorithm\nclass Mine(Algorithm):\n    pass\n", "no method is marked with @hookimpl"),
        (
            "from spindle.contracts import Algorithm, hookimpl\nclass Mine(Algorithm):\n    @hookimpl\n    def find_weak(self): pass\n",
            "its hooks are find_weak",
        ),
        (
            "from spindle.contracts import Algorithm, hookimpl\nclass Mine(Algorithm):\n    @hookimpl\n"
            "    def find_strong(self, picture): pass\n",
            r"does not fit the slot: .*picture.* mend it in .*mine.py; `spindle plugins --check mine --plugin .*mine.py:Mine` tries again",
        ),
        (
            "from spindle.contracts import Algorithm, hookimpl\nclass _Mine(Algorithm):\n    @hookimpl\n    def find_strong(self): pass\n"
            "Mine = _Mine\n",
            "would be '_mine', from that of its class: names are lower-case letters",
        ),
        (
            "from spindle.contracts import Algorithm, hookimpl\nclass DispersionThreshold(Algorithm):\n    @hookimpl\n"
            "    def find_strong(self): pass\nMine = DispersionThreshold\n",
            "there is a threshold 'dispersion' already, of spindle-threshold-dispersion .* call the class otherwise",
        ),
    ],
)  # fmt: skip
def test_a_file_that_is_no_plugin_is_refused_with_the_reason(tmp_path, code, expected):
    (tmp_path / "mine.py").write_text(code)
    with pytest.raises(PluginError, match=expected), using_plugin_files([f"{tmp_path / 'mine.py'}:Mine"]):
        pass


def test_one_name_is_given_once(threshold):
    other = threshold.with_name("other.py")
    other.write_text(THRESHOLD)
    same = f"{threshold}:BrightThreshold"
    with using_plugin_files([same, same]):
        assert len(plugin_files()) == 1
    with pytest.raises(PluginError, match=r"there is a threshold 'bright' already, of .*bright\.py"):  # noqa: SIM117
        with using_plugin_files([same, f"{other}:BrightThreshold"]):
            pass


# -- other processes


def names_there(packed: bytes) -> tuple[tuple[str, ...], float, int]:
    """Names, parameter and result of the threshold in another process, which was sent the context or the plugin."""
    context, handle = pickle.loads(packed)
    chosen = handle if context is None else context.algorithm("threshold", "bright")
    strong = strong_pixels(chosen)
    return registry().names("threshold"), chosen.plugin.params.limit, int(strong.sum())


@pytest.mark.parametrize("sent", ["context", "plugin"])
def test_a_plugin_in_a_file_travels_to_another_process(threshold, sent):
    from spindle.execution import RunContext

    with using_plugin_files([f"{threshold}:BrightThreshold"]):
        context = RunContext("find_spots", build(HostParams))
        handle = spindle.algorithm("threshold", "bright", limit=75)
        packed = pickle.dumps((context, None) if sent == "context" else (None, handle))
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        names, limit, count = pool.submit(names_there, packed).result()
    assert "bright" in names
    assert (limit, count) == ((50.0, 6) if sent == "context" else (75.0, 4))


def test_functions_and_classes_of_the_file_travel_to_workers(tmp_path):
    (tmp_path / "squares.py").write_text(
        "from spindle.contracts import Program, ProgramResult, hookimpl\nfrom spindle.params import HostParams\n\n\n"
        "class Pair:\n    def __init__(self, number):\n        self.number = number\n\n\n"
        "def squared(pair):\n    return Pair(pair.number**2)\n\n\n"
        'class Squares(Program):\n    """Squares, each in a worker."""\n\n'
        "    Params = HostParams\n\n    @hookimpl\n    def run(self, inputs, params, context):\n"
        "        found = [p.number for p in context.executor.map(squared, [Pair(i) for i in range(4)])]\n"
        '        return ProgramResult(summary={"squares": found})\n'
    )
    with using_plugin_files([f"{tmp_path / 'squares.py'}:Squares"]):
        found = spindle.run("squares", mp__method="processes", mp__nproc=2)
    assert found.summary["squares"] == [0, 1, 4, 9]


def test_another_process_takes_no_other_content(threshold):
    with using_plugin_files([f"{threshold}:BrightThreshold"]):
        files = plugin_files()
    threshold.write_text(THRESHOLD.replace("50.0", "90.0"))
    with pytest.raises(PluginError, match="is no longer the file that this run began with"):
        add_plugin_files(files)
    assert files == (PluginFile(str(threshold), "BrightThreshold", files[0].sha256),)


# -- the command line


@pytest.fixture
def spindle_here(tmp_path, monkeypatch, capsys):
    """Return a function that runs ``spindle`` in an empty folder, in this process: exit code, output and errors."""
    from spindle.cli.main import main

    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main(list(map(str, words)))
        out = capsys.readouterr()
        return code, out.out, out.err

    return run


def test_a_program_in_a_file_is_a_command(spindle_here, tmp_path):
    (tmp_path / "count.py").write_text(PROGRAM)
    given = ("--plugin", "count.py:CountFiles")
    done = spindle_here("count_files", "count.py", "extra=2", *given)
    assert done[0] == 0 and "3 files" in done[1]
    assert "To add" in spindle_here("count_files", "-h", f"--plugin={tmp_path / 'count.py'}:CountFiles")[1]
    assert "CountFiles" not in spindle_here("plugins", "program")[1]
    assert "count_files" in spindle_here("plugins", "program", *given)[1]
    code, _, error = spindle_here("count_files", "count.py")
    assert code == 2 and "there is no program 'count_files'" in error


def test_a_record_names_the_file_and_is_replayed_only_when_the_user_names_it_too(spindle_here, tmp_path):
    (tmp_path / "count.py").write_text(PROGRAM)
    given = ("--plugin", "count.py:CountFiles")
    assert spindle_here("count_files", "count.py", *given)[0] == 0
    path = tmp_path / "spindle.count_files.json"
    record = json.loads(path.read_text())
    (entry,) = (p for p in record["plugins"] if p["slot"] == "program")
    sha256 = hashlib.sha256(PROGRAM.encode()).hexdigest()
    assert entry == {
        "slot": "program", "name": "count_files", "distribution": "count.py", "version": f"sha256:{sha256[:16]}",
        "file": str(tmp_path / "count.py"), "class": "CountFiles", "sha256": sha256, "made": True,
    }  # fmt: skip
    assert record["argv"][-2:] == ["--plugin", f"{tmp_path / 'count.py'}:CountFiles"]
    assert any(name.startswith("spindle_plugin_file_count_") for name in record["code"])

    code, _, error = spindle_here("replay", path)
    assert code == 2 and "is code and is run only when you name it" in error
    assert f"--plugin {tmp_path / 'count.py'}:CountFiles" in error
    done = spindle_here("replay", path, *given)
    assert done[0] == 0 and "1 files" in done[1]


def test_a_record_of_another_file_is_replayed_only_by_force(spindle_here, tmp_path):
    (tmp_path / "count.py").write_text(PROGRAM)
    given = ("--plugin", "count.py:CountFiles")
    (tmp_path / "input.txt").write_text("")
    assert spindle_here("count_files", "input.txt", *given)[0] == 0
    (tmp_path / "count.py").write_text(PROGRAM.replace("%d files", "%d of them"))
    path = tmp_path / "spindle.count_files.json"
    code, _, error = spindle_here("replay", path, *given)
    assert code == 2 and "count.py is not the file that the record was made with" in error
    done = spindle_here("replay", path, *given, "--force")
    assert done[0] == 0 and "1 of them" in done[1]


def test_no_parameter_file_names_a_plugin(spindle_here, tmp_path):
    (tmp_path / "count.py").write_text(PROGRAM)
    for line in ("plugin = count.py:CountFiles", "--plugin count.py:CountFiles"):
        (tmp_path / "mine.phil").write_text(line + "\n")
        code, _, _ = spindle_here("show", "mine.phil")
        assert code == 2


def test_a_plugin_that_nobody_chose_is_told_of(spindle_here, threshold, tmp_path):
    (tmp_path / "count.py").write_text(PROGRAM)
    mine = ("--plugin", "count.py:CountFiles", "--plugin", f"{threshold}:BrightThreshold")
    code, out, _ = spindle_here("count_files", *mine)
    assert code == 0
    assert "bright.py:BrightThreshold took no part: count_files has no use for a plugin of the slot threshold" in out


def test_an_option_without_a_value_is_refused(spindle_here):
    code, _, error = spindle_here("show", "--plugin")
    assert code == 2 and "--plugin needs a file and the class in it" in error
