"""Parameters of `spindle import`."""

from __future__ import annotations

from spindle.params import Auto, Bool, Choice, Float, Floats, Int, Ints, Params, PathParam, Plugin, Str
from spindle_lib_importing.params import Tolerances


class BeamOverrides(Params):
    """Replace what the headers say of the beam."""

    wavelength = Float(None, min=1e-6, units="A", help="Wavelength; also mends headers that give none.")
    direction = Floats(None, size=3, help="From the sample towards the source.")
    polarization_normal = Floats(None, size=3, help="Normal of the polarisation plane.")
    polarization_fraction = Float(None, min=0, max=1, help="1 is fully polarised, 0.5 unpolarised.")
    transmission = Float(None, help="Transmission of the attenuator.")
    flux = Float(None, units="photons/s", help="Flux.")
    probe = Choice(
        ["x-ray", "electron", "neutron"],
        default=None,
        none=True,
        help="What the beam is made of; None is what the header says, and electrons below 0.06 A. Electrons and neutrons "
        "are not polarised and stop at the surface of the sensor.",
    )


class DetectorOverrides(Params):
    """Replace what the headers say of the detector."""

    class panel(Params, multiple=True):
        """One panel; give the scope once per panel."""

        id = Int(
            None,
            min=0,
            help="Which panel, counted from 0; without it all panels, which may be given no place, size or name then.",
        )
        name = Str(None, help="Name.")
        type = Str(None, help="SENSOR_PAD, SENSOR_CCD, SENSOR_IMAGE_PLATE or SENSOR_UNKNOWN.")
        gain = Float(None, min=0, help="Counts per photon.")
        pedestal = Float(None, units="counts", help="Counts without any photon.")
        pixel_size = Floats(None, size=2, units="mm", help="Fast and slow size of a pixel.")
        image_size = Ints(None, max=1_000_000, size=2, units="px", help="Fast and slow number of pixels.")
        trusted_range = Floats(None, size=2, units="counts", help="Smallest and largest raw value that is trusted.")
        thickness = Float(None, min=0, units="mm", help="Thickness of the sensor.")
        material = Str(None, help="Material of the sensor: Si, CdTe or GaAs.")
        fast_axis = Floats(None, size=3, help="Direction of fast pixels.")
        slow_axis = Floats(None, size=3, help="Direction of slow pixels.")
        origin = Floats(None, size=3, units="mm", help="Position of the outer corner of the first pixel.")
        parallax_correction = Bool(None, none=True, help="False switches the correction for depth in the sensor off.")

    class hierarchy(Params, level=2):
        """Frames of the tree of panels. Frames are local to the parent; panels keep their local frames."""

        name = Str(None, help="Name of the root.")
        fast_axis = Floats(None, size=3, help="x axis of the root.")
        slow_axis = Floats(None, size=3, help="y axis of the root.")
        origin = Floats(None, size=3, units="mm", help="Origin of the root.")

        class group(Params, multiple=True):
            """A group of panels; give the scope once per group."""

            id = Ints(None, help="Place in the tree, such as 0 or 0,1.")
            name = Str(None, help="Name.")
            fast_axis = Floats(None, size=3, help="x axis.")
            slow_axis = Floats(None, size=3, help="y axis.")
            origin = Floats(None, size=3, units="mm", help="Origin.")
            panel = Int(None, multiple=True, min=0, help="A panel of the group; may be given several times.")

    mosflm_beam_centre = Floats(
        None, size=2, units="mm", help="Beam centre in the convention of mosflm: slow, then fast, from the first pixel."
    )
    distance = Float(
        None, min=1, max=1e6, units="mm", help="Distance along the detector normal; also mends headers that give none."
    )
    fast_slow_beam_centre = Floats(
        None,
        size_min=2,
        units="px",
        help="Beam centre, fast then slow, on a panel (third number; the one that it hits by default).",
    )
    slow_fast_beam_centre = Floats(
        None, size_min=2, units="px", help="Beam centre, slow then fast, and optionally the panel."
    )


class GoniometerOverrides(Params):
    """Replace what the headers say of the goniometer."""

    axis = Floats(None, size=3, help="Rotation axis of a single-axis goniometer.")
    axes = Floats(None, help="All axes from crystal to base, three numbers each.")
    angles = Floats(None, units="deg", help="Their angles.")
    names = Str(None, help="Their names, separated by commas.")
    scan_axis = Int(None, min=0, help="Which axis is scanned, counted from 0 at the crystal.")
    fixed_rotation = Floats(None, size=9, help="Rotation between crystal and scan axis, row by row.")
    setting_rotation = Floats(None, size=9, help="Rotation between scan axis and laboratory, row by row.")
    invert_rotation_axis = Bool(False, help="Turn the rotation axis round.")


