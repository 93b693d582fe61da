"""Parameters of `spindle stills_process`."""

from __future__ import annotations

from spindle.params import Bool, FolderParam, Int, Params, PathParam, ScopeOf, ShortName, Str

__all__ = ["StillsProcessParams"]

ONE_BY_ONE = "each image is opened by the task that needs it"
COMPOSITE = "there is one file for all images; spindle split_experiments makes files of their own"


class StillsProcessParams(Params):
    """From images to integrated stills."""

    space_group = ShortName("index.indexing.known_symmetry.space_group", help="Known space group of the crystals.")
    unit_cell = ShortName("index.indexing.known_symmetry.unit_cell", help="Known cell of the crystals.")
    d_min = ShortName(
        "find_spots.spotfinder.filter.d_min",
        "integrate.prediction.d_min",
        help="Highest resolution of all that is done.",
    )
    max_lattices = ShortName(
        "index.indexing.multiple_lattice_search.max_lattices", help="Most crystals that are looked for on an image."
    )
    reference_geometry = ShortName(
        "import.input.reference_geometry", help="Experiments whose beam and detector replace those of the headers."
    )
    wavelength = ShortName("import.geometry.beam.wavelength", help="Wavelength instead of that of the images.")
    mask = ShortName("import.lookup.mask", help="Mask file for all that is done.")

    class input(Params):
        """Which of the images."""

        max_images = Int(None, min=1, max=1_000_000, help="Process no more than the first so many images.")

    class dispatch(Params):
        """What is done."""

        pre_import = Bool(False, unavailable=ONE_BY_ONE, help="Read all headers before anything else.", level=2)
        process_percent = Int(
            None, min=1, max=100, help="Process so many percent of the images, evenly taken, for a first look."
        )
        refine = Bool(
            True,
            help="Refine beam and detector with the crystals of many images together, then every crystal with that geometry. False "
            "integrates with what index gives.",
        )
        geometry_crystals = Int(
            250,
            min=0,
            max=100_000,
            level=1,
            help="Crystals, those with the most spots, that beam and detector are refined with; 0 leaves the geometry as it is.",
        )
        squash_errors = Bool(True, level=2, help="Leave images that fail out and name them; False ends at the first.")
        find_spots = Bool(
            True, unavailable="without spots nothing follows; give indexed.expt and indexed.refl to go on from there", level=2,
            help="Find spots.",
        )  # fmt: skip
        index = Bool(True, level=2, help="Index; False ends with spots, in output.strong.")
        integrate = Bool(True, level=2, help="Integrate; False ends with indexed stills.")
        coset = Bool(
            False,
            level=2,
            unavailable="reflections between the lattice points are not predicted",
            help="Negative control.",
        )

        class hit_finder(Params):
            """Which images are looked at further."""

            enable = Bool(True, help="Leave out images with too few or too many spots.")
            minimum_number_of_reflections = Int(16, min=1, none=True, help="Fewest spots of an image that is indexed.")
            maximum_number_of_reflections = Int(
                None, min=1, max=1_000_000, none=True, help="Most spots of an image that is indexed."
            )

    resume = Bool(
        True,
        level=1,
        help="Take what an interrupted run with the same images, parameters and version has kept in output.parts; False begins anew.",
    )
    images_per_task = Int(10, min=1, max=10_000, level=2, help="Images that a worker is given at once.")

    import_ = ScopeOf("program", "import", deeper=1)
    find_spots = ScopeOf("program", "find_spots", deeper=1)
    index = ScopeOf("program", "index", deeper=1)
    refine = ScopeOf("program", "refine", deeper=1)
    integrate = ScopeOf("program", "integrate", deeper=1)

    class output(Params):
        """What is written, for all images together."""

        experiments = PathParam("integrated.expt", help="Integrated crystals.")
        reflections = PathParam("integrated.refl", help="Their reflections.")
        indexed = Str(
            "indexed",
            help="Name, without ending, of the files .expt and .refl of indexed crystals, with which a run can go on; empty for none.",
        )
        strong = PathParam(None, none=True, help="Spots of all images; not written by default.")
        json = PathParam("stills_process.json", none=True, help="What became of each image.")
        parts = FolderParam(
            "stills_process.parts",
            none=True,
            level=1,
            help="Folder that what is finished of a run is kept in until it ends, spots and lattices of some images in each part, then "
            "integrated crystals; also when the run is interrupted or killed. None keeps nothing.",
        )
        crystals_per_part = Int(
            200, min=1, max=1_000_000, level=2, help="Crystals that are integrated and kept together."
        )
        composite_output = Bool(True, unavailable=COMPOSITE, level=2, help="One file for all images.")
        log = PathParam("spindle.stills_process.log", none=True, help="Log file.")
