"""The parameters of ``spindle index``."""

from __future__ import annotations

from spindle.params import (
    Auto,
    Bool,
    Choice,
    Float,
    Floats,
    Int,
    Ints,
    Multiprocessing,
    Params,
    PathParam,
    Plugin,
    SpaceGroup,
    Str,
    UnitCell,
)
from spindle_lib_refinement.indexing_params import IndexingRefinementParams
from spindle_lib_spots.params import MaxCellParams

_BEAM_POSITION = "the beam position is searched by search_beam_position, not by index"


class IndexingParams(Params):
    """The search for the lattice."""

    nproc = Int(
        Auto, max=4096, auto=True, min=1, none=True, help="Threads that try candidate cells; Auto takes mp.nproc."
    )
    most_spots = Int(
        2**17, min=1000, none=True, level=1,
        help="Lattices are looked for and refined with about so many spots where there are more (of scans); all spots get an index "
        "afterwards. None takes all.",
    )  # fmt: skip
    mm_search_scope = Float(
        4.0, min=0, none=True, unavailable=_BEAM_POSITION, help="Half width of a search for the beam position."
    )
    wide_search_binning = Float(
        2, min=0, none=True, unavailable=_BEAM_POSITION, help="Step of a search for the beam position."
    )
    min_cell_volume = Float(25, min=0, none=True, level=1, units="A^3", help="Smaller cells are not considered.")
    min_cell = Float(3, min=0, none=True, level=1, units="A", help="Shorter lattice vectors are not considered.")
    max_cell = Float(
        Auto, min=0, max=5000, none=True, auto=True, level=1, units="A",
        help="Longest edge of a primitive cell to be expected. Auto: from the known cell, or from distances "
        "between spots.",
    )  # fmt: skip

    class max_cell_estimation(MaxCellParams, level=1):
        """How max_cell is estimated from neighbouring spots."""

    sigma_phi_deg = Float(
        None,
        min=0,
        none=True,
        level=2,
        units="deg",
        help="Standard deviation of all rotation angles, instead of the measured ones.",
    )

    class known_symmetry(Params):
        """What is known about the crystal."""

        space_group = SpaceGroup(None, none=True, help="Space group; the lattice found gets its symmetry.")
        unit_cell = UnitCell(None, none=True, help="Unit cell, a b c in angstrom and angles in degrees.")
        relative_length_tolerance = Float(0.1, level=1, min=0, help="Tolerance on edges, as a fraction.")
        absolute_angle_tolerance = Float(5, level=1, min=0, units="deg", help="Tolerance on angles.")
        max_delta = Float(5, min=0, level=1, units="deg", help="Le Page tolerance of the lattice symmetry.")

    class index_assignment(Params):
        """How spots get their indices."""

        method = Choice(
            ["simple", "local"], default="simple", level=1,
            help="simple: the nearest lattice point; local: from index differences of neighbours, for lattices "
            "that drift.",
        )  # fmt: skip

        class simple(Params):
            """The nearest lattice point."""

            hkl_tolerance = Float(0.3, min=0, max=0.5, help="Largest distance from it, in indices.")

        class local(Params, level=1):
            """Index differences along a tree of neighbours (Kabsch 2010)."""

            epsilon = Float(
                0.05, level=1, help="Deviation of an index difference from a whole number that costs nothing."
            )
            delta = Int(8, level=1, help="Largest index difference that costs nothing.")
            l_min = Float(0.8, level=1, help="Edges of the tree with a larger penalty are cut.")
            nearest_neighbours = Int(20, min=1, max=1000, level=1, help="Neighbours of each spot.")

    class check_misindexing(Params):
        """Whether all indices are off by the same small amount, as with a beam centre that is wrong by rows of spots."""

        grid_search_scope = Int(
            0, min=0, max=5, none=True,
            help="Largest offset of h, k and l that is tried. 0: offsets of 1, unless diagnosis.test_geometry=False.",
        )  # fmt: skip

    debug = Bool(False, level=1, help="Say more.")
    combine_scans = Bool(
        False, level=1,
        help="Give sweeps with equal scans one scan: images that several detectors took in the same rotation, whose models then vary alike.",
    )  # fmt: skip

    class refinement_protocol(Params):
        """Refinement at rising resolution."""

        mode = Choice(
            ["refine_shells", "repredict_only"], default="refine_shells", none=True, level=1,
            help="refine_shells refines in every macro-cycle; repredict_only and None index once and do not refine.",
        )  # fmt: skip
        n_macro_cycles = Int(5, min=1, max=1000, help="Most rounds of indexing and refinement.")
        d_min_step = Float(
            Auto,
            min=0,
            none=True,
            auto=True,
            units="A",
            help="Resolution gained per round; Auto: evenly up to that of the spots.",
        )
        d_min_start = Float(None, min=0, none=True, units="A", help="Resolution limit of the first round.")
        d_min_final = Float(None, min=0, none=True, units="A", help="Resolution limit of the last round.")
        disable_unit_cell_volume_sanity_check = Bool(
            False, level=1, help="Accept a refinement that changes the volume of the cell by more than half."
        )

    class multiple_lattice_search(Params, level=1):
        """Several lattices."""

        recycle_unindexed_reflections_cutoff = Float(
            0.1, min=0, max=1, none=True, level=1, help="Stop when less than this fraction of the spots is left."
        )
        minimum_angular_separation = Float(
            5, min=0, none=True, level=1, units="deg", help="Smallest angle between two lattices."
        )
        max_lattices = Int(
            1, min=1, max=1000, auto=True, level=1,
            help="Most lattices to look for. Auto: as long as there are some that convince.",
        )  # fmt: skip

        class cluster_analysis(
            Params,
            unavailable="clustering of candidates is not implemented (nor used by dials.index); use max_lattices=",
        ):
            """Clustering of candidates."""

            method = Choice(["dbscan", "hcluster"], default="dbscan", help="Algorithm.")

            class hcluster(Params):
                """Hierarchical clustering."""

                class linkage(Params):
                    """Linkage."""

                    method = Choice(["ward"], default="ward", help="Algorithm.")
                    metric = Choice(["euclidean"], default="euclidean", help="Distance.")

                cutoff = Float(15, min=0, none=True, help="Where the tree is cut.")
                cutoff_criterion = Choice(["distance", "inconsistent"], default="distance", help="What is cut at.")

            class dbscan(Params):
                """Density-based clustering."""

                eps = Float(0.05, min=0, none=True, help="Radius of a neighbourhood.")
                min_samples = Int(30, min=1, none=True, help="Fewest candidates of a neighbourhood.")

            min_cluster_size = Int(20, min=0, none=True, help="Fewest candidates of a cluster.")
            intersection_union_ratio_cutoff = Float(
                0.4, min=0, max=1, none=True, help="Share of spots that two clusters may have in common."
            )

    class stills(Params, level=1):
        """Stills."""

        indexer = Choice(
            ["Auto", "stills", "sequences"], default="Auto", level=1,
            help="stills fits a model of mosaicity and leaves out spots beyond it; sequences treats stills like rotation images without "
            "rotation; Auto is stills for stills.",
        )  # fmt: skip
        ewald_proximity_resolution_cutoff = Float(
            2.0, min=0.1, units="A", help="Resolution to which the volume is counted whose points diffract."
        )
        refine_all_candidates = Bool(True, help="Refine every candidate before they are ranked.")
        candidate_outlier_rejection = Bool(True, level=1, help="Reject outliers when candidates of stills are refined.")
        refine_candidates_with_known_symmetry = Bool(
            False, level=2, help="Refine candidates of stills with the known symmetry, not as triclinic."
        )
        rmsd_min_px = Float(2, min=0, units="px", help="A lattice whose predictions miss the spots by more is none.")
        ewald_proximal_volume_max = Float(
            0.0025, min=0, units="A^-3",
            help="A lattice whose mosaicity is so large that the points of more reciprocal space diffract is none; not asked of electrons.",
        )  # fmt: skip

        class isoforms(Params, multiple=True):
            """Known cells of which the crystal has one: the cell stays as given, that with the smallest rmsd is chosen."""

            name = Str(None, none=True, help="Name; it is written with the crystal.")
            cell = UnitCell(None, none=True, help="Unit cell.")
            lookup_symbol = Str(None, none=True, help="Symbol of the space group; that of the crystal when not given.")
            rmsd_target_mm = Float(None, none=True, min=0, units="mm", help="Largest rmsd with which it is believed.")
            beam_restraint = Floats(
                None, size=2, none=True,
                help="Place of the beam in the laboratory, x and y in mm: within rmsd_target_mm of it, or the still is not believed.",
            )  # fmt: skip

        set_domain_size_ang_value = Float(
            None, none=True, min=1, units="A", help="Size of the domains to be written instead of the fitted one."
        )
        set_mosaic_half_deg_value = Float(
            None, none=True, min=0, units="deg", help="Half mosaicity to be written instead of the fitted one."
        )

    class basis_vector_combinations(Params, level=1):
        """Candidate cells from lattice vectors, and their ranking."""

        max_combinations = Int(None, min=1, none=True, level=1, help="Most triples of vectors to try.")
        max_refine = Int(
            Auto, min=1, max=100_000, auto=True, none=True, level=1, help="Most candidates to refine; Auto: 50."
        )
        sys_absent_threshold = Float(
            0.9,
            min=0,
            max=1,
            none=True,
            level=1,
            help="Fraction of spots that must miss certain indices for a cell to be too large. None keeps each cell as it was found, also "
            "where satellites or harmonics of the beam speak for another.",
        )
        solution_scorer = Choice(["filter", "weighted"], default="weighted", level=1, help="How candidates are ranked.")

        class filter(Params, level=1):
            """Candidates must pass one test after another."""

            check_doubled_cell = Bool(True, level=1, help="Drop cells with doubled edges that explain no more.")
            likelihood_cutoff = Float(0.8, min=0, max=1, level=1, help="Smallest 1 - rmsd (mm), relative to the best.")
            volume_cutoff = Float(1.25, min=1, level=1, help="Largest volume, relative to the smallest.")
            n_indexed_cutoff = Float(0.9, min=0, max=1, level=1, help="Fewest indexed spots, relative to the most.")

        class weighted(Params, level=1):
            """Candidates are ranked by a sum of logarithms."""

            power = Int(1, min=1, max=100, level=1, help="Power of each term.")
            volume_weight = Float(1, min=0, level=1, help="Weight of a small volume.")
            n_indexed_weight = Float(1, min=0, level=1, help="Weight of many indexed spots.")
            rmsd_weight = Float(1, min=0, level=1, help="Weight of a small rmsd.")

    method = Plugin(
        "indexing", default=Auto, auto=True, in_scope_if_auto=("fft3d", "fft1d"),
        help="How lattice vectors are found. Auto: fft3d, and others where its lattice does not convince "
        "(diagnosis.try_other_methods).",
    )  # fmt: skip
    optimise_initial_basis_vectors = Bool(False, level=2, help="Improve the vectors before they are combined.")
    image_range = Ints(None, size=2, multiple=True, none=True, help="Use only spots of these images (first, last).")
    joint_indexing = Bool(
        Auto,
        auto=True,
        help="True: all with one crystal; False: each sweep and still by itself; Auto: all rotation sweeps with one crystal, each "
        "still by itself.",
    )


