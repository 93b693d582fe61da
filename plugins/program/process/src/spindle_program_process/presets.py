"""Kinds of samples for which other values are usual than for crystals of proteins in X-rays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from spindle.params import Params, Preset, walk

__all__ = ["ELECTRON", "SMALL_MOLECULE", "said"]

#: Cells are short: there are no spots near the beam, but scatter around the beam stop. There are few spots in all, so that profiles lean
#: on fewer. Centrosymmetric groups and glide planes are the rule (Groom et al. 2016, Acta Cryst. B72, 171: four of five structures).
SMALL_MOLECULE: dict[str, Any] = {
    "find_spots.spotfinder.filter.d_max": 20.0,
    "integrate.profile.gaussian_rs.min_spots.overall": 25,
    "integrate.profile.gaussian_rs.min_spots.per_degree": 5,
    "symmetry.systematic_absences.small_molecule": True,
    "export": "shelx",
}
#: Besides: diffuse and inelastic scatter around the beam; electrons are not absorbed as X-rays are. Positions of spots tell the ratio of
#: distance and cell only: with this probe index and refine keep the distance, unless the cell is known.
ELECTRON: dict[str, Any] = {
    **SMALL_MOLECULE,
    "import.geometry.beam.probe": "electron",
    "find_spots.spotfinder.filter.d_max": 10.0,
    "scale.physical.absorption_correction": False,
}


def said(params: Params) -> Iterator[str]:
    """A line for each preset that is on, which names what it has set, and lines for what the user has given otherwise.

    The values stand in the list of modified parameters above them.
    """
    entries = {entry.path: entry for entry in walk(params)}
    for name, entry in entries.items():
        if not isinstance(entry.leaf, Preset) or not entry.value:
            continue
        settings = {path: entries[path].leaf.render(v) for path, v in entry.leaf.settings.items() if path in entries}
        own = {path: entries[path].leaf.render(entries[path].value) for path in settings}
        kept = ", ".join(".".join(path.split(".")[-2:]) for path in settings if own[path] == settings[path])
        yield f"{name}=True sets {kept or 'nothing'} (each can be given otherwise)"
        for path, text in settings.items():
            if own[path] != text:
                yield f"  and not {path}={text}: {own[path]} was given"
