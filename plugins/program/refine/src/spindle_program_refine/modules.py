"""Learning where the modules of the detector are from the residuals of a refinement."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from spindle.contracts.refiner import RefinementError, RefinementResult
from spindle.files import write_map
from spindle.models import Detector, Experiment, Experiments
from spindle.table import Flag, ReflectionTable
from spindle_lib_refinement.modules import (
    Displacements,
    Gain,
    ModuleGrid,
    as_panels,
    fit_displacements,
    gain_of,
    module_grid,
    pulled,
    with_displacements,
    without_common_motion,
)

__all__ = ["Modules"]

#: Spots for each module that make a fit worth trying.
FEWEST_SPOTS = 20
#: Residuals beyond this are not displaced modules, px.
LARGEST_PX = 5.0
#: The decrease of the squared residuals of spots left out, over its standard error, that is no chance.
LEAST_SIGNIFICANCE = 5.0
#: Auto keeps displacements of this size at least, px: smaller ones cost others who read the files more than they gain.
WORTHWHILE_PX = 0.1
#: It is done when the modules move by less than this, px.
DONE_PX = 0.01
ROUNDS = 8
#: Spots whose centres lie within this of an edge of a module are cut by it, and their centroids are not where the spots are, px.
EDGE_PX = 3.0
#: Reflections of a task of refining modules: each has normal equations of all modules in all parts of the scan, which take memory.
ROWS_AT_A_TIME = 100_000
#: Axes of panels of one plane differ by no more, and their planes lie no farther apart, mm.
COPLANAR = 1e-6


@dataclass
class _Kind:
    """One detector, which may stand in several places: its experiments, and what is known of its modules."""

    members: list[int]
    grid: ModuleGrid
    detectors: list[Detector]
    total: Displacements | None = None
    gain: Gain | None = None
    last_px: float = field(default=np.inf)


class Modules:
    """Displacements of the modules of all detectors of a run.

    Parameters
    ----------
    experiments : Experiments
    settings : Params
        The scope ``refinement.parameterisation.detector``.
    stem : Path
        Of the files of maps: ``<stem>_modules_dx.npz`` and so on.
    log
        Is told where modules are wanted and unknown.
    """

    def __init__(self, experiments: Experiments, settings: Any, stem: Path, log: Any) -> None:
        wanted, n_modules = settings.modules, settings.n_modules
        self.wanted, self.stem = wanted, stem
        groups: dict[Any, list[int]] = {}
        if wanted is not False:
            for i, e in enumerate(experiments):
                if e.imageset is not None:
                    groups.setdefault(_signature(e), []).append(i)
        kinds = [
            _Kind(m, module_grid(experiments[m[0]].detector, n_modules), [experiments[i].detector for i in m])
            for m in groups.values()
        ]
        self.kinds = [k for k in kinds if len(k.grid) > 1]
        if wanted is True and not self.kinds:
            log.warning(
                "Modules: the detector masks no gaps and has not the size of a Pilatus or Eiger, so that its modules are not known; "
                "refinement.parameterisation.detector.n_modules=FAST,SLOW says how many there are along its edges"
            )
        self.files: dict[Any, Callable[[Path], None]] = {}

    def learn(self, experiments: Experiments, table: ReflectionTable, log: Any) -> Experiments | None:
        """Experiments with what the residuals say of the modules beyond what was learned before; None when that is nothing."""
        found = [k for k in self.kinds if self._learn_kind(k, experiments, table, log)]
        return self._with_maps(found, experiments) if found else None

    def together(
        self,
        experiments: Experiments,
        table: ReflectionTable,
        settings: Any,
        refine: Callable[..., RefinementResult],
        log: Any,
    ) -> Experiments:
        """Experiments with the places of modules refined together with all other models.

        One after the other comes to rest only slowly: what modules have in common, the other models can take for theirs.

        Parameters
        ----------
        experiments : Experiments
            What `learn` returned last.
        table : ReflectionTable
        settings : Params
            The scope ``refinement``.
        refine : callable
            Takes experiments, reflections and settings.
        """
        found = [k for k in self.kinds if k.total is not None]
        items, parts, held, ties = list(experiments), [], [], []
        split: dict[int, Detector] = {}
        for kind in found:
            for i, original in zip(kind.members, kind.detectors, strict=True):
                whole = items[i].detector
                own = [replace(p, distortion=o.distortion) for p, o in zip(whole, original, strict=True)]
                split.setdefault(id(whole), as_panels(whole.replace_panels(own), kind.total))  # type: ignore[arg-type]
                items[i] = replace(items[i], detector=split[id(whole)])
        virtual = Experiments(items)
        numbers = {id(d): n for n, d in enumerate(virtual.unique("detector"), 1)}
        ours = {numbers[id(d)] for d in split.values()}
        held += [f"^Detector{n}Panel" for n in numbers.values() if n not in ours]
        spots = {}
        for kind in found:
            rows, module = _rows_on_modules(kind, table)
            count = np.bincount(module, minlength=len(kind.grid))
            spots[id(kind)] = count
            few = np.flatnonzero(count < FEWEST_SPOTS).tolist()
            few.append(int(np.argmax(count)))  # all others are told from it
            own_numbers = sorted({numbers[id(items[i].detector)] for i in kind.members})
            held += [f"^Detector{n}Panel{k}(Move|Turn)" for n in own_numbers for k in few]
            if len(own_numbers) > 1:
                ties.append({"id": kind.members, "parameter": "^Panel[0-9]+(Move|Turn)"})
            enough = (
                count[module] >= FEWEST_SPOTS
            )  # what lies on others would pull all models to where these are thought to be
            parts.append(_on_panels(kind, table, rows[enough], module[enough]))
        others = ~np.isin(table["id"], [i for kind in found for i in kind.members])
        detector = settings.parameterisation.detector
        changed = settings.changed(
            {
                "parameterisation.detector.panels": "modules",
                "parameterisation.detector.fix_list": [*(detector.fix_list or ()), *held],
                "parameterisation.detector.constraints": [*detector.constraints, *ties],
                "target.gradient_calculation_blocksize": settings.target.gradient_calculation_blocksize
                or ROWS_AT_A_TIME,
            }
        )
        try:
            result = refine(virtual, ReflectionTable.concatenate([*parts, table.select(others)]), changed)
        except RefinementError as error:
            log.info("Modules are not refined together with the other models: %s", error)
            return experiments
        values = dict(zip(result.parameter_names, result.parameter_values, strict=True))
        for kind in found:
            number = numbers[id(items[kind.members[0]].detector)]
            kind.total = _moved_together(kind, number, values, spots[id(kind)], result.reflections)
        items = list(experiments)
        for i, new in enumerate(result.experiments):
            items[i] = replace(new, detector=items[i].detector, imageset=items[i].imageset)
        return self._with_maps(found, Experiments(items))

    def _with_maps(self, found: list[_Kind], experiments: Experiments) -> Experiments:
        """Experiments whose detectors have what is known of their modules."""
        items = list(experiments)
        for kind in found:
            moved: dict[int, Detector] = {}
            dx, dy = self._names(kind)
            for i, original in zip(kind.members, kind.detectors, strict=True):
                before = items[i].detector
                if id(before) not in moved:
                    own = [replace(p, distortion=o.distortion) for p, o in zip(before, original, strict=True)]
                    moved[id(before)] = with_displacements(before.replace_panels(own), kind.total)  # type: ignore[arg-type]
                images = items[i].imageset
                assert images is not None
                items[i] = replace(
                    items[i],
                    detector=moved[id(before)],
                    imageset=replace(images, dx=str(dx.absolute()), dy=str(dy.absolute())),
                )
            maps = next(iter(moved.values()))
            self.files[str(dx)], self.files[str(dy)] = _writer(maps, 0), _writer(maps, 1)
        return Experiments(_shared(items))

    def _learn_kind(self, kind: _Kind, experiments: Experiments, table: ReflectionTable, log: Any) -> bool:
        """Whether the modules of a detector moved."""
        if kind.last_px < DONE_PX:
            return False
        module, xy, residuals = _residuals(kind, table)
        if len(module) < FEWEST_SPOTS * len(kind.grid):
            if self.wanted is True and kind.total is None:
                log.warning(
                    "Modules: %d spots are too few to learn the places of %d modules", len(module), len(kind.grid)
                )
            return False
        gain = gain_of(kind.grid, module, xy, residuals)
        move = fit_displacements(kind.grid, module, xy, residuals)
        first = kind.total is None
        if first and gain.significance < LEAST_SIGNIFICANCE:
            if self.wanted is True:
                log.info("Modules: %d spots show no displacement of the %d modules", gain.n, len(kind.grid))
            return False
        if first and self.wanted is not True and move.rms < WORTHWHILE_PX:
            log.info(
                "Modules: displaced by %.2f px rms, which is left (refinement.parameterisation.detector.modules=True corrects it)",
                move.rms,
            )
            return False
        if not first and (move.rms < DONE_PX or gain.significance < 0):
            kind.last_px = 0.0
            return False
        log.info("Modules move by %.3f px rms; refinement with them there", move.rms)
        kind.gain = gain if kind.gain is None else replace(gain, before=kind.gain.before)
        kind.last_px = move.rms
        kind.total = move if kind.total is None else kind.total.plus(move)
        return True

    def _names(self, kind: _Kind) -> tuple[Path, Path]:
        number = "" if len(self.kinds) == 1 else f"_{self.kinds.index(kind) + 1}"
        stem = self.stem.with_suffix("").name
        dx, dy = (self.stem.with_name(f"{stem}_modules{number}_{axis}.npz") for axis in ("dx", "dy"))
        return dx, dy

    def report(self, log: Any, experiments_file: str) -> list[dict[str, Any]]:
        """Say what was learned, and return it for the summary."""
        out = []
        for kind in self.kinds:
            if kind.total is None or kind.gain is None:
                continue
            dx, dy = self._names(kind)
            log.info(
                "Modules: %d modules are displaced by %.2f px rms; residuals of spots left out fell from %.3f to %.3f px. The maps are in %s and "
                "%s, which %s names; refinement.parameterisation.detector.modules=False leaves modules where they are",
                len(kind.grid), kind.total.rms, kind.gain.before, kind.gain.after, dx, dy, experiments_file,
            )  # fmt: skip
            out.append(
                {
                    "n_modules": len(kind.grid),
                    "displacement_rms_px": kind.total.rms,
                    "left_out_rms_px_before": kind.gain.before,
                    "left_out_rms_px_after": kind.gain.after,
                    "n_spots": kind.gain.n,
                    "displacements": [
                        {"panel": int(p), "box": b.tolist(), "px": m[:2].tolist(), "turn_deg": float(np.degrees(m[2]))}
                        for p, b, m in zip(kind.grid.panel, kind.grid.box, kind.total.moves, strict=True)
                    ],
                }
            )
        return out


def _signature(experiment: Experiment) -> Any:
    """What detectors have in common that are one in several places."""
    images = experiment.imageset
    maps = (None, None) if images is None else (images.dx, images.dy)
    panels = tuple(
        (p.image_size, tuple(p.mask), p.identifier, tuple(p.pixel_size.tolist())) for p in experiment.detector
    )
    return panels, maps


def _residuals(kind: _Kind, table: ReflectionTable) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Module (n,), predicted place (n, 2) and observed minus predicted (n, 2), px, of the indexed spots of a detector."""
    observed, predicted = table["xyzobs.px.value"][:, :2], table["xyzcal.px"][:, :2]
    residuals = observed - predicted
    rows = table.has_flags(Flag.INDEXED) & np.isin(table["id"], kind.members)
    rows &= np.isfinite(residuals).all(axis=1)
    rows[rows] = (np.abs(residuals[rows]) < LARGEST_PX).all(axis=1)
    module = np.full(len(table), -1)
    module[rows] = _whole_spots(kind.grid, table["panel"][rows].astype(np.int64), observed[rows])
    rows &= module >= 0
    return module[rows], predicted[rows], residuals[rows]


