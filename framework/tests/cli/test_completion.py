"""Completion in shells, from an index that another process can make, without importing a plugin."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys

import pytest

from spindle.cli.completion import SCRIPTS, answer, names_path, read_names, stamp, write_names
from spindle.cli.names import collect

NAMES = {
    "programs": {"index": "Find the lattice", "integrate": "Measure"},
    "plugins": ["background.glm", "background.simple"],
    "slots": ["background", "program"],
    "parameters": {
        "integrate": [
            ["integration.background.algorithm", ["Auto", "glm", "simple"]],
            ["integration.mask", ["True", "False"]],
            ["prediction.d_min", []],
            ["filter.d_min", []],
            ["filter.kinds", ["ice", "powder"]],
            ["again.kinds", ["ice", "salt"]],
            ["d_min", []],
        ]
    },
}


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("spindle in", ["index", "integrate"]),
        ("spindle comp", ["compile", "completion"]),
        ("spindle integrate ", []),  # files
        ("spindle integrate refined.e", []),
        ("spindle integrate integ", ["integration.background.algorithm=", "integration.mask="]),
        ("spindle integrate backg", ["background.algorithm="]),
        ("spindle integrate algo", ["algorithm="]),
        ("spindle integrate filter.d", ["filter.d_min="]),
        ("spindle integrate d_m", ["d_min="]),  # the name, and the ending of others
        ("spindle integrate kin", []),  # the ending is not unique
        ("spindle integrate pred", ["prediction.d_min="]),
        ("spindle integrate background.algorithm=", [f"background.algorithm={c}" for c in ("Auto", "glm", "simple")]),
        ("spindle integrate 'background.algorithm=s", ["background.algorithm=simple"]),
        ("spindle integrate filter.kinds=ice,p", ["filter.kinds=ice,powder"]),
        ("spindle integrate kinds=", ["kinds=ice", "kinds=powder", "kinds=salt"]),  # of all that it may be
        ("spindle integrate d_min=", []),
        ("spindle integrate -h", ["-h", "-hh", "-hhh"]),
        ("spindle dials.integrate mas", ["mask="]),
        ("spindle help background.g", ["background.glm"]),
        ("spindle help back", ["background", "background.glm", "background.simple"]),
        ("spindle new-plugin ba", ["background"]),
        ("spindle completion f", ["fish"]),
        ("spindle plugins --check background.s", ["background.simple"]),
        ("spindle nothing at", []),
        (
            "",
            sorted(["index", "integrate", "help", "plugins", "replay", "cite", "new-plugin", "compile", "completion"]),
        ),
    ],
)
def test_what_may_stand_at_the_end_of_a_line(line, found):
    line = line or "spindle "
    assert answer(line, "zsh", NAMES) == found


def test_bash_takes_what_follows_the_equals_sign_as_a_word():
    assert answer("spindle integrate background.algorithm=s", "bash", NAMES) == ["simple"]


def test_fish_shows_what_programs_do():
    assert answer("spindle ind", "fish", NAMES) == ["index\tFind the lattice"]


def test_an_empty_index_offers_the_commands():
    assert "help" in answer("spindle ", "bash", {}) and answer("spindle index space", "bash", {}) == []


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Return a cache folder that has the index of what is installed."""
    folder = tmp_path_factory.mktemp("cache")
    path = folder / "names.json"
    path.write_text(json.dumps({"stamp": stamp(), **collect()}), encoding="utf-8")
    return folder


def test_the_index_has_programs_parameters_choices_and_plugins(cache):
    names = json.loads((cache / "names.json").read_text())
    assert answer("spindle find_sp", "zsh", names) == ["find_spots", "find_spots_client", "find_spots_server"]
    assert "background.algorithm=glm" in answer("spindle integrate background.algorithm=", "zsh", names)
    assert answer("spindle integrate background.simple.outlier.al", "zsh", names) == [
        "background.simple.outlier.algorithm="
    ]
    assert "space_group=" in answer("spindle process space", "zsh", names)
    assert answer("spindle process probe=el", "zsh", names) == ["probe=electron"]
    assert "background.algorithm=glm" in answer("spindle process background.algorithm=", "zsh", names)
    assert "exporter.mtz" in answer("spindle help exporter.", "zsh", names)


