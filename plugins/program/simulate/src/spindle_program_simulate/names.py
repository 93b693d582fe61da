"""Names of images and folders, and where the truth of each sweep goes."""

from __future__ import annotations

import glob
import os
import re
import string
from dataclasses import dataclass
from pathlib import Path

from spindle.errors import ParameterError, UserError
from spindle.params import Auto

from .params import SimulateParams
from .settings import SweepSettings

__all__ = ["ENDINGS", "SweepFiles", "plan_files"]

ENDINGS = {"cbf": ".cbf", "full_cbf": ".cbf", "nexus": ".nxs", "smv": ".img"}


@dataclass(frozen=True, slots=True)
class SweepFiles:
    """Files of one sweep.

    Attributes
    ----------
    folder : Path
        Of the images.
    truth : Path
        Folder of truth.json and truth.npz.
    images : tuple of Path or None
        By image; None for one that is not written. A single path for a file that holds all.
    pattern : Path
        With ``*`` in place of the number of the image.
    """

    folder: Path
    truth: Path
    images: tuple[Path | None, ...]
    pattern: Path


def plan_files(params: SimulateParams, sweeps: list[SweepSettings]) -> list[SweepFiles]:
    """Names for all sweeps; folders are made and old images removed, or refused, before anything is drawn."""
    plans = [_names(params, sweep, len(sweeps)) for sweep in sweeps]
    shared = len({plan.folder for plan in plans}) < len(plans)
    if shared:
        plans = [
            SweepFiles(plan.folder, plan.folder / f"truth_{sweep.number}", plan.images, plan.pattern)
            for plan, sweep in zip(plans, sweeps, strict=True)
        ]
    names = [path for plan in plans for path in plan.images if path is not None]
    twice = next((path for path in names if names.count(path) > 1), None) if len(set(names)) < len(names) else None
    if twice is not None:
        raise ParameterError(
            f"output.name={params.output.name}: {twice} would be an image of two sweeps; use {{sweep}} in output.name or "
            "output.folder, or other numbers with scan.first_image"
        )
    for plan in plans:
        for folder in (plan.folder, plan.truth):
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise UserError(
                    f"simulate: cannot make the folder {folder}: {error.strerror}; set output.directory="
                ) from error
        parts = str(plan.pattern).split("*")
        old = sorted(Path(p) for p in glob.glob("*".join(map(glob.escape, parts))))
        if old and not params.output.overwrite:
            raise UserError(
                f"simulate: {plan.folder} holds {len(old)} images already ({old[0].name} ...); choose another "
                "output.directory=, or set output.overwrite=True to replace them"
            )
        for image in old:  # a longer sweep of an earlier run must not leave images behind
            image.unlink()
    return plans


def _names(params: SimulateParams, sweep: SweepSettings, n_sweeps: int) -> SweepFiles:
    p = params.output
    root = Path(os.path.expanduser(p.directory))
    if root.parts[:1] and root.parts[0].startswith("~"):
        raise ParameterError(f"output.directory={p.directory}: there is no such user; write the whole path")
    values = {"prefix": p.prefix, "sweep": sweep.number}
    given = ("sweep_{sweep}" if n_sweeps > 1 else "") if p.folder is Auto else p.folder
    folder = root / _fill("output.folder", given, values) if given else root
    ending = ENDINGS[p.format]
    fields = [name for _, name, _, _ in _parsed("output.name", p.name)]
    if p.format == "nexus":
        pieces = re.sub(r"[_\-. ]*\{image[^}]*\}", "", p.name)
        whole = folder / (_fill("output.name", pieces or "{prefix}", values) + ending)
        return SweepFiles(folder, folder, (whole,), whole)
    if "image" not in fields:
        raise ParameterError(f"output.name={p.name}: each image needs a name; use {{image:04d}} in it")
    numbers = range(sweep.first_image, sweep.first_image + sweep.n_images)
    images = tuple(
        None
        if number in sweep.missing
        else folder / (_fill("output.name", p.name, {**values, "image": number}) + ending)
        for number in numbers
    )
    pattern = re.sub(r"\{image[^}]*\}", "*", p.name)
    return SweepFiles(folder, folder, images, folder / (_fill("output.name", pattern, values) + ending))


def _parsed(name: str, text: str) -> list[tuple[str, str | None, str | None, str | None]]:
    try:
        return list(string.Formatter().parse(text))
    except ValueError as error:
        raise ParameterError(f"{name}={text}: {error}; write {{prefix}}, {{sweep}} and {{image:04d}}") from error


def _fill(name: str, text: str, values: dict[str, object]) -> str:
    known = ", ".join("{" + key + "}" for key in values)
    try:
        return text.format(**values)
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        raise ParameterError(f"{name}={text}: cannot be filled ({error}); it may hold {known}") from error
