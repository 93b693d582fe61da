"""The smallest input that makes sense for the hooks of a slot: what ``spindle plugins --check`` calls a plugin with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .checking import Fault

__all__ = ["SmallExecutor", "smallest_calls"]

Results = dict[str, Any]
# hook; results of the hooks so far -> arguments; what to do with the result beyond the contract's own check
Call = tuple[str, Callable[[Results], dict[str, Any]], Callable[[Any], None]]


class SmallExecutor:
    """Does one item after the other."""

    n_workers = 1

    @property
    def here(self) -> SmallExecutor:
        """This one."""
        return self

    def map(self, function: Callable[..., Any], items: Any, *, shared: Any = ...) -> Iterator[Any]:
        """Apply ``function`` to every item, in order."""
        return map(function if shared is ... else partial(function, shared), items)


def smallest_calls(slot: str) -> list[Call]:
    """Hooks of a slot with arguments to call them with; none for slots that need a whole experiment."""
    make = _CALLS.get(slot)
    return make() if make is not None else []


def _nothing(result: Any) -> None:
    """The contract's own check is enough."""


def _shoeboxes() -> Any:
    """Three shoeboxes of 3 x 7 x 9 pixels with about 5 counts of background and a spot in the middle."""
    from spindle.table import MaskCode, Shoeboxes

    corner = np.array([[10, 20, 4], [31, 40, 5], [60, 15, 6]])
    bbox = np.stack([corner, corner + (9, 7, 3)], axis=2).reshape(3, 6)
    boxes = Shoeboxes.empty(np.zeros(3, np.int64), bbox.astype(np.int32))
    spot = np.zeros((3, 7, 9), bool)
    spot[:, 2:5, 3:6] = True
    counts = np.random.default_rng(1).poisson(5.0, (3, 3, 7, 9)) + 40 * spot
    boxes.data[:] = counts.reshape(-1)
    codes = np.where(spot, MaskCode.VALID | MaskCode.FOREGROUND, MaskCode.VALID | MaskCode.BACKGROUND)
    boxes.mask[:] = np.tile(codes.reshape(-1), 3)
    return boxes


def _panel(size: tuple[int, int]) -> Any:
    from spindle.models import Panel

    return Panel(
        fast_axis=np.array([1.0, 0.0, 0.0]), slow_axis=np.array([0.0, -1.0, 0.0]), origin=np.array([-2.0, 2.0, -100.0]),
        pixel_size=np.array([0.1, 0.1]), image_size=size, trusted_range=(0.0, 1e6),
    )  # fmt: skip


def _beam() -> Any:
    from spindle.models import Beam

    return Beam(direction=np.array([0.0, 0.0, 1.0]), wavelength=1.0)


def _background() -> list[Call]:
    from spindle.models import Detector

    detector = Detector((_panel((200, 200)),))
    return [("estimate_background", lambda _: {"shoeboxes": _shoeboxes(), "detector": detector}, _nothing)]


def _centroid() -> list[Call]:
    return [("compute_centroids", lambda _: {"shoeboxes": _shoeboxes()}, _nothing)]


def _threshold() -> list[Call]:
    image = np.random.default_rng(2).poisson(3.0, (32, 48)).astype(np.int32)
    image[15:17, 20:22] = 90
    mask = np.ones(image.shape, np.bool_)
    mask[0] = False
    arguments = {
        "image": image, "mask": mask, "gain": 1.0, "panel": _panel((48, 32)), "beam": _beam(), "corner": (0, 0),
        "out": np.zeros(image.shape, np.bool_),
    }  # fmt: skip
    return [("find_strong", lambda _: arguments, _nothing)]


def _outlier() -> list[Call]:
    residuals = np.random.default_rng(3).normal(size=(40, 3)) * (0.05, 0.05, 0.002)
    names = ("x_resid", "y_resid", "phi_resid")
    arguments = {"residuals": residuals, "names": names, "pixel_size": np.array([0.1, 0.1])}
    return [("find_outliers", lambda _: arguments, _nothing)]


def _error_model() -> list[Call]:
    values = np.array([10.0, 20.0, 30.0])

    def of_default(results: Results) -> dict[str, Any]:
        model = results["default_error_model"]
        return {"intensity": values, "variance": values, "expected": values, "counting": values, "model": model}

    return [("default_error_model", lambda _: {}, _nothing), ("corrected_variance", of_default, _nothing)]


def _executor() -> list[Call]:
    def in_order(result: Any) -> None:
        if (found := list(result)) != [1, 2, 3]:
            raise Fault(f"the absolute values of -1, 2, -3 are {found}")

    arguments = {"function": abs, "items": [-1, 2, -3], "n_workers": 2, "cancelled": bool}
    return [("map_ordered", lambda _: arguments, in_order)]


