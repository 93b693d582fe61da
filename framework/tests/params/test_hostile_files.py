"""Parameter files that somebody else made: nothing hangs, nothing recurses for ever, nothing of other files is printed."""

from __future__ import annotations

import contextlib
import os
import signal

import pytest

from spindle.errors import ParameterError
from spindle.params.text import read_parameter_file

SECRET = "root:x:0:0:Very Secret:/root:/bin/sh"


@contextlib.contextmanager
def limited_time(seconds: float):
    """Processor time within; more is a failure."""

    def stop(*_):
        raise AssertionError(f"more than {seconds} s")

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@pytest.fixture
def refused(tmp_path):
    """Return the message with which a parameter file of some content is refused."""

    def read(content: str, name: str = "x.phil") -> str:
        path = tmp_path / name
        path.write_text(content)
        with pytest.raises(ParameterError) as caught:
            read_parameter_file(path)
        assert len(str(caught.value)) < 1000
        return str(caught.value)

    return read


def test_a_file_that_includes_itself_is_refused(refused, tmp_path):
    assert "line 2: " in refused("a = 1\ninclude file x.phil\n") and "includes itself" in refused("include file x.phil")
    (tmp_path / "y.phil").write_text("include file z.phil\n")
    (tmp_path / "z.phil").symlink_to("x.phil")
    assert "includes itself" in refused("include file y.phil")


def test_a_file_is_included_twice_where_that_is_no_circle(tmp_path):
    (tmp_path / "a.phil").write_text("d_min = 2\n")
    (tmp_path / "b.phil").write_text("x { include file a.phil }\ny { include file a.phil }\n")
    assert [a.key for a in read_parameter_file(tmp_path / "b.phil")] == ["x.d_min", "y.d_min"]


def test_files_that_include_each_other_many_times_are_refused(refused, tmp_path):
    for i in range(60):
        (tmp_path / f"f{i}.phil").write_text(f"include file f{i + 1}.phil\n" * 2)
    (tmp_path / "f60.phil").write_text("a = 1\n")
    assert "levels deep" in refused("include file f0.phil")
    for i in range(20):
        (tmp_path / f"g{i}.phil").write_text(f"include file g{i + 1}.phil\n" * 2)
    (tmp_path / "g20.phil").write_text("a = 1\n")
    assert "400 files" in refused("include file g0.phil")


@pytest.mark.parametrize("kind", ["pipe", "/dev/zero", "/proc/self/mem", "/dev/null", "folder", "loop"])
@pytest.mark.parametrize("included", [True, False])
def test_only_regular_files_are_parameter_files(tmp_path, refused, kind, included):
    path = tmp_path / "special.phil"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(path.name if kind == "loop" else kind)
    if included:
        assert "special" in refused("include file special.phil")
    elif kind == "/proc/self/mem":
        assert read_parameter_file(path) == []  # no content
    else:
        with pytest.raises(ParameterError, match="special"):
            read_parameter_file(path)


@pytest.mark.parametrize("way", ["include file {}", "include file '{}'", "scope {{ include file {} }}"])
def test_nothing_is_printed_of_what_is_no_parameter_file(refused, tmp_path, way):
    other = tmp_path / "passwd"
    other.write_text(SECRET + "\nPASSWORD = hunter2\n")
    assert "no parameter file" in refused(way.format(other))
    link = tmp_path / "link.phil"
    link.symlink_to(other)
    assert "no parameter file" in refused(way.format(link))
    for name in ("copy.phil", "copy.toml"):
        (tmp_path / name).write_text(SECRET)
        message = refused(way.format(name))
        assert "Secret" not in message and ":x:" not in message


def test_values_of_files_are_shown_only_for_parameters(spindle_error):
    message = spindle_error("TOKEN = hunter2\n", "show")
    assert "TOKEN" in message and "hunter2" not in message


@pytest.fixture
def spindle_error(tmp_path, capsys):
    from spindle.cli.main import main

    def run(content: str, program: str) -> str:
        path = tmp_path / "x.phil"
        path.write_text(content)
        assert main([program, str(path), "-c"]) == 2
        return capsys.readouterr().err

    return run


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.toml", "[" + ".".join(["a"] * 20_000) + "]\nb = 1\n"),
        ("x.toml", "a = " + "[" * 20_000 + "]" * 20_000),
        ("x.toml", "a = " + "{b = " * 20_000 + "1" + "}" * 20_000),
        ("x.toml", ".".join(["a"] * 20_000) + " = 1\n"),
        ("x.phil", "a {\n" * 20_000 + "b = 1\n" + "}\n" * 20_000),
        ("x.phil", "d_min = 2\n" * 20_000),
        ("x.phil", "d_min = 2\n" * 1_000_000),
        ("x.toml", "d_min = 2 # x\n" * 100_000),
        ("x.toml", "x.".join(['"a".'] * 100_000) + "b = 1\n"),
        ("x.phil", "a = " + '"\'"' * 200_001 + "'\n"),
        ("x.phil", "a = 'b\n" + "c = 1\n" * 100_000),
    ],
)
def test_deep_large_and_unclosed_files_are_one_message(refused, name, content):
    with limited_time(20):
        refused(content, name)
