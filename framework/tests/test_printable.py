"""Control characters of names and headers reach no terminal and no log."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from spindle.errors import FileFormatError, ModelError, UserError
from spindle.execution.outputs import check_writable
from spindle.files import read_experiments, write_experiments
from spindle.models import Beam, Detector, Experiment, Experiments, ImageSet, Panel
from spindle.params import PathParam, Str
from spindle.printable import PrintableFormatter, printable
from spindle.report import Table

# What xterm documents as commands: set the title, answer with it, clear the screen, move up, one byte for ESC [, hide text.
ATTACKS = [
    "\x1b]0;x\x07",
    "\x1b[21t",
    "\x1b[2J",
    "\x1b[1A\x1b[2K",
    "\x9b31m",
    "\x1b[8m",
    "\rerror",
    "a\x08b",
    "\x7f",
    "a\u202egpj.exe",
]


@pytest.mark.parametrize("attack", ATTACKS, ids=ascii)
def test_nothing_is_a_command_any_more(attack):
    shown = printable(f"before {attack} after\n\tnext")
    assert shown.replace("\n", "").replace("\t", "").isprintable() and shown.endswith("after\n\tnext")
    record = logging.LogRecord("x", logging.INFO, __file__, 0, "read %s", (attack,), None)
    assert PrintableFormatter("%(message)s").format(record) == f"read {printable(attack)}"
    assert attack not in str(Table("t", ["name"], [[attack]]))


def test_names_stay_as_they_are():
    for name in ("Größe é 東京 שלום.cbf", b"\xe9t\xe9".decode("utf-8", "surrogateescape"), "a b\u00a0c"):
        assert printable(name) == name
    assert printable(b"\x9b2J".decode("utf-8", "surrogateescape")) == "\\x9b2J"


def test_a_cell_is_one_line():
    assert str(Table("t", ["name"], [["a\n| forged |"]])).count("\n") == str(Table("t", ["name"], [["a"]])).count("\n")


@pytest.mark.parametrize("name", ["a\nerror_####.cbf", "a\x1b[2J_####.cbf", "a\u202e_####.cbf"], ids=ascii)
def test_experiments_hold_no_such_names(tmp_path, name):
    path = tmp_path / "a.expt"
    panel = Panel([1.0, 0, 0], [0, -1.0, 0], [-1.0, 1, -100], image_size=(10, 10), pixel_size=(0.1, 0.1))
    beam, detector = Beam(direction=(0, 0, 1), wavelength=1.0), Detector([panel])
    plain = Experiment(
        beam=beam, detector=detector, imageset=ImageSet(template="/a_####.cbf", image_range=(1, 2)), identifier="x"
    )
    write_experiments(Experiments([plain]), path)
    content = json.loads(path.read_text())
    bad = replace(plain, imageset=ImageSet(template=f"/{name}", image_range=(1, 2)))
    with pytest.raises(ModelError, match="without control characters"):
        write_experiments(Experiments([bad]), path)
    assert json.loads(path.read_text()) == content
    content["imageset"][0]["template"] = f"/{name}"
    path.write_text(json.dumps(content))
    with pytest.raises(FileFormatError, match=r"template is .* without control characters"):
        read_experiments(path)


@pytest.mark.parametrize("text", ["a\0b", "a\x1b[2J", "a\x07"], ids=ascii)
def test_no_parameter_has_control_characters(text):
    for leaf in (Str(), PathParam()):
        with pytest.raises(ValueError, match="without control characters, not 'a"):
            leaf.convert(text)


def test_texts_have_lines_and_paths_have_none():
    assert Str().convert("one\ntwo\tthree") == "one\ntwo\tthree"
    with pytest.raises(ValueError, match="without control characters"):
        PathParam().convert("one\ntwo")
    with pytest.raises(UserError, match="control characters"):
        check_writable(Path("one\ntwo.refl"), "output.reflections")
