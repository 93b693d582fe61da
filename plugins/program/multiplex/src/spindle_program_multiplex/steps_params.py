"""Parameters of the steps that bring data sets to one indexing and to one scale."""

from __future__ import annotations

from spindle.params import Auto, Bool, Choice, Float, Floats, Int, SpaceGroup
from spindle.params import Params as ParamsBase
from spindle_lib_data_set_correlations.options import CorrelationSearch

__all__ = ["NPROC", "ScalingOptions", "SymmetryOptions"]

NPROC = "use mp.nproc"


class ScalingOptions(ParamsBase):
    """Scaling; `spindle scale` explains more."""

    anomalous = Bool(
        Auto,
        auto=True,
        help="Keep Friedel mates apart when equivalents are compared; Auto: when the data say that they differ.",
    )
    model = Choice(
        ["physical", "dose_decay", "array", "KB", "auto"], default="auto",
        help="Form of the scale factors; auto: physical for scans of a degree or more, else KB.",
    )  # fmt: skip

    class rotation(ParamsBase):
        """Scale along the scan."""

        spacing = Float(
            None, min=0.01, none=True, level=2, units="degrees", help="Distance of the samples of the scale."
        )

    class brotation(ParamsBase):
        """Decay along the scan."""

        spacing = Float(None, min=0.01, none=True, units="degrees", help="Distance of the samples of the decay.")

    class secondary(ParamsBase):
        """Absorption."""

        lmax = Int(
            0,
            min=0,
            max=30,
            none=True,
            level=2,
            help="Highest order of the absorption surface; 0 leaves it to the model.",
        )

        class share(ParamsBase):
            """What data sets have in common."""

            absorption = Bool(False, level=2, help="One absorption surface for all data sets: those of one crystal.")

    absorption_level = Choice(
        ["low", "medium", "high"],
        default=None,
        none=True,
        level=2,
        help="Expected absorption: up to 1 %, 5 % or 25 %.",
    )
    outlier_rejection = Choice(
        ["simple", "standard"], default=None, none=True, help="How outliers are found; None: as scale does."
    )
    min_partiality = Float(
        None, min=0, max=1, none=True, help="Least partiality of the observations that determine the scale factors."
    )
    partiality_cutoff = Float(
        None, min=0, max=1, none=True, help="Leave out reflections recorded to a smaller fraction."
    )

    class reflection_selection(ParamsBase):
        """Which observations determine the scale factors."""

        method = Choice(
            ["quasi_random", "intensity_ranges", "use_all", "random"], default=None, none=True,
            help="How they are chosen; None: as scale does.",
        )  # fmt: skip
        Isigma_range = Floats(None, size=2, none=True, help="Range of I / sigma; an upper limit of 0 is none.")


class SymmetryOptions(ParamsBase):
    """Symmetry and consistent indexing."""

    resolve_indexing_ambiguity = Bool(True, help="Bring all sets to one indexing with cosym.")

    class cosym(CorrelationSearch):
        """Of `spindle cosym`, which explains more."""

        min_reflections = Int(10, min=0, none=True, help="Sets with fewer usable reflections are left out.")
        nproc = Int(Auto, min=1, none=True, max=4096, unavailable=NPROC, help="Number of workers.")
        lattice_symmetry_max_delta = Float(
            5.0,
            min=0,
            units="degrees",
            help="Tolerance on the angle between the direct and the reciprocal axis of a two-fold.",
        )
        best_monoclinic_beta = Bool(
            False, help="Take I 1 2 1 rather than C 1 2 1 where its beta is closer to 90 degrees."
        )
        relative_length_tolerance = Float(
            0.05,
            min=0,
            none=True,
            help="Sets whose cell differs from the median by more than this fraction of a length are left out.",
        )
        absolute_angle_tolerance = Float(2.0, min=0, none=True, units="degrees", help="The same for angles.")

    laue_group = SpaceGroup(None, none=True, help="Known Laue group; screw axes are looked for.")
    space_group = SpaceGroup(None, none=True, help="Known space group.")
