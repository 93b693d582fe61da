"""From files and parameters to what the page begins with."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spindle.contracts import ProgramInputs
from spindle.errors import FileFormatError, ParameterError, UserError
from spindle.files import read_experiments, read_mask, read_reflections
from spindle.images import ImageSequence
from spindle.models import Experiments
from spindle.params import walk
from spindle.table import ReflectionTable
from spindle_lib_importing.experiments import experiments_of
from spindle_lib_importing.params import tolerances_of
from spindle_lib_pictures.local_statistics import least_count
from spindle_lib_reciprocal_view.volumes import is_volume, sections_of
from spindle_lib_serving.allowed import AllowedFolders
from spindle_lib_serving.refusal import Refusal

from . import masking
from .desk import Desk
from .image_sets import ImageSets

if TYPE_CHECKING:
    from spindle.execution import RunContext

__all__ = ["make_desk", "settings_of"]

# Files that a warning names.
_MOST_NAMED = 10
# What the reason says of a file that only lacks geometry.
_NO_GEOMETRY = "set geometry."
#: Geometry of pictures whose headers have none: pixels are where they are, resolutions mean nothing.
ASSUMED: dict[str, Any] = {
    "geometry.beam.wavelength": 1.0,
    "geometry.detector.distance": 100.0,
    "geometry.detector.panel.pixel_size": (0.1, 0.1),
}


def make_desk(inputs: ProgramInputs, params: Any, context: RunContext) -> Desk:
    """Everything open that was given; raises `UserError` for what cannot be."""
    settings = settings_of(params)
    folders = [Path(), *params.allow, *(p.parent for p in (*inputs.sources, *inputs.files))]
    for folder in params.allow:
        if not os.path.isdir(folder):
            raise ParameterError(f"allow={folder}: there is no such folder")
    allowed = AllowedFolders(dict.fromkeys(os.path.realpath(f) for f in folders))
    sets = ImageSets(params.projection)

    def load(paths: list[Path]) -> tuple[Experiments | None, list[ReflectionTable]]:
        for path in paths:
            allowed.linked_files(str(path))
        return _load(paths, params, context, sets.without_geometry)

    desk = Desk(
        sets, allowed, load, settings, lambda experiments: _predicted(experiments, params, context),
        (params.output.mask or Path("pixels.npz"), params.output.mask_params or Path("mask.phil")),
    )  # fmt: skip
    experiments, tables = inputs.experiments or None, list(inputs.reflections)
    names = [p.name for p in inputs.sources if p.suffix == ".refl"]
    if inputs.files:
        try:
            opened, more = load(list(inputs.files))
        except Refusal as refusal:  # a client would be told
            raise UserError(refusal.reason) from refusal
        experiments = opened if experiments is None else Experiments([*experiments, *(opened or ())])
        tables += more
        names += [p.name for p in inputs.files if p.suffix == ".refl"]
    elif experiments is not None:
        experiments = _experiments(inputs, params, context)
    if experiments is not None:
        desk.add(experiments)
    if tables:
        desk.add_reflections(tables, names if len(names) == len(tables) else [])
    _mask(desk, params)
    if params.predict_reflections and experiments is not None and not _has_predictions(tables):
        desk.predict()
    return desk


def _experiments(
    inputs: ProgramInputs, params: Any, context: RunContext, without: set[str] | None = None
) -> Experiments:
    """The experiments that were given, or the images imported; with an assumed geometry where headers have none.

    The first files of experiments whose geometry is assumed are added to `without`.
    """
    words: dict[str, Any] = {"format.multi_panel": params.format.multi_panel, **tolerances_of(params)}
    if not inputs.files and params.format.multi_panel:
        raise ParameterError(
            "format.multi_panel says how images are imported; it cannot be changed for an experiment list: give it to spindle "
            "import, or give the images themselves"
        )
    if not inputs.files or inputs.experiments:
        return experiments_of(context, inputs, **words)
    found, error = Experiments(), None
    try:
        result = context.run_program("import", files=list(inputs.files), **words)
        found = result.experiments or found
        left_out = result.summary.get("left_out_images", [])
        reasons = {Path(one["path"]): one["reason"] for one in left_out if _NO_GEOMETRY in one["reason"]}
        if reasons and result.summary.get("n_left_out_images", 0) > len(left_out):  # not all are named
            known = {os.path.abspath(name) for name in (*(one["path"] for one in left_out), *_files_of(found))}
            others = (p for p in inputs.files if p.is_file() and os.path.abspath(p) not in known)
            reasons |= dict.fromkeys(others, next(iter(reasons.values())))
    except FileFormatError as caught:
        if _NO_GEOMETRY not in str(caught):
            raise
        error, reasons = caught, dict.fromkeys(inputs.files, str(caught).strip().splitlines()[-1].strip())
    if not reasons:
        return found
    try:
        more = context.run_program("import", files=list(reasons), **words, **ASSUMED).experiments or Experiments()
    except FileFormatError:
        if error is not None:
            raise error from None
        return found
    if without is not None:
        without.update(ImageSequence(e).file_of(0)[0] for e in more)
    names = ", ".join(path.name for path in list(reasons)[:_MOST_NAMED]) + (
        f" and {len(reasons) - _MOST_NAMED} more" if len(reasons) > _MOST_NAMED else ""
    )
    context.log.warning(
        "Warning: %s: %s. Shown all the same, but resolutions mean nothing: 1 A, 100 mm and pixels of 0.1 mm are assumed. Import "
        "with the geometry to have them", names, next(iter(reasons.values())),
    )  # fmt: skip
    return Experiments([*found, *more])


def _files_of(experiments: Experiments) -> set[str]:
    """The files of all images."""
    sequences = [ImageSequence(e) for e in experiments if e.imageset is not None]
    return {s.file_of(k)[0] for s in sequences for k in range(len(s))}


def _load(
    paths: list[Path], params: Any, context: RunContext, without: set[str]
) -> tuple[Experiments | None, list[ReflectionTable]]:
    """What files hold that are opened from the page."""
    tables = [read_reflections(p) for p in paths if p.suffix == ".refl"]
    lists = [read_experiments(p) for p in paths if p.suffix == ".expt"]
    volumes = [p for p in paths if is_volume(p)]
    images = [p for p in paths if p.suffix not in (".expt", ".refl") and p not in volumes]
    if lists and images:
        raise ParameterError("give either images or experiment lists, not both")
    lists += [sections_of(p) for p in volumes]
    if images and volumes:
        lists.append(_experiments(ProgramInputs(files=images), params, context, without))
    if lists:
        return Experiments([e for part in lists for e in part]), tables
    if images:
        return _experiments(ProgramInputs(files=images), params, context, without), tables
    return None, tables


def _has_predictions(tables: list[ReflectionTable]) -> bool:
    return any("xyzcal.px" in t and bool(np.any(t["xyzcal.px"])) for t in tables)


def _predicted(experiments: Experiments, params: Any, context: RunContext) -> ReflectionTable | None:
    """Predictions of the experiments that have crystals."""
    if not any(e.crystal is not None for e in experiments):
        return None
    words: dict[str, Any] = {
        "d_min": params.prediction.d_min,
        "d_max": params.prediction.d_max,
        "force_static": params.prediction.force_static,
        **{f"profile.{e.path}": e.value for e in walk(params.profile) if e.is_modified},
    }
    table: ReflectionTable | None = context.run_program("predict", experiments, **words).reflections
    return table


def _mask(desk: Desk, params: Any) -> None:
    """Mask from the start what the command line says."""
    rules = [e for e in walk(params.masking) if e.is_modified] or params.masking.untrusted
    for one in desk.sets.sets:
        if params.mask is not None:
            one.mask_file = (str(params.mask), read_mask(str(params.mask), one.experiment.detector))
        if rules:
            masking.apply_rules(one, params.masking)


def settings_of(params: Any) -> dict[str, Any]:
    """What the page shows first; plain values."""
    if params.gain is not None and params.gain <= 0:
        raise ParameterError(f"gain={params.gain:g}: the gain must be positive")
    kernel = tuple(params.kernel_size)
    min_local = 2 if params.min_local is None else params.min_local
    try:
        least_count(min_local, kernel)
    except ValueError as error:
        raise ParameterError(f"min_local={params.min_local}: {error}") from error
    names = (
        "brightness", "color_scheme", "stack_images", "stack_mode", "display", "d_min", "calibrate_silver", "basis_vector_scale",
        "show_beam_center", "show_resolution_rings", "show_ice_rings", "show_ctr_mass", "show_max_pix", "show_all_pix",
        "show_threshold_pix", "show_shoebox", "show_predictions", "show_miller_indices", "show_indexed", "show_integrated", "show_mask",
        "show_basis_vectors", "show_rotation_axis",
    )  # fmt: skip
    found = {name: getattr(params, name) for name in names}
    sigma_b = 6.0 if params.nsigma_b is None else params.nsigma_b
    sigma_s = 3.0 if params.nsigma_s is None else params.nsigma_s
    gain = 1.0 if params.gain is None else params.gain
    least = 0.0 if params.global_threshold is None else params.global_threshold
    found["maps"] = {
        "kernel": list(kernel), "min_local": min_local, "gain": gain, "sigma_background": sigma_b, "sigma_strong": sigma_s,
        "global_threshold": least,
    }  # fmt: skip
    found["threshold"] = {
        "dispersion": {
            "kernel_size": list(kernel), "min_local": min_local, "gain": gain, "sigma_background": sigma_b,
            "sigma_strong": sigma_s, "global_threshold": least,
        },
        "radial_profile": {"n_iqr": params.n_iqr, "n_bins": params.n_bins, "blur": params.blur},
    }  # fmt: skip
    calibrate = params.calibrate_unit_cell
    found["unit_cell"] = None
    if calibrate.unit_cell is not None:
        found["unit_cell"] = {
            "unit_cell": [float(v) for v in calibrate.unit_cell],
            "space_group": calibrate.space_group or "P1",
            "d_min": calibrate.d_min,
            "only": [list(hkl) for hkl in calibrate.show_hkl or ()] or None,
        }
    masks = params.masking
    found["masking"] = {
        "rules": {
            e.path: list(e.value) if isinstance(e.value, tuple) else e.value
            for e in walk(masks) if e.is_modified and not e.path.startswith("untrusted")
        },
        "shapes": [
            {"panel": s.panel or 0, kind: list(getattr(s, kind))}
            for s in masks.untrusted
            for kind in ("circle", "rectangle", "polygon", "pixel") if getattr(s, kind) is not None
        ],
    }  # fmt: skip
    return found
