"""One model for all experiments: that of one of them, or the mean of all detectors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from spindle.errors import ModelError, ParameterError
from spindle.files import experiments_from_dict, experiments_to_dict
from spindle.models import Beam, Detector, Experiment, Experiments, Scan
from spindle_lib_importing.comparing import (
    Difference,
    beam_differences,
    detector_differences,
    goniometer_differences,
)

Node = dict[str, Any]


def with_reference_models(experiments: Experiments, params: Any) -> Experiments:
    """The experiments with the models that ``reference_from_experiment`` names.

    Raises
    ------
    ParameterError
        If there is no such experiment or model, or it differs from what it would replace.
    """
    chosen = {}
    for name in ("beam", "detector", "goniometer", "scan", "crystal"):
        index = getattr(params, name)
        if index is not None and any(getattr(e, name) is not None for e in experiments):
            chosen[name] = _model_of(experiments, name, index)
    if params.average_detector:
        if params.detector is not None:
            raise ParameterError(
                "reference_from_experiment: average_detector=True and detector= contradict each other; give one of them"
            )
        chosen["detector"] = mean_detector(experiments.unique("detector"), params.average_hierarchy_level)
    elif params.average_hierarchy_level is not None:
        raise ParameterError("average_hierarchy_level= is for the mean of detectors: set average_detector=True too")
    for name, model in chosen.items():
        if params.compare_models and not (name == "detector" and params.average_detector):
            _compare(experiments, name, model, params)
    items = [replace(e, **chosen) for e in experiments]
    if params.average_detector:
        items = _with_own_sensors(items, experiments, params.tolerance)
    for number, item in enumerate(items):
        _check_scan_points(number, item)
    return Experiments(items)


def _with_own_sensors(items: Sequence[Experiment], before: Experiments, tolerance: Any) -> list[Experiment]:
    """The mean places panels; how deep they stop the photons of a wavelength, their gain and range stay those of each experiment."""
    made: dict[int, Detector] = {}
    for item, old in zip(items, before, strict=True):
        if id(old.detector) in made:
            continue
        panels = [
            replace(own, fast_axis=p.fast_axis, slow_axis=p.slow_axis, origin=p.origin)
            for own, p in zip(old.detector, item.detector, strict=True)
        ]
        detector = item.detector.replace_panels(panels)
        alike = (d for d in (item.detector, *made.values()) if not detector_differences(d, detector, tolerance))
        made[id(old.detector)] = next(alike, detector)
    return [replace(item, detector=made[id(old.detector)]) for item, old in zip(items, before, strict=True)]


def _model_of(experiments: Experiments, name: str, index: int) -> Any:
    if index >= len(experiments):
        raise ParameterError(
            f"reference_from_experiment.{name}={index}: there are {len(experiments)} experiments, counted from 0"
        )
    model = getattr(experiments[index], name)
    if model is None:
        raise ParameterError(f"reference_from_experiment.{name}={index}: that experiment has no {name}; name another")
    return model


def _compare(experiments: Experiments, name: str, model: Any, params: Any) -> None:
    """Refuse to replace a model that is not the same; each distinct one is looked at once."""
    if name == "crystal":  # crystals differ: that is what this is for
        return
    index = getattr(params, name)
    seen = set()
    for number, experiment in enumerate(experiments):
        other = getattr(experiment, name)
        if id(other) in seen:
            continue
        seen.add(id(other))
        found = _differences(name, model, other, params.tolerance)
        if found:
            listed = "; ".join(f"{what}: {first} and {second}" for what, first, second in found[:3])
            more = f" and {len(found) - 3} more" if len(found) > 3 else ""
            raise ParameterError(
                f"reference_from_experiment.{name}={index}: the {name} of experiment {number}{_images(experiment)} is another one "
                f"({listed}{more}); widen reference_from_experiment.tolerance.{name}.*, or set compare_models=False to "
                "replace it nevertheless"
            )


def _differences(name: str, one: Any, two: Any, tolerance: Any) -> list[Difference]:
    if name == "beam":
        return beam_differences(one, two, tolerance)
    if name == "detector":
        return detector_differences(one, two, tolerance)
    if name == "goniometer":
        return goniometer_differences(one, two, tolerance)
    return _scan_differences(one, two, tolerance.scan.oscillation)


def _scan_differences(one: Scan, two: Scan | None, fraction: float | None) -> list[Difference]:
    """What differs between two scans: how many images there are, and how wide these are."""
    if one is two:
        return []
    if two is None:
        return [("scan", "present", "none")]
    out = []
    if one.n_images != two.n_images:
        out.append(("images", str(one.n_images), str(two.n_images)))
    width, other = one.oscillation_deg[1], two.oscillation_deg[1]
    if fraction is not None and abs(width - other) > fraction * abs(width):
        out.append(("width of an image (deg)", f"{width:g}", f"{other:g}"))
    return out


def _images(experiment: Experiment) -> str:
    imageset = experiment.imageset
    name = None if imageset is None else imageset.template or (imageset.paths[0] if imageset.paths else None)
    return f" ({name})" if name else ""


def _check_scan_points(number: int, experiment: Experiment) -> None:
    """Models at scan points belong to a scan of as many images."""
    scan = experiment.scan
    if scan is None:
        return
    crystal, goniometer = experiment.crystal, experiment.goniometer
    for name, points in (
        ("crystal", None if crystal is None else crystal.A_at_scan_points),
        ("beam", experiment.beam.s0_at_scan_points),
        ("goniometer", None if goniometer is None else goniometer.setting_rotation_at_scan_points),
    ):
        if points is not None and len(points) != scan.n_images + 1:
            raise ModelError(
                f"reference_from_experiment: the {name} of experiment {number} would vary over {len(points) - 1} images, its scan has "
                f"{scan.n_images}; take scan and {name} of the same experiment, or one that does not vary"
            )


def mean_detector(detectors: Sequence[Detector], level: int | None = None) -> Detector:
    """The mean of detectors that are built alike.

    Parameters
    ----------
    detectors : sequence of Detector
    level : int, optional
        Depth in the tree of groups and panels at which the mean is taken, 0 being the root; by default everywhere.

    Returns
    -------
    Detector
        What frames are not means, and all else of the panels, is that of the first detector.

    Raises
    ------
    ParameterError
        If the detectors differ in their panels or groups, or none has such a level.

    Notes
    -----
    Of each group and panel the means of origin, fast and slow axis in the frame of its parent are taken; the mean axes are
    made perpendicular by turning each by half of what is missing, in their plane.
    """
    trees = [_tree(d) for d in detectors]
    first = trees[0]
    shape = [(depth, kind) for depth, kind, _ in first]
    for number, tree in enumerate(trees):
        if [(depth, kind) for depth, kind, _ in tree] != shape:
            raise ParameterError(
                f"average_detector=True: detector {number} has other panels or groups of panels than the first; a mean needs detectors "
                "that are built alike"
            )
    depths = {depth for depth, _, _ in first}
    if level is not None and level not in depths:
        raise ParameterError(
            f"average_hierarchy_level={level}: the detectors have the levels {min(depths)} to {max(depths)} only"
        )
    for position, (depth, _, node) in enumerate(first):
        if "fast_axis" in node and level in (None, depth):
            node.update(_mean_frame([tree[position][2] for tree in trees]))
    made = experiments_from_dict(first[0][2]["all"])[0].detector
    return made.replace_panels([replace(p, distortion=q.distortion) for p, q in zip(made, detectors[0], strict=True)])


def _tree(detector: Detector) -> list[tuple[int, str, Node]]:
    """Depth, kind and dictionary (with the frame in that of the parent) of everything in a detector.

    A detector without groups has its panels at depth 1. The first entry holds the whole in the key ``all``.
    """
    beam = Beam(np.array([0.0, 0.0, 1.0]), 1.0)
    content = experiments_to_dict(Experiments([Experiment(beam, detector, identifier="")]))
    (whole,) = content["detector"]
    panels = whole["panels"]
    found: list[tuple[int, str, Node]] = []

    def visit(node: Node, depth: int) -> Iterable[tuple[int, str, Node]]:
        yield depth, "group", node
        for child in node.get("children", []):
            if "panel" in child:
                yield depth + 1, f"panel {child['panel']}", panels[child["panel"]]
            else:
                yield from visit(child, depth + 1)

    if whole.get("hierarchy"):
        whole["hierarchy"] = _copied(whole["hierarchy"])
        found = list(visit(whole["hierarchy"], 0))
    else:
        found = [(1, f"panel {i}", panel) for i, panel in enumerate(panels)]
    return [(0, "all", {"all": content}), *found]


def _copied(node: Node) -> Node:
    """A copy of a tree whose dictionaries can be changed."""
    return {k: [_copied(c) for c in v] if k == "children" else v for k, v in node.items()}


def _mean_frame(nodes: Sequence[Node]) -> dict[str, list[float]]:
    """Mean of the frames of nodes, with perpendicular axes."""
    fast, slow, origin = (
        np.mean([n.get(name, (0.0, 0.0, 0.0)) for n in nodes], axis=0) for name in ("fast_axis", "slow_axis", "origin")
    )
    fast, slow = fast / np.linalg.norm(fast), slow / np.linalg.norm(slow)
    # Half way between them lies half way between the perpendicular ones; so does what is across it in their plane.
    middle, across = fast + slow, slow - fast
    middle, across = middle / np.linalg.norm(middle), across / np.linalg.norm(across)
    return {
        "fast_axis": ((middle - across) / np.sqrt(2.0)).tolist(),
        "slow_axis": ((middle + across) / np.sqrt(2.0)).tolist(),
        "origin": origin.tolist(),
    }
