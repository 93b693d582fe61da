"""Parameters of the scale program."""

from __future__ import annotations

from spindle.params import (
    Auto,
    Bool,
    Choice,
    Float,
    Floats,
    Int,
    Ints,
    Params,
    PathParam,
    Plugin,
    Str,
    Strings,
    UnitCell,
)
from spindle_lib_image_ranges import params as ranges
from spindle_lib_radiation_damage import ImageDoses


class ScaleParams(Params):
    """Parameters of spindle scale."""

    model = Plugin(
        "scaling",
        default=Auto,
        in_scope_if_auto=("physical", "KB"),
        help="Form of the scale factors; Auto: physical for scans of a degree or more, else KB.",
    )
    anomalous = Bool(
        Auto,
        auto=True,
        help="Keep Friedel mates apart when equivalents are compared. Auto: for X-rays, when the data say that they differ.",
    )
    overwrite_existing_models = Bool(False, help="Start afresh although the data were scaled before.")
    exclude_images = ranges.exclude_images()

    class output(Params):
        """What is written."""

        experiments = Str("scaled.expt", help="Experiments with their scaling models.")
        reflections = Str("scaled.refl", help="Reflections with scale factors.")
        log = Str("spindle.scale.log", none=True, help="Log file.")
        html = Str("spindle.scale.html", none=True, help="Report with plots.")
        json = Str(None, help="Merging statistics and plots' data as JSON.")
        unmerged_mtz = Str(None, help="Unmerged MTZ file.")
        merged_mtz = Str(None, help="Merged MTZ file.")
        crystal_name = Str("XTAL", help="Crystal name in the MTZ files.", level=1)
        project_name = Str("SPINDLE", help="Project name in the MTZ files.", level=1)
        use_internal_variance = Bool(
            False,
            help="Sigmas of merged intensities at least as large as the scatter of the equivalents says.",
            level=1,
        )
        delete_integration_shoeboxes = Bool(True, help="Leave the shoeboxes out of the output.", level=2)

        class merging(Params):
            """Merging statistics."""

            nbins = Int(20, min=1, max=10_000, help="Number of resolution shells.", level=1)

    class reflection_selection(Params):
        """Which observations determine the scale factors."""

        method = Choice(
            ["quasi_random", "intensity_ranges", "use_all", "random"],
            default="quasi_random",
            help="quasi_random: enough reflections that connect all data sets. random: any reflections. "
            "intensity_ranges: those "
            "of E^2 in E2_range. use_all: everything.",
        )
        best_unit_cell = UnitCell(None, help="Cell for resolutions; by default each crystal's own.")
        E2_range = Floats(
            (0.8, 5.0),
            size=2,
            help="Normalised intensities used by intensity_ranges, when more than 10000 observations are left.",
            level=1,
        )
        Isigma_range = Floats((-5.0, 0.0), size=2, help="Range of I / sigma; an upper limit of 0 is none.", level=1)
        d_range = Floats(None, size=2, units="angstrom", help="Range of resolution.", level=1)
        min_partiality = Float(0.95, help="Least partiality.", level=2)
        min_zeta = Float(
            0.3,
            min=0,
            max=1,
            help="Least |zeta|: reflections near the rotation axis are recorded over many images and tell little about "
            "scales. "
            "0 takes all, as DIALS does.",
            level=2,
        )
        intensity_choice = Choice(
            ["profile", "sum", "combine"],
            default="combine",
            help="Profile-fitted or summed intensities, or the mixture that agrees best.",
            level=1,
        )

        class random(Params):
            """Sizes of random selections."""

            min_groups = Int(2000, min=1, help="Fewest unique reflections.", level=1)
            min_reflections = Int(50000, min=1, help="Fewest observations.", level=1)

            class multi_dataset(Params):
                """Selections from several data sets."""

                Isigma_cutoff = Float(
                    1.0, help="Least mean I / sigma of reflections that connect data sets, with method=quasi_random."
                )

        class combine(Params):
            """The mixture of profile-fitted and summed intensities."""

            Imid = Floats(None, help="Intensities of equal parts to try; 0 is profile only, 1 sum only.", level=2)
            joint_analysis = Bool(True, help="The same mixture for all data sets.", level=2)

    class weighting(Params):
        """Weights and errors."""

        weighting_scheme = Choice(
            ["invvar", "unity"],
            default="invvar",
            help="Weights of observations when scale factors are refined. invvar: 1 / sigma^2. unity: all alike, so that the strong ones "
            "decide; errors of the scale factors are too small then.",
            level=2,
        )
        scale_error = Choice(
            ["fitted", "exact", "dials"],
            default="fitted",
            help="How errors of scale factors enter the variances. fitted: through the error model, as they are part of "
            "the scatter of equivalents (exact, when there is no error model). exact: V + (I sg / g)^2. dials: "
            "V (1 + sg / g).",
            level=2,
        )

        class error_model(Params):
            """Error model."""

            error_model = Plugin("error_model", default="basic", none=True, help="Form of the error model.", level=1)
            reset_error_model = Bool(
                False,
                help="Begin with the usual error model, not with that of an earlier scaling of the data; it is fitted in either case.",
            )
            grouping = Choice(
                ["individual", "grouped", "combined"],
                default=Auto,
                auto=True,
                help="One error model per data set, per error_model_group, or for all. Auto: for all, but one of their own for data sets of other "
                "programs beside those that tell their expected counts.",
                level=2,
            )
            error_model_group = Ints(
                None, multiple=True, help="Data sets of one group; give it once per group.", level=2
            )

    class cut_data(Params):
        """Data that are left out altogether."""

        d_min = Float(None, min=0, units="angstrom", help="High resolution limit.", level=1)
        d_max = Float(None, min=0, units="angstrom", help="Low resolution limit.", level=1)
        partiality_cutoff = Float(0.4, help="Least partiality.", level=1)
        min_isigi = Float(-5.0, help="Least I / sigma.", level=1)
        small_scale_cutoff = Float(0.001, help="Least scale factor.", level=3)

    class scaling_options(Params):
        """How scaling goes about it."""

        check_consistent_indexing = Bool(
            False,
            help="Where the lattice has more symmetry than the crystal, compare the data sets with the reference, or with each other, and "
            "reindex those that agree in another indexing.",
        )
        target_cycle = Bool(
            True,
            help="With data sets that were scaled before and others that were not: scale these against those first.",
            level=2,
        )
        only_target = Bool(
            False,
            help="Scale against the reference, or against the data sets that were scaled before, only: these stay as they are, and "
            "equivalents do not count.",
            level=2,
        )
        only_save_targeted = Bool(
            True,
            help="With only_target: save what is scaled now, without the data sets that were scaled before.",
            level=2,
        )
        reference = PathParam(
            None,
            help="Intensities to scale against: MTZ or mmCIF of reflections, or coordinates (PDB, mmCIF, small-molecule CIF), from which "
            "they are calculated. The data come to its scale, and how far it is to be trusted is found in shells of resolution.",
            level=1,
        )
        target_model = PathParam(None, help="As reference, for a file of coordinates.", level=2)
        target_mtz = PathParam(None, help="As reference, for a file of reflections.", level=2)

        class reference_model(Params):
            """Solvent of a macromolecule from whose coordinates intensities are calculated."""

            k_sol = Float(0.35, min=0, max=2, units="e/A^3", help="Density; 0 for none.", level=2)
            b_sol = Float(46.0, min=0, max=500, units="A^2", help="B factor of its edge.", level=2)

        nproc = Int(1, min=1, max=4096, unavailable="use mp.nproc", help="Number of workers.")
        use_free_set = Bool(False, help="Leave out a free set of reflections and report their RMSD.", level=2)
        free_set_percentage = Float(10.0, min=0.1, max=50.0, help="Size of the free set.", level=2)
        free_set_offset = Int(0, min=0, help="Which free set.", level=2)
        full_matrix = Bool(True, help="Errors of the scale factors from the full matrix.", level=2)
        outlier_rejection = Choice(
            ["standard", "simple"],
            default="standard",
            help="standard: one by one against the mean of the others. simple: all at once against the mean.",
            level=1,
        )
        outlier_zmax = Float(6.0, min=3, help="Normalised deviation of an outlier.", level=1)
        emax = Float(10.0, min=0, none=True, help="Largest normalised amplitude E; None keeps all.", level=2)

    class zero_dose(ImageDoses):
        """Extrapolation of each reflection to dose zero, against radiation damage that changes reflections differently."""

        extrapolate = Bool(
            False,
            help="Fit a line along the dose through the equivalents of each reflection and take its intensity where the crystal was fresh, if "
            "this predicts reflections better that did not tell how much they change; else it is left off.",
            level=1,
        )

    class image_outliers(Params):
        """Images whose intensities are off those of their neighbours."""

        reject = Bool(True, help="Leave out images on which the beam was lost or the crystal jumped.", level=1)
        max_deviation = Float(
            0.2,
            min=0.02,
            help="Relative deviation of the scale of an image from that of its neighbours, which is told of and, with reject, left out.",
            level=1,
        )

    class cross_validation(Params):
        """Cross validation of modelling choices."""

        cross_validation_mode = Choice(["multi", "single"], default=None, help="Kind of cross validation.", level=2)
        parameter = Str(None, help="Parameter to vary.", level=2)
        parameter_values = Strings(None, help="Its values.", level=2)
        nfolds = Int(1, min=1, max=1000, help="Number of free sets.", level=2)

    class scaling_refinery(Params):
        """Minimisation."""

        engine = Choice(
            ["SimpleLBFGS", "GaussNewton", "LevMar"],
            default="GaussNewton",
            help="Minimiser. GaussNewton converges in a few steps; LevMar damps them; SimpleLBFGS takes more, cheap "
            "steps.",
        )
        refinement_order = Choice(
            ["concurrent", "consecutive"],
            default="concurrent",
            help="All terms at once, or one after the other first.",
            level=2,
        )
        max_iterations = Int(None, min=1, max=1_000_000, help="Most steps; None is 20, and 200 for SimpleLBFGS.")
        rmsd_tolerance = Float(1e-4, min=1e-6, help="Relative change of the RMSD at which to stop.")
        full_matrix_engine = Choice(
            ["GaussNewton", "LevMar"], default="GaussNewton", help="Minimiser of the last round."
        )
        full_matrix_max_iterations = Int(None, min=1, max=1_000_000, help="Most steps of the last round; None is 20.")

    class filtering(Params):
        """Removal of bad data sets by CC1/2."""

        method = Choice(
            ["deltacchalf"], default=None, help="deltacchalf: remove what lowers CC1/2, scale again, and so on."
        )

        class deltacchalf(Params):
            """Removal of what lowers CC1/2."""

            max_cycles = Int(6, min=1, max=1000, help="Most cycles.")
            max_percent_removed = Float(10.0, help="Most that may be removed, percent.")
            min_completeness = Float(None, min=0, max=100, help="Least completeness, percent.")
            mode = Choice(["dataset", "image_group"], default="dataset", help="What is removed.")
            group_size = Int(10, min=1, help="Images of a group.")
            stdcutoff = Float(4.0, help="Limit in standard deviations below the mean.")

        class output(Params):
            """Output of the filter."""

            scale_and_filter_results = Str("scale_and_filter_results.json", help="Results of the filter.")

    class dataset_selection(Params):
        """Which data sets take part."""

        use_datasets = Ints(None, help="Only these experiments, counted from 0.", level=2)
        exclude_datasets = Ints(None, help="Not these experiments, counted from 0.", level=2)
