"""From which value on a fact is amber or red, and where that comes from."""

from __future__ import annotations

from dataclasses import dataclass

from spindle.report import Table

__all__ = ["LIMITS", "Limit", "limits_table"]

GREEN, AMBER, RED = "green", "amber", "red"


@dataclass(frozen=True, slots=True)
class Limit:
    """Two limits of one number.

    Attributes
    ----------
    fact : str
        Name in `Facts`.
    amber, red : float or None
        None where it never becomes so.
    high_is_good : bool
    said : str
        What the number is, for tables.
    source : str
        Why these values.
    """

    fact: str
    amber: float | None
    red: float | None
    high_is_good: bool
    said: str
    source: str

    def colour(self, value: float) -> str:
        """Green, amber or red; a value that is the limit is still good."""
        sign = 1.0 if self.high_is_good else -1.0
        for colour, limit in ((RED, self.red), (AMBER, self.amber)):
            if limit is not None and sign * value < sign * limit:
                return colour
        return GREEN


LIMITS = {
    limit.fact: limit
    for limit in (
        Limit("blank_fraction", 0.05, 0.5, False, "images without spots, of all",
              "some are a crystal that leaves the beam; with half of them there is no data set"),
        Limit("left_out_fraction", 0.0, 1 / 3, False, "images that cannot be read, of all",
              "each is a gap in the sweep, and others of a damaged copy may be wrong without a sign; as for lost images"),
        Limit("lost_fraction", 0.0, 1 / 3, False, "images without beam, of all",
              "any lost image is worth a line; a third leaves gaps that symmetry cannot fill"),
        Limit("ice_fraction", 0.05, 0.5, False, "spots of ice, of all",
              "one spot in twenty shifts scales of a ring; half of them and the lattice found may be that of ice"),
        Limit("fraction_indexed", 0.5, 0.25, True, "spots indexed, of all",
              "index warns below half; process stops below a quarter, where a wrong lattice begins to fit as many by chance"),
        Limit("further_fraction", 0.05, None, False, "spots of a further lattice, of all",
              "one spot in twenty is a crystal whose reflections disturb; no part of them alone makes data useless"),
        Limit("rmsd_px", 1.0, 2.5, False, "rms difference of spots and prediction, pixels",
              "spots are two to five pixels wide: beyond one pixel profiles are cut, beyond half a spot they are missed"),
        Limit("rmsd_images", 1.0, 3.0, False, "the same along the rotation, images",
              "beyond an image the rotation is wrong or the crystal moves"),
        Limit("laue_group_probability", 0.8, 0.5, True, "probability of the Laue group",
              "Evans (2006), Acta Cryst. D62, 72: below 0.5 another group is as likely; symmetry then keeps P 1"),
        Limit("best_i_over_sigma", 3.0, 1.5, True, "I/sigma of the best shell",
              "merge takes data with less than 1.5 for noise; with less than 3 no reflection is certain"),
        Limit("cc_half", 0.9, 0.3, True, "CC1/2 of all data",
              "Karplus & Diederichs (2012), Science 336, 1030: 0.3 is where a last shell ends, not a data set; good data have 0.99"),
        Limit("r_meas_low", 0.15, 0.5, False, "Rmeas of the shell of lowest resolution",
              "Diederichs & Karplus (1997), Nat. Struct. Biol. 4, 269: strong reflections agree within 0.05 to 0.1; 0.58 is what random "
              "intensities of a wrong symmetry reach"),
        Limit("largest_i_over_sigma", 10.0, 3.0, True, "I/sigma of strong reflections (ISa)",
              "Diederichs (2010), Acta Cryst. D66, 733: 30 and more is good; below 10 equivalents differ by 10 %"),
        Limit("sigma_factor", 4.0, 10.0, False, "inflation of weak sigmas",
              "counting errors are right within a factor of two; merge takes data with more than 10 for no measurement"),
        Limit("completeness", 0.9, 0.5, True, "completeness of all data",
              "Dauter (1999), Acta Cryst. D55, 1703: maps and phasing suffer below 0.9; with half of the terms a map has more error "
              "than signal"),
        Limit("multiplicity", 2.0, None, True, "measurements of each reflection",
              "below two neither sigmas nor outliers can be told from equivalents"),
        Limit("d_min", 3.5, None, False, "resolution, angstrom",
              "beyond 3.5 A side chains are not seen, and atoms are not resolved"),
        Limit("decay_b", 5.0, None, False, "rise of the B factor along a sweep, angstrom^2",
              "Kmetko et al. (2006), Acta Cryst. D62, 1030: about 1 A^2 for each MGy; specific damage is seen from a few MGy on"),
        Limit("twin_fraction", 0.05, None, False, "twin fraction", "Yeates (1997), Methods Enzymol. 276, 344"),
    )
}  # fmt: skip


def limits_table() -> Table:
    """All limits with their sources, for documents."""

    def text(limit: Limit, value: float | None) -> str:
        sign = "<" if limit.high_is_good else ">"
        return "--" if value is None else f"{sign} {value:.3g}"

    rows = [[one.said, text(one, one.amber), text(one, one.red), one.source] for one in LIMITS.values()]
    return Table("What makes a line amber or red", ["Number", "Amber", "Red", "Why"], rows, "verdict_limits")
