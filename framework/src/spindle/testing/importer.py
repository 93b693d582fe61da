"""What every importer must do. Subclass `ImporterContract` and give it a file.

>>> class TestMine(ImporterContract):
...     name = "mine"
...
...     @pytest.fixture
...     def result_file(self, tmp_path):
...         return write_a_file(tmp_path)
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from spindle.errors import UserError
from spindle.files import read_experiments, read_reflections, write_experiments, write_reflections

from .contract import PluginContract

__all__ = ["ImporterContract"]


class ImporterContract(PluginContract):
    """Conformance tests of the ``importer`` slot; see `PluginContract` for ``name`` and ``parameters``."""

    slot: ClassVar[str] = "importer"

    @pytest.fixture
    def result_file(self) -> Path:
        """A file that the importer reads."""
        raise NotImplementedError("give the fixture result_file: a file that this importer reads")

    def test_understands_its_file_and_nothing_else(self, plugin: Any, result_file: Path) -> None:
        head = result_file.read_bytes()[:65536]
        assert plugin.understand(path=result_file, head=head)
        for foreign in (b"", b"\x00" * 100, b"no results\n", b"\x89HDF\r\n\x1a\n", b"###CBF: VERSION 1.5\n"):
            assert not plugin.understand(path=result_file, head=foreign), "look at the head, not at the name"
            assert isinstance(plugin.refusal(path=result_file, head=foreign), str)

    def test_any_beginning_of_a_file_is_judged_without_raising(self, plugin: Any, result_file: Path) -> None:
        head = result_file.read_bytes()[:65536]
        for length in np.linspace(0, len(head), 40).astype(int):
            plugin.understand(path=result_file, head=head[:length])

    def test_what_is_imported_can_be_written_and_read(self, plugin: Any, result_file: Path, tmp_path: Path) -> None:
        found = plugin.import_results(path=result_file)
        write_experiments(found.experiments, tmp_path / "a.expt")
        assert len(read_experiments(tmp_path / "a.expt")) == len(found.experiments)
        if found.reflections is not None:
            write_reflections(found.reflections, tmp_path / "a.refl")
            again = read_reflections(tmp_path / "a.refl")
            assert len(again) == len(found.reflections)
            for name in ("id", "flags"):
                np.testing.assert_array_equal(again[name], found.reflections[name])

    def test_a_second_import_is_the_same(self, plugin: Any, result_file: Path) -> None:
        one, two = (plugin.import_results(path=result_file) for _ in range(2))
        assert len(one.experiments) == len(two.experiments)
        if one.reflections is not None:
            for name in one.reflections:
                if name != "shoebox":
                    np.testing.assert_array_equal(one.reflections[name], two.reflections[name])

    def test_a_file_that_is_cut_short_is_an_error_of_the_user(
        self, plugin: Any, result_file: Path, tmp_path: Path
    ) -> None:
        content = result_file.read_bytes()
        cut = tmp_path / "cut" / result_file.name
        cut.parent.mkdir()
        cut.write_bytes(content[: len(content) // 2])
        with pytest.raises(UserError):
            plugin.import_results(path=cut)
