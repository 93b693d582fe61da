"""Who may ask, which files may be read, and on which address a server listens."""

from __future__ import annotations

import pytest

from spindle.errors import UserError
from spindle_lib_serving.allowed import AllowedFolders, ImageName
from spindle_lib_serving.answers import to_json
from spindle_lib_serving.guard import is_loopback, is_ours, plain
from spindle_lib_serving.listening import listen
from spindle_lib_serving.refusal import Refusal


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:80", "127.0.0.1:1701", "[::1]:80", "box", "a.localhost", "10.0.0.7"]
)
def test_names_of_this_machine(host):
    assert is_ours(host, {"box"})


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "localhost.evil.example:1"]
)
def test_names_that_were_made_to_lead_here(host):
    assert not is_ours(host, {"box"})


def test_addresses_that_no_other_machine_reaches():
    assert is_loopback("127.0.0.1") and is_loopback("::1")
    assert not is_loopback("0.0.0.0") and not is_loopback("box")


def test_folders_are_left_neither_by_links_nor_by_dots(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    (tmp_path / "data_too").mkdir()
    for name in ("data/a.cbf", "data_too/a.cbf"):
        (tmp_path / name).write_text("")
    (folder / "link.cbf").symlink_to(tmp_path / "data_too" / "a.cbf")
    allowed = AllowedFolders([folder])
    assert allowed.image(f"{folder}/a.cbf:3") == ImageName(f"{folder}/a.cbf", 3)
    for path in ("link.cbf", "../data_too/a.cbf", "../data/../data_too/a.cbf"):
        with pytest.raises(Refusal, match="outside") as refusal:
            allowed.image(f"{folder}/{path}")
        assert refusal.value.status == 403


def test_a_port_that_is_taken_is_named_with_the_way_out():
    with listen("viewer", "127.0.0.1", None) as first:
        port = first.getsockname()[1]
        with pytest.raises(UserError, match=f"viewer: cannot listen on port={port} .*spindle stop it.*port=None"):
            listen("viewer", "127.0.0.1", port, "spindle stop it")
    with pytest.raises(UserError, match="no such address"):
        listen("viewer", "no such host", None)


def test_what_json_does_not_have_becomes_null():
    assert to_json({"a": float("nan"), "b": [1, float("inf")]}) == b'{"a": null, "b": [1, null]}'


def test_log_lines_are_one_line():
    assert plain("a\nb\x1b[31m") == "a\\nb\\x1b[31m"