def _rows_on_modules(kind: _Kind, table: ReflectionTable) -> tuple[np.ndarray, np.ndarray]:
    """Rows (n,) of whole indexed spots of a detector, and their modules (n,)."""
    rows = np.flatnonzero(table.has_flags(Flag.INDEXED) & np.isin(table["id"], kind.members))
    module = _whole_spots(kind.grid, table["panel"][rows].astype(np.int64), table["xyzobs.px.value"][rows, :2])
    return rows[module >= 0], module[module >= 0]


def _whole_spots(grid: ModuleGrid, panel: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """Module (n,) of spots (n, 2) on panels (n,); -1 for none, and for those that an edge may cut."""
    module = grid.find(panel, xy)
    edge = np.minimum(xy - grid.box[module, :2], grid.box[module, 2:] - xy).min(axis=1)
    return np.where(edge < EDGE_PX, -1, module)


def _on_panels(kind: _Kind, table: ReflectionTable, rows: np.ndarray, module: np.ndarray) -> ReflectionTable:
    """Rows of a table with their positions on modules."""
    part = table.select(rows)
    xyz = part["xyzobs.px.value"].copy()
    xyz[:, :2] -= kind.grid.box[module, :2]
    part["panel"], part["xyzobs.px.value"] = module.astype(part["panel"].dtype), xyz
    return part


def _moved_together(
    kind: _Kind, number: int, values: dict[str, float], spots: np.ndarray, table: ReflectionTable
) -> Displacements:
    """What is known of the modules of a detector after it was refined as panels; parameters by name."""
    assert kind.total is not None
    grid = kind.grid
    moves = np.zeros((len(grid), 3))
    for k in range(len(grid)):
        own = [values.get(f"Detector{number}Panel{k}{name}", 0.0) for name in ("MoveFast", "MoveSlow", "Turn")]
        moves[k] = (*(-np.array(own[:2]) / kind.detectors[0][int(grid.panel[k])].pixel_size), -1e-3 * own[2])
    used = table.has_flags(Flag.USED_IN_REFINEMENT) & np.isin(table["id"], kind.members)
    module = table["panel"][used].astype(np.int64)
    place = table["xyzcal.px"][used, :2] + grid.box[module, :2]
    residuals = table["xyzobs.px.value"][used, :2] + grid.box[module, :2] - place
    variances = fit_displacements(grid, module, place, residuals).variances
    total = Displacements(grid, kind.total.moves + moves, variances)
    if _is_flat(kind.detectors[0]):
        total = without_common_motion(total, np.where(variances[:, 0] > 0, spots, 0.0))
    return pulled(total)


def _is_flat(detector: Detector) -> bool:
    """Whether all panels lie in one plane, side by side in one direction."""
    d = detector.d
    normal = np.cross(d[0, :, 0], d[0, :, 1])
    height = d[:, :, 2] @ normal
    alike = np.abs(d[:, :, :2] - d[0, :, :2]).max() < COPLANAR
    return bool(alike and np.ptp(height) < COPLANAR * max(abs(float(height[0])), 1.0))


def _writer(detector: Detector, axis: int) -> Callable[[Path], None]:
    """Writes one map of all panels."""

    def write(path: Path) -> None:
        write_map(path, [p.distortion.maps[axis] for p in detector if p.distortion is not None])

    return write


def _shared(items: list[Experiment]) -> list[Experiment]:
    """The same with equal image sets shared, as before."""
    known: dict[Any, Any] = {}
    out = []
    for item in items:
        images = item.imageset
        key = (
            None
            if images is None
            else (images.template, tuple(images.paths), images.dx, images.dy, images.single_file_indices)
        )
        out.append(item if images is None else replace(item, imageset=known.setdefault(key, images)))
    return out
