"""The parameter tree ``refinement.*``, shared by every program that refines."""

from __future__ import annotations

from spindle.params import Auto, Bool, Choice, Float, Floats, Int, Ints, Params, PathParam, Plugin, Str, Strings

__all__ = ["RefinementParams"]


class _Constraint(Params, multiple=True, level=2):
    """Parameters that several experiments share: one value (the mean of the starting values) for all of them."""

    id = Ints(None, min=0, help="Experiments whose models are tied; all of them when not given.")
    parameter = Str(
        None, none=True, help="Regular expression for the names of the parameters to tie, for example Phi1."
    )


class _Smoother(Params, level=1):
    """How quickly a model may vary with the scan."""

    interval_width_degrees = Float(
        36.0,
        min=0,
        none=True,
        auto=True,
        units="deg",
        help="Width between the samples of the smooth curve; Auto is 36 degrees.",
    )
    absolute_num_intervals = Int(None, min=1, max=10_000, help="Number of intervals, instead of a width.")


class _CrystalSmoother(_Smoother, level=1):
    """How quickly the model may vary with the scan."""

    interval_width_degrees = Float(
        Auto,
        min=0,
        none=True,
        auto=True,
        units="deg",
        help="Width between the samples of the smooth curve; Auto halves it from 36 degrees as long as the fit "
        "gains more than chance, and keeps cells in beams of electrons constant.",
    )


class _BeamSmoother(_Smoother, level=1):
    """How quickly the beam may vary with the scan."""

    interval_width_degrees = Float(
        Auto,
        min=0,
        none=True,
        auto=True,
        units="deg",
        help="Width between the samples of the smooth curve; Auto is 36 degrees, and for electrons the width that the fit "
        "gains most from.",
    )


_FIX_LIST = "Regular expressions; parameters whose name matches one of them are not refined, for example Tau1."
_FORCE_STATIC = "Keep this model constant in scan-varying refinement."


