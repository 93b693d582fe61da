"""TOML of strangers: one message for whatever is wrong."""

from __future__ import annotations

import os

import pytest

from spindle.errors import FileFormatError, ParameterError
from spindle.params import parse_toml, read_parameter_file, read_toml
from spindle.params.toml_text import MOST_BYTES

HOSTILE = {
    "digits": "a = " + "9" * 5000,
    "hexadecimal digits": "a = [{b = 0x" + "f" * 5000 + "}]",
    "nested arrays": "a = " + "[" * 50_000,
    "nested tables": "a = " + "{a=" * 50_000,
    "a long key": ".".join("a" * 5000) + " = 1",
    "a date": "a = 2020-13-45",
    "secret": "root:x:0:0:secret words",
    "twice": "a = 1\na = 2",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_is_one_message(tmp_path, text):
    with pytest.raises(FileFormatError, match=r"^here: ") as found:
        parse_toml(text, "here")
    assert len(str(found.value)) < 300 and "secret" not in str(found.value)
    (tmp_path / "a.toml").write_text(text)
    with pytest.raises(ParameterError, match=r"a\.toml: "):
        read_parameter_file(tmp_path / "a.toml")


def test_only_files_of_some_size_are_read(tmp_path):
    (tmp_path / "a.toml").write_bytes(b"#")
    assert read_toml(tmp_path / "a.toml", "sets", "give sets") == {}
    os.truncate(tmp_path / "a.toml", MOST_BYTES + 1)
    with pytest.raises(FileFormatError, match=r"at most .* of sets"):
        read_toml(tmp_path / "a.toml", "sets", "give sets")
    (tmp_path / "b.toml").write_bytes(b"\xff")
    with pytest.raises(FileFormatError, match="byte 0 is not UTF-8; give sets"):
        read_toml(tmp_path / "b.toml", "sets", "give sets")
    with pytest.raises(FileFormatError, match=r"c\.toml"):
        read_toml(tmp_path / "c.toml", "sets", "give sets")
