"""Parameters of the merge program."""

from __future__ import annotations

from spindle.params import Bool, Choice, Float, Int, Params, PathParam, Str, Strings, UnitCell
from spindle_lib_image_ranges import params as ranges
from spindle_lib_merging import FreeFlagOptions


class MergeParams(Params):
    """Parameters of spindle merge."""

    assess_space_group = Bool(True, help="Look for screw axes in the axial reflections and say so; nothing is changed.")
    anomalous = Bool(True, help="Write I(+) and I(-) too.")
    truncate = Bool(True, help="Write amplitudes, from intensities by the method of French and Wilson.")
    d_min = Float(
        None,
        min=0,
        none=True,
        auto=True,
        units="angstrom",
        help="High resolution limit; Auto is where smooth curves through CC1/2 and completeness of the shells fall to 0.3 and 0.5.",
    )
    d_max = Float(None, min=0, units="angstrom", help="Low resolution limit.")
    wavelength_tolerance = Float(
        1e-4, min=0, units="angstrom", help="Wavelengths closer than this are one data set of the file."
    )
    combine_partials = Bool(True, help="Join the parts of reflections that were integrated in parts.")
    partiality_threshold = Float(0.4, none=True, help="Least partiality.")
    best_unit_cell = UnitCell(None, help="Cell for resolutions and the file; by default the mean of the crystals'.")
    n_residues = Int(
        200, min=1, max=10_000_000, none=True, help="Residues in the asymmetric unit, for the Wilson plot."
    )

    exclude_images = ranges.exclude_images()
    exclude_images_multiple = ranges.exclude_images_multiple()

    class french_wilson(Params):
        """Amplitudes from intensities."""

        implementation = Choice(
            ["dials", "cctbx"],
            default="dials",
            unavailable="there is one implementation, by the equations that DIALS uses",
            help="Whose equations.",
        )
        min_reflections = Int(200, min=1, help="Fewer reflections than this do not tell the mean intensity.")
        fallback_to_flat_prior = Bool(
            True,
            help="With too few reflections take any positive intensity as equally likely; else write no amplitudes.",
        )

    class anisotropy(Params):
        """Data that end at different resolutions in different directions."""

        check = Bool(
            True,
            help="Fit the ellipsoid on which the mean I/sigma has fallen to i_over_sigma; say so where it is no sphere.",
        )
        cut = Bool(False, help="Leave out what lies beyond the ellipsoid.")
        i_over_sigma = Float(1.2, min=0.05, help="Mean I/sigma of merged reflections at which data end.")

    class merging(Params):
        """Merging."""

        use_internal_variance = Bool(False, help="Sigmas at least as large as the scatter of the equivalents says.")
        n_bins = Int(20, min=5, max=10_000, help="Resolution shells of the tables.")
        anomalous = Bool(False, help="Tables of shells with Friedel mates kept apart.")

    class r_free_flags(FreeFlagOptions):
        """Reflections that are set aside for R free, column FreeR_flag; 0 is the test set, as in CCP4."""

    class output(Params):
        """What is written."""

        log = Str("spindle.merge.log", none=True, help="Log file.")
        mtz = PathParam("merged.mtz", help="Merged MTZ file.")
        uncut_mtz = PathParam(
            "merged_all.mtz", none=True, help="Merged MTZ file of all data, where d_min=Auto has cut some of them."
        )
        mmcif = PathParam(None, none=True, help="Merged mmCIF file, for deposition.")
        html = Str("spindle.merge.html", none=True, help="Report.")
        json = Str(None, help="Merging statistics as JSON.")
        additional_stats = Bool(
            False, help="Write multiplicities and the means of random half data sets: N, IHALF1, SIGIHALF1, NHALF1 ..."
        )
        crystal_names = Strings(("XTAL",), help="Crystal names, one or one per wavelength.")
        project_name = Str("AUTOMATIC", help="Project name.")
        dataset_names = Strings(("NATIVE",), help="Data set names, one or one per wavelength.")