class RefinementParams(Params):
    """Refinement of the models against observed spot positions."""

    algorithm = Plugin("refiner", default="centroid", help="Which refiner does the work.", level=1)

    class mp(Params, level=2):
        """Parallel work."""

        nproc = Int(
            1,
            min=1,
            max=4096,
            none=True,
            help="Threads over which the sums of the normal equations are spread.",
            level=2,
        )

    class parameterisation(Params):
        """Which models are refined and how they are expressed by parameters."""

        class auto_reduction(Params, level=1):
            """What to do about parameters that too few reflections determine."""

            min_nref_per_parameter = Int(
                5, min=1, none=True, level=1, help="Fewest reflections that must depend on a parameter."
            )
            action = Choice(
                ["fail", "fix", "remove"],
                default="fail",
                level=1,
                help="fail: stop and name the parameters; fix: do not refine them; remove: also leave out the "
                "reflections that "
                "depend on them.",
            )

        scan_varying = Bool(
            Auto,
            auto=True,
            help="Let models vary smoothly with the scan. Auto: first constant, then varying when every experiment "
            "is a scan.",
        )
        compose_model_per = Choice(
            ["image", "block"],
            default="block",
            level=1,
            help="Evaluate varying models once per image or once per block of images.",
        )
        block_width = Float(
            1.0, min=0, none=True, level=1, units="deg", help="Width of the blocks of compose_model_per=block."
        )
        set_scan_varying_errors = Bool(
            False, help="Estimate the cell's errors at every image; takes longer and larger files."
        )
        trim_scan_to_observations = Bool(
            True, level=1, help="Shorten a scan to the images with spots before scan-varying refinement."
        )
        debug_centroid_analysis = Bool(False, level=2, help="Log the analysis of residuals over the scan.")

        class beam(Params):
            """The beam."""

            fix = Choice(
                ["all", "in_spindle_plane", "out_spindle_plane", "wavelength"],
                default=Auto,
                auto=True,
                multi=True,
                help="What of the beam is not refined; in_spindle_plane cannot be told from a rotation of "
                "everything else. Auto: in_spindle_plane and wavelength; of stills all while the detector is refined; of a "
                "beam of electrons that varies with the scan wavelength alone, and the position of the detector in its place.",
            )
            fix_list = Strings(None, none=True, level=1, help=_FIX_LIST)
            constraints = _Constraint
            force_static = Bool(
                Auto,
                auto=True,
                level=1,
                help=_FORCE_STATIC
                + " Auto: true for X-rays; a beam of electrons, which drifts, varies where the fit gains more "
                "than chance.",
            )
            smoother = _BeamSmoother

        class crystal(Params):
            """The crystals."""

            fix = Choice(
                ["all", "cell", "orientation"], default=None, none=True, help="What of the crystals is not refined."
            )

            class unit_cell(Params, level=1):
                """The cell, expressed by the independent elements of the reciprocal metric."""

                fix_list = Strings(None, none=True, level=1, help=_FIX_LIST)

                class restraints(Params, level=1):
                    """Ties that pull cells towards a value without fixing them."""

                    class tie_to_target(Params, multiple=True):
                        """Pull cells towards given values."""

                        values = Floats(
                            None, size=6, none=True, help="a, b, c in angstrom and alpha, beta, gamma in degrees."
                        )
                        sigmas = Floats(
                            None,
                            size=6,
                            min=0,
                            none=True,
                            help="Strength of the pull: its standard deviations; 0 is no pull.",
                        )
                        id = Ints(None, min=0, none=True, help="Experiments concerned; all when not given.")

                    class tie_to_group(Params, multiple=True):
                        """Pull the cells of several crystals towards each other."""

                        target = Choice(
                            ["mean", "low_memory_mean", "median"],
                            default="mean",
                            help="Pull towards the mean or the median of the group; low_memory_mean takes the mean "
                            "as constant "
                            "within a step.",
                        )
                        sigmas = Floats(
                            None,
                            size=6,
                            min=0,
                            none=True,
                            help="Strength of the pull: its standard deviations; 0 is no pull.",
                        )
                        id = Ints(None, min=0, none=True, help="Experiments concerned; all when not given.")

                constraints = _Constraint
                force_static = Bool(False, level=1, help=_FORCE_STATIC)
                smoother = _CrystalSmoother

            class orientation(Params, level=1):
                """The orientation, three rotations about the laboratory axes."""

                fix_list = Strings(None, none=True, level=1, help=_FIX_LIST)
                constraints = _Constraint
                force_static = Bool(False, level=1, help=_FORCE_STATIC)
                smoother = _CrystalSmoother

        class detector(Params):
            """The detector."""

            panels = Choice(
                ["automatic", "single", "multiple", "hierarchical", "modules"],
                default="automatic",
                level=1,
                help="Move one panel, all panels as one rigid body, or the rigid groups of the detector's tree; modules: the whole, and each "
                "panel but one in its own plane, shifted and turned. automatic: single for one panel, else hierarchical.",
            )
            hierarchy_level = Int(
                0, min=0, none=True, level=1, help="Level of the tree whose groups move; 0 is the whole detector."
            )
            fix = Choice(
                ["all", "position", "orientation", "distance"],
                default=Auto,
                auto=True,
                none=True,
                help="What of the detector is not refined; distance also fixes the two tilts that look like it. Auto: nothing "
                "for X-rays, of stills the turn about its normal, which crystals can do; for electrons the tilts, and the distance unless the cell is fixed or tied to a target.",
            )
            modules = Bool(
                Auto,
                auto=True,
                level=1,
                help="Learn from the residuals how far the modules of the detector are displaced and turned, and keep it as maps of distortion. "
                "Auto: when spots left out of the fit gain clearly and the displacements are 0.1 px or more.",
            )
            n_modules = Ints(
                None, size=2, none=True, min=1, max=99, level=1, help="Modules along fast, slow of panels without gaps."
            )
            fix_list = Strings(None, none=True, level=1, help=_FIX_LIST)
            constraints = _Constraint
            force_static = Bool(True, level=1, help=_FORCE_STATIC)
            smoother = _Smoother

        class goniometer(Params):
            """The goniometer's setting rotation."""

            fix = Choice(
                ["all", "in_beam_plane", "out_beam_plane"],
                default=("all",),
                multi=True,
                none=True,
                help="What of the goniometer is not refined.",
            )
            fix_list = Strings(None, none=True, level=1, help=_FIX_LIST)
            constraints = _Constraint
            force_static = Bool(True, level=1, help=_FORCE_STATIC)
            smoother = _Smoother

        sparse = Bool(
            Auto, auto=True, level=1, help="Solve with sparse matrices; Auto: when there are very many parameters."
        )
        treat_single_image_as_still = Bool(False, level=1, help="Take a scan of one image for a still.")
        spherical_relp_model = Bool(
            False,
            level=1,
            help="Stills: move reciprocal lattice points along s0 + q to the sphere instead of rotating them.",
        )

    class refinery(Params, level=1):
        """The minimiser."""

        engine = Choice(
            ["SimpleLBFGS", "LBFGScurvs", "GaussNewton", "LevMar", "SparseLevMar"],
            default="LevMar",
            level=1,
            help="Minimiser; the BFGS engines need gradients only, the others solve the normal equations.",
        )
        max_iterations = Int(
            None, min=1, max=1_000_000, level=1, help="Most steps; 20 for GaussNewton, 100 otherwise, when not given."
        )
        log = PathParam(None, output=True, level=1, help="File that gets one JSON line per step.")

        class journal(Params, level=1):
            """What else to keep of every step, in the history file."""

            track_step = Bool(False, level=1, help="The shift of each parameter.")
            track_gradient = Bool(False, level=1, help="The gradient.")
            track_parameter_correlation = Bool(False, level=1, help="Correlations between parameters.")
            track_jacobian_structure = Bool(False, level=1, help="Number of reflections that depend on each parameter.")
            track_condition_number = Bool(False, level=1, help="Condition number of the normal matrix.")
            track_normal_matrix = Bool(False, level=1, help="The normal matrix.")
            track_out_of_sample_rmsd = Bool(False, level=1, help="RMSDs of reflections left out of the working set.")

    class target(Params, level=1):
        """When the result is good enough."""

        rmsd_cutoff = Choice(
            ["fraction_of_bin_size", "absolute"],
            default="fraction_of_bin_size",
            level=1,
            help="Stop when all RMSDs are below a fraction of pixel and image, or below absolute values.",
        )
        bin_size_fraction = Float(
            0.0, min=0, none=True, level=1, help="That fraction; 0 refines until nothing improves."
        )
        absolute_cutoffs = Floats(None, size=3, min=0, none=True, level=1, help="RMSDs in mm, mm and radians.")
        gradient_calculation_blocksize = Int(
            None, min=1, level=1, help="Reflections per task when the sums are spread over threads; 20000 if not given."
        )

    class reflections(Params):
        """Which reflections take part, and with which weights."""

        reflections_per_degree = Float(
            Auto,
            min=0,
            max=1e9,
            none=True,
            auto=True,
            level=1,
            help="Size of the working set; None takes all, Auto all up to one full turn and 100 per degree beyond.",
        )
        minimum_sample_size = Int(1000, none=True, level=1, help="Smallest working set per experiment.")
        maximum_sample_size = Int(None, min=1, level=1, help="Largest working set per experiment.")
        random_seed = Int(42, none=True, level=1, help="Seed of the random choice of the working set.")
        close_to_spindle_cutoff = Float(
            0.02,
            min=0,
            none=True,
            level=1,
            help="Leave out reflections with |(s1 x s0) . axis| (1/angstrom^2) below this.",
        )
        scan_margin = Float(
            Auto,
            min=0,
            max=5,
            none=True,
            auto=True,
            level=1,
            units="deg",
            help="Leave out reflections this close to the middle of the first and last image. Auto: leave out the angles of those whose "
            "rocking curves an end of the searched images cuts.",
        )

        class weighting_strategy(Params, level=1):
            """Weights of the residuals."""

            override = Choice(
                ["statistical", "stills", "constant", "external_deltapsi"],
                default=None,
                none=True,
                level=1,
                help="None: learned from the residuals of scans (spots are graded by their variances), not while candidates are compared; "
                "statistical: 1/variance; stills: that in x, y and delpsi_constant; constant: constants; "
                "external_deltapsi: from the column delpsical.weights.",
            )
            delpsi_constant = Float(1000000, min=0, none=True, level=1, help="Weight of delta-psi for stills.")
            constants = Floats(
                (1.0, 1.0, 1.0), size=3, min=0, level=1, help="Constant weights of x, y (mm) and angle (radians)."
            )

        class outlier(Params):
            """Rejection of outliers by their residuals."""

            algorithm = Plugin(
                "outlier",
                default=Auto,
                auto=True,
                none=True,
                in_scope_if_auto=("mcd", "tukey", "sauter_poon"),
                help="How outliers are told. Auto: mcd for scans, of residuals divided by their standard deviations where weights are learned; "
                "sauter_poon for stills.",
            )
            nproc = Int(
                Auto,
                min=1,
                max=4096,
                auto=True,
                none=True,
                level=1,
                help="Threads over which the groups of reflections are spread.",
            )
            minimum_number_of_reflections = Int(
                20, min=0, none=True, level=1, help="Groups with fewer reflections are rejected as a whole."
            )
            separate_experiments = Bool(True, level=1, help="Look at each experiment by itself.")
            separate_panels = Bool(False, level=1, help="Look at each panel by itself.")
            separate_blocks = Bool(True, level=1, help="Look at each block of a scan by itself.")
            block_width = Float(
                Auto,
                min=1,
                auto=True,
                none=True,
                level=1,
                units="deg",
                help="Width of the blocks; Auto: 18 degrees, or wider where spots are few.",
            )
            separate_images = Bool(False, level=2, help="Look at each image by itself.")
