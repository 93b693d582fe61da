"""What importers return, or fail with, at the door of the host."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from spindle.contracts.importer import Imported
from spindle.errors import FileFormatError, UserError
from spindle.execution import import_results, importing
from spindle.models import Beam, Detector, Experiment, Experiments, Panel
from spindle.table import ReflectionTable
from spindle.testing.data import make_context


class Importer:
    """Reads anything, as a function says."""

    name = "any"

    def __init__(self, read):
        self.read = read

    def import_results(self, path: Path) -> Imported:
        return self.read(path)


@pytest.fixture
def imported(monkeypatch, tmp_path):
    def run(read):
        monkeypatch.setattr(importing, "_importer_of", lambda *given: Importer(read))
        (tmp_path / "x.mtz").touch()
        return import_results([tmp_path / "x.mtz"], make_context("import"), "any")

    return run


def fails(error):
    def read(path):
        raise error

    return read


@pytest.mark.parametrize(
    "error", [KeyError("XD"), IndexError("range"), TypeError("None"), ZeroDivisionError(), RuntimeError("vector")]
)
def test_what_an_importer_did_not_expect_is_said_of_the_file_and_of_the_place(imported, error):
    with pytest.raises(
        FileFormatError, match=rf"x\.mtz: the importer any .*{type(error).__name__}.*test_importing\.py:\d+"
    ):
        imported(fails(error))


def test_its_own_messages_and_want_of_memory_stay_what_they_are(imported):
    with pytest.raises(UserError, match=r"^mine$"):
        imported(fails(UserError("mine")))
    with pytest.raises(MemoryError):
        imported(fails(MemoryError()))


@pytest.mark.parametrize(("column", "value"), [("miller_index", [-(2**31), 0, 1]), ("intensity.sum.value", np.nan)])
def test_rows_that_cannot_be_are_refused_with_their_place(imported, column, value):
    panel = Panel(
        (1, 0, 0), (0, -1, 0), (-5, 5, -100), pixel_size=(0.1, 0.1), image_size=(100, 100), trusted_range=(0, 1e5)
    )
    experiments = Experiments([Experiment(Beam((0, 0, 1), 1.0), Detector([panel]), identifier="a")])

    def read(path):
        table = ReflectionTable.with_rows(3, ["id", "flags", "miller_index", "intensity.sum.value"])
        table["id"][:] = 0
        table[column][2] = value
        return Imported(experiments, table)

    with pytest.raises(FileFormatError, match=rf"x\.mtz: row 2, column {column}"):
        imported(read)