class ScanOverrides(Params):
    """Replace what the headers say of the scan."""

    image_range = Ints(None, size=2, help="First and last image number to import.")
    extrapolate_scan = Bool(False, help="Let image_range reach beyond the images that exist.")
    oscillation = Floats(
        None,
        size=2,
        units="deg",
        help="Start angle of the first image and width of each; joins images that are numbered in a row.",
    )
    batch_offset = Int(None, min=0, help="Offset of batch numbers.")


class ImportParams(Params):
    """Make an experiment list from images."""

    identifier_type = Choice(
        ["uuid", "timestamp", "None"],
        default="uuid",
        help="How experiments are named: by a hash of their images and models (equal inputs, equal names), by time of collection, not at all.",
    )

    class output(Params):
        """What is written."""

        experiments = Str("imported.expt", help="Experiment list.")
        reflections = Str("imported.refl", help="Reflections, of files of another program that hold them.")
        log = Str("spindle.import.log", none=True, help="Log.")
        compact = Bool(False, help="Write the experiment list without line breaks.")

    class input(Params):
        """What is read."""

        ignore_unhandled = Bool(True, help="Leave out files that are no images; otherwise they are an error.")
        template = Str(
            None, multiple=True, help="Images by template, # for each digit of the number: t_####.cbf, t_####.cbf:1:90."
        )
        directory = Str(None, multiple=True, help="Folder with images.")
        reference_geometry = PathParam(None, help="Experiment list whose geometry replaces that of the headers.")
        check_reference_geometry = Bool(True, level=2, help="Refuse a reference whose detector has other panels.")
        use_beam_reference = Bool(True, level=2, help="Take the beam of the reference.")
        use_gonio_reference = Bool(True, level=2, help="Take the goniometer of the reference.")
        use_detector_reference = Bool(True, level=2, help="Take the detector of the reference.")
        allow_multiple_sequences = Bool(True, help="Accept several sweeps; otherwise they are an error.")
        as_grid_scan = Bool(False, help="Take the images for a grid scan, one crystal position each.")
        grid_size = Ints(None, max=1_000_000, size=2, min=1, help="Fast and slow number of grid positions.")

        class tolerance(Tolerances, level=2):
            """How much the models of two images may differ and still be the same model."""

    class importer(Params, level=1):
        """How files of other programs are read."""

        name = Plugin(
            "importer",
            default=None,
            none=True,
            help="Read all files with this importer, instead of asking each whether the files are results of a program.",
        )

    class format(Params, level=1):
        """How files are read."""

        name = Plugin(
            "format", default=None, help="Read all files with this format instead of asking each (format=cbf)."
        )
        dynamic_shadowing = Bool(
            Auto,
            auto=True,
            level=2,
            help="Leave out pixels that parts of the goniometer shadow while the crystal turns: Auto where a known goniometer stands before "
            "a detector that is known to have it, True where its axes have the names of a known one.",
        )
        shadow = PathParam(
            None,
            level=2,
            help="TOML file with shapes of the goniometer that shadow the detector, in place of the known ones (not in DIALS).",
        )
        multi_panel = Bool(False, level=2, help="One panel per detector module.")
        growing = Bool(
            False,
            level=2,
            help="The series is still being written: data files of its end need not be there yet (not in DIALS).",
        )
        verify_checksum = Bool(
            Auto,
            auto=True,
            help="Compare checksums that files carry with their pixels: Auto whenever an image is read, here and in later "
            "programs; True reads every image at once, to find damaged ones now (of an experiment list: switches it on "
            "again); False never.",
        )

    class geometry(Params):
        """Replace or complete what the headers say."""

        parallax = Choice(
            ["normalised", "dials", "none"],
            default=Auto,
            help="Mean depth in the sensor where spots are taken to arise: of the photons that it stops (normalised), "
            "of all photons (dials), or no correction (none). Auto is normalised for images, and leaves experiment "
            "lists and reference geometries as they are.",
        )

        class beam(BeamOverrides, level=1):
            """Replace what the headers say of the beam."""

        class detector(DetectorOverrides, level=1):
            """Replace what the headers say of the detector."""

        class goniometer(GoniometerOverrides, level=1):
            """Replace what the headers say of the goniometer."""

        class scan(ScanOverrides, level=1):
            """Replace what the headers say of the scan."""

        convert_stills_to_sequences = Bool(
            False, level=2, help="Join stills that are numbered in a row into one sequence."
        )
        convert_sequences_to_stills = Bool(
            False, level=2, help="Make a still, without goniometer and scan, of each image."
        )

    class lookup(Params):
        """Corrections that hold for every image: files with an array for each panel (.npz or .h5)."""

        mask = Str(None, help="True and False for each pixel; True is good.")
        gain = Str(
            None, help="Counts per photon of each pixel, in place of the panel's gain; a number is that of all panels."
        )
        pedestal = Str(None, help="Pedestal of each pixel, in place of the panel's; a number is that of all panels.")
        dx = Str(None, help="Shifts along fast: a ray is seen so far from where it meets the panel.")
        dy = Str(None, help="Shifts along slow.")
