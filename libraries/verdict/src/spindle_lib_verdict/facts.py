"""What is known of a run, every part of it optional."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from typing import Any

__all__ = ["Facts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Facts of a run; None is not known, and nothing is said about it.

    Attributes
    ----------
    failed : str
        What a step said that could not be done: nothing came after it. `failed_step` is its name.
    problems : tuple of str
        Sentences with which steps warned of data that should not be used as they are.
    n_images : int
    n_blank_images : int
        Images with hardly any spots, where other images of the sweep have many.
    n_lost_images : int
        Images on which the beam was lost or weak; `lost_images` names them, "3:5" or with the experiment, "0:3:5".
    n_left_out_images : int
        Images that cannot be read, besides the ``n_images``; `left_out_images` has the names of some.
    n_spots : int
    ice_fraction : float
        Excess of spots in the rings of hexagonal ice over those beside them, as a fraction of all spots.
    fraction_indexed : float
        Of all spots.
    n_lattices : int
    further_fraction : float
        Spots, of all, that a lattice explains which was found and not asked for.
    rmsd_px : float, pixels
        The larger of the rms differences between observed and predicted spots along fast and slow.
    rmsd_images : float
        The same along the rotation.
    space_group : str
        Of the data as they are merged.
    space_group_is_given : bool
    laue_group_probability : float
    undecided : str
        Why no Laue group is believed; empty when one is.
    screw_axes : str
        Why the screw axes of the space group are not certain.
    contradiction : str
        What speaks against the space group that was given.
    is_twinned : bool
        By the L test; `twin_law` and `twin_fraction` where a law of the lattice shows it.
    mean_abs_l : float
    missed_centring : str
        A vector of the lattice that the cell does not have.
    d_min : float, angstrom
        To which the data are merged.
    suggested_d_min : float, angstrom
        Where CC1/2 or completeness end them.
    completeness, multiplicity, r_meas_low, cc_half, i_over_sigma : float
        Overall; the R factor is that of the shell of lowest resolution.
    good_completeness, good_multiplicity : float
        Those to `suggested_d_min`.
    cc_half_critical : float
        What noise reaches with a probability of 1 %.
    best_i_over_sigma : float
        Of the shell with the largest.
    largest_i_over_sigma : float
        Asymptotic I/sigma of strong reflections that the error model leaves, 1 / (a b).
    unlike_sets : tuple of int
        Experiments whose intensities differ from those of the others by far more than these do; empty for none.
    sigma_factor : float
        By what the error model multiplies the sigmas of weak reflections.
    decay_b : float, angstrom^2
        Largest fall of the relative B factor along a sweep: loss of high resolution by radiation damage.
    """

    failed: str | None = None
    failed_step: str | None = None
    problems: tuple[str, ...] | None = None
    n_images: int | None = None
    n_blank_images: int | None = None
    n_lost_images: int | None = None
    lost_images: tuple[str, ...] | None = None
    n_left_out_images: int | None = None
    left_out_images: tuple[str, ...] | None = None
    n_spots: int | None = None
    ice_fraction: float | None = None
    fraction_indexed: float | None = None
    n_lattices: int | None = None
    further_fraction: float | None = None
    rmsd_px: float | None = None
    rmsd_images: float | None = None
    space_group: str | None = None
    space_group_is_given: bool | None = None
    laue_group_probability: float | None = None
    undecided: str | None = None
    screw_axes: str | None = None
    contradiction: str | None = None
    is_twinned: bool | None = None
    twin_law: str | None = None
    twin_fraction: float | None = None
    mean_abs_l: float | None = None
    missed_centring: str | None = None
    d_min: float | None = None
    suggested_d_min: float | None = None
    completeness: float | None = None
    good_completeness: float | None = None
    good_multiplicity: float | None = None
    multiplicity: float | None = None
    r_meas_low: float | None = None
    cc_half: float | None = None
    cc_half_critical: float | None = None
    i_over_sigma: float | None = None
    best_i_over_sigma: float | None = None
    largest_i_over_sigma: float | None = None
    unlike_sets: tuple[int, ...] | None = None
    sigma_factor: float | None = None
    decay_b: float | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, list):  # as JSON has it
                object.__setattr__(self, field.name, tuple(value))
            elif isinstance(value, float) and value != value:
                object.__setattr__(self, field.name, None)

    def with_more(self, *others: Facts) -> Facts:
        """These facts and those of others; what a later one knows stands."""
        known: dict[str, Any] = {}
        for facts in (self, *others):
            known.update(facts.as_dict())
        return Facts(**known)

    def as_dict(self) -> dict[str, Any]:
        """What is known, as plain values for JSON."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items() if v is not None}

    @classmethod
    def from_dict(cls, known: dict[str, Any]) -> Facts:
        """From what `as_dict` gave; names that are not known here are left out."""
        names = {field.name for field in fields(cls)}
        return cls(**{k: v for k, v in known.items() if k in names})

    @classmethod
    def joined(cls, many: Iterable[Facts]) -> Facts:
        """All of several, later ones before earlier ones."""
        return cls().with_more(*many)