class IndexParams(Params):
    """Parameters of spindle index."""

    class mp(Multiprocessing):
        """Where the work is done."""

    indexing = IndexingParams

    refinement = IndexingRefinementParams

    class diagnosis(Params, level=1):
        """What is done when few spots can be indexed."""

        warn_below = Float(0.5, min=0, max=1, level=1, help="Warn when a smaller fraction of the spots is indexed.")
        look_below = Float(
            0.8, min=0, max=1, level=1,
            help="Look for one more lattice than max_lattices, to tell of it, when a smaller fraction of the spots is indexed.",
        )  # fmt: skip
        test_geometry = Bool(
            True,
            level=1,
            help="When few spots are indexed, test whether another rotation axis would index far more of them.",
        )

        try_other_methods = Bool(
            True,
            level=1,
            help="When no lattice convinces, try other values of indexing.method and max_cell, of those that are not given: the "
            "known cell, a shorter and a longer max_cell, fft1d. When few spots are indexed (look_below), try a longer max_cell.",
        )
        accept_doubtful = Bool(False, level=1, help="Write a lattice that does not convince, instead of an error.")

    class output(Params):
        """Files."""

        experiments = PathParam("indexed.expt", help="Models with crystals.")
        reflections = PathParam("indexed.refl", help="All spots, those without index too.")
        log = PathParam("spindle.index.log", none=True, help="Log file.")
