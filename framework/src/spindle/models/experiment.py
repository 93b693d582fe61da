"""An experiment joins the models of one sweep or still; a list of them shares models by identity."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePath
from typing import Any, TypeVar, overload

from spindle.errors import ModelError
from spindle.report import table_html

from .beam import Beam
from .crystal import Crystal
from .descriptions import Described, numbers
from .detector import Detector
from .goniometer import Goniometer
from .imageset import ImageSet
from .scan import Scan

MODEL_NAMES = ("beam", "detector", "goniometer", "scan", "crystal", "profile", "imageset", "scaling_model")

M = TypeVar("M")

_OURS = uuid.UUID("6f0d4ad0-6c0b-4d53-9d0e-2b7f0a6c9a51")


def new_identifier() -> str:
    """A fresh identifier, at random, for an experiment of which nothing is known yet."""
    return str(uuid.uuid4())


def derived_identifier(*parts: object) -> str:
    """The identifier that belongs to some parts (texts or what `str` makes of them): equal parts, equal identifier.

    Programs name their experiments with it, after what these are made from, so that a repeated run writes the same bytes.
    """
    text = "\x1f".join(map(str, parts))
    return str(uuid.uuid5(_OURS, text.encode("utf-8", "backslashreplace").decode()))  # of any file name


@dataclass(frozen=True, eq=False)
class Experiment(Described):
    """One sweep (or still) and its models.

    Attributes
    ----------
    beam : Beam
    detector : Detector
    goniometer : Goniometer or None
        None for a still.
    scan : Scan or None
        None where the file knows no images or angles.
    crystal : Crystal or None
        None until indexed.
    profile, scaling_model : dict or None
        Plain dictionaries as in the file, whose keys only the plugin knows that made them.
    imageset : ImageSet or None
        Where the images are.
    identifier : str
        By which reflection tables name the experiment.
    """

    beam: Beam
    detector: Detector
    goniometer: Goniometer | None = None
    scan: Scan | None = None
    crystal: Crystal | None = None
    profile: dict[str, Any] | None = None
    imageset: ImageSet | None = None
    scaling_model: dict[str, Any] | None = None
    identifier: str = field(default_factory=new_identifier)

    def described(self) -> tuple[str, list[tuple[str, str]]]:
        """Images and key numbers of its models; see `Described`."""
        rows = []
        if self.imageset is not None:
            rows.append(("images", str(self.imageset.template or ", ".join(self.imageset.paths[:3]))))
        for model in (self.scan, self.beam, self.goniometer, self.detector, self.crystal):
            if model is not None:
                title, lines = model.described()
                rows += [(f"{title.lower()}: {name}", value) for name, value in lines]
        return "Experiment", rows

    @property
    def is_still(self) -> bool:
        """True without goniometer, without scan or with a scan of zero width."""
        return self.goniometer is None or self.scan is None or self.scan.is_still

    @property
    def image_name(self) -> str:
        """Name of the file of the first image, with the number of the image where the file holds several; "image" without images."""
        images = self.imageset
        if images is None:
            return "image"
        number = 1 if self.scan is None else self.scan.image_range[0]
        if len(images.paths) == 1:
            number = 1
        try:
            path, frame = images.file_of_image(number)
        except IndexError:
            return str(images.template or next(iter(images.paths), "image"))
        name = PurePath(path).name
        holds_several = images.numbered is None and (
            images.template is not None or images.single_file_indices is not None
        )
        return f"{name} image {frame + 1}" if holds_several else name

    @property
    def known_scan(self) -> Scan:
        """The scan, where there must be one; `ModelError` when there is none."""
        return self._known(self.scan, "scan", "import its images again with their angles")

    @property
    def known_goniometer(self) -> Goniometer:
        """The goniometer, where there must be one; `ModelError` when there is none."""
        return self._known(self.goniometer, "goniometer", "import its images again with their rotation axis")

    @property
    def known_crystal(self) -> Crystal:
        """The crystal, where there must be one; `ModelError` when there is none."""
        return self._known(self.crystal, "crystal", "index it first")

    def _known(self, model: M | None, name: str, remedy: str) -> M:
        if model is None:
            raise ModelError(f"experiment {self.identifier or 'without identifier'} has no {name}; {remedy}")
        return model


class Experiments(Sequence[Experiment]):
    """An immutable list of experiments."""

    def __init__(self, items: Iterable[Experiment] = ()) -> None:
        self._items = tuple(items)

    def __repr__(self) -> str:
        lines = [" | ".join(cell for cell in row if cell) for row in self._rows()]
        return f"Experiments({len(self)})" + "".join(f"\n  {line}" for line in lines)

    def _repr_html_(self) -> str:
        headers = ["", "images", "rotation (deg)", "wavelength (A)", "cell (A, deg)", "space group"]
        return table_html(f"{len(self)} experiments", headers, self._rows())

    def _rows(self, most: int = 50) -> list[list[str]]:
        """What each experiment is of, the first of many."""
        rows = []
        for i, item in enumerate(self._items[:most]):
            images, scan, crystal = item.imageset, item.scan, item.crystal
            name = "" if images is None else str(images.template or (images.paths[0] if images.paths else ""))
            rows.append([
                str(i),
                re.split(r"[/\\\\]", name)[-1] + ("" if scan is None else f" {scan.image_range[0]} to {scan.image_range[1]}"),
                "" if scan is None else f"{scan.oscillation_deg[0]:g}, {scan.oscillation_deg[1]:g} each",
                f"{item.beam.wavelength:.5g}",
                "" if crystal is None else numbers(crystal.cell, 3),
                "" if crystal is None else crystal.space_group.xhm(),
            ])  # fmt: skip
        if len(self) > most:
            rows.append([f"and {len(self) - most} more", "", "", "", "", ""])
        return rows

    @overload
    def __getitem__(self, index: int) -> Experiment: ...
    @overload
    def __getitem__(self, index: slice) -> Experiments: ...
    def __getitem__(self, index: int | slice) -> Experiment | Experiments:
        if isinstance(index, slice):
            return Experiments(self._items[index])
        return self._items[index]

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Experiment]:
        return iter(self._items)

    def replace(self, index: int, **models: Any) -> Experiments:
        """The list with some models of one experiment exchanged."""
        items = list(self._items)
        items[index] = replace(items[index], **models)
        return Experiments(items)

    def with_model(self, old: Any, new: Any) -> Experiments:
        """The list with a model exchanged wherever it is shared (compared by identity)."""
        items = []
        for item in self._items:
            changes = {name: new for name in MODEL_NAMES if getattr(item, name) is old}
            items.append(replace(item, **changes) if changes else item)
        return Experiments(items)

    def unique(self, name: str) -> list[Any]:
        """The distinct models of a kind ("beam", "detector", ...) in order of first use; None is left out."""
        seen: dict[int, Any] = {}
        for item in self._items:
            model = getattr(item, name)
            if model is not None:
                seen.setdefault(id(model), model)
        return list(seen.values())

    def indices_with(self, name: str, model: Any) -> list[int]:
        """Positions of the experiments that share a model."""
        return [i for i, item in enumerate(self._items) if getattr(item, name) is model]

    @property
    def identifiers(self) -> dict[int, str]:
        """Position of each experiment and its identifier."""
        return {i: item.identifier for i, item in enumerate(self._items)}
