"""What every exporter must do. Subclass `ExporterContract` and name the exporter.

>>> class TestMine(ExporterContract):
...     name = "mine"
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from spindle.contracts.exporter import Export, MergedColumn, MergedData, MergedDataset
from spindle.errors import UserError
from spindle.geometry import rotation_matrix
from spindle.models import Beam, Crystal, Detector, Experiment, Experiments, Goniometer, ImageSet, Panel, Scan
from spindle.plugins.host import Handle
from spindle.prediction import lorentz_polarisation, predict_static
from spindle.table import Flag, ReflectionTable

from .contract import PluginContract

__all__ = ["ExporterContract", "integrated_data", "merged_data"]


def integrated_data() -> tuple[Experiments, ReflectionTable]:
    """A tetragonal crystal about a tilted axis: predicted reflections with intensities that follow from the index."""
    panel = Panel(
        fast_axis=[1, 0, 0],
        slow_axis=[0, -1, 0],
        origin=[-50.0, 52.0, -90.0],
        pixel_size=[0.172, 0.172],
        image_size=(600, 610),
        thickness=0.32,
        mu=4.2,
        material="Si",
    )
    experiment = Experiment(
        beam=Beam([0, 0, 1], 1.0),
        detector=Detector([panel]),
        goniometer=Goniometer([0.8, 0.6, 0.0]),
        scan=Scan((3, 32), (10.0, 0.5)),
        crystal=Crystal.from_cell(
            [60.0, 60.0, 40.0, 90, 90, 90], rotation_matrix(np.array([0.36, 0.48, 0.8]), 0.7), "P 4"
        ),
        imageset=ImageSet(template="/data/x_####.cbf"),
    )
    table = predict_static(experiment, d_min=4.0)
    n = len(table)
    table["xyzobs.px.value"] = table["xyzcal.px"]
    table["d"] = 1 / np.linalg.norm(table["s1"] - experiment.beam.s0, axis=1)
    value = 100.0 + np.abs(table["miller_index"]).sum(axis=1)
    for kind in ("sum", "prf"):
        table[f"intensity.{kind}.value"] = value
        table[f"intensity.{kind}.variance"] = value
    table["partiality"] = np.ones(n)
    table["partial_id"] = np.arange(n)
    table["lp"] = lorentz_polarisation(experiment.beam, experiment.goniometer, table["s1"])
    table.set_flags(np.arange(n), Flag.INTEGRATED_SUM | Flag.INTEGRATED_PRF)
    return Experiments([experiment]), table


def merged_data() -> MergedData:
    """Four unique reflections with a missing value."""
    values = np.array([10.0, 20.0, np.nan, 40.0])
    columns = [MergedColumn("IMEAN", "J", values), MergedColumn("SIGIMEAN", "Q", 0.1 * values)]
    dataset = MergedDataset("NATIVE", "XTAL", "TEST", np.array([60.0, 60.0, 40.0, 90.0, 90.0, 90.0]), 1.0)
    return MergedData(np.array([[1, 0, 0], [1, 1, 0], [2, 1, 3], [0, 0, 4]]), columns, [dataset], "P 4")


class ExporterContract(PluginContract):
    """Conformance tests of the ``exporter`` slot; see `PluginContract` for ``name`` and ``parameters``.

    Attributes
    ----------
    holds_intensities : bool
        False for an exporter of models only: it then needs no intensities.
    """

    slot = "exporter"
    holds_intensities: ClassVar[bool] = True

    def export(self, plugin: Handle) -> Export:
        """Export `integrated_data`, as the program does."""
        if not plugin.implements("export"):
            pytest.skip("this exporter writes merged data only")
        experiments, table = integrated_data()
        return plugin.export(experiments=experiments, reflections=table, intensity="auto", path=None)

    def write(self, result: Export, folder: Path) -> dict[str, int]:
        """Write all files of a result and return their sizes."""
        sizes = {}
        for i, (name, writer) in enumerate(result.files.items()):
            path = folder / f"{i}{Path(name).suffix}"
            writer(path)
            sizes[str(name)] = path.stat().st_size
        return sizes

    def test_implements_one_of_its_hooks(self, plugin: Handle) -> None:
        assert plugin.implements("export") or plugin.implements("export_merged")

    def test_files_are_written_where_the_host_says_and_nowhere_else(
        self, plugin: Handle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "here").mkdir()
        monkeypatch.chdir(tmp_path / "here")
        result = self.export(plugin)
        assert isinstance(result, Export)
        assert result.files, "nothing would be written"
        (tmp_path / "there").mkdir()
        sizes = self.write(result, tmp_path / "there")
        assert min(sizes.values()) > 0
        assert len(list((tmp_path / "there").iterdir())) == len(result.files)
        assert not list((tmp_path / "here").iterdir()), "the exporter wrote a file itself"

    def test_the_user_is_told_what_the_file_holds(self, plugin: Handle) -> None:
        messages = self.export(plugin).messages
        assert messages
        if self.holds_intensities:
            text = " ".join(messages).lower()
            assert any(word in text for word in ("profile", "sum", "scale")), "say which intensity was written"

    def test_input_is_left_alone(self, plugin: Handle) -> None:
        if not plugin.implements("export"):
            pytest.skip("this exporter writes merged data only")
        experiments, table = integrated_data()
        before = table.copy()
        plugin.export(experiments=experiments, reflections=table, intensity="auto", path=None)
        assert set(table.columns) == set(before.columns)
        for name in ("miller_index", "intensity.sum.value", "flags", "id"):
            assert np.array_equal(table[name], before[name]), name

    def test_a_second_export_is_the_same(self, plugin: Handle, tmp_path: Path) -> None:
        (tmp_path / "a").mkdir()
        (tmp_path / "b").mkdir()
        assert self.write(self.export(plugin), tmp_path / "a") == self.write(self.export(plugin), tmp_path / "b")

    def test_missing_intensities_are_an_error_of_the_user(self, plugin: Handle) -> None:
        if not self.holds_intensities or not plugin.implements("export"):
            pytest.skip("this exporter needs no unmerged intensities")
        experiments, table = integrated_data()
        bare = ReflectionTable({n: table[n] for n in table.columns if not n.startswith("intensity.")})
        with pytest.raises(UserError):
            plugin.export(experiments=experiments, reflections=bare, intensity="auto", path=None)

    def test_merged_data_are_written(self, plugin: Handle, tmp_path: Path) -> None:
        if not plugin.implements("export_merged"):
            pytest.skip("this exporter writes unmerged data only")
        result = plugin.export_merged(merged=merged_data(), path=str(tmp_path / "merged.out"))
        assert isinstance(result, Export)
        assert min(self.write(result, tmp_path).values()) > 0
