"""What every exporter must do. Subclass `ExporterContract` and name the exporter.

>>> class TestMine(ExporterContract):
...     name = "mine"
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from spindle.contracts.exporter import Export, MergedColumn, MergedData, MergedDataset
from spindle.errors import UserError
from spindle.geometry import rotation_matrix
from spindle.models import Beam, Crystal, Detector, Experiment, Experiments, Goniometer, ImageSet, Panel, Scan
from spindle.plugins.host import Handle
from spindle.prediction import lorentz_polarisation, predict_static
from spindle.table import Flag, ReflectionTable

from .comparing import difference, snapshot
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


@dataclass(frozen=True)
class ReadBack:
    """What a test reads out of the files of an exporter, with a library of the format or by hand; one row per observation.

    Attributes
    ----------
    miller_index : (n, 3) int
        As measured, not moved into the asymmetric unit.
    intensity, sigma : (n,) float64
        Value and its standard deviation (not the variance) as the file holds them.
    image : (n,) float64, optional
        Place in the scan as array index, in the numbers of the experiment's own images.
    """

    miller_index: np.ndarray
    intensity: np.ndarray
    sigma: np.ndarray
    image: np.ndarray | None = None


def telling_data() -> tuple[Experiments, ReflectionTable]:
    """Scaled data of two sweeps of one crystal, in which every column tells another number.

    Index (h, k, l) has the intensities 1000 + 100 h + 10 k + l (summed), 1.5 times as much (profile-fitted) and 2.5 times as much (scaled,
    before division by the scale factor, which is 2 in the first sweep and 4 in the second); sigmas are 1 % (summed), 2 % and 3 %. Of each ten
    rows one was not integrated and one was rejected in scaling.
    """
    experiments, table = integrated_data()
    first = experiments[0]
    axis = first.known_goniometer.rotation_axis
    second = replace(
        first,
        goniometer=Goniometer(axis, rotation_matrix(axis, -0.5 * np.pi)),  # turned back by what the scan begins later
        scan=Scan((101, 130), (100.0, 0.5)),
        identifier="second sweep",
        imageset=ImageSet(template="/data/y_####.cbf"),
    )
    both = Experiments([replace(first, identifier="first sweep"), second])
    table = table.select((table["miller_index"] != 0).all(axis=1))
    half = table.select(np.arange(0, len(table), 2))
    other = table.select(np.arange(1, len(table), 2))
    position = other["xyzcal.px"] + np.array([0.0, 0.0, 98.0])
    other["xyzcal.px"] = other["xyzobs.px.value"] = position
    other["xyzcal.mm"] = other["xyzcal.mm"] + np.array([0.0, 0.0, 0.5 * np.pi])
    other["id"] = np.ones(len(other), np.int64)
    half.identifiers, other.identifiers = {0: "first sweep"}, {1: "second sweep"}
    joined = ReflectionTable.concatenate([half, other])
    n = len(joined)
    value = 1000.0 + joined["miller_index"] @ np.array([100.0, 10.0, 1.0]) + 3000.0
    scale = np.where(joined["id"] == 0, 2.0, 4.0)
    for kind, factor, part in (("sum", 1.0, 0.01), ("prf", 1.5, 0.02), ("scale", 2.5, 0.03)):
        times = factor * (scale if kind == "scale" else 1.0)
        joined[f"intensity.{kind}.value"] = value * times
        joined[f"intensity.{kind}.variance"] = (part * value * times) ** 2
    joined["inverse_scale_factor"], joined["inverse_scale_factor_variance"] = scale, np.full(n, 1e-4)
    joined["partial_id"], joined["lp"], joined["qe"] = np.arange(n), np.ones(n), np.ones(n)
    flags = np.full(n, int(Flag.INTEGRATED_SUM | Flag.INTEGRATED_PRF | Flag.SCALED | Flag.PREDICTED), np.uint64)
    flags[4::10] = int(Flag.PREDICTED)
    flags[7::10] = int(Flag.INTEGRATED_SUM | Flag.INTEGRATED_PRF | Flag.PREDICTED | Flag.OUTLIER_IN_SCALING)
    joined["flags"] = flags
    return both, joined


# factor and relative sigma of what a file holds
KINDS = {"sum": (1.0, 0.01), "profile": (1.5, 0.02), "scale": (2.5, 0.03)}


def _rows_of(table: ReflectionTable, chosen: np.ndarray) -> list[tuple[int, ...]]:
    return sorted(map(tuple, table["miller_index"][chosen].tolist()))


@contextmanager
def _at_another_time(monkeypatch: pytest.MonkeyPatch, seconds: float) -> Iterator[None]:
    """Let the clocks of Python be wrong by some seconds."""
    import datetime

    now, class_of = time.time() + seconds, datetime.datetime

    class Later(class_of):  # type: ignore[valid-type, misc]
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return class_of.fromtimestamp(now, tz)

        @classmethod
        def utcnow(cls) -> Any:
            return class_of.fromtimestamp(now, datetime.UTC).replace(tzinfo=None)

        @classmethod
        def today(cls) -> Any:
            return class_of.fromtimestamp(now)

    ctime, strftime, localtime, gmtime = time.ctime, time.strftime, time.localtime, time.gmtime
    with monkeypatch.context() as patch:
        patch.setattr(time, "time", lambda: now)
        patch.setattr(time, "ctime", lambda t=None: ctime(now if t is None else t))
        patch.setattr(time, "localtime", lambda t=None: localtime(now if t is None else t))
        patch.setattr(time, "gmtime", lambda t=None: gmtime(now if t is None else t))
        patch.setattr(time, "strftime", lambda f, t=None: strftime(f, localtime(now) if t is None else t))
        patch.setattr(datetime, "datetime", Later)
        yield


class ExporterContract(PluginContract):
    """Conformance tests of the ``exporter`` slot; see `PluginContract` for ``name`` and ``parameters``.

    Attributes
    ----------
    holds_intensities : bool
        False for an exporter of models only: it then needs no intensities.
    kinds : tuple of str
        Those of ``intensity=sum, profile, scale`` that it writes; every test of what a file holds needs `read_back`.
    """

    slot = "exporter"
    holds_intensities: ClassVar[bool] = True
    kinds: ClassVar[tuple[str, ...]] = ("sum", "profile", "scale")

    def read_back(self, paths: list[Path]) -> ReadBack:
        """What the files hold, in the order in which they are returned by the exporter: only the author of an exporter can say.

        Raises
        ------
        NotImplementedError
            Until a subclass defines it.
        """
        raise NotImplementedError(
            f"{type(self).__name__} has to define read_back(self, paths), which reads the exported files and returns a "
            "spindle.testing.exporter.ReadBack of indices, intensities and sigmas; or holds_intensities = False"
        )

    def exported(self, plugin: Handle, intensity: str, folder: Path, rows: Any = slice(None)) -> ReadBack:
        """Export some rows of `telling_data` and read them back."""
        if not self.holds_intensities or not hasattr(plugin, "export"):
            pytest.skip("this exporter writes no unmerged intensities")
        experiments, table = telling_data()
        table = table.select(np.arange(len(table))[rows])
        result = plugin.export(
            experiments=experiments, reflections=table, intensity=intensity, path=str(folder / "exported.out")
        )
        paths = []
        for number, (name, writer) in enumerate(result.files.items()):
            paths.append(folder / f"{number}_{Path(name).name}")
            writer(paths[-1])
        return self.read_back(paths)

    @pytest.mark.parametrize("kind", ["sum", "profile", "scale", "auto"])
    def test_the_file_holds_what_was_asked_for(self, plugin: Handle, tmp_path: Path, kind: str) -> None:
        if kind != "auto" and kind not in self.kinds:
            pytest.skip(f"this exporter does not write intensity={kind}")
        found = self.exported(plugin, kind, tmp_path)
        factor, part = KINDS["scale" if kind == "auto" else kind]
        value = factor * (4000.0 + found.miller_index @ np.array([100.0, 10.0, 1.0]))
        ratio = np.median(found.intensity / value)
        np.testing.assert_allclose(
            found.intensity,
            value,
            rtol=1e-3,
            err_msg=f"intensities are {ratio:.3g} times what intensity={kind} is; indices may be exchanged",
        )
        np.testing.assert_allclose(found.sigma, part * value, rtol=0.02, err_msg="sigmas are standard deviations")

    def test_the_file_holds_every_good_reflection_and_no_other(self, plugin: Handle, tmp_path: Path) -> None:
        found = self.exported(plugin, "auto", tmp_path)
        _, table = telling_data()
        flags = table["flags"]
        integrated = (flags & np.uint64(int(Flag.INTEGRATED_SUM))) != 0
        scaled = (flags & np.uint64(int(Flag.SCALED))) != 0
        wanted, allowed = _rows_of(table, scaled), _rows_of(table, integrated)
        held = sorted(map(tuple, found.miller_index.tolist()))
        assert set(held) <= set(allowed), "reflections that were not integrated are written"
        assert len(held) in (len(wanted), len(allowed)), (
            f"{len(held)} observations are written, {len(wanted)} of all experiments expected"
        )
        assert set(wanted) <= set(held), "reflections are missing"

    def test_places_in_the_scan_are_those_of_each_sweep(self, plugin: Handle, tmp_path: Path) -> None:
        found = self.exported(plugin, "auto", tmp_path)
        if found.image is None:
            pytest.skip("this file holds no place in the scan, or its test does not read it")
        _, table = telling_data()
        known = {tuple(h): z for h, z in zip(table["miller_index"].tolist(), table["xyzcal.px"][:, 2], strict=True)}
        true = np.array([known[tuple(h)] for h in found.miller_index.tolist()])
        assert np.abs(found.image - true).max() < 1.0

    def test_hardly_any_reflections_are_written_or_refused_in_words(self, plugin: Handle, tmp_path: Path) -> None:
        for rows in ([0], [], [4]):
            try:
                self.exported(plugin, "auto", tmp_path, rows)
            except UserError:
                continue

    def test_the_same_data_give_the_same_bytes(
        self, plugin: Handle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Also on another day: a file that holds the time of its making cannot be compared."""
        if not hasattr(plugin, "export"):
            pytest.skip("this exporter writes merged data only")
        contents: list[list[bytes]] = []
        for day in (0, 40_000_000):
            with _at_another_time(monkeypatch, day):
                result = self.export(plugin)
                paths = [tmp_path / f"{day}_{number}" for number in range(len(result.files))]
                for path, writer in zip(paths, result.files.values(), strict=True):
                    writer(path)
            contents.append([p.read_bytes() for p in paths])
        assert contents[0] == contents[1], "the time of the export is in the file"

    def test_intensities_that_are_not_there_are_refused(self, plugin: Handle) -> None:
        """A kind of intensity that the exporter cannot write is refused, not replaced by another without a word."""
        if not self.holds_intensities or not hasattr(plugin, "export"):
            pytest.skip("this exporter writes no unmerged intensities")
        experiments, table = integrated_data()
        with pytest.raises(UserError):
            plugin.export(experiments=experiments, reflections=table, intensity="scale", path=None)

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
        for experiments, table in (integrated_data(), telling_data()):
            before = snapshot([experiments, table])
            plugin.export(experiments=experiments, reflections=table, intensity="auto", path=None)
            changed = difference(before, snapshot([experiments, table]))
            assert not changed, changed

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
