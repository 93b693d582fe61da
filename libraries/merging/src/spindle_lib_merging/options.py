"""Parameters that several programs have alike: limits of the resolution, and test sets."""

from __future__ import annotations

from typing import Any

from spindle.errors import ParameterError
from spindle.params import Bool, Choice, Float, Int, Params, PathParam, SpaceGroup, Str, Strings

__all__ = ["FreeFlagOptions", "ResolutionMetrics", "refuse_without_reference"]

#: What is asked of the correlation with a reference where there is one.
CC_REF = 0.1


class ResolutionMetrics(Params):
    """Metrics with their limits; None leaves one out."""

    rmerge = Float(None, min=0, none=True, help="Limit of Rmerge.", level=1)
    completeness = Float(None, min=0, none=True, help="Limit of the completeness, a fraction.", level=1)
    cc_ref = Float(CC_REF, min=0, none=True, help="Limit of the correlation with the reference.", level=1)
    cc_half = Float(0.3, min=0, max=1, none=True, help="Limit of CC1/2.", level=1)
    cc_half_method = Choice(
        ["half_dataset", "sigma_tau"],
        default="half_dataset",
        help="CC1/2 of random halves, or from the scatter of equivalents (Assmann et al. 2016).",
    )
    cc_half_significance_level = Float(
        0.1,
        min=0,
        max=1,
        none=True,
        help="Chance of noise to reach the critical CC1/2 that is drawn and written beside CC1/2; the limit is not changed by it.",
        level=1,
    )
    cc_half_fit = Choice(["polynomial", "tanh"], default="tanh", help="Curve through CC1/2.", level=1)
    isigma = Float(None, min=0, none=True, help="Limit of the mean I/sigma of observations.", level=1)
    misigma = Float(None, min=0, none=True, help="Limit of the mean I/sigma of merged intensities.", level=1)
    i_mean_over_sigma_mean = Float(None, min=0, none=True, help="Limit of mean I over mean sigma.", level=2)
    nbins = Int(100, min=3, max=10_000, help="Most shells.", level=1)
    reflections_per_bin = Int(10, min=2, help="Fewest unique reflections of a shell.")
    binning_method = Choice(
        ["counting_sorted", "volume"], default="counting_sorted",
        help="Shells of as many reflections each, or of equal volume in reciprocal space.", level=1,
    )  # fmt: skip
    anomalous = Bool(False, help="Keep Friedel mates apart when observations are merged.", level=1)
    labels = Strings(None, help="Columns of the MTZ file: intensity and sigma.")
    space_group = SpaceGroup(None, none=True, help="Instead of that of the data.", level=1)
    reference = PathParam(None, none=True, help="MTZ file of merged data, or coordinates, to correlate with.")
    emax = Float(
        4.0,
        min=0,
        none=True,
        help="Observations with a larger normalised amplitude are left out; None keeps all.",
    )


def refuse_without_reference(metrics: Any) -> None:
    """Refuse a limit of the correlation with a reference that is not there.

    Parameters
    ----------
    metrics : ResolutionMetrics

    Raises
    ------
    ParameterError
    """
    if metrics.reference is None and metrics.cc_ref not in (None, 0, CC_REF):
        raise ParameterError(
            f"resolution.cc_ref={metrics.cc_ref:g} needs resolution.reference=, the data to correlate with; give both or neither"
        )


class FreeFlagOptions(Params):
    """Reflections that are set aside for R free.

    A flag follows from the index: runs again, and parts of the data, have the same one.
    """

    generate = Bool(True, help="Draw a test set.")
    fraction = Float(0.05, min=0.001, max=0.5, help="Share of the test set; with a reference, that has its own.")
    max_free = Int(2000, min=1, none=True, level=2, help="Most reflections in it, as chance has it, where it is drawn.")
    lattice_symmetry_max_delta = Float(
        5, min=0, units="deg", level=2, help="How much the lattice may deviate from its symmetry."
    )
    use_lattice_symmetry = Bool(True, help="Same flag for all that the symmetry of the lattice makes equivalent.")
    use_dataman_shells = Bool(
        False,
        level=2,
        help="Flags in thin layers of resolution instead of by chance, for crystals with non-crystallographic symmetry.",
    )
    n_shells = Int(20, max=10_000, min=1, level=2, help="Layers of the test set, with use_dataman_shells.")
    extend = Bool(None, none=True, help="Flags by chance for reflections that the reference lacks; None does it.")
    old_test_flag_value = Int(None, none=True, level=2, help="Flag of the test set of the reference.")
    column = Str(
        None,
        none=True,
        level=2,
        help="Column of the reference that holds the flags; by default the one of a usual name (FreeR_flag, R-free-flags, status of mmCIF) "
        "that sets a part of the reflections aside.",
    )
    d_eps = Float(
        1e-4, min=0, level=2, unavailable="limits take in what lies on them", help="How much limits are widened."
    )
    d_max = Float(None, min=0, none=True, level=2, units="angstrom", help="Low resolution limit of the flags.")
    d_min = Float(None, min=0, none=True, level=2, units="angstrom", help="High resolution limit of the flags.")
    relative_to_complete_set = Bool(False, help="Flags for all reflections to the limit, measured or not.")
    reference = PathParam(None, none=True, help="MTZ or mmCIF file whose flags are taken over.")
