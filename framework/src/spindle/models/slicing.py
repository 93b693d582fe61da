"""Experiments cut to some of their images: every model that goes on from image to image is cut alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from .crystal import Crystal
from .experiment import Experiment, Experiments, derived_identifier
from .imageset import ImageSet
from .scan import Scan

__all__ = ["named_by_images", "renamed", "sliced"]


def sliced(experiments: Sequence[Experiment], ranges: Sequence[tuple[int, int] | None]) -> Experiments:
    """Experiments of some of their images.

    Cut are the scan, the image set, the models at scan points (crystal, beam, goniometer) and widths of profiles that are
    given image by image. Models that experiments share and that are cut to the same images stay shared; so do those that
    nothing is to be cut from.

    Parameters
    ----------
    experiments : sequence of Experiment
    ranges : sequence of (int, int) or None
        First and last image number, both included, of each experiment; None leaves it as it is.

    Returns
    -------
    Experiments
        With the identifiers that they had; see `named_by_images`.

    Raises
    ------
    ModelError
        If an experiment has no scan, or its scan not all of the images.
    """
    made: dict[tuple[int, int, int], Any] = {}
    kept: list[Any] = []  # what is looked up by identity must not be freed
    items = []
    for experiment, images in zip(experiments, ranges, strict=True):
        if images is None or images == experiment.known_scan.image_range:
            items.append(experiment)
            continue
        first, last = images
        scan = experiment.known_scan
        begin, end = first - scan.image_range[0], last - scan.image_range[0] + 1
        changes: dict[str, Any] = {}
        for name, cut in _CUTS.items():
            model = getattr(experiment, name)
            if model is None:
                continue
            # Where the first image of the scan is belongs to the key: one crystal may be seen by several scans.
            key = (id(model), begin, end) if name != "imageset" else (id(model), first, last)
            if key not in made:
                kept.append(model)
                made[key] = scan.slice(first, last) if name == "scan" else cut(model, scan, begin, end)
            changes[name] = made[key]
        items.append(replace(experiment, **changes))
    return Experiments(items)


def named_by_images(
    cut: Sequence[Experiment], whole: Sequence[Experiment], numbers: Sequence[int] | None = None
) -> Experiments:
    """Pieces of experiments under identifiers of their own, so that those of one experiment can be told apart and put together again.

    A piece is called after its experiment and its images; one that has all images keeps the identifier.

    Parameters
    ----------
    cut, whole : sequence of Experiment
        Each piece, and the experiment that it was cut from.
    numbers : sequence of int, optional
        What tells experiments without an identifier apart, by default their place.
    """
    names = []
    for place, (piece, experiment) in enumerate(zip(cut, whole, strict=True)):
        first, last = piece.known_scan.image_range
        name = experiment.identifier
        if (first, last) != experiment.known_scan.image_range:
            number = place if numbers is None else numbers[place]
            name = derived_identifier(name or f"experiment {number}", "images", first, last)
        names.append(name)
    return renamed(cut, names)


def renamed(experiments: Sequence[Experiment], names: Sequence[str]) -> Experiments:
    """Experiments under other identifiers, with the valid images that their scans keep by identifier; shared scans stay shared.

    Parameters
    ----------
    experiments : sequence of Experiment
    names : sequence of str
        The identifier of each.
    """
    old = {item.identifier for item in experiments}
    valid: dict[int, dict[str, Any]] = {}
    for item, name in zip(experiments, names, strict=True):
        if item.scan is not None and item.scan.valid_image_ranges:
            ranges = item.scan.valid_image_ranges
            known = valid.setdefault(id(item.scan), {k: v for k, v in ranges.items() if k not in old})
            known |= {name: ranges[item.identifier]} if item.identifier in ranges else {}
    scans: dict[int, Scan | None] = {}
    for item in experiments:
        ranges = valid.get(id(item.scan), {})
        if item.scan is not None and id(item.scan) not in scans:
            same = ranges == item.scan.valid_image_ranges
            scans[id(item.scan)] = item.scan if same else replace(item.scan, valid_image_ranges=ranges)
    return Experiments(
        [
            item if item.identifier == name else replace(item, identifier=name, scan=scans.get(id(item.scan)))
            for item, name in zip(experiments, names, strict=True)
        ]
    )


def _points(model: Any, name: str, begin: int, end: int) -> Any:
    """A model with the scan points (one more than images) of some images."""
    points = getattr(model, name)
    return model if points is None else replace(model, **{name: points[begin : end + 1]})


def _beam(model: Any, _scan: Scan, begin: int, end: int) -> Any:
    return _points(model, "s0_at_scan_points", begin, end)


def _goniometer(model: Any, _scan: Scan, begin: int, end: int) -> Any:
    return _points(model, "setting_rotation_at_scan_points", begin, end)


def _crystal(model: Crystal, scan: Scan, begin: int, end: int) -> Crystal:
    covariances = model.extra.get("B_covariance_at_scan_points")
    if covariances:
        size = len(covariances) // (scan.n_images + 1)  # 81 numbers of each scan point, in one list or in lists
        part = covariances[begin * size : (end + 1) * size]
        model = replace(model, extra=model.extra | {"B_covariance_at_scan_points": part})
    cut: Crystal = _points(model, "A_at_scan_points", begin, end)
    return cut


def _profile(model: dict[str, Any], scan: Scan, begin: int, end: int) -> dict[str, Any]:
    """A profile model with the numbers of some images, where it has one for each."""
    cut = {
        k: v[begin:end]
        for k, v in model.items()
        if k in ("sigma_b", "sigma_m", "num_used") and isinstance(v, list | tuple) and len(v) == scan.n_images > 1
    }
    return model | cut if cut else model


def _imageset(model: ImageSet, scan: Scan, begin: int, end: int) -> ImageSet:
    """The image set of some images; one whose images are not counted by the scan stays as it is."""
    if model.kind != "ImageSequence":
        return model
    first = (model.image_range or scan.image_range)[0]
    here = slice(scan.image_range[0] - first + begin, scan.image_range[0] - first + end)
    changes: dict[str, Any] = {"image_range": (scan.image_range[0] + begin, scan.image_range[0] + end - 1)}
    n_images = scan.n_images if model.image_range is None else model.image_range[1] - model.image_range[0] + 1
    for name in ("paths", "single_file_indices", "arrays"):
        values = getattr(model, name)
        if values and len(values) == n_images:
            changes[name] = values[here]
    return replace(model, **changes)


_CUTS: dict[str, Any] = {
    "scan": None, "imageset": _imageset, "crystal": _crystal, "beam": _beam, "goniometer": _goniometer, "profile": _profile,
}  # fmt: skip
