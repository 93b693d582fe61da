"""The refinement problem: which models are refined, by which parameters, and how reflections depend on them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from spindle.contracts.refiner import RefinementError
from spindle.models import Experiments
from spindle.params import Auto
from spindle_lib_refinement.flat_sphere import held_parameters, is_flat
from spindle_lib_refinement.stills_frame import keeps_turn_of_detector, kept_of_beam
from spindle_lib_smoothing.smoother import Spline

from .detector_groups import closest_panel, detector_groups
from .layout import Layout, ModelTables
from .model_block import ModelBlock
from .parameterisations import (
    BeamParameters,
    CellParameters,
    GoniometerParameters,
    ModuleParameters,
    OrientationParameters,
)

WIDEST_DEG = 36.0
KINDS = ("orientation", "cell", "beam", "goniometer", "detector")


def _fixed(
    names: Sequence[str], label: str, wanted: set[str], patterns: Sequence[str] | None, where: str
) -> np.ndarray:
    """Which parameters are fixed by name or by one of the regular expressions."""
    fixed = np.array([re.sub(r"^Group\d+", "", name) in wanted for name in names])
    for pattern in patterns or ():
        try:
            expression = re.compile(pattern)
        except re.error as error:
            raise RefinementError(f"{where}.fix_list={pattern}: not a regular expression ({error})") from error
        fixed |= np.array([bool(expression.search(label + name)) for name in names])
    return fixed


class Problem:
    """All parameters of a set of experiments.

    Parameters
    ----------
    experiments : Experiments
    settings : RefinementParams
        The scope ``refinement.*``.
    scan_varying : bool
    stills : bool
    auto_widths : mapping of str to float, optional
        Width of intervals (degrees) by kind of model, for ``interval_width_degrees=Auto``; `WIDEST_DEG` for a kind not
        given.

    """

    def __init__(
        self,
        experiments: Experiments,
        settings: Any,
        scan_varying: bool,
        stills: bool,
        auto_widths: Mapping[str, float] | None = None,
    ) -> None:
        self.experiments = experiments
        self.settings = settings
        self.scan_varying = scan_varying and not stills
        self.stills = stills
        self._auto_widths = dict(auto_widths or {})
        self.blocks: list[ModelBlock] = []
        self._add_crystals()
        self._add_beams()
        if not stills:
            self._add_goniometers()
        self._add_detectors()
        offset = 0
        for block in self.blocks:
            block.offset = offset
            offset += block.size
        self.start = np.concatenate(
            [np.repeat(np.asarray(b.parameterisation.initial, dtype=np.float64), b.n_samples) for b in self.blocks]
        )
        self.all_names = [name for b in self.blocks for name in b.names()]
        fixed = np.concatenate([np.repeat(b.fixed, b.n_samples) for b in self.blocks])
        self._number(fixed)

    def _smoother(self, scope: Any, users: list[int], kind: str) -> Spline | None:
        if not self.scan_varying or not self._may_vary(scope, users):
            return None
        scans = {id(self.experiments[i].scan): self.experiments[i].known_scan for i in users}
        if len(scans) > 1:
            raise RefinementError(
                f"a {kind} shared by {len(scans)} scans cannot vary with the scan: set force_static=True for it, or "
                f"give each scan its own"
            )
        scan = next(iter(scans.values()))
        z0, z1 = scan.array_range
        if scope.smoother.absolute_num_intervals is not None:
            intervals = int(scope.smoother.absolute_num_intervals)
        else:
            width = scope.smoother.interval_width_degrees
            if width is Auto or width is None:
                width = self._auto_widths.get(kind, WIDEST_DEG)
                if width == np.inf:
                    return None
            extent = abs(scan.oscillation_deg[1]) * scan.n_images
            intervals = max(int(extent / width), 1) if width > 0 else scan.n_images
        return Spline(float(z0), float(z1), intervals)

    def _may_vary(self, scope: Any, users: list[int]) -> bool:
        """Whether ``force_static`` lets a model of some experiments vary; Auto lets beams of electrons."""
        if scope.force_static is Auto:
            scans = {id(self.experiments[i].scan) for i in users}
            return len(scans) == 1 and is_flat(self.experiments[users[0]])
        return not scope.force_static

    def _add_crystals(self) -> None:
        scope = self.settings.parameterisation.crystal
        for number, crystal in enumerate(self.experiments.unique("crystal"), 1):
            users = self.experiments.indices_with("crystal", crystal)
            for kind, make, own in (
                ("orientation", OrientationParameters, scope.orientation),
                ("cell", CellParameters, scope.unit_cell),
            ):
                parameters = make(crystal)
                names = list(parameters.names)
                wanted = set(names) if scope.fix in ("all", kind) else set()
                fixed = _fixed(
                    names, f"Crystal{number}", wanted, own.fix_list, f"refinement.parameterisation.crystal.{kind}"
                )
                smoother = None if fixed.all() else self._smoother(own, users, kind)
                self.blocks.append(ModelBlock(kind, f"Crystal{number}", crystal, parameters, users, smoother, fixed))

    def _add_beams(self) -> None:
        scope = self.settings.parameterisation.beam
        codes = {
            "all": {"Mu1", "Mu2", "nu"},
            "in_spindle_plane": {"Mu1"},
            "out_spindle_plane": {"Mu2"},
            "wavelength": {"nu"},
        }
        for number, beam in enumerate(self.experiments.unique("beam"), 1):
            users = self.experiments.indices_with("beam", beam)
            parameters = BeamParameters(beam, None if self.stills else self.experiments[users[0]].goniometer)
            smoother = self._smoother(scope, users, "beam")
            words = scope.fix or ()
            if scope.fix is Auto and self.stills:
                words = kept_of_beam(self.settings.parameterisation)
            elif scope.fix is Auto:
                drifts = smoother is not None and is_flat(self.experiments[users[0]])
                words = ("wavelength",) if drifts else ("in_spindle_plane", "wavelength")
                if not drifts and is_flat(self.experiments[users[0]]) and "Gamma2" in self._free_angles():
                    words += ("out_spindle_plane",)  # the angle between axis and beam, too
            wanted = {name for word in words for name in codes[word]}
            fixed = _fixed(
                parameters.names, f"Beam{number}", wanted, scope.fix_list, "refinement.parameterisation.beam"
            )
            smoother = None if fixed.all() else smoother
            self.blocks.append(ModelBlock("beam", f"Beam{number}", beam, parameters, users, smoother, fixed))

    def _fixed_angles(self, number: int) -> np.ndarray:
        """(2,) bool: what of a goniometer is not refined."""
        scope, names = self.settings.parameterisation.goniometer, GoniometerParameters.names
        codes = {"all": {"Gamma1", "Gamma2"}, "in_beam_plane": {"Gamma1"}, "out_beam_plane": {"Gamma2"}}
        wanted = {name for word in scope.fix or () for name in codes[word]}
        return _fixed(names, f"Goniometer{number}", wanted, scope.fix_list, "refinement.parameterisation.goniometer")

    def _free_angles(self) -> set[str]:
        """What of the first goniometer is refined."""
        return set() if self.stills else set(np.array(GoniometerParameters.names)[~self._fixed_angles(1)].tolist())

    def _add_goniometers(self) -> None:
        scope = self.settings.parameterisation.goniometer
        for number, goniometer in enumerate(self.experiments.unique("goniometer"), 1):
            users = self.experiments.indices_with("goniometer", goniometer)
            fixed = self._fixed_angles(number)
            if fixed.all():
                continue
            parameters = GoniometerParameters(goniometer, self.experiments[users[0]].beam)
            smoother = self._smoother(scope, users, "goniometer")
            self.blocks.append(
                ModelBlock("goniometer", f"Goniometer{number}", goniometer, parameters, users, smoother, fixed)
            )

    def _add_detectors(self) -> None:
        scope = self.settings.parameterisation.detector
        position, tilts = {"Dist", "Shift1", "Shift2"}, {"Tau1", "Tau2", "Tau3"}
        codes = {
            None: set(),
            "all": position | tilts,
            "position": position,
            "orientation": tilts,
            "distance": {"Dist", "Tau2", "Tau3"},
        }
        self.group_of_panel: dict[int, np.ndarray] = {}
        for number, detector in enumerate(self.experiments.unique("detector"), 1):
            users = self.experiments.indices_with("detector", detector)
            groups = detector_groups(detector, self.experiments[users[0]].beam.s0, scope.panels, scope.hierarchy_level)
            membership = np.full(len(detector), -1, dtype=np.int64)
            wanted = codes[scope.fix] if scope.fix is not Auto else self._held(users)
            if (
                scope.fix is Auto
                and self.stills
                and len(groups) == 1
                and keeps_turn_of_detector(self.settings.parameterisation)
            ):
                wanted = wanted | {"Tau1"}
            for k, (panels, parameters) in enumerate(groups):
                membership[panels] = k
                fixed = _fixed(
                    parameters.names,
                    f"Detector{number}",
                    wanted,
                    scope.fix_list,
                    "refinement.parameterisation.detector",
                )
                if isinstance(parameters, ModuleParameters) and (
                    len(groups) == 1 or self._is_held(panels, users, groups, f"Detector{number}")
                ):
                    fixed[parameters.n_shared :] = True
                smoother = None if fixed.all() else self._smoother(scope, users, "detector")
                self.blocks.append(
                    ModelBlock("detector", f"Detector{number}", detector, parameters, users, smoother, fixed, panels, k)
                )
            self.group_of_panel[id(detector)] = membership

    def _is_held(self, panels: np.ndarray, users: list[int], groups: list[Any], label: str) -> bool:
        """Whether one of the panels that move by themselves stays, since all can move as the whole does: the one nearest the beam,
        unless ``fix_list`` names another.
        """
        patterns = self.settings.parameterisation.detector.fix_list or ()
        own = [label + name for _, p in groups for name in p.names[p.n_shared :]]
        if any(re.search(pattern, name) for pattern in patterns for name in own):
            return False
        experiment = self.experiments[users[0]]
        return int(panels[0]) == closest_panel(experiment.detector, experiment.beam.s0)

    def _held(self, users: list[int]) -> set[str]:
        """What ``detector.fix=Auto`` fixes of the detector of some experiments."""
        drifts = any(
            b.kind == "beam" and b.smoother is not None and set(b.experiments) & set(users) for b in self.blocks
        )
        # A cell that varies with the scan is not tied to any target.
        varies = any(
            b.kind == "cell" and b.smoother is not None and set(b.experiments) & set(users) for b in self.blocks
        )
        held = set(held_parameters(self.experiments, users, self.settings.parameterisation, not varies))
        if held and "Gamma1" in self._free_angles():  # all may turn about the beam together
            held.add("Tau1")
        # The place of the beam on the detector is that of the beam where this varies.
        return held | {"Shift1", "Shift2"} if drifts and is_flat(self.experiments[users[0]]) else held

    def _number(self, fixed: np.ndarray) -> None:
        """Number the refined parameters; tied values share a number."""
        self.fixed = fixed
        self._layouts: dict[bool, Layout] = {}
        leader = np.arange(len(fixed))
        for members in self._tied():
            members = [m for m in members if not fixed[m]]
            if len(members) > 1:
                leader[members] = members[0]
                self.start[members] = self.start[members].mean()
        free = ~fixed
        leaders = np.unique(leader[free])
        number = np.full(len(fixed), -1, dtype=np.int64)
        number[leaders] = np.arange(len(leaders))
        self.number = np.where(free, number[leader], -1)
        self.names = [self.all_names[i] for i in leaders]
        self.n_parameters = len(leaders)

    def _tied(self) -> list[list[int]]:
        scope = self.settings.parameterisation
        sources = (
            ("orientation", scope.crystal.orientation),
            ("cell", scope.crystal.unit_cell),
            ("beam", scope.beam),
            ("goniometer", scope.goniometer),
            ("detector", scope.detector),
        )
        tied = self._shared_by_panels()
        for kind, own in sources:
            for constraint in own.constraints:
                if not constraint.parameter:
                    raise RefinementError(f"a constraint on the {kind} names no parameter: give constraints.parameter=")
                pattern = re.compile(constraint.parameter)
                chosen = None if constraint.id is None else set(constraint.id)
                groups: dict[str, list[int]] = {}
                for block in self.blocks:
                    if block.kind != kind or (chosen is not None and not chosen & set(block.experiments)):
                        continue
                    for i, name in enumerate(block.names()):
                        short = name.removeprefix(block.label)
                        if pattern.search(short):
                            groups.setdefault(short, []).append(block.offset + i)
                members = [g for g in groups.values() if len(g) > 1]
                if not members:
                    known = sorted({n for b in self.blocks if b.kind == kind for n in b.parameterisation.names})
                    raise RefinementError(
                        f"constraint {constraint.parameter!r} on the {kind} ties nothing: no parameter of that name in "
                        f"two models; there are {', '.join(known)}"
                    )
                tied += members
        return tied

    def _shared_by_panels(self) -> list[list[int]]:
        """Parameters of whole detectors whose panels also move by themselves."""
        groups: dict[Any, list[int]] = {}
        for block in self.blocks:
            if isinstance(block.parameterisation, ModuleParameters):
                for i in range(block.parameterisation.n_shared * block.n_samples):
                    groups.setdefault((block.label, i), []).append(block.offset + i)
        return list(groups.values())

    def fix(self, parameters: Sequence[int] | np.ndarray) -> None:
        """Stop refining some parameters, given by number."""
        self._number(self.fixed | np.isin(self.number, np.asarray(parameters, dtype=np.int64)))

    def expand(self, x: np.ndarray) -> np.ndarray:
        """Vector of all values from the refined ones x (p,)."""
        everything = self.start.copy()
        free = self.number >= 0
        everything[free] = x[self.number[free]]
        return everything

    @property
    def x0(self) -> np.ndarray:
        """(p,) starting values of the refined parameters."""
        x = np.zeros(self.n_parameters)
        free = self.number >= 0
        x[self.number[free]] = self.start[free]
        return x

    def layout(self, per_image: bool = False) -> Layout:
        """Cells of reflections that share all models: experiments, or blocks of images (images) of them where
        models vary.
        """
        if per_image and not any(b.smoother is not None for b in self.blocks):
            per_image = False
        if per_image not in self._layouts:
            self._layouts[per_image] = Layout(self, per_image)
        return self._layouts[per_image]

    def tables(self, layout: Layout, x: np.ndarray, gradients: bool = True) -> ModelTables:
        """Models of the cells of a layout at parameters x, and their derivatives."""
        return layout.compose(self.expand(x), gradients)
