"""The beam of a NeXus entry, image by image."""

from __future__ import annotations

from functools import lru_cache

import h5py
import numpy as np

from spindle.contracts.format import FormatOptions
from spindle.errors import HeaderError, fault
from spindle.models import Beam

from .hdf import attribute, factor, fault_at, find_class, get, number, numbers, text
from .layout import Entry

# h c / e in eV angstrom, CODATA 2018 (exact).
EV_ANGSTROM = 12398.419843320026
# Wavelengths beyond these are no diffraction experiment but a wrong unit, angstrom: electrons of 1 MeV, cold neutrons.
_SHORTEST, _LONGEST = 0.008, 30.0


class BeamReader:
    """Wavelengths and polarisation of an entry.

    Parameters
    ----------
    entry : Entry
    n_images : int
    options : FormatOptions
    notes : list of str
        Filled.

    Raises
    ------
    FileFormatError
        If there is no wavelength, or their number is not that of the images.
    """

    def __init__(self, entry: Entry, n_images: int, options: FormatOptions, notes: list[str]) -> None:
        self.entry = entry
        self.wavelengths = self._wavelengths(n_images, options)
        self.normal, self.fraction = self._polarisation(notes)
        self.flux = (number(entry.beam, "total_flux", "flux") if entry.beam is not None else None) or 0.0
        self.probe = self._probe()

    def beam(self, image: int) -> Beam:
        """Beam of an image (0-based); the same object for the same wavelength."""
        wavelength = self.wavelengths[image if image < len(self.wavelengths) else -1]
        return _beam(float(wavelength), self.normal, self.fraction, self.flux, self.probe)

    def _wavelengths(self, n_images: int, options: FormatOptions) -> np.ndarray:
        """(n_images,) or (1,) float64, angstrom."""
        beam = self.entry.beam
        try:
            return self._stated(beam, n_images)
        except HeaderError as error:
            if options.wavelength:
                return np.array([options.wavelength])
            remedy = "set geometry.beam.wavelength=<angstrom>"
            raise HeaderError(error.file, error.place, error.expected, error.found, remedy) from error

    def _stated(self, beam: h5py.Group | None, n_images: int) -> np.ndarray:
        """What the file says of the wavelength; `_wavelengths` adds what to do."""
        found = None
        if beam is not None:
            for name, kind in (("incident_wavelength", "wavelength"), ("incident_energy", "energy")):
                node = get(beam, name)
                if isinstance(node, h5py.Dataset) and node.size:
                    values = numbers(node) * factor(node, kind, default="angstrom" if kind == "wavelength" else None)
                    values = self._weighted(beam, name, values, n_images)
                    found = values if kind == "wavelength" else EV_ANGSTROM / np.where(values > 0, values, np.nan)
                    break
        if beam is None or found is None:
            where = self.entry.group if beam is None else beam
            what = "incident_wavelength or incident_energy" + (" in a group of NX_class NXbeam" if beam is None else "")
            raise fault_at(where, what, None, "")
        if not np.all(np.isfinite(found) & (found > 0)):
            bad = numbers(node)[np.flatnonzero(~(np.isfinite(found) & (found > 0)))[0] % node.size]
            raise fault_at(node, f"{kind}s above zero", f"{bad:g}", "")
        if len(found) not in (1, n_images) and len(found) < n_images:
            raise fault_at(node, f"one {kind}, or one for each of the {n_images} images", len(found), "")
        if found.min() < _SHORTEST or found.max() > _LONGEST:
            bad = found.min() if found.min() < _SHORTEST else found.max()
            stated = f"{numbers(node)[0]:g} {attribute(node, 'units') or 'angstrom'}, which is {bad:.4g} A"
            raise fault_at(node, f"a wavelength of {_SHORTEST:g} to {_LONGEST:g} A", stated, "")
        return found

    @staticmethod
    def _weighted(beam: h5py.Group, name: str, values: np.ndarray, n_images: int) -> np.ndarray:
        """The mean of a spectrum that has weights; other values as they are."""
        weights = get(beam, f"{name}_weights") or get(beam, f"{name}_weight")
        if not isinstance(weights, h5py.Dataset) or len(values) < 2:
            return values
        w = numbers(weights)
        if w.size == values.size and w.sum() > 0:
            return np.array([float(np.average(values, weights=w))])
        if w.size == values.size * n_images:
            return np.asarray(w.reshape(n_images, -1) @ values / w.reshape(n_images, -1).sum(axis=1))
        return values

    def _polarisation(self, notes: list[str]) -> tuple[tuple[float, float, float], float]:
        """Normal of the plane of polarisation (laboratory) and fraction."""
        usual = ((0.0, 1.0, 0.0), 0.999)
        beam = self.entry.beam
        node = get(beam, "incident_polarization_stokes") if beam is not None else None
        if node is None and beam is not None:
            node = get(beam, "incident_polarisation_stokes")
        if not isinstance(node, h5py.Dataset) or node.size < 4:
            return usual
        total, q, u, _ = numbers(node)[:4]
        linear = float(np.hypot(q, u))
        if not total > 0 or linear > 1.001 * total:
            notes.append(
                fault(
                    node.name,
                    "Stokes parameters that a beam can have",
                    numbers(node)[:4].tolist(),
                    "a horizontal polarisation of 0.999 is taken; set geometry.beam.polarization_fraction=",
                )
            )
            return usual
        # Plane of polarisation at half the angle of (Q, U) from x (horizontal); x changes its sign in the laboratory.
        angle = 0.5 * float(np.arctan2(u, q)) if linear > 0 else 0.0
        return (float(np.sin(angle)), float(np.cos(angle)), 0.0), min(0.5 * (1.0 + linear / total), 1.0)

    def _probe(self) -> str:
        """What the source emits, as Spindle calls it."""
        sources = [
            s
            for parent in (self.entry.instrument, self.entry.group)
            if parent is not None
            for s in find_class(parent, "NXsource")
        ]
        for source in sources:
            node = get(source, "probe")
            name = (text(node) if node is not None else attribute(source, "probe") or "").lower()
            for known in ("electron", "neutron"):
                if name.startswith(known):
                    return known
        return "x-ray"


@lru_cache(maxsize=4096)
def _beam(wavelength: float, normal: tuple[float, float, float], fraction: float, flux: float, probe: str) -> Beam:
    return Beam(
        direction=np.array([0.0, 0.0, 1.0]),
        wavelength=wavelength,
        polarization_normal=np.array(normal),
        polarization_fraction=fraction,
        flux=flux,
        probe=probe,
    )
