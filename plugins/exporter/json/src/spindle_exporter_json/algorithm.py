"""The JSON exporter."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from spindle.contracts import Algorithm, hookimpl
from spindle.contracts.exporter import Export
from spindle.errors import UserError
from spindle.files import experiments_to_dict
from spindle.models import Experiments
from spindle.params import Bool, Int, PathParam
from spindle.params import Params as ParamsBase
from spindle.prediction import add_observed_geometry
from spindle.table import ReflectionTable
from spindle_lib_spots.sweeps import sweep_numbers


class JsonExporter(Algorithm):
    """Observed reciprocal-lattice points and models as JSON, for viewers."""

    several_panels = True

    class Params(ParamsBase):
        filename = PathParam("rlp.json", output=True, help="Output file.")
        compact = Bool(True, help="One line without blanks; else indented.")
        n_digits = Int(6, min=1, max=17, none=True, help="Decimals of the points; None writes all there are.")

    @hookimpl
    def export(
        self, experiments: Experiments, reflections: ReflectionTable, intensity: str, path: str | None
    ) -> Export:
        """One file; see `spindle.contracts.exporter.ExporterSpec.export`."""
        p = self.params
        if "xyzobs.px.value" not in reflections:
            raise UserError(
                "export format=json: the reflections have no observed positions; give those of find_spots or a later step"
            )
        number = np.asarray(reflections["id"], dtype=np.int64)
        sweep = np.asarray(reflections.get("imageset_id", np.maximum(number, 0)), dtype=np.int64)
        rlp = _points(experiments, reflections, number, sweep)
        seen = np.isfinite(rlp).all(axis=1)
        rlp = rlp if p.n_digits is None else np.round(rlp, p.n_digits)
        content = {
            "rlp": rlp[seen].ravel().tolist(),
            "imageset_id": sweep[seen].tolist(),
            "experiment_id": number[seen].tolist(),
            "experiments": _models(experiments),
        }
        target = path or str(p.filename)
        messages = [
            f"{target}: {int(seen.sum())} points in reciprocal space, from observed positions, turned back to angle zero; "
            "no intensities"
        ]
        return Export({target: _writer(content, p.compact)}, messages, {"points": int(seen.sum())})


def _models(experiments: Experiments) -> dict[str, Any]:
    """The models as in an experiment file; identifiers are numbers, since nothing refers to them here."""
    return experiments_to_dict(Experiments([replace(e, identifier=str(i)) for i, e in enumerate(experiments)]))


def _points(
    experiments: Experiments, reflections: ReflectionTable, number: np.ndarray, sweep: np.ndarray
) -> np.ndarray:
    """(n, 3) float64, 1/angstrom: reciprocal-lattice points; NaN for rows that no experiment or sweep explains.

    A spot that is not indexed has the geometry of the first experiment of its sweep.
    """
    first: dict[int, int] = {}
    for i, k in enumerate(sweep_numbers(experiments)):
        first.setdefault(int(k), i)
    model = number.copy()
    for k in np.unique(sweep[number < 0]):
        model[(number < 0) & (sweep == k)] = first.get(int(k), -1)
    n = len(number)
    table = ReflectionTable({
        "id": model,
        "panel": reflections.get("panel", np.zeros(n, np.int64)),
        "xyzobs.px.value": reflections["xyzobs.px.value"],
        "xyzobs.px.variance": np.ones((n, 3)),
    })  # fmt: skip
    rlp = np.array(add_observed_geometry(experiments, table)["rlp"])
    rlp[(model < 0) | (model >= len(experiments))] = np.nan
    return rlp


def _writer(content: dict[str, Any], compact: bool) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        layout: dict[str, Any] = {"separators": (",", ":")} if compact else {"indent": 2}
        Path(path).write_text(json.dumps(content, **layout), encoding="utf-8")

    return write