def _format() -> list[Call]:
    arguments = {"path": Path("nothing.txt"), "head": b"This is no image.\n"}
    return [("understand", lambda _: arguments, _nothing), ("refusal", lambda _: arguments, _nothing)]


def _indexing() -> list[Call]:
    h = np.stack(np.meshgrid(*[np.arange(-6, 7)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    rlp = h[np.abs(h).sum(axis=1) > 0] / np.array([31.0, 37.0, 43.0])
    arguments = {"rlp": rlp, "min_cell": 3.0, "max_cell": 90.0, "target_cell": None, "executor": SmallExecutor()}
    return [("find_basis_vectors", lambda _: arguments, _nothing)]


def _scaling() -> list[Call]:
    from spindle.models import Crystal, Detector, Experiment, Goniometer, Scan

    from .scaling import ScalingObservations

    experiment = Experiment(
        beam=_beam(), detector=Detector((_panel((48, 32)),)), goniometer=Goniometer(rotation_axis=np.array([1.0, 0.0, 0.0])),
        scan=Scan(image_range=(1, 40), oscillation_deg=(0.0, 1.0)),
        crystal=Crystal.from_cell((31.0, 37.0, 43.0, 90.0, 90.0, 90.0), np.eye(3), "P 1"),
    )  # fmt: skip
    rng = np.random.default_rng(4)
    ways = rng.normal(size=(2, 60, 3))
    ways /= np.linalg.norm(ways, axis=2)[:, :, None]
    image = rng.uniform(0.0, 40.0, 60)
    observations = ScalingObservations(
        rng.uniform(1.5, 10.0, 60),
        image,
        image,
        ways[0],
        ways[1],
        rng.uniform(0.0, 30.0, (60, 2)),
        np.zeros(60, np.int64),
    )
    arguments = {"experiment": experiment, "observations": observations, "existing": None}
    return [("build_scaling_model", lambda _: arguments, _nothing)]


def _beam_position() -> list[Call]:
    from .beam_position import ImageSummary

    y, x = np.mgrid[:64, :64] + 0.5
    mean = (5 + 200 * np.exp(-((x - 30.0) ** 2 + (y - 34.0) ** 2) / 50)).astype(np.float32)
    image = ImageSummary(mean, mean, np.ones(mean.shape, np.bool_), np.array([31.0, 33.0]), 3)
    return [("find_centre", lambda _: {"image": image, "axes": (0, 1)}, _nothing)]


def _exporter() -> list[Call]:
    from .exporter import MergedColumn, MergedData, MergedDataset

    cell = np.array([31.0, 37.0, 43.0, 90.0, 90.0, 90.0])
    columns = [MergedColumn("IMEAN", "J", np.array([10.0, 20.0])), MergedColumn("SIGIMEAN", "Q", np.array([1.0, 2.0]))]
    merged = MergedData(np.array([[1, 2, 3], [2, 2, 2]]), columns, [MergedDataset("d", "c", "p", cell, 1.0)], "P 1")
    return [("export_merged", lambda _: {"merged": merged, "path": "smallest.mtz"}, _nothing)]


def _absorption() -> list[Call]:
    from spindle.models import Detector, Experiment, Goniometer, Scan
    from spindle.table import ReflectionTable

    experiment = Experiment(
        beam=_beam(), detector=Detector((_panel((48, 32)),)), goniometer=Goniometer(rotation_axis=np.array([1.0, 0.0, 0.0])),
        scan=Scan(image_range=(1, 40), oscillation_deg=(0.0, 1.0)),
    )  # fmt: skip
    ways = np.random.default_rng(5).normal(size=(20, 3)) - [0.0, 0.0, 3.0]
    table = ReflectionTable.with_rows(20, ["id", "panel", "miller_index", "s1", "xyzcal.px", "xyzcal.mm", "bbox"])
    table["s1"] = ways / np.linalg.norm(ways, axis=1)[:, None]
    calls: list[Call] = []
    for rows in (table, table.select(np.zeros(0, np.int64))):
        arguments = {"experiment": experiment, "reflections": rows}
        calls.append(("absorption_factors", lambda _, given=arguments: given, _nothing))  # type: ignore[misc]
    return calls


def _importer() -> list[Call]:
    arguments = {"path": Path("nothing.txt"), "head": b"These are no results.\n"}
    return [("understand", lambda _: arguments, _nothing), ("refusal", lambda _: arguments, _nothing)]


_CALLS: dict[str, Callable[[], list[Call]]] = {
    "absorption": _absorption,
    "background": _background,
    "beam_position": _beam_position,
    "centroid": _centroid,
    "error_model": _error_model,
    "executor": _executor,
    "exporter": _exporter,
    "format": _format,
    "importer": _importer,
    "indexing": _indexing,
    "outlier": _outlier,
    "scaling": _scaling,
    "threshold": _threshold,
}
