"""JSON that programs read differently, or cannot write, is refused with the reason."""

from __future__ import annotations

import json
import os

import pytest

from spindle.errors import FileFormatError
from spindle.execution.record import read_record
from spindle.files import read_experiments
from spindle.files.strict_json import json_content

REFUSED = {
    '{"a": 1, "b": {"c": 1, "d": 2, "c": 1}}': "'c' is there twice in one object",
    "[" * 100_000: "nested too deeply",
    '{"a":' * 100_000 + "1" + "}" * 100_000: "nested too deeply",
    "9" * 5000: "a whole number has thousands of digits",
    r'{"a": "x\ud800y"}': r"half of a character, '\ud800'",
    r'{"\udfff": 1}': r"half of a character, '\udfff'",
    '{"a": 1': "Expecting",
}


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: REFUSED[text])
def test_what_is_wrong_is_named(tmp_path, text):
    with pytest.raises(ValueError) as caught:
        json_content(text.encode())
    assert REFUSED[text] in str(caught.value)
    (tmp_path / "x.expt").write_text(text)
    with pytest.raises(FileFormatError, match=r"x.expt: not an experiment file, or damaged: ") as caught:
        read_experiments(tmp_path / "x.expt")
    assert REFUSED[text] in str(caught.value)
    with pytest.raises(FileFormatError, match=r"cannot be read as JSON") as caught:
        read_record(tmp_path / "x.expt")
    assert REFUSED[text] in str(caught.value)


def test_what_is_right_is_read_as_json_is():
    for value in ({"a": [1, 2.5, None, True, "\N{GRINNING FACE}", {}]}, {}, "\\ud800"):
        for escaped in (True, False):
            text = json.dumps(value, ensure_ascii=escaped)
            assert json_content(text.encode()) == json_content(text.encode("utf-16")) == value
    assert json_content(rb'"a\udcff.cbf"') == os.fsdecode(b"a\xff.cbf"), "the name of a file"
    with pytest.raises(ValueError, match="utf-8"):
        json_content(b'{"a": "\xed\xa0\x80"}')


def test_a_template_longer_than_any_path_is_refused(tmp_path):
    content = {
        "__id__": "ExperimentList",
        "imageset": [{"__id__": "ImageSequence", "template": "#" * 5000}],
        "experiment": [],
    }
    (tmp_path / "x.expt").write_text(json.dumps(content))
    with pytest.raises(FileFormatError, match=r"imageset.0.: a file name has 5000 characters: at most 4096 expected"):
        read_experiments(tmp_path / "x.expt")
