"""Geometry taken from another experiment list."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from spindle.contracts.format import ImageModels
from spindle.errors import ModelError
from spindle.files import read_experiments
from spindle.models import Beam, Detector, Experiments, Goniometer

#: Relative difference of wavelengths that is worth a warning: headers round less.
OTHER_WAVELENGTH = 1e-3


@dataclass(frozen=True, slots=True)
class Reference:
    """Models that replace those of the headers; None keeps the header's.

    ``maps`` are the files dx and dy of the detector's distortion, by their names; empty where there are none. The attenuation in the
    sensors of the detector is that of ``wavelength``, angstrom.
    """

    path: Path
    beam: Beam | None
    detector: Detector | None
    goniometer: Goniometer | None
    is_checked: bool
    maps: dict[str, str] = field(default_factory=dict)
    wavelength: float | None = None

    def with_maps(self, experiments: Experiments) -> Experiments:
        """Experiments whose image sets name the maps of the reference, where they name none."""
        for imageset in experiments.unique("imageset") if self.maps else ():
            if not (imageset.dx or imageset.dy):
                experiments = experiments.with_model(imageset, replace(imageset, **self.maps))
        return experiments

    def models(self) -> ImageModels | None:
        """What stands in for a header that is at fault; None without both beam and detector."""
        if self.beam is None or self.detector is None:
            return None
        return ImageModels(self.beam, self.detector, self.goniometer)

    def detector_for(self, detector: Detector) -> Detector:
        """The reference's detector in place of one from a header.

        Raises
        ------
        ModelError
            If it has other panels: a table of what differs.
        """
        if self.detector is None:
            return detector
        problems = _panel_problems(detector, self.detector)
        if problems and self.is_checked:
            listing = "\n".join(f"  {what}: images {found}, reference {wanted}" for what, found, wanted in problems)
            raise ModelError(
                f"input.reference_geometry={self.path}: its detector is not the one of the images:\n{listing}\nTake a "
                "reference of the same detector, or set input.check_reference_geometry=False"
            )
        return self.detector

    def wavelength_note(self, beam: Beam, geometry: Any) -> str:
        """What to say where the images have another wavelength, which that of the reference replaces; "" otherwise."""
        if self.beam is None or geometry.beam.wavelength is not None:
            return ""
        if abs(self.beam.wavelength / beam.wavelength - 1) < OTHER_WAVELENGTH:
            return ""
        return (
            f"the images have a wavelength of {beam.wavelength:.5f} A, and that of the reference geometry is taken, "
            f"{self.beam.wavelength:.5f} A; wavelength={beam.wavelength:.5f} keeps that of the images"
        )


def _panel_problems(found: Detector, wanted: Detector) -> list[tuple[str, str, str]]:
    if len(found) != len(wanted):
        return [("number of panels", str(len(found)), str(len(wanted)))]
    problems = []
    for i, (a, b) in enumerate(zip(found, wanted, strict=True)):
        if a.image_size != b.image_size:
            problems.append((f"image size of panel {i}", str(a.image_size), str(b.image_size)))
        if not np.allclose(a.pixel_size, b.pixel_size, rtol=1e-3):
            problems.append((f"pixel size of panel {i} (mm)", str(tuple(a.pixel_size)), str(tuple(b.pixel_size))))
        if a.identifier and b.identifier and a.identifier != b.identifier:
            problems.append((f"identifier of panel {i}", a.identifier, b.identifier))
    return problems


def read_reference(path: Path, params: Any) -> Reference:
    """Read the reference.

    Parameters
    ----------
    path : Path
    params : Params
        Of ``input``.

    Raises
    ------
    ModelError
        If it does not hold exactly one of each model that is to be used.
    """
    experiments = read_experiments(path)
    chosen: dict[str, Any] = {}
    for name, wanted in (
        ("beam", params.use_beam_reference),
        ("detector", params.use_detector_reference),
        ("goniometer", params.use_gonio_reference),
    ):
        models = experiments.unique(name)
        if wanted and len(models) > 1:
            raise ModelError(
                f"input.reference_geometry={path}: it holds {len(models)} different {name}s; give a reference with "
                f"one, or set input.use_{'gonio' if name == 'goniometer' else name}_reference=False"
            )
        chosen[name] = models[0] if wanted and models else None
    maps = {}
    if chosen["detector"] is not None:
        for name in ("dx", "dy"):
            named = {getattr(images, name) for images in experiments.unique("imageset")} - {None}
            if len(named) > 1:
                raise ModelError(
                    f"input.reference_geometry={path}: it names {len(named)} different maps {name}; give one with lookup.{name}="
                )
            maps.update(dict.fromkeys([name] if named else [], *named))
    wavelength = experiments[0].beam.wavelength if len(experiments) else None
    return Reference(
        path,
        chosen["beam"],
        chosen["detector"],
        chosen["goniometer"],
        params.check_reference_geometry,
        maps,
        wavelength,
    )


def known_without_headers(geometry: Any, reference: Reference | None) -> dict[str, Any]:
    """What headers need not say because the user does, or the reference geometry."""
    sizes = [p.pixel_size for p in geometry.detector.panel if p.pixel_size is not None]
    given = {
        "wavelength": geometry.beam.wavelength,
        "distance": geometry.detector.distance,
        "pixel_size": tuple(sizes[0]) if sizes else None,
    }
    if reference is not None and reference.beam is not None:
        given["wavelength"] = given["wavelength"] or reference.beam.wavelength
    if reference is not None and reference.detector is not None:
        panel = reference.detector[0]
        given["distance"] = given["distance"] or panel.distance
        given["pixel_size"] = given["pixel_size"] or tuple(panel.pixel_size.tolist())
    return given
