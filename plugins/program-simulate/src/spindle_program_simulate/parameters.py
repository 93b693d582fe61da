"""Parameters of `spindle simulate`."""

from __future__ import annotations

from spindle.params import Auto, Bool, Choice, Float, Floats, Int, PathParam, SpaceGroup, Str, UnitCell
from spindle.params import Params as ParamsBase

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
            help="Wilson B of a random structure (Auto: 22), or B added to that of a coordinate file (Auto: 0).",
        )
        anomalous = Float(
            0.0,
            min=0,
            max=0.5,
            units="fraction",
            help="Rms relative difference of Friedel mates of a random structure.",
            level=1,
        )
        d_min = Float(
            Auto, min=0.3, units="A", auto=True, help="Resolution limit; Auto is that of the corner of the detector."
        )
        mean_counts = Float(
            250.0, min=0, help="Mean number of photons of a full reflection, over all reflections of the scan."
        )

    class beam(ParamsBase):
        """The beam."""

        wavelength = Float(1.0, min=0.05, max=10, units="A", help="Wavelength.")
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
        jitter = Float(
            0.01, min=0, max=0.5, units="fraction", help="Rms change of the intensity from image to image.", level=1
        )
        wobble = Float(
            0.06, min=0, max=0.9, units="fraction", help="Slow change of the intensity over a sweep.", level=1
        )

    class scan(ParamsBase):
        """The rotation about the horizontal axis."""

        n_images = Int(90, min=1, help="Images of each sweep.")
        oscillation = Float(1.0, min=1e-4, max=30, units="deg", help="Rotation during an image.")
        start = Floats(
            (0.0,), units="deg", help="Angle at the start; several numbers make several sweeps of the same crystal."
        )
        exposure_time = Float(0.1, min=0, units="s", help="Exposure time written into the header.", level=2)

    class detector(ParamsBase):
        """The detector, modules and defects included. The headers may be told a wrong place, as at a beamline."""

        model = Choice(
            ["300K", "1M", "2M", "6M", "custom"],
            default="300K",
            help="Pilatus model; custom takes image_size and has no gaps.",
        )
        image_size = Floats((1024, 1024), size=2, units="px", help="Pixels, fast and slow, of model=custom.", level=1)
        pixel_size = Float(0.172, min=0.001, units="mm", help="Pixel size.", level=1)
        distance = Float(140.0, min=1, units="mm", help="True distance along the beam.")
        beam_centre = Floats(
            Auto,
            size=2,
            units="px",
            auto=True,
            help="True beam centre; Auto is near the middle of the detector.",
            level=1,
        )
        tilt = Floats(
            (0.2, -0.15, 0.1),
            size=3,
            units="deg",
            help="True rotation of the detector about fast, slow and normal.",
            level=1,
        )
        distance_error = Float(-0.3, units="mm", help="Distance in the headers minus the true one.", level=1)
        beam_centre_error = Floats(
            (-0.8, 0.6), size=2, units="px", help="Beam centre in the headers minus the true one.", level=1
        )
        thickness = Float(0.32, min=0.01, units="mm", help="Thickness of the silicon sensor.", level=1)
        dead_pixels = Int(30, min=0, help="Pixels that are marked as dead in the images.", level=1)
        hot_pixels = Int(3, min=0, help="Pixels that count by themselves and are not marked.", level=1)
        beamstop = Float(1.5, min=0, units="mm", help="Radius of the shadow of the beamstop; 0 for none.", level=1)

    class background(ParamsBase):
        """Counts per pixel and image that are not Bragg."""

        flat = Float(0.1, min=0, help="Everywhere.", level=1)
        air = Float(2.0, min=0, help="Air scatter, at the beam; falls off with angle.", level=1)
        solvent = Float(1.0, min=0, help="Top of the diffuse ring of the solvent near 3.3 A.", level=1)

    class output(ParamsBase):
        """Where the images and the truth go."""

        directory = Str(
            "simulated", help="Folder, made when it does not exist; several sweeps get a folder each inside."
        )
        prefix = Str("simulated", help="Beginning of the names of the images.")
        overwrite = Bool(False, help="Replace images that are there already.")
        log = Str("spindle.simulate.log", help="Log file.")