def test_an_answer_imports_no_plugin_and_nothing_heavy(cache):
    code = (
        "import sys\n"
        "from spindle.cli.main import main\n"
        "main(['completion', '--answer', 'bash', 'spindle integrate background.algorithm='])\n"
        "print(sorted(sys.modules), file=sys.stderr)\n"
    )
    environment = {**os.environ, "SPINDLE_CACHE_DIR": str(cache)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert "glm" in done.stdout.splitlines()
    imported = set(eval(done.stderr.splitlines()[-1]))
    assert not imported & {
        "numpy",
        "numba",
        "traitlets",
        "gemmi",
        "rich",
        "pluggy",
        "spindle.params",
        "spindle.execution",
    }
    assert not any(name.startswith(("spindle_", "spindle.plugins")) and "_editable" not in name for name in imported)


def test_an_old_index_is_made_anew(tmp_path, monkeypatch):
    monkeypatch.setenv("SPINDLE_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr("spindle.cli.names.collect", lambda: NAMES)
    started = []
    monkeypatch.setattr("subprocess.Popen", lambda command, **_: started.append(command))
    assert read_names() == {} and len(started) == 1
    assert read_names() == {} and len(started) == 1  # one is at it
    write_names()
    assert read_names()["programs"] == NAMES["programs"] and len(started) == 1
    names_path().write_text(json.dumps({**NAMES, "stamp": "of old"}), encoding="utf-8")
    assert read_names()["programs"] == NAMES["programs"] and len(started) == 2


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("spindle integr", "integrate"),
        ("spindle integrate background.algorithm=gl", "glm"),
        ("spindle integrate background.alg", "background.algorithm="),
    ],
)
def test_bash_completes(cache, tmp_path, line, found):
    script = (
        f'{SCRIPTS["bash"]}\nspindle() {{ {sys.executable} -m spindle "$@"; }}\ncompopt() {{ :; }}\n'
        f"COMP_LINE='{line}'; COMP_POINT=${{#COMP_LINE}}; _spindle; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    environment = {**os.environ, "SPINDLE_CACHE_DIR": str(cache)}
    done = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, check=True, env=environment, cwd=tmp_path
    )
    assert done.stdout.split() == [found], done.stderr


@pytest.fixture
def shell_with_spindle(cache, tmp_path, monkeypatch):
    """Return a folder with two files and a command ``spindle`` on the path."""
    command = tmp_path / "bin" / "spindle"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m spindle "$@"\n')
    command.chmod(0o755)
    for shell, text in SCRIPTS.items():
        (tmp_path / f"script.{shell}").write_text(text)
    (tmp_path / "strange.expt").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(command.parent), prepend=os.pathsep)
    monkeypatch.setenv("SPINDLE_CACHE_DIR", str(cache))
    return tmp_path


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
def test_bash_offers_files_beside_parameters(shell_with_spindle):
    script = "compopt() { :; }; . ./script.bash; COMP_LINE='spindle index st'; COMP_POINT=16; COMP_WORDS=(spindle index st); COMP_CWORD=2; _spindle; printf '%s\\n' \"${COMPREPLY[@]}\""
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert {"step_size=", "strange.expt"} <= set(done.stdout.split()), done.stderr


@pytest.mark.skipif(not shutil.which("fish"), reason="needs fish")
def test_fish_completes(shell_with_spindle):
    lines = ["spindle integr", "spindle integrate background.algorithm=gl", "spindle index st"]
    script = "source script.fish; " + "; ".join(f"complete -C '{line}'" for line in lines)
    done = subprocess.run(["fish", "-N", "-c", script], capture_output=True, text=True, check=True)
    found = {line.split("\t")[0] for line in done.stdout.splitlines()}
    assert {"integrate", "background.algorithm=glm", "step_size=", "strange.expt"} <= found, done.stderr


@pytest.mark.skipif(not shutil.which("zsh"), reason="needs zsh")
def test_zsh_completes(shell_with_spindle):
    """A terminal of its own, in which lines are typed and the key TAB is pressed."""
    import pty

    script = (
        "PS1='%% '; autoload -Uz compinit; compinit -u -D; source script.zsh\n"
        "show() { print -r -- \"<$BUFFER>\"; BUFFER=; }; zle -N show; bindkey '^G' show; print -r -- REA''DY\n"
    )
    child, terminal = pty.fork()
    if child == 0:
        os.environ["TERM"] = "dumb"
        os.execvp("zsh", ["zsh", "-f", "-i"])

    def read_until(end: bytes) -> str:
        text = b""
        while end not in text:
            assert select.select([terminal], [], [], 60)[0], text.decode()
            text += os.read(terminal, 4096)
        return text.decode()

    try:
        os.write(terminal, script.encode())
        read_until(b"READY\r")
        for line, full in [
            ("spindle integr", "integrate "),
            ("spindle integrate background.algorithm=gl", "background.algorithm=glm "),
            ("spindle integrate background.alg", "background.algorithm="),
            ("spindle index strang", "strange.expt "),
        ]:
            os.write(terminal, f"{line}\t\x07".encode())
            assert f"{line.rsplit(' ', 1)[0]} {full}>" in read_until(b">\r\n")
    finally:
        os.close(terminal)
        os.waitpid(child, 0)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_scripts_are_valid(shell):
    if not shutil.which(shell):
        pytest.skip(f"needs {shell}")
    subprocess.run([shell, "-n"], input=SCRIPTS[shell], text=True, check=True)


def test_an_unknown_shell_is_an_error(spindle):
    done = spindle("completion", "csh")
    assert done.returncode == 2 and "'csh' is not one of them" in done.stderr
