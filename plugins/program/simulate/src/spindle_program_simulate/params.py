"""Parameters of `spindle simulate`."""

from __future__ import annotations

from spindle.params import Auto, Bool, Choice, Float, Floats, Int, Ints, PathParam, SpaceGroup, Str, Strings, UnitCell
from spindle.params import Params as ParamsBase

from .instrument_params import DetectorParams, GoniometerParams

__all__ = ["SimulateParams"]


class SimulateParams(ParamsBase):
    """What is simulated; the defaults make a small set that processes in well under a minute."""

    class crystal(ParamsBase):
        """The crystal."""

        unit_cell = UnitCell(
            Auto,
            auto=True,
            units="A, deg",
            help="Cell; Auto is that of the structure's file, or that of tetragonal lysozyme.",
        )
        space_group = SpaceGroup(Auto, auto=True, help="Space group; Auto as for the cell (lysozyme: P 43 21 2).")
        orientation = Floats(
            Auto,
            size=3,
            units="deg",
            help="Rotation vector from the standard orientation (a along x); Auto draws one at random.",
            auto=True,
        )
        mosaic_spread = Float(
            0.12, min=0, max=5, units="deg", help="Standard deviation of the rotation of mosaic blocks about any axis."
        )
        size = Floats(
            (0.2, 0.14, 0.26), size=3, units="mm", help="Full axes of the ellipsoid that the crystal is.", level=1
        )
        absorption = Float(0.35, min=0, units="1/mm", help="Absorption coefficient of the crystal.", level=1)
        drift = Float(0.01, min=0, units="deg", help="Slow rms change of orientation during a sweep.", level=1)
        expansion = Float(
            0.0, units="fraction", help="Relative growth of the cell edges until the end of a sweep.", level=1
        )
        decay = Float(1.0, min=0, units="A^2", help="Growth of the B factor until the end of a sweep.", level=1)
        lattices = Int(
            1, min=1, max=8, help="Number of crystals in the beam, each with an orientation of its own.", level=1
        )
        weaker = Float(0.6, min=0, max=1, help="Volume of each further crystal relative to the one before.", level=2)
        one_per_sweep = Bool(False, help="Each sweep is of another crystal, with an orientation of its own.", level=1)

    class structure(ParamsBase):
        """Where the intensities come from: a file, or a random structure with Wilson's statistics."""

        coordinates = PathParam(
            None, help="PDB or mmCIF file; its cell and space group are taken unless they are given.", none=True
        )
        intensities = PathParam(
            None,
            help="MTZ (I or F columns) or text file of h k l I; its cell and space group are taken from an MTZ.",
            none=True,
        )
        b_factor = Float(
            Auto,
            auto=True,
            units="A^2",
            help="Mean intensities of a random structure fall by exp(-B / (2 d^2)), scattering of atoms included (Auto: 22; its Wilson "
            "B, printed and in truth.json, is less, since a Wilson plot divides by that scattering). For a file, B added to its "
            "own (Auto: 0).",
        )
        anomalous = Float(
            0.0,
            min=0,
            max=0.5,
            units="fraction",
            help="Rms relative difference of Friedel mates of a random structure.",
            level=1,
        )
        twin_fraction = Float(
            0.0,
            min=0,
            max=0.5,
            units="fraction",
            help="Part of the crystal whose lattice coincides with that of the rest after twin_law: each intensity becomes the mean, "
            "with this weight, of its own and its twin mate's.",
            level=1,
        )
        twin_law = Str(
            "k,h,-l",
            help="Twin law as indices, a symmetry of the lattice that the crystal lacks (such as h,-k,-l).",
            level=1,
        )
        d_min = Float(
            Auto, min=0.3, units="A", auto=True, help="Resolution limit; Auto is that of the corner of the detector."
        )
        mean_counts = Float(
            250.0,
            min=0,
            help="Mean number of photons of a full reflection, over all reflections of the scan; of stills, of those within two standard "
            "deviations of the rocking curve, parts as they are.",
        )

    class beam(ParamsBase):
        """The beam."""

        wavelength = Floats((1.0,), units="A", help="Wavelength: one number, or one for each sweep.")
        probe = Choice(
            ["x-ray", "electron", "neutron"],
            default=Auto,
            help="What the beam is of. Electrons and neutrons are neither polarised nor lost in the sensor, which stops "
            "them at its surface. Auto: electrons below 0.06 A, X-rays above.",
        )
        bandpass = Float(
            2e-4, min=0, max=0.05, units="fraction", help="Relative standard deviation of the wavelength.", level=1
        )
        divergence = Float(
            0.03, min=0, max=2, units="deg", help="Standard deviation of the direction, both ways.", level=1
        )
        size = Float(
            0.045,
            min=0,
            max=2,
            units="mm",
            help="Standard deviation of the illuminated volume across any ray.",
            level=1,
        )
        polarization_fraction = Float(
            0.999, min=0, max=1, help="Fraction in the horizontal plane; 0.5 is unpolarised.", level=1
        )
        drift = Float(
            0.0,
            min=0,
            max=1000,
            units="px",
            help="Slow rms movement of the whole pattern on the detector during a sweep, along fast and along slow each, "
            "as lenses of an electron microscope make it.",
            level=1,
        )
        jitter = Float(
            0.01, min=0, max=0.5, units="fraction", help="Rms change of the intensity from image to image.", level=1
        )
        wobble = Float(
            0.06, min=0, max=0.9, units="fraction", help="Slow change of the intensity over a sweep.", level=1
        )

        lost = Strings(
            (),
            help="Images without the whole beam and what is left of it there, e.g. 40:0 60-65:0.08; in every sweep.",
            level=1,
        )

    class support(ParamsBase):
        """What carries the crystal and takes photons away. Nothing where thicknesses are 0."""

        class tape(ParamsBase):
            """A tape along the beam, beside the crystal, as that of Fuller et al. (2017); it stands still."""

            thickness = Float(0.0, min=0, max=10, units="mm", help="Thickness; 0 for no tape.", level=1)
            height = Float(0.02, min=0, max=100, units="mm", help="From the crystal to the tape.", level=1)
            angle = Float(1.15, units="deg", help="Turn about the beam; at 0 the tape is on the side of +x.", level=1)
            half_width = Float(1.5875, min=0, max=1000, units="mm", help="From the crystal to its edge.", level=1)
            attenuation = Float(Auto, auto=True, min=0, units="1/mm", help="Auto: that of Kapton.", level=2)

        class anvils(ParamsBase):
            """The two anvils of a pressure cell, which turn with the crystal."""

            thickness = Float(0.0, min=0, max=100, units="mm", help="Thickness of each; 0 for no anvils.", level=1)
            normal = Floats((0.0, 0.0, 1.0), size=3, help="Normal with all axes of the goniometer at 0.", level=1)
            density = Float(3510.0, min=1, units="kg/m^3", help="Density of the carbon they are made of.", level=2)
            attenuation = Float(Auto, auto=True, min=0, units="1/mm", help="Auto: that of carbon.", level=2)

    class scan(ParamsBase):
        """The rotation about the scan axis. Where several numbers are given there is a sweep for each.

        All lists of settings, also those of the goniometer, wavelengths and two_theta, have one number for all sweeps
        or one for each.
        """

        n_images = Ints((90,), max=100_000, help="Images of each sweep.")
        oscillation = Floats((1.0,), units="deg", help="Rotation during an image; negative turns backwards.")
        start = Floats(
            (0.0,), units="deg", help="Angle at the start; several numbers make several sweeps of the same crystal."
        )
        stills = Bool(
            False,
            help="Each image is a still: of crystals of its own (as many as crystal.lattices), at rest in random orientations; "
            "crystal.orientation is that of the first. Oscillation and rotation play no part.",
        )
        hits = Float(1.0, min=0, max=1, help="Share of the stills that have crystals in the beam.", level=1)
        volume_spread = Float(
            0.0,
            min=0,
            max=3,
            help="Standard deviation of the logarithm of the volumes of the crystals of stills.",
            level=1,
        )
        first_image = Ints((1,), help="Number of the first image of each sweep; 0 or more.", level=1)
        missing = Ints((), help="Numbers of images that are not written, as if they were lost.", level=1)
        exposure_time = Float(0.1, min=0, units="s", help="Exposure time written into the header.", level=2)

    class goniometer(GoniometerParams):
        """The axes that turn the crystal, and their settings in each sweep."""

    class detector(DetectorParams):
        """The detector, modules and defects included. The headers may be told a wrong place, as at a beamline."""

    class background(ParamsBase):
        """Counts per pixel and image that are not Bragg."""

        flat = Float(0.1, min=0, help="Everywhere.", level=1)
        air = Float(2.0, min=0, help="Air scatter, at the beam; falls off with angle.", level=1)
        solvent = Float(1.0, min=0, help="Top of the diffuse ring of the solvent near 3.3 A.", level=1)
        ice = Float(0.0, min=0, help="Top of each of the nine strongest powder rings of hexagonal ice.", level=1)
        ice_width = Float(
            0.0012, min=1e-5, max=0.1, units="1/A", help="Standard deviation of 1/d across a ring of ice.", level=1
        )

    class output(ParamsBase):
        """Where the images and the truth go."""

        directory = Str(
            "simulated", help="Folder, made when it does not exist; several sweeps get a folder each inside."
        )
        format = Choice(
            ["cbf", "full_cbf", "nexus", "smv"],
            default="cbf",
            help="cbf: miniCBF as Pilatus detectors write it; full_cbf: imgCIF with all axes and panels; nexus: one NXmx "
            "file a sweep; smv: as ADSC detectors write it. cbf and smv know one flat panel, one axis, no two_theta.",
        )
        prefix = Str("simulated", help="Beginning of the names of the images.")
        name = Str(
            "{prefix}_{image:04d}",
            help="Names of the images without ending, of {prefix}, {sweep} and {image}, e.g. "
            "'xtal_{sweep}_{image:05d}'. A NeXus file's name is this without {image} and what joins it.",
            level=1,
        )
        folder = Str(
            Auto,
            auto=True,
            help="Folder of each sweep inside directory, of {prefix} and {sweep}; Auto is 'sweep_{sweep}' for several "
            "sweeps, and none for one. Where sweeps share a folder the truth of each goes to truth_{sweep} in it.",
            level=1,
        )
        overwrite = Bool(False, help="Replace images that are there already.")
        log = Str("spindle.simulate.log", help="Log file.")
